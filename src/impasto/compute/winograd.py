"""3 x 3 convolution by Winograd's minimal filtering, on a processor, in NumPy.

Lavin and Gray 2016, "Fast Algorithms for Convolutional Neural Networks", section 4: an output
tile of 4 x 4 takes 36 multiplications instead of 144 when the window it sees and the kernel are
transformed first. Transforms and products over channels are all matrix products, which NumPy
hands to BLAS, for a few rows of tiles at a time, so that what lies between stays in the cache.

A transformed kernel is four times the size of the kernel. For a map of a few tiles, reading it
takes longer than all multiplications, and the plain product of windows and kernel is faster.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.lib.stride_tricks import as_strided, sliding_window_view
from numpy.typing import NDArray

from impasto.compute import host
from impasto.compute.host import CHUNK, Add, Array, Winners, empty, in_parallel

TILE, WINDOW = 4, 6
"""Sides of an output tile, and of the window of the input that it is made from."""

LEAST_TILES = 64
"""Tiles in a chunk at least, since every chunk reads all the transformed kernels once."""

FEW_TILES = 30
"""Up to so many tiles the plain product is faster (measured, see benchmarks/NOTES.md)."""

NARROW = 8
"""Channels up to which a map is convolved by products with the kernel as it is."""

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
    result = empty((*features.shape[:2], bias.size))

    def put(tiles: Array, top: int) -> None:
        _put(_activated(tiles, bias), result[top:])

    _convolve(_copy(features), features.shape, kernel, put, padding=1, replicate=replicate)
    return result


def layer_gradient(
    upstream: Array, result: Array, flipped: Kernel, replicate: bool, add: Add | None = None
) -> Array:
    """Return the gradient of :func:`layer` with respect to its features.

    ``flipped`` comes from :func:`transform`, of the kernel turned by 180 degrees and with its
    channels exchanged; ``result`` is what the layer returned. What else the features' gradient
    consists of can be added on the way: as a map of its own it would be as large as they are.
    """

    def rows(top: int, bottom: int, out: Array) -> None:
        np.multiply(upstream[top:bottom], result[top:bottom] > 0, out=out)

    return _gradient(rows, result.shape, flipped, replicate, add)


def pooled_layer(
    features: Array, kernel: Kernel, bias: Array, replicate: bool
) -> tuple[Array, Winners]:
    """Return the maximum of every 2 x 2 of :func:`layer`, and where it was, if not zero.

    Both are (height // 2, width // 2, out). The layer itself, four times as large, is never kept.
    """
    height, width, _ = features.shape
    result = empty((height // 2, width // 2, bias.size))
    winners = empty(result.shape, np.uint8)

    def put(tiles: Array, top: int) -> None:
        pooled, where = host.largest(host.quarters(_activated(tiles, bias)))
        where *= pooled > 0.0  # elsewhere the layer has no gradient
        _put(pooled, result[top // 2 :])
        _put(where, winners[top // 2 :])

    _convolve(_copy(features), features.shape, kernel, put, padding=1, replicate=replicate)
    return result, winners


def pooled_layer_gradient(
    upstream: Array,
    winners: Winners,
    size: tuple[int, int],
    flipped: Kernel,
    replicate: bool,
    add: Add | None = None,
) -> Array:
    """Return the gradient of :func:`pooled_layer` with respect to its features.

    ``size`` is their height and width; see :func:`layer_gradient`.
    """

    def rows(top: int, bottom: int, out: Array) -> None:
        host.unpool(upstream, winners, top, bottom, out)

    return _gradient(rows, (*size, upstream.shape[-1]), flipped, replicate, add)


Rows: TypeAlias = Callable[[int, int, Array], None]
"""(top, bottom, out): writes these rows of a map (height, width, channels) into ``out``."""
Put: TypeAlias = Callable[[Array, int], None]
"""Told tiles (side, side, down, across, channels) and the first row that they cover."""


def _copy(features: Array) -> Rows:
    def rows(top: int, bottom: int, out: Array) -> None:
        out[...] = features[top:bottom]

    return rows


def _gradient(
    rows: Rows, shape: tuple[int, ...], flipped: Kernel, replicate: bool, add: Add | None
) -> Array:
    border = int(replicate)
    height, width, _ = shape
    result = empty((height + 2 * border, width + 2 * border, flipped.plain.shape[1]))
    inside = result[border : border + height, border : border + width]

    def put(tiles: Array, top: int) -> None:
        _put(tiles, result[top:])
        if add:
            bottom = top + tiles.shape[0] * tiles.shape[2]
            within = slice(max(0, top - border), min(height, bottom - border))
            add(within, inside[within])

    _convolve(rows, shape, flipped, put, padding=1 + border)
    if not replicate:
        return result
    # What the copies beyond the edge received belongs to the values that were copied.
    for lines in (result, result.swapaxes(0, 1)):
        lines[1] += lines[0]
        lines[-2] += lines[-1]
    return _without_border(result)


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
    rows: Rows,
    shape: tuple[int, ...],
    kernel: Kernel,
    put: Put,
    *,
    padding: int,
    replicate: bool = False,
) -> None:
    """Convolve a map of that shape, padded on all sides, and hand over tiles of the result."""
    height, width = (length + 2 * padding - 2 for length in shape[:2])
    side, each, product = _method(height, width, kernel)
    across = -(-width // side) * side

    def work(first: int) -> None:
        count = min(each, -(-(height - first) // side) * side)
        padded = np.zeros((count + 2, across + 2, shape[2]), np.float32)
        start = first - padding
        top, bottom = max(0, start), min(shape[0], start + len(padded))
        rows(top, bottom, padded[top - start : bottom - start, padding : padding + shape[1]])
        if replicate:
            _replicate(padded, start, *shape[:2])
        put(product(padded, kernel), first)

    if each >= height:
        work(0)
    else:
        in_parallel(work, range(0, height, each))


Product: TypeAlias = Callable[[Array, Kernel], Array]
"""(padded map (height + 2, width + 2, in), kernel) -> tiles (side, side, down, across, out)"""


def _method(height: int, width: int, kernel: Kernel) -> tuple[int, int, Product]:
    """Return the side of tiles, how many rows are a piece of the work, and how it is done.

    All sides are even, so that pooling finds its fours.
    """
    _, channels_in, channels = kernel.transformed.shape
    down, across = -(-height // TILE), -(-width // TILE)
    if down * across <= FEW_TILES:
        return 2, height + height % 2, _plain_product
    narrow = channels_in <= NARROW, channels <= NARROW
    if any(narrow):
        count = max(1, CHUNK // (2 * width * max(channels_in, channels)))
        return 2, 2 * min(count, -(-down // 2)), (_few_from if narrow[0] else _few_to)
    tiles = max(CHUNK // (WINDOW**2 * max(channels_in, channels)), LEAST_TILES)
    return TILE, TILE * max(1, min(tiles // across, -(-down // 2))), _winograd


def _winograd(padded: Array, kernel: Kernel) -> Array:
    down, across = (length // TILE for length in padded.shape[:2])
    _, channels_in, channels = kernel.transformed.shape
    apart = (_WINDOWS @ _windows(padded).reshape(WINDOW**2, -1)).reshape(WINDOW**2, -1, channels_in)
    products = np.matmul(apart, kernel.transformed).reshape(WINDOW**2, -1)
    return (_TILES @ products).reshape(TILE, TILE, down, across, channels)


def _few_from(padded: Array, kernel: Kernel) -> Array:
    """Convolve a map of a few channels, as one product of its windows and the kernel."""
    height, width = (length - 2 for length in padded.shape[:2])
    return _in_twos((_flat_windows(padded) @ kernel.plain).reshape(height, width, -1))


def _few_to(padded: Array, kernel: Kernel) -> Array:
    """Convolve to a few channels: a product for each of the nine places, moved and added up."""
    height, width = (length - 2 for length in padded.shape[:2])
    _, channels_in, channels = kernel.transformed.shape
    by_place = kernel.plain.reshape(9, channels_in, channels).transpose(0, 2, 1)
    planes = by_place.reshape(-1, channels_in) @ padded.reshape(-1, channels_in).T
    planes = planes.reshape(3, 3, channels, height + 2, width + 2)
    moved = [
        planes[down, across, :, down : down + height, across : across + width]
        for down, across in np.ndindex(3, 3)
    ]
    result = moved[0] + moved[1]
    for each in moved[2:]:
        result += each
    return _in_twos(result.transpose(1, 2, 0))


def _in_twos(values: Array) -> Array:
    """View (2 down, 2 across, channels) as tiles (2, 2, down, across, channels)."""
    height, width, channels = values.shape
    apart = values.reshape(height // 2, 2, width // 2, 2, channels)
    return apart.transpose(1, 3, 0, 2, 4)


def _activated(tiles: Array, bias: Array) -> Array:
    tiles += bias
    return np.maximum(tiles, 0.0, out=tiles)


def _plain_product(padded: Array, kernel: Kernel) -> Array:
    """Multiply every window of a small map with a kernel, on all cores."""
    height, width = (length - 2 for length in padded.shape[:2])
    flat = _flat_windows(padded)
    result = empty((height * width, kernel.plain.shape[1]))

    def work(first: int) -> None:
        columns = slice(first, first + PLAIN_CHANNELS)
        np.matmul(flat, kernel.plain[:, columns], out=result[:, columns])

    in_parallel(work, range(0, kernel.plain.shape[1], PLAIN_CHANNELS))
    return _in_twos(result.reshape(height, width, -1))


def _flat_windows(padded: Array) -> Array:
    """Copy every 3 x 3 window of a padded map, (height · width, 9 in)."""
    windows = sliding_window_view(padded, (3, 3), axis=(0, 1)).transpose(0, 1, 3, 4, 2)
    return windows.reshape(windows.shape[0] * windows.shape[1], -1)


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


def _put(tiles: NDArray[Any], rows: NDArray[Any]) -> None:
    """Write tiles (side, side, down, across, out) into rows, which may end within a tile."""
    side, _, down, across, channels = tiles.shape
    side_by_side = tiles.transpose(2, 0, 3, 1, 4)
    rows = rows[: down * side]
    if rows.shape == (down * side, across * side, channels):
        rows.reshape(down, side, across, side, channels)[...] = side_by_side
    else:
        whole = side_by_side.reshape(down * side, across * side, channels)
        rows[...] = whole[: rows.shape[0], : rows.shape[1]]
