"""Writes clips by PyAV: painted frames at exact times, and everything else of the source unchanged.

Audio, subtitles, chapters and metadata are copied without re-encoding. The file appears complete
under its name.
"""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from impasto import files
from impasto.errors import OutputError, SettingError, suggest_names
from impasto.images.formats import encode
from impasto.images.formats.save_options import SaveOptions
from impasto.video import extras
from impasto.video.reader import ClipInfo

BT709 = 1
"""H.273 code point of BT.709: primaries, transfer function and matrix."""

LIMITED_RANGE = 1
"""FFmpeg's number of the range 16 to 235."""

LOCATION_KEYS = ("location", "gps", "xyz")
"""Parts of the names of metadata with the place of recording."""

ROTATION_KEYS = ("rotate",)
"""Metadata that no longer holds, since frames are written upright."""


class Codec(NamedTuple):
    """An encoder and its settings."""

    encoder: str
    pixel_format: str
    options: dict[str, str]
    alpha_format: str = ""
    """pixel format with transparency; empty if there is none"""
    deep: bool = False
    """whether it stores more than 8 bits per channel"""


CODECS = {
    "h264": Codec("libx264", "yuv420p", {"crf": "16"}),
    "hevc": Codec(
        "libx265", "yuv420p10le", {"crf": "16", "x265-params": "log-level=error"}, deep=True
    ),
    "prores": Codec("prores_ks", "yuv444p10le", {"profile": "4"}, "yuva444p10le", True),
    "vp9": Codec("libvpx-vp9", "yuv420p", {"crf": "20", "b": "0"}, "yuva420p"),
}
"""Encoders by name."""

CODECS_OF_ENDING = {
    ".mp4": ("h264", "hevc"),
    ".mov": ("h264", "hevc", "prores"),
    ".mkv": ("h264", "hevc", "vp9"),
    ".webm": ("vp9",),
}
"""Encoders that a container accepts, the default first."""


@dataclass(frozen=True)
class ClipOptions:
    """Options for writing clips.

    Raises SettingError for a name that is unknown.
    """

    codec: str = ""
    """a name of ``CODECS``; empty for that of the file name: H.264 in .mp4, .mov and .mkv, VP9 in
    .webm, ProRes 4444 in .mov for a clip with transparency"""
    depth: int = 8
    """bits per channel: 8 or 10"""
    location: bool = False
    """whether to keep the place of recording"""

    def __post_init__(self) -> None:
        if self.codec and self.codec not in CODECS:
            raise SettingError(f"codec is {self.codec!r}: {suggest_names(self.codec, CODECS)}")
        if self.depth not in (8, 10):
            raise SettingError(f"depth is {self.depth}: expected 8 or 10")


DEFAULT_CLIP_OPTIONS = ClipOptions()


HEVC_SIDE = 64
"""Minimum side of HEVC in pixels: x265 writes beyond its buffers for smaller frames."""


def check_clip_size(codec: Codec, height: int, width: int) -> None:
    """Raise SettingError for frames that an encoder does not support."""
    if codec.encoder == "libx265" and min(height, width) < HEVC_SIDE:
        raise SettingError(
            f"hevc needs at least {HEVC_SIDE} px per side, and the frames are {width} x {height} "
            "px: choose a larger size, h264 or prores"
        )


def is_sequence(path: files.AnyPath) -> bool:
    """Return whether a path names numbered images, such as ``frames/%06d.png``."""
    return "%" in Path(path).name


def choose_codec(path: files.AnyPath, alpha: bool, options: ClipOptions) -> Codec:
    """Return the encoder for a file name.

    Raises OutputError for an unknown ending, SettingError for a codec that the container lacks.
    """
    ending = files.ending_of(path, tuple(CODECS_OF_ENDING))
    names = CODECS_OF_ENDING[ending]
    chosen = options.codec
    if not chosen:
        deep = [name for name in names if CODECS[name].deep] if options.depth > 8 else []
        clear = [name for name in names if CODECS[name].alpha_format] if alpha else []
        chosen = (clear or deep or list(names))[0]
    if chosen not in names:
        raise SettingError(f"{ending} cannot hold {chosen}: possible: {', '.join(names)}")
    if options.depth > 8 and not CODECS[chosen].deep:
        raise SettingError(f"{chosen} has 8 bits per channel: use hevc or prores for depth 10")
    return CODECS[chosen]


def check_clip_output(path: files.AnyPath, options: ClipOptions) -> None:
    """Check that a clip can be written at ``path``. Raises OutputError or SettingError."""
    if is_sequence(path):
        try:
            name = Path(path).name % 1
        except (TypeError, ValueError):
            raise OutputError(
                f"{files.display_path(path)}: write one number such as %06d for the frame"
            ) from None
        encode.check_writable(Path(path).with_name(name))
        return
    choose_codec(path, False, options)
    files.check_folder(path)


class PaintedFrame(NamedTuple):
    """A frame to write."""

    values: NDArray[Any]
    """uint8 or uint16 (height, width, 3), or 4 with transparency"""
    pts: int
    """presentation time in units of the source's ``time_base``"""
    duration: int
    """in the same unit; 0 if unknown"""


