"""SciPy's L-BFGS and Keras's Adam. They know arrays and not what is in them.

Each takes a function of an array that gives value and gradient, a start, and a budget of
evaluations, and returns the best point seen and why it ended.
"""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import scipy.fft
import scipy.optimize
from numpy.typing import NDArray

from impasto.events import Reason

Array: TypeAlias = NDArray[np.float32]
Function: TypeAlias = Callable[[Array], tuple[float, Array]]
"""point -> (value, gradient of the point's shape)"""
OnStep: TypeAlias = Callable[[Array, float], bool | None]
"""Told every point and its value; returning False stops the optimiser."""

ABNORMAL = 2
"""SciPy's status for a line search that found no lower point."""

MEMORY = 20
"""Pairs of steps and gradient changes that L-BFGS remembers."""

PATIENCE, LEAST_GAIN = 15, 1e-3
"""A run has stalled when its best value fell by less than this share over so many evaluations."""

STEP = 400.0
"""What one unit of L-BFGS's variables means in pixel values at the lowest frequency.

SciPy's first step has length one over all variables together. In units of pixel values it is
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
    """Leaves a library's loop from within the function it minimises."""


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
        if not (np.isfinite(value) and np.isfinite(gradient).all()):
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


def lbfgs(function: Function, start: Array, budget: int, on_step: OnStep) -> Solution:
    """Minimise with SciPy's L-BFGS-B, without bounds, in scaled frequencies.

    Byrd, Lu, Nocedal and Zhu 1995; the variables are the coefficients of the picture's discrete
    cosine transform, each in a unit of its own (see :func:`frequency_units`). ``start`` is an
    array (height, width, channels); at most ``budget`` evaluations are made.
    """
    units = frequency_units(*start.shape[:2])
    watch = _Watch(function, budget, on_step, start)

    def scaled(variables: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        coefficients = variables.reshape(start.shape).astype(np.float32) * units
        value, gradient = watch(_from_frequencies(coefficients))
        return value, (_to_frequencies(gradient) * units).ravel().astype(np.float64)

    initial = (_to_frequencies(start) / units).ravel().astype(np.float64)
    options = {"maxcor": MEMORY, "maxfun": budget + 1, "maxiter": budget + 1, "ftol": 0, "gtol": 0}
    with contextlib.suppress(_Ended):
        found = scipy.optimize.minimize(
            scaled, initial, jac=True, method="L-BFGS-B", options=options
        )
        if found.status == ABNORMAL:
            watch.reason = Reason.STALLED
    return watch.solution()


def frequency_units(height: int, width: int) -> Array:
    """Return what one unit of each cosine coefficient means, (height, width, 1).

    STEP / sqrt(1 + f), where f is the radial frequency in half periods over the picture. The
    features answer coarse changes far more than fine ones of the same size; with every frequency
    in its own unit the curvature is more even, and L-BFGS needs fewer evaluations.
    """
    rows, columns = np.arange(height)[:, None], np.arange(width)[None, :]
    frequency = np.hypot(rows, columns)
    return (STEP / np.sqrt(1.0 + frequency))[..., None].astype(np.float32)


def _to_frequencies(picture: Array) -> Array:
    return scipy.fft.dctn(picture, axes=(0, 1), norm="ortho", workers=-1)


def _from_frequencies(coefficients: Array) -> Array:
    return scipy.fft.idctn(coefficients, axes=(0, 1), norm="ortho", workers=-1)


def adam(function: Function, start: Array, budget: int, on_step: OnStep) -> Solution:
    """Minimise with Keras's Adam, the rate falling from ADAM_RATE to zero along a cosine.

    Kingma and Ba 2015. At most ``budget`` evaluations are made.
    """
    from impasto.backend import keras

    rate = keras.optimizers.schedules.CosineDecay(ADAM_RATE, budget)
    optimizer = keras.optimizers.Adam(rate)
    variable = keras.Variable(start)
    watch = _Watch(function, budget, on_step, start)
    try:
        while True:
            _, gradient = watch(keras.ops.convert_to_numpy(variable.value).copy())
            optimizer.apply([keras.ops.convert_to_tensor(gradient)], [variable])
    except _Ended:
        return watch.solution()


OPTIMIZERS: dict[str, Callable[[Function, Array, int, OnStep], Solution]] = {
    "lbfgs": lbfgs,
    "adam": adam,
}
"""Every optimiser, by the name that the setting ``optimizer`` takes."""
