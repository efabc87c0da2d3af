"""The image that a level starts from: against plain loops, and what must hold of it."""

import numpy as np
import pytest

from impasto.losses import pools, voting
from impasto.losses.voting import BLOCK, Vote
from impasto.pictures import colors, raster
from impasto.pictures.guidance import Painting, StyledRegion
from tests import tiny

SO_FAR = tiny.random_picture(26, 33, 1)
STYLES = (tiny.random_picture(21, 30, 2), tiny.random_picture(16, 12, 3))
VIEWS = [view for style in STYLES for view in pools.turned(style)]
COUNT = sum((view.shape[0] // BLOCK) * (view.shape[1] // BLOCK) for view in VIEWS)


def indexes(seed=4, shape=(6, 8)):
    return np.random.default_rng(seed).integers(0, COUNT, shape)


def at(index):
    """The view, and the row and the column of the block in it, that an index stands for."""
    for view in VIEWS:
        height, width = (side // BLOCK for side in view.shape[:2])
        if index < height * width:
            return view, *divmod(int(index), width)
        index -= height * width
    raise AssertionError


def naive(matches, counts, reach):
    """The weighted mean of all patches pixel by pixel, NaN where there is none."""
    rows, columns = matches.shape
    total, weight = (
        np.zeros((rows * BLOCK, columns * BLOCK, 3)),
        np.zeros((rows * BLOCK, columns * BLOCK)),
    )
    for row, column in np.ndindex(rows, columns):
        if not counts[row, column]:
            continue
        view, from_row, from_column = at(matches[row, column])
        height, width = (side // BLOCK * BLOCK for side in view.shape[:2])
        for y in range(-reach * BLOCK, (reach + 1) * BLOCK):
            for x in range(-reach * BLOCK, (reach + 1) * BLOCK):
                to = row * BLOCK + y, column * BLOCK + x
                of = from_row * BLOCK + y, from_column * BLOCK + x
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
    monkeypatch.setattr(voting, "POSITIONS", positions)
    matches, counts = indexes(), np.random.default_rng(5).random((6, 8)) < 0.5
    counts[:2] = True
    expected, single = naive(matches, counts, voting.REACH), naive(matches, counts, 0)
    covered = np.isfinite(expected[..., 0])
    own, target = colors.ColorMoments(), colors.ColorMoments()
    own.add(expected[covered])
    target.add(single[np.isfinite(single[..., 0])])
    by = colors.transport(own.covariance, target.covariance)
    moved = (expected - own.mean) @ by.T + own.mean
    found = voting.averaged(Vote(matches, STYLES, counts), SO_FAR)
    np.testing.assert_allclose(found[:24, :32][covered], moved[covered], rtol=1e-3, atol=0.05)


def test_matches_of_a_style_image_with_itself_give_that_image():
    style = tiny.random_picture(24, 32, 6)
    matches = np.arange(6 * 8).reshape(6, 8)
    vote = Vote(matches, [style])
    np.testing.assert_allclose(voting.averaged(vote, SO_FAR[:24, :32]), style, atol=0.05)
    started = voting.start([vote], SO_FAR[:24, :32], 0.25, sharpens=False)
    np.testing.assert_allclose(started, 0.25 * style + 0.75 * SO_FAR[:24, :32], atol=0.05)


def test_regions_have_each_its_own_patches_and_the_rest_stays():
    matches = indexes()
    left, right = np.zeros((2, 26, 33), np.float32)
    left[:, :8], right[:, 20:] = 1, 1
    votes = [Vote(matches, STYLES, mask=left), Vote(matches[::-1], STYLES, mask=right)]
    found = voting.start(votes, SO_FAR, 0.5, sharpens=False)
    np.testing.assert_allclose(found[:, 8:20], SO_FAR[:, 8:20], atol=1e-3)
    for vote, part in zip(votes, (np.s_[:, :8], np.s_[:, 20:]), strict=True):
        alone = voting.start([vote._replace(mask=None)], SO_FAR, 0.5, sharpens=False)
        np.testing.assert_allclose(found[part], alone[part], atol=1e-3)


def test_where_it_sharpens_the_coarse_part_is_that_of_the_image_so_far():
    so_far = raster.resize(tiny.random_picture(6, 8, 7), 24, 32)
    start = voting.start([Vote(indexes(), STYLES)], so_far, 1.0, sharpens=True)
    coarse, expected = (raster.resample(each, 3, 4) for each in (start, so_far))
    assert np.abs(coarse - expected).mean() < 0.2 * np.abs(expected - expected.mean()).mean()
    assert np.abs(start - so_far).mean() > 10


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_colors_move_as_far_as_is_asked_for_within_the_mask(share):
    mask = np.zeros((26, 33), np.float32)
    mask[4:, :20] = 1
    regions = (StyledRegion((Painting(STYLES[0] / 2),), mask),)
    found = voting.toward_colors(regions, SO_FAR, share)
    np.testing.assert_array_equal(found[mask == 0], SO_FAR[mask == 0])
    own, target, moved = (
        colors.moments(SO_FAR, mask),
        colors.moments(STYLES[0] / 2),
        colors.moments(found, mask),
    )
    np.testing.assert_allclose(moved.mean, own.mean + share * (target.mean - own.mean), rtol=1e-3)
    if share == 1:
        np.testing.assert_allclose(moved.covariance, target.covariance, rtol=0.01, atol=5)
    if share == 0:
        np.testing.assert_allclose(found, SO_FAR, atol=0.01)
