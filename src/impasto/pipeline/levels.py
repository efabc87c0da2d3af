"""The loop over the levels, from coarse to fine: a generator of events, each with its state.

Each level computes its targets and steps a solver on the loss; the next level starts from its
result. The caller stops the run by no longer iterating. :mod:`impasto.pipeline.recovery` resumes
from checkpoints, and repeats a level for which memory runs out.
"""

import functools
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace

from impasto import filearray
from impasto.compute import threads
from impasto.compute.arrays import to_numpy
from impasto.losses import objective
from impasto.losses.level_roles import STRUCTURE, LevelRole
from impasto.optimizers.registry import SOLVERS
from impasto.optimizers.solver import SolverProgress, SolverState, StopReason
from impasto.pipeline.events import (
    Controls,
    LevelFinished,
    LevelStarted,
    ProgressEvent,
    RunState,
    Step,
    StepRecord,
    with_steered_settings,
)
from impasto.pipeline.memory import TilePlan
from impasto.pipeline.pyramid import Level
from impasto.pipeline.recovery import begin_or_resume_solver, run_within_memory
from impasto.pipeline.run import LevelProblem, Run, resized_best
from impasto.recipe.settings import Recipe


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
        """Add the seconds since the end of the last stage to ``stage``."""
        self.stages = self.stage_seconds(stage)
        self.last = time.perf_counter()

    def stage_seconds(self, stage: str) -> dict[str, float]:
        """Return the seconds by stage; those since the end of the last one count for ``stage``."""
        now = time.perf_counter()
        return {**self.stages, stage: self.stages.get(stage, 0.0) + now - self.last}


def run_levels(
    run: Run, state: RunState, controls: Controls, timer: StageTimer
) -> Iterator[ProgressEvent]:
    """Run all levels from ``state`` on, and yield events.

    Raises MemoryError if memory runs out before the first evaluation, at any size.
    """
    run_one = functools.partial(run_level, controls=controls, timer=timer)
    while True:
        level = run.levels[state.level - 1]
        state = yield from run_within_memory(run_one, run, level, state)
        run = _continued_run(run, state.provenance.recipe)
        if state.stopped or state.size_lowered or state.level == len(run.levels):
            return
        state = _next_level_state(run, state)


def run_level(
    run: Run, level: Level, state: RunState, controls: Controls, timer: StageTimer
) -> Iterator[ProgressEvent]:
    """Run one level: compute its targets, then step the solver until it ends or is stopped.

    Changed settings (``controls``) apply between two steps.
    """
    problem = _level_problem(run, level, state)
    timer.end_stage("targets")
    solver = SOLVERS[run.recipe.optimizer]
    current = begin_or_resume_solver(run, level, state, problem)
    level_objective = problem.objective
    state = _started_state(state, current, timer)
    yield LevelStarted(
        level.number, len(run.levels), level.height, level.width, level.evaluations, state
    )
    while current.progress.reason is None and not controls.stopped:
        if (recipe := controls.changed(run.recipe)) != run.recipe:
            new_targets = _changes_targets(run.recipe, recipe, level.role)
            run, level, state = _steered(run, level, state, recipe)
            if new_targets:
                level_objective = _level_problem(run, level, state).objective
            else:
                weights = objective.term_weights(recipe, level.style)
                level_objective = level_objective.with_weights(weights)
            current = solver.rebind(current, level.evaluations)
            continue
        before, current = current, solver.step(level_objective.evaluate, current)
        if current.progress.evaluations > before.progress.evaluations:
            state = _evaluated_state(state, level, current, timer)
            yield _step_event(run, state, current.progress)
    yield _finished_event(level, state, current.progress, controls.stopped, timer)


# Between levels -----------------------------------------------------------------------------


def _continued_run(run: Run, recipe: Recipe) -> Run:
    """Return the run with the settings and tiles of ``recipe``, that of the state."""
    plan = run.plan if run.plan.tile == recipe.tile else TilePlan(recipe.tile, keep_targets=False)
    return replace(run, recipe=with_steered_settings(run.recipe, recipe), plan=plan)


def _next_level_state(run: Run, state: RunState) -> RunState:
    """Return the state at the start of the next level, from the best image of this one.

    It starts from the enlarged image, or from the content image plus the change made so far (see
    ``ScheduleShape.carries_image`` in ``pyramid``).
    """
    level = run.levels[state.level]
    scale = SOLVERS[run.recipe.optimizer].curvature_scale(state.solver)
    image = resized_best(run, state, level)
    return replace(state, level=level.number, start_image=image, solver=None, curvature_scale=scale)


# Within a level -----------------------------------------------------------------------------


def _level_problem(run: Run, level: Level, state: RunState) -> LevelProblem:
    """Return the problem of a level, with new targets."""
    content = run.content((level.height, level.width))
    start = state.start_image if level.follows else None
    problem = run.problem(content, level.style, start, level.role)
    threads.give_back_freed_memory()  # evaluations allocate other sizes than targets
    return problem


def _changes_targets(before: Recipe, after: Recipe, role: LevelRole) -> bool:
    """Return whether a change of settings needs new targets, not only new weights."""
    if after.strength != before.strength and after.strength_in_targets:
        return True
    # Other roles than STRUCTURE have no content target while its weight is 0.
    return role != STRUCTURE and after.content_weight > before.content_weight == 0


def _steered(
    run: Run, level: Level, state: RunState, recipe: Recipe
) -> tuple[Run, Level, RunState]:
    """Return all three with changed settings."""
    run = replace(run, recipe=recipe)
    level = replace(level, evaluations=run.levels[level.number - 1].evaluations)
    return run, level, replace(state, provenance=state.provenance.steered_to(recipe))


def _started_state(state: RunState, solver: SolverState, timer: StageTimer) -> RunState:
    """Return the state at the start of a level, or where it resumes."""
    began = state.level_began if isinstance(state.solver, Mapping) else timer.seconds()
    return replace(state, solver=solver, level_began=began, seconds=timer.stage_seconds("painting"))


def _evaluated_state(
    state: RunState, level: Level, solver: SolverState, timer: StageTimer
) -> RunState:
    """Return the state after an evaluation."""
    evaluation = solver.progress.evaluation
    assert isinstance(evaluation, objective.Evaluation)
    record = StepRecord(
        level.number,
        total=evaluation.total,
        seconds=timer.seconds(),
        rejected=solver.progress.point is not solver.progress.best,
        layers=evaluation.layers,
        **evaluation.terms,
    )
    history = (*state.history, record)
    return replace(state, solver=solver, history=history, seconds=timer.stage_seconds("painting"))


def _step_event(run: Run, state: RunState, progress: SolverProgress) -> Step:
    """Return the event of the last evaluation."""
    record = state.history[-1]
    return Step(
        record.level,
        progress.evaluations,
        record.total,
        {name: getattr(record, name) for name in objective.TERMS},
        record.seconds,
        state,
        lambda: filearray.in_memory(run.finish_image(to_numpy(progress.point))),
    )


def _finished_event(
    level: Level, state: RunState, progress: SolverProgress, stopped: bool, timer: StageTimer
) -> LevelFinished:
    """Return the event at the end of a level."""
    reason = StopReason.STOPPED if stopped else progress.reason
    assert reason is not None
    seconds = timer.seconds() - state.level_began
    ended = LevelFinished(
        level.number, level.height, level.width, progress.evaluations, seconds, reason
    )
    timer.end_stage("painting")
    return ended.with_state(
        replace(
            state,
            levels=(*state.levels, ended),
            stopped=stopped,
            seconds=timer.stage_seconds("painting"),
        )
    )
