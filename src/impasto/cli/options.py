"""The options of the command line: one for every setting, and those that commands share."""

import dataclasses
import functools
import inspect
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import typer
from typer.core import TyperArgument, TyperCommand, TyperGroup

from impasto.pictures.saving import USUAL, Saving
from impasto.recipe import settings as recipes
from impasto.workshop.orders import Extras

Field: TypeAlias = tuple[str, type, str, str]
"""A field's name, its type, its option, its help."""

METAVARS: dict[object, str] = {
    int: "N",
    float: "X",
    str: "NAME",
    recipes.Layers: "NAMES",
    recipes.Numbers: "X,...",
}


class Command(TyperCommand):
    """A command whose help shows no Python types: ``PATH``, and nothing for a flag."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the parameters, for the parser and for the help."""
        return _without_types(super().get_params(ctx), ctx)


class Group(TyperGroup):
    """The same for the command that holds the others."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the parameters, for the parser and for the help."""
        return _without_types(super().get_params(ctx), ctx)


def _without_types(parameters: list[Any], ctx: Any) -> list[Any]:
    for each in parameters:
        if isinstance(each, TyperArgument):
            each.display_type_rich = lambda ctx: None  # type: ignore[method-assign]
        elif each.is_flag:
            each.metavar = ""
        elif each.metavar is None:
            kind = re.sub(r"<|>|list\[|\]", "", each.display_type(ctx))
            each.metavar = KINDS.get(kind.lower(), kind.upper())
    return parameters


KINDS = {"str": "TEXT", "path": "PATH", "int": "N", "float": "X"}
"""What the help shows of a value, by the name of its type."""


def paragraphs(text: str | None) -> str:
    """Return a docstring without line breaks inside its paragraphs.

    >>> paragraphs("Paint.\\n\\n    One line,\\n    and another.")
    'Paint.\\n\\nOne line, and another.'
    """
    return "\n\n".join(" ".join(each.split()) for each in (text or "").split("\n\n"))


def with_home(command: Callable[..., None]) -> Callable[..., None]:
    """Replace ``~`` by the home folder in every path that a command is given.

    A shell replaces it at the beginning of a word alone, and not in ``--output=~/x``.
    """

    @functools.wraps(command)
    def wrapper(**arguments: recipes.Value) -> None:
        command(**{name: _at_home(value) for name, value in arguments.items()})

    return wrapper


def _at_home(value: recipes.Value) -> recipes.Value:
    if isinstance(value, list):
        return [_at_home(each) for each in value]
    return value.expanduser() if isinstance(value, Path) else value


def with_settings(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command one option for every setting of the recipe, read from its fields.

    The command receives them by name in its argument ``settings``, None where not given.
    """

    def gather(given: dict[str, recipes.Value]) -> dict[str, recipes.Value]:
        init = given["init"]
        return {**given, "init": os.path.expanduser(init) if init else init}

    options = [_option(*each) for each in recipes.settings()]
    return _with_options(command, "settings", options, gather)


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
        named = {name: value for name, value in given.items() if value is not None}
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
    # Spaces let a narrow terminal break a list of layers, which it would cut off.
    shown = re.sub(r",(?=\S)", ", ", about.usual or about.show(default))
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
Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", help="Print the losses of every evaluation.")
]
MeasureAgain = Annotated[
    bool,
    typer.Option(
        "--measure",
        help="Measure this machine again; without it the stored measurement answers --dry-run.",
    ),
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
    file_option("--weights", "The network's weights, .h5 .pth .onnx or .safetensors."),
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
Sheet = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        help="The sheet to write. Without it the name is sheet.png, and no file is overwritten.",
        show_default=False,
    ),
]
Photographs = Annotated[
    list[Path], typer.Argument(help="Photographs, and folders of them.", show_default=False)
]
OptionalStyles = Annotated[
    list[str] | None,
    typer.Option("--style", help="The painting; several times for several, see --blend."),
]
Folder = Annotated[Path, typer.Option("--output", "-o", help="The folder for the pictures.")]
Ending = Annotated[str, typer.Option(help="Of the pictures; it chooses the format.")]
Recursive = Annotated[
    bool,
    typer.Option(
        "--recursive",
        "-r",
        help="Look into the folders inside folders, and make the same folders for the pictures.",
    ),
]
SkipDone = Annotated[
    bool,
    typer.Option(
        "--skip-done",
        help="Skip pictures that exist and were painted from the same pictures with the same "
        "recipe; paint again what else impasto painted there.",
    ),
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace files that exist; without it they stay.")
]
SweepReport = Annotated[
    Path | None,
    file_option("--report", "Recipe, timings and losses of every picture on the sheet, .json."),
]
