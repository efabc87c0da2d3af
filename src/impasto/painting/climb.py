"""The loop over the levels, from coarse to fine: a generator of events, each with its state.

For each level the loop computes targets, steps a solver on the loss, and initializes the next level
from the result. The caller stops the run by no longer iterating; :func:`finished` computes the
image of any state.
"""

import time
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TypeAlias

import numpy as np

from impasto import filearray
from impasto.compute import threads
from impasto.compute.arrays import Array, ran_out_of_memory, to_numpy
from impasto.images import arrays, colors, masks
from impasto.images.arrays import ImageArray
from impasto.images.style_regions import resize_regions
from impasto.losses import objective
from impasto.losses.kinds import FORMS, Kind
from impasto.losses.matching import share_of_painting
from impasto.optimizers.parametrization import highpass
from impasto.optimizers.solver import SolverProgress, StopReason
from impasto.optimizers.solver import SolverState as SolverState
from impasto.optimizers.solvers import SOLVERS
from impasto.painting import pyramid
from impasto.painting.controls import Controls
from impasto.painting.events import (
    Happening,
    LevelFinished,
    LevelStarted,
    Record,
    State,
    Step,
    steered,
)
from impasto.painting.inputs import Inputs, start
from impasto.painting.memory import WHOLE, Plan
from impasto.painting.models import Model, Sharing
from impasto.painting.provenance import Provenance
from impasto.painting.pyramid import Level
from impasto.recipe.settings import Recipe

Climbing: TypeAlias = Generator[Happening, None, State]
"""Yields events, and returns the state after the last one."""


@dataclass(frozen=True)
class Job:
    """One run: engine, inputs, recipe, and how tiles are processed."""

    model: Model
    inputs: Inputs
    recipe: Recipe
    plan: Plan = WHOLE
    """the tiles to use"""
    sharing: Sharing | None = None
    """distributes tiles to workers"""
    _resized: dict[tuple[int, int], ImageArray] = field(default_factory=dict, compare=False)
    """the latest result of :meth:`content`"""

    @cached_property
    def levels(self) -> tuple[Level, ...]:
        """The levels, coarsest first."""
        return pyramid.schedule(*arrays.size_of(self.inputs.content), self.recipe)

    def content(self, size: tuple[int, int]) -> ImageArray:
        """Return the content image at a size; the latest one is kept."""
        if size not in self._resized:
            self._resized.clear()
            self._resized[size] = arrays.resize(self.inputs.content, *size)
        return self._resized[size]

    def placed(self, array: ImageArray) -> Array:
        """Return an array on the device of the solver: a GPU, unless it supports only NumPy."""
        if self.recipe.optimizer != "lbfgs":
            array = filearray.in_memory(array)
        if self.recipe.optimizer == "scipy":
            return array
        return self.model.engine.place_image(array)

    def objective(
        self,
        content: ImageArray,
        style: float = 1.0,
        start: ImageArray | None = None,
        kind: Kind = FORMS,
    ) -> objective.Objective:
        """Return the objective of a level, with its targets.

        Args:
            content: the content image at the size of the level
            style: factor on the style weight
            start: the initial image of the level; None at the first level
            kind: the role of the level
        """
        size = arrays.size_of(content)
        regions = resize_regions(self.inputs.regions, *size)
        painting = self.model.of_levels(self.recipe, kind)
        eye = painting.eye(self.plan.tile)
        frozen = objective.freeze(eye, self.recipe, content, regions, style, start, kind)
        task = painting.objective(frozen, self.plan.keep, self.sharing)
        if self.inputs.gray:
            task = objective.Gray(task)
        if self.inputs.keep is not None:
            keep = masks.resize_mask(self.inputs.keep, *size)[..., None]
            task = objective.Kept(task, self.placed(content), self.placed(keep))
        if kind.sharpens:
            task = objective.Detail(task, highpass(self.placed(content), pyramid.DETAIL))
        return task

    def shown(self, picture: ImageArray) -> ImageArray:
        """Return an image with kept regions and colors of the content image applied."""
        if self.recipe.colors != "content" and self.inputs.keep is None:
            return picture
        size = arrays.size_of(picture)
        photograph = arrays.resize(self.inputs.photograph, *size)
        if self.recipe.colors == "content":
            picture = filearray.map_rows(colors.with_content_colors, picture, photograph)
        if self.inputs.keep is None:
            return picture
        keep = masks.resize_mask(self.inputs.keep, *size)[..., None]
        return masks.blend_kept(keep, photograph, picture)


