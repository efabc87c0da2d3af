"""The interfaces of losses: terms that reduce features to sums, and compare the sums.

Gram loss: ``reduce`` computes second moments of the features, and ``loss`` is the squared distance
of Gram matrices. Matching: ``reduce`` sums the squared errors against nearest neighbors, and
``loss`` scales the sum. Sums over positions add up over tiles, strips and regions, so a term is
the same for a whole image and for one that is processed in tiles.
"""

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple, Protocol, TypeAlias, runtime_checkable

import numpy as np
import optree

from impasto import filearray
from impasto.compute.arrays import Array, HostArray, Size, Tensor, to_numpy
from impasto.compute.feature_reductions import AddGradient as AddGradient
from impasto.images.arrays import ImageArray, size_of
from impasto.images.style_regions import StyledRegion
from impasto.losses import tiles
from impasto.losses.style_cache import NO_CACHE, StyleCache
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

Pullback: TypeAlias = Callable[[Sums], Mapping[str, Sequence[AddGradient]]]
"""∂loss/∂sums -> by layer, functions that add ∂loss/∂features: a vector-Jacobian product."""

IMAGE = "image"
"""The key of the pixels among layers, see :attr:`FeatureMaps.image`."""


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
    """pixels of the image, or of the padded box of a tile, (height, width, 3)"""
    offsets: Mapping[str, TileOffset] = field(default_factory=dict)
    """offset of the tile by layer; empty for a whole image"""
    core: tuple[Size, Size, Size, Size] | None = None
    """core box of the tile in ``image``: first row, first column, rows, columns; None for a whole
    image"""


