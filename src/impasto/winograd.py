"""3 x 3 convolution by Winograd's minimal filtering, on a processor, in NumPy.

Lavin and Gray 2016, "Fast Algorithms for Convolutional Neural Networks", section 4: an output
tile of 4 x 4 takes 36 multiplications instead of 144 when the window it sees and the kernel are
transformed first. Transforms and products over channels are all matrix products, which NumPy
hands to BLAS, for a few rows of tiles at a time, so that what lies between stays in the cache.
"""

import numpy as np
from numpy.lib.stride_tricks import as_strided

from impasto.processor import CHUNK, Array, empty, in_parallel

TILE, WINDOW = 4, 6
"""Sides of an output tile, and of the window of the input that it is made from."""

LEAST_TILES = 64
"""Tiles in a chunk at least, since every chunk reads all the transformed kernels once."""

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


def transform(kernel: Array) -> Array:
    """Transform a kernel (3, 3, in, out) once; return (36, in, out), float32."""
    transformed = _KERNELS @ kernel.reshape(len(_KERNEL[0]) ** 2, -1)
    return transformed.reshape(-1, *kernel.shape[2:])


def layer(features: Array, kernel: Array, bias: Array, replicate: bool) -> Array:
    """Return max(convolution + bias, 0), (height, width, out).

    features (height, width, in) are continued by one position to every side: by the values at
    the edge if ``replicate``, else by zeros. ``kernel`` comes from :func:`transform`.
    """
    return _convolve(features, kernel, padding=1, bias=bias, replicate=replicate)


def layer_gradient(upstream: Array, result: Array, flipped: Array, replicate: bool) -> Array:
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
    kernel: Array,
    padding: int,
    *,
    bias: Array | None = None,
    mask: Array | None = None,
    replicate: bool = False,
) -> Array:
    """Convolve features, padded on all sides, and taken for zero where ``mask`` is not positive.

    Returns max(· + bias, 0) if there is a bias.
    """
    channels_in, channels = kernel.shape[1:]
    height, width = (length + 2 * padding - 2 for length in features.shape[:2])
    down, across = -(-height // TILE), -(-width // TILE)
    tiles = max(CHUNK // (WINDOW**2 * max(channels_in, channels)), LEAST_TILES)
    each = max(1, min(tiles // across, -(-down // 2)))
    result = empty((height, width, channels))

    def work(first: int) -> None:
        count = min(each, down - first)
        padded = np.zeros((count * TILE + 2, across * TILE + 2, channels_in), np.float32)
        _fill(padded, features, mask, first * TILE - padding, padding)
        if replicate:
            _replicate(padded, first * TILE - padding, *features.shape[:2])
        windows = _windows(padded).reshape(WINDOW**2, -1)
        apart = (_WINDOWS @ windows).reshape(WINDOW**2, -1, channels_in)
        products = np.matmul(apart, kernel).reshape(WINDOW**2, -1)
        tiles = (_TILES @ products).reshape(TILE, TILE, count, across, channels)
        if bias is not None:
            tiles += bias
            np.maximum(tiles, 0.0, out=tiles)
        _put(tiles, result[first * TILE : (first + count) * TILE])

    in_parallel(work, range(0, down, each))
    return result


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
