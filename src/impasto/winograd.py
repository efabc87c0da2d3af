"""3 x 3 convolution by Winograd's minimal filtering, on a processor, in NumPy.

Lavin and Gray 2016, "Fast Algorithms for Convolutional Neural Networks", section 4: an output
tile of 4 x 4 takes 36 multiplications instead of 144 when the window it sees and the kernel are
transformed first. Transforms and products over channels are all matrix products, which NumPy
hands to BLAS, for a few rows of tiles at a time, so that what lies between stays in the cache.

A transformed kernel is four times the size of the kernel. For a map of a few tiles, reading it
takes longer than all multiplications, and the plain product of windows and kernel is faster.
"""

from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import as_strided, sliding_window_view

from impasto.processor import CHUNK, Array, empty, in_parallel

TILE, WINDOW = 4, 6
"""Sides of an output tile, and of the window of the input that it is made from."""

LEAST_TILES = 64
"""Tiles in a chunk at least, since every chunk reads all the transformed kernels once."""

FEW_TILES = 30
"""Up to so many tiles the plain product is faster (measured, see benchmarks/NOTES.md)."""

PLAIN_CHANNELS = 128
"""Channels of the result that a piece of a plain product computes."""

# Lavin and Gray 2016, section 4.3: F(4 x 4, 3 x 3), for windows, kernels and tiles.
_WINDOW = np.array(
    [
        [4, 0, -5, 0, 1, 0],
        [0, -4, -4, 1, 1, 0],
        [0, 4, -4, -1, 1, 0],
        [0, -2, -1, 2, 1, 0],
        [0, 2, -1, -2, 1, 0],
        [0, 4, 0, -5, 0, 1],
    ]
)
_KERNEL = np.array([[6, 0, 0], [-4, -4, -4], [-4, 4, -4], [1, 2, 4], [1, -2, 4], [0, 0, 24]]) / 24
_TILE = np.array(
    [[1, 1, 1, 1, 1, 0], [0, 1, -1, 2, -2, 0], [0, 1, 1, 4, 4, 0], [0, 1, -1, 8, -8, 1]]
)
# Both sides of a two-dimensional transform A X Aᵀ in one matrix, for flattened X.
_WINDOWS = np.kron(_WINDOW, _WINDOW).astype(np.float32)
_KERNELS = np.kron(_KERNEL, _KERNEL).astype(np.float32)
_TILES = np.kron(_TILE, _TILE).astype(np.float32)


class Kernel(NamedTuple):
    """A frozen 3 x 3 kernel in both forms, float32."""

    plain: Array
    """(9 in, out)"""
    transformed: Array
    """(36, in, out)"""


def transform(kernel: Array) -> Kernel:
    """Bring a kernel (3, 3, in, out) into the forms that the layers take, once."""
    transformed = _KERNELS @ kernel.reshape(len(_KERNEL[0]) ** 2, -1)
    channels = kernel.shape[3]
    return Kernel(kernel.reshape(-1, channels), transformed.reshape(-1, *kernel.shape[2:]))


def layer(features: Array, kernel: Kernel, bias: Array, replicate: bool) -> Array:
    """Return max(convolution + bias, 0), (height, width, out).

    features (height, width, in) are continued by one position to every side: by the values at
    the edge if ``replicate``, else by zeros. ``kernel`` comes from :func:`transform`.
    """
    return _convolve(features, kernel, padding=1, bias=bias, replicate=replicate)


def layer_gradient(upstream: Array, result: Array, flipped: Kernel, replicate: bool) -> Array:
    """Return the gradient of :func:`layer` with respect to its features.

    ``flipped`` comes from :func:`transform`, of the kernel turned by 180 degrees and with its
    channels exchanged; ``result`` is what the layer returned.
    """
    if not replicate:
        return _convolve(upstream, flipped, padding=1, mask=result)
    extended = _convolve(upstream, flipped, padding=2, mask=result)
    # What the copies beyond the edge received belongs to the values that were copied.
    for lines in (extended, extended.swapaxes(0, 1)):
        lines[1] += lines[0]
        lines[-2] += lines[-1]
    return _without_border(extended)


def _without_border(extended: Array) -> Array:
    """Move the inside together to the front of the same memory, and return it."""
    height, width, channels = (
        length - 2 * (axis < 2) for axis, length in enumerate(extended.shape)
    )
    inside = extended.reshape(-1)[: height * width * channels].reshape(height, width, channels)
    for row in range(height):  # in order: no row is written over before it was moved
        inside[row] = extended[row + 1, 1:-1]
    return inside


