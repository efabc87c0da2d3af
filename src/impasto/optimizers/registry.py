"""All solvers by name."""

from typing import Any

from impasto.optimizers.adam import Adam
from impasto.optimizers.lbfgs import Lbfgs
from impasto.optimizers.scipy import ScipyLbfgs
from impasto.optimizers.solver import Solver

SOLVERS: dict[str, Solver[Any]] = {"lbfgs": Lbfgs(), "scipy": ScipyLbfgs(), "adam": Adam()}
"""Solvers by the value of the setting ``optimizer``."""
