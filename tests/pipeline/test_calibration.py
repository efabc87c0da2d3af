"""Measuring this machine: which sizes are painted, and one calibration that really paints."""

import dataclasses
import math

import pytest

from impasto.losses.level_roles import DETAIL, FEATURE_SPLITTING, STRUCTURE
from impasto.pipeline import calibration, forecast, measurements
from impasto.pipeline.calibration import CostSample
from impasto.pipeline.models import ModelCache
from impasto.pipeline.pyramid import Level
from impasto.pipeline.stylizer import Stylizer
from impasto.recipe import presets
from tests.tiny import SMALL_GRAM, random_picture


def sample(pixels, compiling):
    targets, evaluation = 0.5 + 2e-5 * pixels, 0.1 + 1e-5 * pixels
    return CostSample(pixels, 2 * pixels, compiling + targets + evaluation, targets, evaluation)


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
    found = calibration.costs_of_samples([sample(10_000, first), sample(80_000, second)])
    assert (found.once, found.compiling) == pytest.approx((once, each))
    assert found.evaluation.at(1e6) == pytest.approx(10.1)
    assert found.targets.at(2e6) == pytest.approx(20.5)


@pytest.mark.parametrize(
    ("size", "free", "sides"),
    [(512, 1e6, [128, 320]), (64, 1e12, [128, 320]), (64, 1e6, [128])],
)
def test_a_calibration_paints_two_small_sizes_as_far_as_memory_is_free(
    read, monkeypatch, size, free, sides
):
    monkeypatch.setattr(calibration.memory, "free_bytes", lambda: free)
    levels = calibration.small_levels(read, presets.make_recipe(size=size))
    assert [level.width for level in levels] == sides


@pytest.mark.slow
@pytest.mark.backend
@pytest.mark.parametrize("style_loss", ["gram", "matching"])
def test_a_forecast_of_a_real_calibration_grows_with_the_picture(read, style_loss):
    chosen, engines = presets.make_recipe(**{**SMALL_GRAM, "style_loss": style_loss}), ModelCache()
    kinds = [STRUCTURE, FEATURE_SPLITTING, DETAIL] if style_loss == "matching" else [STRUCTURE]
    measured = calibration.measure_speed(engines, chosen, read, kinds)
    assert measured.network > 0
    for kind in kinds:
        levels = [Level(1, 32, 48, 3, role=kind), Level(2, 320, 480, 3, role=kind)]
        seconds = forecast.predict_seconds(chosen, measured, levels, forecast.style_sizes(read))
        assert 0 < seconds[0] < seconds[1] < math.inf


def test_a_forecast_measures_once_and_again_when_that_is_asked(tmp_path, monkeypatch):
    monkeypatch.setenv("IMPASTO_CACHE", str(tmp_path))
    costs = measurements.LevelCosts(
        1.0, 0.0, measurements.CostCurve(0, 1, 1), measurements.CostCurve(0, 1, 1)
    )
    measured = []

    class Painter:
        def measure(self, prepared):
            measured.append(prepared)
            return measurements.SpeedMeasurement(len(measured), "float32", {STRUCTURE: costs})

    for measure, network, count in ((False, 1, 1), (False, 1, 1), (True, 2, 2), (False, 2, 2)):
        stylizer = Stylizer(**SMALL_GRAM)  # as another process would
        vars(stylizer)["_executor"] = Painter()
        prepared = stylizer.prepare(random_picture(96, 144, 1), random_picture(96, 96, 2))
        made = stylizer.forecast(prepared, measure=measure)
        assert made.start == network + 1
        assert len(measured) == count


def test_a_painting_is_remembered_where_nothing_is_known(tmp_path, monkeypatch):
    monkeypatch.setenv("IMPASTO_CACHE", str(tmp_path))
    costs = measurements.LevelCosts(
        1.0, 0.0, measurements.CostCurve(0, 1, 1), measurements.CostCurve(0, 1, 1)
    )
    found = measurements.SpeedMeasurement(7.0, "float32", {STRUCTURE: costs})
    monkeypatch.setattr(calibration.measurements, "measurement_of_run", lambda *_: found)
    prepared = Stylizer(**SMALL_GRAM).prepare(random_picture(96, 144, 1), random_picture(96, 96, 2))
    calibration.store_run_speed(dataclasses.replace(prepared, state="resumed"), None)
    assert forecast.known_measurement(prepared) is None
    calibration.store_run_speed(prepared, None)
    assert forecast.known_measurement(prepared) == found
    monkeypatch.setattr(calibration.measurements, "measurement_of_run", pytest.fail)
    calibration.store_run_speed(prepared, None)
