"""Feature splitting, the last level of matching: nearest neighbors per layer, for sharp strokes.

Kolkin et al. 2022, "Neural Neighbor Style Transfer", section 3.4: each layer has its own nearest
neighbors, searched at every evaluation. Departures: squared error, as in
:mod:`impasto.losses.matching`; the image is centered by the mean of the level's initial image, so
that tiles need no global mean; at most MAX_GRID_ROWS positions per side are compared, with
MAX_POSITIONS of the style.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from impasto.compute.arrays import Tensor, array_namespace, as_array_like
from impasto.compute.feature_reductions import StridedGrid, strided_sample
from impasto.losses import feature_index
from impasto.losses.content import add_array
from impasto.losses.neighbors import KeptRows, join_rows, select_rows
from impasto.losses.terms import (
    EPSILON,
    AdaptiveStyleLoss,
    AddGradient,
    LayerView,
    StyleFeatures,
    TileOffset,
    WeightedStyle,
)

MAX_POSITIONS = 4096
"""Number of positions to search, of all style images of a region."""

COMPONENTS = 64
"""Number of principal components of the search in layers of up to 256 channels; with more channels
it is a quarter of them. The loss is within a hundredth of that in all channels
(benchmarks/NOTES.md)."""

MAX_GRID_ROWS = 64
"""Maximum number of compared positions along the longer side of a feature map."""


class SplittingTarget(NamedTuple):
    """Features of a layer at N positions of the style images of a region."""

    features: Tensor
    """(N, C)"""
    basis: Tensor
    """(C, K) principal components, as columns"""
    directions: Tensor
    """(N, K), features minus their mean in these, of length one"""
    mean: Tensor
    """(C,) mean of the initial image's features, subtracted from those of the current image before
    the search"""
    content: Tensor
    """(h, w, C) features of the content image at the compared positions"""
    grid: Tensor
    """int32 (5,) the compared positions, see :class:`StridedGrid`"""
    style_fraction: Tensor
    """() fraction of the style in the target; the rest is the content image's features"""


class SplittingSums(NamedTuple):
    """Weighted sums over positions."""

    distance: Tensor
    """() |f - t|²"""
    size: Tensor
    """() |t|²"""


class FeatureStats(NamedTuple):
    """Sums over positions, from which the mean of an image's features is computed."""

    sums: Tensor
    """(C,) weighted sum of the features"""
    count: Tensor
    """() sum of the weights"""


