"""SciPy's L-BFGS-B without bounds, with the interface of the other solvers.

Byrd, Lu, Nocedal and Zhu 1995. It optimizes pixels, as Gatys et al. 2016 did. SciPy runs its own
loop, so it runs in a thread that waits before each evaluation until the caller takes a step. Its
state is inside SciPy: it can be continued once, but not saved.
"""

import queue
import threading
import weakref
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import scipy
from numpy.typing import NDArray

from impasto.compute.arrays import to_numpy
from impasto.errors import CheckpointError
from impasto.optimizers.lbfgs import HISTORY
from impasto.optimizers.parametrization import PIXELS, Parametrization
from impasto.optimizers.solver import (
    Array,
    ObjectiveFunction,
    Solver,
    SolverProgress,
    StateArrays,
    StopReason,
)

ABNORMAL = 2
"""SciPy's status for a line search that found no lower point."""

Vector: TypeAlias = NDArray[np.float64]


class _LoopAbandoned(Exception):
    """Ends SciPy's loop, whose next point nobody evaluates."""


class ScipyLoop:
    """SciPy's loop in its thread: asks for the function's values, one point after the other."""

    def __init__(self, start: Vector, budget: int) -> None:
        """Begin; the first point to evaluate is ``start``."""
        self.asked: queue.SimpleQueue[Vector | int] = queue.SimpleQueue()
        self.answers: queue.SimpleQueue[tuple[float, Vector] | None] = queue.SimpleQueue()
        arguments = (start, budget, self.asked, self.answers)
        threading.Thread(
            target=_run_scipy, args=arguments, daemon=True, name="impasto-scipy"
        ).start()
        weakref.finalize(self, self.answers.put, None)

    def next_point(self) -> Vector | int:
        """Return the next point to evaluate; SciPy's status once it has ended."""
        return self.asked.get()

    def send(self, value: float, gradient: Vector) -> None:
        """Answer with the value and the gradient at the point asked for last."""
        self.answers.put((value, gradient))


def _run_scipy(
    start: Vector,
    budget: int,
    asked: "queue.SimpleQueue[Vector | int]",
    answers: "queue.SimpleQueue[tuple[float, Vector] | None]",
) -> None:
    def function(vector: Vector) -> tuple[float, Vector]:
        asked.put(vector.copy())
        if (answer := answers.get()) is None:
            raise _LoopAbandoned
        return answer

    options = {
        "maxcor": HISTORY,
        "maxfun": budget + 1,
        "maxiter": budget + 1,
        "ftol": 0,
        "gtol": 0,
    }
    try:
        result = scipy.optimize.minimize(
            function, start, jac=True, method="L-BFGS-B", options=options
        )
        asked.put(int(result.status))
    except _LoopAbandoned:
        pass


@dataclass(frozen=True)
class ScipyState:
    """Where SciPy's loop waits."""

    progress: SolverProgress
    parametrization: Parametrization
    loop: ScipyLoop
    next_point: Vector
    """the variables that are to be evaluated next"""


def begin(start: Array, budget: int, curvature_scale: float = 0.0) -> ScipyState:
    """Return the state before the first evaluation."""
    start = to_numpy(start)
    return _start_loop(SolverProgress(start, budget), PIXELS, start)


def _start_loop(progress: SolverProgress, units: Parametrization, start: Array) -> ScipyState:
    wanted = units.variables(start).ravel().astype(np.float64)
    loop = ScipyLoop(wanted, progress.budget)
    loop.next_point()
    return ScipyState(progress, units, loop, wanted)


def step(function: ObjectiveFunction, state: ScipyState) -> ScipyState:
    """Evaluate once where SciPy wants it, and hear where next."""
    variables = state.next_point.reshape(state.progress.best.shape).astype(np.float32)
    progress = state.progress.after_evaluation(function, state.parametrization.point(variables))
    if progress.evaluation is None or progress.reason is not None:
        return replace(state, progress=progress)
    gradient = state.parametrization.gradient(progress.evaluation.gradient)
    state.loop.send(progress.evaluation.total, gradient.ravel().astype(np.float64))
    wanted = state.loop.next_point()
    if isinstance(wanted, int):
        reason = StopReason.STALLED if wanted == ABNORMAL else StopReason.CONVERGED
        return replace(state, progress=replace(progress, reason=reason))
    return replace(state, progress=progress, next_point=wanted)


def rebind(state: ScipyState, budget: int) -> ScipyState:
    """Return the state from which another function is lowered: SciPy's loop begins anew."""
    return _start_loop(
        state.progress.for_new_function(budget), state.parametrization, state.progress.best
    )


def to_arrays(state: ScipyState) -> None:
    """Return nothing: SciPy keeps its state to itself."""
    return None


def from_arrays(arrays: StateArrays, start: Array, budget: int) -> ScipyState:
    """Raise CheckpointError: SciPy goes on from no state."""
    raise CheckpointError(
        "SciPy's optimizer cannot resume from a state, but the checkpoint has one"
    )


SOLVER = Solver(begin, step, rebind, to_arrays, from_arrays)
