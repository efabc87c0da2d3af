"""L-BFGS, one evaluation at a time, with its state as a value.

Nocedal and Wright 2006, "Numerical Optimization", algorithm 7.4 (two-loop recursion) and section
3.5 (interpolating line search). Points are arrays of any library with arithmetic operators: NumPy
arrays, arrays in files, or tensors that stay on their device. Only a few scalars are copied to
the host.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from impasto import filearray
from impasto.compute.arrays import array_namespace, is_tensor, to_numpy
from impasto.errors import CheckpointError
from impasto.optimizers import state_arrays
from impasto.optimizers.parametrization import Parametrization, scaled_dct
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

HISTORY = 10
"""Maximum number of curvature pairs."""

ARMIJO_C1 = 1e-4
"""Minimum decrease of a step, as a fraction of that predicted by the slope (Armijo condition)."""

MIN_SHRINK, MAX_SHRINK = 0.1, 0.5
"""Bounds of the factor by which a rejected step is shortened."""

MAX_BACKTRACKS = 12
"""Maximum number of evaluations along one direction."""

MIN_CURVATURE = 1e-10
"""Minimum curvature of a pair, relative to the lengths of its two vectors; others are dropped."""


@dataclass(frozen=True)
class CurvaturePair:
    """A step, the change of the gradient along it, and their inner product, which is positive."""

    step: Array
    change: Array
    curvature: float


@dataclass(frozen=True)
class Iterate:
    """The last accepted point in the solver's variables, with value and gradient."""

    variables: Array
    value: float
    gradient: Array


@dataclass(frozen=True)
class LineSearch:
    """The state of a line search."""

    variables: Array
    """the point of the next evaluation"""
    direction: Array
    slope: float
    """derivative of the value along the direction, at length 0"""
    length: float
    tries: int
    """number of evaluations along this line"""


@dataclass(frozen=True)
class LbfgsState:
    """The state of L-BFGS."""

    progress: SolverProgress
    parametrization: Parametrization
    """the parametrization of the points"""
    start: Array
    """the variables of the first evaluation"""
    curvature_scale: float = 0.0
    """sets the length of the first step, see :meth:`Lbfgs.begin`"""
    iterate: Iterate | None = None
    """None before the first evaluation"""
    pairs: tuple[CurvaturePair, ...] = ()
    line_search: LineSearch | None = None
    """None before the first evaluation, and at the end"""
    long_step_weight: float = 0.0
    """see :func:`two_loop_direction`"""