@dataclass(frozen=True)
class FeatureSplittingLoss(AdaptiveStyleLoss):
    """Σ w |f - t|² / Σ w |t|² with t = s · nearest neighbor + (1 - s) · content, s the fraction."""

    style_fraction: float = 1.0
    """fraction s of the style in the targets, in [0, 1]"""

    def max_positions(self, weight: float) -> int:
        """Return the maximum number of positions to keep of a style image."""
        return max(1, round(MAX_POSITIONS * weight))

    def extract(self, style_features: StyleFeatures) -> KeptRows:
        """Keep a sample of features."""
        return select_rows(style_features)

    def make_target(self, styles: Sequence[WeightedStyle]) -> SplittingTarget:
        """Return the features to search; :meth:`finalize_target` adds mean, content and grid."""
        parts = [join_rows(parts) for _, parts in styles]
        ops = array_namespace(parts[0])
        features = ops.concatenate(parts)
        mean = ops.mean(features, axis=0)
        components = max(COMPONENTS, len(mean) // 4)
        basis = feature_index.principal_components(
            feature_index.normalize_rows(features - mean), components
        )
        directions = feature_index.normalize_rows((features - mean) @ basis)
        content = np.zeros((1, 1, mean.shape[0]), np.float32)
        grid = np.array(StridedGrid(0, 0, 1, 1, 1), np.int32)
        return SplittingTarget(features, basis, directions, mean, content, grid, np.float32(1))

    def collect_stats(self, initial: LayerView) -> FeatureStats:
        """Return the weighted sum of the initial image's features, and the sum of the weights."""
        ops, weights = array_namespace(initial.features), initial.weights
        features = ops.cast(initial.features, "float32")
        if weights is not None:
            weights = as_array_like(weights, features)
            return FeatureStats(ops.sum(weights * features, axis=(0, 1)), ops.sum(weights))
        height, width, _ = features.shape
        return FeatureStats(ops.sum(features, axis=(0, 1)), np.float32(height * width))

    def finalize_target(
        self, target: SplittingTarget, stats: FeatureStats, content: LayerView
    ) -> SplittingTarget:
        """Return the target with the mean of the initial image, and the content on the grid."""
        height, width, _ = content.features.shape
        grid = compared_positions(content.offset or TileOffset(0, 0, height, width), height, width)
        numbers = np.array(grid, np.int32)
        return target._replace(
            mean=(stats.sums / max(float(stats.count), EPSILON)).astype(np.float32),
            content=strided_sample(content.features, numbers, grid.rows, grid.columns),
            grid=numbers,
            style_fraction=np.float32(self.style_fraction),
        )

    def reduce(self, view: LayerView, target: SplittingTarget) -> SplittingSums:
        """Return sums over the grid; the neighbors are held constant."""
        ops = array_namespace(view.features)
        differences, targets, weights = _differences(view, target)
        distance, size = (ops.sum(ops.square(each), axis=-1) for each in (differences, targets))
        if weights is None:
            return SplittingSums(ops.sum(distance), ops.sum(size))
        return SplittingSums(ops.sum(weights * distance), ops.sum(weights * size))

    def loss(self, sums: SplittingSums, target: SplittingTarget) -> Tensor:
        """Return Σ w |f - t|² / Σ w |t|², a scalar."""
        return sums.distance / array_namespace(sums.distance).maximum(sums.size, EPSILON)

    def vjp(
        self, view: LayerView, target: SplittingTarget
    ) -> tuple[SplittingSums, Callable[[SplittingSums], AddGradient]]:
        """Return :meth:`reduce` of NumPy features, and its pullback: 2 w (f - t) on the grid."""
        differences, targets, weights = _differences(view, target)
        column = np.float32(1) if weights is None else weights[:, None]
        sums = SplittingSums(
            np.vdot(differences, column * differences), np.vdot(targets, column * targets)
        )

        def pullback(by: SplittingSums) -> AddGradient:
            gradient = (2 * by.distance * column * differences).reshape(target.content.shape)
            return add_at_sample(add_array(gradient), target)

        return sums, pullback

    def loss_gradient(self, sums: SplittingSums, target: SplittingTarget) -> SplittingSums:
        """Return the gradient of :meth:`loss` by the distance; targets are held constant."""
        return SplittingSums(np.float32(1 / max(float(sums.size), EPSILON)), np.float32(0))


def compared_positions(offset: TileOffset, height: int, width: int) -> StridedGrid:
    """Return the compared positions of a tile of (height, width) positions.

    They are every n-th row and column of the whole image, at most MAX_GRID_ROWS of each.
    """
    top, left, *whole = offset
    stride = -(-max(whole) // MAX_GRID_ROWS)
    first = (-top % stride, -left % stride)
    rows, columns = (
        -(-(length - begin) // stride) for length, begin in zip((height, width), first, strict=True)
    )
    return StridedGrid(*first, stride, rows, columns)


def sample_view(view: LayerView, target: SplittingTarget) -> LayerView:
    """Return the compared positions of a view, without the others."""
    size = array_namespace(view.features).shape(target.content)[:2]
    weights = None
    if view.weights is not None:
        weights = strided_sample(view.weights, target.grid, *size)
    return LayerView(strided_sample(view.features, target.grid, *size), weights)


def add_at_sample(add: AddGradient, target: SplittingTarget) -> AddGradient:
    """Return the function that adds a gradient by :func:`sample_view` to one by all features."""
    positions = StridedGrid(*target.grid).slices
    return lambda to: add(to[positions])


def _differences(view: LayerView, target: SplittingTarget) -> tuple[Tensor, Tensor, Tensor | None]:
    """Return f - t (n, C), t (n, C) and the weights (n,) at the compared positions."""
    ops, channels = array_namespace(view.features), view.features.shape[-1]
    sample = sample_view(view, target)
    features = ops.reshape(sample.features, (-1, channels))
    # Not normalized, which does not change the position of the largest product.
    query = ops.matmul(ops.stop_gradient(features) - target.mean, target.basis)
    best = feature_index.argmax_product(query, target.directions)
    neighbors = ops.stop_gradient(ops.take(target.features, best, axis=0))
    content = ops.reshape(target.content, (-1, channels))
    targets = target.style_fraction * neighbors + (1 - target.style_fraction) * content
    if sample.weights is None:
        return features - targets, targets, None
    return features - targets, targets, ops.reshape(sample.weights, (-1,))
