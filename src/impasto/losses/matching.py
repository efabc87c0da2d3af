"""Style by matched features: each position is pulled toward its nearest neighbor in the style.

Kolkin, Kucera, Paris, Sýkora, Shechtman and Shakhnarovich 2022, "Neural Neighbor Style Transfer".
A *hypercolumn* is the concatenation of the features of all layers at one position. For each level,
every hypercolumn of a query is matched with its nearest neighbor among those of the style image.
The loss is

    sum over positions of w |h - t|² / sum over positions of w |m|²

with h the hypercolumn of the current image, m the matched one, t the target computed from it, and
w its weight; layers may have weights. It is a sum over positions, so tiles, strips and regions add
up.

Departures: squared error instead of the cosine distance, with which contrast grows without bound.
Targets are fixed for a level. Below full strength, a part of each target is the content image's
own hypercolumn. The deepest block is compared at its own positions, each with the mean of the
targets of the four grid positions that it covers. This has the same gradient as the sum above with
those features repeated, and compares a quarter of the values.
"""

import functools
import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np

from impasto.compute.arrays import (
    Array,
    HostArray,
    Tensor,
    array_namespace,
    as_array_like,
    gather_rows,
    is_tensor,
    to_numpy,
)
from impasto.compute.feature_reductions import block_mean_gradient, row_blocks
from impasto.images.style_regions import StyledRegion
from impasto.losses import match_search, voting
from impasto.losses.carried_matches import carried_matches
from impasto.losses.content import add_array
from impasto.losses.hypercolumns import (
    GRID_BLOCK,
    GRID_STRIDE,
    block_number,
    block_size,
    matching_layers,
    reduce_layer,
    tile_grids,
)
from impasto.losses.match_search import MatchIndexes
from impasto.losses.style_index import RegionIndex, make_region_index
from impasto.losses.style_views import ViewReader
from impasto.losses.terms import (
    AddGradient,
    FeatureMaps,
    LevelInputs,
    LevelTarget,
    Pullback,
    TargetTile,
    TiledFeatureExtractor,
)
from impasto.losses.voting import Votes
from impasto.recipe.settings import STARTS, Recipe

TINY = 1e-12
"""Keeps the loss finite against a target that is zero everywhere."""


class MatchTarget(NamedTuple):
    """The targets of a tile, and the scale of each layer."""

    maps: dict[str, Tensor]
    """by layer, float32, with the shape of :func:`impasto.losses.hypercolumns.reduce_maps`"""
    weights: dict[str, Tensor]
    """by layer (height, width, 1), weights of positions; missing if all are one"""
    scales: dict[str, Tensor]
    """by layer (), factor of its sum in the loss"""


class TargetMaps(NamedTuple):
    """The target features of a tile by layer."""

    maps: dict[str, Array]
    """(height, width, C) with the shape of :func:`impasto.losses.hypercolumns.reduce_maps`"""
    counts: dict[str, Array]
    """(height, width, 1) weighted number of grid positions that each represents"""
    weighted: bool
    """whether positions have weights"""


def matched_features(
    matches: Sequence[MatchIndexes], channels: slice = slice(None)
) -> tuple[Array, Array | None]:
    """Return the matched features of positions (h, w, C), and their weights (h, w).

    ``channels`` selects consecutive channels. A position of several regions gets the mean over
    them, weighted by its weights in each; this has the gradient of the weighted sum of losses.
    """
    if len(matches) == 1 and matches[0].weights is None:
        (match,) = matches
        return gather_rows(match.feature_index.features[:, channels], match.indexes), None
    total, features = np.zeros(matches[0].indexes.shape, np.float32), 0.0
    for match in matches:
        weights = np.float32(1) if match.weights is None else match.weights.astype(np.float32)
        total = total + weights
        factor = as_array_like(
            np.broadcast_to(weights, total.shape)[..., None], match.feature_index.features
        )
        features = features + factor * gather_rows(
            match.feature_index.features[:, channels], match.indexes
        )
    return features / as_array_like(np.maximum(total, TINY)[..., None], features), total


def make_target_maps(
    matches: Sequence[MatchIndexes], content_grids: dict[str, Array], style_fraction: float
) -> TargetMaps:
    """Return the target features of a tile: s · matched + (1 - s) · content, s the style fraction.

    ``content_grids`` are the content image's features on the grid by layer (h, w, C). The dict is
    emptied, so that no more than one layer is in memory twice.
    """
    maps, counts, weights, begin = {}, {}, None, 0
    for layer in list(content_grids):
        stride, content = 2 ** max(0, block_number(layer) - GRID_BLOCK), content_grids.pop(layer)
        channels = content.shape[-1]
        columns, weights = matched_features(matches, slice(begin, begin + channels))
        columns = columns * (style_fraction * channels) + content * (1 - style_fraction)
        maps[layer], counts[layer] = _block_means(columns, weights, stride)
        begin += channels
    return TargetMaps(maps, counts, weights is not None)


