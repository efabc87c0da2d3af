"""The interface of a loss: terms that reduce features to sums, and compare the sums.

Gram loss: ``read`` computes second moments of the features, and ``loss`` is the squared distance
of Gram matrices. Matching: ``read`` sums the squared errors against nearest neighbors, and
``loss`` scales the sum. Sums over positions add up over tiles, strips and regions, so a term is
the same for a whole image and for one that is processed in tiles.
"""

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import optree

from impasto import paged
from impasto.compute.arrays import Array, HostArray, Size, Tensor, to_numpy
from impasto.losses import tiles
from impasto.losses.tiles import Box, Grain, Tile
from impasto.network.weights import Network
from impasto.pictures.guidance import StyledRegion
from impasto.pictures.raster import Picture, size_of

EPSILON = 1e-8
"""Keeps a division by the size of a target, or by a count of positions, finite at zero."""

Maps: TypeAlias = Mapping[str, Tensor]
"""By layer, features (height, width, channels)."""

Reduce: TypeAlias = Callable[[str, Tensor], Tensor]
"""(layer, its features) -> what is kept of them."""

Features: TypeAlias = Callable[..., Maps]
"""(picture (height, width, 3), reduce=None) -> by layer its features, or what is kept of them."""

Sums: TypeAlias = Any
"""Any nesting of dicts, lists and tuples of tensors that are sums over positions."""

Target: TypeAlias = Any
"""Any nesting of dicts, lists and tuples of arrays; those of rank 3 (height, width, channels) may
have any height and width."""

AddGradient: TypeAlias = Callable[[HostArray], None]
"""Adds a gradient by a layer's features (height, width, channels), in place."""

Pullback: TypeAlias = Callable[[Sums], Mapping[str, Sequence[AddGradient]]]
"""∂loss/∂sums -> by layer, what adds ∂loss/∂features: a vector-Jacobian product."""

IMAGE = "image"
"""In place of a layer's name: the pixels, as :attr:`Seen.image` has them."""


class Place(NamedTuple):
    """Where a part of a picture lies, in a layer's positions.

    All are whole numbers, or tensors of them.
    """

    top: Size
    """the part's first row"""
    left: Size
    """the part's first column"""
    height: Size
    """rows of the whole picture"""
    width: Size
    """columns of it"""


@dataclass(frozen=True)
class Seen:
    """What the network sees in a picture, or in a part of one."""

    maps: Maps
    """features"""
    image: Tensor = None
    """(height, width, 3), of a part with what is around it"""
    places: Mapping[str, Place] = field(default_factory=dict)
    """by layer, where the part lies; nothing for a whole picture"""
    inner: tuple[Size, Size, Size, Size] | None = None
    """where the part lies in ``image``: its first row and column, and how many it has of them; None
    for a whole picture"""


