"""A run: its engine, inputs and recipe, with the objective and the images of each level."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np

from impasto import filearray
from impasto.compute.arrays import Array, to_numpy
from impasto.images import arrays, colors, masks
from impasto.images.arrays import ImageArray
from impasto.images.style_regions import resize_regions
from impasto.losses import objective
from impasto.losses.level_roles import FEATURE_SPLITTING, FINEST, STRUCTURE, LevelRole
from impasto.losses.level_targets import make_level_targets
from impasto.losses.objective import Objective
from impasto.losses.style_cache import NO_CACHE, StyleCache
from impasto.losses.terms import StartFunction
from impasto.optimizers.parametrization import highpass
from impasto.optimizers.registry import SOLVERS
from impasto.pipeline import pyramid
from impasto.pipeline.events import RunState
from impasto.pipeline.inputs import Inputs
from impasto.pipeline.memory import WHOLE_IMAGE, TilePlan
from impasto.pipeline.models import DistributeTiles, Model
from impasto.pipeline.provenance import Provenance
from impasto.pipeline.pyramid import Level
from impasto.recipe.settings import Recipe


@dataclass(frozen=True)
class Run:
    """One run: engine, inputs, recipe, and how tiles are processed."""

    model: Model
    inputs: Inputs
    recipe: Recipe
    plan: TilePlan = WHOLE_IMAGE
    """the tiles to use"""
    distribute: DistributeTiles | None = None
    """distributes tiles to workers"""
    style_cache: StyleCache = NO_CACHE
    """keeps what is computed from style images"""
    _resized: dict[tuple[int, int], ImageArray] = field(default_factory=dict, compare=False)
    """the latest result of :meth:`content`"""

    @cached_property
    def levels(self) -> tuple[Level, ...]:
        """The levels, coarsest first."""
        return pyramid.schedule(*arrays.size_of(self.inputs.content), self.recipe)

    def content(self, size: tuple[int, int]) -> ImageArray:
        """Return the content image at a size; the latest one is kept."""
        if size not in self._resized:
            self._resized.clear()
            self._resized[size] = arrays.resize(self.inputs.content, *size)
        return self._resized[size]

    def place_image(self, array: ImageArray) -> Array:
        """Return an image as the solver needs it: on the engine's device if it accepts tensors."""
        solver = SOLVERS[self.recipe.optimizer]
        if not solver.accepts_files:
            array = filearray.in_memory(array)
        return self.model.engine.place_image(array) if solver.accepts_tensors else array

    def problem(
        self,
        content: ImageArray,
        style: float = 1.0,
        start: ImageArray | None = None,
        role: LevelRole = STRUCTURE,
    ) -> "LevelProblem":
        """Return the objective of a level, with its targets, and the image that it starts from.

        Args:
            content: the content image at the size of the level
            style: factor on the style weight
            start: the initial image of the level; None at the first level
            role: the role of the level
        """
        size = arrays.size_of(content)
        regions = resize_regions(self.inputs.regions, *size)
        program = self.model.level_program(self.recipe, role)
        extractor = program.feature_extractor(self.plan.tile, self.style_cache)
        for_styles = None
        if role == FINEST and not self.plan.tile:
            # Feature splitting follows, with these layers and more.
            following = self.model.level_program(self.recipe, FEATURE_SPLITTING)
            for_styles = following.feature_extractor(self.plan.tile, self.style_cache)
        targets = make_level_targets(
            extractor, self.recipe, content, regions, style, start, role, for_styles
        )
        inner = program.objective(targets, self.plan.keep_targets, self.distribute)
        if not (self.inputs.gray or self.inputs.keep is not None or role.detail):
            return LevelProblem(inner, targets.starts)
        placed = keep = None
        if self.inputs.keep is not None or role.detail:
            placed = self.place_image(content)
        if self.inputs.keep is not None:
            keep = self.place_image(masks.resize_mask(self.inputs.keep, *size)[..., None])
        filtered = highpass(placed, pyramid.DETAIL_WAVELENGTH) if role.detail else None
        constrained = objective.ConstrainedObjective(
            inner, placed, keep, self.inputs.gray, filtered
        )
        return LevelProblem(constrained, targets.starts)

    def solver_start(self, problem: "LevelProblem", image: ImageArray) -> Array:
        """Return the image from which the solver of a level starts, as the solver needs it.

        Args:
            problem: the problem of the level
            image: the enlarged result of the level before, or the initial image of the run
        """
        for start in problem.starts:
            image = start(image)
        return self.place_image(objective.to_gray(image) if self.inputs.gray else image)

    def finish_image(self, image: ImageArray) -> ImageArray:
        """Return an image with kept regions and colors of the content image applied."""
        if self.recipe.colors != "content" and self.inputs.keep is None:
            return image
        size = arrays.size_of(image)
        content = arrays.resize(self.inputs.original, *size)
        if self.recipe.colors == "content":
            image = filearray.map_rows(colors.with_content_colors, image, content)
        if self.inputs.keep is None:
            return image
        keep = masks.resize_mask(self.inputs.keep, *size)[..., None]
        return masks.blend_kept(keep, content, image)