def squared_norms(matches: Sequence[MatchIndexes], channels: Mapping[str, int]) -> dict[str, float]:
    """Return Σ w |m|² over a tile by layer, with m the matched features; tiles add up.

    The content image's part of a target is not included, so that its features are not needed.
    """
    height, width = matches[0].indexes.shape
    total: HostArray = np.zeros(sum(channels.values()), np.float64)
    for rows in row_blocks(height, width * len(total)):
        block = [each.crop(operator.itemgetter(rows)) for each in matches]
        values, weights = matched_features(block)
        ops = array_namespace(values)
        squares = ops.square(values)
        if weights is not None:
            squares = squares * as_array_like(weights[..., None], squares)
        dtype = {} if is_tensor(squares) else {"dtype": np.float64}
        total += to_numpy(ops.sum(squares, axis=(0, 1), **dtype))
    by_layer = np.split(total, np.cumsum([*channels.values()])[:-1])
    return {layer: float(each.sum()) for layer, each in zip(channels, by_layer, strict=True)}


def make_match_target(
    target_maps: TargetMaps, norms: Mapping[str, float], layer_weights: Mapping[str, float]
) -> MatchTarget:
    """Return the target of a tile.

    Args:
        target_maps: target features of the tile
        norms: :func:`squared_norms` of the whole image
        layer_weights: weights of the layers in the loss; the search does not depend on them
    """
    size = max(sum(layer_weights[name] * each for name, each in norms.items()), TINY)
    scales = {
        name: np.float32(layer_weights[name] / each.shape[-1] ** 2 / size)
        for name, each in target_maps.maps.items()
    }
    weights = {
        name: each
        for name, each in target_maps.counts.items()
        if target_maps.weighted or block_number(name) > GRID_BLOCK
    }
    return MatchTarget(target_maps.maps, weights, scales)


def _block_means(values: Array, weights: Array | None, stride: int) -> tuple[Array, Array]:
    """Return weighted means of (h, w, C) over blocks, and each block's weight (h', w', 1)."""
    height, width, channels = values.shape
    each = np.ones((height, width), np.float32) if weights is None else weights
    if stride == 1:
        return values, each[..., None]
    rows, columns = height // stride, width // stride
    crop = slice(rows * stride), slice(columns * stride)
    block_weights = each[crop].reshape(rows, stride, columns, stride, 1)
    counts = block_weights.sum(axis=(1, 3))
    at_least = array_namespace(counts).maximum(counts, TINY)
    ops = array_namespace(values)
    blocks = ops.reshape(values[crop], (rows, stride, columns, stride, channels))
    sums = ops.sum(blocks * as_array_like(block_weights, values), axis=(1, 3))
    return sums / as_array_like(at_least, values), counts


class StoringReader(ViewReader, Protocol):
    """Reads style images for the next level."""

    def store(self) -> None:
        """Store what was read, if anything, in a cache."""
        ...


class NextTerm(Protocol):
    """The style loss of a level that follows at the same size."""

    def shared_reader(
        self, region: StyledRegion, extractor: TiledFeatureExtractor
    ) -> StoringReader | None:
        """Return the reader of the style images of a region; None to read them later."""
        ...


