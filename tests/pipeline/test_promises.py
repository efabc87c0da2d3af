"""What every painting promises, for both families of recipes and through every kind of level.

``matching``, the default, determines structure (STRUCTURE, FINEST, FEATURE_SPLITTING) and sharpens
what is larger (DETAIL). It sharpens beyond 1,024 px; here that limit is 32 px, so that a
painting of 64 px has all four kinds. ``gram`` stands for the losses of moments, whose levels are
all of one kind.
"""

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from skimage import color

from impasto import Finished, Stylizer, stylize
from impasto.compute import keras_backend
from impasto.errors import CheckpointError, SettingError
from impasto.images import arrays, samples
from impasto.losses import objective, tiles
from impasto.losses.level_roles import DETAIL, FEATURE_SPLITTING, FINEST, STRUCTURE
from impasto.losses.tiles import TileAlignment
from impasto.optimizers.solver import StopReason
from impasto.pipeline import checkpoints, provenance, pyramid, run
from impasto.pipeline.events import LevelFinished, LevelStarted, Step
from impasto.pipeline.models import ModelCache
from impasto.pipeline.result import Result
from impasto.recipe import settings as recipes
from impasto.recipe import strength

SIZE = (46, 64)
SMALL: dict[str, dict[str, Any]] = {
    # Levels beyond 32 px sharpen, so that small images have levels of every role.
    "matching": {
        "size": 64,
        "levels": 3,
        "structure_size": 32,
        "evaluations": 2,
        "precision": "float32",
    },
    "gram": {
        "size": 64,
        "levels": 2,
        "evaluations": 4,
        "precision": "float32",
        "style_loss": "gram",
    },
}
KINDS = {"matching": (STRUCTURE, FINEST, FEATURE_SPLITTING, DETAIL), "gram": (STRUCTURE, STRUCTURE)}
SIZES = {"matching": ((16, 23), (23, 32), (23, 32), SIZE), "gram": ((20, 28), SIZE)}
EVALUATIONS = {"matching": (3, 2, 4, 2), "gram": (6, 4)}

pytestmark = pytest.mark.usefixtures("one_network")


@dataclass(frozen=True)
class Case:
    """A recipe, with the stylizer that paints it and the picture it paints by default."""

    name: str
    stylizer: Stylizer
    content: Any
    style: Any

    @property
    def settings(self) -> dict[str, Any]:
        return SMALL[self.name]

    @property
    def steps(self) -> list[tuple[int, int]]:
        """The (level, evaluation) of every step."""
        counts = enumerate(EVALUATIONS[self.name], start=1)
        return [(level, number) for level, count in counts for number in range(1, count + 1)]

    @property
    def levels(self) -> range:
        return range(1, len(KINDS[self.name]) + 1)

    def events(self, *paintings: Any, wanted: Any = None, **settings: Any) -> Iterator[Any]:
        """The events of a painting with other settings, other style images, or more wanted."""
        recipe = recipes.change_recipe(self.stylizer.recipe, **settings)
        wanted = wanted or {}
        style = paintings or self.style
        if "regions" in wanted and not paintings:
            style = None
        prepared = self.stylizer.prepare(self.content, style, recipe=recipe, **wanted)
        return self.stylizer.run(prepared)

    def paint(self, *paintings: Any, wanted: Any = None, **settings: Any) -> Result:
        (*_, last) = self.events(*paintings, wanted=wanted, **settings)
        assert isinstance(last, Finished)
        assert last.result.finished
        return last.result

    def steered(self, at: tuple[int, int], wanted: Any = None, **change: Any) -> Iterator[Any]:
        """The events of a painting that is steered after the evaluation ``at`` of a level."""
        for event in self.events(wanted=wanted):
            if isinstance(event, Step) and (event.level, event.evaluation) == at:
                self.stylizer.steer(**change)
            yield event


def each_recipe(*names: str) -> list[Any]:
    """The recipes as parameters; tests of one recipe run in one process, which compiles it once."""
    return [pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in names or SMALL]


@pytest.fixture(scope="session", params=each_recipe())
def case(request, engines, content, style):
    stylizer = Stylizer(**SMALL[request.param])
    stylizer._executor.models = engines
    return Case(request.param, stylizer, content, style)


@pytest.fixture(scope="module")
def result(case):
    return case.paint()


@pytest.fixture(scope="session")
def photograph(content):
    return arrays.resize(content, *SIZE).clip(0, 255)


matching_only = pytest.mark.parametrize("case", each_recipe("matching"), indirect=True)
gram_only = pytest.mark.parametrize("case", each_recipe("gram"), indirect=True)


def bytes_of(result):
    return result.pixels.tobytes()


def totals_of(result, level):
    return [record.total for record in result.history if record.level == level]


