"""The roles of levels, which decide the layers and losses that a level uses."""

from typing import NamedTuple


class LevelRole(NamedTuple):
    """The purpose of a level."""

    feature_splitting: bool = False
    """the last pass of the style loss, over the result of the level before"""
    shallow: bool = False
    """whether only shallow layers are used, since coarser levels have found the structure"""
    detail: bool = False
    """whether the current image itself is matched, which sharpens its strokes"""


STRUCTURE, FINEST = LevelRole(), LevelRole(shallow=True)
FEATURE_SPLITTING = LevelRole(feature_splitting=True)
DETAIL = LevelRole(shallow=True, detail=True)
