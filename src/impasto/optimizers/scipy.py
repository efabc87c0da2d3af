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
from impasto.optimizers.lbfgs import MEMORY
from impasto.optimizers.solver import Array, Function, Packed, Progress, Reason, Solver
from impasto.optimizers.units import PIXELS, Units

ABNORMAL = 2
"""SciPy's status for a line search that found no lower point."""

Vector: TypeAlias = NDArray[np.float64]


class _Abandoned(Exception):
    """Ends SciPy's loop, whose next point nobody evaluates."""


class Loop:
    """SciPy's loop in its thread: asks for the function's values, one point after the other."""

    def __init__(self, start: Vector, budget: int) -> None:
        """Begin; the first point to evaluate is ``start``."""
        self.asked: queue.SimpleQueue[Vector | int] = queue.SimpleQueue()
        self.answers: queue.SimpleQueue[tuple[float, Vector] | None] = queue.SimpleQueue()
        arguments = (start, budget, self.asked, self.answers)
        threading.Thread(target=_run, args=arguments, daemon=True, name="impasto-scipy").start()
        weakref.finalize(self, self.answers.put, None)

    def ask(self) -> Vector | int:
        """Return the next point to evaluate; SciPy's status once it has ended."""
        return self.asked.get()

    def tell(self, value: float, gradient: Vector) -> None:
        """Answer with the value and the gradient at the point asked for last."""
        self.answers.put((value, gradient))


def _run(
    start: Vector,
    budget: int,
    asked: "queue.SimpleQueue[Vector | int]",
    answers: "queue.SimpleQueue[tuple[float, Vector] | None]",
) -> None:
    def function(vector: Vector) -> tuple[float, Vector]:
        asked.put(vector.copy())
        if (answer := answers.get()) is None:
            raise _Abandoned
        return answer

    options = {
        "maxcor": MEMORY,
        "maxfun": budget + 1,
        "maxiter": budget + 1,
        "ftol": 0,
        "gtol": 0,
    }
    try:
        found = scipy.optimize.minimize(
            function, start, jac=True, method="L-BFGS-B", options=options
        )
        asked.put(int(found.status))
    except _Abandoned:
        pass


@dataclass(frozen=True)
class State:
    """Where SciPy's loop waits."""

    progress: Progress
    units: Units
    loop: Loop
    wanted: Vector
    """the variables that are to be evaluated next"""


def begin(start: Array, budget: int, learned: float = 0.0) -> State:
    """Return the state before the first evaluation."""
    start = to_numpy(start)
    return _begun(Progress(start, budget), PIXELS, start)


def _begun(progress: Progress, units: Units, start: Array) -> State:
    wanted = units.variables(start).ravel().astype(np.float64)
    loop = Loop(wanted, progress.budget)
    loop.ask()
    return State(progress, units, loop, wanted)


def step(function: Function, state: State) -> State:
    """Evaluate once where SciPy wants it, and hear where next."""
    variables = state.wanted.reshape(state.progress.best.shape).astype(np.float32)
    progress = state.progress.evaluated(function, state.units.point(variables))
    if progress.evaluation is None or progress.reason is not None:
        return replace(state, progress=progress)
    gradient = state.units.gradient(progress.evaluation.gradient)
    state.loop.tell(progress.evaluation.total, gradient.ravel().astype(np.float64))
    wanted = state.loop.ask()
    if isinstance(wanted, int):
        reason = Reason.STALLED if wanted == ABNORMAL else Reason.CONVERGED
        return replace(state, progress=replace(progress, reason=reason))
    return replace(state, progress=progress, wanted=wanted)


def turn(state: State, budget: int) -> State:
    """Return the state from which another function is lowered: SciPy's loop begins anew."""
    return _begun(state.progress.turned(budget), state.units, state.progress.best)


def pack(state: State) -> None:
    """Return nothing: SciPy keeps its state to itself."""
    return None


def unpack(packed: Packed, start: Array, budget: int) -> State:
    """Raise CheckpointError: SciPy goes on from no state."""
    raise CheckpointError(
        "SciPy's optimizer cannot resume from a state, but the checkpoint has one"
    )


SOLVER = Solver(begin, step, turn, pack, unpack)
