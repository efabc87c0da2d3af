"""Presets, built in and the user's own."""

import pytest

from impasto.errors import SettingError
from impasto.recipe import presets
from impasto.recipe import settings as recipe

OWN = """
[oils]
about = "Thick paint."
preset = "broad-strokes"
style_weight = 20
style_layers = { block2_conv1 = 1, block3_conv1 = 0.5 }

[thicker]
preset = "oils"
style_scale = [3.0]
"""


@pytest.fixture
def own(tmp_path):
    path = tmp_path / "own.toml"
    path.write_text(OWN, encoding="utf-8")
    return path


def test_a_users_preset_starts_from_another_and_changes_its_settings(own):
    known = presets.available_presets(own)
    made = presets.make_recipe("oils", known, seed=4)
    assert (made.style_weight, made.style_scale, made.seed) == (20, (2.0,), 4)
    assert made.style_layers == (("block2_conv1", 1.0), ("block3_conv1", 0.5))
    assert known["oils"].help == "Thick paint."
    assert presets.make_recipe("thicker", known).style_weight == 20
    assert presets.make_recipe("thicker", known).style_scale == (3.0,)


def test_those_built_in_stay_and_are_all_there_is_without_a_file(own, tmp_path, monkeypatch):
    assert set(presets.PRESETS) < set(presets.available_presets(own))
    monkeypatch.setattr(presets, "user_presets_file", lambda: tmp_path / "none.toml")
    assert presets.available_presets() == presets.PRESETS
    monkeypatch.setattr(presets, "user_presets_file", lambda: own)
    assert "oils" in presets.available_presets()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[a]\nstyle_wieght = 1", "preset a: unknown setting 'style_wieght': did you mean"),
        ("[a]\nstyle_weight = -1", "preset a: style_weight is -1.0: the minimum is 0"),
        ('[a]\npreset = "b"', "preset a: unknown preset 'b'"),
        ('[a]\ninit = "secret.png"', "preset a: init must be one of content, style, noise"),
        ("[a]\nabout = 3", "preset a: about and preset must be text"),
        ("a = 3", "preset a: expected a table"),
        ("[default]\nsize = 64", "preset default: there is a built-in preset of this name"),
        ("[a", "is not valid TOML"),
        ("x = " + "[" * 5000, "is not valid TOML"),
        ("#" * 1_000_001, "larger than 1,000,000 bytes"),
    ],
)
def test_what_is_wrong_is_named_with_file_and_preset(one_line, tmp_path, text, words):
    path = tmp_path / "bad.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SettingError) as caught:
        presets.available_presets(path)
    assert words in one_line(caught)
    assert str(path) in str(caught.value)


def test_invalid_bytes_and_a_missing_file_are_rejected(one_line, tmp_path):
    path = tmp_path / "bytes.toml"
    path.write_bytes(b"\xff\xfe\x00")
    for wrong in (path, tmp_path / "missing.toml"):
        with pytest.raises(SettingError) as caught:
            presets.available_presets(wrong)
        assert str(wrong) in one_line(caught)


def test_the_presets_that_were_promised_are_there_and_explained():
    promised = {
        "gatys",
        "painterly",
        "bold",
        "subtle",
        "photo-colours",
        "fine-strokes",
        "broad-strokes",
    }
    assert promised <= set(presets.PRESETS)
    assert all(preset.help for preset in presets.PRESETS.values())


def test_somebody_without_a_home_has_the_presets_built_in(monkeypatch):
    monkeypatch.setattr(presets.files, "user_folder", lambda kind: None)
    assert presets.user_presets_file().is_absolute()
    assert set(presets.PRESETS) <= set(presets.available_presets())


def test_a_home_that_is_closed_is_no_reason_to_stop(tmp_path, monkeypatch, ordinary_user):
    closed = tmp_path / "closed"
    closed.mkdir()
    (closed / "presets.toml").write_text(OWN)
    closed.chmod(0)
    monkeypatch.setattr(presets, "user_presets_file", lambda: closed / "presets.toml")
    with ordinary_user():
        assert presets.available_presets() == presets.PRESETS
    closed.chmod(0o700)


def test_a_byte_order_mark_is_no_part_of_a_file_of_presets(tmp_path):
    path = tmp_path / "own.toml"
    path.write_text(OWN, encoding="utf-8-sig")
    assert "oils" in presets.available_presets(path)
    made = recipe.Recipe(seed=3)
    assert recipe.Recipe.from_json("\ufeff" + made.to_json()) == made
