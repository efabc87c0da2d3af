"""Still pixels, which keep their bytes. Pure functions of arrays."""

import numpy as np

from impasto.images.arrays import ImageArray, Mask
from impasto.video import extras, motion
from impasto.video.motion import Flow

STILL_DIFFERENCE = 5.0
"""Maximum difference to the photograph as last painted, of 255, while the camera stands."""

SAME_DIFFERENCE = 0.5
"""The same while the camera moves: only a held image is still."""

NEIGHBORHOOD = 1.5
"""Deviation in pixels of the neighborhood over which a motion has to explain the frame better."""

NOISE = 1.0
"""Difference by which it has to, of 255, beyond a factor of 1.35: noise alone explains some."""

STANDING = 0.05 / 256
"""Maximum smoothed motion per frame of a standing camera, relative to the frame's longer side."""


def find_still(now: ImageArray, before: ImageArray, reference: ImageArray, flow: Flow) -> Mask:
    """Return 1 for still pixels and 0 for others, (height, width).

    A pixel is still if the camera stands, the content looks as when it was last painted, and moving
    it along the flow does not explain the frame better. Noise has no mean motion, a slow pan has
    one, so the camera stands if the lower quartile of the smoothed flow over textured parts is near
    zero.

    Args:
        now: the content frame
        before: the frame before
        reference: each pixel of the content as last painted, so that slow changes do not add up
        flow: from ``now`` to ``before``
    """
    cv2 = extras.load("cv2")
    difference = motion.blur(np.abs(now - reference).max(-1), 1.0)
    if camera_stands(now, flow):
        zero, best = (
            motion.blur(np.abs(now - image).mean(-1), NEIGHBORHOOD)
            for image in (before, motion.warp(before, flow, linear=True))
        )
        changed = (difference > STILL_DIFFERENCE) | (zero > 1.35 * best + NOISE)
    else:
        changed = difference > SAME_DIFFERENCE
    opened = cv2.morphologyEx(changed.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    return np.asarray(1 - cv2.dilate(opened, np.ones((5, 5), np.uint8)), np.float32)


def camera_stands(now: ImageArray, flow: Flow) -> bool:
    """Return whether the camera stands, by the flow to the frame before."""
    gradients = np.gradient(now.mean(-1, dtype=np.float32))
    texture = motion.blur(np.asarray(sum(each**2 for each in gradients), np.float32), 6.0)
    smoothed = motion.blur(flow, 6.0)
    moves = np.hypot(smoothed[..., 0], smoothed[..., 1])
    quartile = np.percentile(moves[texture >= np.median(texture)], 25)
    return bool(quartile < STANDING * max(now.shape[:2]))
