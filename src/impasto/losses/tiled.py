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
from impasto.losses.level_targets import LevelTargets
from impasto.losses.objective import TERMS, Evaluation, TileTargets
from impasto.losses.terms import FeatureMaps, Sums, TargetTile, TileOffset
from impasto.losses.tiles import Tile


class TileArgs(NamedTuple):
    """The inputs of a tile besides its pixels."""

    targets: TileTargets
    offsets: Tensor
    """(6,) int32: first row and column of the core box within the padded box and within the whole
    image, and height and width of the whole image"""
    core_frame: Tensor
    """(height, width, 1) uint8, with the size of the core box"""
    sums_grad: Tensor
    """(n,) ∂loss/∂sums of the whole image in the second pass of a loss that is not additive; empty
    otherwise"""


TileFunction: TypeAlias = Callable[[Array, TileArgs], tuple[float, dict[str, float], Array]]
"""(array, inputs) -> a scalar, its terms, and its gradient by the array."""


class CompiledTileFns(NamedTuple):
    """The compiled loss of a recipe, for the tiles of all levels."""

    additive: bool
    """whether one pass over the tiles is enough"""
    value_and_grad: TileFunction
    """(pixels of the padded box, inputs) -> the loss of the tile, its terms and its gradient; with
    ``sums_grad`` the product sums · sums_grad, no terms, and the gradient of the product"""
    statistics: Callable[[Array, TileArgs], Tensor]
    """(pixels of the padded box, inputs) -> the sums (n,)"""
    loss_grad: TileFunction
    """(sums of all tiles (n,), inputs of any) -> the loss, its terms, and ∂loss/∂sums (n,).
    ``statistics`` must have been called before, since it defines the structure of the sums"""


