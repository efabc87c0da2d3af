"""Pooling, moments and their gradients against plain NumPy."""

import threading
from concurrent.futures import ThreadPoolExecutor

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from threadpoolctl import ThreadpoolController

from impasto.compute import host
from tests import tiny

SIZES = st.integers(2, 11)


def features(seed, *shape):
    """Whole numbers, so that equal ones occur and sums are exact."""
    return np.random.default_rng(seed).integers(0, 4, shape).astype(np.float32)


@given(SIZES, SIZES, st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_maximum_pooling(height, width, seed):
    maps = features(seed, height, width, 3)
    np.testing.assert_array_equal(host.maximum_pool(maps)[0], tiny.naive_pooling(maps))


@given(SIZES, SIZES, st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_the_gradient_of_maximum_pooling_is_shared_by_the_largest(height, width, seed):
    maps = features(seed, height, width, 2)
    upstream = features(seed + 1, height // 2, width // 2, 2)
    _, winners = host.maximum_pool(maps)
    received = host.maximum_pool_gradient(upstream, winners, height, width)
    expected = np.zeros_like(maps)
    for i, j, c in np.ndindex(*upstream.shape):
        window = maps[2 * i : 2 * i + 2, 2 * j : 2 * j + 2, c]
        largest = window == window.max()
        expected[2 * i : 2 * i + 2, 2 * j : 2 * j + 2, c] = (
            upstream[i, j, c] * largest / largest.sum()
        )
    np.testing.assert_allclose(received, expected, rtol=1e-6)


@given(SIZES, SIZES, st.data())
@settings(max_examples=40, deadline=None)
def test_any_rows_of_the_gradient_of_maximum_pooling(height, width, data):
    top = data.draw(st.integers(0, height - 1))
    bottom = data.draw(st.integers(top + 1, height))
    _, winners = host.maximum_pool(features(1, height, width, 2))
    upstream = features(2, height // 2, width // 2, 2)
    whole = host.maximum_pool_gradient(upstream, winners, height, width)
    rows = np.full((bottom - top, width, 2), np.nan, np.float32)
    host.unpool(upstream, winners, top, bottom, rows)
    np.testing.assert_array_equal(rows, whole[top:bottom])


@given(SIZES, st.integers(1, 11), st.integers(1, 6), st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_the_moments_of_slices_are_sums_over_their_positions(height, width, slices, seed):
    maps = features(seed, height, width, 3)
    received = host.sliced_moments(maps, slices)
    each = -(-width // slices)
    for number in range(slices):
        flat = maps[:, number * each : (number + 1) * each].reshape(-1, 3)
        np.testing.assert_array_equal(received[number, :-1], flat.T @ flat)
        np.testing.assert_allclose(received[number, -1], flat.sum(axis=0), rtol=1e-5, atol=1e-5)


@given(SIZES, st.integers(1, 11), st.integers(1, 6), st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_the_gradient_of_the_moments_is_that_of_finite_differences(height, width, slices, seed):
    maps, direction = (features(seed + n, height, width, 3).astype(np.float64) for n in (0, 1))
    upstream = features(seed + 2, slices, 4, 3)

    def value(maps):
        return np.sum(host.sliced_moments(maps.astype(np.float32), slices) * upstream)

    # The sums are quadratic, for which central differences are exact.
    expected = (value(maps + direction) - value(maps - direction)) / 2
    seen = maps.astype(np.float32)
    gradient = host.added_up(host.sliced_moments_gradient(upstream, seen), seen)
    assert np.sum(gradient * direction) == pytest.approx(expected)


@pytest.mark.parametrize("weighted", [False, True])
def test_maps_in_bfloat16_give_what_those_in_float32_give_rounded(weighted):
    maps, upstream = features(1, 9, 7, 3), features(2, 4, 3, 3)
    weights = features(3, 9, 7, 1) if weighted else None
    of_sums = np.random.default_rng(4).normal(size=(2, 4, 3)).astype(np.float32)

    def computed(dtype):
        own = maps.astype(dtype)
        pooled, winners = host.maximum_pool(own)
        add = host.block_means_gradient(upstream, 2)
        back = host.maximum_pool_gradient(upstream.astype(dtype), winners, 9, 7, add)
        slope = host.added_up(host.sliced_moments_gradient(of_sums, own, (), weights), own)
        assert pooled.dtype == back.dtype == slope.dtype == dtype
        return host.sliced_moments(own, 2, (), weights), winners, pooled, back, slope

    for received, expected in zip(
        computed(ml_dtypes.bfloat16), computed(np.dtype(np.float32)), strict=True
    ):
        np.testing.assert_array_equal(received, expected.astype(received.dtype))


def test_arrays_are_aligned():
    for shape in ((3,), (5, 7, 2)):
        array = host.empty(shape)
        assert array.shape == shape
        assert array.ctypes.data % host.ALIGNMENT == 0


def test_an_error_in_a_piece_of_work_comes_out():
    with pytest.raises(ZeroDivisionError):
        host.in_parallel(lambda piece: 1 / piece, [1, 0])


def blas_threads():
    return {each["num_threads"] for each in ThreadpoolController().select(user_api="blas").info()}


def test_blas_keeps_to_one_thread_until_the_last_has_left():
    before = blas_threads()
    seen = []
    barrier = threading.Barrier(2)

    def short():
        with host.one_blas_thread():
            barrier.wait()

    def long():
        with host.one_blas_thread():
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
                callers.submit(host.in_parallel, lambda _: blas_threads(), range(4))
                for _ in range(4)
            ]
        assert [each for one in done for each in one.result()] == [{1}] * 16


def test_powers_of_matrices_multiply_to_the_matrix():
    random = np.random.default_rng(1).normal(size=(3, 2, 6, 9)).astype(np.float32)
    matrices = random @ random.swapaxes(-1, -2)
    roots = host.matrix_power(matrices, 0.5, 1e-7, 1e-16)
    np.testing.assert_allclose(roots @ roots, matrices, rtol=1e-3, atol=1e-3)
    inverse = host.matrix_power(matrices, -0.5, 1e-7, 1e-16)
    np.testing.assert_allclose(inverse @ roots, np.broadcast_to(np.eye(6), roots.shape), atol=1e-2)
    assert np.isfinite(host.matrix_power(-matrices[0, 0], -0.5, 1e-7, 1e-16)).all()


@pytest.mark.parametrize("dtype", [np.float32, ml_dtypes.bfloat16])
@given(st.integers(4, 11), st.integers(4, 11), st.sampled_from([2, 4]), st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_means_of_blocks_and_their_gradient(dtype, height, width, apart, seed):
    maps = features(seed, height, width, 3).astype(dtype)
    found = host.block_means(maps, apart)
    upstream = features(seed + 1, *found.shape)
    expected, gradient = np.zeros_like(found), np.zeros(maps.shape, np.float32)
    for i, j in np.ndindex(*found.shape[:2]):
        window = slice(apart * i, apart * (i + 1)), slice(apart * j, apart * (j + 1))
        expected[i, j] = maps[window].astype(np.float32).mean(axis=(0, 1))
        gradient[window] = upstream[i, j] / apart**2
    np.testing.assert_array_equal(found, expected)
    received = host.added_up(host.block_means_gradient(upstream, apart), maps)
    assert received.dtype == dtype
    np.testing.assert_array_equal(received, gradient.astype(dtype))


def test_thinned_features_and_their_gradient():
    maps = features(0, 9, 11, 2)
    grid = np.array([1, 2, 3, 3, 3], np.int32)
    found = host.thinned(maps, grid)
    np.testing.assert_array_equal(found, maps[[1, 4, 7]][:, [2, 5, 8]])
    gradient = host.added_up(host.thinned_gradient(found, grid), maps)
    np.testing.assert_array_equal(host.thinned(gradient, grid), found)
    assert np.count_nonzero(gradient) == np.count_nonzero(found)


def test_freed_memory_is_kept_until_the_last_has_left_and_given_back():
    class Library:
        def __init__(self):
            self.calls = []

        def mallopt(self, which, value):
            self.calls.append((which, value))

        def malloc_trim(self, pad):
            self.calls.append(("trim", pad))

    library = Library()
    kept = host._FreedMemory(library)
    with kept:
        began = list(library.calls)
        with kept:
            pass
        assert library.calls == began == [(-4, 0), (-1, 2**31 - 1)]
    assert library.calls[2:] == [(-4, 2**16), (-1, 2**17), ("trim", 0)]
    with host._FreedMemory(None):
        pass


def test_freed_memory_is_kept_here():
    with host.freed_memory_kept():
        assert np.ones(2**22).sum() == 2**22
    host.give_back_freed_memory()


@pytest.mark.parametrize(
    ("listed", "expected"),
    [
        ("flags\t\t: fpu avx2 fma\n", False),
        ("flags\t\t: fpu avx512_bf16\n", True),
        ("Features\t: fp asimd bf16\n", True),
        ("hardware: none of these lines\n", True),
        (None, True),
    ],
)
def test_what_a_processor_has_is_read_where_it_is_listed(tmp_path, listed, expected):
    file = tmp_path / "cpuinfo"
    if listed is not None:
        file.write_text(listed)
    assert host.has_bfloat16(file) == expected


@given(st.integers(4, 11), st.integers(4, 11), st.data())
@settings(max_examples=40, deadline=None)
def test_any_rows_of_what_is_added_are_those_of_the_whole(height, width, data):
    maps = features(1, height, width, 2)
    grid = np.array([1, 2, 2, height // 2, (width - 1) // 2], np.int32)
    means, thin = host.block_means(maps, 4), host.thinned(maps, grid)
    weights = features(2, height, width, 1)
    adds = [
        host.block_means_gradient(features(3, *means.shape), 4),
        host.thinned_gradient(features(4, *thin.shape), grid),
        host.sliced_moments_gradient(features(5, 2, 3, 2), maps, (), weights),
    ]
    add = data.draw(st.sampled_from(adds))
    top = data.draw(st.integers(0, height - 1))
    rows = slice(top, data.draw(st.integers(top + 1, height)))
    # As a part of something wider, which a layer's gradient is where edges are replicated.
    wider = np.ones((rows.stop - rows.start, width + 2, 2), np.float32)
    add(rows, wider[:, 1:-1])
    expected = host.added_up(add, maps)[rows]
    np.testing.assert_allclose(wider[:, 1:-1] - 1, expected, rtol=1e-4, atol=1e-5)
    assert np.all(wider[:, [0, -1]] == 1)
