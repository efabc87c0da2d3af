"""Color management: chooses a file's color tag, and converts the image to sRGB.

A file may have several tags that contradict each other. Only this module decides which one
applies: the first valid one in :data:`ENCODINGS_BY_RANK`.
"""

import io
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from impasto.images.arrays import ImageArray
from impasto.images.formats import transfer_functions
from impasto.images.formats.containers import MAX_BLOCK, CodePoints
from impasto.images.formats.transfer_functions import BT709, ColorSpace, Primaries

Values: TypeAlias = NDArray[Any]
"""uint8, uint16 (by the range of their type) or float32 in [0, 1], (height, width, channels): gray,
RGB, or the inks of CMYK"""


@dataclass(frozen=True)
class ColorTags:
    """The color tags of a file."""

    cicp: CodePoints | None = None
    """PNG's chunk cICP"""
    icc: bytes = b""
    """a color profile, of any format"""
    nclx: CodePoints | None = None
    """the property of HEIC and AVIF"""
    srgb: bool = False
    """PNG's chunk sRGB"""
    gamma: float | None = None
    """the exponent that values were encoded with: PNG's gAMA"""
    chromaticities: tuple[float, ...] | None = None
    """CIE x, y of red, green, blue and white: PNG's cHRM, tags of TIFF and EXIF"""
    exif: str = ""
    """EXIF's color space: sRGB, or Adobe RGB"""


@dataclass(frozen=True)
class IccProfile:
    """A color profile, with the number of channels of its pixels."""

    icc: bytes
    channels: int


ColorEncoding: TypeAlias = ColorSpace | IccProfile
"""A color encoding: a profile or a color space."""


def _cicp_encoding(tags: ColorTags, channels: int) -> ColorEncoding | None:
    return None if tags.cicp is None else _code_point_space(tags.cicp)


def _nclx_encoding(tags: ColorTags, channels: int) -> ColorEncoding | None:
    return None if tags.nclx is None else _code_point_space(tags.nclx)


def _code_point_space(points: CodePoints) -> ColorEncoding | None:
    """Return the color space of code points; 2 (unspecified) is sRGB, unknown ones give None."""
    primaries = (
        BT709 if points.primaries == 2 else transfer_functions.PRIMARIES.get(points.primaries)
    )
    curve = (
        transfer_functions.decode_srgb
        if points.transfer == 2
        else transfer_functions.CURVES.get(points.transfer)
    )
    if primaries is None or curve is None or points[:2] == (2, 2):
        return None
    return ColorSpace(primaries, curve, narrow=not points.full_range)


def _icc_encoding(tags: ColorTags, channels: int) -> ColorEncoding | None:
    """Return the profile if it applies to the pixels; an RGB profile also applies to gray."""
    kind = tags.icc[16:20]
    if not 128 < len(tags.icc) <= MAX_BLOCK or kind not in _KINDS:
        return None
    wanted = _KINDS[kind]
    return IccProfile(tags.icc, wanted) if wanted == channels or channels == 1 else None


_KINDS = {b"GRAY": 1, b"RGB ": 3, b"CMYK": 4}
"""Number of channels that a profile supports, by the color space in its header."""


def _srgb_encoding(tags: ColorTags, channels: int) -> ColorEncoding | None:
    return transfer_functions.SRGB if tags.srgb or tags.exif == "sRGB" else None


def _exif_encoding(tags: ColorTags, channels: int) -> ColorEncoding | None:
    return transfer_functions.ADOBE_RGB if tags.exif == "Adobe RGB" else None


def _chromaticity_encoding(tags: ColorTags, channels: int) -> ColorEncoding | None:
    """Return the space of a gamma and chromaticities; missing values are those of sRGB."""
    gamma, chromaticities = tags.gamma, tags.chromaticities
    if gamma is None and chromaticities is None:
        return None
    primaries = _usable_chromaticities(chromaticities)
    if gamma is None or abs(gamma - SRGB_GAMMA) < CLOSE or not 0.1 < gamma < 10:
        return ColorSpace(primaries, transfer_functions.decode_srgb)
    return ColorSpace(primaries, transfer_functions.gamma_curve(1 / gamma))


SRGB_GAMMA = 0.45455
"""The gAMA value of a PNG in sRGB: PNG, third edition, table 18 and section 11.3.2.5."""
CLOSE = 2e-3
"""Tolerances of gamma and chromaticities for rounding."""


def _usable_chromaticities(chromaticities: tuple[float, ...] | None) -> Primaries:
    """Return valid chromaticities that differ from sRGB's; if not, those of sRGB."""
    if chromaticities is None or len(chromaticities) != 8:
        return BT709
    if np.allclose(chromaticities, BT709, atol=CLOSE, rtol=0):
        return BT709
    primaries = *chromaticities[:7], chromaticities[7]
    try:
        transfer_functions.primaries_to_srgb(primaries)
    except ValueError:
        return BT709
    return primaries


ENCODINGS_BY_RANK: dict[str, Callable[[ColorTags, int], ColorEncoding | None]] = {
    "cICP": _cicp_encoding,
    "color profile": _icc_encoding,
    "nclx": _nclx_encoding,
    "sRGB": _srgb_encoding,
    "EXIF": _exif_encoding,
    "gamma and chromaticities": _chromaticity_encoding,
}
"""Color tags in order of precedence: PNG, third edition, section 4.3 and table 9, for PNG; a
profile before nclx, as in ISO/IEC 23008-12 section 6.5.5; EXIF last."""


