"""Paint the thumbnails of presets for the studio. ``make gallery``."""

from pathlib import Path

import numpy as np
from PIL import Image

import impasto
from impasto.images import samples
from impasto.images.arrays import ImageArray
from impasto.recipe.settings import PRESETS
from impasto.studio import schema

SIZE = 224
"""Longest side in pixels at which they are painted."""

SIDE = 96
"""Pixels along the side of a square that is shown."""


def main() -> None:
    """Paint one for every built-in preset, of the sample that ``impasto demo`` paints."""
    folder = Path(schema.__file__).parent / "static" / "presets"
    folder.mkdir(exist_ok=True)
    photograph, painting = samples.load_content("coffee"), samples.make_style("swirls", 512)
    for name in PRESETS:
        painted = impasto.stylize(photograph, painting, preset=name, size=SIZE)
        middle(painted.pixels).save(folder / f"{name}.jpg", quality=80)
        print(name, round(painted.seconds["total"]), flush=True)


def middle(picture: ImageArray) -> Image.Image:
    """Return the square in the middle, small."""
    height, width = picture.shape[:2]
    left = (width - height) // 2
    square = Image.fromarray(np.asarray(picture[:, left : left + height], np.uint8))
    return square.resize((SIDE, SIDE), Image.Resampling.LANCZOS)


if __name__ == "__main__":
    main()
