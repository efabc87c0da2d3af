"""Every way in which a file states its tones and colors, and which statement wins.

A chart is encoded in a space by color science (the spaces' published matrices), written with the
statement, and must come back as the chart.
"""

import io
import struct

import imagecodecs
import numpy as np
import pillow_heif
import png as pypng
import pytest
from PIL import Image

from impasto.images.formats import color_management, decode
from impasto.images.formats.color_management import ColorTags, IccProfile
from impasto.images.formats.containers import CodePoints
from tests.imagery import chunk, encoded, from_srgb, tiff, to_srgb
from tests.test_corpus import profile_of

CHART = np.zeros((32, 48, 3))
CHART[:16, :24], CHART[:16, 24:] = (200, 40, 40), (40, 180, 60)
CHART[16:, :24], CHART[16:, 24:] = (40, 60, 200), (128, 128, 128)
LIGHT = from_srgb(CHART / 255)
GRAY = CHART[..., 1]

# From linear RGB to XYZ for D65, published: IEC 61966-2-1, SMPTE EG 432-1, ITU-R BT.2020.
SRGB = [
    [0.4124564, 0.3575761, 0.1804375],
    [0.2126729, 0.7151522, 0.0721750],
    [0.0193339, 0.1191920, 0.9503041],
]
P3 = [
    [0.4865709, 0.2656677, 0.1982173],
    [0.2289746, 0.6917385, 0.0792869],
    [0.0, 0.0451134, 1.0439444],
]
BT2020 = [
    [0.6369580, 0.1446169, 0.1688810],
    [0.2627002, 0.6779981, 0.0593017],
    [0.0, 0.0280727, 1.0609851],
]
ADOBE = [
    [0.5767309, 0.1855540, 0.1881852],
    [0.2973769, 0.6273491, 0.0752741],
    [0.0270343, 0.0706872, 0.9911085],
]
MATRICES = {"sRGB": SRGB, "P3": P3, "BT2020": BT2020, "Adobe": ADOBE}


def pq(light):
    """SMPTE ST 2084 of light, 1 for 203 candelas."""
    y = (light * 203 / 10_000) ** 0.1593017578125
    return ((0.8359375 + 18.8515625 * y) / (1 + 18.6875 * y)) ** 78.84375


def hlg(light):
    """ITU-R BT.2100 of light on a display of 1000 candelas, 1 for 203."""
    shown = light * 0.203
    luminance = shown @ np.array(BT2020)[1]
    scene = shown * np.maximum(luminance, 1e-9)[..., None] ** (1 / 1.2 - 1)
    high = 0.17883277 * np.log(np.maximum(12 * scene - 0.28466892, 1e-9)) + 0.55991073
    return np.where(scene <= 1 / 12, np.sqrt(3 * scene), high)


def in_space(space, curve=to_srgb, light=LIGHT):
    """The chart's values in [0, 1] in another space."""
    return curve(np.maximum(light @ (np.linalg.inv(MATRICES[space]) @ np.array(SRGB)).T, 0))


def integers(values, bits):
    return np.rint(values * (2**bits - 1)).astype(np.uint8 if bits == 8 else np.uint16)


def png_of(values, bits, *chunks):
    """A PNG of gray (h, w), or of channels (h, w, 2 to 4), with chunks before its pixels."""
    array = integers(values, bits)
    channels = 1 if array.ndim == 2 else array.shape[2]
    buffer = io.BytesIO()
    writer = pypng.Writer(
        *array.shape[1::-1], greyscale=channels < 3, alpha=channels in (2, 4), bitdepth=bits
    )
    writer.write(buffer, array.reshape(len(array), -1))
    data = buffer.getvalue()
    return data[:33] + b"".join(chunks) + data[33:]


def heif_of(values, primaries, transfer, bits=10):
    raw = integers(values, 16).tobytes()
    image = pillow_heif.from_bytes("RGB;16", values.shape[1::-1], raw)
    buffer = io.BytesIO()
    points = {"color_primaries": primaries, "transfer_characteristics": transfer}
    image.save(buffer, quality=-1, chroma=444, matrix_coefficients=0, full_range_flag=1, **points)
    return buffer.getvalue()


