"""The words of the command line: one option for every setting, and what commands share."""

import dataclasses
import functools
import inspect
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from impasto import recipe as recipes
from impasto.errors import SettingError
from impasto.saving import USUAL, Saving

if TYPE_CHECKING:
    from impasto.checkpoints import Keeper
    from impasto.outputs import Outputs

METAVARS = {int: "N", float: "X", str: "NAME", recipes.Layers: "NAMES", recipes.Numbers: "X,..."}


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


@dataclass(frozen=True)
class Extras:
    """What was asked for beside the picture."""

    frames: Path | None = None
    save_every: int | None = None
    timelapse: Path | None = None
    plot: Path | None = None
    report: Path | None = None
    checkpoint: Path | None = None
    checkpoint_every: float = recipes.CHECKPOINT_EVERY
    resume: Path | None = None

    def called(self, name: str) -> "Extras":
        """Return them for one picture of many, whose name is put where ``{name}`` stands.

        Raises SettingError for a file that would be the same for all of them.
        """
        paths = {key: path for key, path in vars(self).items() if isinstance(path, Path)}
        for key, path in paths.items():
            if NAME not in str(path):
                raise SettingError(
                    f"{recipes.flag(key)} {path} would be one for all pictures: put {NAME} into it "
                    "where the name of each is to stand"
                )
        put: dict[str, Any] = {
            key: Path(str(path).replace(NAME, name)) for key, path in paths.items()
        }
        return dataclasses.replace(self, **put)

    def read(self) -> tuple[str, ...]:
        """Return the files that are read, and not written again at the same place."""
        return (str(self.resume),) if self.resume and self.checkpoint else ()

    def outputs(self, picture: Path, saving: Saving) -> "Outputs":
        """Return all that is to be written."""
        from impasto.outputs import Outputs

        return Outputs(
            picture,
            self.frames,
            self.save_every,
            self.timelapse,
            self.plot,
            self.report,
            saving,
            self.checkpoint or self.resume,
        )

    def check(self) -> None:
        """Raise SettingError or PictureError if checkpoints cannot be saved."""
        from impasto import checkpoints

        checkpoints.place(self.checkpoint, self.resume)

    def keeper(self, tell: Callable[[str], None]) -> "Keeper":
        """Return what saves checkpoints, and tells why if it cannot."""
        from impasto.checkpoints import Keeper

        return Keeper(self.checkpoint or self.resume, self.checkpoint_every, tell)


NAME = "{name}"
"""Stands for the name of each picture in the files of many."""

_SAVING: Sequence[tuple[str, Any, str, str]] = (
    ("depth", int, "--depth", "Bits per channel, 8 or 16; 16 in .png and .tif."),
    ("quality", int, "--quality", "Of .jpg and .avif, 1 to 100."),
    ("subsampling", str, "--subsampling", "Of the colours in .jpg and .avif: 4:4:4 4:2:2 4:2:0."),
    ("dpi", float, "--dpi", "Pixels per inch to print it with (default the photograph's)."),
    ("location", bool, "--keep-location", "Say where the photograph was taken, if it does."),
)
"""Every field of Saving: its type, its option, its help."""

_EXTRAS: Sequence[tuple[str, Any, str, str]] = (
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
)
"""Every field of Extras: its type, its option, its help."""


def _with_fields(
    command: Callable[..., None],
    argument: str,
    usual: Any,
    fields: Sequence[tuple[str, Any, str, str]],
) -> Callable[..., None]:
    """Give a command an option for every field of ``usual``, gathered in one of its kind."""

    def option(name: str, kind: Any, flag: str, words: str) -> inspect.Parameter:
        default = getattr(usual, name)
        if default not in (None, False):
            words = f"{words.removesuffix('.')} (default {recipes.show(default)})."
        annotation = Annotated[kind | None, file_option(flag, words)]
        return inspect.Parameter(
            name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation
        )

    def gather(given: dict[str, Any]) -> Any:
        named = {name: value for name, value in given.items() if value is not None}
        return dataclasses.replace(usual, **named)

    return _with_options(command, argument, [option(*each) for each in fields], gather)


def _with_options(
    command: Callable[..., None],
    argument: str,
    options: Sequence[inspect.Parameter],
    gather: Callable[[dict[str, Any]], Any],
) -> Callable[..., None]:
    """Replace an argument of a command by options of the command line, gathered for it."""
    signature = inspect.signature(command)
    own = [p for p in signature.parameters.values() if p.name != argument]

    @functools.wraps(command)
    def wrapper(**arguments: Any) -> None:
        given = {option.name: arguments.pop(option.name) for option in options}
        command(**arguments, **{argument: gather(given)})

    parameters = [*own, *options]
    wrapper.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    wrapper.__annotations__ = {p.name: p.annotation for p in parameters}
    return wrapper


def _option(name: str, kind: Any, default: Any, about: recipes.About) -> inspect.Parameter:
    # Every value is taken as text: the recipe converts and checks it, here as everywhere.
    shown = recipes.show(default)
    words = "; ".join(filter(None, (about.possible, f"default {shown}" if shown else "")))
    option = typer.Option(
        recipes.flag(name),
        help=f"{about.help} ({words})",
        metavar=about.unit.upper() or METAVARS[kind],
        rich_help_panel="Settings",
    )
    annotation = Annotated[str | None, option]
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation
    )


def file_option(flag: str, help: str) -> Any:
    """Return an option that names a file, for the panel of files in the help."""
    return typer.Option(flag, help=help, rich_help_panel="Files", show_default=False)


Content = Annotated[str, typer.Argument(help="The photograph.", show_default=False)]
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
        "Any number of times. A mask is a grey picture of any size, white in the place. What no "
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
        help="A picture that impasto painted, to take the settings from instead of a preset.",
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
WeightsFile = Annotated[
    Path | None,
    file_option("--weights", "The network's weights, .h5 .keras .safetensors .pth or .onnx."),
]


@dataclass(frozen=True)
class Sources:
    """The paths of the pictures that were named."""

    content: str
    styles: Sequence[str]
    regions: Sequence[tuple[str, ...]] = ()
    """each mask, painting and, if it was given, the painting's mask"""
    keep: str | None = None

    @classmethod
    def parse(
        cls, content: str, style: list[str] | None, region: list[str] | None, keep: str | None
    ) -> "Sources":
        """Take the words of the command line."""
        from impasto import inputs

        return cls(content, style or [], [inputs.parse_region(each) for each in region or []], keep)

    def given(self) -> tuple[Any, ...]:
        """Return what :func:`impasto.inputs.prepare` takes after the recipe."""
        return self.content, self.styles, self.regions, self.keep

    def words(self) -> list[str]:
        """Return the words of the command line again."""
        regions = itertools.chain(*(("--region", ":".join(each)) for each in self.regions))
        return [self.content, *self.styles, *regions, *(["--keep", self.keep] if self.keep else [])]

    def paths(self) -> tuple[str, ...]:
        """Return all of them."""
        named = (self.content, *self.styles, *itertools.chain(*self.regions), self.keep)
        return tuple(path for path in named if path)

    def stem(self) -> str:
        """Return a name for the picture, from the photograph's and the paintings'."""
        paintings = [*self.styles, *(painting for _, painting, *_ in self.regions)]
        return "-".join(Path(path).stem for path in (self.content, *dict.fromkeys(paintings)))
