"""Style by nearest neighbors: each feature is pulled toward the nearest one of the style.

Kolkin, Kucera, Paris, Sýkora, Shechtman and Shakhnarovich 2022, "Neural Neighbor Style Transfer",
section 3. Features are compared by cosine distance about the mean of the style. Departures:
neighbors are searched per layer and at every evaluation, as in the paper's feature splitting, and
not in the features of all layers together; and only among MAX_POSITIONS positions of the style
image, which limits the cost.
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
"""Number of positions of a style image to search."""


class NeighborTarget(NamedTuple):
    """Features of a layer of a style image."""

    weight: Tensor
    """() weight of the style image relative to all of its region"""
    mean: Tensor
    """(C,)"""
    directions: Tensor
    """(MAX_POSITIONS, C), features minus the mean, of length one"""


class KeptRows(NamedTuple):
    """Features at the positions to keep of a style image, or of a tile of it."""

    features: Array
    """(n, C), on a GPU a tensor"""
    position_indexes: HostArray
    """(n,) their indexes in the whole style image"""


class KeptStyle(NamedTuple):
    """The data to keep of a style image, or of a tile of it."""

    rows: KeptRows
    sums: HostArray
    """(C,) weighted sum of all features, in float64"""
    weight: float
    """the sum of the weights"""


class NeighborSums(NamedTuple):
    """Sums over positions."""

    distance: Tensor
    """() weighted sum of 1 - cos between each position and its nearest neighbor"""
    count: Tensor
    """() the sum of the weights"""


def select_rows(style_features: StyleFeatures) -> KeptRows:
    """Return the features of a style image, or of a tile of it, at the positions to keep."""
    assert style_features.position_indexes is not None
    indexes = style_features.position_indexes.reshape(-1)
    (kept,) = np.nonzero(indexes >= 0)
    return KeptRows(
        _to_float32(feature_index.take_positions(style_features.features, kept)), indexes[kept]
    )


def _to_float32(features: Array) -> Array:
    return array_namespace(features).cast(features, "float32")


def join_rows(parts: Sequence[KeptRows]) -> Array:
    """Return the kept features of all tiles of a style image (n, C), in the order of positions."""
    if len(parts) == 1:
        return parts[0].features
    features = [each.features for each in parts]
    order = np.argsort(np.concatenate([each.position_indexes for each in parts]))
    return gather_rows(array_namespace(features[0]).concatenate(features), order)


class NeighborsLoss(LayerStyleLoss):
    """The mean over positions of 1 - cos(f - mean, nearest neighbor), from 0 to 2.

    With several style images, it is the mean of the losses, weighted by their weights.
    """

    def max_positions(self, weight: float) -> int:
        """Return the maximum number of positions to keep of a style image."""
        return MAX_POSITIONS

    def extract(self, style_features: StyleFeatures) -> KeptStyle:
        """Keep a sample of features, and the sum of all."""
        features = _to_float32(style_features.features)
        ops, weights = array_namespace(features), np.ones(features.shape[:2], np.float32)
        if style_features.weights is not None:
            weights = to_numpy(style_features.weights)[..., 0]
        flat = ops.reshape(features, (-1, features.shape[-1]))
        sums = to_numpy(ops.matmul(ops.reshape(as_array_like(weights, flat), (-1,)), flat))
        weight = float(weights.sum(dtype=np.float64))
        return KeptStyle(select_rows(style_features), sums.astype(np.float64), weight)

    def make_target(self, styles: Sequence[WeightedStyle]) -> list[NeighborTarget]:
        """Return the features to search, of each style image."""
        total = sum(weight for weight, _ in styles)
        targets = []
        for weight, parts in styles:
            features = join_rows([each.rows for each in parts])
            filled = gather_rows(features, np.resize(np.arange(len(features)), MAX_POSITIONS))
            count = max(sum(each.weight for each in parts), EPSILON)
            mean = (np.sum([each.sums for each in parts], axis=0) / count).astype(np.float32)
            mean = as_array_like(mean, filled)
            directions = _directions(filled - mean)
            targets.append(NeighborTarget(np.float32(weight / total), mean, directions))
        return targets

    def reduce(self, view: LayerView, target: Sequence[NeighborTarget]) -> NeighborSums:
        """Return Σ w (1 - cos) and Σ w; the neighbor is held constant."""
        ops = array_namespace(view.features)
        distance = 0.0
        for style in target:
            directions = _directions(ops.cast(view.features, "float32") - style.mean)
            best = feature_index.argmax_product_by_row(
                ops.stop_gradient(directions), style.directions
            )
            neighbors = ops.take(style.directions, best, axis=0)
            distance = distance + style.weight * (1.0 - ops.sum(directions * neighbors, axis=-1))
        if view.weights is None:
            return NeighborSums(ops.sum(distance), ops.cast(ops.size(distance), "float32"))
        weights = view.weights[..., 0]
        return NeighborSums(ops.sum(weights * distance), ops.sum(weights))

    def loss(self, sums: NeighborSums, target: Sequence[NeighborTarget]) -> Tensor:
        """Return the mean over positions, a scalar."""
        ops = array_namespace(sums.distance)
        return sums.distance / ops.maximum(sums.count, EPSILON)

    def loss_gradient(self, sums: NeighborSums, target: Sequence[NeighborTarget]) -> NeighborSums:
        """Return the gradient of :meth:`loss`; features do not change the count."""
        return NeighborSums(np.float32(1 / max(float(sums.count), EPSILON)), np.float32(0))

    def vjp(
        self, view: LayerView, target: Sequence[NeighborTarget]
    ) -> tuple[NeighborSums, Callable[[NeighborSums], AddGradient]]:
        """Return :meth:`reduce` of NumPy features, and its pullback.

        With u = f - mean, its length r and the neighbor n the gradient of 1 - u·n / r is
        (u (u·n) / r² - n) / r.
        """
        weights = np.float32(1) if view.weights is None else view.weights[..., 0]
        distance, gradient = np.zeros(view.features.shape[:2], np.float32), np.float32(0)
        for style in target:
            centered = view.features - style.mean
            lengths = np.sqrt(np.sum(np.square(centered), axis=-1, keepdims=True) + EPSILON)
            directions = centered / lengths
            best = feature_index.argmax_product_by_row(directions, style.directions)
            neighbors = style.directions[best]
            cosine = np.sum(directions * neighbors, axis=-1, keepdims=True)
            distance += style.weight * (1 - cosine[..., 0])
            gradient = gradient + style.weight * (directions * cosine - neighbors) / lengths
        count = distance.size if view.weights is None else weights.sum()

        def pullback(by: NeighborSums) -> AddGradient:
            each = np.broadcast_to(weights, distance.shape)[..., None]
            return add_array(by.distance * each * gradient)

        return NeighborSums(np.sum(weights * distance), np.float32(count)), pullback


def _directions(vectors: Tensor) -> Tensor:
    ops = array_namespace(vectors)
    return vectors / ops.sqrt(ops.sum(ops.square(vectors), axis=-1, keepdims=True) + EPSILON)
