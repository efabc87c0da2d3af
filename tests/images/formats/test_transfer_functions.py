"""Curves and primaries, against the standards' own figures and other libraries."""

import numpy as np
import pytest
from skimage import color

from impasto.images.formats import transfer_functions
from impasto.images.formats.transfer_functions import ColorSpace
from tests.imagery import from_srgb, to_srgb

STEPS = np.linspace(0, 1, 101, dtype=np.float32)


def gray_of(value, curve):
    pixels, _ = transfer_functions.to_srgb(
        np.full((1, 1, 1), value, np.float32), ColorSpace(transfer_functions.BT709, curve)
    )
    return float(pixels[0, 0, 0])


def test_srgb_is_as_in_scikit_image_and_there_and_back():
    np.testing.assert_allclose(transfer_functions.decode_srgb(STEPS), from_srgb(STEPS), atol=1e-6)
    np.testing.assert_allclose(
        transfer_functions.encode_srgb(transfer_functions.decode_srgb(STEPS)), STEPS, atol=1e-6
    )
    xyz = color.rgb2xyz(np.array([[[1.0, 1.0, 1.0]]]))
    np.testing.assert_allclose(
        transfer_functions.to_xyz(transfer_functions.BT709).sum(axis=1), xyz[0, 0], atol=1e-3
    )


@pytest.mark.parametrize(
    ("code", "matrix"),
    [
        # SMPTE EG 432-1 and ITU-R BT.2020 by Lindbloom's way; the last row of each is of Z.
        (12, [[0.48657, 0.26567, 0.19822], [0.22897, 0.69174, 0.07929], [0, 0.04511, 1.04394]]),
        (9, [[0.63696, 0.14462, 0.16888], [0.26270, 0.67800, 0.05930], [0, 0.02807, 1.06099]]),
        (1, [[0.41239, 0.35758, 0.18048], [0.21264, 0.71517, 0.07219], [0.01933, 0.11919, 0.9505]]),
    ],
)
def test_primaries_give_the_matrices_that_are_published(code, matrix):
    np.testing.assert_allclose(
        transfer_functions.to_xyz(transfer_functions.PRIMARIES[code]), matrix, atol=1e-4
    )


@pytest.mark.parametrize("code", transfer_functions.PRIMARIES)
def test_white_stays_white_in_every_space(code):
    matrix = transfer_functions.primaries_to_srgb(transfer_functions.PRIMARIES[code])
    np.testing.assert_allclose(matrix @ np.ones(3), 1, atol=1e-6)


@pytest.mark.parametrize(
    "primaries", [(0.3,) * 8, (0.64, 0.33, 0.3, 0.6, 0.15, 0, 0.3, 0.3), (np.nan,) * 8]
)
def test_degenerate_primaries_are_rejected(primaries):
    with pytest.raises(ValueError, match="primaries"):
        transfer_functions.to_xyz(primaries)


def test_pq_has_the_light_of_its_standard():
    """ITU-R BT.2408, table 1: 58 % is 203 candelas; ST 2084: 50.8 % is 100, 75.2 % is 1000."""
    values = np.array([0.0, 0.5081, 0.5807, 0.7518, 1.0], np.float32)
    nits = transfer_functions.decode_pq(values) * transfer_functions.WHITE_NITS
    np.testing.assert_allclose(nits, [0, 100, 203, 1000, 10_000], rtol=2e-3, atol=1e-4)
    np.testing.assert_allclose(
        transfer_functions.encode_pq(transfer_functions.decode_pq(STEPS)), STEPS, atol=1e-4
    )


def test_hlg_has_white_at_three_quarters():
    """ITU-R BT.2100, table 5: 0.5 is a twelfth of the light; BT.2408: 75 % is diffuse white."""
    np.testing.assert_allclose(
        transfer_functions.decode_hlg(np.array([0, 0.5, 1], np.float32)), [0, 1 / 12, 1], atol=1e-6
    )
    assert gray_of(0.75, transfer_functions.decode_hlg) == pytest.approx(255, abs=1)


