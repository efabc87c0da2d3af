"""Frames, film, plot and report, from events and results made by hand."""

import json
import tempfile
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from impasto.errors import OutputError, SettingError
from impasto.images.formats import encode
from impasto.jobs import outputs
from impasto.jobs.outputs import OutputPaths, OutputRecorder
from impasto.optimizers.solver import StopReason
from impasto.pipeline.events import LevelFinished, LevelStarted, Step, StepRecord
from impasto.pipeline.pyramid import Level
from impasto.recipe import presets

PICTURE = np.full((20, 30, 3), 90, np.float32)


def step(number, image=PICTURE):
    terms = {"content": 0.1, "style": 0.2, "tv": 0.0}
    return Step(1, number, 0.5, terms, float(number), None, lambda: image)


class FakeResult:
    """What outputs.write takes from a Result."""

    pixels = PICTURE
    recipe = presets.make_recipe("gram")
    levels = (
        LevelFinished(1, 10, 15, 3, 0.1, StopReason.BUDGET),
        LevelFinished(2, 20, 30, 2, 0.1, StopReason.BUDGET),
    )
    history = tuple(
        StepRecord(1 + (n > 2), 2.0 - n / 5, 0.5, 0.15, 0.01, float(n)) for n in range(5)
    )

    def save(self, path, saving):
        encode.write_image(self.pixels, path, saving=saving)

    def report(self):
        return {"evaluations": len(self.history)}


def test_every_nth_frame_is_written(tmp_path):
    recorder = OutputRecorder(
        OutputPaths(tmp_path / "a.png", frames=tmp_path / "f", save_every=2), 5
    )
    recorder.note(LevelStarted(1, 1, 20, 30, 5, None))
    for number in range(1, 6):
        recorder.note(step(number))
    assert sorted(path.name for path in (tmp_path / "f").iterdir()) == [
        "frame-00002.png",
        "frame-00004.png",
    ]
    with Image.open(tmp_path / "f/frame-00002.png") as image:
        assert image.getpixel((0, 0)) == (90, 90, 90)


def test_a_film_keeps_about_a_hundred_frames_of_any_number_of_evaluations(tmp_path):
    recorder = OutputRecorder(OutputPaths(tmp_path / "a.png", timelapse=tmp_path / "a.gif"), 1050)
    for number in range(1, 1051):
        recorder.note(step(number))
    assert len(recorder.video_frames) == 105
    assert recorder.video_frames[0].dtype == np.uint8
    assert recorder.video_bytes([Level(1, 20, 30, 1050)]) == sum(
        each.nbytes for each in recorder.video_frames
    )


def test_without_a_video_no_frame_is_kept(tmp_path):
    recorder = OutputRecorder(OutputPaths(tmp_path / "a.png"), 10)
    recorder.note(step(1))
    assert recorder.video_frames == []
    assert recorder.video_bytes([Level(1, 20, 30, 10)]) == 0


def test_everything_is_written(tmp_path):
    wanted = OutputPaths(
        tmp_path / "a.png",
        timelapse=tmp_path / "a.gif",
        plot=tmp_path / "b.png",
        report=tmp_path / "c.json",
    )
    recorder = OutputRecorder(wanted, 2)
    recorder.note(step(1, PICTURE[:10, :15]))
    recorder.note(step(2, PICTURE * 2))
    outputs.write_outputs(FakeResult(), recorder)
    for name, kind in (("a.png", "PNG"), ("a.gif", "GIF"), ("b.png", "PNG")):
        with Image.open(tmp_path / name) as image:
            assert image.format == kind
            assert image.size == (30, 20) or name == "b.png"
    assert json.loads((tmp_path / "c.json").read_text()) == {"evaluations": 5}


class Unwritable(FakeResult):
    """A result that can be written only in one folder."""

    def __init__(self, room):
        self.room = room

    def save(self, path, saving):
        if path.parent != self.room:
            raise OutputError(f"{path} cannot be written: No space left on device")
        super().save(path, saving)


def test_a_result_that_cannot_be_written_is_saved_elsewhere(tmp_path, monkeypatch, one_line):
    room = tmp_path / "room"
    room.mkdir()
    (room / "a.png").write_text("mine")
    monkeypatch.setattr(tempfile, "tempdir", str(room))
    wanted = OutputPaths(tmp_path / "a.png", checkpoint=tmp_path / "a.checkpoint")
    instead = f"the result was saved as {room / 'a-2.png'} instead"
    for where, words in ((room, instead), (None, "could not be saved to the temporary folder")):
        with pytest.raises(OutputError) as caught:
            outputs.write_outputs(Unwritable(where), OutputRecorder(wanted, 1))
        said = one_line(caught)
        assert "a.png cannot be written: No space left on device; " in said
        assert words in said
    with Image.open(room / "a-2.png") as image:
        assert image.size == (30, 20)
    assert (room / "a.png").read_text() == "mine"
    (tmp_path / "a.checkpoint").touch()
    with pytest.raises(OutputError, match="nothing is lost: resume with --resume"):
        outputs.write_outputs(Unwritable(None), OutputRecorder(wanted, 1))
    assert len(list(room.iterdir())) == 2


