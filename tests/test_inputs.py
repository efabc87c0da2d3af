"""The pictures that a painting begins with."""

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from impasto import inputs, pictures
from impasto.errors import InputError, PictureError, SettingError
from impasto.recipe import Recipe

RED = np.full((20, 30, 3), (255, 0, 0), np.uint8)
BLUE = np.full((24, 18, 3), (0, 0, 255), np.uint8)


def clip() -> Image.Image:
    """An animation, open at its first frame."""
    import io

    buffer = io.BytesIO()
    Image.fromarray(RED).save(buffer, "GIF", save_all=True, append_images=[Image.fromarray(BLUE)])
    return Image.open(buffer)


@pytest.fixture
def red(tmp_path):
    path = tmp_path / "red.png"
    Image.fromarray(RED).save(path)
    return path


KINDS = {
    "path": lambda path: path,
    "name": str,
    "open image": Image.open,
    "image": lambda path: Image.fromarray(RED),
    "array": lambda path: RED,
    "floats": lambda path: RED / 255,
}


@pytest.mark.parametrize("given", KINDS.values(), ids=KINDS)
def test_paths_images_and_arrays_are_pictures(red, given):
    read = inputs.prepare(Recipe(), given(red), BLUE)
    for picture, expected in ((read.content, RED), (read.style, BLUE)):
        assert picture.dtype == np.float32
        np.testing.assert_array_equal(picture, expected)
    assert read.start is None
    assert read.notes == ()
    np.testing.assert_array_equal(inputs.prepare(Recipe(), BLUE, given(red)).style, RED)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("no/such/picture.png", "no/such/picture.png: no such file"),
        (np.zeros((5, 5, 4)), "content: an array of shape (5, 5, 4): expected"),
        (np.full((20, 20), np.nan), "content: an array with values that are not finite"),
        (np.zeros((20, 15, 3)), "content: a picture of 15 x 20 px: at least 16 x 16 px"),
        (Image.new("RGB", (20, 15)), "content: a picture of 20 x 15 px: at least 16 x 16 px"),
        (None, "content: not a picture but NoneType: give a path"),
        ([[0, 0], [0, 0]], "content: not a picture but list: give a path"),
        (b"photo.png", "content: not a picture but bytes: give a path"),
    ],
)
def test_what_is_no_picture_is_refused_by_its_name(one_line, source, words):
    with pytest.raises(PictureError) as caught:
        inputs.prepare(Recipe(), source, BLUE)
    assert one_line(caught).startswith(words)


def test_the_painting_is_named_as_the_style(one_line):
    with pytest.raises(PictureError) as caught:
        inputs.prepare(Recipe(), RED, np.zeros((5, 5)))
    assert one_line(caught).startswith("style: a picture of 5 x 5 px")


def test_notes_on_all_pictures_are_kept_in_order(tmp_path):
    glass, start = tmp_path / "glass.png", tmp_path / "start.gif"
    Image.fromarray(np.dstack([RED, RED[..., 1]])).save(glass)
    clip().save(start, save_all=True)
    assert inputs.prepare(Recipe(init=str(start)), clip(), glass).notes == (
        "content: the first of 2 frames is used",
        "glass.png: transparent parts are shown on white",
        "start.gif: the first of 2 frames is used",
    )


# The recipe against the network -------------------------------------------------------------


@pytest.mark.parametrize("layers", ["content_layers", "style_layers"])
def test_an_unknown_layer_suggests_the_nearest(one_line, layers):
    recipe = Recipe(**{layers: ("block1_conv1", "block4_conv9")})
    with pytest.raises(SettingError) as caught:
        inputs.prepare(recipe, RED, BLUE)
    assert one_line(caught).startswith("vgg16 has no layer 'block4_conv9': did you mean block4_")


def test_every_layer_of_the_network_is_known():
    blocks = {1: 2, 2: 2, 3: 3, 4: 3, 5: 3}
    convolutions = [f"block{b}_conv{n + 1}" for b, count in blocks.items() for n in range(count)]
    poolings = [f"block{block}_pool" for block in (1, 2, 3, 4)]
    inputs.prepare(Recipe(style_layers=convolutions + poolings), RED, BLUE)


# The start ----------------------------------------------------------------------------------


def test_starting_from_a_file_resizes_it_to_the_photograph(red):
    read = inputs.prepare(Recipe(init=str(red)), BLUE, BLUE)
    np.testing.assert_array_equal(read.start, RED)
    start = inputs.start(read, np.zeros((40, 50, 3), np.float32), Recipe(init=str(red)))
    np.testing.assert_allclose(start, np.broadcast_to(np.array([255, 0, 0]), (40, 50, 3)))


STARTS = {
    "content": lambda content: content,
    "style": lambda content: np.broadcast_to(np.array([0, 0, 255]), content.shape),
    "noise": lambda content: pictures.noise(40, 50, 3),
}


def test_every_start_is_tested_below():
    assert STARTS.keys() == inputs.STARTS.keys()


@pytest.mark.parametrize("init", STARTS)
def test_starts_have_the_size_of_the_photograph(init):
    recipe = Recipe(init=init, seed=3)
    content = np.full((40, 50, 3), 77, np.float32)
    start = inputs.start(inputs.prepare(recipe, RED, BLUE), content, recipe)
    assert start.dtype == np.float32
    np.testing.assert_allclose(start, STARTS[init](content))


@pytest.mark.parametrize(
    ("init", "words"),
    [
        ("contnet", "init is 'contnet', which is no file: did you mean content?"),
        ("Noise", "init is 'Noise', which is no file: did you mean noise?"),
        ("xyz", "init is 'xyz', which is no file: possible: content, style, noise"),
        ("rde.png", "init: rde.png: no such file: did you mean red.png?"),
        ("text", "init: text: not a picture, or a damaged one"),
        (".", "init: .: is a folder"),
        ("two\nlines", "init is 'two\\nlines', which is no file"),
        ("nul\0", "init is 'nul\\x00', which is no file"),
        ("", "init is '', which is no file"),
        ("n" * 300, "init is 'nnn"),
    ],
)
def test_a_start_that_is_neither_a_name_nor_a_picture(red, monkeypatch, one_line, init, words):
    monkeypatch.chdir(red.parent)
    (red.parent / "text").write_text("Dear picture")
    with pytest.raises(SettingError) as caught:
        inputs.prepare(Recipe(init=init), RED, BLUE)
    assert one_line(caught).startswith(words)


def test_the_first_thing_wrong_is_found_before_a_picture_is_read():
    with pytest.raises(InputError, match="no layer"):
        inputs.prepare(Recipe(style_layers="block9_conv1"), "missing.png", "missing.png")


def test_no_tensor_library_is_loaded():
    code = (
        "import sys, impasto.inputs\n"
        "print({'tensorflow', 'jax', 'torch', 'keras'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "set()\n", done.stderr


def test_a_size_that_leaves_too_few_pixels_on_the_short_side_is_refused_with_one_that_does_not():
    panorama = np.zeros((40, 400, 3), np.uint8)
    with pytest.raises(SettingError, match=r"64 x 6 px.*size 160 or more"):
        inputs.prepare(Recipe(size=64), panorama, panorama)
    inputs.prepare(Recipe(size=160), panorama, panorama)
