"""What a processor computes faster by itself than tensor libraries do there, in NumPy.

Maximum pooling, means, moments, their gradients, and what they share with
:mod:`impasto.compute.winograd`: all cores, each on pieces of its own that fit its cache. How the
work is cut up never depends on the number of cores, and neither do the results, to the last bit.

Feature maps are float32 (height, width, channels); those that TensorFlow and JAX hold in bfloat16
are taken too.
"""

import ctypes
import functools
import os
import re
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias, TypeVar

import numpy as np
from numpy.typing import DTypeLike, NDArray
from threadpoolctl import ThreadpoolController

Array: TypeAlias = NDArray[np.float32]
Winners: TypeAlias = NDArray[np.uint8]
"""Which values of every 2 x 2 are the largest: one bit each, row by row."""
Columns: TypeAlias = Sequence[int] | NDArray[np.int32]
"""Of a part of a picture its first column there, and how many the whole has; nothing of a whole."""
Add: TypeAlias = Callable[[slice, Array], None]
"""(rows, out): adds these rows of a map to an array of their shape, float32."""
Piece = TypeVar("Piece")
Result = TypeVar("Result")

CHUNK = 2**19
"""Numbers that a piece of the work handles at once: 2 MB, what a core's share of cache holds."""

ALIGNMENT = 64
"""Bytes; an array that begins at a multiple of it is taken over by TensorFlow without a copy."""


def cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def has_bfloat16(described: Path = Path("/proc/cpuinfo")) -> bool:
    """Return whether the processor may have instructions for bfloat16: where Linux lists none, not.

    ``described`` is Linux's list of what processors can do.
    """
    try:
        text = described.read_text()
    except OSError:
        return True
    return not re.search(r"^(flags|Features)\s*:", text, re.M) or "bf16" in text


