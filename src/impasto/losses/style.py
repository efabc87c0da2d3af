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
from impasto.losses import feature_index, feature_splitting, tiles
from impasto.losses.content import weighted_mean, weighted_mean_gradient
from impasto.losses.level_roles import STRUCTURE, LevelRole
from impasto.losses.matching import block_number, matching_term, style_fraction
from impasto.losses.moment_losses import GRAM, MOMENTS, WASSERSTEIN, MomentLoss
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
    FeatureMaps,
    LayerStyleLoss,
    LayerView,
    LevelInputs,
    LossTerm,
    Pullback,
    StyleFeatures,
    Sums,
    Target,
    TargetTile,
    TiledFeatureExtractor,
    TileFeatures,
    WeightedStyle,
    scale_sums,
)
from impasto.recipe.settings import Layers, Recipe


class RegionTarget(NamedTuple):
    """What a region of the picture is compared with."""

    share: Tensor
    """() how much of the picture it is"""
    weights: dict[str, Tensor]
    """by layer (height, width, 1), how much of a position belongs to it; nothing if all do"""
    style: dict[str, Target]
    """by layer, what the measure keeps of the paintings"""


def per_layer_term(style_loss: LayerStyleLoss, recipe: Recipe, rotated: bool = False) -> LossTerm:
    """Return a measure as a term: summed over regions, its mean taken over the style layers.

    A region counts by how much of the picture it is, a layer by its share. Paintings are seen
    rotated by 90, 180 and 270 degrees as well if they are to be ``rotated``.
    """
    of = _PerLayerTerm(style_loss, recipe.style_layers, rotated)
    return LossTerm(of.make_target, of.reduce, of.loss, of.vjp, of.loss_gradient, of.layers)


RegionSums: TypeAlias = list[dict[str, Sums]]
"""By region and layer, the sums of a measure."""


@dataclass(frozen=True)
class _PerLayerTerm:
    """The functions of the term that :func:`per_layer_term` returns."""

    style_loss: LayerStyleLoss
    shares: Layers
    rotated: bool

    @property
    def layers(self) -> tuple[str, ...]:
        return tuple(layer for layer, _ in self.shares)

    def make_target(self, level_inputs: LevelInputs) -> Callable[[TargetTile], list[RegionTarget]]:
        measure, layers = self.style_loss, self.layers
        regions = (
            [_with_rotations(each) for each in level_inputs.regions]
            if self.rotated
            else level_inputs.regions
        )
        places = [_make_level_region(measure, layers, region, level_inputs) for region in regions]

        def parts(target_tile: TargetTile) -> list[RegionTarget]:
            return [_region_target(place, target_tile) for place in places]

        if (
            measure.collect_stats is None
            or measure.finalize_target is None
            or level_inputs.current is None
        ):
            return level_inputs.cache_single_tile(parts)
        survey, settle, start = measure.collect_stats, measure.finalize_target, level_inputs.current

        def seen(target_tile: TargetTile) -> list[dict[str, Sums]]:
            look, here = target_tile.tile_features(start), parts(target_tile)
            return _map_regions(look, here, layers, lambda number, layer, view: survey(view))

        surveyed = level_inputs.sum_over_tiles(seen)

        def settled(target_tile: TargetTile) -> list[RegionTarget]:
            here = parts(target_tile)

            def style(number: int, layer: str, view: LayerView) -> Target:
                return settle(here[number].style[layer], surveyed[number][layer], view)

            styles = _map_regions(
                target_tile.tile_features(level_inputs.content), here, layers, style
            )
            return [part._replace(style=each) for part, each in zip(here, styles, strict=True)]

        return level_inputs.cache_single_tile(settled)

    def reduce(self, seen: FeatureMaps, target: list[RegionTarget]) -> RegionSums:
        read = self.style_loss.reduce
        return [
            {
                layer: read(_layer_view(seen, layer, part), style)
                for layer, style in part.style.items()
            }
            for part in target
        ]

    def loss(self, sums: RegionSums, target: list[RegionTarget]) -> Tensor:
        parts = list(zip(sums, target, strict=True))
        losses = {
            layer: sum(
                part.share * self.style_loss.loss(read[layer], part.style[layer])
                for read, part in parts
            )
            for layer in self.layers
        }
        return weighted_mean(losses, self.shares)

    def vjp(self, seen: FeatureMaps, target: list[RegionTarget]) -> tuple[RegionSums, Pullback]:
        vjp = self.style_loss.vjp
        found = [
            {
                layer: vjp(_layer_view(seen, layer, part), style)
                for layer, style in part.style.items()
            }
            for part in target
        ]

        def pullback(by: RegionSums) -> dict[str, list[AddGradient]]:
            return {
                layer: [part[layer][1](each[layer]) for part, each in zip(found, by, strict=True)]
                for layer in self.layers
            }

        return [{layer: sums for layer, (sums, _) in part.items()} for part in found], pullback

    def loss_gradient(self, sums: RegionSums, target: list[RegionTarget]) -> RegionSums:
        shares = weighted_mean_gradient(self.shares)

        def by(layer: str, read: Sums, part: RegionTarget) -> Sums:
            found = self.style_loss.loss_gradient(read, part.style[layer])
            return scale_sums(np.float32(part.share * shares[layer]), found)

        return [
            {layer: by(layer, read[layer], part) for layer in self.layers}
            for read, part in zip(sums, target, strict=True)
        ]