@pytest.mark.parametrize("code", transfer_functions.CURVES)
def test_every_curve_rises_from_black_to_white(code):
    light = transfer_functions.CURVES[code](STEPS)
    assert light[0] == pytest.approx(0, abs=1e-6)
    assert np.all(np.diff(light) > 0)
    white = {16: 10_000 / 203, 17: 52.37 / 48}.get(code, 1)
    assert light[-1] == pytest.approx(white, rel=1e-3)


@pytest.mark.parametrize("curve", transfer_functions.BEYOND_WHITE)
def test_what_has_no_light_beyond_white_is_left_as_it_is(curve):
    """A gray of PQ with 50 candelas is one of 50 / 203 of white in sRGB."""
    if curve is transfer_functions.decode_pq:
        value = float(transfer_functions.encode_pq(np.array(50 / 203)))
    else:
        scene = (50 / 1000) ** (1 / 1.2)
        value = (3 * scene) ** 0.5 if scene <= 1 / 12 else None
    assert gray_of(value, curve) == pytest.approx(255 * to_srgb(50 / 203), abs=0.3)


def test_light_beyond_white_comes_down_in_order_and_hues_stay():
    ramp = np.linspace(0, 1, 1000, dtype=np.float32)[None, :, None]
    pixels, brought = transfer_functions.to_srgb(
        ramp, ColorSpace(transfer_functions.BT709, transfer_functions.decode_pq)
    )
    assert brought
    gray = pixels[0, :, 0]
    assert np.all(np.diff(gray) >= 0)
    assert gray[0] == 0
    assert gray[-1] == pytest.approx(255, abs=1e-3)
    assert len(np.unique(gray[500:950].round())) > 60, "highlights stay apart"
    light = np.array([[4.0, 2.0, 1.0]], np.float32)
    down = transfer_functions.roll_off(light, 4.0)
    assert down.max() == pytest.approx(1, abs=1e-3)
    np.testing.assert_allclose(down / down.max(), light / 4, atol=1e-4)


def test_what_lies_below_the_knee_stays():
    """BT.2390: for a peak of 1000 candelas and white at 203 the knee is 1.5 w - 0.5 of PQ."""
    white, peak = (
        transfer_functions.encode_pq(np.array(1.0)),
        transfer_functions.encode_pq(np.array(1000 / 203)),
    )
    knee = float(transfer_functions.decode_pq((1.5 * white / peak - 0.5) * peak))
    light = np.full((1, 3), 0.99 * knee, np.float32)
    np.testing.assert_allclose(transfer_functions.roll_off(light, 1000 / 203), light, rtol=1e-3)
    light = np.full((1, 3), 2 * knee, np.float32)
    assert transfer_functions.roll_off(light, 1000 / 203).max() < 2 * knee


def test_one_hot_pixel_does_not_darken_the_image():
    values = np.full((50, 50, 1), float(transfer_functions.encode_pq(np.array(0.5))), np.float32)
    alone, _ = transfer_functions.to_srgb(
        values, ColorSpace(transfer_functions.BT709, transfer_functions.decode_pq)
    )
    values[0, 0] = 1
    hot, _ = transfer_functions.to_srgb(
        values, ColorSpace(transfer_functions.BT709, transfer_functions.decode_pq)
    )
    np.testing.assert_allclose(hot[1:], alone[1:], atol=0.01)


def test_video_range_is_spread():
    values = np.array([16, 235], np.float32).reshape(1, 2, 1) / 255
    space = ColorSpace(transfer_functions.BT709, transfer_functions.decode_srgb, narrow=True)
    np.testing.assert_allclose(
        transfer_functions.to_srgb(values, space)[0][0, :, 0], [0, 255], atol=0.1
    )
