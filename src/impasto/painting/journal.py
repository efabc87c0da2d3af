"""The record of a painting under way: time, events, history, and the state to go on from."""

import time
from collections.abc import Callable, Mapping

from impasto.compute import backend
from impasto.compute.backend import Array
from impasto.losses import objective
from impasto.optimizers.solver import Reason
from impasto.optimizers.solvers import OPTIMIZERS, Solution, State
from impasto.painting.checkpoints import Checkpoint, Keeper
from impasto.painting.events import Event, LevelFinished, LevelStarted, Listener, Record, Step
from impasto.painting.provenance import Provenance
from impasto.painting.pyramid import Level
from impasto.pictures.raster import Picture
from impasto.recipe.settings import Recipe


class Clock:
    """Seconds since the start, and by stage; those ``before`` the work was gone on with count."""

    def __init__(self, before: Mapping[str, float]) -> None:
        self.last = time.perf_counter()
        self.start = self.last - sum(before.values())
        self.stages = dict(before)

    def seconds(self) -> float:
        """Return the seconds since the start."""
        return time.perf_counter() - self.start

    def lap(self, stage: str) -> None:
        """Count the seconds since the last lap to ``stage``."""
        self.stages = self.so_far(stage)
        self.last = time.perf_counter()

    def so_far(self, stage: str) -> dict[str, float]:
        """Return the seconds by stage, those since the last lap in ``stage``."""
        now = time.perf_counter()
        return {**self.stages, stage: self.stages.get(stage, 0.0) + now - self.last}


class Journal:
    """Runs levels, tells the listener, offers checkpoints, and keeps the history."""

    def __init__(
        self,
        recipe: Recipe,
        listener: Listener,
        clock: Clock,
        origin: Provenance,
        keeper: Keeper,
        before: Checkpoint | None,
    ) -> None:
        self.recipe, self.listener, self.clock = recipe, listener, clock
        self.origin, self.keeper, self.before = origin, keeper, before
        self.history: list[Record] = list(before.history if before else ())
        self.levels: list[LevelFinished] = list(before.levels if before else ())
        self.stopped = False
        self.lowered = False
        # Of the history's records, the first of the level under way.
        self._first = sum(record.level < before.level for record in self.history) if before else 0
        self._best: tuple[float, Array] | None = None

    @property
    def ended(self) -> bool:
        """Whether no further level is to be painted."""
        return self.stopped or self.lowered

    @property
    def pixels(self) -> int:
        """Return how many the largest level had that was painted."""
        painted = [each for each in self.levels if each.reason is not Reason.MEMORY]
        return max((each.height * each.width for each in painted), default=0)

    def run(
        self,
        level: Level,
        levels: int,
        task: objective.Objective,
        start: Picture,
        finished: Callable[[Picture], Picture],
    ) -> Picture:
        """Minimize; the listener is shown pictures as ``finished`` makes them."""
        before, self.before = self.before, None
        began = before.began if before else self.clock.seconds()
        state = before.state if before else None

        def offer(state: Callable[[], State | None]) -> None:
            self._offer(level, start, began, state)

        offer(lambda: state)
        self._tell(LevelStarted(level.number, levels, level.height, level.width, level.evaluations))
        solution = self._minimize(level, task, start, finished, state, offer)
        ended = LevelFinished(
            level.number,
            level.height,
            level.width,
            solution.evaluations,
            self.clock.seconds() - began,
            Reason.STOPPED if self.stopped else solution.reason,
        )
        self._end(ended)
        return backend.to_numpy(solution.point)

    def _end(self, ended: LevelFinished) -> None:
        self.levels.append(ended)
        self._tell(ended)
        self._first, self._best = len(self.history), None

    def ran_out_of_memory(self, level: Level, start: Picture) -> Picture:
        """Note that a level did not fit into memory; return the best picture of its size.

        What is offered from now on would not be the recipe's own levels: the state kept is the
        last one before, which goes on at the full size where there is more memory.
        """
        self.lowered, self.keeper = True, Keeper()
        best = start if self._best is None else backend.to_numpy(self._best[1])
        evaluations = len(self.history) - self._first
        self._end(
            LevelFinished(level.number, level.height, level.width, evaluations, 0.0, Reason.MEMORY)
        )
        return best

    def _offer(
        self, level: Level, start: Picture, began: float, state: Callable[[], State | None]
    ) -> None:
        """Offer the checkpoint of this moment, which is put together only if it is asked for."""
        seen, levels = len(self.history), tuple(self.levels)
        seconds = self.clock.so_far("painting")
        self.keeper.offer(
            lambda: Checkpoint(
                provenance=self.origin,
                level=level.number,
                picture=start,
                state=state(),
                history=tuple(self.history[:seen]),
                levels=levels,
                seconds=seconds,
                began=began,
            )
        )

    def _minimize(
        self,
        level: Level,
        task: objective.Objective,
        start: Picture,
        finished: Callable[[Picture], Picture],
        before: State | None,
        offer: Callable[[Callable[[], State]], None],
    ) -> Solution:
        terms: Mapping[str, float] = {}

        def function(picture: Array) -> tuple[float, Array]:
            nonlocal terms
            evaluation = task.evaluate(picture)
            terms = evaluation.terms
            return evaluation.total, evaluation.gradient

        def on_step(picture: Array, total: float) -> bool:
            seconds = self.clock.seconds()
            self.history.append(Record(level.number, total=total, seconds=seconds, **terms))
            number = len(self.history) - self._first
            if self._best is None or total < self._best[0]:
                self._best = total, picture
            shown = finished(backend.to_numpy(picture))
            self._tell(Step(level.number, number, total, terms, seconds, shown))
            return not self.stopped

        minimize = OPTIMIZERS[self.recipe.optimizer]
        point = backend.to_device(start)
        return minimize(function, point, level.evaluations, on_step, before, offer)

    def _tell(self, event: Event) -> None:
        if self.listener(event) is False:
            self.stopped = True
