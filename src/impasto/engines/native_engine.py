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
from impasto.losses.kinds import Kind
from impasto.losses.objective import TERMS, Step, Targets, TotalLoss, total_loss
from impasto.losses.terms import IMAGE, AddGradient, Features, Seen, Sums
from impasto.losses.tiled import Given, TileSteps
from impasto.network.native_vgg import NativeVGG
from impasto.network.weights import Network, Weights
from impasto.recipe.settings import Recipe

Adds = dict[str, Sequence[AddGradient]]
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

    def check(self) -> None:
        """Do nothing: it computes in every process."""

    def features(self, layers: Sequence[str]) -> Features:
        """Return the function from an image (height, width, 3) to its features by layer."""
        return lambda image, *reduce: self._vgg.features(image, layers, *reduce)

    def step(self, recipe: Recipe, kind: Kind) -> Step:
        """Return the total loss of a recipe and its gradient, for all levels of a kind."""
        loss = total_loss(recipe, kind)

        def step(image: HostArray, targets: Targets) -> Evaluated:
            maps = self._vgg.trace(image, loss.layers)
            seen = Seen({name: maps[name] for name in loss.layers}, image)
            sums, pullback = loss.vjp(seen, targets)
            del seen
            adds = dict(pullback(loss.loss_gradient(sums, targets)))
            return *_evaluated(loss, sums, targets), self._gradient(image, maps, adds)

        return step

    def tile_steps(self, recipe: Recipe, kind: Kind) -> TileSteps:
        """Return the same for an image that is processed in tiles."""
        loss, stride = total_loss(recipe, kind), self.network.stride
        like: dict[str, Sums] = {}

        def read(tile: HostArray, given: Given) -> HostArray:
            seen = tiled.within(tile, self._vgg.features(tile, loss.layers), given, stride)
            like.update(loss.read(seen, given.targets))
            return _flat(like)

        def vjp(
            tile: HostArray, given: Given, slope: Callable[[dict[str, Sums]], dict[str, Sums]]
        ) -> tuple[dict[str, Sums], HostArray]:
            """Return the sums of a tile, and the gradient by it from the slope along them."""
            maps = self._vgg.trace(tile, loss.layers)
            asked = {name: maps[name] for name in loss.layers}
            sums, pullback = loss.vjp(tiled.within(tile, asked, given, stride), given.targets)
            del asked
            adds = _inside(dict(pullback(slope(sums))), given, stride)
            return sums, self._gradient(tile, maps, adds)

        def once(tile: HostArray, given: Given) -> Evaluated:
            sums, gradient = vjp(tile, given, lambda sums: loss.loss_gradient(sums, given.targets))
            return *_evaluated(loss, sums, given.targets), gradient

        def along(tile: HostArray, given: Given) -> Evaluated:
            sums, gradient = vjp(tile, given, lambda sums: tiled.shaped(given.slope, _arrays(sums)))
            return float(np.vdot(tiled.flat(sums), given.slope)), {}, gradient

        def slope(sums: HostArray, given: Given) -> Evaluated:
            shaped = tiled.shaped(sums, _arrays(like))
            by = _flat(loss.loss_gradient(shaped, given.targets))
            return *_evaluated(loss, shaped, given.targets), by

        return TileSteps(loss.additive, once, read, along, slope)

    def _gradient(self, image: HostArray, maps: dict[str, HostArray], adds: Adds) -> HostArray:
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


def _evaluated(
    loss: TotalLoss, sums: dict[str, Sums], targets: Targets
) -> tuple[float, dict[str, float]]:
    """Return the total and its terms, in float64."""
    _, values = loss.loss(sums, targets)
    terms = {name: float(value) for name, value in values.items()}
    return sum(float(targets.weights[n]) * terms[name] for n, name in enumerate(TERMS)), terms


def _inside(adds: Adds, given: Given, stride: Callable[[str], int]) -> Adds:
    """Return what adds to the inner box of the gradients of the whole tile."""
    top, left, *_ = map(int, given.corner)
    height, width, _ = given.frame.shape

    def inside(layer: str, add: AddGradient) -> AddGradient:
        apart = stride(layer)
        rows = slice(top // apart, top // apart + height // apart)
        columns = slice(left // apart, left // apart + width // apart)
        return lambda gradient: add(gradient[rows, columns])

    return {
        layer: each if layer == IMAGE else [inside(layer, add) for add in each]
        for layer, each in adds.items()
    }


def _flat(sums: Sums) -> HostArray:
    found: HostArray = np.asarray(tiled.flat(sums), np.float32)
    return found


def _arrays(sums: Sums) -> Sums:
    return optree.tree_map(np.asarray, sums)
