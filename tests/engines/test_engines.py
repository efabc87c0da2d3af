"""Both engines compute the same: features, losses and gradients, of a small seeded network."""

from dataclasses import replace

import numpy as np
import pytest

from impasto.compute import keras_backend
from impasto.compute.arrays import to_numpy
from impasto.images.style_regions import StyledRegion, StyleImage
from impasto.losses import objective, tiled
from impasto.losses.level_roles import DETAIL, FEATURE_SPLITTING, FINEST, STRUCTURE
from impasto.losses.level_targets import make_level_targets
from impasto.losses.terms import TiledFeatureExtractor
from impasto.losses.tiles import TileAlignment
from impasto.recipe import presets
from impasto.recipe import settings as recipe
from tests import tiny
from tests.tiny import random_picture

pytestmark = pytest.mark.backend

HEIGHT, WIDTH = 61, 78
PHOTOGRAPH, START, PICTURE = (random_picture(HEIGHT, WIDTH, seed) for seed in (1, 2, 3))
STYLE, OTHER = random_picture(50, 44, 4), random_picture(45, 66, 5)
ACROSS = np.tile(np.linspace(0, 1, WIDTH, dtype=np.float32), (HEIGHT, 1))
REGIONS = (
    StyledRegion((StyleImage(STYLE, 2.0), StyleImage(OTHER)), ACROSS),
    StyledRegion((StyleImage(OTHER),), 1 - ACROSS),
)
WHOLE = (StyledRegion((StyleImage(STYLE),)),)

FEW = {"style_layers": "block1_conv2,block3_conv1,block4_conv1"}
CASES = {
    **{f"preset {name}": ({"preset": name}, STRUCTURE, WHOLE) for name in presets.PRESETS},
    **{name: ({"style_loss": name, **FEW}, STRUCTURE, REGIONS) for name in recipe.STYLE_LOSSES},
    "finest": ({}, FINEST, WHOLE),
    "feature splitting": (FEW, FEATURE_SPLITTING, REGIONS),
    "sharpening": ({}, DETAIL, WHOLE),
    "average pooling": ({"pooling": "avg"}, STRUCTURE, WHOLE),
    "zero padding": ({"padding": "zero"}, STRUCTURE, WHOLE),
    "both": ({"style_loss": "gram", "pooling": "avg", "padding": "zero"}, STRUCTURE, WHOLE),
}
"""Settings, what a level is for, and regions."""


def both(settings):
    """A recipe that weighs all terms, and both engines of it."""
    chosen = presets.make_recipe(**{"content_weight": 0.5, "tv_weight": 0.3, **settings})

    return chosen, *(
        tiny.engine(name, chosen, tiny.vgg(chosen.network)) for name in ("native", "keras")
    )


def eye_of(engine, chosen, kind, tile=0):
    layers = objective.required_layers(chosen, kind)
    return TiledFeatureExtractor.for_layers(
        engine.feature_function(layers), engine.network, layers, tile
    )


MOST = {"neighbors": 1e-2, "wasserstein": 5e-3}
"""Of the gradient's norm: of two neighbors that are as near, another may be found, and roots of
covariances of a tile's few positions are ill conditioned."""


def assert_alike(found, expected, most=1e-4):
    """Two results of a step: totals, terms, and gradients by their norm."""
    (total, terms, gradient), (other, others, reference) = found, expected
    assert total == pytest.approx(other, rel=1e-4)
    assert terms == pytest.approx(others, rel=1e-4, abs=1e-6)
    gradient, reference = to_numpy(gradient), to_numpy(reference)
    assert gradient.dtype == reference.dtype == np.float32
    size = np.linalg.norm(reference)
    assert size > 0
    assert np.linalg.norm(gradient - reference) < most * size


@pytest.mark.parametrize("size", [(61, 78), (16, 16), (47, 30)])
@pytest.mark.parametrize("padding", ["replicate", "zero"])
@pytest.mark.parametrize("pooling", ["max", "avg"])
def test_features_are_alike(pooling, padding, size):
    layers = ("block1_conv1", "block1_pool", "block2_conv2", "block3_conv3", "block5_conv1")
    settings = {"style_layers": ",".join(layers), "pooling": pooling, "padding": padding}
    chosen = presets.make_recipe(style_loss="gram", **settings)
    engines = (tiny.engine(name, chosen, tiny.vgg()) for name in tiny.ENGINES)
    picture = random_picture(*size, seed=6)
    found, expected = (engine.feature_function(layers)(picture) for engine in engines)
    assert set(found) == set(expected) == set(layers)
    for layer in layers:
        assert found[layer].dtype == np.float32
        assert found[layer].shape == expected[layer].shape
        error = np.abs(found[layer] - to_numpy(expected[layer])).max()
        assert error < 1e-4 * np.abs(found[layer]).max(), layer


