"""Matches of a detail level: searched at half its size, and carried up to it.

The match (r, c) of a position at half the size becomes, at the four positions that it covers,
(2r + a, 2c + b) with a and b in {0, 1}. Neighboring positions then have neighboring matches, so
that strokes stay whole, and the search takes a sixteenth of the time: a quarter of the queries
among a quarter of the candidates. Image analogies (Hertzmann et al. 2001) and PatchMatch (Barnes
et al. 2009) carry matches from one level of a pyramid to the next in the same way.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from impasto.images import arrays, masks
from impasto.images.arrays import ImageArray, size_of
from impasto.images.style_regions import StyledRegion, StyleImage
from impasto.losses import feature_index, match_search
from impasto.losses.feature_index import IndexArray
from impasto.losses.hypercolumns import GRID_STRIDE
from impasto.losses.match_search import MatchIndexes
from impasto.losses.style_index import (
    build_position_features,
    grid_weights,
    make_region_index,
    view_grids,
)
from impasto.losses.terms import LevelInputs

MAX_POSITIONS = feature_index.MAX_POSITIONS // 4
"""Maximum number of positions to search in a region. Each stands for four at the size of the level,
so that there are at most ``feature_index.MAX_POSITIONS`` matched features."""


def carried_matches(
    level_inputs: LevelInputs, layers: Sequence[str]
) -> tuple[list[MatchIndexes], dict[str, int]]:
    """Return the matches (h, w) of the initial image by region, and the channels of each layer.

    Args:
        level_inputs: the inputs of a level that has an initial image
        layers: the layers of the hypercolumns
    """
    half = _at_half_size(level_inputs)
    assert half.initial is not None
    indexes = [make_region_index(each, half, layers, MAX_POSITIONS) for each in half.regions]
    found, channels = match_search.match_image(half, half.initial, indexes, layers)
    height, width = (side // GRID_STRIDE for side in size_of(level_inputs.content))
    matches = []
    for match, small, large in zip(found, half.regions, level_inputs.regions, strict=True):
        positions = match.feature_index.positions[match.indexes]
        carried = carry_up(positions, view_grids(small), view_grids(large), (height, width))
        wanted, inverse = np.unique(carried, return_inverse=True)
        features = build_position_features(large, level_inputs.extractor, layers, wanted)
        rows = np.argsort(features.positions)[inverse].reshape(height, width)
        weights = grid_weights(large, level_inputs)
        matches.append(MatchIndexes(features, rows.astype(np.int32), weights))
    return matches, channels


def carry_up(
    matches: IndexArray,
    views: Sequence[tuple[int, int]],
    larger_views: Sequence[tuple[int, int]],
    size: tuple[int, int],
) -> IndexArray:
    """Return matches at about twice the size, see the module.

    Args:
        matches: (h, w) row-major indexes among the positions of all views, one after the other
        views: the (height, width) of the grid of each view: rotations of the style images
        larger_views: the same at the larger size
        size: the (height, width) of the larger grid
    """
    row, column = np.arange(size[0])[:, None], np.arange(size[1])
    coarse_row, coarse_column = (
        np.minimum(each // 2, side - 1)
        for each, side in zip((row, column), matches.shape, strict=True)
    )
    coarse = matches[coarse_row, coarse_column]
    starts, larger_starts = map(_first_positions, (views, larger_views))
    view = np.searchsorted(starts, coarse, side="right") - 1
    match_row, match_column = np.divmod(coarse - starts[view], np.array(views)[view, 1])
    heights, widths = np.array(larger_views)[view].transpose(2, 0, 1)
    match_row = np.minimum(2 * match_row + row - 2 * coarse_row, heights - 1)
    match_column = np.minimum(2 * match_column + column - 2 * coarse_column, widths - 1)
    carried: IndexArray = larger_starts[view] + match_row * widths + match_column
    return carried


def _first_positions(views: Sequence[tuple[int, int]]) -> IndexArray:
    """Return the row-major index of the first position of each view, and the number of all."""
    return np.cumsum([0, *(height * width for height, width in views)])


def _at_half_size(level_inputs: LevelInputs) -> LevelInputs:
    assert level_inputs.initial is not None
    return replace(
        level_inputs,
        content=_half(level_inputs.content),
        regions=tuple(map(_half_region, level_inputs.regions)),
        initial=_half(level_inputs.initial),
    )


def _half_size(image: ImageArray | masks.Mask) -> tuple[int, int]:
    height, width = (max(arrays.MIN_SIDE, side // 2) for side in image.shape[:2])
    return height, width


def _half(image: ImageArray) -> ImageArray:
    return arrays.resample(image, *_half_size(image))


def _half_mask(mask: masks.Mask | None) -> masks.Mask | None:
    return None if mask is None else masks.resize_mask(mask, *_half_size(mask))


def _half_region(region: StyledRegion) -> StyledRegion:
    def half_style(style: StyleImage) -> StyleImage:
        return replace(style, image=_half(style.image), mask=_half_mask(style.mask))

    return StyledRegion(tuple(map(half_style, region.styles)), _half_mask(region.mask))
