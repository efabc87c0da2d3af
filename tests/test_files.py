"""Reading and writing picture files; every file used here is made here."""

import errno
import io
import os
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from impasto import files
from impasto.errors import PictureError

RED, BLUE = (255, 0, 0), (0, 0, 255)
WIDTH, HEIGHT = 32, 24


def halves(left: Any = RED, right: Any = BLUE, mode: str = "RGB") -> Image.Image:
    image = Image.new(mode, (WIDTH, HEIGHT), left)
    image.paste(right, (WIDTH // 2, 0, WIDTH, HEIGHT))
    return image


def pixels_of(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("RGB"), np.float32)


def encoded(image: Image.Image, name: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, name, **options)
    return buffer.getvalue()


def png(depth: int, kind: int, row: bytes, extra: bytes = b"", size: Any = None) -> bytes:
    """A PNG of equal rows, for what Pillow reads but does not write."""
    header = struct.pack(">IIBBBBB", *(size or (WIDTH, HEIGHT)), depth, kind, 0, 0, 0)
    data = zlib.compress((b"\0" + row) * HEIGHT)
    body = chunk(b"IHDR", header) + extra + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def assert_halves(pixels: np.ndarray, left: Any, right: Any, tolerance: float) -> None:
    assert pixels.dtype == np.float32
    assert pixels.shape == (HEIGHT, WIDTH, 3)
    assert pixels.min() >= 0
    assert pixels.max() <= 255
    near_edge = slice(WIDTH // 2 - 8, WIDTH // 2 + 8)
    pixels = np.delete(pixels, np.r_[near_edge], axis=1)
    np.testing.assert_allclose(pixels[:, :8] - np.array(left, np.float32), 0, atol=tolerance)
    np.testing.assert_allclose(pixels[:, 8:] - np.array(right, np.float32), 0, atol=tolerance)


# Reading ------------------------------------------------------------------------------------

COLOURED = [
    ("RGB", "PNG", 0),
    ("RGBA", "PNG", 0),
    ("P", "PNG", 0),
    ("RGB", "JPEG", 6),
    ("YCbCr", "JPEG", 6),
    ("CMYK", "JPEG", 6),
    ("RGB", "WEBP", 12),
    ("RGBA", "WEBP", 12),
    ("RGB", "TIFF", 0),
    ("RGBA", "TIFF", 0),
    ("P", "TIFF", 0),
    ("CMYK", "TIFF", 0),
    ("YCbCr", "TIFF", 2),
    ("LAB", "TIFF", 25),
    ("RGB", "BMP", 0),
    ("P", "BMP", 0),
    ("RGB", "GIF", 0),
    ("RGB", "AVIF", 8),
    ("RGBA", "AVIF", 8),
]


@pytest.mark.parametrize(("mode", "name", "tolerance"), COLOURED)
def test_colours_survive_every_mode_and_format(tmp_path, mode, name, tolerance):
    path = tmp_path / "picture.bin"
    path.write_bytes(encoded(halves().convert(mode), name))
    loaded = files.read(path)
    assert_halves(loaded.pixels, RED, BLUE, tolerance)
    assert loaded.notes == ()


@pytest.mark.parametrize(
    "mode", ["RGB", "RGBA", "RGBX", "RGBa", "P", "PA", "CMYK", "YCbCr", "HSV", "LAB"]
)
def test_open_images_in_every_colour_mode(mode):
    # Eight bits per channel of LAB are coarse at the saturated end.
    tolerance = 25 if mode == "LAB" else 1
    assert_halves(files.image_pixels(halves().convert(mode)).pixels, RED, BLUE, tolerance)


GREY = [  # mode, stored values left and right, expected values, formats that Pillow writes
    ("1", 0, 255, 0, 255, "PNG TIFF BMP GIF"),
    ("L", 60, 200, 60, 200, "PNG TIFF BMP GIF JPEG WEBP AVIF"),
    ("LA", 60, 200, 60, 200, "PNG TIFF WEBP AVIF"),
    ("La", 60, 200, 60, 200, ""),
    ("I", 60, 200, 60, 200, "TIFF"),
    ("I", 60 * 257, 65535, 60, 255, "TIFF"),
    ("I;16", 60 * 257, 65535, 60, 255, "PNG TIFF"),
    ("I;16L", 60 * 257, 65535, 60, 255, "TIFF"),
    ("I;16B", 60 * 257, 65535, 60, 255, "PNG TIFF"),
    ("I;16N", 60 * 257, 65535, 60, 255, ""),
    ("F", 0.2, 1.0, 51, 255, "TIFF"),
    ("F", 0.5, 200.0, 0.5, 200, "TIFF"),
]


def grey_halves(mode: str, left: float, right: float) -> Image.Image:
    if mode[0] not in "IF":
        plain = halves(left, right, "L")
        return plain.convert("LA").convert("La") if mode == "La" else plain.convert(mode)
    values = np.full((HEIGHT, WIDTH), left, np.float32)
    values[:, WIDTH // 2 :] = right
    kind = {"F": "=f4", "I": "=i4", "I;16B": ">u2", "I;16N": "=u2"}.get(mode, "<u2")
    return Image.frombytes(mode, (WIDTH, HEIGHT), values.astype(kind).tobytes())


@pytest.mark.parametrize(("mode", "left", "right", "dark", "light", "names"), GREY)
def test_grey_of_every_depth(tmp_path, mode, left, right, dark, light, names):
    image = grey_halves(mode, left, right)
    assert_halves(files.image_pixels(image).pixels, (dark,) * 3, (light,) * 3, 0.01)
    path = tmp_path / "grey.bin"
    for name in names.split():
        path.write_bytes(encoded(image, name))
        tolerance = 6 if name in ("JPEG", "WEBP", "AVIF") else 0.01
        assert_halves(files.read(path).pixels, (dark,) * 3, (light,) * 3, tolerance)


def test_sixteen_bit_colour_and_its_transparent_key(tmp_path):
    row = struct.pack(">3H", 65535, 0, 0) * 16 + struct.pack(">3H", 0, 0, 65535) * 16
    path = tmp_path / "deep.png"
    path.write_bytes(png(16, 2, row))
    assert_halves(files.read(path).pixels, RED, BLUE, 1)
    path.write_bytes(png(16, 2, row, chunk(b"tRNS", struct.pack(">3H", 65535, 0, 0))))
    loaded = files.read(path)
    assert_halves(loaded.pixels, (255, 255, 255), BLUE, 1)
    assert loaded.notes == ("deep.png: transparent parts are shown on white",)


def test_sixteen_bit_grey_with_a_transparent_key(tmp_path):
    path = tmp_path / "deep.png"
    row = struct.pack(">H", 0) * 16 + struct.pack(">H", 25700) * 16
    path.write_bytes(png(16, 0, row, chunk(b"tRNS", struct.pack(">H", 0))))
    loaded = files.read(path)
    assert_halves(loaded.pixels, (255, 255, 255), (100, 100, 100), 0.01)
    assert len(loaded.notes) == 1


@pytest.mark.parametrize("name", ["PNG", "WEBP", "TIFF"])
def test_transparency_is_composited_over_white(tmp_path, name):
    path = tmp_path / "glass.bin"
    image = halves((255, 0, 0, 0), (0, 0, 255, 128), "RGBA")
    path.write_bytes(encoded(image, name, **({"lossless": True} if name == "WEBP" else {})))
    loaded = files.read(path)
    assert_halves(loaded.pixels, (255, 255, 255), (127, 127, 255), 0.01)
    assert loaded.notes == ("glass.bin: transparent parts are shown on white",)


@pytest.mark.parametrize("name", ["PNG", "GIF"])
def test_palette_with_a_transparent_entry(tmp_path, name):
    path = tmp_path / "sprite.bin"
    image = halves(0, 1, "P")
    image.putpalette([*RED, *BLUE])
    path.write_bytes(encoded(image, name, transparency=0))
    assert_halves(files.read(path).pixels, (255, 255, 255), BLUE, 0)


TURNS = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, 1),
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
    8: lambda a: np.rot90(a, -1),
}


@pytest.mark.parametrize("name", ["PNG", "JPEG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_stands_upright(tmp_path, orientation, name):
    upright = np.zeros((24, 32, 3), np.uint8)
    upright[:12, :16], upright[:12, 16:], upright[12:, :16] = 250, 160, 80
    stored = np.ascontiguousarray(TURNS[orientation](upright))
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "turned.bin"
    path.write_bytes(encoded(Image.fromarray(stored), name, exif=exif, quality=95))
    pixels = files.read(path).pixels
    assert pixels.shape == (24, 32, 3)
    for row, column in ((6, 8), (6, 24), (18, 8), (18, 24)):
        assert pixels[row, column, 0] == pytest.approx(upright[row, column, 0], abs=6)


def test_a_broken_exif_block_leaves_the_picture_as_it_is(tmp_path):
    path = tmp_path / "odd.jpg"
    path.write_bytes(encoded(halves(), "JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff\0\1"))
    assert_halves(files.read(path).pixels, RED, BLUE, 6)


@pytest.mark.parametrize("name", ["GIF", "PNG", "WEBP", "TIFF", "AVIF"])
def test_first_frame_of_an_animation_and_a_note(tmp_path, name):
    frames = [halves(), halves(BLUE, RED), halves((0, 99, 0), RED)]
    path = tmp_path / "clip.bin"
    path.write_bytes(encoded(frames[0], name, save_all=True, append_images=frames[1:]))
    loaded = files.read(path)
    assert_halves(loaded.pixels, RED, BLUE, 12)
    assert loaded.notes == ("clip.bin: the first of 3 frames is used",)


def test_an_open_animation_is_taken_where_it_stands():
    data = encoded(halves(), "GIF", save_all=True, append_images=[halves(BLUE, RED)])
    image = Image.open(io.BytesIO(data))
    image.seek(1)
    loaded = files.image_pixels(image)
    assert_halves(loaded.pixels, BLUE, RED, 0)
    assert loaded.notes == ()


def test_a_camera_jpeg_with_a_preview_is_no_animation(tmp_path):
    path = tmp_path / "camera.jpg"
    path.write_bytes(encoded(halves(), "MPO", save_all=True, append_images=[halves()]))
    assert files.read(path).notes == ()


def test_an_embedded_colour_profile_is_applied(tmp_path):
    """In a profile whose red and green primaries are swapped, (255, 0, 0) is sRGB green."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    swapped = profile.replace(b"rXYZ", b"tmp_").replace(b"gXYZ", b"rXYZ").replace(b"tmp_", b"gXYZ")
    described = "sRGB built-in".encode("utf-16-be")
    swapped = swapped.replace(described, "swapped prims".encode("utf-16-be"))
    path = tmp_path / "wide.png"
    path.write_bytes(encoded(halves(), "PNG", icc_profile=swapped))
    assert_halves(files.read(path).pixels, (0, 255, 0), BLUE, 2)
    image = halves((255, 0, 0, 255), (0, 0, 255, 0), "RGBA")
    path.write_bytes(encoded(image, "PNG", icc_profile=swapped))
    assert_halves(files.read(path).pixels, (0, 255, 0), (255, 255, 255), 2)


@pytest.mark.parametrize("profile", [b"rubbish", bytes(600)])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_broken_or_foreign_colour_profile_is_ignored(tmp_path, profile, mode):
    path = tmp_path / "odd.png"
    path.write_bytes(encoded(halves().convert(mode), "PNG", icc_profile=profile))
    expected = pixels_of(halves().convert(mode))
    assert_halves(files.read(path).pixels, expected[0, 0], expected[0, -1], 0)


# Refusing -----------------------------------------------------------------------------------


def big_header(width: int, height: int) -> bytes:
    return png(8, 2, b"", size=(width, height))


def grey_tiff(low: float, high: float) -> bytes:
    values = np.linspace(low, high, WIDTH * HEIGHT, dtype=np.float32).reshape(HEIGHT, WIDTH)
    return encoded(Image.fromarray(values), "TIFF")


NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8))

BAD = {
    "empty": (b"", ["is an empty file"]),
    "text": (b"Dear picture,\nhere I am.\n", ["not a picture", "PNG, JPEG"]),
    "svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", ["not a picture"]),
    "postscript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", ["not a picture"]),
    "tiny": (encoded(Image.new("RGB", (1, 1)), "PNG"), ["1 x 1 px", "at least 16 x 16 px"]),
    "thin": (encoded(Image.new("RGB", (400, 15)), "PNG"), ["400 x 15 px", "at least 16 x 16"]),
    "large": (big_header(14_000, 12_800), ["179,200,000 pixels", "178,956,970"]),
    "huge": (big_header(60_000, 60_000), ["3,600,000,000 pixels", "178,956,970"]),
    "float": (grey_tiff(-1, 3), ["-1 to 3", "0 to 1 or 0 to 255"]),
    "not finite": (grey_tiff(0, np.nan), ["nan", "0 to 1 or 0 to 255"]),
    "16 bit and more": (encoded(halves(0, 70000, "I"), "TIFF"), ["0 to 70000", "0 to 65535"]),
    "no IDAT": (big_header(100, 100)[:40], ["damaged"]),
} | {
    f"{name} cut to {part:.0%}": (data[: int(len(data) * part)], ["damaged"])
    for name in files.FORMATS
    for data in [encoded(NOISE, name)]
    for part in (0.1, 0.6, 0.97)
}


@pytest.mark.parametrize(("data", "words"), BAD.values(), ids=BAD.keys())
def test_bad_files_are_refused_in_one_line(tmp_path, recwarn, data, words, one_line):
    path = tmp_path / "bad.png"
    path.write_bytes(data)
    with pytest.raises(PictureError) as caught:
        files.read(path)
    message = one_line(caught)
    assert message.startswith(f"{path}: ")
    assert all(word in message for word in words), message
    assert not recwarn.list


def test_size_is_checked_before_decoding(tmp_path, monkeypatch):
    path = tmp_path / "big.bmp"
    path.write_bytes(encoded(halves(), "BMP"))
    monkeypatch.setattr(files, "MAX_PIXELS", 700)
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda self: pytest.fail("decoded"))
    with pytest.raises(PictureError, match="768 pixels: at most 700"):
        files.read(path)


def test_missing_files_suggest_near_names(tmp_path, one_line):
    (tmp_path / "Harbour.JPG").touch()
    with pytest.raises(PictureError) as caught:
        files.read(tmp_path / "harbor.jpg")
    assert one_line(caught).endswith("no such file: did you mean Harbour.JPG?")
    with pytest.raises(PictureError) as caught:
        files.read(tmp_path / "zzz.png")
    assert one_line(caught).endswith("no such file")


def test_paths_that_are_no_files(tmp_path, one_line):
    (tmp_path / "file").touch()
    for path, words in {
        tmp_path: "is a folder",
        tmp_path / "no" / "a.png": "no such file",
        tmp_path / "file" / "a.png": "no such file",
        "/dev/zero": "a device",
        tmp_path / ("n" * 300): "File name too long",
        f"{tmp_path}/nul\0.png": "null",
        tmp_path / "two\nlines.png": "no such file",
    }.items():
        with pytest.raises(PictureError) as caught:
            files.read(path)
        assert words in one_line(caught)


def test_a_file_without_read_permission(tmp_path, one_line, ordinary_user):
    path = tmp_path / "secret.png"
    path.write_bytes(encoded(halves(), "PNG"))
    path.chmod(0)
    with pytest.raises(PictureError) as caught, ordinary_user():
        files.read(path)
    assert "cannot be read: Permission denied" in one_line(caught)


def test_running_out_of_memory_is_explained(tmp_path, monkeypatch):
    def fail_to_load(self: Image.Image) -> None:
        raise MemoryError

    path = tmp_path / "a.png"
    path.write_bytes(encoded(halves(), "PNG"))
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", fail_to_load)
    with pytest.raises(PictureError, match="not enough memory"):
        files.read(path)


def test_an_open_image_is_refused_alike():
    with pytest.raises(PictureError, match=r"^a picture of 1 x 1 px"):
        files.image_pixels(Image.new("RGB", (1, 1)))
    data = encoded(NOISE, "PNG")
    with pytest.raises(PictureError, match=r"^damaged"):
        files.image_pixels(Image.open(io.BytesIO(data[: len(data) // 2])))


NOISY_TIFF = encoded(NOISE, "TIFF", compression="jpeg")


def test_nothing_reaches_stderr(tmp_path):
    """libtiff and libjpeg print by themselves, so this looks from outside the process."""
    path = tmp_path / "loud.tif"
    path.write_bytes(NOISY_TIFF.replace(b"\xff\xdb", b"\xff\xfe", 2))
    code = (
        "import sys; from impasto import files\n"
        "from impasto.errors import PictureError\n"
        "import numpy as np\n"
        "for act in (lambda: files.read(sys.argv[1]),\n"
        "            lambda: files.write(np.zeros((16, 66000, 3)), sys.argv[1] + '.jpg')):\n"
        "    try: act()\n"
        "    except PictureError: print('refused')\n"
        "print('heard', file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True)
    assert done.stdout == "refused\nrefused\n"
    assert done.stderr == "heard\n"


def test_reading_in_threads_leaves_stderr_open(tmp_path, capfd):
    path = tmp_path / "a.png"
    path.write_bytes(encoded(halves(), "PNG"))
    with ThreadPoolExecutor(4) as pool:
        assert len(list(pool.map(files.read, [path] * 40))) == 40
    os.write(2, b"heard")
    assert capfd.readouterr().err == "heard"


SEEDS = [encoded(NOISE.crop((0, 0, 20, 18)), name) for name in files.FORMATS] + [
    encoded(halves(), "GIF", save_all=True, append_images=[halves(BLUE, RED)]),
    encoded(NOISE, "TIFF", compression="tiff_lzw"),
    NOISY_TIFF,
]
EDITS = st.lists(
    st.tuples(st.integers(0, 4000) | st.integers(0, 80), st.integers(0, 255)), max_size=12
)


@settings(
    max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(seed=st.sampled_from(SEEDS), edits=EDITS, keep=st.just(1.0) | st.floats(0, 1))
def test_mutated_files_are_read_or_refused(tmp_path, monkeypatch, seed, edits, keep):
    monkeypatch.setattr(files, "MAX_PIXELS", 100_000)  # a changed header may ask for gigabytes
    data = bytearray(seed[: int(len(seed) * keep)])
    for position, value in edits if data else ():
        data[position % len(data)] = value
    path = tmp_path / "mutated.bin"
    path.write_bytes(data)
    try:
        pixels = files.read(path).pixels
    except PictureError as error:
        refusal = str(error)
        assert refusal.isprintable()
        return
    assert pixels.dtype == np.float32
    assert pixels.shape[2:] == (3,)
    assert pixels.min() >= 0
    assert pixels.max() <= 255


# Writing ------------------------------------------------------------------------------------


def test_rounding_and_clipping():
    values = np.array([-20, 0.4, 0.6, 254.6, 300], np.float32).reshape(1, 5, 1).repeat(3, axis=2)
    assert np.asarray(files.to_image(values))[0, :, 0].tolist() == [0, 0, 1, 255, 255]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_values_that_are_not_finite_are_never_written(tmp_path, value):
    broken = pixels_of(halves())
    broken[3, 4, 1] = value
    with pytest.raises(PictureError, match="not finite"):
        files.write(broken, tmp_path / "a.png")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("ending", files.PICTURES)
def test_written_pictures_read_back(tmp_path, ending):
    path = tmp_path / f"painted{ending.upper()}"
    files.write(pixels_of(halves()), path)
    exact = ending in (".png", ".webp", ".tif", ".tiff", ".bmp")
    assert_halves(files.read(path).pixels, RED, BLUE, 0 if exact else 4)
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
    files.write(stripes, tmp_path / "a.jpg")
    assert abs(files.read(tmp_path / "a.jpg").pixels - stripes).max() < 12


def test_the_same_picture_gives_the_same_bytes(tmp_path):
    pixels = np.asarray(NOISE, np.float32)

    def written() -> dict[str, bytes]:
        files._srgb_profile.cache_clear()
        for ending in files.PICTURES:
            files.write(pixels, tmp_path / f"a{ending}")
        return {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    first = written()
    time.sleep(1.1)  # the clock in an ICC header counts seconds
    assert written() == first


def test_written_files_have_ordinary_permissions(tmp_path):
    files.write_text("{}", tmp_path / "a.json")
    (tmp_path / "b").touch()
    assert (tmp_path / "a.json").stat().st_mode == (tmp_path / "b").stat().st_mode


def test_text_is_replaced_and_links_are_followed(tmp_path):
    target, link = tmp_path / "real.json", tmp_path / "link.json"
    target.write_text("old")
    link.symlink_to(target)
    files.write_text("naïve\n", link)
    assert link.is_symlink()
    assert target.read_bytes() == "naïve\n".encode()


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
        files.write(pixels_of(halves()), path)
    assert "cannot be written: No space left on device" in one_line(caught)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_interruption_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.json"
    path.write_bytes(b"old")

    def write_half() -> None:
        with files.replacing(path) as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("ending", [".jpg", ".webp"])
def test_a_picture_too_long_for_its_format(tmp_path, ending, one_line):
    with pytest.raises(PictureError) as caught:
        files.write(np.zeros((16, 66_000, 3), np.float32), tmp_path / f"a{ending}")
    assert "cannot be written" in one_line(caught)
    assert list(tmp_path.iterdir()) == []


# Checking -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.png", "a.JPG", "a.b.tiff"])
def test_possible_outputs_pass_and_leave_nothing(tmp_path, monkeypatch, name):
    files.check_output(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    files.check_output(name)
    files.check_output("a.json", (".json",))
    assert list(tmp_path.iterdir()) == []


OUTPUTS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "unknown ending": (lambda folder: folder / "a.xyz", "the ending .xyz: possible: .png, .jpg"),
    "near ending": (lambda folder: folder / "a.jpgg", "did you mean .jpg"),
    "no ending": (lambda folder: folder / "a", "no ending: possible: .png"),
    "a folder": (lambda folder: folder / "folder.png", "is a folder"),
    "no folder": (lambda folder: folder / "none" / "a.png", "there is no folder"),
    "below a file": (lambda folder: folder / "file" / "a.png", "there is no folder"),
    "/proc": (lambda folder: Path("/proc/a.png"), "cannot be written"),
    "device": (lambda folder: folder / "null.png", "is a device"),
    "null byte": (lambda folder: folder / "nul\0.png", "cannot be written"),
    "other kind": (lambda folder: folder / "a.gif", "the ending .gif"),
}


@pytest.mark.parametrize(("place", "words"), OUTPUTS.values(), ids=OUTPUTS.keys())
def test_impossible_outputs(tmp_path, place, words, one_line):
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "null.png").symlink_to("/dev/null")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(PictureError) as caught:
        files.check_output(place(tmp_path))
    assert words in one_line(caught)
    with pytest.raises(PictureError):
        files.write(pixels_of(halves()), place(tmp_path))
    assert sorted(tmp_path.iterdir()) == before
    assert not Path("/dev/null").is_file()


def test_a_folder_without_write_permission(tmp_path, one_line, ordinary_user):
    tmp_path.chmod(0o500)
    with pytest.raises(PictureError) as caught, ordinary_user():
        files.check_output(tmp_path / "a.png")
    tmp_path.chmod(0o700)
    assert "Permission denied" in one_line(caught)


def test_free_names(tmp_path):
    assert files.free_name(tmp_path, "night") == tmp_path / "night.png"
    (tmp_path / "night.png").touch()
    assert files.free_name(str(tmp_path), "night").name == "night-2.png"
    (tmp_path / "night-2.png").symlink_to("nowhere")
    assert files.free_name(tmp_path, "night").name == "night-3.png"
    assert files.free_name(tmp_path, "night", ".gif").name == "night.gif"


def test_importing_stays_light():
    code = "import sys, impasto.files; print('PIL.ImageCms' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "False\n"
