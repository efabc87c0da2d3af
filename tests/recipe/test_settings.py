"""Every setting: its default, its range, the words that refuse a value, JSON there and back."""

import dataclasses
import json
import math
import string
import typing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from impasto.errors import SettingError
from impasto.recipe import presets
from impasto.recipe import settings as recipes
from impasto.recipe.presets import PRESETS, make_recipe
from impasto.recipe.settings import Recipe

ABOUT = {name: about for name, _, _, about in recipes.iter_settings()}


# What is possible ---------------------------------------------------------------------------


def test_settings_lists_every_field_of_a_default_recipe_in_order():
    found = {name: default for name, _, default, _ in recipes.iter_settings()}
    assert list(found.items()) == list(dataclasses.asdict(Recipe()).items())


def test_every_setting_is_described(subtests):
    for name, kind, default, about in recipes.iter_settings():
        with subtests.test(name):
            assert isinstance(default, typing.get_origin(kind) or kind)
            assert about.help.strip().endswith(".")
            assert about.unit in ("", "px")
            if kind in (int, float):
                assert about.minimum is not None  # nothing that is painted with may be negative


def test_every_choice_is_possible(subtests):
    for name, about in ABOUT.items():
        for choice in about.choices:
            with subtests.test(name, choice=choice):
                assert getattr(make_recipe("gram", **{name: choice}), name) == choice


def test_every_limit_is_possible(subtests):
    for name, about in ABOUT.items():
        for limit in (about.minimum, about.maximum):
            if limit is None:
                continue
            with subtests.test(name, limit=limit):
                many = isinstance(getattr(Recipe(), name), tuple)
                given = (limit, 1.0) if many else limit
                assert getattr(make_recipe("gram", **{name: given}), name) == given


def test_a_whole_number_is_a_weight():
    weight = Recipe(style_weight=3).style_weight
    assert weight == 3
    assert isinstance(weight, float)


def test_words_for_numbers_are_numbers():
    recipe = Recipe(size="300", seed=" 7 ", style_weight="2.5e1", tv_weight="3")
    assert recipe == Recipe(size=300, seed=7, style_weight=25, tv_weight=3)


@pytest.mark.parametrize("weight", ["content_weight", "style_weight", "tv_weight"])
def test_two_weights_may_be_zero(weight):
    zeros = dict.fromkeys(("content_weight", "style_weight", "tv_weight"), 0)
    assert getattr(Recipe(**{**zeros, weight: 0.5}), weight) == 0.5


@pytest.mark.parametrize(
    "layers",
    [
        "block1_conv1,block2_conv1",
        " block1_conv1 , block2_conv1,",
        ["block1_conv1", "block2_conv1"],
        ("block1_conv1", " block2_conv1", "block1_conv1"),
        "block1_conv1=1,block2_conv1",
        {"block1_conv1": 1, "block2_conv1": "1"},
        [["block1_conv1", 1], ("block2_conv1", 1.0)],
    ],
)
def test_layers_are_names_in_order_once_each(layers):
    expected = (("block1_conv1", 1.0), ("block2_conv1", 1.0))
    assert Recipe(style_layers=layers).style_layers == expected


def test_layers_carry_weights_there_and_back():
    made = Recipe(style_layers="block1_conv1=0.25, block2_conv1")
    assert made.style_layers == (("block1_conv1", 0.25), ("block2_conv1", 1.0))
    assert Recipe(style_layers=recipes.format_value(made.style_layers)) == made
    assert Recipe.from_json(made.to_json()) == made
    assert set(made.layer_names) == {"block1_conv1", "block2_conv1", "block4_conv2"}


def test_a_recipe_does_not_change():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Recipe().size = 100


# What is refused ----------------------------------------------------------------------------

