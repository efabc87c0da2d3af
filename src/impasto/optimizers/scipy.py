"""SciPy's L-BFGS-B without bounds, with the interface of the other solvers.

Byrd, Lu, Nocedal and Zhu 1995. It optimizes pixels, as Gatys et al. 2016 did. SciPy runs its own
loop, so it runs in a thread that waits before each evaluation until the caller takes a step. Its
state is inside SciPy: it can be continued once, but not saved.
"""

import queue
import threading
import weakref
from dataclasses import dataclass, replace
from typing import ClassVar, TypeAlias

import numpy as np
import scipy
from numpy.typing import NDArray

from impasto.compute.arrays import to_numpy
from impasto.errors import CheckpointError
from impasto.optimizers.lbfgs import HISTORY
from impasto.optimizers.parametrization import PIXELS, Parametrization
from impasto.optimizers.solver import (
    DEFAULT_PRECONDITIONING,
    Array,
    ObjectiveFunction,
    Preconditioning,
    Solver,
    SolverProgress,
    StateArrays,
    StopReason,
)

ABNORMAL = 2
"""SciPy's status for a line search that found no lower point."""

Vector: TypeAlias = NDArray[np.float64]


class _LoopAbandoned(Exception):
    """Ends a loop whose state was dropped."""


class ScipyLoop:
    """SciPy's loop in a thread, which requests the values of one point after the other."""

    def __init__(self, start: Vector, budget: int) -> None:
        """Start the thread; the first point to evaluate is ``start``."""
        self.requests: queue.SimpleQueue[Vector | int] = queue.SimpleQueue()
        self.answers: queue.SimpleQueue[tuple[float, Vector] | None] = queue.SimpleQueue()
        arguments = (start, budget, self.requests, self.answers)
        threading.Thread(
            target=_run_scipy, args=arguments, daemon=True, name="impasto-scipy"
        ).start()
        weakref.finalize(self, self.answers.put, None)

    def next_point(self) -> Vector | int:
        """Return the next point to evaluate, or the status of SciPy at its end."""
        return self.requests.get()

    def send(self, value: float, gradient: Vector) -> None:
        """Send the value and the gradient at the last point."""
        self.answers.put((value, gradient))


def _run_scipy(
    start: Vector,
    budget: int,
    requests: "queue.SimpleQueue[Vector | int]",
    answers: "queue.SimpleQueue[tuple[float, Vector] | None]",
) -> None:
    def function(vector: Vector) -> tuple[float, Vector]:
        requests.put(vector.copy())
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
        requests.put(int(result.status))
    except _LoopAbandoned:
        pass


@dataclass(frozen=True)
class ScipyState:
    """SciPy's loop, which waits for the value at ``next_point``."""

    progress: SolverProgress
    parametrization: Parametrization
    loop: ScipyLoop
    next_point: Vector
    """the variables of the next evaluation"""


class ScipyLbfgs(Solver[ScipyState]):
    """SciPy's L-BFGS-B, whose state cannot be saved."""

    accepts_tensors: ClassVar[bool] = False

    def history_bytes(self, evaluations: int) -> float:
        """Return the bytes per pixel of SciPy's curvature pairs, in float64."""
        return 68.0 * min(evaluations - 1, HISTORY)

    def begin(
        self,
        start: Array,
        budget: int,
        curvature_scale: float = 0.0,
        preconditioning: Preconditioning = DEFAULT_PRECONDITIONING,
    ) -> ScipyState:
        """Return the state before the first evaluation."""
        start = to_numpy(start)
        return _start_loop(SolverProgress(start, budget), PIXELS, start)

    def step(self, function: ObjectiveFunction, state: ScipyState) -> ScipyState:
        """Evaluate once at the point that SciPy requests, and return the next point."""
        variables = state.next_point.reshape(state.progress.best.shape).astype(np.float32)
        progress = state.progress.after_evaluation(function, state.parametrization.point(variables))
        if progress.evaluation is None or progress.reason is not None:
            return replace(state, progress=progress)
        gradient = state.parametrization.gradient(progress.evaluation.gradient)
        state.loop.send(progress.evaluation.total, gradient.ravel().astype(np.float64))
        following = state.loop.next_point()
        if isinstance(following, int):
            reason = StopReason.STALLED if following == ABNORMAL else StopReason.CONVERGED
            return replace(state, progress=replace(progress, reason=reason))
        return replace(state, progress=progress, next_point=following)

    def rebind(self, state: ScipyState, budget: int) -> ScipyState:
        """Return the state that continues with another function, in a new loop of SciPy."""
        return _start_loop(
            state.progress.for_new_function(budget), state.parametrization, state.progress.best
        )

    def to_arrays(self, state: ScipyState) -> None:
        """Return None: the state is inside SciPy."""
        return None

    def from_arrays(
        self,
        arrays: StateArrays,
        start: Array,
        budget: int,
        preconditioning: Preconditioning = DEFAULT_PRECONDITIONING,
    ) -> ScipyState:
        """Raise CheckpointError: SciPy cannot resume from a state."""
        raise CheckpointError(
            "SciPy's optimizer cannot resume from a state, but the checkpoint has one"
        )


def _start_loop(
    progress: SolverProgress, parametrization: Parametrization, start: Array
) -> ScipyState:
    first = parametrization.variables(start).ravel().astype(np.float64)
    loop = ScipyLoop(first, progress.budget)
    loop.next_point()
    return ScipyState(progress, parametrization, loop, first)
