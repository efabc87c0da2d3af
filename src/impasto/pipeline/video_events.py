"""The interface of ``Stylizer.video``: options of a clip, and the events of painting it, as values.

:mod:`impasto.video` paints; this module is what a progress bar, JSON lines and the studio read.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from impasto.errors import SettingError

if TYPE_CHECKING:
    from impasto.images.arrays import ImageArray
    from impasto.images.load import ImageLike

AUTO = "auto"


@dataclass(frozen=True)
class VideoOptions:
    """How the frames of a clip depend on each other.

    Raises SettingError for a value out of range.
    """

    steady: float = 1.0
    """how much strokes stay on things, in [0, 1]; 0 paints every frame by itself"""
    every: int | str = 1
    """number of frames from one painted frame to the next; those between follow from both. ``auto``
    chooses it per shot, 1 to 3"""
    hold: int = 1
    """number of frames for which a painted frame is shown, as in animation on twos"""
    keys: "Mapping[int, ImageLike]" = field(default_factory=dict)
    """frames painted by hand, by number"""
    cuts: tuple[int, ...] | None = None
    """numbers of the frames that start a shot; None to find them, () for none"""
    start: float = 0.0
    """time in seconds of the first frame"""
    end: float | None = None
    """time in seconds from which no frame is painted; None for the end of the clip"""
    look: int | None = None
    """number of the only frame to paint, to see how the clip will look"""
    restart: bool = False
    """whether stored frames of an earlier call are removed instead of resuming"""

    def __post_init__(self) -> None:
        if not 0 <= self.steady <= 1:
            raise SettingError(f"steady is {self.steady}: expected 0 to 1")
        if self.every != AUTO and not (isinstance(self.every, int) and 1 <= self.every <= 16):
            raise SettingError(f"every is {self.every}: expected auto, or 1 to 16 frames")
        if not 1 <= self.hold <= 16:
            raise SettingError(f"hold is {self.hold}: expected 1 to 16 frames")
        if self.end is not None and self.end <= self.start:
            raise SettingError(
                f"the range of the clip ends at {self.end:g} s, which is not after its start, "
                f"{self.start:g} s"
            )


@dataclass(frozen=True)
class ClipSurveyed:
    """The clip was read once: its shots are known."""

    frames: int
    shots: int
    cuts: tuple[int, ...]
    """number of the first frame of each shot after the first"""
    disk_bytes: float
    """expected size of the stored frames"""


@dataclass(frozen=True)
class ShotStarted:
    """A shot starts, or is resumed."""

    shot: int
    """counted from 1"""
    shots: int
    first: int
    """number of its first frame in the clip"""
    last: int
    painted: int
    """number of its frames that an earlier call has painted"""


@dataclass(frozen=True)
class FramePainted:
    """A frame was written."""

    number: int
    """its number in the clip, from 0"""
    done: int
    """number of frames that are written"""
    frames: int
    """number of all frames"""
    kind: str
    """``first`` of a shot, ``painted``, ``between`` two painted ones, ``held`` as the one before,
    ``bridged`` where it could not be decoded, or ``key`` painted by hand"""
    seconds: float
    """seconds for this frame"""
    confidence: float
    """share of the frame whose motion is trusted, in [0, 1]"""
    path: str
    """file of the frame"""
    pixels: "ImageArray" = field(repr=False, compare=False)
    """the painted frame, RGB in [0, 255]"""


@dataclass(frozen=True)
class ShotFinished:
    """All frames of a shot are written."""

    shot: int
    shots: int
    seconds: float
    """seconds since it started or was resumed"""


@dataclass(frozen=True)
class VideoFinished:
    """The last event."""

    path: str | os.PathLike[str]
    """the clip; the image for ``VideoOptions.look``"""
    frames: int
    seconds: float
    notes: tuple[str, ...]
    """notes for the user, such as streams that could not be copied"""


VideoEvent: TypeAlias = ClipSurveyed | ShotStarted | FramePainted | ShotFinished | VideoFinished
"""An event of a video: clip surveyed, shot started, frame painted, shot finished, finished."""