@pytest.mark.parametrize("name", CASES)
def test_steps_are_alike(name):
    settings, kind, regions = CASES[name]
    chosen, native, keras = both(settings)
    # One set of targets, so that a nearest neighbor is not another for rounding.
    targets = make_level_targets(
        eye_of(native, chosen, kind), chosen, PHOTOGRAPH, regions, start=START, role=kind
    )
    found, expected = (
        engine.compile_step(chosen, kind)(PICTURE, engine.place(targets.for_full_image()))
        for engine in (native, keras)
    )
    assert all(found[1][term] > 0 for term in objective.TERMS if term != "content")
    assert_alike(found, expected, MOST.get(name, 1e-4))


TILED = ["matching", "gram", "moments", "wasserstein", "neighbors", "finest", "feature splitting"]


@pytest.mark.parametrize("name", TILED)
def test_the_steps_of_a_tile_are_alike(name):
    settings, kind, regions = CASES[name]
    chosen, native, keras = both(settings)
    extractor = replace(eye_of(native, chosen, kind, tile=40), alignment=TileAlignment(8, 16))
    targets = make_level_targets(extractor, chosen, PHOTOGRAPH, regions, start=START, role=kind)
    *_, target_tile = targets.level_inputs.iter_target_tiles()
    shown = np.ascontiguousarray(PICTURE[target_tile.tile.padded.slices])
    assert shown.shape != PICTURE.shape
    steps = [engine.compile_tile_fns(chosen, kind) for engine in (native, keras)]
    assert steps[0].additive == steps[1].additive == (name in ("matching", "finest"))

    def given(engine, slope=tiled.NO_GRADIENT):
        return engine.place(tiled.tile_args(target_tile, targets.for_tile(target_tile), slope))

    sums = [
        to_numpy(each.statistics(shown, given(engine)))
        for each, engine in zip(steps, (native, keras), strict=True)
    ]
    np.testing.assert_allclose(*sums, rtol=1e-3, atol=1e-4 * np.abs(sums[0]).max())
    once, other = (
        each.value_and_grad(shown, given(engine))
        for each, engine in zip(steps, (native, keras), strict=True)
    )
    assert_alike(once, other, MOST.get(name, 1e-4))
    slope, other = (
        each.loss_grad(sums[0], given(engine))
        for each, engine in zip(steps, (native, keras), strict=True)
    )
    # No feature changes a count, so that the native engine gives no slope along it. The variance of
    # a channel that is nowhere active lies at the corner of a maximum, where backends differ.
    compared = (slope[2] != 0) & (sums[0] != 0)
    alike = [(*each[:2], np.where(compared, each[2], np.float32(0))) for each in (slope, other)]
    assert_alike(*alike, MOST.get(name, 1e-4))
    along, other = (
        each.value_and_grad(shown, given(engine, slope[2]))
        for each, engine in zip(steps, (native, keras), strict=True)
    )
    assert_alike(along, other, MOST.get(name, 1e-4))
    # The loss's gradient is that along its slope, where the sums are the tile's own.
    np.testing.assert_allclose(along[2], once[2], atol=1e-4 * np.abs(once[2]).max())


@pytest.mark.parametrize("name", tiny.ENGINES)
def test_an_engine_says_what_it_is(name):
    chosen = presets.make_recipe(precision="auto")
    engine = tiny.engine(name, chosen, tiny.vgg())
    assert engine.backend == ("native" if name == "native" else keras_backend.backend_name())
    assert engine.precision == "float32"
    assert engine.network.name == "vgg16"


def test_the_keras_engine_computes_in_bfloat16_where_that_is_asked_for():
    chosen = presets.make_recipe(precision="bfloat16")
    rough = tiny.engine("keras", chosen, tiny.vgg())
    exact = tiny.engine("keras", presets.make_recipe(), tiny.vgg())
    assert rough.precision == "bfloat16"
    layer = "block4_conv2"
    features = [engine.feature_function([layer])(PICTURE)[layer] for engine in (exact, rough)]
    assert features[1].dtype == np.float32
    error = np.linalg.norm(features[1] - features[0]) / np.linalg.norm(features[0])
    assert 0 < error < 0.03


def test_on_a_gpu_the_keras_engine_takes_bfloat16_unless_another_is_asked_for(monkeypatch):
    monkeypatch.setattr(keras_backend, "runs_on_cpu", lambda: False)
    engines = [
        tiny.engine("keras", presets.make_recipe(precision=each), tiny.vgg())
        for each in ("auto", "float32")
    ]
    assert [each.precision for each in engines] == ["bfloat16", "float32"]
