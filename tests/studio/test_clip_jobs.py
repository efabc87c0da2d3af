"""The progress of a clip, its settings as options, and the errors of its files."""

import importlib.util

import pytest

from impasto.errors import ImpastoError, SettingError
from impasto.pipeline.video_events import ClipSurveyed, FramePainted, ShotStarted
from impasto.studio import clips, schema
from impasto.studio.clip_jobs import ClipProgress, write_frame
from impasto.studio.store import Store, default_clip
from impasto.video.forecast import LATER_SHARE


def frame(number, kind, seconds, frames=10):
    return FramePainted(number, number + 1, frames, kind, seconds, 1.0, "", None)


def test_the_time_left_follows_from_the_frames_so_far():
    progress = ClipProgress()
    assert progress.left is None
    progress.note(ClipSurveyed(10, 2, (5,), 0.0))
    progress.note(ShotStarted(1, 2, 0, 4, 0))
    progress.note(frame(0, "first", 8.0))
    assert progress.left == pytest.approx(8 + 8 * LATER_SHARE * 8)  # as a later frame is expected
    for number in range(1, 5):
        progress.note(frame(number, "painted", 2.0))
    assert progress.left == pytest.approx(8 + 4 * 2)
    assert progress.done == pytest.approx(0.5)
    progress.note(ShotStarted(2, 2, 5, 9, 0))
    progress.part = 0.5
    assert progress.left == pytest.approx(4 + 4 * 2)
    for number in range(5, 10):
        progress.note(frame(number, "first" if number == 5 else "painted", 2.0))
    assert (progress.left, progress.done) == (0, 1)


def test_a_resumed_clip_is_not_at_its_start():
    progress = ClipProgress(full=8.0)
    progress.note(ClipSurveyed(10, 1, (), 0.0))
    progress.note(ShotStarted(1, 1, 0, 9, 6))
    assert progress.left == pytest.approx(4 * LATER_SHARE * 8)
    assert 0.5 < progress.done < 1


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"every": "often"}, "every is 'often': expected auto, or 1 to 16 frames"),
        ({"every": "0"}, "every is 0"),
        ({"hold": 20}, "hold is 20"),
        ({"first": 5, "last": 4}, "the clip ends at frame 4, before its start 5"),
    ],
)
def test_settings_of_a_clip_out_of_range(changes, reason):
    with pytest.raises(SettingError, match=reason):
        clips.options({**default_clip(), **changes})


def test_a_file_is_a_clip_by_its_name(tmp_path):
    path = tmp_path / "upload"
    path.write_bytes(b"")
    names = ("a.mp4", "A.MOV", "b.webm", "c.mkv", "a.gif", "a.jpg", "mp4", "a.avif")
    assert [clips.is_clip(path, name) for name in names] == [*[True] * 4, *[False] * 4]


def test_without_the_extra_one_line_says_what_to_install(monkeypatch, tmp_path, one_line):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name == "av" else find(name, *more)
    )
    with pytest.raises(ImpastoError) as caught:
        clips.add_clip(Store(tmp_path), tmp_path / "upload", "a.mp4")
    assert "av not installed: for videos, run pip install" in one_line(caught)
    assert schema.static_info()["video"] == str(caught.value)


def test_frames_that_are_missing_are_those_before(tmp_path):
    for number in (0, 3):
        clips.frame_path(tmp_path, number).write_bytes(b"")
    (tmp_path / ".impasto-000009.jpg").write_bytes(b"")
    assert clips.written_numbers(tmp_path) == [0, 3]
    assert clips.nearest_frame(tmp_path, 2).name == "000000.jpg"
    assert clips.nearest_frame(tmp_path, 9).name == "000003.jpg"


def test_a_frame_beyond_the_end_gives_one_line(tmp_path, one_line):
    moving = pytest.importorskip("tests.video.clips")
    path = moving.write(tmp_path / "a.mp4", moving.pan(2))
    write_frame(str(path), 1, 32, tmp_path / "frame.png")
    assert (tmp_path / "frame.png").exists()
    with pytest.raises(SettingError) as caught:
        write_frame(str(path), 2, 32, tmp_path / "frame.png")
    assert "the clip has no frame 2" in one_line(caught)
