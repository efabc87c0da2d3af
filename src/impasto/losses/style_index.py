"""The hypercolumns of style images and their rotations, for nearest-neighbor search."""

import functools
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from impasto.compute.arrays import Array, array_namespace, is_tensor
from impasto.images import masks, style_regions
from impasto.images.arrays import ImageArray, size_of
from impasto.images.style_regions import StyledRegion
from impasto.losses import feature_index, style_cache, tiles
from impasto.losses.feature_index import FeatureIndex, IndexArray
from impasto.losses.hypercolumns import GRID_STRIDE, concatenate_layers, tile_grids
from impasto.losses.terms import LevelInputs, TiledFeatureExtractor


class RegionIndex(NamedTuple):
    """A region and the features of its style images."""

    feature_index: FeatureIndex
    weights: Array | None = None
    """(h, w) weights of grid positions in the region; None for the whole image"""


def make_region_index(
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
