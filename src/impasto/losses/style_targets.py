"""The targets of style losses per layer, collected from the features of style images."""

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple, Protocol

import numpy as np

from impasto.compute.arrays import HostArray, Tensor
from impasto.images import masks
from impasto.images.arrays import Mask, size_of
from impasto.images.style_regions import StyledRegion
from impasto.losses import feature_index, style_cache, tiles
from impasto.losses.style_views import StyleView, read_views, region_views
from impasto.losses.terms import (
    LayerStyleLoss,
    StyleFeatures,
    Target,
    TiledFeatureExtractor,
    TileFeatures,
)


class StyleTerm(Protocol):
    """A term with a style loss per layer."""

    @property
    def style_loss(self) -> LayerStyleLoss:
        """The loss of a layer."""
        ...

    @property
    def layers(self) -> tuple[str, ...]:
        """The style layers."""
        ...

    @property
    def rotated(self) -> bool:
        """Whether style images are used in rotations by 0, 90, 180 and 270 degrees."""
        ...


@dataclass(eq=False)
class TargetReader:
    """Collects what the style loss of a term keeps of the style images of a region."""

    term: StyleTerm
    region: StyledRegion
    extractor: TiledFeatureExtractor
    kept: dict[int, dict[str, list[Any]]] = field(default_factory=dict)
    """by number of the view and layer, the data of each tile"""
    _positions: "_ViewPositions | None" = None
    """those of the view that is being read"""

    @cached_property
    def views(self) -> list[StyleView]:
        """The views to read, with weights that add up to 1."""
        views = region_views(self.region, self.term.rotated)
        total = sum(view.weight for view in views)
        return [view._replace(weight=view.weight / total) for view in views]

    def target(self) -> dict[str, Target]:
        """Return the target by layer, from the cache if it is there."""
        target: dict[str, Target] = self.extractor.style_cache.get(self._key, self._make_target)
        return target

    def store(self) -> None:
        """Store the target in the cache, if the views were read."""
        if self.kept:
            self.target()

    def begin_tile(self, view: StyleView, tile: TileFeatures) -> "_TileData":
        """Return the reader of a tile of a view."""
        data = self.kept.setdefault(view.number, {layer: [] for layer in self.term.layers})
        if self._positions is None or self._positions.number != view.number:
            self._positions = self._view_positions(self.views[view.number])
        return _TileData(self.term.style_loss, tile, data, self._positions)

    @cached_property
    def _key(self) -> Hashable:
        term = self.term
        return (term.style_loss, term.rotated, style_cache.region_key(self.region), term.layers)

    def _make_target(self) -> dict[str, Target]:
        if not self.kept:
            read_views(self.views, self.extractor, [self])
        return {
            layer: self.term.style_loss.make_target(
                [(view.weight, self.kept[view.number][layer]) for view in self.views]
            )
            for layer in self.term.layers
        }

    def _view_positions(self, view: StyleView) -> "_ViewPositions":
        layers, limit = self.term.layers, self.term.style_loss.max_positions(view.weight)
        weights, indexes = mask_weights(view.mask, layers, self.extractor), {}
        if limit:
            size = size_of(view.image)
            indexes = _position_indexes(size, weights, layers, self.extractor, limit)
        return _ViewPositions(view.number, weights, indexes)


class _ViewPositions(NamedTuple):
    """The positions of a view, by layer."""

    number: int
    weights: Mapping[str, HostArray]
    """weights in the mask; empty without a mask"""
    indexes: Mapping[str, HostArray]
    """see ``StyleFeatures.position_indexes``; empty to keep all"""


@dataclass(frozen=True)
class _TileData:
    """Collects the data of a tile of a view."""

    style_loss: LayerStyleLoss
    tile: TileFeatures
    data: dict[str, list[Any]]
    positions: _ViewPositions

    def read_layer(self, layer: str, features: Tensor) -> None:
        """Keep the data of a layer."""
        if layer not in self.data:
            return
        stride, core = self.tile.stride(layer), self.tile.tile.core
        weights, indexes = (
            tiles.crop(each[layer], stride, core) if layer in each else None
            for each in self.positions[1:]
        )
        inside = self.tile.crop_to_core(features, stride)
        data = self.style_loss.extract(
            StyleFeatures(inside, weights, self.positions.number, indexes)
        )
        self.data[layer].append(data)

    def end_tile(self) -> None:
        """Do nothing: layers are independent."""


def _position_indexes(
    size: tuple[int, int],
    weights: Mapping[str, HostArray],
    layers: Iterable[str],
    extractor: TiledFeatureExtractor,
    limit: int,
) -> dict[str, HostArray]:
    """Return ``StyleFeatures.position_indexes`` of a whole style image, by layer."""
    positions = {}
    for layer in layers:
        height, width = (side // extractor.stride(layer) for side in size)
        layer_weights = [weights[layer][..., 0]] if layer in weights else None
        (kept,) = feature_index.select_positions([(height, width)], layer_weights, limit)
        indexes = np.arange(height * width, dtype=np.int32).reshape(height, width)
        positions[layer] = np.where(kept, indexes, -1)
    return positions


def mask_weights(
    mask: Mask | None, layers: Iterable[str], extractor: TiledFeatureExtractor
) -> dict[str, HostArray]:
    """Return by layer the weights of positions under a mask; empty without a mask."""
    if mask is None:
        return {}
    weights = {}
    for layer in layers:
        height, width = (size // extractor.stride(layer) for size in mask.shape)
        weights[layer] = masks.layer_weights(mask, height, width, extractor.receptive_field(layer))
    return weights
