"""The roles of levels, which decide the layers and losses that a level uses."""

from typing import NamedTuple


class LevelRole(NamedTuple):
    """The purpose of a level."""

    feature_splitting: bool = False
    """whether each layer has its own nearest neighbors (:mod:`impasto.losses.feature_splitting`);
    the level refines the result of one of the same size"""
    shallow: bool = False
    """whether the style loss uses only layers of the first three blocks, since coarser levels have
    determined the structure"""
    detail: bool = False
    """whether nearest neighbors are those of the initial image alone, without the content image,
    which sharpens its strokes"""


STRUCTURE = LevelRole()
"""A level that determines structure, with all layers; the only role of most style losses."""

FINEST = LevelRole(shallow=True)
"""The finest level before feature splitting."""

FEATURE_SPLITTING = LevelRole(feature_splitting=True)
"""The level that ends the structure, at the size of the finest one before it."""

DETAIL = LevelRole(shallow=True, detail=True)
"""A larger level, which only sharpens."""
