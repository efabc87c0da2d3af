"""Reading picture files: from bytes to pixels.

Every file that Pillow can decode becomes a picture (float32, (height, width, 3), sRGB-encoded RGB
in [0, 255]), and every file that it cannot a `PictureError` of one line. Files come from strangers:
only the formats named here are opened, and how much of one is looked at has its limits.
"""

import io
import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from impasto import files
from impasto.errors import PictureError
from impasto.files import AnyPath, shown
from impasto.pictures import metadata, raster
from impasto.pictures.metadata import UNKNOWN, Metadata
from impasto.pictures.raster import Mask, Picture

MIN_SIDE = 16
"""Pixels per side that a picture must have."""
MAX_PIXELS = 178_956_970
"""Pixels that a picture may have, checked before it is decoded; Pillow draws the same line."""
MAX_BYTES = 2**31
"""Bytes that a picture's file may have."""
MAX_BLOCK = 2**22
"""Bytes of a color profile that are looked at."""
FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF")
"""What is opened; Pillow's many rarer decoders never see a byte."""
ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".avif", ".heic", ".heif")
"""How the names of such files end; of a file that is named, its first bytes alone decide."""

SRGB = ("sRGB IEC61966", "sRGB built-in")
"""How descriptions of sRGB profiles begin; "Linear sRGB" is another space."""

# Where nobody listens, Python would print what Pillow logs about broken files.
logging.getLogger("PIL").addHandler(logging.NullHandler())


@dataclass(frozen=True)
class Loaded:
    """A picture, and what else there is to know about it."""

    pixels: Picture
    """what is hidden under transparency has the color of the nearest that is not"""
    alpha: Mask | None = None
    """how opaque it is; None all over"""
    metadata: Metadata = UNKNOWN
    notes: tuple[str, ...] = ()
    """words for the person about how it was read"""


def read(path: AnyPath, least: int = MIN_SIDE) -> Loaded:
    """Read a picture file: upright, in sRGB, the first frame.

    Raises PictureError, in one line that begins with the path, for anything that is not a
    complete picture of ``least`` pixels or more per side and `MAX_PIXELS` or fewer in all.
    """
    path = Path(path)
    try:
        files.check_input(path, MAX_BYTES)
        with opening(path) as image:
            loaded = image_pixels(image, least)
    except PictureError as error:
        raise PictureError(f"{shown(path)}: {error}") from error
    notes = tuple(f"{shown(path.name)}: {note}" for note in loaded.notes)
    return replace(loaded, notes=notes)


@contextmanager
def opening(path: Path) -> Iterator[Image.Image]:
    """Open a picture file, nothing of it decoded yet; a broken one becomes a PictureError."""
    _know_heif()
    with _decoding(), Image.open(path, formats=FORMATS) as image:
        yield image


@cache
def _know_heif() -> None:
    """Make Pillow know the format of telephones' photographs; imported here, since it is slow."""
    import pillow_heif

    pillow_heif.register_heif_opener(thumbnails=False)


def image_pixels(image: Image.Image, least: int = MIN_SIDE) -> Loaded:
    """Convert a Pillow image of any mode, at the frame it stands at; `read` does the same.

    Raises PictureError if its size or its values are out of range or its file is broken.
    """
    check_size(*image.size, least)
    with _decoding():
        pixels, alpha = _convert(_upright(image))
        said = metadata.read(image)
        several = _has_more_frames(image)
    notes = ("the first of several frames is used",) if several else ()
    if alpha is None or alpha.min() == 1:
        return Loaded(pixels, None, said, notes)
    try:
        return Loaded(raster.fill_hidden(pixels, alpha), alpha, said, notes)
    except ValueError as error:
        raise PictureError(f"{error}") from None


def check_size(width: int, height: int, least: int = MIN_SIDE) -> None:
    """Raise PictureError for a picture with sides too short or with too many pixels."""
    if min(width, height) < least:
        raise PictureError(
            f"a picture of {width} x {height} px: at least {least} x {least} px are needed"
        )
    if width * height > MAX_PIXELS:
        raise PictureError(_too_many(width * height))


def _too_many(pixels: int) -> str:
    return f"a picture of {pixels:,} pixels: at most {MAX_PIXELS:,} are possible; reduce it first"


