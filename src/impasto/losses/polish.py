"""The last pass of style by matching: layer by layer at full resolution, which sharpens strokes.

Kolkin et al. 2022, "Neural Neighbor Style Transfer", section 3.4 (feature splitting): every layer
has nearest neighbors of its own, looked for anew at every evaluation. Departures: squared error,
as in :mod:`impasto.losses.matching`; the picture about the mean that it had as the pass began, so
that a part of it needs no mean of the whole; at GRID positions a side at most, among POOL of the
painting.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from impasto.compute import backend
from impasto.compute.backend import Size, Tensor, ops
from impasto.losses import pools
from impasto.losses.neighbors import Rows, by_painting, look
from impasto.losses.terms import EPSILON, Measure, Place, View

POOL = 4096
"""Positions of the paintings among which neighbors are looked for."""

GRID = 64
"""Positions along the longer side of a map that are compared, at most; those of VGG's deeper
layers are fewer."""


class Pool(NamedTuple):
    """What a layer saw in the paintings of a region, at N positions."""

    features: Tensor
    """(N, C)"""
    directions: Tensor
    """(N, C), features minus their mean, of length one"""
    mean: Tensor
    """(C,), what is taken from a picture's features before they are compared"""
    photograph: Tensor
    """(h, w, C) what the photograph has at the positions of a picture that are compared"""
    share: Tensor
    """() how much of what a position is to look like is the painting's; the rest is the
    photograph's"""


class Sums(NamedTuple):
    """What positions add up to, by their weights."""

    distance: Tensor
    """() |f - t|²"""
    size: Tensor
    """() |t|²"""


class Center(NamedTuple):
    """What gives the mean of a picture's features."""

    sums: Tensor
    """(C,) features by their weights"""
    count: Tensor
    """() positions by their weights"""


def measure(share: float = 1.0) -> Measure:
    """Return the measure by which a picture gets so much of the painting's strokes, 0 to 1.

    What a position is to look like is t = share · its neighbor + (1 - share) · the photograph.
    """

    def settled(target: Pool, center: Center, photograph: View) -> Pool:
        return settle(target, center, photograph, share)

    return Measure(look, freeze, read, loss, positions=positions, survey=survey, settle=settled)


def positions(share: float) -> int:
    """Return how many positions of a painting are kept, by its share among all."""
    return max(1, round(POOL * share))


def freeze(kept: Sequence[Rows]) -> Pool:
    """Return the features of paintings among which neighbors are looked for.

    It has no mean of the picture and no photograph until :func:`settle` has seen them.
    """
    features = np.concatenate([each.features for each in by_painting(kept)])
    mean = features.mean(axis=0)
    none = ops.zeros((1, 1, features.shape[-1]), dtype="float32")
    return Pool(
        ops.convert_to_tensor(features),
        _directions(ops.convert_to_tensor(features - mean)),
        ops.convert_to_tensor(mean),
        none,
        backend.constant(1.0),
    )


def survey(so_far: View) -> Center:
    """Sum a picture's features over the positions that count."""
    seen = ops.cast(so_far.features, "float32")
    weights = ops.ones_like(seen[..., :1]) if so_far.weights is None else so_far.weights
    return Center(ops.sum(weights * seen, axis=(0, 1)), ops.sum(weights))


def settle(target: Pool, center: Center, photograph: View, share: float) -> Pool:
    """Return the pool for a picture: its mean, and the photograph where it is compared."""
    return target._replace(
        mean=backend.constant(center.sums / max(float(center.count), EPSILON)),
        photograph=ops.cast(compared(photograph.features, photograph.place), "float32"),
        share=backend.constant(share),
    )


def compared(value: Tensor, place: Place | None = None) -> Tensor:
    """Return every n-th row and column of what is at hand, so that GRID are left at most.

    Of a part of a picture those that it has of the whole's.
    """
    height, width = map(int, ops.shape(value)[:2])
    top, left, *whole = place or (0, 0, height, width)
    apart = _apart(*whole)
    return value[-top % apart :: apart, -left % apart :: apart]


def _apart(height: Size, width: Size) -> Size:
    known = isinstance(height, int) and isinstance(width, int)
    longer = max(height, width) if known else ops.maximum(height, width)
    return (longer + GRID - 1) // GRID


def _like(value: Tensor, place: Place | None, wanted: Tensor) -> Tensor:
    """Return those rows and columns of (height, width, C) that ``wanted`` has."""
    top, left, *whole = place or (0, 0, *ops.shape(value)[:2])
    apart = _apart(*whole)
    for axis, first in ((0, top), (1, left)):
        places = ops.arange(ops.shape(wanted)[axis], dtype="int32") * apart + (-first) % apart
        value = ops.take(value, places, axis=axis)
    return value


def _directions(vectors: Tensor) -> Tensor:
    return vectors / ops.sqrt(ops.sum(ops.square(vectors), axis=-1, keepdims=True) + EPSILON)


def read(view: View, target: Pool) -> Sums:
    """Sum over a grid of positions; the neighbor is held constant."""
    channels = view.features.shape[-1]
    thinned = _like(view.features, view.place, target.photograph)
    seen = ops.reshape(ops.cast(thinned, "float32"), (-1, channels))
    directions = _directions(ops.stop_gradient(seen) - target.mean)
    best = pools.largest(directions, target.directions)
    found = ops.stop_gradient(ops.take(target.features, best, axis=0))
    photograph = ops.reshape(target.photograph, (-1, channels))
    found = target.share * found + (1 - target.share) * photograph
    distance = ops.sum(ops.square(seen - found), axis=-1)
    size = ops.sum(ops.square(found), axis=-1)
    if view.weights is None:
        return Sums(ops.sum(distance), ops.sum(size))
    weights = ops.reshape(_like(view.weights, view.place, target.photograph), (-1,))
    return Sums(ops.sum(weights * distance), ops.sum(weights * size))


def loss(sums: Sums, target: Pool) -> Tensor:
    """Return the sum of squares relative to that of the neighbors, a scalar."""
    return sums.distance / ops.maximum(sums.size, EPSILON)
