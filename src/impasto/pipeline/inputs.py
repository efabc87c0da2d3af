"""Loads and validates the images of a run, and checks that it fits into memory.

No tensor library is loaded, so that invalid input fails at once.
"""

import dataclasses
import math
import os
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import numpy as np

from impasto import filearray
from impasto.engines import selection
from impasto.errors import ImageError, SettingError, suggest_names
from impasto.images import arrays, colors, load, masks, style_regions
from impasto.images.arrays import ImageArray
from impasto.images.formats import decode
from impasto.images.formats.metadata import NO_METADATA, Metadata
from impasto.images.load import ImageLike, InputSource, LoadedImage, LoadedMask, Region
from impasto.images.masks import Mask
from impasto.images.style_regions import MaskedStyle, StyledRegion, StyleImage
from impasto.network import weights
from impasto.pipeline import memory
from impasto.pipeline.checkpoints import CheckpointWriter
from impasto.pipeline.events import RunState
from impasto.pipeline.memory import WHOLE_IMAGE, TilePlan
from impasto.pipeline.pyramid import Level
from impasto.recipe import settings as recipes
from impasto.recipe.settings import Recipe


@dataclass(frozen=True)
class Inputs:
    """The input images of a run at their own sizes; masks of the content image at ``size``."""

    content: ImageArray
    """the content image, in gray if only lightness is changed"""
    regions: tuple[StyledRegion, ...]
    original: ImageArray
    """the content image as read"""
    start_style: ImageArray
    """the style image that ``init`` style starts from"""
    memory_inputs: memory.MemoryInputs
    """the data that memory use depends on"""
    keep: Mask | None = None
    """weights of the pixels that stay unchanged"""
    start: ImageArray | None = None
    """the initial image, if it is a file"""
    gray: bool = False
    """whether the run uses gray images only"""
    alpha: Mask | None = None
    """opacity of the content image at its own size; None if it is opaque"""
    metadata: Metadata = NO_METADATA
    """metadata of the content image"""
    sources: tuple[InputSource, ...] = ()
    """the files read, in order"""
    notes: tuple[str, ...] = ()
    """notes for the user, such as that the first frame of an animation is used"""


@dataclass(frozen=True)
class PreparedRun:
    """A run whose inputs are loaded and validated. No engine is loaded yet."""

    recipe: Recipe
    inputs: Inputs
    levels: tuple[Level, ...]
    checkpoint_writer: CheckpointWriter
    """writes the checkpoints"""
    state: RunState | None = None
    """the state to resume from"""
    plan: TilePlan = WHOLE_IMAGE
    """the tiles to use"""
    memory_limit: float | None = None
    """memory limit in bytes; None for the memory that is free"""


def load_inputs(
    recipe: Recipe,
    content: ImageLike,
    style: ImageLike | Sequence[ImageLike] | None,
    regions: Sequence[Region | tuple[ImageLike, ...]] = (),
    keep: ImageLike | None = None,
    memory_limit: float | None = None,
) -> Inputs:
    """Load the images of a run, and validate the recipe with them.

    ``memory_limit`` is in bytes; None for the memory that is free. Raises ImageError or
    SettingError for invalid input.
    """
    styles, masked_styles = _as_list(style), _parse_regions(regions)
    weights.NETWORKS[recipe.network].check_layers(recipe.layer_names)
    check_style_counts(recipe, len(styles), len(masked_styles))
    loaded = _load_images(recipe, content, styles, masked_styles, keep, memory_limit)
    recipe = with_size(recipe, loaded.size)
    _check_size(*loaded.size, recipe.size)
    style_images = _style_images(recipe, loaded.styles, len(masked_styles))
    memory_inputs = _memory_inputs(recipe, loaded, style_images, len(masked_styles) + bool(styles))
    _check_memory(memory_inputs, style_images, memory_limit)
    built, kept = _build_regions(
        recipe, loaded, style_images, masked_styles, memory_inputs.result_size
    )
    built = style_regions.match_region_colors(built, loaded.content.pixels, recipe.colors)
    original = filearray.spill(loaded.content.pixels)
    # The region of the rest of the image is the last one.
    first = next(each for each in built[-1 if styles else 0].styles if each.weight)
    return Inputs(
        content=filearray.map_rows(_to_gray, original) if recipe.colors == "content" else original,
        regions=built,
        original=original,
        start_style=first.image,
        memory_inputs=memory_inputs,
        keep=kept if kept.any() else None,
        start=None if loaded.start is None else filearray.spill(loaded.start.pixels),
        gray=all(map(arrays.is_gray, (loaded.content.pixels, *(s.image for s in style_images)))),
        alpha=loaded.content.alpha,
        metadata=loaded.content.metadata,
        sources=tuple(each.source for each in loaded.in_order),
        notes=(*recipes.unused_settings(recipe), *loaded.notes),
    )


