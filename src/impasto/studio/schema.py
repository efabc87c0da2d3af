"""Descriptions of settings and recipes for the page, from help, unit and range."""

from collections.abc import Mapping
from typing import Any, Literal

from impasto.errors import SettingError
from impasto.images import samples
from impasto.pipeline.events import STEERABLE
from impasto.recipe import presets
from impasto.recipe import settings as recipes
from impasto.recipe.presets import Preset
from impasto.recipe.settings import Recipe
from impasto.studio.messages import SettingSchema, SettingTexts, StaticInfo


def static_info() -> StaticInfo:
    """Return the data that does not change while the studio runs."""
    known, notes = known_presets()
    return {
        "notes": notes,
        "settings": [_setting_schema(*each) for each in recipes.iter_settings()],
        "presets": [
            {
                "name": name,
                "help": preset.help,
                "recipe": format_settings(presets.make_recipe(name, known)),
                "picture": f"presets/{name}.jpg" if name in presets.PRESETS else None,
            }
            for name, preset in known.items()
        ],
        "samples": {
            "photographs": list(samples.CONTENTS),
            "paintings": list(samples.STYLES),
        },
        "steerable": list(STEERABLE),
    }


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
