"""The compiled kernels of ``kernels.c`` as functions of NumPy arrays.

All arrays are float32 and channels-last, (height, width, channels). Convolutions are 3 x 3 with a
padding of one position, by Winograd's minimal filtering (Lavin and Gray 2016). Each function
divides its work into items of a fixed size that the threads share, so results are bit-identical
for any number of threads. They differ in the last bits between instruction sets.
"""

import ctypes
import functools
import importlib.util
import itertools
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from impasto.compute.threads import aligned_empty, core_count

Array: TypeAlias = NDArray[np.float32]

MAX_DIRECT_CHANNELS: Final = 4
"""Maximum channels of the input, or of its gradient, to convolve directly, without Winograd."""

MIN_POSITIONS_6: Final = 1500
"""Minimum positions at which F(6 x 6) is faster than F(4 x 4), despite incomplete tiles."""

MAX_CHANNELS_6: Final = 2**17
"""Maximum input times output channels for F(6 x 6); beyond, F(4 x 4) is used.

Sums over many channels in F(6 x 6) have an error of more than 3e-5 of the largest value, and its
transformed kernels are seven times the size of the kernel.
"""

MAX_CACHED_NUMBERS: Final = 2**21
"""Maximum numbers of a transformed kernel that fits into a core's cache beside a block of tiles.

With a larger kernel every thread processes a part of it, for all tiles.
"""

STAGED_TILES: Final = 384
"""Maximum number of tiles at a time if the kernel does not fit into the cache. Each stage of the
convolution is then computed for all of them before the next."""

FEW_BLOCKS: Final = 8
"""Maximum number of blocks of tiles for which stages are used, since blocks are too few for the
threads."""

BAND_ROWS: Final = 16
"""Rows of a work item of the direct gradient."""

ONE_THREAD_COST: Final = 2e6
"""Maximum number of multiplications, or of values moved, for which one thread is faster."""

PARTS_PER_THREAD: Final = 8
"""Parts of the work per thread; a slow thread processes fewer of them."""


class _Convolution(ctypes.Structure):
    """See ``kernels.c``."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("input", "gate", "weights", "bias", "output")),
        *((name, ctypes.c_int64) for name in ("input_row", "gate_row", "height", "width")),
        *((name, ctypes.c_int64) for name in ("in_", "out", "replicate", "tiles", "first")),
    )


class _Search(ctypes.Structure):
    """See ``kernels.c``."""

    _fields_ = (
        *((name, ctypes.c_void_p) for name in ("query", "directions", "penalty")),
        *((name, ctypes.c_void_p) for name in ("index", "value")),
        *((name, ctypes.c_int64) for name in ("query_row", "count", "depth", "panels")),
    )


_TYPES = {"p": ctypes.c_void_p, "n": ctypes.c_int64}
_SIGNATURES = {
    "panel_width search_rows": "",
    "narrow_scratch spread_scratch": "p",
    "tiles_4 block_scratch_4 tiles_6 block_scratch_6": "p",
    "prepare_narrow prepare_spread prepare_4 prepare_6 prepare_index": "pnnpnn",
    "convolve_narrow gradient_narrow": "ppnn",
    "convolve_blocks_4 convolve_windows_4 convolve_products_4 convolve_tiles_4": "ppnn",
    "convolve_blocks_6 convolve_windows_6 convolve_products_6 convolve_tiles_6": "ppnn",
    "max_pool": "pnnnpnn",
    "max_pool_gradient": "pnpnpnnnpnn",
    "block_mean": "pnnnnpnn",
    "add_block_mean_gradient": "pnnnnpnnn",
    "nearest": "pnn",
}
"""Argument types of the functions of ``kernels.c``: p for pointers, n for numbers.

