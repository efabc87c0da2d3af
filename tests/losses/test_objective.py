"""Loss and gradient of whole recipes on a tiny network: the oracle, finite differences."""

from dataclasses import replace

import numpy as np
import pytest

from impasto.images import masks
from impasto.images.style_regions import StyledRegion, StyleImage
from impasto.losses import objective
from impasto.losses.level_roles import DETAIL, FEATURE_SPLITTING, FINEST, STRUCTURE
from impasto.losses.level_targets import make_level_targets
from impasto.losses.objective import TERMS
from impasto.recipe import presets
from impasto.recipe import settings as recipe
from impasto.recipe.settings import Recipe
from tests import tiny

pytestmark = pytest.mark.backend

CONTENT, STYLE, PICTURE = (tiny.random_picture(9, 8, seed) for seed in (1, 2, 3))
SETTINGS = [
    {"style_loss": "gram", "loss_scale": "relative"},
    {"style_loss": "gram", "loss_scale": "absolute", "style_weight": 0.3},
    {"style_loss": "moments", "loss_scale": "relative", "strips": 1},
    {"style_loss": "gram", "loss_scale": "relative", "strips": 7},
    {"style_loss": "moments", "loss_scale": "absolute", "tv_weight": 5.0},
    {"style_loss": "wasserstein", "strips": 2, "strength": 0.4},
    {"style_loss": "wasserstein", "loss_scale": "absolute", "strips": 1},
    {"style_loss": "neighbors", "strength": 0.7},
]
WHOLE = (StyledRegion((StyleImage(STYLE),)),)
OTHER = tiny.random_picture(7, 11, seed=6)


@pytest.fixture(scope="module", params=tiny.ENGINES)
def whole_picture(request):
    """A recipe and its objective on the tiny network, by either engine."""

    def made(places=WHOLE, content=CONTENT, **settings):
        layers = {"content_layers": "second", "style_layers": "first,second", "padding": "zero"}
        chosen = presets.make_recipe("gram", **{**layers, **settings})
        engine = tiny.engine(request.param, chosen)
        targets = engine.place(freeze(engine, chosen, places, content))
        step = engine.compile_step(chosen, STRUCTURE)
        return chosen, objective.FullImageObjective(step, targets, engine.place)

    return made


def freeze(engine, chosen, places=WHOLE, content=CONTENT):
    return make_level_targets(tiny.eye(engine), chosen, content, places).for_full_image()


@pytest.mark.parametrize("settings", SETTINGS)
def test_losses_equal_the_naive_oracle(whole_picture, settings):
    chosen, whole = whole_picture(**settings)
    evaluation = whole.evaluate(PICTURE)
    relative = chosen.loss_scale == "relative"
    expected = tiny.naive_losses(
        PICTURE, CONTENT, STYLE, relative, chosen.style_loss, chosen.strips
    )
    assert evaluation.terms == pytest.approx(expected, rel=1e-3)
    total = sum(weight * expected[name] for weight, name in zip(chosen.weights, TERMS, strict=True))
    assert evaluation.total == pytest.approx(total, rel=1e-3)


@pytest.mark.parametrize("settings", SETTINGS)
def test_the_gradient_equals_finite_differences_of_the_oracle(whole_picture, settings):
    chosen, whole = whole_picture(**settings)
    gradient = whole.evaluate(PICTURE).gradient
    assert gradient.shape == PICTURE.shape
    assert gradient.dtype == np.float32
    direction = np.random.default_rng(4).normal(size=PICTURE.shape)
    step = 1e-4
    ahead, behind = (
        naive_total(chosen, PICTURE.astype(np.float64) + sign * step * direction)
        for sign in (1, -1)
    )
    expected = (ahead - behind) / (2 * step)
    assert np.sum(gradient * direction) == pytest.approx(expected, rel=5e-3)


def naive_total(chosen, picture):
    relative = chosen.loss_scale == "relative"
    terms = tiny.naive_losses(picture, CONTENT, STYLE, relative, chosen.style_loss, chosen.strips)
    return sum(w * terms[name] for w, name in zip(chosen.weights, TERMS, strict=True))


def test_a_weight_of_zero_takes_a_term_out_of_the_total_and_the_gradient(whole_picture):
    _, whole = whole_picture(style_weight=0.0, tv_weight=0.0)
    evaluation = whole.evaluate(CONTENT)
    assert evaluation.terms["style"] > 0
    assert evaluation.total == pytest.approx(0, abs=1e-9)
    np.testing.assert_allclose(evaluation.gradient, 0, atol=1e-9)


@pytest.mark.parametrize("name", tiny.ENGINES)
def test_one_compilation_serves_every_size(name):
    chosen = presets.make_recipe(
        "gram", content_layers="second", style_layers="first,second", padding="zero"
    )
    engine = tiny.engine(name, chosen)
    step = engine.compile_step(chosen, STRUCTURE)
    for picture in (PICTURE, tiny.random_picture(15, 12, seed=5)):
        targets = engine.place(freeze(engine, chosen, content=picture))
        found = objective.FullImageObjective(step, targets, engine.place).evaluate(picture)
        expected = tiny.naive_losses(picture, picture, STYLE, relative=True, strips=chosen.strips)
        assert found.terms == pytest.approx(expected, rel=1e-4, abs=1e-9)
        assert found.gradient.shape == picture.shape


MEASURES = tuple(name for name in recipe.STYLE_LOSSES if name != "matching")  # of layers


