"""The scripts of the page fit its HTML, which no type check sees."""

import re
from pathlib import Path

from impasto.studio import app

NAMED = re.compile(r'(?:\bat|\bon|getElementById)\("([\w-]+)"')
MADE = re.compile(r'\bid(?:=|: )"([\w-]+)"')


def ids(pattern: re.Pattern[str], suffixes: set[str]) -> set[str]:
    """The ids that a pattern finds in files of the page with one of the suffixes."""
    files = [each for each in Path(app.STATIC).iterdir() if each.suffix in suffixes]
    return {name for each in files for name in pattern.findall(each.read_text(encoding="utf-8"))}


def test_every_element_that_a_script_names_exists():
    named = ids(NAMED, {".js"})
    assert {"canvas", "queue", "paint"} <= named
    assert not named - ids(MADE, {".html", ".js"})