class LevelProblem(NamedTuple):
    """The minimization problem of a level."""

    objective: Objective
    starts: tuple[StartFunction, ...]
    """change the image to start from, see :class:`impasto.losses.terms.LevelTarget`"""


# Images -------------------------------------------------------------------------------------


def first_state(run: Run, provenance: Provenance) -> RunState:
    """Return the initial state of a run."""
    level = run.levels[0]
    content = run.content((level.height, level.width))
    image = start_image(run.inputs, content, run.recipe)
    return RunState(provenance, 1, objective.to_gray(image) if run.inputs.gray else image)


def start_image(inputs: Inputs, content: ImageArray, recipe: Recipe) -> ImageArray:
    """Return the initial image of the first level, with the size of ``content``."""
    if inputs.start is not None:
        return arrays.resize(inputs.start, *arrays.size_of(content))
    return STARTS[recipe.init](content, inputs.start_style, recipe)


def _blurred_content(content: ImageArray, recipe: Recipe) -> ImageArray:
    """Return the initial image for ``init`` content.

    Matching starts from a blurred content image (Kolkin et al. 2022), so that fine detail comes
    from the style image. With lower strength, more of the content image is kept.
    """
    if recipe.style_loss != "matching":
        return content
    height, width = arrays.size_of(content)
    small = arrays.resize(content, max(2, height // BLUR_FACTOR), max(2, width // BLUR_FACTOR))
    mix = np.float32(recipe.strength_effects.start_mix)
    return mix * arrays.resize(small, height, width) + (1 - mix) * content


STARTS: dict[str, Callable[[ImageArray, ImageArray, Recipe], ImageArray]] = {
    "content": lambda content, style, recipe: _blurred_content(content, recipe),
    # Stretched to the shape of the content image, unlike in targets.
    "style": lambda content, style, recipe: arrays.resize(style, *arrays.size_of(content)),
    "noise": lambda content, style, recipe: arrays.noise(
        *arrays.size_of(content), recipe.seed, NOISE_AMPLITUDE
    ),
}
"""Initial images as functions of (content, first style, recipe), by the value of ``init``."""

NOISE_AMPLITUDE = 2.0
"""Amplitude of initial noise around middle gray, of 255.

Departure from Gatys et al. 2016, section 2, who start from white noise: noise over the whole range
stays in the result, since features hardly depend on it (benchmarks/NOTES.md).
"""

BLUR_FACTOR = 8
"""Factor by which the content image is reduced to keep only its large shapes."""


def upsample_result(
    run: Run, image: ImageArray, content: ImageArray, size: tuple[int, int]
) -> tuple[ImageArray, ImageArray]:
    """Return an image and its content image at another size."""
    if arrays.size_of(image) == size:
        return image, content
    larger = run.content(size)
    changed = arrays.upsample_residual(image, content, larger)
    if not pyramid.schedule_shape(run.recipe).carries_image:
        return changed, larger
    # Detail of the content image is added in proportion to its fraction of the targets.
    fraction = np.float32(run.recipe.strength_effects.carry_fraction)
    return fraction * arrays.resize(image, *size) + (1 - fraction) * changed, larger


def resized_best(run: Run, state: RunState, level: Level) -> ImageArray:
    """Return the best image of a state, at the size of a level."""
    best = to_numpy(state.best)
    content = run.content(arrays.size_of(best))
    return upsample_result(run, best, content, (level.height, level.width))[0]


def final_image(run: Run, state: RunState) -> ImageArray:
    """Return the best image of a state, enlarged to the size of the finest level."""
    image = to_numpy(state.best)
    content = run.content(arrays.size_of(image))
    for level in run.levels[state.level - 1 :]:
        image, content = upsample_result(run, image, content, (level.height, level.width))
    return run.finish_image(image)
