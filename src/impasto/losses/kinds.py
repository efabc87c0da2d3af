"""The roles of levels, which decide the layers and losses that a level uses."""

from typing import NamedTuple


class Kind(NamedTuple):
    """What a level is for."""

    last: bool = False
    """the style loss's last pass, over what was painted before it"""
    shallow: bool = False
    """shallow layers alone look at it, since forms were found at smaller sizes"""
    sharpens: bool = False
    """what is there is matched, and its strokes are made sharp"""


FORMS, FINEST, LAST = Kind(), Kind(shallow=True), Kind(last=True)
SHARPENING = Kind(shallow=True, sharpens=True)
