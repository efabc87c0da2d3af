"""The Keras engine: features by a Keras model, gradients by automatic differentiation.

It is the reference in tests of the native engine, and the engine for GPUs.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import optree

from impasto.compute import keras_backend
from impasto.compute.arrays import Array, Tensor, is_tensor, to_numpy
from impasto.compute.keras_backend import ops
from impasto.images.arrays import ImageArray
from impasto.losses import tiled
from impasto.losses.level_roles import LevelRole
from impasto.losses.objective import StepFunction, TileTargets, TotalLoss, total_loss
from impasto.losses.terms import FeatureMaps, Features, Maps, Reduce, Sums
from impasto.losses.tiled import CompiledTileFns, TileArgs
from impasto.network import vgg
from impasto.network.weights import Network, Weights
from impasto.recipe.settings import Recipe


class KerasEngine:
    """Computes with the backend of Keras."""

    instruction_set = ""

    def __init__(self, weights: Weights, recipe: Recipe) -> None:
        """Build the model of the layers that a recipe names.

        Raises:
            BackendError: Keras has an unsupported backend, or this process was forked after the
                tensor library was loaded
        """
        self.check_usable()
        self.backend = keras_backend.backend_name()
        self.precision = _choose_precision(recipe.precision)
        self.network: Network = weights.network
        self._features = vgg.build_vgg(
            weights, recipe.layer_names, recipe.pooling, self.precision, recipe.padding
        )

    def check_usable(self) -> None:
        """Raise BackendError in a forked process, or if Keras cannot be used."""
        keras_backend.check_backend()

    def feature_function(self, layers: Sequence[str]) -> Features:
        """Return the function from an image (height, width, 3) to its features by layer."""

        def compute_maps(image: Tensor, _: tuple[()]) -> dict[str, Tensor]:
            maps = self._features(image, layers=layers)
            return {name: ops.cast(each, "float32") for name, each in maps.items()}

        compiled = keras_backend.compile_function(compute_maps)

        def features(image: ImageArray, reduce: Reduce | None = None) -> Maps:
            maps = compiled(image, ())
            if keras_backend.runs_on_cpu():  # where NumPy is faster than single operations
                maps = {name: to_numpy(each) for name, each in maps.items()}
            if reduce is None:
                return maps
            return {name: reduce(name, each) for name, each in maps.items()}

        return features

    def compile_step(self, recipe: Recipe, role: LevelRole) -> StepFunction:
        """Return the function that computes total loss and gradient, for levels with a role."""
        loss = _KerasLoss(self._features, total_loss(recipe, role), self.network.stride)
        return keras_backend.value_and_gradient(loss.image_loss)

    def compile_tile_fns(self, recipe: Recipe, role: LevelRole) -> CompiledTileFns:
        """Return the loss, its gradient and its sums as functions of a tile."""
        loss = _KerasLoss(self._features, total_loss(recipe, role), self.network.stride)
        return CompiledTileFns(
            loss.total.additive,
            keras_backend.value_and_gradient(loss.tile_loss),
            keras_backend.compile_function(loss.tile_statistics),
            keras_backend.value_and_gradient(loss.sums_loss),
        )

    def place(self, arrays: Any) -> Any:
        """Return a nested structure of arrays as tensors."""
        return optree.tree_map(_to_tensor, arrays)

    def place_image(self, image: ImageArray) -> Array:
        """Return an image as a tensor if there is a GPU, else unchanged."""
        return keras_backend.to_device(image)


LossAndTerms = tuple[Tensor, dict[str, Tensor]]
"""A scalar, and its terms."""


@dataclass(frozen=True, eq=False)
class _KerasLoss:
    """The total loss of a recipe on the features of a network, as functions to compile."""

    features: vgg.Features
    total: TotalLoss
    stride: Callable[[str], int]
    sums: dict[str, Sums] = field(default_factory=dict)
    """arrays with the structure and shapes of all sums, from :meth:`tile_statistics`"""

    def image_loss(self, image: Tensor, targets: TileTargets) -> LossAndTerms:
        """Return the loss of an image, and its terms."""
        features = FeatureMaps(self.features(image, self.total.layers), image)
        return self.total.loss(self.total.reduce(features, targets), targets)

    def tile_loss(self, tile: Tensor, args: TileArgs) -> LossAndTerms:
        """Return the loss of a tile or the product sums · sums_grad, see ``CompiledTileFns``."""
        sums = self._tile_sums(tile, args)
        if args.sums_grad.shape[0]:
            return ops.sum(tiled.flatten_sums(sums) * args.sums_grad), {}
        return self.total.loss(sums, args.targets)

    def tile_statistics(self, tile: Tensor, args: TileArgs) -> Tensor:
        """Return the sums of a tile (n,)."""
        sums: Sums = self._tile_sums(tile, args)
        self.sums.update(optree.tree_map(lambda each: np.empty(each.shape), sums))
        return tiled.flatten_sums(sums)

    def sums_loss(self, sums: Tensor, args: TileArgs) -> LossAndTerms:
        """Return the loss of the sums of all tiles (n,), and its terms."""
        return self.total.loss(tiled.unflatten_sums(sums, self.sums), args.targets)

    def _tile_sums(self, tile: Tensor, args: TileArgs) -> dict[str, Sums]:
        maps = self.features(tile, self.total.layers)
        return self.total.reduce(tiled.crop_maps(tile, maps, args, self.stride), args.targets)


def _to_tensor(value: Any) -> Tensor:
    if is_tensor(value):
        return value
    array = np.asarray(value)
    # Python floats become float64.
    return ops.convert_to_tensor(array.astype(np.float32) if array.dtype == np.float64 else array)


def _choose_precision(precision: str) -> str:
    """Return the number format of the features; ``auto`` is bfloat16 on a GPU, else float32."""
    if precision != "auto":
        return precision
    return "float32" if keras_backend.runs_on_cpu() else "bfloat16"
