"""The style losses, per region.

``STYLE_LOSSES`` maps the values of the setting ``style_loss`` to them.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from impasto.compute.arrays import HostArray, Tensor, array_namespace
from impasto.images import masks
from impasto.images.arrays import Mask, size_of
from impasto.images.style_regions import StyledRegion, StyleImage
from impasto.losses import polish, pools, tiles
from impasto.losses.comparisons import GRAM, MOMENTS, WASSERSTEIN, Comparison
from impasto.losses.content import mean, mean_gradient
from impasto.losses.kinds import FORMS, Kind
from impasto.losses.matching import block_of, matching_term, share_of_painting
from impasto.losses.moments import (
    Moments,
    blend,
    combine,
    moments,
    slice_moments,
    slice_moments_vjp,
)
from impasto.losses.neighbors import NEIGHBORS
from impasto.losses.terms import (
    EPSILON,
    AddGradient,
    Eye,
    Look,
    Measure,
    Painted,
    Pullback,
    Scene,
    Seen,
    Sight,
    Style,
    Sums,
    Target,
    Term,
    View,
    scaled,
)
from impasto.recipe.settings import Layers, Recipe


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
    of = _ByLayers(measure, recipe.style_layers, turned)
    return Term(of.freeze, of.read, of.loss, of.vjp, of.loss_gradient, of.layers)


RegionSums: TypeAlias = list[dict[str, Sums]]
"""By region and layer, the sums of a measure."""


@dataclass(frozen=True)
class _ByLayers:
    """The functions of the term that :func:`by_layers` returns."""

    measure: Measure
    shares: Layers
    turned: bool

    @property
    def layers(self) -> tuple[str, ...]:
        return tuple(layer for layer, _ in self.shares)

    def freeze(self, scene: Scene) -> Callable[[Sight], list[Part]]:
        measure, layers = self.measure, self.layers
        regions = [_turned(each) for each in scene.regions] if self.turned else scene.regions
        places = [_frozen(measure, layers, region, scene) for region in regions]

        def parts(sight: Sight) -> list[Part]:
            return [_part(place, sight) for place in places]

        if measure.survey is None or measure.settle is None or scene.start is None:
            return scene.remembered(parts)
        survey, settle, start = measure.survey, measure.settle, scene.start

        def seen(sight: Sight) -> list[dict[str, Sums]]:
            look, here = sight.look(start), parts(sight)
            return _by_part(look, here, layers, lambda number, layer, view: survey(view))

        surveyed = scene.summed(seen)

        def settled(sight: Sight) -> list[Part]:
            here = parts(sight)

            def style(number: int, layer: str, view: View) -> Target:
                return settle(here[number].style[layer], surveyed[number][layer], view)

            styles = _by_part(sight.look(scene.content), here, layers, style)
            return [part._replace(style=each) for part, each in zip(here, styles, strict=True)]

        return scene.remembered(settled)

    def read(self, seen: Seen, target: list[Part]) -> RegionSums:
        read = self.measure.read
        return [
            {layer: read(_view(seen, layer, part), style) for layer, style in part.style.items()}
            for part in target
        ]

    def loss(self, sums: RegionSums, target: list[Part]) -> Tensor:
        parts = list(zip(sums, target, strict=True))
        losses = {
            layer: sum(
                part.share * self.measure.loss(read[layer], part.style[layer])
                for read, part in parts
            )
            for layer in self.layers
        }
        return mean(losses, self.shares)

    def vjp(self, seen: Seen, target: list[Part]) -> tuple[RegionSums, Pullback]:
        vjp = self.measure.vjp
        found = [
            {layer: vjp(_view(seen, layer, part), style) for layer, style in part.style.items()}
            for part in target
        ]

        def pullback(by: RegionSums) -> dict[str, list[AddGradient]]:
            return {
                layer: [part[layer][1](each[layer]) for part, each in zip(found, by, strict=True)]
                for layer in self.layers
            }

        return [{layer: sums for layer, (sums, _) in part.items()} for part in found], pullback

    def loss_gradient(self, sums: RegionSums, target: list[Part]) -> RegionSums:
        shares = mean_gradient(self.shares)

        def by(layer: str, read: Sums, part: Part) -> Sums:
            found = self.measure.loss_gradient(read, part.style[layer])
            return scaled(np.float32(part.share * shares[layer]), found)

        return [
            {layer: by(layer, read[layer], part) for layer in self.layers}
            for read, part in zip(sums, target, strict=True)
        ]


def _by_part(
    look: Look,
    parts: Sequence[Part],
    layers: Sequence[str],
    read: Callable[[int, str, View], Any],
) -> list[dict[str, Any]]:
    """Return by part and layer a function of the part's number, the layer, and what is seen."""

    def by_number(layer: str, features: Tensor) -> list[Any]:
        views = (View(features, part.weights.get(layer), look.place(layer)) for part in parts)
        return [read(number, layer, view) for number, view in enumerate(views)]

    found = look.inner(layers, by_number)
    return [{layer: each[number] for layer, each in found.items()} for number in range(len(parts))]