def lowered(result, level):
    totals = totals_of(result, level)
    return min(totals) < totals[0]


def without_seconds(records):
    return [replace(each, seconds=0) for each in records]


def slope(least=0.0, most=1.0):
    """A mask that is black at the left, white at the right, and soft between two columns."""
    across = np.interp(np.linspace(0, 1, 140), [least, most], [0, 255])
    return np.tile(across.round().astype(np.uint8), (100, 1))


def half(height=100, width=140):
    mask = np.zeros((height, width), np.uint8)
    mask[:, : width // 2] = 255
    return mask


# What is painted ----------------------------------------------------------------------------


@pytest.mark.backend
def test_the_picture_has_the_size_asked_for_and_the_photographs_shape(result):
    assert result.pixels.shape == (*SIZE, 3)
    assert result.image.size == SIZE[::-1]
    assert result.pixels.dtype == np.float32
    assert 0 <= result.pixels.min() < result.pixels.max() <= 255


@pytest.mark.backend
def test_every_kind_of_level_is_painted_and_lowers_its_loss(case, result):
    levels = pyramid.schedule(*case.content.shape[:2], result.recipe)
    assert tuple(level.role for level in levels) == KINDS[case.name]
    assert tuple((each.height, each.width) for each in result.levels) == SIZES[case.name]
    assert tuple(each.evaluations for each in result.levels) == EVALUATIONS[case.name]
    assert all(each.reason is StopReason.BUDGET for each in result.levels)
    for level in case.levels:
        assert lowered(result, level)


@pytest.mark.backend
def test_the_history_holds_every_evaluation_and_its_terms(case, result):
    assert [record.level for record in result.history] == [level for level, _ in case.steps]
    levels = pyramid.schedule(*case.content.shape[:2], result.recipe)
    for record in result.history:
        weights = result.recipe.weights_at(levels[record.level - 1].style)
        terms = record.content, record.style, record.tv
        weighted = sum(weight * term for weight, term in zip(weights, terms, strict=True))
        assert record.total == pytest.approx(weighted, rel=1e-4)
        for name, parts in record.layers.items():
            assert sum(parts.values()) == pytest.approx(getattr(record, name), rel=1e-4)
            assert set(parts) <= set(result.recipe.layer_names)
        assert record.layers["style"]
    seconds = [record.seconds for record in result.history]
    assert seconds == sorted(seconds)


def test_the_history_marks_evaluations_that_did_not_lower_the_loss(result):
    for level in {record.level for record in result.history}:
        totals = [record.total for record in result.history if record.level == level]
        marks = [record.rejected for record in result.history if record.level == level]
        lowest = [min(totals[:number], default=np.inf) for number in range(len(totals))]
        assert marks == [now >= best for now, best in zip(totals, lowest, strict=True)]


def test_the_report_holds_everything_and_is_json(case, result):
    report = json.loads(json.dumps(result.report()))
    assert set(report) == {
        *("recipe", "weights", "backend", "precision", "seconds", "evaluations", "levels"),
        "history",
    }
    assert set(report["weights"]) == {"network", "source", "sha256"}
    assert set(report["levels"][0]) >= {"height", "width", "evaluations", "seconds", "reason"}
    assert set(report["history"][0]) == {
        *("level", "total", "content", "style", "tv", "seconds", "rejected", "layers"),
    }
    assert report["evaluations"] == len(report["history"])
    stages = sum(value for stage, value in report["seconds"].items() if stage != "total")
    assert stages == pytest.approx(report["seconds"]["total"], rel=0.05, abs=0.05)


@pytest.mark.backend
def test_the_same_picture_has_the_same_bytes_every_time_and_nothing_is_compiled(
    case, result, engines
):
    made = dict(engines._made)
    assert bytes_of(case.paint()) == bytes_of(result)
    assert bytes_of(case.paint(strength=0.9)) != bytes_of(result)
    assert engines._made == made


@pytest.mark.backend
def test_a_seed_gives_the_same_bytes_and_another_seed_others(case, result):
    noisy = [bytes_of(case.paint(init="noise", seed=seed)) for seed in (5, 5, 6)]
    assert noisy[0] == noisy[1]
    assert len({*noisy, bytes_of(result)}) == 3


def test_the_events_come_in_order(case):
    events = list(case.events())
    expected: list[type] = []
    for count in EVALUATIONS[case.name]:
        expected += [LevelStarted, *[Step] * count, LevelFinished]
    assert [type(event) for event in events] == [*expected, Finished]
    steps = [(event.level, event.evaluation) for event in events if isinstance(event, Step)]
    assert steps == case.steps


# Several style images, and regions ----------------------------------------------------------


def test_a_blend_of_one_and_nothing_is_the_first_painting_alone_to_the_byte(case, other, result):
    assert bytes_of(case.paint(case.style, other, blend="1,0")) == bytes_of(result)
    assert bytes_of(case.paint(case.style, other)) != bytes_of(result)


@pytest.mark.slow
def test_every_blend_gives_another_picture(case, other, result):
    alone = case.paint(other)
    assert bytes_of(case.paint(case.style, other, blend="0,1")) == bytes_of(alone)
    mixed = {bytes_of(case.paint(case.style, other, blend=blend)) for blend in ("1,1", "3,1")}
    assert len(mixed | {bytes_of(result), bytes_of(alone)}) == 4


@gram_only
def test_one_painting_in_two_masks_that_cover_everything_is_one_style(case, result):
    """Of moments; matching looks for neighbors within each region."""
    regions = [(half(), case.style), (255 - half(), case.style)]
    covered = case.paint(wanted={"regions": regions}).history
    for expected, received in zip(result.history[:3], covered[:3], strict=True):
        assert received.total == pytest.approx(expected.total, rel=1e-3)


@pytest.mark.backend
def test_regions_without_a_style_leave_the_rest_as_it_was(case, photograph):
    painted = case.paint(wanted={"regions": [(half(), case.style)]}).pixels
    np.testing.assert_array_equal(painted[:, 37:], photograph[:, 37:])
    assert np.abs(painted[:, :27] - photograph[:, :27]).mean() > 3


@pytest.mark.slow
def test_a_region_with_a_soft_edge_leaves_what_is_outside_the_photograph(case, photograph):
    painted = case.paint(wanted={"regions": [(slope(0.3, 0.6), case.style)]}).pixels
    np.testing.assert_array_equal(painted[:, :13], photograph[:, :13])
    changed = np.abs(painted - photograph).mean((0, 2))
    assert changed[43:].mean() > 3
    assert 0 < changed[22:34].mean() < changed[43:].mean()  # part of each


@pytest.mark.slow
@pytest.mark.backend
@matching_only
def test_soft_regions_that_meet_take_each_its_own_painting(case, other):
    red, blue = case.style * np.float32([1, 0.2, 0.2]), other * np.float32([0.2, 0.2, 1])
    regions = [(255 - slope(0.4, 0.6), red), (slope(0.4, 0.6), blue)]
    painted = case.paint(wanted={"regions": regions}, evaluations=6).pixels
    left, right = painted[:, :19].mean((0, 1)), painted[:, 45:].mean((0, 1))
    assert left[0] > 1.5 * left[2]
    assert right[2] > 1.5 * right[0]


def test_a_region_beside_a_style_for_the_rest_is_painted_everywhere(case, other, photograph):
    wanted = {"regions": [(slope(0.4, 0.6), other)]}
    changed = np.abs(case.paint(case.style, wanted=wanted).pixels - photograph).mean((0, 2))
    assert changed[:19].mean() > 3
    assert changed[45:].mean() > 3


KEEPING: tuple[dict[str, Any], ...] = (
    {},
    {"init": "noise"},
    {"colors": "content"},
    {"optimizer": "adam"},
)


@pytest.mark.parametrize("settings", KEEPING, ids=lambda each: "-".join(each.values()))
def test_what_is_kept_is_the_photograph_to_the_last_bit(case, photograph, settings):
    painted = case.paint(wanted={"keep": slope(0.3, 0.6)}, **settings).pixels
    np.testing.assert_array_equal(painted[:, 44:], photograph[:, 44:])
    assert np.abs(painted[:, :13] - photograph[:, :13]).mean() > 3


@pytest.mark.slow
def test_a_painting_seen_at_another_scale_gives_another_picture(case, other, result):
    # Enough evaluations that a first step that was too long is followed by a shorter one.
    more = {"evaluations": 4}
    scaled = [case.paint(style_scale=scale, **more) for scale in (0.5, 2)]
    assert len({bytes_of(each) for each in (*scaled, result)}) == 3
    for each in scaled:
        assert all(lowered(each, level) for level in case.levels)
    apart = case.paint(case.style, other, blend="1,0", style_scale="2,1", **more)
    assert bytes_of(apart) == bytes_of(scaled[1])


# Colors -------------------------------------------------------------------------------------


@pytest.mark.backend
def test_the_photographs_colors_remain_where_only_lightness_is_painted(case, photograph):
    painted = case.paint(colors="content").pixels
    chroma, expected = (color.rgb2lab(each / 255)[..., 1:] for each in (painted, photograph))
    assert np.median(np.abs(chroma - expected)) < 1
    assert np.abs(painted - photograph).mean() > 3


@matching_only
def test_a_painting_that_was_given_the_photographs_colors_paints_in_them(case, photograph, result):
    matched = case.paint(colors="match").pixels
    own, expected = (
        np.abs(each.mean((0, 1)) - photograph.mean((0, 1))).max()
        for each in (matched, result.pixels)
    )
    assert own < 0.5 * expected
    assert np.abs(matched - photograph).mean() > 3


def gray_inputs(case):
    grays = [each.mean(-1) for each in (case.content, case.style)]
    keep = np.zeros((34, 48), np.uint8)
    keep[:, :9] = 255
    return grays, keep


@pytest.mark.slow
@pytest.mark.parametrize("more", [{}, {"init": "noise"}, {"optimizer": "scipy"}], ids=str)
def test_gray_stays_gray(case, more):
    """Exactly: not one pixel takes on color, where both pictures have none."""
    grays, keep = gray_inputs(case)
    painted = stylize(*grays, keep=keep, **case.settings, **more).pixels
    assert np.ptp(painted, axis=-1).max() == 0
    assert painted.std() > 5
    colored = stylize(grays[0], case.style, **case.settings, **more).pixels
    assert np.ptp(colored, axis=-1).max() > 3


# What it starts from, and what weighs -------------------------------------------------------


@pytest.mark.parametrize("init", ["content", "style", "noise", "file"])
def test_every_starting_picture_is_painted_over(case, init, tmp_path, monkeypatch):
    """matching starts from the blurred content image, here without patch voting."""
    monkeypatch.setattr(strength, "VOTE_FRACTION", 0.0)
    turned = np.roll(case.content, 40, axis=1)
    Image.fromarray(turned.astype(np.uint8)).save(tmp_path / "start.png")
    blurred = arrays.resize(arrays.resize(case.content, *SIZES["matching"][0]), 2, 2)
    content = blurred if case.name == "matching" else case.content
    expected = {"content": content, "style": case.style, "file": turned}.get(init)
    init = str(tmp_path / "start.png") if init == "file" else init
    # Enough evaluations that a first step that was too long is followed by a shorter one.
    *events, last = case.events(init=init, evaluations=4)
    first = next(event.pixels for event in events if isinstance(event, Step))
    if expected is None:
        assert np.std(first) == pytest.approx(run.NOISE_AMPLITUDE / 3**0.5, rel=0.1)
        assert np.mean(first) == pytest.approx(127.5, abs=0.2)
    else:
        resized = arrays.resize(np.asarray(expected, np.float32), *first.shape[:2])
        assert np.abs(first - resized).mean() < 1
    assert all(lowered(last.result, level) for level in case.levels)


@matching_only
@pytest.mark.parametrize(("name", "weight"), [("content", 3.0), ("tv", 30.0)])
def test_content_and_variation_fall_where_they_have_a_weight(case, result, name, weight):
    assert result.history[-1].content == 0  # not computed
    hardly, weighed = (case.paint(**{f"{name}_weight": each}) for each in (1e-6, weight))
    assert getattr(weighed.history[-1], name) < 0.9 * getattr(hardly.history[-1], name)
    for record in weighed.history:
        expected = record.style + weight * getattr(record, name)
        assert record.total == pytest.approx(expected, rel=1e-4)


@matching_only
def test_without_a_weight_content_layers_change_nothing_and_that_is_told(case):
    made = recipes.change_recipe(case.stylizer.recipe, content_layers="block3_conv1")
    notes = case.stylizer.prepare(case.content, case.style, recipe=made).inputs.notes
    assert any("content_layers has no effect" in note for note in notes)
    assert case.stylizer.prepare(case.content, case.style).inputs.notes == ()


@gram_only
def test_only_content_gives_the_photograph_back(case, photograph):
    result = case.paint(style_weight=0.0, tv_weight=0.0)
    assert result.history[-1].total < 1e-5  # of a mean square relative to the features'
    np.testing.assert_allclose(result.pixels, photograph, atol=1)


def test_strength_zero_gives_the_photograph_back(case, photograph):
    painted = case.paint(strength=0).pixels
    np.testing.assert_allclose(painted, photograph, atol=1)
    assert np.abs(painted - photograph).mean() < 0.25


@pytest.mark.slow
def test_the_distance_from_the_photographs_content_rises_with_strength(case):
    more = {"content_weight": 1e-9} if case.name == "matching" else {}
    shares = (0, 0.25, 0.75) if more else (0.3, 0.6, 1.0)
    painted = [case.paint(strength=s, evaluations=6, **more) for s in shares]
    # Of the picture that was kept: the last evaluation may be a step that went too far.
    finest = 3 if case.name == "matching" else 2
    distances = [
        min((r for r in each.history if r.level == finest), key=lambda r: r.total).content
        for each in painted
    ]
    assert distances == sorted(distances)
    assert len(set(distances)) == len(shares)


@pytest.mark.parametrize(
    "optimizer",
    ["adam", *(pytest.param(each, marks=pytest.mark.slow) for each in ("lbfgs", "scipy"))],
)
def test_every_optimizer_lowers_the_loss_at_every_level(case, optimizer):
    painted = case.paint(optimizer=optimizer, evaluations=4)
    assert all(lowered(painted, level) for level in case.levels)
    if optimizer != "adam":
        assert bytes_of(case.paint(optimizer=optimizer, evaluations=4)) == bytes_of(painted)


# Keras's settings ----------------------------------------------------------------------------

OWN = {"floatx": "float64", "epsilon": 0.1, "image_data_format": "channels_first"}
VARIANTS: list[dict[str, Any]] = [
    *({"style_loss": loss} for loss in recipes.STYLE_LOSSES),
    {"style_loss": "gram", "pooling": "avg", "optimizer": "adam"},
    {"style_loss": "gram", "size": 160, "tile": 128},
    {"size": 160, "tile": 128, "content_weight": 1.0, "padding": "zero", "optimizer": "scipy"},
]


@pytest.fixture
def set_keras():
    """Set Keras as the program around the library may; at the end, see that it is still so."""
    config, before, made = keras_backend.keras.config, {}, {}

    def change(**settings):
        for name, value in settings.items():
            before.setdefault(name, getattr(config, name)())
            getattr(config, f"set_{name}")(value)
        made.update(settings)

    yield change
    kept = {name: getattr(config, name)() for name in made}
    for name, value in before.items():
        getattr(config, f"set_{name}")(value)
    assert kept == made


def painted_afresh(case, **more):
    """The bytes of a painting whose loss is compiled as Keras is set now."""
    with Stylizer(recipes.change_recipe(case.stylizer.recipe, **more)) as stylizer:
        stylizer._executor.models = ModelCache()
        (*_, last) = stylizer.paint(case.content, case.style)
    return bytes_of(last.result)


@matching_only
def test_a_programs_half_precision_changes_nothing_at_any_kind_of_level(case, result, set_keras):
    set_keras(floatx="float16")
    assert painted_afresh(case) == bytes_of(result)


@pytest.mark.slow
@matching_only
@pytest.mark.parametrize("more", VARIANTS, ids=lambda each: "-".join(map(str, each.values())))
def test_a_programs_settings_of_keras_change_nothing_and_stay(case, more, set_keras):
    own = "evaluations", "levels", *(() if "size" in more else ("size",))
    more = {**{name: case.settings[name] for name in own}, "precision": "float32", **more}
    usual = painted_afresh(case, **more)
    for settings in ({"floatx": "float16"}, OWN):
        set_keras(**settings)
        assert painted_afresh(case, **more) == usual


# Stopping, and going on ---------------------------------------------------------------------


def stopped_after(steps, case, path, **settings):
    """Paint until so many evaluations were made, and leave a checkpoint."""
    seen = []

    def listener(event):
        seen.extend([1] * isinstance(event, Step))
        return len(seen) < steps

    content, style = case.content, case.style
    result = stylize(
        content, style, **case.settings, **settings, checkpoint=path, listener=listener
    )
    assert result.stopped
    return result


@pytest.mark.parametrize(
    "place",
    [
        "first",
        pytest.param("within a level", marks=pytest.mark.backend),
        "end of a level",
        pytest.param("finest", marks=pytest.mark.backend),
    ],
)
def test_what_was_stopped_goes_on_to_the_same_bytes(case, result, place, tmp_path):
    ends = list(itertools.accumulate(EVALUATIONS[case.name]))
    steps = {"first": 1, "within a level": 2, "end of a level": ends[0], "finest": ends[-1] - 1}
    path = tmp_path / "a.checkpoint"
    stopped_after(steps[place], case, path)
    events: list[Any] = []
    again = stylize(case.content, case.style, resume=path, listener=events.append)
    assert bytes_of(again) == bytes_of(result)
    assert again.provenance == result.provenance
    assert without_seconds(again.history) == without_seconds(result.history)
    assert without_seconds(again.levels) == without_seconds(result.levels)
    seconds = [record.seconds for record in again.history]
    assert seconds == sorted(seconds)
    numbers = [(each.level, each.evaluation) for each in events if isinstance(each, Step)]
    assert numbers == case.steps[-len(numbers) :]
    left = len(case.steps) - steps[place]
    assert left <= len(numbers) < len(case.steps) + (steps[place] == 1)
    assert not path.exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"optimizer": "adam"},
        {"init": "noise", "seed": 5, "colors": "match"},
    ],
    ids=str,
)
def test_it_goes_on_to_the_same_bytes_from_every_event(case, settings, tmp_path):
    """With a part that is kept, from a checkpoint that every single event left."""
    keep = np.zeros((34, 48), np.uint8)
    keep[:, :9] = 255
    *events, whole = case.events(wanted={"keep": keep}, **settings)
    assert len(events) == len(case.steps) + 2 * len(case.levels)
    for event in events[:: 1 if not settings else 3]:
        checkpoints.write_checkpoint(event.state, tmp_path / "a")
        wanted = {"keep": keep, "resume": tmp_path / "a"}
        again = list(case.events(wanted=wanted, **settings))
        assert bytes_of(again[-1].result) == bytes_of(whole.result)
        assert again[-1].result.provenance == whole.result.provenance
        totals = [[r.total for r in each.result.history] for each in (again[-1], whole)]
        assert totals[0] == totals[1]
        assert sum(isinstance(event, Step) for event in again) <= len(case.steps)


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings", [{"optimizer": "scipy"}, {"style_loss": "wasserstein", "init": "noise"}], ids=str
)
@gram_only
def test_whatever_paints_it_goes_on_to_the_same_bytes(case, settings, tmp_path):
    """SciPy's state cannot be written down: its level begins again."""
    settings = {**case.settings, **settings}
    whole = stylize(case.content, case.style, **settings)
    for steps in (4, 8):
        path = tmp_path / f"{steps}.checkpoint"
        seen: list[int] = []

        def listener(event, seen=seen, steps=steps):
            seen.extend([1] * isinstance(event, Step))
            return len(seen) < steps

        stylize(case.content, case.style, **settings, checkpoint=path, listener=listener)
        again = stylize(case.content, case.style, resume=path)
        assert bytes_of(again) == bytes_of(whole)
        assert again.provenance == whole.provenance


