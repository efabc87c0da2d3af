"""Writing picture files."""

import errno
import io
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from impasto import decode, encode
from impasto.errors import PictureError

from .imagery import BLUE, NOISE, RED, assert_halves, halves, pixels_of


def test_rounding_and_clipping():
    values = np.array([-20, 0.4, 0.6, 254.6, 300], np.float32).reshape(1, 5, 1).repeat(3, axis=2)
    assert np.asarray(encode.to_image(values))[0, :, 0].tolist() == [0, 0, 1, 255, 255]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_never_written(tmp_path, value):
    broken = pixels_of(halves())
    broken[3, 4, 1] = value
    with pytest.raises(PictureError, match="not finite"):
        encode.write(broken, tmp_path / "a.png")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("ending", encode.PICTURES)
def test_written_pictures_read_back(tmp_path, ending):
    path = tmp_path / f"painted{ending.upper()}"
    encode.write(pixels_of(halves()), path)
    exact = ending in (".png", ".webp", ".tif", ".tiff", ".bmp")
    assert_halves(decode.read(path).pixels, RED, BLUE, 0 if exact else 4)
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
    if ending != ".bmp":
        with Image.open(path) as image:
            opened = ImageCms.ImageCmsProfile(io.BytesIO(image.info["icc_profile"]))
        assert "sRGB" in ImageCms.getProfileDescription(opened)
        created = opened.profile.creation_date
        assert created is not None
        assert created.year == 2000


def test_colour_keeps_its_resolution_in_jpeg(tmp_path):
    stripes = np.zeros((32, 32, 3), np.float32)
    stripes[:, ::2], stripes[:, 1::2] = (200, 60, 60), (60, 60, 200)
    encode.write(stripes, tmp_path / "a.jpg")
    assert abs(decode.read(tmp_path / "a.jpg").pixels - stripes).max() < 12


def test_the_same_picture_gives_the_same_bytes(tmp_path):
    pixels = np.asarray(NOISE, np.float32)

    def written() -> dict[str, bytes]:
        encode._srgb_profile.cache_clear()
        for ending in encode.PICTURES:
            encode.write(pixels, tmp_path / f"a{ending}")
        return {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    first = written()
    time.sleep(1.1)  # the clock in an ICC header counts seconds
    assert written() == first


def fail_in_save(self: Image.Image, path: Path, *_: Any, **__: Any) -> None:
    Path(path).write_bytes(b"half a pic")
    raise OSError(errno.ENOSPC, "No space left on device")


def fail(*_: Any, **__: Any) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(
    ("where", "failure"),
    [("PIL.Image.Image.save", fail_in_save), ("os.fsync", fail), ("os.replace", fail)],
)
def test_a_failure_in_the_middle_leaves_the_old_file(
    tmp_path, monkeypatch, where, failure, one_line
):
    path = tmp_path / "a.png"
    path.write_bytes(b"old")
    monkeypatch.setattr(where, failure)
    with pytest.raises(PictureError) as caught:
        encode.write(pixels_of(halves()), path)
    assert "cannot be written: No space left on device" in one_line(caught)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("ending", [".jpg", ".webp"])
def test_a_picture_too_long_for_its_format(tmp_path, ending, one_line):
    with pytest.raises(PictureError) as caught:
        encode.write(np.zeros((16, 66_000, 3), np.float32), tmp_path / f"a{ending}")
    assert "cannot be written" in one_line(caught)
    assert list(tmp_path.iterdir()) == []
