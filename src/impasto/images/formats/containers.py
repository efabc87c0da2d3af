"""Reads the metadata of container formats without decoding pixels.

HEIC and AVIF are ISO base media files (ISO/IEC 14496-12), whose images are items with properties
(ISO/IEC 23008-12, section 9.3); JPEG 2000 has the same boxes (ISO/IEC 15444-1, annex I). PNG has
chunks (PNG, third edition, section 11.3.2), and JPEG has segments (ITU-T T.81, annex B). Damaged
parts are ignored.
"""

import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

MAX_BLOCK = 2**22
"""Maximum size in bytes of a metadata box that is parsed."""
MAX_BOXES = 4096
"""Maximum number of sibling boxes; a tiled photo has one or two properties per tile."""


class CodePoints(NamedTuple):
    """Colors named by numbers of ITU-T H.273."""

    primaries: int
    transfer: int
    full_range: bool = True


class ContainerColor(NamedTuple):
    """Color information in the boxes of an image."""

    icc: bytes = b""
    nclx: CodePoints | None = None
    bits: int = 8
    """per channel"""
    crop: tuple[float, float, float, float] | None = None
    """clean aperture: width and height, and the offset of its center to the right of and below the
    center of all pixels"""


def read_container_color(stream: BinaryIO) -> ContainerColor:
    """Return the color information of the primary image of HEIC or AVIF, or of a JPEG 2000."""
    stream.seek(0)
    try:
        for kind, size in _iter_top_boxes(stream):
            if kind in (b"meta", b"jp2h") and size <= MAX_BLOCK:
                data = stream.read(size)
                return (
                    _read_item_color(data[4:])
                    if kind == b"meta"
                    else _merge_boxes(_split_boxes(data))
                )
    except (struct.error, IndexError, OverflowError):
        pass
    return ContainerColor()


