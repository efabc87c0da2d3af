"""Positions of pixels in another frame of their shot, frame by frame, forward and backward in time.

A birth map (:mod:`impasto.video.births`) holds them: nothing is interpolated on the way, and drift
is corrected by the direct flow. Masks that are given for one frame move by it, and so do key frames
backward in time.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from impasto.images import arrays
from impasto.images.arrays import ImageArray
from impasto.video import births as birth_maps
from impasto.video import motion
from impasto.video.births import Birth, BirthMap
from impasto.video.clip_job import PreparedClip, content_of

LOST = -1
"""Number of the birth of pixels that are not tracked, until they are recovered."""

REVERSED_FRAMES = 32
"""Number of frames that are held in memory to read a clip backward."""


class Content(NamedTuple):
    """A frame of the clip as it is painted."""

    number: int
    image: ImageArray
    """RGB in [0, 255] at the size of the painted frames"""


class Tracked(NamedTuple):
    """The positions of a frame's pixels in the frame that tracking started from."""

    content: Content
    births: BirthMap

    @property
    def visible(self) -> NDArray[np.bool_]:
        """Whether each pixel (height, width) is known to be in the frame of the start."""
        return np.asarray(self.births.number != LOST)


def iter_contents(
    clip: PreparedClip, first: int, last: int, peak: float | None
) -> Iterator[Content]:
    """Yield the frames of a range that can be decoded; ``peak`` as of ``ClipFrame.pixels``."""
    for frame in clip.frames(first, last):
        if frame.source is not None:
            yield Content(frame.number, content_of(clip, frame, peak))


def iter_reversed(
    clip: PreparedClip, first: int, last: int, peak: float | None
) -> Iterator[Content]:
    """Yield the same frames, the last one first. A part of them is in memory at a time."""
    end = last
    while end >= first:
        begin = max(first, end - REVERSED_FRAMES + 1)
        part = [
            (each.number, each.image.astype(np.uint8))
            for each in iter_contents(clip, begin, end, peak)
        ]
        for number, image in reversed(part):
            yield Content(number, image.astype(np.float32))
        end = begin - 1


def track(contents: Iterable[Content], painted: ImageArray | None = None) -> Iterator[Tracked]:
    """Yield for each frame the positions of its pixels in the first of ``contents``.

    Args:
        contents: frames that follow each other, forward or backward in time
        painted: the first one as it is painted; None if only positions matter
    """
    before: Tracked | None = None
    records: dict[int, Birth] = {}
    for content in contents:
        if before is None:
            births = birth_maps.first_births(content.number, *arrays.size_of(content.image))
            records[content.number] = _record(content, painted)
            before = Tracked(content, births)
        else:
            found = motion.correspond(content.image, before.content.image)
            births = birth_maps.advect(before.births, found)
            nowhere = np.zeros(births.number.shape, np.float32)
            births = birth_maps.register(births, records, content.image, nowhere).births
            births = replace(births, number=np.where(births.age == 0, LOST, births.number))
            before = Tracked(content, births)
        yield before


def _record(content: Content, painted: ImageArray | None) -> Birth:
    nothing = np.zeros((0, 1, 1))
    image = content.image if painted is None else painted
    photo = content.image.astype(np.uint8)
    return Birth(image, photo, nothing.astype(np.int32), nothing.astype(np.float32))
