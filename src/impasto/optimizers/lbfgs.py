"""L-BFGS whose state is a value: it can be kept, written down, and gone on from.

Nocedal and Wright 2006, "Numerical Optimization", algorithm 7.4 (two loops over the last steps)
and section 3.5 (interpolating line search). Points are arrays of any library that adds and
multiplies with operators (NumPy, or tensors that stay on their device); only a few numbers ever
leave them.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np

Array: TypeAlias = Any
Function: TypeAlias = Callable[[Array], tuple[float, Array]]
"""point -> (value, gradient of the point's shape)"""
Dot: TypeAlias = Callable[[Array, Array], float]
"""The inner product of two arrays, as a number."""

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
class State:
    """Everything that the next iteration depends on."""

    point: Array
    value: float
    gradient: Array
    pairs: tuple[Pair, ...] = ()


def begin(function: Function, point: Array, pairs: tuple[Pair, ...] = ()) -> State:
    """Evaluate the start; ``pairs`` may be those of a problem that is curved alike."""
    value, gradient = function(point)
    return State(point, value, gradient, pairs)


def iterate(function: Function, state: State, dot: Dot) -> State | None:
    """Take one step downhill; None if there is none to take.

    Makes one evaluation, more where the first try is too long. The first step of all has length
    one, as in SciPy.
    """
    way = direction(state, dot)
    slope = dot(way, state.gradient)
    if not slope < 0.0:
        return iterate(function, replace(state, pairs=()), dot) if state.pairs else None
    length = 1.0 if state.pairs else 1.0 / dot(way, way) ** 0.5
    for _ in range(TRIES):
        point = state.point + length * way
        value, gradient = function(point)
        if value <= state.value + SUFFICIENT * length * slope:
            step, change = length * way, gradient - state.gradient
            return State(point, value, gradient, _remembered(state.pairs, step, change, dot))
        length = _shorter(length, state.value, slope, value)
    return iterate(function, replace(state, pairs=()), dot) if state.pairs else None


def direction(state: State, dot: Dot) -> Array:
    """Return minus the approximate inverse Hessian times the gradient (algorithm 7.4)."""
    way = -state.gradient
    shares = []
    for pair in reversed(state.pairs):
        share = dot(pair.step, way) / pair.curvature
        way = way - share * pair.change
        shares.append(share)
    if state.pairs:
        newest = state.pairs[-1]
        # Equation 7.20: the size of the inverse Hessian along the newest step.
        way = way * (newest.curvature / dot(newest.change, newest.change))
    for pair, share in zip(state.pairs, reversed(shares), strict=True):
        way = way + (share - dot(pair.change, way) / pair.curvature) * pair.step
    return way


def _remembered(pairs: tuple[Pair, ...], step: Array, change: Array, dot: Dot) -> tuple[Pair, ...]:
    curvature = dot(step, change)
    lengths = (dot(step, step) * dot(change, change)) ** 0.5
    if not curvature > FLAT * lengths:
        return pairs
    return (*pairs, Pair(step, change, curvature))[-MEMORY:]


def _shorter(length: float, start: float, slope: float, value: float) -> float:
    """Return the length at which a parabola through what is known is lowest, within bounds."""
    if not np.isfinite(value):
        return SHORTEST * length
    lowest = -slope * length**2 / (2 * (value - start - slope * length))
    return float(np.clip(lowest, SHORTEST * length, LONGEST * length))
