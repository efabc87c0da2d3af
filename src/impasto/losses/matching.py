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
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from impasto.compute.arrays import (
    HostArray,
    Tensor,
    array_namespace,
    as_array_like,
    gather_rows,
    is_tensor,
    to_numpy,
)
from impasto.compute.feature_reductions import block_mean, block_mean_gradient, row_blocks
from impasto.images import masks, style_regions
from impasto.images.arrays import ImageArray, resample, size_of
from impasto.images.style_regions import StyledRegion
from impasto.losses import feature_index, style_cache, tiles, voting
from impasto.losses.content import add_array
from impasto.losses.feature_index import Array, FeatureIndex, IndexArray
from impasto.losses.terms import (
    AddGradient,
    FeatureMaps,
    LevelInputs,
    LevelTarget,
    Pullback,
    TargetTile,
    TiledFeatureExtractor,
    TileFeatures,
)
from impasto.losses.voting import Votes
from impasto.recipe.settings import STARTS, Recipe

GRID_BLOCK = 3
"""The block whose positions are the grid of hypercolumns: a quarter of the image's size."""

GRID_STRIDE = 2 ** (GRID_BLOCK - 1)
"""Pixels between positions of the grid."""

TINY = 1e-12
"""Keeps the loss finite against a target that is zero everywhere."""


class RegionIndex(NamedTuple):
    """A region and the features of its style images."""

    feature_index: FeatureIndex
    weights: Array | None = None
    """(h, w) weights of grid positions in the region; None for the whole image"""


class MatchIndexes(NamedTuple):
    """The nearest neighbors of the positions of a region, or of a tile of it."""

    feature_index: FeatureIndex
    indexes: NDArray[np.int32]
    """(h, w) on the grid; any value at positions outside the region"""
    weights: Array | None
    """(h, w) as in :class:`RegionIndex`"""

    def crop(self, crop_array: Callable[[Array], Array]) -> "MatchIndexes":
        """Return the neighbors in a part, where ``crop_array`` crops an array (h, w)."""
        weights = None if self.weights is None else crop_array(self.weights)
        return MatchIndexes(self.feature_index, crop_array(self.indexes), weights)


class MatchTarget(NamedTuple):
    """The targets of a tile, and the scale of each layer."""

    maps: dict[str, Tensor]
    """by layer, float32, with the shape of :func:`reduce_maps`"""
    weights: dict[str, Tensor]
    """by layer (height, width, 1), weights of positions; missing if all are one"""
    scales: dict[str, Tensor]
    """by layer (), factor of its sum in the loss"""


class TargetMaps(NamedTuple):
    """The target features of a tile by layer."""

    maps: dict[str, Array]
    """(height, width, C) with the shape of :func:`reduce_maps`"""
    counts: dict[str, Array]
    """(height, width, 1) weighted number of grid positions that each represents"""
    weighted: bool
    """whether positions have weights"""


