"""Birth maps sample every pixel once, however long ago it was painted."""

import numpy as np
import pytest

from impasto.video import births, motion
from impasto.video.births import Birth
from impasto.video.motion import Correspondence
from tests.video import clips


def shifted(dx, height=24, width=32, confidence=1.0):
    flow = np.zeros((height, width, 2), np.float32)
    flow[..., 0] = dx
    return Correspondence(flow, np.full((height, width), confidence, np.float32))


def record(image):
    grid = np.zeros((1, image.shape[0] // 4, image.shape[1] // 4))
    photo = np.clip(image, 0, 255).astype(np.uint8)
    return Birth(image, photo, grid.astype(np.int32), grid.astype(np.float32))


def test_a_slow_pan_adds_up_without_rounding():
    state = births.first_births(0, 24, 32)
    for _ in range(40):
        state = births.advect(state, shifted(0.2))
    x = state.position[12, 8:16, 0]
    assert x == pytest.approx(np.arange(8, 16) + 8, abs=1e-3)
    assert (state.number == 0).all()


def test_sampling_from_birth_keeps_the_detail_that_chained_warps_lose():
    image = np.random.default_rng(1).uniform(0, 255, (24, 32, 3)).astype(np.float32)
    state, chained = births.first_births(0, 24, 32), image
    for _ in range(10):
        state = births.advect(state, shifted(0.5))
        chained = motion.warp(chained, shifted(0.5).flow, linear=True)
    sampled = births.sample_births(state, {0: record(image)}, chained)
    truth = image[4:20, 9:25]  # five pixels to the right
    assert np.abs(sampled[4:20, 4:20] - truth).max() < 1e-2
    assert np.abs(chained[4:20, 4:20] - truth).mean() > 20


def test_untracked_pixels_are_new_and_age_counts_from_there():
    found = shifted(0, confidence=1.0)
    found.confidence[:, :8] = 0
    state = births.advect(births.first_births(0, 24, 32), found)
    assert (state.age[:, :8] == 0).all()
    assert (state.age[:, 8:] == births.SETTLED + 1).all()
    state = births.born_now(state, 7, state.age == 0)
    assert (state.number[:, :8] == 7).all()
    assert (births.advect(state, shifted(0)).age[:, :8] == 1).all()


def test_small_births_are_dropped():
    state = births.first_births(0, 24, 32)
    where = np.zeros((24, 32), bool)
    where[0, :2] = True
    state = births.born_now(state, 1, where)
    image = np.zeros((24, 32, 3), np.float32)
    assert list(births.drop_small(state, {0: record(image), 1: record(image)})) == [0]


def test_registration_corrects_drift():
    frames = [frame.astype(np.float32) for frame in clips.pan(9, 72, 96, dx=1)]
    state = births.first_births(0, 72, 96)
    for _ in range(8):  # each step is wrong by a fifth of a pixel
        state = births.advect(state, shifted(1.2, 72, 96))
    truth = motion.grid(72, 96)[..., 0] + 8

    def error(made):
        return np.abs(made.position[..., 0] - truth)[10:-10, 10:-24].mean()

    still = np.zeros((72, 96), np.float32)
    corrected = births.register(state, {0: record(frames[0])}, frames[8], still)
    assert error(state) == pytest.approx(1.6, abs=0.01)
    assert error(corrected) < 1.2
    for _ in range(6):
        corrected = births.register(corrected, {0: record(frames[0])}, frames[8], still)
    assert error(corrected) < 0.2