def empty(shape: tuple[int, ...], dtype: DTypeLike = np.float32) -> NDArray[Any]:
    """Return an uninitialized, aligned array."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    raw = np.empty(size + ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % ALIGNMENT
    return raw[start : start + size].view(dtype).reshape(shape)


def in_parallel(work: Callable[[Piece], Result], pieces: Iterable[Piece]) -> list[Result]:
    """Do the work for every piece, on all cores; within a piece BLAS keeps to one core."""
    with one_blas_thread():
        return list(_workers().map(work, pieces))


@functools.cache
def _workers() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(cores(), thread_name_prefix="impasto")


class _BlasLimit:
    """Keeps BLAS to one core as long as anybody is inside; see :func:`one_blas_thread`."""

    def __init__(self) -> None:
        self.controller = ThreadpoolController().select(user_api="blas")
        # threadpoolctl heeds a single thread, which must still be there to lift the limit.
        self.thread = ThreadPoolExecutor(1, thread_name_prefix="impasto-blas")
        self.lock = threading.Lock()
        self.inside = 0
        self.limit: Any = None

    def __enter__(self) -> None:
        with self.lock:
            if not self.inside:
                self.limit = self.thread.submit(self.controller.limit, limits=1).result()
            self.inside += 1

    def __exit__(self, *_: object) -> None:
        with self.lock:
            self.inside -= 1
            if not self.inside:
                self.thread.submit(self.limit.restore_original_limits).result()


_MAKING = threading.Lock()


def one_blas_thread() -> AbstractContextManager[None]:
    """Return a context in which BLAS keeps to one core in every thread, nested or at once.

    Tensor libraries call from several threads. If the first to leave set BLAS free for those still
    inside, its last bits would change with the number of its threads, and OpenBLAS may wait
    forever for a thread that was taken away while it multiplied.
    """
    with _MAKING:
        return _blas_limit()


@functools.cache
def _blas_limit() -> _BlasLimit:
    return _BlasLimit()


_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # as malloc.h has them
_LARGEST, _USUAL_TRIM, _USUAL_MMAP = 2**31 - 1, 2**17, 2**16


class _FreedMemory:
    """Has freed memory kept as long as anybody is inside; see :func:`freed_memory_kept`."""

    def __init__(self, library: Any) -> None:
        self.library = library
        self.lock = threading.Lock()
        self.inside = 0

    def __enter__(self) -> None:
        with self.lock:
            if not self.inside:
                self._set(_LARGEST, 0)
            self.inside += 1

    def __exit__(self, *_: object) -> None:
        with self.lock:
            self.inside -= 1
            if not self.inside:
                self._set(_USUAL_TRIM, _USUAL_MMAP)
                self.give_back()

    def _set(self, trim: int, mmap: int) -> None:
        if self.library is not None:
            self.library.mallopt(_MMAP_MAX, mmap)
            self.library.mallopt(_TRIM_THRESHOLD, trim)

    def give_back(self) -> None:
        if self.library is not None:
            self.library.malloc_trim(0)


def freed_memory_kept() -> AbstractContextManager[None]:
    """Return a context in which memory that is freed is kept for what needs some next.

    The C library of Linux gives that of every large array back at once, and the system clears what
    it hands out: a tenth of a painting's time (benchmarks/NOTES.md). With others nothing changes.
    Afterwards its usual thresholds hold, which no longer adapt.
    """
    with _MAKING:
        return _freed_memory()


def give_back_freed_memory() -> None:
    """Give memory that is free back to the system, where it was kept."""
    _freed_memory().give_back()


@functools.cache
def _freed_memory() -> _FreedMemory:
    library: Any = ctypes.CDLL(None) if os.name == "posix" else None
    known = hasattr(library, "mallopt") and hasattr(library, "malloc_trim")
    return _FreedMemory(library if known else None)


def _blocks(height: int, numbers_in_row: int) -> list[slice]:
    """Cut rows into blocks of about CHUNK numbers."""
    rows = max(1, CHUNK // max(1, numbers_in_row))
    return [slice(first, min(height, first + rows)) for first in range(0, height, rows)]


def maximum_pool(features: Array) -> tuple[Array, Winners]:
    """Return the maximum of every 2 x 2, and where it was; an odd last row or column is left out.

    Both are (height // 2, width // 2, channels).
    """
    height, width, channels = features.shape
    result = empty((height // 2, width // 2, channels), features.dtype)
    winners = empty(result.shape, np.uint8)

    def work(rows: slice) -> None:
        pairs = features[2 * rows.start : 2 * rows.stop, : width // 2 * 2]
        result[rows], winners[rows] = largest(quarters(_wide(pairs)))

    in_parallel(work, _blocks(height // 2, 2 * width * channels))
    return result, winners


def maximum_pool_gradient(
    upstream: Array, winners: Winners, height: int, width: int, add: Add | None = None
) -> Array:
    """Return the gradient of :func:`maximum_pool` of a map of that height and width.

    Equal largest values share it alike. What else the map's gradient consists of can be added.
    """
    channels = upstream.shape[-1]
    result = empty((height, width, channels), upstream.dtype)

    def work(rows: slice) -> None:
        with _written(result[rows]) as out:
            unpool(upstream, winners, rows.start, rows.stop, out)
            if add:
                add(rows, out)

    in_parallel(work, _blocks(height, width * channels))
    return result


def added_up(add: Add, like: NDArray[Any]) -> NDArray[Any]:
    """Return what is added to a map, as a map of its own with that shape and dtype."""
    result = empty(like.shape, like.dtype)

    def work(rows: slice) -> None:
        with _written(result[rows]) as out:
            out[...] = 0.0
            add(rows, out)

    in_parallel(work, _blocks(len(like), like[0].size))
    return result


def block_means(features: NDArray[Any], apart: int) -> Array:
    """Return the mean of every ``apart`` x ``apart`` of (height, width, channels).

    An odd last row or column is left out.
    """
    height, width, channels = features.shape
    down, across = height // apart, width // apart
    result = empty((down, across, channels))

    def work(rows: slice) -> None:
        part = features[apart * rows.start : apart * rows.stop, : across * apart]
        # One axis after the other, since NumPy takes long for both at once.
        summed = _wide(part).reshape(-1, apart, across * apart * channels).sum(axis=1)
        result[rows] = summed.reshape(-1, across, apart, channels).sum(axis=2)
        result[rows] *= np.float32(1 / apart**2)

    in_parallel(work, _blocks(down, apart * width * channels))
    return result


def block_means_gradient(upstream: Array, apart: int) -> Add:
    """Return what adds rows of the gradient of :func:`block_means` by the features."""
    down, across, channels = upstream.shape

    def add(rows: slice, out: Array) -> None:
        last = min(down, -(-rows.stop // apart))
        for number in range(rows.start // apart, last):
            top, bottom = max(rows.start, number * apart), min(rows.stop, (number + 1) * apart)
            within = out[top - rows.start : bottom - rows.start, : across * apart]
            blocks = within.reshape(bottom - top, across, apart, channels)  # a view
            blocks += upstream[number, :, None] * np.float32(1 / apart**2)

    return add


class Grid(NamedTuple):
    """Some rows and columns of a map."""

    top: int
    """the first row"""
    left: int
    """the first column"""
    apart: int
    """how many rows, and columns, on the next one is"""
    rows: int
    columns: int

    @property
    def slices(self) -> tuple[slice, slice]:
        """What to index a map with to get them."""
        top, left, apart, rows, columns = map(int, self)
        across = slice(left, left + apart * columns, apart)
        return slice(top, top + apart * rows, apart), across


def thinned(features: NDArray[Any], grid: NDArray[np.int32]) -> Array:
    """Return those rows and columns of (height, width, channels) that a :class:`Grid` names."""
    return np.ascontiguousarray(_wide(features[Grid(*grid).slices]))


def thinned_gradient(upstream: Array, grid: NDArray[np.int32]) -> Add:
    """Return what adds rows of the gradient of :func:`thinned` by the features."""
    top, _, apart, count, _ = map(int, grid)
    _, across = Grid(*grid).slices

    def add(rows: slice, out: Array) -> None:
        first, last = (
            min(count, max(0, -(-(row - top) // apart))) for row in (rows.start, rows.stop)
        )
        if first < last:
            out[top + apart * first - rows.start :: apart][: last - first, across] += upstream[
                first:last
            ]

    return add


def _wide(features: NDArray[Any]) -> Array:
    """Return features in float32, as they are if they are that."""
    return features.astype(np.float32, copy=False)


@contextmanager
def _written(rows: NDArray[Any]) -> Iterator[Array]:
    """Give an array in float32 to be written in place of ``rows``: themselves if they are that."""
    if rows.dtype == np.float32:
        yield rows
    else:
        out = empty(rows.shape)
        yield out
        rows[...] = out


def quarters(pairs: NDArray[Any]) -> list[NDArray[Any]]:
    """View the four values of every 2 x 2 of (2 height, 2 width, …)."""
    return [pairs[down::2, across::2] for down in (0, 1) for across in (0, 1)]


def largest(values: list[Array]) -> tuple[Array, Winners]:
    """Return the maximum of four arrays, and which of them have it, one bit for each."""
    first, *others = values
    result = np.maximum(first, others[0])
    for other in others[1:]:
        np.maximum(result, other, out=result)
    winners = np.zeros(result.shape, np.uint8)
    for number, each in enumerate(values):
        winners |= (each == result).view(np.uint8) << np.uint8(number)
    return result, winners


def unpool(upstream: Array, winners: Winners, top: int, bottom: int, out: Array) -> None:
    """Write these rows of the gradient of a maximum over 2 x 2 into ``out``."""
    out[...] = 0.0
    first, last = top // 2, min(len(winners), (bottom + 1) // 2)
    codes = winners[first:last]
    share = _wide(upstream[first:last]) / _BITS[codes]
    columns = slice(0, 2 * winners.shape[1])
    for number, (down, across) in enumerate(np.ndindex(2, 2)):
        # Of the first and the last pair of rows one may lie outside.
        low = max(0, -(-(top - down) // 2) - first)
        high = min(last - first, (bottom - 1 - down) // 2 - first + 1)
        rows = out[2 * (first + low) + down - top :: 2, columns][: high - low, across::2]
        np.multiply(share[low:high], codes[low:high] >> np.uint8(number) & 1, out=rows)


_BITS = np.array([max(1, code.bit_count()) for code in range(16)], np.float32)


def sliced_moments(
    features: Array, slices: int, columns: Columns = (), weights: Array | None = None
) -> Array:
    """Return the moments of upright slices, (slices, channels + 1, channels).

    Of each slice the sum of w f fᵀ over its positions and, as the last row, the sum of w f, with
    weights w (height, width, 1). All slices have as many columns but the last ones, which have
    what is left. Of a part of a picture ``columns`` are its first one there, and how many the
    whole has.
    """
    channels = features.shape[-1]
    result = np.zeros((slices, channels + 1, channels), np.float32)
    apart = _slices(features, slices, columns)
    widest = max(across.stop - across.start for _, across in apart)
    blocks = _blocks(len(features), widest * channels)
    pieces = [(number, rows, across) for number, across in apart for rows in blocks]

    def work(piece: tuple[int, slice, slice]) -> Array | float:
        _, rows, columns = piece
        flat = weighted = _wide(features[rows, columns]).reshape(-1, channels)
        if weights is not None:
            if not weights[rows, columns].any():
                return 0.0
            weighted = flat * weights[rows, columns].reshape(-1, 1)
        # Of many rows BLAS adds up columns in a third of the time.
        total = np.ones((1, len(weighted)), np.float32) @ weighted
        return np.concatenate((weighted.T @ flat, total))

    for (number, _, _), part in zip(pieces, in_parallel(work, pieces), strict=True):
        result[number] += part
    return result


def sliced_moments_gradient(
    upstream: Array, features: Array, columns: Columns = (), weights: Array | None = None
) -> Add:
    """Return what adds rows of the gradient of :func:`sliced_moments` by the features."""
    slices, _, channels = upstream.shape
    second, total = upstream[:, :-1], upstream[:, -1]
    symmetric = second + second.transpose(0, 2, 1)
    apart = _slices(features, slices, columns)

    def add(rows: slice, out: Array) -> None:
        for number, across in apart:
            part = _wide(features[rows, across])
            if weights is not None and not weights[rows, across].any():
                continue
            gradient = part.reshape(-1, channels) @ symmetric[number]
            gradient += total[number]
            if weights is not None:
                gradient *= weights[rows, across].reshape(-1, 1)
            out[:, across] += gradient.reshape(part.shape)

    return add


def matrix_power(matrices: Array, power: float, singular: float, least: float) -> Array:
    """Return a power of symmetric matrices (…, n, n), by their eigenvalues.

    These are taken to be at least ``singular`` of the largest plus ``least``.
    """
    result = empty(matrices.shape)

    def work(place: tuple[int, ...]) -> None:
        values, vectors = np.linalg.eigh(matrices[place])
        values = np.maximum(values, max(values[-1], 0) * singular + least)
        result[place] = (vectors * values**power) @ vectors.T

    in_parallel(work, list(np.ndindex(matrices.shape[:-2])))
    return result


def _slices(features: Array, slices: int, columns: Columns) -> list[tuple[int, slice]]:
    """Return the number of every slice that a map has columns of, and those columns of it."""
    width = features.shape[1]
    first, of = map(int, columns) if len(columns) else (0, width)
    each = -(-of // slices)
    bounds = (
        (number, max(0, number * each - first), min(width, (number + 1) * each - first))
        for number in range(slices)
    )
    return [(number, slice(begin, end)) for number, begin, end in bounds if begin < end]
