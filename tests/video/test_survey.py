"""Cuts, held frames, flashes and dissolves of clips that are made here."""

from fractions import Fraction

import numpy as np
import pytest

from impasto.images.formats.transfer_functions import SRGB
from impasto.video import survey
from impasto.video.reader import ClipFrame, ClipInfo
from tests.video import clips

INFO = ClipInfo("", 96, 72, Fraction(1, 24), Fraction(24), 0, False, SRGB, 0, False, 0)


class Frame(ClipFrame):
    """A frame of an array."""

    def __init__(self, number, image, damaged=False):
        super().__init__(INFO, number, number, 1, None if damaged else "decoded", damaged)
        object.__setattr__(self, "image", image)

    @property
    def encoded(self):
        return (self.image / 255).astype(np.float32)

    alpha = None


def surveyed(frames, cuts=None, damaged=()):
    numbered = [Frame(n, frame, n in damaged) for n, frame in enumerate(frames)]
    return survey.survey_clip(numbered, cuts)


@pytest.fixture(scope="module")
def first():
    return clips.pan(12, 72, 96)


@pytest.fixture(scope="module")
def second():
    return clips.pan(12, 72, 96, texture=clips.OTHER[::-1])


def ranges(made):
    return [(shot.first, shot.last) for shot in made.shots]


def test_cuts_are_found_and_a_pan_has_none(first, second):
    made = surveyed([*first[:5], *second[:6], *first[5:8]])
    assert ranges(made) == [(0, 4), (5, 10), (11, 13)]
    assert made.dissolves == ()


def test_cuts_can_be_given(first):
    assert ranges(surveyed(first, cuts=(4, 9))) == [(0, 3), (4, 8), (9, 11)]
    assert ranges(surveyed(first, cuts=())) == [(0, 11)]


def test_a_flash_is_no_cut(first):
    flash = [*first[:5], np.full_like(first[0], 255), *first[6:]]
    assert ranges(surveyed(flash)) == [(0, 11)]


def test_a_dissolve_is_told_apart(first, second):
    blend = [first[4] * (1 - k / 9) + second[0] * k / 9 for k in range(1, 9)]
    made = surveyed([*first[:4], *blend, *second[1:8]])
    ((begin, end),) = made.dissolves
    assert 3 <= begin <= 6
    assert 9 <= end <= 12
    (_, start), (after, _) = ranges(made)
    assert begin <= start < after <= end


def test_held_and_damaged_frames(first):
    made = surveyed([first[0], first[0], first[1], first[2]], damaged={3})
    assert [frame.held for frame in made.frames] == [False, True, False, False]
    assert [made.shown(n) for n in range(4)] == [True, False, True, False]
    assert ranges(made) == [(0, 3)]
