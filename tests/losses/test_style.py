"""Every measure of style behind one door."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from impasto.compute.arrays import to_numpy
from impasto.losses.moment_losses import GRAM, MOMENTS, WASSERSTEIN
from impasto.losses.neighbors import NeighborsLoss
from impasto.losses.style import STYLE_LOSSES, MomentsStyleLoss
from impasto.losses.terms import LayerView
from impasto.recipe import settings as recipe
from tests import tiny

pytestmark = pytest.mark.backend

MEASURES = {
    "gram": MomentsStyleLoss(GRAM, True, 1),
    "moments": MomentsStyleLoss(MOMENTS, True, 1),
    "wasserstein": MomentsStyleLoss(WASSERSTEIN, True, 1),
    "neighbors": NeighborsLoss(),
}


def test_the_table_has_every_style_loss_that_a_recipe_may_name():
    assert [*STYLE_LOSSES] == [*recipe.STYLE_LOSSES] == ["matching", *MEASURES]


def features(seed, height=5, width=8):
    random = np.random.default_rng(seed)
    return np.maximum(random.normal(0.3, 1, (height, width, 4)), 0).astype(np.float32)


@pytest.fixture(scope="module")
def loss(place):
    """The loss of an array by a measure."""

    def value(measure, received, target):
        sums = measure.reduce(LayerView(place(received)), target)
        return float(to_numpy(measure.loss(sums, target)))

    return value


@pytest.fixture(scope="module")
def frozen(place):
    """The target of paintings."""
    return lambda measure, *paintings: tiny.painted(
        measure, *((1.0, each) for each in paintings), place=place
    )


@pytest.mark.parametrize("name", MEASURES)
def test_every_name_is_a_measure_that_vanishes_at_its_own_target(loss, frozen, name):
    measure = MEASURES[name]
    target = features(1)
    assert loss(measure, target, frozen(measure, target)) == pytest.approx(0, abs=1e-5)
    assert loss(measure, features(2), frozen(measure, target)) > 1e-3


@pytest.mark.parametrize("name", MEASURES)
@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=10, deadline=None)
def test_no_measure_cares_for_the_order_of_positions(loss, frozen, name, seed):
    measure = MEASURES[name]
    received, target = features(seed), features(seed + 1)
    random = np.random.default_rng(seed)
    shuffled = random.permutation(received.reshape(-1, 4)).reshape(received.shape)
    kept = frozen(measure, target)
    assert loss(measure, shuffled, kept) == pytest.approx(loss(measure, received, kept), rel=1e-3)
