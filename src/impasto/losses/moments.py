"""Moments: what is kept of features as sums over positions, and what is read off them.

A style is the moments of its features. All functions are pure and written with ``keras.ops``, so
that they take and return tensors of whatever backend runs.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from impasto.compute import backend, host
from impasto.compute.backend import HostArray, Shape, Size, Tensor, ops
from impasto.compute.readings import Reading
from impasto.losses.terms import EPSILON, Place, View


class Moments(NamedTuple):
    """Sums over positions of features f with position weights w; C channels, float32.

    Those of several parts stand along a first axis of all three. Sums add up: over tiles, over
    regions, over styles. Means are taken when they are compared.
    """

    count: Tensor
    """() sum of w"""
    sum: Tensor
    """(C,) sum of w f"""
    second: Tensor
    """(C, C) sum of w f fᵀ; divided by the count it is the Gram matrix"""


@backend.fused
def moments(features: Tensor, weights: Tensor | None = None) -> Moments:
    """Sum features of shape (height, width, C) over positions, weighted by (height, width).

    Features of any float type are summed as float32: a Gram matrix overflows in half precision.
    """
    channels = features.shape[-1]
    flat = ops.cast(ops.reshape(features, (-1, channels)), "float32")
    if weights is None:
        count = ops.cast(ops.shape(flat)[0], "float32")
        weighted = flat
    else:
        column = ops.cast(ops.reshape(weights, (-1, 1)), "float32")
        count = ops.sum(column)
        weighted = flat * column
    return Moments(count, ops.sum(weighted, axis=0), ops.matmul(ops.transpose(weighted), flat))


def slice_moments(view: View, slices: int) -> Moments:
    """Return the moments of a picture's upright slices, along a first axis.

    ``view`` are features of the whole picture or of a part of it. All slices have the same number
    of columns but the last, which has what is left; where there are few columns, the last ones may
    have none and a count of zero.
    """
    height, width, _ = ops.shape(view.features)
    first, of = (0, width) if view.place is None else (view.place.left, view.place.width)
    if view.weights is None:
        each = (of + slices - 1) // slices
        begins = each * ops.arange(slices, dtype="int32") - first
        count = ops.clip(begins + each, 0, width) - ops.clip(begins, 0, width)
        count = ops.cast(height * count, "float32")
    else:
        count = ops.sum(_slices(view.weights, slices, first, of), axis=(1, 2))
    return Moments(count, *_apart(view.read(sliced(slices, view.place, view.weights))))


def sliced(slices: int, place: Place | None = None, weights: Tensor | None = None) -> Reading:
    """Return what ``host.sliced_moments`` gives of features, as something to be read off."""

    def take(features: HostArray, *constants: HostArray) -> HostArray:
        return host.sliced_moments(features, slices, *constants)

    def shape(of: Shape) -> Shape:
        return slices, of[-1] + 1, of[-1]

    def on_device(features: Tensor) -> Tensor:
        first, of = (0, ops.shape(features)[1]) if place is None else (place.left, place.width)
        flat = weighted = _slices(features, slices, first, of)
        if weights is not None:
            # Where a slice has nothing both are zero.
            weighted = flat * _slices(weights, slices, first, of)
        seconds = ops.matmul(ops.transpose(weighted, (0, 2, 1)), flat)
        return ops.concatenate((seconds, ops.sum(weighted, axis=1, keepdims=True)), axis=1)

    constants: tuple[Tensor, ...] = ()
    if place is not None or weights is not None:
        where = () if place is None else (place.left, place.width)
        columns = [ops.cast(each, "int32") for each in where]
        constants = (ops.stack(columns) if columns else ops.zeros((0,), "int32"),)
        constants += () if weights is None else (weights,)
    name = f"moments {slices}" + ("" if weights is None else ", weighted")
    return Reading(name, take, host.sliced_moments_gradient, shape, on_device, constants)


def _slices(array: Tensor, slices: int, first: Size, of: Size) -> Tensor:
    """Return (height, width, C) as float32 (slices, positions, C), zero where it is not in one."""
    height, width, channels = ops.shape(array)
    each = (of + slices - 1) // slices
    if isinstance(first, int):
        # Zeros add nothing to a sum, and one reshaping is cheaper to differentiate than many
        # slices.
        padded = ops.pad(array, ((0, 0), (first, each * slices - first - width), (0, 0)))
        apart = ops.transpose(ops.reshape(padded, (height, slices, each, channels)), (1, 0, 2, 3))
        return ops.cast(ops.reshape(apart, (slices, height * each, channels)), "float32")
    # Of a part whose place is known only as it is computed, whole slices of which most is zero.
    owner = (first + ops.arange(width, dtype="int32")) // each
    inside = ops.cast(owner == ops.arange(slices, dtype="int32")[:, None], "float32")
    masked = inside[:, None, :, None] * ops.cast(array, "float32")
    return ops.reshape(masked, (slices, height * width, channels))


def _apart(sums: Tensor) -> tuple[Tensor, Tensor]:
    """Take what ``host.sliced_moments`` gives apart, into sums of f and of f fᵀ."""
    seconds, firsts = ops.split(sums, [sums.shape[-1]], axis=1)
    return ops.squeeze(firsts, axis=1), seconds


def combine(membership: NDArray[np.float32], parts: Moments) -> Moments:
    """Add up moments along their first axis: row by row of ``membership`` (sums, parts).

    Moments add up, so that those of a whole, or of a region, are a weighted sum of its parts'.
    """
    return Moments(*(ops.tensordot(membership, field, axes=1) for field in parts))


def blend(parts: Sequence[tuple[float, Moments]]) -> Moments:
    """Mix moments by shares, as if so much of all positions came from each; their count is 1.

    Several paintings are one style whose moments are the weighted means of theirs.
    """
    shares, each = zip(*parts, strict=True)
    return _blended([share / sum(shares) for share in shares], each)


@backend.fused
def _blended(shares: Sequence[float], parts: Sequence[Moments]) -> Moments:
    return Moments(
        ops.ones((), "float32"),
        sum(share * mean(each) for share, each in zip(shares, parts, strict=True)),
        sum(share * gram(each) for share, each in zip(shares, parts, strict=True)),
    )


def mean(of: Moments) -> Tensor:
    """Return the mean of every channel, (C,)."""
    return of.sum / ops.maximum(of.count, EPSILON)[..., None]


def gram(of: Moments) -> Tensor:
    """Return the Gram matrix per position, (C, C): second / count.

    Gatys et al. 2016, equation 3, divided by the number of positions M of the layer.
    """
    return of.second / ops.maximum(of.count, EPSILON)[..., None, None]


def mean_and_deviation(of: Moments) -> tuple[Tensor, Tensor]:
    """Return the mean and the standard deviation of every channel, (C,) each."""
    count, center = ops.maximum(of.count, EPSILON)[..., None], mean(of)
    squares = ops.sum(of.second * ops.eye(of.second.shape[-1], dtype="float32"), axis=-1)
    variance = squares / count - ops.square(center)
    return center, ops.sqrt(ops.maximum(variance, 0.0) + EPSILON)
