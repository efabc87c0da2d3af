"""What the levels of a painting are for, which says what they look at."""

from typing import NamedTuple


class Kind(NamedTuple):
    """What a level is for."""

    last: bool = False
    """the style loss's last pass, over what was painted before it"""
    sharpens: bool = False
    """forms were found at a smaller size, and their strokes are made sharp: what is there is
    matched, and shallow layers alone look at it"""


FORMS, LAST = Kind(), Kind(last=True)