def _map_regions(
    look: TileFeatures,
    parts: Sequence[RegionTarget],
    layers: Sequence[str],
    read: Callable[[int, str, LayerView], Any],
) -> list[dict[str, Any]]:
    """Return by part and layer a function of the part's number, the layer, and what is seen."""

    def by_number(layer: str, features: Tensor) -> list[Any]:
        views = (LayerView(features, part.weights.get(layer), look.offset(layer)) for part in parts)
        return [read(number, layer, view) for number, view in enumerate(views)]

    found = look.core_features(layers, by_number)
    return [{layer: each[number] for layer, each in found.items()} for number in range(len(parts))]


def _with_rotations(region: StyledRegion) -> StyledRegion:
    """Return a region whose paintings are there in four rotations each."""
    styles = []
    for each in region.styles:
        images = feature_index.rotations(each.image)
        under = [None] * len(images) if each.mask is None else feature_index.rotations(each.mask)
        for image, mask in zip(images, under, strict=True):
            styles.append(replace(each, image=image, mask=mask))
    return replace(region, styles=tuple(styles))


def _layer_view(seen: FeatureMaps, layer: str, part: RegionTarget) -> LayerView:
    return LayerView(seen.maps[layer], part.weights.get(layer), seen.offsets.get(layer))


def _region_target(region: RegionTarget, target_tile: TargetTile) -> RegionTarget:
    """Return what a tile is compared with, of what the whole picture is."""
    stride = target_tile.level_inputs.extractor.stride
    weights = {
        layer: target_tile.crop(each, stride(layer)) for layer, each in region.weights.items()
    }
    return region._replace(weights=weights)


def _make_level_region(
    style_loss: LayerStyleLoss,
    layers: Sequence[str],
    region: StyledRegion,
    level_inputs: LevelInputs,
) -> RegionTarget:
    extractor, styles = level_inputs.extractor, [each for each in region.styles if each.share]
    whole = sum(each.share for each in styles)
    shares = [each.share / whole for each in styles]
    kept = [
        _extract_style(style_loss, layers, extractor, style, number, share)
        for number, (style, share) in enumerate(zip(styles, shares, strict=True))
    ]
    style = {
        layer: style_loss.make_target(
            [(share, each[layer]) for share, each in zip(shares, kept, strict=True)]
        )
        for layer in layers
    }
    share = 1.0 if region.mask is None else float(region.mask.mean())
    return RegionTarget(np.float32(share), _mask_weights(region.mask, layers, extractor), style)


def _extract_style(
    style_loss: LayerStyleLoss,
    layers: Sequence[str],
    extractor: TiledFeatureExtractor,
    style_image: StyleImage,
    number: int,
    share: float,
) -> dict[str, list[Any]]:
    """Return by layer what a measure keeps of each part of a painting."""
    under, places = _mask_weights(style_image.mask, layers, extractor), {}
    if style_loss.max_positions is not None:
        limit = style_loss.max_positions(share)
        places = _position_indexes(size_of(style_image.image), under, layers, extractor, limit)

    def looked(look: TileFeatures) -> dict[str, Any]:
        def keep(layer: str, features: Tensor) -> Any:
            weights, at = (_crop_field(look, layer, each) for each in (under, places))
            return style_loss.extract(StyleFeatures(features, weights, number, at))

        return look.core_features(layers, keep)

    parts = [looked(look) for look in extractor.iter_tiles(style_image.image)]
    return {layer: [each[layer] for each in parts] for layer in layers}


def _crop_field(
    look: TileFeatures, layer: str, fields: Mapping[str, HostArray]
) -> HostArray | None:
    """Return what of a layer's field lies in the part of a painting that is looked at."""
    if layer not in fields:
        return None
    return tiles.crop(fields[layer], look.stride(layer), look.tile.core)