def avif_of(values, primaries, transfer, bits):
    array = integers(values, bits)
    points = {"primaries": primaries, "transfer": transfer, "bitspersample": bits}
    return imagecodecs.avif_encode(array, level=100, pixelformat="444", **points)


def cicp(primaries, transfer, full=1):
    return chunk(b"cICP", bytes([primaries, transfer, 0, full]))


def gama(gamma):
    return chunk(b"gAMA", struct.pack(">I", round(100_000 * gamma)))


def chrm(*xy):
    """White first, as PNG has it."""
    return chunk(b"cHRM", struct.pack(">8I", *(round(100_000 * n) for n in xy)))


def iccp(profile):
    import zlib

    return chunk(b"iCCP", b"a\0\0" + zlib.compress(profile))


D65 = (0.3127, 0.329)
ADOBE_CHRM = chrm(*D65, 0.64, 0.33, 0.21, 0.71, 0.15, 0.06)
NARROW = (16 + 219 * in_space("P3")) / 255
GAMMA22 = lambda light: light ** (256 / 563)  # noqa: E731
LINEAR = imagecodecs.cms_profile("gray", gamma=1.0)
VIDEO = imagecodecs.cms_profile("gray", gamma=1.8)
P3_ICC, ADOBE_ICC = profile_of("Display P3"), profile_of("Adobe RGB")
FULL = {
    "cICP P3 8": lambda: png_of(in_space("P3"), 8, cicp(12, 13)),
    "cICP P3 16": lambda: png_of(in_space("P3"), 16, cicp(12, 13)),
    "cICP BT.2020 as video": lambda: png_of(in_space("BT2020"), 16, cicp(9, 1)),
    "cICP P3 linear": lambda: png_of(in_space("P3", lambda v: v), 16, cicp(12, 8)),
    "cICP P3 narrow": lambda: png_of(NARROW, 16, cicp(12, 13, 0)),
    "cICP PQ": lambda: png_of(in_space("BT2020", pq), 16, cicp(9, 16)),
    "cICP HLG": lambda: png_of(in_space("BT2020", hlg), 16, cicp(9, 18)),
    "cICP before a profile": lambda: png_of(in_space("P3"), 16, iccp(ADOBE_ICC), cicp(12, 13)),
    "a profile where cICP is unknown": lambda: png_of(
        in_space("P3"), 16, iccp(P3_ICC), cicp(99, 13)
    ),
    "a profile where cICP has a matrix": lambda: png_of(
        in_space("P3"), 16, iccp(P3_ICC), chunk(b"cICP", bytes([9, 16, 9, 1]))
    ),
    "profile 8": lambda: png_of(in_space("P3"), 8, iccp(P3_ICC)),
    "profile 16": lambda: png_of(in_space("P3"), 16, iccp(P3_ICC)),
    "profile 16 TIFF": lambda: tiff(
        integers(in_space("P3"), 16), photometric="rgb", iccprofile=P3_ICC
    ),
    "profile float TIFF": lambda: tiff(
        in_space("P3").astype(np.float32), photometric="rgb", iccprofile=P3_ICC
    ),
    "profile planar TIFF": lambda: tiff(
        np.moveaxis(integers(in_space("P3"), 16), -1, 0),
        photometric="rgb",
        planarconfig="separate",
        iccprofile=P3_ICC,
    ),
    "a profile before sRGB and gamma": lambda: png_of(
        in_space("P3"), 16, chunk(b"sRGB", b"\0"), gama(1.0), iccp(P3_ICC)
    ),
    "sRGB before gamma": lambda: png_of(
        CHART / 255, 16, chunk(b"sRGB", b"\0"), gama(1.0), ADOBE_CHRM
    ),
    "gamma": lambda: png_of(LIGHT, 16, gama(1.0)),
    "gamma 1.8": lambda: png_of(LIGHT ** (1 / 1.8), 16, gama(1 / 1.8)),
    "gamma of sRGB": lambda: png_of(CHART / 255, 16, gama(0.45455)),
    "gamma and chromaticities": lambda: png_of(
        in_space("Adobe", lambda v: v ** (1 / 1.8)), 16, gama(1 / 1.8), ADOBE_CHRM
    ),
    "chromaticities alone": lambda: png_of(in_space("Adobe"), 16, ADOBE_CHRM),
    "senseless chromaticities": lambda: png_of(CHART / 255, 16, chrm(*[0.3] * 8)),
    "senseless gamma": lambda: png_of(CHART / 255, 16, gama(0)),
    "nclx P3 HEIC": lambda: heif_of(in_space("P3"), 12, 13),
    "nclx PQ HEIC": lambda: heif_of(in_space("BT2020", pq), 9, 16),
    "nclx HLG HEIC": lambda: heif_of(in_space("BT2020", hlg), 9, 18),
    "nclx P3 AVIF": lambda: avif_of(in_space("P3"), 12, 13, 8),
    "nclx P3 AVIF 10": lambda: avif_of(in_space("P3"), 12, 13, 10),
    "nclx PQ AVIF 10": lambda: avif_of(in_space("BT2020", pq), 9, 16, 10),
    "nclx PQ AVIF 12": lambda: avif_of(in_space("BT2020", pq), 9, 16, 12),
    "nclx HLG AVIF 10": lambda: avif_of(in_space("BT2020", hlg), 9, 18, 10),
    "nclx unspecified AVIF": lambda: avif_of(CHART / 255, 2, 2, 8),
}


