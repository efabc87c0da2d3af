"""The Keras engine: features by a Keras model, gradients by automatic differentiation.

It is the reference in tests of the native engine, and the engine for GPUs.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import optree

from impasto.compute import backend
from impasto.compute.arrays import Array, Tensor, is_tensor, to_numpy
from impasto.compute.backend import ops
from impasto.images.arrays import ImageArray
from impasto.losses import tiled
from impasto.losses.kinds import Kind
from impasto.losses.objective import Step, Targets, total_loss
from impasto.losses.terms import Features, Maps, Reduce, Seen, Sums
from impasto.losses.tiled import Given, TileSteps
from impasto.network import vgg
from impasto.network.weights import Network, Weights
from impasto.recipe.settings import Recipe


class KerasEngine:
    """Computes with the backend that Keras runs on."""

    instruction_set = ""

    def __init__(self, weights: Weights, recipe: Recipe) -> None:
        """Build the model of the layers that a recipe names.

        Raises BackendError if Keras runs on another backend than the three, or in a process that
        was forked after the tensor library was loaded.
        """
        self.check()
        self.backend = backend.name()
        self.precision = _precision(recipe.precision)
        self.network: Network = weights.network
        self._features = vgg.build(
            weights, recipe.layer_names, recipe.pooling, self.precision, recipe.padding
        )

    def check(self) -> None:
        """Raise BackendError in a process that was forked, or where Keras cannot be used."""
        backend.check_backend()

    def features(self, layers: Sequence[str]) -> Features:
        """Return the function from an image (height, width, 3) to its features by layer."""

        def found(image: Tensor, _: tuple[()]) -> dict[str, Tensor]:
            maps = self._features(image, asked=layers)
            return {name: ops.cast(each, "float32") for name, each in maps.items()}

        run = backend.compiled(found)

        def features(image: ImageArray, reduce: Reduce | None = None) -> Maps:
            maps = run(image, ())
            if backend.on_processor():  # where NumPy is faster than single operations
                maps = {name: to_numpy(each) for name, each in maps.items()}
            if reduce is None:
                return maps
            return {name: reduce(name, each) for name, each in maps.items()}

        return features

    def step(self, recipe: Recipe, kind: Kind) -> Step:
        """Return the total loss of a recipe and its gradient, for all levels of a kind."""
        loss = total_loss(recipe, kind)

        def total(image: Tensor, targets: Targets) -> tuple[Tensor, dict[str, Tensor]]:
            seen = Seen(self._features(image, loss.layers), image)
            return loss.loss(loss.read(seen, targets), targets)

        return backend.value_and_gradient(total)

    def tile_steps(self, recipe: Recipe, kind: Kind) -> TileSteps:
        """Return the same for an image that is processed in tiles."""
        loss = total_loss(recipe, kind)
        shapes: dict[str, Sums] = {}

        def sums_of(tile: Tensor, given: Given) -> dict[str, Sums]:
            maps = self._features(tile, loss.layers)
            return loss.read(tiled.within(tile, maps, given, self.network.stride), given.targets)

        def read(tile: Tensor, given: Given) -> Tensor:
            sums: Sums = sums_of(tile, given)
            shapes["sums"] = optree.tree_map(lambda each: np.empty(each.shape), sums)
            return tiled.flat(sums)

        def once(tile: Tensor, given: Given) -> tuple[Tensor, dict[str, Tensor]]:
            return loss.loss(sums_of(tile, given), given.targets)

        def along(tile: Tensor, given: Given) -> tuple[Tensor, dict[str, Tensor]]:
            return ops.sum(tiled.flat(sums_of(tile, given)) * given.slope), {}

        def slope(sums: Tensor, given: Given) -> tuple[Tensor, dict[str, Tensor]]:
            return loss.loss(tiled.shaped(sums, shapes["sums"]), given.targets)

        return TileSteps(
            loss.additive,
            backend.value_and_gradient(once),
            backend.compiled(read),
            backend.value_and_gradient(along),
            backend.value_and_gradient(slope),
        )

    def place(self, arrays: Any) -> Any:
        """Return any nesting of dicts, lists and tuples of arrays as tensors."""
        return optree.tree_map(_tensor, arrays)

    def place_image(self, image: ImageArray) -> Array:
        """Return an image where solvers work on it: a tensor on a GPU, else as it is."""
        return backend.to_device(image)


def _tensor(value: Any) -> Tensor:
    if is_tensor(value):
        return value
    array = np.asarray(value)
    # Numbers of Python's own are float64.
    return ops.convert_to_tensor(array.astype(np.float32) if array.dtype == np.float64 else array)


def _precision(asked: str) -> str:
    """Return the number format of the features; on a GPU bfloat16 unless another is asked for."""
    if asked != "auto":
        return asked
    return "float32" if backend.on_processor() else "bfloat16"
