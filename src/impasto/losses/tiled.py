"""The objective that is evaluated tile by tile, with bounded memory.

Losses are functions of sums over positions, which add up over tiles (``terms``). Additive losses
need one pass. Others need two: the first computes the sums, and the second back-propagates
∂loss/∂sums through each tile. Tiles are processed in a fixed order and added in float64, so the
same image gives the same bytes.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np
import optree

from impasto import filearray
from impasto.compute.arrays import (
    Array,
    HostArray,
    Tensor,
    array_namespace,
    as_array_like,
    to_numpy,
)
from impasto.images.arrays import size_of
from impasto.losses.objective import TERMS, Evaluation, Frozen, Targets
from impasto.losses.terms import Place, Seen, Sight, Sums
from impasto.losses.tiles import Tile


class Given(NamedTuple):
    """The inputs of a tile besides its pixels."""

    targets: Targets
    corner: Tensor
    """(6,) int32: first row and column of the inner box within the outer one and within the whole
    image, and height and width of the whole image"""
    frame: Tensor
    """(height, width, 1) uint8, with the size of the inner box"""
    slope: Tensor
    """(n,) ∂loss/∂sums; empty if not needed"""


TileStep: TypeAlias = Callable[[Array, Given], tuple[float, dict[str, float], Array]]
"""(array, inputs) -> a scalar, the terms, and the gradient of the scalar by the array."""


class TileSteps(NamedTuple):
    """The compiled loss of a recipe, for the tiles of all levels."""

    additive: bool
    """whether one pass over the tiles is enough"""
    once: TileStep
    """(tile, inputs) -> the loss of the tile, its terms and its gradient"""
    read: Callable[[Array, Given], Tensor]
    """(tile, inputs) -> the sums (n,)"""
    along: TileStep
    """(tile, inputs) -> the product of sums and ∂loss/∂sums, and its gradient by the tile"""
    slope: TileStep
    """(sums (n,), inputs) -> the loss, its terms, and ∂loss/∂sums"""


def within(
    tile: Tensor, maps: Mapping[str, Tensor], given: Given, stride: Callable[[str], int]
) -> Seen:
    """Return what is seen in the inner box of a tile whose outer box gave ``maps``."""
    ops = array_namespace(given.frame)
    height, width = ops.shape(given.frame)[:2]
    inner, places = {}, {}
    for layer, value in maps.items():
        apart = stride(layer)
        begin = (given.corner[0] // apart, given.corner[1] // apart, 0)
        size = (height // apart, width // apart, value.shape[-1])
        inner[layer] = ops.slice(value, begin, size)
        places[layer] = Place(*(given.corner[n] // apart for n in range(2, 6)))
    return Seen(inner, tile, places, (given.corner[0], given.corner[1], height, width))


def flat(sums: Sums) -> Tensor:
    """Return all numbers of a tile's sums as one array (n,)."""
    leaves = optree.tree_leaves(sums)
    ops = array_namespace(leaves[0])
    return ops.concatenate([ops.reshape(each, (-1,)) for each in leaves])


def shaped(vector: Tensor, like: Sums) -> Sums:
    """Return sums of the structure of others from an array (n,), see :func:`flat`."""
    leaves, structure = optree.tree_flatten(like)
    ops, found, begin = array_namespace(vector), [], 0
    for each in leaves:
        size = int(np.prod(each.shape))
        found.append(ops.reshape(vector[begin : begin + size], tuple(each.shape)))
        begin += size
    return optree.tree_unflatten(structure, found)


NONE = np.zeros(0, np.float32)


class Reading(NamedTuple):
    """The request to process a tile, besides its pixels."""

    number: int
    """number of the tile, in row-major order"""
    weights: HostArray
    """(3,) of the terms, in the order of ``objective.TERMS``"""
    slope: HostArray = NONE
    """(n,) ∂loss/∂sums"""


class Read(NamedTuple):
    """The loss of sums, or their product with a slope."""

    total: float
    terms: dict[str, float]
    gradient: HostArray
    """by the pixels that the network was shown, or by the sums"""


class Readers(Protocol):
    """Processes tiles, in this process or on workers; results are in the order of the requests."""

    def once(self, asked: Iterable[tuple[Reading, HostArray]]) -> Iterator[Read]:
        """Yield the loss of every tile's sums; for a slope their product with it."""
        ...

    def sums(self, asked: Iterable[tuple[Reading, HostArray]]) -> Iterator[HostArray]:
        """Yield every tile's sums (n,)."""
        ...

    def slope(self, sums: HostArray, reading: Reading, shown: HostArray) -> Read:
        """Return the loss of all sums, its gradient the slope; of any tile, by what it shows."""
        ...


