"""What the numbers of an array mean."""

import numpy as np
import pytest

from impasto.errors import ImageError
from impasto.images import value_range
from impasto.images.formats import decode

WHOLE_RANGE = {
    "uint8": (0, 51, 255),
    "uint16": (0, 51 * 257, 65535),
    "uint32": (0, 51 * 0x01010101, 0xFFFFFFFF),
    "int8": (0, 51, 127),
    "int16": (0, 51, 255),
    "int32": (0, 51, 255),
    "int64": (0, 51, 255),
    "float16": (0, 0.2, 1),
    "float32": (0, 0.2, 1),
    "float64": (0, 0.2, 1),
    ">f8": (0, 51, 255),
    ">u2": (0, 51 * 257, 65535),
}


def decoded(array, **options):
    return decode.from_array(np.asarray(array), decode.ANY_SIZE, **options)


@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 1), (4, 5, 3)])
@pytest.mark.parametrize("kind", WHOLE_RANGE)
def test_every_type_is_taken_by_its_range(kind, shape):
    low, middle, high = np.array(WHOLE_RANGE[kind], kind)
    array = np.full(shape, low, kind)
    array[1], array[2] = middle, high
    loaded = decoded(array)
    assert loaded.notes == ()
    assert loaded.alpha is None
    assert loaded.pixels.dtype == np.float32
    assert loaded.pixels.dtype.isnative
    assert loaded.pixels.shape == (4, 5, 3)
    assert loaded.pixels.flags.c_contiguous
    assert loaded.pixels.flags.writeable
    top = 127 if kind == "int8" else 255
    expected = np.array([0, 51, top, 0], np.float32)[:, None, None]
    np.testing.assert_allclose(
        loaded.pixels - expected, 0, atol=0.05 if kind == "float16" else 1e-4
    )


def test_booleans_are_black_and_white():
    np.testing.assert_array_equal(decoded(np.eye(3, dtype=bool)).pixels[..., 1], 255 * np.eye(3))


def test_channels_are_independent_and_the_array_is_unchanged():
    array = np.random.default_rng(0).uniform(0, 255, (4, 5, 3)).astype(np.float32)
    before = array.copy()
    pixels = decoded(array).pixels
    np.testing.assert_allclose(pixels, before, atol=1e-4)
    pixels[:] = 0
    np.testing.assert_array_equal(array, before)


@pytest.mark.parametrize(
    ("low", "high", "white"),
    [
        (0, 1, 1),
        (0, 1.0000001, 1),
        (-0.001, 0.9, 1),
        (-0.2, 1.2, 1),
        (0, 16, 255),
        (0, 255.5, 255),
        (-30, 280, 255),
    ],
)
@pytest.mark.parametrize("kind", ["float32", "float64"])
def test_floats_may_lie_a_little_outside_their_range(low, high, white, kind):
    array = np.linspace(low, high, 60).reshape(6, 10).astype(kind)
    loaded = decoded(array)
    expected = np.clip(array * (255 / white), 0, 255)
    np.testing.assert_allclose(loaded.pixels[..., 0], expected, atol=1e-3)
    outside = array.min() < 0 or array.max() > white
    assert len(loaded.notes) == outside
    if outside:
        assert f"were clipped to 0 to {white}" in loaded.notes[0]


def test_a_few_highlights_do_not_make_an_image_black():
    array = np.full((20, 20), 0.5, np.float32)
    array[0, :3] = 9
    loaded = decoded(array)
    assert loaded.pixels[1, 1, 0] == pytest.approx(127.5)
    assert loaded.notes == ("values from 0.5 to 9 were clipped to 0 to 1",)


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros(5), r"shape (5,): expected (height, width, 3)"),
        (np.zeros((5, 5, 5)), "shape (5, 5, 5): expected"),
        (np.zeros((2, 5, 5, 3)), "give one of these images, such as array[0]"),
        (np.zeros((3, 20, 30)), "move its first axis to the end"),
        (np.zeros((0, 5, 3)), "at least one pixel"),
        (np.zeros((5, 0), np.uint8), "at least one pixel"),
        (np.full((5, 5), np.nan), "nan"),
        (np.array([[0.5, np.inf]]), "0.5 to inf"),
        (np.full((5, 5), 400.0), "expected 0 to 1 or 0 to 255"),
        (np.full((5, 5), -0.5), "expected 0 to 1 or 0 to 255"),
        (np.linspace(-1, 1, 9).reshape(3, 3), "values from -1 to 1: expected 0 to 1 or 0 to 255"),
        (np.full((5, 5), 3.0), "values from 3 to 3: expected 0 to 1 or 0 to 255"),
        (np.full((5, 5), 256), "int64 values from 256 to 256: expected 0 to 255"),
        (np.full((5, 5), -1, np.int8), "from -1 to -1"),
        (np.full((5, 5), 255, np.uint16), "if 255 is white, convert them to uint8"),
        (np.zeros((5, 5), complex), "complex128: expected integers or floats"),
        (np.zeros((5, 5), object), "object: expected integers or floats"),
        (np.zeros((5, 5), "U3"), "U3: expected integers or floats"),
        (np.zeros((5, 5), "m8[s]"), "timedelta64"),
        (np.zeros((5, 5), "M8[s]"), "datetime64"),
    ],
)
def test_other_arrays_are_rejected(array, words, one_line):
    with pytest.raises(ImageError) as caught:
        decoded(array)
    assert words in one_line(caught)


def test_of_masks_sixteen_bits_may_hold_no_more_than_eight():
    assert decoded(np.full((5, 5), 255, np.uint16), strict=False).pixels.max() == pytest.approx(
        255 * 255 / 65535
    )


@pytest.mark.parametrize("kind", ["uint8", "uint16", "float32"])
@pytest.mark.parametrize("channels", [2, 4])
def test_the_last_of_two_or_four_channels_is_how_opaque(kind, channels):
    most = 1 if kind == "float32" else np.iinfo(kind).max
    array = np.zeros((6, 8, channels), kind)
    array[..., :-1] = most if kind == "float32" else most // 255 * 200
    array[:, 4:, -1] = most
    loaded = decoded(array)
    np.testing.assert_array_equal(loaded.alpha, array[..., -1] / most)
    np.testing.assert_allclose(loaded.pixels, 255 if kind == "float32" else 200, atol=1e-3)


def test_what_is_opaque_all_over_has_no_alpha():
    assert decoded(np.full((4, 4, 4), 255, np.uint8)).alpha is None


def test_twelve_of_sixteen_bits_are_not_stretched():
    scaled = value_range.scale_to_range(np.array([[0, 4095]], np.uint16))
    assert scaled.values.dtype == np.uint16
    assert scaled.values.max() == 4095
