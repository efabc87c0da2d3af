"""Masks: reading, partition, and the weights of a layer's positions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from impasto.images import masks


def gray(values):
    return np.repeat(np.asarray(values, np.float32)[..., None], 3, axis=2)


def half(height=64, width=64):
    mask = np.zeros((height, width), np.float32)
    mask[:, : width // 2] = 1
    return mask


def test_white_is_one_and_black_is_nothing():
    mask = masks.mask_from_image(gray([[0, 127.5, 255]])).mask
    assert mask.dtype == np.float32
    np.testing.assert_allclose(mask, [[0, 0.5, 1]])


@pytest.mark.parametrize("most", [1, 3, 15, 255 / 65535])
def test_a_mask_in_another_range_is_scaled_with_a_note(most):
    """Tools that segment write 0 and 1; so do 16 bits that hold no more than 8."""
    mask, notes = masks.mask_from_image(gray([[0, most / 2, most]]))
    np.testing.assert_allclose(mask, [[0, 0.5, 1]])
    assert notes == (f"its brightest value is {most:.3g} of 255, and is used as white",)


@pytest.mark.parametrize("most", [16, 128, 255])
def test_a_gray_mask_stays_gray(most):
    mask, notes = masks.mask_from_image(gray(np.full((3, 4), most)))
    np.testing.assert_allclose(mask, most / 255)
    assert notes == ()


@pytest.mark.parametrize(
    ("mask", "image", "noted"),
    [
        ((100, 150), (1000, 1500), False),
        ((67, 100), (1000, 1500), False),
        ((3, 4), (1000, 1500), False),
        ((100, 150), (1500, 1000), True),
        ((100, 100), (1000, 1500), True),
        ((1000, 1500), (1000, 1600), True),
    ],
)
def test_a_mask_of_another_aspect_ratio_gives_a_note(mask, image, noted):
    notes = masks.aspect_note(np.ones(mask, np.float32), *image)
    assert bool(notes) == noted
    if noted:
        assert f"{mask[1]} x {mask[0]} px is stretched over" in notes[0]
        assert f"{image[1]} x {image[0]} px" in notes[0]


def test_a_mask_of_nothing_reaches_nothing():
    assert not masks.covers_a_position(np.zeros((64, 64), np.float32), 4, 4)
    assert masks.covers_a_position(np.ones((64, 64), np.float32), 4, 4)


def test_the_small_differences_that_jpeg_makes_are_no_colors():
    image = gray(np.full((4, 4), 200.0))
    image[..., 0] += 9
    assert masks.mask_from_image(image).mask.shape == (4, 4)


def test_a_colored_image_and_a_black_one_are_rejected():
    red = np.zeros((4, 4, 3), np.float32)
    red[0, 0, 0] = 255
    with pytest.raises(ValueError, match="colors"):
        masks.mask_from_image(red)
    with pytest.raises(ValueError, match="black"):
        masks.mask_from_image(np.zeros((4, 4, 3), np.float32))


def test_resizing_stays_in_range_and_a_full_mask_stays_full():
    small = masks.resize_mask(half(), 13, 9)
    assert small.shape == (13, 9)
    assert small.min() >= 0
    assert small.max() <= 1
    np.testing.assert_allclose(masks.resize_mask(np.ones((8, 8), np.float32), 31, 17), 1, atol=1e-6)


@given(st.integers(0, 2**32 - 1), st.integers(1, 4))
@settings(max_examples=30, deadline=None)
def test_what_is_shared_out_and_what_is_left_are_everything_once(seed, count):
    random = np.random.default_rng(seed)
    given_masks = [random.uniform(0, 1, (5, 6)).astype(np.float32) for _ in range(count)]
    shared, rest = masks.partition_masks(given_masks)
    np.testing.assert_allclose(np.sum(shared, axis=0) + rest, 1, atol=1e-5)
    for mask, mine in zip(given_masks, shared, strict=True):
        assert np.all(mine <= mask + 1e-6)


@pytest.mark.parametrize(("height", "width", "field"), [(64, 64, 3), (16, 16, 24), (4, 4, 132)])
def test_a_mask_of_everything_gives_every_position_its_whole_weight(height, width, field):
    weights = masks.layer_weights(np.ones((64, 64), np.float32), height, width, field)
    assert weights.shape == (height, width, 1)
    np.testing.assert_allclose(weights, 1, atol=1e-5)


def test_positions_that_see_over_a_hard_edge_lose_weight_on_both_sides():
    inside, outside = (masks.layer_weights(m, 16, 16, 24)[..., 0] for m in (half(), 1 - half()))
    assert inside[8, 0] == pytest.approx(1, abs=1e-3)
    assert inside[8, 7] < 0.5
    assert np.all(np.diff(inside[8, :8]) <= 1e-6)
    np.testing.assert_array_equal(inside[:, 8:], 0)
    np.testing.assert_allclose(outside, inside[:, ::-1], atol=1e-5)


def test_an_edge_softer_than_the_receptive_field_is_unchanged():
    ramp = np.tile(np.linspace(0, 1, 256, dtype=np.float32), (256, 1))
    weights = masks.layer_weights(ramp, 64, 64, 24)[..., 0]
    expected = ramp.reshape(64, 4, 64, 4).mean(axis=(1, 3))
    np.testing.assert_allclose(weights[8:-8, 8:-8], expected[8:-8, 8:-8], atol=0.03)


def test_an_edge_between_positions_costs_the_one_that_lies_across_its_weight():
    mask = np.zeros((512, 512), np.float32)
    mask[:, :248] = 1  # in the middle of the sixteenth position of 16 px
    weights = masks.layer_weights(mask, 32, 32, 132)[16, :, 0]
    assert weights[15] < 0.1
    assert weights[0] == pytest.approx(1, abs=1e-3)
    np.testing.assert_array_equal(weights[16:], 0)


@pytest.mark.parametrize("radius", [9, 24, 40])
@pytest.mark.parametrize("shift", [0, 5])
def test_of_a_place_too_small_for_a_layer_its_middle_counts_most(radius, shift):
    rows, columns = np.mgrid[:256, :256] - 128 - shift
    disc = (np.hypot(rows, columns) < radius).astype(np.float32)
    weights = masks.layer_weights(disc, 16, 16, 132)[..., 0]
    assert weights.max() > 0.2
    center = np.argwhere(weights == weights.max())[0] * 16 + 8
    assert np.hypot(*(center - 128 - shift)) < 16
    np.testing.assert_array_equal(weights[:4], 0)


@pytest.mark.parametrize("place", [np.s_[-9:], np.s_[:, -3:], np.s_[20:22, 20:22]])
def test_a_place_between_the_positions_of_a_layer_is_not_lost(place):
    mask = np.zeros((73, 97), np.float32)
    mask[place] = 1
    weights = masks.layer_weights(mask, 4, 6, 132)
    assert weights.max() > 0
    assert masks.layer_weights(np.zeros_like(mask), 4, 6, 132).max() == 0


@given(st.integers(16, 70), st.integers(16, 70), st.sampled_from([1, 2, 4, 8, 16]))
@settings(max_examples=30, deadline=None)
def test_positions_lie_where_pooling_puts_them(height, width, apart):
    """An odd last row or column is left out; positions stay whole strides apart."""
    mask = np.zeros((height, width), np.float32)
    mask[: height // apart * apart, apart * (width // apart - 1) : width // apart * apart] = 1
    weights = masks.layer_weights(mask, height // apart, width // apart, 1)[..., 0]
    assert np.all(weights[:, -1] > 0)
    assert not weights[:, :-1].any()


def test_a_mask_reaches_a_layer_if_a_position_lies_mostly_in_it():
    dot = np.zeros((64, 64), np.float32)
    dot[:3, :3] = 0.5
    assert masks.covers_a_position(dot, 64, 64)
    assert not masks.covers_a_position(dot, 4, 4)
    assert masks.covers_a_position(half() * np.float32(0.3), 4, 4)


def test_a_white_cut_out_is_a_mask_by_its_transparency():
    alpha = np.array([[0, 0.5, 1, 1]], np.float32)
    white = np.full((1, 4, 3), 255, np.float32)
    mask, notes = masks.mask_from_image(white, alpha)
    np.testing.assert_array_equal(mask, alpha)
    assert notes == ()
    mask, _ = masks.mask_from_image(gray([[255, 255, 127.5, 0]]), alpha)
    np.testing.assert_allclose(mask, [[0, 0.5, 0.5, 0]])


def test_of_a_cut_out_in_colors_the_transparency_counts_and_is_noted():
    alpha = np.array([[0, 0.5, 1, 1]], np.float32)
    red = np.tile(np.float32([255, 0, 0]), (1, 4, 1))
    mask, notes = masks.mask_from_image(red, alpha)
    np.testing.assert_array_equal(mask, alpha)
    assert "its transparency is used" in notes[0]
    with pytest.raises(ValueError, match="black everywhere"):
        masks.mask_from_image(np.zeros((1, 4, 3), np.float32), alpha)
