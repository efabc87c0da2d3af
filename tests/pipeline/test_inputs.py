"""The pictures that a painting begins with."""

import io
import json

import numpy as np
import pytest
from PIL import Image

from impasto.errors import ImageError, InputError, SettingError
from impasto.images import arrays, style_regions
from impasto.images.formats import decode
from impasto.pipeline import inputs, provenance, run
from impasto.pipeline.provenance import Provenance
from impasto.recipe import settings as recipe
from impasto.recipe.presets import make_recipe
from impasto.recipe.settings import Recipe
from tests import tiny

RED = np.full((20, 30, 3), (255, 0, 0), np.uint8)
BLUE = np.full((24, 18, 3), (0, 0, 255), np.uint8)


def clip() -> Image.Image:
    """An animation, open at its first frame."""
    buffer = io.BytesIO()
    Image.fromarray(RED).save(buffer, "GIF", save_all=True, append_images=[Image.fromarray(BLUE)])
    return Image.open(buffer)


@pytest.fixture
def red(tmp_path):
    path = tmp_path / "red.png"
    Image.fromarray(RED).save(path)
    return path


def painting(read, number=0, place=0):
    return read.regions[place].styles[number].image


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
    read = inputs.load_inputs(Recipe(), given(red), BLUE)
    for picture, expected in ((read.content, RED), (painting(read), BLUE)):
        assert picture.dtype == np.float32
        np.testing.assert_array_equal(picture, expected)
    assert read.start is None
    assert read.notes == ()
    np.testing.assert_array_equal(painting(inputs.load_inputs(Recipe(), BLUE, given(red))), RED)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("no/such/picture.png", "no/such/picture.png: no such file"),
        (np.zeros((5, 5, 5)), "content: an array of shape (5, 5, 5): expected"),
        (
            np.full((20, 20), np.nan),
            "content: values from nan to nan: expected 0 to 1 or 0 to 255",
        ),
        (np.zeros((20, 15, 3)), "content: an image of 15 x 20 px: the minimum is 16 x 16 px"),
        (Image.new("RGB", (20, 15)), "content: an image of 20 x 15 px: the minimum is 16 x 16 px"),
        (None, "content: expected a path, bytes, a Pillow image or an array, not NoneType"),
        ([[0, 0], [0, 0]], "content: expected a path, bytes, a Pillow image or an array, not list"),
        (b"photo.png", "content: not an image, or damaged; supported formats: JPEG"),
    ],
)
def test_what_is_no_picture_is_refused_by_its_name(one_line, source, words):
    with pytest.raises(ImageError) as caught:
        inputs.load_inputs(Recipe(), source, BLUE)
    assert one_line(caught).startswith(words)


def test_the_painting_is_named_as_the_style(one_line):
    with pytest.raises(ImageError) as caught:
        inputs.load_inputs(Recipe(), RED, np.zeros((5, 5)))
    assert one_line(caught).startswith("style: an image of 5 x 5 px")


def test_notes_on_all_pictures_are_kept_in_order(tmp_path):
    start, content = tmp_path / "start.png", tmp_path / "content.png"
    clip().save(start, save_all=True)
    clip().save(content, save_all=True)
    assert inputs.load_inputs(Recipe(init=str(start)), content, BLUE).notes == (
        "content.png: the first of several frames is used",
        "start.png: the first of several frames is used",
    )


def glass(colors, alpha):
    """An image of which a part is transparent."""
    return Image.fromarray(np.dstack([colors, np.asarray(alpha, np.uint8)]))


