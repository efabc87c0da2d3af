"""Reads image files: from bytes to pixels.

A file is decoded to an image (float32, (height, width, 3), sRGB-encoded RGB in [0, 255]), or
raises a `ImageError` with a one-line message. Files are untrusted: only the formats listed here
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
from impasto.errors import ImageError
from impasto.files import AnyPath, display_path
from impasto.images import arrays, value_range
from impasto.images.arrays import ImageArray, Mask
from impasto.images.formats import color_management, containers, detect, metadata
from impasto.images.formats.color_management import ColorTags
from impasto.images.formats.detect import READABLE_ENDINGS as READABLE_ENDINGS
from impasto.images.formats.detect import list_folder as list_folder
from impasto.images.formats.metadata import NO_METADATA, Metadata

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


class SizeLimits(NamedTuple):
    """Limits of image sizes."""

    least: int = MIN_SIDE
    """minimum side in pixels"""
    most: int = MAX_PIXELS
    """maximum number of pixels"""


DEFAULT_LIMITS = SizeLimits()
ANY_SIZE = SizeLimits(least=1)
"""Limits for masks, and for metadata."""

ImageSource: TypeAlias = AnyPath | bytes | bytearray | memoryview | BinaryIO
"""A path, the bytes of a file, or a stream of them such as io.BytesIO."""

# Where nobody listens, Python would print what these log about broken files.
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


class _RawPixels(NamedTuple):
    """Pixels as a file has them, upright, before it is decided what their colors are."""

    values: color_management.Values
    alpha: Mask | None = None
    notes: tuple[str, ...] = ()


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
"""What stands for a path where there is none."""


@contextmanager
def open_source(source: ImageSource) -> Iterator[BinaryIO]:
    """Open a file, or bytes in memory, at its beginning; a stream stays open and is read whole.

    Raises ImageError for what is no file that can be read, empty, or larger than `MAX_BYTES`.
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
    """Return all bytes of a stream, from its beginning where it can go back there."""
    try:
        with contextlib.suppress(OSError, AttributeError):
            stream.seek(0)
        data = bytearray()
        # Unbuffered files, pipes and sockets give less than is asked for.
        while len(data) <= MAX_BYTES and (part := _read_limited(stream, MAX_BYTES + 1 - len(data))):
            data += part
    except ImageError:
        raise
    except (OSError, ValueError) as error:
        raise ImageError(f"cannot be read: {files.error_reason(error)}") from None
    return bytes(data)


def _read_limited(stream: BinaryIO, most: int) -> bytes:
    part = stream.read(most)
    if part is None:
        raise ImageError("a non-blocking stream without data: use a blocking stream")
    if not isinstance(part, bytes | bytearray | memoryview):
        raise ImageError(f"a stream of {type(part).__name__}: open it for bytes, as with 'rb'")
    return bytes(part)


@contextmanager
def opened_image(stream: BinaryIO) -> Iterator[ImageFile.ImageFile]:
    """Open a picture file, nothing of it decoded yet; a broken one becomes a ImageError."""
    with _decoder_errors(), _open_image(stream) as image:
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


def _decode_stream(stream: BinaryIO, limits: SizeLimits) -> DecodedImage:
    head = stream.read(detect.HEAD_BYTES)
    detect.reject_unsupported(head)
    if detect.is_tiff(head):
        return _decode_tiff(stream, limits)
    if (jpeg := containers.read_jpeg_header(stream)) is not None and jpeg.bits != 8:
        return _decode_deep_jpeg(stream, jpeg, limits)
    stream, left_out = _drop_broken_chunks(stream, head)
    with opened_image(stream) as image:
        check_size_limits(*image.size, limits)
        tolerant = _fail_where_cut_off(image)
        part = _gif_frame_box(image)
        key_scale = _transparent_gray_scale(image)
        decoded, mended = _load_pixels(image, stream)
        _scale_transparent_gray(decoded, key_scale)
        deep = _decode_deep(decoded, stream)
        numbers = _pillow_pixels(decoded) if deep is None else deep
        tags = _read_color_tags(decoded, stream)
        if decoded.format == "AVIF":
            numbers = _crop_clean_aperture(
                decoded, numbers, containers.read_container_color(stream).crop
            )
            check_size_limits(*arrays.size_of(numbers.values)[::-1], limits)
        several = ("the first of several frames is used",) if _has_more_frames(decoded) else ()
        return _to_srgb_image(
            _transparent_outside(numbers, part),
            tags,
            metadata.read_metadata(decoded),
            (*left_out, *tolerant, *mended, *several),
        )


