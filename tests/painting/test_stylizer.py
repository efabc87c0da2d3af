"""The whole road with the real network, at small sizes."""

import gc
import io
import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from impasto import Painted, Stylizer, stylize
from impasto.compute import backend
from impasto.errors import BackendError, CheckpointError, PictureError, SettingError
from impasto.losses import objective
from impasto.losses.kinds import FORMS
from impasto.network import vgg, weights
from impasto.optimizers.solver import Reason
from impasto.painting import checkpoints, inputs, painter, pyramid
from impasto.painting.engine import Engines
from impasto.painting.events import LevelFinished, LevelStarted, Step
from impasto.pictures import raster, samples
from impasto.pictures.guidance import Painting, StyledRegion
from impasto.recipe import settings as recipe

SMALL = {"size": 48, "levels": 2, "evaluations": 6, "precision": "float32", "style_loss": "gram"}


@pytest.fixture(scope="module")
def content():
    return samples.photograph("coffee")[:300:3, :420:3]


@pytest.fixture(scope="module")
def style():
    return samples.painting("swirls", 96)


@pytest.fixture(scope="module")
def result(content, style):
    return stylize(content, style, **SMALL)


@pytest.mark.backend
def test_the_picture_has_the_size_asked_for_and_the_photographs_shape(result):
    assert result.picture.shape == (34, 48, 3)
    assert result.image.size == (48, 34)
    assert result.picture.dtype == np.float32
    assert 0 <= result.picture.min() < result.picture.max() <= 255


@pytest.mark.backend
def test_painting_lowers_the_loss_at_every_level(result):
    for level in (1, 2):
        totals = [record.total for record in result.history if record.level == level]
        assert min(totals) < 0.8 * totals[0]


@pytest.mark.backend
def test_the_history_holds_every_evaluation_and_its_terms(result):
    assert len(result.history) == sum(level.evaluations for level in result.levels)
    content, style, tv = result.recipe.weights
    shares = {1: pyramid.USUAL.coarse_style, 2: 1.0}
    for record in result.history:
        weighted = (
            content * record.content + shares[record.level] * style * record.style + tv * record.tv
        )
        assert record.total == pytest.approx(weighted, rel=1e-4)
    seconds = [record.seconds for record in result.history]
    assert seconds == sorted(seconds)


def test_the_levels_say_how_they_ended(result):
    assert [(each.height, each.width) for each in result.levels] == [(16, 23), (34, 48)]
    assert all(each.reason is Reason.BUDGET for each in result.levels)


def test_the_report_holds_everything_and_is_json(result):
    report = json.loads(json.dumps(result.report()))
    assert set(report) == {
        "recipe",
        "weights",
        "backend",
        "precision",
        "seconds",
        "evaluations",
        "levels",
        "history",
    }
    assert set(report["weights"]) == {"network", "source", "sha256"}
    assert set(report["levels"][0]) >= {"height", "width", "evaluations", "seconds", "reason"}
    assert set(report["history"][0]) == {"level", "total", "content", "style", "tv", "seconds"}
    assert report["evaluations"] == len(report["history"])
    stages = sum(value for stage, value in report["seconds"].items() if stage != "total")
    assert stages == pytest.approx(report["seconds"]["total"], rel=0.05, abs=0.05)


@pytest.mark.backend
def test_the_same_seed_gives_the_same_bytes(content, style):
    settings = {**SMALL, "levels": 1, "init": "noise", "seed": 5}
    first, again = (stylize(content, style, **settings).picture.tobytes() for _ in range(2))
    assert first == again
    assert stylize(content, style, **{**settings, "seed": 6}).picture.tobytes() != first


@pytest.mark.backend
def test_a_gradient_has_the_same_bytes_every_time(content, style):
    """Large enough for the work to be shared out between cores, whose order must not matter."""
    chosen = recipe.make(precision="float32")
    engine = Engines().get(chosen)
    picture = raster.resize(content, 96, 128)
    places = (StyledRegion((Painting(style),)),)
    painting = engine.of_levels(chosen, FORMS)
    frozen = objective.freeze(painting.eye(0), chosen, picture, places)
    task = painting.objective(frozen, keep=True)
    start = raster.noise(96, 128, seed=1)
    gradients = {task.evaluate(start).gradient.tobytes() for _ in range(12)}
    assert len(gradients) == 1


