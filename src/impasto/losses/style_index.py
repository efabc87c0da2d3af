"""The hypercolumns of style images and their rotations, for nearest-neighbor search."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from impasto.compute.arrays import Array, HostArray, Tensor, array_namespace, is_tensor
from impasto.images import masks
from impasto.images.arrays import ImageArray, size_of
from impasto.images.style_regions import StyledRegion
from impasto.losses import feature_index, style_cache, tiles
from impasto.losses.feature_index import FeatureIndex, IndexArray
from impasto.losses.hypercolumns import (
    GRID_STRIDE,
    channel_count,
    concatenate_layers,
    core_grids,
    reduce_layer,
    write_columns,
)
from impasto.losses.style_views import StyleView, ViewReader, read_views, region_views
from impasto.losses.terms import LevelInputs, TiledFeatureExtractor, TileFeatures


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
    others: Sequence[ViewReader] = (),
) -> RegionIndex:
    """Return the features of a region's style images, and its weights on the grid.

    See :func:`build_region_index`.
    """
    index = build_region_index(region, level_inputs.style_extractor, layers, limit, others)
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
    others: Sequence[ViewReader] = (),
) -> FeatureIndex:
    """Return the index of the features of a region's style images.

    Args:
        region: the region
        extractor: computes features
        layers: the layers of the hypercolumns
        limit: maximum number of rows; of more positions a sample is kept
        others: also read the features of the style images, unless the index is cached
    """
    key = ("matching", style_cache.region_key(region), tuple(layers), limit)
    build = functools.partial(_extract_region_index, region, extractor, layers, limit, others)
    index: FeatureIndex = extractor.style_cache.get(key, build)
    return index


def _extract_region_index(
    region: StyledRegion,
    extractor: TiledFeatureExtractor,
    layers: Sequence[str],
    limit: int,
    others: Sequence[ViewReader],
) -> FeatureIndex:
    styles = _views_by_style(region)
    indexed = []
    for views in styles:
        reader = _RowReader(layers, _select_positions(views, limit // len(styles)))
        read_views(views, extractor, [reader, *others])
        positions, count = reader.positions(), sum(map(_position_count, views))
        indexed.append(feature_index.IndexedStyle(views[0].weight, reader.rows(), positions, count))
    rebuild = functools.partial(build_region_index, region, extractor, layers, limit)
    return feature_index.build_index(indexed)._replace(rebuild=rebuild)


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
    for views in _views_by_style(region):
        count = sum(map(_position_count, views))
        chosen = np.zeros(count, bool)
        chosen[wanted[(wanted >= start) & (wanted < start + count)] - start] = True
        reader = _RowReader(layers, _split_by_view(chosen, views))
        read_views(views, extractor, [reader])
        features.append(reader.rows())
        positions.append(start + reader.positions())
        start += count
    rebuild = functools.partial(build_position_features, region, extractor, layers, wanted)
    joined = feature_index.concatenate_rows(features)
    return PositionFeatures(joined, np.concatenate(positions), rebuild)


def view_grids(region: StyledRegion) -> list[tuple[int, int]]:
    """Return the (height, width) of the grid of every view of a region.

    Views are the rotations of the style images, in the order of :attr:`FeatureIndex.positions`.
    """
    return [_grid_size(view.image) for views in _views_by_style(region) for view in views]


def _views_by_style(region: StyledRegion) -> list[list[StyleView]]:
    views, turns = region_views(region, rotated=True), feature_index.ROTATIONS
    return [views[first : first + turns] for first in range(0, len(views), turns)]


def _grid_size(image: ImageArray) -> tuple[int, int]:
    height, width = size_of(image)
    return height // GRID_STRIDE, width // GRID_STRIDE


def _position_count(view: StyleView) -> int:
    height, width = _grid_size(view.image)
    return height * width


def _split_by_view(
    flat: NDArray[np.bool_], views: Sequence[StyleView]
) -> dict[int, NDArray[np.bool_]]:
    """Return the part (h, w) of each view, by its number, of values of all their positions."""
    parts = np.split(flat, np.cumsum([_position_count(each) for each in views])[:-1])
    return {
        view.number: part.reshape(_grid_size(view.image))
        for view, part in zip(views, parts, strict=True)
    }


def _select_positions(views: Sequence[StyleView], limit: int) -> dict[int, NDArray[np.bool_]]:
    """Return which positions (h, w) of the views of a style image to keep, by their numbers."""
    grids = [_grid_size(view.image) for view in views]
    weights = [
        masks.resize_mask(view.mask, *grid)
        for view, grid in zip(views, grids, strict=True)
        if view.mask is not None
    ]
    selected = feature_index.select_positions(grids, weights or None, limit)
    return {view.number: each for view, each in zip(views, selected, strict=True)}


@dataclass
class _RowReader:
    """Collects the hypercolumns of the views of a style image at selected positions."""

    layers: Sequence[str]
    selected: dict[int, NDArray[np.bool_]]
    """(h, w) by the number of the view"""
    _filled: HostArray = field(default_factory=lambda: np.empty((0, 0), np.float32))
    """(n, C) rows of NumPy arrays, allocated once"""
    _parts: list[Tensor] = field(default_factory=list)
    """rows of tensors, by tile"""
    _positions: list[IndexArray] = field(default_factory=list)
    _end: int = 0

    def begin_tile(self, view: StyleView, tile: TileFeatures) -> "_TileRows":
        """Note the positions of a tile."""
        kept = self.selected[view.number]
        start = sum(each.size for number, each in self.selected.items() if number < view.number)
        numbers = np.arange(start, start + kept.size).reshape(kept.shape)
        in_tile, of_tile = (
            tiles.crop(each, GRID_STRIDE, tile.tile.core) for each in (kept, numbers)
        )
        self._positions.append(of_tile[in_tile])
        return _TileRows(self, tile, in_tile)

    def add(self, grids: dict[str, Array]) -> None:
        """Append rows from maps (1, n, C') by layer."""
        first = next(iter(grids.values()))
        if is_tensor(first):
            self._parts.append(concatenate_layers(grids)[0])
            return
        if not self._filled.size:
            count = sum(int(each.sum()) for each in self.selected.values())
            self._filled = np.empty((count, channel_count(grids)), np.float32)
        begin, self._end = self._end, self._end + first.shape[1]
        del first
        write_columns(grids, self._filled[None, begin : self._end])

    def rows(self) -> Array:
        """Return the hypercolumns (n, C)."""
        return feature_index.concatenate_rows(self._parts) if self._parts else self._filled

    def positions(self) -> IndexArray:
        """Return the positions (n,) of the rows, among those of all views of the style image."""
        return np.concatenate(self._positions)


@dataclass
class _TileRows:
    """Collects the hypercolumns of a tile."""

    reader: _RowReader
    tile: TileFeatures
    kept: NDArray[np.bool_]
    reduced: dict[str, Tensor] = field(default_factory=dict)

    def read_layer(self, layer: str, features: Tensor) -> None:
        """Reduce the features of a layer to those on the grid."""
        if layer in self.reader.layers:
            self.reduced[layer] = reduce_layer(layer, features)

    def end_tile(self) -> None:
        """Append the rows of the tile."""
        grids = core_grids(self.tile, self.reduced, self.reader.layers)
        self.reduced = {}
        self.reader.add(_select_rows(grids, self.kept))


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