REFUSED: list[tuple[str, Any, str]] = [
    ("size", 0, "size is 0: the minimum is 16"),
    ("size", "15", "size is 15: the minimum is 16"),
    ("size", -512, "size is -512: the minimum is 16"),
    ("size", 512.0, "size is 512.0: expected a whole number"),
    ("size", "512.5", "size is '512.5': expected a whole number"),
    ("size", True, "size is True: expected a whole number"),
    ("size", None, "size is None: expected a whole number"),
    ("size", np.zeros((3, 3)), "size is array([[0"),
    ("content_weight", -1, "content_weight is -1.0: the minimum is 0"),
    ("style_weight", -1e-9, "style_weight is -1e-09: the minimum is 0"),
    ("tv_weight", math.nan, "tv_weight is nan: expected a finite number"),
    ("tv_weight", math.inf, "tv_weight is inf: expected a finite number"),
    ("style_weight", -math.inf, "style_weight is -inf: expected a finite number"),
    ("style_weight", 10**400, "style_weight is 1000"),
    ("style_weight", "much", "style_weight is 'much': expected a number"),
    ("style_weight", "nan", "style_weight is nan: expected a finite number"),
    ("style_weight", False, "style_weight is False: expected a number"),
    ("levels", -1, "levels is -1: the minimum is 0"),
    ("levels", 13, "levels is 13: the maximum is 12"),
    ("evaluations", 0, "evaluations is 0: the minimum is 1"),
    ("seed", -1, "seed is -1: the minimum is 0"),
    ("seed", 10**400, "seed is 1000"),
    ("size", 10**400, "size is 1000"),
    ("style_layers", {"block1_conv1": 10**400}, "style_layers is"),
    ("padding", "replicat", "padding is 'replicat': did you mean replicate"),
    ("strips", 0, "strips is 0: the minimum is 1"),
    ("strips", 17, "strips is 17: the maximum is 16"),
    ("style_loss", "grams", "style_loss is 'grams': did you mean gram?"),
    ("loss_scale", "relativ", "loss_scale is 'relativ': did you mean relative?"),
    ("optimizer", "l-bfgs", "optimizer is 'l-bfgs': did you mean lbfgs?"),
    ("optimizer", "sgd", "optimizer is 'sgd': possible: lbfgs, scipy, adam"),
    ("optimizer", ["adam"], "optimizer is ['adam']: expected a word"),
    ("activations", "normal", "activations is 'normal': did you mean normalized"),
    ("network", "vgg17", "network is 'vgg17': did you mean vgg1"),
    ("pooling", "mean\n" * 300, "pooling is 'mean"),
    ("pooling", "", "pooling is '': possible: max, avg"),
    ("finished", -1, "finished is -1: the minimum is 0"),
    ("structure_size", 8, "structure_size is 8: the minimum is 16"),
    ("tile", 64, "tile is 64: the minimum is 128"),
    ("precision", "bfloat", "precision is 'bfloat': did you mean bfloat16"),
    ("init", 3, "init is 3: expected a word"),
    ("content_layers", (), "content_layers is empty: give at least one layer"),
    ("style_layers", " , ", "style_layers is empty: give at least one layer"),
    ("style_layers", 7, "style_layers is 7: expected names separated by commas"),
    ("style_layers", "block1_conv1=-1", "style_layers is"),
    ("style_layers", {"block1_conv1": float("nan")}, "style_layers is"),
    ("style_layers", "block1_conv1=0", "style_layers is"),
    ("style_layers", "block1_conv1=much", "style_layers is"),
    ("style_layers", [1, 2], "style_layers is [1, 2]: expected names separated by commas"),
    ("style_layers", [["a"]] * 99, "style_layers is [['a'], ['a']"),
    ("blend", "a,b", "blend is 'a,b': expected numbers separated by commas"),
    ("blend", "1,-1", "blend is -1.0: the minimum is 0"),
    ("blend", "0,0", "blend is 0,0: all weights are zero"),
    ("blend", "nan", "blend is nan: expected a finite number"),
    ("blend", None, "blend is None: expected numbers"),
    ("style_scale", "", "style_scale is empty"),
    ("style_scale", "0", "style_scale is 0.0: the minimum is 0.1"),
    ("style_scale", [1, 11], "style_scale is 11.0: the maximum is 10"),
    ("strength", 1.5, "strength is 1.5: the maximum is 1"),
    ("colors", "photo", "colors is 'photo': possible: style, content, match"),
    ("engine", "gpu", "engine is 'gpu': possible: auto, native, keras"),
    ("style_loss", "wassertein", "style_loss is 'wassertein': did you mean wasserstein"),
]


def test_a_bad_value_is_rejected_with_its_name_and_value(one_line, subtests):
    for name, value, words in REFUSED:
        with subtests.test(words):
            with pytest.raises(SettingError) as caught:
                Recipe(**{name: value})
            assert one_line(caught).startswith(words)


def test_every_setting_has_a_bad_value_above():
    assert {name for name, _, _ in REFUSED} == set(ABOUT)


def test_all_weights_zero_are_rejected(one_line):
    with pytest.raises(SettingError) as caught:
        Recipe(content_weight=0, style_weight=0.0, tv_weight=0)
    assert one_line(caught) == (
        "all weights are zero: set content_weight, style_weight or tv_weight, or change strength"
    )


