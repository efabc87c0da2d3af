"""One call loads an image or a mask from any source, with its notes and its hash."""

import hashlib

import numpy as np
import pytest
from PIL import Image

from impasto.errors import ImageError, SettingError
from impasto.images import load
from impasto.images.formats.decode import SizeLimits

RED = np.full((20, 30, 3), (255, 0, 0), np.uint8)
LEFT = np.zeros((20, 30), np.uint8)
LEFT[:, :15] = 255


@pytest.fixture
def red(tmp_path):
    path = tmp_path / "red.png"
    Image.fromarray(RED).save(path)
    return path


def test_a_file_is_identified_by_its_name_and_hash(red):
    loaded = load.load_image(red, "content")
    np.testing.assert_array_equal(loaded.pixels, RED)
    digest = hashlib.sha256(red.read_bytes()).hexdigest()
    assert loaded.source == load.InputSource("content", "red.png", digest)
    assert loaded.notes == ()


def test_other_sources_are_identified_by_their_pixels_and_opacity(red):
    pixels = RED.astype(np.float32)
    clear = Image.fromarray(np.dstack([RED, LEFT]))
    assert load.load_image(red.read_bytes(), "style").source == load.InputSource(
        "style", "bytes", hashlib.sha256(pixels.tobytes()).hexdigest()
    )
    with_alpha = load.load_image(clear, "style")
    data = with_alpha.pixels.tobytes() + (LEFT / 255).astype(np.float32).tobytes()
    assert with_alpha.source.sha256 == hashlib.sha256(data).hexdigest()


def test_the_size_is_checked_against_the_limits(red, one_line):
    with pytest.raises(ImageError) as caught:
        load.load_image(red, "content", SizeLimits(max_pixels=599))
    assert one_line(caught).startswith(f"{red}: an image of 600 pixels: the maximum is 599")


def test_notes_on_a_mask_start_with_its_role():
    loaded = load.load_mask(LEFT // 255, "keep", (30, 20))
    np.testing.assert_array_equal(loaded.mask, LEFT / 255)
    assert [note.split(":")[0] for note in loaded.notes] == ["keep", "keep"]


def test_the_style_of_a_region_uses_what_is_opaque_and_in_its_mask(one_line):
    style = Image.fromarray(np.dstack([RED, LEFT]))
    region = load.Region(LEFT, style, LEFT.T.repeat(2, axis=1)[:20, :30])
    loaded = load.load_region_style(region, "region 1")
    opacity = load.load_style(style, "style").mask
    np.testing.assert_allclose(loaded.mask, opacity * loaded.part.mask)
    assert loaded.part.source.role == "region 1, style mask"
    with pytest.raises(SettingError) as caught:
        load.load_region_style(region._replace(style_mask=255 - LEFT), "region 1")
    assert one_line(caught).startswith("region 1: the style mask covers no opaque part")


def test_former_roles_of_stored_sources_get_their_current_names():
    stored = {"role": "region 1, painting", "name": "b.png", "sha256": "0f", "more": 1}
    source = load.InputSource.from_dict(stored)
    assert source == ("region 1, style image", "b.png", "0f")
    assert load.InputSource.from_dict(source._asdict()) == source
    with pytest.raises(KeyError):
        load.InputSource.from_dict({"role": "style"})
