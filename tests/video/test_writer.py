"""Clips are written with exact times, and everything but the frames is copied."""

import subprocess
from dataclasses import replace
from fractions import Fraction

import av
import numpy as np
import pytest
from PIL import Image

from impasto.errors import OutputError, SettingError
from impasto.video import reader, writer
from impasto.video.writer import ClipOptions, PaintedFrame, TimeRange
from tests.video import clips


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A clip with sound, variable times and a title."""
    path = tmp_path_factory.mktemp("clip") / "a.mp4"
    times = [0, 2, 3, 9, 10, 11, 20, 24]
    base = Fraction(1, 24)
    clips.write(path, clips.pan(8, 64, 96), times=times, base=base, audio=True, title="A pan")
    return reader.probe(path)


def painted(info, depth=8, alpha=False):
    for frame in reader.iter_frames(info):
        values = frame.pixels()
        if alpha:
            values = np.dstack([values, np.full(values.shape[:2], 128.0)])
        kind, factor = (np.uint8, 1) if depth == 8 else (np.uint16, 257)
        yield PaintedFrame((values * factor).astype(kind), frame.pts, frame.duration)


@pytest.mark.parametrize("ending", [".mp4", ".mov", ".mkv"])
def test_times_sound_and_title_are_those_of_the_source(source, tmp_path, ending):
    path = tmp_path / f"b{ending}"
    assert writer.write_clip(painted(source), path, source) == ()
    again = reader.probe(path)
    before, after = ([f.seconds for f in reader.iter_frames(i)] for i in (source, again))
    # Matroska has no negative times: the start of the sound, its priming, moves everything.
    shift = after[0] if ending == ".mkv" else 0
    assert [time - shift for time in after] == pytest.approx(before, abs=5e-4)
    assert clips.duration(path) == pytest.approx(clips.duration(source.path) + shift, abs=1e-3)
    assert clips.packets(path) == clips.packets(source.path)
    assert again.metadata.get("title", again.metadata.get("TITLE")) == "A pan"
    assert not any("location" in name.lower() for name in again.metadata)


def test_the_place_is_kept_if_asked_for(source, tmp_path):
    path = tmp_path / "b.mp4"
    writer.write_clip(painted(source), path, source, ClipOptions(location=True))
    assert any("location" in name.lower() for name in reader.probe(path).metadata)


@pytest.mark.parametrize(
    ("name", "options", "codec", "form"),
    [
        ("b.mp4", ClipOptions(), "h264", "yuv420p"),
        ("b.mp4", ClipOptions(depth=10), "hevc", "yuv420p10le"),
        ("b.mov", ClipOptions("prores"), "prores", "yuv444p10le"),
        ("b.webm", ClipOptions(), "vp9", "yuv420p"),
    ],
)
def test_encoders_and_color_tags(source, tmp_path, name, options, codec, form):
    path = tmp_path / name
    writer.write_clip(painted(source, options.depth), path, source, options)
    with av.open(str(path)) as container:
        context = container.streams.video[0].codec_context
        assert (context.name, context.pix_fmt.replace("12", "10")) == (codec, form)
        assert (context.color_primaries, context.color_trc, context.colorspace) == (1, 1, 1)
    pairs = zip(*(reader.iter_frames(i) for i in (source, reader.probe(path))), strict=True)
    assert max(np.abs(a.pixels() - b.pixels()).mean() for a, b in pairs) < 12


def test_transparency_is_written_or_white(source, tmp_path):
    clear = replace(source, alpha=True)
    writer.write_clip(painted(clear, alpha=True), tmp_path / "b.mov", clear)
    frame = next(reader.iter_frames(reader.probe(tmp_path / "b.mov")))
    assert frame.alpha == pytest.approx(np.full((64, 96), 0.5), abs=0.02)
    writer.write_clip(painted(clear, alpha=True), tmp_path / "b.mp4", clear)
    flat = next(reader.iter_frames(reader.probe(tmp_path / "b.mp4"))).pixels()
    whole = next(reader.iter_frames(source)).pixels()
    assert flat.mean() == pytest.approx((whole.mean() + 255) / 2, abs=6)


def test_odd_sides_lose_one_pixel(source, tmp_path):
    odd = (PaintedFrame(each.values[1:, 1:], *each[1:]) for each in painted(source))
    writer.write_clip(odd, tmp_path / "b.mp4", source)
    assert reader.probe(tmp_path / "b.mp4").size == (62, 94)


def test_a_part_starts_at_zero_with_its_sound(source, tmp_path):
    part = TimeRange(9 / 24, 21 / 24)
    frames = [each for each in painted(source) if 9 / 24 <= each.pts * source.time_base < 21 / 24]
    writer.write_clip(frames, tmp_path / "b.mp4", source, part=part)
    read = list(reader.iter_frames(reader.probe(tmp_path / "b.mp4")))
    assert [frame.seconds for frame in read] == pytest.approx([0, 1 / 24, 2 / 24, 11 / 24])
    heard = clips.packets(tmp_path / "b.mp4")
    assert 0 < len(heard) < len(clips.packets(source.path))
    assert set(heard) <= set(clips.packets(source.path))


def test_numbered_images(source, tmp_path):
    assert writer.write_sequence(painted(source), tmp_path / "f-%03d.png") == 8
    first = next(painted(source)).values
    assert np.array_equal(np.asarray(Image.open(tmp_path / "f-000.png")), first)
    info = reader.probe(tmp_path / "f-%03d.png")
    assert len(list(reader.iter_frames(info))) == 8


def test_what_cannot_be_written_is_one_line(source, tmp_path):
    with pytest.raises(OutputError, match=r"\.mp4, \.mov"):
        writer.check_clip_output(tmp_path / "b.xyz", ClipOptions())
    with pytest.raises(OutputError, match="one number"):
        writer.check_clip_output(tmp_path / "%s-%d.png", ClipOptions())
    with pytest.raises(SettingError, match="cannot hold prores"):
        writer.choose_codec("b.mp4", False, ClipOptions("prores"))
    with pytest.raises(SettingError, match="8 bits"):
        writer.choose_codec("b.mp4", False, ClipOptions("h264", 10))
    with pytest.raises(SettingError, match="at least 64 px"):
        writer.check_clip_size(writer.CODECS["hevc"], 48, 96)
    with pytest.raises(OutputError, match="no frame"):
        writer.write_clip([], tmp_path / "b.mp4", source)
    with pytest.raises(SettingError, match="did you mean hevc"):
        ClipOptions("hevx")
    assert not list(tmp_path.iterdir())


METADATA = """;FFMETADATA1
title=Mine
[CHAPTER]
TIMEBASE=1/1000
START=0
END=100
title=One
[CHAPTER]
TIMEBASE=1/1000
START=100
END=250
title=Two
"""
SUBTITLES = "1\n00:00:00,050 --> 00:00:00,090\nHello\n\n2\n00:00:00,120 --> 00:00:00,200\nWorld\n"


@pytest.mark.parametrize(("ending", "form"), [(".mkv", "srt"), (".mp4", "mov_text")])
def test_subtitles_and_chapters_are_copied(source, tmp_path, ending, form):
    """And a container that cannot hold them says which one can."""
    ffmpeg = pytest.importorskip("imageio_ffmpeg").get_ffmpeg_exe()
    (tmp_path / "a.srt").write_text(SUBTITLES)
    (tmp_path / "a.txt").write_text(METADATA)
    given = tmp_path / f"given{ending}"
    inputs = ("-i", source.path, "-i", tmp_path / "a.srt", "-i", tmp_path / "a.txt")
    maps = ("-map", "0", "-map", "1", "-map_metadata", "2", "-map_chapters", "2")
    codecs = ("-c", "copy", "-c:s", form, "-metadata:s:s:0", "language=deu")
    subprocess.run([ffmpeg, "-loglevel", "error", *inputs, *maps, *codecs, given], check=True)
    info = reader.probe(given)
    written = tmp_path / f"written{ending}"
    assert writer.write_clip(painted(info), written, info) == ()
    assert clips.packets(written, "subtitles") == clips.packets(given, "subtitles")
    with av.open(str(written)) as container:
        assert [each["metadata"]["title"] for each in container.chapters()] == ["One", "Two"]
        assert container.metadata["title"] == "Mine"
    other = ".mp4" if ending == ".mkv" else ".mkv"
    (note,) = writer.write_clip(painted(info), tmp_path / f"other{other}", info)
    assert note.endswith(f"is not copied: {ending} holds it")
