"""Reads image files: chooses the reader of a file, and converts what it returns to sRGB.

The pixels are decoded by a reader per library: JPEG and everything of 8 bits per channel by Pillow
(`pillow_reader`), more bits by imagecodecs and pillow-heif (`deep_readers`), TIFF by `tiff`.

The result is an image (float32, (height, width, 3), sRGB-encoded RGB in [0, 255]), or an ImageError
with a one-line message. Files are untrusted: only the formats of ``pillow_reader.FORMATS`` are
opened, within limits of size.
"""

import contextlib
import io
import logging
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, UnidentifiedImageError

from impasto import files
from impasto.errors import ImageError
from impasto.files import AnyPath, display_path
from impasto.images import arrays, value_range
from impasto.images.arrays import ImageArray, Mask
from impasto.images.formats import color_management, containers, detect, pillow_reader
from impasto.images.formats.color_management import ColorTags
from impasto.images.formats.deep_readers import ImagecodecsReader, PillowHeifReader
from impasto.images.formats.detect import READABLE_ENDINGS as READABLE_ENDINGS
from impasto.images.formats.detect import list_folder as list_folder
from impasto.images.formats.metadata import NO_METADATA, Metadata
from impasto.images.formats.pillow_reader import FORMATS as FORMATS
from impasto.images.formats.pillow_reader import PillowReader
from impasto.images.formats.reader import ANY_SIZE as ANY_SIZE
from impasto.images.formats.reader import DEFAULT_LIMITS as DEFAULT_LIMITS
from impasto.images.formats.reader import MAX_PIXELS as MAX_PIXELS
from impasto.images.formats.reader import MIN_SIDE as MIN_SIDE
from impasto.images.formats.reader import (
    FileImage,
    RawPixels,
    Reader,
    check_size_limits,
    damaged_message,
    too_many_pixels,
)
from impasto.images.formats.reader import SizeLimits as SizeLimits
from impasto.images.formats.tiff import TifffileReader

MAX_BYTES = 2**31
"""Maximum size of an image file in bytes."""

READERS: dict[str, Reader] = {
    "pillow": PillowReader(),
    "imagecodecs": ImagecodecsReader(),
    "pillow_heif": PillowHeifReader(),
    "tifffile": TifffileReader(),
}
"""A reader for each library."""

READER_OF_FORMAT = {
    "PNG": "imagecodecs",
    "AVIF": "imagecodecs",
    "JPEG2000": "imagecodecs",
    "HEIF": "pillow_heif",
}
"""Readers of formats that may have more than 8 bits per channel in color; of others ``pillow``."""

ImageSource: TypeAlias = AnyPath | bytes | bytearray | memoryview | BinaryIO
"""A path, the bytes of a file, or a stream of them such as io.BytesIO."""

# Without a handler, Python would print their log records about damaged files.
for _library in ("PIL", "imagecodecs"):
    logging.getLogger(_library).addHandler(logging.NullHandler())


@dataclass(frozen=True)
class DecodedImage:
    """A decoded image, with transparency, metadata and notes."""

    pixels: ImageArray
    """pixels; transparent ones have the color of the nearest opaque pixel"""
    alpha: Mask | None = None
    """opacity; None if the image is opaque"""
    metadata: Metadata = NO_METADATA
    notes: tuple[str, ...] = ()
    """notes for the user"""


def read_image(
    source: ImageSource, limits: SizeLimits = DEFAULT_LIMITS, name: str = ""
) -> DecodedImage:
    """Read an image file or its bytes: upright, in sRGB, the first full-size frame.

    Raises ImageError for anything that is not a complete image within ``limits``. Errors and
    notes start with ``name``, or with the path.
    """
    path = Path(source) if isinstance(source, str | os.PathLike) else None
    try:
        with open_source(source) as stream:
            decoded = _decode_stream(stream, limits)
    except ImageError as error:
        named = name or (source if isinstance(source, str | os.PathLike) else IN_MEMORY_NAME)
        raise ImageError(f"{display_path(named)}: {error}") from error
    short = display_path(name or (path.name if path else IN_MEMORY_NAME))
    return replace(decoded, notes=tuple(f"{short}: {note}" for note in decoded.notes))


IN_MEMORY_NAME = "an image in memory"
"""Name in messages for bytes without a path."""


@contextmanager
def open_source(source: ImageSource) -> Iterator[BinaryIO]:
    """Open a file, or bytes in memory, at its beginning; a stream stays open and is read whole.

    Raises ImageError for a file that is unreadable, empty, or larger than MAX_BYTES.
    """
    if isinstance(source, str | os.PathLike):
        path = Path(source)
        files.check_input(path, MAX_BYTES)
        try:
            stream = path.open("rb")
        except OSError as error:
            raise ImageError(f"cannot be read: {files.error_reason(error)}") from None
        with stream:
            yield stream
        return
    data = source if isinstance(source, bytes | bytearray | memoryview) else _read_stream(source)
    if not data:
        raise ImageError("contains no bytes: save or download the image again")
    if len(data) > MAX_BYTES:
        raise ImageError(f"{len(data):,} bytes: the maximum is {MAX_BYTES:,}")
    yield io.BytesIO(data)


def _read_stream(stream: BinaryIO) -> bytes:
    """Return all bytes of a stream, from its beginning if it supports seeking."""
    try:
        with contextlib.suppress(OSError, AttributeError):
            stream.seek(0)
        data = bytearray()
        # Unbuffered files, pipes and sockets return fewer bytes than requested.
        while len(data) <= MAX_BYTES and (part := _read_limited(stream, MAX_BYTES + 1 - len(data))):
            data += part
    except ImageError:
        raise
    except (OSError, ValueError) as error:
        raise ImageError(f"cannot be read: {files.error_reason(error)}") from None
    return bytes(data)


