"""What is minimised: the targets of a level, and their comparison with a picture.

Optimisers see nothing but ``Objective.evaluate``.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeAlias

from impasto import backend, losses
from impasto.backend import Array
from impasto.losses import Moments, Tensor
from impasto.pictures import Picture
from impasto.recipe import Layers, Recipe
from impasto.vgg import Features

TERMS = ("content", "style", "tv")
"""The unweighted losses, in the order in which they are reported."""


@dataclass(frozen=True)
class Evaluation:
    """The weighted total, the unweighted losses, and the total's gradient (height, width, 3)."""

    total: float
    terms: Mapping[str, float]
    gradient: Array


class Objective(Protocol):
    """The seam between what is minimised and how."""

    def evaluate(self, picture: Array) -> Evaluation:
        """Return losses and gradient at ``picture``, float32 (height, width, 3).

        Of a NumPy array the gradient is one, of the backend's tensors it is a tensor.
        """
        ...


class Targets(NamedTuple):
    """What the picture is compared with, by layer: feature maps, and moments."""

    content: dict[str, Tensor]
    style: dict[str, Moments]


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


def compiled_step(features: Features, recipe: Recipe) -> Step:
    """Compile the total loss of a recipe, to be shared by the objectives of all levels."""
    return backend.value_and_gradient(total_loss(features, recipe))


def freeze(features: Features, recipe: Recipe, content: Picture, style: Picture) -> Targets:
    """Compute what a picture is to be compared with: content's features, style's moments."""
    photograph, painting = features(content), features(style)
    return Targets(
        {layer: photograph[layer] for layer, _ in recipe.content_layers},
        {layer: losses.moments(painting[layer]) for layer, _ in recipe.style_layers},
    )


def total_loss(
    features: Features, recipe: Recipe
) -> Callable[[Tensor, Targets], tuple[Tensor, dict[str, Tensor]]]:
    """Return the function of (picture, targets) that gives the total and its terms.

    total = content_weight · content + style_weight · style + tv_weight · tv

    where content and style are means over their layers, weighted by each layer's share. Gatys et
    al. 2016, equation 7, with the total variation of Mahendran and Vedaldi 2015 added.
    """
    relative = recipe.loss_scale == "relative"
    compare = losses.STYLE_LOSSES[recipe.objective]
    weights = (recipe.content_weight, recipe.style_weight, recipe.tv_weight)

    def loss(picture: Tensor, targets: Targets) -> tuple[Tensor, dict[str, Tensor]]:
        seen = features(picture)
        content = {
            layer: losses.content_loss(seen[layer], target, relative)
            for layer, target in targets.content.items()
        }
        style = {
            layer: losses.spread(compare, seen[layer], target, relative, recipe.strips)
            for layer, target in targets.style.items()
        }
        values = (
            _mean(content, recipe.content_layers),
            _mean(style, recipe.style_layers),
            losses.total_variation(picture),
        )
        total = sum(weight * value for weight, value in zip(weights, values, strict=True))
        return total, dict(zip(TERMS, values, strict=True))

    return loss


def _mean(values: Mapping[str, Tensor], layers: Layers) -> Tensor:
    weighted = sum(weight * values[layer] for layer, weight in layers)
    return weighted / sum(weight for _, weight in layers)
