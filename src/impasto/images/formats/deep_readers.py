"""Readers for color of more than 8 bits per channel, for which Pillow has no mode.

Pillow reads everything else of these files. Its own conversion of JPEG 2000 to 8 bits turns white
into black.
"""

from collections.abc import Sequence
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

from impasto.errors import ImageError
from impasto.images import value_range
from impasto.images.formats import containers, metadata
from impasto.images.formats.pillow_reader import PillowReader, orient_pixels, pillow_pixels
from impasto.images.formats.reader import (
    FileImage,
    RawPixels,
    SizeLimits,
    apply_orientation,
    check_size_limits,
    damaged_message,
    exif_color_tags,
)


class ImagecodecsReader(PillowReader):
    """Reads by imagecodecs: PNG of 16 bits (libpng), AVIF (libavif), JPEG 2000 (OpenJPEG), JPEG."""

    def read(self, stream: BinaryIO, limits: SizeLimits) -> FileImage:
        """Implement :meth:`impasto.images.formats.reader.Reader.read`."""
        jpeg = containers.read_jpeg_header(stream)
        return super().read(stream, limits) if jpeg is None else _read_jpeg(stream, jpeg, limits)

    def decode(self, image: Image.Image, stream: BinaryIO) -> RawPixels:
        """Return the pixels of a file, by Pillow if it has 8 bits per channel or is gray."""
        if image.format == "PNG" and image.mode in ("RGB", "RGBA", "LA"):
            if containers.read_png_color(stream).bits == 16:
                return _decode_png(image, stream)
        elif image.format == "AVIF":
            if (bits := containers.read_container_color(stream).bits) > 8:
                return _decode_avif(image, stream, bits)
        elif image.format == "JPEG2000" and max(depths := containers.read_j2k_depths(stream)) > 8:
            return _decode_j2k(stream, depths)
        return pillow_pixels(image)


class PillowHeifReader(PillowReader):
    """Reads by pillow-heif (libheif): HEIC of 10 or 12 bits."""

    def decode(self, image: Image.Image, stream: BinaryIO) -> RawPixels:
        """Return the pixels of a file, by Pillow if it has 8 bits per channel."""
        bits = int(image.info.get("bit_depth", 8))
        return _decode_heif(image, stream, bits) if bits > 8 else pillow_pixels(image)


def _decode_png(image: Image.Image, stream: BinaryIO) -> RawPixels:
    import imagecodecs

    stream.seek(0)
    pixels = imagecodecs.png_decode(stream.read())
    colors, opaque = value_range.split_alpha(orient_pixels(image, pixels))
    return RawPixels(colors, None if opaque is None else value_range.scale_alpha(opaque))


def _decode_avif(image: Image.Image, stream: BinaryIO, bits: int) -> RawPixels:
    import imagecodecs

    stream.seek(0)
    pixels = imagecodecs.avif_decode(stream.read())
    if pixels.dtype != np.uint16 or pixels.shape[:2] != image.size[::-1]:
        return pillow_pixels(image)
    return _unit_from_integers(orient_pixels(image, pixels), 2**bits - 1)


def _decode_j2k(stream: BinaryIO, depths: Sequence[int]) -> RawPixels:
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


def _read_jpeg(stream: BinaryIO, jpeg: containers.JpegHeader, limits: SizeLimits) -> FileImage:
    """Read a JPEG of another depth than 8 bits, lossless or not, which Pillow does not open."""
    import imagecodecs

    check_size_limits(jpeg.width, jpeg.height, limits)
    stream.seek(0)
    data = stream.read()
    if data.rfind(b"\xff\xd9") < jpeg.scan:  # libjpeg would fill in missing pixels
        raise ImageError(damaged_message("its end is missing"))
    pixels = imagecodecs.jpeg8_decode(data)
    exif = metadata.parse_exif(jpeg.exif)
    pixels = apply_orientation(pixels, exif.get(ExifTags.Base.Orientation, 1))
    if pixels.ndim == 3 and pixels.shape[-1] == 4:
        raise ImageError(f"a JPEG of {jpeg.bits} bits in CMYK is not supported: save it as RGB")
    return FileImage(
        _unit_from_integers(pixels, np.array(2**jpeg.bits - 1)),
        exif_color_tags(exif, jpeg.icc),
        metadata.parse_metadata(exif, {}),
    )


def _decode_heif(image: Image.Image, stream: BinaryIO, bits: int) -> RawPixels:
    """Decode to 16 bits; libheif puts the 10 or 12 bits of a file at the top."""
    import pillow_heif

    stream.seek(0)
    opened = pillow_heif.open_heif(stream, convert_hdr_to_8bit=False)
    pixels = np.asarray(opened[opened.primary_index])
    if pixels.dtype != np.uint16:
        return pillow_pixels(image)
    return _unit_from_integers(pixels, (2**bits - 1) << (16 - bits))


def _unit_from_integers(pixels: NDArray[Any], white: int | NDArray[Any]) -> RawPixels:
    """Return integers as floats in [0, 1]; ``white`` is white, one number or one per channel."""
    fractions = np.minimum(pixels / np.asarray(white, np.float32), 1).astype(np.float32)
    return RawPixels(*value_range.split_alpha(fractions))
