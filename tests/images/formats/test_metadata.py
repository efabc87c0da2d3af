"""The metadata of the content image that is copied."""

import io
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from impasto.images.formats import decode, encode, metadata
from impasto.images.formats.metadata import NO_METADATA, GpsPosition, Metadata
from impasto.images.formats.save_options import SaveOptions

PICTURE = np.full((20, 30, 3), 90, np.float32)
WHOLE = Metadata(
    300.0, "2020:01:02 03:04:05", "+01:00", "Ünal <b> & co", "© me", GpsPosition(-47.5123, 8.25)
)


@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("ending", encode.WRITABLE_ENDINGS)
def test_every_format_carries_it_there_and_back(tmp_path, ending, depth):
    if depth == 16 and ending not in (".png", ".tif", ".tiff"):
        return
    path = tmp_path / f"a{ending}"
    encode.write_image(PICTURE, path, tags=WHOLE, saving=SaveOptions(depth=depth))
    read = decode.read_image(path).metadata
    assert (read.dpi, read.date) == (WHOLE.dpi, WHOLE.date)
    assert (read.author, read.copyright) == (WHOLE.author, WHOLE.copyright)
    if ending not in (".tif", ".tiff"):  # which say the rest in XMP
        assert read.offset == WHOLE.offset
        assert read.position.latitude == pytest.approx(-47.5123, abs=1e-5)
        assert read.position.longitude == pytest.approx(8.25, abs=1e-5)


def test_an_image_without_metadata():
    assert metadata.read_metadata(Image.new("RGB", (3, 3))) == NO_METADATA
    assert not metadata.to_exif(NO_METADATA)
    assert metadata.to_xmp(NO_METADATA) == ""


@given(
    st.floats(-90, 90),
    st.floats(-180, 180),
)
def test_positions_survive_to_a_foot(latitude, longitude):
    image = Image.new("RGB", (3, 3))
    buffer = io.BytesIO()
    image.save(
        buffer, "JPEG", exif=metadata.to_exif(Metadata(position=GpsPosition(latitude, longitude)))
    )
    read = metadata.read_metadata(Image.open(buffer)).position
    assert read.latitude == pytest.approx(latitude, abs=2e-6)
    assert read.longitude == pytest.approx(longitude, abs=2e-6)


def test_the_xmp_elements_have_the_same_metadata():
    root = ElementTree.fromstring(
        f'<r xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">{metadata.to_xmp(WHOLE)}</r>'
    )
    texts = [element.text for element in root.iter() if element.text]
    assert texts == [
        "Ünal <b> & co",
        "© me",
        "2020-01-02T03:04:05+01:00",
        "47,30.7380S",
        "8,15.0000E",
    ]


def test_what_makes_no_sense_is_left_out():
    exif = Image.Exif()
    exif[metadata.Base.Artist] = "two\nlines\x00" + 900 * "x"
    exif[metadata.Base.DateTime] = "yesterday"
    exif[metadata.Base.XResolution] = 1
    exif.get_ifd(metadata.IFD.GPSInfo).update(
        {1: "N", 2: (99.0, 0.0, 0.0), 3: "E", 4: (0.0, 0.0, 0.0)}
    )
    buffer = io.BytesIO()
    Image.new("RGB", (3, 3)).save(buffer, "JPEG", exif=exif)
    read = metadata.read_metadata(Image.open(buffer))
    assert read.author.startswith("two lines")
    assert len(read.author) == metadata.LONGEST
    assert (read.date, read.dpi, read.position) == ("", None, None)


def test_resolution_in_centimeters_and_authors_in_text_chunks(tmp_path):
    exif = Image.Exif()
    exif[metadata.Base.XResolution], exif[metadata.Base.ResolutionUnit] = 100, metadata.CENTIMETERS
    buffer = io.BytesIO()
    Image.new("RGB", (3, 3)).save(buffer, "WEBP", exif=exif)
    assert metadata.read_metadata(Image.open(buffer)).dpi == 254
    image = Image.new("RGB", (3, 3))
    image.info["Author"] = "Me"
    assert metadata.read_metadata(image).author == "Me"
