"""Feature splitting: every layer with its nearest neighbors, against plain NumPy."""

import numpy as np
import pytest

from impasto.compute import keras_backend
from impasto.compute.arrays import to_numpy
from impasto.losses import feature_splitting
from impasto.losses.feature_splitting import FeatureSplittingLoss
from impasto.losses.terms import LayerView, TileOffset
from tests import tiny

pytestmark = pytest.mark.backend

LOSS = FeatureSplittingLoss()


def features(seed, height=5, width=6, channels=4):
    random = np.random.default_rng(seed)
    return np.maximum(random.normal(0.3, 1, (height, width, channels)), 0).astype(np.float32)


@pytest.fixture(scope="module")
def loss(frozen, place):
    """The loss of an array against paintings."""

    def value(received, *paintings, weights=None):
        target = frozen(paintings, received)
        view = LayerView(place(received), None if weights is None else place(weights))
        return float(LOSS.loss(LOSS.reduce(view, target), target))

    return value


@pytest.fixture(scope="module")
def frozen(place):
    """The target of paintings alone, compared where a picture like this one is."""

    def target(paintings, received):
        height, width, _ = received.shape
        grid = feature_splitting.compared_positions(TileOffset(0, 0, height, width), height, width)
        found = tiny.painted(LOSS, *paintings, place=place)
        nothing = np.zeros(received[grid.slices].shape, np.float32)
        found = found._replace(content=nothing, grid=np.array(grid, np.int32))
        return tiny.placed(found, place)

    return target


def naive(received, painting):
    flat, other = (e.reshape(-1, e.shape[-1]).astype(np.float64) for e in (received, painting))
    found = nearest(flat - other.mean(0), other)
    return np.sum((flat - found) ** 2) / np.sum(np.square(found))


def nearest(centered, other):
    """For every row the painting's of the smallest angle, each about a mean of its own."""
    found = []
    for one in centered:
        cosines = [
            one @ each / np.sqrt(one @ one * (each @ each)) for each in other - other.mean(0)
        ]
        found.append(other[int(np.argmax(cosines))])
    return np.array(found)


@pytest.fixture(scope="module")
def settled(place):
    """The loss with a style fraction, as in a feature splitting level, and its target."""

    def value(share, painting, so_far, photograph, received, weights=None):
        measure = FeatureSplittingLoss(share)
        weights = None if weights is None else place(weights)
        center = feature_splitting.FeatureStats(
            *map(to_numpy, LOSS.collect_stats(LayerView(place(so_far), weights)))
        )
        target = tiny.painted(measure, (1.0, painting), place=place)
        target = measure.finalize_target(target, center, LayerView(place(photograph)))
        target = tiny.placed(target, place)
        seen = LayerView(place(received), weights)
        return float(measure.loss(measure.reduce(seen, target), target)), target

    return value


def naive_settled(share, painting, so_far, photograph, received, weights=None):
    """The same in float64 and plain loops."""
    channels = painting.shape[-1]
    other, before, own, flat = (
        each.reshape(-1, channels).astype(np.float64)
        for each in (painting, so_far, photograph, received)
    )
    weights = np.ones(len(flat)) if weights is None else weights.reshape(-1).astype(np.float64)
    mean = sum(weight * row for weight, row in zip(weights, before, strict=True)) / sum(weights)
    wanted = share * nearest(flat - mean, other) + (1 - share) * own
    distance = sum(w * np.sum((f - t) ** 2) for w, f, t in zip(weights, flat, wanted, strict=True))
    return distance / sum(w * np.sum(t**2) for w, t in zip(weights, wanted, strict=True))


def test_the_loss_equals_its_equation(loss):
    received, painting = features(1), features(2)
    assert loss(received, (1.0, painting, None)) == pytest.approx(
        naive(received, painting), rel=1e-4
    )


def test_the_gradient_leads_to_the_neighbors_as_they_are(frozen, place):
    """2 (f - its neighbor) / Σ |its neighbor|²: finite differences would see neighbors change."""
    received, painting = features(10), features(11)
    target = frozen([(1.0, painting)], received)

    if place is np.asarray:
        sums, pullback = LOSS.vjp(LayerView(received), target)
        gradient = np.zeros_like(received)
        pullback(LOSS.loss_gradient(sums, target))(gradient)
    else:

        def value(seen, _):
            return LOSS.loss(LOSS.reduce(LayerView(seen * 1.0), target), target), {}

        _, _, gradient = keras_backend.value_and_gradient(value)(received, {})
    flat, other = received.reshape(-1, 4), painting.reshape(-1, 4)
    rows, among = (e - other.mean(0) for e in (flat, other))
    cosines = rows @ among.T / np.linalg.norm(rows, axis=1)[:, None] / np.linalg.norm(among, axis=1)
    found = other[cosines.argmax(1)]
    expected = 2 * (flat - found) / np.sum(found**2)
    np.testing.assert_allclose(gradient.reshape(-1, 4), expected, rtol=1e-3, atol=1e-6)


