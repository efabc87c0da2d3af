"""A progress bar for a terminal or a notebook, with the time left. By Rich."""

import contextlib
import time
from collections.abc import Iterable, Iterator, Sequence

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskProgressColumn,
    TextColumn,
)
from rich.table import Column
from rich.text import Text

from impasto.errors import pluralize
from impasto.optimizers.solver import StopReason
from impasto.pipeline.events import LevelFinished, LevelStarted, ProgressEvent, Step
from impasto.pipeline.pyramid import Level

BAR, WIDE_BAR, WIDE = 20, 40, 100
"""Width of the bar, width of the bar on a wide terminal, and minimum width of a wide terminal."""


class ProgressBar:
    """Shows level, progress and time left, for one image or several."""

    def __init__(self, bar: Progress, count: int, losses: bool = False) -> None:
        """Write to ``bar``, for ``count`` images; ``losses`` prints those of each step."""
        self.bar, self.count, self.losses = bar, count, losses
        self.ended = 0
        self.task = bar.add_task("loading the network", total=count, name="", left="")
        self.begin("", ())

    def begin(
        self, name: str, levels: tuple[Level, ...], seconds: Sequence[float] | None = None
    ) -> None:
        """Start an image; ``seconds`` are the expected seconds of its levels."""
        self.levels, self.left = levels, TimeEstimate(levels, seconds)
        self.name = f"{self.ended + 1}/{self.count} {name}" if self.count > 1 else ""

    def end(self) -> None:
        """End an image: done, skipped or failed."""
        self.ended += 1
        self.bar.update(self.task, completed=self.ended)

    def show(self, event: object) -> None:
        """Show an event."""
        if isinstance(event, LevelStarted | Step | LevelFinished):
            self.left.note(event)
        if isinstance(event, Step):
            self._step(event)
        if isinstance(event, LevelFinished) and event.reason is not StopReason.BUDGET:
            self._print(
                f"level {event.level}: {event.reason} after "
                f"{pluralize(event.evaluations, 'evaluation')}"
            )

    def _step(self, event: Step) -> None:
        level = self.levels[event.level - 1]
        of_level = f", evaluation {event.evaluation}/{level.evaluations}"
        self.bar.update(
            self.task,
            name=self.name,
            description=f"level {event.level}/{len(self.levels)}"
            f"{of_level if self.count == 1 else ''}",
            completed=self.ended + self.left.progress,
            left=self.left.in_words(further=self.count - self.ended - 1),
        )
        if self.losses:
            terms = ", ".join(f"{name} {value:.3g}" for name, value in event.terms.items())
            self._print(
                f"level {event.level}, evaluation {event.evaluation}: "
                f"loss {event.total:.4g} ({terms})"
            )

    def _print(self, line: str) -> None:
        self.bar.console.print(line, markup=False)


class _NameColumn(ProgressColumn):
    """The column with the name of an image, which is shortened first."""

    def render(self, task: Task) -> Text:
        return Text(task.fields["name"], no_wrap=True, overflow="ellipsis")


@contextlib.contextmanager
def progress_bar(
    console: Console | None = None, count: int = 1, losses: bool = False
) -> Iterator[ProgressBar]:
    """Show a bar for ``count`` images, if there is a terminal or a notebook.

    ``losses`` prints the losses of each evaluation on a line.
    """
    console = console or Console(highlight=False, soft_wrap=True)
    width = WIDE_BAR if console.width >= WIDE else BAR
    fixed = Column(no_wrap=True)
    bar = Progress(
        SpinnerColumn(),
        *([_NameColumn()] if count > 1 else []),
        TextColumn("{task.description}", table_column=fixed.copy()),
        BarColumn(bar_width=width, table_column=fixed.copy()),
        TaskProgressColumn(table_column=fixed.copy()),
        TextColumn("{task.fields[left]}", table_column=fixed.copy()),
        console=console,
        transient=True,
        disable=not (console.is_terminal or console.is_jupyter),
    )
    with bar:
        yield ProgressBar(bar, count, losses)


def total_pixels(levels: Iterable[Level]) -> float:
    """Return the number of evaluated pixels, to which the time is about proportional."""
    return float(sum(level.height * level.width * level.evaluations for level in levels))


class TimeEstimate:
    """Progress and time left, from the speed so far.

    Each level is weighted by its expected seconds. Without a forecast it is weighted by its pixels,
    and the speed is that of the current level, once known. The first evaluation of a level, which
    may compile, is ignored.
    """

    def __init__(self, levels: Sequence[Level], expected: Sequence[float] | None = None) -> None:
        """Start before the first level; ``expected`` are the seconds of the levels."""
        self.levels = levels
        self.measured = expected is not None
        self.costs = tuple(expected or ()) or tuple(total_pixels([level]) for level in levels)
        self.done = 0.0
        """cost of the evaluations so far"""
        self.timed_seconds = self.timed_cost = 0.0
        """seconds and cost of the evaluations from which the speed is computed"""
        self.seconds_per_cost: float | None = None
        self.last_end: float | None = None
        """end of the evaluation before, within a level"""

    @property
    def progress(self) -> float:
        """Return the progress of the image, 0 to 1."""
        return self.done / max(sum(self.costs), 1e-12)

    def note(self, event: ProgressEvent) -> None:
        """Record an event."""
        if isinstance(event, LevelStarted):
            self.done, self.last_end = sum(self.costs[: event.level - 1]), None
            if not self.measured:
                self.timed_seconds = self.timed_cost = 0.0
        elif isinstance(event, Step):
            each = self.costs[event.level - 1] / self.levels[event.level - 1].evaluations
            self.done = sum(self.costs[: event.level - 1]) + each * event.evaluation
            now = time.perf_counter()
            if self.last_end is not None:
                self.timed_seconds += now - self.last_end
                self.timed_cost += each
                self.seconds_per_cost = self.timed_seconds / self.timed_cost
            self.last_end = now

    def seconds(self, further: int = 0) -> float | None:
        """Return the seconds left, including ``further`` such images; None if unknown."""
        left = sum(self.costs) * (1 + further) - self.done
        if self.measured:  # the longer the run, the more its own speed counts
            return left * (self.timed_seconds + CONFIDENCE) / (self.timed_cost + CONFIDENCE)
        return None if self.seconds_per_cost is None else left * self.seconds_per_cost

    def in_words(self, further: int = 0) -> str:
        """Return the time left in words; empty if unknown."""
        seconds = self.seconds(further)
        return "" if seconds is None else f"{format_duration(seconds)} left"


CONFIDENCE = 5.0
"""Seconds after which the speed so far has the same weight as the forecast."""


def format_duration(seconds: float) -> str:
    """Return a duration in words.

    >>> format_duration(8.2), format_duration(250), format_duration(9000)
    ('8 s', '4 min', '2.5 h')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