def test_what_is_transparent_in_the_photograph_belongs_to_no_place():
    alpha = np.zeros(RED.shape[:2])
    alpha[:, : RED.shape[1] // 2] = 255
    read = inputs.load_inputs(Recipe(size=RED.shape[1]), glass(RED, alpha), BLUE)
    np.testing.assert_array_equal(read.alpha, alpha / 255)
    np.testing.assert_allclose(read.regions[0].mask, alpha / 255, atol=1e-6)
    assert read.keep is None
    np.testing.assert_array_equal(read.content, RED)  # as if what is seen went on


def test_places_leave_what_is_transparent_out():
    alpha = np.full(RED.shape[:2], 255)
    alpha[:, -8:] = 0
    everywhere = np.full(RED.shape, 255, np.uint8)
    regions = [(everywhere, BLUE)]
    read = inputs.load_inputs(Recipe(size=RED.shape[1]), glass(RED, alpha), None, regions)
    assert read.regions[0].mask[:, -7:].max() == 0
    assert read.keep is None


def test_what_is_transparent_in_a_painting_does_not_count():
    alpha = np.zeros(BLUE.shape[:2])
    alpha[:, :14] = 255
    read = inputs.load_inputs(Recipe(size=64), RED, glass(BLUE, alpha))
    np.testing.assert_array_equal(read.regions[0].styles[0].mask, alpha / 255)
    part = np.zeros(BLUE.shape, np.uint8)
    part[:14] = 255
    whole = np.full(RED.shape, 255, np.uint8)
    read = inputs.load_inputs(Recipe(size=64), RED, None, [(whole, glass(BLUE, alpha), part)])
    both = read.regions[0].styles[0].mask
    np.testing.assert_allclose(both, alpha / 255 * part[..., 0] / 255, atol=1e-6)


def test_a_photograph_with_next_to_nothing_to_be_seen_is_refused(one_line):
    alpha = np.ones(RED.shape[:2])
    with pytest.raises(SettingError) as caught:
        inputs.load_inputs(Recipe(), glass(RED, alpha), BLUE)
    assert "the whole image is kept or transparent" in one_line(caught)


# The recipe against the network -------------------------------------------------------------


@pytest.mark.parametrize("layers", ["content_layers", "style_layers"])
def test_an_unknown_layer_suggests_the_nearest(one_line, layers):
    recipe = Recipe(**{layers: ("block1_conv1", "block4_conv9")})
    with pytest.raises(SettingError) as caught:
        inputs.load_inputs(recipe, RED, BLUE)
    assert one_line(caught).startswith("vgg16 has no layer 'block4_conv9': did you mean block4_")


def test_every_layer_of_the_network_is_known():
    blocks = {1: 2, 2: 2, 3: 3, 4: 3, 5: 3}
    convolutions = [f"block{b}_conv{n + 1}" for b, count in blocks.items() for n in range(count)]
    poolings = [f"block{block}_pool" for block in (1, 2, 3, 4)]
    inputs.load_inputs(make_recipe("gram", style_layers=convolutions + poolings), RED, BLUE)


# The start ----------------------------------------------------------------------------------


def test_starting_from_a_file_resizes_it_to_the_photograph(red):
    read = inputs.load_inputs(Recipe(init=str(red)), BLUE, BLUE)
    np.testing.assert_array_equal(read.start, RED)
    start = run.start_image(read, np.zeros((40, 50, 3), np.float32), Recipe(init=str(red)))
    np.testing.assert_allclose(start, np.broadcast_to(np.array([255, 0, 0]), (40, 50, 3)))


STARTS = {
    "content": lambda content: content,
    "style": lambda content: np.broadcast_to(np.array([0, 0, 255]), content.shape),
    "noise": lambda content: arrays.noise(40, 50, 3, run.NOISE_AMPLITUDE),
}


def test_every_start_is_tested_below():
    assert STARTS.keys() == run.STARTS.keys() == set(recipe.STARTS)


@pytest.mark.parametrize("init", STARTS)
def test_starts_have_the_size_of_the_photograph(init):
    recipe = Recipe(init=init, seed=3)
    content = np.full((40, 50, 3), 77, np.float32)
    start = run.start_image(inputs.load_inputs(recipe, RED, BLUE), content, recipe)
    assert start.dtype == np.float32
    np.testing.assert_allclose(start, STARTS[init](content))


def test_matching_begins_from_the_photographs_large_forms_as_far_as_strength_says():
    """What is fine is to come from the painting; other style losses begin from all of it."""
    content = tiny.random_picture(40, 56, seed=2)
    starts = {
        (style_loss, strength): run.start_image(
            inputs.load_inputs(
                recipe := Recipe(style_loss=style_loss, strength=strength), RED, BLUE
            ),
            content,
            recipe,
        )
        for style_loss, strength in (
            *(("gram", strength) for strength in (0, 1)),
            *(("matching", strength) for strength in (0, 0.25, 0.5, 1)),
        )
    }
    for whole in (("gram", 0), ("gram", 1), ("matching", 0)):
        np.testing.assert_array_equal(starts[whole], content)
    large = arrays.resize(arrays.resize(content, 5, 7), 40, 56)
    for strength in (0.5, 1):
        np.testing.assert_allclose(starts["matching", strength], large, atol=1e-3)
    np.testing.assert_allclose(starts["matching", 0.25], (content + large) / 2, atol=1e-3)
    assert np.std(large) < 0.3 * np.std(content)


@pytest.mark.parametrize(
    ("init", "words"),
    [
        ("contnet", "init is 'contnet', which is not a file: did you mean content?"),
        ("Noise", "init is 'Noise', which is not a file: did you mean noise?"),
        ("xyz", "init is 'xyz', which is not a file: possible: content, style, noise"),
        ("rde.png", "init: rde.png: no such file: did you mean red.png?"),
        ("text", "init: text: not an image, or damaged"),
        (".", "init: .: is a folder"),
        ("two\nlines", "init is 'two\\nlines', which is not a file"),
        ("nul\0", "init is 'nul\\x00', which is not a file"),
        ("", "init is '', which is not a file"),
        ("n" * 300, "init is 'nnn"),
    ],
)
def test_a_start_that_is_neither_a_name_nor_a_picture(red, monkeypatch, one_line, init, words):
    monkeypatch.chdir(red.parent)
    (red.parent / "text").write_text("Dear picture")
    with pytest.raises(SettingError) as caught:
        inputs.load_inputs(Recipe(init=init), RED, BLUE)
    assert one_line(caught).startswith(words)


def test_the_first_thing_wrong_is_found_before_a_picture_is_read():
    with pytest.raises(InputError, match="no layer"):
        inputs.load_inputs(Recipe(style_layers="block9_conv1"), "missing.png", "missing.png")


def test_a_size_that_leaves_too_few_pixels_on_the_short_side_is_refused_with_one_that_does_not():
    panorama = np.zeros((40, 400, 3), np.uint8)
    with pytest.raises(SettingError, match=r"64 x 6 px.*size 160 or more"):
        inputs.load_inputs(Recipe(size=64), panorama, panorama)
    inputs.load_inputs(Recipe(size=160), panorama, panorama)


# Several paintings, and places --------------------------------------------------------------

GREEN = np.full((30, 20, 3), (0, 255, 0), np.uint8)
PHOTO = np.full((64, 96, 3), 99, np.uint8)
SMALL = {"size": 96, "style_layers": "block1_conv1,block2_conv1"}


def left(height=64, width=96):
    mask = np.zeros((height, width), np.uint8)
    mask[:, : width // 2] = 255
    return mask


def test_several_paintings_have_shares_and_scales_in_their_order():
    recipe = Recipe(blend="0.7,0.3", style_scale="1,2", **SMALL)
    (place,) = inputs.load_inputs(recipe, PHOTO, [BLUE, GREEN]).regions
    assert place.mask is None
    assert [(each.weight, each.scale) for each in place.styles] == [(0.7, 1.0), (0.3, 2.0)]
    np.testing.assert_array_equal(place.styles[1].image, GREEN)
    alike = inputs.load_inputs(Recipe(style_scale=2, **SMALL), PHOTO, [BLUE, GREEN]).regions[0]
    assert [(each.weight, each.scale) for each in alike.styles] == [(1.0, 2.0)] * 2


def test_regions_take_their_paintings_and_the_rest_the_style():
    recipe = Recipe(style_scale="1,3", **SMALL)
    read = inputs.load_inputs(recipe, PHOTO, BLUE, [(left(), GREEN)])
    region, rest = read.regions
    np.testing.assert_array_equal(region.styles[0].image, GREEN)
    assert (region.styles[0].scale, rest.styles[0].scale) == (3.0, 1.0)
    np.testing.assert_allclose(region.mask + rest.mask, 1, atol=1e-6)
    assert region.mask[:, :40].min() == pytest.approx(1, abs=1e-3)
    assert read.keep is None


def test_what_no_region_covers_stays_the_photograph_without_a_style():
    read = inputs.load_inputs(Recipe(**SMALL), PHOTO, None, [(left(), GREEN)])
    assert len(read.regions) == 1
    np.testing.assert_allclose(read.keep, 1 - read.regions[0].mask, atol=1e-6)


def test_the_same_painting_in_two_masks_is_one_place(red):
    right = 255 - left()
    for one, two in ((str(red), red), (GREEN, GREEN)):
        read = inputs.load_inputs(Recipe(**SMALL), PHOTO, None, [(left(), one), (right, two)])
        (place,) = read.regions
        np.testing.assert_allclose(place.mask, 1, atol=1e-6)
        assert read.keep is None


def test_different_parts_of_the_same_painting_are_places_apart():
    part = left(30, 20)
    regions = [(left(), GREEN, part), (255 - left(), GREEN)]
    read = inputs.load_inputs(Recipe(**SMALL), PHOTO, None, regions)
    assert [place.styles[0].mask is None for place in read.regions] == [False, True]


def test_masks_that_overlap_share_the_place():
    everything = np.full((10, 15), 255, np.uint8)
    read = inputs.load_inputs(Recipe(**SMALL), PHOTO, None, [(everything, BLUE), (left(), GREEN)])
    first, second = read.regions
    assert first.mask[:, :40].max() == pytest.approx(0.5, abs=1e-2)
    np.testing.assert_allclose(first.mask + second.mask, 1, atol=1e-5)


def test_what_is_kept_belongs_to_no_place():
    read = inputs.load_inputs(Recipe(**SMALL), PHOTO, BLUE, keep=left())
    assert read.keep[:, :40].min() > 0.99
    assert read.regions[0].mask[:, :40].max() < 0.01


def test_a_painting_keeps_its_shape_at_every_scale():
    recipe = Recipe(style_scale=2, **SMALL)
    read = inputs.load_inputs(recipe, PHOTO, np.zeros((50, 100, 3), np.uint8))
    seen = style_regions.resize_regions(read.regions, 20, 25)[0].styles[0].image
    assert seen.shape[:2] == (32, 64)  # 16 x 32 px, as many as 20 x 25, twice as large
    tiny = style_regions.resize_regions(read.regions, 4, 4)[0].styles[0].image
    assert tiny.shape[:2] == (32, 64)  # 16 px on the short side at least, before the scale


def test_masks_follow_the_level():
    recipe = Recipe(**SMALL)
    read = inputs.load_inputs(recipe, PHOTO, BLUE, [(left(), GREEN, left(30, 20))])
    region, _ = style_regions.resize_regions(read.regions, 32, 48)
    assert region.mask.shape == (32, 48)
    assert region.styles[0].mask.shape == region.styles[0].image.shape[:2]


def test_colors_are_prepared():
    photograph = np.random.default_rng(1).integers(60, 200, (64, 96, 3)).astype(np.uint8)
    painting_ = np.random.default_rng(2).integers(0, 255, (30, 40, 3)).astype(np.uint8)
    read = inputs.load_inputs(Recipe(colors="content", **SMALL), photograph, painting_)
    assert np.ptp(read.content, axis=-1).max() < 0.1
    assert np.ptp(painting(read), axis=-1).max() < 0.1
    np.testing.assert_array_equal(read.original, photograph)
    matched = inputs.load_inputs(Recipe(colors="match", **SMALL), photograph, painting_)
    np.testing.assert_array_equal(matched.content, photograph)
    np.testing.assert_allclose(painting(matched).mean((0, 1)), photograph.mean((0, 1)), atol=1)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"style": None}, "no style image: give one"),
        ({"style": []}, "no style image"),
        ({"blend": "1,2"}, "blend has 2 weights for 1 style image: give one for each"),
        ({"style": [BLUE, GREEN], "blend": "1"}, "blend has 1 weights for 2 style images"),
        ({"style_scale": "1,2"}, "style_scale has 2 numbers for 1 style image: give one"),
        ({"regions": [(PHOTO * 0, GREEN)]}, "region 1, mask: black everywhere"),
        ({"regions": [(GREEN, GREEN)]}, "region 1, mask: an image with colors"),
        ({"keep": GREEN}, "keep: an image with colors"),
        ({"regions": [(left(), GREEN, GREEN)]}, "region 1, style mask: an image with col"),
        ({"regions": [(left(), "no.png")]}, "no.png: no such file"),
    ],
)
def test_what_does_not_fit_together_is_refused(one_line, given, words):
    style = given.pop("style", BLUE) if "style" in given else BLUE
    settings = {key: given[key] for key in ("blend", "style_scale") if key in given}
    places = {key: given[key] for key in ("regions", "keep") if key in given}
    with pytest.raises(InputError) as caught:
        inputs.load_inputs(Recipe(**SMALL, **settings), PHOTO, style, **places)
    assert one_line(caught).startswith(words)


