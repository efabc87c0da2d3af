"""Division of an image into tiles, and the part of an array that belongs to a tile.

A loss counts the inner box of a tile. The network receives the outer box, which is larger by the
halo, so that features of the inner box are those of the whole image.
"""

import math
from itertools import pairwise
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray


class Box(NamedTuple):
    """Pixels of a picture: rows top to bottom and columns left to right, ends not included."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def height(self) -> int:
        """Rows of it."""
        return self.bottom - self.top

    @property
    def width(self) -> int:
        """Columns of it."""
        return self.right - self.left

    @property
    def slices(self) -> tuple[slice, slice]:
        """What takes it out of a picture."""
        return slice(self.top, self.bottom), slice(self.left, self.right)


class Tile(NamedTuple):
    """A part of a picture."""

    core: Box
    """what counts"""
    padded: Box
    """what the network is shown"""


class TileAlignment(NamedTuple):
    """What tiles keep to, so that layers see in them what they see in the whole picture."""

    multiple: int
    """pixels that edges of tiles lie at multiples of: the positions of the deepest layer"""
    halo: int
    """pixels that are shown around a tile, a multiple of ``multiple``"""


Array: TypeAlias = NDArray[np.generic]


def split_into_tiles(
    height: int, width: int, size: int, alignment: TileAlignment
) -> tuple[Tile, ...]:
    """Return the tiles of a picture, row by row, their sides about ``size`` px at most.

    They are of about the same size. ``size`` 0 takes the picture as one tile.

    >>> [tile.core for tile in split_into_tiles(100, 60, 64, TileAlignment(8, 16))]
    [Box(top=0, left=0, bottom=48, right=60), Box(top=48, left=0, bottom=100, right=60)]
    """
    rows, columns = (_edges(length, size, alignment.multiple) for length in (height, width))

    def tile(top: int, bottom: int, left: int, right: int) -> Tile:
        outer = Box(
            max(0, top - alignment.halo),
            max(0, left - alignment.halo),
            min(height, bottom + alignment.halo),
            min(width, right + alignment.halo),
        )
        return Tile(Box(top, left, bottom, right), outer)

    return tuple(tile(*down, *across) for down in pairwise(rows) for across in pairwise(columns))


def _edges(length: int, size: int, multiple: int) -> list[int]:
    """Return where tiles begin along a side, and its end."""
    count = max(1, math.ceil(length / size)) if size else 1
    inside = (round(length * number / count / multiple) * multiple for number in range(1, count))
    return [0, *dict.fromkeys(edge for edge in inside if 0 < edge < length), length]


def crop(array: NDArray, stride: int, box: Box) -> NDArray:  # type: ignore[type-arg]
    """Return what of an array (height, width, ...) lies in a box; its positions lie apart px."""
    top, left = box.top // stride, box.left // stride
    return array[top : top + box.height // stride, left : left + box.width // stride]
