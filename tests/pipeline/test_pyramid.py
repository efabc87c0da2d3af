"""The schedule of sizes and evaluations from coarse to fine."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from impasto.errors import SettingError
from impasto.images.arrays import MIN_SIDE
from impasto.losses.level_roles import DETAIL, FEATURE_SPLITTING, FINEST, STRUCTURE
from impasto.pipeline.pyramid import (
    DEFAULT_SHAPE,
    SHAPES,
    Level,
    automatic_levels,
    max_structure_size,
    schedule,
    schedule_shape,
    smaller_level,
)
from impasto.recipe.presets import make_recipe
from impasto.recipe.settings import Recipe

SIDES = st.integers(16, 6000)
SIZES = st.integers(16, 4096)
LOSSES = st.sampled_from(["gram", "matching"])  # one of each shape
RECIPES = st.builds(
    Recipe,
    size=SIZES,
    levels=st.integers(0, 12),
    evaluations=st.integers(1, 1000),
    style_loss=LOSSES,
)


def longest(level: Level) -> int:
    return max(level.height, level.width)


def climbing(height: int, width: int, recipe: Recipe) -> tuple[Level, ...]:
    """The levels of different sizes, without feature splitting."""
    return tuple(
        level for level in schedule(height, width, recipe) if not level.role.feature_splitting
    )


def test_a_schedule_of_moments():
    levels = schedule(768, 1024, make_recipe("gram", size=512, evaluations=12))
    assert levels == (
        Level(1, 73, 97, 27, DEFAULT_SHAPE.coarse_style**2),
        Level(2, 167, 223, 18, DEFAULT_SHAPE.coarse_style, follows=True),
        Level(3, 384, 512, 12, 1.0, follows=True),
    )


def test_the_coarsest_of_many_levels_weigh_style_alike():
    shares = [level.style for level in schedule(2048, 2048, make_recipe("gram", size=2048))]
    assert shares == [DEFAULT_SHAPE.coarse_style**2] * 3 + [DEFAULT_SHAPE.coarse_style, 1.0]


def test_one_level_is_the_size_asked_for():
    settings = {"size": 300, "levels": 1, "evaluations": 8}
    painted = Level(1, 300, 150, 8)
    assert schedule(1000, 500, make_recipe("gram", **settings)) == (painted,)
    shape = SHAPES["matching"]
    last = Level(
        2,
        300,
        150,
        16,
        role=FEATURE_SPLITTING,
        follows=True,
        preconditioning=shape.splitting_preconditioning,
    )
    first = replace(painted, preconditioning=shape.preconditioning)
    assert schedule(1000, 500, Recipe(**settings)) == (first, last)


@pytest.mark.parametrize(
    ("style_loss", "heights"), [("gram", [76, 174, 400]), ("matching", [100, 200, 400])]
)
def test_as_many_levels_as_are_asked_for(style_loss, heights):
    levels = climbing(100, 100, Recipe(size=400, levels=3, style_loss=style_loss))
    assert [level.height for level in levels] == heights


@pytest.mark.parametrize(
    ("style_loss", "heights"), [("gram", [16, 28, 64]), ("matching", [16, 32, 64])]
)
def test_no_level_is_smaller_than_a_network_can_see(style_loss, heights):
    levels = climbing(100, 100, Recipe(size=64, levels=5, style_loss=style_loss))
    assert [level.height for level in levels] == heights


@given(SIDES, SIDES, RECIPES)
def test_numbers_count_from_one_and_the_last_level_has_the_size(height, width, recipe):
    levels = schedule(height, width, recipe)
    assert [level.number for level in levels] == list(range(1, len(levels) + 1))
    assert longest(levels[-1]) == recipe.size
    painted = climbing(height, width, recipe)
    assert longest(painted[-1]) == recipe.size
    if len(painted) == 1 or recipe.size <= max_structure_size(recipe):
        assert painted[-1].evaluations == recipe.evaluations
    assert len(painted) <= (recipe.levels or automatic_levels(recipe.size, schedule_shape(recipe)))
    assert len({longest(level) for level in painted}) == len(painted)


@given(SIDES, SIDES, RECIPES)
def test_only_a_style_loss_that_has_one_ends_with_feature_splitting_of_the_result(
    height, width, recipe
):
    levels = schedule(height, width, recipe)
    shape = SHAPES.get(recipe.style_loss, DEFAULT_SHAPE)
    last = [number for number, each in enumerate(levels) if each.role.feature_splitting]
    assert len(last) == (shape.feature_splitting > 0)
    for number in last:
        each, finest = levels[number], levels[number - 1]
        assert (each.height, each.width) == (finest.height, finest.width)
        assert each.style == finest.style
        assert not each.role.detail
        if recipe.size <= max_structure_size(recipe):
            assert each.evaluations == pytest.approx(2 * recipe.evaluations, abs=0.5)


@given(SIDES, SIDES, RECIPES)
def test_levels_grow_by_the_ratio_within_rounding(height, width, recipe):
    ratio = schedule_shape(recipe).ratio
    for coarser, level in enumerate(reversed(climbing(height, width, recipe))):
        if min(level.height, level.width) > MIN_SIDE + 1:
            assert abs(longest(level) - recipe.size / ratio**coarser) <= 0.5


@given(SIDES, SIDES, RECIPES)
def test_the_aspect_ratio_stays_within_a_pixel(height, width, recipe):
    for level in schedule(height, width, recipe):
        scale = longest(level) / max(height, width)
        assert abs(level.height - scale * height) < 1
        assert abs(level.width - scale * width) < 1
        assert min(level.height, level.width) >= 1


@given(SIDES, SIDES, RECIPES)
def test_coarser_levels_get_more_evaluations_up_to_a_few_below_the_finest(height, width, recipe):
    finest, growth, steps = {"gram": (1.5, 1.5, 2), "matching": (1.5, 1.3, 3)}[recipe.style_loss]
    forms = [each for each in climbing(height, width, recipe) if not each.role.detail]
    for coarser, level in enumerate(reversed(forms)):
        factor = finest * growth ** (min(coarser, steps) - 1) if coarser else 1
        exact = recipe.evaluations * factor
        assert level.evaluations == pytest.approx(exact, abs=0.5)
        assert level.evaluations >= recipe.evaluations


def test_large_levels_get_fewer_evaluations_in_proportion_to_their_side():
    levels = schedule(4000, 6000, Recipe(size=6000, evaluations=16))
    assert [(level.width, level.evaluations) for level in levels[4:]] == [
        (375, 32),
        (750, 16),
        (1500, 11),
        (3000, 5),
        (6000, 3),
    ]
    (alone, last) = schedule(4000, 6000, Recipe(size=6000, levels=1))
    assert (alone.evaluations, last.evaluations) == (4, 3)


def test_of_a_finished_picture_only_what_is_larger_is_painted():
    levels = schedule(288, 384, Recipe(size=384, init="a.png", finished=96))
    assert [(level.number, level.width) for level in levels] == [(1, 192), (2, 384)]
    assert all(level.follows and level.role.detail for level in levels)
    classic = replace(make_recipe("gram", size=384, evaluations=12), init="a.png", finished=96)
    found = [(level.width, level.evaluations) for level in schedule(288, 384, classic)]
    assert found == [(167, 18), (384, 12)]
    with pytest.raises(SettingError, match="must be larger than finished"):
        schedule(288, 384, Recipe(size=384, init="a.png", finished=384))


@given(SIZES, LOSSES)
def test_chosen_levels_begin_near_the_coarsest_size(size, style_loss):
    recipe = Recipe(size=size, style_loss=style_loss)
    shape, first = schedule_shape(recipe), schedule(size, size, recipe)[0]
    assert first.height == size or first.height > shape.coarsest / shape.ratio**0.5 - 1
    assert first.height <= shape.coarsest * shape.ratio**0.5 + 1


@pytest.mark.parametrize("style_loss", ["gram", "matching"])
def test_no_level_is_narrower_than_the_network_can_see(style_loss):
    levels = schedule(100, 1000, Recipe(size=512, style_loss=style_loss))
    assert min(min(level.height, level.width) for level in levels) >= MIN_SIDE


def test_a_level_that_does_not_fit_is_halved_as_long_as_that_is_worth_it():
    level = Level(3, 300, 400, 12)
    smaller = smaller_level(level, pixels=100 * 133)
    assert smaller == Level(3, 212, 283, 12)
    assert smaller_level(smaller, pixels=150 * 200) is None
    assert smaller_level(Level(1, 20, 20, 5), pixels=0) is None
    assert smaller_level(replace(level, role=FEATURE_SPLITTING), pixels=0) == replace(
        smaller, role=FEATURE_SPLITTING
    )


def test_forms_of_a_large_picture_are_found_at_a_small_size_and_sharpened_from_there():
    """As many evaluations as an image of 512 px has, feature splitting too; then few."""
    levels = schedule(1500, 3000, Recipe(size=3000))
    small, large = levels[:5], levels[5:]
    assert [level.width for level in small] == [47, 94, 188, 375, 375]
    assert [level.role for level in small] == [STRUCTURE] * 3 + [FINEST, FEATURE_SPLITTING]
    of_that_size = schedule(188, 375, Recipe(size=375))
    assert [level.evaluations for level in small] == [each.evaluations for each in of_that_size]
    assert [level.width for level in large] == [750, 1500, 3000]
    assert all(level.role == DETAIL and level.follows for level in large)
    assert max(level.evaluations for level in large) < 8


def test_the_default_schedule_doubles_its_levels_and_ends_with_feature_splitting_at_the_same_size():
    levels = schedule(288, 384, Recipe(size=384))
    assert [(level.width, level.evaluations) for level in levels] == [
        (48, 10),
        (96, 8),
        (192, 6),
        (384, 4),
        (384, 8),
    ]
    assert [level.role for level in levels] == [STRUCTURE] * 3 + [FINEST, FEATURE_SPLITTING]
    assert {level.style for level in levels} == {1.0}
    assert [level.number for level in levels] == [1, 2, 3, 4, 5]
