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
from impasto.compute.backend import HostArray, Tensor, functions_of, ops
from impasto.losses import pools
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


class Rows(NamedTuple):
    """What is kept of a painting, or of a part of one."""

    number: int
    share: float
    features: HostArray
    """(n, C) at those positions that are kept"""
    at: HostArray
    """(n,) their indexes in all of the painting"""
    sums: HostArray
    """(C,) all features by their weights, in float64"""
    weight: float
    """the sum of the weights"""


def look(painted: Painted) -> Rows:
    """Keep of a painting, or of a part of one, what a pool needs."""
    features = backend.at_hand(ops.cast(painted.features, "float32"))
    of = functions_of(features)
    flat = of.reshape(features, (-1, features.shape[-1]))
    each = np.ones(len(flat), np.float32)
    if painted.weights is not None:
        each = backend.to_numpy(painted.weights).reshape(-1)
    assert painted.at is not None
    at = painted.at.reshape(-1)
    (kept,) = np.nonzero(at >= 0)
    sums = backend.to_numpy(of.matmul(backend.beside(each, flat), flat)).astype(np.float64)
    weight = float(each.sum(dtype=np.float64))
    rows = backend.to_numpy(backend.rows(flat, kept))
    return Rows(painted.number, painted.share, rows, at[kept], sums, weight)


def by_painting(kept: Sequence[Rows]) -> list[Rows]:
    """Return what was kept of each painting, from all its parts, in the order of positions."""
    found = []
    for number in dict.fromkeys(each.number for each in kept):
        parts = [each for each in kept if each.number == number]
        at = np.concatenate([each.at for each in parts])
        order = np.argsort(at)
        features = np.concatenate([each.features for each in parts])[order]
        sums = np.sum([each.sums for each in parts], axis=0)
        weight = sum(each.weight for each in parts)
        found.append(Rows(number, parts[0].share, features, at[order], sums, weight))
    return found


def freeze(kept: Sequence[Rows]) -> list[Pool]:
    """Return the features of paintings among which neighbors are looked for."""
    paintings = by_painting(kept)
    whole = sum(each.share for each in paintings)
    return [_pool(each.share / whole, each) for each in paintings]


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
    best = pools.largest_by_row(ops.stop_gradient(directions), pool.directions)
    neighbors = ops.take(pool.directions, best, axis=0)
    return 1.0 - ops.sum(directions * neighbors, axis=-1)


def _directions(vectors: Tensor) -> Tensor:
    return vectors / ops.sqrt(ops.sum(ops.square(vectors), axis=-1, keepdims=True) + EPSILON)


def _pool(share: float, kept: Rows) -> Pool:
    mean = (kept.sums / max(kept.weight, EPSILON)).astype(np.float32)
    rows = kept.features[np.resize(np.arange(len(kept.features)), POOL)]
    directions = _directions(ops.convert_to_tensor(rows - mean))
    return Pool(backend.constant(share), ops.convert_to_tensor(mean), directions)


NEIGHBORS = Measure(look, freeze, read, loss, positions=lambda share: POOL)
