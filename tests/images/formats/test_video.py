"""Films, written from frames that are made here and read back."""

import errno
import sys
from typing import Any

import numpy as np
import pytest
from PIL import Image

from impasto.errors import ImageError, OutputError, SettingError
from impasto.images.formats import video


def growing() -> list[np.ndarray]:
    """Frames of growing size as a run from coarse to fine makes them; the last is odd-sized."""
    sizes = [(16, 20), (33, 45), (33, 45), (67, 91)]
    colors = [(200, 40, 40), (40, 200, 40), (40, 40, 200), (200, 200, 40)]
    return [np.full((*s, 3), c, np.float32) for s, c in zip(sizes, colors, strict=True)]


def test_gif(tmp_path):
    path = tmp_path / "a.gif"
    video.write_video(growing(), path, seconds=2)
    assert list(tmp_path.iterdir()) == [path]
    durations = []
    with Image.open(path) as image:
        assert (image.size, image.info["loop"]) == ((91, 67), 0)
        for index, frame in enumerate(growing()):
            image.seek(index)
            durations.append(image.info["duration"])
            shown = np.asarray(image.convert("RGB"), np.float32)
            assert abs(shown - frame[0, 0]).max() <= 3
        with pytest.raises(EOFError):
            image.seek(len(growing()))
    assert durations == [500, 500, 500, 2500]


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # of imageio's reader
def test_mp4(tmp_path, capfd):
    import imageio_ffmpeg

    path = tmp_path / "a.mp4"
    video.write_video(growing(), path, seconds=2)
    assert capfd.readouterr() == ("", "")
    assert list(tmp_path.iterdir()) == [path]
    reader = imageio_ffmpeg.read_frames(str(path))
    info = next(reader)
    assert (info["size"], info["codec"], info["fps"]) == ((90, 66), "h264", 30)
    assert info["pix_fmt"].startswith("yuv420p")
    shown = [np.frombuffer(data, np.uint8).reshape(66, 90, 3) for data in reader]
    assert len(shown) == pytest.approx(4 * 30, abs=1)
    for index, frame in enumerate(growing()):
        assert abs(shown[15 * index + 7].mean((0, 1)) - frame[0, 0]).max() < 4


@pytest.mark.parametrize("ending", [*video.VIDEO_ENDINGS, ".GIF"])
def test_a_film_of_one_frame(tmp_path, ending):
    video.write_video(growing()[-1:], tmp_path / f"a{ending}", seconds=1)
    assert (tmp_path / f"a{ending}").stat().st_size > 0


def test_the_same_frames_give_the_same_bytes(tmp_path):
    for name in ("a.gif", "b.gif"):
        video.write_video(growing(), tmp_path / name)
    assert (tmp_path / "a.gif").read_bytes() == (tmp_path / "b.gif").read_bytes()


@pytest.mark.parametrize("ending", video.VIDEO_ENDINGS)
def test_frames_of_8_bits_make_the_same_film(tmp_path, ending):
    video.write_video(growing(), tmp_path / f"a{ending}")
    video.write_video([frame.astype(np.uint8) for frame in growing()], tmp_path / f"b{ending}")
    assert (tmp_path / f"a{ending}").read_bytes() == (tmp_path / f"b{ending}").read_bytes()


BROKEN: np.ndarray = np.full((20, 20, 3), np.nan, np.float32)


@pytest.mark.parametrize(
    ("frames", "name", "seconds", "refusal", "words"),
    [
        ([], "a.gif", 6, OutputError, "at least one frame"),
        ([*growing(), BROKEN], "a.gif", 6, ImageError, "not finite"),
        ([BROKEN, *growing()], "a.gif", 6, ImageError, "not finite"),
        (growing(), "a.png", 6, OutputError, "the ending .png: did you mean .mp4, .gif?"),
        (growing(), "none/a.gif", 6, OutputError, "does not exist"),
        (growing(), "a.gif", 0, SettingError, "more than 0"),
        (growing(), "a.gif", np.nan, SettingError, "more than 0"),
    ],
)
def test_impossible_films(tmp_path, one_line, frames, name, seconds, refusal, words):
    with pytest.raises(refusal) as caught:
        video.write_video(frames, tmp_path / name, seconds)
    assert words in one_line(caught)
    assert list(tmp_path.iterdir()) == []


def test_possible_films_pass_the_check_and_leave_nothing(tmp_path):
    video.check_video(tmp_path / "a.mp4")
    video.check_video(tmp_path / "a.GIF")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "words"), [("a.png", "did you mean .mp4, .gif?"), ("none/a.gif", "does not exist")]
)
def test_impossible_films_fail_the_check(tmp_path, one_line, name, words):
    with pytest.raises(OutputError) as caught:
        video.check_video(tmp_path / name)
    assert words in one_line(caught)


def test_mp4_needs_ffmpeg_and_gif_does_not(tmp_path, monkeypatch, one_line):
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    with pytest.raises(OutputError) as caught:
        video.check_video(tmp_path / "a.mp4")
    assert "[video]', or use .gif" in one_line(caught)
    video.check_video(tmp_path / "a.gif")


def fail_in_save(self: Image.Image, path: Any, *_: Any, **__: Any) -> None:
    path.write_bytes(b"half a film")
    raise OSError(errno.ENOSPC, "No space left on device")


def test_a_failure_in_the_middle_leaves_the_old_film(tmp_path, monkeypatch, one_line):
    path = tmp_path / "a.gif"
    path.write_bytes(b"old")
    monkeypatch.setattr("PIL.Image.Image.save", fail_in_save)
    with pytest.raises(OutputError) as caught:
        video.write_video(growing(), path)
    assert "cannot be written: No space left on device" in one_line(caught)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failing_ffmpeg_leaves_no_film(tmp_path, monkeypatch, one_line):
    script = tmp_path / "ffmpeg"
    script.write_text("#!/bin/sh\nhead -c 9 > /dev/null\necho 'disk full' >&2\nexit 1\n")
    script.chmod(0o755)
    monkeypatch.setattr(video, "_find_ffmpeg", lambda: str(script))
    with pytest.raises(OutputError) as caught:
        video.write_video(growing() * 10, tmp_path / "a.mp4")
    assert "cannot be written: disk full" in one_line(caught)
    assert list(tmp_path.iterdir()) == [script]


@pytest.mark.parametrize(("ending", "longest"), [(".gif", 65_535), (".mp4", 16_384)])
def test_films_have_the_limits_of_their_formats(tmp_path, ending, longest, one_line):
    path = tmp_path / f"a{ending}"
    video.check_video_size(path, 16, longest)
    video.write_video([np.zeros((16, longest, 3), np.float32)], path, 0.1)
    assert path.stat().st_size
    with pytest.raises(OutputError) as caught:
        video.check_video_size(path, longest + 1, 16)
    assert f"at most {longest:,} px" in one_line(caught)
    with pytest.raises(OutputError, match="at most"):
        video.write_video([np.zeros((16, longest + 2, 3), np.float32)], path, 0.1)
