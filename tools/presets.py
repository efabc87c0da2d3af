"""Paint the thumbnails of presets and the examples of the studio. ``make gallery``.

    python -m tools.presets [PRESET ...]

Each preset paints another photo in the same style, so that thumbnails are distinct at a glance and
no look is taken for a style: on one photo, four of them look alike at this size. The studio does
not paint them on the user's own images, since a preset takes 1.5 to 3 CPU seconds at 96 px.
"""

import argparse
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps

import impasto
from impasto.images import samples
from impasto.images.arrays import ImageArray
from impasto.recipe.presets import DEFAULT, PRESETS
from impasto.studio import schema

SIZE = 352
"""Longest side of the results in pixels."""

SIDE = 144
"""Side of a thumbnail in pixels."""

STYLE = "swirls"
"""The style sample of all thumbnails."""


class Shown(NamedTuple):
    """The content sample of a thumbnail, and the square of it that is shown, as fractions."""

    content: str
    x: float = 0.5
    y: float = 0.5
    side: float = 1.0
    """of the square, relative to the shorter side"""


SHOWN = {
    DEFAULT: Shown("astronaut", 0.5, 0.0, 0.8),
    "painterly": Shown("coffee", 0.55, 0.35, 0.85),
    "bold": Shown("rocket", 0.5, 0.62, 0.75),
    "subtle": Shown("cat", 0.45, 0.45, 0.9),
    "photo-colours": Shown("coffee", 0.55, 0.35, 0.85),
    "fine-strokes": Shown("motorcycle", 0.55, 0.6, 0.9),
    "broad-strokes": Shown("cat", 0.3, 0.25, 0.45),
}
"""What thumbnails show; those of earlier methods show the coffee."""

EXAMPLE_SIZE, EXAMPLE = 448, (400, 300)
"""Longest side of the results of examples in pixels, and width and height of their images."""


def main() -> None:
    """Paint a thumbnail of each built-in preset that is no level of detail, and the examples."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("presets", nargs="*", help="presets to paint; by default all and examples")
    asked = parser.parse_args().presets
    folder = schema.STATIC / "presets"
    folder.mkdir(exist_ok=True)
    levels_of_detail = set(schema.DETAILS) - {DEFAULT}
    for name in asked or [name for name in PRESETS if name not in levels_of_detail]:
        shown = SHOWN.get(name, SHOWN["painterly"])
        painted = impasto.stylize(
            samples.load_content(shown.content),
            samples.make_style(STYLE),
            preset=name,
            size=SIZE,
        )
        thumbnail(painted.pixels, shown).save(folder / f"{name}.jpg", quality=82, optimize=True)
        print(name, round(painted.seconds["total"]), flush=True)
    for each in () if asked else schema.EXAMPLES:
        example(*each, schema.STATIC / "examples")


def example(content: str, style: str, folder: Path) -> None:
    """Paint a content sample in a style sample, and write it in the size of the page."""
    result = impasto.stylize(
        samples.load_content(content), samples.make_style(style), size=EXAMPLE_SIZE
    )
    image = Image.fromarray(np.asarray(result.pixels, np.uint8))
    folder.mkdir(exist_ok=True)
    fitted = ImageOps.fit(image, EXAMPLE, Image.Resampling.LANCZOS, centering=(0.5, 0.33))
    fitted.save(folder / f"{content}-{style}.jpg", quality=74, optimize=True, progressive=True)
    print(f"{content}-{style}", round(result.seconds["total"]), flush=True)


def thumbnail(image: ImageArray, shown: Shown) -> Image.Image:
    """Return the shown square of a result, in SIDE pixels."""
    height, width = image.shape[:2]
    side = round(shown.side * min(height, width))
    left, top = round(shown.x * (width - side)), round(shown.y * (height - side))
    square = Image.fromarray(np.asarray(image[top : top + side, left : left + side], np.uint8))
    return square.resize((SIDE, SIDE), Image.Resampling.LANCZOS)


if __name__ == "__main__":
    main()
