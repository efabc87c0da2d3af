"""The command ``video``, with a small network."""

import json
import shutil
import wave

import numpy as np
import pytest
from PIL import Image

from impasto.cli import video
from impasto.errors import SettingError
from impasto.images import samples
from impasto.pipeline import calibration, models
from impasto.video import reader
from tests import tiny
from tests.cli.test_app import run
from tests.video import clips

pytestmark = tiny.needs_kernels
SMALL = ("--size", 64, "--evaluations", 2, "--engine", "native")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A clip of four frames, a painting, and a mask."""
    path = tmp_path_factory.mktemp("video")
    clips.write(path / "clip.mp4", clips.pan(4))
    Image.fromarray(samples.make_style("swirls", 64).astype(np.uint8)).save(path / "style.png")
    mask = np.zeros((48, 64), np.uint8)
    mask[:, :20] = 255
    Image.fromarray(mask).save(path / "mask.png")
    (path / "text.txt").write_text("no")
    (path / "empty.mp4").touch()
    (path / "frames").mkdir()
    for number in range(2):
        shutil.copy(path / "style.png", path / "frames" / f"{number}.png")
    with wave.open(str(path / "sound.wav"), "wb") as sound:
        sound.setparams((1, 2, 48000, 0, "NONE", ""))
        sound.writeframes(bytes(4800))
    return path


@pytest.fixture(autouse=True)
def small_network(monkeypatch, folder):
    """A small network, and a forecast that measures small images, whatever a cache holds."""
    monkeypatch.setattr(models.weights, "load_weights", lambda *_: tiny.vgg())
    monkeypatch.setattr(calibration, "CALIBRATION_SIZES", (32, 48))
    monkeypatch.setenv("IMPASTO_CACHE", str(folder.with_name("cache")))


def test_a_clip_is_painted_and_its_path_printed(folder):
    done = run("video", "clip.mp4", "style.png", "-o", "a.mp4", *SMALL, cwd=folder)
    assert (done.returncode, done.stdout) == (0, "a.mp4\n"), done.stderr
    assert "4 frames in 1 shot" in done.stderr
    assert "frame 3 (4/4): painted" in done.stderr
    assert len(list(reader.iter_frames(reader.probe(folder / "a.mp4")))) == 4


def test_events_as_json_lines(folder):
    words = ("clip.mp4", "style.png", "-o", "b.mp4", "--json", "--every", 3, "--quiet")
    done = run("video", *words, *SMALL, cwd=folder)
    events = [json.loads(line) for line in done.stdout.splitlines()]
    names = [event["event"] for event in events]
    assert names[:2] == ["ClipSurveyed", "ShotStarted"]
    assert names[-1] == "VideoFinished"
    assert [e["kind"] for e in events if e["event"] == "FramePainted"] == [
        *("first", "between", "between", "painted")
    ]
    assert done.stderr == ""


def test_a_dry_run_writes_nothing(folder):
    before = sorted(folder.iterdir())
    done = run("video", "clip.mp4", "style.png", "--dry-run", *SMALL, cwd=folder)
    assert "4 frames in 1 shot: about" in done.stdout
    assert "disk: about" in done.stdout
    assert sorted(folder.iterdir()) == before


def test_a_look_prints_the_forecast(folder):
    done = run("video", "clip.mp4", "style.png", "-o", "l.mp4", "--look", 1, *SMALL, cwd=folder)
    assert done.stdout == "l-000001.png\n", done.stderr
    assert "memory: about" in done.stderr
    with Image.open(folder / "l-000001.png") as look:
        assert look.size == (64, 48)


def test_a_preview_has_the_frames_so_far(folder):
    words = ("video", "clip.mp4", "style.png", "-o", "p.mp4", *SMALL)
    nothing = run(*words, "--preview", "so-far.mp4", cwd=folder)
    assert nothing.returncode == 2
    assert "there are none" in nothing.stderr
    from impasto import Stylizer
    from impasto.pipeline.video_events import FramePainted

    with Stylizer(size=64, evaluations=2, engine="native") as stylizer:
        events = stylizer.video(folder / "clip.mp4", folder / "style.png", folder / "p.mp4")
        for event in events:
            if isinstance(event, FramePainted) and event.number == 1:
                break
        events.close()
    done = run(*words, "--preview", "so-far.mp4", cwd=folder)
    assert done.stdout == "so-far.mp4\n"
    assert len(list(reader.iter_frames(reader.probe(folder / "so-far.mp4")))) == 2


def test_masks_of_a_frame_and_of_each_frame(folder):
    """A region that moves, and a folder of masks to keep."""
    masks = folder / "masks"
    masks.mkdir()
    for number in range(4):
        mask = np.zeros((48, 64), np.uint8)
        mask[:, 40 + 2 * number :] = 255
        Image.fromarray(mask).save(masks / f"{number}.png")
    words = ("clip.mp4", "style.png", "--region", "1=mask.png:style.png", "--keep", "masks")
    done = run("video", *words, "-o", "m/%d.png", *SMALL, cwd=folder)
    assert done.returncode == 2  # the folder of the output does not exist
    (folder / "m").mkdir()
    done = run("video", *words, "-o", "m/%d.png", *SMALL, cwd=folder)
    assert done.returncode == 0, done.stderr
    content = [frame.pixels() for frame in reader.iter_frames(reader.probe(folder / "clip.mp4"))]
    for number in range(4):
        with Image.open(folder / "m" / f"{number}.png") as image:
            difference = np.abs(np.asarray(image, float) - content[number]).mean(-1)
        assert difference[:, 42 + 2 * number :].mean() < 3
        assert difference[:, : 36 + 2 * number].mean() > 8
    masks.joinpath("3.png").unlink()
    done = run("video", *words, "-o", "n.mp4", *SMALL, cwd=folder)
    assert "keep: masks has masks for 3 frames, and the clip has 4" in done.stderr


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("text.txt", "style.png"), "text.txt cannot be read as a video"),
        (("clip.mp4",), "no style image"),
        (("clip.mp4", "style.png", "--every", "often"), "--every is 'often'"),
        (("clip.mp4", "style.png", "--cuts", "1;2"), "--cuts is '1;2'"),
        (("clip.mp4", "style.png", "--from", "soon"), "--from is 'soon'"),
        (("clip.mp4", "style.png", "--key", "mine.png"), "--key is 'mine.png'"),
        (("clip.mp4", "style.png", "--codec", "h265"), "codec is 'h265'"),
        (("clip.mp4", "style.png", "-o", "a.gif"), "a.gif has the ending .gif"),
        (("clip.mp4", "style.png", "--keep", "9=none.png"), "none.png: no such file"),
        (("clip.mp4", "style.png", "-o", "clip.mp4"), "clip.mp4 would overwrite the clip"),
        (("frames/%d.png", "style.png", "-o", "frames/%d.png"), "would overwrite the clip"),
        (("clip.mp4", "style.png", "--cuts", "2,4"), "cut 4 is no frame of the clip"),
        (("clip.mp4", "style.png", "--look", "4"), "look is 4: no frame that can be decoded; the"),
        (("empty.mp4", "style.png"), "empty.mp4 is empty"),
        (("sound.wav", "style.png"), "sound.wav has no video stream, only sound"),
    ],
)
def test_what_is_wrong_is_one_line(folder, words, text):
    before = sorted(folder.iterdir())
    done = run("video", *words, *SMALL, cwd=folder)
    assert done.returncode == 2
    assert text in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert sorted(folder.iterdir()) == before


def test_times_and_numbers():
    assert video._seconds("1:02:03", "--to") == 3723
    assert video._cuts("4, 9") == (4, 9)
    assert video._mask("3=mask.png", "--keep") == (3, "mask.png")
    assert video._mask("mask.png", "--keep") == "mask.png"
    with pytest.raises(SettingError, match="expected seconds"):
        video._seconds("1:2:3:4", "--to")
