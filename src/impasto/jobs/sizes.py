"""Sizes as people write them: 2k, 50% of the content image, A4@300."""

import functools
import re
from collections.abc import Callable
from typing import NamedTuple

from impasto.errors import SettingError, suggest_names
from impasto.images.arrays import size_of
from impasto.images.formats import decode

PAPERS: dict[str, tuple[float, float]] = {
    "A0": (841, 1189),
    "A1": (594, 841),
    "A2": (420, 594),
    "A3": (297, 420),
    "A4": (210, 297),
    "A5": (148, 210),
    "A6": (105, 148),
    "LETTER": (215.9, 279.4),
    "LEGAL": (215.9, 355.6),
    "TABLOID": (279.4, 431.8),
}
"""Width and height of paper in millimeters."""

MM_PER_INCH = 25.4

KILO = 1024
"""Pixels of 1k, as in the names of film formats: 2k is 2,048 px."""


class Size(NamedTuple):
    """A size as a recipe takes it, and the print resolution that it was given with."""

    size: str
    dpi: float | None = None
    """pixels per inch"""


def resolve_size(text: str, content_size: Callable[[], tuple[int, int]]) -> Size:
    """Return the size that a text stands for; numbers and ``original`` are returned unchanged.

    Args:
        text: thousands of pixels as ``2k``; a part of the content image's longest side as ``50%``;
            or a page and pixels per inch as ``A4@300``, for the largest image that fits on it
        content_size: returns height and width of the content image; called only if needed

    Raises:
        SettingError: for an unknown page, a resolution that is not a number, or another text
        ImageError: if the content image cannot be read

    >>> resolve_size("2k", lambda: (300, 400)).size, resolve_size("50%", lambda: (300, 400)).size
    ('2048', '200')
    >>> resolve_size("A4@300", lambda: (300, 400))
    Size(size='3307', dpi=300.0)
    """
    if thousands := re.fullmatch(r"(\d+(?:\.\d+)?)k", text, flags=re.IGNORECASE):
        return Size(str(round(float(thousands[1]) * KILO)))
    if percent := re.fullmatch(r"(\d+(?:\.\d+)?)%", text):
        return Size(str(max(1, round(max(content_size()) * float(percent[1]) / 100))))
    if "@" in text:
        return _fit_page(text, content_size)
    if not re.fullmatch(r"[+-]?\d[\d_.]*|original", text.strip()):
        raise SettingError(
            f"size is {text!r}: expected pixels, as 1024, or 2k, 50%, A4@300 or original"
        )
    return Size(text)


def _fit_page(text: str, content_size: Callable[[], tuple[int, int]]) -> Size:
    name, _, resolution = text.partition("@")
    if name.upper() not in PAPERS:
        raise SettingError(f"size is {text!r}: {suggest_names(name.upper(), PAPERS)}")
    try:
        dpi = float(resolution.lower().removesuffix("dpi"))
    except ValueError:
        dpi = 0.0
    if not 1 < dpi <= 10_000:
        raise SettingError(
            f"size is {text!r}: expected pixels per inch after @, as in {name.upper()}@300"
        )
    page_short, page_long = (side / MM_PER_INCH * dpi for side in PAPERS[name.upper()])
    short, long = sorted(content_size())
    return Size(str(int(min(page_long, page_short * long / short))), dpi)


@functools.lru_cache(10_000)
def size_of_file(path: str) -> tuple[int, int]:
    """Return height and width of an image file in pixels. Raises ImageError."""
    return size_of(decode.read_image(path, decode.ANY_SIZE).pixels)
