"""Style images and their rotations, whose features several losses read in one pass.

Matching indexes hypercolumns, feature splitting keeps features of each layer, and Gram matrices are
sums. Each has a reader, and :func:`read_views` computes the features once for all of them.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

from impasto.compute.arrays import Tensor
from impasto.images.arrays import ImageArray, Mask
from impasto.images.style_regions import StyledRegion, StyleImage
from impasto.losses import feature_index
from impasto.losses.terms import TiledFeatureExtractor, TileFeatures


class StyleView(NamedTuple):
    """A style image of a region, as it is or rotated."""

    number: int
    """its number among all views of the region"""
    image: ImageArray
    mask: Mask | None
    weight: float
    """the weight of the style image, relative to the others of the region"""


class TileReader(Protocol):
    """Reads the features of one tile of a view."""

    def read_layer(self, layer: str, features: Tensor) -> None:
        """Read the features of a layer.

        Args:
            layer: its name
            features: (height, width, C) of the padded box of the tile
        """
        ...

    def end_tile(self) -> None:
        """Finish, after all layers."""
        ...


class ViewReader(Protocol):
    """Reads the features of views, tile by tile."""

    def begin_tile(self, view: StyleView, tile: TileFeatures) -> TileReader:
        """Return the reader of a tile; ``tile`` tells where it is."""
        ...


def used_styles(region: StyledRegion) -> list[StyleImage]:
    """Return the style images of a region that count."""
    return [each for each in region.styles if each.weight]


def region_views(region: StyledRegion, rotated: bool) -> list[StyleView]:
    """Return the views of the style images of a region: ROTATIONS of each if ``rotated``."""
    views: list[StyleView] = []
    for style in used_styles(region):
        images, masks = [style.image], [style.mask]
        if rotated:
            images = feature_index.rotations(style.image)
            masks = [None] * len(images)
            if style.mask is not None:
                masks = feature_index.rotations(style.mask)
        for image, mask in zip(images, masks, strict=True):
            views.append(StyleView(len(views), image, mask, style.weight))
    return views


def read_views(
    views: Iterable[StyleView], extractor: TiledFeatureExtractor, readers: Sequence[ViewReader]
) -> None:
    """Compute the features of views once, for all readers.

    Args:
        views: the views
        extractor: computes the features of at least the layers that the readers use
        readers: read the features; they skip layers that they do not use
    """
    for view in views:
        for tile in extractor.iter_tiles(view.image):
            parts = [reader.begin_tile(view, tile) for reader in readers]

            def read(layer: str, features: Tensor, parts: Sequence[TileReader] = parts) -> None:
                for part in parts:
                    part.read_layer(layer, features)

            tile.compute(read)
            for part in parts:
                part.end_tile()
