"""The front door with the real network, at small sizes: what all recipes have in common.

``test_promises.py`` has what each family of recipes promises at each kind of level.
"""

import asyncio
import gc
import io
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from impasto import Finished, Stylizer, stylize
from impasto.engines.keras_engine import KerasEngine
from impasto.errors import BackendError, ImageError, SettingError
from impasto.images import arrays
from impasto.images.style_regions import StyledRegion, StyleImage
from impasto.losses import objective
from impasto.losses.level_roles import STRUCTURE
from impasto.losses.level_targets import make_level_targets
from impasto.network import weights
from impasto.network.native_vgg import NativeVGG
from impasto.optimizers.solver import StopReason
from impasto.pipeline import execution, run
from impasto.pipeline.events import Step
from impasto.pipeline.models import ModelCache
from impasto.recipe import presets
from impasto.recipe import settings as recipe
from tests import tiny

SMALL = {"size": 48, "levels": 2, "evaluations": 6, "precision": "float32", "style_loss": "gram"}


pytestmark = [pytest.mark.usefixtures("one_network"), pytest.mark.xdist_group("gram")]


@pytest.fixture(scope="module")
def stylizer(engines):
    made = Stylizer(**SMALL)
    made._executor.models = engines
    return made


@pytest.fixture(scope="module")
def result(stylizer, content, style):
    (*_, last) = stylizer.paint(content, style)
    return last.result


@pytest.fixture
def own_network(one_network, monkeypatch):
    """Networks that are given back when their painting ends, as outside of tests."""
    monkeypatch.setattr(execution, "ModelCache", ModelCache)


@pytest.mark.backend
@pytest.mark.parametrize(
    "style_loss",
    ["gram", pytest.param("matching", marks=pytest.mark.xdist_group("matching"))],
)
def test_a_gradient_has_the_same_bytes_every_time(engines, style_loss, content, style):
    """Large enough for the work to be shared out between cores, whose order must not matter."""
    chosen = presets.make_recipe(style_loss=style_loss, precision="float32")
    engine = engines.get(chosen)
    picture = arrays.resize(content, 96, 128)
    places = (StyledRegion((StyleImage(style),)),)
    painting = engine.level_program(chosen, STRUCTURE)
    targets = make_level_targets(painting.feature_extractor(0), chosen, picture, places)
    task = painting.objective(targets, keep_targets=True)
    start = arrays.noise(96, 128, seed=1)
    gradients = {task.evaluate(start).gradient.tobytes() for _ in range(5)}
    assert len(gradients) == 1