class TimeRange(NamedTuple):
    """The part of the source to copy, in seconds."""

    start: float
    end: float | None
    """None for the end of the clip"""


WHOLE_CLIP = TimeRange(0.0, None)


def write_clip(
    frames: Iterable[PaintedFrame],
    path: files.AnyPath,
    source: ClipInfo,
    options: ClipOptions = DEFAULT_CLIP_OPTIONS,
    part: TimeRange = WHOLE_CLIP,
) -> tuple[str, ...]:
    """Write a clip atomically, and return notes on streams that could not be copied.

    Args:
        frames: the painted frames in order; they stream, so memory does not grow with the length
        path: the ending chooses the container
        source: the clip whose audio, subtitles, chapters and metadata are copied
        options: how the clip is encoded
        part: the time range to copy; its start becomes time 0

    Raises:
        OutputError: if there are no frames or the file cannot be written
    """
    av = extras.load("av")
    codec = choose_codec(path, source.alpha, options)
    iterator = iter(frames)
    first = next(iterator, None)
    if first is None:
        raise OutputError(f"{files.display_path(path)}: there is no frame to write")
    check_clip_size(codec, *first.values.shape[:2])
    try:
        with files.atomic_replace(path) as temporary, ExitStack() as stack:
            original = stack.enter_context(av.open(source.path))
            written = stack.enter_context(
                av.open(str(temporary), "w", options=_muxer_options(temporary.suffix))
            )
            encoder = _VideoEncoder(written, source, codec, first, part)
            copier = _StreamCopier(original, written, options, part)
            for frame in chain((first,), iterator):
                _mux(written, encoder.encode(frame), copier)
            _mux(written, encoder.finish(), copier)
            copier.copy_until(None)
    except av.FFmpegError as error:
        raise OutputError(
            f"{files.display_path(path)} cannot be written: {files.error_reason(error)}"
        ) from error
    return tuple(copier.notes)


def _muxer_options(ending: str) -> dict[str, str]:
    return {"movflags": "+faststart"} if ending in (".mp4", ".mov") else {}


def _mux(written: Any, packets: Iterable[Any], copier: "_StreamCopier") -> None:
    for packet in packets:
        if packet.dts is not None:
            copier.copy_until(packet.dts * packet.time_base)
        written.mux(packet)