def crop_maps(
    tile: Tensor, maps: Mapping[str, Tensor], args: TileArgs, stride: Callable[[str], int]
) -> FeatureMaps:
    """Return the features of the core box from those of the padded box."""
    ops = array_namespace(args.core_frame)
    height, width = ops.shape(args.core_frame)[:2]
    core, offsets = {}, {}
    for layer, value in maps.items():
        layer_stride = stride(layer)
        begin = (args.offsets[0] // layer_stride, args.offsets[1] // layer_stride, 0)
        size = (height // layer_stride, width // layer_stride, value.shape[-1])
        core[layer] = ops.slice(value, begin, size)
        offsets[layer] = TileOffset(*(args.offsets[n] // layer_stride for n in range(2, 6)))
    return FeatureMaps(core, tile, offsets, (args.offsets[0], args.offsets[1], height, width))


def flatten_sums(sums: Sums) -> Tensor:
    """Return all numbers of a tile's sums as one array (n,)."""
    leaves = optree.tree_leaves(sums)
    ops = array_namespace(leaves[0])
    return ops.concatenate([ops.reshape(each, (-1,)) for each in leaves])


def unflatten_sums(vector: Tensor, like: Sums) -> Sums:
    """Return the inverse of :func:`flatten_sums`, with the structure and shapes of ``like``."""
    leaves, structure = optree.tree_flatten(like)
    ops, arrays, begin = array_namespace(vector), [], 0
    for each in leaves:
        size = int(np.prod(each.shape))
        arrays.append(ops.reshape(vector[begin : begin + size], tuple(each.shape)))
        begin += size
    return optree.tree_unflatten(structure, arrays)


NO_GRADIENT = np.zeros(0, np.float32)


class TileRequest(NamedTuple):
    """The request to process a tile, besides its pixels."""

    tile_number: int
    """number of the tile, in row-major order"""
    weights: HostArray
    """(3,) of the terms, in the order of ``objective.TERMS``"""
    sums_grad: HostArray = NO_GRADIENT
    """(n,) ∂loss/∂sums, see :class:`TileArgs`"""


TileTask: TypeAlias = tuple[TileRequest, HostArray]
"""A tile request, and the pixels of its padded box, float32 (height, width, 3)."""


class TileResult(NamedTuple):
    """A scalar function of a tile, and its gradient."""

    total: float
    terms: dict[str, float]
    gradient: HostArray
    """by the pixels of the padded box, or by the sums"""


class TileEvaluator(Protocol):
    """Processes the tiles of an image, in this process or on workers.

    Results are in the order of the tasks, whichever finishes first.
    """

    def value_and_grad(self, tasks: Iterable[TileTask]) -> Iterator[TileResult]:
        """Yield loss and gradient of each tile.

        Args:
            tasks: requests with pixels. A request with ``sums_grad`` asks for the product
                sums · sums_grad instead of the loss: the second pass of a loss that is not additive

        Returns:
            For each task the total, the terms (none for a product), and the gradient by the pixels
            of the padded box, float32 (height, width, 3).
        """
        ...

    def statistics(self, tasks: Iterable[TileTask]) -> Iterator[HostArray]:
        """Yield the sums of each tile, float32 (n,): the first pass of a loss that is not additive.

        Args:
            tasks: requests with pixels
        """
        ...

    def loss_grad(self, sums: HostArray, request: TileRequest, pixels: HostArray) -> TileResult:
        """Return the loss of the whole image, and ∂loss/∂sums as its gradient.

        The gradient is the ``sums_grad`` of the requests of the second pass.

        Args:
            sums: float32 (n,), added up over all tiles
            request: a request of any tile, whose targets have the constants of the loss
            pixels: the pixels of its padded box
        """
        ...


class LocalTileEvaluator:
    """Processes tiles in this process."""

    def __init__(
        self,
        fns: CompiledTileFns,
        targets: LevelTargets,
        keep_targets: bool,
        place: Callable[[Any], Any],
    ) -> None:
        """Create the evaluator; targets of tiles are computed on first use.

        Args:
            fns: the compiled loss
            targets: the targets of the level
            keep_targets: whether targets of tiles are kept, instead of recomputed when needed
            place: see ``engines.engine.Engine.place``
        """
        self.fns, self.targets, self.place = fns, targets, place
        self.kept: dict[int, TileTargets] | None = {} if keep_targets else None
        self._has_statistics = False

    def _tile_args(self, request: TileRequest) -> TileArgs:
        level_inputs, number = self.targets.level_inputs, request.tile_number
        target_tile = TargetTile(level_inputs, level_inputs.tiles[number])
        targets = (self.kept or {}).get(number) or self.place(self.targets.for_tile(target_tile))
        if self.kept is not None:
            self.kept[number] = targets
        args = tile_args(target_tile, targets, request.sums_grad)
        weights, *rest = self.place(
            (request.weights, args.offsets, args.core_frame, args.sums_grad)
        )
        return TileArgs(targets._replace(weights=weights), *rest)

    def value_and_grad(self, tasks: Iterable[TileTask]) -> Iterator[TileResult]:
        """Yield loss and gradient of each tile, see :class:`TileEvaluator`."""
        for request, pixels in tasks:
            yield TileResult(*self.fns.value_and_grad(pixels, self._tile_args(request)))

    def statistics(self, tasks: Iterable[TileTask]) -> Iterator[HostArray]:
        """Yield the sums of each tile, see :class:`TileEvaluator`."""
        for request, pixels in tasks:
            self._has_statistics = True
            yield to_numpy(self.fns.statistics(pixels, self._tile_args(request)))

    def loss_grad(self, sums: HostArray, request: TileRequest, pixels: HostArray) -> TileResult:
        """Return the loss of the whole image and ∂loss/∂sums, see :class:`TileEvaluator`."""
        if not self._has_statistics:  # which define the structure of the sums
            list(self.statistics([(request, pixels)]))
        return TileResult(*self.fns.loss_grad(sums, self._tile_args(request)))


@dataclass(frozen=True)
class TiledObjective:
    """Evaluates an image tile by tile, in one pass over the tiles or in two."""

    tiles: tuple[Tile, ...]
    additive: bool
    """whether one pass is enough"""
    evaluator: TileEvaluator
    weights: HostArray
    """(3,) of the terms, in the order of ``objective.TERMS``"""

    def evaluate(self, image: Array) -> Evaluation:
        """Return the losses and the gradient, see ``objective.Objective``."""
        pixels, sums_grad = to_numpy(image), NO_GRADIENT
        total, losses = 0.0, dict.fromkeys(TERMS, 0.0)
        if not self.additive:
            sums: HostArray = np.zeros((), np.float64)
            for each in self.evaluator.statistics(self.iter_tasks(pixels, NO_GRADIENT)):
                sums = sums + each.astype(np.float64)
            # Any tile has the constants of the loss.
            task = self._task(pixels, len(self.tiles) - 1, NO_GRADIENT)
            total, losses, sums_grad = self.evaluator.loss_grad(np.asarray(sums, np.float32), *task)
        gradient = filearray.zeros_like(pixels)
        results = self.evaluator.value_and_grad(self.iter_tasks(pixels, sums_grad))
        for tile, result in zip(self.tiles, results, strict=True):
            gradient[tile.padded.slices] += result.gradient
            if self.additive:
                total += result.total
                for name, value in result.terms.items():
                    losses[name] = losses.get(name, 0.0) + value
        if not filearray.is_on_host(image):
            gradient = as_array_like(filearray.in_memory(gradient), image)
        return Evaluation(total, losses, gradient)

    def iter_tasks(self, pixels: HostArray, sums_grad: HostArray) -> Iterator[TileTask]:
        """Yield the tasks of all tiles in their order."""
        for number in range(len(self.tiles)):
            yield self._task(pixels, number, sums_grad)

    def _task(self, pixels: HostArray, number: int, sums_grad: HostArray) -> TileTask:
        padded = np.ascontiguousarray(pixels[self.tiles[number].padded.slices])
        return TileRequest(number, self.weights, sums_grad), padded

    def with_weights(self, weights: HostArray) -> "TiledObjective":
        """Return the objective with other weights of the terms."""
        return replace(self, weights=weights)


def tile_args(target_tile: TargetTile, targets: TileTargets, sums_grad: HostArray) -> TileArgs:
    """Return the inputs of a tile besides its pixels."""
    core, padded = target_tile.tile
    offsets = (
        *(core.top - padded.top, core.left - padded.left),
        *(core.top, core.left),
        *size_of(target_tile.level_inputs.content),
    )
    frame = np.zeros((core.height, core.width, 1), np.uint8)
    return TileArgs(targets, np.array(offsets, np.int32), frame, sums_grad)
