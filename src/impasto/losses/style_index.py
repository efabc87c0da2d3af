"""The hypercolumns of style images and their rotations, for nearest-neighbor search."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from impasto.compute.arrays import Array, array_namespace, is_tensor
from impasto.images import masks
from impasto.images.arrays import ImageArray, size_of
from impasto.images.style_regions import StyledRegion, StyleImage
from impasto.losses import feature_index, style_cache, tiles
from impasto.losses.feature_index import FeatureIndex, IndexArray
from impasto.losses.hypercolumns import (
    GRID_STRIDE,
    channel_count,
    concatenate_layers,
    tile_grids,
    write_columns,
)
from impasto.losses.terms import LevelInputs, TiledFeatureExtractor


class RegionIndex(NamedTuple):
    """A region and the features of its style images."""

    feature_index: FeatureIndex
    weights: Array | None = None
    """(h, w) weights of grid positions in the region; None for the whole image"""


class PositionFeatures(NamedTuple):
    """Features at positions of the style images of a region."""

    features: Array
    """(N, C)"""
    positions: IndexArray
    """(N,) as in :attr:`FeatureIndex.positions`"""
    rebuild: "Callable[[], PositionFeatures] | None" = None
    """computes them again from the style images"""

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the style images instead of their features, which are larger."""
        return (PositionFeatures, tuple(self)) if self.rebuild is None else (self.rebuild, ())


def make_region_index(
    region: StyledRegion,
    level_inputs: LevelInputs,
    layers: Sequence[str],
    limit: int = feature_index.MAX_POSITIONS,
) -> RegionIndex:
    """Return the features of a region's style images, and its weights on the grid."""
    index = build_region_index(region, level_inputs.extractor, layers, limit)
    return RegionIndex(index, grid_weights(region, level_inputs))


def grid_weights(region: StyledRegion, level_inputs: LevelInputs) -> Array | None:
    """Return the weights (h, w) of grid positions in a region; None for the whole image."""
    if region.mask is None:
        return None
    size = (side // GRID_STRIDE for side in size_of(level_inputs.content))
    return masks.resize_mask(region.mask, *size)


def build_region_index(
    region: StyledRegion,
    extractor: TiledFeatureExtractor,
    layers: Sequence[str],
    limit: int = feature_index.MAX_POSITIONS,
) -> FeatureIndex:
    """Return the index of the features of a region's style images, with ``limit`` rows at most."""
    key = ("matching", style_cache.region_key(region), tuple(layers), limit)
    build = functools.partial(_extract_region_index, region, extractor, layers, limit)
    index: FeatureIndex = extractor.style_cache.get(key, build)
    return index


def build_position_features(
    region: StyledRegion,
    extractor: TiledFeatureExtractor,
    layers: Sequence[str],
    wanted: IndexArray,
) -> PositionFeatures:
    """Return the features of a region's style images at some of their positions.

    Args:
        region: the region
        extractor: computes features
        layers: the layers of the hypercolumns
        wanted: (N,) distinct positions in ascending order, as in :attr:`FeatureIndex.positions`
    """
    features, positions, start = [], [], 0
    for style in _used_styles(region):
        views = feature_index.rotations(style.image)
        grids = list(map(_grid_size, views))
        count = sum(height * width for height, width in grids)
        chosen = np.zeros(count, bool)
        chosen[wanted[(wanted >= start) & (wanted < start + count)] - start] = True
        selected = _split_by_view(chosen, grids)
        features.append(_selected_features(views, selected, extractor, layers))
        positions.append(start + _kept_positions(views, selected, extractor))
        start += count
    rebuild = functools.partial(build_position_features, region, extractor, layers, wanted)
    joined = feature_index.concatenate_rows(features)
    return PositionFeatures(joined, np.concatenate(positions), rebuild)


def view_grids(region: StyledRegion) -> list[tuple[int, int]]:
    """Return the (height, width) of the grid of every rotation of every style image of a region.

    In the order of :attr:`FeatureIndex.positions`.
    """
    grids = []
    for style in _used_styles(region):
        height, width = _grid_size(style.image)
        grids += [(height, width), (width, height)] * (feature_index.ROTATIONS // 2)
    return grids


def _used_styles(region: StyledRegion) -> list[StyleImage]:
    return [each for each in region.styles if each.weight]


def _grid_size(image: ImageArray) -> tuple[int, int]:
    height, width = size_of(image)
    return height // GRID_STRIDE, width // GRID_STRIDE


def _split_by_view(
    flat: NDArray[np.bool_], grids: Sequence[tuple[int, int]]
) -> list[NDArray[np.bool_]]:
    """Return the part (h, w) of each rotation of values of all positions of a style image."""
    parts = np.split(flat, np.cumsum([height * width for height, width in grids])[:-1])
    return [part.reshape(grid) for part, grid in zip(parts, grids, strict=True)]


def _extract_region_index(
    region: StyledRegion, extractor: TiledFeatureExtractor, layers: Sequence[str], limit: int
) -> FeatureIndex:
    styles = _used_styles(region)
    indexed = [_index_style(each, extractor, layers, limit // len(styles)) for each in styles]
    rebuild = functools.partial(build_region_index, region, extractor, layers, limit)
    return feature_index.build_index(indexed)._replace(rebuild=rebuild)


def _index_style(
    style: StyleImage,
    extractor: TiledFeatureExtractor,
    layers: Sequence[str],
    limit: int,
) -> feature_index.IndexedStyle:
    """Return the features to keep of a style image and its rotations."""
    views = feature_index.rotations(style.image)
    grids = list(map(_grid_size, views))
    weights = None
    if style.mask is not None:
        rotated = feature_index.rotations(style.mask)
        weights = [
            masks.resize_mask(mask, *grid) for mask, grid in zip(rotated, grids, strict=True)
        ]
    selected = feature_index.select_positions(grids, weights, limit)
    features = _selected_features(views, selected, extractor, layers)
    positions = _kept_positions(views, selected, extractor)
    count = sum(each.size for each in selected)
    return feature_index.IndexedStyle(style.weight, features, positions, count)


def _selected_features(
    views: Sequence[ImageArray],
    selected: Sequence[NDArray[np.bool_]],
    extractor: TiledFeatureExtractor,
    layers: Sequence[str],
) -> Array:
    """Return the hypercolumns (n, C) of the rotations of a style image at selected positions."""
    count, parts, end = sum(int(each.sum()) for each in selected), [], 0
    filled = np.empty((0, 0), np.float32)
    for view, kept in zip(views, selected, strict=True):
        for tile in extractor.iter_tiles(view):
            grids = _select_rows(
                tile_grids(tile, layers), tiles.crop(kept, GRID_STRIDE, tile.tile.core)
            )
            if is_tensor(next(iter(grids.values()))):
                parts.append(concatenate_layers(grids)[0])
                continue
            if not filled.size:
                filled = np.empty((count, channel_count(grids)), np.float32)
            begin, end = end, end + next(iter(grids.values())).shape[1]
            write_columns(grids, filled[None, begin:end])
    return feature_index.concatenate_rows(parts) if parts else filled


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


def _select_rows(grids: dict[str, Array], kept: NDArray[np.bool_]) -> dict[str, Array]:
    """Return maps (1, n, C') with the positions to keep of maps (h, w, C'), by layer."""
    if kept.all():
        return {
            layer: array_namespace(each).reshape(each, (1, -1, each.shape[-1]))
            for layer, each in grids.items()
        }
    indexes = np.flatnonzero(kept)
    return {
        layer: feature_index.take_positions(each, indexes)[None] for layer, each in grids.items()
    }
