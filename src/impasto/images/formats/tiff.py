"""TIFF: selects the main page and reads its pixels, by tifffile and imagecodecs.

Pillow is not used: it supports neither more than 8 bits per channel nor floats in color, does not
invert gray with white as zero, and its libtiff writes to the stderr of the process. Pages and tags
follow TIFF 6.0, Adobe's supplements and the DNG specification 1.7.
"""

import logging
from collections.abc import Iterator
from itertools import islice
from typing import Any, BinaryIO, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from impasto.errors import ImageError
from impasto.images import value_range
from impasto.images.formats import color_management, detect, metadata, pillow_reader
from impasto.images.formats.color_management import ColorTags
from impasto.images.formats.reader import (
    FileImage,
    RawPixels,
    SizeLimits,
    apply_orientation,
    check_size_limits,
    damaged_message,
    exif_color_tags,
)

logging.getLogger("tifffile").addHandler(logging.NullHandler())

MAX_PAGES = 64
"""Maximum number of pages that are examined."""

CFA, LINEAR_RAW = 32803, 34892
"""Photometric interpretations of raw sensor data: DNG, chapter 2."""
DNG_VERSION = 50706
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, SEPARATED, YCBCR, LAB, ICC_LAB = 0, 1, 2, 3, 5, 6, 8, 9
COLORS = {WHITE_IS_ZERO: 1, BLACK_IS_ZERO: 1, RGB: 3, PALETTE: 1, SEPARATED: 4, YCBCR: 3, LAB: 3}
"""Number of channels by photometric interpretation."""
JPEG = 7
"""The compression whose decoder converts YCbCr to RGB."""
MAX_CHANNELS = 256
"""Maximum number of channels."""
ASSOCIATED, UNASSOCIATED = 1, 2
"""Types of extra channels: premultiplied alpha, and unassociated alpha."""


class TifffileReader:
    """Reads TIFF by tifffile; files that tifffile rejects are read by Pillow."""

    def read(self, stream: BinaryIO, limits: SizeLimits) -> FileImage:
        """Implement :meth:`impasto.images.formats.reader.Reader.read`."""
        import tifffile

        stream.seek(0)
        try:
            opened = tifffile.TiffFile(cast(Any, stream))
            chosen = find_page(opened)
        except (ImageError, MemoryError):
            raise
        except Exception:  # Pillow reads some files that tifffile rejects
            return _read_by_pillow(stream, limits)
        notes = ("the first of several frames is used",) if chosen.several else ()
        check_size_limits(chosen.page.imagewidth, chosen.page.imagelength, limits)
        return _read_page(stream, chosen.page, notes)


def _read_by_pillow(stream: BinaryIO, limits: SizeLimits) -> FileImage:
    """Read the first page of a TIFF that tifffile rejects."""
    image = pillow_reader.open_image(stream)
    check_size_limits(*image.size, limits)
    if any(tile[0] == "libtiff" for tile in image.tile):
        # libtiff would write errors to the stderr of the whole process.
        raise ImageError(damaged_message("its tags"))
    return FileImage(
        pillow_reader.pillow_pixels(image),
        pillow_reader.read_color_tags(image, stream),
        metadata.read_metadata(image),
    )


def _read_page(stream: BinaryIO, page: Any, notes: tuple[str, ...]) -> FileImage:
    pixels = decode_page(page)
    exif = metadata.read_tiff_exif(stream, page)
    tags = ColorTags() if pixels.lab else exif_color_tags(exif, pixels.icc)
    alpha = None if pixels.alpha is None else apply_orientation(pixels.alpha, pixels.orientation)
    values = color_management.from_lab(pixels.values) if pixels.lab else pixels.values
    upright = RawPixels(apply_orientation(values, pixels.orientation), alpha, pixels.notes)
    return FileImage(upright, tags, metadata.parse_metadata(exif, {}), notes)


class TiffPixels(NamedTuple):
    """The pixels of a page, before orientation is applied."""

    values: NDArray[Any]
    """uint16, or float32 in [0, 1]: (height, width, 1, 3 or 4), gray, RGB or inks"""
    alpha: NDArray[np.float32] | None
    icc: bytes
    orientation: int
    notes: tuple[str, ...]
    lab: bool = False
    """whether they are CIELAB, as float32: L* 0 to 100, a* and b*"""


