"""Writing picture files: from pixels to bytes."""

import struct
from functools import cache
from typing import Any

import numpy as np
from PIL import Image, PngImagePlugin, features

from impasto import files
from impasto.errors import PictureError
from impasto.files import AnyPath
from impasto.pictures import Picture

_JPEG = ("JPEG", {"quality": 95, "subsampling": "4:4:4"})
_TIFF = ("TIFF", {"compression": "tiff_deflate"})
_SAVING: dict[str, tuple[str, dict[str, Any]]] = {
    ".png": ("PNG", {"compress_level": 6}),
    ".jpg": _JPEG,
    ".jpeg": _JPEG,
    # Lossy WebP always halves the colour resolution, which smears the edges of brush strokes.
    ".webp": ("WEBP", {"lossless": True}),
    ".tif": _TIFF,
    ".tiff": _TIFF,
    ".bmp": ("BMP", {}),
}
if features.check("avif"):
    _SAVING[".avif"] = ("AVIF", {"quality": 95, "subsampling": "4:4:4"})

PICTURES = tuple(_SAVING)
"""Endings that `write` knows."""

_TIFF_XMP = 700
"""The tag that keeps XMP in TIFF."""


def to_image(pixels: Picture) -> Image.Image:
    """Round and clip a picture to an 8-bit RGB image.

    Raises PictureError if a value is not finite: no broken picture is ever written.
    """
    if not np.isfinite(pixels).all():
        raise PictureError("the picture has values that are not finite: it is not written")
    return Image.fromarray(np.clip(np.rint(pixels), 0, 255).astype(np.uint8))


def check(path: AnyPath) -> None:
    """Check that a picture can be written at ``path``, before the work that will fill it.

    Raises PictureError for an ending that is none of `PICTURES`, and for what
    `files.check_output` refuses.
    """
    files.check_output(path, PICTURES)


def write(pixels: Picture, path: AnyPath, xmp: bytes | None = None) -> None:
    """Write a picture as 8-bit sRGB in the format that the ending names, atomically.

    ``xmp`` is a packet of metadata to be kept in the file; BMP cannot. The same pixels and packet
    give the same bytes. Raises PictureError if a value is not finite, the ending is none of
    `PICTURES`, or the file cannot be written.
    """
    name, options = _SAVING[files.ending_of(path, PICTURES)]
    image = to_image(pixels)
    carried = {} if xmp is None else _carrying(name, xmp)
    with files.replacing(path) as temporary, files.quiet():
        image.save(temporary, name, icc_profile=_srgb_profile(), **options, **carried)


def _carrying(name: str, xmp: bytes) -> dict[str, Any]:
    """Return the options by which Pillow keeps an XMP packet in a file."""
    if name == "PNG":
        text = PngImagePlugin.PngInfo()
        text.add_itxt("XML:com.adobe.xmp", xmp.decode())
        return {"pnginfo": text}
    if name == "TIFF":
        return {"tiffinfo": {_TIFF_XMP: xmp}}
    return {} if name == "BMP" else {"xmp": xmp}


@cache
def _srgb_profile() -> bytes:
    """Return an sRGB profile with a fixed date, where lcms puts the time of the call."""
    from PIL import ImageCms

    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[24:36] = struct.pack(">6H", 2000, 1, 1, 0, 0, 0)
    return bytes(profile)
