"""Every measure of style behind one door."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from impasto.losses import styles
from impasto.recipe import settings as recipe

pytestmark = pytest.mark.backend


def features(seed, height=5, width=8):
    random = np.random.default_rng(seed)
    return np.maximum(random.normal(0.3, 1, (height, width, 4)), 0).astype(np.float32)


def loss(measure, received, target):
    value = measure.loss(ops.convert_to_tensor(received), None, target)
    return float(ops.convert_to_numpy(value))


def frozen(measure, *paintings):
    return measure.freeze([(1.0, ops.convert_to_tensor(each), None) for each in paintings])


@pytest.mark.parametrize("name", recipe.OBJECTIVES)
def test_every_name_is_a_measure_that_vanishes_at_its_own_target(name):
    measure = styles.measure(recipe.make(objective=name, strips=1))
    target = features(1)
    assert loss(measure, target, frozen(measure, target)) == pytest.approx(0, abs=1e-5)
    assert loss(measure, features(2), frozen(measure, target)) > 1e-3


@pytest.mark.parametrize("name", recipe.OBJECTIVES)
@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=10, deadline=None)
def test_no_measure_cares_for_the_order_of_positions(name, seed):
    measure = styles.measure(recipe.make(objective=name, strips=1))
    received, target = features(seed), features(seed + 1)
    random = np.random.default_rng(seed)
    shuffled = random.permutation(received.reshape(-1, 4)).reshape(received.shape)
    kept = frozen(measure, target)
    assert loss(measure, shuffled, kept) == pytest.approx(loss(measure, received, kept), rel=1e-3)
