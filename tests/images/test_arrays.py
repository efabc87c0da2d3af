"""Images as arrays: sizes, resizing, initial images, the pixel contract."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from impasto.images import arrays

SIDES = st.integers(1, 5000)


def random_picture(height: int, width: int, seed: int = 0) -> arrays.ImageArray:
    return np.random.default_rng(seed).uniform(0, 255, (height, width, 3)).astype(np.float32)


# Sizes --------------------------------------------------------------------------------------


def test_size_is_height_and_width():
    assert arrays.size_of(np.zeros((2, 3, 3), np.float32)) == (2, 3)


@given(SIDES, SIDES, SIDES)
def test_fit_makes_the_longer_side_as_long_as_asked(height, width, longest):
    fitted = arrays.fit(height, width, longest)
    assert max(fitted) == longest
    scale = longest / max(height, width)
    for side, before in zip(fitted, (height, width), strict=True):
        assert abs(side - max(1, before * scale)) <= 0.5 + 1e-6


@given(SIDES, SIDES, st.integers(1, 10**7))
def test_fit_area_covers_the_area_and_never_enlarges(height, width, area):
    fitted = arrays.fit_area(height, width, area)
    if height * width <= area:
        assert fitted == (height, width)
    least = arrays.MIN_SIDE / min(height, width)
    scale = min(1, max(least, (area / (height * width)) ** 0.5))
    assert min(fitted) >= min(height, width, arrays.MIN_SIDE)
    for side, before in zip(fitted, (height, width), strict=True):
        assert side <= before
        assert abs(side - before * scale) <= 0.5 + 1e-6


# Resizing -----------------------------------------------------------------------------------


@given(*[st.integers(1, 60)] * 4, st.floats(-300, 300, width=32), st.integers(1, 4))
def test_resizing_keeps_constants(height, width, new_height, new_width, value, channels):
    flat = np.full((height, width, channels), value, np.float32)
    resized = arrays.resample(flat, new_height, new_width)
    assert resized.dtype == np.float32
    assert resized.shape == (new_height, new_width, channels)
    np.testing.assert_allclose(resized, value, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("size", [(20, 30), (40, 15), (97, 120), (160, 240)])
def test_resizing_keeps_the_mean(size):
    smooth = arrays.resample(random_picture(8, 12), 80, 120)
    resized = arrays.resample(smooth, *size)
    np.testing.assert_allclose(resized.mean((0, 1)), smooth.mean((0, 1)), atol=0.5)


def test_resizing_to_the_same_size_changes_nothing():
    image = random_picture(11, 7)
    np.testing.assert_array_equal(arrays.resample(image, 11, 7), image)


@pytest.mark.parametrize("size", [(9, 13), (60, 50)])
def test_resizing_is_linear_and_unclipped(size):
    one, other = random_picture(20, 30, 1), random_picture(20, 30, 2)
    difference = arrays.resample(6 * one - 5 * other, *size)
    expected = 6 * arrays.resample(one, *size) - 5 * arrays.resample(other, *size)
    assert difference.min() < 0
    assert difference.max() > 255
    np.testing.assert_allclose(difference, expected, atol=1e-3)


def test_resizing_treats_channels_and_axes_independently():
    image = np.zeros((8, 8, 3), np.float32)
    image[:4, :, 0] = image[:, 4:, 2] = 200
    small = arrays.resample(image, 2, 4)
    assert small[0, :, 0].min() > 150 > 50 > small[1, :, 0].max()
    assert small[:, 2:, 2].min() > 150 > 50 > small[:, :2, 2].max()
    assert not small[..., 1].any()


def test_reducing_smooths_what_it_cannot_show():
    stripes = np.zeros((64, 64, 3), np.float32)
    stripes[:, ::2] = 255
    inside = arrays.resample(stripes, 16, 16)[:, 2:-2]
    assert abs(inside - 127.5).max() < 6


# Initial images -----------------------------------------------------------------------------


def test_noise_depends_on_its_seed_alone():
    np.testing.assert_array_equal(arrays.noise(9, 5, 3), arrays.noise(9, 5, 3))
    assert not np.array_equal(arrays.noise(9, 5, 3), arrays.noise(9, 5, 4))


def test_noise_is_uniform_over_the_whole_range():
    noise = arrays.noise(90, 110, 0)
    assert noise.dtype == np.float32
    assert noise.shape == (90, 110, 3)
    assert noise.min() >= 0
    assert noise.max() <= 255
    counts, _ = np.histogram(noise, bins=8, range=(0, 255))
    np.testing.assert_allclose(counts / noise.size, 1 / 8, atol=0.01)
    assert abs(np.corrcoef(noise.reshape(-1, 3).T) - np.eye(3)).max() < 0.05


def test_without_a_change_the_finer_content_image_is_returned():
    coarse, fine = random_picture(10, 14, 1), random_picture(20, 28, 2)
    np.testing.assert_array_equal(arrays.upsample_residual(coarse, coarse, fine), fine)


def test_a_change_is_carried_up_and_clipped():
    coarse, fine = random_picture(10, 14, 1), random_picture(20, 28, 2)
    lighter = arrays.upsample_residual(coarse + np.float32([40, 0, -40]), coarse, fine)
    assert lighter.dtype == np.float32
    expected = np.clip(fine + np.float32([40, 0, -40]), 0, 255)
    np.testing.assert_allclose(lighter, expected, atol=1e-3)


def test_a_change_stays_where_it_was_made():
    coarse, fine = np.full((10, 10, 3), 90, np.float32), np.full((20, 20, 3), 90, np.float32)
    changed = coarse.copy()
    changed[:3, :3] = 190
    carried = arrays.upsample_residual(changed, coarse, fine)
    assert carried[:4, :4].min() > 170
    np.testing.assert_array_equal(carried[12:], fine[12:])


@pytest.mark.parametrize(("apart", "gray"), [(0, True), (arrays.GRAY_TOLERANCE, True), (4, False)])
def test_an_image_without_color_is_gray(apart, gray):
    image = np.full((4, 5, 3), 90, np.float32)
    image[2, 3, 1] += apart
    assert arrays.is_gray(image) == gray
