"""The tools of the documentation site; ``make site`` builds it."""

import re
from pathlib import Path

import pytest

from impasto.recipe import signature
from impasto.recipe.keywords import Settings
from tools import site_check

ROOT = Path(__file__).parents[1]


def test_files_from_elsewhere_are_found_in_pages_and_style_sheets(tmp_path):
    (tmp_path / "index.html").write_text(
        '<link rel="stylesheet" href="site.css"><link rel="canonical" href="https://a.test/">'
        '<link rel="preconnect" href="https://b.test"><script src="//c.test/d.js"></script>'
        '<a href="https://e.test">a link</a><img src="f.png"><img src="http://g.test/h.png">'
    )
    (tmp_path / "site.css").write_text("@import 'https://i.test'; p { background: url(j.png) }")
    assert site_check.foreign_addresses(tmp_path) == [
        "index.html: https://b.test",
        "index.html: //c.test/d.js",
        "index.html: http://g.test/h.png",
        "site.css: https://i.test",
    ]


def test_every_page_is_in_the_navigation_once_and_every_entry_is_a_page():
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:\n")[2]
    listed = re.findall(r": ([\w/-]+\.md)$", text, re.MULTILINE)
    pages = {each.name for each in (ROOT / "docs").glob("*.md")}
    assert len(listed) == len(set(listed))
    assert pages <= set(listed)
    added = {"architecture.md", "changelog.md", "contributing.md", "notes.md"}
    assert set(listed) - pages <= added | {"decisions/README.md", "video.md", "examples.md"}


def test_docstrings_become_markdown():
    roles = pytest.importorskip("tools.griffe_roles", exc_type=ImportError)
    text = "See :class:`impasto.Recipe` and :func:`inner.name`.\n\nExample::\n\n    f(1)\n\nMore."
    assert roles.to_markdown(text) == (
        "See [`Recipe`][impasto.Recipe] and `name`.\n\n**Example**\n\n```python\nf(1)\n```\n\nMore."
    )


def test_the_reference_shows_every_setting_with_its_default():
    roles = pytest.importorskip("tools.griffe_roles", exc_type=ImportError)
    griffe = pytest.importorskip("griffe")
    extensions = griffe.load_extensions(roles.MarkdownDocstrings)
    package = griffe.load("impasto", search_paths=[ROOT / "src"], extensions=extensions)
    stylize, recipe = package["pipeline.stylizer.stylize"], package["recipe.settings.Recipe"]
    for name in Settings.__annotations__:
        default = repr(signature.default_argument(name))
        assert stylize.parameters[name].default == default
        assert recipe.parameters[name].default == default
        assert f"\n    {name}: " in stylize.docstring.value
    assert str(package["evaluation.judges.judge"].parameters["size"].default) == "384"
    assert (
        str(package["pipeline.result.Result.save"].parameters["saving"].default) == "SaveOptions()"
    )


def test_links_hold_at_the_new_place_of_a_page():
    hooks = pytest.importorskip("tools.site_hooks", exc_type=ImportError)
    text = '[a](docs/b.md#c) [d](https://e.test) [f](G.md) <img src="docs/h.webp">'
    assert hooks.move_links(text, "README.md", "docs/page.md") == (
        '[a](b.md#c) [d](https://e.test) [f](../G.md) <img src="h.webp">'
    )


def test_programs_become_a_page(tmp_path):
    hooks = pytest.importorskip("tools.site_hooks", exc_type=ImportError)
    (tmp_path / "a.py").write_text('"""A service, with a server.\n\nMore."""\n\nrun()\n')
    page = hooks.examples_page([tmp_path / "a.py"])
    assert '\n## A service, with a server\n\n```python title="a.py"\n"""A service' in page
    assert page.endswith("run()\n```\n")


def test_public_names_without_documentation_are_named():
    hooks = pytest.importorskip("tools.site_hooks", exc_type=ImportError)
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    assert hooks.undocumented_names(page) == []
    missing = hooks.undocumented_names(page.replace("::: impasto.Region\n", ""))
    assert missing == ["impasto.Region: missing in docs/api.md"]
