"""Adam as Keras has it, one evaluation at a time, its state a value."""

from dataclasses import dataclass, replace

import numpy as np

from impasto import paged
from impasto.compute.backend import dtype_of, keras, ops, to_numpy
from impasto.errors import CheckpointError
from impasto.optimizers import packing
from impasto.optimizers.solver import Array, Function, Packed, Progress, Reason, Solver

RATE = 8.0
"""The learning rate at the start, in pixel values, falling to zero along a cosine."""


class Rule:
    """Keras's optimizer as a function of its variables' values.

    Its own are overwritten at every call: Keras has no such function on TensorFlow.
    """

    def __init__(self, start: Array, budget: int) -> None:
        """Make the optimizer: Kingma and Ba 2015, the rate falling along a cosine to zero."""
        self.optimizer = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(RATE, budget))
        self.variable = keras.Variable(start)
        self.optimizer.build([self.variable])

    @property
    def values(self) -> tuple[Array, ...]:
        """Copies of the point, of the evaluations made, and of both moments."""
        return tuple(ops.stop_gradient(ops.copy(each.value)) for each in self._variables)

    def __call__(self, values: tuple[Array, ...], gradient: Array) -> tuple[Array, ...]:
        """Return the values after one more step."""
        for variable, value in zip(self._variables, values, strict=True):
            variable.assign(value)
        self.optimizer.apply([ops.convert_to_tensor(gradient)], [self.variable])
        return self.values

    @property
    def _variables(self) -> list[keras.Variable]:
        return [self.variable, *self.optimizer.variables]


@dataclass(frozen=True)
class State:
    """Everything that the next evaluation depends on."""

    progress: Progress
    rule: "Rule"
    """how a gradient changes the variables"""
    variables: tuple[Array, ...]
    """the point of the next evaluation, evaluations made, and both moments"""
    on_host: bool
    """whether the function takes NumPy arrays"""


def begin(start: Array, budget: int, learned: float = 0.0) -> State:
    """Return the state before the first evaluation, at ``start``."""
    rule = Rule(start, budget)
    return State(Progress(start, budget), rule, rule.values, isinstance(start, np.ndarray))


def step(function: Function, state: State) -> State:
    """Evaluate once, and follow the gradient."""
    point = state.variables[0]
    progress = state.progress.evaluated(function, to_numpy(point) if state.on_host else point)
    if progress.evaluation is None or progress.reason is Reason.NOT_FINITE:
        return replace(state, progress=progress)
    variables = state.rule(state.variables, progress.evaluation.gradient)
    return replace(state, progress=progress, variables=variables)


def turn(state: State, budget: int) -> State:
    """Return the state from which another function is lowered; both moments are kept."""
    rule = Rule(state.progress.best, budget)
    return replace(state, progress=state.progress.turned(budget), rule=rule)


def pack(state: State) -> Packed | None:
    """Write a state down; None before the first evaluation, when there is nothing to write."""
    if not state.progress.evaluations:
        return None
    variables = {
        f"variable {number}": to_numpy(value) for number, value in enumerate(state.variables)
    }
    return {**packing.pack(state.progress), **variables}


def unpack(packed: Packed, start: Array, budget: int) -> State:
    """Return what :func:`pack` wrote down. Raises CheckpointError for what cannot be it."""
    fresh = begin(start, budget)
    names = [f"variable {number}" for number in range(len(fresh.variables))]
    packing.check_names(packed, {"best", "bests", *names}, {"before"}, "Adam")
    packed = {name: paged.whole(array) for name, array in packed.items()}
    for name, variable in zip(names, fresh.variables, strict=True):
        array, shape, dtype = packed[name], tuple(variable.shape), dtype_of(variable)
        if array.shape != shape or str(array.dtype) != dtype or not np.isfinite(array).all():
            raise CheckpointError(f"{name!r} of the optimizer's state is not {shape}, {dtype}")
    variables = tuple(ops.convert_to_tensor(packed[name]) for name in names)
    return replace(fresh, progress=packing.unpack(packed, start, budget), variables=variables)


SOLVER = Solver(begin, step, turn, pack, unpack)
