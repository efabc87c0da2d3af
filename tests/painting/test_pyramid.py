"""The schedule of sizes and evaluations from coarse to fine."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from impasto.painting.pyramid import (
    USUAL,
    Level,
    automatic_levels,
    lower,
    schedule,
)
from impasto.pictures.raster import SHORTEST
from impasto.recipe.settings import Recipe

SIDES = st.integers(16, 6000)
SIZES = st.integers(16, 4096)
RECIPES = st.builds(Recipe, size=SIZES, levels=st.integers(0, 12), evaluations=st.integers(1, 1000))


def longest(level: Level) -> int:
    return max(level.height, level.width)


def test_the_default_schedule():
    levels = schedule(768, 1024, Recipe(size=512, evaluations=12))
    assert levels == (
        Level(1, 73, 97, 27, USUAL.coarse_style**2),
        Level(2, 167, 223, 18, USUAL.coarse_style),
        Level(3, 384, 512, 12, 1.0),
    )


def test_the_coarsest_of_many_levels_weigh_style_alike():
    shares = [level.style for level in schedule(2048, 2048, Recipe(size=2048))]
    assert shares == [USUAL.coarse_style**2] * 3 + [USUAL.coarse_style, 1.0]


def test_one_level_is_the_size_asked_for():
    assert schedule(1000, 500, Recipe(size=300, levels=1, evaluations=7)) == (
        Level(1, 300, 150, 7),
    )


def test_as_many_levels_as_are_asked_for():
    levels = schedule(100, 100, Recipe(size=400, levels=3))
    assert [level.height for level in levels] == [76, 174, 400]


def test_no_level_is_smaller_than_a_network_can_see():
    levels = schedule(100, 100, Recipe(size=64, levels=5))
    assert [level.height for level in levels] == [16, 28, 64]


@given(SIDES, SIDES, RECIPES)
def test_numbers_count_from_one_and_the_last_level_has_the_size(height, width, recipe):
    levels = schedule(height, width, recipe)
    assert [level.number for level in levels] == list(range(1, len(levels) + 1))
    assert longest(levels[-1]) == recipe.size
    assert levels[-1].evaluations == recipe.evaluations
    assert len(levels) <= (recipe.levels or automatic_levels(recipe.size))
    assert len({longest(level) for level in levels}) == len(levels)


@given(SIDES, SIDES, RECIPES)
def test_levels_grow_by_the_ratio_within_rounding(height, width, recipe):
    levels = schedule(height, width, recipe)
    for coarser, level in enumerate(reversed(levels)):
        if min(level.height, level.width) > SHORTEST + 1:
            assert abs(longest(level) - recipe.size / USUAL.ratio**coarser) <= 0.5


@given(SIDES, SIDES, RECIPES)
def test_the_aspect_ratio_stays_within_a_pixel(height, width, recipe):
    for level in schedule(height, width, recipe):
        scale = longest(level) / max(height, width)
        assert abs(level.height - scale * height) < 1
        assert abs(level.width - scale * width) < 1
        assert min(level.height, level.width) >= 1


@given(SIDES, SIDES, RECIPES)
def test_coarser_levels_get_more_evaluations_up_to_the_third(height, width, recipe):
    levels = schedule(height, width, recipe)
    for coarser, level in enumerate(reversed(levels)):
        exact = recipe.evaluations * USUAL.growth ** min(coarser, 2)
        assert level.evaluations == pytest.approx(exact, abs=0.5)
        assert level.evaluations >= recipe.evaluations


@given(SIZES)
def test_chosen_levels_begin_near_the_coarsest_size(size):
    first = schedule(size, size, Recipe(size=size))[0]
    assert first.height == size or first.height > USUAL.coarsest / USUAL.ratio**0.5 - 1
    assert first.height <= USUAL.coarsest * USUAL.ratio**0.5 + 1


def test_no_level_is_narrower_than_the_network_can_see():
    levels = schedule(100, 1000, Recipe(size=512))
    assert min(min(level.height, level.width) for level in levels) >= SHORTEST


def test_a_level_that_does_not_fit_is_halved_as_long_as_that_is_worth_it():
    level = Level(3, 300, 400, 12)
    smaller = lower(level, painted=100 * 133)
    assert smaller == Level(3, 212, 283, 12)
    assert lower(smaller, painted=150 * 200) is None
    assert lower(Level(1, 20, 20, 5), painted=0) is None


def test_matching_doubles_its_levels_and_ends_with_a_last_pass_at_the_same_size():
    levels = schedule(288, 384, Recipe(style_loss="matching", size=384))
    assert [(level.width, level.evaluations) for level in levels] == [
        (48, 20),
        (96, 15),
        (192, 11),
        (384, 8),
        (384, 6),
    ]
    assert [level.last for level in levels] == [False] * 4 + [True]
    assert {level.style for level in levels} == {1.0}
    assert [level.number for level in levels] == [1, 2, 3, 4, 5]
