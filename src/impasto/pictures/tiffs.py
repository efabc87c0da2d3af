"""TIFF: which of its pages is the picture, and the pixels that Pillow cannot read.

Pillow has no color of more than 8 bits per channel and no floats in color, takes planes that lie
apart for pixels in a row there, and does not turn gray around whose zero is white. TIFF 6.0, with
Adobe's supplements and the DNG specification 1.7 for pages and tags.
"""

import logging
from collections.abc import Iterator
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from impasto import files
from impasto.errors import PictureError
from impasto.pictures import formats, values

logging.getLogger("tifffile").addHandler(logging.NullHandler())

MOST_PAGES = 64
"""Pages that are looked at."""

CFA, LINEAR_RAW = 32803, 34892
"""Photometric interpretations of what a sensor saw: DNG, chapter 2."""
DNG_VERSION = 50706
WHITE_IS_ZERO, BLACK_IS_ZERO, RGB, PALETTE, INKS, YCBCR, LAB, ICC_LAB = 0, 1, 2, 3, 5, 6, 8, 9
COLORS = {WHITE_IS_ZERO: 1, BLACK_IS_ZERO: 1, RGB: 3, PALETTE: 1, INKS: 4, LAB: 3}
"""Channels of the interpretations that are read here."""
BY_LIBTIFF = (1, 2, 3, 4, 5, 7, 8, 32773, 32946, 34925, 50000)
"""Ways of packing that Pillow's libtiff knows: none, CCITT's, LZW, JPEG, Deflate, PackBits, LZMA,
Zstandard."""
TOGETHER = 1
"""How channels lie whose values for a pixel are beside each other."""
ASSOCIATED, UNASSOCIATED = 1, 2
"""What an extra channel is: transparency that the colors were multiplied with, or not."""


class Pixels(NamedTuple):
    """Pixels as numbers, upright or not."""

    values: NDArray[Any]
    """uint16, or float32 in [0, 1]: (height, width, 1, 3 or 4), gray, RGB or inks"""
    alpha: NDArray[np.float32] | None
    icc: bytes
    orientation: int
    notes: tuple[str, ...]
    lab: bool = False
    """whether they are CIELAB, as float32: L* 0 to 100, a* and b*"""


class Found(NamedTuple):
    """The page that is the picture."""

    page: Any
    """tifffile's"""
    frame: int | None
    """its number among the file's own pages; None if it lies below another"""
    several: bool
    """whether there are more pictures than this one"""


def find(tiff: Any) -> Found:
    """Return the page of an open tifffile.TiffFile that is the picture: the first in full size.

    Previews and masks are not. Raises PictureError for a camera's raw file.
    """
    pages = list(_pages(tiff))
    for page, _ in pages:
        if _is_raw(page):
            raise PictureError(formats.RAW)
    full = [each for each in pages if not each[0].subfiletype & 0b101]
    chosen, frame = full[0] if full else max(pages, key=lambda each: _area(each[0]))
    own = [page for page, number in full if number is not None]
    return Found(chosen, frame, len(own) > 1)


def _pages(tiff: Any) -> Iterator[tuple[Any, int | None]]:
    """Yield pages with their numbers, and those below them with none."""
    for number, page in enumerate(islice(tiff.pages, MOST_PAGES)):
        yield page, number
        for below in islice(page.pages or (), MOST_PAGES):
            yield below, None


def _is_raw(page: Any) -> bool:
    return int(page.photometric or 0) in (CFA, LINEAR_RAW) or DNG_VERSION in page.tags


def _area(page: Any) -> int:
    return int(page.imagelength * page.imagewidth)


def is_for_pillow(found: Found) -> bool:
    """Return whether Pillow reads a page as it is."""
    page = found.page
    shallow = int(page.bitspersample) <= 8 and int(page.photometric) not in (LAB, ICC_LAB)
    together = int(page.samplesperpixel) == 1 or int(page.planarconfig) == TOGETHER
    known = int(page.compression) in BY_LIBTIFF
    return found.frame is not None and shallow and together and known