def from_pillow(image: Image.Image, limits: SizeLimits = DEFAULT_LIMITS) -> DecodedImage:
    """Convert a Pillow image of any mode, at the frame it is at; `read_image` does the same for
    files.

    The image keeps its frame and its pixels. Raises ImageError if it is closed, if its size or
    its values are out of range, or if its file is broken.
    """
    check_size_limits(*image.size, limits)
    with _decoder_errors():
        part, key_scale = _gif_frame_box(image), _transparent_gray_scale(image)
        _load_pillow(image)
        if key_scale > 1:
            _scale_transparent_gray(image := image.copy(), key_scale)
        numbers = _transparent_outside(_pillow_pixels(image), part)
        return _to_srgb_image(numbers, _read_color_tags(image), metadata.read_metadata(image), ())


def _load_pillow(image: Image.Image) -> None:
    """Decode a caller's image. Raises ImageError if it, or its file, was closed before that."""
    try:
        image.load()
    except (ValueError, AssertionError, AttributeError) as error:
        if "closed" in str(error) or getattr(image, "fp", image) is None:
            raise ImageError(
                "the Pillow image is closed: pass an open image, or call its load() first"
            ) from error
        raise


def from_array(
    array: NDArray[Any], limits: SizeLimits = DEFAULT_LIMITS, strict: bool = True
) -> DecodedImage:
    """Convert an array: gray (h, w) or (h, w, 1), RGB (h, w, 3), with alpha (h, w, 2 or 4).

    Unsigned integers are taken by the range of their type, signed ones as 0 to 255, booleans as
    black and white, floats as 0 to 1 or 0 to 255, whichever they are. Raises ImageError for other
    shapes and types, for values far out of range, and, unless not ``strict``, for 16 bits that hold
    no more than 8. One image with an axis in front, (1, h, w, 3), is taken as it is without. What a
    masked array of `numpy.ma` masks is transparent.
    """
    colors, opaque = value_range.split_alpha(np.ma.getdata(array))
    height, width = arrays.size_of(colors)
    hidden = value_range.masked_positions(array)
    if hidden is not None:
        colors = np.where(hidden[..., np.newaxis], colors.dtype.type(0), colors)
    found = value_range.scale_to_range(colors, strict)
    check_size_limits(width, height, limits)
    alpha = None if opaque is None else value_range.scale_alpha(opaque)
    if hidden is not None:
        alpha = np.where(hidden, np.float32(0), np.float32(1) if alpha is None else alpha)
    return _to_srgb_image(
        _RawPixels(found.values, alpha, found.notes), ColorTags(), NO_METADATA, ()
    )


def _to_srgb_image(
    numbers: _RawPixels, tags: ColorTags, about: Metadata, notes: tuple[str, ...]
) -> DecodedImage:
    """Bring numbers to sRGB, and give what is hidden the color of its neighbors."""
    pixels, more = color_management.to_srgb_image(numbers.values, tags)
    notes, alpha = (*notes, *numbers.notes, *more), numbers.alpha
    if alpha is None or alpha.min() == 1:
        return DecodedImage(pixels, None, about, notes)
    try:
        return DecodedImage(arrays.fill_hidden(pixels, alpha), alpha, about, notes)
    except ValueError as error:
        raise ImageError(f"{error}") from None


def check_size_limits(width: int, height: int, limits: SizeLimits = DEFAULT_LIMITS) -> None:
    """Raise ImageError for an image that is too small or has too many pixels."""
    least, most = limits
    if min(width, height) < least:
        raise ImageError(f"an image of {width} x {height} px: the minimum is {least} x {least} px")
    if width * height > most:
        raise ImageError(_too_many_pixels(width * height, most))