class Clock:
    """Seconds since the start and by stage, including those ``before`` the run was resumed."""

    def __init__(self, before: Mapping[str, float]) -> None:
        """Start counting."""
        self.last = time.perf_counter()
        self.start = self.last - sum(before.values())
        self.stages = dict(before)

    def seconds(self) -> float:
        """Return the seconds since the start."""
        return time.perf_counter() - self.start

    def lap(self, stage: str) -> None:
        """Add the seconds since the last lap to ``stage``."""
        self.stages = self.so_far(stage)
        self.last = time.perf_counter()

    def so_far(self, stage: str) -> dict[str, float]:
        """Return the seconds by stage, with those since the last lap added to ``stage``."""
        now = time.perf_counter()
        return {**self.stages, stage: self.stages.get(stage, 0.0) + now - self.last}


def first_state(job: Job, provenance: Provenance) -> State:
    """Return the initial state of a run."""
    level = job.levels[0]
    content = job.content((level.height, level.width))
    begin = start(job.inputs, content, job.recipe)
    return State(provenance, 1, objective.without_color(begin) if job.inputs.gray else begin)


def climb(job: Job, state: State, controls: Controls, clock: Clock) -> Iterator[Happening]:
    """Run all levels from ``state`` on, and yield events.

    Each level starts from the enlarged result of the level before, or from the content image plus
    the change made there (see ``Shape.carries_picture`` in ``pyramid``). If memory runs out, the
    level is repeated in smaller tiles or at a smaller size. Raises MemoryError if no smaller size
    is possible.
    """
    while True:
        level = job.levels[state.level - 1]
        state = yield from _paint_level(job, level, state, controls, clock)
        job = replace(job, recipe=steered(job.recipe, state.provenance.recipe))
        if (tile := state.provenance.recipe.tile) != job.plan.tile:
            job = replace(job, plan=Plan(tile, keep=False))
        if state.stopped or state.lowered or state.level == len(job.levels):
            return
        state = _next_level(job, state)


def finished(job: Job, state: State) -> ImageArray:
    """Return the best image of a state, enlarged to the size of the finest level."""
    picture = to_numpy(state.best)
    content = job.content(arrays.size_of(picture))
    for level in job.levels[state.level - 1 :]:
        picture, content = _carried_up(job, picture, content, (level.height, level.width))
    return job.shown(picture)


def _carried_up(
    job: Job, picture: ImageArray, content: ImageArray, size: tuple[int, int]
) -> tuple[ImageArray, ImageArray]:
    """Return an image and its content image at another size."""
    if arrays.size_of(picture) == size:
        return picture, content
    there = job.content(size)
    changed = arrays.upsample_residual(picture, content, there)
    if not pyramid.shape_of(job.recipe).carries_picture:
        return changed, there
    # Detail of the content image is added in proportion to its share of the targets.
    share = np.float32(share_of_painting(job.recipe.strength))
    return share * arrays.resize(picture, *size) + (1 - share) * changed, there


def _next_level(job: Job, state: State) -> State:
    best = to_numpy(state.best)
    level = job.levels[state.level]
    content = job.content(arrays.size_of(best))
    picture, _ = _carried_up(job, best, content, (level.height, level.width))
    solver = state.solver
    assert solver is not None  # the level has ended
    assert not isinstance(solver, Mapping)
    learned = SOLVERS[job.recipe.optimizer].curvature_scale(solver)
    return replace(state, level=level.number, picture=picture, solver=None, learned=learned)


def _paint_level(
    job: Job, level: Level, state: State, controls: Controls, clock: Clock
) -> Climbing:
    """Run a level; repeat it smaller if memory runs out."""
    try:
        for event in _steps(job, level, state, controls, clock):
            assert event.state is not None  # None only for levels listed in a state
            state = event.state
            yield event
        return state
    except Exception as error:
        if not ran_out_of_memory(error):
            raise
    # Outside the handler, since the exception keeps the large arrays alive.
    threads.give_back_freed_memory()
    return (yield from _paint_smaller(job, level, state, controls, clock))


