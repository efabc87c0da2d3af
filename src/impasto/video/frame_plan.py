"""Which pixels of a frame are painted or kept. Pure functions."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from impasto.images.arrays import ImageArray, Mask
from impasto.video import extras, motion
from impasto.video.motion import Correspondence

LARGE_HOLE = 6
"""Radius in pixels, at a coarser size, from which a hole is painted at that size first."""

NEARLY_KEPT = 0.15
"""Freedom below which a pixel is kept in full."""

LARGE_AREA = 7
"""Side in pixels of the smallest square that is painted. A smaller hole is filled from the frame
before, moved, and painted when it has grown. A smaller area whose match fits no longer is kept."""

SAMPLED_SHARE = 0.5
"""Share of the image sampled from the frames of birth; the rest is the frame before, moved."""

CHANGED_MASK = 0.5
"""Change of a mask, moved along the flow, from which a pixel belongs to another region."""

COARSE_FACTORS = (4, 2)
"""Size factors below the finest size at which holes are painted first, coarsest first."""


def large_areas(free: Mask, entered: NDArray[np.bool_]) -> Mask:
    """Return how far each pixel may change, in [0, 1]; 0 in areas that are too small to paint.

    Args:
        free: how far each pixel may change
        entered: pixels that came into the frame from outside. Single others among them do not
            divide their area
    """
    cv2 = extras.load("cv2")
    inside = (free >= NEARLY_KEPT).astype(np.uint8)
    small, large = (np.ones((side, side), np.uint8) for side in (3, LARGE_AREA))
    closed = cv2.morphologyEx(entered.astype(np.uint8), cv2.MORPH_CLOSE, small)
    opened = cv2.morphologyEx(inside | closed, cv2.MORPH_OPEN, large)
    return np.asarray(free * cv2.dilate(opened, small) * inside, np.float32)


def coarse_factors(hole: Mask) -> list[int]:
    """Return the size factors at which a hole is painted first: none for thin ones."""
    distance = extras.load("cv2").distanceTransform((hole > 0.5).astype(np.uint8), 2, 3)
    return [factor for factor in COARSE_FACTORS if distance.max() >= LARGE_HOLE * factor / 2]


def filter_in_time(
    sampled: ImageArray,
    before: ImageArray,
    lost: NDArray[np.bool_],
    recovered: NDArray[np.bool_],
) -> ImageArray:
    """Return a frame from an image sampled from the frames of birth, and the frame before, moved.

    Positions have errors that change from frame to frame. A recursive filter reduces their effect;
    since the share of the sampled image is large, the repeated interpolation hardly blurs.

    Args:
        sampled: the image sampled from the frames of birth
        before: the frame before, moved along the flow
        lost: pixels whose frame of birth is unknown, which only the frame before has
        recovered: pixels that only a frame of birth has
    """
    share = np.where(lost, 0, np.where(recovered, 1, SAMPLED_SHARE)).astype(np.float32)
    return before + share[..., None] * (sampled - before)


def changed_masks(
    before: Mapping[str, Mask], now: Mapping[str, Mask], found: Correspondence
) -> Mask:
    """Return 1 for pixels whose content is in another region than in the frame before, else 0."""
    changed = np.zeros(found.confidence.shape, bool)
    for name, mask in now.items():
        moved = motion.warp(before.get(name, mask), found.flow, linear=True)
        changed |= (np.abs(moved - mask) > CHANGED_MASK) & (found.confidence > 0)
    return changed.astype(np.float32)
