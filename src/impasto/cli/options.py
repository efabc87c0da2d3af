"""The words of the command line: one option for every setting, and what commands share."""

import dataclasses
import functools
import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from impasto.pictures.saving import USUAL, Saving
from impasto.recipe import settings as recipes
from impasto.workshop.orders import Extras

if TYPE_CHECKING:
    pass

Field: TypeAlias = tuple[str, type, str, str]
"""A field's name, its type, its option, its help."""

METAVARS: dict[object, str] = {
    int: "N",
    float: "X",
    str: "NAME",
    recipes.Layers: "NAMES",
    recipes.Numbers: "X,...",
}


def with_settings(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command one option for every setting of the recipe, read from its fields.

    The command receives them by name in its argument ``settings``, None where not given.
    """
    return _with_options(command, "settings", [_option(*each) for each in recipes.settings()], dict)


def with_saving(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of how pictures are written, as its argument ``saving``."""
    return _with_fields(command, "saving", USUAL, _SAVING)


def with_extras(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of what is written beside the picture, as its ``extras``."""
    return _with_fields(command, "extras", Extras(), _EXTRAS)


_SAVING: Sequence[Field] = (
    ("depth", int, "--depth", "Bits per channel, 8 or 16; 16 in .png and .tif."),
    ("quality", int, "--quality", "Of .jpg and .avif, 1 to 100."),
    ("subsampling", str, "--subsampling", "Of the colors in .jpg and .avif: 4:4:4 4:2:2 4:2:0."),
    ("dpi", float, "--dpi", "Pixels per inch to print it with (default the photograph's)."),
    ("location", bool, "--keep-location", "Say where the photograph was taken, if it does."),
)
"""Every field of Saving: its type, its option, its help."""

_EXTRAS: Sequence[Field] = (
    ("save_every", int, "--save-every", "Write every N-th evaluation's picture to --frames."),
    ("frames", Path, "--frames", "The folder for --save-every."),
    ("timelapse", Path, "--timelapse", "A film of the painting, .gif or .mp4."),
    ("plot", Path, "--plot", "The curve of every loss, .png .svg or .pdf."),
    ("report", Path, "--report", "Recipe, timings and every evaluation's losses, .json."),
    (
        "checkpoint",
        Path,
        "--checkpoint",
        "Where the state of the work is saved under way; removed when all is written.",
    ),
    ("checkpoint_every", float, "--checkpoint-every", "Seconds between checkpoints."),
    (
        "resume",
        Path,
        "--resume",
        "A checkpoint to go on from, with the same pictures, to the same picture; settings may be "
        "left out. It is saved to as well, unless --checkpoint names another file.",
    ),
    ("memory", str, "--memory", "How much may be used, such as 3GB; without it what is free."),
)
"""Every field of Extras: its type, its option, its help."""


def _with_fields(
    command: Callable[..., None],
    argument: str,
    usual: Saving | Extras,
    fields: Sequence[Field],
) -> Callable[..., None]:
    """Give a command an option for every field of ``usual``, gathered in one of its kind."""

    def option(name: str, kind: type, flag: str, words: str) -> inspect.Parameter:
        default = getattr(usual, name)
        if default not in (None, False):
            words = f"{words.removesuffix('.')} (default {recipes.show(default)})."
        annotation = Annotated[kind | None, file_option(flag, words)]  # type: ignore[valid-type]
        return inspect.Parameter(
            name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation
        )

    def gather(given: dict[str, recipes.Value]) -> Saving | Extras:
        named = {name: _at_home(value) for name, value in given.items() if value is not None}
        return dataclasses.replace(usual, **named)

    return _with_options(command, argument, [option(*each) for each in fields], gather)


def _with_options(
    command: Callable[..., None],
    argument: str,
    options: Sequence[inspect.Parameter],
    gather: Callable[[dict[str, recipes.Value]], object],
) -> Callable[..., None]:
    """Replace an argument of a command by options of the command line, gathered for it."""
    signature = inspect.signature(command)
    own = [p for p in signature.parameters.values() if p.name != argument]

    @functools.wraps(command)
    def wrapper(**arguments: recipes.Value) -> None:
        given = {option.name: arguments.pop(option.name) for option in options}
        command(**arguments, **{argument: gather(given)})

    parameters = [*own, *options]
    wrapper.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    wrapper.__annotations__ = {p.name: p.annotation for p in parameters}
    return wrapper


def _option(
    name: str, kind: type, default: recipes.Value, about: recipes.About
) -> inspect.Parameter:
    # Every value is taken as text: the recipe converts and checks it, here as everywhere.
    shown = about.usual or about.show(default)
    words = "; ".join(filter(None, (about.possible, f"default {shown}" if shown else "")))
    option = typer.Option(
        *(recipes.flag(each) for each in (name, *recipes.former(name))),
        help=f"{about.help} ({words})",
        metavar=about.unit.upper() or METAVARS[kind],
        rich_help_panel="Settings",
    )
    annotation = Annotated[str | None, option]
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation
    )


def _at_home(value: recipes.Value) -> recipes.Value:
    """Return a path with the person's home for a ``~``, which no shell replaces after a ``=``."""
    return value.expanduser() if isinstance(value, Path) else value


def file_option(flag: str, help: str) -> typer.models.OptionInfo:
    """Return an option that names a file, for the panel of files in the help."""
    return typer.Option(flag, help=help, rich_help_panel="Files", show_default=False)


Content = Annotated[
    str,
    typer.Argument(help="The photograph; - reads standard input.", show_default=False),
]
Styles = Annotated[
    list[str] | None,
    typer.Argument(help="The painting, or several; see --blend.", show_default=False),
]
Preset = Annotated[
    str,
    typer.Option(
        help="Settings to start from: `impasto presets` explains them.",
        rich_help_panel="Settings",
    ),
]
Presets = Annotated[
    Path | None, file_option("--presets", "Your own presets, .toml, instead of the usual file.")
]
Regions = Annotated[
    list[str] | None,
    typer.Option(
        "--region",
        help="A place with a painting of its own: MASK:PAINTING or MASK:PAINTING:PAINTING_MASK. "
        "Any number of times. A mask is a gray picture of any size, white in the place. What no "
        "mask covers takes STYLE, or stays the photograph without one.",
        rich_help_panel="Places",
        show_default=False,
    ),
]
Keep = Annotated[
    str | None,
    typer.Option(
        help="A mask of what stays the photograph.", rich_help_panel="Places", show_default=False
    ),
]
FromPicture = Annotated[
    Path | None,
    typer.Option(
        help="A picture that impasto painted, or the JSON that `impasto recipe` prints of it, to "
        "take the settings from instead of a preset.",
        rich_help_panel="Settings",
        show_default=False,
    ),
]
Finish = Annotated[
    Path | None,
    typer.Option(
        help="A picture that impasto painted of the same inputs, to be taken up to a larger --size "
        "without painting the coarse levels again.",
        rich_help_panel="Settings",
        show_default=False,
    ),
]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="Print nothing but the paths of pictures.")
]
DryRun = Annotated[
    bool,
    typer.Option("--dry-run", help="Print what it would take, in time and in memory, and stop."),
]
Workers = Annotated[
    str | None,
    typer.Option(
        help="Processes on this machine that share the work: its tiles of a single picture, the "
        "pictures of several; or the address of a Dask scheduler of workers, tcp://host:8786.",
        metavar="N|ADDRESS",
        rich_help_panel="Machines",
        show_default=False,
    ),
]
WeightsFile = Annotated[
    Path | None,
    file_option("--weights", "The network's weights, .h5 .keras .safetensors .pth or .onnx."),
]

# Of the commands that paint many pictures ----------------------------------------------------

Varied = Annotated[
    list[str] | None,
    typer.Option(
        "--vary",
        help="A setting and the values to try, NAME=VALUE,VALUE; any number of times. Values "
        "with commas in them are set apart by semicolons.",
        metavar="NAME=VALUES",
        show_default=False,
    ),
]
Sheet = Annotated[Path, typer.Option("--output", "-o", help="The sheet to write.")]
Photographs = Annotated[
    list[str], typer.Argument(help="Photographs, and folders of them.", show_default=False)
]
OptionalStyles = Annotated[
    list[str] | None,
    typer.Option("--style", help="The painting; several times for several, see --blend."),
]
Folder = Annotated[Path, typer.Option("--output", "-o", help="The folder for the pictures.")]
Ending = Annotated[str, typer.Option(help="Of the pictures; it chooses the format.")]
SkipDone = Annotated[
    bool,
    typer.Option(
        "--skip-done", help="Skip what lies there, of the same pictures and the same recipe."
    ),
]
