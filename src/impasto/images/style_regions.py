"""Regions: which style images apply where, at which size and in which colors. Pure."""

import dataclasses
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from impasto.images import arrays, colors, masks
from impasto.images.arrays import ImageArray
from impasto.images.masks import Mask


@dataclass(frozen=True)
class StyleImage:
    """A style image of a region."""

    image: ImageArray
    weight: float = 1.0
    """relative to the other style images of the region; 0 to ignore it"""
    scale: float = 1.0
    """factor on its size, and so on the size of its strokes"""
    mask: Mask | None = None
    """mask of the part to use, with the size of the image; None for all of it"""


@dataclass(frozen=True)
class StyledRegion:
    """A part of the image, with the style images that apply there."""

    styles: tuple[StyleImage, ...]
    mask: Mask | None = None
    """mask of the part, with the size of the image; None for the whole image"""


class MaskedStyle(NamedTuple):
    """A style image with its key, and the mask of its region."""

    key: Hashable
    style: StyleImage
    mask: Mask


def build_regions(
    styles: Sequence[StyleImage],
    masked: Sequence[MaskedStyle],
    keep: Mask,
    opaque: Mask | None = None,
    drop: bool = True,
) -> tuple[tuple[StyledRegion, ...], Mask]:
    """Return the regions of an image, and the weights of pixels that stay unchanged.

    Args:
        styles: style images outside all masks; without any, these pixels stay unchanged
        masked: style images of masks; those with the same key form one region, since moments add up
        keep: pixels that stay unchanged and belong to no region
        opaque: opacity; transparent pixels belong to no region. None if all are opaque
        drop: whether regions that are almost empty are dropped

    All masks have the size of the image.
    """
    changeable = 1 - keep
    available = changeable if opaque is None else changeable * opaque
    if not masked:
        return _exclude_kept([StyledRegion(tuple(styles))], available, drop), keep
    partition, rest = masks.partition_masks([each.mask for each in masked])
    combined: dict[Hashable, Mask] = {}
    for each, mask in zip(masked, partition, strict=True):
        combined[each.key] = combined.get(each.key, 0) + mask
    style_by_key = {each.key: each.style for each in masked}
    regions = [StyledRegion((style_by_key[key],), mask) for key, mask in combined.items()]
    if styles:
        regions.append(StyledRegion(tuple(styles), rest))
        return _exclude_kept(regions, available, drop), keep
    return _exclude_kept(regions, available, drop), 1 - changeable * (1 - rest)


def _exclude_kept(
    regions: Sequence[StyledRegion], available: Mask, drop: bool
) -> tuple[StyledRegion, ...]:
    """Remove kept pixels from all regions, so that the content image does not count as result.

    Regions that become almost empty are dropped, if ``drop``.
    """
    if available.min() < 1:
        regions = [
            StyledRegion(each.styles, available if each.mask is None else each.mask * available)
            for each in regions
        ]
    if not drop:
        return tuple(regions)
    return tuple(region for region in regions if region.mask is None or region.mask.max() > TRACE)


TRACE = 0.02
"""A region with no weight above this is dropped: it comes from rounding or resized edges."""


def resize_regions(
    regions: Iterable[StyledRegion], height: int, width: int
) -> tuple[StyledRegion, ...]:
    """Return regions with masks of (height, width) and resized style images."""

    def resized(style: StyleImage) -> StyleImage:
        size = style_size(style, height * width)
        return dataclasses.replace(
            style,
            image=arrays.resize(style.image, *size),
            mask=None if style.mask is None else masks.resize_mask(style.mask, *size),
        )

    return tuple(
        StyledRegion(
            tuple(resized(each) for each in region.styles),
            None if region.mask is None else masks.resize_mask(region.mask, height, width),
        )
        for region in regions
    )


def style_size(style: StyleImage, area: int) -> tuple[int, int]:
    """Return the (height, width) of a style image for an image of ``area`` pixels.

    It has as many pixels as the image, if available, keeps its aspect ratio, and is then scaled.
    """
    height, width = arrays.fit_area(*arrays.size_of(style.image), area)
    scale = max(style.scale, arrays.MIN_SIDE / min(height, width))
    return round(height * scale), round(width * scale)


ColorTransform: TypeAlias = Callable[[StyleImage, Mask | None, ImageArray], ImageArray]
"""(style image, mask of its region, content image) -> the style image in other colors"""


def _match_style_colors(style: StyleImage, region: Mask | None, content: ImageArray) -> ImageArray:
    if region is not None:
        region = masks.resize_mask(region, *arrays.size_of(content))
    return colors.match_colors(style.image, content, style.mask, region)


def _match_style_lightness(
    style: StyleImage, region: Mask | None, content: ImageArray
) -> ImageArray:
    return colors.match_lightness(style.image, content)


COLOR_TRANSFORMS: dict[str, ColorTransform] = {
    "match": _match_style_colors,
    "content": _match_style_lightness,
}
"""Color changes of style images by the setting ``colors``."""


def match_region_colors(
    regions: Iterable[StyledRegion], content: ImageArray, chosen: str
) -> tuple[StyledRegion, ...]:
    """Return regions with the colors of style images changed by the setting ``colors``."""
    if chosen not in COLOR_TRANSFORMS:
        return tuple(regions)
    change = COLOR_TRANSFORMS[chosen]
    return tuple(
        StyledRegion(
            tuple(
                dataclasses.replace(each, image=change(each, region.mask, content))
                for each in region.styles
            ),
            region.mask,
        )
        for region in regions
    )
