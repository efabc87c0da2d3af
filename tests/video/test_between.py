"""Frames between two painted ones follow the motion, without doubled strokes."""

import numpy as np

from impasto.video import between
from impasto.video.between import Side
from tests.video import clips


def test_a_frame_between_is_that_of_the_moved_painting():
    content = [frame.astype(np.float32) for frame in clips.pan(5, 72, 96)]
    painted = [255 - frame for frame in content]  # a painting that sticks to things
    made = between.interpolate(
        content[2], Side(painted[0], content[0]), Side(painted[4], content[4]), 0.5
    )
    error = np.abs(made - painted[2])[6:-6, 10:-10].mean()
    blended = (painted[0] + painted[4]) / 2
    assert error < 3
    assert error < np.abs(blended - painted[2])[6:-6, 10:-10].mean() / 5
