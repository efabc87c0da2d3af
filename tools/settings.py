"""Generate docs/settings.md from the fields of ``Recipe``. ``make docs``."""

import re
from pathlib import Path

from impasto.recipe import presets
from impasto.recipe import settings as recipe

PAGE = Path(__file__).parents[1] / "docs" / "settings.md"

HEAD = """---
hide: [toc]
---

# Settings

Each setting is an option of `impasto stylize` (`--style-weight 20`), an argument of
`impasto.stylize` (`style_weight=20`) and a key of a recipe. `make docs` generates this page from
`src/impasto/recipe/settings.py`.

| setting | default | unit | values | effect |
| --- | --- | --- | --- | --- |
"""

PRESETS = """

## Presets

| preset | effect | settings that differ from the defaults |
| --- | --- | --- |
"""


def page() -> str:
    """Return the page, as Markdown."""
    rows = [_row(name, default, about) for name, _, default, about in recipe.iter_settings()]
    return HEAD + "\n".join(rows) + PRESETS + "\n".join(map(_preset, presets.PRESETS)) + "\n"


def _row(name: str, default: object, about: recipe.SettingInfo) -> str:
    text = about.default_text or about.format(default)
    shown = re.sub(r",(?! )", ", ", text)  # a place to break the line
    return f"| `{name}` | {shown} | {about.unit} | {about.allowed_values} | {about.help} |"


def _preset(name: str) -> str:
    preset = presets.PRESETS[name]
    differences = ", ".join(
        f"`{key}` {recipe.format_value(value)}" for key, value in preset.checked().items()
    )
    return f"| `{name}` | {preset.help} | {differences} |"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(PAGE)
