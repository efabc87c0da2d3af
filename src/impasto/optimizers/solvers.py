"""L-BFGS, SciPy's L-BFGS-B and Keras's Adam. They know arrays and not what is in them.

Each takes a function of an array that gives value and gradient, a start, and a budget of
evaluations, and returns the best point seen and why it ended. Arrays are NumPy's, or tensors of
the running backend, which then stay on their device (but for SciPy, which takes NumPy's alone).

L-BFGS and Adam offer their state after every iteration, as arrays by name, and go on from it so
that every later point is the same to the last bit. SciPy keeps its state to itself.
"""

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import scipy.fft
import scipy.optimize
from numpy.typing import NDArray

from impasto.compute.backend import Array, dtype_of, keras, ops, to_numpy
from impasto.errors import CheckpointError
from impasto.optimizers import lbfgs as limited
from impasto.optimizers.solver import Reason

Function: TypeAlias = Callable[[Array], tuple[float, Array]]
"""point -> (value, gradient of the point's shape)"""
OnStep: TypeAlias = Callable[[Array, float], bool | None]
"""Told every point and its value; returning False stops the optimizer."""
State: TypeAlias = Mapping[str, NDArray[Any]]
"""Everything that the next iteration depends on, by name; numbers as float64."""
Offer: TypeAlias = Callable[[Callable[[], State]], None]
"""Told after every iteration how to have its state; what costs is to call that, now or later."""

ABNORMAL = 2
"""SciPy's status for a line search that found no lower point."""

PATIENCE, LEAST_GAIN = 15, 1e-3
"""A run has stalled when its best value fell by less than this share over so many evaluations."""

STEP = 400.0
"""What one unit of L-BFGS's variables means in pixel values at the lowest frequency.

The first step has length one over all variables together. In units of pixel values it is
invisible, and the first line search then wastes about ten evaluations creeping up.
"""

ADAM_RATE = 8.0
"""Adam's learning rate at the start, in pixel values, falling to zero along a cosine."""


@dataclass(frozen=True)
class Solution:
    """The best point seen, its value, how many evaluations it took, and why it ended."""

    point: Array
    value: float
    evaluations: int
    reason: Reason


class _Ended(Exception):
    """Leaves a library's loop from within the function it minimizes."""


def _decline(state: Callable[[], State]) -> None:
    """Take no state."""


@dataclass
class _Watch:
    """Evaluates, keeps the best point, and decides when to end."""

    function: Function
    budget: int
    on_step: OnStep
    point: Array
    value: float = np.inf
    bests: list[float] = field(default_factory=list)
    reason: Reason = Reason.CONVERGED

    def __call__(self, point: Array) -> tuple[float, Array]:
        if len(self.bests) >= self.budget:
            self._end(Reason.BUDGET)
        value, gradient = self.function(point)
        if not (np.isfinite(value) and _finite(gradient)):
            self._end(Reason.NOT_FINITE)
        if value < self.value:
            self.point, self.value = point, value
        self.bests.append(self.value)
        if self.on_step(point, value) is False:
            self._end(Reason.STOPPED)
        if self._stalled():
            self._end(Reason.STALLED)
        return value, gradient

    def _stalled(self) -> bool:
        if len(self.bests) <= PATIENCE:
            return False
        return self.bests[-1 - PATIENCE] - self.value < LEAST_GAIN * abs(self.value)

    def _end(self, reason: Reason) -> None:
        self.reason = reason
        raise _Ended

    def solution(self) -> Solution:
        return Solution(self.point, self.value, len(self.bests), self.reason)

    def state(self) -> Callable[[], State]:
        """Return how to have the state of this moment."""
        point, seen = self.point, len(self.bests)
        return lambda: {"best": to_numpy(point), "bests": np.array(self.bests[:seen])}

    def go_on(self, before: State) -> None:
        """Take a state up again. Raises CheckpointError for what cannot be one."""
        bests = _numbers(before, "bests")
        if not 0 < len(bests) <= self.budget or (np.diff(bests) > 0).any():
            raise CheckpointError("the best values in it are no history of this level")
        self.point = _like(before, "best", self.point)
        self.bests, self.value = bests.tolist(), float(bests[-1])


def _like(state: State, name: str, point: Array) -> Array:
    """Return an array of a state where ``point`` is, a tensor or NumPy's.

    Raises CheckpointError unless it is float32, finite and of the same shape.
    """
    array = state.get(name, np.empty(0))
    shape = tuple(point.shape)
    if array.shape != shape or array.dtype != np.float32 or not np.isfinite(array).all():
        raise CheckpointError(f"{name!r} of the optimizer's state is not of shape {shape}, float32")
    return array if isinstance(point, np.ndarray) else ops.convert_to_tensor(array)


