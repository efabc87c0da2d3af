"""The survey of a clip: shots, held frames and HDR peaks, before anything is painted.

One pass at a small size, without a network. Cuts are frames whose correspondence with the frame
before has almost no confidence (shot boundary detection).
"""

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from impasto.images import arrays
from impasto.images.arrays import ImageArray
from impasto.video import motion
from impasto.video.reader import ClipFrame

SURVEY_SIDE = 256
"""Longest side in pixels of the frames that are compared."""

CUT_SHARE = 0.15
"""A frame starts a shot if less than this share of it corresponds with the frame before."""

FLASH_FRAMES = 2
"""Maximum number of frames of a flash: the frame after it corresponds with the frame before."""

HELD_DIFFERENCE = 0.5
"""A frame is held, the same image again, if it differs by no more than this anywhere, of 255."""

DISSOLVE_FRAMES = 4
"""Minimum number of frames of a dissolve."""

LINEARITY = 0.45
"""Maximum of |p - (p₋ + p₊) / 2| relative to |p₊ - p₋| / 2 within a dissolve."""

UNEXPLAINED = 0.5
"""Minimum part of the change within a dissolve that neither motion nor brightness explains; a fade
is a change of brightness."""

DISSOLVE_CHANGE = 1.5
"""Minimum mean change per frame within a dissolve, of 255."""


class FrameSurvey(NamedTuple):
    """The survey of one frame."""

    pts: int
    duration: int
    share: float
    """share of the frame that corresponds with the frame before, in [0, 1]; 0 for the first"""
    held: bool
    """whether it is the same image as the frame before"""
    damaged: bool
    """whether it could not be decoded; the frame before is shown in its place"""
    peak: float
    """brightest light, 1 for diffuse white"""
    change: float
    """mean absolute difference to the frame before, of 255"""
    linearity: float
    """deviation of the frame before from the mean of its neighbors, relative to their difference"""
    unexplained: float
    """part of the change that neither motion nor a change of brightness explains"""
    cut: bool
    """whether the frame starts a shot"""


class Shot(NamedTuple):
    """A range of frames without a cut, both ends included."""

    number: int
    first: int
    last: int
    peak: float
    """light that becomes white, the same for all frames"""

    @property
    def frames(self) -> int:
        """The number of frames."""
        return self.last - self.first + 1


@dataclass(frozen=True)
class Survey:
    """The survey of a clip, or of a range of its frames."""

    first: int
    """number of the first frame"""
    frames: tuple[FrameSurvey, ...]
    shots: tuple[Shot, ...]
    dissolves: tuple[tuple[int, int], ...]
    """first and last frame of each"""

    def frame(self, number: int) -> FrameSurvey:
        """Return the survey of a frame by its number in the clip."""
        return self.frames[number - self.first]

    def shown(self, number: int) -> bool:
        """Return whether a frame has an image of its own: it is neither held nor damaged."""
        frame = self.frame(number)
        return not (frame.held or frame.damaged)


class _Surveyor:
    """Compares each frame with those before it."""

    def __init__(self) -> None:
        self.recent: list[ImageArray] = []
        """the latest frames, newest last, at most FLASH_FRAMES + 2"""

    def survey(self, frame: ClipFrame) -> FrameSurvey:
        if frame.source is None or (frame.damaged and not self.recent):
            return FrameSurvey(
                frame.pts, frame.duration, 1.0, False, True, 1.0, 0.0, np.inf, 0.0, False
            )
        size = arrays.fit(*frame.info.size, min(SURVEY_SIDE, max(frame.info.size)))
        peak = frame.peak() if frame.info.hdr else 1.0
        image = frame.pixels(size)
        before = self.recent[-1] if self.recent else None
        self.recent = [*self.recent, image][-FLASH_FRAMES - 2 :]
        if before is None:
            return FrameSurvey(
                frame.pts, frame.duration, 0.0, False, frame.damaged, peak, 0.0, np.inf, 0.0, True
            )
        difference = np.abs(image - before)
        held = bool(motion.blur(difference.max(-1), 1.0).max() < HELD_DIFFERENCE)
        share, unexplained = (1.0, 0.0) if held else _compare(image, before)
        return FrameSurvey(
            frame.pts,
            frame.duration,
            share,
            held,
            frame.damaged,
            peak,
            float(difference.mean()),
            _linearity(self.recent),
            unexplained,
            share < CUT_SHARE and not self._after_flash(image),
        )

    def _after_flash(self, image: ImageArray) -> bool:
        """Return whether the frame corresponds with one before a flash."""
        earlier = self.recent[:-2]
        return any(_compare(image, each)[0] >= CUT_SHARE for each in earlier)


