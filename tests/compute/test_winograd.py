"""Winograd's convolution against plain loops, and its gradient against the layer itself."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from impasto.compute import host, winograd
from tests import tiny


@pytest.fixture(
    scope="module",
    params=((0, 0), (10**6, 0), (0, 8)),
    ids=("tiles", "small", "narrow"),
    autouse=True,
)
def limits(request):
    """Maps this small and narrow would never be cut into tiles: every test runs every way."""
    few_tiles, narrow = request.param
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(winograd, "FEW_TILES", few_tiles)
        patch.setattr(winograd, "NARROW", narrow)
        yield


def random(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def flipped(kernel):
    return winograd.transform(np.ascontiguousarray(np.flip(kernel, (0, 1)).swapaxes(2, 3)))


@given(st.integers(1, 13), st.integers(1, 13), st.booleans(), st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_a_layer_is_convolution_bias_and_relu(height, width, replicate, seed):
    features, kernel, bias = (
        random(seed, height, width, 3),
        random(seed, 3, 3, 3, 2),
        random(seed, 2),
    )
    expected = np.maximum(tiny.naive_convolution(features, kernel, replicate) + bias, 0)
    received = winograd.layer(features, winograd.transform(kernel), bias, replicate)
    assert received.dtype == np.float32
    np.testing.assert_allclose(received, expected, rtol=1e-4, atol=1e-4)


@given(st.integers(1, 13), st.integers(1, 13), st.booleans(), st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_the_gradient_is_the_transpose_of_the_layer_where_it_is_positive(
    height, width, replicate, seed
):
    features, kernel = random(seed, height, width, 2), random(seed, 3, 3, 2, 3)
    upstream, direction = random(seed + 1, height, width, 3), random(seed + 2, height, width, 2)
    result = winograd.layer(features, winograd.transform(kernel), np.zeros(3, "f"), replicate)
    change = tiny.naive_convolution(direction, kernel, replicate)
    expected = np.sum(change * upstream * (result > 0))
    gradient = winograd.layer_gradient(upstream, result, flipped(kernel), replicate)
    assert np.sum(gradient * direction) == pytest.approx(expected, rel=1e-3, abs=1e-3)


@given(
    st.integers(1, 13),
    st.integers(1, 13),
    st.booleans(),
    st.integers(1, 4),
    st.integers(0, 2**32 - 1),
)
@settings(max_examples=40, deadline=None)
def test_what_is_added_on_the_way_is_added_to_the_gradient(height, width, replicate, slices, seed):
    features, kernel = random(seed, height, width, 2), random(seed, 3, 3, 2, 3)
    result = winograd.layer(features, winograd.transform(kernel), np.zeros(3, "f"), replicate)
    upstream, moments = random(seed + 1, height, width, 3), random(seed + 2, slices, 3, 2)
    arguments = upstream, result, flipped(kernel), replicate
    expected = winograd.layer_gradient(*arguments)
    add = host.sliced_moments_gradient(moments, features)
    expected = expected + host.added_up(add, features)
    received = winograd.layer_gradient(*arguments, add)
    np.testing.assert_allclose(received, expected, rtol=1e-3, atol=1e-3)


@given(st.integers(2, 13), st.integers(2, 13), st.booleans(), st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_a_pooled_layer_and_its_gradient_are_those_of_both_apart(height, width, replicate, seed):
    features, kernel, bias = (
        random(seed, height, width, 3),
        random(seed, 3, 3, 3, 2),
        random(seed, 2),
    )
    features[:, width // 2 :] = 1.0  # flat, so that values are equal
    whole = winograd.layer(features, winograd.transform(kernel), bias, replicate)
    expected, among_all = host.maximum_pool(whole)
    pooled, winners = winograd.pooled_layer(features, winograd.transform(kernel), bias, replicate)
    np.testing.assert_array_equal(pooled, expected)
    np.testing.assert_array_equal(winners, np.where(expected > 0, among_all, 0))
    upstream = random(seed + 1, *pooled.shape)
    before = host.maximum_pool_gradient(upstream, winners, height, width)
    np.testing.assert_allclose(
        winograd.pooled_layer_gradient(
            upstream, winners, (height, width), flipped(kernel), replicate
        ),
        winograd.layer_gradient(before, whole, flipped(kernel), replicate),
        rtol=1e-5,
        atol=1e-5,
    )


def test_the_error_at_the_size_of_a_real_layer_is_that_of_float32():
    features, kernel = np.abs(random(1, 16, 16, 256)), random(2, 3, 3, 256, 64) / 48
    exact = tiny.naive_convolution(features[:5, :5].astype(np.float64), kernel[..., :2])[:4, :4]
    received = winograd.layer(features, winograd.transform(kernel), np.full(64, 1e3, "f"), False)
    assert np.abs(received[:4, :4, :2] - 1e3 - exact).max() < 1e-3


def test_work_that_is_cut_into_many_pieces_gives_the_same_layer(monkeypatch):
    features, kernel, bias = random(3, 41, 30, 4), random(4, 3, 3, 4, 4), random(5, 4)
    whole = winograd.layer(features, winograd.transform(kernel), bias, True)
    monkeypatch.setattr(winograd, "CHUNK", 1)
    monkeypatch.setattr(winograd, "LEAST_TILES", 1)
    pieces = winograd.layer(features, winograd.transform(kernel), bias, True)
    np.testing.assert_allclose(pieces, whole, rtol=1e-4, atol=1e-4)


def test_the_result_does_not_depend_on_the_number_of_cores(monkeypatch):
    features, kernel, bias = random(3, 200, 64, 16), random(4, 3, 3, 16, 16), random(5, 16)
    several = winograd.layer(features, winograd.transform(kernel), bias, True)
    monkeypatch.setattr(host, "cores", lambda: 1)
    host._workers.cache_clear()
    try:
        one = winograd.layer(features, winograd.transform(kernel), bias, True)
    finally:
        host._workers.cache_clear()
    np.testing.assert_array_equal(one, several)
