"""Descriptions of settings and recipes for the page, from help, unit and range."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from impasto import extras
from impasto.errors import SettingError
from impasto.images import samples
from impasto.pipeline.events import STEERABLE
from impasto.recipe import presets
from impasto.recipe import settings as recipes
from impasto.recipe.presets import Preset
from impasto.recipe.settings import Recipe
from impasto.studio.messages import PresetInfo, SampleInfo, SettingSchema, StaticInfo
from impasto.studio.records import SettingTexts

STATIC = Path(__file__).parent / "static"


DETAILS = {
    "draft": ("Draft", "Quick and rough, in half of the time."),
    presets.DEFAULT: ("Standard", "The detail of most results."),
    "fine": ("Fine", "Closer to the style, 1.6 times as slow."),
}
"""Presets that are levels of detail, with their labels and help, from coarse to fine."""

PRESET_LABELS = {
    presets.DEFAULT: "Balanced",
    "photo-colours": "Photo colors",
    "gram": "Gram matrices",
    "gatys": "Gatys, 2016",
    "tutorial": "Keras tutorial",
}
"""Labels of presets that differ from their names."""

PRESET_HELP = {presets.DEFAULT: "Strokes everywhere; the shapes of the photo stay clear."}
"""Help of presets that differs from theirs."""

HISTORIC = ("gram", "gatys", "tutorial")
"""Presets with the settings of earlier methods."""

EXAMPLES = (("cat", "knife"), ("astronaut", "mosaic"), ("motorcycle", "engraving"))
"""Content and style samples of the examples; tools/presets.py paints their results."""


def static_info(shares: bool = False) -> StaticInfo:
    """Return the data that does not change while the studio runs."""
    known, notes = known_presets()
    looks = {name: each for name, each in known.items() if name not in DETAILS}
    return {
        "notes": notes,
        "settings": [_setting_schema(*each) for each in recipes.iter_settings()],
        "presets": [
            _preset_info(name, preset, known)
            for name, preset in {presets.DEFAULT: known[presets.DEFAULT], **looks}.items()
        ],
        "details": [
            {"name": name, "label": label, "help": help}
            for name, (label, help) in details_of(known).items()
        ],
        "samples": {
            "photographs": [_sample_info(each, each.capitalize()) for each in samples.CONTENTS],
            "paintings": [_sample_info(*each) for each in samples.STYLES.items()],
        },
        "examples": [
            {"content": content, "style": style, "picture": f"examples/{content}-{style}.jpg"}
            for content, style in EXAMPLES
        ],
        "steerable": list(STEERABLE),
        "shares": shares,
        "video": extras.missing_extra_message("video") if extras.missing_modules("video") else "",
    }


def _preset_info(name: str, preset: Preset, known: Mapping[str, Preset]) -> PresetInfo:
    return {
        "name": name,
        "label": PRESET_LABELS.get(name, name.replace("-", " ").capitalize()),
        "help": PRESET_HELP.get(name, preset.help),
        "historic": name in HISTORIC,
        "recipe": format_settings(presets.make_recipe(name, known)),
        "picture": f"presets/{name}.jpg" if (STATIC / "presets" / f"{name}.jpg").exists() else None,
    }


def _sample_info(name: str, label: str) -> SampleInfo:
    return {"name": name, "label": label, "picture": f"/api/samples/{name}/thumb.jpg"}


def details_of(known: Mapping[str, Preset]) -> dict[str, tuple[str, str]]:
    """Return the levels of detail that have presets; none if there is only the default."""
    found = {name: texts for name, texts in DETAILS.items() if name in known}
    return found if len(found) > 1 else {}


def with_detail(recipe: Recipe, detail: str, preset: str, known: Mapping[str, Preset]) -> Recipe:
    """Return a recipe with the settings of a level of detail; other settings stay.

    Settings that other levels of detail change get the value of ``preset`` again. Raises
    SettingError for an unknown level.
    """
    levels = details_of(known)
    if detail not in (*levels, presets.DEFAULT):
        raise SettingError(f"detail is {detail!r}: possible are {', '.join(DETAILS)}")
    names = {name for level in levels for name in known[level].settings if name != "size"}
    base = presets.make_recipe(preset if preset in known else presets.DEFAULT, known)
    chosen = known[detail].settings if detail in levels else {}
    return replace(
        recipe, **{name: chosen.get(name, getattr(base, name)) for name in sorted(names)}
    )


def known_presets() -> tuple[dict[str, Preset], list[str]]:
    """Return the presets and notes; only built-in ones if the user's file is damaged."""
    try:
        return presets.available_presets(), []
    except SettingError as error:
        return dict(presets.PRESETS), [str(error)]


def _setting_schema(
    name: str, kind: Any, default: Any, about: recipes.SettingInfo
) -> SettingSchema:
    simple: dict[Any, Literal["integer", "number"]] = {int: "integer", float: "number"}
    return {
        "name": name,
        "label": name.replace("_", " "),
        "kind": "choice" if about.choices else simple.get(kind, "text"),
        "help": about.help,
        "unit": about.unit,
        "possible": about.allowed_values,
        "minimum": about.minimum,
        "maximum": about.maximum,
        "choices": list(about.choices),
        "words": list(about.words),
        "default": about.format(default),
    }


def format_settings(recipe: Recipe) -> SettingTexts:
    """Return the settings of a recipe as text, by name."""
    return {
        name: about.format(getattr(recipe, name)) for name, *_, about in recipes.iter_settings()
    }


def setting_differences(recipe: Recipe, before: Recipe) -> list[tuple[str, str, str]]:
    """Return the settings that differ, with old and new value."""
    one, other = format_settings(before), format_settings(recipe)
    return [
        (name.replace("_", " "), one[name], other[name]) for name in one if one[name] != other[name]
    ]


def change_recipe(recipe: Recipe, changes: Mapping[str, str | None]) -> Recipe:
    """Return the recipe with changes from the page.

    Raises SettingError, also for a path as ``init``: the page must not make impasto read a file.
    """
    if changes.get("init") not in (None, *recipes.STARTS):
        raise SettingError(f"init is one of {', '.join(recipes.STARTS)}")
    return recipes.change_recipe(recipe, **changes)