@pytest.mark.parametrize(
    ("style_loss", "layer"),
    [
        ("gram", "block5_conv1, which has a stride of 16 px"),
        ("matching", "block4_conv1, which has a stride of 8 px"),
    ],
)
def test_a_mask_that_the_deepest_layer_cannot_see_is_refused(one_line, style_loss, layer):
    dot = np.zeros((64, 96), np.uint8)
    dot[:4, :4] = 255
    with pytest.raises(SettingError) as caught:
        inputs.load_inputs(Recipe(size=96, style_loss=style_loss), PHOTO, BLUE, [(dot, GREEN)])
    assert f"covers no position of {layer}" in one_line(caught)
    inputs.load_inputs(Recipe(size=96, style_layers="block1_conv1"), PHOTO, BLUE, [(dot, GREEN)])


def test_a_style_for_the_rest_is_left_out_where_nothing_is_left():
    read = inputs.load_inputs(Recipe(**SMALL), PHOTO, BLUE, [(left(), GREEN), (255 - left(), RED)])
    assert len(read.regions) in (2, 3)  # a resized edge may leave a trace
    assert sum(float(place.mask.mean()) for place in read.regions[:2]) > 0.99


def test_a_region_that_is_kept_whole_is_no_place():
    read = inputs.load_inputs(Recipe(**SMALL), PHOTO, BLUE, [(left(), GREEN)], keep=left())
    assert [place.styles[0].image[0, 0, 2] for place in read.regions][-1] == 255
    with pytest.raises(SettingError, match="the whole image is kept"):
        inputs.load_inputs(Recipe(**SMALL), PHOTO, BLUE, keep=np.full((20, 20), 255, np.uint8))


