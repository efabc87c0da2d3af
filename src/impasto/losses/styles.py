"""The measures of style behind one door: what is kept of paintings, and the loss against it."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

from impasto.losses import moments as losses
from impasto.losses import neighbors
from impasto.losses.moments import StyleLoss, Tensor
from impasto.recipe.settings import Recipe

Seen: TypeAlias = tuple[float, Tensor, Tensor | None]
"""A painting: its share, its features (height, width, C), its positions' weights (…, …, 1)."""


class Style(NamedTuple):
    """A measure of style at one layer."""

    freeze: Callable[[Sequence[Seen]], Any]
    """paintings -> target"""
    loss: Callable[..., Tensor]
    """features (height, width, C), weights (height, width, 1) or None, target, sums=None -> scalar

    The sums are the network's, see ``vgg.Features``."""


def measure(recipe: Recipe) -> Style:
    """Return the measure that the recipe's ``objective`` names.

    ``neighbors``, or else a comparison of moments: ``losses.<objective>_loss``.
    """
    if recipe.objective == "neighbors":
        return Style(neighbors.freeze, neighbors.loss)
    return _of_moments(
        getattr(losses, f"{recipe.objective}_loss"), recipe.loss_scale == "relative", recipe.strips
    )


def _of_moments(compare: StyleLoss, relative: bool, strips: int) -> Style:
    def freeze(paintings: Sequence[Seen]) -> losses.Moments:
        return losses.blend(
            [(share, losses.moments(features, weights)) for share, features, weights in paintings]
        )

    def loss(
        features: Tensor,
        weights: Tensor | None,
        target: losses.Moments,
        sums: Tensor | None = None,
    ) -> Tensor:
        return losses.spread(compare, features, weights, target, relative, strips, sums)

    return Style(freeze, loss)
