"""The coarse-to-fine schedule as data.

Large brush-work is found at a small size, where a stroke fits into the network's receptive
field, and refined at the sizes above; Gatys et al. 2017 ("Controlling Perceptual Factors in
Neural Style Transfer", section 6) start a high resolution from a low one in the same spirit.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from impasto.errors import SettingError
from impasto.losses.kinds import FINEST, FORMS, LAST, SHARPENING, Kind
from impasto.pictures.raster import SHORTEST, fit
from impasto.recipe.settings import Recipe


@dataclass(frozen=True)
class Shape:
    """How the levels of a style loss follow each other."""

    coarsest: int = 96
    """longest side in pixels that the coarsest level has about, when the levels are chosen"""
    ratio: float = 2.3
    """how many times larger a level is than the one before: every level's first evaluations go into
    finding its way, so that fewer levels with more evaluations each reach more in the same time"""
    growth: float = 1.5
    """how many times the evaluations of a level the next coarser one gets; it costs a fifth"""
    steps: int = 2
    """coarser levels than so many below the finest are painted like that one"""
    coarse_style: float = 0.5
    """what the style weight is multiplied with for every level coarser, as far as ``steps``: what
    a coarse level takes apart of the photograph no finer one puts together again
    (benchmarks/NOTES.md). Departure from Gatys et al. 2017, who weigh alike at both sizes."""
    carries_picture: bool = False
    """whether a level starts from the picture of the one before, enlarged; else from the change
    that one made, added to the finer photograph"""
    last_pass: float = 0.0
    """evaluations of the last pass at the finest size, as a share of that level's; 0 without one"""
    large: float = math.inf
    """longest side in pixels beyond which levels sharpen what was painted smaller, with the fewer
    evaluations the larger they are: forms are found up to there, the last pass included, so that a
    large picture looks like a small one"""


USUAL = Shape()

SHAPES = {
    "matching": Shape(
        coarsest=48,
        ratio=2.0,
        growth=1.36,
        steps=3,
        coarse_style=1.0,
        carries_picture=True,
        last_pass=1.5,
        large=1024,
    )
}
"""Shapes of those style losses that have their own."""


def shape_of(recipe: Recipe) -> Shape:
    """Return how the levels of a recipe follow each other."""
    return SHAPES.get(recipe.style_loss, USUAL)


@dataclass(frozen=True)
class Level:
    """One size to be painted: number from 1, height and width in pixels, evaluations."""

    number: int
    height: int
    width: int
    evaluations: int
    style: float = 1.0
    """what the weight of style is multiplied with"""
    kind: Kind = FORMS
    """what it is for"""
    follows: bool = False
    """whether it goes on from a picture that was painted smaller"""


def schedule(height: int, width: int, recipe: Recipe) -> tuple[Level, ...]:
    """Return the levels, coarsest first, for a photograph of (height, width) pixels.

    No level is narrower than SHORTEST, as far as ``recipe.size`` itself allows, and none has the
    size of another, so that there may be fewer than the recipe asks for. Raises SettingError if
    the recipe goes on from a picture as large as it asks for.
    """
    shape = shape_of(recipe)
    sizes = [size for size in _sizes(height, width, recipe) if size > recipe.finished]
    if not sizes:
        raise SettingError(
            f"size is {recipe.size}: a picture of {recipe.finished} px is finished at a larger one"
        )
    small = [] if recipe.finished else [size for size in sizes if size <= shape.large] or sizes[:1]
    shapes = [fit(height, width, size) for size in sizes]
    levels = [*_forms(shapes[: len(small)], recipe), *_sharper(shapes[len(small) :], recipe)]
    return tuple(replace(each, number=number) for number, each in enumerate(levels, start=1))


def _forms(sizes: Sequence[tuple[int, int]], recipe: Recipe) -> list[Level]:
    """Return the levels at which forms are found, coarsest first, with the last pass."""
    shape = shape_of(recipe)
    coarser = (min(each, shape.steps) for each in reversed(range(len(sizes))))
    levels = [_level(*each, recipe) for each in zip(sizes, coarser, strict=True)]
    levels = [replace(each, follows=number > 0) for number, each in enumerate(levels)]
    if len(levels) > 1 and shape.large < math.inf:
        levels[-1] = replace(levels[-1], kind=FINEST)
    if levels and (evaluations := round(shape.last_pass * recipe.evaluations)):
        last = replace(levels[-1], evaluations=evaluations, kind=LAST, follows=True)
        levels.append(_fewer(last, shape))
    return levels


def _sharper(sizes: Sequence[tuple[int, int]], recipe: Recipe) -> list[Level]:
    """Return the levels that go on from a smaller one whose forms were found, coarsest first.

    They sharpen it, where the style loss has that; else they are levels as all others are.
    """
    shape = shape_of(recipe)
    kind, steps = (SHARPENING, 0) if shape.large < math.inf else (FORMS, shape.steps)
    coarser = (min(each, steps) for each in reversed(range(len(sizes))))
    levels = [_level(*each, recipe) for each in zip(sizes, coarser, strict=True)]
    return [_fewer(replace(each, kind=kind, follows=True), shape) for each in levels]


def _sizes(height: int, width: int, recipe: Recipe) -> list[int]:
    """Return the longest sides of the levels in pixels, coarsest first."""
    shape = shape_of(recipe)
    count = recipe.levels or automatic_levels(recipe.size, shape)
    least = math.ceil(SHORTEST * max(height, width) / min(height, width))
    sizes_down = (round(recipe.size / shape.ratio**coarser) for coarser in reversed(range(count)))
    return list(dict.fromkeys(min(recipe.size, max(least, size)) for size in sizes_down))


DETAIL = 16
"""Pixels: waves longer than that hardly change where a picture is sharpened. With shallow layers
alone it would lose the contrast that the last pass gave (benchmarks/NOTES.md)."""

FEWEST = 3
"""Evaluations that a large level gets at least, as far as the recipe has them."""


def _fewer(level: Level, shape: Shape) -> Level:
    """Return a level with the fewer evaluations the larger it is."""
    fewer = round(level.evaluations * min(1.0, shape.large / max(level.height, level.width)))
    return replace(level, evaluations=max(min(FEWEST, level.evaluations), fewer))


def _level(size: tuple[int, int], coarser: int, recipe: Recipe) -> Level:
    shape = shape_of(recipe)
    evaluations = round(recipe.evaluations * shape.growth**coarser)
    return Level(1, *size, evaluations, shape.coarse_style**coarser)


def lower(level: Level, painted: int) -> Level | None:
    """Return a level of half the pixels, for want of memory.

    None if it would be no larger than the ``painted`` pixels of the level before, or narrower
    than SHORTEST.
    """
    height, width = fit(level.height, level.width, round(max(level.height, level.width) / 2**0.5))
    if height * width <= painted or min(height, width) < SHORTEST:
        return None
    return replace(level, height=height, width=width)


def automatic_levels(size: int, shape: Shape = USUAL) -> int:
    """Return how many levels lead from about the coarsest size to ``size``.

    >>> [automatic_levels(size) for size in (64, 128, 256, 512, 1024, 2048)]
    [1, 1, 2, 3, 4, 5]
    """
    return max(1, 1 + round(math.log(size / shape.coarsest, shape.ratio)))