@dataclass(frozen=True)
class MatchingTerm:
    """Style by matched features, see the module. Sums are Σ w |h - t|² by layer."""

    layer_weights: Mapping[str, float]
    """weights of the layers in the loss"""
    style_fraction: float
    """see :class:`impasto.recipe.strength.StrengthEffects`"""
    query_mix: float
    """see :func:`impasto.losses.match_search.mix_query`"""
    vote_fraction: float = 0.0
    """fraction of the vote in the image that a level starts from (:mod:`impasto.losses.voting`)"""
    votes_on_content: bool = True
    """whether the first level starts from a vote too; not if it starts from another image than the
    content image"""
    detail: bool = False
    """see :class:`impasto.losses.level_roles.LevelRole`"""
    next_term: NextTerm | None = None
    """the style loss of the next level, if it has the same size"""
    additive = True

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers of the hypercolumns."""
        return tuple(matching_layers(self.layer_weights))

    def make_target(self, level_inputs: LevelInputs) -> LevelTarget:
        """Search the nearest neighbors of all positions, once per level."""
        if self.detail:
            return self.bind_matches(level_inputs, *carried_matches(level_inputs, self.layers))
        query = match_search.mix_query(level_inputs.content, level_inputs.initial, self.query_mix)
        regions = [self._region_index(each, level_inputs) for each in level_inputs.regions]
        matches, channels = match_search.match_image(level_inputs, query, regions, self.layers)
        return self.bind_matches(level_inputs, matches, channels)

    def _region_index(self, region: StyledRegion, level_inputs: LevelInputs) -> RegionIndex:
        """Return the index of a region; its style images are also read for the next level."""
        reader = None
        if self.next_term is not None and level_inputs.for_styles is not None:
            reader = self.next_term.shared_reader(region, level_inputs.for_styles)
        others = () if reader is None else (reader,)
        index = make_region_index(region, level_inputs, self.layers, others=others)
        if reader is not None:
            reader.store()
        return index

    def bind_matches(
        self,
        level_inputs: LevelInputs,
        matches: Sequence[MatchIndexes],
        channels: Mapping[str, int],
    ) -> LevelTarget:
        """Return the targets for given matches, such as those that a video carries along.

        Args:
            level_inputs: the inputs of the level
            matches: the neighbors of all positions (h, w) of each region
            channels: number of channels of each layer
        """
        norms = level_inputs.sum_over_tiles(
            lambda tile: squared_norms(_crop_matches(matches, tile), channels)
        )
        for_tile = level_inputs.cache_single_tile(
            functools.partial(self._tile_target, matches=matches, norms=norms)
        )
        if level_inputs.initial is None and not self.votes_on_content:
            return LevelTarget(for_tile)
        votes = [
            _votes(each, region) for each, region in zip(matches, level_inputs.regions, strict=True)
        ]
        start = functools.partial(
            voting.mix_vote, votes, fraction=self.vote_fraction, detail=self.detail
        )
        return LevelTarget(for_tile, start)

    def _tile_target(
        self, tile: TargetTile, matches: Sequence[MatchIndexes], norms: Mapping[str, float]
    ) -> MatchTarget:
        content_grids = tile_grids(tile.tile_features(tile.level_inputs.content), self.layers)
        target_maps = make_target_maps(
            _crop_matches(matches, tile), content_grids, self.style_fraction
        )
        return make_match_target(target_maps, norms, self.layer_weights)

    def reduce(self, features: FeatureMaps, target: MatchTarget) -> dict[str, Tensor]:
        """Return Σ w |h - t|² over positions and channels, by layer."""
        sums = {}
        for layer, target_map in target.maps.items():
            ops = array_namespace(features.maps[layer])
            squares = ops.square(reduce_layer(layer, features.maps[layer]) - target_map)
            if layer in target.weights:
                squares = squares * target.weights[layer]
            sums[layer] = ops.sum(squares)
        return sums

    def loss(self, sums: Mapping[str, Tensor], target: MatchTarget) -> Tensor:
        """Return the loss of the whole image, a scalar: 0 if it equals its targets."""
        return sum(self.layer_losses(sums, target).values())

    def layer_losses(self, sums: Mapping[str, Tensor], target: MatchTarget) -> dict[str, Tensor]:
        """Return the part of each layer in :meth:`loss`."""
        return {layer: sums[layer] * scale for layer, scale in target.scales.items()}

    def vjp(self, features: FeatureMaps, target: MatchTarget) -> tuple[dict[str, Tensor], Pullback]:
        """Return :meth:`reduce` of NumPy features, and its pullback: 2 w (h - t)."""
        sums, weighted = {}, {}
        for layer, target_map in target.maps.items():
            difference = reduce_layer(layer, features.maps[layer]) - target_map
            weighted[layer] = difference
            if layer in target.weights:
                weighted[layer] = difference * target.weights[layer]
            sums[layer] = np.float32(np.vdot(difference, weighted[layer]))

        def pullback(by: Mapping[str, Tensor]) -> dict[str, list[AddGradient]]:
            return {
                layer: [functools.partial(_add_layer_gradient, layer, 2 * by[layer], each)]
                for layer, each in weighted.items()
            }

        return sums, pullback

    def loss_gradient(
        self, sums: Mapping[str, Tensor], target: MatchTarget
    ) -> Mapping[str, Tensor]:
        """Return the gradient of :meth:`loss` by the sums."""
        return target.scales


def _votes(matches: MatchIndexes, region: StyledRegion) -> Votes:
    """Return the votes of the matches of a region."""
    images = [style.image for style in region.styles if style.weight]
    voters = None if matches.weights is None else matches.weights > 0
    return Votes(matches.feature_index.positions[matches.indexes], images, voters, region.mask)


def _crop_matches(matches: Sequence[MatchIndexes], tile: TargetTile) -> list[MatchIndexes]:
    return [each.crop(lambda field: tile.crop(field, GRID_STRIDE)) for each in matches]


def _add_layer_gradient(layer: str, factor: np.float32, gradient: HostArray, to: HostArray) -> None:
    """Add factor · gradient by the reduced features of a layer to the gradient by its features."""
    size, scaled = block_size(layer), factor * gradient
    (block_mean_gradient(scaled, size) if size > 1 else add_array(scaled))(to)


def matching_term(recipe: Recipe, detail: bool = False) -> MatchingTerm:
    """Return style by matched features; ``strength`` sets the query and the style fraction.

    With ``detail`` the query is the initial image alone, and the style fraction is squared: its
    matches come from half the size, and thin lines of the content image would be lost
    (benchmarks/NOTES.md).
    """
    effects = recipe.strength_effects
    return MatchingTerm(
        dict(recipe.style_layers),
        effects.style_fraction ** (2 if detail else 1),
        query_mix=1.0 if detail else effects.query_mix,
        vote_fraction=effects.vote_fraction,
        votes_on_content=recipe.init == STARTS[0],
        detail=detail,
    )
