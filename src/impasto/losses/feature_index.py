"""Nearest-neighbor search among features of the style images.

The distance is the cosine distance, each side centered by its own mean, as in Kolkin et al. 2022,
"Neural Neighbor Style Transfer", section 3.2. Departure: the search uses principal components; 64
of them find neighbors nearly as near as all 2,688 channels, and the loss is within one percent
(benchmarks/NOTES.md). Some features are near to very many others (*hubs*), such as those of an eye
to any dark round shape, and would appear everywhere. Their similarity is therefore reduced by
their mean similarity to all queries: cross-domain similarity local scaling, Conneau, Lample,
Ranzato, Denoyer and Jégou 2018, "Word Translation Without Parallel Data", section 2.3, on the
pool's side.

All functions run once per level. Without a GPU they use NumPy arrays; with one they use tensors on
the device, except for the indices found. The search runs in blocks of fixed size, so memory is
bounded and results do not depend on the number of cores. Among equal neighbors the first is
chosen.
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
"""float32: NumPy's, or with a GPU a tensor on it."""
IndexArray: TypeAlias = NDArray[np.intp]

COMPONENTS = 64
"""Principal components that neighbors are looked for in."""

MAX_POSITIONS = 2**16
"""Positions that a pool has at most, of all its paintings and their rotations: those of a painting
of 512 x 512 px. They fill 700 MB; of larger paintings a sample is kept."""

PCA_SAMPLE = 4096
"""Positions that the principal components are computed from."""

PCA_OVERSAMPLING, PCA_ITERATIONS = 8, 3
"""Directions more than are asked for, and rounds, of the randomized search for components."""

HUBNESS_GROUPS = 16
"""Groups of what is looked for, in turn, of each of which a feature's largest cosine counts."""

HUBNESS_WEIGHT = 0.5
"""How much the mean of these is taken from a feature's cosines (benchmarks/NOTES.md)."""

HUBNESS_SAMPLE = 2**12
"""Of more queries than that not all are asked what they are near to."""

SEARCH_BATCH = 2**16
"""Positions looked for in one call of the compiled search."""

COLUMNS, BLOCK = 2**12, 2**24
"""Directions, and products of them with positions, in one piece where the search isn't compiled."""

TINY = 1e-12
"""Keeps the direction of what does not differ from the mean finite: it is zero."""


class IndexedStyle(NamedTuple):
    """What the network sees in a painting, in all its views such as its rotations."""

    share: float
    """how much of the style it is, relative to the others'"""
    features: Array
    """(n, C) at the positions that are kept, one after the other"""


class FeatureIndex(NamedTuple):
    """Features of one painting or several, to be looked through; N in all, painting by painting."""

    features: Array
    """(N, C)"""
    counts: tuple[int, ...]
    """how many of them each painting has"""
    shares: tuple[float, ...]
    """each painting's share; they add up to 1"""
    basis: Array | None
    """(C, K) principal components, as columns; None to search in all channels"""
    directions: Array
    """(N, K): features minus their painting's mean, in components, of length one or zero"""
    rebuild: "Callable[[], FeatureIndex] | None" = None
    """makes it again from the paintings"""

    def __reduce__(self) -> tuple[Any, ...]:
        """Send the paintings to other processes instead of what is seen in them, which is more."""
        return (FeatureIndex, tuple(self)) if self.rebuild is None else (self.rebuild, ())


ROTATIONS = 4
"""Rotations in which paintings are seen, by a quarter each."""


def rotations(image: Array) -> list[Array]:
    """Return (height, width, …) as it is and rotated by 90, 180 and 270 degrees."""
    return [np.ascontiguousarray(np.rot90(image, quarters)) for quarters in range(ROTATIONS)]


