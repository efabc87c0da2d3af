"""Transfer functions and primaries by the code points of files. Pure functions.

ITU-T H.273 defines the code points; cICP of PNG, HEIC and AVIF contain only these numbers. A
*space* is a set of primaries and a transfer function; :func:`to_srgb` converts an image from any
space.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from impasto.images.arrays import ImageArray

Light: TypeAlias = NDArray[np.float32]
"""float32 of any shape: linear light, 1 for diffuse white"""
Curve: TypeAlias = Callable[[Light], Light]
"""from encoded values in [0, 1] to linear light"""
Primaries: TypeAlias = tuple[float, float, float, float, float, float, float, float]
"""CIE x, y of red, green, blue and white"""

WHITE_NITS = 203.0
"""Candelas per square meter of diffuse white in PQ and HLG: ITU-R BT.2408, section 2.1."""
HLG_NITS = 1000.0
"""Peak luminance of the display for HLG: its system gamma is 1.2 there, ITU-R BT.2100, note 5f."""
HIGHLIGHT = 99.9
"""Percentage of the brightest pixels that are clipped."""
ROWS = 256
"""Rows that are converted at once, to limit the memory of intermediate arrays."""

D65 = (0.3127, 0.3290)
BT709: Primaries = (0.640, 0.330, 0.300, 0.600, 0.150, 0.060, *D65)
ADOBE: Primaries = (0.640, 0.330, 0.210, 0.710, 0.150, 0.060, *D65)
"""Adobe RGB (1998), section 4.3.1.1"""

PRIMARIES: dict[int, Primaries] = {
    1: BT709,
    4: (0.670, 0.330, 0.210, 0.710, 0.140, 0.080, 0.310, 0.316),
    5: (0.640, 0.330, 0.290, 0.600, 0.150, 0.060, *D65),
    6: (0.630, 0.340, 0.310, 0.595, 0.155, 0.070, *D65),
    7: (0.630, 0.340, 0.310, 0.595, 0.155, 0.070, *D65),
    8: (0.681, 0.319, 0.243, 0.692, 0.145, 0.049, 0.310, 0.316),
    9: (0.708, 0.292, 0.170, 0.797, 0.131, 0.046, *D65),
    11: (0.680, 0.320, 0.265, 0.690, 0.150, 0.060, 0.314, 0.351),
    12: (0.680, 0.320, 0.265, 0.690, 0.150, 0.060, *D65),
    22: (0.630, 0.340, 0.295, 0.605, 0.155, 0.077, *D65),
}
"""H.273, table 2, without 10 (CIE XYZ), which images do not use."""


def decode_srgb(values: Light) -> Light:
    """Return linear light of sRGB; IEC 61966-2-1, equation 5. Negative values as sYCC's."""
    size = np.abs(values)
    light = np.where(size <= 0.04045, size / 12.92, ((size + 0.055) / 1.055) ** 2.4)
    return np.asarray(np.sign(values) * light, np.float32)


def encode_srgb(light: Light) -> Light:
    """Return the sRGB values in [0, 1] of linear light, clipped; IEC 61966-2-1, equation 9."""
    light = np.clip(light, 0, 1)
    curved = 1.055 * light ** (1 / 2.4) - 0.055
    return np.asarray(np.where(light <= 0.0031308, 12.92 * light, curved), np.float32)


def gamma_curve(power: float) -> Curve:
    """Return the curve of a power."""
    return lambda values: np.maximum(values, 0) ** np.float32(power)


def _smpte240(values: Light) -> Light:
    bright = ((np.maximum(values, 0) + 0.1115) / 1.1115) ** (1 / 0.45)
    return np.asarray(np.where(values < 4 * 0.0228, values / 4, bright), np.float32)


PQ_M1, PQ_M2 = 2610 / 16384, 2523 / 32
PQ_C1, PQ_C2, PQ_C3 = 3424 / 4096, 2413 / 128, 2392 / 128
PQ_NITS = 10_000.0


