"""Reads clips by PyAV: frames upright, with square pixels, in sRGB, with exact times.

Each call decodes the clip from its first frame, so frame numbers are exact for every container.
Frames before the requested ones are decoded and not converted.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from impasto import files
from impasto.errors import ImageError
from impasto.images import arrays
from impasto.images.arrays import ImageArray, Mask
from impasto.images.formats import transfer_functions
from impasto.images.formats.transfer_functions import BT709, CURVES, PRIMARIES, ColorSpace
from impasto.video import extras

UNSPECIFIED = 2
"""H.273 code point of colors that are not specified."""

RGB_MATRIX = 0
"""H.273 code point of the matrix of pixels that are RGB already."""

HD_HEIGHT = 720
"""Frames of unspecified colors are BT.709 from this height on, else BT.601, as players assume."""

CLIP_ENDINGS = (
    *(".mp4", ".m4v", ".mov", ".webm", ".mkv", ".avi", ".mpg", ".mpeg", ".3gp", ".ogv"),
    *(".wmv", ".ts", ".mts", ".m2ts"),
)
"""Extensions of files that are always clips; others are as well if PyAV can read them."""

ALPHA_DECODERS = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
"""Decoders that return transparency; FFmpeg's own ones ignore it."""


@dataclass(frozen=True)
class ClipInfo:
    """The properties of a clip's first video stream."""

    path: str
    width: int
    """width in pixels of the upright frame, after resampling to square pixels"""
    height: int
    time_base: Fraction
    """unit of presentation times in seconds"""
    rate: Fraction
    """average number of frames per second"""
    count: int
    """number of frames according to the container; 0 if it does not say"""
    alpha: bool
    """whether frames may be transparent"""
    color: ColorSpace
    matrix: int
    """H.273 code point of the YCbCr matrix"""
    deep: bool
    """whether frames have more than 8 bits per channel"""
    rotation: int
    """clockwise quarter turns that the container asks for"""
    metadata: Mapping[str, str] = field(default_factory=dict)

    @property
    def hdr(self) -> bool:
        """Whether frames have light brighter than diffuse white (PQ or HLG)."""
        return self.color.curve in transfer_functions.BEYOND_WHITE

    @property
    def size(self) -> tuple[int, int]:
        """The height and width."""
        return self.height, self.width


@dataclass(frozen=True, eq=False)
class ClipFrame:
    """One frame, converted on demand."""

    info: ClipInfo
    number: int
    """counted from 0 at the start of the clip"""
    pts: int
    """presentation time in units of ``info.time_base``"""
    duration: int
    """duration in the same unit; 0 if unknown"""
    source: Any
    """the decoded ``av.VideoFrame``; None for a frame that cannot be decoded"""
    damaged: bool = False
    """whether the frame could not be decoded, or not completely"""

    @property
    def seconds(self) -> float:
        """The presentation time in seconds."""
        return float(self.pts * self.info.time_base)

    @cached_property
    def encoded(self) -> NDArray[np.float32]:
        """The RGB values in [0, 1] before color conversion, upright, (height, width, 3)."""
        return self._planes[0]

    @cached_property
    def alpha(self) -> Mask | None:
        """The opacity (height, width) in [0, 1]; None if the clip is opaque."""
        return self._planes[1]

    @cached_property
    def _planes(self) -> tuple[NDArray[np.float32], Mask | None]:
        name = "rgba" if self.info.alpha else "rgb"
        depth = "64le" if self.info.alpha else "48le"
        form = f"{name}{depth}" if self.info.deep else f"{name}{32 if self.info.alpha else 24}"
        form = "rgba" if form == "rgba32" else form
        values = self._to_array(form)
        values = np.rot90(values, -self.info.rotation)
        scaled = values.astype(np.float32) / np.float32(np.iinfo(values.dtype).max)
        if scaled.shape[:2] != self.info.size:  # pixels that are not square
            scaled = np.clip(arrays.resample(scaled, *self.info.size), 0, 1)
        alpha = np.ascontiguousarray(scaled[..., 3]) if self.info.alpha else None
        return np.ascontiguousarray(scaled[..., :3]), alpha

    def _to_array(self, form: str) -> NDArray[Any]:
        """Return the frame as an array of a pixel format of FFmpeg."""
        if self.info.matrix == RGB_MATRIX:
            return np.asarray(self.source.to_ndarray(format=form))
        converted = self.source.reformat(format=form, src_colorspace=_colorspace(self.info.matrix))
        return np.asarray(converted.to_ndarray())

    def peak(self) -> float:
        """Return the brightest light, 1 for diffuse white, without the brightest 0.1 %."""
        return transfer_functions.peak_light(self.encoded, self.info.color)

    def pixels(self, size: tuple[int, int] | None = None, peak: float | None = None) -> ImageArray:
        """Return the image in sRGB.

        Args:
            size: height and width to resample to; None for the frame's own
            peak: the light that becomes white in HDR clips, the same for all frames of a shot; None
                for the frame's own :meth:`peak`

        Returns:
            float32 (height, width, 3), RGB in [0, 255]
        """
        image, _ = transfer_functions.to_srgb(self.encoded, self.info.color, peak)
        if self.alpha is not None and self.alpha.min() == 0 < self.alpha.max():
            image = arrays.fill_hidden(image, self.alpha)
        return image if size is None else arrays.resize(image, *size)


def _colorspace(matrix: int) -> int:
    """Return the number of a YCbCr matrix in FFmpeg's scaler: 5 for all of BT.601."""
    return {1: 1, 4: 4, 7: 7, 9: 9, 10: 9}.get(matrix, 5)