def test_a_painting_may_be_stopped_and_gone_on_with_again_and_again(case, result, tmp_path):
    path = tmp_path / "a.checkpoint"
    stopped_after(1, case, path)
    for _ in range(20):
        seen: list[int] = []

        def some_more(event, seen=seen):
            seen.extend([1] * isinstance(event, Step))
            return len(seen) < 4  # more than a search along a line takes here

        again = stylize(case.content, case.style, resume=path, listener=some_more)
        if not again.stopped:
            break
    assert bytes_of(again) == bytes_of(result)


@pytest.mark.backend
def test_a_checkpoint_of_another_backend_or_state_is_refused(case, tmp_path, one_line):
    path = tmp_path / "a.checkpoint"
    content, style = case.content, case.style
    stopped_after(2, case, path)
    before = checkpoints.read_checkpoint(path)
    elsewhere = replace(before, provenance=replace(before.provenance, backend="abacus"))
    forged = replace(before, solver={"bests": before.solver["bests"]})
    for changed, words in ((elsewhere, "KERAS_BACKEND"), (forged, "the optimizer's state")):
        checkpoints.write_checkpoint(changed, path)
        with pytest.raises(CheckpointError) as caught:
            stylize(content, style, resume=path)
        assert words in one_line(caught)
        assert path.exists()
    with pytest.raises(CheckpointError, match="style"):
        stylize(content, style[::-1].copy(), resume=path)
    with pytest.raises(SettingError, match="size is 48"):
        stylize(content, style, resume=path, size=48)
    with pytest.raises(SettingError, match="exists"):
        stylize(content, style, **case.settings, checkpoint=path)


