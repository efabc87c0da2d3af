"""Write docs/settings.md from the recipe, the one home of every setting. ``make docs``."""

from pathlib import Path

from impasto.recipe import settings as recipe

PAGE = Path(__file__).parents[1] / "docs" / "settings.md"

HEAD = """# Settings

Every setting works alike as an option of `impasto stylize` (`--style-weight 20`), as an argument
of `impasto.stylize` (`style_weight=20`) and in a recipe. This page is made from
`src/impasto/recipe/settings.py` by `make docs`.

| setting | default | unit | possible | what it does |
| --- | --- | --- | --- | --- |
"""


def page() -> str:
    """Return the page, as Markdown."""
    rows = [_row(name, default, about) for name, _, default, about in recipe.settings()]
    return HEAD + "\n".join(rows) + "\n\n## Presets\n\n" + "\n".join(map(_preset, recipe.PRESETS))


def _row(name: str, default: object, about: recipe.About) -> str:
    shown = about.usual or about.show(default).replace(",", ", ")
    return f"| `{name}` | {shown} | {about.unit} | {about.possible} | {about.help} |"


def _preset(name: str) -> str:
    preset = recipe.PRESETS[name]
    differences = ", ".join(
        f"`{key}` {recipe.show(value)}" for key, value in preset.checked().items()
    )
    return f"- **{name}**: {preset.help} {differences}".rstrip() + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(PAGE)
