"""The objective that reads a picture tile by tile, in memory that does not grow with it.

Losses are functions of sums over positions, which add up over the tiles (``terms``). Where the loss
of all sums is the sum of the tiles' losses one pass gives value and gradient; else a first pass
adds up the sums, and a second takes the loss's slope along them back through every tile. Tiles
come in a fixed order and are added up in float64, so that the same picture gives the same bytes.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from impasto.compute import backend
from impasto.compute.backend import Array, HostArray, Tensor, keras, ops
from impasto.losses.objective import TERMS, Evaluation, Frozen, Targets, terms_of
from impasto.losses.terms import Place, Seen, Sight, Sums
from impasto.losses.tiles import Tile
from impasto.losses.variation import Differences, differences, variation
from impasto.network.vgg import Features
from impasto.pictures.raster import size_of
from impasto.recipe.settings import Recipe


class Given(NamedTuple):
    """What the tile at hand is read with."""

    targets: Targets
    corner: Tensor
    """(6,) int32: the inner box's first row and column within the outer one, and within the
    whole picture, and the whole picture's height and width"""
    frame: Tensor
    """(height, width, 1) uint8, of the size of the inner box"""
    slope: Tensor
    """(n,) the loss's slope along the sums; empty where they are not asked for"""


class TileSteps(NamedTuple):
    """The compiled loss of a recipe, for the tiles of all levels."""

    additive: bool
    """whether one pass is enough"""
    once: backend.Step
    """(tile, given) -> the loss of the tile's sums, its terms and its gradient"""
    read: Callable[[Array, Given], Tensor]
    """(tile, given) -> the sums (n,)"""
    along: backend.Step
    """(tile, given) -> the sums' product with the slope, and its gradient"""
    slope: backend.Step
    """(sums (n,), given) -> the loss, its terms and its slope"""


def compiled_steps(
    features: Features, recipe: Recipe, stride: Callable[[str], int], last: bool = False
) -> TileSteps:
    """Compile the total loss of a recipe, or of its last pass, for tiles."""
    terms = terms_of(recipe, last)
    shapes: dict[str, Any] = {}

    def read(tile: Tensor, given: Given) -> dict[str, Sums]:
        seen = within(features(tile), given, stride)
        sums = {name: term.read(seen, given.targets.terms[name]) for name, term in terms.items()}
        rows, columns = ops.shape(given.frame)[:2]
        sums["tv"] = differences(tile, (given.corner[0], given.corner[1], rows, columns))
        shapes["sums"] = keras.tree.map_structure(lambda each: np.empty(each.shape), sums)
        return sums

    def loss_of(sums: Mapping[str, Sums], given: Given) -> tuple[Tensor, dict[str, Tensor]]:
        values = {
            name: term.loss(sums[name], given.targets.terms[name]) for name, term in terms.items()
        }
        values["tv"] = variation(Differences(*sums["tv"]), given.corner[4], given.corner[5])
        weights = given.targets.weights
        return sum(weights[number] * values[name] for number, name in enumerate(TERMS)), values

    def once(tile: Tensor, given: Given) -> tuple[Tensor, dict[str, Tensor]]:
        return loss_of(read(tile, given), given)

    def along(tile: Tensor, given: Given) -> tuple[Tensor, dict[str, Tensor]]:
        return ops.sum(_flat(read(tile, given)) * given.slope), {}

    def slope(vector: Tensor, given: Given) -> tuple[Tensor, dict[str, Tensor]]:
        return loss_of(_shaped(vector, shapes["sums"]), given)

    return TileSteps(
        all(term.additive for term in terms.values()),
        backend.value_and_gradient(once),
        backend.compiled(lambda tile, given: _flat(read(tile, given))),
        backend.value_and_gradient(along),
        backend.value_and_gradient(slope),
    )


