"""The style losses: how far a picture is from the manner of paintings, region by region.

``STYLE_LOSSES`` is the table of all of them, by the name that the setting ``style_loss`` takes.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from impasto.compute import backend
from impasto.compute.backend import Tensor, ops
from impasto.losses import polish, pools
from impasto.losses.comparisons import Comparison, gram_loss, moments_loss, wasserstein_loss
from impasto.losses.content import mean
from impasto.losses.matching import matching_term, share_of_painting
from impasto.losses.moments import Moments, blend, combine, moments, slice_moments
from impasto.losses.neighbors import NEIGHBORS
from impasto.losses.terms import (
    EPSILON,
    Maps,
    Measure,
    Painted,
    Scene,
    Seen,
    Sums,
    Target,
    Term,
    View,
)
from impasto.network.vgg import sums_of
from impasto.pictures import masks
from impasto.pictures.guidance import StyledRegion
from impasto.pictures.raster import Mask
from impasto.recipe.settings import Recipe


class Part(NamedTuple):
    """What a region of the picture is compared with."""

    share: Tensor
    """() how much of the picture it is"""
    weights: dict[str, Tensor]
    """by layer (height, width, 1), how much of a position belongs to it; nothing if all do"""
    style: dict[str, Target]
    """by layer, what the measure keeps of the paintings"""


def by_layers(measure: Measure, recipe: Recipe, turned: bool = False) -> Term:
    """Return a measure as a term: summed over regions, its mean taken over the style layers.

    A region counts by how much of the picture it is, a layer by its share. Paintings are seen
    rotated by 90, 180 and 270 degrees as well if they are to be ``turned``.
    """
    layers = [layer for layer, _ in recipe.style_layers]

    def freeze(scene: Scene) -> list[Part]:
        regions = [_turned(each) for each in scene.regions] if turned else scene.regions
        parts = [_frozen(measure, layers, region, scene) for region in regions]
        if measure.settle is None or scene.start is None:
            return parts
        seen = Seen(scene.features(scene.start)), Seen(scene.photograph)
        return [_settled(measure.settle, part, *seen) for part in parts]

    def read(seen: Seen, target: list[Part]) -> list[dict[str, Sums]]:
        return [
            {layer: measure.read(_view(seen, layer, part), part.style[layer]) for layer in layers}
            for part in target
        ]

    def loss(sums: list[dict[str, Sums]], target: list[Part]) -> Tensor:
        parts = list(zip(sums, target, strict=True))
        losses = {
            layer: sum(
                part.share * measure.loss(read[layer], part.style[layer]) for read, part in parts
            )
            for layer in layers
        }
        return mean(losses, recipe.style_layers)

    return Term(freeze, read, loss, measure.slices)


def _settled(
    settle: Callable[[Target, View, View], Target], part: Part, so_far: Seen, photograph: Seen
) -> Part:
    style = {
        layer: settle(target, _view(so_far, layer, part), _view(photograph, layer, part))
        for layer, target in part.style.items()
    }
    return part._replace(style=style)


def _turned(region: StyledRegion) -> StyledRegion:
    """Return a region whose paintings are there in four rotations each."""
    paintings = []
    for each in region.paintings:
        pictures = pools.turned(each.picture)
        under = [None] * len(pictures) if each.mask is None else pools.turned(each.mask)
        for picture, mask in zip(pictures, under, strict=True):
            paintings.append(replace(each, picture=picture, mask=mask))
    return replace(region, paintings=tuple(paintings))


def _view(seen: Seen, layer: str, part: Part) -> View:
    return View(
        seen.maps[layer],
        part.weights.get(layer),
        seen.columns.get(layer),
        seen.maps.get(sums_of(layer)),
    )


def _frozen(measure: Measure, layers: Sequence[str], region: StyledRegion, scene: Scene) -> Part:
    paintings = [each for each in region.paintings if each.share]
    seen = [scene.features(each.picture) for each in paintings]
    under = [
        _weights(each.mask, maps, layers, scene) for each, maps in zip(paintings, seen, strict=True)
    ]
    style = {
        layer: measure.freeze(
            [
                Painted(painting.share, maps[layer], weights.get(layer))
                for painting, maps, weights in zip(paintings, seen, under, strict=True)
            ]
        )
        for layer in layers
    }
    share = 1.0 if region.mask is None else region.mask.mean()
    weights = _weights(region.mask, scene.photograph, layers, scene)
    return Part(backend.constant(share), weights, style)


def _weights(
    mask: Mask | None, maps: Maps, layers: Iterable[str], scene: Scene
) -> dict[str, Tensor]:
    """Return by layer how much of each position lies under a mask; nothing without one."""
    if mask is None:
        return {}
    weights = {}
    for layer in layers:
        height, width, _ = map(int, ops.shape(maps[layer]))
        field = scene.receptive_field(layer)
        weights[layer] = backend.constant(masks.at_layer(mask, height, width, field))
    return weights


def of_moments(compare: Comparison, relative: bool, strips: int) -> Measure:
    """Return the measure that compares moments, of the whole picture and of upright strips.

    (compare(whole) + Σ share · compare(strip)) / 2, where a strip's share is that of its
    positions among those of all strips; compare(whole) alone for a single strip.

    Moments of the whole picture do not care where the strokes are: half of a sky may be painted
    twice over and the other half be left a gray photograph. Departure from Gatys et al.: every
    strip is asked for them as well. The strips are upright, since in pictures that have an above
    and a below the strokes may well differ between these, but not between left and right. Each
    is two slices wide and overlaps its neighbors by one, so that no edge stands between them
    (the outermost slices lie in one strip, all others in two); moments add up, so this costs
    little more than the whole.
    """
    slices = 1 if strips == 1 else strips + 1

    def freeze(paintings: Sequence[Painted]) -> Moments:
        return blend([(each.share, moments(each.features, each.weights)) for each in paintings])

    def read(view: View, target: Moments) -> Moments:
        return slice_moments(view.features, slices, view.weights, view.columns, view.sums)

    def loss(sums: Moments, target: Moments) -> Tensor:
        if strips == 1:
            return ops.sum(compare(sums, target, relative))
        pairs = np.eye(strips, slices) + np.eye(strips, slices, k=1)
        membership = np.concatenate((pairs, np.ones((1, slices)))).astype(np.float32)
        parts = combine(membership, sums)
        compared = compare(parts, target, relative)
        shares = parts.count[:-1] / ops.maximum(ops.sum(parts.count[:-1]), EPSILON)
        return (compared[-1] + ops.sum(shares * compared[:-1])) / 2

    return Measure(freeze, read, loss, slices)


def _comparing(compare: Comparison) -> Callable[[Recipe], Term]:
    def term(recipe: Recipe) -> Term:
        measure = of_moments(compare, recipe.loss_scale == "relative", recipe.strips)
        return by_layers(measure, recipe)

    return term


STYLE_LOSSES: dict[str, Callable[[Recipe], Term]] = {
    "matching": matching_term,
    "gram": _comparing(gram_loss),
    "moments": _comparing(moments_loss),
    "wasserstein": _comparing(wasserstein_loss),
    "neighbors": lambda recipe: by_layers(NEIGHBORS, recipe),
}
"""Every style loss, by the name that the setting ``style_loss`` takes."""


def _polishing(recipe: Recipe) -> Term:
    """Return the last pass of matching: neighbors layer by layer, and a little of the moments.

    Neighbors alone leave what is rare in a painting out, and with it contrast.
    """
    share = share_of_painting(recipe.strength)
    neighbors = by_layers(polish.measure(share), recipe, turned=True)
    moments_alike = by_layers(of_moments(moments_loss, relative=True, strips=1), recipe)
    return _added((1.0, neighbors), (share * ALIKE, moments_alike))


ALIKE = 0.2
"""What moments weigh in the last pass, beside the neighbors' 1 (benchmarks/NOTES.md)."""


def _added(*parts: tuple[float, Term]) -> Term:
    """Return terms weighed and added up to one. The weights are frozen with the targets."""
    weights, terms = zip(*parts, strict=True)

    def freeze(scene: Scene) -> tuple[Tensor, list[Target]]:
        return backend.constant(weights), [term.freeze(scene) for term in terms]

    def read(seen: Seen, target: tuple[Tensor, list[Target]]) -> list[Sums]:
        return [term.read(seen, each) for term, each in zip(terms, target[1], strict=True)]

    def loss(sums: list[Sums], target: tuple[Tensor, list[Target]]) -> Tensor:
        losses = [term.loss(*each) for term, *each in zip(terms, sums, target[1], strict=True)]
        return ops.sum(target[0] * ops.stack(losses))

    return Term(freeze, read, loss, max(term.slices for term in terms))


LAST_PASSES: dict[str, Callable[[Recipe], Term]] = {"matching": _polishing}
"""What style losses end with, those that have a last pass of their own."""
