"""Paint the thumbnails of presets for the studio. ``make gallery``."""

from pathlib import Path

import numpy as np
from PIL import Image

import impasto
from impasto.images import samples
from impasto.images.arrays import ImageArray
from impasto.recipe.presets import PRESETS
from impasto.studio import schema

SIZE = 224
"""Longest side of the results in pixels."""

SIDE = 96
"""Side of a thumbnail in pixels."""


def main() -> None:
    """Paint a thumbnail of each built-in preset, from the samples of ``impasto demo``."""
    folder = Path(schema.__file__).parent / "static" / "presets"
    folder.mkdir(exist_ok=True)
    content, style = samples.load_content("coffee"), samples.make_style("swirls", 512)
    for name in PRESETS:
        painted = impasto.stylize(content, style, preset=name, size=SIZE)
        middle(painted.pixels).save(folder / f"{name}.jpg", quality=80)
        print(name, round(painted.seconds["total"]), flush=True)


def middle(image: ImageArray) -> Image.Image:
    """Return the central square, reduced to SIDE pixels."""
    height, width = image.shape[:2]
    left = (width - height) // 2
    square = Image.fromarray(np.asarray(image[:, left : left + height], np.uint8))
    return square.resize((SIDE, SIDE), Image.Resampling.LANCZOS)


if __name__ == "__main__":
    main()
