"""The interface of a loss: terms that reduce features to sums, and compare the sums.

Gram loss: ``read`` computes second moments of the features, and ``loss`` is the squared distance
of Gram matrices. Matching: ``read`` sums the squared errors against nearest neighbors, and
``loss`` scales the sum. Sums over positions add up over tiles, strips and regions, so a term is
the same for a whole image and for one that is processed in tiles.
"""

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import optree

from impasto import filearray
from impasto.compute.arrays import Array, HostArray, Size, Tensor, to_numpy
from impasto.images.arrays import ImageArray, size_of
from impasto.images.style_regions import StyledRegion
from impasto.losses import tiles
from impasto.losses.tiles import Box, Tile, TileAlignment
from impasto.network.weights import Network

EPSILON = 1e-8
"""Added to the size of a target or a count of positions before dividing by it."""

Maps: TypeAlias = Mapping[str, Tensor]
"""Features (height, width, channels) by layer."""

Reduce: TypeAlias = Callable[[str, Tensor], Tensor]
"""(layer, features) -> a reduction of the features."""

Features: TypeAlias = Callable[..., Maps]
"""(image (height, width, 3), reduce=None) -> features by layer, or their reductions."""

Sums: TypeAlias = Any
"""A nested structure of tensors that are sums over positions."""

Target: TypeAlias = Any
"""A nested structure of arrays; the height and width of arrays of rank 3 (height, width, channels)
may differ between tiles."""

AddGradient: TypeAlias = Callable[[HostArray], None]
"""Adds to the gradient of a layer's features (height, width, channels), in place."""

Pullback: TypeAlias = Callable[[Sums], Mapping[str, Sequence[AddGradient]]]
"""∂loss/∂sums -> by layer, functions that add ∂loss/∂features: a vector-Jacobian product."""

IMAGE = "image"
"""Stands for a layer: the pixels, see :attr:`FeatureMaps.image`."""


class TileOffset(NamedTuple):
    """The offset of a tile in the feature positions of a layer, as integers or integer tensors."""

    top: Size
    """first row of the tile"""
    left: Size
    """first column of the tile"""
    height: Size
    """rows of the whole image"""
    width: Size
    """columns of the whole image"""


@dataclass(frozen=True)
class FeatureMaps:
    """The features of an image or a tile."""

    maps: Maps
    """features by layer"""
    image: Tensor = None
    """pixels of the image, or of the outer box of a tile, (height, width, 3)"""
    offsets: Mapping[str, TileOffset] = field(default_factory=dict)
    """offset of the tile by layer; empty for a whole image"""
    core: tuple[Size, Size, Size, Size] | None = None
    """position of the inner box in ``image``: first row, first column, rows, columns; None for a
    whole image"""


