"""Colors of style images are matched, and content colors are kept."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from impasto.images import colors, samples
from tests import tiny


@pytest.fixture(scope="module")
def content():
    return samples.load_content("coffee")[::4, ::4]


def moments(image):
    pixels = image.reshape(-1, 3).astype(np.float64)
    return pixels.mean(0), np.cov(pixels.T, ddof=0)


def muted(seed):
    """Return an image without extreme colors, so that none is clipped."""
    return (100 + tiny.random_picture(9, 12, seed) / 8).astype(np.float32)


@given(st.integers(0, 2**31), st.integers(0, 2**31))
@settings(max_examples=25, deadline=None)
def test_matched_style_images_have_the_mean_and_covariance_of_the_content_image(first, second):
    style, content = muted(first), muted(second)
    matched = colors.match_colors(style, content)
    assert matched.dtype == np.float32
    for expected, received in zip(moments(content), moments(matched), strict=True):
        np.testing.assert_allclose(received, expected, rtol=1e-3, atol=0.05)


def test_masks_choose_which_colors_are_matched():
    style, content = muted(1), muted(2)
    mask = np.zeros((9, 12), np.float32)
    mask[:, :6] = 1
    matched = colors.match_colors(style, content, mask, mask)
    for expected, received in zip(moments(content[:, :6]), moments(matched[:, :6]), strict=True):
        np.testing.assert_allclose(received, expected, rtol=1e-3, atol=0.05)


def test_a_style_image_of_one_color_can_be_matched(content):
    plain = np.full((9, 12, 3), 77, np.float32)
    matched = colors.match_colors(plain, content)
    np.testing.assert_allclose(matched, content.mean((0, 1)) + 0 * plain, atol=0.01)


def test_the_colors_of_an_image_over_its_own_lightness_are_the_image(content):
    again = colors.with_content_colors(content, content)
    np.testing.assert_allclose(again, content, atol=0.05)


def test_lightness_comes_from_one_image_and_color_from_the_other(content):
    from skimage import color

    painted = content[::-1]
    lab, own, other = (
        color.rgb2lab(each / 255.0)
        for each in (colors.with_content_colors(painted, content), painted, content)
    )
    inside = np.abs(lab[..., 1:] - other[..., 1:]).max(axis=-1) < 0.5  # not clipped to sRGB
    assert inside.mean() > 0.6
    np.testing.assert_allclose(lab[inside][:, 0], own[inside][:, 0], atol=0.5)


def test_gray_has_the_lightness_and_no_color(content):
    made = colors.gray_from_lightness(colors.lightness(content))
    assert np.ptp(made, axis=-1).max() < 0.05
    np.testing.assert_allclose(colors.lightness(made), colors.lightness(content), atol=0.02)


def test_the_lightness_of_a_style_image_is_matched_in_mean_and_deviation(content):
    matched = colors.lightness(colors.match_lightness(muted(3), content * 0.5 + 60))
    expected = colors.lightness(content * 0.5 + 60)
    assert matched.mean() == pytest.approx(expected.mean(), rel=0.02)
    assert matched.std() == pytest.approx(expected.std(), rel=0.05)


@given(st.integers(0, 2**16))
def test_color_transport_gives_another_covariance_and_is_symmetric(seed):
    random = np.random.default_rng(seed)
    own, target = (
        np.cov(random.normal(0, 40, (3, 3)) @ random.normal(size=(3, 200)), ddof=0) + 4 * np.eye(3)
        for _ in range(2)
    )
    by = colors.color_transport(own, target)
    np.testing.assert_allclose(by @ own @ by.T, target, rtol=1e-4, atol=1e-2)
    np.testing.assert_allclose(by, by.T, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(colors.color_transport(own, own), np.eye(3), atol=1e-6)


def test_color_moments_are_weighted_by_the_mask():
    random = np.random.default_rng(1)
    image = random.uniform(0, 255, (9, 7, 3)).astype(np.float32)
    mask = random.random((9, 7)).astype(np.float32)
    moments = colors.color_moments(image, mask)
    pixels, weights = image.reshape(-1, 3).astype(np.float64), mask.ravel().astype(np.float64)
    np.testing.assert_allclose(moments.mean, np.average(pixels, axis=0, weights=weights))
    covariance = np.cov(pixels.T, ddof=0, aweights=weights)
    np.testing.assert_allclose(moments.covariance, covariance, rtol=1e-6)
