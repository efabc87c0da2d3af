"""The content loss: distance of features from those of the content image, per position.

Gatys, Ecker and Bethge 2016, "Image Style Transfer Using Convolutional Neural Networks", equation
1, as a mean instead of half the sum.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from impasto.compute.arrays import HostArray, Tensor, array_namespace
from impasto.losses.terms import (
    EPSILON,
    AddGradient,
    FeatureMaps,
    LevelInputs,
    LevelTarget,
    Pullback,
    TargetTile,
)
from impasto.recipe.settings import Layers, Recipe


class ContentTarget(NamedTuple):
    """The features of the content image in one layer."""

    features: Tensor
    """(height, width, C)"""
    count: Tensor
    """() number of values of the whole image"""
    size: Tensor
    """() their mean square, to which the loss is relative; 1 for an absolute loss"""


ContentTargets = dict[str, ContentTarget]


def content_loss(features: Tensor, target: Tensor, relative: bool = True) -> Tensor:
    """Compare two feature maps of shape (height, width, C); return a scalar.

    mean((F - P)²), divided by mean(P²) if ``relative``.
    """
    ops = array_namespace(features)
    target = ops.cast(target, "float32")
    size = ops.mean(ops.square(target)) + EPSILON if relative else 1.0
    return squared_distance(features, target) / ops.cast(ops.size(target), "float32") / size


def squared_distance(features: Tensor, target: Tensor) -> Tensor:
    """Return Σ (F - P)² over positions and channels, a scalar in float32."""
    ops = array_namespace(features)
    return ops.sum(ops.square(ops.cast(features, "float32") - target))


@dataclass(frozen=True)
class ContentTerm:
    """The content loss: the weighted mean over layers. Sums are Σ (F - P)²."""

    layer_weights: Layers
    relative: bool
    additive = True

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers of the recipe."""
        return tuple(layer for layer, _ in self.layer_weights)

    def make_target(self, level_inputs: LevelInputs) -> LevelTarget:
        """Compute the features of the content image, and their mean square over all tiles."""
        features = level_inputs.cache_single_tile(
            functools.partial(_content_features, level_inputs, self.layers)
        )
        sizes = level_inputs.sum_over_tiles(
            lambda tile: {layer: _size(each) for layer, each in features(tile).items()}
        )

        def for_tile(tile: TargetTile) -> ContentTargets:
            return {
                layer: self._layer_target(each, *sizes[layer])
                for layer, each in features(tile).items()
            }

        return LevelTarget(for_tile)

    def _layer_target(self, features: Tensor, count: float, squares: float) -> ContentTarget:
        size = squares / count + EPSILON if self.relative else 1.0
        return ContentTarget(features, np.float32(count), np.float32(size))

    def reduce(self, features: FeatureMaps, target: ContentTargets) -> dict[str, Tensor]:
        """Return Σ (F - P)² by layer."""
        return {
            layer: squared_distance(features.maps[layer], each.features)
            for layer, each in target.items()
        }

    def loss(self, sums: Mapping[str, Tensor], target: ContentTargets) -> Tensor:
        """Return the mean over layers of mean((F - P)²) / mean(P²)."""
        return weighted_mean(_losses(sums, target), self.layer_weights)

    def layer_losses(self, sums: Mapping[str, Tensor], target: ContentTargets) -> dict[str, Tensor]:
        """Return the part of each layer in :meth:`loss`."""
        return weighted_parts(_losses(sums, target), self.layer_weights)

    def vjp(
        self, features: FeatureMaps, target: ContentTargets
    ) -> tuple[dict[str, Tensor], Pullback]:
        """Return :meth:`reduce`, and its pullback: 2 (F - P)."""
        differences = {
            layer: features.maps[layer] - each.features for layer, each in target.items()
        }

        def pullback(by: Mapping[str, Tensor]) -> dict[str, list[AddGradient]]:
            return {layer: [add_array(2 * by[layer] * each)] for layer, each in differences.items()}

        return {layer: np.vdot(each, each) for layer, each in differences.items()}, pullback

    def loss_gradient(
        self, sums: Mapping[str, Tensor], target: ContentTargets
    ) -> dict[str, Tensor]:
        """Return the gradient of :meth:`loss`, which does not depend on the sums."""
        factors = weighted_mean_gradient(self.layer_weights)
        return {
            layer: np.float32(factors[layer] / each.count / each.size)
            for layer, each in target.items()
        }


def _losses(sums: Mapping[str, Tensor], target: ContentTargets) -> dict[str, Tensor]:
    """Return mean((F - P)²) / mean(P²) by layer."""
    return {layer: sums[layer] / each.count / each.size for layer, each in target.items()}


def content_term(recipe: Recipe) -> ContentTerm:
    """Return the content loss of a recipe."""
    return ContentTerm(recipe.content_layers, recipe.loss_scale == "relative")


def add_array(gradient: HostArray) -> AddGradient:
    """Return the function that adds an array to a gradient of its shape."""

    def add(to: HostArray) -> None:
        to += gradient

    return add


def _content_features(
    level_inputs: LevelInputs, layers: tuple[str, ...], tile: TargetTile
) -> dict[str, Tensor]:
    """Return the features of the content image in a tile by layer, in float32."""
    features = tile.tile_features(level_inputs.content)
    return features.core_features(
        layers, lambda layer, value: array_namespace(value).cast(value, "float32")
    )


def _size(features: Tensor) -> tuple[int, Tensor]:
    """Return the number of values, and the sum of their squares."""
    ops = array_namespace(features)
    return int(np.prod(ops.shape(features))), ops.sum(ops.square(features))


def weighted_mean(values: dict[str, Tensor], layers: Layers) -> Tensor:
    """Return the mean of losses by layer, weighted by the layers' weights."""
    weighted = sum(weight * values[layer] for layer, weight in layers)
    return weighted / sum(weight for _, weight in layers)


def weighted_parts(values: dict[str, Tensor], layers: Layers) -> dict[str, Tensor]:
    """Return the part of each layer in :func:`weighted_mean`."""
    factors = weighted_mean_gradient(layers)
    return {layer: factors[layer] * values[layer] for layer, _ in layers}


def weighted_mean_gradient(layers: Layers) -> dict[str, float]:
    """Return by layer the gradient of :func:`weighted_mean`: the layer's weight over all."""
    total = sum(weight for _, weight in layers)
    return {layer: weight / total for layer, weight in layers}
