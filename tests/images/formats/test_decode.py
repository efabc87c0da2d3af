"""Image files are read; each file is created by the test."""

import functools
import io
import os
import struct
import subprocess
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from types import SimpleNamespace

import imagecodecs
import numpy as np
import pytest
from PIL import Image, ImageCms

from impasto.errors import ImageError
from impasto.images.formats import decode, encode
from tests.imagery import (
    BLUE,
    HEIGHT,
    NOISE,
    RED,
    WIDTH,
    assert_halves,
    chunk,
    encoded,
    halves,
    pixels_of,
    png,
)

COLORED = [
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
    ("RGB", "AVIF", 8),
    ("RGBA", "AVIF", 8),
    ("RGB", "HEIF", 8),
    ("RGBA", "HEIF", 8),
]


def test_colors_survive_every_mode_and_format(tmp_path, subtests):
    path = tmp_path / "picture.bin"
    for mode, name, tolerance in COLORED:
        with subtests.test(mode=mode, name=name):
            path.write_bytes(encoded(halves().convert(mode), name))
            loaded = decode.read_image(path)
            assert_halves(loaded.pixels, RED, BLUE, tolerance)
            assert loaded.notes == ()


@pytest.mark.parametrize(
    "mode", ["RGB", "RGBA", "RGBX", "RGBa", "P", "PA", "CMYK", "YCbCr", "HSV", "LAB"]
)
def test_open_images_in_every_color_mode(mode):
    # Eight bits per channel of LAB are coarse at the saturated end.
    tolerance = 25 if mode == "LAB" else 1
    assert_halves(decode.from_pillow(halves().convert(mode)).pixels, RED, BLUE, tolerance)


