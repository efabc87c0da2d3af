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
from impasto.video.motion import Correspondence, Flow, Positions

SETTLED = 1
"""Age in frames from which a pixel is no longer painted."""

FILLED = -1
"""Age of pixels that were filled from the frame before, moved, and are not painted yet."""

ENTERED = -2
"""The same of pixels that came into the frame from outside, where the frame before has nothing."""

TRACKED = 0.5
"""Minimum confidence of a pixel that is tracked to the frame before."""

SMALL_SHARE = 0.001
"""Frames of birth of fewer pixels than this share are dropped."""

MAX_BIRTHS = 12
"""Maximum number of frames of birth, which bounds the memory: those of the most pixels are kept."""

REGISTERED_SHARE = 0.08
"""Minimum share of the pixels that have a birth, for it to be registered directly."""

REGISTERED_BIRTHS = 2
"""Maximum number of births that are registered directly."""

CORRECTION = 0.35
"""Part of the distance to the registered position that is corrected per frame."""

INTERPOLATION_LOSS = 0.02
"""Factor of the Laplacian that restores the detail of an image sampled halfway between pixels, and
filtered in time."""

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
    """(height, width) number of frames for which the pixel has been visible; FILLED or
    ENTERED for pixels that are not painted yet"""


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
    edges, and a slow pan of a fraction of a pixel per frame accumulates without rounding. A pixel
    whose position leaves its frame of birth has entered the frame from outside, and is lost.
    """
    height, width = births.number.shape
    at = motion.grid(height, width) + found.flow
    near = np.clip(at.round(), 0, (width - 1, height - 1)).astype(np.intp)
    rows, columns = near[..., 1], near[..., 0]
    position = (births.position[rows, columns] + (at - near)).astype(np.float32)
    tracked = (found.confidence >= TRACKED) & motion.inside(position, height, width)
    before = births.age[rows, columns]
    age = np.where(before < 0, before, before + 1)
    return BirthMap(
        births.number[rows, columns], position, np.where(tracked, age, 0).astype(np.int32)
    )


class Registered(NamedTuple):
    """A birth map whose positions are corrected by the direct flow to the frames of birth."""

    births: BirthMap
    confidence: Mask
    """(height, width) confidence of the direct flow, in [0, 1]; 0 where it was not estimated"""
    recovered: NDArray[np.bool_]
    """(height, width) pixels without painted content in the frame before that are tracked to a
    frame of birth"""


def register(
    births: BirthMap, records: Mapping[int, Birth], photo: ImageArray, still: Mask
) -> Registered:
    """Correct drift: move positions toward those of the direct flow to the frame of birth.

    Tracking frame by frame accumulates errors; the direct flow has its own, and changes from frame
    to frame. A part of the difference is corrected per frame, as far as the direct flow has
    confidence. Pixels without painted content in the frame before, but that a frame of birth shows,
    are recovered from it: the long-term correspondence of Ruder, Dosovitskiy and Brox 2016. For
    them the flow is estimated a second time from zero, since positions beside them are no guide.

    Args:
        births: the advected map
        records: the frames of birth
        photo: the content frame
        still: 1 where nothing moves, which stays as it is
    """
    position, number, age = births.position.copy(), births.number.copy(), births.age.copy()
    direct, lost = np.zeros(number.shape, np.float32), births.age == 0
    recovered = np.zeros(number.shape, bool)
    grid = motion.grid(*number.shape)
    for birth in _large_births(births, records):
        known = (births.number == birth) & ~lost
        unpainted = lost | ((births.age < 0) & ~known)
        start = _fill_flow(births.position - grid, known)
        found = _correspond_twice(photo, records[birth].photo.astype(np.float32), start, unpainted)
        target = grid + found.flow
        offset = target - births.position
        close = np.hypot(offset[..., 0], offset[..., 1]) < LARGEST_CORRECTION
        mine = known & (still == 0) & close
        position += (CORRECTION * found.confidence * mine)[..., None] * offset
        again = unpainted & ~recovered & (found.confidence >= TRACKED)
        position[again], number[again], age[again] = target[again], birth, SETTLED
        direct = np.where(mine | again, found.confidence, direct)
        recovered |= again
    return Registered(BirthMap(number, position, age), direct, recovered)


def _correspond_twice(
    now: ImageArray, before: ImageArray, start: Flow, where: NDArray[np.bool_]
) -> Correspondence:
    """Return the correspondence from a start; at some pixels that from zero if it is better."""
    found = motion.correspond(now, before, start)
    if not where.any():
        return found
    other = motion.correspond(now, before)
    better = where & (other.confidence > found.confidence)
    return Correspondence(
        np.where(better[..., None], other.flow, found.flow),
        np.where(better, other.confidence, found.confidence),
    )


def _large_births(births: BirthMap, records: Mapping[int, Birth]) -> list[int]:
    """Return the births that are registered directly: those of the most tracked pixels."""
    numbers, counts = np.unique(births.number[births.age != 0], return_counts=True)
    order = np.argsort(-counts, kind="stable")[:REGISTERED_BIRTHS]
    least = REGISTERED_SHARE * births.number.size
    chosen = [int(number) for number in numbers[order] if counts[numbers == number][0] >= least]
    return [number for number in chosen if number in records]


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

    Between pixels, interpolation loses a part of the finest detail. A fraction of the Laplacian
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
    order = np.argsort(-counts, kind="stable")[:MAX_BIRTHS]
    kept = sorted(numbers[order][counts[order] > SMALL_SHARE * births.number.size])
    return {int(number): records[int(number)] for number in kept if int(number) in records}


def born_now(births: BirthMap, number: int, where: NDArray[np.bool_]) -> BirthMap:
    """Return the map with some pixels born in the frame ``number``."""
    grid = motion.grid(*births.number.shape)
    return replace(
        births,
        number=np.where(where, np.int32(number), births.number),
        position=np.where(where[..., None], grid, births.position),
    )


def find_entered(births: BirthMap, found: Correspondence) -> NDArray[np.bool_]:
    """Return the lost pixels of an advected map that came into the frame from outside."""
    size = births.number.shape
    known = motion.inside(motion.grid(*size) + found.flow, *size)
    return (births.age == 0) & ~(known & motion.inside(births.position, *size))


def painted_now(
    births: BirthMap,
    number: int,
    painted: NDArray[np.bool_],
    filled: NDArray[np.bool_],
    entered: NDArray[np.bool_],
) -> BirthMap:
    """Return the map after the frame ``number``, in which some pixels were painted or filled.

    Args:
        births: the map of the frame
        number: of the frame
        painted: pixels that were painted
        filled: lost pixels that were filled
        entered: those of them that came into the frame from outside
    """
    age = np.where(painted, np.maximum(births.age, 0), births.age)
    age = np.where(filled, np.where(entered, ENTERED, FILLED), age).astype(np.int32)
    return born_now(replace(births, age=age), number, painted | filled)
