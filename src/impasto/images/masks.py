"""Masks, and the weights of feature positions that follow from them. Pure functions.

A *mask* is a float32 array (height, width) with values in [0, 1]: how much of a position belongs
to a region. Values between 0 and 1 are a soft edge.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import scipy
from numpy.typing import NDArray

from impasto.images.arrays import ImageArray, resample
from impasto.images.arrays import Mask as Mask

GRAY_TOLERANCE = 24
"""Maximum difference of the channels of a gray image, for JPEG rounding."""

MIN_WHITE = 16.0
"""Minimum of the brightest value of a mask in 0 to 255; a darker one has another range."""

ASPECT_TOLERANCE = 0.02
"""Maximum difference of the logarithms of two aspect ratios without a note."""


class DecodedMask(NamedTuple):
    """A mask, and notes on its interpretation."""

    mask: Mask
    notes: tuple[str, ...] = ()


def mask_from_image(image: ImageArray, alpha: Mask | None = None) -> DecodedMask:
    """Convert a gray image to a mask, with white as 1 and black as 0.

    If the maximum is very small, as in masks of 0 and 1 from segmentation tools, it is used as
    white, with a note. Transparent parts are black, so a white cut-out is a mask. Of a cut-out with
    colors, only the transparency is used. Raises ValueError for an opaque image with colors, and
    for a black one.
    """
    if np.max(np.ptp(image, axis=-1)) > GRAY_TOLERANCE:
        if alpha is None:
            raise ValueError("an image with colors: use a gray image, white inside the region")
        return DecodedMask(alpha, ("an image with colors: its transparency is used as the mask",))
    gray = image.mean(axis=-1, dtype=np.float32)
    brightest = float(gray.max())
    notes: tuple[str, ...] = ()
    if not brightest > 0:
        raise ValueError("black everywhere: paint the region white")
    if brightest < MIN_WHITE:
        notes = (f"its brightest value is {brightest:.3g} of 255, and is used as white",)
    white = np.float32(brightest if notes else 255)
    return DecodedMask(np.clip(gray / white, 0, 1) * (1 if alpha is None else alpha), notes)


def aspect_note(mask: Mask, height: int, width: int) -> tuple[str, ...]:
    """Return a note if the aspect ratio of a mask differs from that of (height, width)."""
    ratio = (mask.shape[1] / mask.shape[0]) / (width / height)
    if abs(np.log(ratio)) <= ASPECT_TOLERANCE + 1 / min(*mask.shape, height, width):
        return ()
    return (
        f"a mask of {mask.shape[1]} x {mask.shape[0]} px is stretched over an image of "
        f"{width} x {height} px; the aspect ratios differ",
    )


def resize_mask(mask: Mask, height: int, width: int) -> Mask:
    """Resample a mask to (height, width) in pixels; values stay in [0, 1]."""
    return np.clip(resample(mask[..., None], height, width)[..., 0], 0, 1)


def partition_masks(masks: Sequence[Mask]) -> tuple[list[Mask], Mask]:
    """Return masks scaled so that their sum is at most one, and one minus their sum."""
    total = np.sum(masks, axis=0)
    shared = [mask / np.maximum(total, 1) for mask in masks]
    return shared, np.clip(1 - total, 0, 1)


def layer_weights(mask: Mask, height: int, width: int, field: int) -> NDArray[np.float32]:
    """Return the weights (height, width, 1) of a layer's positions in a region.

    A feature depends on a square of ``field`` pixels (its receptive field). Feature positions whose
    receptive field crosses the border of the region are down-weighted, so that one region's style
    does not bleed into the next. With m the mask value of a pixel, and b the mean mask value in its
    receptive field, the weight of a position is the mean over its pixels of

        clip(2 b - m, 0, m)

    This is m far from any edge and where the edge is softer than the receptive field. It falls to 0
    where half of the receptive field is beyond a hard edge. For a region smaller than the receptive
    field, b is relative to the largest b / m in the region. For a region between the positions of a
    layer, the nearest positions are used.

    Gatys et al. 2017, "Controlling Perceptual Factors in Neural Style Transfer", section 4, also
    limit guidance by the receptive field, with weights of 0 or 1. Departure: continuous weights,
    with the Gaussian core of the receptive field (Luo et al. 2016, "Understanding the Effective
    Receptive Field").
    """
    inside = mask > FAINT
    if not inside.any():
        return np.zeros((height, width, 1), np.float32)
    visible = scipy.ndimage.gaussian_filter(mask, field / CORE, mode="nearest")
    purity = np.divide(visible, mask, out=np.zeros_like(mask), where=inside)
    core = mask >= mask.max() / 2
    purity = np.minimum(purity / min(1.0, purity[core].max()), 1)
    weights = _block_means(mask * np.clip(2 * purity - 1, 0, 1), height, width)
    if not weights.any():
        near = resize_mask(mask, height, width)
        weights = np.where(near >= near.max() / 2, near, 0)
    return weights[..., None].astype(np.float32)


CORE = 6
"""Width of a receptive field in standard deviations of its core."""

FAINT = 1e-3
"""Weights up to this are ignored."""


def blend_kept(keep: Any, content: Any, image: Any) -> Any:
    """Return keep · content + (1 - keep) · image, for arrays or tensors.

    Images are (height, width, 3), and ``keep`` is a mask (height, width, 1).
    """
    return keep * content + (1 - keep) * image


def covers_a_position(mask: Mask, height: int, width: int) -> bool:
    """Return whether some position of a (height, width) feature map is mostly in the region."""
    return bool(mask.max() > FAINT and _block_means(mask, height, width).max() >= mask.max() / 2)


def _block_means(mask: Mask, height: int, width: int) -> Mask:
    """Return means over the pixels of each position; like pooling, ignores incomplete positions."""
    stride = 2 ** int(np.log2(mask.shape[0] // height))
    blocks = mask[: height * stride, : width * stride].reshape(height, stride, width, stride)
    return blocks.mean(axis=(1, 3), dtype=np.float64).astype(np.float32)
