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
from impasto.compute.backend import Tensor, ops
from impasto.losses.terms import EPSILON, Measure, Painted, View

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
    """(n, C) what the photograph has at the positions that are compared, one after the other"""
    share: Tensor
    """() how much of what a position is to look like is the painting's; the rest is the
    photograph's"""


class Sums(NamedTuple):
    """What positions add up to, by their weights."""

    distance: Tensor
    """() |f - t|²"""
    size: Tensor
    """() |t|²"""


def measure(share: float = 1.0) -> Measure:
    """Return the measure by which a picture gets so much of the painting's strokes, 0 to 1.

    What a position is to look like is t = share · its neighbor + (1 - share) · the photograph.
    """

    def settled(target: Pool, so_far: View, photograph: View) -> Pool:
        return settle(target, so_far, photograph, share)

    return Measure(freeze, read, loss, settle=settled)


def freeze(paintings: Sequence[Painted]) -> Pool:
    """Choose features of paintings, as many of each as its share says.

    A picture is compared about their mean, until :func:`settle` has seen it.
    """
    whole = sum(each.share for each in paintings)
    parts = [_sample(each, round(POOL * each.share / whole)) for each in paintings]
    features = np.concatenate(parts)
    mean = features.mean(axis=0)
    directions = _directions(ops.convert_to_tensor(features - mean))
    none = ops.zeros((1, features.shape[-1]), dtype="float32")
    return Pool(
        ops.convert_to_tensor(features),
        directions,
        ops.convert_to_tensor(mean),
        none,
        backend.constant(1.0),
    )


def settle(target: Pool, so_far: View, photograph: View, share: float) -> Pool:
    """Return the pool for a picture: its mean, of the positions that count, and the photograph."""
    seen = ops.cast(so_far.features, "float32")
    weights = ops.ones_like(seen[..., :1]) if so_far.weights is None else so_far.weights
    count = ops.maximum(ops.sum(weights), EPSILON)
    return target._replace(
        mean=ops.sum(weights * seen, axis=(0, 1)) / count,
        photograph=_compared(photograph),
        share=backend.constant(share),
    )


def _sample(painting: Painted, count: int) -> backend.HostArray:
    """Return the features (n, C) of at most so many positions that count, with a fixed seed."""
    features = backend.to_numpy(ops.cast(painting.features, "float32"))
    flat = features.reshape(-1, features.shape[-1])
    if painting.weights is not None:
        weights = backend.to_numpy(painting.weights).reshape(-1)
        flat = flat[weights >= weights.max() / 2]
    return flat[np.sort(np.random.default_rng(0).permutation(len(flat))[: max(1, count)])]


def _directions(vectors: Tensor) -> Tensor:
    return vectors / ops.sqrt(ops.sum(ops.square(vectors), axis=-1, keepdims=True) + EPSILON)


def read(view: View, target: Pool) -> Sums:
    """Sum over a grid of positions; the neighbor is held constant."""
    seen = _compared(view)
    directions = _directions(ops.stop_gradient(seen) - target.mean)
    best = ops.argmax(ops.matmul(directions, ops.transpose(target.directions)), axis=-1)
    found = ops.stop_gradient(ops.take(target.features, best, axis=0))
    found = target.share * found + (1 - target.share) * target.photograph
    distance = ops.sum(ops.square(seen - found), axis=-1)
    size = ops.sum(ops.square(found), axis=-1)
    if view.weights is None:
        return Sums(ops.sum(distance), ops.sum(size))
    weights = ops.reshape(_thinned(view.weights), (-1,))
    return Sums(ops.sum(weights * distance), ops.sum(weights * size))


def _compared(view: View) -> Tensor:
    """Return the features (n, C) that are compared, one after the other."""
    features = _thinned(ops.cast(view.features, "float32"))
    return ops.reshape(features, (-1, features.shape[-1]))


def _thinned(value: Tensor) -> Tensor:
    """Return every n-th row and column of (height, width, C), so that GRID are left at most."""
    height, width = ops.shape(value)[:2]
    # Sizes are numbers, but where a traced function leaves them open.
    known = isinstance(height, int) and isinstance(width, int)
    longer = max(height, width) if known else ops.maximum(height, width)
    apart = (longer + GRID - 1) // GRID
    for axis, size in ((0, height), (1, width)):
        places = ops.arange((size + apart - 1) // apart) * apart
        value = ops.take(value, places, axis=axis)
    return value


def loss(sums: Sums, target: Pool) -> Tensor:
    """Return the sum of squares relative to that of the neighbors, a scalar."""
    return sums.distance / ops.maximum(sums.size, EPSILON)
