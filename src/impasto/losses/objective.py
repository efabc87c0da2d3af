"""What is minimized: the terms of a recipe against their targets, and their weighted total.

Solvers see nothing but ``Objective.evaluate``.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol, TypeAlias

import numpy as np

from impasto import paged
from impasto.compute import backend
from impasto.compute.backend import Array, Tensor, ops
from impasto.compute.readings import Reading
from impasto.losses.content import content_term
from impasto.losses.kinds import FORMS, Kind
from impasto.losses.style import style_term
from impasto.losses.terms import Eye, Scene, Seen, Sight, Target, Term
from impasto.losses.variation import total_variation
from impasto.network.vgg import Features
from impasto.pictures import masks
from impasto.pictures.guidance import StyledRegion
from impasto.pictures.raster import Picture
from impasto.recipe.settings import Recipe

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

    def weighed(self, weights: Tensor) -> "Objective":
        """Return it with other weights of the terms, as :func:`weights` gives them."""
        ...


class Targets(NamedTuple):
    """What the picture is compared with, and how much each term weighs."""

    terms: dict[str, Target]
    """by name, of those terms that have a target"""
    weights: Tensor
    """(3,) in the order of TERMS"""


Step: TypeAlias = Callable[[Array, Targets], tuple[float, dict[str, float], Array]]


@dataclass(frozen=True)
class WholePicture:
    """The objective that looks at the whole picture at once."""

    step: Step
    targets: Targets

    def evaluate(self, picture: Array) -> Evaluation:
        """Return losses and gradient at ``picture``, as :class:`Objective` has them."""
        shown = paged.whole(picture)
        total, losses, gradient = self.step(shown, self.targets)
        return Evaluation(total, losses, gradient if shown is picture else paged.stored(gradient))

    def weighed(self, weights: Tensor) -> "WholePicture":
        """Return it with other weights of the terms; nothing is compiled anew."""
        return replace(self, targets=self.targets._replace(weights=weights))


class Kept:
    """Another objective, of the picture under which a part of the photograph stays as it is."""

    def __init__(self, inner: Objective, photograph: Array, keep: Array) -> None:
        """Keep ``photograph`` (height, width, 3) by as much as ``keep`` (height, width, 1) says.

        Both are arrays or tensors, as the pictures that will be evaluated are.
        """
        self.inner, self.photograph, self.keep, self.free = inner, photograph, keep, 1 - keep

    def compose(self, picture: Array) -> Array:
        """Return keep · photograph + (1 - keep) · picture."""
        return masks.compose(self.keep, self.photograph, picture)

    def evaluate(self, picture: Array) -> Evaluation:
        """Return losses and gradient, which is zero where everything is kept."""
        evaluation = self.inner.evaluate(self.compose(picture))
        return replace(evaluation, gradient=evaluation.gradient * self.free)

    def weighed(self, weights: Tensor) -> "Kept":
        """Return it with other weights of the terms."""
        return Kept(self.inner.weighed(weights), self.photograph, self.keep)


@dataclass(frozen=True)
class Gray:
    """Another objective, of pictures that are to stay gray: all channels change alike."""

    inner: Objective

    def evaluate(self, picture: Array) -> Evaluation:
        """Return losses, and in every channel the mean of the gradient's channels."""
        evaluation = self.inner.evaluate(picture)
        return replace(evaluation, gradient=without_color(evaluation.gradient))

    def weighed(self, weights: Tensor) -> "Gray":
        """Return it with other weights of the terms."""
        return Gray(self.inner.weighed(weights))


@dataclass(frozen=True)
class Detail:
    """Another objective, of pictures that are to change in fine detail.

    Its value is that of all of the picture, its gradient what is fine of it: where a solver goes
    along gradients, coarse waves stay as they are. Adam, which brings all pixels to one speed, puts
    a part of them back.
    """

    inner: Objective
    fine: Callable[[Array], Array]
    """takes what is not fine out of a gradient"""

    def evaluate(self, picture: Array) -> Evaluation:
        """Return losses, and what is fine of the gradient."""
        evaluation = self.inner.evaluate(picture)
        return replace(evaluation, gradient=self.fine(evaluation.gradient))

    def weighed(self, weights: Tensor) -> "Detail":
        """Return it with other weights of the terms."""
        return replace(self, inner=self.inner.weighed(weights))


