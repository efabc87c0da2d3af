"""Files that occur and that Pillow does not read, or reads as something else.

What is right is computed by other decoders or by the formats' specifications; every file is made
here.
"""

import io
import struct

import imagecodecs
import numpy as np
import pillow_heif
import pytest
import tifffile
from PIL import Image, ImageCms, ImageFile, ImageOps

from impasto.errors import ImageError
from impasto.images.formats import decode, encode
from impasto.images.formats.metadata import Metadata, to_exif
from tests.imagery import HEIGHT, NOISE, WIDTH, chunk, encoded, halves, pixels_of, png, tiff

SMOOTH = np.asarray(NOISE.resize((48, 32), Image.Resampling.BICUBIC))
GRAY = SMOOTH[..., 1]


def deep(bits):
    """SMOOTH in more bits, with black and white in it."""
    made = (SMOOTH.astype(np.uint32) * (2**bits - 1) // 255).astype(np.uint16)
    made[:4], made[-4:] = 0, 2**bits - 1
    return made


# JPEG 2000, JPEG ------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["jp2", "j2k"])
@pytest.mark.parametrize("bits", [9, 12, 16])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_jpeg_2000_of_more_than_8_bits_has_a_white_that_is_white(bits, channels, form):
    colors = deep(bits)
    opaque = np.full((*GRAY.shape, 1), 2**bits - 1, np.uint16)
    opaque[:, :9] = 0
    stored = {1: colors[..., 0], 3: colors, 4: np.concatenate([colors, opaque], axis=2)}[channels]
    data = imagecodecs.jpeg2k_encode(
        stored, level=0, reversible=True, bitspersample=bits, codecformat=form
    )
    loaded = decode.read_image(data)
    right = colors / np.float32(2**bits - 1) * 255
    right = np.repeat(right[..., :1], 3, axis=2) if channels == 1 else right
    seen = np.s_[:, 9:] if channels == 4 else np.s_[:]
    np.testing.assert_allclose(loaded.pixels[seen], right[seen], atol=0.01)
    if channels == 4:
        np.testing.assert_array_equal(loaded.alpha, opaque[..., 0] > 0)
    else:
        assert loaded.alpha is None


@pytest.mark.parametrize("bits", [8, 12])
@pytest.mark.parametrize("shape", [np.s_[:, :], np.s_[:, :, 0]], ids=["color", "gray"])
def test_jpeg_of_12_bits(bits, shape):
    stored = np.ascontiguousarray(deep(12)[shape] if bits == 12 else SMOOTH[shape])
    data = imagecodecs.jpeg8_encode(stored, level=98, bitspersample=bits, subsampling="444")
    right = stored / (2**bits - 1) * 255
    right = np.repeat(right[..., None], 3, axis=2) if right.ndim == 2 else right
    assert np.abs(decode.read_image(data).pixels - right).mean() < 4


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
def test_lossless_jpeg_is_exact(bits):
    stored = deep(bits) if bits > 8 else SMOOTH
    data = imagecodecs.jpeg8_encode(stored, lossless=True, bitspersample=bits)
    np.testing.assert_allclose(
        decode.read_image(data).pixels, stored / np.float32(2**bits - 1) * 255, atol=0.01
    )


def test_a_deep_jpeg_has_its_orientation_colors_and_author():
    data = imagecodecs.jpeg8_encode(deep(12), lossless=True, bitspersample=12)
    exif = to_exif(Metadata(author="Me"))
    exif[274] = 6  # turned to the right
    block = exif.tobytes()
    data = data[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + data[2:]
    loaded = decode.read_image(data)
    assert loaded.pixels.shape == (48, 32, 3)
    assert loaded.metadata.author == "Me"
    right = np.rot90(deep(12) / np.float32(4095) * 255, -1)
    np.testing.assert_allclose(loaded.pixels, right, atol=0.01)


def test_the_color_profile_of_a_deep_jpeg_counts():
    """A profile whose red and green are exchanged, in two segments."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    swapped = profile.replace(b"rXYZ", b"tmp_").replace(b"gXYZ", b"rXYZ").replace(b"tmp_", b"gXYZ")
    swapped = swapped.replace(
        "sRGB built-in".encode("utf-16-be"), "other primary".encode("utf-16-be")
    )
    red = np.zeros((20, 20, 3), np.uint16)
    red[..., 0] = 4095
    data = imagecodecs.jpeg8_encode(red, lossless=True, bitspersample=12)
    parts = [b"ICC_PROFILE\0\1\2" + swapped[:300], b"ICC_PROFILE\0\2\2" + swapped[300:]]
    segments = b"".join(b"\xff\xe2" + struct.pack(">H", len(p) + 2) + p for p in parts)
    np.testing.assert_allclose(
        decode.read_image(data[:2] + segments + data[2:]).pixels[5, 5], (0, 255, 0), atol=2
    )


def test_a_truncated_deep_jpeg_is_rejected(one_line):
    data = imagecodecs.jpeg8_encode(deep(12), level=95, bitspersample=12)
    with pytest.raises(ImageError) as caught:
        decode.read_image(data[: len(data) // 2])
    assert "damaged or truncated" in one_line(caught)
    with pytest.raises(ImageError, match="1 x 1 px"):
        decode.read_image(imagecodecs.jpeg8_encode(deep(12)[:1, :1], bitspersample=12))


# PNG ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [1, 2, 4, 8])
@pytest.mark.parametrize("share", [0, 0.4, 1])
def test_the_transparent_gray_of_a_png_is_in_the_files_own_bits(depth, share):
    """PNG, third edition, section 11.3.1.1; bits of the key beyond the depth do not count."""
    most = 2**depth - 1
    shades = np.linspace(0, most, WIDTH).round().astype(int)
    key = int(shades[round(share * (WIDTH - 1))])
    bits = "".join(f"{value:0{depth}b}" for value in shades)
    row = int(bits, 2).to_bytes(WIDTH * depth // 8, "big")
    data = png(depth, 0, row, chunk(b"tRNS", struct.pack(">H", key)))
    for loaded in (decode.read_image(data), decode.from_pillow(Image.open(io.BytesIO(data)))):
        np.testing.assert_array_equal(loaded.alpha[0], shades != key)
        seen = shades != key
        np.testing.assert_allclose(loaded.pixels[0, seen, 0], shades[seen] * (255 / most))
    if depth in (2, 4):
        data = png(depth, 0, row, chunk(b"tRNS", struct.pack(">H", key + 0x5000)))
        np.testing.assert_array_equal(decode.read_image(data).alpha[0], shades != key)


def with_wrong_checksum(data, name):
    at = data.index(name)
    end = at + 4 + int.from_bytes(data[at - 4 : at])
    return data[:end] + bytes([data[end] ^ 1]) + data[end + 1 :]


ANCILLARY = {
    b"tEXt": chunk(b"tEXt", b"Comment\0made here"),
    b"pHYs": chunk(b"pHYs", struct.pack(">IIB", 2835, 2835, 1)),
    b"iCCP": chunk(b"iCCP", b"rubbish\0\0rubbish"),
    b"gAMA": chunk(b"gAMA", (100_000).to_bytes(4)),
    b"tRNS": chunk(b"tRNS", struct.pack(">3H", 9, 9, 9)),
}


@pytest.mark.parametrize("name", ANCILLARY)
def test_a_png_with_a_wrong_checksum_in_a_part_that_is_not_needed(name):
    row = np.random.default_rng(0).integers(0, 255, (WIDTH, 3), np.uint8)
    data = with_wrong_checksum(png(8, 2, row.tobytes(), ANCILLARY[name]), name)
    loaded = decode.read_image(data)
    np.testing.assert_array_equal(loaded.pixels, np.broadcast_to(row, (HEIGHT, WIDTH, 3)))
    assert loaded.alpha is None
    assert len(loaded.notes) == 1
    assert f"({name.decode()})" in loaded.notes[0]


def test_broken_parts_behind_the_pixels_are_left_out_too():
    whole = png(16, 2, bytes(6 * WIDTH), ANCILLARY[b"pHYs"])
    end = whole.index(b"IEND") - 4
    data = whole[:end] + ANCILLARY[b"tEXt"] + whole[end:]
    data = with_wrong_checksum(with_wrong_checksum(data, b"tEXt"), b"pHYs")
    assert "(pHYs, tEXt)" in decode.read_image(data).notes[0]


def test_a_recipe_is_read_beside_a_broken_part(tmp_path):
    path = tmp_path / "a.png"
    encode.write_image(pixels_of(halves()), path, xmp=b"<kept/>", tags=Metadata(dpi=300))
    path.write_bytes(with_wrong_checksum(path.read_bytes(), b"pHYs"))
    assert decode.read_xmp(path) == b"<kept/>"


def test_a_wrong_checksum_of_a_critical_chunk_is_rejected():
    for name in (b"IHDR", b"PLTE"):
        data = png(8, 3, bytes(WIDTH), chunk(b"PLTE", bytes(range(30))))
        with pytest.raises(ImageError):
            decode.read_image(with_wrong_checksum(data, name))


# AVIF -----------------------------------------------------------------------------------------


def avif_with_crop(left, upper, width, height, **options):
    """An AVIF of NOISE whose color profile, of the right length, became a clean aperture."""
    options |= {"subsampling": "4:4:4"}
    data = encoded(NOISE, "AVIF", icc_profile=bytes(28), quality=100, **options)
    offsets = (2 * left + width - NOISE.width, 2, 2 * upper + height - NOISE.height, 2)
    box = b"clap" + struct.pack(">4IiIiI", width, 1, height, 1, *offsets)
    assert data.count(b"colrprof" + bytes(28)) == 1
    data = data.replace(b"colrprof" + bytes(28), box)
    properties = data.index(b"ipco") + 4
    at, number = properties, 1
    while data[at + 4 : at + 8] != b"clap":
        at, number = at + int.from_bytes(data[at : at + 4]), number + 1
    associated = data.index(b"ipma") + 15  # version, flags, one item, its id, a count
    place = data.index(bytes([number]), associated)
    return data[:place] + bytes([number | 0x80]) + data[place + 1 :]  # which readers must know


@pytest.mark.parametrize("orientation", [1, 2, 3, 4, 5, 6, 7, 8])
def test_the_crop_of_an_avif_is_applied(orientation):
    exif = Image.Exif()
    exif[274] = orientation
    data = avif_with_crop(10, 4, 32, 20, exif=exif)
    right = NOISE.crop((10, 4, 42, 24))
    right.getexif()[274] = orientation
    right = np.asarray(ImageOps.exif_transpose(right), np.float32)
    pixels = decode.read_image(data).pixels
    assert pixels.shape[1::-1] == pillow_heif.open_heif(io.BytesIO(data)).size
    assert np.abs(pixels - right).mean() < 4


def test_an_invalid_crop_is_ignored_and_a_small_one_is_rejected():
    assert decode.read_image(avif_with_crop(50, 4, 32, 20)).pixels.shape == (40, 60, 3)
    with pytest.raises(ImageError, match="an image of 8 x 20 px"):
        decode.read_image(avif_with_crop(10, 4, 8, 20))


# GIF, PFM -------------------------------------------------------------------------------------


def gif(canvas, place, size, shade=1):
    """A GIF of one frame of one color, which lies at a place of its canvas."""
    palette = bytes([255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 9, 9])
    pixels = imagecodecs.gif_encode(np.full(size[::-1], shade, np.uint8), colormap=None)
    begin = pixels.index(b",", 13)
    begin = pixels.index(b"," + struct.pack("<4H", 0, 0, *size), 13)
    data = pixels[begin + 10 :]
    data = data[3 * 2 ** ((pixels[begin + 9] & 7) + 1) :] if pixels[begin + 9] & 0x80 else data
    header = b"GIF89a" + struct.pack("<2H", *canvas) + bytes([0x91, 0, 0]) + palette
    return header + b"," + struct.pack("<4HB", *place, *size, 0) + data


def test_what_the_first_frame_of_a_gif_does_not_cover_is_transparent():
    """GIF89a, appendix: where nothing is drawn, browsers show the background of the page."""
    data = gif((40, 30), (10, 5), (20, 16))
    right = np.zeros((30, 40), np.float32)
    right[5:21, 10:30] = 1
    for loaded in (decode.read_image(data), decode.from_pillow(Image.open(io.BytesIO(data)))):
        np.testing.assert_array_equal(loaded.alpha, right)
        assert (loaded.pixels == (0, 255, 0)).all()
    assert decode.read_image(gif((20, 16), (0, 0), (20, 16))).alpha is None


@pytest.mark.parametrize("scale", [-1.0, 1.0], ids=["little", "big"])
def test_a_gray_pfm(scale):
    """Its rows go from the bottom up; the sign of its scale is the order of bytes."""
    kind = "<f4" if scale < 0 else ">f4"
    data = b"Pf\n%d %d\n%f\n" % (*GRAY.shape[::-1], scale)
    data += (GRAY[::-1] / np.float32(255)).astype(kind).tobytes()
    np.testing.assert_allclose(decode.read_image(data).pixels[..., 0], GRAY, atol=0.01)


def test_a_color_pfm_is_rejected_by_name():
    with pytest.raises(ImageError, match="color PFM"):
        decode.read_image(b"PF\n20 20\n-1.0\n" + bytes(4800))


def test_markup_is_known_in_capitals_and_other_bytes_are_not():
    for data in (b"<HTML><body>", b"<!DOCTYPE HTML>", b"<html>"):
        with pytest.raises(ImageError, match="web page"):
            decode.read_image(data + bytes(99))
    with pytest.raises(ImageError, match="not an image, or damaged"):
        decode.read_image(b"pk\3\4" + bytes(99))
    with pytest.raises(ImageError, match="not an image, or damaged"):
        decode.read_image(b"P")


# TIFF -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [2, 4, 5, 7])
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_bands_that_are_ignored_are_counted(count, kind):
    bands = np.repeat(GRAY[..., None], count, axis=2).astype(kind) * (
        257 if kind != np.uint8 else 1
    )
    bands[..., 1:] = 0
    data = tiff(
        bands, photometric="minisblack", planarconfig="contig", extrasamples=[0] * (count - 1)
    )
    loaded = decode.read_image(data)
    np.testing.assert_allclose(loaded.pixels[..., 0], GRAY, atol=0.01)
    assert loaded.notes == (
        f"an image in memory: {count} channels, of which {count - 1} were ignored",
    )


def test_a_tiff_in_ycbcr_without_jpeg():
    """Colors by the JPEG File Interchange Format, whose coefficients are TIFF's own."""
    red, green, blue = np.moveaxis(SMOOTH.astype(float), -1, 0)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    exact = np.stack([luma, 128 + (blue - luma) / 1.772, 128 + (red - luma) / 1.402], axis=-1)
    stored = np.rint(exact).clip(0, 255).astype(np.uint8)
    options = {"photometric": "ycbcr", "compression": "zlib", "metadata": None}
    even = tiff(stored, extratags=[(530, 3, 2, (1, 1), True)], **options)
    np.testing.assert_allclose(decode.read_image(even).pixels, SMOOTH, atol=2)
    narrow = (exact - [0, 128, 128]) * np.array([219, 224, 224]) / 255 + [16, 128, 128]
    narrow = np.rint(narrow).astype(np.uint8)
    levels = sum(((n, 1) for n in (16, 235, 128, 240, 128, 240)), ())
    coded = tiff(
        narrow, extratags=[(530, 3, 2, (1, 1), True), (532, 5, 6, levels, True)], **options
    )
    np.testing.assert_allclose(decode.read_image(coded).pixels, SMOOTH, atol=2)
    each, four = (struct.pack("<HHIHH", 530, 3, 2, n, n) for n in (1, 2))
    halved = even.replace(each, four)
    assert halved != even
    with pytest.raises(
        ImageError, match="YCbCr with subsampled colors and without JPEG compression"
    ):
        decode.read_image(halved)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "CMYK"])
