"""Reads image files: from bytes to pixels.

A file is decoded to an image (float32, (height, width, 3), sRGB-encoded RGB in [0, 255]), or
raises a `PictureError` with a one-line message. Files are untrusted: only the formats listed here
are opened, within limits of size.
"""

import contextlib
import io
import logging
import os
import re
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageFile, ImageOps, UnidentifiedImageError, features

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
"""Default minimum of a side in pixels."""
MAX_PIXELS = 178_956_970
"""Default maximum number of pixels, checked before decoding; the same as Pillow's."""
MAX_BYTES = 2**31
"""Maximum size of an image file in bytes."""
FORMATS = (
    *("JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF", "BMP", "GIF", "PPM"),
    *(["JPEG2000"] if features.check("jpg_2000") else []),
)
"""The formats that are opened; no other decoder of Pillow is used."""


class Limits(NamedTuple):
    """Limits of image sizes."""

    least: int = MIN_SIDE
    """minimum side in pixels"""
    most: int = MAX_PIXELS
    """maximum number of pixels"""


USUAL = Limits()
ANY = Limits(least=1)
"""Limits for masks, and for metadata."""

Source: TypeAlias = AnyPath | bytes | bytearray | memoryview | BinaryIO
"""A path, the bytes of a file, or a stream of them such as io.BytesIO."""

# Where nobody listens, Python would print what these log about broken files.
for _library in ("PIL", "imagecodecs"):
    logging.getLogger(_library).addHandler(logging.NullHandler())


@dataclass(frozen=True)
class Loaded:
    """A decoded image, with transparency, metadata and notes."""

    pixels: Picture
    """pixels; transparent ones have the color of the nearest opaque pixel"""
    alpha: Mask | None = None
    """opacity; None if the image is opaque"""
    metadata: Metadata = UNKNOWN
    notes: tuple[str, ...] = ()
    """notes for the user"""


class _Numbers(NamedTuple):
    """Pixels as a file has them, upright, before it is decided what their colors are."""

    values: profiles.Values
    alpha: Mask | None = None
    notes: tuple[str, ...] = ()


def read(source: Source, limits: Limits = USUAL, name: str = "") -> Loaded:
    """Read an image file or its bytes: upright, in sRGB, the first full-size frame.

    Raises PictureError for anything that is not a complete image within ``limits``. Errors and
    notes start with ``name``, or with the path.
    """
    path = Path(source) if isinstance(source, str | os.PathLike) else None
    try:
        with opened(source) as stream:
            loaded = _read(stream, limits)
    except PictureError as error:
        named = name or (source if isinstance(source, str | os.PathLike) else IN_MEMORY)
        raise PictureError(f"{shown(named)}: {error}") from error
    short = shown(name or (path.name if path else IN_MEMORY))
    return replace(loaded, notes=tuple(f"{short}: {note}" for note in loaded.notes))


IN_MEMORY = "an image in memory"
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
        raise PictureError("contains no bytes: save or download the image again")
    if len(data) > MAX_BYTES:
        raise PictureError(f"{len(data):,} bytes: the maximum is {MAX_BYTES:,}")
    yield io.BytesIO(data)


def _all_of(stream: BinaryIO) -> bytes:
    """Return all bytes of a stream, from its beginning where it can go back there."""
    try:
        with contextlib.suppress(OSError, AttributeError):
            stream.seek(0)
        data = bytearray()
        # Unbuffered files, pipes and sockets give less than is asked for.
        while len(data) <= MAX_BYTES and (part := _part_of(stream, MAX_BYTES + 1 - len(data))):
            data += part
    except PictureError:
        raise
    except (OSError, ValueError) as error:
        raise PictureError(f"cannot be read: {files.reason(error)}") from None
    return bytes(data)


def _part_of(stream: BinaryIO, most: int) -> bytes:
    part = stream.read(most)
    if part is None:
        raise PictureError("a non-blocking stream without data: use a blocking stream")
    if not isinstance(part, bytes | bytearray | memoryview):
        raise PictureError(f"a stream of {type(part).__name__}: open it for bytes, as with 'rb'")
    return bytes(part)


@contextmanager
def opening(stream: BinaryIO) -> Iterator[ImageFile.ImageFile]:
    """Open a picture file, nothing of it decoded yet; a broken one becomes a PictureError."""
    with _decoding(), _open_image(stream) as image:
        yield image


