"""Metadata of the content image that is copied to the result.

It is parsed and written again, so unknown data is never copied. EXIF 2.32 (CIPA DC-008) for most
formats, XMP (ISO 16684-1) for all.
"""

import contextlib
import html
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO, NamedTuple, TypeVar

from PIL import ExifTags, Image
from PIL.ExifTags import GPS, IFD, Base

LONGEST = 500
"""Maximum length of author and copyright in characters."""

INCHES, CENTIMETERS = 2, 3
"""Units of the resolution in EXIF."""

T = TypeVar("T")


@dataclass(frozen=True)
class GpsPosition:
    """Location in degrees north and east."""

    latitude: float
    longitude: float


@dataclass(frozen=True)
class Metadata:
    """Resolution, date, author, copyright and location of an image; None or empty if unknown."""

    dpi: float | None = None
    """pixels per inch"""
    date: str = ""
    """date and time, as YYYY:MM:DD HH:MM:SS"""
    offset: str = ""
    """offset from UTC, as +HH:MM"""
    author: str = ""
    copyright: str = ""
    position: GpsPosition | None = None


NO_METADATA = Metadata()
"""Metadata of an image without any."""


def read_exif(image: Image.Image) -> Image.Exif:
    """Return the EXIF of an open image; empty if it is damaged."""
    return _or_none(image.getexif) or Image.Exif()


def read_tiff_exif(stream: BinaryIO, page: Any) -> Image.Exif:
    """Return the tags of a tifffile page as EXIF; empty if they are damaged."""

    def load() -> Image.Exif:
        exif = Image.Exif()
        exif.endian, exif.bigtiff = page.parent.byteorder, page.parent.is_bigtiff
        exif.load_from_fp(stream, page.offset)
        dict(exif)  # which reads it
        return exif

    return _or_none(load) or Image.Exif()


def parse_exif(data: bytes) -> Image.Exif:
    """Parse an EXIF block, such as a JPEG's; empty if it is damaged."""

    def load() -> Image.Exif:
        exif = Image.Exif()
        exif.load(data)
        dict(exif)
        return exif

    return _or_none(load) or Image.Exif()


def read_metadata(image: Image.Image) -> Metadata:
    """Return the metadata of an open image; invalid fields are ignored."""
    return parse_metadata(read_exif(image), image.info)


def parse_metadata(exif: Image.Exif, info: Mapping[Any, Any]) -> Metadata:
    """Return the metadata in EXIF and in the ``info`` of a Pillow image; ignores invalid fields."""
    camera = _or_none(lambda: exif.get_ifd(IFD.Exif)) or {}
    where = _or_none(lambda: exif.get_ifd(IFD.GPSInfo)) or {}
    taken = Base.DateTimeOriginal in camera
    date = camera.get(Base.DateTimeOriginal) if taken else exif.get(Base.DateTime)
    offset = camera.get(Base.OffsetTimeOriginal if taken else Base.OffsetTime)
    return Metadata(
        dpi=_dpi(info, exif),
        date=_matching(r"\d{4}:\d\d:\d\d \d\d:\d\d:\d\d", date),
        offset=_matching(r"[+-]\d\d:\d\d", offset),
        author=_text(exif.get(Base.Artist) or info.get("Author")),
        copyright=_text(exif.get(Base.Copyright) or info.get("Copyright")),
        position=_or_none(lambda: _parse_position(where)),
    )


class ExifColor(NamedTuple):
    """Color information in EXIF."""

    space: str = ""
    """sRGB or Adobe RGB"""
    gamma: float | None = None
    """encoding exponent"""
    chromaticities: tuple[float, ...] | None = None
    """CIE x, y of red, green, blue and white"""


def parse_exif_color(exif: Image.Exif) -> ExifColor:
    """Return the color information in EXIF; DCF 2.0 (CIPA DC-009), section 3.2.4, for Adobe RGB.

    Cameras tag Adobe RGB as uncalibrated with R03; some programs use 2.
    """
    camera = _or_none(lambda: exif.get_ifd(IFD.Exif)) or {}
    along = _or_none(lambda: str(exif.get_ifd(IFD.Interop).get(1))) or ""
    space = camera.get(Base.ColorSpace)
    if space == EXIF_SRGB:
        return ExifColor("sRGB")
    if space == EXIF_ADOBE or along.strip("\0 ") == "R03":
        return ExifColor("Adobe RGB")
    points = _or_none(lambda: [float(n) for n in (*exif[Base.PrimaryChromaticities], *exif[318])])
    gamma = _or_none(lambda: 1 / float(camera[Base.Gamma]))
    return ExifColor("", gamma, tuple(points) if points and len(points) == 8 else None)


EXIF_SRGB, EXIF_ADOBE = 1, 2
"""Color spaces in EXIF; 65535 is any other."""


def _or_none(read: Callable[[], T]) -> T | None:
    """Return the result of ``read_metadata``, or None for a damaged block."""
    with contextlib.suppress(Exception):
        return read()
    return None