def test_a_checkpoint_that_cannot_be_written_does_not_stop_the_painting(case, result, tmp_path):
    (tmp_path / "folder").mkdir()
    path = tmp_path / "folder" / "a.checkpoint"

    def away(event):
        if path.exists():
            path.unlink()
            path.parent.rmdir()

    more = {**case.settings, "checkpoint": path, "checkpoint_every": 0}
    again = stylize(case.content, case.style, **more, listener=away)
    assert bytes_of(again) == bytes_of(result)
    assert not path.parent.exists()


def test_who_stops_pulling_has_the_best_picture_so_far(case, photograph):
    """In the finest level it is the picture itself, before it the picture carried up."""
    seen = []
    for event in case.events():
        if isinstance(event, Step):
            seen.append((event.total, event.pixels))
        if len(seen) == len(case.steps) - 1:
            break
    left = case.stylizer.so_far()
    assert left.stopped
    assert not left.finished
    assert len(left.history) == len(seen)
    of_level = seen[-(EVALUATIONS[case.name][-1] - 1) :]
    best = min(of_level, key=lambda each: each[0])[1]
    np.testing.assert_array_equal(left.pixels, best.clip(0, 255))


# Steering -----------------------------------------------------------------------------------


def each_level(*marks: pytest.MarkDecorator) -> Any:
    """Every recipe with every level of it, counted from 1; levels after the first get marks."""
    return pytest.mark.parametrize(
        ("case", "level"),
        [
            pytest.param(
                name, level, marks=[pytest.mark.xdist_group(name), *(marks if level > 1 else ())]
            )
            for name in SMALL
            for level in range(1, len(KINDS[name]) + 1)
        ],
        indirect=["case"],
    )


