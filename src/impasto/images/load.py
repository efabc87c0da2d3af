"""Loads input images, with one call per image.

A call opens a source (a path, bytes, a stream, a Pillow image, an array or a tensor), checks its
size before decoding, decodes it, and converts it: images to float32 sRGB, masks to weights in
[0, 1]. The result includes notes for the user, and the hash that identifies the source.
"""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Protocol, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from impasto import files
from impasto.errors import ImageError, SettingError
from impasto.images import masks
from impasto.images.arrays import Mask, size_of
from impasto.images.formats import decode
from impasto.images.formats.decode import ANY_SIZE, DEFAULT_LIMITS, DecodedImage, SizeLimits


class Convertible(Protocol):
    """An object that NumPy converts to an array, such as a tensor of any framework."""

    def __array__(self) -> NDArray[Any]:
        """Return an array."""


ImageLike: TypeAlias = decode.ImageSource | Image.Image | NDArray[Any] | Convertible
"""A path, the bytes of a file, a stream of bytes, a Pillow image, an array, or an object that
converts to an array, see :func:`impasto.images.formats.decode.from_array`."""


class Region(NamedTuple):
    """A region of the content image with a style image of its own."""

    mask: ImageLike
    """a gray image of any size, stretched over the content image: white inside the region"""
    style: ImageLike
    style_mask: ImageLike | None = None
    """mask of the part of the style image to use"""


class InputSource(NamedTuple):
    """An input image: role, name without folders, hash of its file."""

    role: str
    name: str
    sha256: str

    @classmethod
    def from_dict(cls, stored: Mapping[str, object]) -> "InputSource":
        """Parse the source of a result or checkpoint; former roles get their current names.

        Raises KeyError if a field is missing.
        """
        role, name, sha256 = (str(stored[field]) for field in cls._fields)
        return cls(role.replace(", painting", ", style image"), name, sha256)


@dataclass(frozen=True)
class LoadedImage(DecodedImage):
    """A content image, style image or initial image, with its source.

    Each of the notes starts with the file or the role.
    """

    source: InputSource = field(kw_only=True)


class LoadedMask(NamedTuple):
    """A mask at its own size, with notes for the user."""

    mask: Mask
    notes: tuple[str, ...]
    source: InputSource


class LoadedStyle(NamedTuple):
    """A style image, and the mask of the part to use."""

    image: LoadedImage
    part: LoadedMask | None
    """the mask as given"""
    mask: Mask | None
    """weights of the pixels: opacity times ``part``; None for all of the image"""


def load_image(source: ImageLike, role: str, limits: SizeLimits = DEFAULT_LIMITS) -> LoadedImage:
    """Load an image.

    Args:
        source: see :data:`ImageLike`
        role: names the image in errors and notes, unless it is a file
        limits: minimum side and maximum number of pixels

    Raises:
        ImageError: for an invalid image, or one beyond ``limits``
    """
    decoded = _decode(source, role, limits, strict=True)
    notes = decoded.notes
    if (brightest := float(decoded.pixels.max())) < masks.MIN_WHITE:
        dark = f"{_name(source, role)}: nearly black, its brightest value is {brightest:.3g} of 255"
        notes = (*notes, dark)
    identified = _identify(source, role, decoded)
    return LoadedImage(decoded.pixels, decoded.alpha, decoded.metadata, notes, source=identified)


def load_mask(source: ImageLike, role: str, size: tuple[int, int]) -> LoadedMask:
    """Load a mask for an image of ``size``, (height, width); see :func:`masks.mask_from_image`.

    Raises ImageError for an invalid image, or one that is not a mask.
    """
    decoded, name = _decode(source, role, ANY_SIZE, strict=False), _name(source, role)
    try:
        mask, notes = masks.mask_from_image(decoded.pixels, decoded.alpha)
    except ValueError as error:
        raise ImageError(f"{name}: {error}") from None
    mask_notes = (f"{name}: {note}" for note in (*notes, *masks.aspect_note(mask, *size)))
    return LoadedMask(mask, (*decoded.notes, *mask_notes), _identify(source, role, decoded))


def load_style(source: ImageLike, role: str) -> LoadedStyle:
    """Load a style image; its transparent parts have no weight."""
    image = load_image(source, role)
    return LoadedStyle(image, None, image.alpha)


def load_region_style(region: Region, role: str) -> LoadedStyle:
    """Load the style image of a region and its mask, if any; ``role`` names the region.

    Raises ImageError for an invalid image, SettingError if no opaque part is left.
    """
    style = load_style(region.style, f"{role}, style image")
    if region.style_mask is None:
        return style
    size = size_of(style.image.pixels)
    part = load_mask(region.style_mask, f"{role}, style mask", size)
    opacity = np.float32(1) if style.mask is None else style.mask
    mask = masks.resize_mask(part.mask, *size) * opacity
    if not mask.max() > masks.FAINT:
        raise SettingError(
            f"{role}: the style mask covers no opaque part of the style image: cover more"
        )
    return LoadedStyle(style.image, part, mask)


def _decode(source: ImageLike, role: str, limits: SizeLimits, strict: bool) -> DecodedImage:
    """Decode a source. ``strict`` uses the value range of an image instead of that of a mask."""
    if isinstance(source, str | os.PathLike):
        return decode.read_image(source, limits)
    if isinstance(source, bytes | bytearray | memoryview) or hasattr(source, "read"):
        return decode.read_image(cast(decode.ImageSource, source), limits, role)
    try:
        if isinstance(source, Image.Image):
            decoded = decode.from_pillow(source, limits)
        else:
            decoded = decode.from_array(_as_array(source), limits, strict)
    except ValueError as error:
        raise ImageError(f"{role}: {error}") from None
    return replace(decoded, notes=tuple(f"{role}: {note}" for note in decoded.notes))


def _as_array(source: Any) -> NDArray[Any]:
    """Return an array from an array or an object that converts to one, such as a tensor."""
    kind = type(source).__name__
    if not isinstance(source, np.ndarray) and not hasattr(source, "__array__"):
        raise ImageError(f"expected a path, bytes, a Pillow image or an array, not {kind}")
    try:
        return source if np.ma.isMaskedArray(source) else np.asarray(source)
    except Exception as error:  # frameworks raise exceptions of many types, as for tensors on a GPU
        reason = files.error_reason(error)
        raise ImageError(f"{kind} cannot be converted to a NumPy array ({reason})") from None


def _name(source: ImageLike, role: str) -> str:
    return files.display_path(source) if isinstance(source, str | os.PathLike) else role


def _identify(source: ImageLike, role: str, decoded: DecodedImage) -> InputSource:
    """Return the source with the hash of its file, or of its pixels if it is not a file."""
    if isinstance(source, str | os.PathLike):
        return InputSource(role, os.path.basename(source), hash_of_file(source))
    digest = hashlib.sha256(np.ascontiguousarray(decoded.pixels).data)
    if decoded.alpha is not None:
        digest.update(np.ascontiguousarray(decoded.alpha).data)
    return InputSource(role, type(source).__name__, digest.hexdigest())


def hash_of_file(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
