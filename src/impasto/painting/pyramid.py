"""The coarse-to-fine schedule as data.

Large brush-work is found at a small size, where a stroke fits into the network's receptive
field, and refined at the sizes above; Gatys et al. 2017 ("Controlling Perceptual Factors in
Neural Style Transfer", section 6) start a high resolution from a low one in the same spirit.
"""

import math
from dataclasses import dataclass, replace

from impasto.pictures.raster import SHORTEST, fit
from impasto.recipe.settings import Recipe

COARSEST = 96
"""Longest side in pixels that the coarsest level has about, when the levels are chosen."""

RATIO = 2.3
"""How many times larger a level is than the one before: every level's first evaluations go into
finding its way, so that fewer levels with more evaluations each reach more in the same time."""

GROWTH = 1.5
"""How many times the evaluations of a level the next coarser one gets; it costs a fifth."""


COARSE_STYLE = 0.5
"""What the style weight is multiplied with for every level coarser, as far as GROWTH goes: what a
coarse level takes apart of the photograph no finer one puts together again (benchmarks/NOTES.md).
Departure from Gatys et al. 2017, who weigh alike at both of their sizes."""

STEPS = 2
"""Coarser levels than so many below the finest are painted like that one."""


@dataclass(frozen=True)
class Level:
    """One size to be painted: number from 1, height and width in pixels, evaluations."""

    number: int
    height: int
    width: int
    evaluations: int
    style: float = 1.0
    """what the weight of style is multiplied with"""


def schedule(height: int, width: int, recipe: Recipe) -> tuple[Level, ...]:
    """Return the levels, coarsest first, for a photograph of (height, width) pixels.

    No level is narrower than SHORTEST, as far as ``recipe.size`` itself allows, and none has the
    size of another, so that there may be fewer than the recipe asks for.
    """
    count = recipe.levels or automatic_levels(recipe.size)
    least = math.ceil(SHORTEST * max(height, width) / min(height, width))
    sizes_down = (round(recipe.size / RATIO**coarser) for coarser in reversed(range(count)))
    sizes = list(dict.fromkeys(min(recipe.size, max(least, size)) for size in sizes_down))
    return tuple(
        _level(number, *fit(height, width, size), recipe, min(len(sizes) - number, STEPS))
        for number, size in enumerate(sizes, start=1)
    )


def _level(number: int, height: int, width: int, recipe: Recipe, coarser: int) -> Level:
    evaluations = round(recipe.evaluations * GROWTH**coarser)
    return Level(number, height, width, evaluations, COARSE_STYLE**coarser)


def lower(level: Level, painted: int) -> Level | None:
    """Return a level of half the pixels, for want of memory.

    None if it would be no larger than the ``painted`` pixels of the level before, or narrower
    than SHORTEST.
    """
    height, width = fit(level.height, level.width, round(max(level.height, level.width) / 2**0.5))
    if height * width <= painted or min(height, width) < SHORTEST:
        return None
    return replace(level, height=height, width=width)


def automatic_levels(size: int) -> int:
    """Return how many levels lead from about the coarsest size to ``size``.

    >>> [automatic_levels(size) for size in (64, 128, 256, 512, 1024, 2048)]
    [1, 1, 2, 3, 4, 5]
    """
    return max(1, 1 + round(math.log(size / COARSEST, RATIO)))