def _paint_smaller(
    job: Job, level: Level, state: State, controls: Controls, clock: Clock
) -> Climbing:
    """Continue from the best image in smaller tiles, or at a smaller size."""
    narrower = job.plan.narrower(max(level.height, level.width))
    if narrower is not None:
        return (
            yield from _paint_level(
                replace(job, plan=narrower), level, _again(level, state, narrower), controls, clock
            )
        )
    evaluations = sum(record.level == level.number for record in state.history)
    ended = LevelFinished(
        level.number, level.height, level.width, evaluations, 0.0, StopReason.MEMORY
    )
    best = to_numpy(state.best)
    painted = [each for each in state.levels if each.reason is not StopReason.MEMORY]
    pixels = max((each.height * each.width for each in painted), default=0)
    state = replace(state, picture=best, solver=None, levels=(*state.levels, ended), lowered=True)
    yield ended.with_state(state)
    smaller = pyramid.lower(level, pixels)
    if smaller is None:
        if not state.history:
            raise MemoryError
        return state
    content = job.content(arrays.size_of(best))
    picture, _ = _carried_up(job, best, content, (smaller.height, smaller.width))
    state = replace(state, picture=picture)
    return (yield from _paint_level(job, smaller, state, controls, clock))


def _again(level: Level, state: State, plan: Plan) -> State:
    """Return the state that restarts a level from its best image, with other tiles."""
    recipe = replace(state.provenance.recipe, tile=plan.tile)
    return replace(
        state,
        provenance=replace(state.provenance, recipe=recipe),
        picture=to_numpy(state.best),
        solver=None,
        history=tuple(each for each in state.history if each.level < level.number),
    )


def _steps(
    job: Job, level: Level, state: State, controls: Controls, clock: Clock
) -> Iterator[Happening]:
    """Compute the targets of a level, then step its solver."""
    content = job.content((level.height, level.width))
    start = state.picture if level.follows else None
    task = job.objective(content, level.style, start, level.kind)
    threads.give_back_freed_memory()  # evaluations allocate other sizes than targets
    clock.lap("targets")
    solver, begin = SOLVERS[job.recipe.optimizer], job.placed(state.picture)
    if isinstance(state.solver, Mapping):
        found, began = solver.from_arrays(state.solver, begin, level.evaluations), state.began
    else:
        found = solver.begin(begin, level.evaluations, state.learned)
        began = clock.seconds()
    state = replace(state, solver=found, began=began, seconds=clock.so_far("painting"))
    yield LevelStarted(
        level.number, len(job.levels), level.height, level.width, level.evaluations, state
    )
    while found.progress.reason is None and not controls.stopped:
        if (recipe := controls.changed(job.recipe)) != job.recipe:
            anew = recipe.strength != job.recipe.strength and recipe.strength_in_targets
            # Levels without structure have no content target while its weight is 0.
            anew |= level.kind != FORMS and recipe.content_weight > job.recipe.content_weight == 0
            job = replace(job, recipe=recipe)
            level = job.levels[level.number - 1]
            state = replace(state, provenance=state.provenance.steered_to(recipe))
            if anew:
                task = job.objective(content, level.style, start, level.kind)
            else:
                task = task.weighed(objective.weights(recipe, level.style))
            found = solver.rebind(found, level.evaluations)
            continue
        seen = found.progress.evaluations
        found = solver.step(task.evaluate, found)
        if found.progress.evaluations > seen:
            state = _recorded(state, level, found, clock)
            yield _step(job, state)
    yield _ended(level, state, found.progress, controls.stopped, clock)


def _recorded(state: State, level: Level, found: SolverState, clock: Clock) -> State:
    """Return the state after an evaluation."""
    evaluation = found.progress.evaluation
    assert isinstance(evaluation, objective.Evaluation)
    record = Record(
        level.number, total=evaluation.total, seconds=clock.seconds(), **evaluation.terms
    )
    return replace(
        state,
        solver=found,
        history=(*state.history, record),
        seconds=clock.so_far("painting"),
    )


def _step(job: Job, state: State) -> Step:
    """Return the event of the last evaluation."""
    record = state.history[-1]
    assert state.solver is not None
    assert not isinstance(state.solver, Mapping)
    progress = state.solver.progress
    terms = {name: getattr(record, name) for name in objective.TERMS}
    return Step(
        record.level,
        progress.evaluations,
        record.total,
        terms,
        record.seconds,
        state,
        lambda: filearray.in_memory(job.shown(to_numpy(progress.point))),
    )


def _ended(
    level: Level, state: State, progress: SolverProgress, stopped: bool, clock: Clock
) -> LevelFinished:
    """Return the event at the end of a level."""
    reason = StopReason.STOPPED if stopped else progress.reason
    assert reason is not None
    ended = LevelFinished(
        level.number,
        level.height,
        level.width,
        progress.evaluations,
        clock.seconds() - state.began,
        reason,
    )
    clock.lap("painting")
    left = replace(
        state, levels=(*state.levels, ended), stopped=stopped, seconds=clock.so_far("painting")
    )
    return ended.with_state(left)
