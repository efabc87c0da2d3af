"""Image arrays: their contract, resizing, initial images. Pure functions.

An image is a float32 array (height, width, 3): RGB, sRGB-encoded, values in [0, 255]. During
optimization values may leave that range; they are clipped only when a file is written.
"""

from typing import Any, TypeAlias

import numpy as np
import scipy
from numpy.typing import NDArray
from PIL import Image

from impasto import filearray

ImageArray: TypeAlias = NDArray[np.float32]
"""float32 (height, width, 3), sRGB-encoded RGB in [0, 255]; large ones are file arrays."""

Mask: TypeAlias = NDArray[np.float32]
"""float32 (height, width), in [0, 1]: weights of pixels."""

MIN_SIDE = 16
"""Minimum of the shorter side in pixels: below, the deepest block has no features."""


def size_of(image: NDArray[Any]) -> tuple[int, int]:
    """Return (height, width) in pixels."""
    height, width = image.shape[:2]
    return int(height), int(width)


def fit(height: int, width: int, longest: int) -> tuple[int, int]:
    """Return (height, width) with ``longest`` as the longer side and the same aspect ratio.

    >>> fit(768, 1024, 512)
    (384, 512)
    """
    scale = longest / max(height, width)
    return max(1, round(height * scale)), max(1, round(width * scale))


def fit_area(height: int, width: int, area: int) -> tuple[int, int]:
    """Return (height, width) with about ``area`` pixels and the same aspect ratio.

    Never larger than the given size, since enlarging a style image would blur its strokes. Never
    narrower than MIN_SIDE.

    >>> fit_area(1000, 4000, 10_000)
    (50, 200)
    >>> fit_area(20, 20, 10_000)
    (20, 20)
    >>> fit_area(160, 1600, 1000)
    (16, 160)
    """
    min_scale = MIN_SIDE / min(height, width)
    scale = min(1.0, max(min_scale, (area / (height * width)) ** 0.5))
    return round(height * scale), round(width * scale)


def resize(image: ImageArray, height: int, width: int) -> ImageArray:
    """Resample an image to (height, width) in pixels; values stay in [0, 255]."""
    return np.clip(resample(image, height, width), 0.0, 255.0)


def resample(image: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """Resample to (height, width) in pixels with Lanczos filtering, antialiased, unclipped.

    Accepts any number of channels and any values, such as differences of images.
    """
    if image.shape[:2] == (height, width):
        return image
    resampled = filearray.zeros((height, width, image.shape[-1]))
    for channel in range(image.shape[-1]):
        values = Image.fromarray(np.ascontiguousarray(image[..., channel], np.float32))
        values = values.resize((width, height), Image.Resampling.LANCZOS)
        resampled[..., channel] = np.asarray(values)
    return resampled


def noise(height: int, width: int, seed: int, amplitude: float = 127.5) -> ImageArray:
    """Return uniform white noise around middle gray, by default over the whole range."""
    generator = np.random.default_rng(seed)
    limits = 127.5 - amplitude, 127.5 + amplitude
    return generator.uniform(*limits, (height, width, 3)).astype(np.float32)


GRAY_TOLERANCE = 3
"""Maximum difference of 255 between channels of a gray image, for JPEG rounding."""


def is_gray(image: ImageArray) -> bool:
    """Return whether an image is gray."""
    # A few rows at a time, since most images have color in the first ones.
    rows = (image[first : first + 64] for first in range(0, len(image), 64))
    return all(bool(np.ptp(each, axis=-1).max() <= GRAY_TOLERANCE) for each in rows)


def upsample_residual(previous: ImageArray, coarse: ImageArray, fine: ImageArray) -> ImageArray:
    """Return the initial image of a finer level: ``fine + upsample(previous - coarse)``, clipped.

    Enlarging the change instead of the image keeps the fine detail of the content image.

    Args:
        previous: the result of the coarser level
        coarse: the content image at the coarser level
        fine: the content image at the finer level
    """
    change = resample(previous - coarse, *size_of(fine))
    return np.clip(fine + change, 0.0, 255.0)


def fill_hidden(image: ImageArray, alpha: Mask) -> ImageArray:
    """Replace the colors of fully transparent pixels by that of the nearest other pixel.

    Colors of transparent pixels are arbitrary and must not affect features around them. Raises
    ValueError if all pixels are transparent.
    """
    hidden = alpha == 0
    if hidden.all():
        raise ValueError("the image is fully transparent")
    if not hidden.any():
        return image
    rows, columns = scipy.ndimage.distance_transform_edt(
        hidden, return_distances=False, return_indices=True
    )
    return image[rows, columns]


def composite_on_white(image: ImageArray, alpha: Mask) -> ImageArray:
    """Return an image composed over white."""
    return np.float32(255) + (image - np.float32(255)) * alpha[..., None]
