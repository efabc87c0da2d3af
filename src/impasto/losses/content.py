"""The content loss: distance of features from those of the content image, per position.

Gatys, Ecker and Bethge 2016, "Image Style Transfer Using Convolutional Neural Networks", equation
1, as a mean instead of half the sum.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

from impasto.compute.arrays import HostArray, Tensor, array_namespace
from impasto.losses.terms import (
    EPSILON,
    AddGradient,
    FeatureMaps,
    LevelInputs,
    LossTerm,
    Pullback,
    TargetTile,
)
from impasto.recipe.settings import Layers, Recipe


class ContentTarget(NamedTuple):
    """What a layer saw in the photograph."""

    features: Tensor
    """(height, width, C)"""
    count: Tensor
    """() how many numbers they are"""
    size: Tensor
    """() their mean square, to which the loss is relative; 1 for an absolute loss"""


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


def content_term(recipe: Recipe) -> LossTerm:
    """Return the content loss at the recipe's layers, their mean weighted by their shares."""
    layers, relative = recipe.content_layers, recipe.loss_scale == "relative"

    def freeze(level_inputs: LevelInputs) -> Callable[[TargetTile], dict[str, ContentTarget]]:
        features = _content_features(level_inputs, dict(layers))
        sizes = level_inputs.sum_over_tiles(lambda target_tile: _sizes(features(target_tile)))

        def target(target_tile: TargetTile) -> dict[str, ContentTarget]:
            return {
                name: _make_content_target(each, sizes[name], relative)
                for name, each in features(target_tile).items()
            }

        return target

    def read(seen: FeatureMaps, target: dict[str, ContentTarget]) -> dict[str, Tensor]:
        return {
            layer: squared_distance(seen.maps[layer], kept.features)
            for layer, kept in target.items()
        }

    def loss(sums: dict[str, Tensor], target: dict[str, ContentTarget]) -> Tensor:
        losses = {layer: sums[layer] / kept.count / kept.size for layer, kept in target.items()}
        return weighted_mean(losses, layers)

    def vjp(
        seen: FeatureMaps, target: dict[str, ContentTarget]
    ) -> tuple[dict[str, Tensor], Pullback]:
        stride = {layer: seen.maps[layer] - kept.features for layer, kept in target.items()}

        def pullback(by: dict[str, Tensor]) -> dict[str, list[AddGradient]]:
            return {layer: [add_array(2 * by[layer] * each)] for layer, each in stride.items()}

        return {layer: np.vdot(each, each) for layer, each in stride.items()}, pullback

    def loss_gradient(
        sums: dict[str, Tensor], target: dict[str, ContentTarget]
    ) -> dict[str, Tensor]:
        shares = weighted_mean_gradient(layers)
        return {
            layer: np.float32(shares[layer] / kept.count / kept.size)
            for layer, kept in target.items()
        }

    return LossTerm(freeze, read, loss, vjp, loss_gradient, tuple(dict(layers)), additive=True)


def add_array(gradient: HostArray) -> AddGradient:
    """Return what adds an array to a gradient of its shape."""

    def add(to: HostArray) -> None:
        to += gradient

    return add


def _content_features(
    level_inputs: LevelInputs, layers: Iterable[str]
) -> Callable[[TargetTile], dict[str, Tensor]]:
    """Return the function of a tile that gives by layer the features of the photograph there."""

    def features(target_tile: TargetTile) -> dict[str, Tensor]:
        look = target_tile.tile_features(level_inputs.content)
        return look.core_features(layers, lambda layer, value: _to_float32(value))

    return level_inputs.cache_single_tile(features)


def _make_content_target(
    features: Tensor, sums: tuple[float, float], relative: bool
) -> ContentTarget:
    count, squares = sums
    size = squares / count + EPSILON if relative else 1.0
    return ContentTarget(features, np.float32(count), np.float32(size))


def _sizes(maps: dict[str, Tensor]) -> dict[str, tuple[int, Tensor]]:
    """Return by layer how many numbers features are, and their squares' sum."""
    return {name: _size(each) for name, each in maps.items()}


def _size(features: Tensor) -> tuple[int, Tensor]:
    ops = array_namespace(features)
    return int(np.prod(ops.shape(features))), ops.sum(ops.square(features))


def _to_float32(features: Tensor) -> Tensor:
    return array_namespace(features).cast(features, "float32")


def weighted_mean(values: dict[str, Tensor], layers: Layers) -> Tensor:
    """Return the mean of losses by layer, weighted by the layers' shares."""
    weighted = sum(weight * values[layer] for layer, weight in layers)
    return weighted / sum(weight for _, weight in layers)


def weighted_mean_gradient(layers: Layers) -> dict[str, float]:
    """Return by layer the gradient of :func:`weighted_mean`: the layer's share."""
    whole = sum(weight for _, weight in layers)
    return {layer: weight / whole for layer, weight in layers}
