"""L-BFGS, one evaluation at a time, with its state as a value.

Nocedal and Wright 2006, "Numerical Optimization", algorithm 7.4 (two-loop recursion) and section
3.5 (interpolating line search). Points are arrays of any library with arithmetic operators: NumPy
arrays, paged ones, or tensors that stay on their device. Only a few scalars are copied to the
host.
"""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from impasto import filearray
from impasto.compute.arrays import array_namespace, is_tensor, to_numpy
from impasto.errors import CheckpointError
from impasto.optimizers import packing
from impasto.optimizers.solver import Array, Function, Packed, Progress, Reason, Solver
from impasto.optimizers.units import Units, of_frequencies

MEMORY = 10
"""Pairs of steps and gradient changes that are remembered."""

SUFFICIENT = 1e-4
"""Share of the fall that the slope promises which a step must bring (Armijo's condition)."""

SHORTEST, LONGEST = 0.1, 0.5
"""Bounds on how much shorter the next try of a step is than the one that failed."""

TRIES = 12
"""Tries of a step, each shorter than the last, before a direction is given up."""

FLAT = 1e-10
"""Curvature of a step, relative to its lengths, at which it says nothing and is not kept."""


@dataclass(frozen=True)
class Pair:
    """A step, how the gradient changed along it, and their inner product, which is positive."""

    step: Array
    change: Array
    curvature: float


@dataclass(frozen=True)
class Found:
    """The point that was accepted last, in the solver's variables, with value and gradient."""

    variables: Array
    value: float
    gradient: Array


@dataclass(frozen=True)
class Search:
    """Where along a line the function is to be evaluated next."""

    variables: Array
    """the point of the next evaluation"""
    direction: Array
    slope: float
    """the value's derivative along the direction, at length 0"""
    length: float
    tries: int
    """evaluations made along this line"""


@dataclass(frozen=True)
class State:
    """Everything that the next evaluation depends on."""

    progress: Progress
    units: Units
    """what the variables mean"""
    start: Array
    """the variables of the first evaluation"""
    learned: float = 0.0
    """see :func:`learned`; what the first step goes by"""
    found: Found | None = None
    """None before the first evaluation"""
    pairs: tuple[Pair, ...] = ()
    search: Search | None = None
    """None before the first evaluation, and at the end"""


def begin(start: Array, budget: int, learned: float = 0.0, *, units: Units | None = None) -> State:
    """Return the state before the first evaluation, at ``start`` (height, width, channels).

    The first step follows the gradient: ``learned`` times the number of variables far, or if
    nothing is known so that it has length one, as in SciPy.

    The variables are the coefficients of the picture's discrete cosine transform, each in a unit
    of its own (see :func:`impasto.optimizers.units.frequency_units`), unless others are given.
    """
    units = units or of_frequencies(start)
    return State(Progress(start, budget), units, units.variables(start), learned)


def step(function: Function, state: State) -> State:
    """Evaluate once, and say where next."""
    variables = state.start if state.search is None else state.search.variables
    progress = state.progress.evaluated(function, state.units.point(variables))
    if progress.evaluation is None or progress.reason is Reason.NOT_FINITE:
        return replace(state, progress=progress)
    evaluation = progress.evaluation
    here = Found(variables, evaluation.total, state.units.gradient(evaluation.gradient))
    state = replace(state, progress=progress)
    if state.found is None or state.search is None:
        return _stretched(_searched(replace(state, found=here)))
    line = state.search
    if here.value <= state.found.value + SUFFICIENT * line.length * line.slope:
        pairs = _remembered(state.pairs, line, here.gradient, state.found.gradient)
        return _searched(replace(state, found=here, pairs=pairs))
    if line.tries + 1 < TRIES:
        length = _shorter(line.length, state.found.value, line.slope, here.value)
        return _at(state, replace(line, length=length, tries=line.tries + 1))
    return _searched(replace(state, pairs=())) if state.pairs else _ended(state, Reason.STALLED)


def turn(state: State, budget: int) -> State:
    """Return the state from which another function is lowered; pairs of steps are kept.

    It begins at the point that was accepted last.
    """
    start = state.start if state.found is None else state.found.variables
    return State(state.progress.turned(budget), state.units, start, 0.0, pairs=state.pairs)


def direction(gradient: Array, pairs: tuple[Pair, ...]) -> Array:
    """Return minus the approximate inverse Hessian times the gradient (algorithm 7.4)."""
    if not pairs:
        return -gradient
    result, shares = -gradient, []
    for pair in reversed(pairs):
        share = _dot(pair.step, result) / pair.curvature
        result = result - share * pair.change
        shares.append(share)
    result = result * _size(pairs[-1].change, pairs[-1].curvature)
    for pair, share in zip(pairs, reversed(shares), strict=True):
        result = result + (share - _dot(pair.change, result) / pair.curvature) * pair.step
    return result


def dot(a: Array, b: Array) -> float:
    """Return the inner product of two arrays, as a number."""
    return float(_dot(a, b))


def _dot(a: Array, b: Array) -> Any:
    """Return the inner product of two arrays: a number of the host's, a tensor of tensors."""
    return filearray.dot(a, b) if filearray.is_on_host(a) else array_namespace(a).sum(a * b)


def _searched(state: State) -> State:
    """Return the state with the next line to search, or ended where none leads down."""
    if state.progress.reason is not None:
        return replace(state, search=None)
    assert state.found is not None
    way = direction(state.found.gradient, state.pairs)
    slope = dot(way, state.found.gradient)
    if slope < 0.0:
        length = 1.0 if state.pairs else 1.0 / dot(way, way) ** 0.5
        return _at(state, Search(way, way, slope, length, 0))
    if state.pairs:
        return _searched(replace(state, pairs=()))
    flat = not dot(state.found.gradient, state.found.gradient)
    return _ended(state, Reason.CONVERGED if flat else Reason.STALLED)


