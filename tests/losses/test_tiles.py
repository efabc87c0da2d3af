"""The seam: a picture read in tiles has the targets, the loss and the gradient of the whole."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from impasto.images.style_regions import StyledRegion, StyleImage
from impasto.losses import objective, tiled
from impasto.losses.level_roles import DETAIL, FEATURE_SPLITTING, STRUCTURE
from impasto.losses.level_targets import make_level_targets
from impasto.losses.terms import TiledFeatureExtractor
from impasto.losses.tiles import Box, TileAlignment, crop, split_into_tiles
from impasto.recipe import presets
from tests import tiny
from tests.tiny import random_picture

HEIGHT, WIDTH = 150, 213
CONTENT, PICTURE, START = (random_picture(HEIGHT, WIDTH, seed) for seed in (1, 2, 5))
STYLE, OTHER = random_picture(120, 90, 3), random_picture(80, 130, 4)


def soft_mask():
    across = np.linspace(0, 1, WIDTH, dtype=np.float32)
    return np.tile(across, (HEIGHT, 1))


REGIONS = {
    "everywhere": (StyledRegion((StyleImage(STYLE),)),),
    "masked": (
        StyledRegion(
            (
                StyleImage(STYLE, 2.0),
                StyleImage(OTHER, 1.0, mask=np.eye(80, 130, k=9, dtype=np.float32)),
            ),
            soft_mask(),
        ),
        StyledRegion((StyleImage(OTHER),), 1 - soft_mask()),
    ),
}


@settings(deadline=None)
@given(
    *(st.integers(1, 400) for _ in range(2)),
    st.integers(30, 200),
    st.sampled_from([TileAlignment(1, 0), TileAlignment(8, 24), TileAlignment(16, 64)]),
)
def test_tiles_cover_a_picture_once_and_show_what_is_around_them(height, width, size, grain):
    seen = np.zeros((height, width), int)
    for inner, outer in split_into_tiles(height, width, size, grain):
        seen[inner.slices] += 1
        assert inner.top % grain.multiple == inner.left % grain.multiple == 0
        assert outer.top == max(0, inner.top - grain.halo)
        assert outer.right == min(width, inner.right + grain.halo)
        assert max(inner.height, inner.width) <= size + grain.multiple
    assert (seen == 1).all()
    assert len(split_into_tiles(height, width, 0, grain)) == 1


@given(st.integers(0, 5), st.integers(2, 9), st.sampled_from([1, 2, 4]))
def test_of_an_array_its_positions_in_the_box_are_taken(top, height, apart):
    """Odd last rows have no position, as in VGG's pooling."""
    array = np.arange((top * apart + height) // apart * 3).reshape(-1, 3)
    box = Box(top * apart, 0, top * apart + height, 3 * apart)
    found = crop(array, apart, box)
    np.testing.assert_array_equal(found, array[top : (top * apart + height) // apart])


def compared(engine, eye, chosen, regions, start=None, kind=STRUCTURE, keep=True):
    """The evaluation in tiles, and that of the whole."""
    whole = make_level_targets(
        replace(eye, tile_size=0), chosen, CONTENT, regions, 1.0, start, kind
    )
    frozen = make_level_targets(eye, chosen, CONTENT, regions, 1.0, start, kind)
    assert len(frozen.level_inputs.tiles) > 1
    targets = engine.place(whole.for_full_image())
    step = objective.FullImageObjective(engine.compile_step(chosen, kind), targets, engine.place)
    task = in_tiles(engine, chosen, frozen, kind, keep)
    return task.evaluate(PICTURE), step.evaluate(PICTURE)


def in_tiles(engine, chosen, frozen, kind=STRUCTURE, keep=True):
    """The objective that reads tiles in this process."""
    steps = engine.compile_tile_fns(chosen, kind)
    evaluator = tiled.LocalTileEvaluator(steps, frozen, keep, engine.place)
    return tiled.TiledObjective(
        frozen.level_inputs.tiles, steps.additive, evaluator, frozen.weights
    )


def assert_alike(tiles, whole):
    # A Wasserstein distance is what is left of terms of about one, in float32.
    assert tiles.total == pytest.approx(whole.total, rel=1e-5)
    assert tiles.terms == pytest.approx(whole.terms, rel=1e-5, abs=1e-6)


QUICK = {
    ("gram", "masked"),
    ("moments", "strips"),
    ("wasserstein", "strips"),
    ("neighbors", "masked"),
}


@pytest.mark.parametrize(
    ("style_loss", "regions", "strips", "tile"),
    [
        pytest.param(
            style_loss,
            regions,
            strips,
            tile,
            marks=[pytest.mark.backend] * (name == "strips")
            + [pytest.mark.slow] * ((style_loss, name) not in QUICK),
        )
        for style_loss in ("gram", "moments", "wasserstein", "neighbors")
        for name, regions, strips, tile in (
            ("whole", "everywhere", 1, 96),
            ("strips", "everywhere", 4, 64),
            ("masked", "masked", 4, 96),
        )
    ],
)
@pytest.mark.parametrize("name", tiny.ENGINES)
def test_tiles_have_the_loss_and_the_gradient_of_the_whole(name, style_loss, strips, regions, tile):
    layers = {"content_layers": "second", "style_layers": "first,second"}
    chosen = presets.make_recipe(style_loss=style_loss, strips=strips, padding="zero", **layers)
    engine = tiny.engine(name, chosen)
    extractor = tiny.eye(engine, tile)
    tiles, whole = compared(engine, extractor, chosen, REGIONS[regions], keep=tile == 64)
    assert_alike(tiles, whole)
    difference = np.linalg.norm(tiles.gradient - whole.gradient)
    # Of two neighbors that are as near, another may be found.
    most = 1e-3 if style_loss == "neighbors" else 1e-5
    assert difference < most * np.linalg.norm(whole.gradient)


@pytest.fixture(scope="module", params=tiny.ENGINES)
def engine(request):
    """Either engine, of a small network with the layers of matching."""
    return tiny.engine(request.param, presets.make_recipe(), tiny.vgg())


def looking(engine, chosen, tile, kind=STRUCTURE):
    layers = objective.required_layers(chosen, kind)
    return TiledFeatureExtractor.for_layers(
        engine.feature_function(layers), engine.network, layers, tile
    )


def root_mean_square(values):
    return np.sqrt(np.mean(np.square(values)))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("regions", "kind"),
    [
        pytest.param("everywhere", STRUCTURE, marks=pytest.mark.backend),
        ("masked", STRUCTURE),
        ("masked", FEATURE_SPLITTING),
        ("masked", DETAIL),
    ],
)
def test_the_default_recipe_in_tiles(engine, regions, kind):
    """Of millions of features a few lie so near zero, or two so near each other where they are
    pooled, that the rounding of another order of additions lets the gradient pass or not. Where it
    does the same, it is the same."""
    content = 0.0 if kind.shallow else 0.5
    chosen = presets.make_recipe(precision="float32", content_weight=content, tv_weight=0.5)
    start = START if regions == "masked" else None
    extractor = looking(engine, chosen, 112, kind)
    assert (extractor.alignment.halo < 40) == kind.shallow
    tiles, whole = compared(engine, extractor, chosen, REGIONS[regions], start, kind)
    assert_alike(tiles, whole)
    difference, size = np.abs(tiles.gradient - whole.gradient), root_mean_square(whole.gradient)
    assert np.median(difference) < 1e-5 * size
    assert root_mean_square(difference) < 2e-3 * size


@pytest.mark.slow
def test_kept_targets_give_the_same_bytes_and_take_up_other_weights(engine):
    chosen = presets.make_recipe(precision="float32", content_weight=1.0)
    extractor = looking(engine, chosen, 112)
    assert extractor.alignment == TileAlignment(8, 56)
    targets = make_level_targets(extractor, chosen, CONTENT, REGIONS["everywhere"])
    kept, recomputed = (in_tiles(engine, chosen, targets, keep=keep) for keep in (True, False))
    before = kept.evaluate(PICTURE)
    found = {each.evaluate(PICTURE).gradient.tobytes() for each in (kept, recomputed)}
    assert found == {before.gradient.tobytes()}
    after = kept.with_weights(np.array((0, 1, 0), np.float32)).evaluate(PICTURE)
    assert after.total == pytest.approx(before.terms["style"], rel=1e-6)


@pytest.mark.slow
def test_what_is_around_a_tile_is_needed(engine):
    chosen = presets.make_recipe(precision="float32")
    tight = replace(looking(engine, chosen, 112), alignment=TileAlignment(8, 8))
    tiles, whole = compared(engine, tight, chosen, REGIONS["everywhere"])
    size = root_mean_square(whole.gradient)
    assert root_mean_square(tiles.gradient - whole.gradient) > 3e-3 * size
