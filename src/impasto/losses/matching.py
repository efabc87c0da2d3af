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
those features repeated, and reads a quarter of the values.
"""

import functools
import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
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
from impasto.losses import feature_index, tiles
from impasto.losses.content import add_array
from impasto.losses.feature_index import Array, FeatureIndex, IndexArray
from impasto.losses.terms import (
    AddGradient,
    FeatureMaps,
    LevelInputs,
    LossTerm,
    Pullback,
    TargetTile,
    TiledFeatureExtractor,
    TileFeatures,
)
from impasto.recipe.settings import Recipe

GRID_BLOCK = 3
"""The block whose positions are the grid of hypercolumns: a quarter of the picture's size."""

HALF_STRENGTH_FRACTION = 0.9
"""The painting's share of a target at strength 0.5. A tenth of the photograph keeps faces and
ridges that the painting has nothing like (benchmarks/NOTES.md)."""

TINY = 1e-12
"""Keeps the loss finite against a target that is zero all over."""


class RegionIndex(NamedTuple):
    """A region of the picture and what it is to look like."""

    feature_index: FeatureIndex
    weights: Array | None = None
    """(h, w) at the grid, how much of a position belongs to the region; all of it if None"""


class MatchIndexes(NamedTuple):
    """Which features of its pool the positions of a region, or of a part of one, have found."""

    feature_index: FeatureIndex
    indexes: NDArray[np.int32]
    """(h, w) at the grid; any where nothing belongs to the region"""
    weights: Array | None
    """(h, w) as :class:`RegionIndex` has them"""

    def crop(self, part: Callable[[Array], Array]) -> "MatchIndexes":
        """Return a part of it, where ``part`` gives that of a field (h, w)."""
        weights = None if self.weights is None else part(self.weights)
        return MatchIndexes(self.feature_index, part(self.indexes), weights)


class MatchTarget(NamedTuple):
    """What a picture's maps are compared with, and how much each layer weighs."""

    maps: dict[str, Tensor]
    """by layer, float32, of the size of what :func:`reduce_maps` gives"""
    weights: dict[str, Tensor]
    """by layer (height, width, 1), how much of a position counts; none if all count alike"""
    scales: dict[str, Tensor]
    """by layer (), what its sum is multiplied with in the loss"""