def _open_image(stream: BinaryIO) -> ImageFile.ImageFile:
    """Open a file by the first of FORMATS that accepts it.

    ``PIL.Image.open`` is not used: it takes its limit of pixels, and the HEIF format, from settings
    of the whole process. Callers check the size. Raises UnidentifiedImageError.
    """
    Image.preinit()
    stream.seek(0)
    head = stream.read(16)
    for name in FORMATS:
        factory, accepts = _plugin(name)
        with suppress(SyntaxError, IndexError, TypeError, struct.error):
            if accepts(head) is True:  # or a word on why the format is not supported
                stream.seek(0)
                return factory(stream, "")
    raise UnidentifiedImageError


def _plugin(name: str) -> tuple[Callable[..., ImageFile.ImageFile], Callable[[bytes], object]]:
    """Return what opens a format, and what tells it by the first bytes of a file."""
    if name == "HEIF":
        import pillow_heif  # here, since it is slow

        return pillow_heif.HeifImageFile, lambda head: pillow_heif.get_file_mimetype(head) != ""
    if name not in Image.OPEN:
        Image.init()  # which loads every plugin
    factory, accepts = Image.OPEN[name]
    assert accepts is not None
    return factory, accepts


def _read(stream: BinaryIO, limits: Limits) -> Loaded:
    head = stream.read(formats.HEAD)
    formats.refuse(head)
    if formats.is_tiff(head):
        return _read_tiff(stream, limits)
    if (jpeg := boxes.of_jpeg(stream)) is not None and jpeg.bits != 8:
        return _read_deep_jpeg(stream, jpeg, limits)
    stream, left_out = _without_broken_chunks(stream, head)
    with opening(stream) as image:
        check_size(*image.size, limits)
        tolerant = _fail_where_cut_off(image)
        part = _part_of_gif(image)
        key_scale = _key_scale(image)
        loaded, mended = _whole(image, stream)
        _scale_key(loaded, key_scale)
        deep = _deep(loaded, stream)
        numbers = _of_image(loaded) if deep is None else deep
        said = _said(loaded, stream)
        if loaded.format == "AVIF":
            numbers = _cropped(loaded, numbers, boxes.stated(stream).crop)
            check_size(*raster.size_of(numbers.values)[::-1], limits)
        several = ("the first of several frames is used",) if _has_more_frames(loaded) else ()
        return _finish(
            _only_within(numbers, part),
            said,
            metadata.read(loaded),
            (*left_out, *tolerant, *mended, *several),
        )


def image_pixels(image: Image.Image, limits: Limits = USUAL) -> Loaded:
    """Convert a Pillow image of any mode, at the frame it is at; `read` does the same for files.

    The image keeps its frame and its pixels. Raises PictureError if it is closed, if its size or
    its values are out of range, or if its file is broken.
    """
    check_size(*image.size, limits)
    with _decoding():
        part, key_scale = _part_of_gif(image), _key_scale(image)
        _load_open(image)
        if key_scale > 1:
            _scale_key(image := image.copy(), key_scale)
        numbers = _only_within(_of_image(image), part)
        return _finish(numbers, _said(image), metadata.read(image), ())


def _load_open(image: Image.Image) -> None:
    """Decode a caller's image. Raises PictureError if it, or its file, was closed before that."""
    try:
        image.load()
    except (ValueError, AssertionError, AttributeError) as error:
        if "closed" in str(error) or getattr(image, "fp", image) is None:
            raise PictureError(
                "the Pillow image is closed: pass an open image, or call its load() first"
            ) from error
        raise


def array_pixels(array: NDArray[Any], limits: Limits = USUAL, strict: bool = True) -> Loaded:
    """Convert an array: gray (h, w) or (h, w, 1), RGB (h, w, 3), with alpha (h, w, 2 or 4).

    Unsigned integers are taken by the range of their type, signed ones as 0 to 255, booleans as
    black and white, floats as 0 to 1 or 0 to 255, whichever they are. Raises PictureError for other
    shapes and types, for values far out of range, and, unless not ``strict``, for 16 bits that hold
    no more than 8. One image with an axis in front, (1, h, w, 3), is taken as it is without. What a
    masked array of `numpy.ma` masks is transparent.
    """
    colors, opaque = values.apart(np.ma.getdata(array))
    height, width = raster.size_of(colors)
    hidden = values.masked(array)
    if hidden is not None:
        colors = np.where(hidden[..., np.newaxis], colors.dtype.type(0), colors)
    found = values.scaled(colors, strict)
    check_size(width, height, limits)
    alpha = None if opaque is None else values.as_alpha(opaque)
    if hidden is not None:
        alpha = np.where(hidden, np.float32(0), np.float32(1) if alpha is None else alpha)
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
    """Raise PictureError for an image that is too small or has too many pixels."""
    least, most = limits
    if min(width, height) < least:
        raise PictureError(
            f"an image of {width} x {height} px: the minimum is {least} x {least} px"
        )
    if width * height > most:
        raise PictureError(_too_many(width * height, most))