def _read_limited(stream: BinaryIO, max_bytes: int) -> bytes:
    part = stream.read(max_bytes)
    if part is None:
        raise ImageError("a non-blocking stream without data: use a blocking stream")
    if not isinstance(part, bytes | bytearray | memoryview):
        raise ImageError(f"a stream of {type(part).__name__}: open it for bytes, as with 'rb'")
    return bytes(part)


@contextmanager
def opened_image(stream: BinaryIO) -> Iterator[ImageFile.ImageFile]:
    """Open an image file without decoding its pixels; a broken one raises an ImageError."""
    with _decoder_errors(), pillow_reader.open_image(stream) as image:
        yield image


def _decode_stream(stream: BinaryIO, limits: SizeLimits) -> DecodedImage:
    head = stream.read(detect.HEAD_BYTES)
    detect.reject_unsupported(head)
    with _decoder_errors():
        return _to_srgb_image(READERS[_choose_reader(stream, head)].read(stream, limits))


def _choose_reader(stream: BinaryIO, head: bytes) -> str:
    """Return the name in READERS for a file with these first bytes."""
    if detect.is_tiff(head):
        return "tifffile"
    if (jpeg := containers.read_jpeg_header(stream)) is not None and jpeg.bits != 8:
        return "imagecodecs"
    return READER_OF_FORMAT.get(pillow_reader.format_name(head) or "", "pillow")


def from_pillow(image: Image.Image, limits: SizeLimits = DEFAULT_LIMITS) -> DecodedImage:
    """Convert a Pillow image of any mode, at its current frame; `read_image` does the same for
    files.

    The image keeps its frame and its pixels. Raises ImageError if it is closed, if its size or
    its values are out of range, or if its file is broken.
    """
    check_size_limits(*image.size, limits)
    with _decoder_errors():
        return _to_srgb_image(pillow_reader.read_open_image(image))


def from_array(
    array: NDArray[Any], limits: SizeLimits = DEFAULT_LIMITS, strict: bool = True
) -> DecodedImage:
    """Convert an array: gray (h, w) or (h, w, 1), RGB (h, w, 3), with alpha (h, w, 2 or 4).

    Unsigned integers have the range of their type, signed ones 0 to 255, booleans are black and
    white, and floats are 0 to 1 or 0 to 255, by their values. A batch of one, (1, h, w, 3), is
    accepted. Masked pixels of a `numpy.ma` array are transparent.

    Raises ImageError for other shapes and types, for values far out of range, and, if ``strict``,
    for 16-bit data that uses only 8 bits.
    """
    colors, opaque = value_range.split_alpha(np.ma.getdata(array))
    height, width = arrays.size_of(colors)
    hidden = value_range.masked_positions(array)
    if hidden is not None:
        colors = np.where(hidden[..., np.newaxis], colors.dtype.type(0), colors)
    scaled = value_range.scale_to_range(colors, strict)
    check_size_limits(width, height, limits)
    alpha = None if opaque is None else value_range.scale_alpha(opaque)
    if hidden is not None:
        alpha = np.where(hidden, np.float32(0), np.float32(1) if alpha is None else alpha)
    return _to_srgb_image(FileImage(RawPixels(scaled.values, alpha, scaled.notes), ColorTags()))


def _to_srgb_image(image: FileImage) -> DecodedImage:
    """Convert to sRGB, and fill transparent pixels with the color of their neighbors."""
    pixels, more = color_management.to_srgb_image(image.pixels.values, image.tags)
    notes, alpha = (*image.notes, *image.pixels.notes, *more), image.pixels.alpha
    if alpha is None or alpha.min() == 1:
        return DecodedImage(pixels, None, image.metadata, notes)
    try:
        return DecodedImage(arrays.fill_hidden(pixels, alpha), alpha, image.metadata, notes)
    except ValueError as error:
        raise ImageError(f"{error}") from None


@contextmanager
def _decoder_errors() -> Iterator[None]:
    """Convert exceptions of decoders to ImageError."""
    try:
        yield
    except ImageError:
        raise
    except Exception as error:
        raise ImageError(_explain_decoder_error(error)) from error


def _explain_decoder_error(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return f"not an image, or damaged; supported formats: {', '.join(FORMATS)}"
    if isinstance(error, Image.DecompressionBombError):
        # Pillow raises before it returns the size; the first number of its message is the pixels.
        return too_many_pixels(int(re.findall(r"\d+", str(error))[0]))
    if isinstance(error, MemoryError):
        return "not enough memory to read this image: reduce it first"
    if isinstance(error, OSError) and error.errno:
        return f"cannot be read: {files.error_reason(error)}"
    return damaged_message(files.error_reason(error))


def read_xmp(path: AnyPath) -> bytes:
    """Return the XMP packet of an image file, without decoding its pixels; empty if it has none.

    Raises ImageError for anything but an image.
    """
    try:
        with (
            open_source(path) as stream,
            opened_image(pillow_reader.drop_broken_chunks(stream)[0]) as image,
        ):
            if image.format == "PNG":
                check_size_limits(*image.size, ANY_SIZE)
                image.load()  # the text may follow the pixels
            packet = image.info.get("xmp", b"")
    except ImageError as error:
        raise ImageError(f"{display_path(path)}: {error}") from error
    return packet if isinstance(packet, bytes) else str(packet).encode()