@each_level()
def test_strength_is_steered_in_the_middle_of_a_level(case, result, engines, level):
    at = (level, 1)
    made = dict(engines._made)
    *_, last = case.steered(at, strength=1.0)
    assert engines._made == made  # nothing was compiled again
    assert last.result.recipe.strength == 1
    assert last.result.provenance.steered
    before = case.steps.index(at) + 1
    totals, expected = ([record.total for record in each.history] for each in (last.result, result))
    assert len(totals) == len(expected)
    assert totals[:before] == expected[:before]
    assert all(
        found != usual for found, usual in zip(totals[before:], expected[before:], strict=True)
    )
    assert bytes_of(last.result) != bytes_of(result)


@pytest.mark.backend
def test_steered_to_the_photograph_it_comes_back_to_it(case, photograph, result):
    """The targets are others from the next step on, and not the weights alone."""
    *_, last = case.steered((2, 1), strength=0.0, tv_weight=0.0)
    distances = [np.abs(each.pixels - photograph).mean() for each in (last.result, result)]
    assert distances[0] < 0.9 * distances[1]


def test_evaluations_are_steered_for_this_level_and_those_above(case):
    *_, last = case.steered((1, 2), evaluations=1)
    counts = [level.evaluations for level in last.result.levels]
    assert counts == {"matching": [2, 1, 2, 1], "gram": [2, 1]}[case.name]


