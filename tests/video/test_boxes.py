"""Boxes contain what is free, and do not overlap."""

import itertools

import hypothesis
import hypothesis.strategies as st
import numpy as np

from impasto.losses.tiles import Box
from impasto.video import boxes


@hypothesis.given(
    height=st.integers(32, 150),
    width=st.integers(32, 150),
    spots=st.lists(st.tuples(st.floats(0, 0.99), st.floats(0, 0.99)), max_size=5),
)
def test_boxes_contain_all_free_pixels_and_are_disjoint(height, width, spots):
    free = np.zeros((height, width), np.float32)
    for y, x in spots:
        free[int(y * height), int(x * width)] = 1
    covered = np.zeros((height, width), int)
    for box in boxes.find_boxes(free):
        covered[box.slices] += 1
        assert 0 <= box.top < box.bottom <= height
        assert 0 <= box.left < box.right <= width
        assert box.top % boxes.ALIGNMENT == box.left % boxes.ALIGNMENT == 0
    assert covered.max(initial=0) <= 1
    assert (covered[free > 0] == 1).all()
    assert bool(spots) or not covered.any()


def test_far_spots_have_boxes_of_their_own_and_scattered_ones_the_frame():
    free = np.zeros((160, 320), np.float32)
    free[20, 20] = free[140, 300] = 1
    found = boxes.find_boxes(free)
    assert len(found) == 2
    for box, (y, x) in itertools.product(found, [(20, 20), (140, 300)]):
        inside = box.top <= y < box.bottom and box.left <= x < box.right
        if inside:
            assert min(y - box.top, x - box.left) >= boxes.HALO // 2
    free[::20, ::20] = 1
    assert boxes.find_boxes(free) == [Box(0, 0, 160, 320)]
