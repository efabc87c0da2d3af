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
from impasto.losses.objective import TERMS, Evaluation, LevelTargets, TileTargets
from impasto.losses.terms import FeatureMaps, Sums, TargetTile, TileOffset
from impasto.losses.tiles import Tile


class TileArgs(NamedTuple):
    """The inputs of a tile besides its pixels."""

    targets: TileTargets
    offsets: Tensor
    """(6,) int32: first row and column of the inner box within the outer one and within the whole
    image, and height and width of the whole image"""
    core_frame: Tensor
    """(height, width, 1) uint8, with the size of the inner box"""
    loss_grad: Tensor
    """(n,) ∂loss/∂sums; empty if not needed"""


TileFunction: TypeAlias = Callable[[Array, TileArgs], tuple[float, dict[str, float], Array]]
"""(array, inputs) -> a scalar, the terms, and the gradient of the scalar by the array."""


class CompiledTileFns(NamedTuple):
    """The compiled loss of a recipe, for the tiles of all levels."""

    additive: bool
    """whether one pass over the tiles is enough"""
    value_and_grad: TileFunction
    """(tile, inputs) -> the loss of the tile, its terms and its gradient"""
    statistics: Callable[[Array, TileArgs], Tensor]
    """(tile, inputs) -> the sums (n,)"""
    vjp: TileFunction
    """(tile, inputs) -> the product of sums and ∂loss/∂sums, and its gradient by the tile"""
    loss_grad: TileFunction
    """(sums (n,), inputs) -> the loss, its terms, and ∂loss/∂sums"""


