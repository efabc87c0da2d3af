"""Photographs as cameras take them, made for a test."""

import math

import numpy as np
import pillow_heif
from PIL import Image


def photograph_of(megapixels, path):
    """Write a picture of so many megapixels, 4:3, in the format of the ending; (width, height)."""
    height = round(math.sqrt(megapixels * 1e6 * 3 / 4) / 2) * 2
    width = height * 4 // 3 // 2 * 2
    random = np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8)
    image = Image.fromarray(random).resize((width, height), Image.Resampling.BILINEAR)
    if path.suffix == ".heic":
        pillow_heif.from_pillow(image).save(path, quality=40)
    else:
        image.save(path, quality=85)
    return width, height
