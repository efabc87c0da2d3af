"""Problems whose answer is known, as solvers take them."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from impasto.optimizers.lbfgs import Lbfgs
from impasto.optimizers.parametrization import Parametrization
from impasto.optimizers.registry import SOLVERS

TARGET = np.random.default_rng(1).uniform(0, 255, (8, 9, 3)).astype(np.float32)
START = np.full((8, 9, 3), 128, np.float32)
IDENTITY = Parametrization(lambda point: point, lambda point: point, 1.0)
"""The variables are the point itself."""
PLAIN = Lbfgs(lambda start, exponent: IDENTITY)
"""L-BFGS in the variables themselves."""


@dataclass(frozen=True)
class Evaluated:
    """What a function gives at a point."""

    total: float
    gradient: Any


def bowl(point):
    """A quadratic with its minimum of zero at TARGET, curved differently in every variable."""
    curvature = np.linspace(1, 30, point.size, dtype=np.float32).reshape(point.shape)
    difference = point - TARGET
    value = float(np.mean(curvature * difference**2))
    return Evaluated(value, 2 * curvature * difference / point.size)


def valley(point):
    """Rosenbrock's function of neighboring pairs of pixels, in units of 100."""
    x = point.astype(np.float64).ravel() / 100
    a, b = x[::2], x[1::2]
    gradient = np.zeros_like(x)
    gradient[::2] = -400 * a * (b - a**2) - 2 * (1 - a)
    gradient[1::2] = 200 * (b - a**2)
    value = np.sum(100 * (b - a**2) ** 2 + (1 - a) ** 2)
    return Evaluated(float(value), (gradient / 100).reshape(point.shape).astype(np.float32))


def states(name, function, start=START, budget=25, state=None):
    """Every state of a run to its end, the one before the first evaluation among them."""
    solver = SOLVERS[name]
    found = [solver.begin(start, budget) if state is None else state]
    while found[-1].progress.reason is None:
        found.append(solver.step(function, found[-1]))
    return found


def run(name, function, start=START, budget=25, state=None):
    """How far a run had come at its end."""
    return states(name, function, start, budget, state)[-1].progress
