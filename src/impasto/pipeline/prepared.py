"""A validated run: its inputs are read, and no engine is loaded yet."""

from dataclasses import dataclass

from impasto.pipeline.checkpoints import CheckpointWriter
from impasto.pipeline.events import RunState
from impasto.pipeline.inputs import Inputs
from impasto.pipeline.memory import WHOLE_IMAGE, TilePlan
from impasto.pipeline.pyramid import Level
from impasto.recipe.settings import Recipe


@dataclass(frozen=True)
class PreparedRun:
    """A run whose inputs are read and validated."""

    recipe: Recipe
    inputs: Inputs
    levels: tuple[Level, ...]
    checkpoint_writer: CheckpointWriter
    """writes the checkpoints"""
    state: RunState | None = None
    """the state to resume from"""
    plan: TilePlan = WHOLE_IMAGE
    """the tiles to use"""
    memory_limit: float | None = None
    """memory limit in bytes; None for the memory that is free"""