@contextmanager
def _opened(path: files.AnyPath) -> Iterator[Any]:
    """Open a clip; errors become one line."""
    av = extras.load("av")
    name = os.fspath(path)
    if not os.path.exists(name) and "%" not in name:
        raise ImageError(f"{files.display_path(name)}: no such file: give a video file")
    if os.path.isdir(name):
        raise ImageError(
            f"{files.display_path(name)} is a folder: give a video file, or a pattern such as "
            f"{files.display_path(os.path.join(name, '%06d.png'))}"
        )
    if os.path.isfile(name) and not os.path.getsize(name):
        raise ImageError(f"{files.display_path(name)} is empty: save or download the clip again")
    try:
        with av.open(name) as container:
            if not container.streams.video:
                raise ImageError(
                    f"{files.display_path(name)} has no video stream, only sound: give a file with "
                    "images"
                )
            yield container
    except av.InvalidDataError:
        raise ImageError(
            f"{files.display_path(name)} cannot be read as a video: unknown or damaged; give a "
            "video file, or numbered images such as frames/%06d.png"
        ) from None
    except (OSError, av.FFmpegError) as error:
        raise ImageError(
            f"{files.display_path(name)} cannot be read as a video: {files.error_reason(error)}"
        ) from None


def probe(path: files.AnyPath) -> ClipInfo:
    """Return the properties of a clip, from its header and its first frame.

    Raises:
        ImageError: if it cannot be read, or has no video
        ImpastoError: if PyAV is not installed
    """
    with _opened(path) as container:
        for _, frame, _ in _decoded(container):
            if frame is not None:
                return _describe(os.fspath(path), container, frame)
    raise ImageError(f"{files.display_path(path)} has no frame that can be decoded")


def count_frames(path: files.AnyPath) -> int:
    """Return the number of frames of a clip, counted without decoding them.

    Raises ImageError if it cannot be read, or has no video.
    """
    with _opened(path) as container:
        return sum(1 for packet in container.demux(container.streams.video[0]) if packet.size)


def _describe(path: str, container: Any, frame: Any) -> ClipInfo:
    stream = container.streams.video[0]
    ratio = stream.sample_aspect_ratio or Fraction(1)
    width, height = frame.width, frame.height
    width, height = (
        (round(width * ratio), height) if ratio > 1 else (width, round(height / (ratio or 1)))
    )
    quarters = round(-frame.rotation / 90) % 4  # FFmpeg counts counterclockwise
    if quarters % 2:
        width, height = height, width
    components = frame.format.components
    return ClipInfo(
        path,
        width,
        height,
        Fraction(stream.time_base),
        Fraction(stream.average_rate or stream.guessed_rate or 25),
        stream.frames,
        any(each.is_alpha for each in components),
        _color_space(frame),
        _matrix(frame),
        max(each.bits for each in components) > 8,
        quarters,
        dict(container.metadata),
    )


def _color_space(frame: Any) -> ColorSpace:
    """Return the color space of RGB values, from the code points of the frame."""
    curve = CURVES.get(int(frame.color_trc), transfer_functions.decode_srgb)
    primaries = PRIMARIES.get(int(frame.color_primaries), BT709)
    return ColorSpace(primaries, curve, "video")


def _matrix(frame: Any) -> int:
    if frame.format.is_rgb:
        return RGB_MATRIX
    matrix = int(frame.colorspace)
    return (1 if frame.height >= HD_HEIGHT else 6) if matrix == UNSPECIFIED else matrix


def iter_frames(info: ClipInfo, first: int = 0, last: int | None = None) -> Iterator[ClipFrame]:
    """Yield the frames of a range of numbers, both ends included.

    A frame that cannot be decoded is yielded with ``damaged``, and without ``source`` if nothing of
    it could be decoded, so that numbers and times of later frames stay right.
    """
    with _opened(info.path) as container:
        for number, (packet_time, frame, damaged) in enumerate(_decoded(container)):
            if last is not None and number > last:
                return
            if number < first:
                continue
            pts = packet_time if frame is None or frame.pts is None else frame.pts
            duration = 0 if frame is None else int(frame.duration or 0)
            yield ClipFrame(info, number, int(pts or 0), duration, frame, damaged)


def _decoded(container: Any) -> Iterator[tuple[int, Any, bool]]:
    """Yield (time, frame or None, whether it is damaged) in the order of presentation."""
    av = extras.load("av")
    stream = container.streams.video[0]
    decoder = _decoder(stream)
    for packet in container.demux(stream):
        try:
            frames = decoder.decode(packet if packet.size else None)
        except av.FFmpegError:
            if packet.size:
                yield packet.pts or 0, None, True
            continue
        for frame in frames:
            if frame.time_base is None or decoder is not stream.codec_context:
                frame.time_base = stream.time_base
            yield frame.pts or 0, frame, bool(frame.is_corrupt)


def _decoder(stream: Any) -> Any:
    """Return the decoder of a stream; one that returns transparency where there is some."""
    name = ALPHA_DECODERS.get(stream.codec_context.name)
    if name is None or stream.metadata.get("alpha_mode") != "1":
        stream.thread_type = "AUTO"
        return stream.codec_context
    av = extras.load("av")
    decoder = av.codec.CodecContext.create(name, "r")
    decoder.extradata = stream.codec_context.extradata
    return decoder


def with_size(info: ClipInfo, longest: int) -> ClipInfo:
    """Return the properties of a clip whose frames are resampled to ``longest`` pixels."""
    height, width = arrays.fit(info.height, info.width, longest)
    return replace(info, height=height, width=width)