def reduce_maps(maps: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Reduce feature maps (height, width, C) to what targets are compared with.

    float32. Those above the grid are averaged over 4 x 4 or 2 x 2 positions, without an odd last
    row or column, as in VGG's pooling; those at it and below it stay as they are. A position
    depends on what is there alone, so that aligned tiles give what the whole picture does.
    """
    return {layer: reduce_layer(layer, maps[layer]) for layer in matching_layers(maps)}


def reduce_layer(layer: str, features: Tensor) -> Tensor:
    """Return what is compared of a layer's features (height, width, C), see :func:`reduce_maps`."""
    return block_mean(features, _block_size(layer))


def hypercolumns(maps: Mapping[str, Tensor]) -> Tensor:
    """Return (h, w, C) float32, all channels of ``maps`` one after the other.

    At the grid of block 3, a quarter of the picture's size; every map divided by its number of
    channels. Those of block 4 are enlarged bilinearly by two about half-pixel centers, and
    continued by the values at their edge. A map at the grid or above must be among them.
    """
    return concatenate_layers(resample_to_grid(reduce_maps(maps)))


def resample_to_grid(reduced: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return by layer (h, w, C) what :func:`reduce_maps` gives, all at the grid."""
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
        shares = [each / each.shape[-1] for each in grids.values()]
        return array_namespace(first).concatenate(shares, axis=-1)
    whole = sum(each.shape[-1] for each in grids.values())
    columns, begin = np.empty((*first.shape[:2], whole), np.float32), 0
    del first
    for layer in list(grids):
        each = grids.pop(layer)
        end = begin + each.shape[-1]
        np.multiply(each, np.float32(1 / each.shape[-1]), out=columns[..., begin:end])
        begin = end
    return columns


def matching_layers(maps: Iterable[str]) -> list[str]:
    """Return the convolutions of the first four blocks among names of maps, from the shallowest."""
    return sorted(name for name in maps if re.fullmatch(r"block[1-4]_conv\d", name))


def block_number(layer: str) -> int:
    """Return the number of the block that a layer is in."""
    return int(layer[len("block")])


def _block_size(layer: str) -> int:
    """Return the side of the blocks of a layer's positions whose means are compared."""
    return int(2 ** max(0, GRID_BLOCK - block_number(layer)))


def _upsample_2x(value: Tensor, axis: int, size: int) -> Tensor:
    """Enlarge (height, width, C) along an axis by two, bilinearly, to ``size``: that or one more.

    Every value becomes two, a quarter of the way towards either neighbor.
    """

    ops = array_namespace(value)

    def part(of: Tensor, begin: int | None, end: int | None) -> Tensor:
        return of[(slice(None),) * axis + (slice(begin, end),)]

    before = ops.concatenate([part(value, None, 1), part(value, None, -1)], axis=axis)
    after = ops.concatenate([part(value, 1, None), part(value, -1, None)], axis=axis)
    quarters = [0.75 * value + 0.25 * before, 0.75 * value + 0.25 * after]
    shape = list(value.shape)
    shape[axis] = 2 * shape[axis]
    doubled = ops.reshape(ops.stack(quarters, axis=axis + 1), tuple(shape))
    return part(ops.concatenate([doubled, part(doubled, -1, None)], axis=axis), None, size)


def mix_query(content: ImageArray, image: ImageArray | None, query_mix: float) -> ImageArray:
    """Return the picture whose hypercolumns are matched, of the size of ``content``.

    (1 - a) photograph + a (picture + the photograph's finest detail), where the detail is what
    halving its size loses, and ``image`` is the picture so far, of the same size; at the
    coarsest level there is none, and the photograph is returned. ``query_mix`` is a in [0, 1]: at
    0 shapes stay the photograph's, from 0.5 the painting's take over.
    """
    if image is None or not query_mix:
        return content
    height, width = size_of(content)
    half = resample(content, max(1, height // 2), max(1, width // 2))
    detail = content - resample(half, height, width)
    rest, share = np.array([1 - query_mix, query_mix], np.float32)
    mixed: ImageArray = rest * content + share * (image + detail)
    return mixed


def match_regions(
    columns: Iterable[Array], regions: Sequence[RegionIndex], where: Sequence[IndexArray]
) -> list[MatchIndexes]:
    """Find for every position its nearest in the pool of each region it belongs to.

    ``columns`` are hypercolumns (h, w, C) of the parts of a picture, ``where`` the places (h, w)
    that each part's positions have in the whole, row by row.
    """
    places = np.concatenate([each.reshape(-1) for each in where])
    inside = [_region_positions(region, places) for region in regions]
    asking = [feature_index.QueryBuilder(len(each)) for each in inside]
    for part, here in zip(columns, where, strict=True):
        flat = array_namespace(part).reshape(part, (-1, part.shape[-1]))
        for region, asked in zip(regions, asking, strict=True):
            asked.add(_region_query(flat, here.reshape(-1), region))
        del part, flat  # the search takes memory of its own
    found = []
    for region, asked, own in zip(regions, asking, inside, strict=True):
        # All that belongs to a region at once, since its mean and its crowd are one.
        indexes = np.zeros(len(places), np.int32)
        if len(own):
            indexes[own] = feature_index.search(asked.whole, region.feature_index, own)
        found.append(MatchIndexes(region.feature_index, indexes, region.weights))
    return found


def _region_query(
    flat: Array, places: IndexArray, region: RegionIndex
) -> feature_index.SearchQuery:
    if region.weights is None:
        return feature_index.project_query(flat, region.feature_index)
    weights = region.weights.reshape(-1)[places]
    inside = weights > 0
    rows = gather_rows(flat, np.flatnonzero(inside))
    return feature_index.project_query(rows, region.feature_index, weights[inside])


def _region_positions(region: RegionIndex, places: IndexArray) -> IndexArray:
    """Return those of the places that belong to a region."""
    return places if region.weights is None else places[region.weights.reshape(-1)[places] > 0]


def matched_features(
    found: Sequence[MatchIndexes], channels: slice = slice(None)
) -> tuple[Array, Array | None]:
    """Return what positions are to have (h, w, C), and how much of each counts (h, w).

    Of all channels of the pools, or of some in a row. One of several regions takes the mean over
    them, weighted by how much it belongs to each, which has the gradient of their weighted losses.
    """
    if len(found) == 1 and found[0].weights is None:
        return gather_rows(found[0].feature_index.features[:, channels], found[0].indexes), None
    total, features = np.zeros(found[0].indexes.shape, np.float32), 0.0
    for each in found:
        weights = np.float32(1) if each.weights is None else each.weights.astype(np.float32)
        total = total + weights
        share = as_array_like(
            np.broadcast_to(weights, total.shape)[..., None], each.feature_index.features
        )
        features = features + share * gather_rows(
            each.feature_index.features[:, channels], each.indexes
        )
    return features / as_array_like(np.maximum(total, TINY)[..., None], features), total


class TargetMaps(NamedTuple):
    """What a part of a picture is to have, layer by layer."""

    maps: dict[str, Array]
    """(height, width, C) of the size of what :func:`reduce_maps` gives"""
    counts: dict[str, Array]
    """(height, width, 1) how many positions of the grid each stands for, by their weights"""
    weighted: bool
    """whether positions count by weights"""


def make_target_maps(
    found: Sequence[MatchIndexes], own: dict[str, Array], share: float
) -> TargetMaps:
    """Return what a part of a picture is to have.

    What is not the painting's ``share`` is the photograph's ``own`` features, by layer at the grid
    (h, w, C). They are emptied, so that no more than one layer is in memory twice.
    """
    maps, counts, weights, begin = {}, {}, None, 0
    for layer in list(own):
        stride, content = 2 ** max(0, block_number(layer) - GRID_BLOCK), own.pop(layer)
        channels = content.shape[-1]
        columns, weights = matched_features(found, slice(begin, begin + channels))
        columns = columns * (share * channels) + content * (1 - share)
        maps[layer], counts[layer] = _block_means(columns, weights, stride)
        begin += channels
    return TargetMaps(maps, counts, weights is not None)


def squared_norms(found: Sequence[MatchIndexes], channels: Mapping[str, int]) -> dict[str, float]:
    """Return Σ w |m|² over a part of a picture by layer, m what was found; those of parts add up.

    What is found alone, and not the photograph's part in a target: that a picture in tiles need
    not look at the photograph for it.
    """
    height, width = found[0].indexes.shape
    total: HostArray = np.zeros(sum(channels.values()), np.float64)
    for rows in row_blocks(height, width * len(total)):
        values, weights = matched_features([each.crop(operator.itemgetter(rows)) for each in found])
        ops = array_namespace(values)
        squares = ops.square(values)
        if weights is not None:
            squares = squares * as_array_like(weights[..., None], squares)
        dtype = {} if is_tensor(squares) else {"dtype": np.float64}
        total += to_numpy(ops.sum(squares, axis=(0, 1), **dtype))
    parts = np.split(total, np.cumsum([*channels.values()])[:-1])
    return {layer: float(part.sum()) for layer, part in zip(channels, parts, strict=True)}


def make_match_target(
    part: TargetMaps, whole: Mapping[str, float], layers: Mapping[str, float]
) -> MatchTarget:
    """Return what a part of a picture is compared with.

    ``whole`` are the :func:`squared_norms` of the whole picture, ``layers`` shares of the layers in
    the loss, on which what is nearest does not depend.
    """
    size = max(sum(layers[name] * each for name, each in whole.items()), TINY)
    scales = {
        name: np.float32(layers[name] / each.shape[-1] ** 2 / size)
        for name, each in part.maps.items()
    }
    counting = {
        name: each
        for name, each in part.counts.items()
        if part.weighted or block_number(name) > GRID_BLOCK
    }
    return MatchTarget(part.maps, counting, scales)


def _block_means(values: Array, weights: Array | None, stride: int) -> tuple[Array, Array]:
    """Return weighted means of (h, w, C) over blocks, and each block's weight (h', w', 1)."""
    height, width, channels = values.shape
    each = np.ones((height, width), np.float32) if weights is None else weights
    if stride == 1:
        return values, each[..., None]
    rows, columns = height // stride, width // stride
    crop = slice(rows * stride), slice(columns * stride)
    stride_each = each[crop].reshape(rows, stride, columns, stride, 1)
    counts = stride_each.sum(axis=(1, 3))
    at_least = array_namespace(counts).maximum(counts, TINY)
    of = array_namespace(values)
    blocks = of.reshape(values[crop], (rows, stride, columns, stride, channels))
    sums = of.sum(blocks * as_array_like(stride_each, values), axis=(1, 3))
    return sums / as_array_like(at_least, values), counts


def reduce(seen: FeatureMaps, target: MatchTarget) -> dict[str, Tensor]:
    """Sum w |h - t|² over positions and channels, by layer; sums of several tiles add up."""
    sums = {}
    for layer, wanted in target.maps.items():
        ops = array_namespace(seen.maps[layer])
        squares = ops.square(block_mean(seen.maps[layer], _block_size(layer)) - wanted)
        if layer in target.weights:
            squares = squares * target.weights[layer]
        sums[layer] = ops.sum(squares)
    return sums


def vjp(seen: FeatureMaps, target: MatchTarget) -> tuple[dict[str, Tensor], Pullback]:
    """Return :func:`reduce` of NumPy features, and its pullback: 2 w (h - t)."""
    sums, weighted = {}, {}
    for layer, wanted in target.maps.items():
        difference = block_mean(seen.maps[layer], _block_size(layer)) - wanted
        weighted[layer] = difference
        if layer in target.weights:
            weighted[layer] = difference * target.weights[layer]
        sums[layer] = np.float32(np.vdot(difference, weighted[layer]))

    def pullback(by: Mapping[str, Tensor]) -> dict[str, list[AddGradient]]:
        return {
            layer: [_add_layer_gradient(each, 2 * by[layer], layer)]
            for layer, each in weighted.items()
        }

    return sums, pullback


def _add_layer_gradient(gradient: HostArray, factor: np.float32, layer: str) -> AddGradient:
    def add(to: HostArray) -> None:
        size, scaled = _block_size(layer), factor * gradient
        (block_mean_gradient(scaled, size) if size > 1 else add_array(scaled))(to)

    return add


def loss(sums: Mapping[str, Tensor], target: MatchTarget) -> Tensor:
    """Return the loss of the whole picture from its sums: 0 where it has its targets."""
    return sum(sums[layer] * scale for layer, scale in target.scales.items())


def loss_gradient(sums: Mapping[str, Tensor], target: MatchTarget) -> Mapping[str, Tensor]:
    """Return the gradient of :func:`loss` by the sums."""
    return target.scales


def style_fraction(strength: float) -> float:
    """Return how much of a target is the painting's, the rest the photograph's own features.

    None of it at strength 0, HALFWAY at a half, all of it at 1. Up to a half it grows as the root
    of the strength, since how far a picture goes from the photograph grows as the square of the
    share (benchmarks/NOTES.md); from there linearly.
    """
    if strength < 0.5:
        return HALF_STRENGTH_FRACTION * (2 * strength) ** 0.5
    return HALF_STRENGTH_FRACTION + (1 - HALF_STRENGTH_FRACTION) * (2 * strength - 1)


def matching_term(recipe: Recipe, query_mix: float | None = None) -> LossTerm:
    """Return style by matched features; ``strength`` says what is matched, and how much of it.

    ``query_mix`` is how much of what is matched is the picture so far, see :func:`mix_query`; by
    default half the strength.
    """
    shares = dict(recipe.style_layers)
    layers = matching_layers(shares)
    share = style_fraction(recipe.strength)

    def freeze(level_inputs: LevelInputs) -> Callable[[TargetTile], MatchTarget]:
        mixed_in = recipe.strength / 2 if query_mix is None else query_mix
        asked = mix_query(level_inputs.content, level_inputs.current, mixed_in)
        regions = [
            _make_region_index(region, level_inputs, layers) for region in level_inputs.regions
        ]
        channels: dict[str, int] = {}
        found = _match_image(level_inputs, asked, regions, layers, channels)

        def within(target_tile: TargetTile) -> list[MatchIndexes]:
            return [each.crop(lambda field: target_tile.crop(field, GRID_STRIDE)) for each in found]

        whole = level_inputs.sum_over_tiles(
            lambda target_tile: squared_norms(within(target_tile), channels)
        )

        def part(target_tile: TargetTile) -> MatchTarget:
            own = _tile_grids(target_tile.tile_features(level_inputs.content), layers)
            return make_match_target(
                make_target_maps(within(target_tile), own, share), whole, shares
            )

        return level_inputs.cache_single_tile(part)

    return LossTerm(freeze, reduce, loss, vjp, loss_gradient, tuple(layers), additive=True)


GRID_STRIDE = 2 ** (GRID_BLOCK - 1)
"""Pixels between positions of the grid."""


def _tile_hypercolumns(look: TileFeatures, layers: Sequence[str]) -> Array:
    """Return the hypercolumns (h, w, C) of what is seen in a tile, of its inner box."""
    return concatenate_layers(_tile_grids(look, layers))


def _tile_grids(look: TileFeatures, layers: Sequence[str]) -> dict[str, Array]:
    grids = resample_to_grid(look.compute(reduce_layer))
    return {layer: look.crop_to_core(grids[layer], GRID_STRIDE) for layer in layers}


def _match_image(
    level_inputs: LevelInputs,
    asked: ImageArray,
    regions: Sequence[RegionIndex],
    layers: Sequence[str],
    channels: dict[str, int],
) -> list[MatchIndexes]:
    """Return what all of the picture has found, each of its fields (h, w) at the grid.

    ``channels`` gets those of each layer.
    """

    def columns(target_tile: TargetTile) -> Array:
        grids = _tile_grids(target_tile.tile_features(asked), layers)
        channels.update({layer: each.shape[-1] for layer, each in grids.items()})
        return concatenate_layers(grids)

    height, width = (side // GRID_STRIDE for side in size_of(level_inputs.content))
    places = np.arange(height * width).reshape(height, width)
    looks = (columns(target_tile) for target_tile in level_inputs.iter_target_tiles())
    where = [tiles.crop(places, GRID_STRIDE, tile.core) for tile in level_inputs.tiles]
    return [
        each._replace(indexes=each.indexes.reshape(height, width))
        for each in match_regions(looks, regions, where)
    ]


def _make_region_index(
    region: StyledRegion, level_inputs: LevelInputs, layers: Sequence[str]
) -> RegionIndex:
    """Return the pool of a region's paintings, and its weights at the grid."""
    index = _build_region_index(region, level_inputs.extractor, layers)
    if region.mask is None:
        return RegionIndex(index)
    size = (side // GRID_STRIDE for side in size_of(level_inputs.content))
    return RegionIndex(index, masks.resize_mask(region.mask, *size))


def _build_region_index(
    region: StyledRegion, extractor: TiledFeatureExtractor, layers: Sequence[str]
) -> FeatureIndex:
    styles = [each for each in region.styles if each.share]
    limit = feature_index.MAX_POSITIONS // len(styles)
    index = feature_index.build_index(
        [_index_style(each, extractor, layers, limit) for each in styles]
    )
    return index._replace(rebuild=functools.partial(_build_region_index, region, extractor, layers))


def _index_style(
    style: style_regions.StyleImage,
    extractor: TiledFeatureExtractor,
    layers: Sequence[str],
    limit: int,
) -> feature_index.IndexedStyle:
    """Return what is kept of a painting and its rotations."""
    views = feature_index.rotations(style.image)
    grids = [(view.shape[0] // GRID_STRIDE, view.shape[1] // GRID_STRIDE) for view in views]
    weights = None
    if style.mask is not None:
        turned = feature_index.rotations(style.mask)
        weights = [masks.resize_mask(mask, *grid) for mask, grid in zip(turned, grids, strict=True)]
    counting = feature_index.select_positions(grids, weights, limit)
    rows = (
        _kept_rows(_tile_hypercolumns(look, layers), tiles.crop(kept, GRID_STRIDE, look.tile.core))
        for view, kept in zip(views, counting, strict=True)
        for look in extractor.iter_tiles(view)
    )
    return feature_index.IndexedStyle(
        style.share, _fill_rows(rows, sum(int(each.sum()) for each in counting))
    )


def _kept_rows(columns: Array, kept: NDArray[np.bool_]) -> Array:
    """Return those of (h, w, C) that are kept, (n, C)."""
    if kept.all():
        return array_namespace(columns).reshape(columns, (-1, columns.shape[-1]))
    return feature_index.take_positions(columns, np.flatnonzero(kept))


def _fill_rows(rows: Iterable[Array], count: int) -> Array:
    """Return so many rows in all as one array, on the host without room for them twice."""
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
