"""What a picture says of how it was painted."""

import html
import json
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from impasto.errors import ImageError, InputError, SettingError
from impasto.images.formats import decode, encode
from impasto.images.load import InputSource
from impasto.pipeline import provenance
from impasto.pipeline.provenance import Provenance
from impasto.recipe.settings import Recipe

PICTURE = np.full((20, 30, 3), 90, np.float32)


def made(name="b <&> \N{GREEK SMALL LETTER PI}.jpg", **settings):
    sources = (InputSource("content", "a.png", "0" * 64), InputSource("style", name, "1" * 64))
    network = {"network": "vgg16", "sha256": "2" * 64}
    return Provenance(Recipe(**settings), "tensorflow", network, sources)


@pytest.mark.parametrize("ending", encode.WRITABLE_ENDINGS)
def test_every_format_carries_it_there_and_back(tmp_path, ending):
    written = made(style_weight=7.5, blend="1,2", init="noise", seed=5)
    path = tmp_path / f"a{ending}"
    encode.write_image(PICTURE, path, written.to_xmp())
    assert provenance.from_xmp(decode.read_xmp(path)) == written
    np.testing.assert_allclose(decode.read_image(path).pixels, PICTURE, atol=2)


@given(st.text())
def test_any_name_survives(name):
    assert provenance.from_xmp(made(name=name).to_xmp()).inputs[1].name == name


def test_the_packet_is_xml_that_names_its_tool():
    root = ElementTree.fromstring(made().to_xmp().decode().strip("\ufeff"))
    texts = [element.text for element in root.iter() if element.text]
    assert any(text.startswith("impasto 0.") for text in texts)
    assert json.loads(texts[-2] if texts[-1].isspace() else texts[-1])["recipe"]["size"] == 512


def test_the_same_picture_and_provenance_give_the_same_bytes(tmp_path):
    for name in ("a.png", "b.png"):
        encode.write_image(PICTURE, tmp_path / name, made().to_xmp())
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_a_picture_of_another_origin_has_none(tmp_path, one_line):
    encode.write_image(PICTURE, tmp_path / "a.png")
    with pytest.raises(ImageError) as caught:
        provenance.from_xmp(decode.read_xmp(tmp_path / "a.png"))
    assert one_line(caught).startswith("contains no recipe")


def said(version, settings):
    return html.escape(
        json.dumps({**made().to_dict(), "version": version, "recipe": settings}), quote=False
    )


def packet(text):
    name = provenance.NAMESPACE
    return f'<impasto:painting xmlns:impasto="{name}">{text}</impasto:painting>'.encode()


def rewritten(whole, how):
    """The packet as another program saves it again: with prefixes of its own, or attributes."""
    root = ElementTree.fromstring(whole.decode().strip("\ufeff"))
    if how == "attributes":
        (inner,) = root.iter(f"{{{RDF}}}Description")
        for child in list(inner):
            if not len(child):
                inner.set(child.tag, child.text)
                inner.remove(child)
    return ElementTree.tostring(root)  # which calls the names ns0, ns1, …


RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"


@pytest.mark.parametrize("how", ["prefixes", "attributes"])
def test_a_picture_that_another_program_saved_again_keeps_its_recipe(how):
    again = rewritten(made().to_xmp(), how)
    assert b"impasto:painting" not in again
    assert provenance.from_xmp(again) == made()


def test_declarations_which_could_grow_without_end_are_refused(one_line):
    bomb = b'<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>' + packet("&b;")
    with pytest.raises(ImageError) as caught:
        provenance.from_xmp(bomb)
    assert "damaged" in one_line(caught)


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        ("{", ImageError, "damaged"),
        ("[]", ImageError, "damaged"),
        ("[" * 50_000, ImageError, "damaged"),
        ('{"inputs": 3}', ImageError, "damaged"),
        (
            said("9.0", {"a": 1}),
            SettingError,
            "its recipe, of impasto '9.0': unknown setting 'a'",
        ),
        (
            said("1", {"size": 0}),
            SettingError,
            "size is 0",
        ),
    ],
)
def test_what_was_tampered_with_is_refused(one_line, text, error, words):
    with pytest.raises(error) as caught:
        provenance.from_xmp(packet(text))
    assert words in one_line(caught)


@given(st.binary(max_size=300), st.integers(0, 1500))
def test_mutated_packets_are_read_or_refused(garbage, place):
    whole = made().to_xmp()
    mutated = whole[:place] + garbage + whole[place + len(garbage) :]
    said = "read"
    try:
        provenance.from_xmp(mutated)
    except InputError as error:
        said = str(error)
    assert len(said.splitlines()) == 1


def test_inputs_that_are_others_are_named():
    now = [InputSource("content", "a.png", "0" * 64), InputSource("style", "c.jpg", "3" * 64)]
    assert provenance.changed_inputs(now, made()) == [
        "c.jpg is not the style that the recipe was painted with"
    ]
