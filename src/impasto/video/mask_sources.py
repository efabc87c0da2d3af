"""Masks of a clip as they are given: one that stands, one that moves, or a mask for each frame."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from impasto import files
from impasto.errors import ImageError, SettingError
from impasto.images import load, masks
from impasto.images.arrays import ImageArray, Mask
from impasto.images.formats import detect
from impasto.images.load import ImageLike
from impasto.video import reader, writer
from impasto.video.reader import ClipFrame, ClipInfo

GivenMask: TypeAlias = ImageLike | tuple[int, ImageLike]
"""A mask that stands; the number of a frame and the mask that moves with its content; or the path
of a mask clip: a video, a folder of images, or numbered images such as ``masks/%06d.png``."""

NOISE = 8 / 255
"""Largest error of a mask clip by compression, in [0, 1]: values as close to 0 or 1 become that."""


@dataclass(frozen=True, eq=False)
class StandingMask:
    """The same mask for all frames."""

    mask: Mask


@dataclass(frozen=True, eq=False)
class MovingMask:
    """A mask that is given for one frame, and moves with the content of its shot."""

    frame: int
    mask: Mask


@dataclass(frozen=True, eq=False)
class MaskClip:
    """A mask for each frame of the clip, numbered as these: those of a video, or image files."""

    path: str
    count: int
    info: ClipInfo | None = None
    """properties of the video; None for image files"""
    images: tuple[str, ...] = ()

    def load_image(self, number: int) -> Mask:
        """Return the mask in an image file, at its own size."""
        path = self.images[number]
        image = load.load_image(path, path)
        return to_mask(image.pixels, image.alpha, path)


MaskSource: TypeAlias = StandingMask | MovingMask | MaskClip


def load_source(given: GivenMask, role: str, info: ClipInfo) -> MaskSource:
    """Load a mask of a clip.

    Args:
        given: see :data:`GivenMask`
        role: names the mask in errors
        info: the clip that is painted

    Raises:
        ImageError: for an invalid image or video, or one that is not a mask
        SettingError: for a frame number below 0
    """
    if isinstance(given, tuple):
        number, image = given
        if int(number) < 0:
            raise SettingError(f"{role} is for frame {number}: frames are counted from 0")
        return MovingMask(int(number), load.load_mask(image, role, info.size).mask)
    if isinstance(given, str | os.PathLike) and is_mask_clip(given):
        return _load_clip(os.fspath(given))
    return StandingMask(load.load_mask(given, role, info.size).mask)


def is_mask_clip(path: files.AnyPath) -> bool:
    """Return whether a path names a mask for each frame: a video, a folder, numbered images."""
    path = Path(path)
    return path.is_dir() or writer.is_sequence(path) or path.suffix.lower() in reader.CLIP_ENDINGS


def _load_clip(path: str) -> MaskClip:
    if not (os.path.isdir(path) or writer.is_sequence(path)):
        return MaskClip(path, reader.count_frames(path), reader.probe(path))
    images = _folder_images(path) if os.path.isdir(path) else _numbered_images(path)
    if not images:
        raise ImageError(f"{files.display_path(path)} has no images: give a mask for each frame")
    return MaskClip(path, len(images), None, images)


def _folder_images(path: str) -> tuple[str, ...]:
    """Return the images of a folder in the order of their names, and of numbers in these."""

    def key(name: str) -> list[Any]:
        parts = re.split(r"(\d+)", name.lower())
        return [int(part) if part.isdigit() else part for part in parts]

    names = sorted((name for name in os.listdir(path) if not name.startswith(".")), key=key)
    readable = [name for name in names if Path(name).suffix.lower() in detect.READABLE_ENDINGS]
    return tuple(os.path.join(path, name) for name in readable)


def _numbered_images(pattern: str) -> tuple[str, ...]:
    """Return the images of a pattern such as ``masks/%06d.png``, in the order of their numbers."""
    folder, name = os.path.split(pattern)
    before, _, after = re.split(r"%(0?\d*)d", name, maxsplit=1) if "%" in name else (name, "", "")
    form = re.compile(re.escape(before) + r"(\d+)" + re.escape(after))
    found = [(form.fullmatch(each), each) for each in os.listdir(folder or ".")]
    numbered = sorted((int(match[1]), each) for match, each in found if match)
    return tuple(os.path.join(folder, each) for _, each in numbered)


def to_mask(image: ImageArray, alpha: Mask | None, name: str) -> Mask:
    """Return the mask in an image, which may be black; of a cut-out with colors its opacity.

    Args:
        image: RGB in [0, 255]
        alpha: its opacity in [0, 1]; None if it is opaque
        name: the file, for errors

    Raises:
        ImageError: for an opaque image with colors
    """
    if np.max(np.ptp(image, axis=-1), initial=0) > masks.GRAY_TOLERANCE:
        if alpha is None:
            raise ImageError(
                f"{files.display_path(name)}: an image with colors: use gray images, white inside "
                "the region"
            )
        return alpha
    gray = image.mean(axis=-1, dtype=np.float32) / np.float32(255)
    return np.clip(gray * (1 if alpha is None else alpha), 0, 1).astype(np.float32)


class MaskClipReader:
    """Reads the masks of a clip in the order of their numbers."""

    def __init__(self, clip: MaskClip, size: tuple[int, int]) -> None:
        """Read masks of ``clip``, resampled to ``size``, (height, width) in pixels."""
        self._clip, self._size = clip, size
        self._frames: Iterator[ClipFrame] = iter(())
        self._latest: ClipFrame | None = None

    def at(self, number: int) -> Mask:
        """Return the mask of a frame, (height, width) in [0, 1]."""
        if self._clip.info is None:
            mask = self._clip.load_image(number)
        else:
            mask = self._video_mask(number)
        mask = np.clip((mask - NOISE) / (1 - 2 * NOISE), 0, 1)
        return masks.resize_mask(mask, *self._size)

    def _video_mask(self, number: int) -> Mask:
        info = self._clip.info
        assert info is not None
        if self._latest is None or self._latest.number > number:
            self._frames, self._latest = reader.iter_frames(info), None
        while self._latest is None or self._latest.number < number:
            frame = next(self._frames, None)
            if frame is None:
                raise ImageError(f"{files.display_path(info.path)} ends before frame {number}")
            if frame.source is None and self._latest is not None:
                frame = replace(self._latest, number=frame.number)
            self._latest = frame
        encoded = self._latest.encoded if self._latest.source is not None else None
        if encoded is None:
            raise ImageError(f"{files.display_path(info.path)}: frame {number} cannot be decoded")
        return to_mask(encoded * np.float32(255), self._latest.alpha, info.path)


def check_count(source: MaskSource, role: str, last: int) -> None:
    """Raise SettingError for a mask without the frames up to number ``last``."""
    if isinstance(source, MaskClip) and source.count <= last:
        raise SettingError(
            f"{role}: {files.display_path(source.path)} has masks for {source.count} frames, and "
            f"the clip has {last + 1}: give a mask for each frame"
        )
    if isinstance(source, MovingMask) and source.frame > last:
        raise SettingError(
            f"{role} is for frame {source.frame}: the last frame that is painted is {last}"
        )
