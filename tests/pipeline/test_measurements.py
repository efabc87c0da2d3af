"""What this machine was measured to take: stored, found again, and never trusted blindly."""

import dataclasses
import json
import subprocess
import sys

import pytest

from impasto.compute import keras_settings
from impasto.losses.level_roles import DETAIL, FEATURE_SPLITTING, FINEST, STRUCTURE
from impasto.optimizers.solver import StopReason
from impasto.pipeline import measurements
from impasto.pipeline.events import LevelFinished, StepRecord
from impasto.pipeline.measurements import CostCurve, LevelCosts, SpeedMeasurement
from impasto.pipeline.provenance import Provenance
from impasto.pipeline.pyramid import Level
from impasto.pipeline.result import Result
from impasto.recipe import presets

MEASURED = SpeedMeasurement(
    1.5,
    "bfloat16",
    {
        STRUCTURE: LevelCosts(
            2.0, 0.5, CostCurve(0.1, 1e-6, 9e4, 0.05), CostCurve(0.2, 2e-6, 9e4, 0.05)
        ),
        FEATURE_SPLITTING: LevelCosts(
            0.0, 0.0, CostCurve(0.0, 1e-6, 9e4), CostCurve(0.0, 4e-6, 9e4)
        ),
    },
)
RECIPE = presets.make_recipe()


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """A cache of its own for every test."""
    monkeypatch.setenv("IMPASTO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_a_line_goes_through_both_points():
    line = measurements.fit_curve([(100, 3.0), (300, 7.0)])
    assert line == CostCurve(1.0, 0.02, 300)
    assert line.at(1000) == pytest.approx(21)


def test_a_curve_leaves_the_line_beyond_what_was_measured():
    line, curve = (measurements.fit_curve([(100, 3.0), (300, 7.0)], bend) for bend in (0.0, 0.1))
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
    assert measurements.fit_curve(points) == CostCurve(0.0, seconds / pixels, pixels)


def test_a_measurement_is_found_again_for_what_takes_the_same_time():
    assert measurements.find_measurement(RECIPE, 1, [STRUCTURE]) is None
    measurements.store_measurement(RECIPE, 1, MEASURED)
    for alike in (RECIPE, presets.make_recipe(size=2048, strength=0.2, seed=3, evaluations=99)):
        assert measurements.find_measurement(alike, 1, [STRUCTURE, FEATURE_SPLITTING]) == MEASURED
    for other, places, kinds in (
        (presets.make_recipe(style_loss="gram"), 1, [STRUCTURE]),
        (presets.make_recipe(optimizer="adam"), 1, [STRUCTURE]),
        (presets.make_recipe(content_weight=1), 1, [STRUCTURE]),
        (RECIPE, 2, [STRUCTURE]),
        (RECIPE, 1, [STRUCTURE, DETAIL]),
    ):
        assert measurements.find_measurement(other, places, kinds) is None


def test_other_settings_and_a_second_measurement_are_stored_beside_and_over_it():
    gram, again = presets.make_recipe(style_loss="gram"), dataclasses.replace(MEASURED, network=9.0)
    measurements.store_measurement(RECIPE, 1, MEASURED)
    measurements.store_measurement(gram, 1, MEASURED)
    measurements.store_measurement(RECIPE, 1, again)
    assert measurements.find_measurement(RECIPE, 1, [STRUCTURE]) == again
    assert measurements.find_measurement(gram, 1, [STRUCTURE]) == MEASURED


def test_another_backend_processor_or_number_of_cores_is_another_machine(monkeypatch):
    measurements.store_measurement(RECIPE, 1, MEASURED)
    own = measurements.machine_key()
    for module, name, value in (
        (measurements.threads, "core_count", lambda: 99),
        (measurements.keras_settings, "chosen_backend", lambda: "other"),
        (measurements, "_processor", lambda: "another"),
        (measurements, "_gpus", lambda: ["one"]),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, value)
            assert measurements.machine_key() != own
            assert measurements.find_measurement(RECIPE, 1, [STRUCTURE]) is None
            measurements.store_measurement(RECIPE, 1, dataclasses.replace(MEASURED, network=9.0))
            assert measurements.find_measurement(RECIPE, 1, [STRUCTURE]).network == 9
    assert measurements.find_measurement(RECIPE, 1, [STRUCTURE]) == MEASURED


def test_what_another_version_measured_is_not_used_and_goes(monkeypatch, cache):
    measurements.store_measurement(RECIPE, 1, MEASURED)
    monkeypatch.setattr(measurements, "__version__", "99.0")
    assert measurements.find_measurement(RECIPE, 1, [STRUCTURE]) is None
    measurements.store_measurement(RECIPE, 1, MEASURED)
    (machine,) = json.loads((cache / measurements.NAME).read_text())
    assert machine.startswith("impasto 99.0, ")


def test_the_oldest_of_too_many_goes(monkeypatch):
    monkeypatch.setattr(measurements, "MAX_ENTRIES", 2)
    for places in (1, 2, 3):
        measurements.store_measurement(RECIPE, places, MEASURED)
    found = [
        measurements.find_measurement(RECIPE, places, [STRUCTURE]) is not None
        for places in (1, 2, 3)
    ]
    assert found == [False, True, True]


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "{}", "null", '{"impasto": 3}', "[" * 100_000, "\0", '"\\ud800"', "1e999"],
)
def test_a_damaged_file_counts_as_none_and_is_replaced(cache, text):
    cache.mkdir()
    (cache / measurements.NAME).write_text(text)
    assert measurements.find_measurement(RECIPE, 1, [STRUCTURE]) is None
    measurements.store_measurement(RECIPE, 1, MEASURED)
    assert measurements.find_measurement(RECIPE, 1, [STRUCTURE]) == MEASURED


