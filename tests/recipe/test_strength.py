"""The effects of strength: monotonic, with the ends that the settings promise."""

from dataclasses import astuple, fields

from hypothesis import given
from hypothesis import strategies as st

from impasto.recipe.presets import make_recipe
from impasto.recipe.strength import VOTE_FRACTION, StrengthEffects, strength_effects

NAMES = [each.name for each in fields(StrengthEffects)]


@given(st.tuples(*[st.floats(0, 1)] * 2))
def test_more_strength_gives_more_of_the_style_and_less_of_the_content(strengths):
    low, high = map(strength_effects, sorted(strengths))
    assert 0 <= high.content_weight <= low.content_weight <= 1
    for name in set(NAMES) - {"content_weight"}:
        assert 0 <= getattr(low, name) <= getattr(high, name) <= 1, name


def test_strength_goes_from_the_content_image_alone_to_the_style_alone():
    assert astuple(strength_effects(0)) == (1, 0, 0, 0, 0, 0, 0, 0)
    assert astuple(strength_effects(1)) == (0, 1, 1, 1, 0.5, 1, 1, VOTE_FRACTION)


def test_strength_changes_the_targets_of_matching_and_the_weights_of_other_losses():
    assert make_recipe(strength=0.2).strength_effects.style_weight == 1
    assert make_recipe("gram", strength=0.2).strength_effects.style_weight < 0.5
