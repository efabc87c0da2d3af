"""What a person at the terminal sees while a picture is painted. Rich, on stderr."""

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.padding import Padding
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn
from rich.table import Table
from rich.text import Text

from impasto.optimizers.solver import Reason
from impasto.painting.events import Event, LevelFinished, LevelStarted, Step
from impasto.painting.pyramid import Level

if TYPE_CHECKING:
    from impasto.painting.checkpoints import Checkpoint
    from impasto.painting.climb import Result
    from impasto.workshop.outputs import Outputs

_console = Console(stderr=True, highlight=False, soft_wrap=True)

Show = Callable[[Event], None]


def say(words: str) -> None:
    """Print a line for the person."""
    _console.print(words, markup=False)


@contextlib.contextmanager
def shown(levels: tuple[Level, ...], quiet: bool) -> Iterator[Show]:
    """Show a bar with level, evaluations, losses and time left; yield what moves it."""
    with shown_many(1, quiet) as begin:
        yield begin(0, "", levels)


@contextlib.contextmanager
def shown_many(count: int, quiet: bool) -> Iterator[Callable[[int, str, tuple[Level, ...]], Show]]:
    """Show one bar for several pictures; yield what begins one, by number, name and levels."""
    if quiet:
        yield lambda number, name, levels: lambda event: None
        return
    bar = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=8),
        TextColumn("{task.fields[left]}"),
        TextColumn("{task.fields[losses]}"),
        console=_console,
        transient=True,
        disable=not _console.is_terminal,
    )
    task = bar.add_task("loading the network", total=count, losses="", left="")

    def begin(number: int, name: str, levels: tuple[Level, ...]) -> Show:
        forecast = _Forecast(levels)
        of = f"{number + 1}/{count} {name} " if count > 1 else ""

        def show(event: Event) -> None:
            forecast.note(event)
            if isinstance(event, Step):
                level = levels[event.level - 1]
                terms = " ".join(f"{name} {value:.2g}" for name, value in event.terms.items())
                bar.update(
                    task,
                    description=f"{of}level {event.level}/{len(levels)} "
                    f"evaluation {event.evaluation}/{level.evaluations}",
                    completed=number + forecast.done / _work(levels),
                    losses=f"loss {event.total:.3g} {terms}",
                    left=forecast.left(),
                )
            if isinstance(event, LevelFinished) and event.reason is not Reason.BUDGET:
                say(f"level {event.level}: {event.reason} after {event.evaluations} evaluations")

        return show

    with bar:
        yield begin


def _work(levels: tuple[Level, ...]) -> float:
    """Return the pixels to be evaluated, which is what time goes with."""
    return float(sum(level.height * level.width * level.evaluations for level in levels))


class _Forecast:
    """Time left, by the pixels evaluated so far and what those of the running level took."""

    def __init__(self, levels: tuple[Level, ...]) -> None:
        self.levels = levels
        self.done = 0.0
        self.at_level_start = time.perf_counter()
        self.done_before_level = 0.0
        self.done_before_here: float | None = None  # where the work was gone on with, or began

    def note(self, event: Event) -> None:
        if isinstance(event, LevelStarted):
            self.at_level_start = time.perf_counter()
            self.done_before_level = self.done = _work(self.levels[: event.level - 1])
            self.done_before_here = None
        elif isinstance(event, Step):
            level = self.levels[event.level - 1]
            pixels = level.height * level.width
            self.done = self.done_before_level + pixels * event.evaluation
            if self.done_before_here is None:
                self.done_before_here = self.done - pixels

    def left(self) -> str:
        if self.done_before_here is None:
            return ""
        here = self.done - self.done_before_here
        seconds = (
            (time.perf_counter() - self.at_level_start) / here * (_work(self.levels) - self.done)
        )
        return f"{seconds:.0f} s left" if seconds < 90 else f"{seconds / 60:.1f} min left"


def resumed(checkpoint: "Checkpoint | None", outputs: "Outputs") -> None:
    """Say where a painting goes on, if it does, and what is missing for that."""
    if checkpoint is None:
        return
    say(f"goes on at level {checkpoint.level} after {len(checkpoint.history)} evaluations")
    if outputs.timelapse:
        say("the film begins here: the pictures painted before are not in it")


def shortfall(result: "Result") -> None:
    """Say why the picture is not all that it was to be, if it is not."""
    if result.stopped:
        say("stopped: this is the best picture so far")
    if result.lowered:
        last = result.levels[-1]
        say(
            f"memory ran out: painted at {last.width} x {last.height} px at most, and enlarged; "
            "free some memory, or choose a smaller --size"
        )


def summary(result: "Result", outputs: "Outputs") -> None:
    """Say how long the picture took and what else was written."""
    height, width = result.picture.shape[:2]
    say(
        f"{width} x {height} px, {len(result.history)} evaluations "
        f"in {result.seconds['total']:.1f} s on {result.backend}, {result.precision}"
    )
    for path in (outputs.report, outputs.plot, outputs.timelapse, outputs.frames):
        if path:
            say(f"{path}")


def weights_table(rows: list[tuple[str, ...]]) -> None:
    """Print network, source in use, SHA-256 and license, on stdout."""
    table = Table(show_header=False, box=None, pad_edge=False)
    names = ("network", "source", "sha256", "license")
    for row in rows:
        for name, value in zip(names, row, strict=True):
            table.add_row(name, Text(value, overflow="fold"))
    Console().print(table)


def presets_table(rows: list[tuple[str, str, str]], user_file: Path) -> None:
    """Print every preset's name, what it is for and what it sets, on stdout."""
    console = Console(highlight=False)
    for name, words, settings in rows:
        console.print(Text(name, style="bold"))
        for line in filter(None, (words, settings)):
            console.print(Padding(Text(line), (0, 0, 0, 4)))
    console.print(Text(f"Your own go into {user_file}, or any file named with --presets."))
