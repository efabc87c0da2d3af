"""Loss and gradient of whole recipes on a tiny network: the oracle, finite differences."""

import numpy as np
import pytest

from impasto import objective, recipe

from . import tiny

pytestmark = pytest.mark.backend

CONTENT, STYLE, PICTURE = (tiny.random_picture(9, 8, seed) for seed in (1, 2, 3))
SETTINGS = [
    {"objective": "gram", "loss_scale": "relative"},
    {"objective": "gram", "loss_scale": "absolute", "style_weight": 0.3},
    {"objective": "moments", "loss_scale": "relative", "strips": 1},
    {"objective": "gram", "loss_scale": "relative", "strips": 7},
    {"objective": "moments", "loss_scale": "absolute", "tv_weight": 5.0},
]


def whole_picture(**settings):
    chosen = recipe.make(content_layers="second", style_layers="first,second", **settings)
    targets = objective.freeze(tiny.features, chosen, CONTENT, STYLE)
    return chosen, objective.WholePicture(objective.compiled_step(tiny.features, chosen), targets)


@pytest.mark.parametrize("settings", SETTINGS)
def test_losses_equal_the_naive_oracle(settings):
    chosen, whole = whole_picture(**settings)
    evaluation = whole.evaluate(PICTURE)
    relative = chosen.loss_scale == "relative"
    expected = tiny.naive_losses(PICTURE, CONTENT, STYLE, relative, chosen.objective, chosen.strips)
    assert evaluation.terms == pytest.approx(expected, rel=1e-4)
    total = (
        chosen.content_weight * expected["content"]
        + chosen.style_weight * expected["style"]
        + chosen.tv_weight * expected["tv"]
    )
    assert evaluation.total == pytest.approx(total, rel=1e-4)


@pytest.mark.parametrize("settings", SETTINGS)
def test_the_gradient_equals_finite_differences_of_the_oracle(settings):
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
    assert np.sum(gradient * direction) == pytest.approx(expected, rel=2e-3)


def naive_total(chosen, picture):
    relative = chosen.loss_scale == "relative"
    terms = tiny.naive_losses(picture, CONTENT, STYLE, relative, chosen.objective, chosen.strips)
    weights = (chosen.content_weight, chosen.style_weight, chosen.tv_weight)
    return sum(w * terms[name] for w, name in zip(weights, objective.TERMS, strict=True))


def test_a_weight_of_zero_takes_a_term_out_of_the_total_and_the_gradient():
    _, whole = whole_picture(style_weight=0.0, tv_weight=0.0)
    evaluation = whole.evaluate(CONTENT)
    assert evaluation.terms["style"] > 0
    assert evaluation.total == pytest.approx(0, abs=1e-9)
    np.testing.assert_allclose(evaluation.gradient, 0, atol=1e-9)


def test_one_compilation_serves_every_size():
    chosen, whole = whole_picture()
    whole.evaluate(PICTURE)
    larger = tiny.random_picture(15, 12, seed=5)
    targets = objective.freeze(tiny.features, chosen, larger, STYLE)
    again = objective.WholePicture(whole.step, targets).evaluate(larger)
    expected = tiny.naive_losses(larger, larger, STYLE, relative=True, strips=chosen.strips)
    assert again.terms == pytest.approx(expected, rel=1e-4, abs=1e-9)
    assert again.gradient.shape == larger.shape