def _position_indexes(
    size: tuple[int, int],
    weights: Mapping[str, HostArray],
    layers: Iterable[str],
    extractor: TiledFeatureExtractor,
    limit: int,
) -> dict[str, HostArray]:
    """Return by layer which positions of a painting are kept, as ``StyleFeatures.position_indexes``
    has them.
    """
    places = {}
    for layer in layers:
        height, width = (side // extractor.stride(layer) for side in size)
        under = [weights[layer][..., 0]] if layer in weights else None
        (kept,) = feature_index.select_positions([(height, width)], under, limit)
        indexes = np.arange(height * width, dtype=np.int32).reshape(height, width)
        places[layer] = np.where(kept, indexes, -1)
    return places


def _mask_weights(
    mask: Mask | None, layers: Iterable[str], extractor: TiledFeatureExtractor
) -> dict[str, HostArray]:
    """Return by layer how much of each position lies under a mask; nothing without one."""
    if mask is None:
        return {}
    weights = {}
    for layer in layers:
        height, width = (size // extractor.stride(layer) for size in mask.shape)
        weights[layer] = masks.layer_weights(mask, height, width, extractor.receptive_field(layer))
    return weights


def moments_style_loss(comparison: MomentLoss, relative: bool, strips: int) -> LayerStyleLoss:
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

    def extract(style_features: StyleFeatures) -> Moments:
        return moments(style_features.features, style_features.weights)

    def make_target(styles: Sequence[WeightedStyle]) -> Moments:
        return blend(
            [(share, Moments(*map(sum, zip(*parts, strict=True)))) for share, parts in styles]
        )

    def reduce(view: LayerView, target: Moments) -> Moments:
        return slice_moments(view, slices)

    def loss(sums: Moments, target: Moments) -> Tensor:
        parts = _strip_moments(strips, sums)
        ops, shares = array_namespace(parts.sum), _strip_shares(parts)
        return ops.sum(shares * comparison.loss(parts, target, relative))

    def vjp(view: LayerView, target: Moments) -> tuple[Moments, Callable[[Moments], AddGradient]]:
        return slice_moments_vjp(view, slices)

    def loss_gradient(sums: Moments, target: Moments) -> Moments:
        parts = _strip_moments(strips, sums)
        shares = _strip_shares(parts)
        by = comparison.gradient(parts, target, relative)
        weighted = Moments(*(each * shares.reshape(-1, *[1] * (each.ndim - 1)) for each in by))
        return combine(_membership(strips).T, weighted)

    return LayerStyleLoss(extract, make_target, reduce, loss, vjp, loss_gradient)


def _membership(strips: int) -> HostArray:
    """Return (parts, slices) of 1 where a slice belongs to a strip, or to the whole: the last."""
    if strips == 1:
        return np.ones((1, 1), np.float32)
    slices = strips + 1
    pairs = np.eye(strips, slices) + np.eye(strips, slices, k=1)
    return np.concatenate((pairs, np.ones((1, slices)))).astype(np.float32)


def _strip_moments(strips: int, slices: Moments) -> Moments:
    """Return the moments of every strip and, as the last, of the whole, from those of slices."""
    return slices if strips == 1 else combine(_membership(strips), slices)


def _strip_shares(parts: Moments) -> Tensor:
    """Return what the loss of each strip, and of the whole, counts: they add up to 1."""
    ops, strips = array_namespace(parts.sum), parts.count[:-1]
    if not parts.sum.shape[0] - 1:
        return ops.ones((1,), "float32")
    shares = strips / ops.maximum(ops.sum(strips), EPSILON)
    return ops.concatenate((shares / 2, 0.5 * ops.ones((1,), "float32")))


def _moments_term(comparison: MomentLoss) -> Callable[[Recipe], LossTerm]:
    def term(recipe: Recipe) -> LossTerm:
        measure = moments_style_loss(comparison, recipe.loss_scale == "relative", recipe.strips)
        return per_layer_term(measure, recipe)

    return term


STYLE_LOSSES: dict[str, Callable[[Recipe], LossTerm]] = {
    "matching": matching_term,
    "gram": _moments_term(GRAM),
    "moments": _moments_term(MOMENTS),
    "wasserstein": _moments_term(WASSERSTEIN),
    "neighbors": lambda recipe: per_layer_term(NEIGHBORS, recipe),
}
"""Every style loss, by the name that the setting ``style_loss`` takes."""


def _feature_splitting_term(recipe: Recipe) -> LossTerm:
    """Return the last pass of matching: neighbors layer by layer, and a little of the moments.

    Neighbors alone leave what is rare in a painting out, and with it contrast. Departure from
    Kolkin et al. 2022: of block 4 only its first layer looks (benchmarks/NOTES.md).
    """
    layers = tuple(each for each in recipe.style_layers if each[0] not in SKIPPED_LAYERS)
    share = style_fraction(recipe.strength)
    moments_alike = moments_style_loss(MOMENTS, relative=True, strips=1)
    measure = _add_upright_loss(
        feature_splitting.splitting_style_loss(share), moments_alike, share * MOMENTS_WEIGHT
    )
    return per_layer_term(measure, replace(recipe, style_layers=layers), rotated=True)


SKIPPED_LAYERS = ("block4_conv2", "block4_conv3", "block4_conv4")
"""Layers without which the last pass gives as good a picture, in less time."""

MOMENTS_WEIGHT = 0.2
"""What moments weigh in the last pass, beside the neighbors' 1 (benchmarks/NOTES.md)."""


class _PairTarget(NamedTuple):
    """Targets of two measures, and what the second weighs beside the first."""

    first: Target
    second: Target
    weight: Tensor
    """() a part of the target, so that nothing is compiled anew where it changes"""


def _add_upright_loss(
    measure: LayerStyleLoss, other: LayerStyleLoss, weight: float
) -> LayerStyleLoss:
    """Return a measure of paintings that are turned, and so much of another of the upright ones.

    The other has neither positions nor a survey.
    """
    of = _PairedLoss(measure, other, weight)
    return LayerStyleLoss(
        *(of.extract, of.make_target, of.reduce, of.loss, of.vjp, of.loss_gradient),
        *(measure.max_positions, measure.collect_stats, of.finalize_target),
    )


@dataclass(frozen=True)
class _PairedLoss:
    """The functions of the measure that :func:`_add_upright_loss` returns."""

    first: LayerStyleLoss
    second: LayerStyleLoss
    weight: float

    def extract(self, style_features: StyleFeatures) -> tuple[Any, Any]:
        upright = style_features.style_number % feature_index.ROTATIONS == 0
        return self.first.extract(style_features), self.second.extract(
            style_features
        ) if upright else None

    def make_target(self, styles: Sequence[WeightedStyle]) -> _PairTarget:
        firsts = [(share, [first for first, _ in parts]) for share, parts in styles]
        seconds = [(share, [second for _, second in parts]) for share, parts in styles]
        upright = seconds[:: feature_index.ROTATIONS]
        first, second = self.first.make_target(firsts), self.second.make_target(upright)
        return _PairTarget(first, second, np.float32(self.weight))

    def finalize_target(self, target: _PairTarget, sums: Sums, view: LayerView) -> _PairTarget:
        assert self.first.finalize_target is not None
        return target._replace(first=self.first.finalize_target(target.first, sums, view))

    def reduce(self, view: LayerView, target: _PairTarget) -> tuple[Sums, Sums]:
        return self.first.reduce(view, target.first), self.second.reduce(view, target.second)

    def loss(self, sums: tuple[Sums, Sums], target: _PairTarget) -> Tensor:
        second = self.second.loss(sums[1], target.second)
        return self.first.loss(sums[0], target.first) + target.weight * second

    def vjp(self, view: LayerView, target: _PairTarget) -> tuple[Any, Callable[[Any], AddGradient]]:
        found = self.first.vjp(view, target.first), self.second.vjp(view, target.second)

        def pullback(by: tuple[Sums, Sums]) -> AddGradient:
            adds = [back(each) for (_, back), each in zip(found, by, strict=True)]

            def add(to: HostArray) -> None:
                for each in adds:
                    each(to)

            return add

        return tuple(sums for sums, _ in found), pullback

    def loss_gradient(self, sums: tuple[Sums, Sums], target: _PairTarget) -> tuple[Sums, Sums]:
        second = self.second.loss_gradient(sums[1], target.second)
        first = self.first.loss_gradient(sums[0], target.first)
        return first, scale_sums(target.weight, second)


FEATURE_SPLITTING_TERMS: dict[str, Callable[[Recipe], LossTerm]] = {
    "matching": _feature_splitting_term
}
"""What style losses end with, those that have a last pass of their own."""

DETAIL_TERMS: dict[str, Callable[[Recipe], LossTerm]] = {
    "matching": lambda recipe: matching_term(recipe, query_mix=1.0)
}
"""What sharpens a picture, of those style losses whose forms are found at smaller sizes."""

DEEPEST_DETAIL_BLOCK = 3
"""The deepest block that looks at a picture whose forms were found; deeper ones see forms, and take
a third of the time."""


def style_term(recipe: Recipe, role: LevelRole = STRUCTURE) -> LossTerm:
    """Return the style loss of levels of a kind."""
    table = (
        FEATURE_SPLITTING_TERMS
        if role.feature_splitting
        else DETAIL_TERMS
        if role.detail
        else STYLE_LOSSES
    )
    if role.shallow:
        recipe = replace(recipe, style_layers=shallow_layers(recipe.style_layers))
    return table[recipe.style_loss](recipe)


def shallow_layers(layers: Layers) -> Layers:
    """Return those of the layers that look where forms were found; matching has some."""
    return tuple(each for each in layers if block_number(each[0]) <= DEEPEST_DETAIL_BLOCK)
