"""A bar for whoever watches a painting, at a terminal or in a notebook. Rich."""

import contextlib
import time
from collections.abc import Iterable, Iterator

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

from impasto.optimizers.solver import Reason
from impasto.painting.events import Happening, LevelFinished, LevelStarted, Step
from impasto.painting.pyramid import Level


class Bar:
    """Level, evaluations, losses and time left, of one picture or of several in a row."""

    def __init__(self, bar: Progress, count: int) -> None:
        """Write into ``bar``, for ``count`` pictures."""
        self.bar, self.count, self.number = bar, count, -1
        self.task = bar.add_task("loading the network", total=count, losses="", left="")
        self.begin("", ())

    def begin(self, name: str, levels: tuple[Level, ...]) -> None:
        """Begin the next picture."""
        self.number += bool(levels)
        self.levels, self.left = levels, TimeLeft(levels)
        self.of = f"{self.number + 1}/{self.count} {name} " if self.count > 1 else ""

    def show(self, event: object) -> None:
        """Show what happened."""
        if isinstance(event, LevelStarted | Step | LevelFinished):
            self.left.note(event)
        if isinstance(event, Step):
            level = self.levels[event.level - 1]
            terms = " ".join(f"{name} {value:.2g}" for name, value in event.terms.items())
            self.bar.update(
                self.task,
                description=f"{self.of}level {event.level}/{len(self.levels)} "
                f"evaluation {event.evaluation}/{level.evaluations}",
                completed=self.number + self.left.done / work(self.levels),
                losses=f"loss {event.total:.3g} {terms}",
                left=self.left.told(),
            )
        if isinstance(event, LevelFinished) and event.reason is not Reason.BUDGET:
            self.bar.console.print(
                f"level {event.level}: {event.reason} after {event.evaluations} evaluations",
                markup=False,
            )


@contextlib.contextmanager
def shown(console: Console | None = None, count: int = 1) -> Iterator[Bar]:
    """Show a bar for so many pictures, where there is a terminal or a notebook to show it."""
    console = console or Console(highlight=False, soft_wrap=True)
    bar = Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=8),
        TextColumn("{task.fields[left]}"),
        TextColumn("{task.fields[losses]}"),
        console=console,
        transient=True,
        disable=not (console.is_terminal or console.is_jupyter),
    )
    with bar:
        yield Bar(bar, count)


def work(levels: Iterable[Level]) -> float:
    """Return the pixels to be evaluated, which is what time goes with."""
    return float(sum(level.height * level.width * level.evaluations for level in levels))


class TimeLeft:
    """Time left, by the pixels evaluated so far and what those of the running level took."""

    def __init__(self, levels: tuple[Level, ...]) -> None:
        """Begin before the first level."""
        self.levels = levels
        self.done = 0.0
        self.at_level_start = time.perf_counter()
        self.done_before_level = 0.0
        self.done_before_here: float | None = None  # where the work was gone on with, or began

    def note(self, event: Happening) -> None:
        """Take note of what happened."""
        if isinstance(event, LevelStarted):
            self.at_level_start = time.perf_counter()
            self.done_before_level = self.done = work(self.levels[: event.level - 1])
            self.done_before_here = None
        elif isinstance(event, Step):
            level = self.levels[event.level - 1]
            pixels = level.height * level.width
            self.done = self.done_before_level + pixels * event.evaluation
            if self.done_before_here is None:
                self.done_before_here = self.done - pixels

    def told(self) -> str:
        """Return the time left, in words; nothing before the first evaluation."""
        if self.done_before_here is None:
            return ""
        here = self.done - self.done_before_here
        seconds = (
            (time.perf_counter() - self.at_level_start) / here * (work(self.levels) - self.done)
        )
        return f"{seconds:.0f} s left" if seconds < 90 else f"{seconds / 60:.1f} min left"
