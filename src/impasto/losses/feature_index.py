"""An index of features of the style images, for nearest-neighbor search.

The distance is the cosine distance, each side centered by its own mean, as in Kolkin et al. 2022,
"Neural Neighbor Style Transfer", section 3.2. Departure: the search uses principal components; 64
of them find neighbors nearly as near as all 2,688 channels, and the loss is within one percent
(benchmarks/NOTES.md). Some features are near to very many others (*hubs*), such as those of an eye
to any dark round shape, and would appear everywhere. Their similarity is therefore reduced by
HUBNESS_WEIGHT times their *hubness*. A sample of the queries is divided into groups, and hubness is
the mean over groups of the largest cosine with a query of the group. This is cross-domain
similarity local scaling (Conneau, Lample, Ranzato, Denoyer and Jégou 2018, "Word Translation
Without Parallel Data", section 2.3) on the side of the index. Departure: the paper uses the mean
over the nearest of all queries.

:func:`search` runs once per level, :func:`argmax_product` at every evaluation. Without a GPU they
use NumPy arrays; with one they use tensors on the device, except for row numbers. The search runs
in blocks of fixed size, so memory is bounded and results do not depend on the number of cores.
Among equal neighbors the first is chosen.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from impasto import filearray
from impasto.compute import threads
from impasto.compute.arrays import (
    HostArray,
    array_namespace,
    as_array_like,
    gather_rows,
    is_tensor,
    to_numpy,
)
from impasto.compute.native import kernels

Array: TypeAlias = Any
"""float32: a NumPy array, or with a GPU a tensor on it."""
IndexArray: TypeAlias = NDArray[np.intp]

COMPONENTS = 64
"""Number of principal components of the search."""

MAX_POSITIONS = 2**16
"""Maximum number of rows of an index, for all style images and their rotations: the positions of
four rotations of an image of 512 x 512 px, 700 MB. Of larger style images a sample is kept."""

PCA_SAMPLE = 4096
"""Number of positions from which the principal components are computed."""

PCA_OVERSAMPLING, PCA_ITERATIONS = 8, 3
"""Additional directions, and iterations, of the randomized PCA."""

HUBNESS_GROUPS = 16
"""Number of groups of queries, see :func:`search`."""

HUBNESS_WEIGHT = 0.5
"""Factor of the hubness that is subtracted from cosines (benchmarks/NOTES.md)."""

HUBNESS_SAMPLE = 2**12
"""Maximum number of queries in all groups."""

PRODUCT_ROWS = 512
"""Number of rows of a matrix product that one core computes at a time."""

SEARCH_BATCH = 2**16
"""Number of queries in one call of the compiled search."""

COLUMNS, BLOCK = 2**12, 2**24
"""Directions, and products, in one block of the search without compiled kernels."""

TINY = 1e-12
"""Keeps the direction of a feature that equals the mean finite: it is zero."""


class IndexedStyle(NamedTuple):
    """Features of a style image in all its rotations."""

    weight: float
    """weight of the style image, relative to the others"""
    features: Array
    """(n, C) at the positions to keep"""
    positions: IndexArray | None = None
    """(n,) their row-major indexes among the positions of all rotations, one after the other; None
    if all are kept, in that order"""
    position_count: int = 0
    """number of positions of all rotations, if not all are kept"""


class FeatureIndex(NamedTuple):
    """Features of style images to search: N rows, image by image."""

    features: Array
    """(N, C)"""
    counts: tuple[int, ...]
    """number of features of each style image"""
    weights: tuple[float, ...]
    """weight of each style image; they add up to 1"""
    basis: Array | None
    """(C, K) principal components, as columns; None to search in all channels"""
    directions: Array
    """(N, K): features minus their image's mean, in components, of length one or zero"""
    positions: IndexArray
    """(N,) as in :class:`IndexedStyle`, with the positions of all style images one after the
    other"""
    rebuild: "Callable[[], FeatureIndex] | None" = None
    """builds the index from the style images"""

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the style images instead of their features, which are larger."""
        return (FeatureIndex, tuple(self)) if self.rebuild is None else (self.rebuild, ())


ROTATIONS = 4
"""Number of rotations of a style image, by 90 degrees each."""


def rotations(image: Array) -> list[Array]:
    """Return (height, width, …) as it is and rotated by 90, 180 and 270 degrees."""
    return [np.ascontiguousarray(np.rot90(image, quarters)) for quarters in range(ROTATIONS)]


def select_positions(
    sizes: Sequence[tuple[int, int]], weights: Sequence[Array] | None, limit: int
) -> list[NDArray[np.bool_]]:
    """Return the positions to keep of each rotation of a style image, (height, width).

    With ``weights``, positions with at least half of the largest weight are kept. If there are more
    than ``limit`` in all rotations, a seeded sample of them is kept.
    """
    kept = [np.ones(height * width, bool) for height, width in sizes]
    if weights is not None:
        half = max(each.max() for each in weights) / 2
        kept = [each.reshape(-1) >= half for each in weights]
    candidates = np.flatnonzero(np.concatenate(kept))
    if len(candidates) > limit:
        chosen = np.zeros(sum(map(len, kept)), bool)
        chosen[candidates[_sample_indexes(len(candidates), limit)]] = True
        kept = np.split(chosen, np.cumsum([len(each) for each in kept])[:-1])
    return [each.reshape(size) for each, size in zip(kept, sizes, strict=True)]


def build_index(
    styles: Sequence[IndexedStyle], components: int | None = COMPONENTS
) -> FeatureIndex:
    """Return the index of style images; ``components`` None searches in all channels."""
    parts = [style.features for style in styles]
    total = sum(style.weight for style in styles)
    means = [array_namespace(part).mean(part, axis=0) for part in parts]
    basis = None
    if components is not None:
        chosen = zip(parts, means, _sample_styles(parts), strict=True)
        sample = concatenate_rows([gather_rows(part, rows) - mean for part, mean, rows in chosen])
        basis = principal_components(normalize_rows(sample), components)
    directions = [_directions_in_basis(*each, basis) for each in zip(parts, means, strict=True)]
    return FeatureIndex(
        concatenate_rows(parts),
        tuple(len(part) for part in parts),
        tuple(style.weight / total for style in styles),
        basis,
        concatenate_rows(directions),
        _join_positions(styles),
    )


def _join_positions(styles: Sequence[IndexedStyle]) -> IndexArray:
    """Return :attr:`FeatureIndex.positions`."""
    joined, start = [], 0
    for style in styles:
        count = len(style.features)
        positions = np.arange(count) if style.positions is None else style.positions
        joined.append(start + positions)
        start += count if style.positions is None else style.position_count
    return np.concatenate(joined)


def concatenate_rows(arrays: Sequence[Array]) -> Array:
    """Return arrays (n, ...) as one; without a copy if there is only one."""
    return arrays[0] if len(arrays) == 1 else array_namespace(arrays[0]).concatenate(arrays)


def _directions_in_basis(features: Array, mean: Array, basis: Array | None) -> Array:
    """Return the directions of features (n, C) about a mean, in the components of ``basis``."""
    if basis is None:
        return normalize_rows(features - mean)
    # As (f - mean) @ basis, without a copy of all features.
    offset = array_namespace(mean).matmul(mean, basis)
    return normalize_rows(_project_rows(features, basis) - offset)


def _apply_moments(sample: Array, subspace: Array) -> Array:
    """Return (sampleᵀ sample) @ subspace, on all cores; rows are summed in a fixed order."""
    if is_tensor(sample):
        return array_namespace(sample).transpose(sample) @ (sample @ subspace)

    def work(first: int) -> HostArray:
        rows = sample[first : first + PRODUCT_ROWS]
        product: HostArray = rows.T @ (rows @ subspace)
        return product

    return sum(threads.map_in_threads(work, range(0, len(sample), PRODUCT_ROWS)))


def _project_rows(rows: Array, basis: Array) -> Array:
    """Return rows (n, C) @ basis (C, K), on all cores."""
    if is_tensor(rows):
        return rows @ basis
    starts = range(0, len(rows), PRODUCT_ROWS)
    return concatenate_rows(
        threads.map_in_threads(lambda first: rows[first : first + PRODUCT_ROWS] @ basis, starts)
    )


def _sample_styles(parts: Sequence[Array]) -> list[IndexArray]:
    """Return the indexes of a sample of all features, by style image."""
    ends = np.cumsum([len(part) for part in parts])
    sample = _sample_indexes(int(ends[-1]), min(int(ends[-1]), PCA_SAMPLE))
    pieces = np.split(sample, np.searchsorted(sample, ends[:-1]))
    return [piece - start for piece, start in zip(pieces, [0, *ends[:-1]], strict=True)]


def _sample_indexes(count: int, size: int) -> IndexArray:
    """Return ``size`` of ``count`` indexes in ascending order, chosen with a fixed seed."""
    return np.sort(np.random.default_rng(0).permutation(count)[:size])


def take_positions(features: Array, indexes: IndexArray) -> Array:
    """Return features (height, width, C) at row-major indexes of positions, (n, C)."""
    ops = array_namespace(features)
    return ops.take(ops.reshape(features, (-1, features.shape[-1])), indexes, axis=0)


def normalize_rows(vectors: Array) -> Array:
    """Return vectors (n, C) divided by their lengths; zero vectors stay zero."""
    ops = array_namespace(vectors)
    lengths = ops.sqrt(ops.einsum("nc,nc->n", vectors, vectors))
    return vectors / ops.maximum(lengths, TINY)[:, None]


def principal_components(sample: Array, count: int) -> Array:
    """Return the first ``count`` principal components (C, K) of a sample (n, C), as columns.

    Halko, Martinsson and Tropp 2011, "Finding Structure with Randomness", algorithm 4.4: a
    random subspace is aligned with the largest components by a few multiplications, and the
    components within it are exact.
    """
    channels = sample.shape[1]
    if count >= channels:
        return as_array_like(np.eye(channels, dtype=np.float32), sample)
    start = np.random.default_rng(0).standard_normal(
        (channels, min(count + PCA_OVERSAMPLING, channels))
    )
    subspace = as_array_like(start.astype(np.float32), sample)
    ops = array_namespace(sample)
    for _ in range(PCA_ITERATIONS):
        subspace, _ = ops.linalg.qr(_apply_moments(sample, subspace))
    within = _project_rows(sample, subspace)
    products = to_numpy(ops.transpose(within) @ within).astype(np.float64)
    _, vectors = np.linalg.eigh(products)  # ascending
    largest = np.ascontiguousarray(vectors[:, : -count - 1 : -1].astype(np.float32))
    return subspace @ as_array_like(largest, sample)


class SearchQuery(NamedTuple):
    """Queries, in the principal components of an index."""

    coordinates: Array
    """(n, K)"""
    sums: NDArray[np.float64]
    """(C,) weighted sum of the queries, in all channels"""
    weight: float
    """the sum of the weights"""


def project_query(columns: Array, index: FeatureIndex, weights: Array | None = None) -> SearchQuery:
    """Return features (n, C) as queries, which can be concatenated.

    ``weights`` (n,), positive, are the weights of their mean.
    """
    if weights is None:
        weights = np.ones(len(columns), np.float32)
    coordinates = columns if index.basis is None else _project_rows(columns, index.basis)
    sums = to_numpy(array_namespace(columns).matmul(as_array_like(weights, columns), columns))
    return SearchQuery(coordinates, sums.astype(np.float64), float(weights.sum(dtype=np.float64)))


class QueryBuilder:
    """Concatenates queries, with ``count`` rows in all."""

    def __init__(self, count: int) -> None:
        """Start without rows."""
        self.count, self.whole = count, SearchQuery(np.empty((0, 0), np.float32), np.zeros(1), 0.0)
        self._end = 0

    def add(self, part: SearchQuery) -> None:
        """Append a part."""
        rows, sums, weight = self.whole
        new = part.coordinates
        if is_tensor(new):
            rows = concatenate_rows([rows, new]) if self._end else new
        else:
            rows = rows if self._end else filearray.zeros((self.count, new.shape[1]))
            rows[self._end : self._end + len(new)] = new
        self._end += len(new)
        self.whole = SearchQuery(rows, sums + part.sums, weight + part.weight)


def search(
    query: SearchQuery, index: FeatureIndex, positions: IndexArray | None = None
) -> IndexArray:
    """Return the row (n,) of the index that is the nearest neighbor of each query.

    The nearest neighbor f of q has the largest cosine of (q - mean of all q) and (f - mean of its
    style image), less HUBNESS_WEIGHT times its hubness. Hubness is the mean over HUBNESS_GROUPS
    groups of queries of the largest cosine of f with a query of the group. It is computed from
    every k-th query, HUBNESS_SAMPLE at most.

    With several style images, each gets the fraction of the queries that its weight says: those
    where its advantage over the others is largest. Departure from the paper, which has one style
    image: a mean of neighbors in two style images is a feature of neither.

    Args:
        query: n queries
        index: the features of the style images
        positions: (n,) row-major position of each query, if they are not in that order
    """
    statistics = search_statistics(query, index, positions)
    return search_with_statistics(query.coordinates, index, statistics)[1]


class SearchStatistics(NamedTuple):
    """The parts of a search that depend on all queries together.

    A video keeps those of a shot's first frame: changes of a global mean would make all of the
    image flicker.
    """

    center: Array
    """(K,) mean of the queries"""
    penalty: Array
    """(N,) HUBNESS_WEIGHT times the hubness of each row of the index"""


def search_statistics(
    query: SearchQuery, index: FeatureIndex, positions: IndexArray | None = None
) -> SearchStatistics:
    """Return the statistics of :func:`search`, which has the same arguments."""
    mean = as_array_like((query.sums / query.weight).astype(np.float32), index.directions)
    center = mean if index.basis is None else array_namespace(mean).matmul(mean, index.basis)
    count = len(query.coordinates)
    order = np.arange(count) if positions is None else np.argsort(positions)
    rows = gather_rows(query.coordinates, order[:: -(-count // HUBNESS_SAMPLE)])
    sample = normalize_rows(rows - center)
    hubness = [_hubness(sample, rows) for rows in _split_by_style(index, index.directions)]
    return SearchStatistics(center, HUBNESS_WEIGHT * concatenate_rows(hubness))


def search_with_statistics(
    coordinates: Array, index: FeatureIndex, statistics: SearchStatistics
) -> tuple[HostArray, IndexArray]:
    """Return the score of the nearest neighbor of each query, and its row, (n,) each.

    The score is the cosine minus the penalty.

    Args:
        coordinates: (n, K) queries in the components of the index
        index: the features of the style images
        statistics: center and penalties
    """

    def query_rows(first: int, last: int) -> Array:
        return normalize_rows(coordinates[first:last] - statistics.center)

    ends = np.cumsum(index.counts)
    starts = ends - index.counts
    penalties = _split_by_style(index, statistics.penalty)
    best_of_styles = [
        _search_best(query_rows, len(coordinates), rows, penalty)
        for rows, penalty in zip(_split_by_style(index, index.directions), penalties, strict=True)
    ]
    cosines = np.stack([cosine for cosine, _ in best_of_styles])
    neighbors = np.stack(
        [start + best for start, (_, best) in zip(starts, best_of_styles, strict=True)]
    )
    style_numbers = split_by_weights(cosines, index.weights)[None]
    best, rows = (
        np.take_along_axis(each, style_numbers, axis=0)[0] for each in (cosines, neighbors)
    )
    return best, rows


def _split_by_style(index: FeatureIndex, rows: Array) -> list[Array]:
    """Return the rows (N, ...) of each style image."""
    ends = np.cumsum(index.counts)
    return [rows[end - count : end] for end, count in zip(ends, index.counts, strict=True)]


def argmax_product(query: Array, rows: Array) -> Array:
    """Return for each query (n, C) the row of ``rows`` (N, C) with the largest product.

    int32 (n,), also in a compiled step.
    """
    if not is_tensor(query):
        return _search_best(lambda first, last: query[first:last], len(query), rows, np.float32(0))[
            1
        ]
    ops = array_namespace(query)
    return ops.argmax(ops.matmul(query, ops.transpose(rows)), axis=-1)


def argmax_product_by_row(query: Array, rows: Array) -> Array:
    """Return :func:`argmax_product` for (height, width, C), row by row in a compiled step."""
    if is_tensor(query):
        return array_namespace(query).map(lambda row: argmax_product(row, rows), query)
    height, width, channels = query.shape
    return argmax_product(query.reshape(-1, channels), rows).reshape(height, width)


def split_by_weights(cosines: Array, weights: Sequence[float]) -> IndexArray:
    """Return the number (n,) of the style image of each query, from cosines (style images, n).

    In turn, each style image gets the fraction of the queries that its weight says: those where
    its cosine exceeds the largest of the images after it by most.
    """
    style_numbers = np.full(cosines.shape[1], len(weights) - 1, np.intp)
    free = np.arange(cosines.shape[1])
    left = float(sum(weights))
    for number, weight in enumerate(weights[:-1]):
        advantage = cosines[number, free] - cosines[number + 1 :, free].max(axis=0)
        order = np.argsort(-advantage, kind="stable")
        count = round(len(free) * weight / left)
        style_numbers[free[order[:count]]] = number
        free, left = np.sort(free[order[count:]]), left - weight
    return style_numbers


def _hubness(query: Array, directions: Array) -> Array:
    """Return the hubness (N,) of each direction.

    It is the mean over HUBNESS_GROUPS groups of queries of the largest cosine with any of a group.
    """
    groups = min(HUBNESS_GROUPS, len(query))
    members = np.arange(groups)[:, None] + np.arange(0, len(query), groups)
    members = np.where(
        members < len(query), members, members[:, :1]
    )  # the first fills the last group
    ops, grouped = array_namespace(query), gather_rows(query, members)
    if not is_tensor(query) and kernels.kernels_available():
        best = kernels.best_kernels()
        nearest = [best.search(directions, best.prepare_index(group))[1] for group in grouped]
        return np.mean(nearest, axis=0, dtype=np.float32)
    transposed = ops.transpose(grouped, (0, 2, 1))

    def work(first: int) -> Array:
        products = ops.matmul(directions[first : first + COLUMNS], transposed)
        return ops.mean(ops.max(products, axis=2), axis=0)

    return concatenate_rows(_in_pieces(work, len(directions), COLUMNS, on_device=is_tensor(query)))


def _search_best(
    query: Callable[[int, int], Array], count: int, directions: Array, penalty: Array
) -> tuple[HostArray, IndexArray]:
    """Return the largest cosine minus ``penalty`` of each query, and its row, (n,) each.

    ``query`` returns the rows of a range, end exclusive.
    """
    on_device = is_tensor(directions)
    if not on_device and kernels.kernels_available():
        size, best = SEARCH_BATCH, kernels.best_kernels()
        index = best.prepare_index(directions)
        penalties = np.broadcast_to(penalty, len(directions))
        results = [
            best.search(query(first, min(count, first + size)), index, penalties)[::-1]
            for first in range(0, count, size)
        ]
    else:
        ops, size = array_namespace(directions), max(1, BLOCK // len(directions))

        def work(first: int) -> tuple[Array, Array]:
            part = query(first, min(count, first + size))
            cosines = ops.matmul(part, ops.transpose(directions)) - penalty
            return ops.max(cosines, axis=1), ops.argmax(cosines, axis=1)

        results = _in_pieces(work, count, size, on_device)
    # Converted once, so that a GPU is waited for once.
    cosines, best_rows = (to_numpy(concatenate_rows(side)) for side in zip(*results, strict=True))
    return cosines, best_rows.astype(np.intp)


def _in_pieces(work: Callable[[int], Any], count: int, size: int, on_device: bool) -> list[Any]:
    """Return the results of blocks of ``size`` of ``count``: on all cores, on a GPU in turn."""
    starts = range(0, count, size)
    return [work(first) for first in starts] if on_device else threads.map_in_threads(work, starts)
