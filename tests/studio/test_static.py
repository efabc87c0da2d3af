"""The scripts of the page match its HTML."""

import re
from pathlib import Path

from impasto.studio import schema

NAMED = re.compile(r'(?:\bat|\bon|getElementById)\("([\w-]+)"')
MADE = re.compile(r'\bid(?:=|: )"([\w-]+)"')


def ids(pattern: re.Pattern[str], suffixes: set[str]) -> set[str]:
    """Return the ids that a pattern finds in files of the page with one of the suffixes."""
    files = [each for each in Path(schema.STATIC).iterdir() if each.suffix in suffixes]
    return {name for each in files for name in pattern.findall(each.read_text(encoding="utf-8"))}


def test_each_element_in_a_script_exists():
    named = ids(NAMED, {".js"})
    assert {"canvas", "queue", "paint"} <= named
    assert not named - ids(MADE, {".html", ".js"})