@pytest.mark.parametrize(
    "packing", ["raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "lzma", "zstd", "group4"]
)
def test_tiffs_that_pillow_packs_are_read_as_pillow_reads_them(mode, packing):
    """libtiff is the other decoder here."""
    image = Image.fromarray(SMOOTH).convert(mode)
    if packing == "group4" and mode != "1":
        pytest.skip("of black and white alone")
    data = encoded(image, "TIFF", compression=packing)
    with Image.open(io.BytesIO(data)) as other:
        right = np.asarray(other.convert("RGBA" if mode == "RGBA" else "RGB"), np.float32)
    loaded = decode.read_image(data)
    np.testing.assert_allclose(loaded.pixels, right[..., :3], atol=0)


@pytest.mark.parametrize("bits", [1, 2, 4])
@pytest.mark.parametrize("photometric", ["minisblack", "miniswhite"])
def test_a_tiff_of_fewer_than_8_bits(bits, photometric):
    """TIFF 6.0, section 4; rows are packed by hand."""
    most = 2**bits - 1
    shades = (np.arange(32 * 20).reshape(20, 32) * 7) % (most + 1)
    packed = np.packbits(np.unpackbits(shades.astype(np.uint8)[..., None], axis=2)[..., -bits:])
    white = photometric == "miniswhite"
    tags = [(256, 32), (257, 20), (258, bits), (259, 1), (262, 0 if white else 1)]
    tags += [(273, 8), (277, 1), (278, 20), (279, len(packed))]
    entries = b"".join(struct.pack("<HHII", tag, 3, 1, value) for tag, value in tags)
    data = struct.pack("<2sHI", b"II", 42, 8 + len(packed)) + packed.tobytes()
    data += struct.pack("<H", len(tags)) + entries + bytes(4)
    right = (most - shades if white else shades) * (255 / most)
    np.testing.assert_allclose(decode.read_image(data).pixels[..., 0], right, atol=0.01)


@pytest.mark.parametrize("packing", ["raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "zstd"])
def test_a_truncated_tiff_is_rejected(packing, one_line):
    data = bytearray(
        tiff(
            SMOOTH,
            photometric="rgb",
            compression={"raw": None, "tiff_lzw": "lzw", "tiff_adobe_deflate": "zlib"}.get(
                packing, packing
            ),
        )
    )
    with pytest.raises(ImageError) as caught:
        decode.read_image(bytes(data[: len(data) * 2 // 3]))
    assert "damaged or truncated" in one_line(caught)


@pytest.mark.parametrize(("order", "big"), [("<", False), (">", False), ("<", True)])
def test_the_tags_of_the_page_that_is_read_count(order, big):
    """The first page here is a preview with a density of its own."""
    data = io.BytesIO()
    with tifffile.TiffWriter(data, byteorder=order, bigtiff=big) as writer:
        writer.write(SMOOTH[::2, ::2], subfiletype=1, photometric="rgb", resolution=(10, 10))
        writer.write(SMOOTH, photometric="rgb", resolution=(300, 300), resolutionunit=2)
    loaded = decode.read_image(data.getvalue())
    np.testing.assert_array_equal(loaded.pixels, SMOOTH)
    assert loaded.metadata.dpi == 300


# Streams, arrays, Pillow images ---------------------------------------------------------------


class Trickling(io.RawIOBase):
    """A stream that gives a few bytes at a time, as pipes and sockets do, and cannot go back."""

    def __init__(self, data, step=700):
        self.rest, self.step = io.BytesIO(data), step

    def readable(self):
        return True

    def readinto(self, buffer):
        return self.rest.readinto(memoryview(buffer)[: self.step])


def test_streams_that_return_less_than_asked_are_read_to_their_end():
    data = encoded(NOISE, "PNG")
    assert len(data) > 2000
    np.testing.assert_array_equal(decode.read_image(Trickling(data)).pixels, np.asarray(NOISE))


def test_a_non_blocking_stream_is_rejected(one_line):
    class Waiting(io.RawIOBase):
        def read(self, size=-1):
            return None

    with pytest.raises(ImageError) as caught:
        decode.read_image(Waiting())
    assert "use a blocking stream" in one_line(caught)


@pytest.mark.parametrize("kind", ["u1", "u2", "u4", "i2", "i4", "f2", "f4", "f8"])
def test_byte_orders_and_a_batch_of_one_make_no_difference(kind):
    array = SMOOTH / 255 if kind[0] == "f" else SMOOTH.astype(np.int64)
    array = (array * (257 if kind == "u2" else 1)).astype(kind)
    one = decode.from_array(array)
    for other in (array.astype(f">{kind}"), array.astype(f"<{kind}"), array[np.newaxis]):
        found = decode.from_array(other)
        np.testing.assert_array_equal(found.pixels, one.pixels)
        assert found.notes == one.notes


def test_what_is_masked_in_an_array_is_transparent():
    hidden = np.zeros(GRAY.shape, bool)
    hidden[:, :7] = True
    far = np.where(hidden, -9999.0, GRAY / 255)  # what programs write for no data
    colored = np.ma.masked_array(
        np.repeat(far[..., None], 3, axis=2), np.repeat(hidden[..., None], 3, axis=2)
    )
    for array in (np.ma.masked_array(far, hidden), colored, colored[np.newaxis]):
        loaded = decode.from_array(array)
        np.testing.assert_array_equal(loaded.alpha, ~hidden)
        np.testing.assert_allclose(loaded.pixels[:, 7:, 0], GRAY[:, 7:], atol=0.01)
    assert decode.from_array(np.ma.masked_array(GRAY)).alpha is None
    half = np.ma.masked_array(np.dstack([GRAY, np.full_like(GRAY, 128)]))
    half[:, :7] = np.ma.masked
    alpha = decode.from_array(half).alpha
    assert alpha[:, :7].max() == 0
    np.testing.assert_allclose(alpha[:, 7:], 128 / 255)


def test_the_callers_image_keeps_its_frame_and_its_pixels():
    frames = [Image.fromarray(np.roll(SMOOTH, 5 * n, axis=1)) for n in range(3)]
    for name in ("GIF", "PNG", "TIFF", "WEBP"):
        data = encoded(frames[0], name, save_all=True, append_images=frames[1:])
        for number in (0, 1):
            image = Image.open(io.BytesIO(data))
            image.seek(number)
            image.load()
            image.paste(0, (0, 0, 20, 20))
            before, info = image.tobytes(), dict(image.info)
            decode.from_pillow(image)
            assert (image.tell(), image.tobytes(), image.info) == (number, before, info)


def closed_images(path):
    for load in (False, True):
        image = Image.open(path)
        if load:
            image.load()
        image.close()
        yield image
    with open(path, "rb") as file:
        image = Image.open(file)
    yield image
    with Image.open(path) as image:
        pass
    yield image
    image = Image.new("RGB", (20, 20))
    image.close()
    yield image


def test_a_closed_image_is_rejected_by_name(tmp_path, one_line):
    path = tmp_path / "a.png"
    NOISE.save(path)
    for image in closed_images(path):
        with pytest.raises(ImageError) as caught:
            decode.from_pillow(image)
        assert one_line(caught).startswith("the Pillow image is closed: pass an open image")


@pytest.mark.parametrize("name", ["JPEG", "PNG", "BMP", "PPM", "JPEG2000", "WEBP", "GIF", "TIFF"])
def test_incomplete_files_are_rejected_with_any_setting_of_pillow(monkeypatch, name):
    data = encoded(NOISE, name)
    for setting in (False, True):
        monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", setting)
        notes = decode.read_image(data).notes
        assert any("LOAD_TRUNCATED" in note for note in notes) is (setting and name != "TIFF")
        if name == "JPEG2000" and setting:
            continue  # whose decoder reports the missing end where the setting hides it
        with pytest.raises(ImageError):
            decode.read_image(data[: len(data) // 2])


def test_a_jpeg_without_its_end_is_whole_whatever_pillow_is_set_to(monkeypatch):
    data = encoded(NOISE, "JPEG")[:-2]
    usual = decode.read_image(data)
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    again = decode.read_image(data)
    np.testing.assert_array_equal(again.pixels, usual.pixels)
    assert set(usual.notes) < set(again.notes)