@pytest.mark.parametrize(
    "change",
    [
        {"network": -1},
        {"network": float("nan")},
        {"network": None},
        {"network": 10**400},
        {"costs": None},
        {"costs": [{}]},
        {"costs": [{"kind": [1, 2, 3, 4]}]},
        {"costs": [{"kind": [0], "once": 1, "compiling": 1, "targets": {}, "evaluation": {}}]},
    ],
)
def test_numbers_that_cannot_be_are_not_used(cache, change):
    measurements.store_measurement(RECIPE, 1, MEASURED)
    said = json.loads((cache / measurements.NAME).read_text())
    ((_, entries),) = said.items()
    ((_, entry),) = entries.items()
    entry.update(change)
    (cache / measurements.NAME).write_text(json.dumps(said))
    assert measurements.find_measurement(RECIPE, 1, [STRUCTURE]) is None


@pytest.mark.parametrize("why", ["a file in the way", "no home", "a folder of that name"])
def test_where_nothing_can_be_written_nothing_happens_but_a_line(cache, why, monkeypatch, caplog):
    caplog.set_level("INFO", "impasto")
    if why == "no home":
        monkeypatch.setattr(measurements.files, "cache_folder", lambda: None)
    elif why == "a file in the way":
        cache.write_text("")
    else:
        (cache / measurements.NAME).mkdir(parents=True)
    measurements.store_measurement(RECIPE, 1, MEASURED)
    assert measurements.find_measurement(RECIPE, 1, [STRUCTURE]) is None
    assert ("the measurement cannot be stored" in caplog.text) == (why != "no home")


def test_processors_are_told_apart_by_what_linux_says_of_them(tmp_path):
    described = tmp_path / "cpuinfo"
    described.write_text("processor\t: 0\nmodel name\t: EPYC\ncpu family\t: 25\nmodel\t\t: 17\n")
    assert measurements._processor(described) == "EPYC 25 17"
    assert measurements._processor(tmp_path / "none")
    (tmp_path / "gpus/0").mkdir(parents=True)
    (tmp_path / "gpus/0/information").write_text("Model: \t H200\nIRQ: 3\n")
    assert measurements._gpus(tmp_path / "gpus")[0] == "H200"
    assert measurements._gpus(tmp_path / "none") == []


def test_the_levels_of_every_style_loss_have_their_kinds():
    assert set(measurements.level_roles(RECIPE)) == {STRUCTURE, FINEST, FEATURE_SPLITTING, DETAIL}
    assert measurements.level_roles(presets.make_recipe(style_loss="gram")) == (STRUCTURE,)