The last two arguments of those with work items are the range of items, end exclusive. The others
return a number.
"""
_ARGUMENTS = {name: types for names, types in _SIGNATURES.items() for name in names.split()}


@functools.cache
def _library() -> ctypes.CDLL:
    spec = importlib.util.find_spec("impasto.compute.native._kernels")
    if spec is None or spec.origin is None:
        raise ImportError(
            "The compiled kernels are not built: install a C compiler (GCC or Clang), then "
            "install impasto again."
        )
    try:
        library = ctypes.CDLL(spec.origin)
    except OSError as error:
        raise ImportError(
            f"The compiled kernels do not load ({error}): install impasto again on this machine."
        ) from error
    library.instruction_sets.restype = ctypes.c_char_p
    return library


@functools.cache
def _helpers(count: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(count, thread_name_prefix="impasto-kernels")


def kernels_available() -> bool:
    """Return whether the compiled kernels were built and load."""
    try:
        _library()
    except ImportError:
        return False
    return True


def instruction_sets() -> tuple[str, ...]:
    """Return the instruction sets of this build that this processor supports, best last.

    ``sse2``, ``avx2`` and ``avx512`` on x86-64, ``neon`` on ARM, ``generic`` elsewhere; empty if
    the kernels were not built.
    """
    if not kernels_available():
        return ()
    return tuple(_library().instruction_sets().decode().split())


@dataclass(frozen=True, eq=False)
class PreparedKernel:
    """A frozen kernel, transformed on first use for the algorithm of a convolution.

    The algorithm depends on the size of the feature map; only the latest form is kept.
    """

    kernels: "Kernels"
    plain: Array
    """(3, 3, in, out)"""
    _latest: dict[str, Array] = field(default_factory=dict)
    """at most one form, by its name"""

    @property
    def channels(self) -> tuple[int, int]:
        """Channels in and out."""
        return self.plain.shape[2], self.plain.shape[3]

    def form(self, name: str) -> Array:
        """Return the kernel in the form of an algorithm.

        ``4`` and ``6``: transformed for F(n x n, 3 x 3), ((n + 2)^2, panels, in, panel width).
        ``narrow``, for few input channels: (panels, 9 in, panel width). ``spread``, for a gradient
        by few channels: (panels of 9 out, in, panel width).
        """
        # A local variable, since another thread may replace the entry of the dict.
        prepared = self._latest.get(name)
        if prepared is None:
            self.clear_cache()
            (channels, out), width = self.channels, self.kernels.panel_width
            panels = -(-(9 * out if name == "spread" else out) // width)
            shape: tuple[int, ...] = {
                "4": (36, panels, channels),
                "6": (64, panels, channels),
                "narrow": (panels, 9 * channels),
                "spread": (panels, channels),
            }[name]
            plain, prepared = np.ascontiguousarray(self.plain), aligned_empty((*shape, width))
            arguments = (plain, channels, out, prepared)
            self.kernels.work(f"prepare_{name}", panels, prepared.size, *arguments)
            prepared.setflags(write=False)
            self._latest[name] = prepared
        return prepared

    def clear_cache(self) -> None:
        """Free the memory of the latest form."""
        self._latest.clear()


@dataclass(frozen=True, eq=False)
class PreparedIndex:
    """Directions (N, K) in the form of the search."""

    kernels: "Kernels"
    count: int
    """N"""
    panels: Array
    """(panels, K, panel width)"""
    no_penalty: Array
    """(panels * panel width,): zero, infinite in the padding of the last panel"""


Prepared = TypeVar("Prepared", PreparedKernel, PreparedIndex)


@dataclass(frozen=True)
class Kernels:
    """The kernels for one instruction set, see :meth:`load`."""

    instruction_set: str
    threads: int
    """number of threads"""

    @classmethod
    def load(cls, instruction_set: str | None = None, threads: int | None = None) -> "Kernels":
        """Return the kernels for an instruction set, by default the best of this processor.

        Args:
            instruction_set: One of :func:`instruction_sets`.
            threads: The number of threads, by default that of the cores. Results do not depend on
                it.

        Raises:
            ImportError: The kernels were not built, or do not load.
            ValueError: This processor or build does not have that instruction set.
        """
        _library()
        known = instruction_sets()
        if instruction_set is not None and instruction_set not in known:
            raise ValueError(
                f"Instruction set {instruction_set!r} is not available: this processor has "
                f"{', '.join(known)}."
            )
        if threads is not None and threads < 1:
            raise ValueError(f"threads is {threads}: use 1 or more.")
        return cls(instruction_set or known[-1], threads or core_count())

    def function(self, name: str) -> Callable[..., Any]:
        """Return a function of ``kernels.c`` for this instruction set."""
        return _function(name, self.instruction_set)

    def run_items(
        self, count: int, cost: float, work: Callable[..., object], scratch: int | None = None
    ) -> None:
        """Process the work items 0 to ``count`` in threads.

        ``work`` is called with a range of items, end exclusive. If ``scratch`` is given, the first
        argument is the address of that many floats. ``cost`` is the number of multiplications of
        all items. The calling thread processes items too, so it never waits for threads that are
        busy, or that were lost by a fork.
        """
        threads = min(self.threads, count) if cost > ONE_THREAD_COST else 1
        size = -(-count // (PARTS_PER_THREAD * threads)) if threads > 1 else count
        starts = itertools.count(0, size)

        def run() -> None:
            memory = () if scratch is None else (aligned_empty((scratch,)),)
            addresses = [_address(array) for array in memory]
            while (begin := next(starts)) < count:
                work(*addresses, begin, min(count, begin + size))

        started = [_helpers(threads - 1).submit(run) for _ in range(threads - 1)]
        run()
        for helper in started:
            if not helper.cancel():
                helper.result()

    def work(
        self, name: str, count: int, cost: float, *arguments: Any, scratch: int | None = None
    ) -> None:
        """Process the work items of a function of ``kernels.c``; arrays are passed as addresses."""
        pointers = [_address(each) if isinstance(each, np.ndarray) else each for each in arguments]
        self.run_items(count, cost, functools.partial(self.function(name), *pointers), scratch)

    @property
    def panel_width(self) -> int:
        """Columns of a block of a matrix product: two vectors."""
        return int(self.function("panel_width")())

    def prepare(self, kernel: Array) -> PreparedKernel:
        """Prepare a frozen kernel (3, 3, in, out) for the convolutions."""
        return PreparedKernel(self, _check_array("kernel", kernel, (3, 3, "in", "out")))

    def convolve(
        self, features: Array, kernel: PreparedKernel, bias: Array, replicate: bool
    ) -> Array:
        """Return max(convolution + bias, 0), (height, width, out).

        Args:
            features: (height, width, in), padded by one position on every side.
            kernel: From :meth:`prepare`.
            bias: (out,).
            replicate: Pad with the values at the edges, else with zeros.
        """
        channels, out = self._checked(kernel).channels
        features = _contiguous_rows("features", features, ("height", "width", channels))
        bias = np.ascontiguousarray(_check_array("bias", bias, (out,)))
        return self._convolve(features, None, kernel, bias, replicate)

    def convolve_gradient(
        self, upstream: Array, output: Array, flipped: PreparedKernel, replicate: bool
    ) -> Array:
        """Return the gradient of :meth:`convolve` by its features, (height, width, in).

        Args:
            upstream: (height, width, out), the gradient by the output.
            output: (height, width, out), what :meth:`convolve` returned.
            flipped: From :meth:`prepare`, of the kernel flipped in space with its channels
                swapped, (3, 3, out, in).
            replicate: As for :meth:`convolve`.
        """
        channels, _ = self._checked(flipped).channels
        upstream = _contiguous_rows("upstream", upstream, ("height", "width", channels))
        output = _contiguous_rows("output", output, upstream.shape)
        return self._convolve(upstream, output, flipped, None, replicate)

    def _convolve(
        self,
        features: Array,
        gate: Array | None,
        kernel: PreparedKernel,
        bias: Array | None,
        replicate: bool,
    ) -> Array:
        (height, width, channels), (_, out) = features.shape, kernel.channels
        result = aligned_empty((height, width, out))
        sizes = {"height": height, "width": width, "in_": channels, "out": out}
        task = _Convolution(
            **{"input": _address(features), "input_row": _row_stride(features)},
            **{"output": _address(result), **sizes, "replicate": replicate},
            gate=None if gate is None else _address(gate),
            gate_row=0 if gate is None else _row_stride(gate),
            bias=None if bias is None else _address(bias),
        )
        cost = float(height * width * channels * out)
        if bias is not None and channels <= MAX_DIRECT_CHANNELS:
            weights = kernel.form("narrow")
            task.weights = _address(weights)
            self._items("convolve_narrow", task, height, cost, "narrow_scratch")
        elif bias is None and out <= MAX_DIRECT_CHANNELS:
            weights = kernel.form("spread")
            task.weights, task.tiles = _address(weights), BAND_ROWS
            self._items("gradient_narrow", task, -(-height // BAND_ROWS), cost, "spread_scratch")
        else:
            self._winograd(task, kernel, cost)
        return result

    def _winograd(self, task: _Convolution, kernel: PreparedKernel, cost: float) -> None:
        large = (
            task.height * task.width >= MIN_POSITIONS_6 and task.in_ * task.out <= MAX_CHANNELS_6
        )
        tile = 6 if large else 4
        weights = kernel.form(str(tile))
        task.weights, pointer = _address(weights), ctypes.byref(task)
        count = self.function(f"tiles_{tile}")(pointer)
        task.tiles = block = tiles_in_block(tile, max(task.in_, task.out))
        if weights.size <= MAX_CACHED_NUMBERS and count > FEW_BLOCKS * block:
            blocks, scratch = -(-count // block), f"block_scratch_{tile}"
            self._items(f"convolve_blocks_{tile}", task, blocks, cost, scratch)
            return
        stage_tiles = task.tiles = -(-count // -(-count // STAGED_TILES))
        memory = aligned_empty((self.function(f"block_scratch_{tile}")(pointer),))
        products = weights.shape[0] * weights.shape[1]
        for first in range(0, count, stage_tiles):
            task.first, task.tiles = first, min(stage_tiles, count - first)
            stages = {"windows": task.tiles, "products": products, "tiles": task.tiles}
            for stage, items in stages.items():
                self.work(f"convolve_{stage}_{tile}", items, cost, pointer, memory)

    def _items(self, name: str, task: _Convolution, count: int, cost: float, scratch: str) -> None:
        pointer = ctypes.byref(task)
        self.work(name, count, cost, pointer, scratch=self.function(scratch)(pointer))

    def _checked(self, prepared: Prepared) -> Prepared:
        if (other := prepared.kernels.instruction_set) != self.instruction_set:
            raise ValueError(
                f"This was prepared for {other}: prepare it for {self.instruction_set}."
            )
        return prepared

    def max_pool(self, features: Array) -> Array:
        """Return the maximum of every block of 2 x 2, (height // 2, width // 2, channels).

        An odd last row or column is omitted.
        """
        features = _contiguous_rows("features", features, ("height", "width", "channels"))
        height, width, channels = features.shape
        result = aligned_empty((height // 2, width // 2, channels))
        arguments = (features, _row_stride(features), width, channels, result)
        self.work("max_pool", height // 2, features.size, *arguments)
        return result

    def max_pool_gradient(self, upstream: Array, features: Array, pooled: Array) -> Array:
        """Return the gradient of :meth:`max_pool` by its features, (height, width, channels).

        Values of a block that equal its maximum share the gradient equally.

        Args:
            upstream: (height // 2, width // 2, channels), the gradient by ``pooled``.
            features: (height, width, channels).
            pooled: What :meth:`max_pool` returned.
        """
        features = _contiguous_rows("features", features, ("height", "width", "channels"))
        height, width, channels = features.shape
        small = (height // 2, width // 2, channels)
        upstream = _contiguous_rows("upstream", upstream, small)
        pooled = np.ascontiguousarray(_check_array("pooled", pooled, small))
        result = aligned_empty(features.shape)
        arguments = (
            *(upstream, _row_stride(upstream), features, _row_stride(features)),
            *(pooled, height, width, channels, result),
        )
        self.work("max_pool_gradient", -(-height // 2), features.size, *arguments)
        return result

    def block_mean(self, features: Array, size: int) -> Array:
        """Return the mean of every block of ``size`` x ``size`` positions.

        (height // size, width // size, channels); incomplete blocks are omitted.
        """
        features = _contiguous_rows("features", features, ("height", "width", "channels"))
        rows, columns, channels = _blocks(features.shape, size)
        result = aligned_empty((rows, columns, channels))
        arguments = (features, _row_stride(features), features.shape[1], channels, size, result)
        self.work("block_mean", rows, features.size, *arguments)
        return result

    def add_block_mean_gradient(self, upstream: Array, size: int, gradient: Array) -> None:
        """Add the gradient of :meth:`block_mean` by its features to ``gradient``, in place.

        ``gradient`` is (height, width, channels), ``upstream`` (height // size, width // size,
        channels).
        """
        if _contiguous_rows("gradient", gradient, ("height", "width", "channels")) is not gradient:
            raise ValueError("gradient is not contiguous within its rows: use a contiguous array.")
        _, width, channels = gradient.shape
        upstream = _contiguous_rows("upstream", upstream, _blocks(gradient.shape, size))
        arguments = (
            *(upstream, _row_stride(upstream), width, channels),
            *(size, gradient, _row_stride(gradient)),
        )
        self.work("add_block_mean_gradient", len(upstream), gradient.size, *arguments)

    def prepare_index(self, directions: Array) -> PreparedIndex:
        """Prepare directions (N, K) for :meth:`search`."""
        directions = np.ascontiguousarray(_check_array("directions", directions, ("N", "K")))
        count, depth = directions.shape
        panels = -(-count // self.panel_width)
        prepared = aligned_empty((panels, depth, self.panel_width))
        self.work("prepare_index", panels, prepared.size, directions, count, depth, prepared)
        penalty = np.full(panels * self.panel_width, np.inf, np.float32)
        penalty[:count] = 0.0
        return PreparedIndex(self, count, prepared, penalty)

    def search(
        self, query: Array, index: PreparedIndex, penalty: Array | None = None
    ) -> tuple[NDArray[np.int32], Array]:
        """Return for each query q the direction d with the largest <q, d> - penalty.

        Args:
            query: (n, K).
            index: From :meth:`prepare_index`, of N directions.
            penalty: (N,), or None for zero.

        Returns:
            The numbers of the directions (n,), the first among equal ones, and the values (n,). If
            all values are NaN, the number is 0 and the value minus infinity.
        """
        panels, depth, width = self._checked(index).panels.shape
        query = _contiguous_rows("query", query, ("n", depth))
        penalties = index.no_penalty
        if penalty is not None:
            penalties = penalties.copy()
            penalties[: index.count] = _check_array("penalty", penalty, (index.count,))
        best, value = aligned_empty((len(query),), np.int32), aligned_empty((len(query),))
        task = _Search(
            *(_address(array) for array in (query, index.panels, penalties, best, value)),
            *(_row_stride(query), len(query), depth, panels),
        )
        items = -(-len(query) // self.function("search_rows")())
        self.work("nearest", items, float(query.size * panels * width), ctypes.byref(task))
        return best, value


def tiles_in_block(tile: int, channels: int) -> int:
    """Return the number of tiles in a block of a Winograd convolution, to fit the cache."""
    return max(12, 36 * 64 // channels // 12 * 12) if tile == 4 else 12


@functools.cache
def _function(name: str, instruction_set: str) -> Callable[..., Any]:
    function, types = getattr(_library(), f"{name}_{instruction_set}"), _ARGUMENTS[name]
    function.restype = None if types.endswith("nn") else ctypes.c_int64
    function.argtypes = [_TYPES[each] for each in types]
    return function


def _check_array(name: str, array: Array, shape: Sequence[int | str]) -> Array:
    """Return an array if it is float32 and has a shape, where a word matches any positive size."""
    if array.dtype != np.float32:
        raise ValueError(f"{name} is {array.dtype}: use float32.")
    fits = len(shape) == array.ndim and all(
        size > 0 if isinstance(expected, str) else size == expected
        for size, expected in zip(array.shape, shape, strict=True)
    )
    if not fits:
        sizes = ", ".join(map(str, shape))
        raise ValueError(f"{name} has the shape {array.shape}: use ({sizes}), with no empty axis.")
    return array


def _contiguous_rows(name: str, array: Array, shape: Sequence[int | str]) -> Array:
    """Return a checked array, or a copy, whose rows (all axes but the first) are contiguous."""
    array = _check_array(name, array, shape)
    if array.size and array.flags.aligned and array[0].flags.c_contiguous:
        length, rest = divmod(array.strides[0], array.itemsize)
        if length >= array[0].size and not rest:
            return array
    return np.ascontiguousarray(array)


def _blocks(shape: tuple[int, int, int], size: int) -> tuple[int, int, int]:
    """Return the shape of the means of blocks of ``size`` x ``size`` positions."""
    if size < 1:
        raise ValueError(f"size is {size}: use 1 or more.")
    height, width, channels = shape
    return height // size, width // size, channels


def _row_stride(array: Array) -> int:
    """Return the distance of two rows in floats."""
    return array.strides[0] // array.itemsize


def _address(array: NDArray[Any]) -> int:
    return array.ctypes.data


@functools.cache
def best_kernels() -> Kernels:
    """Return the kernels for the best instruction set of this processor."""
    return Kernels.load()
