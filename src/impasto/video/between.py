"""Frames between two painted ones, from both sides. Pure functions of arrays.

As in EbSynth's workflow (Jamriška et al. 2019), each side is moved along the flow. Low frequencies
cross-fade and high ones come from the better side, so strokes are not doubled.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from impasto.images.arrays import ImageArray
from impasto.video import motion

LOW_PASS = 4.0
"""Deviation in pixels of the frequencies that cross-fade."""

SHARPNESS = 6.0
"""Slope of the weight at which high frequencies change sides."""

LEAST = 1e-4
"""Weight of a side without confidence."""


class Side(NamedTuple):
    """A painted frame and its content."""

    painted: ImageArray
    photo: ImageArray


def interpolate(now: ImageArray, before: Side, after: Side, position: float) -> ImageArray:
    """Return a frame between two painted ones.

    Args:
        now: the content frame
        before: the painted frame before
        after: the painted frame after
        position: of the frame between them, in (0, 1)
    """
    moved, weights = [], []
    for side, near in ((before, 1 - position), (after, position)):
        found = motion.correspond(now, side.photo)
        moved.append(motion.warp(side.painted, found.flow))
        weights.append(found.confidence * np.float32(near) + np.float32(LEAST * (near + 1)))
    before_share = (weights[0] / (weights[0] + weights[1])).astype(np.float32)
    share = motion.blur(before_share, 1.0)[..., None]
    return cross_fade(moved[0], moved[1], share)


def cross_fade(first: ImageArray, second: ImageArray, share: NDArray[np.float32]) -> ImageArray:
    """Return a mix of two images: low frequencies in proportion, high ones of the larger share.

    Args:
        first: an image
        second: the other
        share: (height, width, 1) share of ``first``, in [0, 1]
    """
    low = [motion.blur(image, LOW_PASS) for image in (first, second)]
    sharp = np.clip((share - 0.5) * SHARPNESS + 0.5, 0, 1).astype(np.float32)
    high = sharp * (first - low[0]) + (1 - sharp) * (second - low[1])
    return np.asarray(share * low[0] + (1 - share) * low[1] + high, np.float32)
