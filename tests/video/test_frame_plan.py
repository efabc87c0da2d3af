"""Which pixels of a frame are painted: large areas only."""

import numpy as np
import pytest

from impasto.video import frame_plan

NONE = np.zeros((40, 60), bool)


def area(rows, columns, freedom=1.0):
    free = np.zeros(NONE.shape, np.float32)
    free[rows, columns] = freedom
    return free


def test_a_large_area_is_painted_as_far_as_it_is_free():
    free = area(slice(10, 20), slice(10, 30), 0.6)
    assert (frame_plan.large_areas(free, NONE) == free).all()


@pytest.mark.parametrize("side", [1, 3, frame_plan.LARGE_AREA - 1])
def test_a_narrow_area_is_not_painted(side):
    free = area(slice(10, 10 + side), slice(5, 50))
    assert not frame_plan.large_areas(free, NONE).any()


def test_what_enters_is_painted_though_single_pixels_of_it_are_kept():
    free = area(slice(0, 40), slice(55, 60))
    free[::3, 57] = 0
    entered = free > 0
    assert not frame_plan.large_areas(free, NONE).any()
    assert (frame_plan.large_areas(free, entered) == free).all()


def test_only_what_has_room_for_coarse_strokes_is_painted_at_a_smaller_size():
    thin = area(slice(10, 18), slice(5, 50))
    wide = area(slice(4, 36), slice(5, 50))
    assert frame_plan.coarse_factors(thin) == []
    assert frame_plan.coarse_factors(wide) == [4, 2]


def test_the_filter_takes_what_is_known_of_each_pixel():
    sampled, before = np.full((1, 3, 3), 10, np.float32), np.full((1, 3, 3), 20, np.float32)
    lost, recovered = np.array([[True, False, False]]), np.array([[False, True, False]])
    mixed = frame_plan.filter_in_time(sampled, before, lost, recovered)
    share = frame_plan.SAMPLED_SHARE
    assert mixed[0, :, 0] == pytest.approx([20, 10, 10 * share + 20 * (1 - share)])
