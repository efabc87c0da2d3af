"""The interface of readers of image files: one class per library, see ``decode.READERS``.

A reader turns a file into a :class:`FileImage`: its pixels as they are stored, and what the file
states about their colors. ``decode`` converts these to sRGB, the same for all readers.
"""

from collections.abc import Callable
from typing import Any, BinaryIO, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from impasto.errors import ImageError
from impasto.images.arrays import Mask
from impasto.images.formats import color_management, metadata
from impasto.images.formats.color_management import ColorTags
from impasto.images.formats.metadata import NO_METADATA, Metadata

MIN_SIDE = 16
"""Default minimum of a side in pixels."""
MAX_PIXELS = 178_956_970
"""Default maximum number of pixels, checked before decoding; the same as Pillow's."""


class SizeLimits(NamedTuple):
    """Limits of image sizes."""

    min_side: int = MIN_SIDE
    """minimum side in pixels"""
    max_pixels: int = MAX_PIXELS
    """maximum number of pixels"""


DEFAULT_LIMITS = SizeLimits()
ANY_SIZE = SizeLimits(min_side=1)
"""Limits for masks, and for metadata."""


class RawPixels(NamedTuple):
    """Pixels as a file stores them, upright, before conversion to sRGB."""

    values: color_management.Values
    """(height, width, channels): integers over the range of their type, or float32 in [0, 1]"""
    alpha: Mask | None = None
    """opacity in [0, 1]; None if the image is opaque"""
    notes: tuple[str, ...] = ()


class FileImage(NamedTuple):
    """The result of a reader."""

    pixels: RawPixels
    tags: ColorTags
    """color tags of the file"""
    metadata: Metadata = NO_METADATA
    notes: tuple[str, ...] = ()
    """notes for the user"""


class Reader(Protocol):
    """Reads image files by one library."""

    def read(self, stream: BinaryIO, limits: SizeLimits) -> FileImage:
        """Read the first full-size frame of a file.

        Args:
            stream: the file, at any position
            limits: limits of the size, checked before pixels are decoded

        Raises:
            ImageError: for an image beyond the limits, or of a kind that is not supported
            Exception: for a damaged file, with the type of the library; ``decode`` converts it to
                ImageError
        """


def check_size_limits(width: int, height: int, limits: SizeLimits = DEFAULT_LIMITS) -> None:
    """Raise ImageError for an image that is too small or has too many pixels."""
    min_side, max_pixels = limits
    if min(width, height) < min_side:
        raise ImageError(
            f"an image of {width} x {height} px: the minimum is {min_side} x {min_side} px"
        )
    if width * height > max_pixels:
        raise ImageError(too_many_pixels(width * height, max_pixels))


def too_many_pixels(pixels: int, max_pixels: int = MAX_PIXELS) -> str:
    """Return the message for an image of too many pixels."""
    message = f"an image of {pixels:,} pixels: the maximum is {max_pixels:,}; reduce it first"
    if max_pixels > MAX_PIXELS:
        return message
    return f"{message}, or use --size original if it is the content image"


def damaged_message(what: str) -> str:
    """Return the message for a damaged file."""
    return f"damaged or truncated ({what}): save or download the image again"


_ORIENTATIONS: dict[int, Callable[[NDArray[Any]], NDArray[Any]]] = {
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: np.swapaxes(a, 0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: np.swapaxes(a[::-1, ::-1], 0, 1),
    8: lambda a: np.rot90(a, 1),
}
"""How an image is turned upright, by its EXIF orientation."""


def apply_orientation(pixels: NDArray[Any], orientation: Any) -> NDArray[Any]:
    """Return an array turned upright; unchanged for a value that is not an orientation."""
    turn = _ORIENTATIONS.get(orientation) if isinstance(orientation, int) else None
    return pixels if turn is None else np.ascontiguousarray(turn(pixels))


def exif_color_tags(exif: Image.Exif, icc: bytes) -> ColorTags:
    """Return the color tags of EXIF and an ICC profile."""
    colors = metadata.parse_exif_color(exif)
    return ColorTags(
        icc=icc, exif=colors.space, gamma=colors.gamma, chromaticities=colors.chromaticities
    )