@pytest.mark.slow
@pytest.mark.parametrize("init", ["content", "style", "noise", "file"])
def test_every_starting_picture(init, content, style, tmp_path):
    expected = {"content": content, "style": style}.get(init)
    if init == "file":
        expected = np.roll(content, 40, axis=1)
        Image.fromarray(expected.astype(np.uint8)).save(tmp_path / "start.png")
    first = []
    stylize(
        content,
        style,
        **{**SMALL, "levels": 1, "evaluations": 1},
        init=str(tmp_path / "start.png") if init == "file" else init,
        listener=lambda event: first.append(event.picture) if isinstance(event, Step) else None,
    )
    if init == "noise":
        assert np.std(first[0]) == pytest.approx(inputs.FAINT / 3**0.5, rel=0.05)
        assert np.mean(first[0]) == pytest.approx(127.5, abs=0.1)
        return
    height, width = first[0].shape[:2]
    image = Image.fromarray(expected.astype(np.uint8)).resize((width, height), 1)
    assert np.abs(first[0] - np.asarray(image)).mean() < 1  # Pillow rounds on its way


@pytest.mark.backend
@pytest.mark.parametrize(
    "settings", [{"optimizer": "adam"}, {"pooling": "avg"}, {"padding": "zero"}]
)
def test_other_settings_paint_as_well(settings, content, style):
    result = stylize(content, style, **{**SMALL, "levels": 1, "evaluations": 12}, **settings)
    assert result.history[-1].total < result.history[0].total


def test_several_content_layers_and_a_single_style_layer(content, style):
    result = stylize(
        content,
        style,
        **{**SMALL, "levels": 1},
        content_layers=["block2_conv2", "block3_conv3"],
        style_layers="block3_pool",
    )
    assert result.history[-1].total < result.history[0].total


def test_only_content_gives_the_photograph_back(content, style):
    result = stylize(content, style, **SMALL, style_weight=0.0, tv_weight=0.0)
    assert result.history[-1].total < 1e-6
    np.testing.assert_allclose(result.picture, raster.resize(content, 34, 48).clip(0, 255), atol=1)


def test_the_listener_is_told_everything_in_order(content, style):
    events = []
    stylize(content, style, **SMALL, listener=events.append)
    kinds = [type(event) for event in events]
    assert kinds == [
        LevelStarted,
        *[Step] * 9,
        LevelFinished,
        LevelStarted,
        *[Step] * 6,
        LevelFinished,
    ]
    assert [event.evaluation for event in events if isinstance(event, Step)] == [
        *range(1, 10),
        *range(1, 7),
    ]


def test_a_listener_that_stops_gets_the_best_picture_so_far(content, style):
    seen = []

    def stop_at_the_fourth(event):
        if isinstance(event, Step):
            seen.append((event.total, event.picture.copy()))
        return len(seen) < 4

    result = stylize(content, style, **SMALL, listener=stop_at_the_fourth)
    assert result.stopped
    assert len(result.history) == 4
    assert result.levels[-1].reason is Reason.STOPPED
    best = min(seen, key=lambda each: each[0])[1]
    coarse, fine = (raster.resize(content, *size) for size in ((16, 23), (34, 48)))
    expected = raster.carry_up(best, coarse, fine)
    np.testing.assert_array_equal(result.picture, expected)


def test_a_listener_that_stops_at_the_finest_level_gets_the_best_picture_itself(content, style):
    seen = []

    def stop_at_the_third(event):
        if isinstance(event, Step):
            seen.append((event.total, event.picture.copy()))
        return len(seen) < 3

    result = stylize(content, style, **{**SMALL, "levels": 1}, listener=stop_at_the_third)
    best = min(seen, key=lambda each: each[0])[1]
    np.testing.assert_array_equal(result.picture, best.clip(0, 255))


def test_a_loss_that_breaks_down_writes_no_black_picture(content, style, monkeypatch):
    calls = []
    original = objective.WholePicture.evaluate

    def breaks_down(self, picture):
        calls.append(1)
        evaluation = original(self, picture)
        if len(calls) == 3:
            return type(evaluation)(float("nan"), evaluation.terms, evaluation.gradient)
        return evaluation

    monkeypatch.setattr(objective.WholePicture, "evaluate", breaks_down)
    result = stylize(content, style, **{**SMALL, "levels": 1})
    assert result.levels[0].reason is Reason.NOT_FINITE
    assert np.isfinite(result.picture).all()
    assert np.std(result.picture) > 10


