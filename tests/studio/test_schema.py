"""Looks and levels of detail."""

import pytest

from impasto.errors import SettingError
from impasto.recipe.presets import PRESETS, Preset, make_recipe
from impasto.studio import schema

BASIC = {name: each for name, each in PRESETS.items() if name not in ("draft", "fine")}
LEVELS = {
    **BASIC,
    "draft": Preset("Quick.", {"evaluations": 2, "levels": 2}),
    "fine": Preset("Slow.", {"evaluations": 40}),
}


def test_without_presets_for_it_there_is_no_detail():
    assert schema.details_of(BASIC) == {}
    assert list(schema.details_of(LEVELS)) == ["draft", "default", "fine"]
    recipe = make_recipe("bold", LEVELS)
    assert schema.with_detail(recipe, "default", "bold", BASIC) == recipe


def test_detail_changes_its_settings_and_leaves_the_look():
    bold = make_recipe("painterly", LEVELS, size=333)
    draft = schema.with_detail(bold, "draft", "painterly", LEVELS)
    assert (draft.evaluations, draft.levels) == (2, 2)
    assert (draft.strength, draft.style_scale, draft.size) == (0.6, (1.4,), 333)
    fine = schema.with_detail(draft, "fine", "painterly", LEVELS)
    assert (fine.evaluations, fine.levels) == (40, bold.levels)
    # The number of evaluations is that of the look again.
    assert schema.with_detail(fine, "default", "painterly", LEVELS) == bold
    with pytest.raises(SettingError, match="possible are draft, default, fine"):
        schema.with_detail(bold, "finest", "bold", LEVELS)


def test_every_look_has_a_label_a_sentence_and_a_picture():
    looks = schema.static_info()["presets"]
    assert looks[0]["name"] == "default"
    assert not {"draft", "fine"} & {each["name"] for each in looks}
    for each in looks:
        assert each["label"][0].isupper()
        assert each["help"].endswith(".")
        assert each["picture"]
        assert (schema.STATIC / each["picture"]).is_file()


def test_every_example_has_a_picture():
    info = schema.static_info()
    names = {each["name"] for kind in info["samples"].values() for each in kind}
    assert len(info["examples"]) == 3
    for each in info["examples"]:
        assert {each["content"], each["style"]} <= names
        assert (schema.STATIC / each["picture"]).is_file()