@pytest.mark.parametrize("statement", FULL)
def test_the_chart_is_the_chart_however_its_colors_are_stated(statement):
    loaded = decode.read_image(FULL[statement]())
    # JPEG-like packing, and 8 bits spread over wider colors, cost a step or two at dark ends.
    tolerance = 3.5 if "AVIF" in statement or "HEIC" in statement or " 8" in statement else 1.1
    np.testing.assert_allclose(loaded.pixels, CHART, atol=tolerance)
    bright = "PQ" in statement or "HLG" in statement
    assert [("high dynamic range" in note) for note in loaded.notes] == [True] * bright


def exif_of(space=None, along=None):
    """EXIF as a camera writes it: its own block in the first, and interoperability in that."""
    own = [(0xA001, 3, 1, space)] if space is not None else []
    own += [(0xA005, 4, 1, 26 + 6 + 12 * (len(own) + 1))] if along is not None else []
    blocks = [[(0x8769, 4, 1, 26)], own]
    data = b"II*\0\x08\0\0\0" + b"".join(
        struct.pack("<H", len(block))
        + b"".join(struct.pack("<HHII", *entry) for entry in block)
        + bytes(4)
        for block in blocks
    )
    if along is not None:
        name = struct.unpack("<I", along.encode() + b"\0")[0]
        data += struct.pack("<HHHIII", 1, 1, 2, 4, name, 0)
    return b"Exif\0\0" + data


@pytest.mark.parametrize(
    ("exif", "wide"),
    [
        (exif_of(65535, "R03"), True),
        (exif_of(None, "R03"), True),
        (exif_of(2), True),
        (exif_of(1, "R98"), False),
        (exif_of(1, "R03"), False),
        (exif_of(65535), False),
        (exif_of(), False),
    ],
)
def test_adobe_rgb_stated_only_by_exif(exif, wide):
    values = in_space("Adobe", GAMMA22) if wide else CHART / 255
    image = Image.fromarray(integers(values, 8))
    data = encoded(image, "JPEG", exif=exif, quality=100, subsampling=0)
    np.testing.assert_allclose(decode.read_image(data).pixels, CHART, atol=4)
    wider = encoded(image, "JPEG", exif=exif, quality=100, subsampling=0, icc_profile=ADOBE_ICC)
    if wide:
        np.testing.assert_allclose(decode.read_image(wider).pixels, CHART, atol=4)


