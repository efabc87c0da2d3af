"""What losses read off feature maps: block means, a sample of positions, moments of slices."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from impasto.compute import feature_reductions, keras_backend
from impasto.compute.arrays import to_numpy
from impasto.losses import moments
from impasto.losses.terms import LayerView, TileOffset
from tests import tiny

pytestmark = pytest.mark.backend

SIZES = st.integers(4, 11)


def features(seed, *shape):
    """Whole numbers, so that sums are exact."""
    return np.random.default_rng(seed).integers(0, 4, shape).astype(np.float32)


def added_to_ones(add, shape):
    """What is added to a gradient, here to the inside of a wider one, as tiles have it."""
    wider = np.ones((shape[0] + 2, shape[1] + 3, shape[2]), np.float32)
    add(wider[1:-1, 1:-2])
    outside = wider.copy()
    outside[1:-1, 1:-2] = 1
    np.testing.assert_array_equal(outside, 1)
    return wider[1:-1, 1:-2] - 1


@tiny.needs_kernels
@given(SIZES, SIZES, st.sampled_from([1, 2, 4]), st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_means_of_blocks_and_their_gradient(height, width, size, seed):
    maps = features(seed, height, width, 3)
    found = feature_reductions.block_mean(maps, size)
    upstream = features(seed + 1, *found.shape)
    expected, gradient = np.zeros_like(found), np.zeros(maps.shape, np.float32)
    for i, j in np.ndindex(*found.shape[:2]):
        window = slice(size * i, size * (i + 1)), slice(size * j, size * (j + 1))
        expected[i, j] = maps[window].mean(axis=(0, 1))
        gradient[window] = upstream[i, j] / size**2
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    tensors = feature_reductions.block_mean(ops.convert_to_tensor(maps), size)
    np.testing.assert_allclose(to_numpy(tensors), expected, rtol=1e-6)
    received = added_to_ones(feature_reductions.block_mean_gradient(upstream, size), maps.shape)
    np.testing.assert_allclose(received, gradient, atol=1e-6)


def test_means_of_blocks_of_arrays_need_no_compiled_kernels(monkeypatch):
    maps = features(0, 9, 11, 3)
    expected = feature_reductions.block_mean(maps, 2)
    monkeypatch.setattr(feature_reductions.kernels, "kernels_available", lambda: False)
    np.testing.assert_allclose(feature_reductions.block_mean(maps, 2), expected, rtol=1e-6)


@pytest.mark.parametrize("place", [np.asarray, ops.convert_to_tensor])
def test_a_sample_of_positions(place):
    maps, grid = features(0, 9, 11, 2), np.array([1, 2, 3, 3, 3], np.int32)
    found = feature_reductions.strided_sample(place(maps), place(grid), 3, 3)
    np.testing.assert_array_equal(to_numpy(found), maps[[1, 4, 7]][:, [2, 5, 8]])


def naive_moments(maps, weights, slices, first, whole):
    """By slice, sums and products of the columns that lie in it, position by position."""
    each = -(-whole // slices)
    sums, seconds = np.zeros((slices, 3)), np.zeros((slices, 3, 3))
    for i, j in np.ndindex(*maps.shape[:2]):
        number, weight, vector = (first + j) // each, weights[i, j, 0], maps[i, j]
        sums[number] += weight * vector
        seconds[number] += weight * np.outer(vector, vector)
    return sums, seconds


@given(st.integers(2, 11), st.integers(1, 11), st.integers(1, 6), st.integers(0, 9), st.booleans())
@settings(max_examples=40, deadline=None)
def test_the_moments_of_slices_are_sums_over_their_positions(height, width, slices, first, weighed):
    """Also those of a part whose columns begin at ``first`` in the whole."""
    maps, whole = features(height * width, height, width, 3), first + width + 2
    weights = features(slices, height, width, 1) if weighed else None
    each = np.ones((height, width, 1)) if weights is None else weights
    expected = naive_moments(maps, each, slices, first, whole)
    found = feature_reductions.slice_moments(maps, weights, slices, first, whole)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5)


@given(st.integers(2, 11), st.integers(1, 11), st.integers(1, 6), st.booleans())
@settings(max_examples=40, deadline=None)
def test_the_gradient_of_the_moments_is_that_of_finite_differences(height, width, slices, weighed):
    maps, direction = (features(height + n, height, width, 3) for n in (0, 1))
    weights = features(width, height, width, 1) if weighed else None
    by_sums, by_seconds = features(2, slices, 3), features(3, slices, 3, 3)

    def value(maps):
        sums, seconds = feature_reductions.slice_moments(maps, weights, slices)
        return np.vdot(sums, by_sums) + np.vdot(seconds, by_seconds)

    # The sums are quadratic, for which central differences are exact.
    expected = (value(maps + direction) - value(maps - direction)) / 2
    add = feature_reductions.slice_moments_gradient(by_sums, by_seconds, maps, weights)
    gradient = added_to_ones(add, maps.shape)
    assert np.sum(gradient * direction) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("weighed", [False, True])
@pytest.mark.parametrize("place", [None, TileOffset(0, 2, 9, 20)], ids=["whole", "a part"])
def test_moments_of_arrays_are_those_of_tensors(place, weighed):
    maps, weights = features(1, 9, 11, 3), features(9, 9, 11, 1) if weighed else None
    found = moments.slice_moments(LayerView(maps, weights, place), 3)
    tensor = None if weights is None else ops.convert_to_tensor(weights)

    def read(picture, constants):
        where = None if place is None else TileOffset(*constants)
        sums = moments.slice_moments(LayerView(picture, tensor, where), 3)
        return ops.concatenate([ops.reshape(each, (-1,)) for each in sums])

    numbers = [] if place is None else [ops.convert_to_tensor(np.int32(each)) for each in place]
    expected = to_numpy(keras_backend.compile_function(read)(maps, numbers))
    np.testing.assert_allclose(np.concatenate([each.ravel() for each in found]), expected)
