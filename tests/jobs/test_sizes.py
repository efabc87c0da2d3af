"""Sizes as text, for a content image of 300 x 400 px."""

import pytest
from PIL import Image

from impasto.errors import ImageError, SettingError
from impasto.jobs import sizes
from impasto.jobs.sizes import Size


def content():
    return 300, 400


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("2k", "2048"),
        ("1.5K", "1536"),
        ("50%", "200"),
        ("12.5%", "50"),
        ("0%", "1"),  # which the recipe rejects
        ("512", "512"),
        ("original", "original"),
    ],
)
def test_texts_become_pixels_and_numbers_are_left_to_the_recipe(text, size):
    assert sizes.resolve_size(text, content) == Size(size)


def test_an_image_fits_on_a_page_in_its_own_orientation():
    # 210 x 297 mm at 254 dpi are 2100 x 2970 px.
    assert sizes.resolve_size("A4@254", content) == Size("2800", 254)  # limited by the short side
    assert sizes.resolve_size("a4@254dpi", lambda: (100, 400)) == Size("2970", 254)
    assert sizes.resolve_size("A4@254", lambda: (400, 100)) == Size("2970", 254)
    assert sizes.resolve_size("letter@100", lambda: (850, 1100)).size in ("1099", "1100")


@pytest.mark.parametrize("text", ["A4@", "A4@0", "A4@many", "A4@20000", "A9@300", "@300"])
def test_an_unknown_page_or_resolution_is_an_error(text, one_line):
    with pytest.raises(SettingError) as caught:
        sizes.resolve_size(text, content)
    assert f"size is '{text}'" in one_line(caught)


@pytest.mark.parametrize("text", ["many", "3.5in", "", "1024px"])
def test_the_message_about_another_text_says_what_is_possible(text, one_line):
    with pytest.raises(SettingError) as caught:
        sizes.resolve_size(text, content)
    assert all(each in one_line(caught) for each in (repr(text), "2k", "50%", "A4@300"))


def test_the_content_image_is_read_only_if_needed():
    def unread():
        raise AssertionError

    assert sizes.resolve_size("2k", unread).size == "2048"


def test_the_size_of_a_file_is_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # rotated by a quarter turn
    Image.new("RGB", (40, 20)).save(tmp_path / "a.jpg", exif=exif)
    assert sizes.size_of_file(str(tmp_path / "a.jpg")) == (40, 20)
    with pytest.raises(ImageError):
        sizes.size_of_file(str(tmp_path / "none.png"))
