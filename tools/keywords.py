"""Generate src/impasto/recipe/keywords.py from the fields of ``Recipe``. ``make docs``."""

import textwrap
from pathlib import Path

from impasto.recipe import settings as recipes
from impasto.recipe import signature

MODULE = Path(__file__).parents[1] / "src" / "impasto" / "recipe" / "keywords.py"

HEAD = '''"""Settings by name, for editors and type checkers.

``make docs`` generates this file from the fields of ``Recipe`` in ``settings.py``.
"""

from __future__ import annotations

import os
from typing import Literal, TypedDict

from impasto.recipe.values import LayersLike, NumbersLike


class Settings(TypedDict, total=False):
    """Settings by name; a recipe validates and converts the values."""
'''

TYPES: dict[object, str] = {
    int: "int | str",
    float: "float | str",
    str: "str",
    recipes.Layers: "LayersLike",
    recipes.Numbers: "NumbersLike",
}
"""Type of an argument, by the type of the setting; numbers may be text."""


def module() -> str:
    """Return the text of the module."""
    return HEAD + "".join(_field(*each) for each in recipes.iter_settings())


def _field(name: str, kind: object, default: object, about: recipes.SettingInfo) -> str:
    shown = TYPES[kind]
    if about.choices:
        shown = "Literal[" + ", ".join(f'"{choice}"' for choice in about.choices) + "]"
    elif name == "init":
        shown = "str | os.PathLike[str]"
    text = textwrap.fill(
        f'"""{signature.describe_setting(name)}"""',
        100,
        initial_indent=" " * 4,
        subsequent_indent=" " * 4,
        break_on_hyphens=False,
    )
    return f"\n    {name}: {shown}\n{text}\n"


if __name__ == "__main__":
    MODULE.write_text(module(), encoding="utf-8")
    print(MODULE)
