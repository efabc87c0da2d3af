"""Threads, memory allocation and BLAS of this process, for the kernels and NumPy."""

import ctypes
import functools
import os
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any, TypeVar

import numpy as np
from numpy.typing import DTypeLike, NDArray
from threadpoolctl import ThreadpoolController

T = TypeVar("T")
R = TypeVar("R")

ALIGNMENT = 64
"""Alignment in bytes with which TensorFlow uses an array without a copy."""


def core_count() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def aligned_empty(shape: tuple[int, ...], dtype: DTypeLike = np.float32) -> NDArray[Any]:
    """Return an uninitialized, aligned array."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    raw = np.empty(size + ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % ALIGNMENT
    return raw[start : start + size].view(dtype).reshape(shape)


def map_in_threads(work: Callable[[T], R], pieces: Iterable[T]) -> list[R]:
    """Return the results for all pieces, computed on all cores; BLAS uses one core per piece."""
    with one_blas_thread():
        return list(_thread_pool(os.getpid()).map(work, pieces))


@functools.cache
def _thread_pool(process: int) -> ThreadPoolExecutor:
    """Return the threads of a process; after a fork new ones, since threads do not survive it."""
    return ThreadPoolExecutor(core_count(), thread_name_prefix="impasto")


class _SharedContext:
    """A context for many threads: the first inside sets something, the last resets it."""

    def __init__(self, enter: Callable[[], None], leave: Callable[[], None]) -> None:
        self.enter, self.leave = enter, leave
        self.lock = threading.Lock()
        self.inside = 0

    def __enter__(self) -> None:
        with self.lock:
            if not self.inside:
                self.enter()
            self.inside += 1

    def __exit__(self, *_: object) -> None:
        with self.lock:
            self.inside -= 1
            if not self.inside:
                self.leave()


_MAKING = threading.Lock()


def one_blas_thread() -> AbstractContextManager[None]:
    """Return a context in which BLAS uses one core; it may be nested, and shared by threads.

    The limit holds until the last thread leaves the context. Otherwise the last bits of the others
    would change, and OpenBLAS may wait forever for a thread that ends during a product.
    """
    with _MAKING:
        return _blas_limit(os.getpid())


@functools.cache
def _blas_limit(process: int) -> _SharedContext:
    controller = ThreadpoolController().select(user_api="blas")
    # threadpoolctl must lift the limit in the thread that set it.
    thread = ThreadPoolExecutor(1, thread_name_prefix="impasto-blas")
    limits: list[Any] = []
    return _SharedContext(
        lambda: limits.append(thread.submit(controller.limit, limits=1).result()),
        lambda: thread.submit(limits.pop().restore_original_limits).result(),
    )


_TRIM_THRESHOLD, _MMAP_MAX = -1, -4  # of malloc.h
_LARGEST, _USUAL_TRIM, _USUAL_MMAP = 2**31 - 1, 2**17, 2**16


def freed_memory_kept() -> AbstractContextManager[None]:
    """Return a context in which freed memory is kept for the next allocation.

    glibc returns the memory of large arrays to the system, which clears it for the next one. This
    takes a tenth of a run's time (benchmarks/NOTES.md). Other C libraries are unchanged. On exit
    the default thresholds are set, which then no longer adapt.
    """
    with _MAKING:
        return _freed_memory_kept()


@functools.cache
def _freed_memory_kept() -> _SharedContext:
    def give_back() -> None:
        _set_malloc(_USUAL_TRIM, _USUAL_MMAP)
        give_back_freed_memory()

    return _SharedContext(lambda: _set_malloc(_LARGEST, 0), give_back)


def give_back_freed_memory() -> None:
    """Return freed memory to the system."""
    if (library := _c_library()) is not None:
        library.malloc_trim(0)


def _set_malloc(trim: int, mmap: int) -> None:
    if (library := _c_library()) is not None:
        library.mallopt(_MMAP_MAX, mmap)
        library.mallopt(_TRIM_THRESHOLD, trim)


@functools.cache
def _c_library() -> Any:
    """Return the C library if it is glibc, else None."""
    library: Any = ctypes.CDLL(None) if os.name == "posix" else None
    return library if hasattr(library, "mallopt") and hasattr(library, "malloc_trim") else None