def _numbers(state: State, name: str) -> NDArray[np.float64]:
    """Return a row of numbers of a state. Raises CheckpointError unless all are finite float64."""
    array = state.get(name, np.empty(0, np.float32))
    if array.ndim != 1 or array.dtype != np.float64 or not np.isfinite(array).all():
        raise CheckpointError(f"{name!r} of the optimizer's state is not a row of float64")
    return array


def lbfgs(
    function: Function,
    start: Array,
    budget: int,
    on_step: OnStep,
    before: State | None = None,
    offer: Offer = _decline,
) -> Solution:
    """Minimize with L-BFGS in scaled frequencies; see :mod:`impasto.optimizers.lbfgs`.

    The variables are the coefficients of the picture's discrete cosine transform, each in a unit
    of its own (see :func:`frequency_units`). ``start`` is an array (height, width, channels); at
    most ``budget`` evaluations are made, those ``before`` the state to go on from among them.
    Raises CheckpointError for a state that is none of this function's.
    """
    watch = _Watch(function, budget, on_step, start)
    scaled, variables = _in_frequencies(watch, start)
    if before is not None:
        watch.go_on(before)
    with contextlib.suppress(_Ended):
        state: limited.State | None = (
            limited.begin(scaled, variables) if before is None else _taken_up(before, variables)
        )
        while state is not None:
            offer(_written_down(watch, state))
            flat = not _dot(state.gradient, state.gradient)
            state = limited.iterate(scaled, state, _dot)
        watch.reason = Reason.CONVERGED if flat else Reason.STALLED
    return watch.solution()


def _written_down(watch: _Watch, state: limited.State) -> Callable[[], State]:
    """Return how to have a state of L-BFGS and of what watches it, as arrays by name."""
    watched = watch.state()

    def arrays() -> State:
        pairs = {}
        for number, pair in enumerate(state.pairs):
            pairs[f"step {number}"] = to_numpy(pair.step)
            pairs[f"change {number}"] = to_numpy(pair.change)
        return {
            **watched(),
            "point": to_numpy(state.point),
            "gradient": to_numpy(state.gradient),
            "value": np.array([state.value], np.float64),
            "curvatures": np.array([pair.curvature for pair in state.pairs], np.float64),
            **pairs,
        }

    return arrays


def _taken_up(before: State, variables: Array) -> limited.State:
    """Return what :func:`_written_down` gave. Raises CheckpointError for what cannot be it."""
    curvatures = _numbers(before, "curvatures")
    value = _numbers(before, "value")
    known = {"best", "bests", "point", "gradient", "value", "curvatures"}
    numbers = range(len(curvatures))
    known.update(f"{part} {number}" for part in ("step", "change") for number in numbers)
    if len(curvatures) > limited.MEMORY or len(value) != 1 or set(before) != known:
        raise CheckpointError("the optimizer's state in it is not one of L-BFGS")
    pairs = tuple(
        limited.Pair(
            _like(before, f"step {number}", variables),
            _like(before, f"change {number}", variables),
            float(curvatures[number]),
        )
        for number in numbers
    )
    # The directions are divided by both.
    if not all(pair.curvature > 0 and _dot(pair.change, pair.change) > 0 for pair in pairs):
        raise CheckpointError("the optimizer's state in it has steps without curvature")
    point, gradient = (_like(before, name, variables) for name in ("point", "gradient"))
    return limited.State(point, float(value[0]), gradient, pairs)


