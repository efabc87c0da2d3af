"""Preserves colors of the content image: lightness transfer and color matching. Pure functions.

Gatys, Bethge, Hertzmann and Shechtman 2016, "Preserving Color in Neural Artistic Style Transfer".
Images are those of :mod:`impasto.images.arrays`; lightness is CIELAB's L*, from 0 to 100.
"""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from impasto.images.arrays import ImageArray
from impasto.images.masks import Mask

Colors: TypeAlias = NDArray[np.float64]


def to_lab(image: ImageArray) -> Colors:
    """Return an image in CIELAB under D65, (height, width, 3): L* in [0, 100], then a* and b*."""
    from skimage import color

    return np.asarray(color.rgb2lab(image.astype(np.float64) / 255))


def lightness(image: ImageArray) -> NDArray[np.float64]:
    """Return the CIELAB lightness L* of an image, (height, width), from 0 to 100."""
    return to_lab(image)[..., 0]


def gray_from_lightness(lightness: NDArray[np.float64]) -> ImageArray:
    """Return the gray image of a lightness (height, width), clipped to [0, 100]."""
    lab = np.zeros((*lightness.shape, 3))
    lab[..., 0] = np.clip(lightness, 0, 100)
    return _from_lab(lab)


def match_lightness(style: ImageArray, content: ImageArray) -> ImageArray:
    """Return the style image in gray, with lightness matched in mean and deviation.

    σ_C / σ_S (L_S - μ_S) + μ_C; Gatys et al. 2016, section 4.
    """
    source, target = lightness(style), lightness(content)
    return gray_from_lightness(
        (source - source.mean()) * (target.std() / max(source.std(), 1e-6)) + target.mean()
    )


def with_content_colors(painted: ImageArray, content: ImageArray) -> ImageArray:
    """Return the lightness of ``painted`` with the colors of a content image of the same size.

    Luminance-only transfer, Gatys et al. 2016, section 4. Departure: CIELAB instead of YIQ, whose
    luma is not perceptually uniform.
    """
    lab = to_lab(content)
    lab[..., 0] = lightness(np.clip(painted, 0, 255))
    return _from_lab(lab)


def match_colors(
    style: ImageArray,
    content: ImageArray,
    style_mask: Mask | None = None,
    content_mask: Mask | None = None,
) -> ImageArray:
    """Return the style image with color mean and covariance of the content image, clipped.

    x' = Σ_C^½ Σ_S^-½ (x - μ_S) + μ_C, each within its mask if there is one; Gatys et al. 2016,
    section 3, equations 2 to 4, in the form of Image Analogies.
    """
    mean, covariance = _color_moments(style, style_mask)
    target_mean, target_covariance = _color_moments(content, content_mask)
    change = _matrix_power(target_covariance, 0.5) @ _matrix_power(covariance, -0.5)
    matched = (style - mean) @ change.T + target_mean
    return np.clip(matched, 0, 255).astype(np.float32)


def _color_moments(image: ImageArray, mask: Mask | None) -> tuple[Colors, Colors]:
    pixels = image.reshape(-1, 3).astype(np.float64)
    weights = None if mask is None else mask.reshape(-1).astype(np.float64)
    return np.average(pixels, axis=0, weights=weights), np.cov(pixels.T, ddof=0, aweights=weights)


def _matrix_power(covariance: Colors, power: float) -> Colors:
    """Return a power of a symmetric matrix, with a minimum variance of 1."""
    values, vectors = np.linalg.eigh(covariance)
    return (vectors * np.maximum(values, 1.0) ** power) @ vectors.T


def _from_lab(lab: NDArray[np.float64]) -> ImageArray:
    """Return the image; colors outside sRGB are clipped."""
    from skimage import color

    # Not color.lab2rgb: it warns where it clips, and warnings are the whole process's.
    lightness, a, b = np.moveaxis(lab, -1, 0)
    y = (lightness + 16) / 116
    roots = np.stack([a / 500 + y, y, np.maximum(y - b / 200, 0)], axis=-1)
    light = np.where(roots > 0.2068966, roots**3, (roots - 16 / 116) / 7.787)
    return np.clip(
        color.xyz2rgb(light * color.xyz_tristimulus_values(illuminant="D65", observer="2")) * 255,
        0,
        255,
    ).astype(np.float32)