def _turned(region: StyledRegion) -> StyledRegion:
    """Return a region whose paintings are there in four rotations each."""
    paintings = []
    for each in region.styles:
        pictures = pools.turned(each.image)
        under = [None] * len(pictures) if each.mask is None else pools.turned(each.mask)
        for picture, mask in zip(pictures, under, strict=True):
            paintings.append(replace(each, image=picture, mask=mask))
    return replace(region, styles=tuple(paintings))


def _view(seen: Seen, layer: str, part: Part) -> View:
    return View(seen.maps[layer], part.weights.get(layer), seen.places.get(layer))


def _part(region: Part, sight: Sight) -> Part:
    """Return what a tile is compared with, of what the whole picture is."""
    stride = sight.scene.eye.stride
    weights = {layer: sight.part(each, stride(layer)) for layer, each in region.weights.items()}
    return region._replace(weights=weights)


def _frozen(measure: Measure, layers: Sequence[str], region: StyledRegion, scene: Scene) -> Part:
    eye, paintings = scene.eye, [each for each in region.styles if each.share]
    whole = sum(each.share for each in paintings)
    shares = [each.share / whole for each in paintings]
    kept = [
        _kept(measure, layers, eye, painting, number, share)
        for number, (painting, share) in enumerate(zip(paintings, shares, strict=True))
    ]
    style = {
        layer: measure.freeze(
            [(share, each[layer]) for share, each in zip(shares, kept, strict=True)]
        )
        for layer in layers
    }
    share = 1.0 if region.mask is None else float(region.mask.mean())
    return Part(np.float32(share), _weights(region.mask, layers, eye), style)


def _kept(
    measure: Measure,
    layers: Sequence[str],
    eye: Eye,
    painting: StyleImage,
    number: int,
    share: float,
) -> dict[str, list[Any]]:
    """Return by layer what a measure keeps of each part of a painting."""
    under, places = _weights(painting.mask, layers, eye), {}
    if measure.positions is not None:
        limit = measure.positions(share)
        places = _places(size_of(painting.image), under, layers, eye, limit)

    def looked(look: Look) -> dict[str, Any]:
        def keep(layer: str, features: Tensor) -> Any:
            weights, at = (_part_of(look, layer, each) for each in (under, places))
            return measure.look(Painted(features, weights, number, at))

        return look.inner(layers, keep)

    parts = [looked(look) for look in eye.looks(painting.image)]
    return {layer: [each[layer] for each in parts] for layer in layers}


def _part_of(look: Look, layer: str, fields: Mapping[str, HostArray]) -> HostArray | None:
    """Return what of a layer's field lies in the part of a painting that is looked at."""
    if layer not in fields:
        return None
    return tiles.part(fields[layer], look.stride(layer), look.tile.inner)