def select_positions(
    sizes: Sequence[tuple[int, int]], weights: Sequence[Array] | None, limit: int
) -> list[NDArray[np.bool_]]:
    """Return for each view of a painting, (height, width), which of its positions are kept.

    Those that ``weights``, if there are any, say count at least half as much as the view's
    most; of more than ``limit`` in all views a seeded sample.
    """
    kept = [np.ones(height * width, bool) for height, width in sizes]
    if weights is not None:
        half = max(each.max() for each in weights) / 2
        kept = [each.reshape(-1) >= half for each in weights]
    whole = np.flatnonzero(np.concatenate(kept))
    if len(whole) > limit:
        chosen = np.zeros(sum(map(len, kept)), bool)
        chosen[whole[_sample_indexes(len(whole), limit)]] = True
        kept = np.split(chosen, np.cumsum([len(each) for each in kept])[:-1])
    return [each.reshape(size) for each, size in zip(kept, sizes, strict=True)]


def build_index(
    styles: Sequence[IndexedStyle], components: int | None = COMPONENTS
) -> FeatureIndex:
    """Keep of paintings what is looked through; ``components`` None searches in all channels."""
    parts = [style.features for style in styles]
    whole = sum(style.share for style in styles)
    means = [array_namespace(part).mean(part, axis=0) for part in parts]
    basis = None
    if components is not None:
        chosen = zip(parts, means, _sample_styles(parts), strict=True)
        sample = _concatenate([gather_rows(part, rows) - mean for part, mean, rows in chosen])
        basis = principal_components(normalize_rows(sample), components)
    directions = [_directions_in_basis(*each, basis) for each in zip(parts, means, strict=True)]
    return FeatureIndex(
        _concatenate(parts),
        tuple(len(part) for part in parts),
        tuple(style.share / whole for style in styles),
        basis,
        _concatenate(directions),
    )


def _concatenate(arrays: Sequence[Array]) -> Array:
    return arrays[0] if len(arrays) == 1 else array_namespace(arrays[0]).concatenate(arrays)


def _directions_in_basis(features: Array, mean: Array, basis: Array | None) -> Array:
    """Return the directions of features (n, C) about a mean, in the components of ``basis``."""
    if basis is None:
        return normalize_rows(features - mean)
    # As (f - mean) @ basis, without a copy of all features.
    return normalize_rows(features @ basis - array_namespace(mean).matmul(mean, basis))


def _sample_styles(parts: Sequence[Array]) -> list[IndexArray]:
    """Return for each painting which of its features are in a sample of all."""
    ends = np.cumsum([len(part) for part in parts])
    chosen = _sample_indexes(int(ends[-1]), min(int(ends[-1]), PCA_SAMPLE))
    pieces = np.split(chosen, np.searchsorted(chosen, ends[:-1]))
    return [piece - start for piece, start in zip(pieces, [0, *ends[:-1]], strict=True)]


def _sample_indexes(count: int, size: int) -> IndexArray:
    """Return ``size`` of ``count`` indexes in their order, chosen with a fixed seed."""
    return np.sort(np.random.default_rng(0).permutation(count)[:size])


def take_positions(features: Array, places: IndexArray) -> Array:
    """Return those of features (height, width, C) at some positions, row by row, (n, C)."""
    of = array_namespace(features)
    return of.take(of.reshape(features, (-1, features.shape[-1])), places, axis=0)


def normalize_rows(vectors: Array) -> Array:
    """Return vectors (n, C) at length one, or zero."""
    of = array_namespace(vectors)
    lengths = of.sqrt(of.einsum("nc,nc->n", vectors, vectors))
    return vectors / of.maximum(lengths, TINY)[:, None]


def principal_components(sample: Array, count: int) -> Array:
    """Return the first ``count`` principal components (C, K) of a sample (n, C), as columns.

    Halko, Martinsson and Tropp 2011, "Finding Structure with Randomness", algorithm 4.4: a
    random subspace, turned toward the largest components by a few multiplications, within which
    the components are found exactly.
    """
    channels = sample.shape[1]
    if count >= channels:
        return as_array_like(np.eye(channels, dtype=np.float32), sample)
    start = np.random.default_rng(0).standard_normal(
        (channels, min(count + PCA_OVERSAMPLING, channels))
    )
    subspace = as_array_like(start.astype(np.float32), sample)
    of = array_namespace(sample)
    for _ in range(PCA_ITERATIONS):
        subspace, _ = of.linalg.qr(of.transpose(sample) @ (sample @ subspace))
    within = sample @ subspace
    products = to_numpy(of.transpose(within) @ within).astype(np.float64)
    _, vectors = np.linalg.eigh(products)  # ascending
    largest = np.ascontiguousarray(vectors[:, : -count - 1 : -1].astype(np.float32))
    return subspace @ as_array_like(largest, sample)


