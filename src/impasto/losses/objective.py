"""The objective: the weighted sum of the terms of a recipe against their targets.

Solvers use only ``Objective.evaluate``.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np
import optree

from impasto import filearray
from impasto.compute.arrays import Array, HostArray, Tensor, array_namespace
from impasto.images import masks
from impasto.losses.content import content_term
from impasto.losses.level_roles import STRUCTURE, LevelRole
from impasto.losses.style import style_term
from impasto.losses.terms import (
    AddGradient,
    FeatureMaps,
    LossTerm,
    Pullback,
    Sums,
    Target,
    scale_sums,
)
from impasto.losses.total_variation import TotalVariationTerm
from impasto.recipe.settings import Recipe

TERMS = ("content", "style", "tv")
"""Names of the losses, in the order of reports."""

LAYER_SEPARATOR = "/"


def layer_key(term: str, layer: str) -> str:
    """Return the key of the part of a layer in a loss.

    >>> layer_key("style", "block1_conv1")
    'style/block1_conv1'
    """
    return f"{term}{LAYER_SEPARATOR}{layer}"


@dataclass(frozen=True)
class Evaluation:
    """The weighted total, the unweighted losses, and the gradient of the total."""

    total: float
    losses: Mapping[str, float]
    """the unweighted losses of TERMS, and the part of each layer in them by :func:`layer_key`"""
    gradient: Array
    """float32 (height, width, 3)"""

    @property
    def terms(self) -> dict[str, float]:
        """The unweighted losses, in the order of TERMS."""
        return {name: self.losses[name] for name in TERMS}

    @property
    def layers(self) -> dict[str, dict[str, float]]:
        """The part of each layer in the losses, by term and layer."""
        parts: dict[str, dict[str, float]] = {}
        for key, value in self.losses.items():
            term, separator, layer = key.partition(LAYER_SEPARATOR)
            if separator:
                parts.setdefault(term, {})[layer] = value
        return parts


class Objective(Protocol):
    """The function that a solver minimizes: the weighted total loss of an image.

    ``FullImageObjective`` evaluates the whole image in one step, ``tiled.TiledObjective`` tile by
    tile, and ``ConstrainedObjective`` restricts the changes that another objective may make.
    """

    def evaluate(self, image: Array) -> Evaluation:
        """Return the losses and the gradient of the total.

        Args:
            image: RGB in [0, 255], float32 (height, width, 3): an array, an array in a file, or a
                tensor of the engine

        Returns:
            The evaluation; its gradient has the shape and the array type of ``image``.
        """
        ...

    def with_weights(self, weights: HostArray) -> "Objective":
        """Return the objective with other weights of the terms; nothing is compiled again.

        Args:
            weights: float32 (3,) in the order of TERMS, see :func:`term_weights`
        """
        ...


class TileTargets(NamedTuple):
    """The targets of a tile or image, and the weights of the terms."""

    terms: dict[str, Target]
    """by name, for terms in use"""
    weights: Tensor
    """(3,) in the order of TERMS"""


StepFunction: TypeAlias = Callable[[Array, TileTargets], tuple[float, dict[str, float], Array]]
"""(image (height, width, 3), targets) -> the total loss, its terms, and its gradient."""


@dataclass(frozen=True)
class FullImageObjective:
    """Evaluates the whole image at once."""

    step: StepFunction
    targets: TileTargets
    place: Callable[[Any], Any]
    """see ``engines.engine.Engine.place``"""

    def evaluate(self, image: Array) -> Evaluation:
        """Return the losses and the gradient, see :class:`Objective`."""
        pixels = filearray.in_memory(image)
        total, losses, gradient = self.step(pixels, self.targets)
        return Evaluation(total, losses, gradient if pixels is image else filearray.spill(gradient))

    def with_weights(self, weights: HostArray) -> "FullImageObjective":
        """Return the objective with other weights of the terms."""
        return replace(self, targets=self.targets._replace(weights=self.place(weights)))


@dataclass(frozen=True)
class ConstrainedObjective:
    """Another objective for images of which only a part may change.

    The image that is evaluated is keep · content + (1 - keep) · image.
    """

    inner: Objective
    content: Array = None
    """(height, width, 3), required with ``keep``: of the array type of the images to evaluate"""
    keep: Array = None
    """(height, width, 1) in [0, 1]: 1 where the content image stays unchanged; None for none"""
    gray: bool = False
    """whether all channels of the gradient are replaced by their mean"""
    highpass: Callable[[Array], Array] | None = None
    """removes coarse detail from a gradient. Solvers that step along gradients then leave it
    unchanged; Adam restores a part of it, since it scales each pixel by itself"""

    def evaluate(self, image: Array) -> Evaluation:
        """Return the losses of the composed image, and the gradient of the permitted changes."""
        if self.keep is not None:
            image = masks.blend_kept(self.keep, self.content, image)
        evaluation = self.inner.evaluate(image)
        gradient = to_gray(evaluation.gradient) if self.gray else evaluation.gradient
        if self.keep is not None:
            gradient = gradient * (1 - self.keep)
        if self.highpass is not None:
            gradient = self.highpass(gradient)
        return replace(evaluation, gradient=gradient)

    def with_weights(self, weights: HostArray) -> "ConstrainedObjective":
        """Return the objective with other weights of the terms."""
        return replace(self, inner=self.inner.with_weights(weights))


def to_gray(image: Array) -> Array:
    """Return (height, width, 3) with the mean of its channels in each, an array or a tensor."""
    if filearray.is_on_host(image):
        return filearray.map_rows(
            lambda rows: np.repeat(rows.mean(axis=-1, keepdims=True), 3, axis=-1), image
        )
    ops = array_namespace(image)
    return ops.repeat(ops.mean(image, axis=-1, keepdims=True), 3, axis=-1)


@dataclass(frozen=True)
class TotalLoss:
    """The terms of a recipe, and their weighted total; sums are by term.

    total = content_weight · content + style_weight · style + tv_weight · tv

    where content and style are means over their layers, weighted by the layers' weights, and style
    is the sum over regions, weighted by the fraction of the image that each covers. Gatys et al.
    2016, equation 7, with the total variation of Mahendran and Vedaldi 2015 added.
    """

    terms: Mapping[str, LossTerm]

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers that the terms use."""
        return tuple({name: None for term in self.terms.values() for name in term.layers})

    @property
    def additive(self) -> bool:
        """Whether the total is the sum of the totals of the tiles."""
        return all(term.additive for term in self.terms.values())

    def reduce(self, features: FeatureMaps, targets: TileTargets) -> dict[str, Sums]:
        """Return the sums of all terms."""
        return {
            name: term.reduce(features, targets.terms[name]) for name, term in self.terms.items()
        }

    def vjp(self, features: FeatureMaps, targets: TileTargets) -> tuple[dict[str, Sums], Pullback]:
        """Return the sums of NumPy features, and their pullback, which can be called once."""
        vjps = {name: term.vjp(features, targets.terms[name]) for name, term in self.terms.items()}
        pullbacks = {name: pullback for name, (_, pullback) in vjps.items()}

        def pullback(sums_grad: Mapping[str, Sums]) -> dict[str, list[AddGradient]]:
            adds: dict[str, list[AddGradient]] = defaultdict(list)
            while pullbacks:  # emptied, since they hold features
                name, each = pullbacks.popitem()
                if any(np.any(leaf) for leaf in optree.tree_leaves(sums_grad[name])):
                    for layer, functions in each(sums_grad[name]).items():
                        adds[layer].extend(functions)
            return adds

        return {name: sums for name, (sums, _) in vjps.items()}, pullback

    def loss(
        self, sums: Mapping[str, Sums], targets: TileTargets
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the total of the sums of the whole image, and its losses, see ``Evaluation``.

        Absent terms are 0.
        """
        zero = array_namespace(targets.weights).zeros((), "float32")
        values = dict.fromkeys(TERMS, zero)
        for name, term in self.terms.items():
            parts = term.layer_losses(sums[name], targets.terms[name])
            values.update({layer_key(name, layer): part for layer, part in parts.items()})
            total = sum(parts.values()) if parts else term.loss(sums[name], targets.terms[name])
            values[name] = total
        return sum(targets.weights[n] * values[name] for n, name in enumerate(TERMS)), values

    def loss_gradient(self, sums: Mapping[str, Sums], targets: TileTargets) -> dict[str, Sums]:
        """Return the gradient of the total by the sums, in NumPy."""
        return {
            name: scale_sums(
                targets.weights[TERMS.index(name)],
                term.loss_gradient(sums[name], targets.terms[name]),
            )
            for name, term in self.terms.items()
        }


def total_loss(recipe: Recipe, role: LevelRole = STRUCTURE) -> TotalLoss:
    """Return the loss of levels with a role.

    Other roles than STRUCTURE omit the content term while its weight is zero, so that the deep
    layers that it uses need not be computed.
    """
    terms: dict[str, LossTerm] = {
        "content": content_term(recipe),
        "style": style_term(recipe, role),
        "tv": TotalVariationTerm(),
    }
    if role != STRUCTURE and not recipe.content_weight:
        del terms["content"]
    return TotalLoss(terms)


def required_layers(recipe: Recipe, role: LevelRole = STRUCTURE) -> tuple[str, ...]:
    """Return the layers that the loss of levels with a role uses."""
    return total_loss(recipe, role).layers


def term_weights(recipe: Recipe, style: float = 1.0) -> HostArray:
    """Return the weights of the terms (3,), with the style weight multiplied by ``style``."""
    return np.array(recipe.weights_at(style), np.float32)
