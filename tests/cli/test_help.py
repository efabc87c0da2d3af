"""Sentences of the short help."""

import pytest

from impasto.cli import help


@pytest.mark.parametrize(
    ("text", "short"),
    [
        ("Paint. And more.", "Paint."),
        ("Suffix of .png files; more.", "Suffix of .png files."),
        ("Folder.  [default: a; b]", "Folder.  [default: a; b]"),
        ("Size. It is kept. (16 to 20 px; default 18)", "Size. (16 to 20 px; default 18)"),
        ("No stop", "No stop."),
        ("One (default two; or three). And more.", "One (default two; or three)."),
    ],
)
def test_the_first_sentence_keeps_the_values(text, short):
    assert help.first_sentence(text) == short