def _too_many(pixels: int, most: int = MAX_PIXELS) -> str:
    words = f"an image of {pixels:,} pixels: the maximum is {most:,}; reduce it first"
    if most > MAX_PIXELS:
        return words
    return f"{words}, or use --size original if it is the content image"


@contextmanager
def _decoding() -> Iterator[None]:
    """Convert exceptions of decoders to PictureError."""
    try:
        yield
    except PictureError:
        raise
    except Exception as error:
        raise PictureError(_explain(error)) from error


def _explain(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return f"not an image, or damaged; supported formats: {', '.join(FORMATS)}"
    if isinstance(error, Image.DecompressionBombError):
        # Pillow refuses before it hands over the size; its message names the pixels first.
        return _too_many(int(re.findall(r"\d+", str(error))[0]))
    if isinstance(error, MemoryError):
        return "not enough memory to read this image: reduce it first"
    if isinstance(error, OSError) and error.errno:
        return f"cannot be read: {files.reason(error)}"
    return _damaged(files.reason(error))


def _damaged(what: str) -> str:
    return f"damaged or truncated ({what}): save or download the image again"


# --- what Pillow decodes ----------------------------------------------------------------------


def _whole(image: Image.Image, stream: BinaryIO) -> tuple[Image.Image, tuple[str, ...]]:
    """Load an image; of a JPEG whose end is missing, what is there, if that is all of it."""
    try:
        image.load()
    except OSError as error:
        if image.format not in ("JPEG", "MPO") or "truncated" not in str(error):
            raise
        if (mended := _with_end(stream)) is None:
            raise
        return mended, ("its last bytes are missing, but the image is complete",)
    return image, ()


def _fail_where_cut_off(image: ImageFile.ImageFile) -> tuple[str, ...]:
    """Have Pillow refuse an incomplete file even if a program set LOAD_TRUNCATED_IMAGES.

    With that setting, which is one for the whole process, Pillow fills in what is missing. It also
    hides other damage, which a note says.
    """
    if not ImageFile.LOAD_TRUNCATED_IMAGES:
        return ()
    # JpegImageFile.load_read makes up an end of the file.
    usual = None if image.format in ("JPEG", "MPO") else getattr(image, "load_read", None)

    def checked(size: int) -> bytes:
        assert image.fp is not None
        read = usual or image.fp.read  # some plugins replace the file as they load
        try:
            data = read(size)
        except (IndexError, struct.error):
            data = b""
        if not data:
            raise OSError("image file is truncated")
        return data

    image.load_read = checked  # type: ignore[attr-defined]
    return ("Pillow's LOAD_TRUNCATED_IMAGES is on, so damage inside the file may go unnoticed",)


def _with_end(stream: BinaryIO) -> Image.Image | None:
    """Return the image of a JPEG without its end, or None if some of its pixels are missing.

    Where pixels are missing, they depend on what comes instead: so several tails are tried.
    """
    stream.seek(0)
    data = stream.read().rstrip(b"\xff")
    images = []
    for tail in (b"", b"\x55" * 64, b"\xaa" * 64, b"\x0f" * 64):
        images.append(_open_image(io.BytesIO(data + tail + b"\xff\xd9")))
        images[-1].load()
    first, *others = [image.tobytes() for image in images]
    return images[0] if all(other == first for other in others) else None


def _part_of_gif(image: Image.Image) -> tuple[int, int, int, int] | None:
    """Return the left, upper, right and lower edge of a GIF's first frame on its canvas.

    None for other images, and for one that is decoded, which does not know them any more.
    """
    tiles = getattr(image, "tile", ())
    if image.format != "GIF" or image.tell() != 0 or not tiles:
        return None
    extents: tuple[int, int, int, int] = tiles[0].extents
    return extents


def _only_within(numbers: _Numbers, part: tuple[int, int, int, int] | None) -> _Numbers:
    """Return numbers that are transparent outside ``part``, where a GIF has no pixels."""
    height, width = raster.size_of(numbers.values)
    if part is None or part == (0, 0, width, height):
        return numbers
    left, upper, right, lower = part
    alpha = np.zeros((height, width), np.float32)
    place = np.s_[upper:lower, left:right]
    alpha[place] = 1 if numbers.alpha is None else numbers.alpha[place]
    return numbers._replace(alpha=alpha)


def _cropped(
    image: Image.Image, numbers: _Numbers, crop: tuple[float, float, float, float] | None
) -> _Numbers:
    """Return the part of upright numbers that an AVIF's clean aperture shows.

    It refers to the image before it is turned. libavif, unlike libheif, leaves it to its callers.
    """
    if crop is None:
        return numbers
    sides = [
        (round((whole - part) / 2 + offset), round((whole + part) / 2 + offset))
        for whole, part, offset in zip(image.size, crop[:2], crop[2:], strict=True)
    ]
    (left, right), (upper, lower) = sides
    shown = np.zeros(image.size[::-1], bool)
    if not (0 <= left < right <= image.width and 0 <= upper < lower <= image.height):
        return numbers  # which makes no sense
    shown[upper:lower, left:right] = True
    shown = _upright_pixels(image, shown)
    place = np.ix_(shown.any(axis=1), shown.any(axis=0))
    alpha = None if numbers.alpha is None else numbers.alpha[place]
    return numbers._replace(values=numbers.values[place], alpha=alpha)


def _key_scale(image: Image.Image) -> int:
    """Return by how much the transparent gray value of an image that is not decoded is too small.

    Pillow spreads the 2 or 4 bits of a gray PNG over 8, and leaves the key (PNG, third edition,
    section 11.3.1.1) in the file's own bits.
    """
    tiles = getattr(image, "tile", ())
    if image.format != "PNG" or not tiles or not isinstance(image.info.get("transparency"), int):
        return 1
    return {"L;2": 85, "L;4": 17}.get(tiles[0].args, 1)


def _scale_key(image: Image.Image, scale: int) -> None:
    if scale > 1:  # bits of the key beyond the file's own do not count
        image.info["transparency"] = (image.info["transparency"] & 255 // scale) * scale


def _of_image(image: Image.Image) -> _Numbers:
    """Return the numbers of a Pillow image of any mode, upright."""
    image.load()
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


def _without_broken_chunks(
    stream: BinaryIO, head: bytes | None = None
) -> tuple[BinaryIO, tuple[str, ...]]:
    """Leave out a PNG's ancillary chunks whose checksum is wrong, as libpng does, with a note.

    Pillow refuses the whole file for such a chunk.
    """
    if head is None:
        stream.seek(0)
        head = stream.read(formats.HEAD)
    broken = boxes.broken_chunks(stream) if formats.is_png(head) else ()
    if not broken:
        return stream, ()
    stream.seek(0)
    data = bytearray(stream.read())
    for chunk in reversed(broken):
        del data[chunk.begin : chunk.end]
    names = ", ".join(sorted({chunk.name for chunk in broken}))
    note = f"the checksum of an optional part ({names}) is wrong; the part was ignored"
    return io.BytesIO(data), (note,)


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
    gathered = _said_by_exif(metadata.exif_of(image), icc if isinstance(icc, bytes) else b"")
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

    16 bits of PNG by libpng, more than 8 of HEIC by libheif, of AVIF by libavif, and of JPEG 2000
    by OpenJPEG, where Pillow's own conversion to 8 bits turns white into black.
    """
    if image.format == "PNG" and image.mode in ("RGB", "RGBA", "LA"):
        return _deep_png(image, stream) if boxes.of_png(stream).bits == 16 else None
    if image.format == "HEIF" and image.info.get("bit_depth", 8) > 8:
        return _deep_heif(image, stream)
    if image.format == "AVIF" and (bits := boxes.stated(stream).bits) > 8:
        return _deep_avif(image, stream, bits)
    if image.format == "JPEG2000" and max(depths := boxes.depths_of_j2k(stream)) > 8:
        return _deep_j2k(stream, depths)
    return None


def _deep_png(image: Image.Image, stream: BinaryIO) -> _Numbers:
    import imagecodecs

    stream.seek(0)
    pixels = imagecodecs.png_decode(stream.read())
    colors, opaque = values.apart(_upright_pixels(image, pixels))
    return _Numbers(colors, None if opaque is None else values.as_alpha(opaque))


def _deep_avif(image: Image.Image, stream: BinaryIO, bits: int) -> _Numbers:
    import imagecodecs

    stream.seek(0)
    pixels = imagecodecs.avif_decode(stream.read())
    if pixels.dtype != np.uint16 or pixels.shape[:2] != image.size[::-1]:
        return _of_image(image)
    return _of_bits(_upright_pixels(image, pixels), 2**bits - 1)


def _deep_j2k(stream: BinaryIO, depths: Sequence[int]) -> _Numbers:
    import imagecodecs

    stream.seek(0)
    pixels = imagecodecs.jpeg2k_decode(stream.read())
    pixels = pixels[..., np.newaxis] if pixels.ndim == 2 else pixels
    if pixels.dtype.kind != "u" or pixels.shape[-1] != len(depths):
        raise PictureError(
            f"a JPEG 2000 of {len(depths)} channels of {max(depths)} bits is not supported: "
            "export it as PNG or TIFF"
        )
    return _of_bits(pixels, 2 ** np.array(depths) - 1)


def _read_deep_jpeg(stream: BinaryIO, jpeg: boxes.Jpeg, limits: Limits) -> Loaded:
    """Read a JPEG of another depth than 8 bits, lossless or not, which Pillow does not open."""
    import imagecodecs

    check_size(jpeg.width, jpeg.height, limits)
    stream.seek(0)
    data = stream.read()
    if data.rfind(b"\xff\xd9") < jpeg.scan:  # libjpeg would fill in what is missing
        raise PictureError(_damaged("its end is missing"))
    with _decoding():
        pixels = imagecodecs.jpeg8_decode(data)
        exif = metadata.exif_of_block(jpeg.exif)
        pixels = _turned(pixels, exif.get(ExifTags.Base.Orientation, 1))
        if pixels.ndim == 3 and pixels.shape[-1] == 4:
            raise PictureError(
                f"a JPEG of {jpeg.bits} bits in CMYK is not supported: save it as RGB"
            )
        numbers = _of_bits(pixels, np.array(2**jpeg.bits - 1))
        return _finish(numbers, _said_by_exif(exif, jpeg.icc), metadata.of(exif, {}), ())


def _of_bits(pixels: NDArray[Any], most: int | NDArray[Any]) -> _Numbers:
    """Return integers of which ``most``, perhaps one for each channel, is white, as floats."""
    shares = np.minimum(pixels / np.asarray(most, np.float32), 1).astype(np.float32)
    return _Numbers(*values.apart(shares))


def _deep_heif(image: Image.Image, stream: BinaryIO) -> _Numbers:
    """Return 16 bits, in which libheif lays the 10 or 12 bits of a file at the top."""
    import pillow_heif

    stream.seek(0)
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
    """Read the page of a TIFF that is the picture."""
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
            return _tiff_by_pillow(stream, limits)
        notes = ("the first of several frames is used",) if found.several else ()
        check_size(found.page.imagewidth, found.page.imagelength, limits)
        return _tiff_by_tifffile(stream, found.page, notes)


def _tiff_by_pillow(stream: BinaryIO, limits: Limits) -> Loaded:
    """Read the first page of a TIFF that tifffile finds broken."""
    image = _open_image(stream)
    check_size(*image.size, limits)
    if any(tile[0] == "libtiff" for tile in image.tile):
        # It would write about what is broken to the stderr of the whole program.
        raise PictureError(_damaged("its tags"))
    return _finish(_of_image(image), _said(image, stream), metadata.read(image), ())


def _tiff_by_tifffile(stream: BinaryIO, page: Any, notes: tuple[str, ...]) -> Loaded:
    from impasto.pictures import tiffs

    pixels = tiffs.decode(page)
    exif = metadata.exif_of_tiff(stream, page)
    said = _said_by_exif(exif, pixels.icc)
    alpha = None if pixels.alpha is None else _turned(pixels.alpha, pixels.orientation)
    found = profiles.from_lab(pixels.values) if pixels.lab else pixels.values
    numbers = _Numbers(_turned(found, pixels.orientation), alpha, pixels.notes)
    return _finish(numbers, Said() if pixels.lab else said, metadata.of(exif, {}), notes)


def _said_by_exif(exif: Image.Exif, icc: bytes) -> Said:
    colors = metadata.colors_of(exif)
    return Said(
        icc=icc, exif=colors.space, gamma=colors.gamma, chromaticities=colors.chromaticities
    )


def read_xmp(path: AnyPath) -> bytes:
    """Return the XMP packet of a picture file, without decoding its pixels; empty if it has none.

    Raises PictureError for what is not a picture.
    """
    try:
        with opened(path) as stream, opening(_without_broken_chunks(stream)[0]) as image:
            if image.format == "PNG":
                check_size(*image.size, ANY)
                image.load()  # the text may stand behind the pixels
            packet = image.info.get("xmp", b"")
    except PictureError as error:
        raise PictureError(f"{shown(path)}: {error}") from error
    return packet if isinstance(packet, bytes) else str(packet).encode()