def _too_many_pixels(pixels: int, most: int = MAX_PIXELS) -> str:
    words = f"an image of {pixels:,} pixels: the maximum is {most:,}; reduce it first"
    if most > MAX_PIXELS:
        return words
    return f"{words}, or use --size original if it is the content image"


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
        # Pillow refuses before it hands over the size; its message names the pixels first.
        return _too_many_pixels(int(re.findall(r"\d+", str(error))[0]))
    if isinstance(error, MemoryError):
        return "not enough memory to read this image: reduce it first"
    if isinstance(error, OSError) and error.errno:
        return f"cannot be read: {files.error_reason(error)}"
    return _damaged_error(files.error_reason(error))


def _damaged_error(what: str) -> str:
    return f"damaged or truncated ({what}): save or download the image again"


# --- what Pillow decodes ----------------------------------------------------------------------


def _load_pixels(image: Image.Image, stream: BinaryIO) -> tuple[Image.Image, tuple[str, ...]]:
    """Load an image; of a JPEG whose end is missing, what is there, if that is all of it."""
    try:
        image.load()
    except OSError as error:
        if image.format not in ("JPEG", "MPO") or "truncated" not in str(error):
            raise
        if (mended := _append_jpeg_end(stream)) is None:
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


def _append_jpeg_end(stream: BinaryIO) -> Image.Image | None:
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


def _gif_frame_box(image: Image.Image) -> tuple[int, int, int, int] | None:
    """Return the left, upper, right and lower edge of a GIF's first frame on its canvas.

    None for other images, and for one that is decoded, which does not know them any more.
    """
    tiles = getattr(image, "tile", ())
    if image.format != "GIF" or image.tell() != 0 or not tiles:
        return None
    extents: tuple[int, int, int, int] = tiles[0].extents
    return extents


def _transparent_outside(numbers: _RawPixels, part: tuple[int, int, int, int] | None) -> _RawPixels:
    """Return numbers that are transparent outside ``part``, where a GIF has no pixels."""
    height, width = arrays.size_of(numbers.values)
    if part is None or part == (0, 0, width, height):
        return numbers
    left, upper, right, lower = part
    alpha = np.zeros((height, width), np.float32)
    place = np.s_[upper:lower, left:right]
    alpha[place] = 1 if numbers.alpha is None else numbers.alpha[place]
    return numbers._replace(alpha=alpha)


def _crop_clean_aperture(
    image: Image.Image, numbers: _RawPixels, crop: tuple[float, float, float, float] | None
) -> _RawPixels:
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
    shown = _orient_pixels(image, shown)
    place = np.ix_(shown.any(axis=1), shown.any(axis=0))
    alpha = None if numbers.alpha is None else numbers.alpha[place]
    return numbers._replace(values=numbers.values[place], alpha=alpha)


def _transparent_gray_scale(image: Image.Image) -> int:
    """Return by how much the transparent gray value of an image that is not decoded is too small.

    Pillow spreads the 2 or 4 bits of a gray PNG over 8, and leaves the key (PNG, third edition,
    section 11.3.1.1) in the file's own bits.
    """
    tiles = getattr(image, "tile", ())
    if image.format != "PNG" or not tiles or not isinstance(image.info.get("transparency"), int):
        return 1
    return {"L;2": 85, "L;4": 17}.get(tiles[0].args, 1)