def decode_pq(values: Light) -> Light:
    """Return the light of PQ, 1 for diffuse white; SMPTE ST 2084, ITU-R BT.2100 table 4."""
    root = np.clip(values, 0, 1).astype(np.float64) ** (1 / PQ_M2)
    light = (np.maximum(root - PQ_C1, 0) / (PQ_C2 - PQ_C3 * root)) ** (1 / PQ_M1)
    return (light * (PQ_NITS / WHITE_NITS)).astype(np.float32)


def encode_pq(light: Light) -> Light:
    """Return the PQ values of light; the inverse of :func:`decode_pq`."""
    power = np.clip(np.asarray(light, np.float64) * (WHITE_NITS / PQ_NITS), 0, 1) ** PQ_M1
    return (((PQ_C1 + PQ_C2 * power) / (1 + PQ_C3 * power)) ** PQ_M2).astype(np.float32)


HLG_A = 0.17883277
HLG_B, HLG_C = 1 - 4 * HLG_A, 0.5 - HLG_A * np.log(4 * HLG_A)
HLG_GAMMA = 1.2


def decode_hlg(values: Light) -> Light:
    """Return the scene light, 0 to 1, of HLG; ITU-R BT.2100, table 5."""
    values = np.clip(values, 0, 1)
    bright = (np.exp((np.maximum(values, 0.5) - HLG_C) / HLG_A) + HLG_B) / 12
    return np.where(values <= 0.5, values**2 / 3, bright).astype(np.float32)


def _hlg_ootf(light: Light, luminance: NDArray[np.float64]) -> Light:
    """Return display light of scene light: the OOTF of BT.2100, 1 for diffuse white."""
    bright = np.maximum(light @ luminance.astype(np.float32), 0)[..., None]
    displayed = light * bright ** np.float32(HLG_GAMMA - 1) * np.float32(HLG_NITS / WHITE_NITS)
    return np.asarray(displayed, np.float32)


CURVES: dict[int, Curve] = {
    # A display shows the curves of video (1, 6, 14, 15) as it shows sRGB's, and so do browsers.
    **dict.fromkeys((1, 6, 11, 12, 13, 14, 15), decode_srgb),
    4: gamma_curve(2.2),
    5: gamma_curve(2.8),
    7: _smpte240,
    8: lambda values: values,
    16: decode_pq,
    17: lambda values: np.maximum(values, 0) ** np.float32(2.6) * np.float32(52.37 / 48),
    18: decode_hlg,
}
"""H.273, table 3, without 9 and 10 (logarithms), which images do not use."""

BEYOND_WHITE = (decode_pq, decode_hlg)
"""Transfer functions of light brighter than diffuse white, which is tone-mapped."""


@dataclass(frozen=True)
class ColorSpace:
    """A color space: primaries and a transfer function."""

    primaries: Primaries
    curve: Curve
    name: str = ""
    """for notes"""
    narrow: bool = False
    """whether black is at 16 of 255 and white at 235, as in video"""


SRGB = ColorSpace(BT709, decode_srgb, "sRGB")
ADOBE_RGB = ColorSpace(ADOBE, gamma_curve(563 / 256), "Adobe RGB")
"""Adobe RGB (1998), section 4.3.4.2: the exponent is 2 + 51/256."""


def to_xyz(primaries: Primaries) -> NDArray[np.float64]:
    """Return the matrix (3, 3) from linear RGB to CIE XYZ, Y = 1 for white; SMPTE RP 177.

    Raises ValueError for primaries that span no space.
    """
    xy = np.array(primaries, np.float64).reshape(4, 2)
    if not np.isfinite(xy).all() or (xy[:, 1] <= 0).any():
        raise ValueError("invalid primaries")
    columns = np.stack([xy[:, 0] / xy[:, 1], np.ones(4), (1 - xy.sum(axis=1)) / xy[:, 1]])
    colors, white = columns[:, :3], columns[:, 3]
    if abs(np.linalg.det(colors)) < 1e-3:
        raise ValueError("primaries on one line")
    return np.asarray(colors * np.linalg.solve(colors, white), np.float64)


