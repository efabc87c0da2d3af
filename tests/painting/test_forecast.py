"""Forecasts: curves through what was measured, and one calibration that really paints."""

import math

import pytest

from impasto.losses.kinds import FORMS, LAST, SHARPENING
from impasto.painting import forecast, inputs, memory, pyramid
from impasto.painting.checkpoints import Keeper
from impasto.painting.engine import Engines
from impasto.painting.forecast import Costs, Curve, Forecast, Sample
from impasto.painting.preparing import Prepared
from impasto.painting.pyramid import Level
from impasto.recipe import settings as recipe
from tests.tiny import random_picture

SMALL = {"size": 48, "levels": 2, "evaluations": 3, "precision": "float32", "style_loss": "gram"}


def test_a_line_goes_through_both_points():
    line = forecast.curve([(100, 3.0), (300, 7.0)])
    assert line == Curve(1.0, 0.02, 300)
    assert line.at(1000) == pytest.approx(21)


def test_a_curve_leaves_the_line_beyond_what_was_measured():
    line, curve = (forecast.curve([(100, 3.0), (300, 7.0)], bend) for bend in (0.0, 0.1))
    assert [curve.at(pixels) for pixels in (100, 300)] == pytest.approx([3, 7])
    assert curve.at(30_000) - 1 == pytest.approx((line.at(30_000) - 1) * 100**0.1)


@pytest.mark.parametrize(
    "points",
    [
        [(100, 3.0)],
        [(100, 5.0), (300, 4.0)],
        [(100, 1.0), (300, 9.0)],
        [(300, 2.0), (300, 3.0)],
    ],
    ids=["a single point", "falling", "below zero at zero", "of one size"],
)
def test_where_no_line_makes_sense_seconds_go_with_pixels(points):
    pixels, seconds = points[-1]
    assert forecast.curve(points) == Curve(0.0, seconds / pixels, pixels)


def sample(pixels, compiling):
    targets, evaluation = 0.5 + 2e-5 * pixels, 0.1 + 1e-5 * pixels
    return Sample(pixels, 2 * pixels, compiling + targets + evaluation, targets, evaluation)


@pytest.mark.parametrize(
    ("first", "second", "once", "each"),
    [
        (3.0, 0.0, 3.0, 0.0),  # as TensorFlow, which compiles once
        (5.0, 4.0, 1.0, 4.0),  # as JAX, for every size
        (-0.1, -0.2, 0.0, 0.0),  # noise
    ],
)
def test_what_is_compiled_once_is_told_from_what_is_compiled_for_every_size(
    first, second, once, each
):
    found = forecast.costs([sample(10_000, first), sample(80_000, second)])
    assert (found.once, found.compiling) == pytest.approx((once, each))
    assert found.evaluation.at(1e6) == pytest.approx(10.1)
    assert found.targets.at(2e6) == pytest.approx(20.5)


@pytest.fixture(scope="module")
def read():
    style = [random_picture(40, 60, 2), random_picture(90, 90, 3)]
    chosen = recipe.make(**SMALL)
    return inputs.prepare(chosen, random_picture(96, 144, 1), style)


def test_levels_cost_their_targets_and_their_evaluations(read):
    found = Costs(9.0, 0.5, Curve(1.0, 1e-3, 1), Curve(0.1, 1e-2, 1))
    polish = Costs(9.0, 0.0, Curve(0.0, 0.0, 1), Curve(7.0, 0.0, 1))
    levels = [Level(1, 20, 30, 3), Level(2, 80, 100, 2), Level(3, 80, 100, 4, kind=LAST)]
    (first, second, last) = forecast.predict({FORMS: found, LAST: polish}, read, levels)
    assert last == pytest.approx(4 * 7)
    # Two paintings are seen as large as the picture, as far as they have the pixels.
    assert first == pytest.approx(0.5 + 1 + 1e-3 * (600 + 600 + 576) + 3 * 6.1)
    assert second == pytest.approx(0.5 + 1 + 1e-3 * (8000 + 2400 + 7921) + 2 * 80.1)


@pytest.mark.parametrize(
    ("size", "sides"), [(512, [128, 320]), (200, [128, 200]), (128, [128]), (64, [64])]
)
def test_a_calibration_paints_two_small_sizes_or_fewer(read, size, sides):
    levels = forecast.small_levels(read, recipe.make(size=size))
    assert [level.width for level in levels] == sides


def test_the_lines_for_a_person():
    made = Forecast(5.0, ((Level(1, 30, 40, 18), 4.0), (Level(2, 75, 100, 12), 200.0)), 2.14e9, 8e9)
    assert made.told(recipe.make(size=100, strength=0.6)) == [
        "recipe: --size 100 --strength 0.6",
        "level 1: 40 x 30 px, 18 evaluations, 4 s",
        "level 2: 100 x 75 px, 12 evaluations, 3 min",
        "time: about 3 min, 5 s of it to begin with",
        "memory: about 2.1 GB at the peak, 8.0 GB are free",
    ]
    assert "about 5.7 h for 100 pictures" in made.told_time(100)


@pytest.mark.slow
@pytest.mark.backend
@pytest.mark.parametrize("style_loss", ["gram", "matching"])
def test_a_forecast_of_a_real_calibration_grows_with_the_picture(read, style_loss):
    chosen, engines = recipe.make(**{**SMALL, "style_loss": style_loss}), Engines()
    kinds = [FORMS, LAST, SHARPENING] if style_loss == "matching" else [FORMS]
    network, costs = forecast.calibrate(engines, chosen, read, kinds)
    assert network > 0
    for kind in kinds:
        levels = [Level(1, 32, 48, 3, kind=kind), Level(2, 320, 480, 3, kind=kind)]
        seconds = forecast.predict(costs, read, levels)
        assert 0 < seconds[0] < seconds[1] < math.inf


def test_a_forecast_names_memory_with_the_film(read, monkeypatch):
    found = Costs(2.0, 0.0, Curve(0.0, 0.0, 1), Curve(0.0, 1.0, 1))
    monkeypatch.setattr(forecast, "calibrate", lambda *_: (1.0, {FORMS: found}))
    chosen = recipe.make(**SMALL)
    levels = pyramid.schedule(96, 144, chosen)
    made = forecast.make(Engines(), Prepared(chosen, read, levels, Keeper()), held=7e9)
    assert made.peak == memory.needed(read.work) + 7e9
    assert made.start == 3.0
    assert made.painting == sum(each.height * each.width * each.evaluations for each in levels)
