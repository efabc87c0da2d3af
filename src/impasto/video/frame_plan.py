"""Which pixels of a frame are painted, filled or kept. Pure functions."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from impasto.images.arrays import ImageArray, Mask
from impasto.video import extras, motion
from impasto.video.matches import Matched
from impasto.video.motion import Correspondence

LARGE_HOLE = 4
"""Radius in pixels, at a coarser size, from which a hole is painted at that size first."""

NEARLY_KEPT = 0.15
"""Freedom below which a pixel is kept in full."""

SPECK = 5
"""Side in pixels of the smallest square that is painted by a style loss without matches."""

LARGE_AREA = 9
"""Side in pixels of the smallest square that is painted. Of a smaller hole, patch voting fills the
pixels, and it is painted when it has grown. A smaller area whose match fits no longer is kept."""

SAMPLED_SHARE = 0.4
"""Share of the image sampled from the frames of birth; the rest is the frame before, moved."""

CHANGED_MASK = 0.5
"""Change of a mask, moved along the flow, from which a pixel belongs to another region."""

COARSE_FACTORS = (4, 2)
"""Size factors below the finest size at which holes are painted first, coarsest first."""


class FramePlan(NamedTuple):
    """What happens to the pixels of a frame that may change."""

    free: Mask
    """how far each pixel is changed by optimization, in [0, 1]"""
    fill: NDArray[np.bool_]
    """pixels that are filled by patch voting until they are part of a large area"""


def plan_frame(free: Mask, new: NDArray[np.bool_], matched: Sequence[Matched]) -> FramePlan:
    """Return which of the free pixels are painted: those of large areas.

    Args:
        free: how far each pixel may change, in [0, 1]
        new: pixels without painted content
        matched: the matches; without any, nothing can be filled
    """
    inside = (free >= NEARLY_KEPT).astype(np.uint8)
    areas = _without_specks(inside, SPECK)
    large = _without_specks(inside, LARGE_AREA) if matched else areas
    return FramePlan(free * large, new & (areas > large))


def _without_specks(inside: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Return a binary image without areas that no square with a side in pixels fits into."""
    cv2 = extras.load("cv2")
    opened = cv2.morphologyEx(inside, cv2.MORPH_OPEN, np.ones((side, side), np.uint8))
    return np.asarray(cv2.dilate(opened, np.ones((3, 3), np.uint8)) * inside)


def coarse_factors(hole: Mask) -> list[int]:
    """Return the size factors at which a hole is painted first: none for thin ones."""
    distance = extras.load("cv2").distanceTransform((hole > 0.5).astype(np.uint8), 2, 3)
    return [factor for factor in COARSE_FACTORS if distance.max() >= LARGE_HOLE * factor / 2]


def filter_in_time(
    sampled: ImageArray, before: ImageArray, tracked: NDArray[np.bool_]
) -> ImageArray:
    """Return a sampled image whose tracked pixels are mixed with the frame before, moved along.

    Positions have errors that change from frame to frame. A recursive filter reduces their effect;
    since the share of the sampled image is large, the repeated interpolation hardly blurs.
    """
    change = np.float32(1 - SAMPLED_SHARE) * (before - sampled)
    return np.where(tracked[..., None], sampled + change, sampled)


def changed_masks(
    before: Mapping[str, Mask], now: Mapping[str, Mask], found: Correspondence
) -> Mask:
    """Return 1 for pixels whose content is in another region than in the frame before, else 0."""
    changed = np.zeros(found.confidence.shape, bool)
    for name, mask in now.items():
        moved = motion.warp(before.get(name, mask), found.flow, linear=True)
        changed |= (np.abs(moved - mask) > CHANGED_MASK) & (found.confidence > 0)
    return changed.astype(np.float32)