def test_what_cannot_be_used_is_refused_before_the_network_is_loaded(content, style, monkeypatch):
    monkeypatch.setattr(weights, "load", lambda *_: pytest.fail("too late"))
    with pytest.raises(SettingError, match="block4_conv2"):
        stylize(content, style, content_layers="block4_conv22")
    with pytest.raises(PictureError, match="content"):
        stylize(np.zeros((4, 4, 2)), style)
    with pytest.raises(SettingError, match="style_weight"):
        stylize(content, style, style_weight=-1)
    with pytest.raises(PictureError, match="missing"):
        stylize("missing.jpg", style)


# What the artist decides --------------------------------------------------------------------


@pytest.fixture(scope="module")
def other():
    return samples.painting("glass", 96)


def half(height=100, width=140):
    mask = np.zeros((height, width), np.uint8)
    mask[:, : width // 2] = 255
    return mask


def test_a_name_that_one_picture_does_not_take_is_refused(content, style):
    """A setting among them would otherwise be ignored in silence."""
    stylizer = Stylizer()
    for name in ("strength", "masks"):
        with pytest.raises(TypeError, match=f"no '{name}'; settings are given to Stylizer"):
            stylizer.paint(content, style, **{name: 0.3})


def test_blending_one_and_nothing_is_the_first_style_alone_to_the_byte(
    content, style, other, result
):
    blended = stylize(content, [style, other], blend="1,0", **SMALL)
    assert blended.picture.tobytes() == result.picture.tobytes()
    mixed = stylize(content, [style, other], **SMALL)
    assert mixed.picture.tobytes() != result.picture.tobytes()


def test_one_painting_in_two_masks_that_cover_everything_is_one_style(content, style):
    settings = {**SMALL, "levels": 1, "evaluations": 3}
    regions = [(half(), style), (255 - half(), style)]
    alone = stylize(content, style, **settings).history
    covered = stylize(content, regions=regions, **settings).history
    for expected, received in zip(alone, covered, strict=True):
        assert received.total == pytest.approx(expected.total, rel=1e-3)


@pytest.mark.slow
def test_what_is_kept_is_the_photograph_to_the_last_bit(content, style):
    keep = half()
    for settings in ({}, {"init": "noise"}, {"colors": "content"}, {"optimizer": "adam"}):
        painted = stylize(content, style, keep=keep, **{**SMALL, **settings}).picture
        photograph = raster.resize(content, *painted.shape[:2])
        np.testing.assert_array_equal(painted[:, :20], photograph[:, :20])
        assert np.abs(painted[:, 28:] - photograph[:, 28:]).mean() > 3


@pytest.mark.backend
def test_regions_without_a_style_leave_the_rest_as_it_was(content, style):
    painted = stylize(content, regions=[(half(), style)], **SMALL).picture
    photograph = raster.resize(content, *painted.shape[:2])
    np.testing.assert_array_equal(painted[:, 28:], photograph[:, 28:])
    assert np.abs(painted[:, :20] - photograph[:, :20]).mean() > 3


@pytest.mark.slow
@pytest.mark.parametrize(
    "style_loss",
    [
        pytest.param(each, marks=[pytest.mark.backend] if each in ("gram", "neighbors") else [])
        for each in recipe.STYLE_LOSSES
    ],
)
def test_every_measure_of_style_paints_with_everything_else(style_loss, content, style, other):
    result = stylize(
        content,
        [style, other],
        regions=[(half(), other, half(96, 96))],
        blend="2,1",
        style_scale="1,0.5,1.5",
        colors="match",
        **{**SMALL, "style_loss": style_loss},
    )
    for level in (1, 2):
        totals = [record.total for record in result.history if record.level == level]
        assert min(totals) < totals[0]


@pytest.mark.backend
def test_the_photographs_colors_remain_where_only_lightness_is_painted(content, style):
    from skimage import color

    painted = stylize(content, style, colors="content", **SMALL).picture
    photograph = raster.resize(content, *painted.shape[:2])
    chroma, expected = (color.rgb2lab(each / 255)[..., 1:] for each in (painted, photograph))
    assert np.median(np.abs(chroma - expected)) < 1
    assert np.abs(painted - photograph).mean() > 3


@pytest.mark.slow
def test_strength_zero_is_the_photograph_and_one_forgets_it(content, style):
    nothing = stylize(content, style, strength=0, **SMALL)
    photograph = raster.resize(content, *nothing.picture.shape[:2])
    np.testing.assert_allclose(nothing.picture, photograph, atol=1)
    painted = [stylize(content, style, strength=s, **SMALL) for s in (0.3, 0.6, 1.0)]
    # Of the picture that was kept: the last evaluation may be a step that went too far.
    distances = [
        min((r for r in each.history if r.level == 2), key=lambda r: r.total).content
        for each in painted
    ]
    assert distances == sorted(distances)


@pytest.mark.slow
@pytest.mark.usefixtures("one_network")
@pytest.mark.parametrize(
    "more", [{}, {"init": "noise"}, {"optimizer": "scipy"}, {"style_loss": "matching"}]
)
def test_gray_stays_gray(content, style, more):
    """Exactly: not one pixel takes on color, where both pictures have none."""
    grays = [each.mean(-1) for each in (content, style)]
    keep = np.zeros((34, 48), np.uint8)
    keep[:, :9] = 255
    settings = {**SMALL, "evaluations": 3, **more}
    painted = stylize(*grays, keep=keep, **settings).picture
    assert np.ptp(painted, axis=-1).max() == 0
    assert painted.std() > 5
    colored = stylize(grays[0], style, **settings).picture
    assert np.ptp(colored, axis=-1).max() > 3


def test_engines_are_made_again_only_for_what_is_compiled():
    engines = Engines()
    made = recipe.make(precision="float32", **{"style_layers": "block1_conv1"})
    engine = engines.get(made)
    changed = replace(made, strength=0.2, size=99, seed=3, blend="1,2")
    assert engines.get(changed) is engine
    assert engines.get(replace(made, style_loss="moments")) is not engine


def test_one_engine_paints_with_places_and_without(content, style):
    with Stylizer(**{**SMALL, "levels": 1, "evaluations": 2}) as stylizer:
        for regions in ((), [(half(), style)], ()):
            *_, last = stylizer.paint(content, style, regions=regions)
            assert isinstance(last, Painted)
            assert len(last.result.history) == 2


# Going on -----------------------------------------------------------------------------------


class Remembering(Engines):
    """Engines that outlive the painting they were made for."""

    def forget(self):
        pass


@pytest.fixture(scope="module")
def engines():
    made = Remembering()
    yield made
    Engines.forget(made)


@pytest.fixture
def one_network(engines, monkeypatch):
    """Many paintings with the same networks in memory, each compiled once."""
    monkeypatch.setattr(painter, "Engines", lambda weights_file: engines)


def stopped_after(steps, content, style, path, **settings):
    """Paint until so many evaluations were made, and leave a checkpoint."""
    seen = []

    def listener(event):
        seen.extend([1] * isinstance(event, Step))
        return len(seen) < steps

    result = stylize(content, style, **settings, checkpoint=path, listener=listener)
    assert result.stopped
    return result


@pytest.mark.backend
@pytest.mark.usefixtures("one_network")
@pytest.mark.parametrize("steps", [1, 4, 9, 10, 13])
def test_what_was_stopped_goes_on_to_the_same_bytes(steps, result, content, style, tmp_path):
    path = tmp_path / "a.checkpoint"
    stopped_after(steps, content, style, path, **SMALL)
    events = []
    again = stylize(content, style, resume=path, listener=events.append)
    assert again.picture.tobytes() == result.picture.tobytes()
    assert again.provenance == result.provenance
    assert [replace(each, seconds=0) for each in again.history] == [
        replace(each, seconds=0) for each in result.history
    ]
    assert [replace(each, seconds=0) for each in again.levels] == [
        replace(each, seconds=0) for each in result.levels
    ]
    seconds = [record.seconds for record in again.history]
    assert seconds == sorted(seconds)
    numbers = [(each.level, each.evaluation) for each in events if isinstance(each, Step)]
    every = [*((1, n) for n in range(1, 10)), *((2, n) for n in range(1, 7))]
    assert numbers == every[-len(numbers) :]
    assert len(every) - steps <= len(numbers) < len(every) + (steps == 1)
    assert not path.exists()


@pytest.mark.slow
@pytest.mark.usefixtures("one_network")
@pytest.mark.parametrize(
    "settings",
    [
        {"optimizer": "adam"},
        {"optimizer": "scipy"},
        {"init": "noise", "seed": 5, "style_loss": "wasserstein", "colors": "match"},
    ],
)
def test_whatever_paints_it_goes_on_to_the_same_bytes(settings, content, style, tmp_path):
    settings = {**SMALL, **settings}
    keep = np.zeros((34, 48), np.uint8)
    keep[:, :9] = 255
    whole = stylize(content, style, **settings, keep=keep)
    for steps in (5, 12):
        path = tmp_path / f"{steps}.checkpoint"
        stopped_after(steps, content, style, path, **settings, keep=keep)
        again = stylize(content, style, keep=keep, resume=path)
        assert again.picture.tobytes() == whole.picture.tobytes()
        assert again.provenance == whole.provenance
        assert [record.total for record in again.history] == [
            record.total for record in whole.history
        ]


@pytest.mark.usefixtures("one_network")
def test_a_painting_may_be_stopped_and_gone_on_with_again_and_again(
    result, content, style, tmp_path
):
    path = tmp_path / "a.checkpoint"
    stopped_after(1, content, style, path, **SMALL)
    for _ in range(20):
        seen = []

        def some_more(event, seen=seen):
            seen.extend([1] * isinstance(event, Step))
            return len(seen) < 3  # what a search along a line takes at most here

        again = stylize(content, style, resume=path, listener=some_more)
        if not again.stopped:
            break
    assert again.picture.tobytes() == result.picture.tobytes()


@pytest.mark.backend
@pytest.mark.usefixtures("one_network")
def test_a_checkpoint_of_another_backend_or_state_is_refused(content, style, tmp_path, one_line):
    path = tmp_path / "a.checkpoint"
    stopped_after(4, content, style, path, **SMALL)
    before = checkpoints.read(path)
    elsewhere = replace(before, provenance=replace(before.provenance, backend="abacus"))
    forged = replace(before, solver={"bests": before.solver["bests"]})
    for other, words in ((elsewhere, "KERAS_BACKEND"), (forged, "the optimizer's state")):
        checkpoints.write(other, path)
        with pytest.raises(CheckpointError) as caught:
            stylize(content, style, resume=path)
        assert words in one_line(caught)
        assert path.exists()
    with pytest.raises(CheckpointError, match="style"):
        stylize(content, style[::-1].copy(), resume=path)
    with pytest.raises(SettingError, match="size is 64"):
        stylize(content, style, resume=path, size=64)
    with pytest.raises(SettingError, match="is there already"):
        stylize(content, style, **SMALL, checkpoint=path)


@pytest.mark.usefixtures("one_network")
def test_a_checkpoint_that_cannot_be_written_does_not_stop_the_painting(
    result, content, style, tmp_path
):
    (tmp_path / "folder").mkdir()
    path = tmp_path / "folder" / "a.checkpoint"

    def away(event):
        if path.exists():
            path.unlink()
            path.parent.rmdir()

    again = stylize(content, style, **SMALL, checkpoint=path, checkpoint_every=0, listener=away)
    assert again.picture.tobytes() == result.picture.tobytes()
    assert not path.parent.exists()


@pytest.mark.parametrize("after", [0, 2])
def test_where_memory_runs_out_the_level_is_painted_smaller(content, style, monkeypatch, after):
    """Evaluations of more pixels than fit fail, after a few that still did."""
    whole = objective.WholePicture.evaluate
    made = []

    def evaluate(self, picture):
        made.append(picture.shape)
        if picture.shape[1] >= 60 and made.count(picture.shape) > after:
            raise MemoryError
        return whole(self, picture)

    monkeypatch.setattr(objective.WholePicture, "evaluate", evaluate)
    told = []
    settings = {**SMALL, "size": 64, "evaluations": 4}
    result = stylize(content, style, **settings, listener=told.append)
    assert result.lowered
    assert not result.finished
    assert not result.provenance.finished
    assert result.picture.shape == (46, 64, 3)  # as large as was asked for
    assert [(each.width, each.reason) for each in result.levels] == [
        (28, Reason.BUDGET),
        (64, Reason.MEMORY),
        (45, Reason.BUDGET),
    ]
    assert [each.evaluations for each in result.levels] == [6, after, 4]
    numbers = [event.evaluation for event in told if isinstance(event, Step)]
    assert numbers == [*range(1, 7), *range(1, after + 1), *range(1, 5)]
    # The smaller level went on from the best so far: it is better than what it began with.
    totals = [record.total for record in result.history[-4:]]
    assert min(totals) < totals[0]


@pytest.mark.backend
def test_where_nothing_fits_there_is_no_picture(content, style, monkeypatch):
    def fail(self, picture):
        raise MemoryError

    monkeypatch.setattr(objective.WholePicture, "evaluate", fail)
    with pytest.raises(MemoryError):
        stylize(content, style, **SMALL)


@pytest.mark.backend
def test_other_errors_are_not_taken_for_a_lack_of_memory(content, style, monkeypatch):
    def fail(self, picture):
        raise RuntimeError("something else")

    monkeypatch.setattr(objective.WholePicture, "evaluate", fail)
    with pytest.raises(RuntimeError, match="something else"):
        stylize(content, style, **SMALL)


@pytest.mark.backend
def test_a_network_that_is_no_longer_used_is_gone_from_memory(content, style):
    """Half a gigabyte each, which a program that paints many pictures would run out of."""
    gc.collect()
    before = networks_in_memory()
    stylize(content, style, **SMALL)
    assert networks_in_memory() == before


# One front door ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def stylizer():
    with Stylizer(**SMALL) as made:
        yield made


def test_a_stylizer_paints_what_the_function_paints_and_many_of_them(
    stylizer, content, style, other, result
):
    for painting, expected in ((style, result), (other, None), (style, result)):
        *happened, last = stylizer.paint(content, painting)
        assert isinstance(last, Painted)
        assert len([event for event in happened if isinstance(event, Step)]) == 15
        if expected is not None:
            assert last.result.picture.tobytes() == expected.picture.tobytes()
    assert len(stylizer._painter.engines._made) == 1


@pytest.mark.usefixtures("one_network")
def test_every_event_leaves_a_state_that_a_painting_goes_on_from(
    stylizer, content, style, result, tmp_path
):
    states = [event.state for event in stylizer.paint(content, style) if hasattr(event, "state")]
    assert len(states) == 15 + 2 * 2
    for number in (0, 1, 7, 10, 11, 12, 18):
        checkpoints.write(states[number], tmp_path / "a")
        again = stylize(content, style, resume=tmp_path / "a")
        assert again.picture.tobytes() == result.picture.tobytes()


def test_whoever_stops_pulling_has_stopped_the_work(stylizer, content, style):
    seen = []
    for event in stylizer.paint(content, style):
        if isinstance(event, Step):
            seen.append((event.total, event.picture))
        if len(seen) == 12:
            break
    left = stylizer.so_far()
    assert left.stopped
    assert not left.finished
    assert len(left.history) == 12
    best = min(seen[9:], key=lambda each: each[0])[1]  # of the level under way
    np.testing.assert_array_equal(left.picture, best.clip(0, 255))


@pytest.mark.usefixtures("one_network")
def test_a_picture_is_finished_only_if_somebody_looks(content, style, monkeypatch):
    calls = []
    whole = painter.Job.shown
    monkeypatch.setattr(
        painter.Job, "shown", lambda self, picture: calls.append(1) or whole(self, picture)
    )
    looked = stylize(content, style, **SMALL, colors="content", listener=lambda event: None)
    assert len(calls) == 1  # the result
    stylize(content, style, **SMALL, colors="content", listener=lambda e: getattr(e, "picture", 0))
    assert len(calls) > 15
    assert looked.finished


@pytest.mark.backend
def test_weights_are_steered_between_two_steps(stylizer, content, style, result):
    for event in stylizer.paint(content, style):
        if isinstance(event, Step) and (event.level, event.evaluation) == (1, 4):
            stylizer.steer(strength=0.0, tv_weight=0.0)
            engines = dict(stylizer._painter.engines._made)
    assert isinstance(event, Painted)
    assert stylizer._painter.engines._made == engines  # nothing was compiled anew
    steered = event.result
    assert steered.recipe.strength == 0
    assert steered.provenance.steered
    assert [record.total for record in steered.history[:4]] == [
        record.total for record in result.history[:4]
    ]
    assert steered.history[4].total == pytest.approx(steered.history[4].content, rel=1e-4)
    distance = [
        np.abs(each.picture - raster.resize(content, 34, 48)).mean() for each in (steered, result)
    ]
    assert distance[0] < 0.5 * distance[1]


def test_evaluations_are_steered_for_this_level_and_those_above(stylizer, content, style):
    for event in stylizer.paint(content, style):
        if isinstance(event, Step) and (event.level, event.evaluation) == (1, 3):
            stylizer.steer(evaluations=3)
    assert [level.evaluations for level in event.result.levels] == [4, 3]


def test_what_cannot_be_steered_is_refused(stylizer, one_line):
    for settings, words in (
        ({"size": 64}, "size cannot be changed while painting"),
        ({"strength": 2}, "strength is 2"),
    ):
        with pytest.raises(SettingError) as caught:
            stylizer.steer(**settings)
        assert words in one_line(caught)


def test_a_steered_painting_goes_on_from_its_checkpoint(stylizer, content, style, tmp_path):
    def painted(**more):
        for event in stylizer.paint(content, style, **more):
            if isinstance(event, Step) and (event.level, event.evaluation) == (1, 4):
                stylizer.steer(strength=0.8)
            yield event

    (*_, whole) = painted()
    for event in painted(checkpoint=tmp_path / "a", checkpoint_every=0):
        if isinstance(event, Step) and (event.level, event.evaluation) == (1, 7):
            break
    again = stylize(content, style, resume=tmp_path / "a")
    assert again.picture.tobytes() == whole.result.picture.tobytes()
    assert again.provenance == whole.result.provenance


@pytest.mark.slow
@pytest.mark.backend
def test_two_stylizers_paint_at_once_in_threads(content, style, result):
    def paint(_):
        return stylize(content, style, **SMALL).picture.tobytes()

    with ThreadPoolExecutor(2) as pool:
        assert set(pool.map(paint, range(2))) == {result.picture.tobytes()}


def test_a_result_is_an_array_and_shows_itself_in_a_notebook(result):
    np.testing.assert_array_equal(np.asarray(result), np.asarray(result.image))
    with Image.open(io.BytesIO(result._repr_png_())) as image:
        assert image.size == (48, 34)


@pytest.mark.usefixtures("one_network")
def test_a_recipe_may_be_given_whole(content, style, result):
    again = stylize(content, style, recipe=replace(result.recipe, strength=0.9), strength=0.5)
    assert again.picture.tobytes() == result.picture.tobytes()


@pytest.mark.usefixtures("one_network")
def test_a_bar_is_shown_where_somebody_may_see_it(content, style, capfd, monkeypatch):
    monkeypatch.setenv("TTY_COMPATIBLE", "1")  # as at a terminal
    monkeypatch.setenv("COLUMNS", "100")
    stylize(content, style, **SMALL, progress=True)
    assert "evaluation" in capfd.readouterr().out
    stylize(content, style, **SMALL)
    assert capfd.readouterr() == ("", "")


@pytest.mark.backend
def test_a_process_that_was_forked_is_told_what_to_do(content, style):
    """A child that waited for the parent's threads would hang."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            stylize(content, style, **SMALL)
        except BackendError as error:
            os.write(writing, str(error).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as said:
        assert "spawn" in said.read()
    os.waitpid(child, 0)


def networks_in_memory():
    return sum(isinstance(each, vgg.Kernels) for each in gc.get_objects())


@pytest.mark.slow
@pytest.mark.parametrize("loss", ["gram", "moments", "wasserstein", "neighbors"])
def test_a_programs_settings_of_keras_change_nothing_and_stay(content, style, loss):
    config = backend.keras.config
    same = {**SMALL, "style_loss": loss, "levels": 1, "evaluations": 2, "pooling": "avg"}
    usual = stylize(content, style, **same).picture
    before = config.floatx(), config.image_data_format(), config.epsilon()
    try:
        config.set_floatx("float64")
        config.set_image_data_format("channels_first")
        config.set_epsilon(0.1)
        found = stylize(content, style, **same).picture
        kept = config.floatx(), config.image_data_format(), config.epsilon()
    finally:
        config.set_floatx(before[0])
        config.set_image_data_format(before[1])
        config.set_epsilon(before[2])
    np.testing.assert_array_equal(found, usual)
    assert kept == ("float64", "channels_first", 0.1)
