"""What was asked for, in words and as values."""

import pytest

from impasto.errors import SettingError
from impasto.workshop import orders


@pytest.mark.parametrize(
    ("text", "drives", "parts"),
    [
        ("m.png:p.jpg", False, ("m.png", "p.jpg")),
        ("/a/m.png:/b/p.jpg:/c/q.png", False, ("/a/m.png", "/b/p.jpg", "/c/q.png")),
        ("m:p", False, ("m", "p")),
        (r"C:\m.png:D:\p.jpg", True, (r"C:\m.png", r"D:\p.jpg")),
        ("c:/m.png:p.jpg:d:/q.png", True, ("c:/m.png", "p.jpg", "d:/q.png")),
        ("m.png:p.jpg", True, ("m.png", "p.jpg")),
    ],
)
def test_regions_are_cut_up_at_colons(text, drives, parts):
    assert orders.parse_region(text, drives) == parts


@pytest.mark.parametrize("text", ["", "m.png", "m.png:", ":p.jpg", "a:b:c:d"])
def test_a_region_of_another_form_is_refused(one_line, text):
    with pytest.raises(SettingError) as caught:
        orders.parse_region(text)
    assert "expected MASK:PAINTING" in one_line(caught)
