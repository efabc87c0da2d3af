"""Reductions of feature maps (height, width, channels), and their gradients in NumPy.

Block means, strided samples, and moments of vertical slices. Forward functions take the arrays of
both engines. A gradient is a function that adds to the gradient of a feature map in place, which
avoids temporary arrays of that size.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from impasto.compute import threads
from impasto.compute.arrays import Array, HostArray, Size, array_namespace, is_tensor
from impasto.compute.native import kernels

AddGradient: TypeAlias = Callable[[HostArray], None]
"""Adds to the gradient of a feature map (height, width, channels), in place."""

BLOCK_NUMBERS = 2**19
"""Numbers in a block that one thread processes: 2 MB, a core's share of the cache."""


def block_mean(features: Array, size: int) -> Array:
    """Return the means of blocks of ``size`` x ``size``, (height // size, width // size, C).

    float32, without an odd last row or column, as in VGG's pooling.
    """
    if size == 1:
        return array_namespace(features).cast(features, "float32")
    if not is_tensor(features) and kernels.kernels_available():
        return kernels.best_kernels().block_mean(features, size)
    ops = array_namespace(features)
    height, width, channels = ops.shape(features)
    rows, columns = height // size, width // size
    cut = ops.cast(features, "float32")[: rows * size, : columns * size]
    return ops.mean(ops.reshape(cut, (rows, size, columns, size, channels)), axis=(1, 3))


def block_mean_gradient(upstream: NDArray[np.float32], size: int) -> AddGradient:
    """Return the function that adds the gradient of :func:`block_mean`."""

    def add(gradient: HostArray) -> None:
        kernels.best_kernels().add_block_mean_gradient(upstream, size, gradient)

    return add


class StridedGrid(NamedTuple):
    """Every n-th row and column of a map."""

    top: int
    """the first row"""
    left: int
    """the first column"""
    stride: int
    """positions from one row, or column, to the next"""
    rows: int
    columns: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """Slices of rows and columns to index a map with."""
        top, left, stride, rows, columns = map(int, self)
        across = slice(left, left + stride * columns, stride)
        return slice(top, top + stride * rows, stride), across


def strided_sample(features: Array, grid: Array, rows: Size, columns: Size) -> Array:
    """Return the positions of a :class:`StridedGrid`, int32 (5,), as (rows, columns, C) float32."""
    ops = array_namespace(features)
    if not is_tensor(features):
        return np.ascontiguousarray(features[StridedGrid(*grid).slices], np.float32)
    for axis, count in enumerate((rows, columns)):
        indexes = ops.arange(count, dtype="int32") * grid[2] + grid[axis]
        features = ops.take(features, indexes, axis=axis)
    return ops.cast(features, "float32")


def slice_bounds(
    width: int, slices: int, first: int = 0, whole: int = 0
) -> list[tuple[int, slice]]:
    """Return the number and the columns of every vertical slice that overlaps a map.

    All slices have the same number of columns, except the last ones, which have the remainder. For
    a tile, ``first`` is its first column in the image, and ``whole`` the image's columns.
    """
    each = -(-(whole or width) // slices)
    bounds = (
        (number, max(0, number * each - first), min(width, (number + 1) * each - first))
        for number in range(slices)
    )
    return [(number, slice(begin, end)) for number, begin, end in bounds if begin < end]


def slice_moments(
    features: NDArray[np.float32],
    weights: NDArray[np.float32] | None,
    slices: int,
    first: int = 0,
    whole: int = 0,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return by slice Σ w f (slices, C) and Σ w f fᵀ (slices, C, C), in NumPy.

    ``weights`` are (height, width, 1); see :func:`slice_bounds`.
    """
    _, width, channels = features.shape
    sums = np.zeros((slices, channels), np.float32)
    seconds = np.zeros((slices, channels, channels), np.float32)
    pieces = _iter_blocks(features, slice_bounds(width, slices, first, whole))

    def work(piece: tuple[int, slice, slice]) -> tuple[HostArray, HostArray] | None:
        _, rows, columns = piece
        flat = weighted = features[rows, columns].reshape(-1, channels)
        if weights is not None:
            if not weights[rows, columns].any():
                return None
            weighted = flat * weights[rows, columns].reshape(-1, 1)
        # BLAS adds up columns three times as fast as NumPy.
        return (np.ones((1, len(weighted)), np.float32) @ weighted)[0], weighted.T @ flat

    for (number, _, _), part in zip(pieces, threads.map_in_threads(work, pieces), strict=True):
        if part is not None:
            sums[number] += part[0]
            seconds[number] += part[1]
    return sums, seconds


def slice_moments_gradient(
    by_sums: NDArray[np.float32],
    by_seconds: NDArray[np.float32],
    features: NDArray[np.float32],
    weights: NDArray[np.float32] | None,
    first: int = 0,
    whole: int = 0,
) -> AddGradient:
    """Return a function that adds the gradient of :func:`slice_moments`: w (a + (B + Bᵀ) f).

    ``by_sums`` (slices, C) is a, ``by_seconds`` (slices, C, C) is B.
    """
    slices, channels = by_sums.shape
    symmetric = by_seconds + by_seconds.transpose(0, 2, 1)
    bounds = slice_bounds(features.shape[1], slices, first, whole)

    def add(gradient: HostArray) -> None:
        def work(piece: tuple[int, slice, slice]) -> None:
            number, rows, columns = piece
            if weights is not None and not weights[rows, columns].any():
                return
            part = features[rows, columns]
            flat = part.reshape(-1, channels) @ symmetric[number]
            flat += by_sums[number]
            if weights is not None:
                flat *= weights[rows, columns].reshape(-1, 1)
            gradient[rows, columns] += flat.reshape(part.shape)

        threads.map_in_threads(work, _iter_blocks(features, bounds))

    return add


def _iter_blocks(
    features: HostArray, bounds: Sequence[tuple[int, slice]]
) -> list[tuple[int, slice, slice]]:
    """Return blocks of rows of slices: (number, rows, columns)."""
    height, _, channels = features.shape
    return [
        (number, rows, columns)
        for number, columns in bounds
        for rows in row_blocks(height, (columns.stop - columns.start) * channels)
    ]


def row_blocks(height: int, numbers_in_row: int) -> list[slice]:
    """Return blocks of rows with about BLOCK_NUMBERS numbers, for any number of cores."""
    rows = max(1, BLOCK_NUMBERS // max(1, numbers_in_row))
    return [slice(first, min(height, first + rows)) for first in range(0, height, rows)]