GRAY = [  # mode, stored values left and right, expected values, formats that Pillow writes
    ("1", 0, 255, 0, 255, "PNG TIFF"),
    ("L", 60, 200, 60, 200, "PNG TIFF JPEG WEBP AVIF HEIF"),
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


def gray_halves(mode: str, left: float, right: float) -> Image.Image:
    if mode[0] not in "IF":
        plain = halves(left, right, "L")
        return plain.convert("LA").convert("La") if mode == "La" else plain.convert(mode)
    values = np.full((HEIGHT, WIDTH), left, np.float32)
    values[:, WIDTH // 2 :] = right
    kind = {"F": "=f4", "I": "=i4", "I;16B": ">u2", "I;16N": "=u2"}.get(mode, "<u2")
    return Image.frombytes(mode, (WIDTH, HEIGHT), values.astype(kind).tobytes())


@pytest.mark.parametrize(("mode", "left", "right", "dark", "light", "names"), GRAY)
def test_gray_of_every_depth(tmp_path, mode, left, right, dark, light, names):
    image = gray_halves(mode, left, right)
    assert_halves(decode.from_pillow(image).pixels, (dark,) * 3, (light,) * 3, 0.01)
    path = tmp_path / "gray.bin"
    for name in names.split():
        path.write_bytes(encoded(image, name))
        tolerance = 6 if name in ("JPEG", "WEBP", "AVIF") else 0.01
        assert_halves(decode.read_image(path).pixels, (dark,) * 3, (light,) * 3, tolerance)


def test_sixteen_bit_color_and_its_transparent_key(tmp_path):
    row = struct.pack(">3H", 65535, 0, 0) * 16 + struct.pack(">3H", 0, 0, 65535) * 16
    path = tmp_path / "deep.png"
    path.write_bytes(png(16, 2, row))
    assert_halves(decode.read_image(path).pixels, RED, BLUE, 1)
    path.write_bytes(png(16, 2, row, chunk(b"tRNS", struct.pack(">3H", 65535, 0, 0))))
    loaded = decode.read_image(path)
    assert_halves(loaded.pixels, BLUE, BLUE, 1)
    assert loaded.alpha[:, 0].max() == 0
    assert loaded.alpha[:, -1].min() == 1


def test_sixteen_bit_gray_with_a_transparent_key(tmp_path):
    path = tmp_path / "deep.png"
    row = struct.pack(">H", 0) * 16 + struct.pack(">H", 25700) * 16
    path.write_bytes(png(16, 0, row, chunk(b"tRNS", struct.pack(">H", 0))))
    loaded = decode.read_image(path)
    assert_halves(loaded.pixels, (100, 100, 100), (100, 100, 100), 0.01)
    assert loaded.alpha[0].tolist() == [0] * 16 + [1] * 16


@pytest.mark.parametrize("name", ["PNG", "WEBP", "TIFF"])
def test_transparency_is_kept_and_colors_nothing(tmp_path, name):
    path = tmp_path / "glass.bin"
    image = halves((255, 0, 0, 0), (0, 0, 255, 128), "RGBA")
    path.write_bytes(encoded(image, name, **({"lossless": True} if name == "WEBP" else {})))
    loaded = decode.read_image(path)
    assert_halves(loaded.pixels, BLUE, BLUE, 0)
    assert loaded.alpha.dtype == np.float32
    assert np.all(loaded.alpha[:, : WIDTH // 2] == 0)
    assert np.allclose(loaded.alpha[:, WIDTH // 2 :], 128 / 255)
    assert loaded.notes == ()


def test_what_is_opaque_all_over_has_no_alpha(tmp_path):
    path = tmp_path / "glass.png"
    path.write_bytes(encoded(halves((*RED, 255), (*BLUE, 255), "RGBA"), "PNG"))
    assert decode.read_image(path).alpha is None


def test_a_fully_transparent_image_is_rejected(tmp_path):
    path = tmp_path / "nothing.png"
    path.write_bytes(encoded(halves((*RED, 0), (*BLUE, 0), "RGBA"), "PNG"))
    with pytest.raises(ImageError, match=r"nothing\.png: the image is fully transparent"):
        decode.read_image(path)


def test_palette_with_a_transparent_entry(tmp_path):
    path = tmp_path / "sprite.bin"
    image = halves(0, 1, "P")
    image.putpalette([*RED, *BLUE])
    path.write_bytes(encoded(image, "PNG", transparency=0))
    loaded = decode.read_image(path)
    assert_halves(loaded.pixels, BLUE, BLUE, 0)
    assert np.all(loaded.alpha == (np.arange(WIDTH) >= WIDTH // 2))


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
def test_every_orientation_stands_upright(tmp_path, name, subtests):
    for orientation in TURNS:
        with subtests.test(orientation=orientation):
            stands_upright(tmp_path, orientation, name)


def stands_upright(tmp_path, orientation, name):
    upright = np.zeros((24, 32, 3), np.uint8)
    upright[:12, :16], upright[:12, 16:], upright[12:, :16] = 250, 160, 80
    stored = np.ascontiguousarray(TURNS[orientation](upright))
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "turned.bin"
    path.write_bytes(encoded(Image.fromarray(stored), name, exif=exif, quality=95))
    pixels = decode.read_image(path).pixels
    assert pixels.shape == (24, 32, 3)
    for row, column in ((6, 8), (6, 24), (18, 8), (18, 24)):
        assert pixels[row, column, 0] == pytest.approx(upright[row, column, 0], abs=6)


@pytest.mark.parametrize("name", decode.FORMATS)
def test_every_format_is_read_by_the_reader_of_its_library(monkeypatch, name):
    used = []
    for library, reader in decode.READERS.items():
        read = functools.partial(read_and_note, used, library, reader)
        monkeypatch.setitem(decode.READERS, library, SimpleNamespace(read=read))
    decode.read_image(encoded(halves(), name))
    library = {"TIFF": "tifffile", **decode.READER_OF_FORMAT}.get(name, "pillow")
    assert used == [library]


def read_and_note(used, library, reader, stream, limits):
    used.append(library)
    return reader.read(stream, limits)


def test_a_broken_exif_block_does_not_change_the_image(tmp_path):
    path = tmp_path / "odd.jpg"
    path.write_bytes(encoded(halves(), "JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff\0\1"))
    assert_halves(decode.read_image(path).pixels, RED, BLUE, 6)


@pytest.mark.parametrize("name", ["PNG", "WEBP", "TIFF", "AVIF", "HEIF"])
def test_first_frame_of_an_animation_and_a_note(tmp_path, name):
    frames = [halves(), halves(BLUE, RED), halves((0, 99, 0), RED)]
    path = tmp_path / "clip.bin"
    path.write_bytes(encoded(frames[0], name, save_all=True, append_images=frames[1:]))
    loaded = decode.read_image(path)
    assert_halves(loaded.pixels, RED, BLUE, 12)
    assert loaded.notes == ("clip.bin: the first of several frames is used",)
    named = decode.read_image(path, name="holiday.gif")  # as of an upload, whose file has any name
    assert named.notes == ("holiday.gif: the first of several frames is used",)


def test_an_open_animation_is_taken_where_it_stands():
    data = encoded(halves(), "GIF", save_all=True, append_images=[halves(BLUE, RED)])
    image = Image.open(io.BytesIO(data))
    image.seek(1)
    loaded = decode.from_pillow(image)
    assert_halves(loaded.pixels, BLUE, RED, 0)
    assert loaded.notes == ()


def test_a_camera_jpeg_with_a_preview_is_no_animation(tmp_path):
    path = tmp_path / "camera.jpg"
    path.write_bytes(encoded(halves(), "MPO", save_all=True, append_images=[halves()]))
    assert decode.read_image(path).notes == ()


def test_an_embedded_color_profile_is_applied(tmp_path):
    """In a profile whose red and green primaries are swapped, (255, 0, 0) is sRGB green."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    swapped = profile.replace(b"rXYZ", b"tmp_").replace(b"gXYZ", b"rXYZ").replace(b"tmp_", b"gXYZ")
    described = "sRGB built-in".encode("utf-16-be")
    swapped = swapped.replace(described, "swapped prims".encode("utf-16-be"))
    path = tmp_path / "wide.png"
    path.write_bytes(encoded(halves(), "PNG", icc_profile=swapped))
    assert_halves(decode.read_image(path).pixels, (0, 255, 0), BLUE, 2)
    image = halves((255, 0, 0, 255), (0, 0, 255, 0), "RGBA")
    path.write_bytes(encoded(image, "PNG", icc_profile=swapped))
    assert_halves(decode.read_image(path).pixels, (0, 255, 0), (0, 255, 0), 2)


@pytest.mark.parametrize("profile", [b"rubbish", bytes(600)])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_broken_or_foreign_color_profile_is_ignored(tmp_path, profile, mode):
    path = tmp_path / "odd.png"
    path.write_bytes(encoded(halves().convert(mode), "PNG", icc_profile=profile))
    expected = pixels_of(halves().convert(mode))
    assert_halves(decode.read_image(path).pixels, expected[0, 0], expected[0, -1], 0)


# Refusing -----------------------------------------------------------------------------------


def big_header(width: int, height: int) -> bytes:
    return png(8, 2, b"", size=(width, height))


def gray_tiff(low: float, high: float) -> bytes:
    values = np.linspace(low, high, WIDTH * HEIGHT, dtype=np.float32).reshape(HEIGHT, WIDTH)
    return encoded(Image.fromarray(values), "TIFF")


BAD = {
    "empty": (b"", ["is an empty file"]),
    "text": (b"Dear picture,\nhere I am.\n", ["not an image", "JPEG, PNG"]),
    "svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", ["not an image", "export"]),
    "postscript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", ["not an image"]),
    "tiny": (encoded(Image.new("RGB", (1, 1)), "PNG"), ["1 x 1 px", "the minimum is 16 x 16 px"]),
    "thin": (
        encoded(Image.new("RGB", (400, 15)), "PNG"),
        ["400 x 15 px", "the minimum is 16 x 16"],
    ),
    "large": (big_header(14_000, 12_800), ["179,200,000 pixels", "178,956,970"]),
    "huge": (big_header(60_000, 60_000), ["3,600,000,000 pixels", "178,956,970"]),
    "float": (gray_tiff(-1, 3), ["-1 to 3", "0 to 1 or 0 to 255"]),
    "not finite": (gray_tiff(0, np.nan), ["nan", "0 to 1 or 0 to 255"]),
    "16 bit and more": (encoded(halves(0, 70000, "I"), "TIFF"), ["0 to 70000", "0 to 65535"]),
    "no IDAT": (big_header(100, 100)[:40], ["damaged"]),
} | {
    f"{name} cut to {part:.0%}": (data[: int(len(data) * part)], ["damaged"])
    for name in decode.FORMATS
    for data in [encoded(NOISE, name)]
    for part in (0.1, 0.6, 0.97)
}


def test_bad_files_are_rejected_in_one_line(tmp_path, recwarn, one_line, subtests):
    path = tmp_path / "bad.png"
    for case, (data, words) in BAD.items():
        with subtests.test(case):
            path.write_bytes(data)
            with pytest.raises(ImageError) as caught:
                decode.read_image(path)
            message = one_line(caught)
            assert message.startswith(f"{path}: ")
            assert all(word in message for word in words), message
            assert not recwarn.list
            recwarn.clear()


def test_size_is_checked_before_decoding(tmp_path, monkeypatch):
    path = tmp_path / "big.png"
    path.write_bytes(encoded(halves(), "PNG"))
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda self: pytest.fail("decoded"))
    with pytest.raises(ImageError, match="768 pixels: the maximum is 700"):
        decode.read_image(path, decode.SizeLimits(max_pixels=700))


def test_more_pixels_than_usual_are_read_where_they_are_asked_for(tmp_path, monkeypatch):
    """As of a telephone's 200 megapixels; Pillow's limit, one for the whole process, stays."""
    path = tmp_path / "large.png"
    Image.new("1", (14_000, 12_800)).save(path)
    monkeypatch.setattr(Image.Image, "load", lambda self: pytest.fail("decoded"))
    usual = Image.MAX_IMAGE_PIXELS
    with pytest.raises(ImageError, match="use --size original"):
        decode.read_image(path)
    with pytest.raises(ImageError, match=r"the maximum is 179,199,999; reduce it first$"):
        decode.read_image(path, decode.SizeLimits(max_pixels=179_199_999))
    with path.open("rb") as stream, decode.opened_image(stream) as image:
        assert image.size == (14_000, 12_800)
    assert usual == Image.MAX_IMAGE_PIXELS


def test_missing_files_suggest_near_names(tmp_path, one_line):
    (tmp_path / "Harbour.JPG").touch()
    with pytest.raises(ImageError) as caught:
        decode.read_image(tmp_path / "harbor.jpg")
    assert one_line(caught).endswith("no such file: did you mean Harbour.JPG?")
    with pytest.raises(ImageError) as caught:
        decode.read_image(tmp_path / "zzz.png")
    assert one_line(caught).endswith("no such file")


def test_paths_that_are_no_files(tmp_path, one_line):
    (tmp_path / "file").touch()
    for path, words in {
        tmp_path: "is a folder",
        tmp_path / "no" / "a.png": "no such file",
        tmp_path / "file" / "a.png": "no such file",
        "/dev/zero": "a device",
        tmp_path / ("n" * 260): "File name too long",
        f"{tmp_path}/nul\0.png": "null",
        tmp_path / "two\nlines.png": "no such file",
    }.items():
        with pytest.raises(ImageError) as caught:
            decode.read_image(path)
        assert words in one_line(caught)


def test_a_file_without_read_permission(tmp_path, one_line, ordinary_user):
    path = tmp_path / "secret.png"
    path.write_bytes(encoded(halves(), "PNG"))
    path.chmod(0)
    with pytest.raises(ImageError) as caught, ordinary_user():
        decode.read_image(path)
    assert "cannot be read: Permission denied" in one_line(caught)


def test_running_out_of_memory_is_explained(tmp_path, monkeypatch):
    def fail_to_load(self: Image.Image) -> None:
        raise MemoryError

    path = tmp_path / "a.png"
    path.write_bytes(encoded(halves(), "PNG"))
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", fail_to_load)
    with pytest.raises(ImageError, match="not enough memory"):
        decode.read_image(path)


def test_an_open_image_is_rejected_with_the_same_message():
    with pytest.raises(ImageError, match=r"^an image of 1 x 1 px"):
        decode.from_pillow(Image.new("RGB", (1, 1)))
    data = encoded(NOISE, "PNG")
    with pytest.raises(ImageError, match=r"^damaged"):
        decode.from_pillow(Image.open(io.BytesIO(data[: len(data) // 2])))


NOISY_TIFF = encoded(NOISE, "TIFF", compression="jpeg")


def test_nothing_reaches_stderr(tmp_path):
    """libtiff and libjpeg print by themselves, so this looks from outside the process."""
    path, other = tmp_path / "loud.tif", tmp_path / "loud.png"
    path.write_bytes(NOISY_TIFF.replace(b"\xff\xdb", b"\xff\xfe", 2))
    other.write_bytes(png(16, 2, bytes(6 * WIDTH), chunk(b"iCCP", b"rubbish\0\0rubbish")))
    code = (
        "import sys; from impasto import files; from impasto.images.formats import decode, encode\n"
        "from impasto.errors import InputError\n"
        "import numpy as np\n"
        "decode.read_image(sys.argv[2])\n"
        "for act in (lambda: decode.read_image(sys.argv[1]),\n"
        "            lambda: encode.write_image(np.zeros((16, 66000, 3)), sys.argv[1] + '.jpg')):\n"
        "    try: act()\n"
        "    except InputError: print('refused')\n"
        "print('heard', file=sys.stderr)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, path, other], capture_output=True, text=True)
    assert done.stdout == "refused\nrefused\n"
    assert done.stderr == "heard\n"


EVERY_DECODER = (
    *(encoded(NOISE, name) for name in decode.FORMATS),
    NOISY_TIFF,
    imagecodecs.png_encode(np.asarray(NOISE).astype(np.uint16) * 257),
    NOISY_TIFF.replace(b"\xff\xdb", b"\xff\xfe", 2),
)


def read_or_refused(data):
    with suppress(ImageError):
        decode.read_image(data)


def test_threads_that_read_and_write_leave_the_process_as_it_is(tmp_path, capfd):
    """A thread that logs loses no line, a child process has a stderr, warnings stay as they are."""
    filters, most, formats = list(warnings.filters), Image.MAX_IMAGE_PIXELS, dict(Image.OPEN)
    environment, done, lines = dict(os.environ), threading.Event(), []

    def log():
        while not done.wait(0.001):
            lines.append(f"line {len(lines)}\n")
            os.write(2, lines[-1].encode())

    def decode_and_encode(number):
        for data in EVERY_DECODER:
            read_or_refused(data)
        encode.write_image(pixels_of(halves()), tmp_path / f"{number}.tif")

    logger = threading.Thread(target=log)
    logger.start()
    with ThreadPoolExecutor(6) as pool:
        work = pool.map(decode_and_encode, range(12))
        child = subprocess.Popen(
            ["sh", "-c", "echo child >&2; read line; echo still >&2"], stdin=-1
        )
        assert len(list(work)) == 12
        child.communicate(b"\n")
    done.set()
    logger.join()
    heard = capfd.readouterr().err.splitlines(keepends=True)
    assert [line for line in heard if line.startswith("line")] == lines
    assert len(lines) > 20
    assert [line for line in heard if not line.startswith("line")] == ["child\n", "still\n"]
    assert warnings.filters == filters
    assert (Image.MAX_IMAGE_PIXELS, os.environ) == (most, environment)
    assert formats == {name: Image.OPEN[name] for name in formats}
