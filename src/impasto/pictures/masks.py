"""Masks, and the weights of feature positions that follow from them. Pure functions.

A *mask* is a float32 array (height, width) with values in [0, 1]: how much of a position belongs
to a region. Values between 0 and 1 are a soft edge.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import scipy
from numpy.typing import NDArray

from impasto.pictures.raster import Mask as Mask
from impasto.pictures.raster import Picture, resample

COLORED = 24
"""By how much the channels of a gray picture may differ, which JPEG makes of equal ones."""


FAINTEST = 16.0
"""Of 255: a mask whose brightest value is less was not written in 0 to 255."""

STRETCHED = 0.02
"""By how much the sides of a mask may be in another ratio than the picture's before it is told."""


class Read(NamedTuple):
    """A mask, and notes on how it was taken."""

    mask: Mask
    notes: tuple[str, ...] = ()


def read(picture: Picture, alpha: Mask | None = None) -> Read:
    """Turn a gray image into a mask, white 1 and black 0.

    Images with values 0 and 1, which segmentation tools write, count as well: if the brightest
    value is very small, it is taken as white, with a note. Transparent parts count as black, so
    that a white cut-out is a mask; of a cut-out in colors the transparency alone counts. Raises
    ValueError for an opaque image with colors, and for one that is black everywhere.
    """
    if np.max(np.ptp(picture, axis=-1)) > COLORED:
        if alpha is None:
            raise ValueError("an image with colors: use a gray image, white inside the region")
        return Read(alpha, ("an image with colors: its transparency is used as the mask",))
    gray = picture.mean(axis=-1, dtype=np.float32)
    most = float(gray.max())
    notes: tuple[str, ...] = ()
    if not most > 0:
        raise ValueError("black everywhere: paint the region white")
    if most < FAINTEST:
        notes = (f"its brightest value is {most:.3g} of 255, and is used as white",)
    white = np.float32(most if notes else 255)
    return Read(np.clip(gray / white, 0, 1) * (1 if alpha is None else alpha), notes)


def stretched(mask: Mask, height: int, width: int) -> tuple[str, ...]:
    """Return a note if a mask has another shape than the (height, width) that it is laid over."""
    ratio = (mask.shape[1] / mask.shape[0]) / (width / height)
    if abs(np.log(ratio)) <= STRETCHED + 1 / min(*mask.shape, height, width):
        return ()
    return (
        f"a mask of {mask.shape[1]} x {mask.shape[0]} px is stretched over an image of "
        f"{width} x {height} px; the aspect ratios differ",
    )


def resize(mask: Mask, height: int, width: int) -> Mask:
    """Resample a mask to (height, width) in pixels; values stay in [0, 1]."""
    return np.clip(resample(mask[..., None], height, width)[..., 0], 0, 1)


def share_out(masks: Sequence[Mask]) -> tuple[list[Mask], Mask]:
    """Return masks of one size that nowhere add up to more than one, and what they leave."""
    total = np.sum(masks, axis=0)
    shared = [mask / np.maximum(total, 1) for mask in masks]
    return shared, np.clip(1 - total, 0, 1)


def at_layer(mask: Mask, height: int, width: int, field: int) -> NDArray[np.float32]:
    """Return the weights (height, width, 1) of a layer's positions in a place.

    A feature sees a square ``field`` pixels wide (its receptive field), and near an edge of the
    place what is beyond it as well, so that its neighbor's style would bleed across. With m how
    much of a pixel belongs to the place, and b how much of all that is seen from there, a
    position's weight is the mean over its pixels of

        clip(2 b - m, 0, m)

    m far from any edge and where the edge is softer than the receptive field; falling to 0 where
    half of what is seen lies beyond a hard edge. Of a place too small for the layer to see it
    alone, the pixels that see most of it count: b is taken relative to the largest b / m within.
    Of one that falls between a layer's positions, the positions nearest to it.

    Gatys et al. 2017, "Controlling Perceptual Factors in Neural Style Transfer", section 4, bound
    the guidance by the receptive field in the same spirit, all or nothing. Departure: in weights,
    with the receptive field's Gaussian core, which is what features depend on (Luo et al. 2016,
    "Understanding the Effective Receptive Field").
    """
    inside = mask > FAINT
    if not inside.any():
        return np.zeros((height, width, 1), np.float32)
    seen = scipy.ndimage.gaussian_filter(mask, field / CORE, mode="nearest")
    purity = np.divide(seen, mask, out=np.zeros_like(mask), where=inside)
    core = mask >= mask.max() / 2
    purity = np.minimum(purity / min(1.0, purity[core].max()), 1)
    weights = _block_means(mask * np.clip(2 * purity - 1, 0, 1), height, width)
    if not weights.any():
        near = resize(mask, height, width)
        weights = np.where(near >= near.max() / 2, near, 0)
    return weights[..., None].astype(np.float32)


CORE = 6
"""How many standard deviations of its core a receptive field is wide."""

FAINT = 1e-3
"""Positions that belong to a place by no more than this do not count."""


def compose(keep: Any, photograph: Any, picture: Any) -> Any:
    """Return keep · photograph + (1 - keep) · picture, of arrays or of tensors.

    Pictures are (height, width, 3), ``keep`` is a mask with an axis more, (height, width, 1).
    """
    return keep * photograph + (1 - keep) * picture


def reaches(mask: Mask, height: int, width: int) -> bool:
    """Return whether some position of a (height, width) map lies mostly in the place."""
    return bool(mask.max() > FAINT and _block_means(mask, height, width).max() >= mask.max() / 2)


def _block_means(mask: Mask, height: int, width: int) -> Mask:
    """Average over the pixels of every position; like pooling, leaving out odd last ones."""
    apart = 2 ** int(np.log2(mask.shape[0] // height))
    blocks = mask[: height * apart, : width * apart].reshape(height, apart, width, apart)
    return blocks.mean(axis=(1, 3), dtype=np.float64).astype(np.float32)