def _scale_transparent_gray(image: Image.Image, scale: int) -> None:
    if scale > 1:  # bits of the key beyond the file's own do not count
        image.info["transparency"] = (image.info["transparency"] & 255 // scale) * scale


def _pillow_pixels(image: Image.Image) -> _RawPixels:
    """Return the numbers of a Pillow image of any mode, upright."""
    image.load()
    image = _orient_image(image)
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return _decode_deep_gray(image)
    mode = _PLAIN.get(image.mode, "RGB")
    if image.has_transparency_data:
        mode = "LA" if mode == "L" else "RGBA"
    pixels = np.asarray(image if image.mode == mode else image.convert(mode))
    if mode not in ("LA", "RGBA"):
        return _RawPixels(pixels.reshape(*pixels.shape[:2], -1))
    return _RawPixels(pixels[..., :-1], (pixels[..., -1] / np.float32(255)).astype(np.float32))


_PLAIN = {"1": "L", "L": "L", "LA": "L", "La": "L", "CMYK": "CMYK"}
"""What a mode is without transparency, where it is not RGB."""


def _orient_image(image: Image.Image) -> Image.Image:
    if image.mode == "La":
        image = image.convert("LA")  # Pillow knows no direct way to others
    # A broken EXIF block says nothing about the pixels, which are complete by now.
    with suppress(Exception):
        if image.getexif().get(ExifTags.Base.Orientation, 1) != 1:
            return ImageOps.exif_transpose(image)
    return image


def _decode_deep_gray(image: Image.Image) -> _RawPixels:
    """Return gray of more than 8 bits: int32, uint16 of either byte order, float32."""
    own = np.asarray(image)
    plain = own.astype(own.dtype.newbyteorder("="))
    if image.format == "PPM" and image.mode == "I":
        plain = np.clip(plain, 0, 65535).astype(np.uint16)  # which Pillow scales so
    # Of what was made in Python nobody knows what it was meant to be.
    found = value_range.scale_to_range(
        plain[..., None], strict=image.format is None and image.mode != "I"
    )
    key = image.info.get("transparency")
    alpha = (own != key).astype(np.float32) if isinstance(key, int) else None
    return _RawPixels(found.values, alpha, found.notes)


def _drop_broken_chunks(
    stream: BinaryIO, head: bytes | None = None
) -> tuple[BinaryIO, tuple[str, ...]]:
    """Leave out a PNG's ancillary chunks whose checksum is wrong, as libpng does, with a note.

    Pillow refuses the whole file for such a chunk.
    """
    if head is None:
        stream.seek(0)
        head = stream.read(detect.HEAD_BYTES)
    broken = containers.find_broken_chunks(stream) if detect.is_png(head) else ()
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


def _read_color_tags(image: Image.Image, stream: BinaryIO | None = None) -> ColorTags:
    """Gather what a file says about its colors, wherever it says it."""
    if image.mode == "LAB":
        return ColorTags()
    icc = image.info.get("icc_profile") or b""
    gathered = _exif_color_tags(metadata.read_exif(image), icc if isinstance(icc, bytes) else b"")
    if stream is not None and image.format == "PNG":
        png = containers.read_png_color(stream)
        return replace(
            gathered,
            cicp=png.cicp,
            srgb=png.srgb,
            gamma=png.gamma or gathered.gamma,
            chromaticities=png.chromaticities or gathered.chromaticities,
        )
    if stream is not None and image.format in ("HEIF", "AVIF", "JPEG2000"):
        stated = containers.read_container_color(stream)
        return replace(gathered, icc=gathered.icc or stated.icc, nclx=stated.nclx)
    if stream is not None and image.format == "BMP":
        return replace(gathered, icc=containers.read_bmp_profile(stream))
    return gathered if stream is not None else _add_pillow_color_tags(image, gathered)


def _add_pillow_color_tags(image: Image.Image, gathered: ColorTags) -> ColorTags:
    """Add what Pillow keeps of a file that somebody else opened."""
    info, points = image.info, image.info.get("nclx_profile")
    white_first = info.get("chromaticity")
    return replace(
        gathered,
        nclx=containers.CodePoints(points["color_primaries"], points["transfer_characteristics"])
        if points
        else None,
        srgb="srgb" in info,
        gamma=info.get("gamma") or gathered.gamma,
        chromaticities=(*white_first[2:], *white_first[:2])
        if white_first
        else gathered.chromaticities,
    )


# --- what Pillow cannot decode as it is -------------------------------------------------------


def _decode_deep(image: Image.Image, stream: BinaryIO) -> _RawPixels | None:
    """Return color of more than 8 bits per channel, for which Pillow has no mode; None for others.

    16 bits of PNG by libpng, more than 8 of HEIC by libheif, of AVIF by libavif, and of JPEG 2000
    by OpenJPEG, where Pillow's own conversion to 8 bits turns white into black.
    """
    if image.format == "PNG" and image.mode in ("RGB", "RGBA", "LA"):
        return (
            _decode_deep_png(image, stream)
            if containers.read_png_color(stream).bits == 16
            else None
        )
    if image.format == "HEIF" and image.info.get("bit_depth", 8) > 8:
        return _decode_deep_heif(image, stream)
    if image.format == "AVIF" and (bits := containers.read_container_color(stream).bits) > 8:
        return _decode_deep_avif(image, stream, bits)
    if image.format == "JPEG2000" and max(depths := containers.read_j2k_depths(stream)) > 8:
        return _decode_deep_j2k(stream, depths)
    return None


def _decode_deep_png(image: Image.Image, stream: BinaryIO) -> _RawPixels:
    import imagecodecs

    stream.seek(0)
    pixels = imagecodecs.png_decode(stream.read())
    colors, opaque = value_range.split_alpha(_orient_pixels(image, pixels))
    return _RawPixels(colors, None if opaque is None else value_range.scale_alpha(opaque))


def _decode_deep_avif(image: Image.Image, stream: BinaryIO, bits: int) -> _RawPixels:
    import imagecodecs

    stream.seek(0)
    pixels = imagecodecs.avif_decode(stream.read())
    if pixels.dtype != np.uint16 or pixels.shape[:2] != image.size[::-1]:
        return _pillow_pixels(image)
    return _unit_from_integers(_orient_pixels(image, pixels), 2**bits - 1)


def _decode_deep_j2k(stream: BinaryIO, depths: Sequence[int]) -> _RawPixels:
    import imagecodecs

    stream.seek(0)
    pixels = imagecodecs.jpeg2k_decode(stream.read())
    pixels = pixels[..., np.newaxis] if pixels.ndim == 2 else pixels
    if pixels.dtype.kind != "u" or pixels.shape[-1] != len(depths):
        raise ImageError(
            f"a JPEG 2000 of {len(depths)} channels of {max(depths)} bits is not supported: "
            "export it as PNG or TIFF"
        )
    return _unit_from_integers(pixels, 2 ** np.array(depths) - 1)


def _decode_deep_jpeg(
    stream: BinaryIO, jpeg: containers.JpegHeader, limits: SizeLimits
) -> DecodedImage:
    """Read a JPEG of another depth than 8 bits, lossless or not, which Pillow does not open."""
    import imagecodecs

    check_size_limits(jpeg.width, jpeg.height, limits)
    stream.seek(0)
    data = stream.read()
    if data.rfind(b"\xff\xd9") < jpeg.scan:  # libjpeg would fill in what is missing
        raise ImageError(_damaged_error("its end is missing"))
    with _decoder_errors():
        pixels = imagecodecs.jpeg8_decode(data)
        exif = metadata.parse_exif(jpeg.exif)
        pixels = _apply_orientation(pixels, exif.get(ExifTags.Base.Orientation, 1))
        if pixels.ndim == 3 and pixels.shape[-1] == 4:
            raise ImageError(f"a JPEG of {jpeg.bits} bits in CMYK is not supported: save it as RGB")
        numbers = _unit_from_integers(pixels, np.array(2**jpeg.bits - 1))
        return _to_srgb_image(
            numbers, _exif_color_tags(exif, jpeg.icc), metadata.parse_metadata(exif, {}), ()
        )


def _unit_from_integers(pixels: NDArray[Any], most: int | NDArray[Any]) -> _RawPixels:
    """Return integers of which ``most``, perhaps one for each channel, is white, as floats."""
    shares = np.minimum(pixels / np.asarray(most, np.float32), 1).astype(np.float32)
    return _RawPixels(*value_range.split_alpha(shares))


def _decode_deep_heif(image: Image.Image, stream: BinaryIO) -> _RawPixels:
    """Return 16 bits, in which libheif lays the 10 or 12 bits of a file at the top."""
    import pillow_heif

    stream.seek(0)
    opened = pillow_heif.open_heif(stream, convert_hdr_to_8bit=False)
    pixels = np.asarray(opened[opened.primary_index])
    if pixels.dtype != np.uint16:
        return _pillow_pixels(image)
    bits = int(image.info["bit_depth"])
    return _unit_from_integers(pixels, (2**bits - 1) << (16 - bits))


_ORIENTATIONS: dict[int, Callable[[NDArray[Any]], NDArray[Any]]] = {
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a, 1),
}
"""How a picture is turned upright, by EXIF's orientation."""