@each_level(pytest.mark.slow)
def test_what_was_steered_goes_on_from_its_checkpoint(case, level, tmp_path):
    at = (level, 1)
    *events, whole = case.steered(at, strength=0.8)
    steps = [event for event in events if isinstance(event, Step)]
    for step in steps[case.steps.index(at) + 1 :][:: 1 if level > 1 else 4]:
        checkpoints.write_checkpoint(step.state, tmp_path / "a")
        *_, again = case.events(wanted={"resume": tmp_path / "a"}, strength=0.8)
        assert bytes_of(again.result) == bytes_of(whole.result)
        assert again.result.provenance == whole.result.provenance


@matching_only
@pytest.mark.parametrize("level", [3, 4], ids=["feature splitting", "sharpening"])
def test_content_that_begins_to_weigh_where_no_forms_are_found_is_computed(case, level):
    *_, last = case.steered((level, 1), content_weight=2.0)
    contents = [record.content for record in last.result.history if record.level == level]
    assert contents[0] == 0
    assert min(contents[1:]) > 0


# Memory that runs out ------------------------------------------------------------------------


@pytest.mark.parametrize("after", [0, 1])
def test_where_memory_runs_out_the_level_is_painted_smaller(case, monkeypatch, after):
    """Evaluations of more pixels than fit fail, after some that still did."""
    whole = objective.FullImageObjective.evaluate
    made = []

    def evaluate(self, picture):
        made.append(picture.shape)
        if picture.shape[1] >= 60 and made.count(picture.shape) > after:
            raise MemoryError
        return whole(self, picture)

    monkeypatch.setattr(objective.FullImageObjective, "evaluate", evaluate)
    *events, last = case.events()
    result = last.result
    assert result.size_lowered
    assert not result.finished
    assert not result.provenance.finished
    assert result.pixels.shape == (*SIZE, 3)  # as large as was asked for
    *_, failed, lower = result.levels
    *before, wanted = EVALUATIONS[case.name]
    assert (failed.width, failed.reason, failed.evaluations) == (64, StopReason.MEMORY, after)
    assert (lower.width, lower.reason, lower.evaluations) == (45, StopReason.BUDGET, wanted)
    steps = [event.evaluation for event in events if isinstance(event, Step)]
    assert steps == [n for count in (*before, after, wanted) for n in range(1, count + 1)]
    # The smaller level went on from the best so far: it is better than what it began with.
    totals = [record.total for record in result.history[-wanted:]]
    assert min(totals) < totals[0]