@dataclass(frozen=True)
class Look:
    """What the network sees in a tile of a picture that is at hand."""

    see: Callable[[Reduce], Maps]
    """reduce -> what is kept of the features of the tile's outer box, see :data:`Features`"""
    tile: Tile
    size: tuple[int, int]
    """height and width of the whole picture, in pixels"""
    stride: Callable[[str], int]

    def inner(self, layers: Iterable[str], reduce: Callable[[str, Tensor], Any]) -> dict[str, Any]:
        """Return by layer a function of the features of the inner box, (height, width, channels).

        No more than one layer's features are in memory at a time, unless the function keeps them.
        """
        asked = dict.fromkeys(layers)

        def cut(layer: str, value: Tensor) -> Any:
            if layer in asked:
                asked[layer] = reduce(layer, self.cut(value, self.stride(layer)))

        self.see(cut)
        return asked

    def cut(self, value: Array, apart: int) -> Array:
        """Return what of a value of the outer box, its positions ``apart`` px, counts."""
        if self.tile.inner == self.tile.outer:
            return value
        inner, outer = self.tile
        return tiles.part(value, apart, Box(*np.subtract(inner, (outer.top, outer.left) * 2)))

    def place(self, layer: str) -> Place:
        """Return where the inner box lies, in a layer's positions."""
        apart = self.stride(layer)
        top, left = (each // apart for each in self.tile.inner[:2])
        return Place(top, left, *(each // apart for each in self.size))


EDGES = 8
"""Pixels that edges of tiles lie at multiples of at least, so that grids of features fit in."""


@dataclass(frozen=True)
class Eye:
    """The network, and how much of a picture it is shown at a time."""

    features: Features
    stride: Callable[[str], int]
    """how many pixels apart the features of a layer lie"""
    receptive_field: Callable[[str], int]
    """how many pixels wide the square is that a feature of a layer sees"""
    grain: Grain
    tile: int = 0
    """side in pixels of the largest part it is shown, besides what is around that; 0 all at once"""

    @classmethod
    def of(
        cls,
        features: Features,
        network: Network,
        layers: Iterable[str],
        tile: int = 0,
    ) -> "Eye":
        """Return the eye that looks with the ``layers`` of a network."""
        names = list(layers)
        halo = network.halo(names)
        apart = max(EDGES, *map(network.stride, names))
        grain = Grain(apart, -(-halo // apart) * apart)
        return cls(features, network.stride, network.receptive_field, grain, tile)

    def cover(self, size: tuple[int, int]) -> tuple[Tile, ...]:
        """Return the tiles of a picture of (height, width) pixels."""
        return tiles.cover(*size, self.tile, self.grain)

    def look(self, picture: Picture, tile: Tile) -> Look:
        """Look at a tile of a picture."""
        shown = paged.whole(picture) if tile.outer == tile.inner else picture[tile.outer.slices]
        see = functools.partial(self.features, shown)
        return Look(see, tile, size_of(picture), self.stride)

    def looks(self, picture: Picture) -> Iterator[Look]:
        """Look at a picture, tile by tile."""
        for tile in self.cover(size_of(picture)):
            yield self.look(picture, tile)


@dataclass(frozen=True)
class Sight:
    """A tile of the picture that is painted, and what the network sees there when it is asked."""

    scene: "Scene" = field(compare=False)
    tile: Tile

    def look(self, picture: Picture) -> Look:
        """Return what is seen in a picture of the scene's size."""
        return self.scene.eye.look(picture, self.tile)

    def part(self, field: HostArray, apart: int) -> HostArray:
        """Return what of a field of the whole picture, its positions ``apart`` px, counts here."""
        return tiles.part(field, apart, self.tile.inner)


@dataclass(frozen=True, eq=False)
class Scene:
    """What a picture of one size is to be compared with."""

    eye: Eye
    content: Picture
    """the photograph at this size"""
    regions: tuple[StyledRegion, ...]
    """masks of this size, paintings of the sizes they are seen at"""
    start: Picture | None = None
    """the picture so far, which this size starts from; None at the first"""

    @cached_property
    def tiles(self) -> tuple[Tile, ...]:
        """The picture's tiles."""
        return self.eye.cover(size_of(self.content))

    def sights(self) -> Iterator[Sight]:
        """Yield the tiles."""
        yield from (Sight(self, tile) for tile in self.tiles)

    def summed(self, read: Callable[[Sight], Sums]) -> Sums:
        """Return what is read at all tiles, added up in float64 as NumPy's."""
        total: Sums = None
        for sight in self.sights():
            sums = optree.tree_map(_wide, read(sight))
            total = sums if total is None else optree.tree_map(np.add, total, sums)
        return total

    def remembered(self, read: Callable[[Sight], Any]) -> Callable[[Sight], Any]:
        """Return a function of a tile that keeps what it found, where the tile is the picture."""
        return functools.cache(read) if len(self.tiles) == 1 else read


def scaled(factor: Any, sums: Sums) -> Sums:
    """Return sums multiplied by a factor."""
    return optree.tree_map(lambda each: np.float32(factor) * each, sums)


def _wide(value: Any) -> HostArray:
    return np.asarray(to_numpy(value), np.float64)


class View(NamedTuple):
    """What is seen at one layer of the positions of a region."""

    features: Tensor
    """(height, width, C)"""
    weights: Tensor | None = None
    """(height, width, 1), how much of a position belongs to the region; None if all do"""
    place: Place | None = None
    """where a part of the picture lies; None for a whole one"""


class Painted(NamedTuple):
    """What is seen at one layer of a painting, or of a part of one."""

    features: Tensor
    """(height, width, C)"""
    weights: Tensor | None = None
    """(height, width, 1), how much of a position counts; None if all do"""
    number: int = 0
    """which painting it is; parts of one have the same"""
    at: HostArray | None = None
    """(height, width) the index in all of the painting, row by row, of each position that is kept
    by itself, -1 of all others; None if nobody asked for positions"""


Style: TypeAlias = tuple[float, Sequence[Any]]
"""A painting's share among all of a region, and what a measure keeps of its parts."""


class Measure(NamedTuple):
    """A way to compare what is seen at one layer with paintings; pure functions."""

    look: Callable[[Painted], Any]
    """what is kept of a painting, or of a part of one"""
    freeze: Callable[[Sequence[Style]], Target]
    """what was kept of every painting of a region -> the target"""
    read: Callable[[View, Target], Sums]
    """what is seen -> sums that add up over the parts of a picture"""
    loss: Callable[[Sums, Target], Tensor]
    """the sums of the whole picture -> the loss, a scalar"""
    vjp: Callable[[View, Target], tuple[Sums, Callable[[Sums], AddGradient]]]
    """NumPy features, target -> the sums as :attr:`read` has them, and their pullback"""
    loss_gradient: Callable[[Sums, Target], Sums]
    """the sums of the whole picture -> ∂loss/∂sums, in NumPy"""
    positions: Callable[[float], int] | None = None
    """(a painting's share among all) -> how many of its positions are kept by themselves at most;
    None for none"""
    survey: Callable[[View], Sums] | None = None
    """what is seen of the picture so far -> sums that :attr:`settle` needs; None if the target is
    the paintings' alone"""
    settle: Callable[[Target, Sums, View], Target] | None = None
    """(target, the sums of the whole picture so far, what is seen of the photograph) -> the target
    that goes with these, of the part that is seen"""


class Term(NamedTuple):
    """One loss among those that add up to the total; pure functions."""

    freeze: Callable[[Scene], Callable[[Sight], Target]]
    """what pictures of the scene's size are compared with, tile by tile"""
    read: Callable[[Seen, Target], Sums]
    """what is seen, and the target of the same part -> sums that add up over the parts"""
    loss: Callable[[Sums, Target], Tensor]
    """the sums of the whole picture, the target of any part -> the loss, a scalar"""
    vjp: Callable[[Seen, Target], tuple[Sums, Pullback]]
    """NumPy features, target -> the sums as :attr:`read` has them, and their pullback"""
    loss_gradient: Callable[[Sums, Target], Sums]
    """the sums of the whole picture, the target of any part -> ∂loss/∂sums, in NumPy"""
    layers: tuple[str, ...]
    """those of which it reads features"""
    additive: bool = False
    """whether the loss of sums is the sum of their losses, so that no part needs to wait for all"""
