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
    """A painting, its share of the style where it counts, and how large it is seen."""

    picture: Picture
    share: float = 1.0
    scale: float = 1.0
    mask: Mask | None = None
    """the part that counts, of the picture's size; all of it if there is none"""


@dataclass(frozen=True)
class StyledRegion:
    """A region of the picture and the paintings whose style it takes; everywhere without mask."""

    paintings: tuple[Painting, ...]
    mask: Mask | None = None


class Covered(NamedTuple):
    """A painting, what it is known by, and the mask that it covers."""

    name: Hashable
    painting: Painting
    mask: Mask


def lay_out(
    everywhere: Sequence[Painting], covered: Sequence[Covered], kept: Mask, seen: Mask | None = None
) -> tuple[tuple[StyledRegion, ...], Mask]:
    """Return the regions of a picture, and how much of it stays the photograph.

    ``everywhere`` is the style of what no mask covers; without one that is kept, besides what
    ``kept`` says, which belongs to no region; nor does what is not ``seen``, since it is
    transparent. All masks have the size of the picture. Masks with paintings of the same name are
    one region, since moments add up.
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
    """Take what is kept out of every region, so that the photograph does not count as painted.

    Regions of which next to nothing is left are left out.
    """
    if free.min() < 1:
        bounded = [free if region.mask is None else region.mask * free for region in regions]
        regions = [
            StyledRegion(region.paintings, m) for region, m in zip(regions, bounded, strict=True)
        ]
    return tuple(region for region in regions if region.mask is None or region.mask.max() > TRACE)


TRACE = 0.02
"""A region that has no more than this of any position is none: a rounding, or an edge resized."""


def at_level(regions: Iterable[StyledRegion], height: int, width: int) -> tuple[StyledRegion, ...]:
    """Return regions with masks of (height, width) and paintings of the sizes they are seen at."""

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
    """Return the (height, width) at which a painting is seen beside a picture of ``area`` px.

    As many pixels as the picture, if it has them, and its own shape; then its scale.
    """
    height, width = raster.fit_area(*raster.size_of(painting.picture), area)
    scale = max(painting.scale, raster.SHORTEST / min(height, width))
    return round(height * scale), round(width * scale)


Change: TypeAlias = Callable[[Painting, Mask | None, Picture], Picture]
"""(painting, mask of its region, photograph) -> the painting's picture in other colors"""


def _match(painting: Painting, region: Mask | None, photograph: Picture) -> Picture:
    if region is not None:
        region = masks.resize(region, *raster.size_of(photograph))
    return colors.match(painting.picture, photograph, painting.mask, region)


def _match_lightness(painting: Painting, region: Mask | None, photograph: Picture) -> Picture:
    return colors.match_lightness(painting.picture, photograph)


CHANGES: dict[str, Change] = {"match": _match, "content": _match_lightness}
"""What becomes of paintings by the setting ``colors``, where it changes them."""


def colored(
    regions: Iterable[StyledRegion], photograph: Picture, chosen: str
) -> tuple[StyledRegion, ...]:
    """Return regions whose paintings have the colors that the setting ``colors`` chose."""
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
