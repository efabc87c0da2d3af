"""The objective: the weighted sum of the terms of a recipe against their targets.

Solvers use only ``Objective.evaluate``.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol, Self, TypeAlias

import numpy as np
import optree

from impasto import filearray
from impasto.compute.arrays import Array, HostArray, Tensor, array_namespace
from impasto.images import masks
from impasto.images.arrays import ImageArray
from impasto.images.style_regions import StyledRegion
from impasto.losses.content import content_term
from impasto.losses.level_roles import STRUCTURE, LevelRole
from impasto.losses.style import style_term
from impasto.losses.terms import (
    AddGradient,
    FeatureMaps,
    LevelInputs,
    LossTerm,
    Pullback,
    Sums,
    Target,
    TargetTile,
    TiledFeatureExtractor,
    scale_sums,
)
from impasto.losses.total_variation import variation_term
from impasto.recipe.settings import Recipe

TERMS = ("content", "style", "tv")
"""Names of the losses, in the order of reports."""


@dataclass(frozen=True)
class Evaluation:
    """The weighted total, its gradient (height, width, 3), and the unweighted losses."""

    total: float
    terms: Mapping[str, float]
    gradient: Array


class Objective(Protocol):
    """What a solver minimizes."""

    def evaluate(self, image: Array) -> Evaluation:
        """Return losses and gradient at ``image``, float32 (height, width, 3).

        The gradient has the same array type as ``image``.
        """
        ...

    def with_weights(self, weights: HostArray) -> "Objective":
        """Return the objective with other weights of the terms, see :func:`term_weights`."""
        ...


class TileTargets(NamedTuple):
    """The targets of a tile or image, and the weights of the terms."""

    terms: dict[str, Target]
    """by name, for terms that have a target"""
    weights: Tensor
    """(3,) in the order of TERMS"""


StepFunction: TypeAlias = Callable[[Array, TileTargets], tuple[float, dict[str, float], Array]]


@dataclass(frozen=True)
class FullImageObjective:
    """The objective that looks at the whole picture at once."""

    step: StepFunction
    targets: TileTargets
    place: Callable[[Any], Any]
    """brings arrays to where the engine computes"""

    def evaluate(self, image: Array) -> Evaluation:
        """Return losses and gradient at ``image``, as :class:`Objective` has them."""
        shown = filearray.in_memory(image)
        total, losses, gradient = self.step(shown, self.targets)
        return Evaluation(total, losses, gradient if shown is image else filearray.spill(gradient))

    def with_weights(self, weights: HostArray) -> "FullImageObjective":
        """Return it with other weights of the terms; nothing is compiled again."""
        return replace(self, targets=self.targets._replace(weights=self.place(weights)))


@dataclass(frozen=True)
class _WrappedObjective:
    """Another objective, whose pictures or gradients are changed."""

    inner: Objective

    def with_weights(self, weights: HostArray) -> Self:
        """Return it with other weights of the terms."""
        return replace(self, inner=self.inner.with_weights(weights))


@dataclass(frozen=True)
class MaskedObjective(_WrappedObjective):
    """Another objective, of the picture under which a part of the photograph stays as it is."""

    content: Array
    """(height, width, 3): an array or a tensor, as the pictures that will be evaluated are"""
    keep: Array
    """(height, width, 1), likewise: by how much it stays"""

    def compose(self, image: Array) -> Array:
        """Return keep · photograph + (1 - keep) · picture."""
        return masks.blend_kept(self.keep, self.content, image)

    def evaluate(self, image: Array) -> Evaluation:
        """Return losses and gradient, which is zero where everything is kept."""
        evaluation = self.inner.evaluate(self.compose(image))
        return replace(evaluation, gradient=evaluation.gradient * (1 - self.keep))


class GrayObjective(_WrappedObjective):
    """Another objective, of pictures that are to stay gray: all channels change alike."""

    def evaluate(self, image: Array) -> Evaluation:
        """Return losses, and in every channel the mean of the gradient's channels."""
        evaluation = self.inner.evaluate(image)
        return replace(evaluation, gradient=to_gray(evaluation.gradient))


