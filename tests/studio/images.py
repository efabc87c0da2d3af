"""Images of the size of camera photos."""

import math

import numpy as np
import pillow_heif
from PIL import Image


def write_photo(megapixels, path):
    """Write a 4:3 image in the format of the file extension; return (width, height)."""
    height = round(math.sqrt(megapixels * 1e6 * 3 / 4) / 2) * 2
    width = height * 4 // 3 // 2 * 2
    random = np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8)
    image = Image.fromarray(random).resize((width, height), Image.Resampling.BILINEAR)
    if path.suffix == ".heic":
        pillow_heif.from_pillow(image).save(path, quality=40)
    else:
        image.save(path, quality=85)
    return width, height
