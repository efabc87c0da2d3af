"""What the documents say of the program is what the program says of itself."""

import re
from pathlib import Path

import pytest
import typer

from impasto.cli import app
from impasto.pictures import samples
from tools import controls, gallery, settings

ROOT = Path(__file__).parents[1]
DOCUMENTS = [
    *("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"),
    *("docs/settings.md", "docs/gallery.md", "docs/reliability.md"),
]


def test_the_page_of_settings_is_the_one_that_make_docs_writes():
    assert settings.PAGE.read_text(encoding="utf-8") == settings.page(), "run: make docs"


def test_the_readme_shows_every_row_of_the_gallery_and_its_pictures_are_there():
    readme = gallery.README.read_text(encoding="utf-8")
    for photograph, painting in gallery.PAIRS:
        for name in (photograph, painting, f"{photograph}-{painting}"):
            assert f"docs/gallery/{name}.jpg" in readme, "run: make gallery"
            assert (gallery.FOLDER / f"{name}.jpg").is_file()


def test_the_page_of_controls_has_every_picture_and_command():
    page = controls.PAGE.read_text(encoding="utf-8")
    for _, _, shown in controls.CONTROLS:
        for each in shown:
            assert f"`{each.command}`" in page, "run: make gallery"


def test_the_gallery_uses_every_painting():
    assert {painting for _, painting in gallery.PAIRS} == set(samples.PAINTINGS)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_somewhere(document):
    text = (ROOT / document).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", text):
        if "://" not in target:
            assert (ROOT / document).parent.joinpath(target).exists(), target


@pytest.mark.parametrize("document", DOCUMENTS)
def test_options_that_are_named_exist(document):
    text = (ROOT / document).read_text(encoding="utf-8")
    commands = vars(typer.main.get_command(app.app))["commands"]
    for name, words in re.findall(r"impasto ([a-z]+)([^`\n]*)", text):
        if name in commands:
            options = commands[name].params
            known = {"--help", *(flag for each in options for flag in each.opts)}
            assert known.issuperset(re.findall(r"--[a-z][a-z-]+", words)), (name, words)


def test_the_map_of_the_house_names_every_module():
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    for path in (ROOT / "src" / "impasto").glob("*.py"):
        if not path.name.startswith("__"):
            assert f"`{path.stem}`" in text, path.stem
