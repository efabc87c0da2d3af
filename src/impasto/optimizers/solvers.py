"""All solvers by name."""

from typing import Any

from impasto.optimizers import adam, lbfgs, scipy
from impasto.optimizers.solver import Solver

SOLVERS: dict[str, Solver[Any]] = {
    "lbfgs": lbfgs.SOLVER,
    "scipy": scipy.SOLVER,
    "adam": adam.SOLVER,
}
"""Every solver, by the name that the setting ``optimizer`` takes."""
