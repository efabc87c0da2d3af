"""Boxes of HEIC, AVIF and JPEG 2000, and chunks of PNG, put together here."""

import io
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from impasto.images.formats import containers, decode
from impasto.images.formats.containers import CodePoints
from tests.imagery import assert_halves, chunk, encoded, halves, png
from tests.test_corpus import profile_of


def box(kind, *content):
    body = b"".join(content)
    return struct.pack(">I4s", 8 + len(body), kind) + body


def nclx(primaries, transfer):
    return box(b"colr", b"nclx", struct.pack(">3HB", primaries, transfer, 0, 128))


def ipma(*items, wide=False, version=0):
    """Items as (number, properties counted from one)."""
    kind, name = (">H", ">I") if wide else (">B", ">I")
    name = name if version else ">H"
    entries = [
        struct.pack(name, item)
        + bytes([len(numbers)])
        + b"".join(struct.pack(kind, number) for number in numbers)
        for item, numbers in items
    ]
    flags = struct.pack(">I", version << 24 | wide)
    return box(b"ipma", flags, struct.pack(">I", len(entries)), *entries)


def heif_file(primary, properties, associations, before=b""):
    meta = box(
        b"meta",
        bytes(4),
        box(b"pitm", bytes(4), struct.pack(">H", primary)),
        box(b"iprp", box(b"ipco", *properties), associations),
    )
    return box(b"ftyp", b"heic", bytes(4)) + before + meta


def said(data):
    return containers.read_container_color(io.BytesIO(data))


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("version", [0, 1])
def test_only_the_color_of_the_primary_image_is_used(wide, version):
    """A gain map or an alpha image has its own color information."""
    properties = [nclx(1, 13), box(b"ispe", bytes(12)), nclx(12, 16)]
    essential = 0x8000 if wide else 0x80
    found = ipma((1, [1, 2]), (7, [2, 3 | essential]), wide=wide, version=version)
    assert said(heif_file(7, properties, found)).nclx == CodePoints(12, 16)
    assert said(heif_file(1, properties, found)).nclx == CodePoints(1, 13)
    assert said(heif_file(9, properties, found)) == containers.ContainerColor()


def test_a_profile_code_points_and_bits_of_one_image():
    pixi = box(b"pixi", bytes(4), bytes([3, 10, 10, 10]))
    properties = [nclx(9, 18), box(b"colr", b"prof", b"an ICC profile"), pixi]
    found = said(heif_file(1, properties, ipma((1, [1, 2, 3]))))
    assert found[:3] == (b"an ICC profile", CodePoints(9, 18), 10)


def test_boxes_before_it_are_passed_by_large_ones_as_well():
    large = struct.pack(">I4sQ", 1, b"free", 16 + 100) + bytes(100)
    data = heif_file(1, [nclx(9, 16)], ipma((1, [1])), before=large + box(b"free", bytes(9)))
    assert said(data).nclx == CodePoints(9, 16)


def test_a_profile_in_jpeg_2000_counts():
    """Pillow does not hand it out; swapped primaries make red of green."""
    wide = profile_of("Display P3")
    data = encoded(halves((0, 200, 0), (90, 90, 90)), "JPEG2000")
    start = data.index(b"colr") - 4
    size = int.from_bytes(data[start : start + 4])
    new = box(b"colr", b"\2\0\0", wide)
    head = data.index(b"jp2h") - 4
    whole = int.from_bytes(data[head : head + 4]) + len(new) - size
    changed = data[:head] + whole.to_bytes(4) + data[head + 4 : start] + new + data[start + size :]
    assert containers.read_container_color(io.BytesIO(changed)).icc == wide
    expected = decode.read_image(
        encoded(halves((0, 200, 0), (90, 90, 90)), "PNG", icc_profile=wide)
    ).pixels
    assert_halves(decode.read_image(changed).pixels, expected[0, 0], expected[0, -1], 1)
    assert expected[0, 0, 0] == 0 < 200 < expected[0, 0, 1]


@given(st.binary(max_size=300), st.integers(0, 300), st.integers(0, 8))
@settings(max_examples=300, deadline=None)
def test_broken_containers_have_no_color_and_terminate(noise, place, cut):
    data = bytearray(heif_file(1, [nclx(9, 16)], ipma((1, [1]))))
    data[place : place + cut] = noise
    for head in (b"", b"\x89PNG\r\n\x1a\n"):
        stream = io.BytesIO(head + bytes(data))
        assert isinstance(containers.read_container_color(stream), containers.ContainerColor)
        assert isinstance(containers.read_png_color(stream), containers.PngColor)


def test_chunks_of_png():
    row = bytes(3 * 32)
    extra = (
        chunk(b"cICP", bytes([12, 13, 0, 1]))
        + chunk(b"gAMA", struct.pack(">I", 45455))
        + chunk(b"cHRM", struct.pack(">8I", *(n * 10_000 for n in range(1, 9))))
        + chunk(b"sRGB", b"\0")
    )
    found = containers.read_png_color(io.BytesIO(png(8, 2, row, extra)))
    assert found.cicp == CodePoints(12, 13)
    assert found.srgb
    assert found.gamma == pytest.approx(0.45455)
    assert found.chromaticities == pytest.approx((0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.1, 0.2))
    assert found.bits == 8
    assert containers.read_png_color(io.BytesIO(png(16, 2, row * 2))).bits == 16


def test_a_chunk_with_a_wrong_checksum_or_length_is_ignored():
    good = chunk(b"cICP", bytes([12, 13, 0, 1]))
    for wrong in (good[:-1] + b"?", chunk(b"cICP", bytes(9)), chunk(b"cICP", b"")):
        assert containers.read_png_color(io.BytesIO(png(8, 2, bytes(96), wrong))).cicp is None
    behind = png(8, 2, bytes(96))[:-12] + good + chunk(b"IEND", b"")
    assert containers.read_png_color(io.BytesIO(behind)).cicp is None


@pytest.mark.parametrize(("length", "complete"), [(5, False), (6, True), (9, True)])
def test_a_jpeg_frame_has_six_bytes_at_least(length, complete):
    frame = struct.pack(">BHHBHB", 8, 16, 24, 1, 0x0111, 0)[:length]
    segment = struct.pack(">2sH", b"\xff\xc0", 2 + length) + frame
    header = containers.read_jpeg_header(io.BytesIO(b"\xff\xd8" + segment + b"\xff\xda\0\x02"))
    assert (header is not None) == complete
    if header is not None:
        assert (header.width, header.height, header.bits) == (24, 16, 8)
