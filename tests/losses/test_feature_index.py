"""The search of neighbors against a naive oracle, and how paintings share positions out."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from impasto.compute import keras_backend
from impasto.losses import feature_index
from impasto.losses.feature_index import IndexedStyle


def features(seed, height=6, width=7, channels=9):
    random = np.random.default_rng(seed)
    return np.maximum(random.normal(0.3, 1, (height, width, channels)), 0).astype(np.float32)


def rows_of(query):
    return lambda first, last: query[first:last], len(query)


def nearest(query, pool):
    return feature_index.search(feature_index.project_query(query, pool), pool)


def naive_nearest(query, parts):
    """For every row what is best about either mean, painting by painting, in plain loops.

    The cosine, less half of what each of the painting's features has in the mean over sixteen
    groups of rows with the nearest of the group.
    """
    rows = query.astype(np.float64) - query.mean(0)
    cosines, where = [], []
    begin = 0
    for part in parts:
        others = part.astype(np.float64) - part.mean(0)
        table = np.array(
            [[a @ b / np.linalg.norm(a) / np.linalg.norm(b) for b in others] for a in rows]
        )
        groups = [table[first::16].max(axis=0) for first in range(16)]
        table -= np.mean(groups, axis=0) / 2
        cosines.append(table.max(1))
        where.append(begin + table.argmax(1))
        begin += len(part)
    return np.array(cosines), np.array(where)


@pytest.mark.parametrize("components", [None, 9, 100])
def test_the_search_finds_what_plain_loops_find(components):
    """In all channels, and in as many principal components as there are channels."""
    query, painting = features(1).reshape(-1, 9), features(2, 8, 5)
    pool = feature_index.build_index([IndexedStyle(1.0, painting.reshape(-1, 9))], components)
    _, where = naive_nearest(query, [painting.reshape(-1, 9)])
    np.testing.assert_array_equal(nearest(query, pool), where[0])


def test_few_components_find_neighbors_nearly_as_near():
    random = np.random.default_rng(3)
    mixing = random.normal(size=(8, 60)) * np.linspace(1, 0.05, 8)[:, None]
    query, painting = (
        (random.normal(size=(n, 8)) @ mixing + random.normal(0, 0.05, (n, 60))).astype(np.float32)
        for n in (200, 300)
    )
    pool = feature_index.build_index([IndexedStyle(1.0, painting)], 16)
    whole = feature_index.build_index([IndexedStyle(1.0, painting)], None)

    def reached(pool):
        found = pool.features[nearest(query, pool)] - painting.mean(0)
        rows = query - query.mean(0)
        lengths = np.linalg.norm(found, axis=1) * np.linalg.norm(rows, axis=1)
        return np.mean(np.sum(found * rows, 1) / lengths)

    assert reached(pool) > 0.99 * reached(whole)


def test_a_feature_that_is_near_to_everything_is_found_less_often():
    """Of two as near to a row, that is found which is not as near to all other rows as well."""
    random = np.random.default_rng(11)
    rows = np.concatenate([np.ones((64, 1)), random.normal(0, 0.5, (64, 8))], axis=1)
    directions = np.eye(9)[[0, 1, 2, 3]] + 0.3 * np.eye(9)[0]
    query, among = (
        feature_index.normalize_rows(each.astype(np.float32)) for each in (rows, directions)
    )
    taken = feature_index.HUBNESS_WEIGHT * feature_index._hubness(query, among)
    assert taken.argmax() == 0
    plain, less = (
        feature_index._search_best(*rows_of(query), among, each)[1]
        for each in (np.zeros(4, "f4"), taken)
    )
    assert 0 < np.sum(less == 0) < np.sum(plain == 0)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 9), st.integers(1, 9))
def test_several_paintings_get_their_shares_where_they_are_nearer(seed, one, other):
    query = features(seed).reshape(-1, 9)
    parts = [features(seed + 1), features(seed + 2, 5, 5)]
    pool = feature_index.build_index(
        [IndexedStyle(s, p.reshape(-1, 9)) for s, p in zip((one, other), parts, strict=True)], None
    )
    owners = (nearest(query, pool) >= parts[0].shape[0] * parts[0].shape[1]).astype(int)
    count = round(len(query) * one / (one + other))
    assert np.sum(owners == 0) == count
    cosines, _ = naive_nearest(query, [p.reshape(-1, 9) for p in parts])
    ahead = cosines[0] - cosines[1]
    if 0 < count < len(query):
        assert ahead[owners == 0].min() >= ahead[owners == 1].max() - 1e-5


def test_queries_in_another_order_find_the_same():
    """As the parts of a picture give them, each with its place in the whole."""
    query, painting = features(12, 30, 9).reshape(-1, 9), features(13, 8, 8).reshape(-1, 9)
    pool = feature_index.build_index([IndexedStyle(1.0, painting)], None)
    order = np.random.default_rng(14).permutation(len(query))
    asking = feature_index.QueryBuilder(len(query))
    for piece in np.array_split(query[order], 4):
        asking.add(feature_index.project_query(piece, pool))
    found = np.zeros(len(query), int)
    found[order] = feature_index.search(asking.whole, pool, order)
    np.testing.assert_array_equal(found, nearest(query, pool))


def test_only_what_counts_of_a_painting_is_kept():
    weights = np.zeros((6, 7), np.float32)
    weights[:2] = 0.5
    (kept,) = feature_index.select_positions([(6, 7)], [weights], 100)
    np.testing.assert_array_equal(kept, weights > 0)


def test_of_a_large_painting_a_sample_is_kept_the_same_every_time():
    sizes = [(6, 7), (7, 6)]
    first, again = (feature_index.select_positions(sizes, None, 10) for _ in range(2))
    assert [each.shape for each in first] == sizes
    assert sum(each.sum() for each in first) == 10
    assert all(map(np.array_equal, first, again))


def test_a_picture_is_turned_by_quarters():
    picture = features(7)
    views = feature_index.rotations(picture)
    assert [view.shape[:2] for view in views] == [(6, 7), (7, 6), (6, 7), (7, 6)]
    np.testing.assert_array_equal(views[2], picture[::-1, ::-1])
    np.testing.assert_array_equal(np.rot90(views[3]), picture)


@pytest.mark.backend
@pytest.mark.parametrize("components", [None, 4])
@pytest.mark.parametrize("shares", [[1.0], [2.0, 1.0]])
def test_tensors_find_what_arrays_find(components, shares):
    """With a GPU everything but the places that are found stays on it."""
    query = features(8, 9, 9).reshape(-1, 9)
    weights = np.random.default_rng(4).uniform(0.1, 1, len(query)).astype(np.float32)
    parts = [features(seed, 9, 8).reshape(-1, 9) for seed, _ in enumerate(shares, start=9)]

    def found(place):
        paintings = [IndexedStyle(s, place(p)) for s, p in zip(shares, parts, strict=True)]
        pool = feature_index.build_index(paintings, components)
        asking = feature_index.QueryBuilder(len(query))
        for rows, each in zip(np.split(query, [40]), np.split(weights, [40]), strict=True):
            asking.add(feature_index.project_query(place(rows), pool, each))
        return feature_index.search(asking.whole, pool)

    on_host, on_device = found(np.asarray), found(keras_backend.ops.convert_to_tensor)
    assert isinstance(on_device, np.ndarray)
    assert np.mean(on_host == on_device) > 0.98  # rounding may turn what is as near
