"""Positions in another frame of a clip, forward and backward in time."""

import numpy as np
import pytest

from impasto.pipeline.video_events import VideoOptions
from impasto.recipe.settings import Recipe
from impasto.video import clip_job, motion, reader, tracking
from impasto.video.clip_job import PreparedClip, VideoJob
from tests.video import clips


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """A camera that moves by two pixels per frame."""
    path = tmp_path_factory.mktemp("tracking") / "pan.mp4"
    info = reader.probe(clips.write(path, clips.pan(8)))
    job = VideoJob(str(path), None, str(path.with_name("out.mp4")), VideoOptions())
    return PreparedClip(job, info, Recipe(), info.size, 0, None, 0.0)


def test_frames_in_both_orders(clip, monkeypatch):
    """Backward, a part of the clip is in memory at a time."""
    forward = list(tracking.iter_contents(clip, 1, 6, None))
    monkeypatch.setattr(tracking, "REVERSED_FRAMES", 4)
    backward = list(tracking.iter_reversed(clip, 1, 6, None))
    assert [each.number for each in forward] == [1, 2, 3, 4, 5, 6]
    assert [each.number for each in backward] == [6, 5, 4, 3, 2, 1]
    for one, other in zip(forward, reversed(backward), strict=True):
        assert np.array_equal(one.image, other.image)


@pytest.mark.parametrize("backward", [False, True])
def test_positions_in_the_first_frame_given(clip, backward):
    order = tracking.iter_reversed if backward else tracking.iter_contents
    tracked = list(tracking.track(order(clip, 0, 7, None)))
    last = tracked[-1]
    offset = (last.births.position - motion.grid(48, 64))[12:-12, 20:-20]
    assert np.abs(offset[..., 0] - (14 if not backward else -14)).mean() < 0.3
    assert np.abs(offset[..., 1]).mean() < 0.3
    assert len(tracked) == 8
    assert last.visible[12:-12, 20:-20].mean() > 0.9
    entered = last.visible[:, -10:] if not backward else last.visible[:, :10]
    assert entered.mean() < 0.2


def test_a_survey_is_stored_once(clip):
    clip.project.folder.mkdir()
    assert clip_job.survey_of(clip) == clip_job.read_survey(clip)
    assert (clip.project.folder / "survey.json").exists()