def test_a_stored_measurement_is_read_without_a_tensor_library():
    code = (
        "import sys\n"
        "from impasto.pipeline import forecast, measurements\n"
        "from impasto.recipe import presets\n"
        "measurements.find_measurement(presets.make_recipe(), 1, [])\n"
        "print({'keras', 'tensorflow', 'jax', 'torch'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "set()", done.stderr


@pytest.mark.parametrize(
    ("environment", "settings", "backend"),
    [
        ("jax", None, "jax"),
        (None, None, "tensorflow"),
        (None, '{"backend": "tensorflow"}', "tensorflow"),
        (None, '{"backend": "nonsense"}', "tensorflow"),
        (None, "{", "tensorflow"),
    ],
)
def test_the_backend_is_known_before_keras_is_loaded(
    tmp_path, monkeypatch, environment, settings, backend
):
    monkeypatch.delitem(sys.modules, "keras", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setenv("KERAS_BACKEND", environment or "")
    if settings is not None:
        (tmp_path / "keras.json").write_text(settings)
    assert keras_settings.chosen_backend() == backend


# A painting as a measurement --------------------------------------------------------------------

LEVELS = (
    Level(1, 160, 240, 3),
    Level(2, 320, 480, 3),
    Level(3, 320, 480, 4, role=FEATURE_SPLITTING),
)


def painting(**changes):
    """A result whose first evaluations took 3 s longer than the others of their level."""
    took = {1: [4.0, 1.0, 1.0], 2: [4.0, 4.0, 4.0], 3: [8.0, 8.0, 9.0, 8.0]}
    history, ended, now = [], [], 10.0
    for level in LEVELS:
        for seconds in took[level.number]:
            now += seconds
            history.append(StepRecord(level.number, 1.0, 0.0, 1.0, 0.0, now))
        numbers = (level.number, level.height, level.width, level.evaluations)
        ended.append(LevelFinished(*numbers, sum(took[level.number]), StopReason.BUDGET))
        now += 7  # the targets of the next level
    values = {
        "pixels": None,
        "recipe": RECIPE,
        "network": {},
        "seconds": {"network": 2.0, "targets": 24.0},
        "levels": tuple(ended),
        "history": tuple(history),
        "stopped": False,
        "size_lowered": False,
        "run_provenance": Provenance(
            presets.make_recipe(engine="keras", precision="bfloat16", tile=0), "tensorflow", {}, ()
        ),
    }
    return Result(**{**values, **changes})


def test_a_painting_says_how_fast_this_machine_is():
    found = measurements.measurement_of_run(LEVELS, painting(), [])
    assert (found.network, found.features) == (2.0, "bfloat16")
    forms, last = found.costs[STRUCTURE], found.costs[FEATURE_SPLITTING]
    assert (forms.once, forms.compiling) == (3, 0)
    assert forms.evaluation.at(160 * 240) == pytest.approx(1)
    assert forms.evaluation.at(320 * 480) == pytest.approx(4)
    assert last.evaluation.at(320 * 480) == pytest.approx(8)
    pixels = [each.height * each.width for each in LEVELS]
    assert sum(forms.targets.at(each) for each in pixels) == pytest.approx(24)


@pytest.mark.parametrize(
    ("levels", "changes"),
    [
        (LEVELS, {"stopped": True}),
        (LEVELS, {"size_lowered": True}),
        (LEVELS, {"levels": painting().levels[1:]}),
        (LEVELS, {"history": painting().history[:7]}),
        (LEVELS, {"run_provenance": dataclasses.replace(painting().run_provenance, steered=True)}),
        (
            LEVELS,
            {
                "run_provenance": dataclasses.replace(
                    painting().run_provenance, recipe=presets.make_recipe(tile=256)
                )
            },
        ),
        ([dataclasses.replace(each, height=100, width=150) for each in LEVELS], {}),
    ],
)
def test_a_painting_of_another_course_says_nothing(levels, changes):
    assert measurements.measurement_of_run(levels, painting(**changes), []) is None
