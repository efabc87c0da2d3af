"""Command-line options: one for each setting, and those that several commands share."""

import dataclasses
import functools
import inspect
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from impasto.cli.help import ADVANCED, SHORT_HELP, SHORT_ORDER, HelpAll
from impasto.cli.help import Command as Command
from impasto.cli.help import Group as Group
from impasto.images.formats.save_options import DEFAULT_SAVE_OPTIONS, SaveOptions
from impasto.jobs.specs import OutputOptions
from impasto.recipe import presets, signature
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


ESSENTIAL_SETTINGS = {
    "size": "Pixels, 2k, 50%, A4@300 or original",
    "strength": "Content image (0) to style alone (1)",
    "style_scale": "Size of strokes, 0.1 to 10",
    "colors": "Colors of the result",
    "blend": "Weights of several style images, as 0.7,0.3",
}
"""Settings in the short help of a command, with what it says; ``--help-all`` shows all."""

SIZE_FORMS = (
    "Also 2k (2,048), 50% of the content image, and A4@300, the size that fits on that page at 300 "
    "pixels per inch."
)

SHORT_HELP.update(
    content="Content image; - reads standard input.",
    preset="Settings to start from, see `impasto presets`.",
    recipe="Use the settings stored in this result.",
    finish="Enlarge this result to --size.",
    region="Another style in a region, MASK:STYLE; repeatable.",
    resume="Resume an interrupted run from its checkpoint.",
    each_style="Every content image in every style, not blended.",
    pairs="CSV table of pairs: content, style, settings.",
    recursive="Include subfolders.",
    skip_done="Skip results of the same inputs and recipe.",
    judged="Show distances on the contact sheet.",
)
SHORT_ORDER.extend(
    (
        "content",
        "style",
        "each_style",
        "pairs",
        "vary",
        "output",
        *ESSENTIAL_SETTINGS,
        "preset",
        "recipe",
        "finish",
    )
)
ADVANCED.update(("own_presets", "weights_file", "workers", "measure", "verbose"))
ADVANCED.update(("sheet", "no_sheet"))


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


def add_setting_options(
    command: Callable[..., None], size: int | None = None
) -> Callable[..., None]:
    """Add an option for each setting of the recipe to a command.

    The command receives them by name in its argument ``settings``; None if not given. ``size`` is
    the default size of the command, if it is not that of the recipe.
    """

    def gather(given: dict[str, recipes.Value]) -> dict[str, recipes.Value]:
        settings = {name: value for name, value in given.items() if name != "help_all"}
        init = settings["init"]
        return {**settings, "init": os.path.expanduser(init) if init else init}

    options = [_make_option(*each) for each in recipes.iter_settings()]
    if size is not None:
        _set_default_size(options[0], size)
    kind = inspect.Parameter.KEYWORD_ONLY
    options.append(inspect.Parameter("help_all", kind, default=False, annotation=HelpAll))
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
        "frames",
        Path,
        "--frames",
        "Save the images during the run to this folder.",
    ),
    (
        "save_every",
        int,
        "--frames-every --save-every",
        "With --frames: save the image of every N-th evaluation (default 1).",
    ),
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

_RUN_OPTIONS = ("checkpoint", "checkpoint_every", "resume", "memory")
"""Fields of ``OutputOptions`` that are shown with the options of a run."""


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
        ADVANCED.update({name} - {"resume"})
        panel = "Run" if name in _RUN_OPTIONS else "Files"
        annotation = Annotated[kind | None, file_option(flag, help_text, panel)]  # type: ignore[valid-type]
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
    text = signature.describe_setting(name)
    if name == "size":
        text = text.replace(" (", f" {SIZE_FORMS} (", 1)
    if name in ESSENTIAL_SETTINGS:
        SHORT_HELP[name] = _short_help(name, default, about)
    else:
        ADVANCED.add(name)
    option = typer.Option(
        *(recipes.option_name(each) for each in (name, *recipes.former_names(name))),
        help=text,
        metavar="SIZE" if name == "size" else about.unit.upper() or METAVARS[kind],
        rich_help_panel="Settings",
        hidden=name == "finished",  # --finish sets it
        autocompletion=_completion(about.choices or tuple(about.words)),
    )
    annotation = Annotated[str | None, option]
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation
    )


def _set_default_size(option: inspect.Parameter, size: int) -> None:
    """Replace the default size in the help of the option ``--size``."""
    assert option.name == "size"
    (info,) = option.annotation.__metadata__
    info.help = re.sub(r"default \d+", f"default {size}", info.help)


def _short_help(name: str, default: recipes.Value, about: recipes.SettingInfo) -> str:
    shown = about.format(default)
    words = (", ".join(about.choices), f"default {shown}" if shown else "")
    values = "; ".join(filter(None, words))
    return f"{ESSENTIAL_SETTINGS[name]}" + (f" ({values})." if values else ".")