class TiffPage(NamedTuple):
    """The main page of a file."""

    page: Any
    """tifffile's"""
    frame: int | None
    """its number among the top-level pages; None for a subpage"""
    several: bool
    """whether the file has more full-size images"""


def find_page(tiff: Any) -> TiffPage:
    """Return the main page of an open tifffile.TiffFile: the first in full size.

    Previews and masks are skipped. Raises ImageError for a camera raw file.
    """
    pages = list(_iter_pages(tiff))
    for page, _ in pages:
        if _is_raw(page):
            raise ImageError(detect.RAW)
    full = [each for each in pages if not each[0].subfiletype & 0b101]
    chosen, frame = full[0] if full else max(pages, key=lambda each: _area(each[0]))
    several = sum(number is not None for _, number in full) > 1
    return TiffPage(chosen, frame, several)


def _iter_pages(tiff: Any) -> Iterator[tuple[Any, int | None]]:
    """Yield pages with their numbers, and subpages with None."""
    for number, page in enumerate(islice(tiff.pages, MAX_PAGES)):
        yield page, number
        for below in islice(page.pages or (), MAX_PAGES):
            yield below, None


def _is_raw(page: Any) -> bool:
    return int(page.photometric or 0) in (CFA, LINEAR_RAW) or DNG_VERSION in page.tags


def _area(page: Any) -> int:
    return int(page.imagelength * page.imagewidth)


def decode_page(page: Any) -> TiffPixels:
    """Decode a page of any depth. Raises ImageError for an unsupported kind of page.

    Exceptions of tifffile for damaged files are not caught.
    """
    photometric = int(page.photometric)
    count = COLORS.get(LAB if photometric == ICC_LAB else photometric)
    if count is None or page.dtype is None or page.samplesperpixel > MAX_CHANNELS:
        raise ImageError(
            f"a TIFF in {_word(page.photometric)} of {page.samplesperpixel} x "
            f"{page.bitspersample} bits is not supported: save it as RGB"
        )
    in_ycbcr = photometric == YCBCR and int(page.compression) != JPEG
    if in_ycbcr and tuple(_tag(page, "YCbCrSubSampling", (2, 2))) != (1, 1):
        raise ImageError(
            "a TIFF in YCbCr with subsampled colors and without JPEG compression is not supported: "
            "save it as RGB"
        )
    raw = page.asarray(maxworkers=1)
    separate, depth, height, width, together = page.shaped
    channels = raw.reshape(separate, depth, height, width, together)[:, 0]
    pixels = np.concatenate(list(channels), axis=-1) if separate > 1 else channels[0]
    colors, alpha = pixels[..., :count], _alpha_channel(page, pixels, count)
    icc, orientation = _tag(page, "InterColorProfile", b""), _tag(page, "Orientation", 1)
    if photometric in (LAB, ICC_LAB):
        return TiffPixels(_decode_lab(colors, photometric), alpha, b"", orientation, (), lab=True)
    values, notes = _scale_bits(page, colors)
    if in_ycbcr:
        values = _from_ycbcr(page, values)
    if photometric == WHITE_IS_ZERO:
        values = (1 if values.dtype.kind == "f" else np.iinfo(values.dtype).max) - values
    if photometric == PALETTE:
        values = np.moveaxis(_normalize_palette(page.colormap)[:, colors[..., 0]], 0, -1)
    ignored = pixels.shape[-1] - count - (alpha is not None)
    if ignored > 0:
        notes = (*notes, f"{pixels.shape[-1]} channels, of which {ignored} were ignored")
    return TiffPixels(
        _unpremultiply(page, values, alpha), alpha, bytes(icc), int(orientation), notes
    )


def _normalize_palette(colors: NDArray[np.uint16]) -> NDArray[Any]:
    """Return a palette; many programs, including Pillow, write 8 bits into the upper half of 16."""
    if not (colors & 0xFF).any():
        return (colors >> 8).astype(np.uint8)
    return colors if colors.max() > 255 else colors.astype(np.uint8)