def test_a_painting_seen_too_large_for_memory_is_refused(one_line, monkeypatch):
    monkeypatch.setattr(inputs.memory, "peak_bytes", lambda work, plan: 1e9 * work.styles[0][1])
    monkeypatch.setattr(inputs.memory, "free_bytes", lambda: 2e9)
    with pytest.raises(SettingError) as caught:
        inputs.load_inputs(Recipe(style_scale=4, **SMALL), PHOTO, PHOTO)
    assert one_line(caught).startswith("style_scale 4 makes a style image 384 x 256 px, which does")


def test_masks_that_are_cut_outs_use_their_transparency():
    white = np.full_like(left(), 255)
    cut_out = Image.fromarray(np.dstack([white, left()]))
    masked = np.ma.masked_array(white, left() == 0)
    plain = inputs.load_inputs(Recipe(**SMALL), PHOTO, BLUE, keep=left())
    for mask in (cut_out, cut_out.convert("RGBA"), masked):
        read = inputs.load_inputs(Recipe(**SMALL), PHOTO, BLUE, keep=mask)
        np.testing.assert_allclose(read.keep, plain.keep, atol=1e-6)
        assert read.notes == plain.notes
    # What tells one input from another knows transparency too.
    other = Image.fromarray(np.dstack([white, white - left()]))
    hashes = {
        inputs.load_inputs(Recipe(**SMALL), PHOTO, BLUE, keep=mask).sources[-1].sha256
        for mask in (cut_out, other)
    }
    assert len(hashes) == 2


