"""Picture files: the only place where impasto reads and writes them.

Reading turns every file that Pillow can decode into a picture (float32, (height, width, 3),
sRGB-encoded RGB in [0, 255]) and every file that it cannot into a `PictureError` of one line.
Writing is atomic: a file appears complete under its name, or the old one stays as it was.
"""

import difflib
import io
import logging
import os
import re
import secrets
import stat
import struct
import tempfile
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from PIL import ExifTags, Image, ImageOps, PngImagePlugin, UnidentifiedImageError, features

from impasto.errors import PictureError, nearest
from impasto.pictures import Picture

AnyPath: TypeAlias = str | os.PathLike[str]

MIN_SIDE = 16
"""Pixels per side that a picture must have."""
MAX_PIXELS = 178_956_970
"""Pixels that a picture may have, checked before it is decoded; Pillow draws the same line."""
FORMATS = ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "AVIF")
"""What is opened; Pillow's many rarer decoders never see a byte."""

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

_SRGB = ("sRGB IEC61966", "sRGB built-in")  # descriptions; "Linear sRGB" is another space
_STDERR = threading.RLock()

# Where nobody listens, Python would print what Pillow logs about broken files.
logging.getLogger("PIL").addHandler(logging.NullHandler())


@dataclass(frozen=True)
class Loaded:
    """A picture with what the person should know about how it was read."""

    pixels: Picture
    notes: tuple[str, ...] = ()
    transparent: bool = False
    """whether some of it was, and is shown on white"""


# Reading ------------------------------------------------------------------------------------


def read(path: AnyPath, least: int = MIN_SIDE) -> Loaded:
    """Read a picture file: upright, in sRGB, transparent parts on white, the first frame.

    Raises PictureError, in one line that begins with the path, for anything that is not a
    complete picture of ``least`` pixels or more per side and `MAX_PIXELS` or fewer in all.
    """
    path = Path(path)
    try:
        _check_file(path)
        with _decoding(), Image.open(path, formats=FORMATS) as image:
            loaded = image_pixels(image, least)
    except PictureError as error:
        raise PictureError(f"{shown(path)}: {error}") from error
    notes = tuple(f"{shown(path.name)}: {note}" for note in loaded.notes)
    return Loaded(loaded.pixels, notes, loaded.transparent)


def image_pixels(image: Image.Image, least: int = MIN_SIDE) -> Loaded:
    """Convert a Pillow image of any mode, at the frame it stands at; `read` does the same.

    Raises PictureError if its size or its values are out of range or its file is broken.
    """
    check_size(*image.size, least)
    with _decoding():
        pixels, transparent = _convert(_upright(image))
        frames = _count_frames(image)
    notes = []
    if frames > 1:
        notes.append(f"the first of {frames} frames is used")
    if transparent:
        notes.append("transparent parts are shown on white")
    return Loaded(pixels, tuple(notes), transparent)


def _check_file(path: Path) -> None:
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        raise PictureError(_missing(path)) from None
    except (OSError, ValueError) as error:
        raise PictureError(f"cannot be read: {_reason(error)}") from None
    if stat.S_ISDIR(status.st_mode):
        raise PictureError("is a folder: name a picture file inside it")
    if not stat.S_ISREG(status.st_mode):
        raise PictureError("is a device or a pipe: a picture file is needed")
    if status.st_size == 0:
        raise PictureError("is an empty file: save or download the picture again")


def _missing(path: Path) -> str:
    try:
        names = {name.lower(): name for name in sorted(os.listdir(path.parent))}
    except OSError:
        return f"no such file: the folder {shown(path.parent)} cannot be listed"
    near = difflib.get_close_matches(path.name.lower(), names)
    hint = ", ".join(shown(names[name]) for name in near)
    return f"no such file: did you mean {hint}?" if near else "no such file"


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
        return f"cannot be read: {_reason(error)}"
    return f"damaged or cut off ({_reason(error)}): save or download the picture again"


def _upright(image: Image.Image) -> Image.Image:
    with _quiet():
        image.load()
    # A broken EXIF block says nothing about the pixels, which are complete by now.
    with suppress(Exception):
        if image.getexif().get(ExifTags.Base.Orientation, 1) != 1:
            return ImageOps.exif_transpose(image)
    return image