@pytest.mark.parametrize("name", ["report.json", "plot.svg", "timelapse.gif"])
def test_an_additional_output_that_cannot_be_written_is_an_output_error(tmp_path, name, one_line):
    place = tmp_path / name
    wanted = OutputPaths(tmp_path / "a.png", **{place.stem: place})
    place.mkdir()  # after the outputs were checked
    with pytest.raises(OutputError) as caught:
        outputs.write_outputs(FakeResult(), OutputRecorder(wanted, 1))
    assert "is a folder: give a file inside it" in one_line(caught)
    assert (tmp_path / "a.png").is_file()


def test_the_words_of_the_outputs_are_those_of_the_command_line(tmp_path):
    wanted = OutputPaths(tmp_path / "a.png", tmp_path / "f", 3, plot=tmp_path / "b.svg")
    assert wanted.to_args() == [
        *("--output", str(tmp_path / "a.png"), "--frames", str(tmp_path / "f")),
        *("--frames-every", "3", "--plot", str(tmp_path / "b.svg")),
    ]


def test_the_plot_shows_every_term_weighted():
    axes = outputs.plot_history(FakeResult()).axes[0]
    curves = {line.get_label(): line.get_ydata() for line in axes.get_lines()}
    assert curves["total"][0] == 2.0
    assert curves["style"][0] == pytest.approx(0.15 * FakeResult.recipe.style_weight)
    assert {"total", "content", "style", "total variation"} <= set(curves)
    assert {text.get_text() for text in axes.texts} == {"15 x 10", "30 x 20"}


class LayeredResult(FakeResult):
    """A result whose second evaluation was rejected, with the parts of two layers."""

    history = tuple(
        replace(
            record,
            rejected=number == 1,
            layers={"style": {"block1_conv1": 0.1, "block2_conv1": 0.05}, "content": {"a": 0.5}},
        )
        for number, record in enumerate(FakeResult.history)
    )


def test_the_plot_marks_rejected_evaluations_and_shows_the_parts_of_layers():
    figure = outputs.plot_history(LayeredResult())
    first, second = figure.axes
    lines = {line.get_label(): line for line in first.get_lines()}
    assert list(lines["rejected"].get_xdata()) == [2]
    assert list(lines["rejected"].get_ydata()) == [FakeResult.history[1].total]
    parts = {line.get_label(): line.get_ydata() for line in second.get_lines()}
    assert {name for name in parts if name[0] != "_"} == {
        "style block1_conv1",
        "style block2_conv1",
    }
    assert list(parts["style block2_conv1"]) == [0.05] * 5


def test_outputs_are_checked_before_anything_begins(tmp_path):
    (tmp_path / "file").write_text("")
    good = tmp_path / "a.png"
    outputs.check_outputs(OutputPaths(good, frames=tmp_path / "new", save_every=3))
    outputs.check_outputs(OutputPaths(good, frames=tmp_path))
    assert not (tmp_path / "new").exists()
    for bad, error in (
        (OutputPaths(tmp_path / "a.doc"), OutputError),
        (OutputPaths(tmp_path / "none" / "a.png"), OutputError),
        (OutputPaths(good, timelapse=tmp_path / "b.png"), OutputError),
        (OutputPaths(good, plot=tmp_path / "a.gif"), OutputError),
        (OutputPaths(good, report=tmp_path / "a.txt"), OutputError),
        (OutputPaths(good, save_every=3), SettingError),
        (OutputPaths(good, frames=tmp_path, save_every=0), SettingError),
        (OutputPaths(good, frames=tmp_path / "file", save_every=2), SettingError),
    ):
        with pytest.raises(error):
            outputs.check_outputs(bad)


def test_no_output_overwrites_another_or_an_input(tmp_path):
    image = tmp_path / "a.png"
    with pytest.raises(SettingError, match="the plot would overwrite the result"):
        outputs.check_outputs(OutputPaths(image, plot=tmp_path / "." / "a.png"))
    with pytest.raises(SettingError, match="the result would overwrite the input"):
        outputs.check_outputs(OutputPaths(image), [str(image)])


def test_frames_that_cannot_be_written_do_not_stop_the_run(tmp_path):
    recorder = OutputRecorder(
        OutputPaths(tmp_path / "a.png", frames=tmp_path / "f", save_every=1), 5
    )
    recorder.note(step(1))
    (tmp_path / "f" / "frame-00001.png").unlink()
    (tmp_path / "f").rmdir()
    (tmp_path / "f").write_text("in the way")
    recorder.note(step(2))
    recorder.note(step(3))
    assert "no frames are written from evaluation 2" in recorder.failure