@gram_only
def test_a_level_that_was_made_smaller_keeps_its_size_when_it_is_steered(case, monkeypatch):
    whole = objective.FullImageObjective.evaluate

    def evaluate(self, image):
        if image.shape[1] >= 60:
            raise MemoryError
        return whole(self, image)

    monkeypatch.setattr(objective.FullImageObjective, "evaluate", evaluate)
    for event in case.events():
        if isinstance(event, LevelStarted) and event.width == 45:
            case.stylizer.steer(strength=0.9, evaluations=3)
    lower = event.result.levels[-1]
    assert (lower.width, lower.reason, lower.evaluations) == (45, StopReason.BUDGET, 3)


@pytest.mark.backend
@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("something else")], ids=repr)
def test_where_nothing_fits_there_is_no_picture_and_other_errors_are_raised(
    case, monkeypatch, error
):
    def fail(self, picture):
        raise error

    monkeypatch.setattr(objective.FullImageObjective, "evaluate", fail)
    with pytest.raises(type(error)) as caught:
        list(case.events())
    assert str(caught.value) == str(error)


# In tiles, to a larger size ---------------------------------------------------------------------


@pytest.mark.slow
def test_a_picture_in_tiles_is_the_picture_of_the_whole(case):
    """But for rounding, of which the first steps of a solver make a little more.

    The last evaluation may be a try that goes far too far, which is not taken: there the loss is a
    hundred times as steep, and shows more of it.
    """
    settings = {"size": 150, "levels": 1, "evaluations": 2}
    whole, tiled = (case.paint(**settings, tile=tile) for tile in (recipes.WHOLE, 128))
    assert (whole.recipe.tile, tiled.recipe.tile) == (recipes.WHOLE, 128)
    totals = np.array([[record.total for record in each.history] for each in (whole, tiled)])
    np.testing.assert_allclose(*totals[:, :2], rtol=1e-6)
    np.testing.assert_allclose(*totals[:, :-1], rtol=1e-2)
    np.testing.assert_allclose(*totals[:, -1:], rtol=5e-2)
    assert np.abs(tiled.pixels - whole.pixels).mean() < 2


