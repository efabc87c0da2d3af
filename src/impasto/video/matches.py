"""Matches of a shot: nearest neighbors that are carried along the motion. Pure functions of arrays.

The *match* of a position is the row of the style index that its features are pulled toward
(:mod:`impasto.losses.matching`). A position keeps its match while it is tracked and its content
looks the same, so strokes stay on things. The statistics of the search, its mean and its hubness,
are those of the shot's first frame.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from impasto.compute.arrays import to_numpy
from impasto.images import arrays
from impasto.images.arrays import ImageArray, Mask
from impasto.losses import feature_index, hypercolumns
from impasto.losses.feature_index import FeatureIndex, SearchQuery, SearchStatistics
from impasto.losses.hypercolumns import GRID_STRIDE
from impasto.losses.terms import LevelInputs
from impasto.video.births import TRACKED, Birth, BirthMap

MARGIN = 0.35
"""A match is given up if its score falls by more than this below that at birth."""

ALIKE = 0.7
"""Minimum cosine of two positions of the content frame that get the same match."""

MIN_KNOWN = 64
"""Minimum number of tracked positions to search for one that looks alike."""

MAX_KNOWN = 2**13
"""Maximum number of them; of more, every n-th is used."""

BATCH = 2**10
"""Number of positions that are compared at once."""


@dataclass(frozen=True, eq=False)
class RegionSearch:
    """The search in the style images of a region, with the statistics of a shot."""

    index: FeatureIndex
    statistics: SearchStatistics
    styles: tuple[ImageArray, ...]
    """the style images of the index, whose pixels its positions name"""

    def directions(self, coordinates: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return coordinates (n, K) as directions about the mean of the shot."""
        centered = feature_index.normalize_rows(coordinates - to_numpy(self.statistics.center))
        return np.asarray(centered, np.float32)

    def scores(
        self, directions: NDArray[np.float32], rows: NDArray[np.intp]
    ) -> NDArray[np.float32]:
        """Return the score (n,) of given rows of the index."""
        found = to_numpy(self.index.directions)[rows]
        cosines = np.einsum("nk,nk->n", directions, found)
        return np.asarray(cosines - to_numpy(self.statistics.penalty)[rows], np.float32)


class Carried(NamedTuple):
    """Matches carried from the frames of birth to the grid (h, w) of a frame."""

    indexes: NDArray[np.intp]
    least: NDArray[np.float32]
    """minimum score to keep each"""
    valid: NDArray[np.bool_]
    """whether the position is tracked"""


class Matched(NamedTuple):
    """The matches of the grid (h, w) of a frame."""

    indexes: NDArray[np.int32]
    scores: NDArray[np.float32]
    searched: NDArray[np.bool_]
    """whether the match is new, since the former one was given up or there was none"""


