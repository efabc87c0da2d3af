"""Reads image files by Pillow: all formats except TIFF, of 8 bits per channel in color."""

import io
import struct
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageFile, ImageOps, UnidentifiedImageError, features

from impasto import extras
from impasto.errors import ImageError
from impasto.images import arrays, value_range
from impasto.images.formats import containers, detect, metadata
from impasto.images.formats.color_management import ColorTags
from impasto.images.formats.reader import (
    FileImage,
    RawPixels,
    SizeLimits,
    apply_orientation,
    check_size_limits,
    exif_color_tags,
)

FORMATS = (
    *("JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF", "BMP", "GIF", "PPM"),
    *(["JPEG2000"] if features.check("jpg_2000") else []),
)
"""The formats that are opened; no other decoder of Pillow is used."""


class PillowReader:
    """Reads by Pillow. Subclasses replace :meth:`decode` for more than 8 bits per channel."""

    def read(self, stream: BinaryIO, limits: SizeLimits) -> FileImage:
        """Implement :meth:`impasto.images.formats.reader.Reader.read`."""
        stream, chunk_notes = drop_broken_chunks(stream)
        with open_image(stream) as image:
            check_size_limits(*image.size, limits)
            truncation_notes = _reject_truncated(image)
            frame_box = _gif_frame_box(image)
            key_scale = _transparent_gray_scale(image)
            loaded, end_notes = _load_pixels(image, stream)
            _scale_transparent_gray(loaded, key_scale)
            pixels = self.decode(loaded, stream)
            tags = read_color_tags(loaded, stream)
            if loaded.format == "AVIF":
                crop = containers.read_container_color(stream).crop
                pixels = _crop_clean_aperture(loaded, pixels, crop)
                check_size_limits(*arrays.size_of(pixels.values)[::-1], limits)
            frame_notes = (
                ("the first of several frames is used",) if _has_more_frames(loaded) else ()
            )
            return FileImage(
                _transparent_outside(pixels, frame_box),
                tags,
                metadata.read_metadata(loaded),
                (*chunk_notes, *truncation_notes, *end_notes, *frame_notes),
            )

    def decode(self, image: Image.Image, stream: BinaryIO) -> RawPixels:
        """Return the pixels of a file that Pillow has loaded as ``image``."""
        return pillow_pixels(image)


def read_open_image(image: Image.Image) -> FileImage:
    """Return a Pillow image of any mode, at its current frame, as if read from a file.

    Raises ImageError if it, or its file, is closed.
    """
    frame_box, key_scale = _gif_frame_box(image), _transparent_gray_scale(image)
    _load_pillow(image)
    if key_scale > 1:
        _scale_transparent_gray(image := image.copy(), key_scale)
    pixels = _transparent_outside(pillow_pixels(image), frame_box)
    return FileImage(pixels, read_color_tags(image), metadata.read_metadata(image))


def _load_pillow(image: Image.Image) -> None:
    """Decode the caller's image. Raises ImageError if it, or its file, is closed."""
    try:
        image.load()
    except (ValueError, AssertionError, AttributeError) as error:
        if "closed" in str(error) or getattr(image, "fp", image) is None:
            raise ImageError(
                "the Pillow image is closed: pass an open image, or call its load() first"
            ) from error
        raise


def open_image(stream: BinaryIO) -> ImageFile.ImageFile:
    """Open a file by the first of FORMATS that accepts it; no pixels are decoded.

    ``PIL.Image.open`` is not used: it takes its limit of pixels, and the HEIF format, from settings
    of the whole process. Callers check the size. Raises UnidentifiedImageError.
    """
    stream.seek(0)
    for _, factory in _accepting_plugins(stream.read(HEAD_BYTES)):
        with suppress(SyntaxError, IndexError, TypeError, struct.error):
            stream.seek(0)
            return factory(stream, "")
    raise UnidentifiedImageError


def format_name(head: bytes) -> str | None:
    """Return the first of FORMATS that accepts a file with these first bytes."""
    return next((name for name, _ in _accepting_plugins(head[:HEAD_BYTES])), None)


HEAD_BYTES = 16
"""Number of first bytes by which Pillow identifies a format."""


def _accepting_plugins(
    head: bytes,
) -> Iterator[tuple[str, Callable[..., ImageFile.ImageFile]]]:
    """Yield the name and the opening function of each format that accepts the first bytes."""
    Image.preinit()
    for name in FORMATS:
        factory, accepts = _plugin(name)
        with suppress(SyntaxError, IndexError, TypeError, struct.error):
            if accepts(head) is True:  # or a message why the format is not supported
                yield name, factory


def _plugin(name: str) -> tuple[Callable[..., ImageFile.ImageFile], Callable[[bytes], object]]:
    """Return functions that open a format, and that recognize it by the first bytes of a file."""
    if name == "HEIF":
        try:
            import pillow_heif  # here, since it is slow
        except ImportError:
            return _refuse_heif, lambda head: head[4:8] == b"ftyp" and head[8:12] in _HEIF_BRANDS

        return pillow_heif.HeifImageFile, lambda head: pillow_heif.get_file_mimetype(head) != ""
    if name not in Image.OPEN:
        Image.init()  # which loads every plugin
    factory, accepts = Image.OPEN[name]
    assert accepts is not None
    return factory, accepts


