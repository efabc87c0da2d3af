"""What is minimized: the targets of a level, and their comparison with a picture.

Optimizers see nothing but ``Objective.evaluate``.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from impasto.compute import backend
from impasto.compute.backend import Array, ops
from impasto.losses import moments as losses
from impasto.losses import styles
from impasto.losses.moments import Tensor
from impasto.network.vgg import Features, sums_of
from impasto.pictures import masks
from impasto.pictures.guidance import Place
from impasto.pictures.masks import Mask
from impasto.pictures.raster import Picture
from impasto.recipe.settings import Layers, Recipe

TERMS = ("content", "style", "tv")
"""The unweighted losses, in the order in which they are reported."""


@dataclass(frozen=True)
class Evaluation:
    """The weighted total, the unweighted losses, and the total's gradient (height, width, 3)."""

    total: float
    terms: Mapping[str, float]
    gradient: Array


class Objective(Protocol):
    """The seam between what is minimized and how."""

    def evaluate(self, picture: Array) -> Evaluation:
        """Return losses and gradient at ``picture``, float32 (height, width, 3).

        Of a NumPy array the gradient is one, of the backend's tensors it is a tensor.
        """
        ...


class Part(NamedTuple):
    """What a place of the picture is compared with."""

    share: Tensor
    """() how much of the picture it is"""
    weights: dict[str, Tensor]
    """by layer (height, width, 1), how much of a position belongs to it; none if it is all"""
    style: dict[str, Any]
    """by layer, what the measure of style keeps of the paintings"""


class Targets(NamedTuple):
    """What the picture is compared with, and how much each term weighs."""

    content: dict[str, Tensor]
    """feature maps by layer"""
    parts: list[Part]
    weights: Tensor
    """(3,) in the order of TERMS"""


Step: TypeAlias = Callable[[Array, Targets], tuple[float, dict[str, float], Array]]


@dataclass(frozen=True)
class WholePicture:
    """The objective that looks at the whole picture at once."""

    step: Step
    targets: Targets

    def evaluate(self, picture: Array) -> Evaluation:
        """Return losses and gradient at ``picture``, float32 (height, width, 3).

        Of a NumPy array the gradient is one, of the backend's tensors it is a tensor.
        """
        return Evaluation(*self.step(picture, self.targets))


@dataclass(frozen=True)
class Kept:
    """Another objective, of the picture under which a part of the photograph stays as it is."""

    inner: Objective
    photograph: Picture
    """(height, width, 3)"""
    keep: NDArray[np.float32]
    """(height, width, 1) in [0, 1]"""

    def compose(self, picture: Array) -> Array:
        """Return keep · photograph + (1 - keep) · picture, an array or a tensor as that is."""
        keep, photograph = self.keep, self.photograph
        if not isinstance(picture, np.ndarray):
            keep, photograph = _constant(keep), _constant(photograph)
        return masks.compose(keep, photograph, picture)

    def evaluate(self, picture: Array) -> Evaluation:
        """Return losses and gradient, which is zero where everything is kept."""
        evaluation = self.inner.evaluate(self.compose(picture))
        free = 1 - self.keep
        on_host = isinstance(evaluation.gradient, np.ndarray)
        gradient = evaluation.gradient * (free if on_host else _constant(free))
        return replace(evaluation, gradient=gradient)


def compiled_step(features: Features, recipe: Recipe) -> Step:
    """Compile the total loss of a recipe, to be shared by the objectives of all levels."""
    return backend.value_and_gradient(total_loss(features, recipe))


def freeze(
    features: Features,
    recipe: Recipe,
    content: Picture,
    places: Iterable[Place],
    receptive_field: Callable[[str], int],
) -> Targets:
    """Compute what a picture of the size of ``content`` is to be compared with.

    ``places`` have masks of that size and paintings of the sizes they are seen at;
    ``receptive_field`` gives how many pixels wide the square is that a feature of a layer sees.
    """
    photograph = features(content)
    measure = styles.measure(recipe)
    layers = [layer for layer, _ in recipe.style_layers]

    def weights(mask: Mask | None, seen: Mapping[str, Tensor]) -> dict[str, Tensor]:
        if mask is None:
            return {}
        return {layer: _weights(mask, seen[layer], receptive_field(layer)) for layer in layers}

    def part(place: Place) -> Part:
        counting = [painting for painting in place.paintings if painting.share]
        seen = [features(painting.picture) for painting in counting]
        under = [weights(each.mask, maps) for each, maps in zip(counting, seen, strict=True)]
        style = {
            layer: measure.freeze(
                [
                    (painting.share, maps[layer], mask.get(layer))
                    for painting, maps, mask in zip(counting, seen, under, strict=True)
                ]
            )
            for layer in layers
        }
        share = 1.0 if place.mask is None else place.mask.mean()
        return Part(_constant(share), weights(place.mask, photograph), style)

    return Targets(
        {layer: photograph[layer] for layer, _ in recipe.content_layers},
        [part(place) for place in places],
        _constant(recipe.weights),
    )


def _constant(value: Any) -> Tensor:
    return ops.convert_to_tensor(np.asarray(value, np.float32))


def _weights(mask: Mask, features: Tensor, field: int) -> Tensor:
    height, width, _ = map(int, ops.shape(features))
    return _constant(masks.at_layer(mask, height, width, field))


def total_loss(
    features: Features, recipe: Recipe
) -> Callable[[Tensor, Targets], tuple[Tensor, dict[str, Tensor]]]:
    """Return the function of (picture, targets) that gives the total and its terms.

    total = content_weight · content + style_weight · style + tv_weight · tv

    where content and style are means over their layers, weighted by each layer's share, and style
    is the sum over places, weighted by how much of the picture each is. Gatys et al. 2016,
    equation 7, with the total variation of Mahendran and Vedaldi 2015 added.
    """
    relative = recipe.loss_scale == "relative"
    measure = styles.measure(recipe)

    slices = losses.slices_of(recipe.strips)

    def style_at(layer: str, seen: Mapping[str, Tensor], parts: Iterable[Part]) -> Tensor:
        sums = seen.get(sums_of(layer))
        return sum(
            part.share * measure.loss(seen[layer], part.weights.get(layer), part.style[layer], sums)
            for part in parts
        )

    def loss(picture: Tensor, targets: Targets) -> tuple[Tensor, dict[str, Tensor]]:
        seen = features(picture, slices)
        content = {
            layer: losses.content_loss(seen[layer], target, relative)
            for layer, target in targets.content.items()
        }
        style = {layer: style_at(layer, seen, targets.parts) for layer, _ in recipe.style_layers}
        values = (
            _mean(content, recipe.content_layers),
            _mean(style, recipe.style_layers),
            losses.total_variation(picture),
        )
        total = sum(targets.weights[number] * value for number, value in enumerate(values))
        return total, dict(zip(TERMS, values, strict=True))

    return loss


def _mean(values: Mapping[str, Tensor], layers: Layers) -> Tensor:
    weighted = sum(weight * values[layer] for layer, weight in layers)
    return weighted / sum(weight for _, weight in layers)
