"""Regions: which style images apply where, at which size and in which colors. Pure."""

import dataclasses
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from impasto.pictures import colors, masks, raster
from impasto.pictures.masks import Mask
from impasto.pictures.raster import Picture


@dataclass(frozen=True)
class Painting:
    """A style image, its weight in a region, and its scale."""

    picture: Picture
    share: float = 1.0
    scale: float = 1.0
    mask: Mask | None = None
    """mask of the part to use, with the size of the image; None for all of it"""


@dataclass(frozen=True)
class StyledRegion:
    """A region and its style images; without a mask it is the whole image."""

    paintings: tuple[Painting, ...]
    mask: Mask | None = None


class Covered(NamedTuple):
    """A style image with its key, and the mask of its region."""

    name: Hashable
    painting: Painting
    mask: Mask


def lay_out(
    everywhere: Sequence[Painting], covered: Sequence[Covered], kept: Mask, seen: Mask | None = None
) -> tuple[tuple[StyledRegion, ...], Mask]:
    """Return the regions of an image, and the weights of pixels that stay unchanged.

    ``everywhere`` is the style outside all masks; without it these pixels stay unchanged. Pixels in
    ``kept`` and transparent pixels (not ``seen``) belong to no region. All masks have the size of
    the image. Masks with the same style image form one region, since moments add up.
    """
    free = 1 - kept
    painted = free if seen is None else free * seen
    if not covered:
        return _within([StyledRegion(tuple(everywhere))], painted), kept
    shared, rest = masks.share_out([each.mask for each in covered])
    together: dict[Hashable, Mask] = {}
    for each, mask in zip(covered, shared, strict=True):
        together[each.name] = together.get(each.name, 0) + mask
    paintings = {each.name: each.painting for each in covered}
    regions = [StyledRegion((paintings[name],), mask) for name, mask in together.items()]
    if everywhere:
        return _within([*regions, StyledRegion(tuple(everywhere), rest)], painted), kept
    return _within(regions, painted), 1 - free * (1 - rest)


def _within(regions: Sequence[StyledRegion], free: Mask) -> tuple[StyledRegion, ...]:
    """Remove kept pixels from all regions, so that the content image does not count as result.

    Regions that become almost empty are dropped.
    """
    if free.min() < 1:
        bounded = [free if region.mask is None else region.mask * free for region in regions]
        regions = [
            StyledRegion(region.paintings, m) for region, m in zip(regions, bounded, strict=True)
        ]
    return tuple(region for region in regions if region.mask is None or region.mask.max() > TRACE)


TRACE = 0.02
"""A region with no weight above this is dropped: it comes from rounding or resized edges."""


def at_level(regions: Iterable[StyledRegion], height: int, width: int) -> tuple[StyledRegion, ...]:
    """Return regions with masks of (height, width) and resized style images."""

    def seen(painting: Painting) -> Painting:
        size = size_seen(painting, height * width)
        return dataclasses.replace(
            painting,
            picture=raster.resize(painting.picture, *size),
            mask=None if painting.mask is None else masks.resize(painting.mask, *size),
        )

    return tuple(
        StyledRegion(
            tuple(seen(each) for each in region.paintings),
            None if region.mask is None else masks.resize(region.mask, height, width),
        )
        for region in regions
    )


def size_seen(painting: Painting, area: int) -> tuple[int, int]:
    """Return the (height, width) of a style image for an image of ``area`` pixels.

    It has as many pixels as the image, if available, keeps its aspect ratio, and is then scaled.
    """
    height, width = raster.fit_area(*raster.size_of(painting.picture), area)
    scale = max(painting.scale, raster.SHORTEST / min(height, width))
    return round(height * scale), round(width * scale)


Change: TypeAlias = Callable[[Painting, Mask | None, Picture], Picture]
"""(style image, mask of its region, content image) -> the style image in other colors"""


def _match(painting: Painting, region: Mask | None, photograph: Picture) -> Picture:
    if region is not None:
        region = masks.resize(region, *raster.size_of(photograph))
    return colors.match(painting.picture, photograph, painting.mask, region)


def _match_lightness(painting: Painting, region: Mask | None, photograph: Picture) -> Picture:
    return colors.match_lightness(painting.picture, photograph)


CHANGES: dict[str, Change] = {"match": _match, "content": _match_lightness}
"""Color changes of style images by the setting ``colors``."""


def colored(
    regions: Iterable[StyledRegion], photograph: Picture, chosen: str
) -> tuple[StyledRegion, ...]:
    """Return regions with the colors of style images changed by the setting ``colors``."""
    if chosen not in CHANGES:
        return tuple(regions)
    change = CHANGES[chosen]
    return tuple(
        StyledRegion(
            tuple(
                dataclasses.replace(each, picture=change(each, region.mask, photograph))
                for each in region.paintings
            ),
            region.mask,
        )
        for region in regions
    )