@dataclass(frozen=True)
class HighpassObjective(_WrappedObjective):
    """Another objective, of pictures that are to change in fine detail.

    Its value is that of all of the picture, its gradient what is fine of it: where a solver goes
    along gradients, coarse waves stay as they are. Adam, which brings all pixels to one speed, puts
    a part of them back.
    """

    highpass: Callable[[Array], Array]
    """takes what is not fine out of a gradient"""

    def evaluate(self, image: Array) -> Evaluation:
        """Return losses, and what is fine of the gradient."""
        evaluation = self.inner.evaluate(image)
        return replace(evaluation, gradient=self.highpass(evaluation.gradient))


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

    where content and style are means over their layers, weighted by each layer's share, and style
    is the sum over regions, weighted by how much of the picture each is. Gatys et al. 2016,
    equation 7, with the total variation of Mahendran and Vedaldi 2015 added.
    """

    terms: Mapping[str, LossTerm]

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers that the terms read."""
        return tuple({name: None for term in self.terms.values() for name in term.layers})

    @property
    def additive(self) -> bool:
        """Whether the loss of all sums is the sum of the tiles' losses."""
        return all(term.additive for term in self.terms.values())

    def reduce(self, seen: FeatureMaps, targets: TileTargets) -> dict[str, Sums]:
        """Return the sums of what is seen."""
        return {name: term.reduce(seen, targets.terms[name]) for name, term in self.terms.items()}

    def vjp(self, seen: FeatureMaps, targets: TileTargets) -> tuple[dict[str, Sums], Pullback]:
        """Return the sums of NumPy features, and their pullback, which can be called once."""
        found = {name: term.vjp(seen, targets.terms[name]) for name, term in self.terms.items()}
        pullbacks = {name: pullback for name, (_, pullback) in found.items()}

        def pullback(by: Mapping[str, Sums]) -> dict[str, list[AddGradient]]:
            adds: dict[str, list[AddGradient]] = defaultdict(list)
            while pullbacks:  # emptied, since they hold features
                name, each = pullbacks.popitem()
                if any(np.any(leaf) for leaf in optree.tree_leaves(by[name])):
                    for layer, adding in each(by[name]).items():
                        adds[layer].extend(adding)
            return adds

        return {name: sums for name, (sums, _) in found.items()}, pullback

    def loss(
        self, sums: Mapping[str, Sums], targets: TileTargets
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the total of the sums of all parts, and its terms: 0 for those that are none."""
        zero = array_namespace(targets.weights).zeros((), "float32")
        values = dict.fromkeys(TERMS, zero)
        for name, term in self.terms.items():
            values[name] = term.loss(sums[name], targets.terms[name])
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
    """Return the loss of levels of a kind.

    All but those that find forms ask for content only if that weighs something, so that deep layers
    need not be computed for it.
    """
    terms = {
        "content": content_term(recipe),
        "style": style_term(recipe, role),
        "tv": variation_term(),
    }
    if role != STRUCTURE and not recipe.content_weight:
        del terms["content"]
    return TotalLoss(terms)


def required_layers(recipe: Recipe, role: LevelRole = STRUCTURE) -> tuple[str, ...]:
    """Return the layers that the loss of levels of a kind reads."""
    return total_loss(recipe, role).layers


@dataclass(frozen=True)
class LevelTargets:
    """What a picture of one size is compared with, tile by tile, and how much each term weighs."""

    level_inputs: LevelInputs
    terms: Mapping[str, Callable[[TargetTile], Target]]
    weights: HostArray
    """(3,) in the order of TERMS"""

    def for_tile(self, target_tile: TargetTile) -> TileTargets:
        """Return the targets of a tile."""
        return TileTargets(
            {name: term(target_tile) for name, term in self.terms.items()}, self.weights
        )

    def for_full_image(self) -> TileTargets:
        """Return the targets of a picture that is one tile."""
        (target_tile,) = self.level_inputs.iter_target_tiles()
        return self.for_tile(target_tile)


def make_level_targets(
    extractor: TiledFeatureExtractor,
    recipe: Recipe,
    content: ImageArray,
    regions: Iterable[StyledRegion],
    style: float = 1.0,
    start: ImageArray | None = None,
    role: LevelRole = STRUCTURE,
) -> LevelTargets:
    """Compute what a picture of the size of ``content`` is to be compared with.

    ``regions`` have masks of that size and paintings of the sizes they are seen at; the style
    weight is multiplied by ``style``; ``start`` is the picture so far, of the size of
    ``content``, None at the first; ``role`` is what its level is for.
    """
    level_inputs = LevelInputs(extractor, content, tuple(regions), start)
    targets = {
        name: term.make_target(level_inputs)
        for name, term in total_loss(recipe, role).terms.items()
    }
    return LevelTargets(level_inputs, targets, term_weights(recipe, style))


def term_weights(recipe: Recipe, style: float = 1.0) -> HostArray:
    """Return the weights of the terms (3,), that of style multiplied by ``style``."""
    return np.array(recipe.weights_at(style), np.float32)
