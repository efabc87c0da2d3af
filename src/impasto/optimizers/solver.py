"""The interface of a solver: functions of an immutable state.

A solver minimizes a function of an array, one evaluation at a time. ``begin`` returns the initial
state, which contains the first point to evaluate. ``step`` evaluates the function there and
returns the next state. The caller can inspect, save and resume any state. L-BFGS: the state has
the curvature pairs and the position in the line search. Adam: the state has the two running means.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Generic, NamedTuple, Protocol, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from impasto import paged
from impasto.compute.arrays import array_namespace

PATIENCE, LEAST_GAIN = 15, 1e-3
"""A run has stalled when its lowest value fell by less than this share over so many evaluations."""

Array: TypeAlias = Any
"""An array of NumPy, or paged, or a tensor of the running backend, which stays on its device."""

Packed: TypeAlias = Mapping[str, NDArray[np.generic]]
"""A state written down: arrays by name, numbers as float64."""


class Reason(StrEnum):
    """Why a level ended."""

    BUDGET = "all evaluations were used"
    CONVERGED = "converged"
    STALLED = "no further progress"
    STOPPED = "stopped"
    MEMORY = "memory ran out: went on from the best picture at a smaller size"
    NOT_FINITE = "a value was not finite: went back to the best picture"


class Evaluation(Protocol):
    """What a function gives at a point."""

    @property
    def total(self) -> float:
        """The value."""
        ...

    @property
    def gradient(self) -> Array:
        """The value's gradient, of the point's shape."""
        ...


Function: TypeAlias = Callable[[Array], Evaluation]


@dataclass(frozen=True)
class Progress:
    """How far a run has come."""

    best: Array
    """the point with the lowest value so far; the start, before the first evaluation"""
    budget: int
    """evaluations that may be made in all"""
    lowest: tuple[float, ...] = ()
    """the lowest value so far, after each evaluation of this function"""
    before: int = 0
    """evaluations made of another function before this one; they count toward the budget"""
    point: Array = None
    """the point evaluated last"""
    evaluation: Evaluation | None = None
    """what the function gave there"""
    reason: Reason | None = None
    """why the run ended; None while it goes on"""

    @property
    def evaluations(self) -> int:
        """How many evaluations were made."""
        return self.before + len(self.lowest)

    def evaluated(self, function: Function, point: Array) -> "Progress":
        """Return the progress after one more evaluation, at ``point``.

        One that is not finite ends the run and is forgotten.
        """
        found = function(point)
        if not (np.isfinite(found.total) and is_finite(found.gradient)):
            return replace(self, reason=Reason.NOT_FINITE)
        better = not self.lowest or found.total < self.lowest[-1]
        lowest = found.total if better else self.lowest[-1]
        return replace(
            self,
            best=point if better else self.best,
            lowest=(*self.lowest, lowest),
            point=point,
            evaluation=found,
        ).judged()

    def judged(self) -> "Progress":
        """Return it with the reason to end that its values and its budget give, if they do."""
        if len(self.lowest) > PATIENCE:
            gain = self.lowest[-1 - PATIENCE] - self.lowest[-1]
            if gain < LEAST_GAIN * abs(self.lowest[-1]):
                return replace(self, reason=Reason.STALLED)
        used = self.evaluations >= self.budget
        return replace(self, reason=Reason.BUDGET if used else None)

    def turned(self, budget: int) -> "Progress":
        """Return the progress of a run whose function is another one from now on."""
        return Progress(self.best, budget, before=self.evaluations).judged()


class State(Protocol):
    """What every solver's state tells of its run."""

    @property
    def progress(self) -> Progress:
        """How far it has come."""
        ...


S = TypeVar("S", bound=State)
S_co = TypeVar("S_co", bound=State, covariant=True)


class Begin(Protocol[S_co]):
    """Makes the first state."""

    def __call__(self, start: Array, budget: int, learned: float = 0.0) -> S_co:
        """Return the state before the first evaluation, at ``start``.

        ``budget`` is the evaluations that may be made. ``learned`` is what a run at another size
        knows of the curvature, see ``Solver.learned``; 0 if nothing is known.
        """
        ...


class Solver(NamedTuple, Generic[S]):
    """A way to lower a function; pure functions of states."""

    begin: Begin[S]
    step: Callable[[Function, S], S]
    """(function, state) -> the state after one more evaluation, or ended"""
    turn: Callable[[S, int], S]
    """(state, budget) -> the state from which to lower another function, or with another budget;
    what was learned of the curvature stays"""
    pack: Callable[[S], Packed | None]
    """state -> what goes on from it to the same points to the last bit; None if nothing can"""
    unpack: Callable[[Packed, Array, int], S]
    """(packed, start, budget) -> the state; raises CheckpointError for what cannot be one"""
    learned: Callable[[S], float] = lambda _: 0.0
    """state -> what a run at another size may begin with; 0 if it learned nothing"""


def is_finite(array: Array) -> bool:
    """Return whether every number of an array or a tensor is finite."""
    if paged.on_host(array):
        return paged.is_finite(array)
    ops = array_namespace(array)
    return bool(ops.all(ops.isfinite(array)))