# Presets ------------------------------------------------------------------------------------


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_makes_a_recipe_and_has_a_description(preset):
    words, settings = PRESETS[preset]
    made = make_recipe(preset)
    assert words.endswith(".")
    assert PRESETS[preset].checked() == {name: getattr(made, name) for name in settings}
    assert recipes.change_recipe(Recipe(), **settings) == made


def test_a_preset_changes_its_settings_and_settings_change_the_preset():
    assert make_recipe() == Recipe()
    assert make_recipe("gatys") != Recipe()
    assert make_recipe("gatys", size=256, pooling="max") == dataclasses.replace(
        make_recipe("gatys"), size=256, pooling="max"
    )


def test_a_setting_without_effect_gives_a_message():
    assert [
        *recipes.unused_settings(Recipe()),
        *recipes.unused_settings(make_recipe("gram", style_weight=3)),
    ] == []
    (layers,) = recipes.unused_settings(Recipe(content_layers="block3_conv1"))
    assert "content_layers has no effect because content_weight is 0" in layers
    assert recipes.unused_settings(Recipe(content_layers="block3_conv1", content_weight=1)) == []
    (weight,) = recipes.unused_settings(Recipe(style_weight=20))
    assert "style_weight has no effect" in weight


def test_none_is_not_a_setting():
    assert make_recipe("gatys", size=None, init=None) == make_recipe("gatys")


@pytest.mark.parametrize(
    ("preset", "settings", "words"),
    [
        ("gaty", {}, "unknown preset 'gaty': did you mean gatys, gram?"),
        ("zzz", {}, "unknown preset 'zzz': possible: default, draft"),
        ("default", {"sise": 64}, "unknown setting 'sise': did you mean size"),
        ("default", {"sise": None}, "unknown setting 'sise': did you mean size"),
        ("gatys", {"style_weight": -2.0}, "style_weight is -2.0: the minimum is 0"),
    ],
)
def test_unknown_presets_and_settings_are_rejected(one_line, preset, settings, words):
    with pytest.raises(SettingError) as caught:
        make_recipe(preset, **settings)
    assert one_line(caught).startswith(words)


# JSON ---------------------------------------------------------------------------------------

NAMES = st.text(string.ascii_lowercase + string.digits + "_", min_size=1)


def values(name: str, kind: Any, about: recipes.SettingInfo) -> st.SearchStrategy[Any]:
    """Valid values of one setting, drawn from its description."""
    if about.choices:
        return st.sampled_from(about.choices)
    if kind == recipes.Layers:
        return st.lists(NAMES, min_size=1, max_size=4)
    if kind == recipes.Numbers:
        return st.lists(st.floats(0.5, 9), min_size=1, max_size=3)
    if kind is str:
        return st.text()
    if kind is float:
        most = about.maximum or 1e9
        return st.floats(0, most) | st.integers(0, int(most))
    assert about.minimum is not None
    return st.integers(int(about.minimum), int(about.maximum or 10**9))


RECIPES = (
    st.fixed_dictionaries(
        {n: values(n, kind, about) for n, kind, _, about in recipes.iter_settings()}
    )
    .filter(lambda drawn: drawn["content_weight"] * drawn["style_weight"])
    .filter(lambda drawn: drawn["style_loss"] != "matching")  # which takes few of them
    .filter(lambda drawn: (drawn["engine"], drawn["precision"]) != ("native", "bfloat16"))
    .map(lambda drawn: Recipe(**drawn))
)


@given(RECIPES)
def test_every_recipe_survives_json(recipe):
    text = recipe.to_json()
    assert Recipe.from_json(text) == recipe
    assert list(json.loads(text)) == list(ABOUT)


def test_json_may_leave_settings_out():
    assert Recipe.from_json('{"size": 128, "style_layers": ["block1_conv1"]}') == Recipe(
        size=128, style_layers=("block1_conv1",)
    )
    assert Recipe.from_json("{}") == Recipe()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "the recipe is not valid JSON: "),
        ("Dear recipe,\n", "the recipe is not valid JSON: "),
        ('{"size": 512', "the recipe is not valid JSON: "),
        ('{"size": 1' + "0" * 5000 + "}", "the recipe is not valid JSON: "),
        ("[" * 100_000, "the recipe is not valid JSON: "),
        ("[]", "the recipe is not a JSON object but list"),
        ("null", "the recipe is not a JSON object but NoneType"),
        ('"size"', "the recipe is not a JSON object but str"),
        ('{"color": 1}', "unknown setting 'color': "),
        ('{"stile_weight": 1}', "unknown setting 'stile_weight': did you mean style_weight"),
        ('{"preset": "gatys"}', "unknown setting 'preset': "),
        ('{"a\\nb": 1}', "unknown setting 'a\\nb': "),
        ('{"size": null}', "size is None: expected a whole number"),
        ('{"size": 8}', "size is 8: the minimum is 16"),
        ('{"size": [512]}', "size is [512]: expected a whole number"),
        ('{"tv_weight": NaN}', "tv_weight is nan: expected a finite number"),
        ('{"style_layers": {"a": "x"}}', "style_layers is {'a': 'x'}: expected names"),
    ],
)
def test_other_json_is_rejected(one_line, text, words):
    with pytest.raises(SettingError) as caught:
        Recipe.from_json(text)
    assert one_line(caught).startswith(words)


