"""Reading picture files: from bytes to pixels.

Every file that can be decoded becomes a picture (float32, (height, width, 3), sRGB-encoded RGB in
[0, 255]), and every file that cannot a `PictureError` of one line. Files come from strangers: only
the formats named here are opened, and how much of one is looked at has its limits.
"""

import contextlib
import io
import logging
import os
import re
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError, features

from impasto import files
from impasto.errors import PictureError
from impasto.files import AnyPath, shown
from impasto.pictures import boxes, formats, metadata, profiles, raster, values
from impasto.pictures.formats import ENDINGS as ENDINGS
from impasto.pictures.formats import listing as listing
from impasto.pictures.metadata import UNKNOWN, Metadata
from impasto.pictures.profiles import Said
from impasto.pictures.raster import Mask, Picture

MIN_SIDE = 16
"""Pixels per side that a picture must have."""
MAX_PIXELS = 178_956_970
"""Pixels that a picture may have unless more are asked for, checked before it is decoded; Pillow
draws the same line."""
MAX_BYTES = 2**31
"""Bytes that a picture's file may have."""
FORMATS = (
    *("JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF", "BMP", "GIF", "PPM"),
    *(["JPEG2000"] if features.check("jpg_2000") else []),
)
"""What is opened; Pillow's many rarer decoders never see a byte."""


class Limits(NamedTuple):
    """What sizes a picture may have."""

    least: int = MIN_SIDE
    """pixels per side"""
    most: int = MAX_PIXELS
    """pixels in all"""


USUAL = Limits()
ANY = Limits(least=1)
"""Of masks, and of what is only looked through."""

Source: TypeAlias = AnyPath | bytes | bytearray | memoryview | BinaryIO
"""A path, the bytes of a file, or a stream of them such as io.BytesIO."""

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


class _Numbers(NamedTuple):
    """Pixels as a file has them, upright, before it is decided what their colors are."""

    values: profiles.Values
    alpha: Mask | None = None
    notes: tuple[str, ...] = ()


def read(source: Source, limits: Limits = USUAL, name: str = "") -> Loaded:
    """Read a picture file, or its bytes: upright, in sRGB, the first frame in full size.

    Raises PictureError, in one line that begins with ``name`` or else with the path, for anything
    that is not a complete picture within ``limits``. Notes begin with ``name`` or else with the
    file's name.
    """
    path = Path(source) if isinstance(source, str | os.PathLike) else None
    try:
        with opened(source) as stream:
            loaded = _read(stream, limits)
    except PictureError as error:
        named = shown(name or path or IN_MEMORY)
        raise PictureError(f"{named}: {error}") from error
    short = shown(name or (path.name if path else IN_MEMORY))
    return replace(loaded, notes=tuple(f"{short}: {note}" for note in loaded.notes))


IN_MEMORY = "a picture in memory"
"""What stands for a path where there is none."""


@contextmanager
def opened(source: Source) -> Iterator[BinaryIO]:
    """Open a file, or bytes in memory, at its beginning; a stream stays open and is read whole.

    Raises PictureError for what is no file that can be read, empty, or larger than `MAX_BYTES`.
    """
    if isinstance(source, str | os.PathLike):
        path = Path(source)
        files.check_input(path, MAX_BYTES)
        try:
            stream = path.open("rb")
        except OSError as error:
            raise PictureError(f"cannot be read: {files.reason(error)}") from None
        with stream:
            yield stream
        return
    data = source if isinstance(source, bytes | bytearray | memoryview) else _all_of(source)
    if not data:
        raise PictureError("no bytes at all: save or download the picture again")
    if len(data) > MAX_BYTES:
        raise PictureError(f"{len(data):,} bytes: at most {MAX_BYTES:,} are possible")
    yield io.BytesIO(data)