def query_level(
    level_inputs: LevelInputs, image: ImageArray, layers: Sequence[str], index: FeatureIndex
) -> tuple[SearchQuery, dict[str, int]]:
    """Return an image's features as queries in the order of the grid, and the channels by layer."""
    height, width = (side // GRID_STRIDE for side in arrays.size_of(image))
    channels: dict[str, int] = {}
    coordinates: NDArray[np.float32] | None = None
    sums, weight = np.zeros(1), 0.0
    for tile in level_inputs.iter_target_tiles():
        grids = hypercolumns.tile_grids(tile.tile_features(image), layers)
        channels.update({layer: int(each.shape[-1]) for layer, each in grids.items()})
        columns = hypercolumns.concatenate_layers(grids)
        rows, width_of_tile = columns.shape[:2]
        flat = columns.reshape(-1, columns.shape[-1])
        part = feature_index.project_query(flat, index)
        values = to_numpy(part.coordinates)
        if coordinates is None:
            coordinates = np.zeros((height, width, values.shape[-1]), np.float32)
        top, left = (each // GRID_STRIDE for each in tile.tile.core[:2])
        block = values.reshape(rows, width_of_tile, -1)
        coordinates[top : top + rows, left : left + width_of_tile] = block
        sums, weight = sums + part.sums, weight + part.weight
    assert coordinates is not None
    return SearchQuery(coordinates.reshape(height * width, -1), sums, weight), channels


def carry(
    births: BirthMap,
    records: Mapping[int, Birth],
    tracked: NDArray[np.bool_],
    direct: Mask,
    region: int,
) -> Carried:
    """Return the matches of a region, carried along to the grid.

    Args:
        births: the birth map of the frame
        records: the frames of birth
        tracked: (height, width) whether a pixel is tracked to the frame before
        direct: (height, width) confidence of the direct flow to the frame of birth. Where it has
            confidence, the content looks as it did then, so the match is kept whatever its score
        region: number of the region
    """
    height, width = (side // GRID_STRIDE for side in births.number.shape)
    middle = GRID_STRIDE // 2
    cells = (
        slice(middle, height * GRID_STRIDE, GRID_STRIDE),
        slice(middle, width * GRID_STRIDE, GRID_STRIDE),
    )
    numbers, positions = births.number[cells], births.position[cells]
    indexes = np.zeros((height, width), np.intp)
    least, valid = np.zeros((height, width), np.float32), tracked[cells].copy()
    for number in np.unique(numbers):
        mine = numbers == number
        if int(number) not in records:
            valid &= ~mine
            continue
        record = records[int(number)]
        x, y = (
            np.clip(positions[mine][:, axis] // GRID_STRIDE, 0, side - 1).astype(np.intp)
            for axis, side in ((0, width), (1, height))
        )
        indexes[mine] = record.indexes[region][y, x]
        least[mine] = record.scores[region][y, x] - MARGIN
    least[direct[cells] >= TRACKED] = -np.inf
    return Carried(indexes, least, valid)


def resolve(carried: Carried, coordinates: NDArray[np.float32], search: RegionSearch) -> Matched:
    """Return the matches of a frame.

    A carried match stays if its score does. A position that is not tracked, a *hole*, takes the
    match of the tracked position that looks most like it in the content frame: the same material
    beside it is painted the same way. All others are searched.

    Args:
        carried: the carried matches (h, w)
        coordinates: (h · w, K) features of the content frame, in the components of the index
        search: the style index of the region
    """
    shape = carried.indexes.shape
    indexes, least = carried.indexes.reshape(-1).copy(), carried.least.reshape(-1)
    valid = carried.valid.reshape(-1)
    directions = search.directions(coordinates)
    scores = search.scores(directions, indexes)
    searched = ~valid | (scores < least)
    holes, known = np.flatnonzero(~valid), np.flatnonzero(valid & ~searched)
    if len(holes) and len(known) > MIN_KNOWN:
        known = known[:: -(-len(known) // MAX_KNOWN)]
        found, cosines = _look_alikes(directions[holes], directions[known])
        sure = cosines > ALIKE
        at = holes[sure]
        indexes[at], searched[at] = indexes[known[found[sure]]], False
        scores[at] = search.scores(directions[at], indexes[at])
    places = np.flatnonzero(searched)
    if len(places):
        scores[places], indexes[places] = feature_index.search_with_statistics(
            coordinates[places], search.index, search.statistics
        )
    return Matched(
        indexes.astype(np.int32).reshape(shape), scores.reshape(shape), searched.reshape(shape)
    )


def _look_alikes(
    holes: NDArray[np.float32], known: NDArray[np.float32]
) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Return the number of the known direction with the largest cosine, and the cosine."""
    best, cosines = [], []
    for first in range(0, len(holes), BATCH):
        products = holes[first : first + BATCH] @ known.T
        found = products.argmax(axis=1)
        best.append(found)
        cosines.append(products[np.arange(len(found)), found])
    return np.concatenate(best), np.concatenate(cosines)
