"""The contact sheet, from results that are made by hand."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from impasto.errors import OutputError
from impasto.jobs import contact_sheet
from impasto.jobs.batch import BatchItem, BatchSpec, ItemResult
from impasto.jobs.contact_sheet import SheetEntry
from impasto.jobs.specs import InputPaths
from impasto.pipeline.provenance import Provenance
from impasto.pipeline.result import Result
from impasto.recipe.settings import Recipe


class Page(HTMLParser):
    """The text, images and links of a page; fails for tags that do not match."""

    def __init__(self, text):
        super().__init__()
        self.open, self.texts, self.images, self.links = [], [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        if tag not in ("meta", "img"):
            self.open.append(tag)
        self.images += [given] if tag == "img" else []
        self.links += [given["href"]] if tag == "a" else []

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


@pytest.fixture
def entry(tmp_path):
    pixels = np.full((30, 40, 3), 100, np.float32)
    recipe = Recipe(size=300, strength=0.7)
    origin = Provenance(recipe, "native", {"network": "vgg16"}, ())
    path = tmp_path / "a <b> & c.png"
    Result(pixels, recipe, {}, {}, (), (), False, False, origin).save(path)
    Image.new("RGB", (50, 20), "red").save(tmp_path / "content.png")
    Image.new("RGBA", (20, 50), (0, 0, 255, 128)).save(tmp_path / "style.png")
    item = BatchItem(tmp_path / "content.png", path, "a <b> & c")
    result = ItemResult(item, seconds=12.34, evaluations=20)
    return SheetEntry(result, (str(tmp_path / "style.png"),), {"edges, HED": 0.1234})


def test_an_entry_has_its_images_settings_time_and_scores(entry, tmp_path):
    page = Page(contact_sheet.make_sheet([entry], tmp_path))
    text = " ".join(page.texts)
    for words in ("a <b> & c", "--size 300 --strength 0.7", "20 evaluations in 12.3 s", "0.123"):
        assert words in text
    assert page.links == ["a%20%3Cb%3E%20%26%20c.png"]
    assert len(page.images) == 3
    assert all(each["src"].startswith("data:image/jpeg;base64,") for each in page.images)
    assert page.images[1]["alt"] == "content image content.png"


def test_failed_and_skipped_entries_say_so(entry, tmp_path):
    failed = entry._replace(result=replace(entry.result, failure="content.png: <damaged>"))
    skipped = entry._replace(result=ItemResult(entry.result.item, skipped=True))
    page = Page(contact_sheet.make_sheet([failed, skipped], tmp_path))
    text = " ".join(page.texts)
    assert "content.png: <damaged>" in text
    assert "painted before, and skipped" in text
    assert "1 image, 12 s, 1 not painted" in text


def test_an_image_that_cannot_be_read_is_named_instead(entry, tmp_path):
    (tmp_path / "style.png").unlink()
    page = Page(contact_sheet.make_sheet([entry], tmp_path))
    assert "style image style.png (not readable)" in page.texts
    assert len(page.images) == 2


def test_the_sheet_loads_nothing_and_has_no_script(entry, tmp_path):
    text = contact_sheet.make_sheet([entry], tmp_path)
    assert not re.search(r"<script|https?:|url\(", text)


def test_only_a_sheet_is_replaced(entry, tmp_path):
    path = tmp_path / "sheet.html"
    contact_sheet.check_sheet(path, overwrite=False)
    contact_sheet.write_sheet(path, [entry])
    contact_sheet.check_sheet(path, overwrite=False)
    path.write_text("mine")
    with pytest.raises(OutputError, match="--overwrite"):
        contact_sheet.check_sheet(path, overwrite=False)
    contact_sheet.check_sheet(path, overwrite=True)
    with pytest.raises(OutputError, match="html"):
        contact_sheet.check_sheet(tmp_path / "sheet.txt", overwrite=False)


def test_the_styles_of_an_item_include_those_of_regions(entry):
    spec = BatchSpec(Recipe(), InputPaths("", ["a.jpg"], [("mask.png", "b.jpg")]))
    item = entry.result.item
    assert contact_sheet.styles_of(spec, item) == ("a.jpg", "b.jpg")
    assert contact_sheet.styles_of(spec, replace(item, styles=("c.jpg",))) == ("c.jpg", "b.jpg")


def test_settings_chosen_by_the_machine_are_left_out():
    recipe = Recipe(style_loss="gram", engine="native", tile=256, tv_weight=1, seed=3)
    assert contact_sheet.changed_options(recipe) == (
        *("--size", "512", "--seed", "3", "--style-loss", "gram"),
    )
