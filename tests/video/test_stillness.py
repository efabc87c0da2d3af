"""Still pixels are found while the camera stands, in spite of noise, and not in a slow pan."""

import numpy as np

from impasto.video import motion, stillness
from tests.video import clips


def still_between(before, now):
    noise = np.random.default_rng(3).normal(0, 1.5, (2, *now.shape))
    before, now = (
        np.clip(a + b, 0, 255).astype(np.float32) for a, b in zip((before, now), noise, strict=True)
    )
    flow = motion.correspond(now, before).flow
    return stillness.find_still(now, before, before, flow)


def test_the_ground_is_still_and_what_crosses_it_is_not():
    frames = clips.crossing(4, 72, 96)
    still = still_between(frames[2], frames[3])
    assert still[:, 60:].mean() > 0.9
    assert still[36, 20] == 0


def test_a_pan_of_a_fifth_of_a_pixel_is_not_still():
    large = clips.pan(1, 360, 480)[0].astype(np.float32)
    small = [
        np.stack([large[5 * np.arange(60)][:, 5 * np.arange(80) + n] for n in (0, 1)][k : k + 1])[0]
        for k in (0, 1)
    ]
    blurred = [motion.blur(image, 1.0) for image in small]
    flow = motion.correspond(blurred[1], blurred[0]).flow
    assert not stillness.camera_stands(blurred[1], flow)
    same = motion.correspond(blurred[0], blurred[0]).flow
    assert stillness.camera_stands(blurred[0], same)
