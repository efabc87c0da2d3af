"""Command-line options: one for each setting, and those that several commands share."""

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

from impasto.images.formats.save_options import DEFAULT_SAVE_OPTIONS, SaveOptions
from impasto.jobs.specs import OutputOptions
from impasto.recipe import settings as recipes

OptionField: TypeAlias = tuple[str, type, str, str]
"""Field name, type, option, help."""

METAVARS: dict[object, str] = {
    int: "N",
    float: "X",
    str: "NAME",
    recipes.Layers: "NAMES",
    recipes.Numbers: "X,...",
}


class Command(TyperCommand):
    """A command whose help shows kinds such as ``PATH`` instead of Python types."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the parameters, for the parser and for the help."""
        return _without_types(super().get_params(ctx), ctx)


class Group(TyperGroup):
    """A group of commands with the same help style as :class:`Command`."""

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
            each.metavar = TYPE_NAMES.get(kind.lower(), kind.upper())
    return parameters


TYPE_NAMES = {"str": "TEXT", "path": "PATH", "int": "N", "float": "X"}
"""Metavariables in the help, by the name of the type."""


def unwrap_paragraphs(text: str | None) -> str:
    """Return a docstring without line breaks inside its paragraphs.

    >>> unwrap_paragraphs("Paint.\\n\\n    One line,\\n    and another.")
    'Paint.\\n\\nOne line, and another.'
    """
    return "\n\n".join(" ".join(each.split()) for each in (text or "").split("\n\n"))


def expand_home(command: Callable[..., None]) -> Callable[..., None]:
    """Expand ``~`` in all paths of a command.

    A shell expands it only at the start of a word, not in ``--output=~/x``.
    """

    @functools.wraps(command)
    def wrapper(**arguments: recipes.Value) -> None:
        command(**{name: _expand_home(value) for name, value in arguments.items()})

    return wrapper


def _expand_home(value: recipes.Value) -> recipes.Value:
    if isinstance(value, list):
        return [_expand_home(each) for each in value]
    return value.expanduser() if isinstance(value, Path) else value


def add_setting_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add an option for each setting of the recipe to a command.

    The command receives them by name in its argument ``settings``; None if not given.
    """

    def gather(given: dict[str, recipes.Value]) -> dict[str, recipes.Value]:
        init = given["init"]
        return {**given, "init": os.path.expanduser(init) if init else init}

    options = [_make_option(*each) for each in recipes.iter_settings()]
    return _add_options(command, "settings", options, gather)


def add_save_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options for writing images to a command, as its argument ``saving``."""
    return _add_field_options(command, "saving", DEFAULT_SAVE_OPTIONS, _SAVING)


