"""The loop over the levels, from coarse to fine: a generator of events, each with its state.

For each level the loop computes targets, steps a solver on the loss, and initializes the next level
from the result. The caller stops the run by no longer iterating; :func:`final_image` computes the
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
from impasto.losses.level_roles import STRUCTURE, LevelRole
from impasto.losses.matching import style_fraction
from impasto.optimizers.parametrization import highpass
from impasto.optimizers.solver import SolverProgress, StopReason
from impasto.optimizers.solver import SolverState as SolverState
from impasto.optimizers.solvers import SOLVERS
from impasto.pipeline import pyramid
from impasto.pipeline.controls import Controls
from impasto.pipeline.events import (
    LevelFinished,
    LevelStarted,
    ProgressEvent,
    RunState,
    Step,
    StepRecord,
    with_steered_settings,
)
from impasto.pipeline.inputs import Inputs, start_image
from impasto.pipeline.memory import WHOLE_IMAGE, TilePlan
from impasto.pipeline.models import DistributeTiles, Model
from impasto.pipeline.provenance import Provenance
from impasto.pipeline.pyramid import Level
from impasto.recipe.settings import Recipe

LevelEvents: TypeAlias = Generator[ProgressEvent, None, RunState]
"""Yields events, and returns the state after the last one."""


@dataclass(frozen=True)
class Run:
    """One run: engine, inputs, recipe, and how tiles are processed."""

    model: Model
    inputs: Inputs
    recipe: Recipe
    plan: TilePlan = WHOLE_IMAGE
    """the tiles to use"""
    distribute: DistributeTiles | None = None
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

    def place_image(self, array: ImageArray) -> Array:
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
        role: LevelRole = STRUCTURE,
    ) -> objective.Objective:
        """Return the objective of a level, with its targets.

        Args:
            content: the content image at the size of the level
            style: factor on the style weight
            start: the initial image of the level; None at the first level
            role: the role of the level
        """
        size = arrays.size_of(content)
        regions = resize_regions(self.inputs.regions, *size)
        program = self.model.level_program(self.recipe, role)
        extractor = program.feature_extractor(self.plan.tile)
        targets = objective.make_level_targets(
            extractor, self.recipe, content, regions, style, start, role
        )
        task = program.objective(targets, self.plan.keep_targets, self.distribute)
        if self.inputs.gray:
            task = objective.GrayObjective(task)
        if self.inputs.keep is not None:
            keep = masks.resize_mask(self.inputs.keep, *size)[..., None]
            task = objective.MaskedObjective(
                task, self.place_image(content), self.place_image(keep)
            )
        if role.detail:
            task = objective.HighpassObjective(
                task, highpass(self.place_image(content), pyramid.DETAIL_WAVELENGTH)
            )
        return task

    def finish_image(self, image: ImageArray) -> ImageArray:
        """Return an image with kept regions and colors of the content image applied."""
        if self.recipe.colors != "content" and self.inputs.keep is None:
            return image
        size = arrays.size_of(image)
        content = arrays.resize(self.inputs.original, *size)
        if self.recipe.colors == "content":
            image = filearray.map_rows(colors.with_content_colors, image, content)
        if self.inputs.keep is None:
            return image
        keep = masks.resize_mask(self.inputs.keep, *size)[..., None]
        return masks.blend_kept(keep, content, image)


class StageTimer:
    """Seconds since the start and by stage, including those ``before`` the run was resumed."""

    def __init__(self, before: Mapping[str, float]) -> None:
        """Start counting."""
        self.last = time.perf_counter()
        self.start = self.last - sum(before.values())
        self.stages = dict(before)

    def seconds(self) -> float:
        """Return the seconds since the start."""
        return time.perf_counter() - self.start

    def end_stage(self, stage: str) -> None:
        """Add the seconds since the last lap to ``stage``."""
        self.stages = self.stage_seconds(stage)
        self.last = time.perf_counter()

    def stage_seconds(self, stage: str) -> dict[str, float]:
        """Return the seconds by stage, with those since the last lap added to ``stage``."""
        now = time.perf_counter()
        return {**self.stages, stage: self.stages.get(stage, 0.0) + now - self.last}


def first_state(run: Run, provenance: Provenance) -> RunState:
    """Return the initial state of a run."""
    level = run.levels[0]
    content = run.content((level.height, level.width))
    begin = start_image(run.inputs, content, run.recipe)
    return RunState(provenance, 1, objective.to_gray(begin) if run.inputs.gray else begin)


def run_levels(
    run: Run, state: RunState, controls: Controls, clock: StageTimer
) -> Iterator[ProgressEvent]:
    """Run all levels from ``state`` on, and yield events.

    Each level starts from the enlarged result of the level before, or from the content image plus
    the change made there (see ``ScheduleShape.carries_image`` in ``pyramid``). If memory runs out,
    the level is repeated in smaller tiles or at a smaller size. Raises MemoryError if no smaller
    size is possible.
    """
    while True:
        level = run.levels[state.level - 1]
        state = yield from _run_level(run, level, state, controls, clock)
        run = replace(run, recipe=with_steered_settings(run.recipe, state.provenance.recipe))
        if (tile := state.provenance.recipe.tile) != run.plan.tile:
            run = replace(run, plan=TilePlan(tile, keep_targets=False))
        if state.stopped or state.size_lowered or state.level == len(run.levels):
            return
        state = _next_level(run, state)


def final_image(run: Run, state: RunState) -> ImageArray:
    """Return the best image of a state, enlarged to the size of the finest level."""
    image = to_numpy(state.best)
    content = run.content(arrays.size_of(image))
    for level in run.levels[state.level - 1 :]:
        image, content = _upsample_result(run, image, content, (level.height, level.width))
    return run.finish_image(image)


def _upsample_result(
    run: Run, image: ImageArray, content: ImageArray, size: tuple[int, int]
) -> tuple[ImageArray, ImageArray]:
    """Return an image and its content image at another size."""
    if arrays.size_of(image) == size:
        return image, content
    there = run.content(size)
    changed = arrays.upsample_residual(image, content, there)
    if not pyramid.schedule_shape(run.recipe).carries_image:
        return changed, there
    # Detail of the content image is added in proportion to its share of the targets.
    share = np.float32(style_fraction(run.recipe.strength))
    return share * arrays.resize(image, *size) + (1 - share) * changed, there


def _next_level(run: Run, state: RunState) -> RunState:
    best = to_numpy(state.best)
    level = run.levels[state.level]
    content = run.content(arrays.size_of(best))
    image, _ = _upsample_result(run, best, content, (level.height, level.width))
    solver = state.solver
    assert solver is not None  # the level has ended
    assert not isinstance(solver, Mapping)
    learned = SOLVERS[run.recipe.optimizer].curvature_scale(solver)
    return replace(
        state, level=level.number, start_image=image, solver=None, curvature_scale=learned
    )


def _run_level(
    run: Run, level: Level, state: RunState, controls: Controls, clock: StageTimer
) -> LevelEvents:
    """Run a level; repeat it smaller if memory runs out."""
    try:
        for event in _iter_steps(run, level, state, controls, clock):
            assert event.state is not None  # None only for levels listed in a state
            state = event.state
            yield event
        return state
    except Exception as error:
        if not ran_out_of_memory(error):
            raise
    # Outside the handler, since the exception keeps the large arrays alive.
    threads.give_back_freed_memory()
    return (yield from _run_smaller(run, level, state, controls, clock))


def _run_smaller(
    run: Run, level: Level, state: RunState, controls: Controls, clock: StageTimer
) -> LevelEvents:
    """Continue from the best image in smaller tiles, or at a smaller size."""
    narrower = run.plan.narrower(max(level.height, level.width))
    if narrower is not None:
        return (
            yield from _run_level(
                replace(run, plan=narrower),
                level,
                _restart_level(level, state, narrower),
                controls,
                clock,
            )
        )
    evaluations = sum(record.level == level.number for record in state.history)
    ended = LevelFinished(
        level.number, level.height, level.width, evaluations, 0.0, StopReason.MEMORY
    )
    best = to_numpy(state.best)
    painted = [each for each in state.levels if each.reason is not StopReason.MEMORY]
    pixels = max((each.height * each.width for each in painted), default=0)
    state = replace(
        state, start_image=best, solver=None, levels=(*state.levels, ended), size_lowered=True
    )
    yield ended.with_state(state)
    smaller = pyramid.smaller_level(level, pixels)
    if smaller is None:
        if not state.history:
            raise MemoryError
        return state
    content = run.content(arrays.size_of(best))
    image, _ = _upsample_result(run, best, content, (smaller.height, smaller.width))
    state = replace(state, start_image=image)
    return (yield from _run_level(run, smaller, state, controls, clock))


def _restart_level(level: Level, state: RunState, plan: TilePlan) -> RunState:
    """Return the state that restarts a level from its best image, with other tiles."""
    recipe = replace(state.provenance.recipe, tile=plan.tile)
    return replace(
        state,
        provenance=replace(state.provenance, recipe=recipe),
        start_image=to_numpy(state.best),
        solver=None,
        history=tuple(each for each in state.history if each.level < level.number),
    )


def _iter_steps(
    run: Run, level: Level, state: RunState, controls: Controls, clock: StageTimer
) -> Iterator[ProgressEvent]:
    """Compute the targets of a level, then step its solver."""
    content = run.content((level.height, level.width))
    start = state.start_image if level.follows else None
    task = run.objective(content, level.style, start, level.role)
    threads.give_back_freed_memory()  # evaluations allocate other sizes than targets
    clock.end_stage("targets")
    solver, begin = SOLVERS[run.recipe.optimizer], run.place_image(state.start_image)
    if isinstance(state.solver, Mapping):
        found, began = solver.from_arrays(state.solver, begin, level.evaluations), state.began
    else:
        found = solver.begin(begin, level.evaluations, state.curvature_scale)
        began = clock.seconds()
    state = replace(state, solver=found, began=began, seconds=clock.stage_seconds("painting"))
    yield LevelStarted(
        level.number, len(run.levels), level.height, level.width, level.evaluations, state
    )
    while found.progress.reason is None and not controls.stopped:
        if (recipe := controls.changed(run.recipe)) != run.recipe:
            anew = recipe.strength != run.recipe.strength and recipe.strength_in_targets
            # Levels without structure have no content target while its weight is 0.
            anew |= (
                level.role != STRUCTURE and recipe.content_weight > run.recipe.content_weight == 0
            )
            run = replace(run, recipe=recipe)
            level = run.levels[level.number - 1]
            state = replace(state, provenance=state.provenance.steered_to(recipe))
            if anew:
                task = run.objective(content, level.style, start, level.role)
            else:
                task = task.with_weights(objective.term_weights(recipe, level.style))
            found = solver.rebind(found, level.evaluations)
            continue
        seen = found.progress.evaluations
        found = solver.step(task.evaluate, found)
        if found.progress.evaluations > seen:
            state = _record_step(state, level, found, clock)
            yield _make_step(run, state)
    yield _end_level(level, state, found.progress, controls.stopped, clock)


def _record_step(state: RunState, level: Level, found: SolverState, clock: StageTimer) -> RunState:
    """Return the state after an evaluation."""
    evaluation = found.progress.evaluation
    assert isinstance(evaluation, objective.Evaluation)
    record = StepRecord(
        level.number, total=evaluation.total, seconds=clock.seconds(), **evaluation.terms
    )
    return replace(
        state,
        solver=found,
        history=(*state.history, record),
        seconds=clock.stage_seconds("painting"),
    )


def _make_step(run: Run, state: RunState) -> Step:
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
        lambda: filearray.in_memory(run.finish_image(to_numpy(progress.point))),
    )


def _end_level(
    level: Level, state: RunState, progress: SolverProgress, stopped: bool, clock: StageTimer
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
    clock.end_stage("painting")
    left = replace(
        state,
        levels=(*state.levels, ended),
        stopped=stopped,
        seconds=clock.stage_seconds("painting"),
    )
    return ended.with_state(left)