def test_the_recipe_is_read_from_the_json_that_the_command_prints(tmp_path, one_line):
    path = tmp_path / "r.json"
    said = Provenance(Recipe(seed=7), "tensorflow", {"network": "vgg16"}, ())
    text = json.dumps(said.to_dict(), indent=2)
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        path.write_text(text, encoding=encoding)
        assert provenance.read_provenance(path) == said
    for text, words in (
        ("{", "is not valid JSON"),
        ('{"seed": 7}', "not the output of `impasto recipe`"),
    ):
        path.write_text(text)
        with pytest.raises(ImageError) as caught:
            provenance.read_provenance(path)
        assert one_line(caught).startswith(f"{path}: ")
        assert words in one_line(caught)


@pytest.mark.parametrize("regions", ["ab", [("m.png",)], [1], ("m.png", "p.png")])
def test_regions_of_another_form_are_refused(one_line, regions):
    with pytest.raises(SettingError) as caught:
        inputs.load_inputs(Recipe(**SMALL), PHOTO, BLUE, regions)
    assert one_line(caught).startswith("regions: expected (mask, style)")


def test_starting_from_the_style_is_starting_from_one_that_counts():
    recipe = Recipe(init="style", blend="0,1", **SMALL)
    read = inputs.load_inputs(recipe, PHOTO, [BLUE, GREEN], [(left(), RED)])
    assert tuple(read.start_style[0, 0]) == (0, 255, 0)
    read = inputs.load_inputs(Recipe(init="style", **SMALL), PHOTO, None, [(left(), RED)])
    assert tuple(read.start_style[0, 0]) == (255, 0, 0)