BRADFORD = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)
"""Cone responses of Lam 1985, "Metamerism and Colour Constancy", as ICC profiles use them."""


def primaries_to_srgb(primaries: Primaries) -> NDArray[np.float64]:
    """Return the matrix (3, 3) from linear light of other primaries to that of sRGB.

    White is adapted by the Bradford transform. Raises ValueError like :func:`to_xyz`.
    """
    own, target = to_xyz(primaries), to_xyz(BT709)
    cones = BRADFORD @ own.sum(axis=1), BRADFORD @ target.sum(axis=1)
    adapt = np.linalg.inv(BRADFORD) @ np.diag(cones[1] / cones[0]) @ BRADFORD
    return np.asarray(np.linalg.inv(target) @ adapt @ own, np.float64)


def to_srgb(values: Light, space: ColorSpace, peak: float | None = None) -> tuple[ImageArray, bool]:
    """Convert encoded values in [0, 1], gray (h, w, 1) or RGB, to sRGB (height, width, 3).

    Light brighter than diffuse white is tone-mapped by :func:`roll_off`; the second value is
    whether there was any. ``peak`` is the light that becomes white, by default that of the image;
    frames of a shot need the same. Colors outside sRGB are clipped. Raises ValueError like
    :func:`to_xyz`.
    """
    matrix = primaries_to_srgb(space.primaries).astype(np.float32)
    image = _to_linear_image(values, space)
    if peak is None:
        peak = _peak_light(image, space)
    for top in range(0, len(values), ROWS):
        light = image[top : top + ROWS]
        if peak > 1:
            light = roll_off(light, peak)
        image[top : top + ROWS] = 255 * encode_srgb(light @ matrix.T)
    return image, peak > 1


def peak_light(values: Light, space: ColorSpace) -> float:
    """Return the brightest light of encoded values, 1 for diffuse white, without outliers."""
    return _peak_light(_to_linear_image(values, space), space)


def _peak_light(image: Light, space: ColorSpace) -> float:
    if space.curve not in BEYOND_WHITE:
        return 1.0
    return float(np.percentile(image.max(axis=2), HIGHLIGHT))


def _to_linear_image(values: Light, space: ColorSpace) -> Light:
    """Return linear light (height, width, 3)."""
    luminance = to_xyz(space.primaries)[1]
    image = np.empty((*values.shape[:2], 3), np.float32)
    for top in range(0, len(values), ROWS):
        image[top : top + ROWS] = _to_linear(values[top : top + ROWS], space, luminance)
    return image


def _to_linear(values: Light, space: ColorSpace, luminance: NDArray[np.float64]) -> Light:
    if space.narrow:
        values = (values * 255 - 16) / np.float32(219)
    light = np.broadcast_to(space.curve(values), (*values.shape[:2], 3))
    return _hlg_ootf(light, luminance) if space.curve is decode_hlg else light


def roll_off(light: Light, peak: float) -> Light:
    """Tone-map light (..., 3) up to ``peak`` to at most diffuse white, 1; hues stay.

    The largest channel follows the curve of ITU-R BT.2390-11, section 5.4.1 (EETF): in PQ, relative
    to the peak, values below the knee 1.5 w - 0.5 stay, where w is diffuse white, and a Hermite
    spline leads from there to w. Black stays black, so the last step of the EETF is omitted.
    """
    top = encode_pq(np.array(peak))
    white = encode_pq(np.array(1.0)) / top
    knee = np.maximum(1.5 * white - 0.5, 0)
    brightest = light.max(axis=-1, keepdims=True)
    at = np.clip(encode_pq(brightest) / top, 0, 1)
    t = np.clip((at - knee) / (1 - knee), 0, 1)
    spline = (
        (2 * t**3 - 3 * t**2 + 1) * knee
        + (t**3 - 2 * t**2 + t) * (1 - knee)
        + (-2 * t**3 + 3 * t**2) * white
    )
    down = decode_pq(np.where(at < knee, at, spline) * top)
    return np.asarray(light * (down / np.maximum(brightest, 1e-6)), np.float32)