class _LoadedImages(NamedTuple):
    """The images of a run at their own sizes."""

    content: LoadedImage
    styles: tuple[load.LoadedStyle, ...]
    """all style images, those of regions last"""
    region_masks: tuple[LoadedMask, ...]
    keep: LoadedMask | None
    start: LoadedImage | None
    """the initial image, if it is a file"""

    @property
    def size(self) -> tuple[int, int]:
        """The height and width of the content image in pixels."""
        return arrays.size_of(self.content.pixels)

    @property
    def in_order(self) -> list[LoadedImage | LoadedMask]:
        """All images and masks, in the order in which they are loaded."""
        styles = (image for style in self.styles for image in (style.image, style.part))
        images = (self.content, *styles, *self.region_masks, self.keep, self.start)
        return [each for each in images if each is not None]

    @property
    def notes(self) -> list[str]:
        """The notes on all images, each once."""
        return list(dict.fromkeys(note for each in self.in_order for note in each.notes))


def _load_images(
    recipe: Recipe,
    content: ImageLike,
    styles: Sequence[ImageLike],
    regions: Sequence[Region],
    keep: ImageLike | None,
    memory_limit: float | None,
) -> _LoadedImages:
    """Load all images. Their roles are part of checkpoints and results."""
    image = load.load_image(content, "content", content_limits(recipe, memory_limit))
    size = arrays.size_of(image.pixels)
    roles = ["style"] if len(styles) == 1 else [f"style {n}" for n, _ in enumerate(styles, 1)]
    numbered = [(f"region {n}", region) for n, region in enumerate(regions, 1)]
    return _LoadedImages(
        image,
        (
            *(load.load_style(each, role) for each, role in zip(styles, roles, strict=True)),
            *(load.load_region_style(region, role) for role, region in numbered),
        ),
        tuple(load.load_mask(region.mask, f"{role}, mask", size) for role, region in numbered),
        None if keep is None else load.load_mask(keep, "keep", size),
        None if recipe.init in recipes.STARTS else _load_start(recipe.init),
    )


def _load_start(init: str) -> LoadedImage:
    """Load the initial image. Raises SettingError, also for a misspelled name of an image."""
    try:
        return load.load_image(init, "init")
    except ImageError as error:
        if os.path.exists(init) or os.path.splitext(init)[1]:
            raise SettingError(f"init: {error}") from None
        names = suggest_names(init, recipes.STARTS)
        raise SettingError(f"init is {init!r}, which is not a file: {names}") from None


def _style_images(
    recipe: Recipe, styles: Sequence[load.LoadedStyle], regions: int
) -> tuple[StyleImage, ...]:
    """Return the style images with their weights and scales; the last ``regions`` have weight 1."""
    alone = len(styles) - regions
    style_weights = (*(recipe.blend or (1.0,) * alone), *(1.0,) * regions)
    scales = recipe.style_scale * (len(styles) if len(recipe.style_scale) == 1 else 1)
    return tuple(
        StyleImage(style.image.pixels, weight, scale, style.mask)
        for style, weight, scale in zip(styles, style_weights, scales, strict=True)
    )


def _to_gray(image: ImageArray) -> ImageArray:
    return colors.gray_from_lightness(colors.lightness(image))


def content_limits(recipe: Recipe, memory_limit: float | None) -> decode.SizeLimits:
    """Return the limits for reading the content image.

    The pixel limit is what memory holds if the recipe asks for a large image. If not, it is the
    default limit, since a small file may contain very many pixels.
    """
    if recipe.size != recipes.ORIGINAL and recipe.size**2 <= decode.MAX_PIXELS:
        return decode.DEFAULT_LIMITS
    return decode.SizeLimits(
        max_pixels=max(decode.MAX_PIXELS, memory.readable_pixels(memory_limit))
    )


def with_size(recipe: Recipe, content: tuple[int, int]) -> Recipe:
    """Return the recipe with ``size`` original replaced by a number."""
    if recipe.size != recipes.ORIGINAL:
        return recipe
    return dataclasses.replace(recipe, size=max(content))


def _build_regions(
    recipe: Recipe,
    loaded: _LoadedImages,
    styles: Sequence[StyleImage],
    regions: Sequence[Region],
    size: tuple[int, int],
) -> tuple[tuple[StyledRegion, ...], Mask]:
    """Return the regions of an image of ``size``, and the weights of pixels that stay unchanged.

    ``styles`` are all style images, those of ``regions`` last. Raises SettingError if no pixel has
    a style.
    """
    covering = [masks.resize_mask(each.mask, *size) for each in loaded.region_masks]
    _check_masks_cover_features(recipe, covering, styles, size)
    alone = len(styles) - len(regions)
    masked = [
        MaskedStyle((*map(source_key, region[1:]), style.scale), style, mask)
        for region, style, mask in zip(regions, styles[alone:], covering, strict=True)
    ]
    keep, alpha = loaded.keep, loaded.content.alpha
    built, kept = style_regions.build_regions(
        styles[:alone],
        masked,
        np.zeros(size, np.float32) if keep is None else masks.resize_mask(keep.mask, *size),
        None if alpha is None else masks.resize_mask(alpha, *size),
    )
    if not built:
        raise SettingError("the whole image is kept or transparent: there is nothing to paint")
    return built, kept