@dataclass(frozen=True)
class Lbfgs(Solver[LbfgsState]):
    """L-BFGS with backtracking line search."""

    parametrize: Callable[[Array, float], Parametrization] = scaled_dct
    """(initial point, exponent of the preconditioning) -> parametrization. By default the variables
    are scaled cosine coefficients, see
    :func:`impasto.optimizers.parametrization.frequency_scale`"""
    accepts_files: ClassVar[bool] = True

    def history_bytes(self, evaluations: int) -> float:
        """Return the bytes per pixel of the curvature pairs, with temporary arrays."""
        return 48.0 * min(evaluations - 1, HISTORY)

    def begin(
        self,
        start: Array,
        budget: int,
        curvature_scale: float = 0.0,
        preconditioning: Preconditioning = DEFAULT_PRECONDITIONING,
    ) -> LbfgsState:
        """Return the state before the first evaluation, at ``start``.

        The first step is minus the gradient, times ``curvature_scale``, the number of variables and
        ``preconditioning.first_step``. If ``curvature_scale`` is 0, the step has length one, as in
        SciPy.
        """
        parametrization = self.parametrize(start, preconditioning.exponent)
        return LbfgsState(
            SolverProgress(start, budget),
            parametrization,
            parametrization.variables(start),
            curvature_scale * preconditioning.first_step,
            long_step_weight=preconditioning.long_step_weight,
        )

    def step(self, function: ObjectiveFunction, state: LbfgsState) -> LbfgsState:
        """Evaluate once, and choose the next point."""
        variables = state.start if state.line_search is None else state.line_search.variables
        progress = state.progress.after_evaluation(function, state.parametrization.point(variables))
        if progress.evaluation is None or progress.reason is StopReason.NOT_FINITE:
            return replace(state, progress=progress)
        evaluation = progress.evaluation
        here = Iterate(
            variables, evaluation.total, state.parametrization.gradient(evaluation.gradient)
        )
        state = replace(state, progress=progress)
        if state.iterate is None or state.line_search is None:
            return _scale_first_step(_next_line_search(replace(state, iterate=here)))
        line = state.line_search
        if here.value <= state.iterate.value + ARMIJO_C1 * line.length * line.slope:
            pairs = _append_pair(state.pairs, line, here.gradient, state.iterate.gradient)
            return _next_line_search(replace(state, iterate=here, pairs=pairs))
        if line.tries + 1 < MAX_BACKTRACKS:
            length = _interpolate_length(line.length, state.iterate.value, line.slope, here.value)
            return _at_step_length(state, replace(line, length=length, tries=line.tries + 1))
        if state.pairs:
            return _next_line_search(replace(state, pairs=()))
        return _stop(state, StopReason.STALLED)

    def rebind(self, state: LbfgsState, budget: int) -> LbfgsState:
        """Return the state that continues with another function from the last accepted point.

        Curvature pairs are kept.
        """
        start = state.start if state.iterate is None else state.iterate.variables
        progress = state.progress.for_new_function(budget)
        return replace(
            state,
            progress=progress,
            start=start,
            curvature_scale=0.0,
            iterate=None,
            line_search=None,
        )

    def to_arrays(self, state: LbfgsState) -> StateArrays | None:
        """Return the state as named arrays; None before the first evaluation.

        The direction is not stored, since it follows from the gradient and the pairs.
        """
        if state.iterate is None:
            return None
        pairs: dict[str, NDArray[np.float32]] = {}
        for number, pair in enumerate(state.pairs):
            pairs[f"step {number}"] = to_numpy(pair.step)
            pairs[f"change {number}"] = to_numpy(pair.change)
        line = state.line_search
        search = {} if line is None else {"search": np.array([line.length, line.tries], np.float64)}
        return {
            **state_arrays.progress_to_arrays(state.progress),
            "point": to_numpy(state.iterate.variables),
            "gradient": to_numpy(state.iterate.gradient),
            "value": np.array([state.iterate.value], np.float64),
            "curvatures": np.array([pair.curvature for pair in state.pairs], np.float64),
            **search,
            **pairs,
        }

    def from_arrays(
        self,
        arrays: StateArrays,
        start: Array,
        budget: int,
        preconditioning: Preconditioning = DEFAULT_PRECONDITIONING,
    ) -> LbfgsState:
        """Return the state of :meth:`to_arrays`. Raises CheckpointError for other arrays.

        Without a line search in the arrays, a new one begins.
        """
        curvatures = state_arrays.read_numbers(arrays, "curvatures")
        value = state_arrays.read_numbers(arrays, "value")
        count = range(len(curvatures))
        pair_arrays = {f"{part} {number}" for part in ("step", "change") for number in count}
        required = {"best", "bests", "point", "gradient", "value", "curvatures"} | pair_arrays
        state_arrays.check_array_names(arrays, required, {"search", "before"}, "L-BFGS")
        if len(curvatures) > HISTORY or len(value) != 1:
            raise CheckpointError("its optimizer state is not one of L-BFGS")
        pairs = tuple(
            CurvaturePair(
                state_arrays.read_point(arrays, f"step {number}", start),
                state_arrays.read_point(arrays, f"change {number}", start),
                float(curvatures[number]),
            )
            for number in count
        )
        # Both are divisors of the two-loop recursion.
        if not all(pair.curvature > 0 and dot(pair.change, pair.change) > 0 for pair in pairs):
            raise CheckpointError("its optimizer state has invalid curvature pairs")
        point, gradient = (
            state_arrays.read_point(arrays, name, start) for name in ("point", "gradient")
        )
        result = Iterate(point, float(value[0]), gradient)
        progress = state_arrays.progress_from_arrays(arrays, start, budget)
        parametrization = self.parametrize(start, preconditioning.exponent)
        state = LbfgsState(progress, parametrization, point, 0.0, result, pairs)
        state = replace(state, long_step_weight=preconditioning.long_step_weight)
        state = _next_line_search(state)
        return _resume_line_search(state, arrays) if "search" in arrays else state

    def curvature_scale(self, state: LbfgsState) -> float:
        """Return the scale of the inverse Hessian along the newest step, divided by the variables.

        In an image of twice the size each variable doubles, since the cosine transform is
        orthonormal. The inverse Hessian of a loss that does not grow with the image grows fourfold.
        """
        if not state.pairs:
            return 0.0
        scale = float(_inverse_hessian_scale(state.pairs[-1].change, state.pairs[-1].curvature))
        return scale / math.prod(state.start.shape)


def two_loop_direction(
    gradient: Array, pairs: tuple[CurvaturePair, ...], long_step_weight: float = 0.0
) -> Array:
    """Return minus the approximate inverse Hessian times the gradient (algorithm 7.4).

    Before any pair, the inverse Hessian is (s·y / y·y)^(1 - p) (s·s / s·y)^p times the identity,
    with s and y of the newest pair and p = ``long_step_weight``. Departure from equation 7.20,
    which has p = 0: both are estimates along the newest step, the second the larger one (Barzilai
    and Borwein 1988, "Two-Point Step Size Gradient Methods").
    """
    if not pairs:
        return -gradient
    result, alphas = -gradient, []
    for pair in reversed(pairs):
        alpha = _inner_product(pair.step, result) / pair.curvature
        result = result - alpha * pair.change
        alphas.append(alpha)
    result = result * _initial_scale(pairs[-1], long_step_weight)
    for pair, alpha in zip(pairs, reversed(alphas), strict=True):
        result = result + (alpha - _inner_product(pair.change, result) / pair.curvature) * pair.step
    return result


