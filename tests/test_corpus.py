"""Pictures from strangers: thousands of damaged files, and every odd one that a format allows.

In a process of its own, since a decoder that crashes would take the tests with it, under a watchdog
that ends it when one file takes longer than LONGEST seconds.
"""

import os
import subprocess
import sys

import imagecodecs
import numpy as np
import pytest
from PIL import Image, ImageCms

from impasto.errors import ImageError, InputError
from impasto.images.formats import decode, metadata
from impasto.images.formats.metadata import GpsPosition, Metadata
from impasto.pipeline import provenance
from impasto.pipeline.provenance import Provenance
from impasto.recipe.settings import Recipe
from tests.imagery import NOISE, WIDTH, chunk, encoded, from_srgb, halves, pages, png, tiff, to_srgb

DEEP = np.random.default_rng(1).integers(0, 65536, (24, 36, 3)).astype(np.uint16)
QUICK, MANY = 500, int(os.environ.get("IMPASTO_DAMAGED", "5000"))
"""Damaged files in the quick and in the slow tests; ``make soak`` asks for more."""
LONGEST = 10
MAX_PIXELS = 20_000_000
"""Lowered, since a changed header may ask for gigabytes, which a machine may have or not."""

SAID = Metadata(300, "2020:01:02 03:04:05", "+01:00", "Me", "mine", GpsPosition(47.5, 8.25))
PACKET = Provenance(Recipe(), "tensorflow", {"network": "vgg16", "sha256": "0" * 64}, ()).to_xmp()
SEEDS = (
    *(encoded(NOISE.crop((0, 0, 20, 18)), name) for name in decode.FORMATS),
    *(
        encoded(halves((1, 2, 3, 0), mode="RGBA"), name)
        for name in decode.FORMATS
        if name not in ("JPEG", "PPM")
    ),
    encoded(NOISE, "TIFF", compression="tiff_lzw"),
    encoded(NOISE, "TIFF", compression="jpeg"),
    encoded(halves(), "PNG", save_all=True, append_images=[halves()]),
    encoded(halves().convert("CMYK"), "JPEG", icc_profile=bytes(200)),
    encoded(halves().convert("P"), "PNG", transparency=0),
    encoded(NOISE, "JPEG", exif=metadata.to_exif(SAID), progressive=True),
    encoded(NOISE, "WEBP", exif=metadata.to_exif(SAID), xmp=PACKET),
    encoded(NOISE, "JPEG", xmp=PACKET),
    encoded(NOISE, "TIFF", exif=metadata.to_exif(SAID), tiffinfo={700: PACKET}),
    encoded(NOISE, "JPEG")[:-2],
    encoded(NOISE, "JPEG", progressive=True)[:-2],
    *(tiff(DEEP, photometric="rgb", compression=packed) for packed in (None, "zlib", "lzw")),
    tiff(np.moveaxis(DEEP, -1, 0), photometric="rgb", planarconfig="separate", tile=(16, 16)),
    tiff(DEEP / np.float32(65535), photometric="rgb", compression="zlib", predictor=True),
    tiff(DEEP[..., 0] >> 4, photometric="miniswhite", bitspersample=12),
    tiff(DEEP, photometric="cielab"),
    pages((DEEP[::2, ::2], {"subfiletype": 1}), (DEEP, {})),
    imagecodecs.png_encode(DEEP),
    png(16, 2, bytes(6 * WIDTH), chunk(b"cICP", bytes([9, 16, 0, 1]))),
    png(8, 0, bytes(WIDTH), chunk(b"gAMA", (45455).to_bytes(4)) + chunk(b"cHRM", bytes(32))),
    imagecodecs.avif_encode(DEEP >> 6, bitspersample=10, primaries=9, transfer=16),
    encoded(Image.fromarray(DEEP[..., 0]), "PPM"),
)


def mutated(number):
    """Return the damaged file of a number: bytes changed, cut out, doubled, or cut off."""
    generator = np.random.default_rng(number)
    data = bytearray(SEEDS[number % len(SEEDS)])
    for _ in range(generator.integers(0, 6)):
        # Headers matter more than pixels.
        place = int(generator.integers(0, min(len(data), generator.choice([40, 400, 10**6]))))
        length = int(generator.integers(1, 5))
        match generator.integers(0, 5):
            case 0:
                data[place : place + length] = generator.bytes(length)
            case 1:
                data[place : place + length] = b""
            case 2:
                data[place:place] = data[place : place + 8 * length]
            case 3:
                data[place : place + length] = b"\xff" * length
            case _:
                data[place : place + length] = b"\0" * length
    if generator.random() < 0.3:
        del data[generator.integers(0, len(data) + 1) :]
    return bytes(data)


def read_all(folder, count):
    """Read every damaged file; print how many could be read and how many were refused."""
    import faulthandler

    decode.ANY_SIZE = decode.SizeLimits(min_side=1, max_pixels=MAX_PIXELS)
    path, read = os.path.join(folder, "picture.bin"), 0
    for number in range(count):
        with open(path, "wb") as file:
            file.write(mutated(number))
        faulthandler.dump_traceback_later(LONGEST, exit=True)
        found = read_or_refused(path)
        said = recipe_or_refused(path)
        faulthandler.cancel_dump_traceback_later()
        assert said.isprintable(), (number, said)
        if isinstance(found, str):
            assert found.isprintable(), (number, found)
        else:
            assert found.dtype == np.float32, number
            assert found.min() >= 0 <= found.max() <= 255, number
            read += 1
    print(read, count - read)


