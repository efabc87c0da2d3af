"""The style images of a shot, in its colors, and the regions of its frames.

The statistics of ``colors`` are those of the shot's first frame: those of each frame would flicker.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from impasto.images import arrays, style_regions
from impasto.images.arrays import ImageArray, Mask
from impasto.images.style_regions import TRACE, MaskedStyle, StyledRegion, StyleImage
from impasto.pipeline import inputs
from impasto.pipeline.stylizer import Stylizer
from impasto.recipe.settings import Recipe
from impasto.video.clip_job import KEEP, PreparedClip, prepare_run


@dataclass(frozen=True, eq=False)
class ShotStyles:
    """Style images, and which mask each belongs to."""

    content: ImageArray
    """the first frame of the shot"""
    colors: str
    """the setting"""
    unmasked: tuple[StyleImage, ...]
    """style images outside all masks"""
    masked: tuple[tuple[str, int, StyleImage], ...]
    """for each region given, the name of its mask, the number of its style image, and that"""
    first_masks: Mapping[str, Mask]
    """the masks of the first frame"""

    def regions(self, masks: Mapping[str, Mask]) -> tuple[tuple[StyledRegion, ...], Mask | None]:
        """Return the regions of a frame, and the weights of the pixels that stay unchanged.

        The number of regions is the same for all frames, also if a mask is black.
        """
        built, keep = self._build(masks)
        first, _ = self._build(self.first_masks)
        measured = tuple(
            replace(each, mask=None) if each.mask is not None and each.mask.max() <= TRACE else each
            for each in first
        )
        matched = style_regions.match_region_colors(measured, self.content, self.colors)
        regions = tuple(
            replace(region, styles=each.styles) for region, each in zip(built, matched, strict=True)
        )
        return regions, keep if keep.any() else None

    def _build(self, masks: Mapping[str, Mask]) -> tuple[tuple[StyledRegion, ...], Mask]:
        size = arrays.size_of(self.content)
        masked = [MaskedStyle(key, style, masks[name]) for name, key, style in self.masked]
        keep = masks.get(KEEP, np.zeros(size, np.float32))
        return style_regions.build_regions(self.unmasked, masked, keep, drop=False)


def load_styles(
    stylizer: Stylizer, clip: PreparedClip, content: ImageArray, masks: Mapping[str, Mask]
) -> ShotStyles:
    """Return the style images of a shot, given its first frame and the masks of that."""
    recipe = clip.recipe
    prepared = prepare_run(stylizer, clip, content, replace(recipe, colors="style"))
    regions = list(prepared.inputs.regions)
    unmasked = regions.pop().styles if clip.styles else ()
    keys = _keys(clip, recipe)
    numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    masked = tuple(
        (f"region-{place}", numbers[key], regions[numbers[key]].styles[0])
        for place, key in enumerate(keys, 1)
    )
    return ShotStyles(content, recipe.colors, unmasked, masked, masks)


def _keys(clip: PreparedClip, recipe: Recipe) -> list[tuple[object, ...]]:
    """Return a key for each region given: those of the same style image form one region."""
    given = clip.job.regions
    count = len(given) + len(clip.styles)
    scales = recipe.style_scale * (count if len(recipe.style_scale) == 1 else 1)
    alone = len(clip.styles)
    return [
        (*map(inputs.source_key, (*region[1:], None)[:2]), scale)
        for region, scale in zip(given, scales[alone:], strict=True)
    ]