def gray_files(profile, values):
    alpha = np.dstack([values, np.ones_like(values)])
    sixteen = integers(values, 16)
    return {
        "PNG 8": png_of(values, 8, iccp(profile)),
        "PNG 16": png_of(values, 16, iccp(profile)),
        "PNG 8 with alpha": png_of(alpha, 8, iccp(profile)),
        "PNG 16 with alpha": png_of(alpha, 16, iccp(profile)),
        "TIFF 8": tiff(integers(values, 8), photometric="minisblack", iccprofile=profile),
        "TIFF 16": tiff(sixteen, photometric="minisblack", iccprofile=profile),
        "TIFF 16, white is 0": tiff(65535 - sixteen, photometric="miniswhite", iccprofile=profile),
        "TIFF float": tiff(values.astype(np.float32), iccprofile=profile),
        "JPEG": encoded(
            Image.fromarray(integers(values, 8)), "JPEG", icc_profile=profile, quality=100
        ),
    }


KINDS = list(gray_files(LINEAR, GRAY / 255))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("profile", "gamma"), [(LINEAR, 1.0), (VIDEO, 1.8)])
def test_profiles_of_gray_count_in_every_depth(kind, profile, gamma):
    values = from_srgb(GRAY / 255) ** (1 / gamma)
    pixels = decode.read_image(gray_files(profile, values)[kind]).pixels
    # A step of 8 bits of linear light is four steps of sRGB at the chart's darkest.
    coarse = 4 if gamma == 1 else 1.5
    tolerance = coarse if "8" in kind or kind == "JPEG" else 0.6
    np.testing.assert_allclose(pixels, np.repeat(GRAY[..., None], 3, 2), atol=tolerance)
    assert np.ptp(pixels, axis=2).max() < 0.01


@pytest.mark.parametrize("bits", [8, 16])
def test_an_rgb_profile_gives_the_tones_of_gray(bits):
    """Adobe RGB's curve, of which gray has no more than the tones."""
    values = from_srgb(GRAY / 255) ** (1 / 2.2)
    pixels = decode.read_image(png_of(values, bits, iccp(ADOBE_ICC))).pixels
    np.testing.assert_allclose(pixels, np.repeat(GRAY[..., None], 3, 2), atol=1.2)


def test_a_gray_profile_is_ignored_for_colors():
    np.testing.assert_allclose(
        decode.read_image(png_of(CHART / 255, 16, iccp(LINEAR))).pixels, CHART, atol=0.01
    )


def test_colors_under_transparency_follow_the_profile():
    alpha = np.full((32, 48, 1), 0.5)
    loaded = decode.read_image(png_of(np.dstack([in_space("P3"), alpha]), 16, iccp(P3_ICC)))
    np.testing.assert_allclose(loaded.pixels, CHART, atol=1.1)
    np.testing.assert_allclose(loaded.alpha, 0.5, atol=1e-4)


def test_an_image_that_somebody_else_opened_is_read_alike():
    for data in (FULL["gamma and chromaticities"](), FULL["nclx P3 HEIC"](), FULL["profile 8"]()):
        with Image.open(io.BytesIO(data)) as image:
            pixels = decode.from_pillow(image).pixels
        np.testing.assert_allclose(pixels, CHART, atol=4)


def test_a_broken_profile_is_replaced_by_other_color_tags():
    broken = P3_ICC[:200] + bytes(len(P3_ICC) - 200)
    data = png_of(LIGHT, 16, iccp(broken), gama(1.0))
    np.testing.assert_allclose(decode.read_image(data).pixels, CHART, atol=0.1)


def test_the_order_of_statements_is_the_one_that_is_documented():
    assert list(color_management.ENCODINGS_BY_RANK) == [
        "cICP",
        "color profile",
        "nclx",
        "sRGB",
        "EXIF",
        "gamma and chromaticities",
    ]
    everything = ColorTags(
        cicp=CodePoints(12, 13),
        icc=P3_ICC,
        nclx=CodePoints(9, 16),
        srgb=True,
        exif="Adobe RGB",
        gamma=1.0,
    )
    kinds = [type(meaning) for meaning in color_management.iter_encodings(everything, 3)]
    assert len(kinds) == 7
    assert kinds[1] is IccProfile
    assert [type(each) for each in color_management.iter_encodings(everything, 4)].count(
        IccProfile
    ) == 0


