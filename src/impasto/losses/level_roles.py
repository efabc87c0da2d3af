"""The roles of levels, which decide the layers and losses that a level uses."""

from typing import NamedTuple


class LevelRole(NamedTuple):
    """What a level is for."""

    feature_splitting: bool = False
    """the style loss's last pass, over what was painted before it"""
    shallow: bool = False
    """shallow layers alone look at it, since forms were found at smaller sizes"""
    detail: bool = False
    """what is there is matched, and its strokes are made sharp"""


STRUCTURE, FINEST, FEATURE_SPLITTING = (
    LevelRole(),
    LevelRole(shallow=True),
    LevelRole(feature_splitting=True),
)
DETAIL = LevelRole(shallow=True, detail=True)