def test_numbers_of_numpy_and_paths_are_taken():
    made = make_recipe(size=np.int64(256), style_weight=np.float32(3), init=Path("start.png"))
    assert (made.size, made.style_weight, made.init) == (256, 3.0, "start.png")
    assert type(made.size) is int
    assert type(made.style_weight) is float


# Numbers, strength --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "expected"),
    [("0.7,0.3", (0.7, 0.3)), ("2", (2.0,)), (2, (2.0,)), ([1, 0], (1.0, 0.0)), ("", ())],
)
def test_numbers_are_read_from_text_numbers_and_lists(given, expected):
    assert Recipe(blend=given).blend == expected


def test_strength_one_needs_a_style_to_look_for():
    with pytest.raises(SettingError, match="all weights are zero"):
        Recipe(strength=1, style_weight=0, tv_weight=0)


def test_strength_turns_from_content_alone_to_style_alone():
    weights = [make_recipe("gram", strength=s / 10, tv_weight=2).weights for s in range(11)]
    assert weights[0] == (1, 0, 0)
    assert weights[5] == (1, 10, 2)
    assert weights[10] == (0, 10, 2)
    ratios = [style / content for content, style, _ in weights[:-1]]
    assert ratios == sorted(ratios)
    assert len(set(ratios)) == len(ratios)


def test_measures_are_scaled_so_that_weights_mean_the_same_but_not_as_in_the_paper():
    for name, measure in recipes.STYLE_LOSSES.items():
        if name == "matching":
            continue
        assert Recipe(style_loss=name).weights[1] == pytest.approx(10 * measure.scale)
        assert Recipe(style_loss=name, loss_scale="absolute").weights[1] == 10


def test_options_say_the_settings_again():
    made = make_recipe("bold", blend="1,0", seed=3)
    assert recipes.to_options({"blend": made.blend, "seed": made.seed}) == (
        *("--blend", "1,0"),
        *("--seed", "3"),
    )


def test_what_editors_complete_is_what_there_is():
    assert [*recipes.Settings.__annotations__] == [name for name, *_ in recipes.iter_settings()]


def test_settings_go_on_working_by_their_old_names(one_line):
    for made in (
        presets.make_recipe(objective="moments"),
        recipes.change_recipe(presets.make_recipe(), objective="moments"),
        Recipe.from_dict({"objective": "moments"}),
        Recipe.from_json('{"objective": "moments"}'),
    ):
        assert made.style_loss == "moments"
    with pytest.raises(SettingError) as caught:
        presets.make_recipe(objective="moments", style_loss="gram")
    assert "old name" in one_line(caught)


# Defaults that go with the style loss ---------------------------------------------------------


def test_settings_that_go_with_the_style_loss_have_its_defaults():
    gram, matching = Recipe(style_loss="gram"), Recipe()
    assert (gram.content_weight, gram.style_weight, gram.strips) == (1, 10, 4)
    assert (matching.content_weight, matching.style_weight, matching.strips) == (0, 1, 1)
    assert len(matching.style_layers) == 10
    assert Recipe(content_weight=3).content_weight == 3
    assert Recipe.from_json(matching.to_json()) == matching


def test_another_style_loss_brings_its_own_defaults_and_leaves_what_was_chosen():
    made = make_recipe("gram", style_weight=7)
    changed = recipes.change_recipe(made, style_loss="matching")
    assert (changed.style_weight, changed.content_weight, changed.strips) == (7, 0, 1)
    assert recipes.change_recipe(changed, style_loss="gram") == made


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"strips": 2}, "strips is 2"),
        ({"loss_scale": "absolute"}, "loss_scale is absolute"),
        ({"style_layers": "block5_conv1"}, "block5_conv1"),
        ({"style_layers": "block3_pool"}, "block3_pool"),
        ({"style_layers": "block4_conv1"}, "at least one layer of blocks 1 to 3"),
    ],
)
def test_settings_that_matching_does_not_support_are_rejected(settings, words, one_line):
    with pytest.raises(SettingError) as caught:
        Recipe(**settings)
    assert words in one_line(caught)
