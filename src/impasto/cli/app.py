"""The command line: parse options, call the library, print. Loads no tensor library by itself."""

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
from impasto.cli.doctor import doctor
from impasto.cli.figures import figures
from impasto.cli.help import Command, Group
from impasto.cli.judge import judge
from impasto.cli.options import PresetsFile, expand_home, unwrap_paragraphs
from impasto.cli.studio import studio
from impasto.cli.video import video
from impasto.errors import ImpastoError, WeightsError
from impasto.pipeline import interrupts
from impasto.recipe import settings as recipes

INTERRUPTED = 130
"""The exit status after Ctrl-C: 128 plus the number of the signal."""

app = typer.Typer(
    cls=Group,
    help="Neural style transfer: paint a photo in the style of a painting.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> None:
    """Run the command; an error is one line on stderr and exit status 2."""
    _prepare_streams()
    try:
        if (
            app(sys.argv[1:] or ["--help"], prog_name="impasto", standalone_mode=False)
            == INTERRUPTED
        ):
            raise KeyboardInterrupt  # which Typer turned into a status
    except (ImpastoError, typer.TyperException) as error:
        message = error.format_message() if hasattr(error, "format_message") else str(error)
        print(f"impasto: {_plain(message)}", file=sys.stderr)
        sys.exit(2)
    except MemoryError:
        print("impasto: out of memory: choose a smaller --size", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        print(f"impasto: {error}", file=sys.stderr)
        sys.exit(2)
    except (KeyboardInterrupt, typer.Abort):
        print("impasto: interrupted", file=sys.stderr)
        sys.exit(INTERRUPTED)
    finally:
        files.release_all_names()


def _plain(message: str) -> str:
    """Return a message on one line, with Typer's validation text shortened."""
    words = " ".join(message.split())
    words = re.sub(r"Input should be a valid integer\b.*", "expected a whole number", words)
    return re.sub(r"Input should be a valid number\b.*", "expected a number", words)


def _prepare_streams() -> None:
    """Replace closed streams, and escape characters that a stream cannot encode.

    A file name that a terminal cannot show must not end a batch.
    """
    files.fill_standard_streams()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def run() -> None:
    """Run the command as a process, and exit without shutting down libraries.

    All files are written by then, and shutting down a tensor library takes a second.
    """
    for number in interrupts.END_SIGNALS:
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _end)
    _start_sooner()
    _silence_libraries()
    try:
        main()
        status: object = 0
    except SystemExit as left:
        status = left.code
    with contextlib.suppress(OSError, AttributeError):  # the reader of the output has closed it
        sys.stdout.flush()
        sys.stderr.flush()
    # Exit functions of libraries: Matplotlib removes its temporary folder.
    atexit._run_exitfuncs()
    os._exit(status if isinstance(status, int) else int(bool(status)))


def _start_sooner() -> None:
    """Save a third of the time that loading a tensor library takes.

    Keras imports ``matplotlib.pyplot`` if available, which is not needed here. Garbage collection
    during the import would scan millions of objects that all stay alive.
    """
    sys.modules.setdefault("matplotlib.pyplot", cast(ModuleType, None))
    gc.set_threshold(100_000, 50, 100)


def _silence_libraries() -> None:
    """Suppress output of libraries on stderr, where each error is one line.

    Only the command changes process-wide settings, never the library. Worker processes inherit
    them through the environment.
    """
    warnings.simplefilter("ignore")
    os.environ.setdefault("PYTHONWARNINGS", "ignore")
    if os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3") != "0":
        os.environ["IMPASTO_QUIET_LOADING"] = "1"


def _end(number: int, _: object) -> None:
    """Exit on a signal that arrives before or after a run."""
    print(f"impasto: ended by {signal.Signals(number).name}", file=sys.stderr)
    sys.exit(128 + number)


@app.callback(invoke_without_command=True)
def _common(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", is_eager=True)
    ] = False,
) -> None:
    if version:
        from impasto.version import __version__  # avoids most imports

        print(f"impasto {__version__}")
        raise typer.Exit


def write_samples(
    folder: Annotated[Path, typer.Argument(help="Folder for the images.")],
    size: Annotated[
        int | None, typer.Option(help="Longest side of the style images in px.")
    ] = None,
) -> None:
    """Write sample content images and style images."""
    from impasto.images import samples
    from impasto.images.formats import encode

    folder.mkdir(parents=True, exist_ok=True)
    for name in (*samples.CONTENTS, *samples.STYLES):
        image = (
            samples.load_content(name)
            if name in samples.CONTENTS
            else samples.make_style(name, size or samples.SIZE)
        )
        encode.write_image(image, folder / f"{name}.png")
        print(folder / f"{name}.png")


def show_weights() -> None:
    """Show the engine, and the source, SHA-256 and license of each network's weights."""
    from impasto.cli import console
    from impasto.engines import selection
    from impasto.network import weights

    rows: list[tuple[str, ...]] = []
    for network in weights.NETWORKS.values():
        try:
            source = weights.load_weights(network.name).source
        except WeightsError:
            source = f"none: {network.install}"
        rows.append((network.name, source, network.sha256, network.license))
    console.print_weights(rows, selection.describe_auto())


def show_recipe(
    result: Annotated[Path, typer.Argument(help="A result of impasto.")],
) -> None:
    """Print the settings, version, network and inputs stored in a result, as JSON."""
    from impasto.pipeline import provenance

    print(json.dumps(provenance.read_provenance(result).to_dict(), indent=2))


def show_presets(file: PresetsFile = None) -> None:
    """List the built-in presets and your own, with their settings."""
    from impasto.cli import console
    from impasto.recipe import presets

    rows = [
        (name, preset.help, " ".join(recipes.to_options(preset.checked())))
        for name, preset in presets.available_presets(file).items()
    ]
    console.print_presets(rows, presets.user_presets_file())


COMMANDS: dict[str, Callable[..., None]] = {
    "stylize": one.stylize,
    "video": video,
    "sweep": many.sweep,
    "batch": many.batch,
    "demo": one.demo,
    "judge": judge,
    "figures": figures,
    "studio": studio,
    "samples": write_samples,
    "weights": show_weights,
    "recipe": show_recipe,
    "presets": show_presets,
    "doctor": doctor,
}
"""Commands by name, in the order of the help."""

for _name, _command in COMMANDS.items():
    app.command(_name, cls=Command, help=unwrap_paragraphs(_command.__doc__))(expand_home(_command))
