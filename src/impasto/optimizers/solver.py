"""The interface of a solver, whose state is an immutable value.

A solver minimizes a function of an array, one evaluation at a time. ``begin`` returns the initial
state, which contains the first point to evaluate. ``step`` evaluates the function there and
returns the next state. The caller can inspect, save and resume any state. L-BFGS: the state has
the curvature pairs and the position in the line search. Adam: the state has the two running means.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, ClassVar, NamedTuple, Protocol, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from impasto import filearray
from impasto.compute.arrays import array_namespace

PATIENCE, MIN_GAIN = 15, 1e-3
"""A run has stalled if its lowest value fell by less than the fraction MIN_GAIN over PATIENCE
evaluations."""

Array: TypeAlias = Any
"""A NumPy array, an array in a file, or a tensor of the backend, which stays on its device."""

StateArrays: TypeAlias = Mapping[str, NDArray[np.generic]]
"""A state as named arrays, with scalars as float64."""


class StopReason(StrEnum):
    """The reason why a level ended. The values are stored in checkpoints and reports."""

    BUDGET = "all evaluations were used"
    CONVERGED = "converged"
    STALLED = "no further progress"
    STOPPED = "stopped"
    MEMORY = "memory ran out: continued from the best image at a smaller size"
    NOT_FINITE = "a value was not finite: returned to the best image"

    @classmethod
    def _missing_(cls, value: object) -> "StopReason | None":
        """Return the reason that an older version stored with another text."""
        return {
            "memory ran out: went on from the best picture at a smaller size": cls.MEMORY,
            "a value was not finite: went back to the best picture": cls.NOT_FINITE,
        }.get(str(value))


class ValueAndGradient(Protocol):
    """The value and gradient of a function at a point."""

    @property
    def total(self) -> float:
        """The value."""
        ...

    @property
    def gradient(self) -> Array:
        """The gradient, with the shape of the point."""
        ...


ObjectiveFunction: TypeAlias = Callable[[Array], ValueAndGradient]
"""point -> value and gradient there"""


@dataclass(frozen=True)
class SolverProgress:
    """The progress of a run."""

    best: Array
    """the point with the lowest value so far; the initial point before the first evaluation"""
    budget: int
    """maximum number of evaluations"""
    lowest: tuple[float, ...] = ()
    """the lowest value so far, after each evaluation of this function"""
    before: int = 0
    """number of evaluations of earlier functions, which count toward the budget"""
    point: Array = None
    """the last evaluated point"""
    evaluation: ValueAndGradient | None = None
    """value and gradient there"""
    reason: StopReason | None = None
    """why the run ended; None during the run"""

    @property
    def evaluations(self) -> int:
        """The number of evaluations."""
        return self.before + len(self.lowest)

    def after_evaluation(self, function: ObjectiveFunction, point: Array) -> "SolverProgress":
        """Return the progress after an evaluation at ``point``.

        A value that is not finite ends the run and is discarded.
        """
        result = function(point)
        if not (np.isfinite(result.total) and is_finite(result.gradient)):
            return replace(self, reason=StopReason.NOT_FINITE)
        better = not self.lowest or result.total < self.lowest[-1]
        lowest = result.total if better else self.lowest[-1]
        return replace(
            self,
            best=point if better else self.best,
            lowest=(*self.lowest, lowest),
            point=point,
            evaluation=result,
        ).with_stop_reason()

    def with_stop_reason(self) -> "SolverProgress":
        """Return the progress with its reason to end, if its values or its budget give one."""
        if len(self.lowest) > PATIENCE:
            gain = self.lowest[-1 - PATIENCE] - self.lowest[-1]
            if gain < MIN_GAIN * abs(self.lowest[-1]):
                return replace(self, reason=StopReason.STALLED)
        used = self.evaluations >= self.budget
        return replace(self, reason=StopReason.BUDGET if used else None)

    def for_new_function(self, budget: int) -> "SolverProgress":
        """Return the progress of the run with a new function and budget."""
        return SolverProgress(self.best, budget, before=self.evaluations).with_stop_reason()


class SolverState(Protocol):
    """The common part of all solver states."""

    @property
    def progress(self) -> SolverProgress:
        """The progress of the run."""
        ...


class Preconditioning(NamedTuple):
    """The preconditioning of L-BFGS; other solvers ignore it."""

    exponent: float = 0.5
    """exponent of the frequency in :func:`impasto.optimizers.parametrization.frequency_scale`"""
    first_step: float = 1.0
    """factor on the length of the first step that a curvature scale suggests"""
    long_step_weight: float = 0.0
    """weight in [0, 1] of the larger of two estimates of the inverse Hessian, see
    :func:`impasto.optimizers.lbfgs.two_loop_direction`"""


DEFAULT_PRECONDITIONING = Preconditioning()


S = TypeVar("S", bound=SolverState)


class Solver(Protocol[S]):
    """A minimizer of a function of an array.

    A solver has no state of its own. ``begin``, ``step``, ``rebind`` and ``from_arrays`` return an
    immutable state, and a run can continue from any state, more than once (SciPy's only from the
    newest, once). ``to_arrays`` converts a state to named arrays, or returns None.
    """

    accepts_files: ClassVar[bool] = False
    """whether points may be arrays in files, which are larger than memory"""
    accepts_tensors: ClassVar[bool] = True
    """whether points may be tensors on a device; if not, they are NumPy arrays"""

    def history_bytes(self, evaluations: int) -> float:
        """Return the bytes per pixel of the history after that many evaluations.

        L-BFGS: its curvature pairs. A solver without a history returns 0.
        """
        return 0.0

    def begin(
        self,
        start: Array,
        budget: int,
        curvature_scale: float = 0.0,
        preconditioning: Preconditioning = DEFAULT_PRECONDITIONING,
    ) -> S:
        """Return the state before the first evaluation.

        Args:
            start: the initial point, float32 (height, width, channels)
            budget: maximum number of evaluations
            curvature_scale: from :meth:`curvature_scale` of a run at another size; 0 if there is
                none
            preconditioning: that of L-BFGS
        """
        ...

    def step(self, function: ObjectiveFunction, state: S) -> S:
        """Evaluate ``function`` once, and return the next state.

        ``state.progress.reason`` of the result is not None if the run has ended.
        """
        ...

    def rebind(self, state: S, budget: int) -> S:
        """Return the state that continues with another function or budget.

        The next step passes the new function. Curvature estimates are kept.
        """
        ...

    def to_arrays(self, state: S) -> StateArrays | None:
        """Return named arrays from which the run resumes bit for bit.

        None before the first evaluation, and if the solver does not support it.
        """
        ...

    def from_arrays(
        self,
        arrays: StateArrays,
        start: Array,
        budget: int,
        preconditioning: Preconditioning = DEFAULT_PRECONDITIONING,
    ) -> S:
        """Return the state of :meth:`to_arrays`, with arrays on the device of ``start``.

        Raises:
            CheckpointError: if the arrays are not a state of this solver
        """
        ...

    def curvature_scale(self, state: S) -> float:
        """Return the estimated inverse curvature per variable; 0 if there is none.

        It is the scale of the inverse Hessian along the newest step (Nocedal and Wright 2006,
        equation 7.20) divided by the number of variables, in squared variables per unit of the
        loss. The quotient is about the same at another image size, so a run there uses it for the
        length of its first step.
        """
        return 0.0


def is_finite(array: Array) -> bool:
    """Return whether all values of an array or a tensor are finite."""
    if filearray.is_on_host(array):
        return filearray.is_finite(array)
    ops = array_namespace(array)
    return bool(ops.all(ops.isfinite(array)))
