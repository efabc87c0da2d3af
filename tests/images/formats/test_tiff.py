"""TIFF of every depth and layout that tifffile writes, and the choice of the page."""

import numpy as np
import pytest
from PIL import Image

from impasto.errors import ImageError
from impasto.images.formats import decode
from tests.combinations import product
from tests.imagery import encoded, pages, tiff
from tests.images.formats.test_color_management import CHART

COLOR = CHART.astype(np.uint8)
GRAY = COLOR[..., 1]
IN_COLORS = CHART
IN_GRAY = np.repeat(CHART[..., 1:2], 3, axis=2)


def in_type(array, kind):
    if np.dtype(kind).kind == "f":
        return (array / 255).astype(kind)
    return (array.astype(np.uint64) * np.iinfo(kind).max // 255).astype(kind)


def inverted(array):
    return (1 if array.dtype.kind == "f" else np.iinfo(array.dtype).max) - array


ARRANGED = {
    "gray": (lambda kind: in_type(GRAY, kind), IN_GRAY, {"photometric": "minisblack"}),
    "white is zero": (
        lambda kind: inverted(in_type(GRAY, kind)),
        IN_GRAY,
        {"photometric": "miniswhite"},
    ),
    "color": (lambda kind: in_type(COLOR, kind), IN_COLORS, {"photometric": "rgb"}),
    "planes apart": (
        lambda kind: np.moveaxis(in_type(COLOR, kind), -1, 0),
        IN_COLORS,
        {"photometric": "rgb", "planarconfig": "separate"},
    ),
}
PACKED: dict[str, dict[str, object]] = {
    "as it is": {"compression": None},
    "zlib": {"compression": "zlib", "predictor": True},
    "lzw": {"compression": "lzw"},
    "zstd": {"compression": "zstd", "tile": (16, 16)},
    "packbits": {"compression": "packbits", "byteorder": ">"},
}


@pytest.mark.parametrize(
    ("arranged", "kind", "packed"),
    product(ARRANGED, ["u1", "u2", "u4", "f2", "f4", "f8"], PACKED),
)
def test_every_depth_and_arrangement(arranged, kind, packed):
    make, expected, options = ARRANGED[arranged]
    how = PACKED[packed]
    if kind == "f2" and how.get("predictor"):
        how = {"compression": "zlib"}
    loaded = decode.read_image(tiff(make(kind), **options, **how))
    np.testing.assert_allclose(loaded.pixels, expected, atol=0.1)
    assert loaded.alpha is None
    assert loaded.notes == ()


@pytest.mark.parametrize(
    ("kind", "apart", "extra"),
    product(["u1", "u2", "f4"], [False, True], ["unassalpha", "assocalpha", "unspecified"]),
)
def test_a_fourth_channel_has_the_meaning_stated_by_the_file(kind, apart, extra):
    half = np.concatenate(
        [in_type(COLOR, kind), in_type(np.full_like(GRAY, 128), kind)[..., None]], 2
    )
    if extra == "assocalpha":
        half[..., :3] = half[..., :3] * (128 / 255)
    array = np.moveaxis(half, -1, 0) if apart else half
    plan = "separate" if apart else "contig"
    loaded = decode.read_image(
        tiff(array, photometric="rgb", planarconfig=plan, extrasamples=[extra])
    )
    np.testing.assert_allclose(loaded.pixels, IN_COLORS, atol=2)
    if extra == "unspecified":
        assert loaded.alpha is None
    else:
        np.testing.assert_allclose(loaded.alpha, 128 / 255, atol=1e-2)


@pytest.mark.parametrize("bits", [10, 12, 14])
@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite"])
def test_bits_between_eight_and_sixteen(bits, photometric):
    most = 2**bits - 1
    array = (GRAY.astype(np.uint32) * most // 255).astype(np.uint16)
    array = most - array if photometric == "miniswhite" else array
    data = tiff(array, photometric=photometric, bitspersample=bits)
    np.testing.assert_allclose(decode.read_image(data).pixels, IN_GRAY, atol=0.5)


@pytest.mark.parametrize("kind", ["u1", "u2"])
def test_palettes_of_every_size(kind):
    generator = np.random.default_rng(0)
    most = np.iinfo(kind).max
    palette = generator.integers(0, 65536, (3, most + 1)).astype(np.uint16)
    index = generator.integers(0, most + 1, (20, 30)).astype(kind)
    pixels = decode.read_image(tiff(index, photometric="palette", colormap=palette)).pixels
    np.testing.assert_allclose(pixels, np.moveaxis(palette[:, index], 0, -1) / 257, atol=1)


# CIELAB for D50 of red, green, blue and gray of sRGB, by Lindbloom's calculator.
LABS = {
    (255, 0, 0): (54.29, 80.81, 69.89),
    (0, 0, 255): (29.57, 68.30, -112.03),
    (128, 128, 128): (53.585, 0, 0),
}


@pytest.mark.parametrize(
    ("color", "photometric", "bits"), product(LABS, ["cielab", "icclab"], [8, 16])
)
def test_lab_is_brought_to_srgb(color, photometric, bits):
    lightness, *chroma = LABS[color]
    step, offset = 2 ** (bits - 8), 128 if photometric == "icclab" else 0
    white = 0xFF00 if (photometric, bits) == ("icclab", 16) else 2**bits - 1
    numbers = [lightness / 100 * white, *((each + offset) * step for each in chroma)]
    pixel = (np.rint(numbers).astype(np.int64) % 2**bits).astype(f"u{bits // 8}")
    data = tiff(np.broadcast_to(pixel, (20, 20, 3)).copy(), photometric=photometric)
    np.testing.assert_allclose(
        decode.read_image(data).pixels[0, 0], color, atol=1 if bits == 16 else 4
    )


TURNS = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.swapaxes(0, 1),
    6: lambda a: np.rot90(a, 1),
    7: lambda a: a[::-1, ::-1].swapaxes(0, 1),
    8: lambda a: np.rot90(a, -1),
}


def test_deep_images_are_upright(subtests):
    for orientation, turned in TURNS.items():
        with subtests.test(orientation=orientation):
            stored = np.ascontiguousarray(turned(in_type(COLOR, "u2")))
            data = tiff(stored, photometric="rgb", extratags=[(274, 3, 1, orientation, True)])
            np.testing.assert_allclose(decode.read_image(data).pixels, IN_COLORS, atol=0.1)


# Which page -----------------------------------------------------------------------------------

SMALL = np.full((20, 24, 3), 7, np.uint8)
REDUCED, MASK = {"subfiletype": 1}, {"subfiletype": 4, "photometric": "mask"}
EVERYWHERE = np.ones((20, 24), bool)
PAGES = {
    "preview first": ([(SMALL, REDUCED), (COLOR, {})], 0),
    "preview last": ([(COLOR, {}), (SMALL, REDUCED)], 0),
    "mask first": ([(EVERYWHERE, MASK), (COLOR, {})], 0),
    "preview of the old kind": ([(SMALL, {"extratags": [(255, 3, 1, 2, True)]}), (COLOR, {})], 0),
    "preview, full below it": ([(SMALL, REDUCED | {"subifds": 1}), (COLOR, {})], 0),
    "full, preview below it": ([(COLOR, {"subifds": 1}), (SMALL, REDUCED)], 0),
    "two images": ([(COLOR, {}), (SMALL, {})], 1),
    "previews alone": ([(SMALL, REDUCED), (COLOR, REDUCED)], 0),
}


@pytest.mark.parametrize("deep", [False, True])
@pytest.mark.parametrize("case", PAGES)
def test_the_first_full_size_page_is_the_image(case, deep):
    written, several = PAGES[case]
    if deep:
        written = [
            (array if array.dtype == bool else in_type(array, "u2"), options)
            for array, options in written
        ]
    loaded = decode.read_image(pages(*written))
    np.testing.assert_allclose(loaded.pixels, IN_COLORS, atol=0.1)
    assert len(loaded.notes) == several


RAW = {
    "what a sensor saw": (np.zeros((32, 32), np.uint16), {"photometric": 32803}),
    "linear raw": (np.zeros((32, 32, 3), np.uint16), {"photometric": 34892}),
    "the version of DNG": (
        COLOR,
        {"photometric": "rgb", "extratags": [(50706, 1, 4, (1, 4, 0, 0), True)]},
    ),
}


def raw_file(case):
    array, options = RAW[case]
    if "extratags" not in options:
        options = options | {
            "extratags": [(33421, 3, 2, (2, 2), True), (33422, 1, 4, (0, 1, 1, 2), True)]
        }
    return tiff(array, **options)


@pytest.mark.parametrize("case", RAW)
def test_a_raw_file_is_rejected_with_advice(case, one_line):
    with pytest.raises(ImageError) as caught:
        decode.read_image(raw_file(case))
    assert "camera raw file" in one_line(caught)
    assert "converter to TIFF or JPEG" in str(caught.value)


def test_a_raw_file_whose_first_page_is_a_preview_is_rejected(tmp_path, one_line):
    import tifffile

    path = tmp_path / "a.nef"
    with tifffile.TiffWriter(path) as writer:
        writer.write(SMALL, photometric="rgb", subfiletype=1, subifds=1)
        writer.write(np.zeros((64, 64), np.uint16), photometric=32803, extratags=[
            (33421, 3, 2, (2, 2), True), (33422, 1, 4, (0, 1, 1, 2), True),
        ])  # fmt: skip
    with pytest.raises(ImageError) as caught:
        decode.read_image(path)
    assert one_line(caught).startswith(f"{path}: a camera raw file")


def test_tags_of_deep_images_are_read(tmp_path):
    data = tiff(
        in_type(COLOR, "f4"),
        photometric="rgb",
        resolution=(300, 300),
        resolutionunit=2,
        extratags=[(315, 2, 0, b"Me", True)],
    )
    about = decode.read_image(data).metadata
    assert (about.dpi, about.author) == (300, "Me")


def test_a_colour_space_that_is_not_read_is_named(one_line):
    with pytest.raises(ImageError) as caught:
        decode.read_image(tiff(GRAY > 99, photometric="mask"))
    assert "TIFF in mask of 1 x 1 bits is not supported" in one_line(caught)


def test_floats_in_a_tiff_tell_their_range():
    array = (GRAY / 255).astype(np.float32)
    array[0, 0] = 1.002
    loaded = decode.read_image(tiff(array))
    np.testing.assert_allclose(loaded.pixels[1:], IN_GRAY[1:], atol=1e-3)
    assert "were clipped to 0 to 1" in loaded.notes[0]


def test_tiffs_written_by_pillow_are_read_unchanged():
    for mode in ("1", "L", "LA", "RGB", "RGBA", "P", "CMYK", "YCbCr"):
        image = Image.fromarray(COLOR).convert(mode)
        expected = np.asarray(image.convert("RGB"), np.float32)
        tolerance = 2 if mode == "YCbCr" else 0
        pixels = decode.read_image(encoded(image, "TIFF")).pixels
        np.testing.assert_allclose(pixels, expected, atol=tolerance)
