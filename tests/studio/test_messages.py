"""Messages are checked against their types, and the page has the same types."""

import pytest

from impasto.errors import SettingError
from impasto.studio.messages import SelectRequest, SweepRequest
from impasto.studio.records import JobInputs, StyleEntry
from impasto.studio.store import default_clip
from impasto.studio.validation import parse
from tools import messages as generator

INPUTS = {
    "photograph": None,
    "paintings": [{"picture": "a", "share": 1, "scale": 2}],
    "regions": [],
    "keep": "b",
    "keep_feather": 0,
    "keep_frame": None,
    "preset": "default",
    "detail": "default",
    "recipe": {"size": 64, "layers": [1, "a"]},
    "clip": default_clip(),
}


def test_the_types_of_the_page_are_generated_from_the_messages():
    assert generator.TYPES.read_text(encoding="utf-8") == generator.declarations(), "run make docs"


def test_a_message_is_returned_with_floats_and_without_unknown_keys():
    found = parse({**INPUTS, "unknown": 1}, JobInputs)
    assert found == INPUTS
    assert isinstance(found["keep_feather"], float)
    assert [type(each) for each in found["paintings"][0].values()] == [str, float, float]


@pytest.mark.parametrize(
    ("found", "kind", "reason"),
    [
        ([], JobInputs, "the JSON is []: expected an object"),
        ({}, StyleEntry, "picture is missing"),
        ({**INPUTS, "keep": 1}, JobInputs, "keep is 1: expected a text"),
        (
            {**INPUTS, "preset": None, "detail": "default"},
            JobInputs,
            "preset is None: expected a text",
        ),
        ({"x": 0, "y": 2, "tolerance": 0}, SelectRequest, "tolerance is 2.0: expected 0 to 1"),
        ({"x": True, "y": 0, "tolerance": 0}, SelectRequest, "x is True: expected a number"),
        ({"vary": {"size": [1]}}, SweepRequest, "vary.size[0] is 1: expected a text"),
    ],
)
def test_the_reason_names_the_field_and_what_is_expected(found, kind, reason):
    with pytest.raises(SettingError) as caught:
        parse(found, kind)
    assert reason in str(caught.value)