def _linearity(recent: Sequence[ImageArray]) -> float:
    if len(recent) < 3:
        return np.inf
    before, middle, after = recent[-3:]
    change = np.abs(after - before).mean() / 2
    return float(np.abs(middle - (before + after) / 2).mean() / max(change, 1e-3))


def _compare(now: ImageArray, before: ImageArray) -> tuple[float, float]:
    """Return the share of an image that corresponds with another one, and ``unexplained``."""
    found = motion.correspond(now, before)
    good = found.confidence > 0.5
    moved = motion.match_brightness(motion.warp(before, found.flow, linear=True), now, good)
    change = max(float(np.abs(now - before).mean()), 1e-3)
    return float(good.mean()), float(np.abs(now - moved).mean()) / change


def survey_clip(
    frames: Iterable[ClipFrame], cuts: Sequence[int] | None = None, first: int = 0
) -> Survey:
    """Survey the frames of a clip.

    Args:
        frames: consecutive frames
        cuts: numbers of the frames that start a shot; None to find them
        first: number of the first frame
    """
    surveyor = _Surveyor()
    return make_survey(tuple(surveyor.survey(frame) for frame in frames), cuts, first)


def make_survey(
    frames: tuple[FrameSurvey, ...], cuts: Sequence[int] | None = None, first: int = 0
) -> Survey:
    """Return the survey from that of its frames; arguments as of :func:`survey_clip`."""
    dissolves = find_dissolves(frames)
    if cuts is None:
        starts = {n for n, frame in enumerate(frames) if frame.cut}
        starts = _without_flashes(starts, frames)
        starts = {n for n in starts if not any(a <= n <= b for a, b in dissolves)}
        starts |= {(a + b + 1) // 2 for a, b in dissolves}
    else:
        starts = {number - first for number in cuts if first < number < first + len(frames)}
    edges = [*sorted({0, *starts}), len(frames)]
    shots = []
    for number, (begin, end) in enumerate(itertools.pairwise(edges)):
        peak = float(max((f.peak for f in frames[begin:end]), default=1.0))
        shots.append(Shot(number, first + begin, first + end - 1, peak))
    shifted = tuple((first + a, first + b) for a, b in dissolves)
    return Survey(first, frames, tuple(shots), shifted)


def _without_flashes(starts: set[int], frames: Sequence[FrameSurvey]) -> set[int]:
    """Return the cuts without those into a flash.

    The frame after a flash has no confidence in the frame before it, and is no cut.
    """

    def enters_flash(start: int) -> bool:
        ends = range(start + 1, min(start + 1 + FLASH_FRAMES, len(frames)))
        return any(frames[end].share < CUT_SHARE and not frames[end].cut for end in ends)

    return {start for start in starts if not start or not enters_flash(start)}


def find_dissolves(frames: Sequence[FrameSurvey]) -> tuple[tuple[int, int], ...]:
    """Return the first and last frame of each dissolve, a linear blend of two shots.

    Within one, every frame is the mean of its neighbors, while the image changes. A frame's
    ``linearity`` is that of the frame before it.
    """
    inside = [
        after.linearity < LINEARITY
        and frame.unexplained > UNEXPLAINED
        and min(after.change, frame.change) > DISSOLVE_CHANGE
        for frame, after in zip(frames, [*frames[1:], *frames[-1:]], strict=True)
    ]
    found, begin = [], None
    for number, blended in enumerate([*inside, False]):
        if blended and begin is None:
            begin = number
        elif not blended and begin is not None:
            if number - begin >= DISSOLVE_FRAMES:
                found.append((begin, number - 1))
            begin = None
    return tuple(found)
