"""The nearest neighbors of all positions of an image, among the hypercolumns of style images."""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from impasto.compute.arrays import Array, array_namespace, gather_rows
from impasto.images.arrays import ImageArray, resample, size_of
from impasto.losses import feature_index, tiles
from impasto.losses.feature_index import FeatureIndex, IndexArray
from impasto.losses.hypercolumns import GRID_STRIDE, concatenate_layers, tile_grids
from impasto.losses.style_index import PositionFeatures, RegionIndex
from impasto.losses.terms import LevelInputs, TargetTile


class MatchIndexes(NamedTuple):
    """The nearest neighbors of the positions of a region, or of a tile of it."""

    feature_index: FeatureIndex | PositionFeatures
    indexes: NDArray[np.int32]
    """(h, w) on the grid; any value at positions outside the region"""
    weights: Array | None
    """(h, w) as in :class:`impasto.losses.style_index.RegionIndex`"""

    def crop(self, crop_array: Callable[[Array], Array]) -> "MatchIndexes":
        """Return the neighbors in a part, where ``crop_array`` crops an array (h, w)."""
        weights = None if self.weights is None else crop_array(self.weights)
        return MatchIndexes(self.feature_index, crop_array(self.indexes), weights)


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


def match_image(
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
