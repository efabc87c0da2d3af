"""A validated run: its inputs are read, and no engine is loaded yet."""

from dataclasses import dataclass

from impasto.painting.checkpoints import Keeper
from impasto.painting.events import State
from impasto.painting.inputs import Inputs
from impasto.painting.memory import WHOLE, Plan
from impasto.painting.pyramid import Level
from impasto.recipe.settings import Recipe


@dataclass(frozen=True)
class Prepared:
    """A run whose inputs are read and validated."""

    recipe: Recipe
    inputs: Inputs
    levels: tuple[Level, ...]
    keeper: Keeper
    """writes the checkpoints"""
    state: State | None = None
    """the state to resume from"""
    plan: Plan = WHOLE
    """the tiles to use"""
    most: float | None = None
    """memory limit in bytes; None for the memory that is free"""
