"""Preserves colors of the content image: lightness transfer and color matching. Pure functions.

Gatys, Bethge, Hertzmann and Shechtman 2016, "Preserving Color in Neural Artistic Style Transfer".
Images are those of :mod:`impasto.pictures.raster`; lightness is CIELAB's L*, from 0 to 100.
"""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from impasto.pictures.masks import Mask
from impasto.pictures.raster import Picture

Colors: TypeAlias = NDArray[np.float64]


def to_lab(picture: Picture) -> Colors:
    """Return an image in CIELAB under D65, (height, width, 3): L* in [0, 100], then a* and b*."""
    from skimage import color

    return np.asarray(color.rgb2lab(picture.astype(np.float64) / 255))


def lightness(picture: Picture) -> NDArray[np.float64]:
    """Return the CIELAB lightness L* of an image, (height, width), from 0 to 100."""
    return to_lab(picture)[..., 0]


def gray(lightness: NDArray[np.float64]) -> Picture:
    """Return the gray image of a lightness (height, width), clipped to [0, 100]."""
    lab = np.zeros((*lightness.shape, 3))
    lab[..., 0] = np.clip(lightness, 0, 100)
    return _from_lab(lab)


def match_lightness(painting: Picture, photograph: Picture) -> Picture:
    """Return the style image in gray, with lightness matched in mean and deviation.

    σ_C / σ_S (L_S - μ_S) + μ_C; Gatys et al. 2016, section 4.
    """
    own, other = lightness(painting), lightness(photograph)
    return gray((own - own.mean()) * (other.std() / max(own.std(), 1e-6)) + other.mean())


def with_colors_of(painted: Picture, photograph: Picture) -> Picture:
    """Return the lightness of ``painted`` with the colors of a content image of the same size.

    Luminance-only transfer, Gatys et al. 2016, section 4. Departure: CIELAB instead of YIQ, whose
    luma is not perceptually uniform.
    """
    lab = to_lab(photograph)
    lab[..., 0] = lightness(np.clip(painted, 0, 255))
    return _from_lab(lab)


def match(
    painting: Picture,
    photograph: Picture,
    painting_mask: Mask | None = None,
    photograph_mask: Mask | None = None,
) -> Picture:
    """Return the style image with color mean and covariance of the content image, clipped.

    x' = Σ_C^½ Σ_S^-½ (x - μ_S) + μ_C, each within its mask if there is one; Gatys et al. 2016,
    section 3, equations 2 to 4, in the form of Image Analogies.
    """
    mean, covariance = _color_moments(painting, painting_mask)
    target_mean, target_covariance = _color_moments(photograph, photograph_mask)
    change = _root(target_covariance, 0.5) @ _root(covariance, -0.5)
    matched = (painting - mean) @ change.T + target_mean
    return np.clip(matched, 0, 255).astype(np.float32)


def _color_moments(picture: Picture, mask: Mask | None) -> tuple[Colors, Colors]:
    pixels = picture.reshape(-1, 3).astype(np.float64)
    weights = None if mask is None else mask.reshape(-1).astype(np.float64)
    return np.average(pixels, axis=0, weights=weights), np.cov(pixels.T, ddof=0, aweights=weights)


def _root(covariance: Colors, power: float) -> Colors:
    """Return a power of a symmetric matrix, with a minimum variance of 1."""
    values, vectors = np.linalg.eigh(covariance)
    return (vectors * np.maximum(values, 1.0) ** power) @ vectors.T


def _from_lab(lab: NDArray[np.float64]) -> Picture:
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