def _count_frames(image: Image.Image) -> int:
    """Count after decoding, since counting in a broken file may stop at any frame."""
    if image.format == "MPO" or image.tell() != 0:
        return 1  # a camera's JPEG with its preview; a frame that the caller chose
    with suppress(Exception):
        return int(getattr(image, "n_frames", 1))
    return 1


def _convert(image: Image.Image) -> tuple[Picture, bool]:
    """Return the picture and whether any of it is transparent."""
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return _from_deep_grey(image)
    target = "RGBA" if image.has_transparency_data else "RGB"
    pixels: Picture = np.asarray(_in_srgb(image, target), dtype=np.float32)
    if target == "RGB":
        return pixels, False
    alpha = pixels[..., 3:] / np.float32(255)
    return pixels[..., :3] * alpha + np.float32(255) * (1 - alpha), bool(alpha.min() < 1)


def _from_deep_grey(image: Image.Image) -> tuple[Picture, bool]:
    """Convert grey of more than 8 bits: int32, uint16 of either byte order, float32."""
    values = np.asarray(image)
    low, high = float(values.min()), float(values.max())
    limit = 255 if image.mode == "F" else 65535
    if not (low >= 0 and high <= limit):
        possible = "0 to 1 or 0 to 255" if image.mode == "F" else "0 to 65535"
        raise PictureError(
            f"grey values from {low:g} to {high:g}: {possible} are possible; convert it to 8 bit"
        )
    grey = values.astype(np.float32) * np.float32(_grey_scale(image.mode, high))
    key = image.info.get("transparency")
    hidden = values == (key if isinstance(key, int) else -1)
    grey[hidden] = 255
    return np.repeat(grey[..., np.newaxis], 3, axis=2), bool(hidden.any())


def _grey_scale(mode: str, high: float) -> float:
    if mode == "F":
        return 255 if high <= 1 else 1
    # Mode I comes from 8-bit grey as often as from 16-bit grey and does not say from which.
    return 1 if mode == "I" and high <= 255 else 1 / 257


def _in_srgb(image: Image.Image, target: str) -> Image.Image:
    """Convert to ``target``, RGB or RGBA, by the embedded colour profile if it has one."""
    profile = image.info.get("icc_profile")
    if image.mode == "La":
        image = image.convert("LA")  # Pillow knows no direct way
    if image.mode not in ("L", "CMYK", "LAB") or target == "RGBA":
        image = _as_mode(image, target)
    return _as_mode(_by_profile(image, profile, target) if profile else image, target)


def _as_mode(image: Image.Image, mode: str) -> Image.Image:
    return image if image.mode == mode else image.convert(mode)  # which would copy


def _by_profile(image: Image.Image, profile: bytes, target: str) -> Image.Image:
    from PIL import ImageCms

    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if ImageCms.getProfileDescription(source).startswith(_SRGB):
            return image  # exactly, where a transform would round
        own = ImageCms.createProfile("sRGB")
        return ImageCms.profileToProfile(image, source, own, outputMode=target) or image
    except (ImageCms.PyCMSError, OSError):
        return image  # a broken profile, or one for other pixels than these


# Writing ------------------------------------------------------------------------------------


def to_image(pixels: Picture) -> Image.Image:
    """Round and clip a picture to an 8-bit RGB image.

    Raises PictureError if a value is not finite: no broken picture is ever written.
    """
    if not np.isfinite(pixels).all():
        raise PictureError("the picture has values that are not finite: it is not written")
    return Image.fromarray(np.clip(np.rint(pixels), 0, 255).astype(np.uint8))


def check_output(path: AnyPath, endings: Sequence[str] = PICTURES) -> None:
    """Check that a file can be written at ``path``, before the work that will fill it.

    Raises PictureError if its ending is none of ``endings``, if it is a folder or a device,
    or if its folder is missing or not writable.
    """
    ending_of(path, endings)
    # Only trying tells: os.access says yes to root and on many network folders.
    with _writing(path), tempfile.TemporaryFile(dir=_target(path).parent):
        pass


def free_name(folder: AnyPath, stem: str, ending: str = ".png") -> Path:
    """Return the first of stem.png, stem-2.png, stem-3.png … that ``folder`` does not hold."""
    path, number = Path(folder, stem + ending), 1
    while os.path.lexists(path):
        number += 1
        path = Path(folder, f"{stem}-{number}{ending}")
    return path


