"""Birth maps: where each pixel of a painted frame was painted first. Pure functions of arrays.

Resampling the painted frame before, frame after frame, blurs: after eleven frames, bilinear
interpolation keeps a third of the detail. A *birth map* holds for each pixel the frame in which it
was painted, its *birth*, and its position there. It is advected along the flow without
interpolation, so every frame is sampled once from the frame of birth. Jamriška et al. 2019,
"Stylizing Video by Example", advect coordinates for their positional guide in the same way.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import scipy
from numpy.typing import NDArray

from impasto.images.arrays import ImageArray, Mask
from impasto.video import motion
from impasto.video.motion import Correspondence, Positions

SETTLED = 2
"""Age in frames from which a pixel is no longer painted."""

TRACKED = 0.5
"""Minimum confidence of a pixel that is tracked to the frame before."""

SMALL_SHARE = 0.005
"""Frames of birth of fewer pixels than this share are dropped."""

REGISTERED_SHARE = 0.08
"""Minimum share of the pixels that have a birth, for it to be registered directly."""

REGISTERED_BIRTHS = 2
"""Maximum number of births that are registered directly."""

CORRECTION = 0.35
"""Part of the distance to the registered position that is corrected per frame."""

INTERPOLATION_LOSS = 0.01
"""Factor of the Laplacian that restores the detail of an image sampled halfway between pixels."""

LARGEST_CORRECTION = 4.0
"""Maximum distance in pixels that is corrected; a larger one is another object."""


@dataclass(frozen=True, eq=False)
class BirthMap:
    """Where and when each pixel was painted."""

    number: NDArray[np.int32]
    """(height, width) the frame of birth"""
    position: Positions
    """(height, width, 2) x and y there"""
    age: NDArray[np.int32]
    """(height, width) number of frames for which the pixel has been visible"""


class Birth(NamedTuple):
    """A painted frame from which pixels are sampled."""

    painted: ImageArray
    photo: NDArray[np.uint8]
    """the content frame"""
    indexes: NDArray[np.int32]
    """(regions, h, w) matched rows of the style index on the grid"""
    scores: NDArray[np.float32]
    """(regions, h, w) their scores, see ``feature_index.search_with_statistics``"""


def first_births(number: int, height: int, width: int) -> BirthMap:
    """Return the map of a frame that is painted in full."""
    return BirthMap(
        np.full((height, width), number, np.int32),
        motion.grid(height, width),
        np.full((height, width), SETTLED, np.int32),
    )


def advect(births: BirthMap, found: Correspondence) -> BirthMap:
    """Return the map of the next frame, given its correspondence with this one.

    (k, u)(x) = (k, u)(n) + (0, x + b - n), with n = round(x + b): nothing is interpolated across
    edges, and a slow pan of a fraction of a pixel per frame accumulates without rounding.
    """
    height, width = births.number.shape
    at = motion.grid(height, width) + found.flow
    near = np.clip(at.round(), 0, (width - 1, height - 1)).astype(np.intp)
    rows, columns = near[..., 1], near[..., 0]
    tracked = found.confidence >= TRACKED
    return BirthMap(
        births.number[rows, columns],
        (births.position[rows, columns] + (at - near)).astype(np.float32),
        np.where(tracked, births.age[rows, columns] + 1, 0).astype(np.int32),
    )


def register(
    births: BirthMap, records: Mapping[int, Birth], photo: ImageArray, still: Mask
) -> BirthMap:
    """Correct drift: move positions toward those of the direct flow to the frame of birth.

    Tracking frame by frame accumulates errors; the direct flow has its own, and changes from frame
    to frame. A part of the difference is corrected per frame, as far as the direct flow has
    confidence.

    Args:
        births: the advected map
        records: the frames of birth
        photo: the content frame
        still: 1 where nothing moves, which stays as it is
    """
    numbers, counts = np.unique(births.number, return_counts=True)
    order = np.argsort(-counts, kind="stable")[:REGISTERED_BIRTHS]
    position = births.position.copy()
    grid = motion.grid(*births.number.shape)
    for number, count in zip(numbers[order], counts[order], strict=True):
        mine = (births.number == number) & (still == 0)
        if count < REGISTERED_SHARE * births.number.size or number not in records or not mine.any():
            continue
        start = _fill_flow(births.position - grid, births.number == number)
        before = records[int(number)].photo.astype(np.float32)
        found = motion.correspond(photo, before, start)
        offset = grid + found.flow - births.position
        close = np.hypot(offset[..., 0], offset[..., 1]) < LARGEST_CORRECTION
        weight = CORRECTION * found.confidence * (mine & close)
        position += weight[..., None] * offset
    return replace(births, position=position)


def _fill_flow(flow: NDArray[np.float32], known: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return a flow with the values of the nearest known pixel elsewhere."""
    if known.all():
        return flow
    rows, columns = scipy.ndimage.distance_transform_edt(
        ~known, return_distances=False, return_indices=True
    )
    return np.ascontiguousarray(flow[rows, columns])


def sample_births(
    births: BirthMap, records: Mapping[int, Birth], fallback: ImageArray
) -> ImageArray:
    """Return the image sampled from the frames of birth, by Lanczos interpolation.

    Between pixels, interpolation loses about 3 % of the finest detail. A fraction of the Laplacian
    makes up for it, in proportion to sin² of π times the offset from the nearest pixel.

    ``fallback`` is the image for pixels whose frame of birth was dropped.
    """
    image = fallback.copy()
    offsets = np.sin(np.pi * births.position) ** 2
    loss = (INTERPOLATION_LOSS * offsets.mean(-1, keepdims=True)).astype(np.float32)
    for number in np.unique(births.number):
        if int(number) in records:
            mine = births.number == number
            painted = records[int(number)].painted
            sampled = motion.sample(painted, births.position)
            detail = motion.sample(motion.laplacian(painted), births.position)
            image[mine] = (sampled - loss * detail)[mine]
    return image


def drop_small(births: BirthMap, records: Mapping[int, Birth]) -> dict[int, Birth]:
    """Return the frames of birth that enough pixels refer to."""
    numbers, counts = np.unique(births.number, return_counts=True)
    kept = numbers[counts > SMALL_SHARE * births.number.size]
    return {int(number): records[int(number)] for number in kept if int(number) in records}


def born_now(births: BirthMap, number: int, where: NDArray[np.bool_]) -> BirthMap:
    """Return the map with some pixels born in the frame ``number``."""
    grid = motion.grid(*births.number.shape)
    return replace(
        births,
        number=np.where(where, np.int32(number), births.number),
        position=np.where(where[..., None], grid, births.position),
    )
