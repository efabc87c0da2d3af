"""Matches are carried along, given up and searched, as small arrays show."""

import numpy as np
import pytest

from impasto.losses.feature_index import FeatureIndex, SearchStatistics, normalize_rows
from impasto.video import births, matches
from impasto.video.births import Birth
from impasto.video.matches import Carried, RegionSearch

random = np.random.default_rng(5)
DIRECTIONS = normalize_rows(random.normal(size=(40, 8)).astype(np.float32))


@pytest.fixture(scope="module")
def search():
    index = FeatureIndex(DIRECTIONS, (40,), (1.0,), None, DIRECTIONS, np.arange(40))
    statistics = SearchStatistics(np.zeros(8, np.float32), np.zeros(40, np.float32))
    return RegionSearch(index, statistics, ())


def carried(indexes, valid=True, least=0.5):
    shape = indexes.shape
    return Carried(indexes, np.full(shape, least, np.float32), np.broadcast_to(valid, shape).copy())


def test_a_match_stays_while_its_score_does(search):
    rows = random.integers(0, 40, (9, 9))
    found = matches.resolve(carried(rows), DIRECTIONS[rows.reshape(-1)], search)
    assert np.array_equal(found.indexes, rows)
    assert not found.searched.any()
    assert found.scores == pytest.approx(np.ones((9, 9)), abs=1e-5)


def test_a_match_that_no_longer_fits_is_searched(search):
    rows = np.arange(40)[:36].reshape(6, 6)
    now = rows.copy()
    now[2, 3] = 39
    found = matches.resolve(carried(rows, least=0.9), DIRECTIONS[now.reshape(-1)], search)
    assert np.array_equal(found.indexes, now)
    assert np.argwhere(found.searched).tolist() == [[2, 3]]


def test_a_hole_takes_the_match_of_what_looks_like_it(search):
    rows = np.full((10, 10), 7)  # painted with row 7, whatever the search would find
    content = np.repeat(DIRECTIONS[3][None], 100, axis=0)
    valid = np.ones((10, 10), bool)
    valid[4:6, 4:6] = False
    given = carried(np.where(valid, rows, 0), valid, least=-1)
    found = matches.resolve(given, content, search)
    assert (found.indexes == 7).all()
    assert not found.searched.any()


def test_without_anything_alike_a_hole_is_searched(search):
    valid = np.zeros((6, 6), bool)
    rows = np.arange(36).reshape(6, 6)
    found = matches.resolve(carried(rows * 0, valid), DIRECTIONS[rows.reshape(-1)], search)
    assert np.array_equal(found.indexes, rows)
    assert found.searched.all()


def test_matches_come_from_the_frame_of_birth():
    state = births.first_births(0, 16, 16)
    state.position[..., 0] += 4  # everything has moved by one position to the left
    grid = np.arange(16, dtype=np.int32).reshape(1, 4, 4)
    image = np.zeros((16, 16, 3), np.float32)
    record = Birth(image, image.astype(np.uint8), grid, grid.astype(np.float32))
    tracked = np.ones((16, 16), bool)
    tracked[:4, :4] = False
    direct = np.zeros((16, 16), np.float32)
    found = matches.carry(state, {0: record}, tracked, direct, 0)
    assert np.array_equal(found.indexes[:, :3], grid[0][:, 1:])
    assert found.least == pytest.approx(found.indexes - matches.MARGIN)
    assert np.argwhere(~found.valid).tolist() == [[0, 0]]


def test_a_match_is_kept_where_the_content_is_that_of_the_frame_of_birth():
    state = births.first_births(0, 16, 16)
    image, grid = np.zeros((16, 16, 3), np.float32), np.zeros((1, 4, 4), np.int32)
    record = Birth(image, image.astype(np.uint8), grid, grid.astype(np.float32))
    direct = np.zeros((16, 16), np.float32)
    direct[:, 8:] = 0.8
    found = matches.carry(state, {0: record}, np.ones((16, 16), bool), direct, 0)
    assert np.isneginf(found.least[:, 2:]).all()
    assert found.least[:, :2] == pytest.approx(np.full((4, 2), -matches.MARGIN))
