"""Image arrays: their contract, resizing, initial images. Pure functions.

A *picture* is a float32 array (height, width, 3): RGB, sRGB-encoded, values in [0, 255]. During
optimization values may leave that range; they are clipped only when a file is written.
"""

from typing import Any, TypeAlias

import numpy as np
import scipy
from numpy.typing import NDArray
from PIL import Image

from impasto import paged

Picture: TypeAlias = NDArray[np.float32]
"""float32 (height, width, 3), RGB as sRGB, in [0, 255]; those larger than memory are paged."""

Mask: TypeAlias = NDArray[np.float32]
"""float32 (height, width), in [0, 1]: how much of a pixel belongs to something."""

SHORTEST = 16
"""Pixels that the shorter side has at least: below, the deepest block has no features left."""


def size_of(picture: NDArray[Any]) -> tuple[int, int]:
    """Return (height, width) in pixels."""
    height, width = picture.shape[:2]
    return int(height), int(width)


def fit(height: int, width: int, longest: int) -> tuple[int, int]:
    """Return the (height, width) in pixels whose longer side is ``longest``, aspect ratio kept.

    >>> fit(768, 1024, 512)
    (384, 512)
    """
    scale = longest / max(height, width)
    return max(1, round(height * scale)), max(1, round(width * scale))


def fit_area(height: int, width: int, area: int) -> tuple[int, int]:
    """Return the (height, width) that covers about ``area`` pixels, aspect ratio kept.

    Never larger than the size given: enlarging a painting would blur the strokes that its
    statistics are to describe. Never narrower than SHORTEST.

    >>> fit_area(1000, 4000, 10_000)
    (50, 200)
    >>> fit_area(20, 20, 10_000)
    (20, 20)
    >>> fit_area(160, 1600, 1000)
    (16, 160)
    """
    least = SHORTEST / min(height, width)
    scale = min(1.0, max(least, (area / (height * width)) ** 0.5))
    return round(height * scale), round(width * scale)


def resize(picture: Picture, height: int, width: int) -> Picture:
    """Resample a picture to (height, width) in pixels; values stay in [0, 255]."""
    return np.clip(resample(picture, height, width), 0.0, 255.0)


def resample(picture: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """Resample to (height, width) in pixels with Lanczos filtering, antialiased, unclipped.

    Takes any number of channels and any values, so that differences of pictures go as well.
    """
    if picture.shape[:2] == (height, width):
        return picture
    resampled = paged.zeros((height, width, picture.shape[-1]))
    for channel in range(picture.shape[-1]):
        values = Image.fromarray(np.ascontiguousarray(picture[..., channel], np.float32))
        values = values.resize((width, height), Image.Resampling.LANCZOS)
        resampled[..., channel] = np.asarray(values)
    return resampled


def noise(height: int, width: int, seed: int, amplitude: float = 127.5) -> Picture:
    """Uniform white noise about middle gray, by default over the whole range."""
    generator = np.random.default_rng(seed)
    limits = 127.5 - amplitude, 127.5 + amplitude
    return generator.uniform(*limits, (height, width, 3)).astype(np.float32)


GRAY = 3
"""By how much of 255 channels may differ in a picture without color: JPEG rounds them apart."""


def is_gray(picture: Picture) -> bool:
    """Return whether a picture has no color."""
    # A few rows at a time: of most pictures the first ones have color.
    rows = (picture[first : first + 64] for first in range(0, len(picture), 64))
    return all(bool(np.ptp(each, axis=-1).max() <= GRAY) for each in rows)


def carry_up(previous: Picture, coarse: Picture, fine: Picture) -> Picture:
    """Return the start of a finer level: ``fine + upsample(previous - coarse)``, clipped.

    Parameters
    ----------
    previous : the picture that the coarser level ended with
    coarse, fine : the photograph at the coarser and at the finer level

    Carrying up the change instead of the picture keeps the photograph's detail, which the
    coarser level never saw.
    """
    change = resample(previous - coarse, *size_of(fine))
    return np.clip(fine + change, 0.0, 255.0)


def fill_hidden(picture: Picture, alpha: Mask) -> Picture:
    """Give pixels that are wholly transparent the color of the nearest one that is not.

    What lies under transparency is any color at all, and must not be seen by its surroundings.
    Raises ValueError if all of them are transparent.
    """
    hidden = alpha == 0
    if hidden.all():
        raise ValueError("the image is fully transparent")
    if not hidden.any():
        return picture
    rows, columns = scipy.ndimage.distance_transform_edt(
        hidden, return_distances=False, return_indices=True
    )
    return picture[rows, columns]


def on_white(picture: Picture, alpha: Mask) -> Picture:
    """Return what a picture looks like on white paper."""
    return np.float32(255) + (picture - np.float32(255)) * alpha[..., None]
