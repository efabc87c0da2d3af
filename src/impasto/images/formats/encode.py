"""Writes image files: from pixels to bytes.

Files are tagged as sRGB and may contain transparency, a resolution in pixels per inch, metadata of
the content image, and an XMP packet. The same image gives the same bytes.
"""

import io
from collections.abc import Callable
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin, features
from PIL.ExifTags import Base

from impasto import filearray, files
from impasto.errors import ImageError, OutputError, SettingError
from impasto.files import AnyPath
from impasto.images import arrays
from impasto.images.arrays import ImageArray, Mask
from impasto.images.formats import color_management, metadata
from impasto.images.formats.metadata import NO_METADATA, Metadata
from impasto.images.formats.save_options import DEFAULT_SAVE_OPTIONS, SaveOptions

_NAMES = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
}
if features.check("avif"):
    _NAMES[".avif"] = "AVIF"

WRITABLE_ENDINGS = tuple(_NAMES)
"""Supported extensions of `write_image`."""

_DEEP = ("PNG", "TIFF")
_LOSSY = ("JPEG", "AVIF")
_OPTIONS: dict[str, dict[str, Any]] = {
    "PNG": {"compress_level": 6},
    # Lossy WebP always halves the color resolution, which smears the edges of brush strokes.
    "WEBP": {"lossless": True},
}


def to_pillow(pixels: ImageArray, alpha: Mask | None = None) -> Image.Image:
    """Round and clip an image to 8-bit RGB or RGBA. Raises ImageError for non-finite values."""
    return Image.fromarray(_round_pixels(pixels, alpha, 8).astype(np.uint8))


def _round_pixels(pixels: ImageArray, alpha: Mask | None, depth: int) -> NDArray[np.uint16]:
    """Return (height, width, 3 or 4) unsigned integers of the given depth."""
    if not filearray.is_finite(pixels):
        raise ImageError("the image has values that are not finite")
    white, channels = 2**depth - 1, 3 if alpha is None else 4
    values = np.empty((*arrays.size_of(pixels), channels), np.uint16)
    for row, row_out in enumerate(values):  # row by row, in constant memory
        row_out[:, :3] = np.clip(np.rint(pixels[row] * np.float32(white / 255)), 0, white)
        if alpha is not None:
            row_out[:, 3] = np.clip(np.rint(255 * alpha[row] * np.float32(white / 255)), 0, white)
    return values


_MAX_SIDE = {"WEBP": 16_383, "JPEG": 65_500, "AVIF": 32_768}
"""Maximum side in pixels: WebP's own limit, libjpeg's (the format's is 65,535), and that of
libavif's reader, which is lower than that of its writer, 65,536."""
_MAX_PIXELS = {"AVIF": 2**28}
"""Maximum number of pixels in libavif's reader."""
_MAX_BYTES = {"TIFF": 2**32 - 2**24}
"""Maximum bytes of pixels in a format, with a margin for headers."""


def check_writable(path: AnyPath, saving: SaveOptions = DEFAULT_SAVE_OPTIONS) -> None:
    """Check that an image can be written at ``path``.

    Raises OutputError for an extension not in `WRITABLE_ENDINGS` and the errors of
    `files.check_output`, and SettingError for a format without the requested depth.
    """
    files.check_output(path, WRITABLE_ENDINGS)
    _check_depth(_format(path), saving)


def check_format_size(
    path: AnyPath, height: int, width: int, saving: SaveOptions = DEFAULT_SAVE_OPTIONS
) -> None:
    """Raise OutputError if the format of ``path`` does not support an image of (height, width)."""
    name = _format(path)
    if _fits_format(name, height, width, saving):
        return
    side, area = _MAX_SIDE.get(name), _MAX_PIXELS.get(name)
    limit = "4 GB" if side is None else f"sides of at most {side:,} px"
    limit += f" and {area:,} pixels in all" if area else ""
    raise OutputError(
        f"{files.display_path(path)}: {name} supports {limit}, but the image has {width:,} x "
        f"{height:,}: "
        "choose .png or a smaller size"
    )


