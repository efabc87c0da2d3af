"""Image files are written."""

import errno
import io
import time
from typing import Any, BinaryIO

import numpy as np
import png
import pytest
import tifffile
from PIL import Image, ImageCms

from impasto.errors import ImageError, OutputError, SettingError
from impasto.images.formats import color_management, decode, encode
from impasto.images.formats.save_options import SaveOptions
from tests.imagery import BLUE, NOISE, RED, assert_halves, halves, pixels_of


def test_rounding_and_clipping():
    values = np.array([-20, 0.4, 0.6, 254.6, 300], np.float32).reshape(1, 5, 1).repeat(3, axis=2)
    assert np.asarray(encode.to_pillow(values))[0, :, 0].tolist() == [0, 0, 1, 255, 255]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_never_written(tmp_path, value):
    broken = pixels_of(halves())
    broken[3, 4, 1] = value
    with pytest.raises(ImageError, match="not finite"):
        encode.write_image(broken, tmp_path / "a.png")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("ending", encode.WRITABLE_ENDINGS)
def test_written_images_are_read_again(tmp_path, ending):
    path = tmp_path / f"painted{ending.upper()}"
    encode.write_image(pixels_of(halves()), path)
    exact = ending in (".png", ".webp", ".tif", ".tiff")
    assert_halves(decode.read_image(path).pixels, RED, BLUE, 0 if exact else 4)
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]
    with Image.open(path) as image:
        opened = ImageCms.ImageCmsProfile(io.BytesIO(image.info["icc_profile"]))
    assert "sRGB" in ImageCms.getProfileDescription(opened)
    created = opened.profile.creation_date
    assert created is not None
    assert created.year == 2000


def test_color_keeps_its_resolution_in_jpeg(tmp_path):
    stripes = np.zeros((32, 32, 3), np.float32)
    stripes[:, ::2], stripes[:, 1::2] = (200, 60, 60), (60, 60, 200)
    encode.write_image(stripes, tmp_path / "a.jpg")
    assert abs(decode.read_image(tmp_path / "a.jpg").pixels - stripes).max() < 12


def test_the_same_image_gives_the_same_bytes(tmp_path):
    pixels = np.asarray(NOISE, np.float32)

    def written() -> dict[str, bytes]:
        color_management.srgb_profile.cache_clear()
        for ending in encode.WRITABLE_ENDINGS:
            encode.write_image(pixels, tmp_path / f"a{ending}")
        return {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    first = written()
    time.sleep(1.1)  # the clock in an ICC header counts seconds
    assert written() == first


def fail_in_save(self: Image.Image, file: BinaryIO, *_: Any, **__: Any) -> None:
    file.write(b"half a pic")
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
    with pytest.raises(OutputError) as caught:
        encode.write_image(pixels_of(halves()), path)
    assert "cannot be written: No space left on device" in one_line(caught)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


LIMITS = {".webp": 16_383, ".jpg": 65_500, ".avif": 32_768}
"""What the libraries take, measured by writing and reading both of the neighbors below."""


@pytest.mark.parametrize("ending", LIMITS)
def test_the_limits_of_formats_are_those_of_the_libraries(tmp_path, ending, one_line):
    longest, path = LIMITS[ending], tmp_path / f"a{ending}"
    for shape in ((16, longest), (longest, 16)):
        encode.check_format_size(path, *shape)
        encode.write_image(np.zeros((*shape, 3), np.float32), path)
        assert decode.read_image(path).pixels.shape[:2] == shape
    path.unlink()
    for act in (
        lambda: encode.check_format_size(path, 16, longest + 1),
        lambda: encode.write_image(np.zeros((longest + 1, 16, 3), np.float32), path),
    ):
        with pytest.raises(OutputError) as caught:
            act()
        assert f"sides of at most {longest:,} px" in one_line(caught)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("ending", "longest"), LIMITS.items())
def test_without_impasto_the_libraries_refuse_one_more(tmp_path, ending, longest):
    def written_and_read():
        Image.new("RGB", (longest + 1, 16)).save(tmp_path / f"a{ending}")
        with Image.open(tmp_path / f"a{ending}") as image:
            image.load()

    with pytest.raises((OSError, ValueError, RuntimeError)):
        written_and_read()


def test_a_tiff_has_four_gigabytes_and_a_png_has_no_limit_that_matters(one_line):
    encode.check_format_size("a.tif", 30_000, 35_000)
    with pytest.raises(OutputError) as caught:
        encode.check_format_size("a.tif", 30_000, 35_000, SaveOptions(depth=16))
    assert one_line(caught).startswith(
        "a.tif: TIFF supports 4 GB, but the image has 35,000 x 30,000"
    )
    encode.check_format_size("a.png", 200_000, 35_000, SaveOptions(depth=16))