def test_places_and_what_is_kept_are_everything_once():
    soft = np.tile(np.linspace(0, 255, 96).astype(np.uint8), (64, 1))
    for style in (BLUE, None):
        regions = [(left(), GREEN), (soft, RED)]
        read = inputs.load_inputs(Recipe(**SMALL), PHOTO, style, regions, keep=soft.T[:64, :64])
        total = sum(place.mask for place in read.regions) + read.keep
        np.testing.assert_allclose(total, 1, atol=0.03)


# Whatever stands for a picture ---------------------------------------------------------------


class Tensor:
    """As a framework has them: no array, but it says how it becomes one."""

    def __init__(self, array, error=None):
        self.array, self.error = array, error

    def __array__(self, dtype=None, copy=None):
        if self.error:
            raise self.error
        return self.array


def test_bytes_streams_and_tensors_are_taken_for_pictures():
    buffer = io.BytesIO()
    Image.fromarray(RED).save(buffer, "PNG")
    for source in (buffer, buffer.getvalue(), Tensor(RED), Tensor(RED / 255), RED.astype(np.int64)):
        read = inputs.load_inputs(Recipe(), source, BLUE)
        np.testing.assert_allclose(read.original, RED)
        assert read.sources[0].role == "content"
    mask = left()
    buffer = io.BytesIO()
    Image.fromarray(mask).save(buffer, "PNG")
    read = inputs.load_inputs(Recipe(**SMALL), PHOTO, BLUE, keep=buffer)
    assert read.keep[:, :40].min() > 0.99