def _fits_format(name: str, height: int, width: int, saving: SaveOptions) -> bool:
    return (
        max(height, width) <= _MAX_SIDE.get(name, 2**31 - 1)
        and height * width <= _MAX_PIXELS.get(name, 2**62)
        and height * width * 4 * saving.depth // 8 <= _MAX_BYTES.get(name, 2**62)
        and (saving.depth == 8 or name in _DEEP)
    )


def ending_that_fits(
    ending: str, height: int, width: int, saving: SaveOptions = DEFAULT_SAVE_OPTIONS
) -> str:
    """Return the extension ``ending`` if its format supports (height, width); if not, .png.

    Used to save a result whose format failed. Never raises.

    >>> ending_that_fits(".webp", 400, 16_400)
    '.png'
    >>> ending_that_fits(".JPG", 400, 16_400)
    '.JPG'
    """
    name = _NAMES.get(ending.lower())
    return ending if name is not None and _fits_format(name, height, width, saving) else ".png"


def _format(path: AnyPath) -> str:
    return _NAMES[files.ending_of(path, WRITABLE_ENDINGS)]


def _check_depth(name: str, saving: SaveOptions) -> None:
    if saving.depth > 8 and name not in _DEEP:
        raise SettingError(
            f"{name} supports only 8 bits per channel: for depth 16 use .png or .tif"
        )


def supports_transparency(path: AnyPath) -> bool:
    """Return whether the format of an extension supports transparency."""
    return _format(path) != "JPEG"


def write_image(
    pixels: ImageArray,
    path: AnyPath,
    xmp: bytes | None = None,
    *,
    alpha: Mask | None = None,
    tags: Metadata = NO_METADATA,
    saving: SaveOptions = DEFAULT_SAVE_OPTIONS,
) -> None:
    """Write an image as sRGB, atomically; the extension selects the format.

    ``alpha`` is the opacity, composed over white for JPEG; ``xmp`` is an XMP packet, and ``tags``
    the metadata for EXIF. Raises ImageError for non-finite values, OutputError for an unknown
    extension or a failed write, and SettingError for a format without the requested depth.
    """
    work = _make_task(pixels, path, xmp, alpha, tags, saving)
    with files.atomic_replace(path) as temporary, temporary.open("wb") as file:
        _run_task(work, file)


def encode_image(
    pixels: ImageArray,
    ending: str,
    xmp: bytes | None = None,
    *,
    alpha: Mask | None = None,
    tags: Metadata = NO_METADATA,
    saving: SaveOptions = DEFAULT_SAVE_OPTIONS,
) -> bytes:
    """Return the bytes that `write_image` writes for a name with this extension."""
    file = io.BytesIO()
    _run_task(_make_task(pixels, f"image{ending}", xmp, alpha, tags, saving), file)
    return file.getvalue()


def ending_of_format(name: str) -> str:
    """Return the extension of a format, such as "png", ".PNG" or "jpeg".

    Raises OutputError for an unsupported format.
    """
    return files.ending_of(f"format.{name.removeprefix('.')}", WRITABLE_ENDINGS)


def _make_task(
    pixels: ImageArray,
    path: AnyPath,
    xmp: bytes | None,
    alpha: Mask | None,
    tags: Metadata,
    saving: SaveOptions,
) -> "_EncodeTask":
    name = _format(path)
    _check_depth(name, saving)
    check_format_size(path, *arrays.size_of(pixels), saving)
    if alpha is not None and not supports_transparency(path):
        pixels, alpha = arrays.composite_on_white(pixels, alpha), None
    return _EncodeTask(_round_pixels(pixels, alpha, saving.depth), name, xmp, tags, saving)


