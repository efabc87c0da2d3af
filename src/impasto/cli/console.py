"""What a person at the terminal sees. Rich: on stderr, but for tables, which are the answer."""

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

from impasto.errors import counted
from impasto.painting.interrupts import Interrupts, heard
from impasto.painting.progress import Bar, shown
from impasto.painting.result import Result
from impasto.painting.stylizer import Event, Stylizer
from impasto.workshop import worker
from impasto.workshop.outputs import Outputs
from impasto.workshop.worker import Ready

CONSOLE = Console(stderr=True, highlight=False, soft_wrap=True)


class _Lines(logging.Handler):
    """Prints what the library logs, a line each."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print a record."""
        say(record.getMessage())


@contextmanager
def listening(quiet: bool = False) -> Iterator[None]:
    """Print what the library logs; with ``quiet`` only what must not be missed."""
    log, lines = logging.getLogger("impasto"), _Lines()
    before = log.level
    log.addHandler(lines)
    log.setLevel(logging.WARNING if quiet else logging.INFO)
    try:
        yield
    finally:
        log.removeHandler(lines)
        log.setLevel(before)


@contextmanager
def bar(quiet: bool, count: int = 1, losses: bool = False) -> Iterator[Bar | None]:
    """Show a bar for ``count`` pictures; with ``quiet`` there is none.

    ``losses`` prints the losses of every evaluation.
    """
    if quiet:
        yield None
        return
    with shown(CONSOLE, count, losses) as made:
        yield made


def stopping(stylizer: Stylizer) -> AbstractContextManager[Interrupts]:
    """Return a context in which the first Ctrl-C stops a stylizer, and the second leaves."""

    def stop() -> None:
        stylizer.stop()
        say("stopping after this evaluation; Ctrl-C again leaves at once")

    return heard(stop, leaves=True)


def finishing() -> AbstractContextManager[Interrupts]:
    """Return a context in which the first Ctrl-C lets the pictures under way be the last."""
    return heard(
        lambda: say("stopping after the pictures under way; Ctrl-C again leaves at once"),
        leaves=True,
    )


def watched(ready: Ready, stylizer: Stylizer, bar: Bar | None) -> Iterator[Event]:
    """Paint what was prepared, and show it; yields what happens, until it is done or stopped."""
    with stopping(stylizer) as interrupts:
        yield from followed(interrupts.pulled(loaded(worker.paint(ready, stylizer))), bar)


def loaded(events: Iterator[Event]) -> Iterator[Event]:
    """Load the tensor library, and pass events on.

    Nothing of what an import makes is garbage; looking for some takes a sixth of its time.
    """
    gc.disable()
    try:
        importlib.import_module("impasto.painting.painter")
    finally:
        gc.enable()
    yield from events


def followed(events: Iterator[Event], bar: Bar | None) -> Iterator[Event]:
    """Show events, and pass them on."""
    for event in events:
        if bar is not None:
            bar.show(event)
        yield event


def say(words: str) -> None:
    """Print a line for the person."""
    CONSOLE.print(words, markup=False)


def summary(result: Result, outputs: Outputs) -> None:
    """Say how long the picture took and what else was written."""
    height, width = result.picture.shape[:2]
    say(
        f"{width} x {height} px, {counted(len(result.history), 'evaluation')} "
        f"in {result.seconds['total']:.1f} s on {result.backend}, {result.precision}"
    )
    for path in (outputs.report, outputs.plot, outputs.timelapse, outputs.frames):
        if path:
            say(f"{path}")


def weights_table(rows: list[tuple[str, ...]], engine: str) -> None:
    """Print network, source in use, SHA-256 and license, and the engine, on stdout."""
    table = Table(show_header=False, box=None, pad_edge=False)
    names = ("network", "source", "sha256", "license")
    for row in rows:
        for name, value in zip(names, row, strict=True):
            table.add_row(name, Text(value, overflow="fold"))
    table.add_row("engine", Text(engine, overflow="fold"))
    Console().print(table)


def presets_table(rows: list[tuple[str, str, str]], user_file: Path) -> None:
    """Print every preset's name, what it is for and what it sets, on stdout."""
    console = Console(highlight=False)
    for name, words, settings in rows:
        console.print(Text(name, style="bold"))
        for line in filter(None, (words, settings)):
            console.print(Padding(Text(line), (0, 0, 0, 4)))
    console.print(Text(f"Your own go into {user_file}, or any file named with --presets."))
