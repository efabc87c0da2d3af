"""Moments: sums of features over positions, and what is computed from them.

A style is represented by the moments of its features. All functions are pure and take the arrays
of both engines.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from impasto.compute import feature_reductions
from impasto.compute.arrays import Size, Tensor, array_namespace, is_tensor
from impasto.losses.terms import EPSILON, AddGradient, LayerView


class Moments(NamedTuple):
    """Sums over positions of features f with position weights w; C channels, float32.

    Moments of several parts have a leading axis. They add up over tiles, regions and styles; means
    are computed for a comparison.
    """

    count: Tensor
    """() sum of w"""
    sum: Tensor
    """(C,) sum of w f"""
    second: Tensor
    """(C, C) sum of w f fᵀ; divided by the count it is the Gram matrix"""


def moments(features: Tensor, weights: Tensor | None = None) -> Moments:
    """Return the moments of features (height, width, C), with weights (height, width).

    Features of any float type are summed as float32: a Gram matrix overflows in half precision.
    """
    ops, channels = array_namespace(features), features.shape[-1]
    flat = ops.cast(ops.reshape(features, (-1, channels)), "float32")
    if weights is None:
        return Moments(
            ops.cast(ops.shape(flat)[0], "float32"),
            ops.sum(flat, axis=0),
            ops.matmul(ops.transpose(flat), flat),
        )
    column = ops.cast(ops.reshape(weights, (-1, 1)), "float32")
    weighted = flat * column
    return Moments(
        ops.sum(column), ops.sum(weighted, axis=0), ops.matmul(ops.transpose(weighted), flat)
    )


def slice_moments(view: LayerView, slices: int) -> Moments:
    """Return the moments of an image's vertical slices, along a first axis.

    ``view`` has the features of the whole image or of a tile. All slices have the same number of
    columns, except the last, which has the remainder. If there are few columns, the last slices
    may be empty, with a count of zero.
    """
    if not is_tensor(view.features):
        return slice_moments_vjp(view, slices)[0]
    ops = array_namespace(view.features)
    height, width, _ = ops.shape(view.features)
    first, whole = (0, width) if view.offset is None else (view.offset.left, view.offset.width)
    flat = weighted = _slices(view.features, slices, first, whole)
    if view.weights is None:
        columns = (whole + slices - 1) // slices
        begins = columns * ops.arange(slices, dtype="int32") - first
        count = ops.clip(begins + columns, 0, width) - ops.clip(begins, 0, width)
        count = ops.cast(height * count, "float32")
    else:
        weights = _slices(view.weights, slices, first, whole)
        count, weighted = ops.sum(weights, axis=(1, 2)), flat * weights
    second = ops.matmul(ops.transpose(weighted, (0, 2, 1)), flat)
    return Moments(count, ops.sum(weighted, axis=1), second)


def slice_moments_vjp(
    view: LayerView, slices: int
) -> tuple[Moments, Callable[[Moments], AddGradient]]:
    """Return :func:`slice_moments` of NumPy features, and its pullback."""
    features, weights = view.features, view.weights
    height, width, _ = features.shape
    first, whole = (0, width) if view.offset is None else map(int, view.offset[1::2])
    sums, seconds = feature_reductions.slice_moments(features, weights, slices, first, whole)
    count = np.zeros(slices, np.float32)
    for number, columns in feature_reductions.slice_bounds(width, slices, first, whole):
        part = slice(None), columns
        count[number] = (
            height * (columns.stop - columns.start) if weights is None else weights[part].sum()
        )

    def pullback(by: Moments) -> AddGradient:
        return feature_reductions.slice_moments_gradient(
            by.sum, by.second, features, weights, first, whole
        )

    return Moments(count, sums, seconds), pullback


def _slices(array: Tensor, slices: int, first: Size, whole: Size) -> Tensor:
    """Return (height, width, C) as float32 (slices, positions, C), zero outside a slice."""
    ops = array_namespace(array)
    height, width, channels = ops.shape(array)
    columns = (whole + slices - 1) // slices
    if isinstance(first, int):
        # Zeros do not change a sum, and one reshape is cheaper to differentiate than many slices.
        padded = ops.pad(array, ((0, 0), (first, columns * slices - first - width), (0, 0)))
        sliced = ops.transpose(
            ops.reshape(padded, (height, slices, columns, channels)), (1, 0, 2, 3)
        )
        return ops.cast(ops.reshape(sliced, (slices, height * columns, channels)), "float32")
    # The offset is a tensor: every slice has all positions, most of them zero.
    slice_number = (first + ops.arange(width, dtype="int32")) // columns
    inside = ops.cast(slice_number == ops.arange(slices, dtype="int32")[:, None], "float32")
    masked = inside[:, None, :, None] * ops.cast(array, "float32")
    return ops.reshape(masked, (slices, height * width, channels))


def combine(membership: NDArray[np.float32], parts: Moments) -> Moments:
    """Return sums of moments of parts along their first axis, weighted by ``membership``.

    ``membership`` is (sums, parts).
    """
    ops = array_namespace(parts.sum)
    return Moments(*(ops.tensordot(membership, field, axes=1) for field in parts))


def blend(parts: Sequence[tuple[float, Moments]]) -> Moments:
    """Return the weighted mean of moments per position, with a count of 1.

    With it, several style images are one style.
    """
    total = sum(weight for weight, _ in parts)
    return Moments(
        array_namespace(parts[0][1].sum).ones((), "float32"),
        sum(weight / total * channel_mean(each) for weight, each in parts),
        sum(weight / total * gram(each) for weight, each in parts),
    )


def channel_mean(moments: Moments) -> Tensor:
    """Return the mean of every channel, (C,)."""
    return moments.sum / positive_count(moments)[..., None]


def gram(moments: Moments) -> Tensor:
    """Return the Gram matrix per position, (C, C): second / count.

    Gatys et al. 2016, equation 3, divided by the number of positions M of the layer.
    """
    return moments.second / positive_count(moments)[..., None, None]


def positive_count(moments: Moments) -> Tensor:
    """Return the count, at least EPSILON."""
    return array_namespace(moments.sum).maximum(moments.count, EPSILON)


def mean_and_deviation(moments: Moments) -> tuple[Tensor, Tensor]:
    """Return the mean and the standard deviation of every channel, (C,) each."""
    ops = array_namespace(moments.sum)
    count, center = positive_count(moments)[..., None], channel_mean(moments)
    squares = ops.sum(moments.second * ops.eye(moments.second.shape[-1], dtype="float32"), axis=-1)
    variance = squares / count - ops.square(center)
    return center, ops.sqrt(ops.maximum(variance, 0.0) + EPSILON)