@pytest.mark.slow
@pytest.mark.parametrize("measure", MEASURES)
def test_a_blend_of_one_and_nothing_is_the_first_style_alone_exactly(whole_picture, measure):
    both = (StyledRegion((StyleImage(STYLE, 1.0), StyleImage(OTHER, 0.0))),)
    _, alone = whole_picture(style_loss=measure)
    _, blended = whole_picture(both, style_loss=measure)
    first, second = alone.evaluate(PICTURE), blended.evaluate(PICTURE)
    assert (first.total, first.terms) == (second.total, second.terms)
    np.testing.assert_array_equal(first.gradient, second.gradient)


@pytest.mark.slow
@pytest.mark.parametrize("measure", MEASURES)
def test_a_place_that_covers_everything_is_the_whole_picture(whole_picture, measure):
    covered = (StyledRegion((StyleImage(STYLE),), np.ones(CONTENT.shape[:2], np.float32)),)
    expected = whole_picture(style_loss=measure)[1].evaluate(PICTURE)
    received = whole_picture(covered, style_loss=measure)[1].evaluate(PICTURE)
    assert received.terms == pytest.approx(expected.terms, rel=1e-4)
    scale = np.abs(expected.gradient).max()
    np.testing.assert_allclose(received.gradient, expected.gradient, atol=1e-3 * scale)


@pytest.mark.parametrize("measure", MEASURES)
def test_a_place_far_away_has_no_part_in_the_gradient(whole_picture, measure):
    """Half a picture wider than any receptive field: only its own half feels a style."""
    picture, photograph = (tiny.random_picture(16, 48, seed) for seed in (7, 8))
    left = np.zeros((16, 48), np.float32)
    left[:, :24] = 1
    places = (StyledRegion((StyleImage(STYLE),), left),)
    settings = {"style_loss": measure, "content_weight": 0, "tv_weight": 0}
    gradient = whole_picture(places, photograph, **settings)[1].evaluate(picture).gradient
    assert np.abs(gradient[:, :20]).max() > 0
    np.testing.assert_array_equal(gradient[:, 32:], 0)


@pytest.mark.parametrize("measure", MEASURES)
def test_the_gradient_of_places_and_masked_paintings_equals_finite_differences(
    whole_picture, measure
):
    generator = np.random.default_rng(9)
    soft = generator.uniform(0, 1, CONTENT.shape[:2]).astype(np.float32)
    part = np.zeros(OTHER.shape[:2], np.float32)
    part[:, 3:] = 1
    places = (
        StyledRegion((StyleImage(STYLE),), soft),
        StyledRegion((StyleImage(OTHER, mask=part),), 1 - soft),
    )
    _, whole = whole_picture(places, style_loss=measure, strips=2)
    gradient = whole.evaluate(PICTURE).gradient
    # Along the gradient itself, where the difference stands out of float32's rounding.
    direction = gradient / np.linalg.norm(gradient)
    ahead, behind = (
        whole.evaluate(PICTURE + np.float32(sign) * direction).total for sign in (1, -1)
    )
    assert np.sum(gradient * direction) == pytest.approx((ahead - behind) / 2, rel=0.03)


def test_only_the_part_of_a_painting_under_its_mask_counts(whole_picture):
    half = np.zeros(STYLE.shape[:2], np.float32)
    half[:, :4] = 1
    changed = STYLE.copy()
    changed[:, 7:] = 255 - changed[:, 7:]  # out of sight from under the mask, at the first layer
    losses_seen = []
    for painting in (STYLE, changed):
        places = (StyledRegion((StyleImage(painting, mask=half),)),)
        _, task = whole_picture(places, style_layers="first")
        losses_seen.append(task.evaluate(PICTURE).terms["style"])
    assert losses_seen[0] == pytest.approx(losses_seen[1], rel=1e-5)


def test_what_is_kept_is_the_photograph_for_the_losses_and_has_no_gradient(whole_picture):
    keep = np.zeros((*CONTENT.shape[:2], 1), np.float32)
    keep[:4] = 1
    _, inner = whole_picture()
    task = objective.ConstrainedObjective(inner, CONTENT, keep)
    composed = masks.blend_kept(keep, CONTENT, PICTURE)
    np.testing.assert_array_equal(composed[:4], CONTENT[:4])
    np.testing.assert_array_equal(composed[4:], PICTURE[4:])
    expected, received = inner.evaluate(composed), task.evaluate(PICTURE)
    assert received.total == expected.total
    np.testing.assert_array_equal(received.gradient[:4], 0)
    np.testing.assert_array_equal(received.gradient[4:], expected.gradient[4:])


def test_detail_alone_is_changed():
    class Everywhere:
        def evaluate(self, picture):
            return objective.Evaluation(1.0, {}, np.full_like(picture, 2.0))

    task = objective.ConstrainedObjective(Everywhere(), highpass=lambda gradient: gradient - 1.5)
    assert task.evaluate(PICTURE).total == 1.0
    np.testing.assert_array_equal(task.evaluate(PICTURE).gradient, 0.5)


def test_where_forms_were_found_fewer_layers_look():
    default = Recipe()
    deepest = {
        kind: max(objective.required_layers(default, kind))
        for kind in (STRUCTURE, FINEST, FEATURE_SPLITTING, DETAIL)
    }
    assert deepest == {
        STRUCTURE: "block4_conv3",
        FINEST: "block3_conv3",
        FEATURE_SPLITTING: "block4_conv1",
        DETAIL: "block3_conv1",
    }
    # Content that weighs something is looked for everywhere.
    weighed = replace(default, content_weight=1.0)
    assert all("block4_conv2" in objective.required_layers(weighed, kind) for kind in deepest)
