"""Which painting's style goes where, and how large and in which colors it is seen. Pure."""

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
class Place:
    """A place of the picture and the paintings whose style it takes; everywhere without mask."""

    paintings: tuple[Painting, ...]
    mask: Mask | None = None


class Covered(NamedTuple):
    """A painting, what it is known by, and the mask that it covers."""

    name: Hashable
    painting: Painting
    mask: Mask


def lay_out(
    everywhere: Sequence[Painting], covered: Sequence[Covered], kept: Mask, seen: Mask | None = None
) -> tuple[tuple[Place, ...], Mask]:
    """Return the places of a picture, and how much of it stays the photograph.

    ``everywhere`` is the style of what no mask covers; without one that is kept, besides what
    ``kept`` says, which belongs to no place; nor does what is not ``seen``, since it is
    transparent. All masks have the size of the picture. Masks with paintings of the same name are
    one place, since moments add up.
    """
    free = 1 - kept
    painted = free if seen is None else free * seen
    if not covered:
        return _within([Place(tuple(everywhere))], painted), kept
    shared, rest = masks.share_out([each.mask for each in covered])
    together: dict[Hashable, Mask] = {}
    for each, mask in zip(covered, shared, strict=True):
        together[each.name] = together.get(each.name, 0) + mask
    paintings = {each.name: each.painting for each in covered}
    places = [Place((paintings[name],), mask) for name, mask in together.items()]
    if everywhere:
        return _within([*places, Place(tuple(everywhere), rest)], painted), kept
    return _within(places, painted), 1 - free * (1 - rest)


def _within(places: Sequence[Place], free: Mask) -> tuple[Place, ...]:
    """Take what is kept out of every place, so that the photograph does not count as painted.

    Places of which next to nothing is left are left out.
    """
    if free.min() < 1:
        bounded = [free if place.mask is None else place.mask * free for place in places]
        places = [Place(place.paintings, m) for place, m in zip(places, bounded, strict=True)]
    return tuple(place for place in places if place.mask is None or place.mask.max() > TRACE)


TRACE = 0.02
"""A place that has no more than this of any position is none: a rounding, or an edge resized."""


def at_level(places: Iterable[Place], height: int, width: int) -> tuple[Place, ...]:
    """Return places with masks of (height, width) and paintings of the sizes they are seen at."""

    def seen(painting: Painting) -> Painting:
        size = size_seen(painting, height * width)
        return dataclasses.replace(
            painting,
            picture=raster.resize(painting.picture, *size),
            mask=None if painting.mask is None else masks.resize(painting.mask, *size),
        )

    return tuple(
        Place(
            tuple(seen(each) for each in place.paintings),
            None if place.mask is None else masks.resize(place.mask, height, width),
        )
        for place in places
    )


def size_seen(painting: Painting, area: int) -> tuple[int, int]:
    """Return the (height, width) at which a painting is seen beside a picture of ``area`` px.

    As many pixels as the picture, if it has them, and its own shape; then its scale.
    """
    height, width = raster.fit_area(*raster.size_of(painting.picture), area)
    scale = max(painting.scale, raster.SHORTEST / min(height, width))
    return round(height * scale), round(width * scale)


Change: TypeAlias = Callable[[Painting, Mask | None, Picture], Picture]
"""(painting, mask of its place, photograph) -> the painting's picture in other colors"""


def _match(painting: Painting, place: Mask | None, photograph: Picture) -> Picture:
    if place is not None:
        place = masks.resize(place, *raster.size_of(photograph))
    return colors.match(painting.picture, photograph, painting.mask, place)


def _match_lightness(painting: Painting, place: Mask | None, photograph: Picture) -> Picture:
    return colors.match_lightness(painting.picture, photograph)


CHANGES: dict[str, Change] = {"match": _match, "content": _match_lightness}
"""What becomes of paintings by the setting ``colors``, where it changes them."""


def colored(places: Iterable[Place], photograph: Picture, chosen: str) -> tuple[Place, ...]:
    """Return places whose paintings have the colors that the setting ``colors`` chose."""
    if chosen not in CHANGES:
        return tuple(places)
    change = CHANGES[chosen]
    return tuple(
        Place(
            tuple(
                dataclasses.replace(each, picture=change(each, place.mask, photograph))
                for each in place.paintings
            ),
            place.mask,
        )
        for place in places
    )
