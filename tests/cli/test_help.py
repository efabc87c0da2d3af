"""The manual page, and sentences of the short help."""

import re
import shutil
import subprocess

import pytest

from impasto.cli import app, help
from tools import manpage


def test_the_manual_page_is_the_one_that_make_docs_writes():
    assert manpage.PAGE.read_text(encoding="utf-8") == manpage.page(), "run: make docs"


def test_the_manual_page_has_every_command_and_no_old_option():
    text = manpage.page().replace(r"\-", "-")
    for name in app.COMMANDS:
        assert f".SS impasto {name} " in text
    assert "--tv-weight X" in text
    assert not any(old in text for old in help.OLD_NAMES)


@pytest.mark.skipif(shutil.which("groff") is None, reason="groff is not installed")
def test_the_manual_page_is_set_without_a_warning():
    words = ["groff", "-man", "-ww", "-Tutf8", str(manpage.PAGE)]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.stderr == ""
    assert re.search(r"IMPASTO\(1\)", done.stdout)


@pytest.mark.parametrize(
    ("text", "short"),
    [
        ("Paint. And more.", "Paint."),
        ("Suffix of .png files; more.", "Suffix of .png files."),
        ("Folder.  [default: a; b]", "Folder.  [default: a; b]"),
        ("Size. It is kept. (16 to 20 px; default 18)", "Size. (16 to 20 px; default 18)"),
        ("No stop", "No stop."),
    ],
)
def test_the_first_sentence_keeps_the_values(text, short):
    assert help.first_sentence(text) == short