def _all_of(stream: BinaryIO) -> bytes:
    """Return all bytes of a stream, from its beginning where it can go back there."""
    try:
        with contextlib.suppress(OSError, AttributeError):
            stream.seek(0)
        data = stream.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        raise PictureError(f"cannot be read: {files.reason(error)}") from None
    if not isinstance(data, bytes):
        raise PictureError(f"a stream of {type(data).__name__}: open it for bytes, as with 'rb'")
    return data


@contextmanager
def opening(stream: BinaryIO, most: int = MAX_PIXELS) -> Iterator[Image.Image]:
    """Open a picture file, nothing of it decoded yet; a broken one becomes a PictureError.

    ``most`` is how many pixels are asked for.
    """
    _know_heif()
    stream.seek(0)
    with _decoding(), _large(most), Image.open(stream, formats=FORMATS) as image:
        yield image


_LARGE = threading.Lock()


@contextmanager
def _large(most: int) -> Iterator[None]:
    """Have Pillow open pictures of more pixels than it does by itself, one after the other.

    It knows no limit but one for the whole process.
    """
    if most <= MAX_PIXELS:
        yield
        return
    with _LARGE:
        usual, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, most
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = usual


@cache
def _know_heif() -> None:
    """Make Pillow know the format of telephones' photographs; imported here, since it is slow."""
    import pillow_heif

    pillow_heif.register_heif_opener(thumbnails=False)


def _read(stream: BinaryIO, limits: Limits) -> Loaded:
    head = stream.read(formats.HEAD)
    formats.refuse(head)
    if formats.is_tiff(head):
        return _read_tiff(stream, limits)
    with opening(stream, limits.most) as image:
        check_size(*image.size, limits)
        image, mended = _whole(image, stream)
        deep = _deep(image, stream)
        numbers = _of_image(image) if deep is None else deep
        said = _said(image, stream)
        several = ("the first of several frames is used",) if _has_more_frames(image) else ()
        return _finish(numbers, said, metadata.read(image), (*mended, *several))


def image_pixels(image: Image.Image, limits: Limits = USUAL) -> Loaded:
    """Convert a Pillow image of any mode, at the frame it stands at; `read` does the same.

    Raises PictureError if its size or its values are out of range or its file is broken.
    """
    check_size(*image.size, limits)
    with _decoding():
        numbers = _of_image(image)
        several = ("the first of several frames is used",) if _has_more_frames(image) else ()
        return _finish(numbers, _said(image), metadata.read(image), several)


def array_pixels(array: NDArray[Any], limits: Limits = USUAL, strict: bool = True) -> Loaded:
    """Convert an array: gray (h, w) or (h, w, 1), RGB (h, w, 3), with alpha (h, w, 2 or 4).

    Unsigned integers are taken by the range of their type, signed ones as 0 to 255, booleans as
    black and white, floats as 0 to 1 or 0 to 255, whichever they are. Raises PictureError for other
    shapes and types, for values far out of range, and, unless not ``strict``, for 16 bits that hold
    no more than 8.
    """
    colors, opaque = values.apart(np.asarray(array))
    height, width = raster.size_of(colors)
    found = values.scaled(colors, strict)
    check_size(width, height, limits)
    alpha = None if opaque is None else values.as_alpha(opaque)
    return _finish(_Numbers(found.values, alpha, found.notes), Said(), UNKNOWN, ())


def _finish(numbers: _Numbers, said: Said, about: Metadata, notes: tuple[str, ...]) -> Loaded:
    """Bring numbers to sRGB, and give what is hidden the color of its neighbors."""
    pixels, more = profiles.to_picture(numbers.values, said)
    notes, alpha = (*notes, *numbers.notes, *more), numbers.alpha
    if alpha is None or alpha.min() == 1:
        return Loaded(pixels, None, about, notes)
    try:
        return Loaded(raster.fill_hidden(pixels, alpha), alpha, about, notes)
    except ValueError as error:
        raise PictureError(f"{error}") from None