def decode(page: Any) -> Pixels:
    """Decode a page of any depth. Raises PictureError for what cannot be read as what it is.

    Whatever tifffile raises for a broken file goes on.
    """
    kind = int(page.photometric)
    count = COLORS.get(LAB if kind == ICC_LAB else kind)
    if count is None or page.dtype is None:
        raise PictureError(
            f"a TIFF of {page.bitspersample} bits in {_word(page.photometric)}, which is not read: "
            "save it as RGB"
        )
    with files.quiet():
        raw = page.asarray(maxworkers=1)
    separate, depth, height, width, together = page.shaped
    channels = raw.reshape(separate, depth, height, width, together)[:, 0]
    pixels = np.concatenate(list(channels), axis=-1) if separate > 1 else channels[0]
    colors, alpha = pixels[..., :count], _alpha(page, pixels, count)
    icc, orientation = _tag(page, "InterColorProfile", b""), _tag(page, "Orientation", 1)
    if kind in (LAB, ICC_LAB):
        return Pixels(_lab(colors, kind), alpha, b"", orientation, (), lab=True)
    found, notes = _scaled(page, colors)
    if kind == WHITE_IS_ZERO:
        found = (1 if found.dtype.kind == "f" else np.iinfo(found.dtype).max) - found
    if kind == PALETTE:
        found = np.moveaxis(page.colormap[:, colors[..., 0]], 0, -1)
    return Pixels(_apart(page, found, alpha), alpha, bytes(icc), int(orientation), notes)


def _word(photometric: Any) -> str:
    return str(getattr(photometric, "name", photometric)).lower()


def _tag(page: Any, name: str, otherwise: Any) -> Any:
    tag = page.tags.get(name)
    return otherwise if tag is None or tag.value is None else tag.value


def _scaled(page: Any, colors: NDArray[Any]) -> values.Scaled:
    """Scale by the bits that a page has: 9 to 15 are spread over 16."""
    bits = int(page.bitspersample)
    if colors.dtype == np.uint16 and bits < 16:
        most = 2**bits - 1
        return values.Scaled(np.minimum(colors, most) * np.float32(1 / most))
    return values.scaled(colors, strict=False)


def _alpha(page: Any, pixels: NDArray[Any], count: int) -> NDArray[np.float32] | None:
    extra = tuple(int(each) for each in page.extrasamples)
    if pixels.shape[-1] <= count or (extra and extra[0] not in (ASSOCIATED, UNASSOCIATED)):
        return None
    return values.as_alpha(_scaled(page, pixels[..., count]).values)


def _apart(page: Any, found: NDArray[Any], alpha: NDArray[Any] | None) -> NDArray[Any]:
    """Divide colors by the transparency that they were multiplied with."""
    if alpha is None or int(page.extrasamples[0] if page.extrasamples else 0) != ASSOCIATED:
        return found
    most = 1 if found.dtype.kind == "f" else np.iinfo(found.dtype).max
    share = np.maximum(alpha, 1e-6)[..., None]
    return np.asarray(np.minimum(found / np.float32(most) / share, 1), np.float32)


def _lab(colors: NDArray[Any], kind: int) -> NDArray[np.float32]:
    """Return CIELAB; a* and b* are signed, in ICC's way of writing it with an offset of 128."""
    bits = 8 * colors.dtype.itemsize
    if colors.dtype.kind not in "ui" or bits not in (8, 16):
        raise PictureError("a TIFF of CIELAB in floats, which is not read: save it as RGB")
    white = 0xFF00 if (kind, bits) == (ICC_LAB, 16) else 2**bits - 1
    lightness = colors[..., :1].view(f"u{bits // 8}").astype(np.float32) * np.float32(100 / white)
    step = np.float32(2 ** (bits - 8))
    if kind == ICC_LAB:
        rest = colors[..., 1:].view(f"u{bits // 8}").astype(np.float32) / step - 128
    else:
        rest = colors[..., 1:].view(f"i{bits // 8}").astype(np.float32) / step
    return np.concatenate([lightness, rest], axis=-1)
