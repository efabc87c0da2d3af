"""The image that a level starts from: against plain loops, and what must hold of it."""

import numpy as np
import pytest

from impasto.images import arrays, colors
from impasto.images.style_regions import StyledRegion, StyleImage
from impasto.losses import feature_index, voting
from impasto.losses.voting import BLOCK_SIZE, Votes
from tests import tiny

IMAGE = tiny.random_picture(26, 33, 1)
STYLES = (tiny.random_picture(21, 30, 2), tiny.random_picture(16, 12, 3))
VIEWS = [view for style in STYLES for view in feature_index.rotations(style)]
COUNT = sum((view.shape[0] // BLOCK_SIZE) * (view.shape[1] // BLOCK_SIZE) for view in VIEWS)


def indexes(seed=4, shape=(6, 8)):
    return np.random.default_rng(seed).integers(0, COUNT, shape)


def at(index):
    """The view, and the row and the column of the block in it, that an index stands for."""
    for view in VIEWS:
        height, width = (side // BLOCK_SIZE for side in view.shape[:2])
        if index < height * width:
            return view, *divmod(int(index), width)
        index -= height * width
    raise AssertionError


def naive(matches, counts, reach):
    """The weighted mean of all patches pixel by pixel, NaN where there is none."""
    rows, columns = matches.shape
    total, weight = (
        np.zeros((rows * BLOCK_SIZE, columns * BLOCK_SIZE, 3)),
        np.zeros((rows * BLOCK_SIZE, columns * BLOCK_SIZE)),
    )
    for row, column in np.ndindex(rows, columns):
        if not counts[row, column]:
            continue
        view, from_row, from_column = at(matches[row, column])
        height, width = (side // BLOCK_SIZE * BLOCK_SIZE for side in view.shape[:2])
        for y in range(-reach * BLOCK_SIZE, (reach + 1) * BLOCK_SIZE):
            for x in range(-reach * BLOCK_SIZE, (reach + 1) * BLOCK_SIZE):
                to = row * BLOCK_SIZE + y, column * BLOCK_SIZE + x
                of = from_row * BLOCK_SIZE + y, from_column * BLOCK_SIZE + x
                if not (0 <= to[0] < len(total) and 0 <= to[1] < total.shape[1]):
                    continue
                if not (0 <= of[0] < height and 0 <= of[1] < width):
                    continue
                away = (y - 1.5) ** 2 + (x - 1.5) ** 2
                share = np.exp(-away / (2 * voting.SIGMA**2))
                total[to] += share * view[of]
                weight[to] += share
    with np.errstate(invalid="ignore"):
        return total / weight[..., None]


@pytest.mark.parametrize("positions", [2**18, 16])
def test_it_is_the_mean_of_overlapping_patches_with_the_colors_of_single_ones(
    positions, monkeypatch
):
    monkeypatch.setattr(voting, "CHUNK_POSITIONS", positions)
    matches, counts = indexes(), np.random.default_rng(5).random((6, 8)) < 0.5
    counts[:2] = True
    expected, single = naive(matches, counts, voting.REACH), naive(matches, counts, 0)
    covered = np.isfinite(expected[..., 0])
    own, target = colors.ColorMoments(), colors.ColorMoments()
    own.add(expected[covered])
    target.add(single[np.isfinite(single[..., 0])])
    by = colors.color_transport(own.covariance, target.covariance)
    moved = (expected - own.mean) @ by.T + own.mean
    found = voting.average_patches(Votes(matches, STYLES, counts), IMAGE)
    np.testing.assert_allclose(found[:24, :32][covered], moved[covered], rtol=1e-3, atol=0.05)


@pytest.mark.parametrize("turns", range(4))
def test_matches_with_a_rotation_give_the_rotated_image(turns):
    style = tiny.random_picture(24, 32, 6)
    turned = np.ascontiguousarray(np.rot90(style, turns))
    rows, columns = (side // BLOCK_SIZE for side in turned.shape[:2])
    matches = turns * 6 * 8 + np.arange(rows * columns).reshape(rows, columns)
    averaged = voting.average_patches(Votes(matches, [style]), np.zeros_like(turned))
    np.testing.assert_allclose(averaged, turned, atol=0.05)


def test_matches_of_a_style_image_with_itself_give_that_image():
    style = tiny.random_picture(24, 32, 6)
    matches = np.arange(6 * 8).reshape(6, 8)
    vote = Votes(matches, [style])
    np.testing.assert_allclose(voting.average_patches(vote, IMAGE[:24, :32]), style, atol=0.05)
    started = voting.mix_vote([vote], IMAGE[:24, :32], 0.25, detail=False)
    np.testing.assert_allclose(started, 0.25 * style + 0.75 * IMAGE[:24, :32], atol=0.05)


def test_regions_have_each_its_own_patches_and_the_rest_stays():
    matches = indexes()
    left, right = np.zeros((2, 26, 33), np.float32)
    left[:, :8], right[:, 20:] = 1, 1
    votes = [Votes(matches, STYLES, mask=left), Votes(matches[::-1], STYLES, mask=right)]
    found = voting.mix_vote(votes, IMAGE, 0.5, detail=False)
    np.testing.assert_allclose(found[:, 8:20], IMAGE[:, 8:20], atol=1e-3)
    for vote, part in zip(votes, (np.s_[:, :8], np.s_[:, 20:]), strict=True):
        alone = voting.mix_vote([vote._replace(mask=None)], IMAGE, 0.5, detail=False)
        np.testing.assert_allclose(found[part], alone[part], atol=1e-3)


def test_where_it_sharpens_the_coarse_part_is_that_of_the_image_image():
    image = arrays.resize(tiny.random_picture(6, 8, 7), 24, 32)
    start = voting.mix_vote([Votes(indexes(), STYLES)], image, 1.0, detail=True)
    coarse, expected = (arrays.resample(each, 3, 4) for each in (start, image))
    assert np.abs(coarse - expected).mean() < 0.2 * np.abs(expected - expected.mean()).mean()
    assert np.abs(start - image).mean() > 10


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_colors_move_as_far_as_is_asked_for_within_the_mask(share):
    mask = np.zeros((26, 33), np.float32)
    mask[4:, :20] = 1
    regions = (StyledRegion((StyleImage(STYLES[0] / 2),), mask),)
    found = voting.move_colors(regions, IMAGE, share)
    np.testing.assert_array_equal(found[mask == 0], IMAGE[mask == 0])
    own, target, moved = (
        colors.color_moments(IMAGE, mask),
        colors.color_moments(STYLES[0] / 2),
        colors.color_moments(found, mask),
    )
    np.testing.assert_allclose(moved.mean, own.mean + share * (target.mean - own.mean), rtol=1e-3)
    if share == 1:
        np.testing.assert_allclose(moved.covariance, target.covariance, rtol=0.01, atol=5)
    if share == 0:
        np.testing.assert_allclose(found, IMAGE, atol=0.01)


@pytest.mark.parametrize("reach", [1, 2, 9])
@pytest.mark.parametrize("shape", [(6, 8), (1, 5), (7, 1)])
def test_repetition_is_what_plain_loops_count(reach, shape):
    matches = np.random.default_rng(3).integers(0, 4, shape)
    expected = np.zeros(shape, int)
    for row, column in np.ndindex(shape):
        for other in np.ndindex(shape):
            near = max(abs(row - other[0]), abs(column - other[1])) <= reach
            if near and other != (row, column):
                expected[row, column] += matches[other] == matches[row, column]
    np.testing.assert_array_equal(voting.repetition(matches, reach), expected)


def test_a_match_that_is_repeated_often_has_little_weight():
    """The image stays where all positions have the same match."""
    repeated = np.full((60, 60), 7)
    image = tiny.random_picture(240, 240, 8)
    mixed = voting.mix_vote([Votes(repeated, STYLES)], image, 0.35, detail=False)
    once = voting.mix_vote([Votes(indexes(shape=(60, 60)), STYLES)], image, 0.35, detail=False)
    middle = np.s_[80:160, 80:160]
    change, other = (np.abs(each - image)[middle].mean() for each in (mixed, once))
    assert change < 0.1 * other