def _iter_top_boxes(stream: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """Yield kind and size of each top-level box, with the stream at its content."""
    for _ in range(MAX_BOXES):
        start, header = stream.tell(), stream.read(8)
        if len(header) < 8:
            return
        size, kind = struct.unpack(">I4s", header)
        used = 8
        if size == 1:
            size, used = struct.unpack(">Q", stream.read(8))[0], 16
        if size and size < used:
            return
        yield kind, size - used if size else MAX_BLOCK
        if not size:
            return
        stream.seek(start + size)


def _split_boxes(data: bytes) -> list[tuple[bytes, bytes]]:
    """Return the consecutive boxes in ``data``."""
    boxes: list[tuple[bytes, bytes]] = []
    at = 0
    while at + 8 <= len(data) and len(boxes) < MAX_BOXES:
        size, kind = struct.unpack_from(">I4s", data, at)
        if size and size < 8:
            break
        end = at + size if size else len(data)
        boxes.append((kind, data[at + 8 : end]))
        at = end
    return boxes


def _read_item_color(meta: bytes) -> ContainerColor:
    """Return the color information of the primary item; other items may have other colors."""
    parts = dict(_split_boxes(meta))
    properties = dict(_split_boxes(parts.get(b"iprp", b"")))
    listed = _split_boxes(properties.get(b"ipco", b""))
    head = parts.get(b"pitm", b"")
    primary = int.from_bytes(head[4:8] if head[:1] == b"\1" else head[4:6])
    chosen = _associated_properties(properties.get(b"ipma", b""), primary)
    return _merge_boxes([listed[number - 1] for number in chosen if 0 < number <= len(listed)])


def _associated_properties(ipma: bytes, item_id: int) -> list[int]:
    """Return the numbers of the properties of an item, counted from one."""
    version, wide = ipma[:1] != b"\0", ipma[3:4] and ipma[3] & 1
    at = 8
    for _ in range(min(int.from_bytes(ipma[4:8]), MAX_BOXES)):
        length = 4 if version else 2
        item, count = int.from_bytes(ipma[at : at + length]), ipma[at + length]
        at += length + 1
        step = 2 if wide else 1
        mask = 0x7FFF if wide else 0x7F  # the highest bit marks an essential property
        numbers = [
            int.from_bytes(ipma[at + n * step : at + (n + 1) * step]) & mask for n in range(count)
        ]
        if item == item_id:
            return numbers
        at += count * step
    return []


def _merge_boxes(boxes: list[tuple[bytes, bytes]]) -> ContainerColor:
    """Combine the color information of boxes; there may be one color box of each kind."""
    icc, nclx, bits, crop = b"", None, 8, None
    for kind, data in boxes:
        if kind == b"clap" and len(data) >= 32:
            crop = _parse_clean_aperture(data)
        if kind == b"pixi" and data[4:5] and data[5:]:
            bits = max(data[5 : 5 + data[4]])
        if kind != b"colr":
            continue
        if data[:4] == b"nclx" and len(data) >= 11:
            primaries, transfer, _ = struct.unpack_from(">3H", data, 4)
            nclx = CodePoints(primaries, transfer)  # its decoder has brought it to full range
        elif data[:4] in (b"prof", b"rICC"):
            icc = data[4:]
        elif data[:1] in (b"\2", b"\3") and len(data) > 3:  # of JPEG 2000: restricted, any
            icc = data[3:]
    return ContainerColor(icc, nclx, bits, crop)


def _parse_clean_aperture(data: bytes) -> tuple[float, float, float, float] | None:
    """Return the clean aperture: ISO/IEC 14496-12, section 12.1.4, four fractions."""
    numbers = struct.unpack_from(">2I2IiIiI", data)
    if not all(numbers[1::2]):
        return None
    width, height, right, down = (n / d for n, d in zip(numbers[::2], numbers[1::2], strict=True))
    return width, height, right, down


def read_bmp_profile(stream: BinaryIO) -> bytes:
    """Return the embedded color profile of a BMP (BITMAPV5HEADER); empty if it has none."""
    stream.seek(14)
    header = stream.read(124)
    if len(header) < 124 or int.from_bytes(header[:4], "little") < 124:
        return b""
    offset, size = struct.unpack_from("<II", header, 112)
    if header[56:60] != b"DEBM" or size > MAX_BLOCK:  # "MBED": the profile is embedded
        return b""
    stream.seek(14 + offset)
    return stream.read(size)


class PngColor(NamedTuple):
    """Color information in the chunks of a PNG."""

    cicp: CodePoints | None = None
    srgb: bool = False
    gamma: float | None = None
    """the exponent that its values were encoded with, such as 0.45455"""
    chromaticities: tuple[float, ...] | None = None
    """CIE x, y of red, green, blue and white"""
    bits: int = 8


def read_png_color(stream: BinaryIO) -> PngColor:
    """Return the color information of a PNG in the chunks before its pixels."""
    stream.seek(8)
    chunks: dict[bytes, bytes] = {}
    for _ in range(MAX_BOXES):
        header = stream.read(8)
        if len(header) < 8 or header[4:] == b"IDAT":
            break
        size = int.from_bytes(header[:4])
        if size != _COLOR_CHUNKS.get(header[4:]):
            stream.seek(size + 4, 1)
            continue
        data, crc = stream.read(size), stream.read(4)
        if zlib.crc32(header[4:] + data) == int.from_bytes(crc):
            chunks.setdefault(header[4:], data)
    return _parse_color_chunks(chunks)


_COLOR_CHUNKS = {b"IHDR": 13, b"cICP": 4, b"sRGB": 1, b"gAMA": 4, b"cHRM": 32}
"""Chunks that are read, with their sizes in bytes."""


def _parse_color_chunks(tags: dict[bytes, bytes]) -> PngColor:
    cicp = gamma = chromaticities = None
    if b"cICP" in tags:
        primaries, transfer, matrix, full = tags[b"cICP"]
        # PNG allows no matrix but the identity.
        cicp = CodePoints(primaries, transfer, bool(full)) if matrix == 0 else None
    if b"gAMA" in tags:
        gamma = int.from_bytes(tags[b"gAMA"]) / 100_000 or None
    if b"cHRM" in tags:
        white, colors = tags[b"cHRM"][:8], tags[b"cHRM"][8:]
        chromaticities = tuple(n / 100_000 for n in struct.unpack(">8I", colors + white))
    bits = tags[b"IHDR"][8] if b"IHDR" in tags else 8
    return PngColor(cicp, b"sRGB" in tags, gamma, chromaticities, bits)


class BrokenChunk(NamedTuple):
    """A chunk of a PNG with a wrong checksum, and its position in the file."""

    name: str
    begin: int
    end: int


def find_broken_chunks(stream: BinaryIO) -> tuple[BrokenChunk, ...]:
    """Return a PNG's ancillary chunks whose checksum is wrong; a decoder needs none of them.

    The names of ancillary chunks begin with a small letter (PNG, third edition, section 5.4).
    """
    begin, broken = 8, []
    for _ in range(MAX_CHUNKS):
        stream.seek(begin)
        header = stream.read(8)
        size, name = int.from_bytes(header[:4]), header[4:]
        end = begin + 12 + size
        if len(header) < 8 or name == b"IEND":
            break
        if name.isalpha() and name[:1].islower():
            data = stream.read(size)
            crc = stream.read(4)
            if len(crc) == 4 and zlib.crc32(name + data) != int.from_bytes(crc):
                broken.append(BrokenChunk(name.decode(), begin, end))
        begin = end
    return tuple(broken)


MAX_CHUNKS = 2**20
"""Maximum number of chunks; encoders write pixels in chunks of 8 KB or more."""


class JpegHeader(NamedTuple):
    """Information in the segments of a JPEG before its pixels."""

    width: int
    height: int
    bits: int
    """per channel"""
    scan: int
    """offset of the first scan in the file"""
    exif: bytes = b""
    icc: bytes = b""


def read_jpeg_header(stream: BinaryIO) -> JpegHeader | None:
    """Return the header of a JPEG; None for other files, and for one without a frame."""
    stream.seek(0)
    if stream.read(2) != b"\xff\xd8":
        return None
    frame, exif, profile = b"", b"", {}
    for marker, data in _iter_segments(stream):
        if marker in _FRAMES:
            frame = data
        elif marker == 0xE1 and data.startswith(b"Exif\0\0"):
            exif = exif or data
        elif marker == 0xE2 and data.startswith(b"ICC_PROFILE\0"):
            profile[data[12:13]] = data[14:]  # by its number: a profile may lie in several
    if len(frame) < 6:
        return None
    bits, height, width = struct.unpack_from(">BHH", frame)
    icc = b"".join(profile[number] for number in sorted(profile))
    return JpegHeader(width, height, bits, stream.tell(), exif, icc)


def _iter_segments(stream: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Yield marker and content of a JPEG's segments, up to its first scan."""
    for _ in range(MAX_BOXES):
        marker = stream.read(2)
        while marker == b"\xff\xff":  # fill bytes
            marker = b"\xff" + stream.read(1)
        size = int.from_bytes(stream.read(2)) - 2
        if len(marker) < 2 or marker[0] != 0xFF or marker[1] == _SCAN or size < 0:
            return
        yield marker[1], stream.read(size)


_SCAN = 0xDA
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""Markers of frames; the three others are tables, or reserved."""


def read_j2k_depths(stream: BinaryIO) -> tuple[int, ...]:
    """Return the bits of each component of a JPEG 2000, in boxes or not; (8,) if unknown.

    The marker SIZ (ISO/IEC 15444-1, A.5.1) follows the start of the codestream.
    """
    stream.seek(0)
    data = stream.read(MAX_BLOCK)
    begin = data.find(b"\xff\x4f\xff\x51") + 4
    count = int.from_bytes(data[begin + 36 : begin + 38])
    depths = data[begin + 38 : begin + 38 + 3 * count : 3]
    if begin < 4 or not 0 < count <= 4 or len(depths) < count:
        return (8,)
    return tuple((depth & 0x7F) + 1 for depth in depths)