def write(pixels: Picture, path: AnyPath, xmp: bytes | None = None) -> None:
    """Write a picture as 8-bit sRGB in the format that the ending names, atomically.

    ``xmp`` is a packet of metadata to be kept in the file; BMP cannot. The same pixels and packet
    give the same bytes. Raises PictureError if a value is not finite, the ending is none of
    `PICTURES`, or the file cannot be written.
    """
    name, options = _SAVING[ending_of(path, PICTURES)]
    image = to_image(pixels)
    carried = {} if xmp is None else _carrying(name, xmp)
    with replacing(path) as temporary, _quiet():
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


def read_xmp(path: AnyPath) -> bytes:
    """Return the XMP packet of a picture file, without decoding its pixels; empty if it has none.

    Raises PictureError for what is not a picture.
    """
    path = Path(path)
    try:
        _check_file(path)
        with _decoding(), Image.open(path, formats=FORMATS) as image:
            if image.format == "PNG":
                check_size(*image.size, least=1)
                image.load()  # the text may stand behind the pixels
            packet = image.info.get("xmp", b"")
    except PictureError as error:
        raise PictureError(f"{shown(path)}: {error}") from error
    return packet if isinstance(packet, bytes) else str(packet).encode()


def write_text(text: str, path: AnyPath) -> None:
    """Write ``text`` as UTF-8, atomically. Raises PictureError if it cannot be written."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


@contextmanager
def replacing(path: AnyPath) -> Iterator[Path]:
    """Yield a temporary path in the folder of ``path``; move that file into place at the end.

    If anything fails inside, the temporary file is removed and what was at ``path`` stays.
    Raises PictureError, in one line that begins with the path, if it cannot be written.
    """
    with _writing(path):
        target = _target(path)
        temporary = target.with_name(f".impasto-{secrets.token_hex(8)}{Path(path).suffix}")
        try:
            yield temporary
            with temporary.open("r+b") as file:
                os.fsync(file.fileno())
            os.replace(temporary, target)
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)


@contextmanager
def _writing(path: AnyPath) -> Iterator[None]:
    try:
        yield
    except PictureError:
        raise
    except (OSError, ValueError, RuntimeError, MemoryError) as error:
        raise PictureError(f"{shown(path)} cannot be written: {_reason(error)}") from error


def _target(path: AnyPath) -> Path:
    """Return the file that ``path`` stands for, so that a link stays and what it names changes."""
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise PictureError(f"{shown(path)} is a folder: name a file inside it")
    if target.exists() and not target.is_file():
        raise PictureError(f"{shown(path)} is a device or a pipe: name a file")
    if not target.parent.is_dir():
        raise PictureError(f"{shown(path)}: there is no folder {shown(target.parent)}")
    return target


def ending_of(path: AnyPath, endings: Sequence[str]) -> str:
    """Return the ending in lower case. Raises PictureError if it is none of ``endings``."""
    ending = Path(path).suffix.lower()
    if ending in endings:
        return ending
    received = f"the ending {shown(ending)}" if ending else "no ending"
    raise PictureError(f"{shown(path)} has {received}: {nearest(ending, endings)}")


@cache
def _srgb_profile() -> bytes:
    """Return an sRGB profile with a fixed date, where lcms puts the time of the call."""
    from PIL import ImageCms

    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[24:36] = struct.pack(">6H", 2000, 1, 1, 0, 0, 0)
    return bytes(profile)


# Both ---------------------------------------------------------------------------------------


def shown(path: AnyPath) -> str:
    """Return the path as it is, or escaped where it would break the line."""
    text = os.fspath(path)
    return text if text.isprintable() else repr(text)


def _reason(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    lines = (line.strip() for line in str(error).splitlines())
    return next(filter(None, lines), type(error).__name__)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep off stderr what libtiff and libjpeg print there themselves, past Python."""
    with _STDERR:
        try:
            kept = os.dup(2)
        except OSError:  # a program without stderr
            yield
            return
        try:
            with open(os.devnull, "wb") as nothing:
                os.dup2(nothing.fileno(), 2)
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
