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

from impasto.errors import counted
from impasto.optimizers.solver import Reason
from impasto.painting.events import Happening, LevelFinished, LevelStarted, Step
from impasto.painting.pyramid import Level

BAR, WIDE_BAR, WIDE = 20, 40, 100
"""Columns of the bar, of the bar on a wide terminal, and of the narrowest wide terminal."""


class Bar:
    """Shows level, share done and time left, of one picture or of several in a row."""

    def __init__(self, bar: Progress, count: int, losses: bool = False) -> None:
        """Write into ``bar``, for ``count`` pictures; ``losses`` prints those of every step."""
        self.bar, self.count, self.losses = bar, count, losses
        self.ended = 0
        self.task = bar.add_task("loading the network", total=count, name="", left="")
        self.begin("", ())

    def begin(
        self, name: str, levels: tuple[Level, ...], seconds: Sequence[float] | None = None
    ) -> None:
        """Begin a picture; ``seconds`` is what each of its levels is expected to take."""
        self.levels, self.left = levels, TimeLeft(levels, seconds)
        self.name = f"{self.ended + 1}/{self.count} {name}" if self.count > 1 else ""

    def end(self) -> None:
        """End a picture: painted, skipped or failed."""
        self.ended += 1
        self.bar.update(self.task, completed=self.ended)

    def show(self, event: object) -> None:
        """Show an event."""
        if isinstance(event, LevelStarted | Step | LevelFinished):
            self.left.note(event)
        if isinstance(event, Step):
            self._step(event)
        if isinstance(event, LevelFinished) and event.reason is not Reason.BUDGET:
            self._print(
                f"level {event.level}: {event.reason} after "
                f"{counted(event.evaluations, 'evaluation')}"
            )

    def _step(self, event: Step) -> None:
        level = self.levels[event.level - 1]
        of_level = f", evaluation {event.evaluation}/{level.evaluations}"
        self.bar.update(
            self.task,
            name=self.name,
            description=f"level {event.level}/{len(self.levels)}"
            f"{of_level if self.count == 1 else ''}",
            completed=self.ended + self.left.share,
            left=self.left.told(further=self.count - self.ended - 1),
        )
        if self.losses:
            terms = ", ".join(f"{name} {value:.3g}" for name, value in event.terms.items())
            self._print(
                f"level {event.level}, evaluation {event.evaluation}: "
                f"loss {event.total:.4g} ({terms})"
            )

    def _print(self, line: str) -> None:
        self.bar.console.print(line, markup=False)


class _Name(ProgressColumn):
    """A picture's name, which is shortened before anything else is."""

    def render(self, task: Task) -> Text:
        return Text(task.fields["name"], no_wrap=True, overflow="ellipsis")


@contextlib.contextmanager
def shown(console: Console | None = None, count: int = 1, losses: bool = False) -> Iterator[Bar]:
    """Show a bar for ``count`` pictures, where there is a terminal or a notebook to show it.

    ``losses`` prints the losses of every evaluation, a line each.
    """
    console = console or Console(highlight=False, soft_wrap=True)
    width = WIDE_BAR if console.width >= WIDE else BAR
    fixed = Column(no_wrap=True)
    bar = Progress(
        SpinnerColumn(),
        *([_Name()] if count > 1 else []),
        TextColumn("{task.description}", table_column=fixed.copy()),
        BarColumn(bar_width=width, table_column=fixed.copy()),
        TaskProgressColumn(table_column=fixed.copy()),
        TextColumn("{task.fields[left]}", table_column=fixed.copy()),
        console=console,
        transient=True,
        disable=not (console.is_terminal or console.is_jupyter),
    )
    with bar:
        yield Bar(bar, count, losses)


def work(levels: Iterable[Level]) -> float:
    """Return the pixels to be evaluated, which the time is about proportional to."""
    return float(sum(level.height * level.width * level.evaluations for level in levels))


class TimeLeft:
    """Share done and time left, from the speed so far.

    Each level counts with the seconds that it is expected to take. Without an expectation it
    counts with its pixels, and the speed is that of the level under way, once that is known. The
    first evaluation of a level, which may compile, says nothing about the speed.
    """

    def __init__(self, levels: Sequence[Level], expected: Sequence[float] | None = None) -> None:
        """Begin before the first level; ``expected`` is the seconds of each level."""
        self.levels = levels
        self.measured = expected is not None
        self.costs = tuple(expected or ()) or tuple(work([level]) for level in levels)
        self.done = 0.0
        self.took = self.did = 0.0
        """seconds and cost of the evaluations that say how fast it is"""
        self.pace: float | None = None
        """seconds for a cost of 1"""
        self.last: float | None = None
        """when the evaluation before ended, within a level"""

    @property
    def share(self) -> float:
        """Return the share of the picture that is done, 0 to 1."""
        return self.done / max(sum(self.costs), 1e-12)

    def note(self, event: Happening) -> None:
        """Take note of an event."""
        if isinstance(event, LevelStarted):
            self.done, self.last = sum(self.costs[: event.level - 1]), None
            if not self.measured:
                self.took = self.did = 0.0
        elif isinstance(event, Step):
            each = self.costs[event.level - 1] / self.levels[event.level - 1].evaluations
            self.done = sum(self.costs[: event.level - 1]) + each * event.evaluation
            now = time.perf_counter()
            if self.last is not None:
                self.took, self.did = self.took + now - self.last, self.did + each
                self.pace = self.took / self.did
            self.last = now

    def seconds(self, further: int = 0) -> float | None:
        """Return the seconds left, with ``further`` such pictures; None before it can be said."""
        left = sum(self.costs) * (1 + further) - self.done
        if self.measured:  # the speed so far counts the more, the longer it was observed
            return left * (self.took + CONFIDENCE) / (self.did + CONFIDENCE)
        return None if self.pace is None else left * self.pace

    def told(self, further: int = 0) -> str:
        """Return the time left in words; empty before it can be said."""
        seconds = self.seconds(further)
        return "" if seconds is None else f"{in_words(seconds)} left"


CONFIDENCE = 5.0
"""Seconds of work after which the speed so far counts as much as what was expected."""


def in_words(seconds: float) -> str:
    """Return a duration in words.

    >>> in_words(8.2), in_words(250), in_words(9000)
    ('8 s', '4 min', '2.5 h')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