def read_or_refused(path):
    try:
        return decode.read_image(path, decode.SizeLimits(max_pixels=MAX_PIXELS)).pixels
    except ImageError as error:
        return str(error)


def recipe_or_refused(path):
    try:
        return provenance.read_provenance(path).backend
    except InputError as error:
        return str(error)


@pytest.mark.parametrize("count", [QUICK, pytest.param(MANY, marks=pytest.mark.slow)])
def test_damaged_files_are_read_or_rejected(tmp_path, count):
    code = f"from tests.test_corpus import read_all; read_all({str(tmp_path)!r}, {count})"
    # Pillow's Python warnings are the program's to filter; C libraries must not write at all.
    words = [sys.executable, "-W", "ignore", "-c", code]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stderr == ""
    read, refused = map(int, done.stdout.split())
    assert read > count / 20
    assert refused > count / 20
    assert [each.name for each in tmp_path.iterdir()] == ["picture.bin"]


SIZES = [(1, 1), (1, 20000), (20000, 1), (16, 16), (17, 20000), (31, 1000), (16383, 16)]


@pytest.mark.parametrize("name", decode.FORMATS)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_every_size_is_read_or_rejected_for_its_size(tmp_path, name, size):
    path = tmp_path / "picture.bin"
    try:
        path.write_bytes(encoded(Image.new("RGB", size, (9, 99, 199)), name))
    except (OSError, ValueError, RuntimeError) as error:
        pytest.skip(f"{name} has no such size: {error}")
    if min(size) < decode.MIN_SIDE:
        with pytest.raises(ImageError, match=f"{size[0]} x {size[1]} px"):
            decode.read_image(path)
    else:
        pixels = decode.read_image(path).pixels
        assert pixels.shape == (size[1], size[0], 3)
        np.testing.assert_allclose(pixels, np.broadcast_to((9, 99, 199), pixels.shape), atol=8)


@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
def test_gray_of_every_number_of_bits(tmp_path, depth):
    """White, black, and in between what there is; PNG packs the bits from the left."""
    most, pixels = 2**depth - 1, np.zeros(WIDTH, np.uint16)
    pixels[0], pixels[1], pixels[2] = most, most // 3, most // 2
    bits = "".join(f"{value:0{depth}b}" for value in pixels)
    row = int(bits, 2).to_bytes(len(bits) // 8, "big")
    path = tmp_path / "gray.png"
    path.write_bytes(png(depth, 0, row))
    read = decode.read_image(path).pixels[3, :, 0]
    np.testing.assert_allclose(read, pixels * (255 / most), atol=0.51)


# Color profiles -----------------------------------------------------------------------------

# Colorants of RGB spaces, relative to D50, and their gamma: Adobe RGB (1998) and Display P3.
SPACES = {
    "Adobe RGB": (
        ((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457)),
        2.2,
    ),
    "Display P3": (
        ((0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407)),
        None,
    ),
}


def profile_of(space):
    """Put together an ICC profile of three colorants and a curve."""
    colorants, gamma = SPACES[space]
    base = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    base = base.replace("sRGB built-in".encode("utf-16-be"), f"{space:<13}".encode("utf-16-be"))
    for name, values in zip((b"rXYZ", b"gXYZ", b"bXYZ"), colorants, strict=True):
        entry = base.index(name, 128)
        place = int.from_bytes(base[entry + 4 : entry + 8], "big") + 8
        for value in values:
            base[place : place + 4] = round(value * 65536).to_bytes(4, "big", signed=True)
            place += 4
    if gamma:
        entry = base.index(b"rTRC", 128)
        place = int.from_bytes(base[entry + 4 : entry + 8], "big")
        base[place : place + 16] = (
            b"para" + bytes(4) + bytes(4) + round(gamma * 65536).to_bytes(4, "big")
        )
    return bytes(base)


@pytest.mark.parametrize("space", SPACES)
def test_wide_colors_are_brought_to_srgb(tmp_path, space):
    """Against color science: linearise, by its colorants to XYZ, by sRGB's back, encode."""
    (colorants, gamma), values = SPACES[space], np.array([120, 160, 90])
    curve = (lambda v: v**gamma) if gamma else from_srgb
    xyz = np.array(colorants).T @ curve(values / 255)
    srgb = np.array(
        [[0.43607, 0.22249, 0.01392], [0.38515, 0.71687, 0.09708], [0.14307, 0.06061, 0.7141]]
    )
    expected = 255 * to_srgb(np.linalg.solve(srgb.T, xyz))
    path = tmp_path / "wide.png"
    image = Image.new("RGB", (20, 20), tuple(map(int, values)))
    path.write_bytes(encoded(image, "PNG", icc_profile=profile_of(space)))
    np.testing.assert_allclose(decode.read_image(path).pixels[3, 3], expected, atol=1.5)
    assert abs(expected - values).max() > 4


def test_an_srgb_profile_changes_nothing(tmp_path):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    path = tmp_path / "a.png"
    path.write_bytes(encoded(NOISE, "PNG", icc_profile=profile))
    np.testing.assert_array_equal(decode.read_image(path).pixels, np.asarray(NOISE, np.float32))


@pytest.mark.parametrize("name", ["JPEG", "TIFF"])
def test_cmyk_with_a_profile_for_other_pixels(tmp_path, name):
    path = tmp_path / "a.bin"
    path.write_bytes(encoded(halves().convert("CMYK"), name, icc_profile=profile_of("Adobe RGB")))
    plain = tmp_path / "b.bin"
    plain.write_bytes(encoded(halves().convert("CMYK"), name))
    np.testing.assert_array_equal(decode.read_image(path).pixels, decode.read_image(plain).pixels)