def _as_list(style: ImageLike | Sequence[ImageLike] | None) -> list[ImageLike]:
    if isinstance(style, list | tuple):
        return list(style)
    return [] if style is None else [cast(ImageLike, style)]


def source_key(source: ImageLike | None) -> Hashable:
    """Return a key that is the same for the same image: its path, or the object itself."""
    return os.path.realpath(source) if isinstance(source, str | os.PathLike) else id(source)


def _parse_regions(given: Sequence[Any]) -> list[Region]:
    try:
        regions = [region for region in given if isinstance(region, tuple | list)]
        if len(regions) == len(given):
            return [Region(*region) for region in regions]
    except TypeError:
        pass
    raise SettingError("regions: expected (mask, style) or (mask, style, style mask) for each")


def check_style_counts(recipe: Recipe, styles: int, regions: int) -> None:
    """Raise SettingError if there is no style image, or if counts of values do not match."""
    if not styles + regions:
        raise SettingError("no style image: give one, or one for each region")
    if recipe.finished and recipe.init in recipes.STARTS:
        raise SettingError(
            f"finished is {recipe.finished} px, which needs an image file as init, but init "
            f"is {recipe.init}"
        )
    if recipe.blend and not styles:
        raise SettingError("blend needs style images outside regions, and there are none")
    if recipe.blend and len(recipe.blend) != styles:
        raise SettingError(
            f"blend has {len(recipe.blend)} weights for {styles} "
            f"style image{'s' * (styles != 1)}: give one for each"
        )
    if len(recipe.style_scale) not in (1, styles + regions):
        raise SettingError(
            f"style_scale has {len(recipe.style_scale)} numbers for {styles + regions} "
            f"style image{'s' * (styles + regions != 1)}: give one, or one for each"
        )


def _check_masks_cover_features(
    recipe: Recipe, covering: Sequence[Mask], styles: Sequence[StyleImage], size: tuple[int, int]
) -> None:
    """Raise SettingError for a mask that covers no position of the deepest layer."""
    network = weights.NETWORKS[recipe.network]
    deepest = max((name for name, _ in recipe.style_layers), key=network.stride)
    stride = network.stride(deepest)
    used = [("the mask of region", mask) for mask in covering]
    for style in styles:
        if style.mask is not None:
            style_size = style_regions.style_size(style, size[0] * size[1])
            used.append(("a style mask", masks.resize_mask(style.mask, *style_size)))
    for number, (name, mask) in enumerate(used, start=1):
        height, width = mask.shape
        if not masks.covers_a_position(mask, height // stride, width // stride):
            which = f"{name} {number}" if number <= len(covering) else name
            raise SettingError(
                f"{which} covers no position of {deepest}, which has a stride of {stride} px, at "
                f"{width} x {height} px: cover more, choose a larger size or shallower style_layers"
            )


def _check_size(height: int, width: int, size: int) -> None:
    """Raise SettingError for a ``size`` at which the content image is too narrow or too large."""
    fitted = arrays.fit(height, width, size)
    if min(fitted) < arrays.MIN_SIDE:
        least = math.ceil(arrays.MIN_SIDE * max(height, width) / min(height, width))
        raise SettingError(
            f"size {size} makes the content image {fitted[1]} x {fitted[0]} px: at least "
            f"{arrays.MIN_SIDE} px are needed on the short side, so use size {least} or more"
        )


def _memory_inputs(
    recipe: Recipe, loaded: _LoadedImages, styles: Sequence[StyleImage], regions: int
) -> memory.MemoryInputs:
    others = [*(each.mask for each in loaded.region_masks)]
    others += [] if loaded.keep is None else [loaded.keep.mask]
    others += [] if loaded.start is None else [loaded.start.pixels]
    return memory.MemoryInputs(
        content_size=loaded.size,
        size=recipe.size,
        styles=tuple((math.prod(each.image.shape[:2]), each.scale) for each in styles),
        other_pixels=tuple(math.prod(each.shape[:2]) for each in others),
        region_count=regions,
        evaluations=recipe.evaluations,
        colors=recipe.colors,
        style_loss=recipe.style_loss,
        optimizer=recipe.optimizer,
        features=memory.features_of(selection.choose_engine(recipe), recipe.precision),
        tile=recipe.tile,
    )


def _check_memory(
    memory_inputs: memory.MemoryInputs, styles: Sequence[StyleImage], limit: float | None
) -> None:
    """Raise SettingError for a size or a style scale that does not fit into memory."""
    memory.check_disk(memory_inputs)
    unscaled = [(pixels, min(1.0, scale)) for pixels, scale in memory_inputs.styles]
    memory.plan_tiles(dataclasses.replace(memory_inputs, styles=tuple(unscaled)), limit)
    try:
        memory.plan_tiles(memory_inputs, limit)
    except SettingError:
        area = math.prod(memory_inputs.result_size)
        largest = max(styles, key=lambda each: math.prod(style_regions.style_size(each, area)))
        height, width = style_regions.style_size(largest, area)
        raise SettingError(
            f"style_scale {largest.scale:g} makes a style image {width} x {height} px, which does "
            "not fit into memory: choose a smaller value"
        ) from None
