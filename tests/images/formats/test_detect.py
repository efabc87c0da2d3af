"""Formats that are read, refused by name, or left out of a folder."""

import io

import numpy as np
import pytest
from PIL import Image

from impasto.errors import ImageError
from impasto.images.formats import decode, detect
from tests.imagery import BLUE, RED, assert_halves, encoded, halves

READ = {"BMP": "RGB", "GIF": "P", "PPM": "RGB", "JPEG2000": "RGB"}


@pytest.mark.parametrize("name", READ)
def test_formats_that_people_have_are_read(tmp_path, name):
    data = encoded(halves().convert(READ[name]), name)
    path = tmp_path / "a.anything"
    path.write_bytes(data)
    assert_halves(decode.read_image(path).pixels, RED, BLUE, 0)
    assert_halves(decode.read_image(data).pixels, RED, BLUE, 0)


@pytest.mark.parametrize("maxval", [1, 15, 255, 1023, 65535])
@pytest.mark.parametrize("brightest", [1.0, 0.003])
def test_gray_of_pnm_is_taken_by_its_largest_value(maxval, brightest):
    value = round(maxval * brightest)
    kind = ">u2" if maxval > 255 else "u1"
    pixels = np.full((20, 20), value, kind).tobytes()
    loaded = decode.read_image(b"P5\n20 20\n%d\n" % maxval + pixels)
    np.testing.assert_allclose(loaded.pixels, 255 * value / maxval, atol=0.51)


def test_the_first_frame_of_a_gif_and_a_note():
    data = encoded(halves(), "GIF", save_all=True, append_images=[halves(BLUE, RED)])
    loaded = decode.read_image(data, name="content")
    assert_halves(loaded.pixels, RED, BLUE, 0)
    assert loaded.notes == ("content: the first of several frames is used",)


REFUSED = {
    "Fuji": (b"FUJIFILMCCD-RAW 0201", "camera raw file"),
    "Canon": (b"II*\0\x10\0\0\0CR\2\0", "camera raw file"),
    "newer Canon": (b"\0\0\0\x18ftypcrx \0\0\0\1", "camera raw file"),
    "Olympus": (b"IIRO\x08\0\0\0", "camera raw file"),
    "Panasonic": (b"IIU\0\x18\0\0\0", "camera raw file"),
    "JPEG XL": (b"\xff\x0a\xfa\x1f", "JPEG XL image is not supported: export it as PNG"),
    "JPEG XL in boxes": (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL image"),
    "Photoshop": (b"8BPS\0\1", "Photoshop document"),
    "OpenEXR": (b"\x76\x2f\x31\x01\2\0", "OpenEXR"),
    "PDF": (b"%PDF-1.7", "PDF document"),
    "web page": (b"<!DOCTYPE html><html>", "a web page"),
    "archive": (b"PK\3\4\x14\0", "an archive"),
    "film": (b"\0\0\0\x20ftypisom\0\0", "a video"),
    "notes of a Mac": (b"\0\5\x16\7\0\2\0\0Mac OS X", "a macOS metadata file"),
}


@pytest.mark.parametrize(("head", "words"), REFUSED.values(), ids=REFUSED)
def test_other_formats_are_rejected_by_name_with_advice(tmp_path, head, words, one_line):
    path = tmp_path / "photo.jpg"
    path.write_bytes(head + bytes(200))
    with pytest.raises(ImageError) as caught:
        decode.read_image(path)
    message = one_line(caught)
    assert message.startswith(f"{path}: ")
    assert words in message
    assert "damaged" not in message


def test_a_folder_lists_its_images_and_the_skipped_files(tmp_path):
    names = ["b.JPG", "a.jfif", "c.bmp", "d.HEIC", "e.gif", "f.jp2"]
    others = ["._b.JPG", ".DS_Store", "x.NEF", "y.dng", "notes.txt", "noending"]
    for name in (*names, *others):
        (tmp_path / name).touch()
    for folder in ("folder.jpg", ".hidden"):
        (tmp_path / folder).mkdir()
    found = detect.list_folder(tmp_path)
    assert [path.name for path in found.images] == sorted(names)
    assert [path.name for path in found.folders] == ["folder.jpg"]
    assert found.left_out == (
        "skipped (camera raw files): x.NEF, y.dng",
        "skipped (hidden): .DS_Store, ._b.JPG",
        "skipped (not images): noending, notes.txt",
    )


def test_of_many_files_that_are_left_out_a_few_are_named(tmp_path):
    for number in range(9):
        (tmp_path / f"{number}.txt").touch()
    assert detect.list_folder(tmp_path)[:2] == (
        (),
        ("skipped (not images): 0.txt, 1.txt, 2.txt, 3.txt, 4.txt and 4 more",),
    )


def test_a_folder_that_cannot_be_listed_is_an_error(tmp_path, one_line):
    with pytest.raises(ImageError) as caught:
        detect.list_folder(tmp_path / "none")
    assert "cannot be listed: No such file" in one_line(caught)


def test_endings_are_those_of_formats_that_are_read():
    assert {".jfif", ".bmp", ".gif", ".pgm", ".jp2", ".heic", ".avif"} < set(
        decode.READABLE_ENDINGS
    )
    assert not set(detect.READABLE_ENDINGS) & set(detect.RAW_ENDINGS)
    assert decode.list_folder is detect.list_folder


# Bytes instead of files ---------------------------------------------------------------------


def test_bytes_and_streams_are_read_like_files(tmp_path):
    data = encoded(halves(), "PNG")
    path = tmp_path / "a.png"
    path.write_bytes(data)
    stream = io.BytesIO(data)
    stream.seek(20)  # as after writing
    with path.open("rb") as file:
        for source in (data, bytearray(data), memoryview(data), stream, file):
            assert_halves(decode.read_image(source).pixels, RED, BLUE, 0)
        assert not file.closed
    assert not stream.closed


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (b"", "an image in memory: contains no bytes"),
        (io.BytesIO(b""), "an image in memory: contains no bytes"),
        (io.StringIO("text"), "an image in memory: a stream of str: open it for bytes"),
        (b"Dear picture", "an image in memory: not an image"),
    ],
)
def test_bytes_that_are_not_an_image(source, words, one_line):
    with pytest.raises(ImageError) as caught:
        decode.read_image(source)
    assert one_line(caught).startswith(words)


# The end of a JPEG --------------------------------------------------------------------------

NOISE = Image.fromarray(np.random.default_rng(3).integers(0, 256, (40, 60, 3), np.uint8))


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 2}, {"quality": 5}])
@pytest.mark.parametrize("missing", [1, 2])
def test_a_jpeg_that_lacks_its_end_is_read_with_a_note(options, missing):
    data = encoded(NOISE, "JPEG", **options)
    whole, cut = decode.read_image(data), decode.read_image(data[:-missing])
    np.testing.assert_array_equal(cut.pixels, whole.pixels)
    assert whole.notes == ()
    assert "its last bytes are missing, but the image is complete" in cut.notes[0]


@pytest.mark.parametrize("options", [{}, {"progressive": True}])
def test_a_jpeg_without_some_pixels_is_rejected_wherever_it_is_truncated(options):
    data = encoded(NOISE, "JPEG", **options)
    for missing in (4, 5, 6, 8, 12, 20, 50, 100, len(data) // 2):
        with pytest.raises(ImageError, match="damaged"):
            decode.read_image(data[:-missing])