def _orient_pixels(image: Image.Image, pixels: NDArray[Any]) -> NDArray[Any]:
    return _apply_orientation(pixels, metadata.read_exif(image).get(ExifTags.Base.Orientation, 1))


def _apply_orientation(pixels: NDArray[Any], orientation: Any) -> NDArray[Any]:
    turn = _ORIENTATIONS.get(orientation) if isinstance(orientation, int) else None
    return pixels if turn is None else np.ascontiguousarray(turn(pixels))


def _decode_tiff(stream: BinaryIO, limits: SizeLimits) -> DecodedImage:
    """Read the page of a TIFF that is the picture."""
    import tifffile

    from impasto.images.formats import tiff

    stream.seek(0)
    with _decoder_errors():
        try:
            opened = tifffile.TiffFile(cast(Any, stream))
            found = tiff.find_page(opened)
        except (ImageError, MemoryError):
            raise
        except Exception:  # what one library finds broken another may read
            return _decode_tiff_by_pillow(stream, limits)
        notes = ("the first of several frames is used",) if found.several else ()
        check_size_limits(found.page.imagewidth, found.page.imagelength, limits)
        return _decode_tiff_by_tifffile(stream, found.page, notes)


def _decode_tiff_by_pillow(stream: BinaryIO, limits: SizeLimits) -> DecodedImage:
    """Read the first page of a TIFF that tifffile finds broken."""
    image = _open_image(stream)
    check_size_limits(*image.size, limits)
    if any(tile[0] == "libtiff" for tile in image.tile):
        # It would write about what is broken to the stderr of the whole program.
        raise ImageError(_damaged_error("its tags"))
    return _to_srgb_image(
        _pillow_pixels(image), _read_color_tags(image, stream), metadata.read_metadata(image), ()
    )


