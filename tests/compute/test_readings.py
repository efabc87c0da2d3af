"""What is read off features: both ways of each against the other, on every backend."""

import numpy as np
import pytest
from keras import ops

from impasto.compute import backend, readings
from impasto.losses import moments
from impasto.losses.terms import Place

pytestmark = pytest.mark.backend


def features(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def readings_of_all_kinds():
    grid = ops.convert_to_tensor(np.array([1, 0, 3, 3, 4], np.int32))
    weights = backend.constant(np.abs(features(9, 9, 11, 1)))
    where = Place(0, *(ops.convert_to_tensor(np.int32(each)) for each in (2, 9, 20)))
    yield readings.means(2)
    yield readings.means(4)
    yield readings.thinned(grid, ops.zeros((3, 4, 1)))
    yield moments.sliced(3)
    yield moments.sliced(3, weights=weights)
    yield moments.sliced(3, where, weights)


def evaluated(read, weight):
    def loss(picture, constants):
        return ops.sum(read(picture) * weight), {}

    total, _, gradient = backend.value_and_gradient(loss)(features(1, 9, 11, 3), {})
    return total, gradient


def test_what_is_read_and_its_gradient_are_those_on_a_device():
    for reading in readings_of_all_kinds():
        weight = backend.constant(features(2, *reading.shape((9, 11, 3))))
        total, gradient = evaluated(lambda x, each=reading: readings.read(each, x), weight)
        expected, slope = evaluated(reading.on_device, weight)
        assert total == pytest.approx(expected, rel=1e-4), reading.name
        np.testing.assert_allclose(gradient, slope, rtol=1e-4, atol=1e-4)


def test_gradients_that_nobody_asked_for_are_not_added():
    maps = features(3, 8, 8, 2)
    together = readings.added([readings.means(2), readings.means(4)])
    nothing, some = np.zeros((4, 4, 2), np.float32), features(4, 2, 2, 2)
    assert together(maps, nothing, np.zeros_like(some)) is None
    out = np.zeros_like(maps)
    together(maps, nothing, some)(slice(0, 8), out)
    np.testing.assert_allclose(out, some.repeat(4, axis=0).repeat(4, axis=1) / 16)
