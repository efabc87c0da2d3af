"""The boxes of a frame that are painted: what is free to change, and its surroundings. Pure."""

import numpy as np
from numpy.typing import NDArray

from impasto.images.arrays import Mask
from impasto.losses.tiles import Box
from impasto.video import extras

HALO = 12
"""Pixels around free pixels that a box includes, for the receptive field of the network."""

ALIGNMENT = 8
"""Boxes begin and end at multiples of this number of pixels, so that grids align at half size."""

WHOLE_SHARE = 0.8
"""If the boxes have more than this share of the frame, it is painted as a whole."""


def find_boxes(free: Mask, least: float = 0.02) -> list[Box]:
    """Return disjoint boxes that contain all pixels whose freedom exceeds ``least``."""
    cv2 = extras.load("cv2")
    height, width = free.shape
    inside = (free > least).astype(np.uint8)
    if not inside.any():
        return []
    near = cv2.dilate(inside, np.ones((HALO + 1, HALO + 1), np.uint8))
    count, _, rows, _ = cv2.connectedComponentsWithStats(near)
    boxes = [_padded(row, height, width) for row in rows[1:count]]
    boxes = _merge(boxes)
    area = sum(box.height * box.width for box in boxes)
    return [Box(0, 0, height, width)] if area > WHOLE_SHARE * height * width else boxes


def _padded(row: NDArray[np.int32], height: int, width: int) -> Box:
    """Return the box of a component with half a halo around it: dilation has added the rest."""
    left, top, columns, rows = (int(each) for each in row[:4])
    half = HALO // 2
    return Box(
        _down(top - half),
        _down(left - half),
        _up(top + rows + half, height),
        _up(left + columns + half, width),
    )


def _down(value: int) -> int:
    return max(0, value // ALIGNMENT * ALIGNMENT)


def _up(value: int, end: int) -> int:
    """Return the next multiple; the end of the frame if less than one would be left."""
    up = -(-value // ALIGNMENT) * ALIGNMENT
    return end if up + ALIGNMENT > end else up


def _merge(boxes: list[Box]) -> list[Box]:
    """Return disjoint boxes: overlapping ones are joined."""
    merged: list[Box] = []
    for box in boxes:
        while True:
            hit = next((each for each in merged if _overlap(each, box)), None)
            if hit is None:
                break
            merged.remove(hit)
            box = Box(
                min(hit.top, box.top),
                min(hit.left, box.left),
                max(hit.bottom, box.bottom),
                max(hit.right, box.right),
            )
        merged.append(box)
    return merged


def _overlap(a: Box, b: Box) -> bool:
    rows = a.top < b.bottom and b.top < a.bottom
    return rows and a.left < b.right and b.left < a.right
