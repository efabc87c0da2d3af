"""Preserves colors of the content image: lightness transfer and color matching. Pure functions.

Gatys, Bethge, Hertzmann and Shechtman 2016, "Preserving Color in Neural Artistic Style Transfer".
Images are those of :mod:`impasto.images.arrays`; lightness is CIELAB's L*, from 0 to 100.
"""

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from impasto import filearray
from impasto.images.arrays import ImageArray
from impasto.images.masks import Mask

Colors: TypeAlias = NDArray[np.float64]

TINY = 1e-12
"""Keeps the mean of no colors finite."""


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
    own, target = color_moments(style, style_mask), color_moments(content, content_mask)
    change = _matrix_power(target.covariance, 0.5) @ _matrix_power(own.covariance, -0.5)
    matched = (style - own.mean) @ change.T + target.mean
    return np.clip(matched, 0, 255).astype(np.float32)


class ColorMoments:
    """The mean and the covariance of colors that are added in parts."""

    def __init__(self) -> None:
        """Start without colors."""
        self._weight, self._sums, self._products = 0.0, np.zeros(3), np.zeros((3, 3))

    def add(self, pixels: NDArray[np.float32], weights: NDArray[np.float32] | None = None) -> None:
        """Add colors (..., 3), with their weights (...)."""
        colors = pixels.reshape(-1, 3).astype(np.float64)
        each = np.ones(len(colors)) if weights is None else weights.reshape(-1).astype(np.float64)
        self._weight += each.sum()
        self._sums += each @ colors
        self._products += (each[:, None] * colors).T @ colors

    @property
    def mean(self) -> Colors:
        """The mean color, (3,)."""
        return self._sums / max(self._weight, TINY)

    @property
    def covariance(self) -> Colors:
        """The covariance of the channels, (3, 3)."""
        return self._products / max(self._weight, TINY) - np.outer(self.mean, self.mean)


def color_moments(image: ImageArray, mask: Mask | None = None) -> ColorMoments:
    """Return the mean and the covariance of an image's colors, weighted by a mask of its size."""
    moments = ColorMoments()
    for rows in filearray.iter_row_slices(image):
        moments.add(image[rows], None if mask is None else mask[rows])
    return moments


def color_transport(own: Colors, target: Colors) -> Colors:
    """Return the matrix (3, 3) that gives colors of one covariance another one.

    The one that moves them least (Pitié and Kokaram 2007, "The Linear Monge-Kantorovitch Linear
    Colour Mapping for Example-Based Colour Transfer", equation 13):

    T = Σ^-½ (Σ^½ Σ' Σ^½)^½ Σ^-½
    """
    root, inverse = _matrix_power(own, 0.5), _matrix_power(own, -0.5)
    return inverse @ _matrix_power(root @ target @ root, 0.5) @ inverse


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
