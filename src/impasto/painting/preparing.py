"""A painting before anything slow: its pictures read, all that can be refused refused."""

from dataclasses import dataclass

from impasto.painting.checkpoints import Keeper
from impasto.painting.events import State
from impasto.painting.inputs import Inputs
from impasto.painting.memory import WHOLE, Plan
from impasto.painting.pyramid import Level
from impasto.recipe.settings import Recipe


@dataclass(frozen=True)
class Prepared:
    """A painting whose pictures were read and checked, before anything slow."""

    recipe: Recipe
    inputs: Inputs
    levels: tuple[Level, ...]
    keeper: Keeper
    """writes its checkpoints"""
    state: State | None = None
    """the one to go on from"""
    plan: Plan = WHOLE
    """in what tiles it is read"""
    most: float | None = None
    """how many bytes of memory may be used; as many as are free if it is None"""