def scipy_lbfgs(
    function: Function,
    start: Array,
    budget: int,
    on_step: OnStep,
    before: State | None = None,
    offer: Offer = _decline,
) -> Solution:
    """Minimize with SciPy's L-BFGS-B, without bounds, in the variables of :func:`lbfgs`.

    Byrd, Lu, Nocedal and Zhu 1995. At most ``budget`` evaluations are made. It offers no state,
    and raises CheckpointError if it is to go on from one.
    """
    if before is not None:
        raise CheckpointError("SciPy's optimizer cannot go on from a state, and it has one")
    start = to_numpy(start)
    watch = _Watch(function, budget, on_step, start)
    scaled, variables = _in_frequencies(watch, start)

    def flat(vector: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        value, gradient = scaled(vector.reshape(start.shape).astype(np.float32))
        return value, gradient.ravel().astype(np.float64)

    options = {
        "maxcor": limited.MEMORY,
        "maxfun": budget + 1,
        "maxiter": budget + 1,
        "ftol": 0,
        "gtol": 0,
    }
    with contextlib.suppress(_Ended):
        found = scipy.optimize.minimize(
            flat,
            variables.ravel().astype(np.float64),
            jac=True,
            method="L-BFGS-B",
            options=options,
        )
        if found.status == ABNORMAL:
            watch.reason = Reason.STALLED
    return watch.solution()


def _in_frequencies(function: Function, start: Array) -> tuple[Function, Array]:
    """Return the function, and the start, in scaled coefficients of the cosine transform."""
    height, width, _ = start.shape
    if isinstance(start, np.ndarray):
        units = frequency_units(height, width)
        forward, inverse = _cosine, _inverse_cosine
    else:
        units = ops.convert_to_tensor(frequency_units(height, width))
        forward, inverse = _cosine_on_device(height, width)

    def scaled(variables: Array) -> tuple[float, Array]:
        value, gradient = function(inverse(variables * units))
        return value, forward(gradient) * units

    return scaled, forward(start) / units


def frequency_units(height: int, width: int) -> Array:
    """Return what one unit of each cosine coefficient means, (height, width, 1).

    STEP / sqrt(1 + f), where f is the radial frequency in half periods over the picture. The
    features answer coarse changes far more than fine ones of the same size; with every frequency
    in its own unit the curvature is more even, and L-BFGS needs fewer evaluations.
    """
    rows, columns = np.arange(height)[:, None], np.arange(width)[None, :]
    frequency = np.hypot(rows, columns)
    return (STEP / np.sqrt(1.0 + frequency))[..., None].astype(np.float32)


def _cosine(picture: Array) -> Array:
    return scipy.fft.dctn(picture, axes=(0, 1), norm="ortho", workers=-1)


def _inverse_cosine(coefficients: Array) -> Array:
    return scipy.fft.idctn(coefficients, axes=(0, 1), norm="ortho", workers=-1)


def _cosine_on_device(height: int, width: int) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Return the transform and its inverse as products with its matrices."""
    rows, columns = (
        ops.convert_to_tensor(scipy.fft.dct(np.eye(length, dtype=np.float32), axis=0, norm="ortho"))
        for length in (height, width)
    )

    def transform(left: Array, array: Array, right: Array) -> Array:
        apart = ops.transpose(array, (2, 0, 1))
        return ops.transpose(ops.matmul(ops.matmul(left, apart), right), (1, 2, 0))

    return (
        lambda picture: transform(rows, picture, ops.transpose(columns)),
        lambda coefficients: transform(ops.transpose(rows), coefficients, columns),
    )


def _dot(a: Array, b: Array) -> float:
    if isinstance(a, np.ndarray):
        return float(np.vdot(a, b))
    return float(ops.sum(a * b))


def _finite(array: Array) -> bool:
    if isinstance(array, np.ndarray):
        return bool(np.isfinite(array).all())
    return bool(ops.all(ops.isfinite(array)))


def adam(
    function: Function,
    start: Array,
    budget: int,
    on_step: OnStep,
    before: State | None = None,
    offer: Offer = _decline,
) -> Solution:
    """Minimize with Keras's Adam, the rate falling from ADAM_RATE to zero along a cosine.

    Kingma and Ba 2015. At most ``budget`` evaluations are made, those ``before`` the state to go
    on from among them. Raises CheckpointError for a state that is none of this function's.
    """
    rate = keras.optimizers.schedules.CosineDecay(ADAM_RATE, budget)
    optimizer = keras.optimizers.Adam(rate)
    variable = keras.Variable(start)
    optimizer.build([variable])
    variables = [variable, *optimizer.variables]  # the point, iterations done, both moments
    watch = _Watch(function, budget, on_step, start)
    if before is not None:
        watch.go_on(before)
        _assign(variables, before)
    try:
        while True:
            point = ops.stop_gradient(ops.copy(variable.value))
            is_numpy = isinstance(start, np.ndarray)
            _, gradient = watch(ops.convert_to_numpy(point) if is_numpy else point)
            optimizer.apply([ops.convert_to_tensor(gradient)], [variable])
            offer(_copied(variables, watch))
    except _Ended:
        return watch.solution()


def _copied(variables: list[Any], watch: _Watch) -> Callable[[], State]:
    """Return how to have the variables as they are now, and what the watch knows."""
    watched = watch.state()
    values = [ops.stop_gradient(ops.copy(each.value)) for each in variables]
    return lambda: {
        **watched(),
        **{f"variable {number}": to_numpy(value) for number, value in enumerate(values)},
    }


def _assign(variables: list[Any], before: State) -> None:
    """Give variables the values of a state. Raises CheckpointError where they are others."""
    named = {f"variable {number}": variable for number, variable in enumerate(variables)}
    if set(before) != {"best", "bests", *named}:
        raise CheckpointError("the optimizer's state in it is not one of Adam")
    for name, variable in named.items():
        array, shape, dtype = before[name], tuple(variable.shape), dtype_of(variable)
        if array.shape != shape or str(array.dtype) != dtype or not np.isfinite(array).all():
            raise CheckpointError(f"{name!r} of the optimizer's state is not {shape}, {dtype}")
        variable.assign(ops.convert_to_tensor(array))


Optimizer: TypeAlias = Callable[[Function, Array, int, OnStep, State | None, Offer], Solution]

OPTIMIZERS: dict[str, Optimizer] = {
    "lbfgs": lbfgs,
    "scipy": scipy_lbfgs,
    "adam": adam,
}
"""Every optimizer, by the name that the setting ``optimizer`` takes."""
