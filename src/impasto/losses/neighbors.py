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
from impasto.losses import feature_index
from impasto.losses.content import add_array
from impasto.losses.terms import (
    EPSILON,
    AddGradient,
    LayerStyleLoss,
    LayerView,
    StyleFeatures,
    WeightedStyle,
)

MAX_POSITIONS = 1024
"""Positions of a painting among which neighbors are looked for."""


class NeighborTarget(NamedTuple):
    """What a layer saw in a painting; ``share`` is the painting's among all."""

    share: Tensor
    """()"""
    mean: Tensor
    """(C,)"""
    directions: Tensor
    """(POOL, C), features minus the mean, of length one"""


class KeptRows(NamedTuple):
    """Features that are kept of a painting, or of a part of one."""

    features: Array
    """(n, C), on a GPU a tensor"""
    position_indexes: HostArray
    """(n,) their indexes in all of the painting"""


class KeptStyle(NamedTuple):
    """What is kept of a painting, or of a part of one."""

    rows: KeptRows
    sums: HostArray
    """(C,) all features by their weights, in float64"""
    weight: float
    """the sum of the weights"""


def extract(style_features: StyleFeatures) -> KeptStyle:
    """Keep of a painting, or of a part of one, what a pool needs."""
    of, features = array_namespace(style_features.features), _to_float32(style_features.features)
    each = np.ones(features.shape[:2], np.float32)
    if style_features.weights is not None:
        each = to_numpy(style_features.weights)[..., 0]
    flat = of.reshape(features, (-1, features.shape[-1]))
    sums = to_numpy(of.matmul(of.reshape(as_array_like(each, flat), (-1,)), flat))
    return KeptStyle(
        select_rows(style_features), sums.astype(np.float64), float(each.sum(dtype=np.float64))
    )


def select_rows(style_features: StyleFeatures) -> KeptRows:
    """Return those features of a painting, or of a part of one, that are kept."""
    assert style_features.position_indexes is not None
    at = style_features.position_indexes.reshape(-1)
    (kept,) = np.nonzero(at >= 0)
    return KeptRows(
        _to_float32(feature_index.take_positions(style_features.features, kept)), at[kept]
    )


def _to_float32(features: Array) -> Array:
    return array_namespace(features).cast(features, "float32")


def join_rows(parts: Sequence[KeptRows]) -> Array:
    """Return what was kept of all parts of a painting (n, C), in the order of positions."""
    if len(parts) == 1:
        return parts[0].features
    features = [each.features for each in parts]
    order = np.argsort(np.concatenate([each.position_indexes for each in parts]))
    return gather_rows(array_namespace(features[0]).concatenate(features), order)


def make_target(styles: Sequence[WeightedStyle]) -> list[NeighborTarget]:
    """Return the features of paintings among which neighbors are looked for."""
    whole = sum(share for share, _ in styles)
    found = []
    for share, parts in styles:
        features = join_rows([each.rows for each in parts])
        filled = gather_rows(features, np.resize(np.arange(len(features)), MAX_POSITIONS))
        weight = max(sum(each.weight for each in parts), EPSILON)
        mean = (np.sum([each.sums for each in parts], axis=0) / weight).astype(np.float32)
        mean = as_array_like(mean, filled)
        found.append(NeighborTarget(np.float32(share / whole), mean, _directions(filled - mean)))
    return found


class NeighborSums(NamedTuple):
    """What positions add up to."""

    distance: Tensor
    """() 1 - cos of every position and its nearest neighbor"""
    count: Tensor
    """() positions, by their weights"""


def reduce(view: LayerView, target: Sequence[NeighborTarget]) -> NeighborSums:
    """Sum 1 - cos(f, its nearest neighbor), from 0 to 2 each, over positions.

    Of several paintings each counts by its share.
    """
    ops = array_namespace(view.features)
    distance = 0.0
    for index in target:
        directions = _directions(ops.cast(view.features, "float32") - index.mean)
        best = feature_index.argmax_product_by_row(ops.stop_gradient(directions), index.directions)
        neighbors = ops.take(index.directions, best, axis=0)  # held constant
        distance = distance + index.share * (1.0 - ops.sum(directions * neighbors, axis=-1))
    if view.weights is None:
        return NeighborSums(ops.sum(distance), ops.cast(ops.size(distance), "float32"))
    weights = view.weights[..., 0]
    return NeighborSums(ops.sum(weights * distance), ops.sum(weights))


def loss(sums: NeighborSums, target: Sequence[NeighborTarget]) -> Tensor:
    """Return the mean over positions, a scalar."""
    ops = array_namespace(sums.distance)
    return sums.distance / ops.maximum(sums.count, EPSILON)


def loss_gradient(sums: NeighborSums, target: Sequence[NeighborTarget]) -> NeighborSums:
    """Return the gradient of :func:`loss` by the distance; no feature changes the count."""
    return NeighborSums(np.float32(1 / max(float(sums.count), EPSILON)), np.float32(0))


def vjp(
    view: LayerView, target: Sequence[NeighborTarget]
) -> tuple[NeighborSums, Callable[[NeighborSums], AddGradient]]:
    """Return :func:`reduce` of NumPy features, and its pullback.

    With u = f - mean, its length r and the neighbor n the gradient of 1 - u·n / r is
    (u (u·n) / r² - n) / r.
    """
    weights = np.float32(1) if view.weights is None else view.weights[..., 0]
    distance, gradient = np.zeros(view.features.shape[:2], np.float32), np.float32(0)
    for index in target:
        stride = view.features - index.mean
        lengths = np.sqrt(np.sum(np.square(stride), axis=-1, keepdims=True) + EPSILON)
        directions = stride / lengths
        neighbors = index.directions[
            feature_index.argmax_product_by_row(directions, index.directions)
        ]
        cosine = np.sum(directions * neighbors, axis=-1, keepdims=True)
        distance += index.share * (1 - cosine[..., 0])
        gradient = gradient + index.share * (directions * cosine - neighbors) / lengths
    count = distance.size if view.weights is None else weights.sum()

    def pullback(by: NeighborSums) -> AddGradient:
        return add_array(
            by.distance * np.broadcast_to(weights, distance.shape)[..., None] * gradient
        )

    return NeighborSums(np.sum(weights * distance), np.float32(count)), pullback


def _directions(vectors: Tensor) -> Tensor:
    ops = array_namespace(vectors)
    return vectors / ops.sqrt(ops.sum(ops.square(vectors), axis=-1, keepdims=True) + EPSILON)


NEIGHBORS = LayerStyleLoss(
    extract,
    make_target,
    reduce,
    loss,
    vjp,
    loss_gradient,
    max_positions=lambda share: MAX_POSITIONS,
)