def _completion(words: Sequence[str]) -> Callable[[str], list[str]] | None:
    """Return the function that completes these words in a shell; None for file names."""
    if not words:
        return None
    return lambda incomplete: [each for each in words if each.startswith(incomplete)]


def file_option(flags: str, help: str, panel: str = "Files") -> typer.models.OptionInfo:
    """Return an option for a file, by default in the group Files of the help."""
    return typer.Option(*flags.split(), help=help, rich_help_panel=panel, show_default=False)


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
        help=f"Preset to start from (default {presets.DEFAULT}); `impasto presets` lists them.",
        metavar="NAME",
        rich_help_panel="Settings",
        show_default=False,
        autocompletion=lambda incomplete: [
            each for each in presets.available_presets() if each.startswith(incomplete)
        ],
    ),
]
PresetsFile = Annotated[
    Path | None,
    file_option(
        "--presets", "File with your own presets, .toml, instead of the default file.", "Settings"
    ),
]
Regions = Annotated[
    list[str] | None,
    typer.Option(
        "--region",
        help="Use another style image in a region: MASK:STYLE or MASK:STYLE:STYLE_MASK; "
        "repeatable. A mask is a gray image of any size, white inside the region. The rest of the "
        "image takes STYLE, or stays unchanged without one.",
        metavar="MASK:STYLE",
        rich_help_panel="Regions",
        show_default=False,
    ),
]
Keep = Annotated[
    str | None,
    typer.Option(
        help="Mask of the region that stays unchanged.",
        metavar="PATH",
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
        rich_help_panel="Run",
        show_default=False,
    ),
]
WeightsFile = Annotated[
    Path | None,
    file_option("--weights", "Weights of the network, .h5, .pth, .onnx or .safetensors.", "Run"),
]

# Options of the commands for many images ------------------------------------------------------

Varied = Annotated[
    list[str] | None,
    typer.Option(
        "--vary",
        help="A setting and the values to try, NAME=VALUE,VALUE; repeatable. Separate values that "
        "contain commas by semicolons.",
        metavar="NAME=VALUES",
        rich_help_panel="Settings",
        show_default=False,
    ),
]
Sheet = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        help="Sheet to write. By default sheet.png, without overwriting a file.",
        rich_help_panel="Files",
        show_default=False,
    ),
]
Contents = Annotated[
    list[Path] | None,
    typer.Argument(help="Content images, and folders of them.", show_default=False),
]
EachStyle = Annotated[
    bool,
    typer.Option(
        "--each-style",
        help="Paint every content image in every style separately, instead of blending styles.",
        rich_help_panel="Settings",
    ),
]
Pairs = Annotated[
    Path | None,
    typer.Option(
        "--pairs",
        help="Paint the rows of this CSV table: its columns are content, style, possibly result "
        "(a name), and settings such as strength. Paths start from its folder; several style "
        "images are separated by semicolons.",
        rich_help_panel="Settings",
        show_default=False,
    ),
]
SheetFile = Annotated[
    Path | None,
    file_option(
        "--sheet", "Contact sheet to write (default contact-sheet.html in the output folder)."
    ),
]
NoSheet = Annotated[
    bool, typer.Option("--no-sheet", help="Write no contact sheet.", rich_help_panel="Files")
]
Judged = Annotated[
    bool,
    typer.Option(
        "--judge",
        help="Show the distances of `impasto judge` on the contact sheet.",
        rich_help_panel="Files",
    ),
]
OptionalStyles = Annotated[
    list[str] | None,
    typer.Option(
        "--style",
        help="Style image; repeatable, see --blend.",
        metavar="PATH",
        rich_help_panel="Settings",
    ),
]
Folder = Annotated[
    Path, typer.Option("--output", "-o", help="Folder for the results.", rich_help_panel="Files")
]
Ending = Annotated[
    str,
    typer.Option(
        help="File name extension of the results; it selects the format.",
        metavar="EXT",
        rich_help_panel="Files",
    ),
]
Recursive = Annotated[
    bool,
    typer.Option(
        "--recursive",
        "-r",
        help="Include subfolders, and create the same subfolders for the results.",
        rich_help_panel="Files",
    ),
]
SkipDone = Annotated[
    bool,
    typer.Option(
        "--skip-done",
        help="Skip results that exist with the same inputs and recipe; replace other results of "
        "impasto.",
        rich_help_panel="Files",
    ),
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace existing files.", rich_help_panel="Files")
]
SweepReport = Annotated[
    Path | None,
    file_option("--report", "Write recipe, timings and losses of each image on the sheet, .json."),
]