class SearchQuery(NamedTuple):
    """What neighbors are looked for, in a pool's components."""

    coordinates: Array
    """(n, K)"""
    sums: NDArray[np.float64]
    """(C,) all of it by its weights, in all channels"""
    weight: float
    """the sum of the weights"""


def project_query(columns: Array, index: FeatureIndex, weights: Array | None = None) -> SearchQuery:
    """Return what is kept of features (n, C) that neighbors are looked for of; queries add up.

    ``weights`` (n,), positive, weigh their mean.
    """
    each = np.ones(len(columns), np.float32) if weights is None else weights
    coordinates = columns if index.basis is None else columns @ index.basis
    sums = to_numpy(array_namespace(columns).matmul(as_array_like(each, columns), columns))
    return SearchQuery(coordinates, sums.astype(np.float64), float(each.sum(dtype=np.float64)))


class QueryBuilder:
    """Gathers queries into one, of so many rows in all."""

    def __init__(self, count: int) -> None:
        """Have nothing yet."""
        self.count, self.whole = count, SearchQuery(np.empty((0, 0), np.float32), np.zeros(1), 0.0)
        self._end = 0

    def add(self, part: SearchQuery) -> None:
        """Take a part; parts come in the order of their rows."""
        rows, sums, weight = self.whole
        new = part.coordinates
        if is_tensor(new):
            rows = _concatenate([rows, new]) if self._end else new
        else:
            rows = rows if self._end else filearray.zeros((self.count, new.shape[1]))
            rows[self._end : self._end + len(new)] = new
        self._end += len(new)
        self.whole = SearchQuery(rows, sums + part.sums, weight + part.weight)