@pytest.mark.parametrize("name", ["torch", "tensorflow", "jax.numpy"])
def test_tensors_of_the_frameworks_are_taken(name):
    framework = pytest.importorskip(name)
    make = {"torch": "tensor", "tensorflow": "constant", "jax.numpy": "array"}[name]
    tensor = getattr(framework, make)((RED / 255).astype(np.float32))
    np.testing.assert_allclose(inputs.load_inputs(Recipe(), tensor, BLUE).original, RED)


def test_a_tensor_that_cannot_become_an_array_says_why(one_line):
    wrong = Tensor(RED, TypeError("can't convert cuda:0 device type tensor to numpy"))
    with pytest.raises(ImageError) as caught:
        inputs.load_inputs(Recipe(), wrong, BLUE)
    assert one_line(caught).startswith(
        "content: Tensor cannot be converted to a NumPy array (can't con"
    )


def test_an_array_with_transparency_is_taken():
    read = inputs.load_inputs(
        Recipe(), np.dstack([RED, np.full(RED.shape[:2], 128, np.uint8)]), BLUE
    )
    np.testing.assert_allclose(read.alpha, 128 / 255)


def test_sixteen_bits_that_hold_eight_are_refused_before_painting(one_line):
    with pytest.raises(ImageError) as caught:
        inputs.load_inputs(Recipe(), RED.astype(np.uint16), BLUE)
    assert one_line(caught).startswith("content: uint16 values up to 255: if 255 is white")


@pytest.mark.parametrize(
    "mask",
    [
        left() // 255,
        left().astype(np.uint16) // 255,
        left() > 0,
        left() / 255.0,
        left().astype(int),
    ],
    ids=["0 and 1", "16 bits", "booleans", "floats", "wide integers"],
)
def test_masks_count_in_whatever_range_they_are_written(mask):
    expected = inputs.load_inputs(
        Recipe(**SMALL), PHOTO, BLUE, [(left(), GREEN)], keep=left()[::-1]
    )
    read = inputs.load_inputs(Recipe(**SMALL), PHOTO, BLUE, [(mask, GREEN)], keep=mask[::-1])
    np.testing.assert_allclose(read.keep, expected.keep)


def test_a_mask_in_another_range_and_one_of_another_shape_are_told():
    portrait = np.ones((90, 40), np.uint8)
    notes = inputs.load_inputs(Recipe(**SMALL), PHOTO, BLUE, [(portrait, GREEN)]).notes
    assert "region 1, mask: its brightest value is 1 of 255, and is used as white" in notes
    assert any("40 x 90 px is stretched over an image of 96 x 64 px" in note for note in notes)
    assert inputs.load_inputs(Recipe(**SMALL), PHOTO, BLUE, [(left(), GREEN)]).notes == ()


@pytest.mark.parametrize("colors", ["style", *style_regions.COLOR_TRANSFORMS])
def test_a_painting_of_which_nothing_is_left_is_refused_in_every_way_of_color(one_line, colors):
    alpha = np.zeros(GREEN.shape[:2])
    alpha[:15] = 255
    below = np.zeros(GREEN.shape[:2], np.uint8)
    below[16:] = 255
    with pytest.raises(SettingError) as caught:
        inputs.load_inputs(
            Recipe(colors=colors, **SMALL), PHOTO, BLUE, [(left(), glass(GREEN, alpha), below)]
        )
    assert "region 1: the style mask covers no opaque part of the style image" in one_line(caught)


def test_a_picture_that_is_nearly_black_is_told():
    notes = inputs.load_inputs(Recipe(), np.full_like(RED, 3), BLUE).notes
    assert notes == ("content: nearly black, its brightest value is 3 of 255",)


def test_as_many_pixels_as_memory_holds_are_read_where_a_large_picture_is_asked_for():
    """A small file may hold very many that nobody asked for."""
    assert inputs.content_limits(make_recipe(size=512), 100e9) == decode.DEFAULT_LIMITS
    for size in ("original", 16_000):
        limits = inputs.content_limits(make_recipe(size=size), 100e9)
        assert decode.MAX_PIXELS < limits.max_pixels < 100e9 / 12
        assert inputs.content_limits(make_recipe(size=size), 1e9) == decode.DEFAULT_LIMITS
