"""Matches that are carried up from half the size."""

import numpy as np
import pytest

from impasto.images.style_regions import StyledRegion, StyleImage
from impasto.losses import carried_matches, hypercolumns, matching, style_index
from impasto.losses.terms import LevelInputs, TiledFeatureExtractor
from impasto.recipe import presets
from tests import tiny
from tests.tiny import random_picture

VIEWS, LARGER = [(3, 2), (2, 3)], [(7, 4), (4, 7)]


def test_carrying_up_is_what_plain_loops_give():
    matches = np.random.default_rng(0).integers(0, 12, (3, 4))
    carried = carried_matches.carry_up(matches, VIEWS, LARGER, (7, 8))
    assert carried.shape == (7, 8)
    for row in range(7):
        for column in range(8):
            i, j = min(row // 2, 2), column // 2
            view, within = divmod(int(matches[i, j]), 6)
            r, c = divmod(within, VIEWS[view][1])
            height, width = LARGER[view]
            r = min(2 * r + row - 2 * i, height - 1)
            c = min(2 * c + column - 2 * j, width - 1)
            assert carried[row, column] == view * 28 + r * width + c


@pytest.fixture(scope="module")
def layers():
    return matching.matching_term(presets.make_recipe(), detail=True).layers


def level_inputs(layers, tile_size=0, mask=None):
    """The inputs of a detail level, with two style images, of which one is ignored."""
    chosen = presets.make_recipe(content_weight=0)
    engine = tiny.engine("native", chosen, tiny.vgg())
    extractor = TiledFeatureExtractor.for_layers(
        engine.feature_function(layers), engine.network, layers, tile_size
    )
    styles = (StyleImage(random_picture(96, 80, 1)), StyleImage(random_picture(64, 64, 2), 0.0))
    content, initial = random_picture(104, 88, 3), random_picture(104, 88, 4)
    return LevelInputs(extractor, content, (StyledRegion(styles, mask),), initial)


@tiny.needs_kernels
@pytest.mark.parametrize("tile_size", [0, 64])
def test_matched_features_are_those_of_their_positions(layers, tile_size):
    level = level_inputs(layers, tile_size)
    (match,), channels = carried_matches.carried_matches(level, layers)
    assert match.indexes.shape == (26, 22)
    assert list(channels) == list(layers)
    style = level.regions[0].styles[0].image
    views = [
        hypercolumns.concatenate_layers(hypercolumns.tile_grids(tile, layers))
        for turns in range(4)
        for tile in level_inputs(layers).extractor.iter_tiles(np.rot90(style, turns).copy())
    ]
    columns = np.concatenate([each.reshape(-1, each.shape[-1]) for each in views])
    positions = match.feature_index.positions
    np.testing.assert_allclose(
        match.feature_index.features, columns[positions], rtol=1e-3, atol=1e-4
    )
    # The next position to the right in a block has the next match to the right.
    matched = positions[match.indexes]
    left, right = matched[:, 0::2], matched[:, 1::2]
    upright = (left < 24 * 20) & (left % 20 < 19)  # matches in the style image without rotation
    assert upright.any()
    np.testing.assert_array_equal(right[upright], left[upright] + 1)


@tiny.needs_kernels
def test_a_worker_computes_the_same_features_again(layers):
    mask = np.pad(np.ones((104, 44), np.float32), ((0, 0), (0, 44)))
    level = level_inputs(layers, mask=mask)
    (match,), _ = carried_matches.carried_matches(level, layers)
    assert match.weights.shape == (26, 22)
    rebuild, arguments = match.feature_index.__reduce__()
    again = rebuild(*arguments)
    assert isinstance(again, style_index.PositionFeatures)
    np.testing.assert_array_equal(again.features, match.feature_index.features)
    np.testing.assert_array_equal(again.positions, match.feature_index.positions)