def check_size(width: int, height: int, limits: Limits = USUAL) -> None:
    """Raise PictureError for a picture with sides too short or with too many pixels."""
    least, most = limits
    if min(width, height) < least:
        raise PictureError(
            f"a picture of {width} x {height} px: at least {least} x {least} px are needed"
        )
    if width * height > most:
        raise PictureError(_too_many(width * height, most))


def _too_many(pixels: int, most: int = MAX_PIXELS) -> str:
    words = f"a picture of {pixels:,} pixels: at most {most:,} are possible; reduce it first"
    if most > MAX_PIXELS:
        return words
    return f"{words}, or, if it is the photograph, ask for its own size (original)"


@contextmanager
def _decoding() -> Iterator[None]:
    """Turn whatever a decoder raises for a broken file into a PictureError."""
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


# --- what Pillow decodes ----------------------------------------------------------------------


def _load(image: Image.Image) -> None:
    with files.quiet():
        image.load()


def _whole(image: Image.Image, stream: BinaryIO) -> tuple[Image.Image, tuple[str, ...]]:
    """Load an image; of a JPEG whose end is missing, what is there, if that is all of it."""
    try:
        _load(image)
    except OSError as error:
        if image.format not in ("JPEG", "MPO") or "truncated" not in str(error):
            raise
        if (mended := _with_end(stream)) is None:
            raise
        return mended, ("its last bytes are missing, though the picture is whole",)
    return image, ()


def _with_end(stream: BinaryIO) -> Image.Image | None:
    """Return the image of a JPEG without its end, or None if some of its pixels are missing.

    Where pixels are missing, they depend on what comes instead: so several tails are tried.
    """
    stream.seek(0)
    data = stream.read().rstrip(b"\xff")
    images = []
    for tail in (b"", b"\x55" * 64, b"\xaa" * 64, b"\x0f" * 64):
        images.append(Image.open(io.BytesIO(data + tail + b"\xff\xd9"), formats=("JPEG",)))
        _load(images[-1])
    first, *others = [image.tobytes() for image in images]
    return images[0] if all(other == first for other in others) else None


def _of_image(image: Image.Image) -> _Numbers:
    """Return the numbers of a Pillow image of any mode, upright."""
    _load(image)
    image = _upright(image)
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return _deep_gray(image)
    mode = _PLAIN.get(image.mode, "RGB")
    if image.has_transparency_data:
        mode = "LA" if mode == "L" else "RGBA"
    pixels = np.asarray(image if image.mode == mode else image.convert(mode))
    if mode not in ("LA", "RGBA"):
        return _Numbers(pixels.reshape(*pixels.shape[:2], -1))
    return _Numbers(pixels[..., :-1], (pixels[..., -1] / np.float32(255)).astype(np.float32))


_PLAIN = {"1": "L", "L": "L", "LA": "L", "La": "L", "CMYK": "CMYK"}
"""What a mode is without transparency, where it is not RGB."""


def _upright(image: Image.Image) -> Image.Image:
    if image.mode == "La":
        image = image.convert("LA")  # Pillow knows no direct way to others
    # A broken EXIF block says nothing about the pixels, which are complete by now.
    with suppress(Exception):
        if image.getexif().get(ExifTags.Base.Orientation, 1) != 1:
            return ImageOps.exif_transpose(image)
    return image


def _deep_gray(image: Image.Image) -> _Numbers:
    """Return gray of more than 8 bits: int32, uint16 of either byte order, float32."""
    own = np.asarray(image)
    plain = own.astype(own.dtype.newbyteorder("="))
    if image.format == "PPM" and image.mode == "I":
        plain = np.clip(plain, 0, 65535).astype(np.uint16)  # which Pillow scales so
    # Of what was made in Python nobody knows what it was meant to be.
    found = values.scaled(plain[..., None], strict=image.format is None and image.mode != "I")
    key = image.info.get("transparency")
    alpha = (own != key).astype(np.float32) if isinstance(key, int) else None
    return _Numbers(found.values, alpha, found.notes)