def crop_maps(
    tile: Tensor, maps: Mapping[str, Tensor], given: TileArgs, stride: Callable[[str], int]
) -> FeatureMaps:
    """Return what is seen in the inner box of a tile whose outer box gave ``maps``."""
    ops = array_namespace(given.core_frame)
    height, width = ops.shape(given.core_frame)[:2]
    inner, places = {}, {}
    for layer, value in maps.items():
        layer_stride = stride(layer)
        begin = (given.offsets[0] // layer_stride, given.offsets[1] // layer_stride, 0)
        size = (height // layer_stride, width // layer_stride, value.shape[-1])
        inner[layer] = ops.slice(value, begin, size)
        places[layer] = TileOffset(*(given.offsets[n] // layer_stride for n in range(2, 6)))
    return FeatureMaps(inner, tile, places, (given.offsets[0], given.offsets[1], height, width))


def flatten_sums(sums: Sums) -> Tensor:
    """Return all numbers of a tile's sums as one array (n,)."""
    leaves = optree.tree_leaves(sums)
    ops = array_namespace(leaves[0])
    return ops.concatenate([ops.reshape(each, (-1,)) for each in leaves])


def unflatten_sums(vector: Tensor, like: Sums) -> Sums:
    """Return sums of the structure of others from an array (n,), see :func:`flatten_sums`."""
    leaves, structure = optree.tree_flatten(like)
    ops, found, begin = array_namespace(vector), [], 0
    for each in leaves:
        size = int(np.prod(each.shape))
        found.append(ops.reshape(vector[begin : begin + size], tuple(each.shape)))
        begin += size
    return optree.tree_unflatten(structure, found)


NO_GRADIENT = np.zeros(0, np.float32)


class TileRequest(NamedTuple):
    """The request to process a tile, besides its pixels."""

    tile_number: int
    """number of the tile, in row-major order"""
    weights: HostArray
    """(3,) of the terms, in the order of ``objective.TERMS``"""
    loss_grad: HostArray = NO_GRADIENT
    """(n,) ∂loss/∂sums"""


class TileResult(NamedTuple):
    """The loss of sums, or their product with a slope."""

    total: float
    terms: dict[str, float]
    gradient: HostArray
    """by the pixels that the network was shown, or by the sums"""


class TileEvaluator(Protocol):
    """Processes tiles, in this process or on workers; results are in the order of the requests."""

    def value_and_grad(
        self, asked: Iterable[tuple[TileRequest, HostArray]]
    ) -> Iterator[TileResult]:
        """Yield the loss of every tile's sums; for a slope their product with it."""
        ...

    def statistics(self, asked: Iterable[tuple[TileRequest, HostArray]]) -> Iterator[HostArray]:
        """Yield every tile's sums (n,)."""
        ...

    def loss_grad(self, sums: HostArray, reading: TileRequest, shown: HostArray) -> TileResult:
        """Return the loss of all sums, its gradient the slope; of any tile, by what it shows."""
        ...


class LocalTileEvaluator:
    """Reads tiles in this process."""

    def __init__(
        self, fns: CompiledTileFns, targets: LevelTargets, keep: bool, place: Callable[[Any], Any]
    ) -> None:
        """Read nothing yet; ``keep`` is whether targets are kept, or computed as tiles come.

        ``place`` brings arrays to where the engine computes, see ``engines.Engine``.
        """
        self.steps, self.frozen, self.place = fns, targets, place
        self.kept: dict[int, TileTargets] | None = {} if keep else None
        self._summed = False

    def _tile_args(self, reading: TileRequest) -> TileArgs:
        level_inputs, number = self.frozen.level_inputs, reading.tile_number
        target_tile = TargetTile(level_inputs, level_inputs.tiles[number])
        targets = (self.kept or {}).get(number) or self.place(self.frozen.for_tile(target_tile))
        if self.kept is not None:
            self.kept[number] = targets
        found = tile_args(target_tile, targets, reading.loss_grad)
        moving = self.place((reading.weights, found.offsets, found.core_frame, found.loss_grad))
        return TileArgs(targets._replace(weights=moving[0]), *moving[1:])

    def value_and_grad(
        self, asked: Iterable[tuple[TileRequest, HostArray]]
    ) -> Iterator[TileResult]:
        """Yield the loss of every tile's sums; for a slope their product with it."""
        for reading, shown in asked:
            step = self.steps.vjp if reading.loss_grad.size else self.steps.value_and_grad
            yield TileResult(*step(shown, self._tile_args(reading)))

    def statistics(self, asked: Iterable[tuple[TileRequest, HostArray]]) -> Iterator[HostArray]:
        """Yield every tile's sums (n,)."""
        for reading, shown in asked:
            self._summed = True
            yield to_numpy(self.steps.statistics(shown, self._tile_args(reading)))

    def loss_grad(self, sums: HostArray, reading: TileRequest, shown: HostArray) -> TileResult:
        """Return the loss of all sums, its gradient the slope."""
        if not self._summed:  # what sums look like is known once some were read
            list(self.statistics([(reading, shown)]))
        return TileResult(*self.steps.loss_grad(sums, self._tile_args(reading)))


@dataclass(frozen=True)
class TiledObjective:
    """The objective that is evaluated tile by tile."""

    tiles: tuple[Tile, ...]
    additive: bool
    """whether one pass is enough"""
    evaluator: TileEvaluator
    weights: HostArray
    """(3,) of the terms, in the order of ``objective.TERMS``"""

    def evaluate(self, image: Array) -> Evaluation:
        """Return losses and gradient at ``image``, as :class:`Objective` has them."""
        pixels, slope = to_numpy(image), NO_GRADIENT
        total, losses = 0.0, dict.fromkeys(TERMS, 0.0)
        if not self.additive:
            total, losses, slope = self._summed(pixels)
        gradient = filearray.zeros_like(pixels)
        read = self.evaluator.value_and_grad(self.iter_requests(pixels, slope))
        for tile, (value, terms, own) in zip(self.tiles, read, strict=True):
            gradient[tile.padded.slices] += own
            if self.additive:
                total += value
                losses = {name: losses[name] + terms[name] for name in TERMS}
        if not filearray.is_on_host(image):
            gradient = as_array_like(filearray.in_memory(gradient), image)
        return Evaluation(total, losses, gradient)

    def _summed(self, pixels: HostArray) -> TileResult:
        """Return the loss of the sums of all tiles, its gradient the slope along them."""
        sums: HostArray = np.zeros((), np.float64)
        for found in self.evaluator.statistics(self.iter_requests(pixels, NO_GRADIENT)):
            sums = sums + found.astype(np.float64)
        last = self._request(pixels, len(self.tiles) - 1, NO_GRADIENT)
        return self.evaluator.loss_grad(np.asarray(sums, np.float32), *last)

    def iter_requests(
        self, pixels: HostArray, slope: HostArray
    ) -> Iterator[tuple[TileRequest, HostArray]]:
        """Yield the tiles in their order, with what the network is shown."""
        for number in range(len(self.tiles)):
            yield self._request(pixels, number, slope)

    def _request(
        self, pixels: HostArray, number: int, slope: HostArray
    ) -> tuple[TileRequest, HostArray]:
        shown = np.ascontiguousarray(pixels[self.tiles[number].padded.slices])
        return TileRequest(number, self.weights, slope), shown

    def with_weights(self, weights: HostArray) -> "TiledObjective":
        """Return it with other weights of the terms; nothing is compiled again."""
        return replace(self, weights=weights)


def tile_args(target_tile: TargetTile, targets: TileTargets, slope: HostArray) -> TileArgs:
    """Return what a tile is read with."""
    inner, outer = target_tile.tile
    corner = (
        *(inner.top - outer.top, inner.left - outer.left),
        *(inner.top, inner.left),
        *size_of(target_tile.level_inputs.content),
    )
    frame = np.zeros((inner.height, inner.width, 1), np.uint8)
    return TileArgs(targets, np.array(corner, np.int32), frame, slope)


def tiled_objective(
    fns: CompiledTileFns, targets: LevelTargets, evaluator: TileEvaluator
) -> TiledObjective:
    """Return the objective whose tiles are read by ``evaluator``."""
    return TiledObjective(targets.level_inputs.tiles, fns.additive, evaluator, targets.weights)