@contextmanager
def _decoding() -> Iterator[None]:
    """Turn whatever Pillow raises for a broken file into a PictureError."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except PictureError:
        raise
    except Exception as error:
        raise PictureError(_explain(error)) from error


def _explain(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return f"not a picture, or a damaged one; possible: {', '.join(FORMATS)}"
    if isinstance(error, Image.DecompressionBombError):
        # Pillow refuses before it hands over the size; its message names the pixels first.
        return _too_many(int(re.findall(r"\d+", str(error))[0]))
    if isinstance(error, MemoryError):
        return "not enough memory to read this picture: reduce it first"
    if isinstance(error, OSError) and error.errno:
        return f"cannot be read: {files.reason(error)}"
    return f"damaged or cut off ({files.reason(error)}): save or download the picture again"


def _upright(image: Image.Image) -> Image.Image:
    with files.quiet():
        image.load()
    # A broken EXIF block says nothing about the pixels, which are complete by now.
    with suppress(Exception):
        if image.getexif().get(ExifTags.Base.Orientation, 1) != 1:
            return ImageOps.exif_transpose(image)
    return image


def _has_more_frames(image: Image.Image) -> bool:
    """Look for a second frame alone: counting takes long in a file that was made for it."""
    if image.format == "MPO" or image.tell() != 0:
        return False  # a camera's JPEG with its preview; a frame that the caller chose
    with suppress(Exception):
        image.seek(1)
        image.seek(0)
        return True
    return False


def _convert(image: Image.Image) -> tuple[Picture, Mask | None]:
    """Return the picture and, if its mode can be transparent, how opaque it is."""
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return _from_deep_gray(image)
    target = "RGBA" if image.has_transparency_data else "RGB"
    pixels: Picture = np.asarray(_in_srgb(image, target), dtype=np.float32)
    if target == "RGB":
        return pixels, None
    return np.ascontiguousarray(pixels[..., :3]), pixels[..., 3] / np.float32(255)


def _from_deep_gray(image: Image.Image) -> tuple[Picture, Mask | None]:
    """Convert gray of more than 8 bits: int32, uint16 of either byte order, float32."""
    values = np.asarray(image)
    low, high = float(values.min()), float(values.max())
    limit = 255 if image.mode == "F" else 65535
    if not (low >= 0 and high <= limit):
        possible = "0 to 1 or 0 to 255" if image.mode == "F" else "0 to 65535"
        raise PictureError(
            f"gray values from {low:g} to {high:g}: {possible} are possible; convert it to 8 bit"
        )
    gray = values.astype(np.float32) * np.float32(_gray_scale(image.mode, high))
    pixels = np.repeat(gray[..., np.newaxis], 3, axis=2)
    key = image.info.get("transparency")
    return pixels, (values != key).astype(np.float32) if isinstance(key, int) else None


def _gray_scale(mode: str, high: float) -> float:
    if mode == "F":
        return 255 if high <= 1 else 1
    # Mode I comes from 8-bit gray as often as from 16-bit gray and does not say from which.
    return 1 if mode == "I" and high <= 255 else 1 / 257


def _in_srgb(image: Image.Image, target: str) -> Image.Image:
    """Convert to ``target``, RGB or RGBA, by the embedded color profile if it has one."""
    profile = image.info.get("icc_profile", b"")
    if image.mode == "La":
        image = image.convert("LA")  # Pillow knows no direct way
    if image.mode not in ("L", "CMYK", "LAB") or target == "RGBA":
        image = _as_mode(image, target)
    if 0 < len(profile) <= MAX_BLOCK:
        image = _by_profile(image, profile, target)
    return _as_mode(image, target)


def _as_mode(image: Image.Image, mode: str) -> Image.Image:
    return image if image.mode == mode else image.convert(mode)  # which would copy


def _by_profile(image: Image.Image, profile: bytes, target: str) -> Image.Image:
    from PIL import ImageCms

    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if ImageCms.getProfileDescription(source).startswith(SRGB):
            return image  # exactly, where a transform would round
        own = ImageCms.createProfile("sRGB")
        return ImageCms.profileToProfile(image, source, own, outputMode=target) or image
    except (ImageCms.PyCMSError, OSError):
        return image  # a broken profile, or one for other pixels than these


def read_xmp(path: AnyPath) -> bytes:
    """Return the XMP packet of a picture file, without decoding its pixels; empty if it has none.

    Raises PictureError for what is not a picture.
    """
    path = Path(path)
    try:
        files.check_input(path, MAX_BYTES)
        with opening(path) as image:
            if image.format == "PNG":
                check_size(*image.size, least=1)
                image.load()  # the text may stand behind the pixels
            packet = image.info.get("xmp", b"")
    except PictureError as error:
        raise PictureError(f"{shown(path)}: {error}") from error
    return packet if isinstance(packet, bytes) else str(packet).encode()
