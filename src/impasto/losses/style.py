"""The style losses, per region.

``STYLE_LOSSES`` maps the values of the setting ``style_loss`` to them. :class:`LayerwiseTerm` makes
a term of a loss per layer, such as :class:`MomentsStyleLoss`.
"""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from impasto.compute.arrays import HostArray, Tensor, array_namespace
from impasto.images.arrays import ImageArray
from impasto.images.style_regions import StyledRegion
from impasto.losses import feature_index, voting
from impasto.losses.content import weighted_mean, weighted_mean_gradient, weighted_parts
from impasto.losses.feature_splitting import FeatureSplittingLoss, add_at_sample, sample_view
from impasto.losses.hypercolumns import block_number
from impasto.losses.level_roles import FINEST, STRUCTURE, LevelRole
from impasto.losses.matching import MatchingTerm, matching_term
from impasto.losses.moment_losses import GRAM, MOMENTS, WASSERSTEIN, MomentLoss
from impasto.losses.moments import (
    Moments,
    blend,
    combine,
    moments,
    slice_moments,
    slice_moments_vjp,
)
from impasto.losses.neighbors import NeighborsLoss
from impasto.losses.style_targets import TargetReader, mask_weights
from impasto.losses.terms import (
    EPSILON,
    AdaptiveStyleLoss,
    AddGradient,
    FeatureMaps,
    LayerStyleLoss,
    LayerView,
    LevelInputs,
    LevelTarget,
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
    """The targets of a region."""

    area_fraction: Tensor
    """() fraction of the image that it covers"""
    weights: dict[str, Tensor]
    """by layer (height, width, 1), weights of positions; empty for the whole image"""
    style: dict[str, Target]
    """by layer, the target of the style loss"""


RegionSums: TypeAlias = list[dict[str, Sums]]
"""By region and layer, the sums of a style loss."""


MoveStart: TypeAlias = Callable[[Sequence[StyledRegion], ImageArray], ImageArray]
"""(regions, image) -> the image to start from."""


@dataclass(frozen=True)
class LayerwiseTerm:
    """A style loss per layer, summed over regions, with its mean over the style layers.

    loss = Σ layer weight · Σ area fraction · loss(layer, region) / Σ layer weight
    """

    style_loss: LayerStyleLoss
    layer_weights: Layers
    rotated: bool = False
    """whether style images are used in rotations by 0, 90, 180 and 270 degrees"""
    move_start: MoveStart | None = None
    """changes the image that the level starts from"""
    additive = False

    @property
    def layers(self) -> tuple[str, ...]:
        """The style layers."""
        return tuple(layer for layer, _ in self.layer_weights)

    def make_target(self, level_inputs: LevelInputs) -> LevelTarget:
        """Compute the targets of all regions from their style images."""
        return self.bind_target(self.style_targets(level_inputs), level_inputs)

    def style_targets(self, level_inputs: LevelInputs) -> list[RegionTarget]:
        """Compute the part of the targets that depends on regions and style images only."""
        extractor = level_inputs.extractor
        return [
            RegionTarget(
                np.float32(1 if region.mask is None else region.mask.mean()),
                mask_weights(region.mask, self.layers, extractor),
                TargetReader(self, region, extractor).target(),
            )
            for region in level_inputs.regions
        ]

    def shared_reader(
        self, region: StyledRegion, extractor: TiledFeatureExtractor
    ) -> TargetReader | None:
        """Return a reader that stores the target of a region in the cache.

        None if the extractor has no cache.
        """
        return TargetReader(self, region, extractor) if extractor.style_cache.limit else None

    def initial_stats(
        self, targets: list[RegionTarget], level_inputs: LevelInputs
    ) -> RegionSums | None:
        """Return statistics of the initial image; None if the loss does not use them."""
        loss, layers = self.style_loss, self.layers
        if not isinstance(loss, AdaptiveStyleLoss) or level_inputs.initial is None:
            return None
        collect = functools.partial(_initial_stats, loss, layers, targets)
        stats: RegionSums = level_inputs.sum_over_tiles(collect)
        return stats

    def bind_target(
        self,
        targets: list[RegionTarget],
        level_inputs: LevelInputs,
        stats: RegionSums | None = None,
    ) -> LevelTarget:
        """Return the target of a level.

        Args:
            targets: from :meth:`style_targets`, which frames of a video share
            level_inputs: the inputs of the level
            stats: from :meth:`initial_stats`; None to compute them
        """
        loss, layers = self.style_loss, self.layers
        for_tile = functools.partial(_tile_regions, targets)
        if stats is None:
            stats = self.initial_stats(targets, level_inputs)
        if isinstance(loss, AdaptiveStyleLoss) and stats is not None:
            for_tile = functools.partial(_final_tile_regions, loss, layers, targets, stats)
        start = None
        if self.move_start is not None:
            start = functools.partial(self.move_start, level_inputs.regions)
        return LevelTarget(level_inputs.cache_single_tile(for_tile), start)

    def reduce(self, features: FeatureMaps, target: list[RegionTarget]) -> RegionSums:
        """Return the sums of the style loss."""
        reduce = self.style_loss.reduce
        return [
            {
                layer: reduce(_layer_view(features, layer, region), style)
                for layer, style in region.style.items()
            }
            for region in target
        ]

    def loss(self, sums: RegionSums, target: list[RegionTarget]) -> Tensor:
        """Return the loss, a scalar."""
        return weighted_mean(self._losses(sums, target), self.layer_weights)

    def layer_losses(self, sums: RegionSums, target: list[RegionTarget]) -> dict[str, Tensor]:
        """Return the part of each layer in :meth:`loss`."""
        return weighted_parts(self._losses(sums, target), self.layer_weights)

    def _losses(self, sums: RegionSums, target: list[RegionTarget]) -> dict[str, Tensor]:
        """Return the loss of each layer, summed over regions."""
        parts = list(zip(sums, target, strict=True))
        return {
            layer: sum(
                region.area_fraction * self.style_loss.loss(each[layer], region.style[layer])
                for each, region in parts
            )
            for layer in self.layers
        }

    def vjp(self, features: FeatureMaps, target: list[RegionTarget]) -> tuple[RegionSums, Pullback]:
        """Return :meth:`reduce` of NumPy features, and its pullback."""
        vjp = self.style_loss.vjp
        regions = [
            {
                layer: vjp(_layer_view(features, layer, region), style)
                for layer, style in region.style.items()
            }
            for region in target
        ]

        def pullback(sums_grad: RegionSums) -> dict[str, list[AddGradient]]:
            pairs = list(zip(regions, sums_grad, strict=True))
            return {
                layer: [vjps[layer][1](gradients[layer]) for vjps, gradients in pairs]
                for layer in self.layers
            }

        return [{layer: sums for layer, (sums, _) in vjps.items()} for vjps in regions], pullback

    def loss_gradient(self, sums: RegionSums, target: list[RegionTarget]) -> RegionSums:
        """Return the gradient of :meth:`loss` by the sums."""
        factors, gradient = (
            weighted_mean_gradient(self.layer_weights),
            self.style_loss.loss_gradient,
        )
        return [
            {
                layer: scale_sums(
                    np.float32(region.area_fraction * factors[layer]),
                    gradient(each[layer], region.style[layer]),
                )
                for layer in self.layers
            }
            for each, region in zip(sums, target, strict=True)
        ]


def _layer_view(features: FeatureMaps, layer: str, region: RegionTarget) -> LayerView:
    return LayerView(features.maps[layer], region.weights.get(layer), features.offsets.get(layer))


def _tile_regions(targets: Sequence[RegionTarget], tile: TargetTile) -> list[RegionTarget]:
    """Return the targets of regions of the whole image, for a tile."""
    stride = tile.level_inputs.extractor.stride
    return [
        each._replace(
            weights={
                layer: tile.crop(field, stride(layer)) for layer, field in each.weights.items()
            }
        )
        for each in targets
    ]


def _initial_stats(
    style_loss: AdaptiveStyleLoss,
    layers: Sequence[str],
    targets: Sequence[RegionTarget],
    tile: TargetTile,
) -> RegionSums:
    """Return the statistics of the initial image in a tile."""
    assert tile.level_inputs.initial is not None
    features = tile.tile_features(tile.level_inputs.initial)
    return _map_regions(
        features,
        _tile_regions(targets, tile),
        layers,
        lambda number, layer, view: style_loss.collect_stats(view),
    )


def _final_tile_regions(
    style_loss: AdaptiveStyleLoss,
    layers: Sequence[str],
    targets: Sequence[RegionTarget],
    stats: RegionSums,
    tile: TargetTile,
) -> list[RegionTarget]:
    """Return the final targets of a tile."""
    regions = _tile_regions(targets, tile)
    styles = _map_regions(
        tile.tile_features(tile.level_inputs.content),
        regions,
        layers,
        lambda number, layer, view: style_loss.finalize_target(
            regions[number].style[layer], stats[number][layer], view
        ),
    )
    return [each._replace(style=style) for each, style in zip(regions, styles, strict=True)]


def _map_regions(
    tile: TileFeatures,
    regions: Sequence[RegionTarget],
    layers: Sequence[str],
    function: Callable[[int, str, LayerView], Any],
) -> list[dict[str, Any]]:
    """Return by region and layer a function of the region's number, the layer, and its view."""

    def by_number(layer: str, features: Tensor) -> list[Any]:
        views = (
            LayerView(features, each.weights.get(layer), tile.offset(layer)) for each in regions
        )
        return [function(number, layer, view) for number, view in enumerate(views)]

    values = tile.core_features(layers, by_number)
    return [
        {layer: each[number] for layer, each in values.items()} for number in range(len(regions))
    ]


@dataclass(frozen=True)
class MomentsStyleLoss(LayerStyleLoss):
    """Compares moments of the whole image and of vertical strips. Sums are moments of slices.

    loss = (loss(whole) + Σ w · loss(strip)) / 2, where w is the strip's number of positions over
    that of all strips; loss(whole) alone for a single strip.

    Moments of the whole image do not depend on where the strokes are: half of a sky may have twice
    the style, and the other half none. Departure from Gatys et al.: strips are compared too, all
    with the same target. They are vertical, since strokes may well differ between the top and the
    bottom of an image, but not between left and right. The image is divided into one more slice
    than there are strips. Each strip is two slices wide and overlaps the next by one, so that there
    is no edge between them. Moments add up, so this costs little more than the whole.
    """

    comparison: MomentLoss
    relative: bool
    strips: int

    @property
    def slices(self) -> int:
        """The number of slices."""
        return 1 if self.strips == 1 else self.strips + 1

    def extract(self, style_features: StyleFeatures) -> Moments:
        """Return the moments of a tile of a style image."""
        return moments(style_features.features, style_features.weights)

    def make_target(self, styles: Sequence[WeightedStyle]) -> Moments:
        """Return the weighted mean of the style images' moments."""
        return blend(
            [(weight, Moments(*map(sum, zip(*parts, strict=True)))) for weight, parts in styles]
        )

    def reduce(self, view: LayerView, target: Moments) -> Moments:
        """Return the moments of the slices, along a first axis."""
        return slice_moments(view, self.slices)

    def loss(self, sums: Moments, target: Moments) -> Tensor:
        """Return the loss, a scalar."""
        parts = self._strip_moments(sums)
        ops, weights = array_namespace(parts.sum), _strip_weights(parts)
        return ops.sum(weights * self.comparison.loss(parts, target, self.relative))

    def vjp(
        self, view: LayerView, target: Moments
    ) -> tuple[Moments, Callable[[Moments], AddGradient]]:
        """Return :meth:`reduce` of NumPy features, and its pullback."""
        return slice_moments_vjp(view, self.slices)

    def loss_gradient(self, sums: Moments, target: Moments) -> Moments:
        """Return the gradient of :meth:`loss` by the moments of the slices."""
        parts = self._strip_moments(sums)
        weights = _strip_weights(parts)
        gradients = self.comparison.gradient(parts, target, self.relative)
        weighted = Moments(
            *(each * weights.reshape(-1, *[1] * (each.ndim - 1)) for each in gradients)
        )
        return combine(_membership(self.strips).T, weighted)

    def _strip_moments(self, slices: Moments) -> Moments:
        """Return the moments of every strip and, as the last, of the whole."""
        return slices if self.strips == 1 else combine(_membership(self.strips), slices)


def _membership(strips: int) -> HostArray:
    """Return (parts, slices) of 1 where a slice belongs to a strip, or to the whole: the last."""
    if strips == 1:
        return np.ones((1, 1), np.float32)
    slices = strips + 1
    pairs = np.eye(strips, slices) + np.eye(strips, slices, k=1)
    return np.concatenate((pairs, np.ones((1, slices)))).astype(np.float32)


def _strip_weights(parts: Moments) -> Tensor:
    """Return the weights of the losses of the strips and of the whole; they add up to 1."""
    ops, strips = array_namespace(parts.sum), parts.count[:-1]
    if not parts.sum.shape[0] - 1:
        return ops.ones((1,), "float32")
    weights = strips / ops.maximum(ops.sum(strips), EPSILON)
    return ops.concatenate((weights / 2, 0.5 * ops.ones((1,), "float32")))


SKIPPED_LAYERS = ("block4_conv2", "block4_conv3", "block4_conv4")
"""Layers that feature splitting omits, for speed: results are as good (benchmarks/NOTES.md)."""

MOMENTS_WEIGHT = 0.2
"""Weight of the moments in feature splitting; that of the neighbors is 1 (benchmarks/NOTES.md)."""


class PairTarget(NamedTuple):
    """The targets of two losses, and the weight of the second."""

    first: Target
    second: Target
    weight: Tensor
    """() a part of the target, so that another value needs no compilation"""


PairSums: TypeAlias = tuple[Sums, Sums]


@dataclass(frozen=True)
class PairedLoss(AdaptiveStyleLoss):
    """first + weight · second, where ``second`` uses the style images without their rotations.

    For a term with ``LayerwiseTerm.rotated``. The second loss, of means, uses the positions that
    feature splitting compares: their means are within a few thousandths, in a fraction of the time
    (benchmarks/NOTES.md).
    """

    first: FeatureSplittingLoss
    second: LayerStyleLoss
    """a loss that keeps no positions"""
    weight: float

    def max_positions(self, weight: float) -> int:
        """Return the number of positions of the first loss."""
        return self.first.max_positions(weight)

    def extract(self, style_features: StyleFeatures) -> tuple[Any, Any]:
        """Return the data of both; None for the second if the style image is rotated."""
        rotated = style_features.style_number % feature_index.ROTATIONS
        second = None if rotated else self.second.extract(style_features)
        return self.first.extract(style_features), second

    def make_target(self, styles: Sequence[WeightedStyle]) -> PairTarget:
        """Return the targets of both."""
        first, second = (
            [(weight, [each[n] for each in parts]) for weight, parts in styles] for n in range(2)
        )
        return PairTarget(
            self.first.make_target(first),
            self.second.make_target(second[:: feature_index.ROTATIONS]),
            np.float32(self.weight),
        )

    def collect_stats(self, initial: LayerView) -> Sums:
        """Return the statistics of the first loss."""
        return self.first.collect_stats(initial)

    def finalize_target(self, target: PairTarget, stats: Sums, content: LayerView) -> PairTarget:
        """Return the targets with the final one of the first loss."""
        return target._replace(first=self.first.finalize_target(target.first, stats, content))

    def reduce(self, view: LayerView, target: PairTarget) -> PairSums:
        """Return the sums of both."""
        sample = sample_view(view, target.first)
        return self.first.reduce(view, target.first), self.second.reduce(sample, target.second)

    def loss(self, sums: PairSums, target: PairTarget) -> Tensor:
        """Return the weighted sum of both."""
        second = self.second.loss(sums[1], target.second)
        return self.first.loss(sums[0], target.first) + target.weight * second

    def vjp(
        self, view: LayerView, target: PairTarget
    ) -> tuple[PairSums, Callable[[PairSums], AddGradient]]:
        """Return :meth:`reduce` of NumPy features, and its pullback."""
        first, first_pullback = self.first.vjp(view, target.first)
        second, second_pullback = self.second.vjp(sample_view(view, target.first), target.second)

        def pullback(sums_grad: PairSums) -> AddGradient:
            second_add = add_at_sample(second_pullback(sums_grad[1]), target.first)
            adds = first_pullback(sums_grad[0]), second_add

            def add(to: HostArray) -> None:
                for each in adds:
                    each(to)

            return add

        return (first, second), pullback

    def loss_gradient(self, sums: PairSums, target: PairTarget) -> PairSums:
        """Return the gradients of both by their sums."""
        second = self.second.loss_gradient(sums[1], target.second)
        first = self.first.loss_gradient(sums[0], target.first)
        return first, scale_sums(target.weight, second)


def _feature_splitting_term(recipe: Recipe) -> LayerwiseTerm:
    """Return the loss of feature splitting: neighbors per layer, with a small weight on moments.

    Neighbors alone omit features that are rare in a style image, and with them contrast. Departure
    from Kolkin et al. 2022: of block 4 only the first layer is used (benchmarks/NOTES.md).
    """
    layers = tuple(each for each in recipe.style_layers if each[0] not in SKIPPED_LAYERS)
    fraction = recipe.strength_effects.style_fraction
    moments_loss = MomentsStyleLoss(MOMENTS, True, 1)
    paired = PairedLoss(FeatureSplittingLoss(fraction), moments_loss, fraction * MOMENTS_WEIGHT)
    move = functools.partial(voting.move_colors, fraction=fraction / 2)
    return LayerwiseTerm(paired, layers, rotated=True, move_start=move)


def _moments_term(comparison: MomentLoss) -> Callable[[Recipe], LossTerm]:
    return lambda recipe: LayerwiseTerm(
        MomentsStyleLoss(comparison, recipe.loss_scale == "relative", recipe.strips),
        recipe.style_layers,
    )


STYLE_LOSSES: dict[str, Callable[[Recipe], LossTerm]] = {
    "matching": matching_term,
    "gram": _moments_term(GRAM),
    "moments": _moments_term(MOMENTS),
    "wasserstein": _moments_term(WASSERSTEIN),
    "neighbors": lambda recipe: LayerwiseTerm(NeighborsLoss(), recipe.style_layers),
}
"""The style losses, by the values of the setting ``style_loss``."""

FEATURE_SPLITTING_TERMS: dict[str, Callable[[Recipe], LossTerm]] = {
    "matching": _feature_splitting_term
}
"""The terms of feature splitting, of the style losses that have such a level."""

DETAIL_TERMS: dict[str, Callable[[Recipe], LossTerm]] = {
    "matching": lambda recipe: matching_term(recipe, detail=True)
}
"""The terms of detail levels, of the style losses that have such levels."""

DEEPEST_SHALLOW_BLOCK = 3
"""The deepest block at levels with ``LevelRole.shallow``; deeper blocks represent structure, and
need a third of the time. Feature splitting is not shallow: it also uses block4_conv1."""

DEEPEST_DETAIL_LAYER = "block3_conv1"
"""The deepest layer at levels with ``LevelRole.detail``. The next two need two fifths of the time,
and results look the same (benchmarks/NOTES.md)."""


def style_term(recipe: Recipe, role: LevelRole = STRUCTURE) -> LossTerm:
    """Return the style loss of levels with a role."""
    table = DETAIL_TERMS if role.detail else STYLE_LOSSES
    if role.feature_splitting:
        table = FEATURE_SPLITTING_TERMS
    own = recipe
    if role.shallow:
        own = replace(own, style_layers=shallow_layers(own.style_layers))
    if role.detail:
        own = replace(own, style_layers=_detail_layers(own.style_layers))
    term = table[recipe.style_loss](own)
    if role == FINEST and isinstance(term, MatchingTerm):
        return replace(term, next_term=_feature_splitting_term(recipe))
    return term


def _detail_layers(layers: Layers) -> Layers:
    """Return the layers of levels with ``LevelRole.detail``; all if there are no others."""
    return tuple(each for each in layers if each[0] <= DEEPEST_DETAIL_LAYER) or layers


def shallow_layers(layers: Layers) -> Layers:
    """Return the layers of levels with ``LevelRole.shallow``."""
    return tuple(each for each in layers if block_number(each[0]) <= DEEPEST_SHALLOW_BLOCK)