class _VideoEncoder:
    """The encoded video stream of a clip."""

    def __init__(
        self, written: Any, source: ClipInfo, codec: Codec, first: PaintedFrame, part: TimeRange
    ) -> None:
        av = extras.load("av")
        self.source, self.base = source, source.time_base
        self.offset = round(Fraction(part.start) / self.base)
        self.alpha = source.alpha and bool(codec.alpha_format)
        self.format = codec.alpha_format if self.alpha else codec.pixel_format
        self.even = "420" in self.format
        self.stream = written.add_stream(codec.encoder, rate=source.rate, options=codec.options)
        height, width = self._crop(first.values).shape[:2]
        context = self.stream.codec_context
        self.stream.width, self.stream.height, self.stream.pix_fmt = width, height, self.format
        context.time_base = self.base
        context.color_primaries = context.color_trc = context.colorspace = BT709
        context.color_range = LIMITED_RANGE
        if codec.encoder == "libx265" and written.format.name in ("mp4", "mov"):
            context.codec_tag = "hvc1"  # QuickTime plays only this tag
        self.durations: dict[int, int] = {}
        self.pending: Any = None
        self.end = 0
        self.first_dts: int | None = None
        self.by_decoding_time = written.format.name in ("mp4", "mov")
        self.colorspace = av.video.reformatter.Colorspace.ITU709

    def _crop(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return the frame without an odd last row and column, where chroma is subsampled."""
        height, width = values.shape[:2]
        return values[: height // 2 * 2, : width // 2 * 2] if self.even else values

    def encode(self, painted: PaintedFrame) -> Iterator[Any]:
        av = extras.load("av")
        values = self._crop(painted.values)
        if values.shape[-1] == 4 and not self.alpha:
            values = _over_white(values)
        form = {3: "rgb", 4: "rgba"}[values.shape[-1]]
        form += {("rgb", 1): "24", ("rgb", 2): "48le", ("rgba", 2): "64le"}.get(
            (form, values.itemsize), ""
        )
        shown = av.VideoFrame.from_ndarray(np.ascontiguousarray(values), format=form)
        shown = shown.reformat(format=self.format, dst_colorspace=self.colorspace)
        shown.color_primaries = shown.color_trc = shown.colorspace = BT709
        shown.color_range = LIMITED_RANGE
        shown.pts, shown.time_base = painted.pts - self.offset, self.base
        self.durations[shown.pts] = painted.duration
        yield from self._with_durations(self.stream.encode(shown))

    def finish(self) -> Iterator[Any]:
        """Yield the packets that the encoder still holds."""
        yield from self._with_durations(self.stream.encode(None))
        if self.pending is not None:
            if self.by_decoding_time:
                # The duration of a track is the sum of those of its packets, in decoding order.
                length = round(self.end * self.base / self.pending.time_base)
                self.pending.duration = max(1, length + self.first_dts - self.pending.dts)
            yield self.pending

    def _with_durations(self, packets: Iterable[Any]) -> Iterator[Any]:
        """Yield the packets before the newest one, with the durations of their frames."""
        for packet in packets:
            time = round(packet.pts * packet.time_base / self.base)
            duration = self.durations.pop(time, 0)
            if duration:
                packet.duration = round(duration * self.base / packet.time_base)
            self.end = max(self.end, time + duration)
            self.first_dts = packet.dts if self.first_dts is None else self.first_dts
            if self.pending is not None:
                yield self.pending
            self.pending = packet


def _over_white(values: NDArray[Any]) -> NDArray[Any]:
    """Return RGB of RGBA values, composed over white."""
    white = np.iinfo(values.dtype).max
    alpha = values[..., 3:].astype(np.float32) / white
    colors = values[..., :3] * alpha + white * (1 - alpha)
    return np.rint(colors).astype(values.dtype)


class _StreamCopier:
    """Copies packets of all other streams, interleaved with the video."""

    def __init__(self, original: Any, written: Any, options: ClipOptions, part: TimeRange) -> None:
        self.written, self.part = written, part
        self.notes: list[str] = []
        self.streams: dict[int, Any] = {}
        for stream in original.streams:
            if stream.type in ("audio", "subtitle"):
                self._add(stream)
        _copy_metadata(original, written, options)
        _copy_chapters(original, written, part)
        chosen = [each for each in original.streams if each.index in self.streams]
        self.packets = iter(original.demux(chosen)) if chosen else iter(())
        self.waiting: Any = None

    def _add(self, stream: Any) -> None:
        try:
            if stream.codec_context.name not in self.written.supported_codecs:
                raise ValueError
            copy = self.written.add_stream_from_template(stream)
        except (ValueError, TypeError, AttributeError):
            name = getattr(stream.codec_context, "name", "unknown")
            holds = ".mp4 holds it" if name == "mov_text" else ".mkv holds it"
            self.notes.append(
                f"the {stream.type} stream {stream.index} ({name}) does not fit into this "
                f"container and is not copied: {holds}"
            )
            return
        copy.metadata.update(stream.metadata)
        self.streams[stream.index] = copy

    def copy_until(self, seconds: Fraction | None) -> None:
        """Copy the packets up to a time in the output; None for all."""
        start = Fraction(self.part.start)
        while True:
            packet = self.waiting if self.waiting is not None else next(self.packets, None)
            self.waiting = None
            if packet is None:
                return
            if packet.dts is None or not self._in_part(packet):
                continue
            if seconds is not None and packet.dts * packet.time_base - start > seconds:
                self.waiting = packet
                return
            shift = round(start / packet.time_base)
            packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
            packet.stream = self.streams[packet.stream.index]
            self.written.mux(packet)

    def _in_part(self, packet: Any) -> bool:
        if self.part == WHOLE_CLIP:
            return True
        time = float((packet.dts if packet.pts is None else packet.pts) * packet.time_base)
        return time >= self.part.start and (self.part.end is None or time < self.part.end)


def _copy_metadata(original: Any, written: Any, options: ClipOptions) -> None:
    """Copy the title, date and so on; the place only if asked for."""
    dropped = ROTATION_KEYS if options.location else (*ROTATION_KEYS, *LOCATION_KEYS)
    technical = ("major_brand", "minor_version", "compatible_brands", "encoder", "duration")
    for name, value in original.metadata.items():
        if name.lower() not in technical and not any(each in name.lower() for each in dropped):
            written.metadata[name] = value


def _copy_chapters(original: Any, written: Any, part: TimeRange) -> None:
    chapters = []
    for chapter in original.chapters():
        base = chapter["time_base"]
        shift = round(Fraction(part.start) / base)
        begin, end = (max(0, chapter[name] - shift) for name in ("start", "end"))
        if end > begin and (part.end is None or begin * base < part.end - part.start):
            chapters.append({**chapter, "start": begin, "end": end})
    if chapters:
        written.set_chapters(chapters)


def write_sequence(
    frames: Iterable[PaintedFrame], path: files.AnyPath, depth: int = 8, first: int = 0
) -> int:
    """Write numbered images, and return their number; ``path`` has a number such as ``%06d``."""
    count = 0
    saving = SaveOptions(depth=16 if depth > 8 else 8)
    for count, frame in enumerate(frames, start=1):
        values = frame.values.astype(np.float32) * np.float32(
            255 / np.iinfo(frame.values.dtype).max
        )
        alpha = values[..., 3] / np.float32(255) if values.shape[-1] == 4 else None
        name = Path(path).with_name(Path(path).name % (first + count - 1))
        encode.write_image(values[..., :3], name, alpha=alpha, saving=saving)
    return count