def _decode_tiff_by_tifffile(stream: BinaryIO, page: Any, notes: tuple[str, ...]) -> DecodedImage:
    from impasto.images.formats import tiff

    pixels = tiff.decode_page(page)
    exif = metadata.read_tiff_exif(stream, page)
    tags = _exif_color_tags(exif, pixels.icc)
    alpha = None if pixels.alpha is None else _apply_orientation(pixels.alpha, pixels.orientation)
    found = color_management.from_lab(pixels.values) if pixels.lab else pixels.values
    numbers = _RawPixels(_apply_orientation(found, pixels.orientation), alpha, pixels.notes)
    return _to_srgb_image(
        numbers, ColorTags() if pixels.lab else tags, metadata.parse_metadata(exif, {}), notes
    )


def _exif_color_tags(exif: Image.Exif, icc: bytes) -> ColorTags:
    colors = metadata.parse_exif_color(exif)
    return ColorTags(
        icc=icc, exif=colors.space, gamma=colors.gamma, chromaticities=colors.chromaticities
    )


def read_xmp(path: AnyPath) -> bytes:
    """Return the XMP packet of a picture file, without decoding its pixels; empty if it has none.

    Raises ImageError for what is not a picture.
    """
    try:
        with open_source(path) as stream, opened_image(_drop_broken_chunks(stream)[0]) as image:
            if image.format == "PNG":
                check_size_limits(*image.size, ANY_SIZE)
                image.load()  # the text may stand behind the pixels
            packet = image.info.get("xmp", b"")
    except ImageError as error:
        raise ImageError(f"{display_path(path)}: {error}") from error
    return packet if isinstance(packet, bytes) else str(packet).encode()