def dot(a: Array, b: Array) -> float:
    """Return the inner product of two arrays, as a number."""
    return float(_inner_product(a, b))


def _inner_product(a: Array, b: Array) -> Any:
    """Return the inner product of two arrays: a float on the host, a tensor for tensors."""
    return filearray.dot(a, b) if filearray.is_on_host(a) else array_namespace(a).sum(a * b)


def _next_line_search(state: LbfgsState) -> LbfgsState:
    """Return the state with a new line search; ended if no direction descends."""
    if state.progress.reason is not None:
        return replace(state, line_search=None)
    assert state.iterate is not None
    direction = two_loop_direction(state.iterate.gradient, state.pairs, state.long_step_weight)
    slope = dot(direction, state.iterate.gradient)
    if slope < 0.0:
        length = 1.0 if state.pairs else 1.0 / dot(direction, direction) ** 0.5
        return _at_step_length(state, LineSearch(direction, direction, slope, length, 0))
    if state.pairs:
        return _next_line_search(replace(state, pairs=()))
    flat = not dot(state.iterate.gradient, state.iterate.gradient)
    return _stop(state, StopReason.CONVERGED if flat else StopReason.STALLED)


def _scale_first_step(state: LbfgsState) -> LbfgsState:
    """Return the state with the length of the first step set by ``curvature_scale``."""
    if state.line_search is None or state.pairs or not state.curvature_scale:
        return state
    return _at_step_length(
        state,
        replace(state.line_search, length=state.curvature_scale * math.prod(state.start.shape)),
    )


def _inverse_hessian_scale(change: Array, curvature: float) -> Any:
    """Return the scale of the inverse Hessian along a step (equation 7.20)."""
    return curvature / _inner_product(change, change)


def _initial_scale(pair: CurvaturePair, long_step_weight: float) -> Any:
    """Return the scale of the inverse Hessian before any pair, see :func:`two_loop_direction`."""
    scale = _inverse_hessian_scale(pair.change, pair.curvature)
    if not long_step_weight:
        return scale
    larger = _inner_product(pair.step, pair.step) / pair.curvature
    return scale ** (1 - long_step_weight) * larger**long_step_weight


def _at_step_length(state: LbfgsState, line: LineSearch) -> LbfgsState:
    """Return the state whose next evaluation is at the length of the line search."""
    assert state.iterate is not None
    variables = state.iterate.variables + line.length * line.direction
    return replace(state, line_search=replace(line, variables=variables))


def _stop(state: LbfgsState, reason: StopReason) -> LbfgsState:
    return replace(state, progress=replace(state.progress, reason=reason), line_search=None)


def _append_pair(
    pairs: tuple[CurvaturePair, ...], line: LineSearch, gradient: Array, before: Array
) -> tuple[CurvaturePair, ...]:
    taken, change, products = _curvature_pair(line.length, line.direction, gradient, before)
    if is_tensor(products):
        products = to_numpy(products).tolist()
    curvature, *squares = products
    lengths = math.prod(squares) ** 0.5
    if not curvature > MIN_CURVATURE * lengths:
        return pairs
    return (*pairs, CurvaturePair(taken, change, curvature))[-HISTORY:]


def _curvature_pair(
    length: float, direction: Array, gradient: Array, before: Array
) -> tuple[Array, Array, Any]:
    """Return a step, the change of the gradient along it, and their inner products."""
    taken, change = length * direction, gradient - before
    products = [
        _inner_product(taken, change),
        _inner_product(taken, taken),
        _inner_product(change, change),
    ]
    if is_tensor(change):  # stacked, so that there is one transfer from the device
        return taken, change, array_namespace(change).stack(products)
    return taken, change, products


def _interpolate_length(length: float, start: float, slope: float, value: float) -> float:
    """Return the minimum of the parabola through both values and the slope, within bounds."""
    lowest = -slope * length**2 / (2 * (value - start - slope * length))
    return float(np.clip(lowest, MIN_SHRINK * length, MAX_SHRINK * length))


def _resume_line_search(state: LbfgsState, arrays: StateArrays) -> LbfgsState:
    """Return the state with the stored line search."""
    numbers = state_arrays.read_numbers(arrays, "search")
    if len(numbers) != 2 or not (numbers[0] > 0 and 0 <= numbers[1] < MAX_BACKTRACKS):
        raise CheckpointError("its optimizer state has an invalid line search")
    if state.line_search is None:
        return state
    return _at_step_length(
        state, replace(state.line_search, length=float(numbers[0]), tries=int(numbers[1]))
    )
