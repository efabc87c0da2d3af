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
    state = births.first_births(0, 48, 64)
    where = np.zeros((48, 64), bool)
    where[0, :2] = True
    state = births.born_now(state, 1, where)
    image = np.zeros((48, 64, 3), np.float32)
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
    corrected = births.register(state, {0: record(frames[0])}, frames[8], still).births
    assert error(state) == pytest.approx(1.6, abs=0.01)
    assert error(corrected) < 1.2
    for _ in range(6):
        corrected = births.register(corrected, {0: record(frames[0])}, frames[8], still).births
    assert error(corrected) < 0.2


def test_what_appears_again_is_sampled_from_the_frame_that_shows_it():
    frames = [frame.astype(np.float32) for frame in clips.pan(5, 72, 96, dx=1)]
    found = shifted(1, 72, 96)
    state = births.first_births(0, 72, 96)
    for _ in range(4):
        state = births.advect(state, found)
    state.age[20:40, 20:50] = 0  # hidden in the frame before
    state.number[20:40, 20:50] = 3
    still = np.zeros((72, 96), np.float32)
    registered = births.register(state, {0: record(frames[0])}, frames[4], still)
    hidden = np.zeros((72, 96), bool)
    hidden[20:40, 20:50] = True
    assert registered.recovered[hidden].mean() > 0.9
    assert not registered.recovered[~hidden].any()
    again = registered.recovered
    truth = (motion.grid(72, 96) + np.array([4, 0]))[again]
    assert (registered.births.number[again] == 0).all()
    assert np.abs(registered.births.position[again] - truth).mean() < 0.5
    assert (registered.births.age[again] == births.SETTLED).all()


def test_what_no_frame_of_birth_shows_is_not_recovered():
    first, other = clips.pan(1, 72, 96), np.random.default_rng(3).uniform(0, 255, (72, 96, 3))
    state = births.first_births(0, 72, 96)
    state.age[20:40, 20:50] = 0
    now = first[0].astype(np.float32)
    now[20:40, 20:50] = other[20:40, 20:50]
    still = np.zeros((72, 96), np.float32)
    before = {0: record(first[0].astype(np.float32))}
    assert births.register(state, before, now, still).recovered.sum() < 20


def test_a_filled_pixel_stays_so_until_it_is_painted():
    everywhere, filled = np.ones((24, 32), bool), np.zeros((24, 32), bool)
    filled[:, :4] = True
    entered = filled & (np.arange(32) < 2)
    first = births.first_births(0, 24, 32)
    state = births.painted_now(first, 1, ~everywhere, filled, entered)
    assert (state.number == filled).all()
    state = births.advect(state, shifted(0))
    assert (state.age[filled & ~entered] == births.FILLED).all()
    assert (state.age[entered] == births.ENTERED).all()
    state = births.painted_now(state, 2, filled, ~everywhere, ~everywhere)
    assert (state.age[filled] == 0).all()
    assert (state.number[filled] == 2).all()
    assert (births.advect(state, shifted(0)).age >= births.SETTLED).all()


def test_what_a_slow_pan_brings_in_is_lost():
    state = births.first_births(0, 24, 32)
    for _ in range(10):
        state = births.advect(state, shifted(0.2))
    lost = state.age == 0
    assert lost[:, -1].all()  # two pixels: each is lost when half of it is outside
    assert not lost[:, :-3].any()
    assert (births.find_entered(state, shifted(0.2)) == lost).all()


def test_what_was_hidden_did_not_enter():
    hidden = shifted(0)
    hidden.confidence[4:10, 4:10] = 0
    state = births.advect(births.first_births(0, 24, 32), hidden)
    assert (state.age == 0).sum() == 36
    assert not births.find_entered(state, hidden).any()


def test_what_appears_again_is_found_though_positions_beside_it_are_far_off():
    frames = [frame.astype(np.float32) for frame in clips.pan(1, 72, 96)]
    state = births.first_births(0, 72, 96)
    wrong = state.position + np.array([24, 0], np.float32)
    state = births.BirthMap(state.number, wrong, state.age.copy())
    state.age[20:52, 30:70] = 0
    still = np.zeros((72, 96), np.float32)
    registered = births.register(state, {0: record(frames[0])}, frames[0], still)
    again = registered.recovered[20:52, 30:70]
    assert again.mean() > 0.95
    error = registered.births.position - motion.grid(72, 96)
    assert np.abs(error[registered.recovered]).mean() < 0.2


def test_no_more_births_are_kept_than_memory_allows():
    state = births.first_births(0, 24, 32)
    image = np.zeros((24, 32, 3), np.float32)
    records = {number: record(image) for number in range(24)}
    for number in range(1, 24):
        where = np.zeros((24, 32), bool)
        where[number, : number + 8] = True
        state = births.born_now(state, number, where)
    kept = births.drop_small(state, records)
    assert list(kept) == [0, *range(24 - births.MAX_BIRTHS + 1, 24)]
