"""Optical flow and warping. Pure functions of arrays.

Flow is DIS (Kroeger, Timofte, Dai and Van Gool 2016, "Fast Optical Flow using Dense Inverse
Search"), at full resolution. A *flow* from image a to image b is a float32 array (height, width,
2): the position (x, y) in b of each pixel of a, minus its position in a.
"""

from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from impasto.images.arrays import ImageArray, Mask
from impasto.video import extras

Flow: TypeAlias = NDArray[np.float32]
"""float32 (height, width, 2), x and y in pixels"""
Positions: TypeAlias = NDArray[np.float32]
"""float32 (height, width, 2), x and y of a position in another image"""

PHOTOMETRIC_SCALE = 15.0
"""Difference of two images, of 255, at which a correspondence loses most of its confidence."""

GAIN_LIMIT = 2.0
"""Maximum change of brightness between two frames that is compensated."""


def grid(height: int, width: int) -> Positions:
    """Return the position (x, y) of each pixel, (height, width, 2)."""
    x, y = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)
    return np.dstack(np.meshgrid(x, y))


def inside(at: Positions, height: int, width: int) -> NDArray[np.bool_]:
    """Return which positions are within the pixels of an image of a size, (height, width)."""
    return np.asarray(((at > -0.5) & (at < (width - 0.5, height - 0.5))).all(-1))


def blur(image: NDArray[np.float32], deviation: float) -> NDArray[np.float32]:
    """Return an image (height, width, ...) filtered by a Gaussian of a deviation in pixels."""
    cv2 = extras.load("cv2")
    return np.asarray(cv2.GaussianBlur(image, (0, 0), deviation), np.float32)


def laplacian(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the Laplacian of an image, (height, width, ...)."""
    cv2 = extras.load("cv2")
    return np.asarray(cv2.Laplacian(image, cv2.CV_32F), np.float32)


def sample(image: NDArray[np.float32], at: Positions, linear: bool = False) -> NDArray[np.float32]:
    """Return an image at positions, by Lanczos or bilinear interpolation; edges are repeated."""
    cv2 = extras.load("cv2")
    x, y = (np.ascontiguousarray(at[..., n], np.float32) for n in range(2))
    how = cv2.INTER_LINEAR if linear else cv2.INTER_LANCZOS4
    return np.asarray(cv2.remap(image, x, y, how, borderMode=cv2.BORDER_REPLICATE), np.float32)


def warp(image: NDArray[np.float32], flow: Flow, linear: bool = False) -> NDArray[np.float32]:
    """Return ``image`` at the positions to which the flow points."""
    return sample(image, grid(*flow.shape[:2]) + flow, linear)


def to_luma(image: ImageArray) -> NDArray[np.uint8]:
    """Return the 8-bit luma of an image."""
    weights = np.array([0.299, 0.587, 0.114], np.float32)
    return np.clip(np.rint(image @ weights), 0, 255).astype(np.uint8)


def estimate_flow(a: NDArray[np.uint8], b: NDArray[np.uint8], start: Flow | None = None) -> Flow:
    """Return the flow from luma ``a`` to luma ``b``, (height, width) each.

    Args:
        a: the image whose pixels get positions
        b: the image that they are searched in
        start: a flow to refine; None to start from zero
    """
    cv2 = extras.load("cv2")
    flow = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    flow.setFinestScale(0)
    return np.asarray(flow.calc(a, b, None if start is None else start.copy()), np.float32)


class Correspondence(NamedTuple):
    """The flow from an image to an earlier one, and its confidence."""

    flow: Flow
    confidence: Mask
    """in [0, 1]"""


def correspond(now: ImageArray, before: ImageArray, start: Flow | None = None) -> Correspondence:
    """Return the correspondence of ``now`` with ``before``; ``start`` is a flow to refine."""
    luma = to_luma(now), to_luma(before)
    back = estimate_flow(*luma, start)
    forth = estimate_flow(luma[1], luma[0], None if start is None else inverse_flow(start))
    return Correspondence(back, flow_confidence(back, forth, now, before))


def inverse_flow(flow: Flow) -> Flow:
    """Return an approximation of the inverse of a smooth flow, to start from."""
    return -warp(flow, -flow, linear=True)


def flow_confidence(back: Flow, forth: Flow, now: ImageArray, before: ImageArray) -> Mask:
    """Return the confidence of a flow (height, width), in [0, 1].

    c = inside · [|b + f(x + b)|² ≤ .01 (|b|² + |f|²) + .5] · [|∇b|² ≤ .01 |b|² + .02]
    · exp(-(G₁ * |p'(x + b) - p| / τ)²)

    The first two tests are the forward-backward check and the motion boundaries of Sundaram, Brox
    and Keutzer 2010, as in Ruder, Dosovitskiy and Brox 2016. Departure: the photometric factor,
    since the check accepts a quarter of disoccluded pixels. p' is ``before`` with its global gain
    and offset matched to ``now``, so that a flash is not a disocclusion.

    Args:
        back: b, the flow from ``now`` to ``before``
        forth: f, the flow from ``before`` to ``now``
        now: p
        before: the earlier image
    """
    height, width = back.shape[:2]
    at = grid(height, width) + back
    again = sample(forth, at, linear=True)
    lengths = _squares(back) + _squares(again)
    consistent = _squares(back + again) <= 0.01 * lengths + 0.5
    slope = sum(_squares(np.gradient(back, axis=axis)) for axis in (0, 1))
    smooth = slope <= 0.01 * _squares(back) + 0.02
    moved = sample(before, at, linear=True)
    good = inside(at, height, width) & consistent
    moved = match_brightness(moved, now, good)
    residual = blur(np.abs(moved - now).mean(-1), 1.0)
    confidence = np.exp(-((residual / PHOTOMETRIC_SCALE) ** 2))
    return np.asarray((good & smooth) * confidence, np.float32)


def _squares(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray((vectors**2).sum(-1), np.float32)


def match_brightness(
    image: ImageArray, target: ImageArray, where: NDArray[np.bool_], least: float = 0.2
) -> ImageArray:
    """Return ``image`` with gain and offset per channel that fit ``target`` at some pixels.

    Nothing is changed if fewer than the fraction ``least`` of the pixels are given.
    """
    if where.mean() < least:
        return image
    a, b = image[where].astype(np.float64), target[where].astype(np.float64)
    mean_a, mean_b = np.median(a, axis=0), np.median(b, axis=0)
    spread_a, spread_b = (np.median(np.abs(v - m), axis=0) for v, m in ((a, mean_a), (b, mean_b)))
    gain = np.clip((spread_b + 1) / (spread_a + 1), 1 / GAIN_LIMIT, GAIN_LIMIT)
    return np.asarray((image - mean_a) * gain + mean_b, np.float32)
