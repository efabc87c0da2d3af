"""How a level resumes from a checkpoint, and how it repeats when memory runs out."""

from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import replace
from typing import TypeAlias

from impasto.compute import threads
from impasto.compute.arrays import ran_out_of_memory, to_numpy
from impasto.optimizers.registry import SOLVERS
from impasto.optimizers.solver import SolverState, StopReason
from impasto.pipeline import pyramid
from impasto.pipeline.events import LevelFinished, ProgressEvent, RunState
from impasto.pipeline.memory import TilePlan
from impasto.pipeline.pyramid import Level
from impasto.pipeline.run import LevelProblem, Run, resized_best

LevelEvents: TypeAlias = Generator[ProgressEvent, None, RunState]
"""Yields events, and returns the state after the last one."""

LevelFunction: TypeAlias = Callable[[Run, Level, RunState], Iterator[ProgressEvent]]
"""(run, level, state at its start) -> the events of the level"""


def begin_or_resume_solver(
    run: Run, level: Level, state: RunState, problem: LevelProblem
) -> SolverState:
    """Return the solver state at the start of a level, or that of the checkpoint."""
    solver = SOLVERS[run.recipe.optimizer]
    solver_state: SolverState
    if isinstance(state.solver, Mapping):
        solver_state = solver.from_arrays(
            state.solver,
            run.place_image(state.start_image),
            level.evaluations,
            level.preconditioning,
        )
    else:
        solver_state = solver.begin(
            run.solver_start(problem, state.start_image),
            level.evaluations,
            state.curvature_scale,
            level.preconditioning,
        )
    return solver_state


def run_within_memory(
    run_level: LevelFunction, run: Run, level: Level, state: RunState
) -> LevelEvents:
    """Run a level. If memory runs out, repeat it in smaller tiles, or at a smaller size.

    Raises MemoryError if no smaller size is possible and there is no evaluation yet.
    """
    while True:
        try:
            for event in run_level(run, level, state):
                assert event.state is not None  # None only for levels listed in a state
                state = event.state
                yield event
            return state
        except Exception as error:
            if not ran_out_of_memory(error):
                raise
        # Outside the handler, since the exception keeps the large arrays alive.
        threads.give_back_freed_memory()
        plan = run.plan.narrower(max(level.height, level.width))
        if plan is not None:
            run, state = replace(run, plan=plan), _restarted(level, state, plan)
            continue
        pixels = _finished_pixels(state)
        lowered = _ended_for_memory(level, state)
        assert lowered.state is not None
        state = lowered.state
        yield lowered
        smaller = pyramid.smaller_level(level, pixels)
        if smaller is None:
            if not state.history:
                raise MemoryError
            return state
        level, state = smaller, replace(state, start_image=resized_best(run, state, smaller))


def _restarted(level: Level, state: RunState, plan: TilePlan) -> RunState:
    """Return the state that restarts a level from its best image, with other tiles."""
    recipe = replace(state.provenance.recipe, tile=plan.tile)
    return replace(
        state,
        provenance=replace(state.provenance, recipe=recipe),
        start_image=to_numpy(state.best),
        solver=None,
        history=tuple(each for each in state.history if each.level < level.number),
    )


def _ended_for_memory(level: Level, state: RunState) -> LevelFinished:
    """Return the event of a level that ends for lack of memory, with its best image as start."""
    evaluations = sum(record.level == level.number for record in state.history)
    ended = LevelFinished(
        level.number, level.height, level.width, evaluations, 0.0, StopReason.MEMORY
    )
    best = to_numpy(state.best)
    levels = (*state.levels, ended)
    return ended.with_state(
        replace(state, start_image=best, solver=None, levels=levels, size_lowered=True)
    )


def _finished_pixels(state: RunState) -> int:
    """Return the pixels of the largest level that did not run out of memory; 0 if there is none."""
    finished = [each for each in state.levels if each.reason is not StopReason.MEMORY]
    return max((each.height * each.width for each in finished), default=0)