class Reader:
    """Reads tiles in this process."""

    def __init__(
        self, steps: TileSteps, frozen: Frozen, keep: bool, place: Callable[[Any], Any]
    ) -> None:
        """Read nothing yet; ``keep`` is whether targets are kept, or computed as tiles come.

        ``place`` brings arrays to where the engine computes, see ``engines.Engine``.
        """
        self.steps, self.frozen, self.place = steps, frozen, place
        self.kept: dict[int, Targets] | None = {} if keep else None
        self._summed = False

    def _given(self, reading: Reading) -> Given:
        scene, number = self.frozen.scene, reading.number
        sight = Sight(scene, scene.tiles[number])
        targets = (self.kept or {}).get(number) or self.place(self.frozen.at(sight))
        if self.kept is not None:
            self.kept[number] = targets
        found = given(sight, targets, reading.slope)
        moving = self.place((reading.weights, found.corner, found.frame, found.slope))
        return Given(targets._replace(weights=moving[0]), *moving[1:])

    def once(self, asked: Iterable[tuple[Reading, HostArray]]) -> Iterator[Read]:
        """Yield the loss of every tile's sums; for a slope their product with it."""
        for reading, shown in asked:
            step = self.steps.along if reading.slope.size else self.steps.once
            yield Read(*step(shown, self._given(reading)))

    def sums(self, asked: Iterable[tuple[Reading, HostArray]]) -> Iterator[HostArray]:
        """Yield every tile's sums (n,)."""
        for reading, shown in asked:
            self._summed = True
            yield to_numpy(self.steps.read(shown, self._given(reading)))

    def slope(self, sums: HostArray, reading: Reading, shown: HostArray) -> Read:
        """Return the loss of all sums, its gradient the slope."""
        if not self._summed:  # what sums look like is known once some were read
            list(self.sums([(reading, shown)]))
        return Read(*self.steps.slope(sums, self._given(reading)))


@dataclass(frozen=True)
class Tiles:
    """The objective that is evaluated tile by tile."""

    tiles: tuple[Tile, ...]
    additive: bool
    """whether one pass is enough"""
    readers: Readers
    weights: HostArray
    """(3,) of the terms, in the order of ``objective.TERMS``"""

    def evaluate(self, picture: Array) -> Evaluation:
        """Return losses and gradient at ``picture``, as :class:`Objective` has them."""
        pixels, slope = to_numpy(picture), NONE
        total, losses = 0.0, dict.fromkeys(TERMS, 0.0)
        if not self.additive:
            total, losses, slope = self._summed(pixels)
        gradient = filearray.zeros_like(pixels)
        read = self.readers.once(self.asked(pixels, slope))
        for tile, (value, terms, own) in zip(self.tiles, read, strict=True):
            gradient[tile.outer.slices] += own
            if self.additive:
                total += value
                losses = {name: losses[name] + terms[name] for name in TERMS}
        if not filearray.is_on_host(picture):
            gradient = as_array_like(filearray.in_memory(gradient), picture)
        return Evaluation(total, losses, gradient)

    def _summed(self, pixels: HostArray) -> Read:
        """Return the loss of the sums of all tiles, its gradient the slope along them."""
        sums: HostArray = np.zeros((), np.float64)
        for found in self.readers.sums(self.asked(pixels, NONE)):
            sums = sums + found.astype(np.float64)
        last = self._one(pixels, len(self.tiles) - 1, NONE)
        return self.readers.slope(np.asarray(sums, np.float32), *last)

    def asked(self, pixels: HostArray, slope: HostArray) -> Iterator[tuple[Reading, HostArray]]:
        """Yield the tiles in their order, with what the network is shown."""
        for number in range(len(self.tiles)):
            yield self._one(pixels, number, slope)

    def _one(self, pixels: HostArray, number: int, slope: HostArray) -> tuple[Reading, HostArray]:
        shown = np.ascontiguousarray(pixels[self.tiles[number].outer.slices])
        return Reading(number, self.weights, slope), shown

    def weighed(self, weights: HostArray) -> "Tiles":
        """Return it with other weights of the terms; nothing is compiled again."""
        return replace(self, weights=weights)


def given(sight: Sight, targets: Targets, slope: HostArray) -> Given:
    """Return what a tile is read with."""
    inner, outer = sight.tile
    corner = (
        *(inner.top - outer.top, inner.left - outer.left),
        *(inner.top, inner.left),
        *size_of(sight.scene.content),
    )
    frame = np.zeros((inner.height, inner.width, 1), np.uint8)
    return Given(targets, np.array(corner, np.int32), frame, slope)


def objective_of(steps: TileSteps, frozen: Frozen, readers: Readers) -> Tiles:
    """Return the objective whose tiles are read by ``readers``."""
    return Tiles(frozen.scene.tiles, steps.additive, readers, frozen.weights)
