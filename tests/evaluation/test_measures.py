"""The measures against their equations in plain loops, and their properties."""

import numpy as np
import pytest
import scipy.linalg
import scipy.stats

from impasto.evaluation import measures

RANDOM = np.random.default_rng(9)


def features(height, width, channels=6, shift=0.0):
    return (RANDOM.normal(size=(height, width, channels)) + shift).astype(np.float32)


def cosine(a, b):
    return a @ b / (np.linalg.norm(a) * np.linalg.norm(b))


def test_local_style_by_its_equation(monkeypatch):
    monkeypatch.setattr(measures, "CHUNK_ROWS", 7)  # in pieces that do not come out even
    own, other = features(4, 5), features(3, 6, shift=0.5)
    mean = other.reshape(-1, 6).mean(0)
    rows = [each.reshape(-1, 6).astype(np.float64) - mean for each in (own, other)]
    table = np.array([[1 - cosine(a, b) for b in rows[1]] for a in rows[0]])
    local, coverage = measures.local_style(own, other)
    assert local == pytest.approx(table.min(axis=1).mean(), abs=1e-6)
    assert coverage == pytest.approx(table.min(axis=0).mean(), abs=1e-6)


def test_coverage_grows_if_half_of_the_style_image_is_not_used():
    style = features(8, 8)
    local, coverage = measures.local_style(style[:4], style)
    assert local == pytest.approx(0, abs=1e-6)
    assert coverage > 0.1


def test_global_style_by_its_equation():
    own, other = features(6, 7), features(5, 8, shift=0.3) * np.float32(1.5)
    flat, target = (each.reshape(-1, 6).astype(np.float64) for each in (own, other))
    covariance, wanted = (np.cov(each.T, bias=True) for each in (flat, target))
    root = scipy.linalg.sqrtm(wanted)
    cross = scipy.linalg.sqrtm(root @ covariance @ root).real
    distance = np.sum((flat.mean(0) - target.mean(0)) ** 2)
    distance += np.trace(covariance + wanted - 2 * cross)
    assert measures.global_style(own, other) == pytest.approx(distance / np.trace(wanted), rel=1e-5)


def test_global_style_is_one_for_the_mean_alone_and_does_not_ask_where_or_how_strong():
    style = features(9, 9)
    mean = np.broadcast_to(style.mean((0, 1)), (4, 4, 6))
    assert measures.global_style(mean, style) == pytest.approx(1, abs=1e-5)
    turned = style[::-1].copy()
    assert measures.global_style(turned, style) == pytest.approx(0, abs=1e-5)
    own = features(9, 9)
    strong = measures.global_style(3 * own, 3 * style)
    assert strong == pytest.approx(measures.global_style(own, style), rel=1e-4)


def test_global_style_with_fewer_positions_than_channels_is_finite():
    few, many = features(2, 3, 40), features(9, 9, 40)
    assert 0 < measures.global_style(few, many) < np.inf
    assert 0 < measures.global_style(many, few) < np.inf


def lab(*color, size=(24, 32)):
    return np.broadcast_to(np.array(color, np.float32), (*size, 3)).copy()


def test_palette_excess_is_the_distance_from_the_colors_of_the_style_image():
    style = lab(50, 0, 0)
    style[:, 16:] = (80, 20, 0)
    own = lab(50, 0, 0)
    assert measures.palette_excess(own, style) == pytest.approx(0, abs=1e-4)
    assert measures.palette_excess(own + np.float32((0, 0, 7)), style) == pytest.approx(7)
    # Half of the image has a foreign color: half the distance, except for the soft edge.
    own[:12] = (50, 0, -10)
    assert measures.palette_excess(own, style) == pytest.approx(5, abs=0.5)


def test_single_pixels_are_not_colors_of_the_style_image():
    style = lab(50, 0, 0, size=(192, 192))
    style[90, 90] = (50, 60, 0)
    assert measures.palette_excess(lab(50, 60, 0), style) > 50


@pytest.mark.parametrize("shift", [(3, 0, 0), (0, -3, 0), (1, 2, 2)])
def test_the_palette_distance_of_colors_that_are_all_moved_is_by_how_much(shift):
    style = features(40, 50, 3) * np.float32(20)
    moved = style + np.float32(shift)
    distance = measures.palette_distance(moved, style)
    assert distance == pytest.approx(3, rel=0.02)
    assert measures.palette_distance(style[::-1], style) == 0


def test_the_palette_distance_by_its_equation():
    own, other = features(30, 40, 3) * np.float32(9), features(25, 28, 3, shift=1) * np.float32(7)
    ways = RANDOM.normal(size=(2000, 3))
    ways /= np.linalg.norm(ways, axis=1, keepdims=True)
    by_chance = [
        scipy.stats.wasserstein_distance(own.reshape(-1, 3) @ way, other.reshape(-1, 3) @ way)
        for way in ways
    ]
    distance = measures.palette_distance(own, other)
    assert distance == pytest.approx(2 * np.mean(by_chance), rel=0.02)


def test_self_similarity_by_its_equation():
    own, other = features(3, 4), features(3, 4)

    def shares(maps):
        rows = maps.reshape(-1, 6).astype(np.float64)
        table = np.array([[np.exp(cosine(a, b) / 0.1) for b in rows] for a in rows])
        return table / table.sum(axis=1, keepdims=True)

    image, content = shares(own), shares(other)
    expected = np.mean(np.sum(content * np.log(content / image), axis=1))
    assert measures.self_similarity(own, other) == pytest.approx(expected, rel=1e-4)


def test_self_similarity_is_zero_for_the_same_and_grows_with_the_difference():
    maps, other = features(6, 7, 16), features(6, 7, 16)
    slightly = maps + np.float32(0.1) * other
    assert measures.self_similarity(maps, maps) == pytest.approx(0, abs=1e-6)
    near, far = (measures.self_similarity(each, maps) for each in (slightly, other))
    assert 0 < near < far
    # Where patches are, and how strong, does not matter to how they resemble each other.
    assert measures.self_similarity(3 * maps, maps) == pytest.approx(0, abs=1e-5)


def square(top, left, size=64):
    """The outline of a square, as a map of edges."""
    edges = np.zeros((96, 128), np.float32)
    edges[top : top + size, [left, left + size - 1]] = 1
    edges[[top, top + size - 1], left : left + size] = 1
    return edges


def test_edges_may_be_moved_a_little_and_not_far_and_none_may_be_lost_or_added():
    edges = square(10, 10)
    distance = measures.edge_distance
    assert distance(edges, edges) == pytest.approx(0, abs=1e-9)
    slightly, far = (distance(square(10, left), edges) for left in (11, 24))
    assert 0 < slightly < 0.15 < 0.5 < far < 1.2
    lost, added = np.triu(edges), np.maximum(edges, square(25, 45, 32))
    assert 0.1 < distance(lost, edges) < 1
    assert 0.1 < distance(added, edges) < 1
    assert distance(np.zeros_like(edges), edges) == pytest.approx(1)
    assert distance(edges / 2 + np.float32(0.1), edges) == pytest.approx(0, abs=1e-5)
