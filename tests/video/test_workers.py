"""Tasks for workers, and events of the frames that they have written."""

import os

import numpy as np
import pytest

from impasto.images.load import Region
from impasto.pipeline.video_events import FramePainted, ShotFinished, ShotStarted, VideoOptions
from impasto.recipe.settings import Recipe
from impasto.video import reader, survey, workers
from impasto.video.clip_job import PreparedClip, VideoJob
from tests.video import clips


@pytest.fixture
def clip(tmp_path):
    """A clip of two shots, the second one with a key frame; nothing is painted."""
    frames = [*clips.pan(3), *clips.pan(4, texture=clips.OTHER[::-1])]
    info = reader.probe(clips.write(tmp_path / "a.mp4", frames))
    options = VideoOptions(keys={5: np.zeros((48, 64, 3), np.uint8)})
    job = VideoJob(info.path, None, str(tmp_path / "out.mp4"), options)
    made = PreparedClip(job, info, Recipe(), info.size, 0, None, 0.0)
    made.project.folder.mkdir()
    return made


def test_frames_are_reported_as_they_appear(clip):
    surveyed = survey.survey_clip(clip.frames())
    gray = np.full((48, 64, 3), 128, np.float32)
    clip.project.write_frame(0, gray)
    progress = workers._Progress(clip, surveyed)
    assert list(progress.events()) == []
    for number in (5, 6, 1):
        clip.project.write_frame(number, gray)
    events = list(progress.events())
    started = [event for event in events if isinstance(event, ShotStarted)]
    assert [(event.shot, event.painted) for event in started] == [(1, 1), (2, 0)]
    frames = [event for event in events if isinstance(event, FramePainted)]
    assert [(e.number, e.kind, e.done, e.frames) for e in frames] == [
        (1, "painted", 2, 7),
        (5, "key", 3, 7),
        (6, "painted", 4, 7),
    ]
    assert np.array_equal(frames[0].pixels, gray)
    assert not any(isinstance(event, ShotFinished) for event in events)
    clip.project.write_frame(2, gray)
    assert [type(event) for event in progress.events()] == [FramePainted, ShotFinished]
    assert list(progress.events()) == []


def test_paths_do_not_depend_on_the_working_folder():
    mask = np.ones((2, 2))
    regions = [Region("m.png", "s.png"), ((3, "m.png"), "s.png"), (mask, "s.png")]
    options = VideoOptions(keys={2: "key.png"})
    job = VideoJob("a.mp4", ["s.png"], "b.mp4", options, regions, (4, "keep.png"))
    made = workers._absolute(job)
    here = os.path.abspath
    assert made.regions[0] == (here("m.png"), here("s.png"), None)
    assert made.regions[1] == ((3, here("m.png")), here("s.png"))
    assert made.regions[2][0] is mask
    assert made.keep == (4, here("keep.png"))
    assert (made.clip, made.style) == (here("a.mp4"), (here("s.png"),))
    assert made.options.keys == {2: here("key.png")}