def _stretched(state: State) -> State:
    """Return the state with the first step as long as another run's curvature says."""
    if state.search is None or state.pairs or not state.learned:
        return state
    return _at(state, replace(state.search, length=state.learned * math.prod(state.start.shape)))


def learned(state: State) -> float:
    """Return the size of the inverse Hessian along the newest step, by number of variables.

    Of a picture twice as large every variable doubles (the cosine transform is orthonormal), and
    so the inverse Hessian of a loss that does not grow with the picture grows fourfold.
    """
    if not state.pairs:
        return 0.0
    newest = state.pairs[-1]
    return float(_size(newest.change, newest.curvature)) / math.prod(state.start.shape)


def _size(change: Array, curvature: float) -> Any:
    """Return the size of the inverse Hessian along a step (equation 7.20), as :func:`_dot` does."""
    return curvature / _dot(change, change)


def _at(state: State, line: Search) -> State:
    """Return the state whose next evaluation lies at the line's length."""
    assert state.found is not None
    variables = _along(state.found.variables, line.length, line.direction)
    return replace(state, search=replace(line, variables=variables))


def _ended(state: State, reason: Reason) -> State:
    return replace(state, progress=replace(state.progress, reason=reason), search=None)


def _along(variables: Array, length: float, direction: Array) -> Array:
    return variables + length * direction


def _remembered(
    pairs: tuple[Pair, ...], line: Search, gradient: Array, before: Array
) -> tuple[Pair, ...]:
    taken, change, products = _pair(line.length, line.direction, gradient, before)
    if is_tensor(products):
        products = to_numpy(products).tolist()
    curvature, *squares = products
    lengths = math.prod(squares) ** 0.5
    if not curvature > FLAT * lengths:
        return pairs
    return (*pairs, Pair(taken, change, curvature))[-MEMORY:]


def _pair(
    length: float, direction: Array, gradient: Array, before: Array
) -> tuple[Array, Array, Any]:
    """Return a step, how the gradient changed along it, and their products."""
    taken, change = length * direction, gradient - before
    products = [_dot(taken, change), _dot(taken, taken), _dot(change, change)]
    if is_tensor(change):  # in one, so that a device is waited for once
        return taken, change, array_namespace(change).stack(products)
    return taken, change, products


def _shorter(length: float, start: float, slope: float, value: float) -> float:
    """Return the length at which a parabola through what is known is lowest, within bounds."""
    lowest = -slope * length**2 / (2 * (value - start - slope * length))
    return float(np.clip(lowest, SHORTEST * length, LONGEST * length))


def pack(state: State) -> Packed | None:
    """Write a state down; None before the first evaluation, when there is nothing to write.

    The direction is left out: it is computed again from the gradient and the pairs.
    """
    if state.found is None:
        return None
    pairs: dict[str, NDArray[np.float32]] = {}
    for number, pair in enumerate(state.pairs):
        pairs[f"step {number}"] = to_numpy(pair.step)
        pairs[f"change {number}"] = to_numpy(pair.change)
    line = state.search
    search = {} if line is None else {"search": np.array([line.length, line.tries], np.float64)}
    return {
        **packing.pack(state.progress),
        "point": to_numpy(state.found.variables),
        "gradient": to_numpy(state.found.gradient),
        "value": np.array([state.found.value], np.float64),
        "curvatures": np.array([pair.curvature for pair in state.pairs], np.float64),
        **search,
        **pairs,
    }


def unpack(packed: Packed, start: Array, budget: int) -> State:
    """Return the state that :func:`pack` wrote down, with variables as :func:`begin` has them.

    Without a search in it a new line begins. Raises CheckpointError for what cannot be a state.
    """
    curvatures, value = packing.numbers(packed, "curvatures"), packing.numbers(packed, "value")
    count = range(len(curvatures))
    arrays = {f"{part} {number}" for part in ("step", "change") for number in count}
    required = {"best", "bests", "point", "gradient", "value", "curvatures"} | arrays
    packing.check_names(packed, required, {"search", "before"}, "L-BFGS")
    if len(curvatures) > MEMORY or len(value) != 1:
        raise CheckpointError("its optimizer state is not one of L-BFGS")
    pairs = tuple(
        Pair(
            packing.like(packed, f"step {number}", start),
            packing.like(packed, f"change {number}", start),
            float(curvatures[number]),
        )
        for number in count
    )
    # Directions are divided by both.
    if not all(pair.curvature > 0 and dot(pair.change, pair.change) > 0 for pair in pairs):
        raise CheckpointError("its optimizer state has invalid curvature pairs")
    point, gradient = (packing.like(packed, name, start) for name in ("point", "gradient"))
    found = Found(point, float(value[0]), gradient)
    progress = packing.unpack(packed, start, budget)
    state = _searched(State(progress, of_frequencies(start), point, 0.0, found, pairs))
    return _gone_on(state, packed) if "search" in packed else state


def _gone_on(state: State, packed: Packed) -> State:
    """Return the state within the search that was written down."""
    numbers = packing.numbers(packed, "search")
    if len(numbers) != 2 or not (numbers[0] > 0 and 0 <= numbers[1] < TRIES):
        raise CheckpointError("its optimizer state has an invalid line search")
    if state.search is None:
        return state
    return _at(state, replace(state.search, length=float(numbers[0]), tries=int(numbers[1])))


SOLVER = Solver(begin, step, turn, pack, unpack, learned)
