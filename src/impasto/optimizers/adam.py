"""Adam, one evaluation at a time, with its state as a value.

Kingma and Ba 2015, "Adam: A Method for Stochastic Optimization", algorithm 1 in the order of
section 2's last paragraph, with the constants of Keras. Departure: the learning rate decays to
zero along a cosine (Loshchilov and Hutter 2017).
"""

import math
from dataclasses import dataclass, replace

import numpy as np

from impasto import filearray
from impasto.compute.arrays import array_namespace, as_array_like, to_numpy
from impasto.errors import CheckpointError
from impasto.optimizers import state_arrays
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

LEARNING_RATE = 8.0
"""The learning rate at the start, in pixel values."""

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-7
"""Decay of both running means, and the term that keeps a step finite where the gradient is 0."""


@dataclass(frozen=True)
class AdamState:
    """The state of Adam."""

    progress: SolverProgress
    budget: int
    """evaluations over which the learning rate falls to zero"""
    point: Array
    """the point of the next evaluation"""
    first: Array
    """decaying mean of the gradient"""
    second: Array
    """decaying mean of its square"""
    steps: int = 0
    """number of steps so far"""


NAMES = ("variable 0", "variable 1", "variable 2", "variable 3")
"""Names of the stored arrays: the point, the number of steps, and both running means."""


class Adam(Solver[AdamState]):
    """Adam, which keeps running means of the gradient and of its square."""

    def begin(
        self,
        start: Array,
        budget: int,
        curvature_scale: float = 0.0,
        preconditioning: Preconditioning = DEFAULT_PRECONDITIONING,
    ) -> AdamState:
        """Return the state before the first evaluation, at ``start``."""
        zero = array_namespace(start).zeros_like(start)
        return AdamState(SolverProgress(start, budget), budget, start, zero, zero)

    def step(self, function: ObjectiveFunction, state: AdamState) -> AdamState:
        """Evaluate once, and step along the running mean of the gradient."""
        progress = state.progress.after_evaluation(function, state.point)
        if progress.evaluation is None or progress.reason is StopReason.NOT_FINITE:
            return replace(state, progress=progress)
        return _update(replace(state, progress=progress), progress.evaluation.gradient)

    def rebind(self, state: AdamState, budget: int) -> AdamState:
        """Return the state that continues with another function; both running means are kept."""
        return replace(state, progress=state.progress.for_new_function(budget), budget=budget)

    def to_arrays(self, state: AdamState) -> StateArrays | None:
        """Return the state as named arrays; None before the first evaluation."""
        if not state.progress.evaluations:
            return None
        point, first, second = map(to_numpy, (state.point, state.first, state.second))
        variables = (point, np.array(state.steps, np.int64), first, second)
        return {
            **state_arrays.progress_to_arrays(state.progress),
            **dict(zip(NAMES, variables, strict=True)),
        }

    def from_arrays(
        self,
        arrays: StateArrays,
        start: Array,
        budget: int,
        preconditioning: Preconditioning = DEFAULT_PRECONDITIONING,
    ) -> AdamState:
        """Return the state of :meth:`to_arrays`. Raises CheckpointError for other arrays."""
        state_arrays.check_array_names(arrays, {"best", "bests", *NAMES}, {"before"}, "Adam")
        steps = filearray.in_memory(arrays[NAMES[1]])
        if steps.shape != () or steps.dtype != np.int64 or not 0 <= steps <= budget:
            raise CheckpointError(f"{NAMES[1]!r} of the optimizer's state is not a number of steps")
        point, first, second = (
            as_array_like(filearray.in_memory(state_arrays.read_point(arrays, name, start)), start)
            for name in (NAMES[0], *NAMES[2:])
        )
        progress = state_arrays.progress_from_arrays(arrays, start, budget)
        return AdamState(progress, budget, point, first, second, int(steps))


def _update(state: AdamState, gradient: Array) -> AdamState:
    """Return the state after one step along a gradient."""
    ops, number = array_namespace(gradient), state.steps + 1
    rate = LEARNING_RATE * (1 + math.cos(math.pi * min(state.steps / state.budget, 1))) / 2
    rate *= math.sqrt(1 - BETA2**number) / (1 - BETA1**number)
    first = state.first + (1 - BETA1) * (gradient - state.first)
    second = state.second + (1 - BETA2) * (ops.square(gradient) - state.second)
    point = state.point - rate * first / (ops.sqrt(second) + EPSILON)
    return replace(state, point=point, first=first, second=second, steps=number)