def without_color(picture: Array) -> Array:
    """Return (height, width, 3) with the mean of its channels in each, an array or a tensor."""
    if paged.on_host(picture):
        return paged.mapped(
            lambda rows: np.repeat(rows.mean(axis=-1, keepdims=True), 3, axis=-1), picture
        )
    return ops.repeat(ops.mean(picture, axis=-1, keepdims=True), 3, axis=-1)


def terms_of(recipe: Recipe, kind: Kind = FORMS) -> dict[str, Term]:
    """Return the terms of levels of a kind that read features; variation reads the picture.

    All but those that find forms ask for content only if that weighs something, so that deep layers
    need not be computed for it.
    """
    terms = {"content": content_term(recipe), "style": style_term(recipe, kind)}
    if kind != FORMS and not recipe.content_weight:
        del terms["content"]
    return terms


def layers_of(recipe: Recipe, kind: Kind = FORMS) -> tuple[str, ...]:
    """Return the layers that these terms read."""
    return tuple({name: None for term in terms_of(recipe, kind).values() for name in term.layers})


@dataclass(frozen=True)
class Frozen:
    """What a picture of one size is compared with, tile by tile, and how much each term weighs."""

    scene: Scene
    terms: Mapping[str, Callable[[Sight], Target]]
    weights: Tensor
    """(3,) in the order of TERMS"""

    def at(self, sight: Sight) -> Targets:
        """Return the targets of a tile."""
        return Targets({name: term(sight) for name, term in self.terms.items()}, self.weights)

    def whole(self) -> Targets:
        """Return the targets of a picture that is one tile."""
        (sight,) = self.scene.sights()
        return self.at(sight)


def freeze(
    eye: Eye,
    recipe: Recipe,
    content: Picture,
    regions: Iterable[StyledRegion],
    style: float = 1.0,
    start: Picture | None = None,
    kind: Kind = FORMS,
) -> Frozen:
    """Compute what a picture of the size of ``content`` is to be compared with.

    ``regions`` have masks of that size and paintings of the sizes they are seen at; the style
    weight is multiplied by ``style``; ``start`` is the picture so far, of the size of
    ``content``, None at the first; ``kind`` is what its level is for.
    """
    scene = Scene(eye, content, tuple(regions), start)
    frozen = {name: term.freeze(scene) for name, term in terms_of(recipe, kind).items()}
    return Frozen(scene, frozen, weights(recipe, style))


def weights(recipe: Recipe, style: float = 1.0) -> Tensor:
    """Return the weights of the terms (3,), that of style multiplied by ``style``."""
    return backend.constant(recipe.weights_at(style))


def compiled_step(features: Features, recipe: Recipe, kind: Kind = FORMS) -> Step:
    """Compile the total loss of a recipe for the objectives of all levels of a kind."""
    return backend.value_and_gradient(total_loss(features, recipe, kind))


def total_loss(
    features: Features, recipe: Recipe, kind: Kind = FORMS
) -> Callable[[Tensor, Targets], tuple[Tensor, dict[str, Tensor]]]:
    """Return the function of (picture, targets) that gives the total and its terms.

    total = content_weight · content + style_weight · style + tv_weight · tv

    where content and style are means over their layers, weighted by each layer's share, and style
    is the sum over regions, weighted by how much of the picture each is. Gatys et al. 2016,
    equation 7, with the total variation of Mahendran and Vedaldi 2015 added.
    """
    terms, layers = terms_of(recipe, kind), layers_of(recipe, kind)

    def loss(picture: Tensor, targets: Targets) -> tuple[Tensor, dict[str, Tensor]]:
        seen = Seen(features(picture, layers, _readings(terms, targets)))
        values = dict.fromkeys(TERMS, ops.zeros((), "float32"))
        for name, term in terms.items():
            target = targets.terms[name]
            values[name] = term.loss(term.read(seen, target), target)
        values["tv"] = total_variation(picture)
        total = sum(targets.weights[number] * values[name] for number, name in enumerate(TERMS))
        return total, values

    return loss


def _readings(terms: Mapping[str, Term], targets: Targets) -> dict[str, list[Reading]]:
    """Return by layer what the terms read of it."""
    found: dict[str, list[Reading]] = {}
    for name, term in terms.items():
        for layer, each in term.readings(targets.terms[name]).items():
            found.setdefault(layer, []).extend(each)
    return found
