"""The last pass of matching: nearest neighbors per layer at full resolution, for sharp strokes.

Kolkin et al. 2022, "Neural Neighbor Style Transfer", section 3.4 (feature splitting): each layer
has its own nearest neighbors, searched at every evaluation. Departures: squared error, as in
:mod:`impasto.losses.matching`; the image is centered by its mean at the start of the pass, so that
tiles need no global mean; at most GRID positions per side are compared, with POOL of the style.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from impasto.compute.arrays import HostArray, Tensor, array_namespace, as_array_like
from impasto.compute.feature_reductions import StridedGrid, strided_sample
from impasto.losses import feature_index
from impasto.losses.neighbors import join_rows, select_rows
from impasto.losses.terms import (
    EPSILON,
    AddGradient,
    LayerStyleLoss,
    LayerView,
    TileOffset,
    WeightedStyle,
)

MAX_POSITIONS = 4096
"""Positions of the paintings among which neighbors are looked for."""

COMPONENTS = 64
"""Principal components that neighbors are looked for in, of layers of 256 channels at most; of more
channels a quarter of them. The loss of all layers is within a hundredth of that in all channels
(benchmarks/NOTES.md)."""

MAX_GRID_ROWS = 64
"""Positions along the longer side of a map that are compared, at most; those of VGG's deeper
layers are fewer."""


class SplittingTarget(NamedTuple):
    """What a layer saw in the paintings of a region, at N positions."""

    features: Tensor
    """(N, C)"""
    basis: Tensor
    """(C, K) principal components, as columns"""
    directions: Tensor
    """(N, K), features minus their mean in these, of length one"""
    mean: Tensor
    """(C,), what is taken from a picture's features before they are compared"""
    content: Tensor
    """(h, w, C) what the photograph has at the positions of a picture that are compared"""
    grid: Tensor
    """int32 (5,) which positions of a picture are compared, see :class:`StridedGrid`"""
    share: Tensor
    """() how much of what a position is to look like is the painting's; the rest is the
    photograph's"""


class SplittingSums(NamedTuple):
    """What positions add up to, by their weights."""

    distance: Tensor
    """() |f - t|²"""
    size: Tensor
    """() |t|²"""


class FeatureStats(NamedTuple):
    """What gives the mean of a picture's features."""

    sums: Tensor
    """(C,) features by their weights"""
    count: Tensor
    """() positions by their weights"""


def splitting_style_loss(share: float = 1.0) -> LayerStyleLoss:
    """Return the measure by which a picture gets so much of the painting's strokes, 0 to 1.

    What a position is to look like is t = share · its neighbor + (1 - share) · the photograph.
    """

    def settled(
        target: SplittingTarget, center: FeatureStats, content: LayerView
    ) -> SplittingTarget:
        return finalize_target(target, center, content, share)

    return LayerStyleLoss(
        select_rows,
        make_target,
        reduce,
        loss,
        vjp,
        loss_gradient,
        max_positions,
        collect_stats,
        settled,
    )


def max_positions(share: float) -> int:
    """Return how many positions of a painting are kept, by its share among all."""
    return max(1, round(MAX_POSITIONS * share))