@pytest.mark.backend
@pytest.mark.usefixtures("own_network")
@pytest.mark.parametrize(
    "settings",
    [
        {"pooling": "avg", "padding": "zero"},
        pytest.param({"pooling": "avg"}, marks=pytest.mark.slow),
        pytest.param({"padding": "zero"}, marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_other_settings_paint_as_well(settings, content, style):
    result = stylize(content, style, **{**SMALL, "levels": 1}, **settings)
    first, *others = (record.total for record in result.history)
    assert min(others) < first  # the last one may be a step that went too far


@pytest.mark.usefixtures("own_network")
def test_several_content_layers_and_a_single_style_layer(content, style):
    result = stylize(
        content,
        style,
        **{**SMALL, "levels": 1},
        content_layers=["block2_conv2", "block3_conv3"],
        style_layers="block3_pool",
    )
    assert result.history[-1].total < result.history[0].total


@pytest.mark.backend
def test_features_are_those_of_the_network_by_layer(stylizer, content):
    layers = ["block1_conv1", "block5_conv2"]
    found = stylizer.features(content, layers, size=64)
    assert list(found) == layers
    height, width = arrays.fit(*content.shape[:2], 64)
    assert found["block1_conv1"].shape == (height, width, 64)
    assert found["block5_conv2"].shape == (height // 16, width // 16, 512)
    assert found["block1_conv1"].dtype == np.float32
    assert found["block1_conv1"].min() >= 0  # after the ReLU
    resized = arrays.resize(np.float32(content), height, width)
    again = stylizer.features(resized, "block1_conv1,block5_conv2")
    np.testing.assert_allclose(again["block1_conv1"], found["block1_conv1"], atol=2)
    for layers, word in (("block9_conv1", "block9"), ("block1_conv1=x", "style_layers")):
        with pytest.raises(SettingError, match=word):
            stylizer.features(content, layers)


@pytest.mark.backend
def test_a_loss_is_evaluated_without_painting(stylizer, content, style):
    chosen = replace(stylizer.recipe, levels=1, size=48)
    first = stylizer(content, style, recipe=chosen).history[0]
    found = stylizer.evaluate(content, style, recipe=chosen)
    assert found.total == pytest.approx(first.total, rel=1e-4)
    assert found.terms == pytest.approx(
        {"content": first.content, "style": first.style, "tv": first.tv}, rel=1e-4, abs=1e-6
    )
    assert sum(found.layers["style"].values()) == pytest.approx(found.terms["style"], rel=1e-5)
    height, width = arrays.fit(*content.shape[:2], 48)
    assert found.gradient.shape == (height, width, 3)
    step = arrays.resize(np.float32(content), height, width)
    step = step - 2 * found.gradient / np.abs(found.gradient).max()
    lower = stylizer.evaluate(content, style, image=np.clip(step, 0, 255), recipe=chosen)
    assert lower.total < found.total


def test_a_stylizer_can_be_called(stylizer, result, content, style):
    called = stylizer(content, style)
    assert called.pixels.tobytes() == result.pixels.tobytes()


def test_a_stylizer_maps_pairs_lazily(stylizer, result, content, style):
    results = stylizer.map([(content, style), (content, [style, style]), (content, "missing.png")])
    assert next(results).pixels.tobytes() == result.pixels.tobytes()
    assert len(next(results).inputs) == 3
    with pytest.raises(ImageError, match="missing"):
        next(results)


def test_a_stylizer_paints_in_coroutines_one_at_a_time(stylizer, result, content, style):
    async def both():
        return await asyncio.gather(*(stylizer.astylize(content, style) for _ in range(2)))

    for painted in asyncio.run(both()):
        assert painted.pixels.tobytes() == result.pixels.tobytes()


def test_a_coroutine_gets_every_event_and_errors_at_once(stylizer, result, content, style):
    async def events():
        return [event async for event in stylizer.apaint(content, style)]

    async def invalid():
        await stylizer.astylize("missing.png", style)

    *_, last = found = asyncio.run(events())
    assert sum(isinstance(event, Step) for event in found) == len(result.history)
    assert isinstance(last, Finished)
    with pytest.raises(ImageError, match="missing"):
        asyncio.run(invalid())


def test_a_coroutine_that_is_cancelled_or_told_to_stop_ends_early(stylizer, content, style):
    seen = []

    async def stop_at_the_third():
        return await stylizer.astylize(
            content, style, listener=lambda event: seen.append(event) or len(seen) < 3
        )

    async def cancelled():
        task = asyncio.create_task(stylizer.astylize(content, style))
        while stylizer._executor.current is before:
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    assert asyncio.run(stop_at_the_third()).stopped
    assert len(seen) < 6
    before = stylizer._executor.current
    asyncio.run(cancelled())
    assert len(stylizer._executor.current[1].history) < 12


def test_a_listener_that_stops_gets_the_best_picture_so_far(content, style):
    seen = []

    def stop_at_the_fourth(event):
        if isinstance(event, Step):
            seen.append((event.total, event.pixels.copy()))
        return len(seen) < 4

    result = stylize(content, style, **SMALL, listener=stop_at_the_fourth)
    assert result.stopped
    assert len(result.history) == 4
    assert result.levels[-1].reason is StopReason.STOPPED
    best = min(seen, key=lambda each: each[0])[1]
    coarse, fine = (arrays.resize(content, *size) for size in ((16, 23), (34, 48)))
    expected = arrays.upsample_residual(best, coarse, fine)
    np.testing.assert_array_equal(result.pixels, expected)


def test_a_listener_that_stops_at_the_finest_level_gets_the_best_picture_itself(content, style):
    seen = []

    def stop_at_the_third(event):
        if isinstance(event, Step):
            seen.append((event.total, event.pixels.copy()))
        return len(seen) < 3

    result = stylize(content, style, **{**SMALL, "levels": 1}, listener=stop_at_the_third)
    best = min(seen, key=lambda each: each[0])[1]
    np.testing.assert_array_equal(result.pixels, best.clip(0, 255))


def test_a_loss_that_breaks_down_writes_no_black_picture(content, style, monkeypatch):
    calls = []
    original = objective.FullImageObjective.evaluate

    def breaks_down(self, picture):
        calls.append(1)
        evaluation = original(self, picture)
        if len(calls) == 3:
            return type(evaluation)(float("nan"), evaluation.terms, evaluation.gradient)
        return evaluation

    monkeypatch.setattr(objective.FullImageObjective, "evaluate", breaks_down)
    result = stylize(content, style, **{**SMALL, "levels": 1})
    assert result.levels[0].reason is StopReason.NOT_FINITE
    assert np.isfinite(result.pixels).all()
    assert np.std(result.pixels) > 10


def test_what_cannot_be_used_is_refused_before_the_network_is_loaded(content, style, monkeypatch):
    monkeypatch.setattr(weights, "load_weights", lambda *_: pytest.fail("too late"))
    with pytest.raises(SettingError, match="block4_conv2"):
        stylize(content, style, content_layers="block4_conv22")
    with pytest.raises(ImageError, match="content"):
        stylize(np.zeros((4, 4, 2)), style)
    with pytest.raises(SettingError, match="style_weight"):
        stylize(content, style, style_weight=-1)
    with pytest.raises(ImageError, match="missing"):
        stylize("missing.jpg", style)


# What the artist decides --------------------------------------------------------------------


def half(height=100, width=140):
    mask = np.zeros((height, width), np.uint8)
    mask[:, : width // 2] = 255
    return mask


def test_a_name_that_one_picture_does_not_take_is_refused(content, style):
    """A setting among them would otherwise be ignored in silence."""
    stylizer = Stylizer()
    for name in ("strength", "masks"):
        with pytest.raises(
            TypeError, match=f"unexpected argument '{name}'; settings are given to Stylizer"
        ):
            stylizer.paint(content, style, **{name: 0.3})


@pytest.mark.slow
@pytest.mark.usefixtures("own_network")
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


def test_engines_are_made_again_only_for_what_is_compiled():
    engines = ModelCache()
    made = presets.make_recipe(precision="float32", **{"style_layers": "block1_conv1"})
    engine = engines.get(made)
    changed = replace(made, strength=0.2, size=99, seed=3, blend="1,2")
    assert engines.get(changed) is engine
    assert engines.get(replace(made, style_loss="moments")) is not engine


@pytest.mark.backend
@pytest.mark.usefixtures("own_network")
def test_a_network_that_is_no_longer_used_is_gone_from_memory(content, style):
    """Half a gigabyte each, which a program that paints many pictures would run out of."""
    gc.collect()
    before = networks_in_memory()
    stylize(content, style, **{**SMALL, "levels": 1, "evaluations": 1})
    assert networks_in_memory() == before


# One front door ------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_stylizer_paints_what_the_function_paints_and_many_of_them(
    stylizer, content, style, other, result
):
    """And with regions or without; nothing is compiled for any of them but the first."""
    made = dict(stylizer._executor.models._made)
    assert stylize(content, style, **SMALL).pixels.tobytes() == result.pixels.tobytes()
    for painting, regions in ((other, ()), (other, [(half(), style)]), (style, ())):
        *happened, last = stylizer.paint(content, painting, regions=regions)
        assert isinstance(last, Finished)
        assert len([event for event in happened if isinstance(event, Step)]) == 15
    assert last.result.pixels.tobytes() == result.pixels.tobytes()
    assert stylizer._executor.models._made == made


def test_a_picture_is_finished_only_if_somebody_looks(content, style, monkeypatch):
    calls = []
    whole = run.Run.finish_image
    monkeypatch.setattr(
        run.Run, "finish_image", lambda self, picture: calls.append(1) or whole(self, picture)
    )
    looked = stylize(content, style, **SMALL, colors="content", listener=lambda event: None)
    assert len(calls) == 1  # the result
    stylize(content, style, **SMALL, colors="content", listener=lambda e: getattr(e, "pixels", 0))
    assert len(calls) > 15
    assert looked.finished


@pytest.mark.backend
def test_weights_are_steered_between_two_steps(stylizer, content, style, result):
    for event in stylizer.paint(content, style):
        if isinstance(event, Step) and (event.level, event.evaluation) == (1, 4):
            stylizer.steer(strength=0.0, tv_weight=0.0)
            engines = dict(stylizer._executor.models._made)
    assert isinstance(event, Finished)
    assert stylizer._executor.models._made == engines  # nothing was compiled again
    steered = event.result
    assert steered.recipe.strength == 0
    assert steered.provenance.steered
    assert [record.total for record in steered.history[:4]] == [
        record.total for record in result.history[:4]
    ]
    assert steered.history[4].total == pytest.approx(steered.history[4].content, rel=1e-4)
    distance = [
        np.abs(each.pixels - arrays.resize(content, 34, 48)).mean() for each in (steered, result)
    ]
    assert distance[0] < 0.5 * distance[1]


def test_what_cannot_be_steered_is_refused(stylizer, one_line):
    for settings, words in (
        ({"size": 64}, "size cannot be changed during a run"),
        ({"strength": 2}, "strength is 2"),
    ):
        with pytest.raises(SettingError) as caught:
            stylizer.steer(**settings)
        assert words in one_line(caught)


@pytest.mark.slow
@pytest.mark.backend
@pytest.mark.usefixtures("own_network")
def test_two_stylizers_paint_at_once_in_threads(content, style, result):
    def paint(_):
        return stylize(content, style, **SMALL).pixels.tobytes()

    with ThreadPoolExecutor(2) as pool:
        assert set(pool.map(paint, range(2))) == {result.pixels.tobytes()}


def test_a_result_is_an_array_and_shows_itself_in_a_notebook(result):
    np.testing.assert_array_equal(np.asarray(result), np.asarray(result.image))
    with Image.open(io.BytesIO(result._repr_png_())) as image:
        assert image.size == (48, 34)


def test_a_recipe_may_be_given_whole(content, style, result):
    again = stylize(content, style, recipe=replace(result.recipe, strength=0.9), strength=0.5)
    assert again.pixels.tobytes() == result.pixels.tobytes()


def test_a_bar_is_shown_where_somebody_may_see_it(content, style, capfd, monkeypatch):
    monkeypatch.setenv("TTY_COMPATIBLE", "1")  # as at a terminal
    monkeypatch.setenv("COLUMNS", "100")
    stylize(content, style, **SMALL, progress=True)
    assert "evaluation" in capfd.readouterr().out
    stylize(content, style, **SMALL)
    assert capfd.readouterr() == ("", "")


@pytest.mark.backend
def test_with_keras_a_process_that_was_forked_is_told_what_to_do(content, style):
    """A child that waited for the parent's threads would hang."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            stylize(content, style, **SMALL, engine="keras")
        except BackendError as error:
            os.write(writing, str(error).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as said:
        assert "spawn" in said.read()
    os.waitpid(child, 0)


@tiny.needs_kernels
def test_the_native_engine_paints_in_a_process_that_was_forked(content, style):
    settings = {**SMALL, "levels": 1, "evaluations": 2, "engine": "native"}
    own = stylize(content, style, **settings).pixels.tobytes()
    child = os.fork()
    if not child:
        try:
            same = stylize(content, style, **settings).pixels.tobytes() == own
            os._exit(0 if same else 1)
        finally:
            os._exit(2)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0


def networks_in_memory():
    return sum(isinstance(each, NativeVGG | KerasEngine) for each in gc.get_objects())