def _places(
    size: tuple[int, int],
    weights: Mapping[str, HostArray],
    layers: Iterable[str],
    eye: Eye,
    limit: int,
) -> dict[str, HostArray]:
    """Return by layer which positions of a painting are kept, as ``Painted.at`` has them."""
    places = {}
    for layer in layers:
        height, width = (side // eye.stride(layer) for side in size)
        under = [weights[layer][..., 0]] if layer in weights else None
        (kept,) = pools.counting([(height, width)], under, limit)
        indexes = np.arange(height * width, dtype=np.int32).reshape(height, width)
        places[layer] = np.where(kept, indexes, -1)
    return places


def _weights(mask: Mask | None, layers: Iterable[str], eye: Eye) -> dict[str, HostArray]:
    """Return by layer how much of each position lies under a mask; nothing without one."""
    if mask is None:
        return {}
    weights = {}
    for layer in layers:
        height, width = (size // eye.stride(layer) for size in mask.shape)
        weights[layer] = masks.layer_weights(mask, height, width, eye.receptive_field(layer))
    return weights


def of_moments(comparison: Comparison, relative: bool, strips: int) -> Measure:
    """Return the measure that compares moments, of the whole picture and of upright strips.

    (loss(whole) + Σ share · loss(strip)) / 2, where a strip's share is that of its positions among
    those of all strips; loss(whole) alone for a single strip.

    Moments of the whole picture do not care where the strokes are: half of a sky may be painted
    twice over and the other half be left a gray photograph. Departure from Gatys et al.: every
    strip is asked for them as well. The strips are upright, since in pictures that have an above
    and a below the strokes may well differ between these, but not between left and right. Each
    is two slices wide and overlaps its neighbors by one, so that no edge stands between them
    (the outermost slices lie in one strip, all others in two); moments add up, so this costs
    little more than the whole.
    """
    slices = 1 if strips == 1 else strips + 1

    def look(painted: Painted) -> Moments:
        return moments(painted.features, painted.weights)

    def freeze(paintings: Sequence[Style]) -> Moments:
        return blend(
            [(share, Moments(*map(sum, zip(*parts, strict=True)))) for share, parts in paintings]
        )

    def read(view: View, target: Moments) -> Moments:
        return slice_moments(view, slices)

    def loss(sums: Moments, target: Moments) -> Tensor:
        parts = _strips(strips, sums)
        ops, shares = array_namespace(parts.sum), _strip_shares(parts)
        return ops.sum(shares * comparison.loss(parts, target, relative))

    def vjp(view: View, target: Moments) -> tuple[Moments, Callable[[Moments], AddGradient]]:
        return slice_moments_vjp(view, slices)

    def loss_gradient(sums: Moments, target: Moments) -> Moments:
        parts = _strips(strips, sums)
        shares = _strip_shares(parts)
        by = comparison.gradient(parts, target, relative)
        weighted = Moments(*(each * shares.reshape(-1, *[1] * (each.ndim - 1)) for each in by))
        return combine(_membership(strips).T, weighted)

    return Measure(look, freeze, read, loss, vjp, loss_gradient)


def _membership(strips: int) -> HostArray:
    """Return (parts, slices) of 1 where a slice belongs to a strip, or to the whole: the last."""
    if strips == 1:
        return np.ones((1, 1), np.float32)
    slices = strips + 1
    pairs = np.eye(strips, slices) + np.eye(strips, slices, k=1)
    return np.concatenate((pairs, np.ones((1, slices)))).astype(np.float32)


def _strips(strips: int, slices: Moments) -> Moments:
    """Return the moments of every strip and, as the last, of the whole, from those of slices."""
    return slices if strips == 1 else combine(_membership(strips), slices)


def _strip_shares(parts: Moments) -> Tensor:
    """Return what the loss of each strip, and of the whole, counts: they add up to 1."""
    ops, strips = array_namespace(parts.sum), parts.count[:-1]
    if not parts.sum.shape[0] - 1:
        return ops.ones((1,), "float32")
    shares = strips / ops.maximum(ops.sum(strips), EPSILON)
    return ops.concatenate((shares / 2, 0.5 * ops.ones((1,), "float32")))


def _comparing(comparison: Comparison) -> Callable[[Recipe], Term]:
    def term(recipe: Recipe) -> Term:
        measure = of_moments(comparison, recipe.loss_scale == "relative", recipe.strips)
        return by_layers(measure, recipe)

    return term


STYLE_LOSSES: dict[str, Callable[[Recipe], Term]] = {
    "matching": matching_term,
    "gram": _comparing(GRAM),
    "moments": _comparing(MOMENTS),
    "wasserstein": _comparing(WASSERSTEIN),
    "neighbors": lambda recipe: by_layers(NEIGHBORS, recipe),
}
"""Every style loss, by the name that the setting ``style_loss`` takes."""


def _polishing(recipe: Recipe) -> Term:
    """Return the last pass of matching: neighbors layer by layer, and a little of the moments.

    Neighbors alone leave what is rare in a painting out, and with it contrast. Departure from
    Kolkin et al. 2022: of block 4 only its first layer looks (benchmarks/NOTES.md).
    """
    layers = tuple(each for each in recipe.style_layers if each[0] not in LEFT_OUT)
    share = share_of_painting(recipe.strength)
    moments_alike = of_moments(MOMENTS, relative=True, strips=1)
    measure = _with_upright(polish.measure(share), moments_alike, share * ALIKE)
    return by_layers(measure, replace(recipe, style_layers=layers), turned=True)


LEFT_OUT = ("block4_conv2", "block4_conv3", "block4_conv4")
"""Layers without which the last pass gives as good a picture, in less time."""

ALIKE = 0.2
"""What moments weigh in the last pass, beside the neighbors' 1 (benchmarks/NOTES.md)."""


class _Both(NamedTuple):
    """Targets of two measures, and what the second weighs beside the first."""

    first: Target
    second: Target
    weight: Tensor
    """() a part of the target, so that nothing is compiled anew where it changes"""


def _with_upright(measure: Measure, other: Measure, weight: float) -> Measure:
    """Return a measure of paintings that are turned, and so much of another of the upright ones.

    The other has neither positions nor a survey.
    """
    of = _WithUpright(measure, other, weight)
    return Measure(
        *(of.look, of.freeze, of.read, of.loss, of.vjp, of.loss_gradient),
        *(measure.positions, measure.survey, of.settle),
    )


@dataclass(frozen=True)
class _WithUpright:
    """The functions of the measure that :func:`_with_upright` returns."""

    first: Measure
    second: Measure
    weight: float

    def look(self, painted: Painted) -> tuple[Any, Any]:
        upright = painted.number % pools.TURNS == 0
        return self.first.look(painted), self.second.look(painted) if upright else None

    def freeze(self, paintings: Sequence[Style]) -> _Both:
        firsts = [(share, [first for first, _ in parts]) for share, parts in paintings]
        seconds = [(share, [second for _, second in parts]) for share, parts in paintings]
        upright = seconds[:: pools.TURNS]
        first, second = self.first.freeze(firsts), self.second.freeze(upright)
        return _Both(first, second, np.float32(self.weight))

    def settle(self, target: _Both, sums: Sums, view: View) -> _Both:
        assert self.first.settle is not None
        return target._replace(first=self.first.settle(target.first, sums, view))

    def read(self, view: View, target: _Both) -> tuple[Sums, Sums]:
        return self.first.read(view, target.first), self.second.read(view, target.second)

    def loss(self, sums: tuple[Sums, Sums], target: _Both) -> Tensor:
        second = self.second.loss(sums[1], target.second)
        return self.first.loss(sums[0], target.first) + target.weight * second

    def vjp(self, view: View, target: _Both) -> tuple[Any, Callable[[Any], AddGradient]]:
        found = self.first.vjp(view, target.first), self.second.vjp(view, target.second)

        def pullback(by: tuple[Sums, Sums]) -> AddGradient:
            adds = [back(each) for (_, back), each in zip(found, by, strict=True)]

            def add(to: HostArray) -> None:
                for each in adds:
                    each(to)

            return add

        return tuple(sums for sums, _ in found), pullback

    def loss_gradient(self, sums: tuple[Sums, Sums], target: _Both) -> tuple[Sums, Sums]:
        second = self.second.loss_gradient(sums[1], target.second)
        first = self.first.loss_gradient(sums[0], target.first)
        return first, scaled(target.weight, second)


LAST_PASSES: dict[str, Callable[[Recipe], Term]] = {"matching": _polishing}
"""What style losses end with, those that have a last pass of their own."""

SHARPENED: dict[str, Callable[[Recipe], Term]] = {
    "matching": lambda recipe: matching_term(recipe, adventurous=1.0)
}
"""What sharpens a picture, of those style losses whose forms are found at smaller sizes."""

DEEPEST = 3
"""The deepest block that looks at a picture whose forms were found; deeper ones see forms, and take
a third of the time."""


def style_term(recipe: Recipe, kind: Kind = FORMS) -> Term:
    """Return the style loss of levels of a kind."""
    table = LAST_PASSES if kind.last else SHARPENED if kind.sharpens else STYLE_LOSSES
    if kind.shallow:
        recipe = replace(recipe, style_layers=shallow(recipe.style_layers))
    return table[recipe.style_loss](recipe)


def shallow(layers: Layers) -> Layers:
    """Return those of the layers that look where forms were found; matching has some."""
    return tuple(each for each in layers if block_of(each[0]) <= DEEPEST)