def _refuse_heif(stream: BinaryIO, name: str) -> ImageFile.ImageFile:
    """Raise ImageError, with the command that installs the decoder."""
    raise ImageError(extras.missing_extra_message("heif"))


_HEIF_BRANDS = (
    *(b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"),
)
"""Brands in the first bytes of a HEIC file. AVIF shares the last two, and is tried before."""


def _load_pixels(image: Image.Image, stream: BinaryIO) -> tuple[Image.Image, tuple[str, ...]]:
    """Load an image. A JPEG without its last bytes is loaded if all pixels are present."""
    try:
        image.load()
    except OSError as error:
        if image.format not in ("JPEG", "MPO") or "truncated" not in str(error):
            raise
        if (completed := _append_jpeg_end(stream)) is None:
            raise
        return completed, ("its last bytes are missing, but the image is complete",)
    return image, ()


def _reject_truncated(image: ImageFile.ImageFile) -> tuple[str, ...]:
    """Make Pillow reject an incomplete file even if LOAD_TRUNCATED_IMAGES is set.

    With that process-wide setting Pillow fills in missing pixels. It also hides other damage, so a
    note is returned.
    """
    if not ImageFile.LOAD_TRUNCATED_IMAGES:
        return ()
    # JpegImageFile.load_read appends an end marker to the file.
    original_read = None if image.format in ("JPEG", "MPO") else getattr(image, "load_read", None)

    def read_or_fail(size: int) -> bytes:
        assert image.fp is not None
        read = original_read or image.fp.read  # some plugins replace the file as they load
        try:
            data = read(size)
        except (IndexError, struct.error):
            data = b""
        if not data:
            raise OSError("image file is truncated")
        return data

    image.load_read = read_or_fail  # type: ignore[attr-defined]
    return ("Pillow's LOAD_TRUNCATED_IMAGES is on, so damage inside the file may go unnoticed",)


def _append_jpeg_end(stream: BinaryIO) -> Image.Image | None:
    """Return the image of a JPEG without its end, or None if some of its pixels are missing.

    Missing pixels depend on the bytes that follow, so several tails are tried.
    """
    stream.seek(0)
    data = stream.read().rstrip(b"\xff")
    images = []
    for tail in (b"", b"\x55" * 64, b"\xaa" * 64, b"\x0f" * 64):
        images.append(open_image(io.BytesIO(data + tail + b"\xff\xd9")))
        images[-1].load()
    first, *others = [image.tobytes() for image in images]
    return images[0] if all(other == first for other in others) else None


def _gif_frame_box(image: Image.Image) -> tuple[int, int, int, int] | None:
    """Return the left, upper, right and lower edge of a GIF's first frame on its canvas.

    None for other images, and for one that is decoded, which has lost this information.
    """
    tiles = getattr(image, "tile", ())
    if image.format != "GIF" or image.tell() != 0 or not tiles:
        return None
    extents: tuple[int, int, int, int] = tiles[0].extents
    return extents


def _transparent_outside(pixels: RawPixels, box: tuple[int, int, int, int] | None) -> RawPixels:
    """Make pixels transparent outside ``box``, where a GIF has none."""
    height, width = arrays.size_of(pixels.values)
    if box is None or box == (0, 0, width, height):
        return pixels
    left, upper, right, lower = box
    alpha = np.zeros((height, width), np.float32)
    inside = np.s_[upper:lower, left:right]
    alpha[inside] = 1 if pixels.alpha is None else pixels.alpha[inside]
    return pixels._replace(alpha=alpha)


def _crop_clean_aperture(
    image: Image.Image, pixels: RawPixels, crop: tuple[float, float, float, float] | None
) -> RawPixels:
    """Crop upright pixels to the clean aperture of an AVIF.

    It refers to the image before orientation. libavif, unlike libheif, leaves it to the caller.
    """
    if crop is None:
        return pixels
    sides = [
        (round((side - length) / 2 + offset), round((side + length) / 2 + offset))
        for side, length, offset in zip(image.size, crop[:2], crop[2:], strict=True)
    ]
    (left, right), (upper, lower) = sides
    visible = np.zeros(image.size[::-1], bool)
    if not (0 <= left < right <= image.width and 0 <= upper < lower <= image.height):
        return pixels  # an invalid aperture
    visible[upper:lower, left:right] = True
    visible = orient_pixels(image, visible)
    crop_index = np.ix_(visible.any(axis=1), visible.any(axis=0))
    alpha = None if pixels.alpha is None else pixels.alpha[crop_index]
    return pixels._replace(values=pixels.values[crop_index], alpha=alpha)


def _transparent_gray_scale(image: Image.Image) -> int:
    """Return the factor by which the transparent gray value of an undecoded image is too small.

    Pillow scales the 2 or 4 bits of a gray PNG to 8, but not the key (PNG, third edition, section
    11.3.1.1).
    """
    tiles = getattr(image, "tile", ())
    if image.format != "PNG" or not tiles or not isinstance(image.info.get("transparency"), int):
        return 1
    return {"L;2": 85, "L;4": 17}.get(tiles[0].args, 1)


def _scale_transparent_gray(image: Image.Image, scale: int) -> None:
    if scale > 1:  # bits of the key beyond the depth are ignored
        image.info["transparency"] = (image.info["transparency"] & 255 // scale) * scale


def pillow_pixels(image: Image.Image) -> RawPixels:
    """Return the pixels of a Pillow image of any mode, upright."""
    image.load()
    image = _orient_image(image)
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return _decode_deep_gray(image)
    mode = _PLAIN.get(image.mode, "RGB")
    if image.has_transparency_data:
        mode = "LA" if mode == "L" else "RGBA"
    pixels = np.asarray(image if image.mode == mode else image.convert(mode))
    if mode not in ("LA", "RGBA"):
        return RawPixels(pixels.reshape(*pixels.shape[:2], -1))
    return RawPixels(pixels[..., :-1], (pixels[..., -1] / np.float32(255)).astype(np.float32))


_PLAIN = {"1": "L", "L": "L", "LA": "L", "La": "L", "CMYK": "CMYK"}
"""Modes without transparency, where not RGB."""


def _orient_image(image: Image.Image) -> Image.Image:
    if image.mode == "La":
        image = image.convert("LA")  # Pillow converts La only to LA
    # Ignore a damaged EXIF block: the pixels are complete.
    with suppress(Exception):
        if image.getexif().get(ExifTags.Base.Orientation, 1) != 1:
            return ImageOps.exif_transpose(image)
    return image


def _decode_deep_gray(image: Image.Image) -> RawPixels:
    """Return gray of more than 8 bits: int32, uint16 of either byte order, float32."""
    stored = np.asarray(image)
    native = stored.astype(stored.dtype.newbyteorder("="))
    if image.format == "PPM" and image.mode == "I":
        native = np.clip(native, 0, 65535).astype(np.uint16)  # as Pillow scales it
    # The value range of images made in Python is unknown.
    scaled = value_range.scale_to_range(
        native[..., None], strict=image.format is None and image.mode != "I"
    )
    key = image.info.get("transparency")
    alpha = (stored != key).astype(np.float32) if isinstance(key, int) else None
    return RawPixels(scaled.values, alpha, scaled.notes)


def drop_broken_chunks(stream: BinaryIO) -> tuple[BinaryIO, tuple[str, ...]]:
    """Remove ancillary chunks of a PNG whose checksum is wrong, as libpng does, with a note.

    Pillow rejects the whole file for such a chunk.
    """
    stream.seek(0)
    is_png = detect.is_png(stream.read(detect.HEAD_BYTES))
    broken = containers.find_broken_chunks(stream) if is_png else ()
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
    """Return whether there is a second frame; counting all may take long in a malicious file."""
    if image.format == "MPO" or image.tell() != 0:
        return False  # a camera JPEG with a preview, or a frame that the caller chose
    with suppress(Exception):
        image.seek(1)
        image.seek(0)
        return True
    return False


def read_color_tags(image: Image.Image, stream: BinaryIO | None = None) -> ColorTags:
    """Return the color tags of a file, from EXIF and its container."""
    if image.mode == "LAB":
        return ColorTags()
    icc = image.info.get("icc_profile") or b""
    tags = exif_color_tags(metadata.read_exif(image), icc if isinstance(icc, bytes) else b"")
    if stream is not None and image.format == "PNG":
        png = containers.read_png_color(stream)
        return replace(
            tags,
            cicp=png.cicp,
            srgb=png.srgb,
            gamma=png.gamma or tags.gamma,
            chromaticities=png.chromaticities or tags.chromaticities,
        )
    if stream is not None and image.format in ("HEIF", "AVIF", "JPEG2000"):
        container = containers.read_container_color(stream)
        return replace(tags, icc=tags.icc or container.icc, nclx=container.nclx)
    if stream is not None and image.format == "BMP":
        return replace(tags, icc=containers.read_bmp_profile(stream))
    return tags if stream is not None else _add_pillow_color_tags(image, tags)


def _add_pillow_color_tags(image: Image.Image, tags: ColorTags) -> ColorTags:
    """Add the color tags that Pillow keeps of a file that the caller opened."""
    info, points = image.info, image.info.get("nclx_profile")
    white_first = info.get("chromaticity")
    return replace(
        tags,
        nclx=containers.CodePoints(points["color_primaries"], points["transfer_characteristics"])
        if points
        else None,
        srgb="srgb" in info,
        gamma=info.get("gamma") or tags.gamma,
        chromaticities=(*white_first[2:], *white_first[:2]) if white_first else tags.chromaticities,
    )


def orient_pixels(image: Image.Image, pixels: NDArray[Any]) -> NDArray[Any]:
    """Return pixels turned upright by the orientation of an image."""
    return apply_orientation(pixels, metadata.read_exif(image).get(ExifTags.Base.Orientation, 1))
