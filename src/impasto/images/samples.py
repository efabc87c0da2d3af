"""Sample images: style images of this package, and content images of scikit-image.

``tools/sample_styles.py`` generates the style images, so they need no license.
"""

from pathlib import Path
from typing import cast

import numpy as np
import skimage
from PIL import Image

from impasto import filearray
from impasto.errors import InputError, suggest_names
from impasto.images import arrays
from impasto.images.arrays import ImageArray

FOLDER = Path(__file__).parent / "sample_styles"
"""The style images."""

STYLES: dict[str, str] = {
    "swirls": "Oil",
    "glass": "Stained glass",
    "dots": "Pointillism",
    "woodcut": "Woodcut",
    "watercolour": "Watercolor",
    "knife": "Palette knife",
    "ink": "Ink wash",
    "batik": "Batik",
    "mosaic": "Mosaic",
    "charcoal": "Charcoal",
    "pastel": "Pastel",
    "engraving": "Engraving",
}
"""The style images: their names, and the techniques that they show."""

CONTENTS: dict[str, str] = {
    "astronaut": "astronaut.png",
    "cat": "chelsea.png",
    "coffee": "coffee.png",
    "motorcycle": "motorcycle_left.png",
    "rocket": "rocket.jpg",
}
"""Files by name in the data folder that scikit-image installs."""

SIZE = 768
"""Longest side in pixels of the stored style images."""

MIN_SIZE = 32
"""Minimum of the longest side in pixels: smaller images would have no visible strokes."""


def load_sample(name: str, size: int | None = None) -> ImageArray:
    """Return a sample image: a photo that comes with scikit-image, or a style image of impasto.

    Args:
        name: name of the sample, such as "cat" or "swirls"; `impasto samples` writes all of them
        size: longest side in pixels; None for that of the file

    Returns:
        sRGB-encoded colors, float32 (height, width, 3) in [0, 255].

    Raises:
        InputError: for an unknown name, a missing file, or a size below 32
    """
    names = (*CONTENTS, *STYLES)
    if name not in names:
        raise InputError(f"unknown sample {name!r}; {suggest_names(name, names)}")
    if size is not None and size < MIN_SIZE:
        raise InputError(f"size {size} is too small; the minimum is {MIN_SIZE}")
    image = make_style(name) if name in STYLES else load_content(name)
    if size is None:
        return image
    height, width = arrays.fit(*arrays.size_of(image), size)
    return cast(ImageArray, filearray.in_memory(arrays.resize(image, height, width)))


def make_style(name: str, size: int = SIZE) -> ImageArray:
    """Return one of STYLES, resized to ``size`` pixels on the longest side.

    Returns sRGB-encoded colors, float32 (height, width, 3) in [0, 255]. Raises InputError for an
    unknown name or a size below MIN_SIZE.
    """
    if name not in STYLES:
        raise InputError(f"unknown style sample {name!r}; {suggest_names(name, STYLES)}")
    if size < MIN_SIZE:
        raise InputError(f"size {size} is too small; the minimum is {MIN_SIZE}")
    image = _read(FOLDER / f"{name}.avif", "impasto")
    resized = arrays.resize(image, *arrays.fit(*arrays.size_of(image), size))
    return cast(ImageArray, filearray.in_memory(resized))


def load_content(name: str) -> ImageArray:
    """Read one of CONTENTS from the installed scikit-image, without network access.

    Returns sRGB-encoded colors, float32 (height, width, 3) in [0, 255]. Raises InputError for an
    unknown name or a missing file.
    """
    if name not in CONTENTS:
        raise InputError(f"unknown content sample {name!r}; {suggest_names(name, CONTENTS)}")
    return _read(Path(skimage.__file__).parent / "data" / CONTENTS[name], "scikit-image")


def _read(path: Path, package: str) -> ImageArray:
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB"), dtype=np.float32)
    except FileNotFoundError:
        raise InputError(f"{path} is missing; reinstall {package}") from None