def add_output_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options for additional output files to a command, as its argument ``extras``."""
    return _add_field_options(command, "extras", OutputOptions(), _EXTRAS)


_SAVING: Sequence[OptionField] = (
    ("depth", int, "--depth", "Bits per channel, 8 or 16; 16 only for .png and .tif."),
    ("quality", int, "--quality", "Quality of .jpg and .avif, 1 to 100."),
    (
        "subsampling",
        str,
        "--subsampling",
        "Chroma subsampling of .jpg and .avif: 4:4:4, 4:2:2 or 4:2:0.",
    ),
    (
        "dpi",
        float,
        "--dpi",
        "Print resolution in pixels per inch (default: that of the content image).",
    ),
    ("location", bool, "--keep-location", "Keep the location stored in the content image."),
)
"""Options for the fields of ``SaveOptions``."""

_EXTRAS: Sequence[OptionField] = (
    (
        "save_every",
        int,
        "--save-every",
        "Save the image of every N-th evaluation to the folder --frames.",
    ),
    ("frames", Path, "--frames", "Folder for --save-every."),
    ("timelapse", Path, "--timelapse", "Write a video of the run, .gif or .mp4."),
    ("plot", Path, "--plot", "Plot the losses, .png, .svg or .pdf."),
    ("report", Path, "--report", "Write recipe, timings and the losses of each evaluation, .json."),
    (
        "checkpoint",
        Path,
        "--checkpoint",
        "Save the state of the run to this file at intervals; removed when the run is complete.",
    ),
    ("checkpoint_every", float, "--checkpoint-every", "Seconds between checkpoints."),
    (
        "resume",
        Path,
        "--resume",
        "Resume from this checkpoint, with the same inputs; settings may be omitted. New "
        "checkpoints go to the same file unless --checkpoint names another.",
    ),
    ("memory", str, "--memory", "Memory limit, such as 3GB; by default the memory that is free."),
)
"""Options for the fields of ``OutputOptions``."""


def _add_field_options(
    command: Callable[..., None],
    argument: str,
    default_options: SaveOptions | OutputOptions,
    fields: Sequence[OptionField],
) -> Callable[..., None]:
    """Add an option for each field; the command receives ``default_options`` with its values."""

    def option(name: str, kind: type, flag: str, help_text: str) -> inspect.Parameter:
        default = getattr(default_options, name)
        if default not in (None, False):
            help_text = f"{help_text.removesuffix('.')} (default {recipes.format_value(default)})."
        annotation = Annotated[kind | None, file_option(flag, help_text)]  # type: ignore[valid-type]
        return inspect.Parameter(
            name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation
        )

    def gather(given: dict[str, recipes.Value]) -> SaveOptions | OutputOptions:
        named = {name: value for name, value in given.items() if value is not None}
        return dataclasses.replace(default_options, **named)

    return _add_options(command, argument, [option(*each) for each in fields], gather)


def _add_options(
    command: Callable[..., None],
    argument: str,
    options: Sequence[inspect.Parameter],
    gather: Callable[[dict[str, recipes.Value]], object],
) -> Callable[..., None]:
    """Replace an argument of a command by options; ``gather`` computes the argument from them."""
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


def _make_option(
    name: str, kind: type, default: recipes.Value, about: recipes.SettingInfo
) -> inspect.Parameter:
    # Values stay text; the recipe converts and validates them.
    # Spaces let a narrow terminal wrap a list of layers instead of truncating it.
    shown = re.sub(r",(?=\S)", ", ", about.default_text or about.format(default))
    words = "; ".join(filter(None, (about.allowed_values, f"default {shown}" if shown else "")))
    option = typer.Option(
        *(recipes.option_name(each) for each in (name, *recipes.former_names(name))),
        help=f"{about.help} ({words})",
        metavar=about.unit.upper() or METAVARS[kind],
        rich_help_panel="Settings",
    )
    annotation = Annotated[str | None, option]
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation
    )


def file_option(flag: str, help: str) -> typer.models.OptionInfo:
    """Return an option for a file, in the panel Files of the help."""
    return typer.Option(flag, help=help, rich_help_panel="Files", show_default=False)


Content = Annotated[
    str,
    typer.Argument(help="Content image; - reads standard input.", show_default=False),
]
Styles = Annotated[
    list[str] | None,
    typer.Argument(help="One or more style images; see --blend.", show_default=False),
]
Preset = Annotated[
    str,
    typer.Option(
        help="Preset to start from; `impasto presets` lists them.",
        rich_help_panel="Settings",
    ),
]
PresetsFile = Annotated[
    Path | None,
    file_option("--presets", "File with your own presets, .toml, instead of the default file."),
]
Regions = Annotated[
    list[str] | None,
    typer.Option(
        "--region",
        help="Use another style image in a region: MASK:STYLE or MASK:STYLE:STYLE_MASK; "
        "repeatable. A mask is a gray image of any size, white inside the region. The rest of the "
        "image takes STYLE, or stays unchanged without one.",
        rich_help_panel="Regions",
        show_default=False,
    ),
]
Keep = Annotated[
    str | None,
    typer.Option(
        help="Mask of the region that stays unchanged.",
        rich_help_panel="Regions",
        show_default=False,
    ),
]
FromResult = Annotated[
    Path | None,
    typer.Option(
        help="Use the settings stored in this result, or in the JSON printed by `impasto recipe`, "
        "instead of a preset.",
        rich_help_panel="Settings",
        show_default=False,
    ),
]
Finish = Annotated[
    Path | None,
    typer.Option(
        help="Enlarge this result of the same inputs to --size, without its coarse levels.",
        rich_help_panel="Settings",
        show_default=False,
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print only the paths of results.")]
Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", help="Print the losses of each evaluation.")
]
MeasureAgain = Annotated[
    bool,
    typer.Option(
        "--measure",
        help="With --dry-run: measure this machine again.",
    ),
]
DryRun = Annotated[
    bool,
    typer.Option("--dry-run", help="Print an estimate of time and memory, and exit."),
]
Workers = Annotated[
    str | None,
    typer.Option(
        help="Number of worker processes on this machine, or the address of a Dask scheduler, such "
        "as tcp://host:8786. They share the tiles of one image, or the images of several.",
        metavar="N|ADDRESS",
        rich_help_panel="Workers",
        show_default=False,
    ),
]
WeightsFile = Annotated[
    Path | None,
    file_option("--weights", "Weights of the network, .h5, .pth, .onnx or .safetensors."),
]

# Options of the commands for many images ------------------------------------------------------

Varied = Annotated[
    list[str] | None,
    typer.Option(
        "--vary",
        help="A setting and the values to try, NAME=VALUE,VALUE; repeatable. Separate values that "
        "contain commas by semicolons.",
        metavar="NAME=VALUES",
        show_default=False,
    ),
]
Sheet = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        help="Sheet to write. By default sheet.png, without overwriting a file.",
        show_default=False,
    ),
]
Contents = Annotated[
    list[Path], typer.Argument(help="Content images, and folders of them.", show_default=False)
]
OptionalStyles = Annotated[
    list[str] | None,
    typer.Option("--style", help="Style image; repeatable, see --blend."),
]
Folder = Annotated[Path, typer.Option("--output", "-o", help="Folder for the results.")]
Ending = Annotated[
    str, typer.Option(help="File name extension of the results; it selects the format.")
]
Recursive = Annotated[
    bool,
    typer.Option(
        "--recursive",
        "-r",
        help="Include subfolders, and create the same subfolders for the results.",
    ),
]
SkipDone = Annotated[
    bool,
    typer.Option(
        "--skip-done",
        help="Skip results that exist with the same inputs and recipe; replace other results of "
        "impasto.",
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace existing files.")]
SweepReport = Annotated[
    Path | None,
    file_option("--report", "Write recipe, timings and losses of each image on the sheet, .json."),
]