def reduce_maps(maps: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Reduce feature maps (height, width, C) to the values that are compared, in float32.

    Maps finer than the grid are averaged over 4 x 4 or 2 x 2 positions, without an odd last row or
    column, as in VGG's pooling. The others are unchanged. A position depends only on the features
    there, so aligned tiles have the values of the whole image.
    """
    return {layer: reduce_layer(layer, maps[layer]) for layer in matching_layers(maps)}


def reduce_layer(layer: str, features: Tensor) -> Tensor:
    """Return :func:`reduce_maps` of one layer's features (height, width, C)."""
    return block_mean(features, _block_size(layer))


def hypercolumns(maps: Mapping[str, Tensor]) -> Tensor:
    """Return the hypercolumns (h, w, C) of feature maps, float32.

    They lie on the grid of block 3, a quarter of the image's size. Each map is divided by its
    number of channels. Maps of block 4 are enlarged bilinearly by two about half-pixel centers,
    with edge values repeated. A map of the grid's size or finer is required.
    """
    return concatenate_layers(resample_to_grid(reduce_maps(maps)))


def resample_to_grid(reduced: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the output of :func:`reduce_maps` on the grid, by layer (h, w, C)."""
    height, width = next(
        each.shape[:2] for layer, each in reduced.items() if block_number(layer) <= GRID_BLOCK
    )

    def enlarged(layer: str, value: Tensor) -> Tensor:
        if block_number(layer) <= GRID_BLOCK:
            return value
        return _upsample_2x(_upsample_2x(value, 0, height), 1, width)

    return {layer: enlarged(layer, reduced[layer]) for layer in matching_layers(reduced)}


def concatenate_layers(grids: dict[str, Tensor]) -> Tensor:
    """Return (h, w, C): the maps (h, w, C') of all layers, each divided by its channels.

    ``grids`` is emptied, so that no map is in memory twice.
    """
    first = next(iter(grids.values()))
    if is_tensor(first):
        scaled = [each / each.shape[-1] for each in grids.values()]
        return array_namespace(first).concatenate(scaled, axis=-1)
    channels = sum(each.shape[-1] for each in grids.values())
    columns, begin = np.empty((*first.shape[:2], channels), np.float32), 0
    del first
    for layer in list(grids):
        each = grids.pop(layer)
        end = begin + each.shape[-1]
        np.multiply(each, np.float32(1 / each.shape[-1]), out=columns[..., begin:end])
        begin = end
    return columns


def matching_layers(maps: Iterable[str]) -> list[str]:
    """Return the convolutions of the first four blocks among names of layers, in their order."""
    return sorted(name for name in maps if re.fullmatch(r"block[1-4]_conv\d", name))


def block_number(layer: str) -> int:
    """Return the number of a layer's block."""
    return int(layer[len("block")])


def _block_size(layer: str) -> int:
    """Return the side in positions of the blocks over which a layer's features are averaged."""
    return int(2 ** max(0, GRID_BLOCK - block_number(layer)))


def _upsample_2x(value: Tensor, axis: int, size: int) -> Tensor:
    """Enlarge (height, width, C) bilinearly by two along an axis, to ``size``: that or one more.

    Every value becomes two, at a quarter of the distance to either neighbor.
    """

    ops = array_namespace(value)

    def part(tensor: Tensor, begin: int | None, end: int | None) -> Tensor:
        return tensor[(slice(None),) * axis + (slice(begin, end),)]

    before = ops.concatenate([part(value, None, 1), part(value, None, -1)], axis=axis)
    after = ops.concatenate([part(value, 1, None), part(value, -1, None)], axis=axis)
    quarters = [0.75 * value + 0.25 * before, 0.75 * value + 0.25 * after]
    shape = list(value.shape)
    shape[axis] = 2 * shape[axis]
    doubled = ops.reshape(ops.stack(quarters, axis=axis + 1), tuple(shape))
    return part(ops.concatenate([doubled, part(doubled, -1, None)], axis=axis), None, size)


def tile_grids(features: TileFeatures, layers: Sequence[str]) -> dict[str, Array]:
    """Return the features of the core box of a tile on the grid, by layer (h, w, C)."""
    grids = resample_to_grid(features.compute(reduce_layer))
    return {layer: features.crop_to_core(grids[layer], GRID_STRIDE) for layer in layers}


def mix_query(content: ImageArray, image: ImageArray | None, query_mix: float) -> ImageArray:
    """Return the image whose hypercolumns are matched, of the size of ``content``.

    (1 - a) content + a (image + finest detail of content), where the detail is lost when the
    content image is halved in size. ``image`` is the initial image of the level, of the same size;
    at the coarsest level it is None, and ``content`` is returned. ``query_mix`` is a in [0, 1]: at
    0 the structure is that of the content image, from 0.5 on the style's structure dominates.
    """
    if image is None or not query_mix:
        return content
    height, width = size_of(content)
    half = resample(content, max(1, height // 2), max(1, width // 2))
    detail = content - resample(half, height, width)
    content_fraction, image_fraction = np.array([1 - query_mix, query_mix], np.float32)
    mixed: ImageArray = content_fraction * content + image_fraction * (image + detail)
    return mixed


def match_regions(
    columns: Iterable[Array],
    regions: Sequence[RegionIndex],
    tile_positions: Sequence[IndexArray],
) -> list[MatchIndexes]:
    """Return the nearest neighbors of all positions of each region.

    Args:
        columns: hypercolumns (h, w, C) of each tile
        regions: the regions and their style features
        tile_positions: (h, w) row-major indexes of each tile's positions in the whole image
    """
    positions = np.concatenate([each.reshape(-1) for each in tile_positions])
    region_positions = [_region_positions(region, positions) for region in regions]
    queries = [feature_index.QueryBuilder(len(each)) for each in region_positions]
    for tile_columns, in_tile in zip(columns, tile_positions, strict=True):
        flat = array_namespace(tile_columns).reshape(tile_columns, (-1, tile_columns.shape[-1]))
        for region, query in zip(regions, queries, strict=True):
            query.add(_region_query(flat, in_tile.reshape(-1), region))
        del tile_columns, flat  # the search allocates memory of its own
    matches = []
    for region, query, in_region in zip(regions, queries, region_positions, strict=True):
        # All positions of a region at once, since mean and hubness are computed over all of them.
        indexes = np.zeros(len(positions), np.int32)
        if len(in_region):
            indexes[in_region] = feature_index.search(query.whole, region.feature_index, in_region)
        matches.append(MatchIndexes(region.feature_index, indexes, region.weights))
    return matches


def _region_query(
    flat: Array, positions: IndexArray, region: RegionIndex
) -> feature_index.SearchQuery:
    if region.weights is None:
        return feature_index.project_query(flat, region.feature_index)
    weights = region.weights.reshape(-1)[positions]
    in_region = weights > 0
    rows = gather_rows(flat, np.flatnonzero(in_region))
    return feature_index.project_query(rows, region.feature_index, weights[in_region])


def _region_positions(region: RegionIndex, positions: IndexArray) -> IndexArray:
    """Return the positions that belong to a region."""
    if region.weights is None:
        return positions
    return positions[region.weights.reshape(-1)[positions] > 0]


def _match_image(
    level_inputs: LevelInputs,
    query: ImageArray,
    regions: Sequence[RegionIndex],
    layers: Sequence[str],
) -> tuple[list[MatchIndexes], dict[str, int]]:
    """Return the nearest neighbors of a whole image (h, w), and the channels of each layer."""
    channels: dict[str, int] = {}

    def columns(tile: TargetTile) -> Array:
        grids = tile_grids(tile.tile_features(query), layers)
        channels.update({layer: each.shape[-1] for layer, each in grids.items()})
        return concatenate_layers(grids)

    height, width = (side // GRID_STRIDE for side in size_of(level_inputs.content))
    positions = np.arange(height * width).reshape(height, width)
    tile_columns = (columns(tile) for tile in level_inputs.iter_target_tiles())
    tile_positions = [tiles.crop(positions, GRID_STRIDE, tile.core) for tile in level_inputs.tiles]
    matches = [
        each._replace(indexes=each.indexes.reshape(height, width))
        for each in match_regions(tile_columns, regions, tile_positions)
    ]
    return matches, channels


def _make_region_index(
    region: StyledRegion, level_inputs: LevelInputs, layers: Sequence[str]
) -> RegionIndex:
    """Return the features of a region's style images, and its weights on the grid."""
    index = build_region_index(region, level_inputs.extractor, layers)
    if region.mask is None:
        return RegionIndex(index)
    size = (side // GRID_STRIDE for side in size_of(level_inputs.content))
    return RegionIndex(index, masks.resize_mask(region.mask, *size))


def build_region_index(
    region: StyledRegion, extractor: TiledFeatureExtractor, layers: Sequence[str]
) -> FeatureIndex:
    """Return the index of the features of a region's style images."""
    key = ("matching", style_cache.region_key(region), tuple(layers))
    build = functools.partial(_extract_region_index, region, extractor, layers)
    index: FeatureIndex = extractor.style_cache.get(key, build)
    return index


def _extract_region_index(
    region: StyledRegion, extractor: TiledFeatureExtractor, layers: Sequence[str]
) -> FeatureIndex:
    styles = [each for each in region.styles if each.weight]
    limit = feature_index.MAX_POSITIONS // len(styles)
    indexed = [_index_style(each, extractor, layers, limit) for each in styles]
    rebuild = functools.partial(build_region_index, region, extractor, layers)
    return feature_index.build_index(indexed)._replace(rebuild=rebuild)


def _index_style(
    style: style_regions.StyleImage,
    extractor: TiledFeatureExtractor,
    layers: Sequence[str],
    limit: int,
) -> feature_index.IndexedStyle:
    """Return the features to keep of a style image and its rotations."""
    views = feature_index.rotations(style.image)
    grids = [(view.shape[0] // GRID_STRIDE, view.shape[1] // GRID_STRIDE) for view in views]
    weights = None
    if style.mask is not None:
        rotated = feature_index.rotations(style.mask)
        weights = [
            masks.resize_mask(mask, *grid) for mask, grid in zip(rotated, grids, strict=True)
        ]
    selected = feature_index.select_positions(grids, weights, limit)
    rows = (
        _kept_rows(
            concatenate_layers(tile_grids(features, layers)),
            tiles.crop(kept, GRID_STRIDE, features.tile.core),
        )
        for view, kept in zip(views, selected, strict=True)
        for features in extractor.iter_tiles(view)
    )
    positions = _kept_positions(views, selected, extractor)
    features = _fill_rows(rows, len(positions))
    count = sum(each.size for each in selected)
    return feature_index.IndexedStyle(style.weight, features, positions, count)


def _kept_positions(
    views: Sequence[ImageArray],
    selected: Sequence[NDArray[np.bool_]],
    extractor: TiledFeatureExtractor,
) -> IndexArray:
    """Return the positions of the rows of an index, see :class:`feature_index.IndexedStyle`."""
    positions, start = [], 0
    for view, kept in zip(views, selected, strict=True):
        numbers = np.arange(start, start + kept.size).reshape(kept.shape)
        for tile in extractor.split_into_tiles(size_of(view)):
            in_tile, of_tile = (
                tiles.crop(each, GRID_STRIDE, tile.core) for each in (numbers, kept)
            )
            positions.append(in_tile[of_tile])
        start += kept.size
    return np.concatenate(positions)


def _kept_rows(columns: Array, kept: NDArray[np.bool_]) -> Array:
    """Return the rows (n, C) of (h, w, C) to keep."""
    if kept.all():
        return array_namespace(columns).reshape(columns, (-1, columns.shape[-1]))
    return feature_index.take_positions(columns, np.flatnonzero(kept))


def _fill_rows(rows: Iterable[Array], count: int) -> Array:
    """Return ``count`` rows in all as one array; NumPy arrays are not in memory twice."""
    filled, end, parts = np.empty((0, 0), np.float32), 0, []
    for each in rows:
        if is_tensor(each):
            parts.append(each)
            continue
        if not filled.size:
            filled = np.empty((count, each.shape[-1]), np.float32)
        filled[end : end + len(each)] = each
        end += len(each)
    return array_namespace(parts[0]).concatenate(parts) if parts else filled


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


@dataclass(frozen=True)
class MatchingTerm:
    """Style by matched features, see the module. Sums are Σ w |h - t|² by layer."""

    layer_weights: Mapping[str, float]
    """weights of the layers in the loss"""
    style_fraction: float
    """see :class:`impasto.recipe.strength.StrengthEffects`"""
    query_mix: float
    """see :func:`mix_query`"""
    vote_fraction: float = 0.0
    """fraction of the vote in the image that a level starts from (:mod:`impasto.losses.voting`)"""
    votes_on_content: bool = True
    """whether the first level starts from a vote too; not if it starts from another image than the
    content image"""
    detail: bool = False
    """see :class:`impasto.losses.level_roles.LevelRole`"""
    additive = True

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers of the hypercolumns."""
        return tuple(matching_layers(self.layer_weights))

    def make_target(self, level_inputs: LevelInputs) -> LevelTarget:
        """Search the nearest neighbors of all positions, once per level."""
        query = mix_query(level_inputs.content, level_inputs.initial, self.query_mix)
        regions = [
            _make_region_index(region, level_inputs, self.layers) for region in level_inputs.regions
        ]
        matches, channels = _match_image(level_inputs, query, regions, self.layers)
        return self.bind_matches(level_inputs, matches, channels)

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
    size, scaled = _block_size(layer), factor * gradient
    (block_mean_gradient(scaled, size) if size > 1 else add_array(scaled))(to)


def matching_term(recipe: Recipe, detail: bool = False) -> MatchingTerm:
    """Return style by matched features; ``strength`` sets the query and the style fraction.

    With ``detail`` the query is the initial image alone.
    """
    effects = recipe.strength_effects
    return MatchingTerm(
        dict(recipe.style_layers),
        effects.style_fraction,
        query_mix=1.0 if detail else effects.query_mix,
        vote_fraction=effects.vote_fraction,
        votes_on_content=recipe.init == STARTS[0],
        detail=detail,
    )
