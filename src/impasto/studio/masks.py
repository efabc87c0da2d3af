"""Masks computed for the page, such as a selection of similar pixels."""

import io
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter
from skimage import color, segmentation

from impasto.images import arrays, masks
from impasto.images.formats import decode

MAX_SIDE = 768
"""Longest side in pixels at which the selection is computed."""

MAX_TOLERANCE = 60.0
"""Maximum distance in CIELAB at tolerance 1."""


def select_similar(image: Path, x: float, y: float, tolerance: float) -> bytes:
    """Return a mask of the pixels connected with (x, y) and similar to it, as a gray PNG.

    Coordinates and tolerance are from 0 to 1. Similar pixels have a distance of at most
    ``tolerance`` times MAX_TOLERANCE in CIELAB.
    """
    pixels = decode.read_image(image).pixels
    height, width = arrays.size_of(pixels)
    size = arrays.fit(height, width, min(MAX_SIDE, max(height, width)))
    lab = color.rgb2lab(arrays.resize(pixels, *size).clip(0, 255) / 255)
    place = (min(int(y * size[0]), size[0] - 1), min(int(x * size[1]), size[1] - 1))
    far = np.linalg.norm(lab - lab[place], axis=-1)
    selected = segmentation.flood(far <= max(1.0, tolerance * MAX_TOLERANCE), place, connectivity=1)
    mask = arrays.resample(selected[..., None].astype(np.float32) * 255, height, width)[..., 0]
    out = io.BytesIO()
    Image.fromarray(mask.clip(0, 255).round().astype(np.uint8), "L").save(out, "PNG")
    return out.getvalue()


def feather_mask(mask: Path, feather: float, into: Path) -> Path:
    """Return the path of a mask with a soft edge: ``into``, or the mask itself without a feather.

    The edge is blurred by a Gaussian with a standard deviation of ``feather`` times the longer side
    of the mask. The border of the mask is replicated. Raises ImageError for an invalid file.
    """
    if feather == 0:
        return mask
    try:
        values = masks.mask_from_image(decode.read_image(mask, decode.ANY_SIZE).pixels).mask
    except ValueError:
        return mask  # the worker process rejects it with the reason
    gray = Image.fromarray((255 * values).round().astype(np.uint8), "L")
    gray.filter(ImageFilter.GaussianBlur(feather * max(gray.size))).save(into, "PNG")
    return into