def iter_encodings(tags: ColorTags, channels: int) -> Iterator[ColorEncoding]:
    """Yield the possible color encodings in order of precedence; sRGB is the last."""
    for read in ENCODINGS_BY_RANK.values():
        if (meaning := read(tags, channels)) is not None:
            yield meaning
    yield transfer_functions.SRGB


def to_srgb_image(values: Values, tags: ColorTags) -> tuple[ImageArray, tuple[str, ...]]:
    """Return the image in sRGB, and notes.

    If a profile is damaged, the next tag applies.
    """
    for meaning in iter_encodings(tags, values.shape[2]):
        if isinstance(meaning, IccProfile):
            if (image := _convert_by_profile(values, meaning)) is not None:
                return image, ()
            continue
        return _convert_by_space(values, meaning)
    raise AssertionError("sRGB is the last")


def _convert_by_space(values: Values, space: ColorSpace) -> tuple[ImageArray, tuple[str, ...]]:
    if values.shape[2] == 4:
        return to_rgb_values(values), ()  # inks, to which no RGB space applies
    if replace(space, name="") == replace(transfer_functions.SRGB, name=""):
        return to_rgb_values(values), ()
    image, brighter = transfer_functions.to_srgb(to_unit_range(values), space)
    if space.curve not in transfer_functions.BEYOND_WHITE:
        return image, ()
    named = "PQ" if space.curve is transfer_functions.decode_pq else "HLG"
    what = (
        "highlights brighter than white were compressed"
        if brighter
        else "nothing is brighter than white"
    )
    return image, (f"high dynamic range ({named}): {what}",)


def to_unit_range(values: Values) -> NDArray[np.float32]:
    """Return values as float32 in [0, 1]."""
    white = 1 if values.dtype.kind == "f" else np.iinfo(values.dtype).max
    return values.astype(np.float32) / np.float32(white)


def to_rgb_values(values: Values) -> ImageArray:
    """Return values in [0, 255] without color conversion; CMYK is converted ink by ink."""
    scaled = values.astype(np.float32)
    if values.dtype.kind == "f":
        scaled *= np.float32(255)
    elif values.dtype != np.uint8:
        scaled /= np.float32(np.iinfo(values.dtype).max / 255)
    if values.shape[2] == 4:
        scaled = (255 - scaled[..., :3]) * (255 - scaled[..., 3:]) / np.float32(255)
    return np.repeat(scaled, 3, axis=2) if values.shape[2] == 1 else scaled


def _convert_by_profile(values: Values, profile: IccProfile) -> ImageArray | None:
    """Convert by LittleCMS; return None for a profile that it does not support."""
    if _is_srgb(profile.icc):
        return to_rgb_values(values)  # exactly, where a transform would round
    if values.shape[2] == 1 and values.dtype.kind == "u":
        every = np.arange(np.iinfo(values.dtype).max + 1, dtype=np.uint16)[:, None, None]
        table = _apply_profile(
            every if values.dtype != np.uint8 else every * np.uint16(257), profile
        )
        return None if table is None else table[values[..., 0], 0]
    return _apply_profile(values, profile)


def _apply_profile(values: Values, profile: IccProfile) -> ImageArray | None:
    import imagecodecs

    if values.shape[2] < profile.channels:
        values = np.repeat(values, profile.channels, axis=2)
    kinds = {1: "gray", 3: "rgb", 4: "cmyk"}
    deep = values.dtype != np.uint8
    try:
        converted = imagecodecs.cms_transform(
            np.ascontiguousarray(values[..., 0] if profile.channels == 1 else values),
            profile.icc,
            srgb_profile(),
            colorspace=kinds[profile.channels],
            outcolorspace="rgb",
            outdtype="float32" if values.dtype.kind == "f" else "uint16",
            flags=NO_TABLES if deep else 0,
        )
    except (imagecodecs.CmsError, ValueError):
        return None
    return np.clip(to_rgb_values(converted), 0, 255)


NO_TABLES = 0x0100
"""cmsFLAGS_NOOPTIMIZE of LittleCMS: its 16-bit tables have errors of up to 20 of 255."""

SRGB_NAMES = ("sRGB IEC61966", "sRGB built-in")
"""How descriptions of sRGB profiles begin; "Linear sRGB" is another space."""


def _is_srgb(icc: bytes) -> bool:
    from PIL import ImageCms

    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        return ImageCms.getProfileDescription(profile).startswith(SRGB_NAMES)
    except (ImageCms.PyCMSError, OSError):
        return False


@cache
def srgb_profile() -> bytes:
    """Return an sRGB profile with a fixed date, where LittleCMS puts the time of the call."""
    from PIL import ImageCms

    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[24:36] = struct.pack(">6H", 2000, 1, 1, 0, 0, 0)
    return bytes(profile)


def from_lab(lab: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return sRGB in [0, 1] of CIELAB for D50: L* in 0 to 100, a* and b*; by LittleCMS."""
    import imagecodecs

    converted = imagecodecs.cms_transform(
        np.ascontiguousarray(lab),
        imagecodecs.cms_profile("lab4"),
        srgb_profile(),
        colorspace="lab",
        outcolorspace="rgb",
        outdtype="float32",
    )
    return np.clip(np.asarray(converted, np.float32), 0, 1)
