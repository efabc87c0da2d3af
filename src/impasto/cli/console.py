"""Terminal output by Rich: messages on stderr, tables on stdout."""

import gc
import importlib
import logging
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from impasto.errors import pluralize
from impasto.jobs import runner
from impasto.jobs.outputs import OutputPaths
from impasto.jobs.runner import PreparedJob
from impasto.pipeline.interrupts import InterruptHandler, handled_interrupts
from impasto.pipeline.progress import ProgressBar, progress_bar
from impasto.pipeline.result import Result
from impasto.pipeline.stylizer import Event, Stylizer

CONSOLE = Console(stderr=True, highlight=False, soft_wrap=True)


class _LineHandler(logging.Handler):
    """Prints each log record of the library on one line."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print a record."""
        print_line(record.getMessage())


@contextmanager
def logged_lines(quiet: bool = False) -> Iterator[None]:
    """Print the log of the library; with ``quiet`` only warnings and errors."""
    log, lines = logging.getLogger("impasto"), _LineHandler()
    before = log.level
    log.addHandler(lines)
    log.setLevel(logging.WARNING if quiet else logging.INFO)
    try:
        yield
    finally:
        log.removeHandler(lines)
        log.setLevel(before)


@contextmanager
def terminal_bar(quiet: bool, count: int = 1, losses: bool = False) -> Iterator[ProgressBar | None]:
    """Show a progress bar for ``count`` images, unless ``quiet``.

    ``losses`` prints the losses of each evaluation.
    """
    if quiet:
        yield None
        return
    with progress_bar(CONSOLE, count, losses) as bar:
        yield bar


def stop_on_interrupt(stylizer: Stylizer) -> AbstractContextManager[InterruptHandler]:
    """Return a context in which the first Ctrl-C stops a stylizer, and the second exits."""

    def stop() -> None:
        stylizer.stop()
        print_line("stopping after this evaluation; press Ctrl-C again to exit at once")

    return handled_interrupts(stop, exits=True)


def finish_on_interrupt() -> AbstractContextManager[InterruptHandler]:
    """Return a context in which the first Ctrl-C starts no further image."""
    return handled_interrupts(
        lambda: print_line("stopping after the current images; press Ctrl-C again to exit at once"),
        exits=True,
    )


def run_with_progress(
    ready: PreparedJob, stylizer: Stylizer, bar: ProgressBar | None
) -> Iterator[Event]:
    """Run a prepared job, show its progress, and yield its events."""
    with stop_on_interrupt(stylizer) as interrupts:
        yield from show_events(
            interrupts.iterate(load_with_notice(runner.run_job(ready, stylizer))), bar
        )


def load_with_notice(events: Iterator[Event]) -> Iterator[Event]:
    """Load the modules of a run, then yield the events.

    Garbage collection is off meanwhile: imports create no garbage, and each collection scans all
    objects, a sixth of the import time.
    """
    gc.disable()
    try:
        importlib.import_module("impasto.pipeline.execution")
    finally:
        gc.enable()
    yield from events


def show_events(events: Iterator[Event], bar: ProgressBar | None) -> Iterator[Event]:
    """Show events in the bar, and yield them."""
    for event in events:
        if bar is not None:
            bar.show(event)
        yield event


def print_line(text: str) -> None:
    """Print a line on stderr."""
    CONSOLE.print(text, markup=False)


def print_summary(result: Result, outputs: OutputPaths) -> None:
    """Print size and time of a result, and the paths of other outputs."""
    height, width = result.pixels.shape[:2]
    print_line(
        f"{width} x {height} px, {pluralize(len(result.history), 'evaluation')} "
        f"in {result.seconds['total']:.1f} s on {result.backend}, {result.precision}"
    )
    for path in (outputs.report, outputs.plot, outputs.timelapse, outputs.frames):
        if path:
            print_line(f"{path}")


def print_weights(rows: list[tuple[str, ...]], engine: str) -> None:
    """Print source, SHA-256 and license of each network, and the engine, on stdout."""
    table = Table(show_header=False, box=None, pad_edge=False)
    names = ("network", "source", "sha256", "license")
    for row in rows:
        for name, value in zip(names, row, strict=True):
            table.add_row(name, Text(value, overflow="fold"))
    table.add_row("engine", Text(engine, overflow="fold"))
    Console().print(table)


def print_presets(rows: list[tuple[str, str, str]], user_file: Path) -> None:
    """Print name, description and settings of each preset on stdout."""
    console = Console(highlight=False)
    for name, description, settings in rows:
        console.print(Text(name, style="bold"))
        for line in filter(None, (description, settings)):
            console.print(Padding(Text(line), (0, 0, 0, 4)))
    console.print(Text(f"Define your own in {user_file}, or in a file given with --presets."))