@pytest.mark.slow
@matching_only
def test_rows_at_the_edges_of_tiles_differ_as_rows_elsewhere_do(case):
    """Also where a picture is sharpened, in two levels of twice the size each."""
    content = samples.load_content("coffee")[:400, :384]
    settings = {"size": 384, "structure_size": 96, "evaluations": 3, "precision": "float32"}
    with Stylizer(**settings, tile=128) as stylizer:
        (*_, last) = stylizer.paint(content, case.style)
    assert any(level.role.detail for level in pyramid.schedule(400, 384, last.result.recipe))
    for picture in (last.result.pixels, last.result.pixels.swapaxes(0, 1)):
        apart = np.abs(np.diff(picture.astype(np.float64), axis=0)).mean(axis=(1, 2))
        cover = tiles.split_into_tiles(*arrays.size_of(picture), 128, TileAlignment(8, 24))
        edges = np.array(sorted({tile.core.top for tile in cover} - {0})) - 1
        elsewhere = np.setdiff1d(np.arange(len(apart)), edges)
        assert len(edges) == 2
        assert np.all(apart[edges] < np.quantile(apart[elsewhere], 0.95))


@pytest.mark.parametrize(
    "case",
    [
        pytest.param("gram", marks=pytest.mark.xdist_group("gram")),
        pytest.param("matching", marks=[pytest.mark.xdist_group("matching"), pytest.mark.slow]),
    ],
    indirect=True,
)
def test_a_painting_in_tiles_goes_on_from_its_checkpoint_to_the_same_bytes(case, tmp_path):
    settings = {"size": 130, "levels": 1, "tile": 128, "evaluations": 2}
    whole = case.paint(**settings)
    path = tmp_path / "a.checkpoint"
    for event in case.events(wanted={"checkpoint": path, "checkpoint_every": 0}, **settings):
        if isinstance(event, Step):
            break
    again = case.paint(wanted={"resume": path}, **settings)
    assert bytes_of(again) == bytes_of(whole)


@matching_only
def test_a_finished_picture_is_taken_up_without_its_coarse_levels(case, result, tmp_path):
    picture = tmp_path / "small.png"
    result.save(picture)
    larger = provenance.finish_settings(picture)
    assert larger == {"init": str(picture), "finished": 64, "tile": recipes.AUTO}
    before = provenance.read_provenance(picture).recipe
    with Stylizer(recipes.change_recipe(before, **larger, size=128)) as stylizer:
        (*_, last) = stylizer.paint(case.content, case.style)
    assert [each.width for each in last.result.levels] == [128]
    # It is the small picture, sharpened.
    near = arrays.resize(last.result.pixels, *SIZE)
    apart = np.abs(near - arrays.resize(case.content, *SIZE)).mean()
    assert np.abs(near - result.pixels).mean() < 0.4 * apart


@matching_only
def test_the_original_size_is_the_photographs_own(case):
    with Stylizer(**{**case.settings, "size": "original"}) as stylizer:
        prepared = stylizer.prepare(case.content, case.style)
    assert prepared.recipe.size == max(case.content.shape[:2])
    last = prepared.levels[-1]
    assert (last.height, last.width) == case.content.shape[:2]