def within(maps: Mapping[str, Tensor], given: Given, stride: Callable[[str], int]) -> Seen:
    """Return what is seen in the inner box of a tile whose outer box gave ``maps``."""
    height, width = ops.shape(given.frame)[:2]
    inner, places = {}, {}
    for layer, value in maps.items():
        apart = stride(layer)
        begin = (given.corner[0] // apart, given.corner[1] // apart, 0)
        size = (height // apart, width // apart, value.shape[-1])
        inner[layer] = ops.slice(value, begin, size)
        places[layer] = Place(*(given.corner[n] // apart for n in range(2, 6)))
    return Seen(inner, places)


def _flat(sums: Sums) -> Tensor:
    return ops.concatenate([ops.reshape(each, (-1,)) for each in keras.tree.flatten(sums)])


def _shaped(vector: Tensor, like: Sums) -> Sums:
    shaped, begin = [], 0
    for each in keras.tree.flatten(like):
        size = int(np.prod(each.shape))
        shaped.append(ops.reshape(vector[begin : begin + size], tuple(each.shape)))
        begin += size
    return keras.tree.pack_sequence_as(like, shaped)


NONE = np.zeros(0, np.float32)


@dataclass(frozen=True)
class Tiles:
    """The objective that looks at the picture tile by tile."""

    steps: TileSteps
    frozen: Frozen
    kept: Mapping[Tile, Targets] | None = None
    """the targets of all tiles, if there is room for them; else they are computed as they come"""

    def evaluate(self, picture: Array) -> Evaluation:
        """Return losses and gradient at ``picture``, as :class:`Objective` has them."""
        pixels = backend.to_numpy(picture)
        total, losses, gradient = self._evaluated(pixels)
        if not isinstance(picture, np.ndarray):
            gradient = ops.convert_to_tensor(gradient)
        return Evaluation(total, losses, gradient)

    def _evaluated(self, pixels: HostArray) -> tuple[float, dict[str, float], HostArray]:
        gradient = np.zeros_like(pixels)
        if self.steps.additive:
            total, losses = 0.0, dict.fromkeys(TERMS, 0.0)
            for tile, given in self._given(NONE):
                value, terms, slope = self.steps.once(_shown(pixels, tile), given)
                gradient[tile.outer.slices] += slope
                total += value
                losses = {name: losses[name] + terms[name] for name in TERMS}
            return total, losses, gradient
        sums: HostArray = np.zeros((), np.float64)
        for tile, given in self._given(NONE):
            found = backend.to_numpy(self.steps.read(_shown(pixels, tile), given))
            sums = sums + found.astype(np.float64)
        total, losses, slope = self.steps.slope(np.asarray(sums, np.float32), given)
        for tile, given in self._given(slope):
            gradient[tile.outer.slices] += self.steps.along(_shown(pixels, tile), given)[2]
        return total, losses, gradient

    def _given(self, slope: HostArray) -> Iterator[tuple[Tile, Given]]:
        """Yield the tiles in their order, with what they are read with."""
        for sight in self.frozen.scene.sights():
            if self.kept is None:
                targets = self.frozen.at(sight)
            else:
                targets = self.kept[sight.tile]._replace(weights=self.frozen.weights)
            yield sight.tile, given(sight, targets, slope)

    def weighed(self, weights: Tensor) -> "Tiles":
        """Return it with other weights of the terms; nothing is compiled anew."""
        return replace(self, frozen=replace(self.frozen, weights=weights))


def _shown(pixels: HostArray, tile: Tile) -> HostArray:
    return np.ascontiguousarray(pixels[tile.outer.slices])


def given(sight: Sight, targets: Targets, slope: HostArray) -> Given:
    """Return what a tile is read with."""
    inner, outer = sight.tile
    corner = (
        *(inner.top - outer.top, inner.left - outer.left),
        *(inner.top, inner.left),
        *size_of(sight.scene.content),
    )
    frame = np.zeros((inner.height, inner.width, 1), np.uint8)
    tensors = (ops.convert_to_tensor(each) for each in (np.array(corner, np.int32), frame, slope))
    return Given(targets, *tensors)


def kept(frozen: Frozen) -> dict[Tile, Targets]:
    """Return the targets of all tiles."""
    return {sight.tile: frozen.at(sight) for sight in frozen.scene.sights()}