@dataclass(frozen=True)
class TileFeatures:
    """Features of one tile of an image, computed on demand."""

    compute: Callable[[Reduce], Maps]
    """reduce -> reductions of the features of the tile's outer box, see :data:`Features`"""
    tile: Tile
    size: tuple[int, int]
    """height and width of the whole image in pixels"""
    stride: Callable[[str], int]

    def core_features(
        self, layers: Iterable[str], reduce: Callable[[str, Tensor], Any]
    ) -> dict[str, Any]:
        """Return a reduction of the features (height, width, channels) of the inner box, by layer.

        Only one layer's features are in memory at a time, unless the reduction keeps them.
        """
        asked = dict.fromkeys(layers)

        def cut(layer: str, value: Tensor) -> Any:
            if layer in asked:
                asked[layer] = reduce(layer, self.crop_to_core(value, self.stride(layer)))

        self.compute(cut)
        return asked

    def crop_to_core(self, value: Array, stride: int) -> Array:
        """Return the inner box of an array of the outer box with a stride of ``stride`` px."""
        if self.tile.core == self.tile.padded:
            return value
        inner, outer = self.tile
        return tiles.crop(value, stride, Box(*np.subtract(inner, (outer.top, outer.left) * 2)))

    def offset(self, layer: str) -> TileOffset:
        """Return the offset of the inner box in the positions of a layer."""
        stride = self.stride(layer)
        top, left = (each // stride for each in self.tile.core[:2])
        return TileOffset(top, left, *(each // stride for each in self.size))


TILE_MULTIPLE = 8
"""Minimum alignment of tile borders in pixels, so that feature grids align."""


@dataclass(frozen=True)
class TiledFeatureExtractor:
    """Computes features of an image tile by tile."""

    features: Features
    stride: Callable[[str], int]
    """stride of the features of a layer in pixels"""
    receptive_field: Callable[[str], int]
    """side of the receptive field of a layer in pixels"""
    alignment: TileAlignment
    tile_size: int = 0
    """maximum side of the inner box of a tile in pixels; 0 for the whole image"""

    @classmethod
    def for_layers(
        cls,
        features: Features,
        network: Network,
        layers: Iterable[str],
        tile_size: int = 0,
    ) -> "TiledFeatureExtractor":
        """Return the extractor for ``layers`` of a network."""
        names = list(layers)
        halo = network.halo(names)
        multiple = max(TILE_MULTIPLE, *map(network.stride, names))
        grain = TileAlignment(multiple, -(-halo // multiple) * multiple)
        return cls(features, network.stride, network.receptive_field, grain, tile_size)

    def split_into_tiles(self, size: tuple[int, int]) -> tuple[Tile, ...]:
        """Return the tiles of an image of (height, width) pixels."""
        return tiles.split_into_tiles(*size, self.tile_size, self.alignment)

    def tile_features(self, image: ImageArray, tile: Tile) -> TileFeatures:
        """Return the features of a tile of an image."""
        shown = (
            filearray.in_memory(image) if tile.padded == tile.core else image[tile.padded.slices]
        )
        see = functools.partial(self.features, shown)
        return TileFeatures(see, tile, size_of(image), self.stride)

    def iter_tiles(self, image: ImageArray) -> Iterator[TileFeatures]:
        """Yield the features of the tiles of an image."""
        for tile in self.split_into_tiles(size_of(image)):
            yield self.tile_features(image, tile)


@dataclass(frozen=True)
class TargetTile:
    """One tile of a level, with features of the level's images in it, computed on demand."""

    level_inputs: "LevelInputs" = field(compare=False)
    tile: Tile

    def tile_features(self, image: ImageArray) -> TileFeatures:
        """Return features of an image of the level's size."""
        return self.level_inputs.extractor.tile_features(image, self.tile)

    def crop(self, field: HostArray, stride: int) -> HostArray:
        """Return the tile's part of an array of the whole image with a stride of ``stride`` px."""
        return tiles.crop(field, stride, self.tile.core)


@dataclass(frozen=True, eq=False)
class LevelInputs:
    """The inputs of a level, from which targets are computed."""

    extractor: TiledFeatureExtractor
    content: ImageArray
    """the content image at the size of the level"""
    regions: tuple[StyledRegion, ...]
    """masks at this size, and style images at the sizes to use"""
    current: ImageArray | None = None
    """the initial image of the level; None at the first level"""

    @cached_property
    def tiles(self) -> tuple[Tile, ...]:
        """The tiles of the level."""
        return self.extractor.split_into_tiles(size_of(self.content))

    def iter_target_tiles(self) -> Iterator[TargetTile]:
        """Yield the tiles."""
        yield from (TargetTile(self, tile) for tile in self.tiles)

    def sum_over_tiles(self, read: Callable[[TargetTile], Sums]) -> Sums:
        """Return the sum of ``read`` over all tiles, in float64."""
        total: Sums = None
        for target_tile in self.iter_target_tiles():
            sums = optree.tree_map(_to_float64, read(target_tile))
            total = sums if total is None else optree.tree_map(np.add, total, sums)
        return total

    def cache_single_tile(self, read: Callable[[TargetTile], Any]) -> Callable[[TargetTile], Any]:
        """Return ``read`` with its result cached, if there is only one tile."""
        return functools.cache(read) if len(self.tiles) == 1 else read


def scale_sums(factor: Any, sums: Sums) -> Sums:
    """Return sums multiplied by a factor."""
    return optree.tree_map(lambda each: np.float32(factor) * each, sums)


def _to_float64(value: Any) -> HostArray:
    return np.asarray(to_numpy(value), np.float64)


class LayerView(NamedTuple):
    """Features of one layer in a region of the current image."""

    features: Tensor
    """(height, width, C)"""
    weights: Tensor | None = None
    """weights of the positions in the region (height, width, 1); None for the whole image"""
    offset: TileOffset | None = None
    """offset of the tile; None for a whole image"""


class StyleFeatures(NamedTuple):
    """Features of one layer of a style image, or of a tile of it."""

    features: Tensor
    """(height, width, C)"""
    weights: Tensor | None = None
    """weights of the positions (height, width, 1); None if all count"""
    style_number: int = 0
    """number of the style image; its tiles share it"""
    position_indexes: HostArray | None = None
    """(height, width) row-major index in the style image of each position to keep, -1 for others;
    None if no positions are needed"""


WeightedStyle: TypeAlias = tuple[float, Sequence[Any]]
"""The weight of a style image among all of its region, and the data kept of its tiles."""


class LayerStyleLoss(NamedTuple):
    """A style loss of one layer, as pure functions.

    Gram loss: ``look`` and ``read`` compute moments, and ``loss`` is their squared distance.
    Neighbors: ``look`` keeps feature positions of the style, ``read`` sums distances to them.
    """

    extract: Callable[[StyleFeatures], Any]
    """features of a style image, or of a tile of it -> the data to keep"""
    make_target: Callable[[Sequence[WeightedStyle]], Target]
    """the data of every style image of a region -> the target"""
    reduce: Callable[[LayerView, Target], Sums]
    """(features, target) -> sums, which add up over tiles"""
    loss: Callable[[Sums, Target], Tensor]
    """(sums of the whole image, target) -> the loss, a scalar"""
    vjp: Callable[[LayerView, Target], tuple[Sums, Callable[[Sums], AddGradient]]]
    """(NumPy features, target) -> the sums of :attr:`read`, and their pullback"""
    loss_gradient: Callable[[Sums, Target], Sums]
    """(sums of the whole image, target) -> ∂loss/∂sums, in NumPy"""
    max_positions: Callable[[float], int] | None = None
    """(weight of a style image) -> maximum number of its positions to keep; None for none"""
    collect_stats: Callable[[LayerView], Sums] | None = None
    """statistics of the current image required by :attr:`settle`; None if the target depends on
    the style images only"""
    finalize_target: Callable[[Target, Sums, LayerView], Target] | None = None
    """(target, statistics of the whole current image, features of the content image) -> the final
    target of the tile"""


class LossTerm(NamedTuple):
    """One loss of the weighted total, as pure functions.

    The Keras engine differentiates ``read`` and ``loss``; the native engine calls ``vjp`` and
    ``loss_gradient``.
    """

    make_target: Callable[[LevelInputs], Callable[[TargetTile], Target]]
    """what pictures of the scene's size are compared with, tile by tile"""
    reduce: Callable[[FeatureMaps, Target], Sums]
    """(features, target) of a tile -> sums, which add up over tiles"""
    loss: Callable[[Sums, Target], Tensor]
    """(sums of the whole image, target of any tile) -> the loss, a scalar"""
    vjp: Callable[[FeatureMaps, Target], tuple[Sums, Pullback]]
    """(NumPy features, target) -> the sums of :attr:`read`, and their pullback"""
    loss_gradient: Callable[[Sums, Target], Sums]
    """(sums of the whole image, target of any tile) -> ∂loss/∂sums, in NumPy"""
    layers: tuple[str, ...]
    """the layers whose features it uses"""
    additive: bool = False
    """whether the loss is the sum of the losses of the tiles, so that one pass is enough"""
