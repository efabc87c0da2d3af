"""The coarse-to-fine schedule of levels.

At a small size, large strokes fit into the receptive field of the network. Larger levels refine
them. Gatys et al. 2017 ("Controlling Perceptual Factors in Neural Style Transfer", section 6) also
initialize a high resolution from a low one.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from impasto.errors import SettingError
from impasto.images.arrays import MIN_SIDE, fit
from impasto.losses.level_roles import DETAIL, FEATURE_SPLITTING, FINEST, STRUCTURE, LevelRole
from impasto.optimizers.solver import DEFAULT_PRECONDITIONING, Preconditioning
from impasto.recipe.settings import Recipe


@dataclass(frozen=True)
class ScheduleShape:
    """Parameters of the schedule for a style loss."""

    coarsest: int = 96
    """approximate longest side of the coarsest level in pixels, if ``levels`` is 0"""
    ratio: float = 2.3
    """size of a level relative to the one before. The first evaluations of each level only adapt to
    the new size, so few levels with many evaluations each are more efficient"""
    growth: float = 1.5
    """factor on the number of evaluations for each coarser level, up to ``steps``; an evaluation
    of the next coarser level takes a fifth of the time"""
    steps: int = 2
    """number of levels below the finest over which ``growth`` and ``coarse_style`` accumulate"""
    coarse_style: float = 0.5
    """factor on the style weight for each coarser level, up to ``steps``: structure lost at a
    coarse level is not recovered at finer ones (benchmarks/NOTES.md). Departure from Gatys et al.
    2017, who use the same weight at both sizes"""
    carries_image: bool = False
    """whether a level starts from the enlarged image of the level before; if not, it starts from
    the content image plus the change made by that level"""
    feature_splitting: float = 0.0
    """evaluations of the feature splitting level, relative to those of the level before; 0 for no
    such level"""
    finest: float | None = None
    """factor from the evaluations of the finest level to those of the next coarser one; ``growth``
    if None"""
    preconditioning: Preconditioning = DEFAULT_PRECONDITIONING
    """preconditioning of L-BFGS, except in feature splitting"""
    splitting_preconditioning: Preconditioning = DEFAULT_PRECONDITIONING
    """preconditioning of L-BFGS in feature splitting"""
    sharpens: bool = False
    """whether levels above the setting ``structure_size`` only sharpen, with fewer evaluations, so
    that a large result has the structure of a small one, including feature splitting"""


DEFAULT_SHAPE = ScheduleShape()

SHAPES = {
    "matching": ScheduleShape(
        coarsest=48,
        ratio=2.0,
        growth=1.3,
        steps=3,
        coarse_style=1.0,
        carries_image=True,
        feature_splitting=2.0,
        finest=1.5,
        preconditioning=Preconditioning(0.25, 2.5, 0.3),
        splitting_preconditioning=Preconditioning(0.33, 2.5, 0.3),
        sharpens=True,
    )
}
"""Shapes of style losses that do not use ``DEFAULT_SHAPE``."""


def schedule_shape(recipe: Recipe) -> ScheduleShape:
    """Return the parameters of the schedule for a recipe."""
    return SHAPES.get(recipe.style_loss, DEFAULT_SHAPE)


def max_structure_size(recipe: Recipe) -> float:
    """Return the maximum longest side in pixels of a level that determines structure.

    Sizes are halves of the final size, so it allows the one that is nearest to the setting
    ``structure_size``, by ratio.
    """
    return 2**0.5 * recipe.structure_size if schedule_shape(recipe).sharpens else math.inf


@dataclass(frozen=True)
class Level:
    """One level: number from 1, height and width in pixels, evaluations."""

    number: int
    height: int
    width: int
    evaluations: int
    style: float = 1.0
    """factor on the style weight"""
    role: LevelRole = STRUCTURE
    """its role"""
    follows: bool = False
    """whether it continues from a smaller level"""
    preconditioning: Preconditioning = DEFAULT_PRECONDITIONING
    """preconditioning of L-BFGS"""


def schedule(height: int, width: int, recipe: Recipe) -> tuple[Level, ...]:
    """Return the levels, coarsest first, for a content image of (height, width) pixels.

    Levels have distinct sizes, except for feature splitting, and at least MIN_SIDE pixels on the
    short side if ``recipe.size`` allows it, so there may be fewer than the recipe says. Raises
    SettingError if ``recipe.size`` is not larger than ``recipe.finished``, the size of a result to
    enlarge.
    """
    sizes = [size for size in _sizes(height, width, recipe) if size > recipe.finished]
    if not sizes:
        raise SettingError(
            f"size is {recipe.size}: it must be larger than finished, {recipe.finished} px"
        )
    limit = max_structure_size(recipe)
    small = [] if recipe.finished else [size for size in sizes if size <= limit] or sizes[:1]
    shapes = [fit(height, width, size) for size in sizes]
    levels = [
        *_structure_levels(shapes[: len(small)], recipe),
        *_detail_levels(shapes[len(small) :], recipe),
    ]
    return tuple(replace(each, number=number) for number, each in enumerate(levels, start=1))


def _structure_levels(sizes: Sequence[tuple[int, int]], recipe: Recipe) -> list[Level]:
    """Return the levels that determine structure, coarsest first, the last by feature splitting."""
    shape = schedule_shape(recipe)
    coarser = (min(each, shape.steps) for each in reversed(range(len(sizes))))
    levels = [_level(*each, recipe) for each in zip(sizes, coarser, strict=True)]
    levels = [replace(each, follows=number > 0) for number, each in enumerate(levels)]
    if len(levels) > 1 and shape.sharpens:
        levels[-1] = replace(levels[-1], role=FINEST)
    if levels and (evaluations := round(shape.feature_splitting * recipe.evaluations)):
        last = replace(
            levels[-1],
            evaluations=evaluations,
            role=FEATURE_SPLITTING,
            follows=True,
            preconditioning=shape.splitting_preconditioning,
        )
        levels.append(_reduce_evaluations(last, recipe))
    return levels


def _detail_levels(sizes: Sequence[tuple[int, int]], recipe: Recipe) -> list[Level]:
    """Return the levels above :func:`max_structure_size`, coarsest first.

    They sharpen if the style loss supports it; if not, they are ordinary levels.
    """
    shape = schedule_shape(recipe)
    role, steps = (DETAIL, 0) if shape.sharpens else (STRUCTURE, shape.steps)
    coarser = (min(each, steps) for each in reversed(range(len(sizes))))
    levels = [_level(*each, recipe) for each in zip(sizes, coarser, strict=True)]
    return [_reduce_evaluations(replace(each, role=role, follows=True), recipe) for each in levels]


def _sizes(height: int, width: int, recipe: Recipe) -> list[int]:
    """Return the longest sides of the levels in pixels, coarsest first."""
    shape = schedule_shape(recipe)
    count = recipe.levels or automatic_levels(recipe.size, shape)
    least = math.ceil(MIN_SIDE * max(height, width) / min(height, width))
    sizes_down = (round(recipe.size / shape.ratio**coarser) for coarser in reversed(range(count)))
    return list(dict.fromkeys(min(recipe.size, max(least, size)) for size in sizes_down))


DETAIL_WAVELENGTH = 16
"""Wavelength in pixels above which sharpening changes little. Without this limit, shallow layers
alone would reduce the contrast of feature splitting (benchmarks/NOTES.md)."""

MIN_EVALUATIONS = 3
"""Minimum number of evaluations of a large level, if the recipe has as many."""


def _reduce_evaluations(level: Level, recipe: Recipe) -> Level:
    """Return a level with fewer evaluations, in proportion to its size above 2 structure sizes."""
    full = 2 * recipe.structure_size if schedule_shape(recipe).sharpens else math.inf
    fewer = round(level.evaluations * min(1.0, full / max(level.height, level.width)))
    return replace(level, evaluations=max(min(MIN_EVALUATIONS, level.evaluations), fewer))


def _level(size: tuple[int, int], coarser: int, recipe: Recipe) -> Level:
    shape = schedule_shape(recipe)
    first = shape.growth if shape.finest is None else shape.finest
    factor = first * shape.growth ** (coarser - 1) if coarser else 1.0
    evaluations = round(recipe.evaluations * factor)
    style = shape.coarse_style**coarser
    return Level(1, *size, evaluations, style, preconditioning=shape.preconditioning)


def smaller_level(level: Level, pixels: int) -> Level | None:
    """Return a level with half the pixels, for when memory runs out.

    None if it would have at most the ``pixels`` of the level before, or a side shorter than
    MIN_SIDE.
    """
    height, width = fit(level.height, level.width, round(max(level.height, level.width) / 2**0.5))
    if height * width <= pixels or min(height, width) < MIN_SIDE:
        return None
    return replace(level, height=height, width=width)


def automatic_levels(size: int, shape: ScheduleShape = DEFAULT_SHAPE) -> int:
    """Return the number of levels from about the coarsest size to ``size``.

    >>> [automatic_levels(size) for size in (64, 128, 256, 512, 1024, 2048)]
    [1, 1, 2, 3, 4, 5]
    """
    return max(1, 1 + round(math.log(size / shape.coarsest, shape.ratio)))
