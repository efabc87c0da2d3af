"""What the levels of a painting are for, which says what they look at."""

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