def make_target(styles: Sequence[WeightedStyle]) -> SplittingTarget:
    """Return the features of paintings among which neighbors are looked for.

    It has no mean of the picture and no photograph until :func:`finalize_target` has seen them.
    """
    parts = [join_rows(parts) for _, parts in styles]
    of = array_namespace(parts[0])
    features = of.concatenate(parts)
    mean = of.mean(features, axis=0)
    components = max(COMPONENTS, len(mean) // 4)
    basis = feature_index.principal_components(
        feature_index.normalize_rows(features - mean), components
    )
    directions = feature_index.normalize_rows((features - mean) @ basis)
    nowhere = np.zeros((1, 1, mean.shape[0]), np.float32)
    grid = np.array(StridedGrid(0, 0, 1, 1, 1), np.int32)
    return SplittingTarget(features, basis, directions, mean, nowhere, grid, np.float32(1))


def collect_stats(current: LayerView) -> FeatureStats:
    """Sum a picture's features over the positions that count."""
    ops, weights = array_namespace(current.features), current.weights
    seen = ops.cast(current.features, "float32")
    if weights is not None:
        weights = as_array_like(weights, seen)
        return FeatureStats(ops.sum(weights * seen, axis=(0, 1)), ops.sum(weights))
    height, width, _ = seen.shape
    return FeatureStats(ops.sum(seen, axis=(0, 1)), np.float32(height * width))


def finalize_target(
    target: SplittingTarget, center: FeatureStats, content: LayerView, share: float
) -> SplittingTarget:
    """Return the pool for a picture: its mean, and the photograph where it is compared."""
    height, width, _ = content.features.shape
    grid = compared_positions(content.offset or TileOffset(0, 0, height, width), height, width)
    numbers = np.array(grid, np.int32)
    return target._replace(
        mean=(center.sums / max(float(center.count), EPSILON)).astype(np.float32),
        content=strided_sample(content.features, numbers, grid.rows, grid.columns),
        grid=numbers,
        share=np.float32(share),
    )


def compared_positions(place: TileOffset, height: int, width: int) -> StridedGrid:
    """Return which positions of a part of a picture, of that size, are compared.

    Every n-th row and column of the whole's, so that of these GRID are left at most.
    """
    top, left, *whole = place
    stride = -(-max(whole) // MAX_GRID_ROWS)
    first = (-top % stride, -left % stride)
    rows, columns = (
        -(-(length - begin) // stride) for length, begin in zip((height, width), first, strict=True)
    )
    return StridedGrid(*first, stride, rows, columns)


def reduce(view: LayerView, target: SplittingTarget) -> SplittingSums:
    """Sum over a grid of positions; the neighbor is held constant."""
    ops = array_namespace(view.features)
    differences, found, weights = _differences(view, target)
    distance, size = (ops.sum(ops.square(each), axis=-1) for each in (differences, found))
    if weights is None:
        return SplittingSums(ops.sum(distance), ops.sum(size))
    return SplittingSums(ops.sum(weights * distance), ops.sum(weights * size))


def vjp(
    view: LayerView, target: SplittingTarget
) -> tuple[SplittingSums, Callable[[SplittingSums], AddGradient]]:
    """Return :func:`reduce` of NumPy features, and its pullback: 2 w (f - t) at the grid."""
    differences, found, weights = _differences(view, target)
    column = np.float32(1) if weights is None else weights[:, None]
    sums = SplittingSums(np.vdot(differences, column * differences), np.vdot(found, column * found))
    rows_and_columns = StridedGrid(*target.grid).slices

    def pullback(by: SplittingSums) -> AddGradient:
        gradient = (2 * by.distance * column * differences).reshape(target.content.shape)

        def add(to: HostArray) -> None:
            to[rows_and_columns] += gradient

        return add

    return sums, pullback


def _differences(view: LayerView, target: SplittingTarget) -> tuple[Tensor, Tensor, Tensor | None]:
    """Return how far features are from what they are to be, that, and their weights.

    (n, C), (n, C) and (n,) at the positions of the grid.
    """
    ops, channels = array_namespace(view.features), view.features.shape[-1]
    rows, columns = ops.shape(target.content)[:2]
    seen = ops.reshape(strided_sample(view.features, target.grid, rows, columns), (-1, channels))
    # Not of length one, which does not change where the largest product is.
    asked = ops.matmul(ops.stop_gradient(seen) - target.mean, target.basis)
    best = feature_index.argmax_product(asked, target.directions)
    found = ops.stop_gradient(ops.take(target.features, best, axis=0))
    content = ops.reshape(target.content, (-1, channels))
    found = target.share * found + (1 - target.share) * content
    if view.weights is None:
        return seen - found, found, None
    weights = strided_sample(view.weights, target.grid, rows, columns)
    return seen - found, found, ops.reshape(weights, (-1,))


def loss(sums: SplittingSums, target: SplittingTarget) -> Tensor:
    """Return the sum of squares relative to that of the neighbors, a scalar."""
    return sums.distance / array_namespace(sums.distance).maximum(sums.size, EPSILON)


def loss_gradient(sums: SplittingSums, target: SplittingTarget) -> SplittingSums:
    """Return the gradient of :func:`loss` by the distance; the neighbors are held constant."""
    return SplittingSums(np.float32(1 / max(float(sums.size), EPSILON)), np.float32(0))
