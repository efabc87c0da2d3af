"""The native engine: compiled kernels and gradients written beside the losses, in NumPy.

float32 on processors. It imports no tensor library, so that it starts at once.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import optree

from impasto.compute.arrays import HostArray
from impasto.compute.native.kernels import Kernels
from impasto.losses import tiled
from impasto.losses.kinds import Kind
from impasto.losses.objective import TERMS, Step, Targets, layers_of, terms_of
from impasto.losses.terms import (
    AddGradient,
    Features,
    Pullback,
    Seen,
    Sums,
    Term,
)
from impasto.losses.tiled import Given, TileSteps
from impasto.losses.variation import (
    Differences,
    differences,
    differences_vjp,
    variation,
    variation_gradient,
)
from impasto.network.native_vgg import NativeVGG
from impasto.network.weights import Network, Weights
from impasto.pictures.raster import Picture
from impasto.recipe.settings import Recipe

Adds = dict[str, Sequence[AddGradient]]
"""By layer, what adds to the gradient by its features."""


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
        terms, layers = terms_of(recipe, kind), layers_of(recipe, kind)

        def step(image: HostArray, targets: Targets) -> tuple[float, dict[str, float], HostArray]:
            maps = self._vgg.trace(image, layers)
            sums, pullbacks = _reduced(terms, Seen({name: maps[name] for name in layers}), targets)
            by, values = _by_sums(terms, sums, targets)
            height, width, _ = image.shape
            down_and_right = differences(image)
            values["tv"] = float(variation(down_and_right, height, width))
            gradient = self._vgg.gradient(maps, _collected(pullbacks, by))
            if weight := targets.weights[TERMS.index("tv")]:
                slope = _scaled(weight, variation_gradient(down_and_right, height, width))
                gradient += differences_vjp(image, slope)
            return _total(values, targets), values, gradient

        return step

    def tile_steps(self, recipe: Recipe, kind: Kind) -> TileSteps:
        """Return the same for an image that is processed in tiles."""
        return _TileSteps(self._vgg, recipe, self.network.stride, kind).steps()

    def place(self, arrays: Any) -> Any:
        """Return arrays as they are."""
        return arrays

    def place_image(self, image: Picture) -> Picture:
        """Return an image as it is."""
        return image


class _TileSteps:
    """The loss of a tile, and its vector-Jacobian products."""

    def __init__(
        self, vgg: NativeVGG, recipe: Recipe, stride: Callable[[str], int], kind: Kind
    ) -> None:
        self.vgg, self.stride = vgg, stride
        self.terms, self.layers = terms_of(recipe, kind), layers_of(recipe, kind)
        self.loss = tiled.tile_loss(vgg.features, recipe, stride, kind)
        self.like: Sums = None

    def steps(self) -> TileSteps:
        return TileSteps(self.loss.additive, self.once, self.read, self.along, self.slope)

    def read(self, tile: HostArray, given: Given) -> HostArray:
        self.like = self.loss.read(tile, given)
        found: HostArray = np.asarray(tiled.flat(self.like), np.float32)
        return found

    def once(self, tile: HostArray, given: Given) -> tuple[float, dict[str, float], HostArray]:
        maps, sums, pullbacks = self._reduced(tile, given)
        total, values, by = self._loss(sums, given)
        return total, values, self._gradient(tile, maps, pullbacks, by, given)

    def along(self, tile: HostArray, given: Given) -> tuple[float, dict[str, float], HostArray]:
        maps, sums, pullbacks = self._reduced(tile, given)
        by = tiled.shaped(given.slope, _arrays(sums))
        product = float(np.vdot(tiled.flat(sums), given.slope))
        return product, {}, self._gradient(tile, maps, pullbacks, by, given)

    def slope(self, sums: HostArray, given: Given) -> tuple[float, dict[str, float], HostArray]:
        total, values, by = self._loss(tiled.shaped(sums, _arrays(self.like)), given)
        return total, values, np.asarray(tiled.flat(by), np.float32)

    def _reduced(
        self, tile: HostArray, given: Given
    ) -> tuple[dict[str, HostArray], dict[str, Sums], dict[str, Pullback]]:
        maps = self.vgg.trace(tile, self.layers)
        seen = tiled.within({name: maps[name] for name in self.layers}, given, self.stride)
        sums, pullbacks = _reduced(self.terms, seen, given.targets)
        return maps, {**sums, "tv": differences(tile, tiled.own_place(given))}, pullbacks

    def _loss(
        self, sums: Mapping[str, Sums], given: Given
    ) -> tuple[float, dict[str, float], dict[str, Sums]]:
        """Return the total, its terms, and the gradient of the total by the sums."""
        by, values = _by_sums(self.terms, sums, given.targets)
        height, width = (int(each) for each in given.corner[4:])
        apart = Differences(*sums["tv"])
        values["tv"] = float(variation(apart, height, width))
        weight = given.targets.weights[TERMS.index("tv")]
        by["tv"] = _scaled(weight, variation_gradient(apart, height, width))
        return _total(values, given.targets), values, by

    def _gradient(
        self,
        tile: HostArray,
        maps: dict[str, HostArray],
        pullbacks: dict[str, Pullback],
        by: Mapping[str, Sums],
        given: Given,
    ) -> HostArray:
        gradient = self.vgg.gradient(maps, self._inside(_collected(pullbacks, by), given))
        return gradient + differences_vjp(tile, Differences(*by["tv"]), tiled.own_place(given))

    def _inside(self, adds: Adds, given: Given) -> Adds:
        """Return what adds to the inner box of the gradients of the whole tile."""
        top, left, *_ = map(int, given.corner)
        height, width, _ = given.frame.shape

        def inside(layer: str, add: AddGradient) -> AddGradient:
            stride = self.stride(layer)
            rows = slice(top // stride, top // stride + height // stride)
            columns = slice(left // stride, left // stride + width // stride)
            return lambda gradient: add(gradient[rows, columns])

        return {layer: [inside(layer, add) for add in each] for layer, each in adds.items()}


def _reduced(
    terms: Mapping[str, Term], seen: Seen, targets: Targets
) -> tuple[dict[str, Sums], dict[str, Pullback]]:
    """Return by term its sums, and by term their pullback."""
    found = {name: term.vjp(seen, targets.terms[name]) for name, term in terms.items()}
    return (
        {name: sums for name, (sums, _) in found.items()},
        {name: pullback for name, (_, pullback) in found.items()},
    )


def _by_sums(
    terms: Mapping[str, Term], sums: Mapping[str, Sums], targets: Targets
) -> tuple[dict[str, Sums], dict[str, float]]:
    """Return the gradient of the total by the sums of every term, and the terms' losses."""
    values, by = dict.fromkeys(TERMS, 0.0), {}
    for name, term in terms.items():
        target, weight = targets.terms[name], targets.weights[TERMS.index(name)]
        values[name] = float(term.loss(sums[name], target))
        by[name] = _scaled(weight, term.loss_gradient(sums[name], target))
    return by, values


def _collected(pullbacks: dict[str, Pullback], by: Mapping[str, Sums]) -> Adds:
    """Return what all terms add to the gradients by features.

    ``pullbacks`` are emptied, which would keep the features of all layers.
    """
    found: dict[str, list[AddGradient]] = defaultdict(list)
    while pullbacks:
        name, pullback = pullbacks.popitem()
        if any(np.any(leaf) for leaf in optree.tree_leaves(by[name])):
            for layer, adds in pullback(by[name]).items():
                found[layer].extend(adds)
    return dict(found)


def _scaled(factor: Any, sums: Sums) -> Sums:
    return optree.tree_map(lambda each: np.float32(factor) * each, sums)


def _arrays(sums: Sums) -> Sums:
    return optree.tree_map(np.asarray, sums)


def _total(values: Mapping[str, float], targets: Targets) -> float:
    return sum(float(targets.weights[number]) * values[name] for number, name in enumerate(TERMS))