def _has_more_frames(image: Image.Image) -> bool:
    """Look for a second frame alone: counting takes long in a file that was made for it."""
    if image.format == "MPO" or image.tell() != 0:
        return False  # a camera's JPEG with its preview; a frame that the caller chose
    with suppress(Exception):
        image.seek(1)
        image.seek(0)
        return True
    return False


def _said(image: Image.Image, stream: BinaryIO | None = None) -> Said:
    """Gather what a file says about its colors, wherever it says it."""
    if image.mode == "LAB":
        return Said()
    icc = image.info.get("icc_profile") or b""
    exif = metadata.colors_of(metadata.exif_of(image))
    gathered = Said(
        icc=icc if isinstance(icc, bytes) else b"",
        exif=exif.space,
        gamma=exif.gamma,
        chromaticities=exif.chromaticities,
    )
    if stream is not None and image.format == "PNG":
        png = boxes.of_png(stream)
        return replace(
            gathered,
            cicp=png.cicp,
            srgb=png.srgb,
            gamma=png.gamma or gathered.gamma,
            chromaticities=png.chromaticities or gathered.chromaticities,
        )
    if stream is not None and image.format in ("HEIF", "AVIF", "JPEG2000"):
        stated = boxes.stated(stream)
        return replace(gathered, icc=gathered.icc or stated.icc, nclx=stated.nclx)
    if stream is not None and image.format == "BMP":
        return replace(gathered, icc=boxes.profile_of_bmp(stream))
    return gathered if stream is not None else _said_by_pillow(image, gathered)


def _said_by_pillow(image: Image.Image, gathered: Said) -> Said:
    """Add what Pillow keeps of a file that somebody else opened."""
    info, points = image.info, image.info.get("nclx_profile")
    white_first = info.get("chromaticity")
    return replace(
        gathered,
        nclx=boxes.CodePoints(points["color_primaries"], points["transfer_characteristics"])
        if points
        else None,
        srgb="srgb" in info,
        gamma=info.get("gamma") or gathered.gamma,
        chromaticities=(*white_first[2:], *white_first[:2])
        if white_first
        else gathered.chromaticities,
    )


# --- what Pillow cannot decode as it is -------------------------------------------------------


def _deep(image: Image.Image, stream: BinaryIO) -> _Numbers | None:
    """Return color of more than 8 bits per channel, for which Pillow has no mode; None for others.

    16 bits of PNG by libpng, more than 8 of HEIC by libheif, and of AVIF by libavif.
    """
    if image.format == "PNG" and image.mode in ("RGB", "RGBA", "LA"):
        return _deep_png(image, stream) if boxes.of_png(stream).bits == 16 else None
    if image.format == "HEIF" and image.info.get("bit_depth", 8) > 8:
        return _deep_heif(image, stream)
    if image.format == "AVIF" and (bits := boxes.stated(stream).bits) > 8:
        return _deep_avif(image, stream, bits)
    return None


def _deep_png(image: Image.Image, stream: BinaryIO) -> _Numbers:
    import imagecodecs

    stream.seek(0)
    with files.quiet():
        pixels = imagecodecs.png_decode(stream.read())
    colors, opaque = values.apart(_upright_pixels(image, pixels))
    return _Numbers(colors, None if opaque is None else values.as_alpha(opaque))


def _deep_avif(image: Image.Image, stream: BinaryIO, bits: int) -> _Numbers:
    import imagecodecs

    stream.seek(0)
    with files.quiet():
        pixels = imagecodecs.avif_decode(stream.read())
    if pixels.dtype != np.uint16 or pixels.shape[:2] != image.size[::-1]:
        return _of_image(image)
    return _of_bits(_upright_pixels(image, pixels), 2**bits - 1)


def _of_bits(pixels: NDArray[Any], most: int) -> _Numbers:
    """Return integers of which ``most`` is white, as floats."""
    colors, opaque = values.apart(pixels)
    alpha = None if opaque is None else np.minimum(opaque / most, 1).astype(np.float32)
    return _Numbers(np.minimum(colors / np.float32(most), 1).astype(np.float32), alpha)