def _from_ycbcr(page: Any, values: NDArray[Any]) -> NDArray[np.float32]:
    """Convert YCbCr to RGB: TIFF 6.0, section 21; range and luma coefficients may be in tags."""
    maximum = 1 if values.dtype.kind == "f" else np.iinfo(values.dtype).max
    black_white = _rationals(page, "ReferenceBlackWhite", (0, 255, 128, 255, 128, 255))
    black, white = black_white[::2], black_white[1::2]
    span = np.array([255, 127, 127], np.float32) / np.maximum(white - black, 1)
    luma, blue, red = np.moveaxis((values * np.float32(255 / maximum) - black) * span, -1, 0)
    weights = _rationals(page, "YCbCrCoefficients", (0.299, 0.587, 0.114))
    r, b = luma + red * (2 - 2 * weights[0]), luma + blue * (2 - 2 * weights[2])
    g = (luma - weights[0] * r - weights[2] * b) / weights[1]
    return np.clip(np.stack([r, g, b], axis=-1) / 255, 0, 1).astype(np.float32)


def _rationals(page: Any, name: str, otherwise: tuple[float, ...]) -> NDArray[np.float32]:
    """Return a tag of rationals, which tifffile returns as numerators and denominators."""
    tags = _tag(page, name, None)
    if tags is None or len(tags) != 2 * len(otherwise):
        return np.array(otherwise, np.float32)
    pairs = np.array(tags, np.float32).reshape(-1, 2)
    return np.asarray(pairs[:, 0] / np.maximum(pairs[:, 1], 1), np.float32)


def _word(photometric: Any) -> str:
    return str(getattr(photometric, "name", photometric)).lower()


def _tag(page: Any, name: str, otherwise: Any) -> Any:
    tag = page.tags.get(name)
    return otherwise if tag is None or tag.value is None else tag.value


def _scale_bits(page: Any, colors: NDArray[Any]) -> value_range.ScaledValues:
    """Scale by the depth of a page, which may be less than that of the array."""
    bits = int(page.bitspersample)
    if colors.dtype.kind == "u" and bits < 8 * colors.dtype.itemsize:
        white = 2**bits - 1
        return value_range.ScaledValues(np.minimum(colors, white) * np.float32(1 / white))
    return value_range.scale_to_range(colors, strict=False)


def _alpha_channel(page: Any, pixels: NDArray[Any], count: int) -> NDArray[np.float32] | None:
    extra = tuple(int(each) for each in page.extrasamples)
    if pixels.shape[-1] <= count or (extra and extra[0] not in (ASSOCIATED, UNASSOCIATED)):
        return None
    return value_range.scale_alpha(_scale_bits(page, pixels[..., count]).values)


def _unpremultiply(page: Any, values: NDArray[Any], alpha: NDArray[Any] | None) -> NDArray[Any]:
    """Divide premultiplied colors by their alpha."""
    if alpha is None or int(page.extrasamples[0] if page.extrasamples else 0) != ASSOCIATED:
        return values
    white = 1 if values.dtype.kind == "f" else np.iinfo(values.dtype).max
    opacity = np.maximum(alpha, 1e-6)[..., None]
    return np.asarray(np.minimum(values / np.float32(white) / opacity, 1), np.float32)


def _decode_lab(colors: NDArray[Any], kind: int) -> NDArray[np.float32]:
    """Return CIELAB; a* and b* are signed; the ICC encoding has an offset of 128."""
    bits = 8 * colors.dtype.itemsize
    if colors.dtype.kind not in "ui" or bits not in (8, 16):
        raise ImageError("a TIFF of CIELAB in floats is not supported: save it as RGB")
    white = 0xFF00 if (kind, bits) == (ICC_LAB, 16) else 2**bits - 1
    lightness = colors[..., :1].view(f"u{bits // 8}").astype(np.float32) * np.float32(100 / white)
    step = np.float32(2 ** (bits - 8))
    if kind == ICC_LAB:
        rest = colors[..., 1:].view(f"u{bits // 8}").astype(np.float32) / step - 128
    else:
        rest = colors[..., 1:].view(f"i{bits // 8}").astype(np.float32) / step
    return np.concatenate([lightness, rest], axis=-1)
