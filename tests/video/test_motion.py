"""Flow, warping and confidence, against clips whose motion is known."""

import numpy as np
import pytest

from impasto.video import motion
from tests.video import clips


@pytest.fixture(scope="module")
def panned():
    before, _, now = clips.pan(3, 72, 96, dx=2)
    return now.astype(np.float32), before.astype(np.float32)


def test_flow_of_a_pan(panned):
    found = motion.correspond(*panned)
    inner = found.flow[8:-8, 8:-8]
    assert np.median(inner[..., 0]) == pytest.approx(4, abs=0.1)
    assert np.median(inner[..., 1]) == pytest.approx(0, abs=0.1)


def test_a_warped_image_is_the_other_one(panned):
    now, before = panned
    moved = motion.warp(before, motion.correspond(*panned).flow)
    assert np.abs(moved - now)[8:-8, 8:-12].mean() < np.abs(before - now).mean() / 4


def test_a_shift_by_whole_pixels_is_exact():
    image = np.random.default_rng(0).uniform(0, 255, (12, 16, 3)).astype(np.float32)
    flow = np.zeros((12, 16, 2), np.float32)
    flow[..., 0] = 2
    assert np.array_equal(motion.warp(image, flow)[:, :14], image[:, 2:])


def test_what_enters_or_is_uncovered_has_no_confidence(panned):
    found = motion.correspond(*panned)
    assert found.confidence[:, -3:].max() == 0  # came in at the right
    assert (found.confidence[8:-8, 8:-12] > 0.5).mean() > 0.9


def test_a_flash_keeps_the_confidence(panned):
    now, before = panned
    bright = np.clip(now * 0.6 + 90, 0, 255).astype(np.float32)
    share = (motion.correspond(bright, before).confidence > 0.5).mean()
    assert share > 0.7


def test_another_scene_has_none(panned):
    other = clips.pan(1, 72, 96, texture=clips.OTHER[::-1])[0].astype(np.float32)
    assert (motion.correspond(other, panned[1]).confidence > 0.5).mean() < 0.15


def test_brightness_is_matched_where_most_pixels_correspond(panned):
    _, before = panned
    where = np.ones(before.shape[:2], bool)
    changed = before * np.float32(1.2) - np.float32(20)
    assert motion.match_brightness(before, changed, where) == pytest.approx(changed, abs=6)
    assert motion.match_brightness(before, changed, ~where) is before
