"""Finding the right setting: the same picture painted in many ways, side by side on one sheet."""

import itertools
import math
import os
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from impasto.errors import SettingError, nearest
from impasto.painting.events import Listener
from impasto.painting.inputs import Inputs
from impasto.pictures.raster import Picture, on_white
from impasto.recipe import settings as recipes
from impasto.recipe.settings import Recipe

SIZE = 256
"""Longest side in pixels of a picture on the sheet, where no size is given."""

MOST = 100
"""Pictures on a sheet."""


@dataclass(frozen=True)
class Variant:
    """One picture of a sheet: the options that set it apart, and its recipe."""

    options: tuple[str, ...]
    recipe: Recipe

    def command(self, words: Sequence[str]) -> str:
        """Return the command that paints it, after the ``words`` that all have in common."""
        return shlex.join([*words, *self.options])


@dataclass(frozen=True)
class Plan:
    """The variants of a sheet, row by row."""

    variants: tuple[Variant, ...]
    columns: int


def plan(varied: Sequence[str], make: Callable[..., Recipe]) -> Plan:
    """Return every combination of ``NAME=VALUE,VALUE,…``, the last name changing fastest.

    ``make`` makes a recipe of settings given by name. Values that have commas in them are set
    apart by semicolons. Raises SettingError for what cannot be varied.
    """
    axes = [_axis(text) for text in varied]
    if not axes:
        raise SettingError("nothing to vary: give --vary NAME=VALUE,VALUE at least once")
    names = [name for name, _ in axes]
    if len(set(names)) < len(names):
        raise SettingError(f"vary names {', '.join(names)}: name each setting once")
    count = math.prod(len(values) for _, values in axes)
    if count > MOST:
        raise SettingError(f"{count} pictures: at most {MOST} go on a sheet, so vary less")
    variants = []
    for values in itertools.product(*(values for _, values in axes)):
        settings = dict(zip(names, values, strict=True))
        variants.append(Variant(recipes.as_options(settings), make(**settings)))
    last = len(axes[-1][1])
    return Plan(tuple(variants), last if len(axes) > 1 else min(last, 4))


def _axis(text: str) -> tuple[str, list[str]]:
    kinds = {name: kind for name, kind, _, _ in recipes.settings()}
    name, _, values = text.partition("=")
    name = name.strip().replace("-", "_")
    if name not in kinds:
        raise SettingError(f"vary {text!r}: there is no setting {name!r}: {nearest(name, kinds)}")
    with_commas = kinds[name] in (recipes.Layers, recipes.Numbers)
    parts = values.split(";" if with_commas or ";" in values else ",")
    found = list(dict.fromkeys(part.strip() for part in parts if part.strip()))
    if not found:
        raise SettingError(f"vary {text!r}: expected NAME=VALUE,VALUE")
    return name, found


def paint_all(
    variants: Sequence[Variant],
    prepare: Callable[[Recipe], Inputs],
    begin: Callable[[Variant], None],
    listener: Listener,
    weights_file: str | os.PathLike[str] | None = None,
) -> dict[int, Picture]:
    """Paint variants, those that share a network in a row; return the pictures by number.

    ``prepare`` reads the pictures, ``begin`` is told before each. Once ``listener`` stops the
    work, the picture begun is left out.
    """
    from impasto.painting.climb import Engines, paint  # loads the tensor library

    engines = Engines(weights_file)
    painted: dict[int, Picture] = {}
    for number in sorted(range(len(variants)), key=lambda n: repr(Engines.key(variants[n].recipe))):
        begin(variants[number])
        recipe = variants[number].recipe
        result = paint(prepare(recipe), recipe, listener, engines)
        if result.stopped:
            break
        picture = result.picture
        painted[number] = picture if result.alpha is None else on_white(picture, result.alpha)
    return dict(sorted(painted.items()))


def sheet(shown: Sequence[tuple[str, Picture]], columns: int) -> Picture:
    """Lay pictures of one size out in rows, each under its label."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = -(-len(shown) // columns)
    height, width = shown[0][1].shape[:2]
    inches = max(NARROWEST, width / DPI)
    figure = Figure(
        figsize=(inches * columns, (inches * height / width + 0.3) * rows),
        layout="constrained",
        dpi=DPI,
    )
    for number, (label, picture) in enumerate(shown, start=1):
        axes = figure.add_subplot(rows, columns, number)
        axes.imshow(picture / 255)
        axes.set_axis_off()
        axes.set_title(label, fontsize=6)
    canvas: Any = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba(), np.float32)[..., :3]


DPI = 120
"""Pixels per inch of a sheet."""

NARROWEST = 2.0
"""Inches that a column has at least, for its label."""
