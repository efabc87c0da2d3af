"""Style as nearest neighbors: every feature is to be like one that the painting has.

Kolkin, Kucera, Paris, Sýkora, Shechtman and Shakhnarovich 2022, "Neural Neighbor Style
Transfer", section 3. Features are compared by the cosine of their angle, about the painting's
mean. Departures: neighbors are looked for layer by layer at every evaluation, as in the paper's
feature splitting, and not in features of all layers together; and among POOL positions of the
painting at most, which bounds the work.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from impasto.compute import backend
from impasto.compute.backend import Tensor, ops
from impasto.losses.terms import EPSILON, Measure, Painted, View

POOL = 1024
"""Positions of a painting among which neighbors are looked for."""


class Pool(NamedTuple):
    """What a layer saw in a painting; ``share`` is the painting's among all."""

    share: Tensor
    """()"""
    mean: Tensor
    """(C,)"""
    directions: Tensor
    """(POOL, C), features minus the mean, of length one"""


def freeze(paintings: Sequence[Painted]) -> list[Pool]:
    """Choose the features of paintings among which neighbors are looked for."""
    whole = sum(each.share for each in paintings)
    return [_pool(each.share / whole, each.features, each.weights) for each in paintings]


class Sums(NamedTuple):
    """What positions add up to."""

    distance: Tensor
    """() 1 - cos of every position and its nearest neighbor"""
    count: Tensor
    """() positions, by their weights"""


def read(view: View, target: Sequence[Pool]) -> Sums:
    """Sum 1 - cos(f, its nearest neighbor), from 0 to 2 each, over positions.

    Of several paintings each counts by its share.
    """
    features = ops.cast(view.features, "float32")
    distance = sum(pool.share * _distances(features, pool) for pool in target)
    if view.weights is None:
        return Sums(ops.sum(distance), ops.cast(ops.size(distance), "float32"))
    weights = view.weights[..., 0]
    return Sums(ops.sum(weights * distance), ops.sum(weights))


def loss(sums: Sums, target: Sequence[Pool]) -> Tensor:
    """Return the mean over positions, a scalar."""
    return sums.distance / ops.maximum(sums.count, EPSILON)


def _distances(features: Tensor, pool: Pool) -> Tensor:
    """Return (height, width) of 1 - cos; the neighbor is held constant."""
    directions = _directions(features - pool.mean)
    seen = ops.stop_gradient(directions)

    def nearest(row: Tensor) -> Tensor:
        best = ops.argmax(ops.matmul(row, ops.transpose(pool.directions)), axis=-1)
        return ops.take(pool.directions, best, axis=0)

    neighbors = ops.stop_gradient(ops.map(nearest, seen))  # a row at a time bounds the memory
    return 1.0 - ops.sum(directions * neighbors, axis=-1)


def _directions(vectors: Tensor) -> Tensor:
    return vectors / ops.sqrt(ops.sum(ops.square(vectors), axis=-1, keepdims=True) + EPSILON)


def _pool(share: float, features: Tensor, weights: Tensor | None) -> Pool:
    array = backend.to_numpy(ops.cast(features, "float32"))
    flat = array.reshape(-1, array.shape[-1])
    each = np.ones(len(flat)) if weights is None else backend.to_numpy(weights).reshape(-1)
    each = each if each.any() else np.ones(len(flat))
    mean = np.average(flat, axis=0, weights=each).astype(np.float32)
    inside = np.flatnonzero(each >= each.max() / 2)
    chosen = np.random.default_rng(0).permutation(inside)[:POOL]
    directions = _directions(ops.convert_to_tensor(flat[np.resize(chosen, POOL)] - mean))
    return Pool(ops.convert_to_tensor(np.float32(share)), ops.convert_to_tensor(mean), directions)


NEIGHBORS = Measure(freeze, read, loss)