def _convolve(
    features: Array,
    kernel: Kernel,
    padding: int,
    *,
    bias: Array | None = None,
    mask: Array | None = None,
    replicate: bool = False,
) -> Array:
    """Convolve features, padded on all sides, and taken for zero where ``mask`` is not positive.

    Returns max(· + bias, 0) if there is a bias.
    """
    height, width = (length + 2 * padding - 2 for length in features.shape[:2])
    down, across = -(-height // TILE), -(-width // TILE)

    def extended(start: int, rows: int, columns: int) -> Array:
        padded = np.zeros((rows, columns, features.shape[2]), np.float32)
        _fill(padded, features, mask, start, padding)
        if replicate:
            _replicate(padded, start, *features.shape[:2])
        return padded

    def activate(values: Array) -> None:
        if bias is not None:
            values += bias
            np.maximum(values, 0.0, out=values)

    if down * across <= FEW_TILES:
        result = _plain_product(extended(-padding, height + 2, width + 2), kernel.plain)
        activate(result)
        return result

    channels_in, channels = kernel.transformed.shape[1:]
    tiles = max(CHUNK // (WINDOW**2 * max(channels_in, channels)), LEAST_TILES)
    each = max(1, min(tiles // across, -(-down // 2)))
    result = empty((height, width, channels))

    def work(first: int) -> None:
        count = min(each, down - first)
        padded = extended(first * TILE - padding, count * TILE + 2, across * TILE + 2)
        windows = _windows(padded).reshape(WINDOW**2, -1)
        apart = (_WINDOWS @ windows).reshape(WINDOW**2, -1, channels_in)
        products = np.matmul(apart, kernel.transformed).reshape(WINDOW**2, -1)
        tiles = (_TILES @ products).reshape(TILE, TILE, count, across, channels)
        activate(tiles)
        _put(tiles, result[first * TILE : (first + count) * TILE])

    in_parallel(work, range(0, down, each))
    return result


def _plain_product(padded: Array, kernel: Array) -> Array:
    """Multiply every 3 x 3 window of a padded map with a kernel (9 in, out)."""
    windows = sliding_window_view(padded, (3, 3), axis=(0, 1)).transpose(0, 1, 3, 4, 2)
    height, width = windows.shape[:2]
    flat = windows.reshape(height * width, -1)
    result = empty((height * width, kernel.shape[1]))

    def work(first: int) -> None:
        columns = slice(first, first + PLAIN_CHANNELS)
        np.matmul(flat, kernel[:, columns], out=result[:, columns])

    in_parallel(work, range(0, kernel.shape[1], PLAIN_CHANNELS))
    return result.reshape(height, width, -1)


def _fill(padded: Array, features: Array, mask: Array | None, start: int, padding: int) -> None:
    """Copy rows from ``start`` on, which may lie outside, into the middle of ``padded``."""
    height, width, _ = features.shape
    top, bottom = max(0, start), min(height, start + len(padded))
    inside = padded[top - start : bottom - start, padding : padding + width]
    if mask is None:
        inside[...] = features[top:bottom]
    else:
        np.multiply(features[top:bottom], mask[top:bottom] > 0, out=inside)


def _replicate(padded: Array, start: int, height: int, width: int) -> None:
    """Copy the values at the edges of the features one position outwards."""
    if start < 0:
        padded[0] = padded[1]
    if height - start < len(padded):
        padded[height - start] = padded[height - start - 1]
    padded[:, 0] = padded[:, 1]
    padded[:, width + 1] = padded[:, width]


def _windows(padded: Array) -> Array:
    """View the overlapping windows as (6, 6, down, across, in)."""
    row, column, channel = padded.strides
    down, across = (length // TILE for length in padded.shape[:2])
    shape = (WINDOW, WINDOW, down, across, padded.shape[2])
    return as_strided(padded, shape, (row, column, TILE * row, TILE * column, channel))


def _put(tiles: Array, rows: Array) -> None:
    """Write tiles (4, 4, down, across, out) into their rows, which may end within a tile."""
    _, _, down, across, channels = tiles.shape
    side_by_side = tiles.transpose(2, 0, 3, 1, 4)
    if rows.shape == (down * TILE, across * TILE, channels):
        rows.reshape(down, TILE, across, TILE, channels)[...] = side_by_side
    else:
        whole = side_by_side.reshape(down * TILE, across * TILE, channels)
        rows[...] = whole[: rows.shape[0], : rows.shape[1]]
