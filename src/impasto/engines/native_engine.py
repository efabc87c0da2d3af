"""The native engine: compiled kernels, and explicit gradients in NumPy.

float32 on CPUs. It imports no tensor library, so it starts fast.
"""

from collections.abc import Callable, Sequence
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
"""By layer, what adds to the gradient by its features; by IMAGE, to that by the pixels."""
Evaluated = tuple[float, dict[str, float], HostArray]
"""A scalar, its terms, and its gradient."""


class NativeEngine:
    """Computes with compiled kernels, on all cores of this processor."""

    backend = "native"
    precision = "float32"

    def __init__(self, weights: Weights, recipe: Recipe, instruction_set: str = "") -> None:
        """Prepare the kernels, for the best instruction set of this processor or for another.

        Raises ImportError where they were not built.
        """
        self.network: Network = weights.network
        kernels = Kernels.load(instruction_set or None)
        self.instruction_set = kernels.instruction_set
        self._vgg = NativeVGG.build(kernels, weights, recipe.pooling, recipe.padding)

    def check_usable(self) -> None:
        """Do nothing: it computes in every process."""

    def feature_function(self, layers: Sequence[str]) -> Features:
        """Return the function from an image (height, width, 3) to its features by layer."""
        return lambda image, *reduce: self._vgg.features(image, layers, *reduce)

    def compile_step(self, recipe: Recipe, role: LevelRole) -> StepFunction:
        """Return the total loss of a recipe and its gradient, for all levels of a kind."""
        loss = total_loss(recipe, role)

        def step(image: HostArray, targets: TileTargets) -> Evaluated:
            maps = self._vgg.trace(image, loss.layers)
            seen = FeatureMaps({name: maps[name] for name in loss.layers}, image)
            sums, pullback = loss.vjp(seen, targets)
            del seen
            adds = dict(pullback(loss.loss_gradient(sums, targets)))
            return *_evaluate(loss, sums, targets), self._gradient(image, maps, adds)

        return step

    def compile_tile_fns(self, recipe: Recipe, role: LevelRole) -> CompiledTileFns:
        """Return the same for an image that is processed in tiles."""
        loss, stride = total_loss(recipe, role), self.network.stride
        like: dict[str, Sums] = {}

        def read(tile: HostArray, given: TileArgs) -> HostArray:
            seen = tiled.crop_maps(tile, self._vgg.features(tile, loss.layers), given, stride)
            like.update(loss.reduce(seen, given.targets))
            return _flatten(like)

        def vjp(
            tile: HostArray, given: TileArgs, slope: Callable[[dict[str, Sums]], dict[str, Sums]]
        ) -> tuple[dict[str, Sums], HostArray]:
            """Return the sums of a tile, and the gradient by it from the slope along them."""
            maps = self._vgg.trace(tile, loss.layers)
            asked = {name: maps[name] for name in loss.layers}
            sums, pullback = loss.vjp(tiled.crop_maps(tile, asked, given, stride), given.targets)
            del asked
            adds = _add_in_core(dict(pullback(slope(sums))), given, stride)
            return sums, self._gradient(tile, maps, adds)

        def once(tile: HostArray, given: TileArgs) -> Evaluated:
            sums, gradient = vjp(tile, given, lambda sums: loss.loss_gradient(sums, given.targets))
            return *_evaluate(loss, sums, given.targets), gradient

        def along(tile: HostArray, given: TileArgs) -> Evaluated:
            sums, gradient = vjp(
                tile, given, lambda sums: tiled.unflatten_sums(given.loss_grad, _arrays(sums))
            )
            return float(np.vdot(tiled.flatten_sums(sums), given.loss_grad)), {}, gradient

        def slope(sums: HostArray, given: TileArgs) -> Evaluated:
            shaped = tiled.unflatten_sums(sums, _arrays(like))
            by = _flatten(loss.loss_gradient(shaped, given.targets))
            return *_evaluate(loss, shaped, given.targets), by

        return CompiledTileFns(loss.additive, once, read, along, slope)

    def _gradient(
        self, image: HostArray, maps: dict[str, HostArray], adds: LayerGradients
    ) -> HostArray:
        gradient = self._vgg.gradient(maps, adds)
        for add in adds.get(IMAGE, ()):
            add(gradient)
        return gradient

    def place(self, arrays: Any) -> Any:
        """Return arrays as they are."""
        return arrays

    def place_image(self, image: ImageArray) -> ImageArray:
        """Return an image as it is."""
        return image


def _evaluate(
    loss: TotalLoss, sums: dict[str, Sums], targets: TileTargets
) -> tuple[float, dict[str, float]]:
    """Return the total and its terms, in float64."""
    _, values = loss.loss(sums, targets)
    terms = {name: float(value) for name, value in values.items()}
    return sum(float(targets.weights[n]) * terms[name] for n, name in enumerate(TERMS)), terms


def _add_in_core(
    adds: LayerGradients, given: TileArgs, stride: Callable[[str], int]
) -> LayerGradients:
    """Return what adds to the inner box of the gradients of the whole tile."""
    top, left, *_ = map(int, given.offsets)
    height, width, _ = given.core_frame.shape

    def inside(layer: str, add: AddGradient) -> AddGradient:
        apart = stride(layer)
        rows = slice(top // apart, top // apart + height // apart)
        columns = slice(left // apart, left // apart + width // apart)
        return lambda gradient: add(gradient[rows, columns])

    return {
        layer: each if layer == IMAGE else [inside(layer, add) for add in each]
        for layer, each in adds.items()
    }


def _flatten(sums: Sums) -> HostArray:
    found: HostArray = np.asarray(tiled.flatten_sums(sums), np.float32)
    return found


def _arrays(sums: Sums) -> Sums:
    return optree.tree_map(np.asarray, sums)
