"""Style by nearest neighbors: each feature is pulled toward the nearest one of the style.

Kolkin, Kucera, Paris, Sýkora, Shechtman and Shakhnarovich 2022, "Neural Neighbor Style Transfer",
section 3. Features are compared by cosine distance about the mean of the style. Departures:
neighbors are searched per layer and at every evaluation, as in the paper's feature splitting, and
not in the features of all layers together; and only among POOL positions of the style image, which
limits the cost.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from impasto.compute.arrays import (
    Array,
    HostArray,
    Tensor,
    array_namespace,
    as_array_like,
    gather_rows,
    to_numpy,
)
from impasto.losses import pools
from impasto.losses.content import added
from impasto.losses.terms import EPSILON, AddGradient, Measure, Painted, Style, View

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
    """Features that are kept of a painting, or of a part of one."""

    features: Array
    """(n, C), on a GPU a tensor"""
    at: HostArray
    """(n,) their indexes in all of the painting"""


class Kept(NamedTuple):
    """What is kept of a painting, or of a part of one."""

    rows: Rows
    sums: HostArray
    """(C,) all features by their weights, in float64"""
    weight: float
    """the sum of the weights"""


def look(painted: Painted) -> Kept:
    """Keep of a painting, or of a part of one, what a pool needs."""
    of, features = array_namespace(painted.features), _in_float32(painted.features)
    each = np.ones(features.shape[:2], np.float32)
    if painted.weights is not None:
        each = to_numpy(painted.weights)[..., 0]
    flat = of.reshape(features, (-1, features.shape[-1]))
    sums = to_numpy(of.matmul(of.reshape(as_array_like(each, flat), (-1,)), flat))
    return Kept(rows(painted), sums.astype(np.float64), float(each.sum(dtype=np.float64)))


def rows(painted: Painted) -> Rows:
    """Return those features of a painting, or of a part of one, that are kept."""
    assert painted.at is not None
    at = painted.at.reshape(-1)
    (kept,) = np.nonzero(at >= 0)
    return Rows(_in_float32(pools.at_places(painted.features, kept)), at[kept])


def _in_float32(features: Array) -> Array:
    return array_namespace(features).cast(features, "float32")


def joined(parts: Sequence[Rows]) -> Array:
    """Return what was kept of all parts of a painting (n, C), in the order of positions."""
    if len(parts) == 1:
        return parts[0].features
    features = [each.features for each in parts]
    order = np.argsort(np.concatenate([each.at for each in parts]))
    return gather_rows(array_namespace(features[0]).concatenate(features), order)


def freeze(paintings: Sequence[Style]) -> list[Pool]:
    """Return the features of paintings among which neighbors are looked for."""
    whole = sum(share for share, _ in paintings)
    found = []
    for share, parts in paintings:
        features = joined([each.rows for each in parts])
        filled = gather_rows(features, np.resize(np.arange(len(features)), POOL))
        weight = max(sum(each.weight for each in parts), EPSILON)
        mean = (np.sum([each.sums for each in parts], axis=0) / weight).astype(np.float32)
        mean = as_array_like(mean, filled)
        found.append(Pool(np.float32(share / whole), mean, _directions(filled - mean)))
    return found


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
    ops = array_namespace(view.features)
    distance = 0.0
    for pool in target:
        directions = _directions(ops.cast(view.features, "float32") - pool.mean)
        best = pools.largest_by_row(ops.stop_gradient(directions), pool.directions)
        neighbors = ops.take(pool.directions, best, axis=0)  # held constant
        distance = distance + pool.share * (1.0 - ops.sum(directions * neighbors, axis=-1))
    if view.weights is None:
        return Sums(ops.sum(distance), ops.cast(ops.size(distance), "float32"))
    weights = view.weights[..., 0]
    return Sums(ops.sum(weights * distance), ops.sum(weights))


def loss(sums: Sums, target: Sequence[Pool]) -> Tensor:
    """Return the mean over positions, a scalar."""
    ops = array_namespace(sums.distance)
    return sums.distance / ops.maximum(sums.count, EPSILON)


def loss_gradient(sums: Sums, target: Sequence[Pool]) -> Sums:
    """Return the gradient of :func:`loss` by the distance; no feature changes the count."""
    return Sums(np.float32(1 / max(float(sums.count), EPSILON)), np.float32(0))


def vjp(view: View, target: Sequence[Pool]) -> tuple[Sums, Callable[[Sums], AddGradient]]:
    """Return :func:`read` of NumPy features, and its pullback.

    With u = f - mean, its length r and the neighbor n the gradient of 1 - u·n / r is
    (u (u·n) / r² - n) / r.
    """
    weights = np.float32(1) if view.weights is None else view.weights[..., 0]
    distance, gradient = np.zeros(view.features.shape[:2], np.float32), np.float32(0)
    for pool in target:
        apart = view.features - pool.mean
        lengths = np.sqrt(np.sum(np.square(apart), axis=-1, keepdims=True) + EPSILON)
        directions = apart / lengths
        neighbors = pool.directions[pools.largest_by_row(directions, pool.directions)]
        cosine = np.sum(directions * neighbors, axis=-1, keepdims=True)
        distance += pool.share * (1 - cosine[..., 0])
        gradient = gradient + pool.share * (directions * cosine - neighbors) / lengths
    count = distance.size if view.weights is None else weights.sum()

    def pullback(by: Sums) -> AddGradient:
        return added(by.distance * np.broadcast_to(weights, distance.shape)[..., None] * gradient)

    return Sums(np.sum(weights * distance), np.float32(count)), pullback


def _directions(vectors: Tensor) -> Tensor:
    ops = array_namespace(vectors)
    return vectors / ops.sqrt(ops.sum(ops.square(vectors), axis=-1, keepdims=True) + EPSILON)


NEIGHBORS = Measure(look, freeze, read, loss, vjp, loss_gradient, positions=lambda share: POOL)
