"""Parts of shots, and which of their frames are painted. Pure functions of the survey.

A key frame, painted by hand, starts a part: what follows depends on it and not on what came before.
"""

import functools
import itertools
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from impasto.pipeline.video_events import AUTO, VideoOptions
from impasto.video.survey import Shot, Survey

STEADY_SHARE = 0.6
"""Corresponding share over N frames from which ``every`` auto paints every N-th frame."""

MOST_EVERY = 3
"""Maximum N that ``every`` auto chooses. A larger one saves little: more of a frame is painted."""


@dataclass(frozen=True)
class Part:
    """A range of frames of a shot, both ends included."""

    shot: Shot
    first: int
    last: int

    @property
    def frames(self) -> int:
        """The number of frames."""
        return self.last - self.first + 1

    @property
    def next_key(self) -> int | None:
        """The key frame of the shot that follows on the part; None at the end of the shot."""
        return None if self.last == self.shot.last else self.last + 1


def parts_of(shot: Shot, keys: Iterable[int]) -> list[Part]:
    """Return the parts of a shot in order; ``keys`` are the numbers of key frames."""
    starts = sorted({shot.first, *(n for n in keys if shot.first < n <= shot.last)})
    return [
        Part(shot, first, after - 1)
        for first, after in itertools.pairwise([*starts, shot.last + 1])
    ]


def in_dissolve(surveyed: Survey, shot: Shot) -> bool:
    """Return whether a shot starts in a dissolve: strokes of the shot before fade out in it."""
    return any(first <= shot.first <= last for first, last in surveyed.dissolves)


def group_parts(surveyed: Survey, keys: Iterable[int]) -> list[list[Part]]:
    """Return all parts in groups that depend on each other, in the order of painting."""
    numbers = list(keys)
    groups: list[list[Part]] = []
    for shot in surveyed.shots:
        first, *others = parts_of(shot, numbers)
        if in_dissolve(surveyed, shot) and groups:
            groups[-1].append(first)
        else:
            groups.append([first])
        groups.extend([part] for part in others)
    return groups


@dataclass(frozen=True)
class Schedule:
    """How each frame of a part is made."""

    surveyed: Survey
    part: Part
    options: VideoOptions
    repeats: bool = True
    """whether held frames are copies; not if the masks of a mask clip differ"""

    @functools.cached_property
    def shown(self) -> list[int]:
        """The frames that have an image of their own."""
        numbers = range(self.part.first, self.part.last + 1)
        usable = [n for n in numbers if not self.surveyed.frame(n).damaged]
        return sorted({*usable[:1], *(n for n in usable if self._is_new(n))})

    def _is_new(self, number: int) -> bool:
        held = self.surveyed.frame(number).held and self.repeats
        return not held and (number - self.part.first) % self.options.hold == 0

    @functools.cached_property
    def painted(self) -> list[int]:
        """The frames that are painted; those between follow from them."""
        every = self.options.every
        if every == AUTO:
            every = choose_every(self.surveyed, self.part.shot)
        return sorted({*self.shown[:: int(every)], *self.shown[-1:]})

    @functools.cached_property
    def _shown_set(self) -> frozenset[int]:
        return frozenset(self.shown)

    @functools.cached_property
    def _painted_set(self) -> frozenset[int]:
        return frozenset(self.painted)

    def kind(self, number: int) -> str:
        """Return the kind of a frame, see ``FramePainted.kind``."""
        if number not in self._shown_set:
            return "bridged" if self.surveyed.frame(number).damaged else "held"
        if number in self.options.keys:
            return "key"
        if number == self.shown[0]:
            return "first"
        return "painted" if number in self._painted_set else "between"


def choose_every(surveyed: Survey, shot: Shot) -> int:
    """Return the number of frames from one painted frame to the next for ``every`` auto.

    The share that corresponds over N frames is estimated by the N-th power of that over one.
    """
    shares = [surveyed.frame(n).share for n in range(shot.first + 1, shot.last + 1)]
    if not shares:
        return 1
    typical = float(np.percentile(shares, 20))
    return max([n for n in range(1, MOST_EVERY + 1) if typical**n > STEADY_SHARE], default=1)