def _dpi(info: Mapping[Any, Any], exif: Mapping[int, Any]) -> float | None:
    def of_exif() -> float:
        unit = 2.54 if exif.get(Base.ResolutionUnit) == CENTIMETERS else 1.0
        return float(exif[Base.XResolution]) * unit

    dpi = _or_none(of_exif) or _or_none(lambda: float(info["dpi"][0]))
    # Programs without a resolution write one dot per inch.
    return round(dpi, 2) if dpi and 1 < dpi < 100_000 else None


def _text(value: Any) -> str:
    """Return a line of text; Pillow takes bytes of UTF-8 for Latin-1."""
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    if not isinstance(value, str):
        return ""
    with contextlib.suppress(UnicodeError):
        value = value.encode("latin-1").decode()
    return " ".join("".join(c for c in value if c.isprintable() or c.isspace()).split())[:LONGEST]


def _matching(pattern: str, value: Any) -> str:
    text = _text(value)
    return text if re.fullmatch(pattern, text, re.ASCII) else ""


def _parse_position(where: Mapping[int, Any]) -> GpsPosition | None:
    latitude = _degrees(where[GPS.GPSLatitude]) * (-1 if where[GPS.GPSLatitudeRef] == "S" else 1)
    longitude = _degrees(where[GPS.GPSLongitude]) * (-1 if where[GPS.GPSLongitudeRef] == "W" else 1)
    possible = abs(latitude) <= 90 and abs(longitude) <= 180
    return GpsPosition(latitude, longitude) if possible else None


def _degrees(parts: Any) -> float:
    """Return degrees, minutes and seconds as degrees. Raises ValueError for invalid numbers."""
    degrees, minutes, seconds = map(float, parts)
    if not math.isfinite(total := degrees + minutes / 60 + seconds / 3600):
        raise ValueError("degrees are not finite")
    return total


def to_exif(tags: Metadata) -> Image.Exif:
    """Return the metadata as EXIF."""
    exif, texts = Image.Exif(), {Base.Artist: tags.author, Base.Copyright: tags.copyright}
    for tag, text in texts.items():
        if text:
            exif[tag] = text.encode()  # of a string, Pillow would keep only ASCII
    if tags.dpi:
        exif[Base.XResolution] = exif[Base.YResolution] = tags.dpi
        exif[Base.ResolutionUnit] = INCHES
    if tags.date:
        exif[Base.DateTime] = tags.date
        exif.get_ifd(IFD.Exif)[Base.DateTimeOriginal] = tags.date
    if tags.date and tags.offset:
        exif.get_ifd(IFD.Exif)[Base.OffsetTimeOriginal] = tags.offset
    if tags.position:
        exif.get_ifd(IFD.GPSInfo).update(_gps_tags(tags.position))
    return exif


def _gps_tags(position: GpsPosition) -> dict[int, Any]:
    latitude, longitude = position.latitude, position.longitude
    return {
        ExifTags.GPS.GPSLatitudeRef: "N" if latitude >= 0 else "S",
        ExifTags.GPS.GPSLatitude: _sexagesimal(abs(latitude)),
        ExifTags.GPS.GPSLongitudeRef: "E" if longitude >= 0 else "W",
        ExifTags.GPS.GPSLongitude: _sexagesimal(abs(longitude)),
    }


def _sexagesimal(degrees: float) -> tuple[float, float, float]:
    """Return degrees, minutes, and seconds to a hundredth, which is a foot on the ground."""
    hundredths = round(degrees * 360_000)
    return float(hundredths // 360_000), float(hundredths // 6000 % 60), hundredths % 6000 / 100


def to_xmp(tags: Metadata) -> str:
    """Return the metadata as XMP elements for an ``rdf:Description``, with their own namespaces."""
    elements = []
    if tags.author:
        elements.append(_element("dc:creator", "rdf:Seq", tags.author))
    if tags.copyright:
        elements.append(_element("dc:rights", "rdf:Alt", tags.copyright))
    if tags.date:
        day, _, time = tags.date.partition(" ")
        when = f"{day.replace(':', '-')}T{time}{tags.offset}"
        elements.append(f"<exif:DateTimeOriginal{_EXIF}>{when}</exif:DateTimeOriginal>")
    if tags.position:
        for name, value, signs in (
            ("Latitude", tags.position.latitude, "NS"),
            ("Longitude", tags.position.longitude, "EW"),
        ):
            minutes = round(abs(value) * 60, 4)
            text = f"{int(minutes // 60)},{minutes % 60:.4f}{signs[value < 0]}"
            elements.append(f"<exif:GPS{name}{_EXIF}>{text}</exif:GPS{name}>")
    return "\n".join(elements)


_EXIF = ' xmlns:exif="http://ns.adobe.com/exif/1.0/"'
_DUBLIN_CORE = ' xmlns:dc="http://purl.org/dc/elements/1.1/"'


def _element(name: str, container: str, text: str) -> str:
    language = ' xml:lang="x-default"' if container == "rdf:Alt" else ""
    item = f"<rdf:li{language}>{html.escape(text, quote=False)}</rdf:li>"
    return f"<{name}{_DUBLIN_CORE}><{container}>{item}</{container}></{name}>"
