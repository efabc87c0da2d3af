"""The tool that paints a clip by each method, with a small network."""

import pytest
from PIL import Image

from impasto.images import samples
from impasto.images.formats import encode
from impasto.pipeline import models
from tests import tiny
from tests.video import clips
from tools import video_methods

pytestmark = tiny.needs_kernels


@pytest.fixture
def inputs(tmp_path, monkeypatch):
    monkeypatch.setattr(models.weights, "load_weights", lambda *_: tiny.vgg())
    monkeypatch.setattr(video_methods, "FRAMES", 3)
    clips.write(tmp_path / "clip.mp4", clips.pan(5))
    encode.write_image(samples.make_style("swirls", 64), tmp_path / "style.png")
    return ["--clip", str(tmp_path / "clip.mp4"), "--style", str(tmp_path / "style.png")]


def test_an_animation_has_the_first_frames_of_the_clip(inputs, tmp_path):
    out = tmp_path / "out"
    video_methods.main([*inputs, "--size", "64", "--out", str(out), "clip", "every-3"])
    assert sorted(path.name for path in out.iterdir()) == ["clip.webp", "every-3.webp"]
    for path in out.iterdir():
        with Image.open(path) as image:
            assert (image.n_frames, image.size) == (3, (64, 48))


def test_without_a_clip_a_camera_moves_over_a_sample(inputs, tmp_path):
    video_methods.main(["--size", "64", "--out", str(tmp_path / "out"), "clip"])
    with Image.open(tmp_path / "out/clip.webp") as image:
        assert (image.n_frames, image.size) == (3, (64, 48))


def test_an_animation_is_small_enough(tmp_path, monkeypatch):
    frames = clips.pan(6)
    large = video_methods.write_animation(frames, tmp_path / "a.webp")
    monkeypatch.setattr(video_methods, "MAX_BYTES", large - 1)
    assert video_methods.write_animation(frames, tmp_path / "a.webp") < large