@dataclass(frozen=True)
class TileFeatures:
    """Features of one tile of an image, computed on demand."""

    compute: Callable[[Reduce], Maps]
    """reduce -> reductions of the features of the tile's padded box, see :data:`Features`"""
    tile: Tile
    size: tuple[int, int]
    """height and width of the whole image in pixels"""
    stride: Callable[[str], int]

    def core_features(
        self, layers: Iterable[str], reduce: Callable[[str, Tensor], Any]
    ) -> dict[str, Any]:
        """Return a reduction of the features (height, width, channels) of the core box, by layer.

        Only one layer's features are in memory at a time, unless the reduction keeps them.
        """
        reductions = dict.fromkeys(layers)

        def cut(layer: str, value: Tensor) -> Any:
            if layer in reductions:
                reductions[layer] = reduce(layer, self.crop_to_core(value, self.stride(layer)))

        self.compute(cut)
        return reductions

    def crop_to_core(self, value: Array, stride: int) -> Array:
        """Return the core box of an array of the padded box with a stride of ``stride`` px."""
        if self.tile.core == self.tile.padded:
            return value
        core, padded = self.tile
        return tiles.crop(value, stride, Box(*np.subtract(core, (padded.top, padded.left) * 2)))

    def offset(self, layer: str) -> TileOffset:
        """Return the offset of the core box in the positions of a layer."""
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
    """maximum side of the core box of a tile in pixels; 0 for the whole image"""
    style_cache: StyleCache = NO_CACHE
    """for values computed from style images as a whole; not used for tiles, to save memory"""

    @classmethod
    def for_layers(
        cls,
        features: Features,
        network: Network,
        layers: Iterable[str],
        tile_size: int = 0,
        style_cache: StyleCache = NO_CACHE,
    ) -> "TiledFeatureExtractor":
        """Return the extractor for ``layers`` of a network."""
        names = list(layers)
        multiple = max(TILE_MULTIPLE, *map(network.stride, names))
        alignment = TileAlignment(multiple, -(-network.halo(names) // multiple) * multiple)
        cache = NO_CACHE if tile_size else style_cache
        return cls(features, network.stride, network.receptive_field, alignment, tile_size, cache)

    def split_into_tiles(self, size: tuple[int, int]) -> tuple[Tile, ...]:
        """Return the tiles of an image of (height, width) pixels."""
        return tiles.split_into_tiles(*size, self.tile_size, self.alignment)

    def tile_features(self, image: ImageArray, tile: Tile) -> TileFeatures:
        """Return the features of a tile of an image."""
        whole = tile.padded == tile.core
        pixels = filearray.in_memory(image) if whole else image[tile.padded.slices]
        compute = functools.partial(self.features, pixels)
        return TileFeatures(compute, tile, size_of(image), self.stride)

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

    def crop(self, array: HostArray, stride: int) -> HostArray:
        """Return the tile's part of an array of the whole image with a stride of ``stride`` px."""
        return tiles.crop(array, stride, self.tile.core)


@dataclass(frozen=True, eq=False)
class LevelInputs:
    """The inputs of a level, from which targets are computed."""

    extractor: TiledFeatureExtractor
    content: ImageArray
    """the content image at the size of the level"""
    regions: tuple[StyledRegion, ...]
    """masks at this size, and style images at the sizes to use"""
    initial: ImageArray | None = None
    """the initial image of the level; None at the first level"""
    for_styles: TiledFeatureExtractor | None = None
    """computes features of style images for this level and the next; None for ``extractor``"""

    @property
    def style_extractor(self) -> TiledFeatureExtractor:
        """The extractor for style images."""
        return self.for_styles or self.extractor

    @cached_property
    def tiles(self) -> tuple[Tile, ...]:
        """The tiles of the level."""
        return self.extractor.split_into_tiles(size_of(self.content))

    def iter_target_tiles(self) -> Iterator[TargetTile]:
        """Yield the tiles."""
        yield from (TargetTile(self, tile) for tile in self.tiles)

    def sum_over_tiles(self, function: Callable[[TargetTile], Sums]) -> Sums:
        """Return the sum of a function of a tile over all tiles, in float64."""
        total: Sums = None
        for target_tile in self.iter_target_tiles():
            sums = optree.tree_map(_to_float64, function(target_tile))
            total = sums if total is None else optree.tree_map(np.add, total, sums)
        return total

    def cache_single_tile(
        self, function: Callable[[TargetTile], Any]
    ) -> Callable[[TargetTile], Any]:
        """Return a function of a tile with its result cached, if there is only one tile."""
        return functools.cache(function) if len(self.tiles) == 1 else function


StartFunction: TypeAlias = Callable[[ImageArray], ImageArray]
"""image (height, width, 3) -> a better one to start a level from, of the same size."""


class LevelTarget(NamedTuple):
    """The targets of a term at a level, and the image that the level should start from."""

    for_tile: Callable[[TargetTile], Target]
    """tile -> its target, arrays in float32 and int32. Arrays of positions cover the core box"""
    start: StartFunction | None = None
    """None if the level starts from its initial image"""


def scale_sums(factor: Any, sums: Sums) -> Sums:
    """Return sums multiplied by a factor."""
    return optree.tree_map(lambda each: np.float32(factor) * each, sums)


def _to_float64(value: Any) -> HostArray:
    return np.asarray(to_numpy(value), np.float64)


class LossTerm(Protocol):
    """One loss of the weighted total, as pure functions of features.

    loss = loss(Σ reduce(features of a tile, target of the tile)) over all tiles. The Keras engine
    differentiates ``reduce`` and ``loss``; the native engine calls ``vjp`` and ``loss_gradient``.
    Content loss: ``reduce`` sums squared differences to the features of the content image, and
    ``loss`` divides them by their number.
    """

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers whose features the loss uses."""
        ...

    @property
    def additive(self) -> bool:
        """Whether the loss is the sum of the losses of the tiles, so that one pass is enough."""
        ...

    def make_target(self, level_inputs: LevelInputs) -> LevelTarget:
        """Compute the targets of a level.

        Args:
            level_inputs: content image, regions with style images, and the initial image
        """
        ...

    def reduce(self, features: FeatureMaps, target: Target) -> Sums:
        """Return sums over the positions of a tile, which add up over tiles.

        Args:
            features: by layer (height, width, C) of the core box, arrays or tensors
            target: the target of the tile

        Returns:
            A nested structure of float32 arrays, the same for every tile.
        """
        ...

    def loss(self, sums: Sums, target: Target) -> Tensor:
        """Return the loss, a scalar, from the sums of the whole image and any tile's target."""
        ...

    def layer_losses(self, sums: Sums, target: Target) -> Mapping[str, Tensor]:
        """Return the part of each layer in :meth:`loss`, scalars; the parts add up to the loss.

        Empty for a loss without layers.
        """
        ...

    def vjp(self, features: FeatureMaps, target: Target) -> tuple[Sums, Pullback]:
        """Return :meth:`reduce` of NumPy features, and the pullback.

        The pullback maps ∂loss/∂sums to functions that add ∂loss/∂features in place, by layer; by
        :data:`IMAGE` they add to the gradient of the pixels. It may be called once.
        """
        ...

    def loss_gradient(self, sums: Sums, target: Target) -> Sums:
        """Return ∂loss/∂sums in NumPy, with the structure of the sums."""
        ...


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
    """number of the style image in its region; its tiles share it. With ``LayerwiseTerm.rotated``
    each rotation has a number of its own: ``style_number % ROTATIONS`` is the number of quarter
    turns, 0 for the image as it is"""
    position_indexes: HostArray | None = None
    """(height, width) row-major index in the style image of each position to keep, -1 for others;
    None if no positions are needed"""


WeightedStyle: TypeAlias = tuple[float, Sequence[Any]]
"""The weight of a style image in its region, and the data extracted from its tiles."""


class LayerStyleLoss(Protocol):
    """A style loss of one layer in one region, as pure functions.

    Gram loss: ``extract`` and ``reduce`` compute moments, and ``loss`` is their squared distance.
    Neighbors: ``extract`` keeps features of the style image, ``reduce`` sums the distances to the
    nearest of them. ``style.LayerwiseTerm`` turns it into a :class:`LossTerm`.
    """

    def max_positions(self, weight: float) -> int:
        """Return the maximum number of positions to keep of a style image; 0 for none.

        Args:
            weight: weight of the style image relative to all of its region, in (0, 1]
        """
        return 0

    def extract(self, style_features: StyleFeatures) -> Any:
        """Return the data to keep of the features of a style image, or of a tile of it."""
        ...

    def make_target(self, styles: Sequence[WeightedStyle]) -> Target:
        """Return the target from the extracted data of all style images of a region."""
        ...

    def reduce(self, view: LayerView, target: Target) -> Sums:
        """Return sums over the positions of a tile, float32; they add up over tiles."""
        ...

    def loss(self, sums: Sums, target: Target) -> Tensor:
        """Return the loss, a scalar, from the sums of the whole image."""
        ...

    def vjp(self, view: LayerView, target: Target) -> tuple[Sums, Callable[[Sums], AddGradient]]:
        """Return :meth:`reduce` of NumPy features, and the pullback of ∂loss/∂sums."""
        ...

    def loss_gradient(self, sums: Sums, target: Target) -> Sums:
        """Return ∂loss/∂sums in NumPy, with the structure of the sums."""
        ...


@runtime_checkable
class AdaptiveStyleLoss(LayerStyleLoss, Protocol):
    """A style loss whose targets also depend on the initial image of a level and the content image.

    Feature splitting: the mean of the initial image's features is subtracted from those of the
    current image before neighbors are searched.
    """

    def collect_stats(self, initial: LayerView) -> Sums:
        """Return statistics of the initial image that :meth:`finalize_target` needs.

        They are sums over positions, which add up over tiles.
        """
        ...

    def finalize_target(self, target: Target, stats: Sums, content: LayerView) -> Target:
        """Return the final target of a tile.

        Args:
            target: from :meth:`make_target`
            stats: statistics of the whole initial image, in float64
            content: features of the content image in the tile
        """
        ...
