"""The last pass: every layer with its nearest neighbors, against plain NumPy."""

import numpy as np
import pytest
from keras import ops

from impasto.compute import backend
from impasto.losses import polish
from impasto.losses.terms import Painted, View

pytestmark = pytest.mark.backend


def features(seed, height=5, width=6, channels=4):
    random = np.random.default_rng(seed)
    return np.maximum(random.normal(0.3, 1, (height, width, channels)), 0).astype(np.float32)


def loss(received, *paintings, weights=None):
    painted = [
        Painted(share, *(each if each is None else ops.convert_to_tensor(each) for each in rest))
        for share, *rest in paintings
    ]
    target = polish.freeze(painted)
    view = View(ops.convert_to_tensor(received), weights)
    return float(polish.loss(polish.read(view, target), target))


def naive(received, painting):
    flat, other = (e.reshape(-1, e.shape[-1]).astype(np.float64) for e in (received, painting))
    mean = other.mean(0)
    found = []
    for one in flat - mean:
        cosines = [one @ each / np.sqrt(one @ one * (each @ each)) for each in other - mean]
        found.append(other[int(np.argmax(cosines))])
    return np.sum((flat - found) ** 2) / np.sum(np.square(found))


def test_the_loss_equals_its_equation():
    received, painting = features(1), features(2)
    assert loss(received, (1.0, painting, None)) == pytest.approx(
        naive(received, painting), rel=1e-4
    )


def test_the_gradient_leads_to_the_neighbors_as_they_are():
    """2 (f - its neighbor) / Σ |its neighbor|²: finite differences would see neighbors change."""
    received, painting = features(10), features(11)
    target = polish.freeze([Painted(1.0, ops.convert_to_tensor(painting))])

    def value(seen, _):
        return polish.loss(polish.read(View(seen * 1.0), target), target), {}

    _, _, gradient = backend.value_and_gradient(value)(received, {})
    flat, other = received.reshape(-1, 4), painting.reshape(-1, 4)
    rows, among = (e - other.mean(0) for e in (flat, other))
    cosines = rows @ among.T / np.linalg.norm(rows, axis=1)[:, None] / np.linalg.norm(among, axis=1)
    found = other[cosines.argmax(1)]
    expected = 2 * (flat - found) / np.sum(found**2)
    np.testing.assert_allclose(gradient.reshape(-1, 4), expected, rtol=1e-3, atol=1e-6)


def test_it_vanishes_at_its_own_target():
    assert loss(features(3), (1.0, features(3), None)) == pytest.approx(0, abs=1e-6)


def test_a_large_map_is_compared_at_a_grid_of_positions(monkeypatch):
    monkeypatch.setattr(polish, "GRID", 3)
    received, painting = features(4, 7, 5), features(5)
    expected = naive(received[::3, ::3], painting)
    assert loss(received, (1.0, painting, None)) == pytest.approx(expected, rel=1e-4)


def test_only_positions_with_weight_count_in_picture_and_painting():
    received, painting = features(6), features(7)
    half = np.zeros((5, 6, 1), np.float32)
    half[:2] = 1
    found = loss(received, (1.0, painting, half), weights=ops.convert_to_tensor(half))
    assert found == pytest.approx(naive(received[:2], painting[:2]), rel=1e-4)


def test_paintings_are_looked_through_by_their_shares(monkeypatch):
    monkeypatch.setattr(polish, "POOL", 8)
    one, other = features(8), features(9)
    pool = polish.freeze(
        [Painted(3.0, ops.convert_to_tensor(one)), Painted(1.0, ops.convert_to_tensor(other))]
    )
    rows = {tuple(row) for row in ops.convert_to_numpy(pool.features).tolist()}
    assert len(rows & {tuple(row) for row in one.reshape(-1, 4).tolist()}) == 6
    assert len(rows & {tuple(row) for row in other.reshape(-1, 4).tolist()}) == 2