@pytest.mark.parametrize(
    ("wanted", "size", "depth", "ending"),
    [
        (".webp", (16_383, 400), 8, ".webp"),
        (".webp", (400, 16_384), 8, ".png"),
        (".JPG", (400, 65_501), 8, ".png"),
        (".avif", (20_000, 20_000), 8, ".png"),
        (".jpg", (400, 400), 16, ".png"),
        (".tif", (400, 400), 16, ".tif"),
        (".tif", (30_000, 35_000), 16, ".png"),
        (".xyz", (400, 400), 8, ".png"),
        ("", (400, 400), 8, ".png"),
    ],
)
def test_what_is_finished_is_rescued_in_a_format_that_holds_it(wanted, size, depth, ending):
    assert encode.ending_that_fits(wanted, *size, SaveOptions(depth=depth)) == ending


# Fit to print -------------------------------------------------------------------------------


FINE = np.linspace(100, 101, 64, dtype=np.float32)[None, :, None].repeat(20, 0).repeat(3, 2)
"""A ramp of which 8 bits see two values."""


@pytest.mark.parametrize("ending", [".png", ".tif"])
@pytest.mark.parametrize("transparent", [False, True])
def test_sixteen_bits_come_from_the_floats(tmp_path, ending, transparent):
    path = tmp_path / f"deep{ending}"
    alpha = np.linspace(0, 1, 64, dtype=np.float32)[None].repeat(20, 0) if transparent else None
    encode.write_image(FINE, path, b"<x/>", alpha=alpha, saving=SaveOptions(depth=16))
    values = read_deep(path)
    assert values.dtype == np.uint16
    np.testing.assert_array_equal(values[..., :3], np.rint(FINE * 257))
    if transparent:
        np.testing.assert_array_equal(values[..., 3], np.rint(alpha * 65535))
    assert decode.read_xmp(path) == b"<x/>"
    with Image.open(path) as image:
        assert "icc_profile" in image.info


def read_deep(path):
    """All 16 bits, by other libraries than Pillow."""
    if path.suffix == ".tif":
        return tifffile.imread(path)
    width, height, rows, about = png.Reader(bytes=path.read_bytes()).read()
    assert about["bitdepth"] == 16
    return np.array(list(rows), np.uint16).reshape(height, width, about["planes"])


@pytest.mark.parametrize("ending", [".jpg", ".webp", ".avif"])
def test_formats_without_the_depth_are_rejected(tmp_path, ending, one_line):
    for act in (
        encode.check_writable,
        lambda path, saving: encode.write_image(FINE, path, saving=saving),
    ):
        with pytest.raises(SettingError) as caught:
            act(tmp_path / f"a{ending}", SaveOptions(depth=16))
        assert "use .png or .tif" in one_line(caught)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("ending", [each for each in encode.WRITABLE_ENDINGS if each[:3] != ".jp"])
def test_transparency_is_written(tmp_path, ending):
    alpha = np.zeros((24, 32), np.float32)
    alpha[:, 16:], alpha[:, 8:16] = 1, 0.5
    path = tmp_path / f"a{ending}"
    encode.write_image(pixels_of(halves()), path, alpha=alpha)
    np.testing.assert_allclose(decode.read_image(path).alpha, alpha, atol=0.01)


def test_jpeg_shows_transparency_on_white(tmp_path):
    alpha = np.zeros((24, 32), np.float32)
    alpha[:, 16:] = 1
    encode.write_image(pixels_of(halves()), tmp_path / "a.jpg", alpha=alpha)
    read = decode.read_image(tmp_path / "a.jpg")
    assert read.alpha is None
    assert_halves(read.pixels, (255, 255, 255), BLUE, 4)


@pytest.mark.parametrize("ending", [".jpg", ".avif"])
def test_quality_and_subsampling_change_the_file(tmp_path, ending):
    pixels, sizes = np.asarray(NOISE, np.float32), []
    for saving in (
        SaveOptions(),
        SaveOptions(quality=50),
        SaveOptions(quality=50, subsampling="4:2:0"),
    ):
        encode.write_image(pixels, tmp_path / f"a{ending}", saving=saving)
        sizes.append((tmp_path / f"a{ending}").stat().st_size)
    assert sizes[0] > sizes[1] > sizes[2]
