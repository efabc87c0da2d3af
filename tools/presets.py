"""Paint the thumbnails of presets and the examples of the studio. ``make gallery``."""

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

import impasto
from impasto.images import samples
from impasto.images.arrays import ImageArray
from impasto.recipe.presets import DEFAULT, PRESETS
from impasto.studio import schema

SIZE = 224
"""Longest side of the results in pixels."""

SIDE = 96
"""Side of a thumbnail in pixels."""

EXAMPLE_SIZE, EXAMPLE = 448, (400, 300)
"""Longest side of the results of examples in pixels, and width and height of their images."""


def main() -> None:
    """Paint a thumbnail of each built-in preset that is no level of detail, and the examples."""
    folder = schema.STATIC / "presets"
    folder.mkdir(exist_ok=True)
    content, style = samples.load_content("coffee"), samples.make_style("swirls", 512)
    levels_of_detail = set(schema.DETAILS) - {DEFAULT}
    for name in (name for name in PRESETS if name not in levels_of_detail):
        painted = impasto.stylize(content, style, preset=name, size=SIZE)
        middle(painted.pixels).save(folder / f"{name}.jpg", quality=80)
        print(name, round(painted.seconds["total"]), flush=True)
    for each in schema.EXAMPLES:
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


def middle(image: ImageArray) -> Image.Image:
    """Return the central square, reduced to SIDE pixels."""
    height, width = image.shape[:2]
    left = (width - height) // 2
    square = Image.fromarray(np.asarray(image[:, left : left + height], np.uint8))
    return square.resize((SIDE, SIDE), Image.Resampling.LANCZOS)


if __name__ == "__main__":
    main()