def test_it_vanishes_at_its_own_target(loss):
    assert loss(features(3), (1.0, features(3), None)) == pytest.approx(0, abs=1e-6)


def test_a_large_map_is_compared_at_a_grid_of_positions(loss, monkeypatch):
    monkeypatch.setattr(feature_splitting, "MAX_GRID_ROWS", 3)
    received, painting = features(4, 7, 5), features(5)
    expected = naive(received[::3, ::3], painting)
    assert loss(received, (1.0, painting, None)) == pytest.approx(expected, rel=1e-4)


def test_only_positions_with_weight_count_in_picture_and_painting(loss):
    received, painting = features(6), features(7)
    half = np.zeros((5, 6, 1), np.float32)
    half[:2] = 1
    found = loss(received, (1.0, painting, half), weights=half)
    assert found == pytest.approx(naive(received[:2], painting[:2]), rel=1e-4)


def test_paintings_are_looked_through_by_their_shares(frozen, monkeypatch):
    monkeypatch.setattr(feature_splitting, "MAX_POSITIONS", 8)
    one, other = features(8), features(9)
    pool = frozen([(3.0, one), (1.0, other)], one)
    rows = {tuple(row) for row in to_numpy(pool.features).tolist()}
    assert len(rows & {tuple(row) for row in one.reshape(-1, 4).tolist()}) == 6
    assert len(rows & {tuple(row) for row in other.reshape(-1, 4).tolist()}) == 2


SOFT = np.random.default_rng(20).uniform(0, 1, (5, 6, 1)).astype(np.float32)


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("weights", [None, SOFT], ids=["everywhere", "a soft region"])
def test_a_share_of_the_painting_equals_its_equation(settled, share, weights):
    seen = [features(seed, 5, 6) for seed in (21, 22, 23, 24)]
    expected = naive_settled(share, *seen, weights)
    assert settled(share, *seen, weights)[0] == pytest.approx(expected, rel=1e-4)


def test_a_picture_is_compared_about_its_own_mean_of_the_positions_that_count(settled):
    """That of the picture so far, which stays where it is while the picture changes."""
    so_far, painting = features(25), features(26)
    for weights in (None, SOFT):
        _, target = settled(1.0, painting, so_far, features(27), features(28), weights)
        expected = np.average(
            so_far.reshape(-1, 4), axis=0, weights=None if weights is None else weights.ravel()
        )
        np.testing.assert_allclose(to_numpy(target.mean), expected, rtol=1e-5)


def test_a_constant_that_is_added_to_a_picture_changes_no_neighbor(settled, place):
    """What is nearest depends on differences from the mean alone: exposure does not matter."""
    painting, so_far, photograph = features(29), features(30), features(31)
    brighter = so_far + np.float32(5)
    _, target = settled(1.0, painting, brighter, photograph, brighter)
    found = LOSS.reduce(LayerView(place(brighter)), target)
    wanted = nearest(
        so_far.reshape(-1, 4) - so_far.reshape(-1, 4).mean(0),
        painting.reshape(-1, 4).astype(np.float64),
    )
    assert float(found.size) == pytest.approx(np.sum(wanted**2), rel=1e-4)
    assert float(found.distance) == pytest.approx(
        np.sum((brighter.reshape(-1, 4) - wanted) ** 2), rel=1e-4
    )


def test_without_a_share_of_the_painting_the_photograph_is_what_is_wanted(settled):
    painting, so_far, photograph = features(32), features(33), features(34)
    assert settled(0.0, painting, so_far, photograph, photograph)[0] == pytest.approx(0, abs=1e-6)
    found, _ = settled(0.0, painting, so_far, photograph, so_far)
    expected = np.sum((so_far - photograph) ** 2) / np.sum(photograph**2)
    assert found == pytest.approx(expected, rel=1e-4)


def test_with_all_of_the_painting_the_photograph_is_not_asked(settled):
    painting, so_far, received = features(35), features(36), features(37)
    losses = {
        settled(1.0, painting, so_far, photograph, received)[0]
        for photograph in (features(38), features(39))
    }
    assert len(losses) == 1


def test_the_photograph_is_compared_at_the_same_grid_as_the_picture(settled, monkeypatch):
    monkeypatch.setattr(feature_splitting, "MAX_GRID_ROWS", 3)
    painting = features(40)
    so_far, photograph, received = (features(seed, 7, 5) for seed in (41, 42, 43))
    found, target = settled(0.3, painting, so_far, photograph, received)
    mean = so_far.reshape(-1, 4).astype(np.float64).mean(0)  # of all positions
    np.testing.assert_allclose(to_numpy(target.mean), mean, rtol=1e-5)
    flat, own = (
        each[::3, ::3].reshape(-1, 4).astype(np.float64) for each in (received, photograph)
    )
    wanted = 0.3 * nearest(flat - mean, painting.reshape(-1, 4).astype(np.float64)) + 0.7 * own
    expected = np.sum((flat - wanted) ** 2) / np.sum(wanted**2)
    assert found == pytest.approx(expected, rel=1e-4)