def _run_task(work: "_EncodeTask", file: BinaryIO) -> None:
    _ENCODERS.get((work.format, work.saving.depth), _encode_by_pillow)(work, file)


class _EncodeTask(NamedTuple):
    """The content of a file, and the options for writing it."""

    values: NDArray[np.uint16]
    """(height, width, 3 or 4), unsigned integers of the depth that is written"""
    format: str
    xmp: bytes | None
    tags: Metadata
    saving: SaveOptions


def _encode_by_pillow(work: _EncodeTask, file: BinaryIO) -> None:
    values, name, xmp, tags, saving = work
    options: dict[str, Any] = dict(_OPTIONS.get(name, {}))
    if name in _LOSSY:
        options |= {"quality": saving.quality, "subsampling": saving.subsampling}
    if tags.dpi:
        options["dpi"] = (tags.dpi, tags.dpi)
    if exif := metadata.to_exif(tags):
        options["exif"] = exif
    if name == "PNG" and xmp:
        options["pnginfo"] = PngImagePlugin.PngInfo()
        options["pnginfo"].add_itxt("XML:com.adobe.xmp", xmp.decode())
    elif xmp:
        options["xmp"] = xmp
    image = Image.fromarray(values.astype(np.uint8))
    image.save(file, name, icc_profile=color_management.srgb_profile(), **options)


def _encode_deep_png(work: _EncodeTask, file: BinaryIO) -> None:
    """Write 16 bits per channel, which Pillow does not support; Pillow makes the other chunks."""
    import png

    height, width, channels = work.values.shape
    pixels, rest = io.BytesIO(), io.BytesIO()
    writer = png.Writer(width, height, greyscale=False, alpha=channels == 4, bitdepth=16)
    writer.write(pixels, work.values.reshape(height, -1))
    _encode_by_pillow(work._replace(values=np.zeros((1, 1, channels), np.uint16)), rest)
    header, *data = png.Reader(bytes=pixels.getvalue()).chunks()
    others = png.Reader(bytes=rest.getvalue()).chunks()
    blocks = [block for block in others if block[0] not in _PIXELS]
    png.write_chunks(file, [header, *blocks, *data])


_PIXELS = (b"IHDR", b"IDAT", b"IEND")
"""Chunks of a PNG that belong to its pixels."""


def _encode_tiff(work: _EncodeTask, file: BinaryIO) -> None:
    """Write TIFF of either depth; date, author and copyright as its own tags."""
    import tifffile

    values, _, xmp, tags, saving = work
    kept = {
        _TIFF_XMP: (_BYTE, xmp or b""),
        Base.Artist: (_TEXT, tags.author.encode()),
        Base.Copyright: (_TEXT, tags.copyright.encode()),
        Base.DateTime: (_TEXT, tags.date.encode()),
    }
    density: dict[str, Any] = {
        "resolution": (tags.dpi, tags.dpi),
        "resolutionunit": metadata.INCHES,
    }
    tifffile.imwrite(
        file,
        values if saving.depth == 16 else values.astype(np.uint8),
        photometric="rgb",
        extrasamples=["unassalpha"] if values.shape[2] == 4 else None,
        compression="zlib",
        predictor=True,
        iccprofile=color_management.srgb_profile(),
        software=False,
        metadata=None,
        extratags=[
            (int(tag), kind, len(value) if kind == _BYTE else 0, value, True)
            for tag, (kind, value) in kept.items()
            if value
        ],
        **(density if tags.dpi else {}),
    )


_TIFF_XMP = 700
"""The tag of XMP in TIFF."""
_BYTE, _TEXT = 1, 2
"""Types of tags in TIFF."""

_ENCODERS: dict[tuple[str, int], Callable[[_EncodeTask, BinaryIO], None]] = {
    ("PNG", 16): _encode_deep_png,
    ("TIFF", 8): _encode_tiff,
    ("TIFF", 16): _encode_tiff,
}
"""Encoders by format and depth; Pillow for all others."""
