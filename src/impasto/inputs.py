"""The pictures that a painting begins with: read, checked, and the first one to paint on.

Loads no tensor library, so that what cannot be used is refused at once.
"""

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from impasto import files, memory, pictures, weights
from impasto.errors import PictureError, SettingError, nearest
from impasto.pictures import Picture
from impasto.recipe import Recipe

PictureLike: TypeAlias = str | os.PathLike[str] | Image.Image | NDArray[Any]
"""A path, a Pillow image, or an array as :func:`impasto.pictures.from_array` takes it."""


@dataclass(frozen=True)
class Inputs:
    """The pictures of one painting, at their own sizes; ``start`` only where it is a file."""

    content: Picture
    style: Picture
    start: Picture | None
    notes: tuple[str, ...]
    """words about the pictures for the person, such as that an animation's first frame is used"""


STARTS: dict[str, Callable[[Picture, Picture, Recipe], Picture]] = {
    "content": lambda content, style, recipe: content,
    # Stretched to the photograph's shape: as a start, never as a target.
    "style": lambda content, style, recipe: pictures.resize(style, *pictures.size_of(content)),
    "noise": lambda content, style, recipe: pictures.noise(*pictures.size_of(content), recipe.seed),
}
"""Starting pictures of (photograph, painting, recipe) by the name that ``init`` takes."""


def prepare(recipe: Recipe, content: PictureLike, style: PictureLike) -> Inputs:
    """Read the pictures and check the recipe against the network, before anything slow begins.

    Raises PictureError or SettingError for what cannot be used.
    """
    weights.NETWORKS[recipe.network].check_layers(recipe.layers)
    loaded = [_load(content, "content"), _load(style, "style")]
    start = None
    if recipe.init not in STARTS:
        loaded.append(_load_start(recipe.init))
        start = loaded[-1].pixels
    _check_painted_size(*pictures.size_of(loaded[0].pixels), recipe.size)
    notes = tuple(note for each in loaded for note in each.notes)
    return Inputs(loaded[0].pixels, loaded[1].pixels, start, notes)


def _check_painted_size(height: int, width: int, size: int) -> None:
    """Raise SettingError for a ``size`` at which the photograph is too narrow, or too large."""
    painted = pictures.fit(height, width, size)
    if min(painted) < pictures.SHORTEST:
        least = math.ceil(pictures.SHORTEST * max(height, width) / min(height, width))
        raise SettingError(
            f"size {size} makes this photograph {painted[1]} x {painted[0]} px: at least "
            f"{pictures.SHORTEST} px are needed on its short side, so give it size {least} or more"
        )
    memory.require(*painted)


def start(inputs: Inputs, content: Picture, recipe: Recipe) -> Picture:
    """Return the picture that the first level starts from, of the size of ``content``."""
    if inputs.start is not None:
        return pictures.resize(inputs.start, *pictures.size_of(content))
    return STARTS[recipe.init](content, inputs.style, recipe)


def _load(source: PictureLike, role: str) -> files.Loaded:
    if isinstance(source, str | os.PathLike):
        return files.read(source)
    try:
        loaded = files.image_pixels(source) if isinstance(source, Image.Image) else _array(source)
    except ValueError as error:
        raise PictureError(f"{role}: {error}") from None
    return files.Loaded(loaded.pixels, tuple(f"{role}: {note}" for note in loaded.notes))


def _array(source: Any) -> files.Loaded:
    if not isinstance(source, np.ndarray):
        kind = type(source).__name__
        raise PictureError(f"not a picture but {kind}: give a path, a Pillow image or an array")
    pixels = pictures.from_array(source)
    height, width = pictures.size_of(pixels)
    files.check_size(width, height)
    return files.Loaded(pixels)


def _load_start(init: str) -> files.Loaded:
    try:
        return files.read(init)
    except PictureError as error:
        if os.path.exists(init) or os.path.splitext(init)[1]:
            raise SettingError(f"init: {error}") from None
        raise SettingError(f"init is {init!r}, which is no file: {nearest(init, STARTS)}") from None