def search(query: SearchQuery, pool: FeatureIndex, order: IndexArray | None = None) -> IndexArray:
    """Return for each row of ``query`` (n, ...) the index (n,) of its nearest in the pool.

    The nearest has the largest cosine of (q - mean of all q) and (f - mean of its painting's f),
    less CROWDING times the mean over GROUPS of the queries, every so-manieth, of the largest cosine
    that f has with any of the group. ``order`` (n,) are the places at which rows stand among the
    queries where that is not their own order; of more than CROWD of them every so-manieth counts.

    Of several paintings each gets its share of the positions, those at which it is nearer than
    the others by most. Departure from the paper, which has one painting: a mean of what is
    nearest in either would paint what is in neither.
    """
    mean = as_array_like((query.sums / query.weight).astype(np.float32), pool.directions)
    center = mean if pool.basis is None else array_namespace(mean).matmul(mean, pool.basis)
    count = len(query.coordinates)
    own = np.arange(count) if order is None else np.argsort(order)

    def about(coordinates: Array) -> Array:
        return normalize_rows(coordinates - center)

    def rows(first: int, last: int) -> Array:
        return about(query.coordinates[first:last])

    crowd = about(gather_rows(query.coordinates, own[:: -(-count // HUBNESS_SAMPLE)]))
    ends = np.cumsum(pool.counts)
    starts = ends - pool.counts
    found = [
        _search_best(rows, count, among, HUBNESS_WEIGHT * _hubness(crowd, among))
        for among in (pool.directions[a:b] for a, b in zip(starts, ends, strict=True))
    ]
    cosines = np.stack([cosine for cosine, _ in found])
    indexes = np.stack([start + index for start, (_, index) in zip(starts, found, strict=True)])
    owners = split_by_shares(cosines, pool.shares)
    return np.take_along_axis(indexes, owners[None], axis=0)[0]


def argmax_product(query: Array, among: Array) -> Array:
    """Return for each row of ``query`` (n, C) the row of ``among`` (N, C) of the largest product.

    int32 (n,), also in a compiled step.
    """
    if not is_tensor(query):
        return _search_best(
            lambda first, last: query[first:last], len(query), among, np.float32(0)
        )[1]
    ops = array_namespace(query)
    return ops.argmax(ops.matmul(query, ops.transpose(among)), axis=-1)


def argmax_product_by_row(query: Array, among: Array) -> Array:
    """Return :func:`argmax_product` for (height, width, C), in memory that does not grow with
    it.
    """
    if is_tensor(query):
        return array_namespace(query).map(lambda row: argmax_product(row, among), query)
    height, width, channels = query.shape
    return argmax_product(query.reshape(-1, channels), among).reshape(height, width)


def split_by_shares(cosines: Array, shares: Sequence[float]) -> IndexArray:
    """Give each of n positions to one of the paintings, by their cosines (paintings, n).

    One after the other, each takes its share of the positions: those at which its cosine exceeds
    the largest of the paintings after it by most.
    """
    owners = np.full(cosines.shape[1], len(shares) - 1, np.intp)
    free = np.arange(cosines.shape[1])
    left = float(sum(shares))
    for number, share in enumerate(shares[:-1]):
        ahead = cosines[number, free] - cosines[number + 1 :, free].max(axis=0)
        order = np.argsort(-ahead, kind="stable")
        count = round(len(free) * share / left)
        owners[free[order[:count]]] = number
        free, left = np.sort(free[order[count:]]), left - share
    return owners


def _hubness(query: Array, directions: Array) -> Array:
    """Return how near each direction is to all that is looked for, (N,).

    The mean over GROUPS of the queries of the largest cosine with any of the group.
    """
    groups = min(HUBNESS_GROUPS, len(query))
    members = np.arange(groups)[:, None] + np.arange(0, len(query), groups)
    members = np.where(members < len(query), members, members[:, :1])  # filled up with the first
    ops, grouped = array_namespace(query), gather_rows(query, members)
    if not is_tensor(query) and kernels.kernels_available():
        best = kernels.best_kernels()
        nearest = [best.search(directions, best.prepare_index(group))[1] for group in grouped]
        return np.mean(nearest, axis=0, dtype=np.float32)
    turned = ops.transpose(grouped, (0, 2, 1))

    def work(first: int) -> Array:
        products = ops.matmul(directions[first : first + COLUMNS], turned)
        return ops.mean(ops.max(products, axis=2), axis=0)

    return _concatenate(_in_pieces(work, len(directions), COLUMNS, on_device=is_tensor(query)))


def _search_best(
    query: Callable[[int, int], Array], count: int, directions: Array, taken: Array
) -> tuple[HostArray, IndexArray]:
    """Return the largest of cosines less what is ``taken`` from them, and where it is, (n,) each.

    ``query`` gives rows of what is looked for, from a first to a last, which is not included.
    """
    on_device = is_tensor(directions)
    if not on_device and kernels.kernels_available():
        rows, best = SEARCH_BATCH, kernels.best_kernels()
        index = best.prepare_index(directions)
        penalty = np.broadcast_to(taken, len(directions))
        found = [
            best.search(query(first, min(count, first + rows)), index, penalty)[::-1]
            for first in range(0, count, rows)
        ]
    else:
        ops, rows = array_namespace(directions), max(1, BLOCK // len(directions))

        def work(first: int) -> tuple[Array, Array]:
            part = query(first, min(count, first + rows))
            cosines = ops.matmul(part, ops.transpose(directions)) - taken
            return ops.max(cosines, axis=1), ops.argmax(cosines, axis=1)

        found = _in_pieces(work, count, rows, on_device)
    # All at once, so that a device need not wait in between.
    cosines, indexes = (to_numpy(_concatenate(side)) for side in zip(*found, strict=True))
    return cosines, indexes.astype(np.intp)


def _in_pieces(work: Callable[[int], Any], count: int, size: int, on_device: bool) -> list[Any]:
    """Do work for every ``size`` of ``count``, on all cores but on a device one after another."""
    starts = range(0, count, size)
    return [work(first) for first in starts] if on_device else threads.map_in_threads(work, starts)
