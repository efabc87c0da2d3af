"""The Keras engine: features by a Keras model, gradients by automatic differentiation.

It is the reference in tests of the native engine, and the engine for GPUs.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import optree

from impasto.compute import keras_backend
from impasto.compute.arrays import Array, Tensor, is_tensor, to_numpy
from impasto.compute.keras_backend import ops
from impasto.images.arrays import ImageArray
from impasto.losses import tiled
from impasto.losses.level_roles import LevelRole
from impasto.losses.objective import StepFunction, TileTargets, total_loss
from impasto.losses.terms import FeatureMaps, Features, Maps, Reduce, Sums
from impasto.losses.tiled import CompiledTileFns, TileArgs
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
        self.check_usable()
        self.backend = keras_backend.backend_name()
        self.precision = _choose_precision(recipe.precision)
        self.network: Network = weights.network
        self._features = vgg.build_vgg(
            weights, recipe.layer_names, recipe.pooling, self.precision, recipe.padding
        )

    def check_usable(self) -> None:
        """Raise BackendError in a process that was forked, or where Keras cannot be used."""
        keras_backend.check_backend()

    def feature_function(self, layers: Sequence[str]) -> Features:
        """Return the function from an image (height, width, 3) to its features by layer."""

        def found(image: Tensor, _: tuple[()]) -> dict[str, Tensor]:
            maps = self._features(image, asked=layers)
            return {name: ops.cast(each, "float32") for name, each in maps.items()}

        run = keras_backend.compile_function(found)

        def features(image: ImageArray, reduce: Reduce | None = None) -> Maps:
            maps = run(image, ())
            if keras_backend.runs_on_cpu():  # where NumPy is faster than single operations
                maps = {name: to_numpy(each) for name, each in maps.items()}
            if reduce is None:
                return maps
            return {name: reduce(name, each) for name, each in maps.items()}

        return features

    def compile_step(self, recipe: Recipe, role: LevelRole) -> StepFunction:
        """Return the total loss of a recipe and its gradient, for all levels of a kind."""
        loss = total_loss(recipe, role)

        def total(image: Tensor, targets: TileTargets) -> tuple[Tensor, dict[str, Tensor]]:
            seen = FeatureMaps(self._features(image, loss.layers), image)
            return loss.loss(loss.reduce(seen, targets), targets)

        return keras_backend.value_and_gradient(total)

    def compile_tile_fns(self, recipe: Recipe, role: LevelRole) -> CompiledTileFns:
        """Return the same for an image that is processed in tiles."""
        loss = total_loss(recipe, role)
        shapes: dict[str, Sums] = {}

        def sums_of(tile: Tensor, given: TileArgs) -> dict[str, Sums]:
            maps = self._features(tile, loss.layers)
            return loss.reduce(
                tiled.crop_maps(tile, maps, given, self.network.stride), given.targets
            )

        def read(tile: Tensor, given: TileArgs) -> Tensor:
            sums: Sums = sums_of(tile, given)
            shapes["sums"] = optree.tree_map(lambda each: np.empty(each.shape), sums)
            return tiled.flatten_sums(sums)

        def once(tile: Tensor, given: TileArgs) -> tuple[Tensor, dict[str, Tensor]]:
            return loss.loss(sums_of(tile, given), given.targets)

        def along(tile: Tensor, given: TileArgs) -> tuple[Tensor, dict[str, Tensor]]:
            return ops.sum(tiled.flatten_sums(sums_of(tile, given)) * given.loss_grad), {}

        def slope(sums: Tensor, given: TileArgs) -> tuple[Tensor, dict[str, Tensor]]:
            return loss.loss(tiled.unflatten_sums(sums, shapes["sums"]), given.targets)

        return CompiledTileFns(
            loss.additive,
            keras_backend.value_and_gradient(once),
            keras_backend.compile_function(read),
            keras_backend.value_and_gradient(along),
            keras_backend.value_and_gradient(slope),
        )

    def place(self, arrays: Any) -> Any:
        """Return any nesting of dicts, lists and tuples of arrays as tensors."""
        return optree.tree_map(_to_tensor, arrays)

    def place_image(self, image: ImageArray) -> Array:
        """Return an image where solvers work on it: a tensor on a GPU, else as it is."""
        return keras_backend.to_device(image)


def _to_tensor(value: Any) -> Tensor:
    if is_tensor(value):
        return value
    array = np.asarray(value)
    # Numbers of Python's own are float64.
    return ops.convert_to_tensor(array.astype(np.float32) if array.dtype == np.float64 else array)


def _choose_precision(asked: str) -> str:
    """Return the number format of the features; on a GPU bfloat16 unless another is asked for."""
    if asked != "auto":
        return asked
    return "float32" if keras_backend.runs_on_cpu() else "bfloat16"