def test_inks_without_a_profile_count_each_for_itself():
    cyan = np.zeros((20, 20, 4), np.uint16)
    cyan[..., 0], cyan[..., 3] = 65535, 32768
    pixels = decode.read_image(tiff(cyan, photometric="separated")).pixels
    np.testing.assert_allclose(pixels[0, 0], (0, 127, 127), atol=1)


def test_a_profile_within_a_bmp_counts():
    pixels = integers(in_space("P3"), 8)[::-1, :, ::-1]
    header = struct.pack(
        "<IiiHHIIiiII", 124, 48, 32, 1, 24, 0, pixels.nbytes, 2835, 2835, 0, 0
    ) + struct.pack("<4I4s", 0, 0, 0, 0, b"DEBM")
    header = header + bytes(108 - len(header)) + struct.pack("<IIII", 4, 124 + pixels.nbytes, 0, 0)
    header = header[:116] + struct.pack("<I", len(P3_ICC)) + header[120:]
    start = struct.pack("<2sIHHI", b"BM", 138 + pixels.nbytes, 0, 0, 138)
    data = start + header + pixels.tobytes() + P3_ICC
    np.testing.assert_allclose(decode.read_image(data).pixels, CHART, atol=2)
    cut = data[: -len(P3_ICC)]
    np.testing.assert_allclose(decode.read_image(cut).pixels, 255 * in_space("P3"), atol=0.51)


def inks_profile():
    """An ICC profile of four inks of which black alone darkens: L* is 100 (1 - K). ICC.1, mft1."""
    table = b"mft1" + bytes(4) + bytes([4, 3, 2, 0])
    table += struct.pack(">9i", *(65536 * (n % 4 == 0) for n in range(9)))
    table += bytes(range(256)) * 4
    table += b"".join(bytes([0 if node & 1 else 255, 128, 128]) for node in range(16))
    table += bytes(range(256)) * 3
    texts = b"desc" + bytes(4) + struct.pack(">I", 5) + b"inks\0" + bytes(79)
    white = b"XYZ " + bytes(4) + struct.pack(">3i", 63190, 65536, 54061)
    tags = {b"desc": texts, b"cprt": b"text" + bytes(4) + b"none\0", b"wtpt": white, b"A2B0": table}
    body, listed = b"", b""
    for name, content in tags.items():
        listed += name + struct.pack(">II", 132 + 12 * len(tags) + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    size = 132 + len(listed) + len(body)
    head = struct.pack(">I4sI4s4s4s12s4s", size, b"lcms", 0x02100000, b"prtr", b"CMYK", b"Lab ",
                       struct.pack(">6H", 2000, 1, 1, 0, 0, 0), b"acsp")  # fmt: skip
    head += bytes(28) + struct.pack(">3i", 63190, 65536, 54061)
    return head + bytes(128 - len(head)) + struct.pack(">I", len(tags)) + listed + body


@pytest.mark.parametrize("kind", ["u1", "u2"])
@pytest.mark.parametrize("black", [0, 0.5, 1])
def test_inks_are_taken_by_their_profile(kind, black):
    """L* of 50 is (118.9,) * 3 in sRGB."""
    inks = np.zeros((20, 20, 4), kind)
    inks[..., 3] = round(black * np.iinfo(kind).max)
    data = tiff(inks, photometric="separated", iccprofile=inks_profile())
    expected = {0: 255, 0.5: 118.9, 1: 0}[black]
    np.testing.assert_allclose(decode.read_image(data).pixels[3, 3], expected, atol=1.5)
    image = Image.frombytes(
        "CMYK", (20, 20), (inks // (np.iinfo(kind).max // 255)).astype("u1").tobytes()
    )
    data = encoded(image, "JPEG", icc_profile=inks_profile(), quality=100)
    np.testing.assert_allclose(decode.read_image(data).pixels[3, 3], expected, atol=2.5)
