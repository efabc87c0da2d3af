"""Clips are read upright, with square pixels and exact times."""

import io
from fractions import Fraction

import av
import numpy as np
import pytest
from skimage import color

from impasto.errors import ImageError, ImpastoError
from impasto.images import load
from impasto.video import extras, reader
from tests.video import clips


@pytest.fixture(scope="module")
def frames():
    return clips.pan(6)


def test_frames_have_their_pixels_numbers_and_times(tmp_path, frames):
    path = clips.write(tmp_path / "a.mp4", frames)
    info = reader.probe(path)
    assert (info.size, info.alpha, info.deep, info.hdr) == ((48, 64), False, False, False)
    read = list(reader.iter_frames(info))
    assert [frame.number for frame in read] == list(range(6))
    assert [frame.seconds for frame in read] == pytest.approx([n / 24 for n in range(6)])
    for frame, written in zip(read, frames, strict=True):
        assert np.abs(frame.pixels() - written).mean() < 2


def test_variable_times_are_exact(tmp_path, frames):
    times = [0, 7, 8, 30, 31, 95]
    path = clips.write(tmp_path / "a.mkv", frames, times=times, base=Fraction(1, 1000))
    read = reader.iter_frames(reader.probe(path))
    assert [frame.pts * frame.info.time_base * 1000 for frame in read] == times


def test_a_range_has_the_same_frames(tmp_path, frames):
    info = reader.probe(clips.write(tmp_path / "a.mp4", frames))
    whole = list(reader.iter_frames(info))
    part = list(reader.iter_frames(info, 2, 4))
    assert [frame.number for frame in part] == [2, 3, 4]
    assert np.array_equal(part[0].pixels(), whole[2].pixels())


def test_pixels_that_are_not_square_are_resampled(tmp_path, frames):
    path = clips.write(tmp_path / "a.mp4", frames, aspect=Fraction(3, 2))
    info = reader.probe(path)
    assert info.size == (48, 96)
    assert next(reader.iter_frames(info)).pixels().shape == (48, 96, 3)


def test_vp9_keeps_its_transparency(tmp_path, frames):
    alpha = np.full((48, 64, 1), 255.0)
    alpha[:, :32] = 0
    clear = [np.dstack([frame, alpha]) for frame in frames]
    path = clips.write(tmp_path / "a.webm", clear, "libvpx-vp9", "yuva420p", options={"crf": "4"})
    info = reader.probe(path)
    frame = next(reader.iter_frames(info))
    assert info.alpha
    assert frame.alpha[:, :28].max() < 0.1
    assert frame.alpha[:, 36:].min() > 0.9
    assert np.isfinite(frame.pixels()).all()


def test_hdr_of_a_shot_uses_one_peak(tmp_path):
    dark, bright = np.full((64, 96, 3), 165.0), np.full((64, 96, 3), 165.0)
    bright[8:24, 8:24] = 220
    tags = {"color_trc": 16, "color_primaries": 9, "colorspace": 9}
    path = clips.write(
        tmp_path / "a.mp4",
        [dark, bright],
        "libx264",
        "yuv444p10le",
        options={"crf": "4"},
        tags=tags,
    )
    info = reader.probe(path)
    first, second = reader.iter_frames(info)
    assert info.hdr
    assert info.deep
    peak = max(first.peak(), second.peak())
    assert peak > 2
    corner = [frame.pixels(None, peak)[0, 0] for frame in (first, second)]
    assert np.abs(corner[0] - corner[1]).max() < 2
    by_itself = second.pixels()[0, 0] - first.pixels()[0, 0]
    assert np.abs(by_itself).max() > 5  # what the same peak avoids


@pytest.mark.parametrize(("curve", "matrix"), [(16, 9), (18, 9)])
def test_hdr_frames_look_as_still_images(tmp_path, curve, matrix):
    """PQ and HLG, within 2 CIEDE2000 of the same frame as a HEIF image of 10 bits."""
    pillow_heif = pytest.importorskip("pillow_heif")
    bright = [150 + 0.3 * frame for frame in clips.pan(2, 96, 128)]
    path = clips.write(
        tmp_path / "a.mp4",
        bright,
        "libx264",
        "yuv444p10le",
        options={"crf": "4"},
        tags={"color_trc": curve, "color_primaries": 9, "colorspace": matrix},
    )
    for frame in reader.iter_frames(reader.probe(path)):
        values = np.rint(frame.encoded * 65535).astype(np.uint16)
        image = pillow_heif.from_bytes("RGB;16", values.shape[1::-1], values.tobytes())
        written = io.BytesIO()
        image.save(
            written,
            quality=-1,
            chroma=444,
            color_primaries=9,
            transfer_characteristics=curve,
            matrix_coefficients=0,
        )
        still = load.load_image(written.getvalue(), "still").pixels
        labs = (color.rgb2lab(each / 255) for each in (still, frame.pixels()))
        assert frame.info.hdr
        assert color.deltaE_ciede2000(*labs).mean() < 2


def test_damaged_packets_are_reported_and_later_frames_keep_their_numbers(tmp_path, frames):
    path = clips.write(
        tmp_path / "a.avi", clips.pan(8), "mjpeg", "yuvj444p", options={"qmin": "1", "qmax": "2"}
    )
    with av.open(str(path)) as container:
        packet = [each for each in container.demux(video=0) if each.size][3]
        first, size = packet.pos, packet.size
    data = bytearray(path.read_bytes())
    data[first + 8 : first + size] = bytes(size - 8)
    path.write_bytes(data)
    read = list(reader.iter_frames(reader.probe(path)))
    assert [frame.number for frame in read] == list(range(8))
    assert [frame.damaged for frame in read].count(True) == 1
    assert read[3].damaged


@pytest.mark.parametrize(
    ("name", "text"), [("none.mp4", "no such file"), (".", "is a folder"), ("text.mp4", "cannot")]
)
def test_other_files_are_one_line(tmp_path, name, text):
    (tmp_path / "text.mp4").write_text("not a video")
    with pytest.raises(ImageError, match=text) as caught:
        reader.probe(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_a_missing_package_says_what_to_install(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ImpastoError, match=r"pip install .*\[video\]"):
        extras.check()
