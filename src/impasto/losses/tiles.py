"""Division of an image into tiles, and the part of an array that belongs to a tile.

A loss counts the core box of a tile. The network receives the padded box, which is larger by the
halo, so that features of the core box are those of the whole image.
"""

import math
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Box(NamedTuple):
    """A box of pixels; rows are counted from the top and columns from the left, ends exclusive."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def height(self) -> int:
        """The number of rows."""
        return self.bottom - self.top

    @property
    def width(self) -> int:
        """The number of columns."""
        return self.right - self.left

    @property
    def slices(self) -> tuple[slice, slice]:
        """The slices of rows and columns to index an image with."""
        return slice(self.top, self.bottom), slice(self.left, self.right)


class Tile(NamedTuple):
    """A part of an image."""

    core: Box
    """the pixels that the loss counts"""
    padded: Box
    """the input of the network: the core with its halo, as far as the image extends"""


class TileAlignment(NamedTuple):
    """Constraints on tiles that give their cores the same features as the whole image has."""

    multiple: int
    """borders of tiles lie at multiples of this number of pixels: the stride of the deepest
    layer"""
    halo: int
    """padding around the core in pixels, a multiple of ``multiple``"""


def split_into_tiles(
    height: int, width: int, size: int, alignment: TileAlignment
) -> tuple[Tile, ...]:
    """Return the tiles of an image, row by row, with sides of about ``size`` px at most.

    They have about the same size. A ``size`` of 0 makes the image one tile.

    >>> [tile.core for tile in split_into_tiles(100, 60, 64, TileAlignment(8, 16))]
    [Box(top=0, left=0, bottom=48, right=60), Box(top=48, left=0, bottom=100, right=60)]
    """
    rows, columns = (_edges(length, size, alignment.multiple) for length in (height, width))
    cores = [
        Box(top, left, bottom, right)
        for top, bottom in pairwise(rows)
        for left, right in pairwise(columns)
    ]
    halo = np.array([-1, -1, 1, 1]) * alignment.halo
    limits = np.array([height, width] * 2)
    return tuple(
        Tile(core, Box(*np.clip(np.add(core, halo), 0, limits).tolist())) for core in cores
    )


def _edges(length: int, size: int, multiple: int) -> list[int]:
    """Return where tiles begin along a side, and its end."""
    count = max(1, math.ceil(length / size)) if size else 1
    inside = (round(length * number / count / multiple) * multiple for number in range(1, count))
    return [0, *dict.fromkeys(edge for edge in inside if 0 < edge < length), length]


def crop(array: NDArray, stride: int, box: Box) -> NDArray:  # type: ignore[type-arg]
    """Return the part of an array (height, width, ...) in a box; positions have a stride in px."""
    top, left = box.top // stride, box.left // stride
    return array[top : top + box.height // stride, left : left + box.width // stride]
