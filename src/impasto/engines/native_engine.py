"""The native engine: compiled kernels, and explicit gradients in NumPy.

float32 on CPUs. It imports no tensor library, so it starts fast.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import optree

from impasto.compute.arrays import HostArray
from impasto.compute.native.kernels import Kernels
from impasto.images.arrays import ImageArray
from impasto.losses import tiled
from impasto.losses.level_roles import LevelRole
from impasto.losses.objective import TERMS, StepFunction, TileTargets, TotalLoss, total_loss
from impasto.losses.terms import IMAGE, AddGradient, FeatureMaps, Features, Sums
from impasto.losses.tiled import CompiledTileFns, TileArgs
from impasto.network.native_vgg import NativeVGG
from impasto.network.weights import Network, Weights
from impasto.recipe.settings import Recipe

LayerGradients = dict[str, Sequence[AddGradient]]
"""By layer, functions that add to the gradient by its features; by IMAGE, to that by the pixels."""
Evaluated = tuple[float, dict[str, float], HostArray]
"""A scalar, its terms, and its gradient."""


class NativeEngine:
    """Computes with compiled kernels, on all cores of this processor."""

    backend = "native"
    precision = "float32"

    def __init__(self, weights: Weights, recipe: Recipe, instruction_set: str = "") -> None:
        """Prepare the kernels, by default for the best instruction set of this processor.

        Raises:
            ImportError: the kernels were not built
        """
        self.network: Network = weights.network
        kernels = Kernels.load(instruction_set or None)
        self.instruction_set = kernels.instruction_set
        self._vgg = NativeVGG.build(kernels, weights, recipe.pooling, recipe.padding)

    def check_usable(self) -> None:
        """Do nothing: the kernels work in every process."""

    def feature_function(self, layers: Sequence[str]) -> Features:
        """Return the function from an image (height, width, 3) to its features by layer."""
        return lambda image, *reduce: self._vgg.features(image, layers, *reduce)

    def compile_step(self, recipe: Recipe, role: LevelRole) -> StepFunction:
        """Return the function that computes total loss and gradient, for levels with a role."""
        return _NativeLoss(self._vgg, total_loss(recipe, role), self.network.stride).step

    def compile_tile_fns(self, recipe: Recipe, role: LevelRole) -> CompiledTileFns:
        """Return the loss, its gradient and its sums as functions of a tile."""
        loss = _NativeLoss(self._vgg, total_loss(recipe, role), self.network.stride)
        return CompiledTileFns(
            loss.total.additive, loss.tile_value_and_grad, loss.tile_statistics, loss.loss_grad
        )

    def place(self, arrays: Any) -> Any:
        """Return arrays unchanged."""
        return arrays

    def place_image(self, image: ImageArray) -> ImageArray:
        """Return an image unchanged."""
        return image


@dataclass(frozen=True, eq=False)
class _NativeLoss:
    """The total loss of a recipe on the features of a network, with its gradient."""

    vgg: NativeVGG
    total: TotalLoss
    stride: Callable[[str], int]
    sums: dict[str, Sums] = field(default_factory=dict)
    """the latest sums of :meth:`tile_statistics`, which have the structure of all sums"""

    def step(self, image: HostArray, targets: TileTargets) -> Evaluated:
        """Return the loss of an image, its terms and its gradient."""
        maps = self.vgg.features(image, self.total.layers, keep_all=True)
        features = FeatureMaps({name: maps[name] for name in self.total.layers}, image)
        sums, pullback = self.total.vjp(features, targets)
        del features
        adds = dict(pullback(self.total.loss_gradient(sums, targets)))
        return *self._evaluate(sums, targets), self._gradient(maps, adds)

    def tile_value_and_grad(self, tile: HostArray, args: TileArgs) -> Evaluated:
        """Return the loss of a tile or the product sums · sums_grad, see ``CompiledTileFns``."""
        maps = self.vgg.features(tile, self.total.layers, keep_all=True)
        sums, pullback = self.total.vjp(
            tiled.crop_maps(
                tile, {name: maps[name] for name in self.total.layers}, args, self.stride
            ),
            args.targets,
        )
        terms: dict[str, float] = {}
        if args.sums_grad.size:
            value = float(np.vdot(tiled.flatten_sums(sums), args.sums_grad))
            sums_grad = tiled.unflatten_sums(args.sums_grad, _arrays(sums))
        else:
            value, terms = self._evaluate(sums, args.targets)
            sums_grad = self.total.loss_gradient(sums, args.targets)
        adds = _add_in_core(dict(pullback(sums_grad)), args, self.stride)
        return value, terms, self._gradient(maps, adds)

    def tile_statistics(self, tile: HostArray, args: TileArgs) -> HostArray:
        """Return the sums of a tile (n,)."""
        maps = self.vgg.features(tile, self.total.layers)
        self.sums.update(
            self.total.reduce(tiled.crop_maps(tile, maps, args, self.stride), args.targets)
        )
        return _flatten(self.sums)

    def loss_grad(self, sums: HostArray, args: TileArgs) -> Evaluated:
        """Return the loss of the sums of all tiles (n,), its terms and ∂loss/∂sums (n,)."""
        structured = tiled.unflatten_sums(sums, _arrays(self.sums))
        sums_grad = _flatten(self.total.loss_gradient(structured, args.targets))
        return *self._evaluate(structured, args.targets), sums_grad

    def _evaluate(
        self, sums: dict[str, Sums], targets: TileTargets
    ) -> tuple[float, dict[str, float]]:
        """Return the total and its terms, in float64."""
        _, values = self.total.loss(sums, targets)
        terms = {name: float(value) for name, value in values.items()}
        return sum(float(targets.weights[n]) * terms[name] for n, name in enumerate(TERMS)), terms

    def _gradient(self, maps: dict[str, HostArray], adds: LayerGradients) -> HostArray:
        """Return the gradient by the pixels; ``maps`` is emptied."""
        gradient = self.vgg.gradient(maps, adds)
        for add in adds.get(IMAGE, ()):
            add(gradient)
        return gradient


def _add_in_core(
    adds: LayerGradients, args: TileArgs, stride: Callable[[str], int]
) -> LayerGradients:
    """Return functions that add to the core box of the gradients of the padded box."""
    top, left, *_ = map(int, args.offsets)
    height, width, _ = args.core_frame.shape

    def in_core(layer: str, add: AddGradient) -> AddGradient:
        step = stride(layer)
        rows = slice(top // step, top // step + height // step)
        columns = slice(left // step, left // step + width // step)
        return lambda gradient: add(gradient[rows, columns])

    return {
        layer: each if layer == IMAGE else [in_core(layer, add) for add in each]
        for layer, each in adds.items()
    }


def _flatten(sums: Sums) -> HostArray:
    flat: HostArray = np.asarray(tiled.flatten_sums(sums), np.float32)
    return flat


def _arrays(sums: Sums) -> Sums:
    return optree.tree_map(np.asarray, sums)
