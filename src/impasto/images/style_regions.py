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
    """A style image, its weight in a region, and its scale."""

    image: ImageArray
    weight: float = 1.0
    scale: float = 1.0
    mask: Mask | None = None
    """mask of the part to use, with the size of the image; None for all of it"""


@dataclass(frozen=True)
class StyledRegion:
    """A region and its style images; without a mask it is the whole image."""

    styles: tuple[StyleImage, ...]
    mask: Mask | None = None


class MaskedStyle(NamedTuple):
    """A style image with its key, and the mask of its region."""

    name: Hashable
    style: StyleImage
    mask: Mask


def build_regions(
    everywhere: Sequence[StyleImage],
    covered: Sequence[MaskedStyle],
    kept: Mask,
    opaque: Mask | None = None,
) -> tuple[tuple[StyledRegion, ...], Mask]:
    """Return the regions of an image, and the weights of pixels that stay unchanged.

    ``everywhere`` is the style outside all masks; without it these pixels stay unchanged. Pixels in
    ``kept`` and transparent pixels (not ``opaque``) belong to no region. All masks have the size of
    the image. Masks with the same style image form one region, since moments add up.
    """
    free = 1 - kept
    painted = free if opaque is None else free * opaque
    if not covered:
        return _exclude_kept([StyledRegion(tuple(everywhere))], painted), kept
    shared, rest = masks.partition_masks([each.mask for each in covered])
    together: dict[Hashable, Mask] = {}
    for each, mask in zip(covered, shared, strict=True):
        together[each.name] = together.get(each.name, 0) + mask
    styles = {each.name: each.style for each in covered}
    regions = [StyledRegion((styles[name],), mask) for name, mask in together.items()]
    if everywhere:
        return _exclude_kept([*regions, StyledRegion(tuple(everywhere), rest)], painted), kept
    return _exclude_kept(regions, painted), 1 - free * (1 - rest)


def _exclude_kept(regions: Sequence[StyledRegion], free: Mask) -> tuple[StyledRegion, ...]:
    """Remove kept pixels from all regions, so that the content image does not count as result.

    Regions that become almost empty are dropped.
    """
    if free.min() < 1:
        bounded = [free if region.mask is None else region.mask * free for region in regions]
        regions = [
            StyledRegion(region.styles, m) for region, m in zip(regions, bounded, strict=True)
        ]
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