def _deep_heif(image: Image.Image, stream: BinaryIO) -> _Numbers:
    """Return 16 bits, in which libheif lays the 10 or 12 bits of a file at the top."""
    import pillow_heif

    stream.seek(0)
    with files.quiet():
        opened = pillow_heif.open_heif(stream, convert_hdr_to_8bit=False)
        pixels = np.asarray(opened[opened.primary_index])
    if pixels.dtype != np.uint16:
        return _of_image(image)
    bits = int(image.info["bit_depth"])
    return _of_bits(pixels, (2**bits - 1) << (16 - bits))


_TURNS: dict[int, Callable[[NDArray[Any]], NDArray[Any]]] = {
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a, 1),
}
"""How a picture is turned upright, by EXIF's orientation."""


def _upright_pixels(image: Image.Image, pixels: NDArray[Any]) -> NDArray[Any]:
    return _turned(pixels, metadata.exif_of(image).get(ExifTags.Base.Orientation, 1))


def _turned(pixels: NDArray[Any], orientation: Any) -> NDArray[Any]:
    turn = _TURNS.get(orientation) if isinstance(orientation, int) else None
    return pixels if turn is None else np.ascontiguousarray(turn(pixels))


def _read_tiff(stream: BinaryIO, limits: Limits) -> Loaded:
    """Read the page of a TIFF that is the picture, by Pillow where that knows such pixels."""
    import tifffile

    from impasto.pictures import tiffs

    stream.seek(0)
    with _decoding():
        try:
            tiff = tifffile.TiffFile(cast(Any, stream))
            found = tiffs.find(tiff)
        except (PictureError, MemoryError):
            raise
        except Exception:  # what one library finds broken another may read
            return _tiff_by_pillow(stream, 0, limits)
        notes = ("the first of several frames is used",) if found.several else ()
        check_size(found.page.imagewidth, found.page.imagelength, limits)
        if tiffs.is_for_pillow(found):
            with suppress(UnidentifiedImageError):
                return _tiff_by_pillow(stream, cast(int, found.frame), limits, notes)
        return _tiff_by_tifffile(stream, found.page, notes)


def _tiff_by_pillow(
    stream: BinaryIO, frame: int, limits: Limits, notes: tuple[str, ...] = ()
) -> Loaded:
    stream.seek(0)
    with _large(limits.most), Image.open(stream, formats=("TIFF",)) as image:
        image.seek(frame)
        check_size(*image.size, limits)
        numbers = _of_image(image)
        return _finish(numbers, _said(image, stream), metadata.read(image), notes)


def _tiff_by_tifffile(stream: BinaryIO, page: Any, notes: tuple[str, ...]) -> Loaded:
    from impasto.pictures import tiffs

    pixels = tiffs.decode(page)
    exif = metadata.exif_of_tiff(stream)
    colors = metadata.colors_of(exif)
    said = Said(
        icc=pixels.icc,
        exif=colors.space,
        gamma=colors.gamma,
        chromaticities=colors.chromaticities,
    )
    alpha = None if pixels.alpha is None else _turned(pixels.alpha, pixels.orientation)
    found = profiles.from_lab(pixels.values) if pixels.lab else pixels.values
    numbers = _Numbers(_turned(found, pixels.orientation), alpha, pixels.notes)
    return _finish(numbers, Said() if pixels.lab else said, metadata.of(exif, {}), notes)


def read_xmp(path: AnyPath) -> bytes:
    """Return the XMP packet of a picture file, without decoding its pixels; empty if it has none.

    Raises PictureError for what is not a picture.
    """
    try:
        with opened(path) as stream, opening(stream) as image:
            if image.format == "PNG":
                check_size(*image.size, ANY)
                image.load()  # the text may stand behind the pixels
            packet = image.info.get("xmp", b"")
    except PictureError as error:
        raise PictureError(f"{shown(path)}: {error}") from error
    return packet if isinstance(packet, bytes) else str(packet).encode()
