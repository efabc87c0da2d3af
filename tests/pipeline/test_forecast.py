"""Forecasts: what a painting will take, by what this machine was measured to take."""

import dataclasses

import pytest

from impasto.losses.level_roles import FEATURE_SPLITTING, STRUCTURE
from impasto.pipeline import forecast, memory, pyramid
from impasto.pipeline.checkpoints import CheckpointWriter
from impasto.pipeline.forecast import Forecast
from impasto.pipeline.inputs import PreparedRun
from impasto.pipeline.measurements import CostCurve, LevelCosts, SpeedMeasurement
from impasto.pipeline.pyramid import Level
from impasto.recipe import presets
from impasto.recipe.settings import Recipe
from tests.tiny import SMALL_GRAM


def test_levels_cost_their_targets_and_their_evaluations(read):
    found = LevelCosts(9.0, 0.5, CostCurve(1.0, 1e-3, 1), CostCurve(0.1, 1e-2, 1))
    polish = LevelCosts(9.0, 0.0, CostCurve(0.0, 0.0, 1), CostCurve(7.0, 0.0, 1))
    measured = SpeedMeasurement(0.0, "float32", {STRUCTURE: found, FEATURE_SPLITTING: polish})
    levels = [
        Level(1, 20, 30, 3),
        Level(2, 80, 100, 2),
        Level(3, 80, 100, 4, role=FEATURE_SPLITTING),
    ]
    paintings = forecast.style_sizes(read)
    assert paintings == [(2400, 1.0), (8100, 1.0)]
    (first, second, last) = forecast.predict_seconds(
        presets.make_recipe(), measured, levels, paintings
    )
    assert last == pytest.approx(4 * 7)
    # Two paintings are seen as large as the picture, as far as they have the pixels.
    assert first == pytest.approx(0.5 + 1 + 1e-3 * (600 + 600 + 600) + 3 * 6.1)
    assert second == pytest.approx(0.5 + 1 + 1e-3 * (8000 + 2400 + 8000) + 2 * 80.1)


@pytest.mark.parametrize(
    ("style_loss", "role", "factor"),
    [
        ("matching", STRUCTURE, 1.0),
        ("matching", FEATURE_SPLITTING, 1.5),
        *((name, STRUCTURE, 1.5) for name in ("gram", "moments", "wasserstein", "neighbors")),
    ],
)
def test_tiles_overlap_and_losses_that_are_not_additive_need_a_second_pass(
    style_loss, role, factor
):
    costs = LevelCosts(0.0, 0.0, CostCurve(0.0, 0.0, 1), CostCurve(0.0, 1e-2, 1))
    measured = SpeedMeasurement(0.0, "float32", {role: costs})
    chosen, level = Recipe(style_loss=style_loss), Level(1, 512, 512, 2, role=role)
    (whole,) = forecast.predict_seconds(chosen, measured, [level], [])
    (kept,) = forecast.predict_seconds(chosen, measured, [level], [], memory.TilePlan(256))
    assert kept / whole == pytest.approx(factor * ((256 + memory.TILE_MARGIN) / 256) ** 2)
    recomputed = memory.TilePlan(256, keep_targets=False)
    (again,) = forecast.predict_seconds(chosen, measured, [level], [], recomputed)
    assert again == pytest.approx(1.5 * kept)


def test_the_lines_for_a_person():
    made = Forecast(5.0, ((Level(1, 30, 40, 18), 4.0), (Level(2, 75, 100, 1), 200.0)), 2.14e9, 8e9)
    assert made.lines(presets.make_recipe(size=100, strength=0.6)) == [
        "recipe: --size 100 --strength 0.6",
        "level 1: 40 x 30 px, 18 evaluations, 4 s",
        "level 2: 100 x 75 px, 1 evaluation, 3 min",
        "time: about 3 min, including 5 s to start",
        "memory: about 2.1 GB peak, 8.0 GB free",
    ]
    assert "about 5.7 h for 100 images" in made.time_line(100)


def test_paintings_that_share_a_network_load_it_once():
    made = Forecast(5.0, ((Level(1, 30, 40, 18), 4.0),), 2e9, 8e9)
    large = Forecast(7.0, ((Level(1, 60, 80, 18), 9.0),), 3e9, 8e9)
    chosen, gram = presets.make_recipe(size=40), presets.make_recipe("gram", size=80)
    alike = forecast.combine_forecasts([(chosen, made), (presets.make_recipe(strength=0.2), made)])
    assert (alike.start, alike.levels_seconds, alike.peak) == (5, 8, 2e9)
    other = forecast.combine_forecasts([(chosen, made), (gram, large)])
    assert (other.start, other.levels_seconds, other.peak) == (12, 13, 3e9)


def test_a_forecast_names_memory_with_the_film(read):
    found = LevelCosts(2.0, 0.0, CostCurve(0.0, 0.0, 1), CostCurve(0.0, 1.0, 1))
    measured = SpeedMeasurement(1.0, "bfloat16", {STRUCTURE: found})
    chosen = presets.make_recipe(**SMALL_GRAM)
    levels = pyramid.schedule(96, 144, chosen)
    made = forecast.make_forecast(
        PreparedRun(chosen, read, levels, CheckpointWriter()), measured, held=7e9
    )
    work = dataclasses.replace(read.memory_inputs, features="bfloat16", extra_bytes=7e9)
    assert made.peak == memory.peak_bytes(work)
    assert made.start == 3.0
    assert made.levels_seconds == sum(
        each.height * each.width * each.evaluations for each in levels
    )
