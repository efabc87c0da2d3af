"""Threads, memory and BLAS of this process."""

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from threadpoolctl import ThreadpoolController

from impasto.compute import threads


def test_arrays_are_aligned():
    for shape in ((3,), (5, 7, 2)):
        array = threads.aligned_empty(shape)
        assert array.shape == shape
        assert array.ctypes.data % threads.ALIGNMENT == 0


def test_an_error_in_a_piece_of_work_comes_out():
    with pytest.raises(ZeroDivisionError):
        threads.map_in_threads(lambda piece: 1 / piece, [1, 0])


def blas_threads():
    return {each["num_threads"] for each in ThreadpoolController().select(user_api="blas").info()}


def test_blas_keeps_to_one_thread_until_the_last_has_left():
    before = blas_threads()
    seen = []
    barrier = threading.Barrier(2)

    def short():
        with threads.one_blas_thread():
            barrier.wait()

    def long():
        with threads.one_blas_thread():
            barrier.wait()
            first.join()
            seen.append(blas_threads())

    first, second = threading.Thread(target=short), threading.Thread(target=long)
    for thread in (first, second):
        thread.start()
    for thread in (first, second):
        thread.join()
    assert seen == [{1}]
    assert blas_threads() == before


def test_blas_keeps_to_one_thread_within_a_piece_whichever_thread_calls():
    """threadpoolctl does nothing for a second thread while another holds its limit."""
    for _ in range(3):
        with ThreadPoolExecutor(2) as callers:
            done = [
                callers.submit(threads.map_in_threads, lambda _: blas_threads(), range(4))
                for _ in range(4)
            ]
        assert [each for one in done for each in one.result()] == [{1}] * 16


def test_freed_memory_is_kept_until_the_last_has_left_and_given_back(monkeypatch):
    class Library:
        def __init__(self):
            self.calls = []

        def mallopt(self, which, value):
            self.calls.append((which, value))

        def malloc_trim(self, pad):
            self.calls.append(("trim", pad))

    library = Library()
    monkeypatch.setattr(threads, "_c_library", lambda: library)
    kept = threads.freed_memory_kept()
    with kept:
        began = list(library.calls)
        with kept:
            pass
        assert library.calls == began == [(-4, 0), (-1, 2**31 - 1)]
    assert library.calls[2:] == [(-4, 2**16), (-1, 2**17), ("trim", 0)]
    monkeypatch.setattr(threads, "_c_library", lambda: None)
    with kept:
        pass
    assert len(library.calls) == 5


def test_freed_memory_is_kept_here():
    with threads.freed_memory_kept():
        assert np.ones(2**22).sum() == 2**22
    threads.give_back_freed_memory()
