"""The nearest-neighbor measure of style."""

import numpy as np
import pytest

from impasto.compute.arrays import to_numpy
from impasto.losses import neighbors
from impasto.losses.terms import LayerView
from tests import tiny

pytestmark = pytest.mark.backend


def features(seed, height=5, width=6, channels=4):
    random = np.random.default_rng(seed)
    return np.maximum(random.normal(0.3, 1, (height, width, channels)), 0).astype(np.float32)


NEIGHBORS = neighbors.NeighborsLoss()


@pytest.fixture(scope="module")
def measure(place):
    """The loss of an array against paintings."""

    def loss(received, *paintings, weights=None):
        weights = None if weights is None else place(weights)
        target = tiny.painted(NEIGHBORS, *paintings, place=place)
        view = LayerView(place(received), weights)
        return float(to_numpy(NEIGHBORS.loss(NEIGHBORS.reduce(view, target), target)))

    return loss


def test_the_loss_equals_its_equation(measure):
    received, target = features(1), features(2)
    expected = tiny.naive_neighbors(received, target)
    assert measure(received, (1.0, target, None)) == pytest.approx(expected, rel=1e-4)


def test_it_vanishes_at_its_own_target_in_any_order(measure):
    target = features(3)
    shuffled = np.random.default_rng(3).permutation(target.reshape(-1, 4)).reshape(target.shape)
    assert measure(shuffled, (1.0, target, None)) == pytest.approx(0, abs=1e-5)


def test_several_paintings_count_by_their_shares(measure):
    received, one, other = features(4), features(5), features(6)
    alone = [measure(received, (1.0, each, None)) for each in (one, other)]
    mixed = measure(received, (3.0, one, None), (1.0, other, None))
    assert mixed == pytest.approx(0.75 * alone[0] + 0.25 * alone[1], rel=1e-4)


def test_only_positions_with_weight_count_in_picture_and_painting(measure):
    received, target = features(7), features(8)
    weights = np.zeros((5, 6, 1), np.float32)
    weights[:2] = 1
    expected = tiny.naive_neighbors(received[:2], target[:2])
    found = measure(received, (1.0, target, weights), weights=weights)
    assert found == pytest.approx(expected, rel=1e-4)


def test_a_large_painting_is_looked_through_at_some_positions_alone(measure, place, monkeypatch):
    monkeypatch.setattr(neighbors, "MAX_POSITIONS", 8)
    (pool,) = tiny.painted(NEIGHBORS, (1.0, features(9)), place=place)
    assert tuple(pool.directions.shape) == (8, 4)
    assert 0 < measure(features(10), (1.0, features(9), None)) < 2
