"""Parts of shots, and which of their frames are painted."""

import dataclasses

from impasto.pipeline.video_events import VideoOptions
from impasto.video import parts
from impasto.video import survey as surveys
from impasto.video.parts import Schedule


def frame(held=False, damaged=False, share=0.9):
    return surveys.FrameSurvey(0, 1, share, held, damaged, 1.0, 9.0, 1.0, 0.0, False)


def schedule(frames, part_number=0, repeats=True, **options):
    chosen = VideoOptions(**options)
    surveyed = surveys.make_survey(tuple(frames), ())
    part = parts.parts_of(surveyed.shots[0], chosen.keys)[part_number]
    return Schedule(surveyed, part, chosen, repeats)


def kinds(made):
    return [made.kind(n) for n in range(made.part.first, made.part.last + 1)]


def test_a_key_starts_a_part():
    surveyed = surveys.make_survey((frame(),) * 12, (5,))
    first, second = surveyed.shots
    assert [(p.first, p.last) for p in parts.parts_of(first, [0, 3])] == [(0, 2), (3, 4)]
    assert [p.next_key for p in parts.parts_of(first, [3])] == [3, None]
    assert [(p.first, p.last) for p in parts.parts_of(second, [9, 3])] == [(5, 8), (9, 11)]
    groups = parts.group_parts(surveyed, [9])
    assert [[p.first for p in group] for group in groups] == [[0], [5], [9]]


def test_shots_that_dissolve_into_each_other_depend_on_each_other():
    surveyed = surveys.make_survey((frame(),) * 12, (5,))
    surveyed = dataclasses.replace(surveyed, dissolves=((3, 6),))
    groups = parts.group_parts(surveyed, [8])
    assert [[p.first for p in group] for group in groups] == [[0, 5], [8]]


def test_kinds_of_frames():
    frames = [frame(), frame(), frame(held=True), frame(), frame(damaged=True), frame(), frame()]
    assert kinds(schedule(frames)) == [
        *("first", "painted", "held", "painted", "bridged", "painted", "painted")
    ]
    assert kinds(schedule(frames, repeats=False))[2] == "painted"
    assert kinds(schedule(frames, every=2)) == [
        *("first", "between", "held", "painted", "bridged", "between", "painted")
    ]
    assert kinds(schedule(frames, hold=3)) == [
        *("first", "held", "held", "painted", "bridged", "held", "painted")
    ]


def test_kinds_of_frames_from_a_key_on():
    frames = [frame(), frame(), frame(held=True), frame(), frame()]
    assert kinds(schedule(frames, 1, keys={2: "mine.png"})) == ["key", "painted", "painted"]


def test_a_shot_that_cannot_be_decoded_shows_nothing():
    made = schedule([frame(damaged=True)] * 2)
    assert made.shown == made.painted == []
    assert kinds(made) == ["bridged", "bridged"]
