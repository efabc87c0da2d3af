"""Style by matched features: each position is pulled toward its nearest neighbor in the style.

Kolkin, Kucera, Paris, Sýkora, Shechtman and Shakhnarovich 2022, "Neural Neighbor Style Transfer".
A *hypercolumn* is the concatenation of the features of all layers at one position. For each level,
every hypercolumn of a query is matched with its nearest neighbor among those of the style image.
The loss is

    sum over positions of w |h - t|² / sum over positions of w |m|²

with h the hypercolumn of the current image, m the matched one, t the target computed from it, and
w its weight; layers may have weights. It is a sum over positions, so tiles, strips and regions add
up.

Departures: squared error instead of the cosine distance, with which contrast grows without bound.
Targets are fixed for a level. Below full strength, a part of each target is the content image's
own hypercolumn. The deepest block is compared at its own positions, each with the mean of the
targets of the four grid positions that it covers. This has the same gradient as the sum above with
those features repeated, and reads a quarter of the values.
"""

import functools
import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from impasto.compute.arrays import (
    HostArray,
    Tensor,
    array_namespace,
    as_array_like,
    gather_rows,
    is_tensor,
    to_numpy,
)
from impasto.compute.reductions import block_mean, block_mean_gradient, row_blocks
from impasto.images import masks, style_regions
from impasto.images.arrays import ImageArray, resample, size_of
from impasto.images.style_regions import StyledRegion
from impasto.losses import pools, tiles
from impasto.losses.content import added
from impasto.losses.pools import Array, Indexes, Pool
from impasto.losses.terms import (
    AddGradient,
    Eye,
    Look,
    Pullback,
    Scene,
    Seen,
    Sight,
    Term,
)
from impasto.recipe.settings import Recipe

GRID = 3
"""The block whose positions are the grid of hypercolumns: a quarter of the picture's size."""

HALFWAY = 0.9
"""The painting's share of a target at strength 0.5. A tenth of the photograph keeps faces and
ridges that the painting has nothing like (benchmarks/NOTES.md)."""

TINY = 1e-12
"""Keeps the loss finite against a target that is zero all over."""


class Matched(NamedTuple):
    """A region of the picture and what it is to look like."""

    pool: Pool
    weights: Array | None = None
    """(h, w) at the grid, how much of a position belongs to the region; all of it if None"""


class Found(NamedTuple):
    """Which features of its pool the positions of a region, or of a part of one, have found."""

    pool: Pool
    indexes: NDArray[np.int32]
    """(h, w) at the grid; any where nothing belongs to the region"""
    weights: Array | None
    """(h, w) as :class:`Matched` has them"""

    def cut(self, part: Callable[[Array], Array]) -> "Found":
        """Return a part of it, where ``part`` gives that of a field (h, w)."""
        weights = None if self.weights is None else part(self.weights)
        return Found(self.pool, part(self.indexes), weights)


class Target(NamedTuple):
    """What a picture's maps are compared with, and how much each layer weighs."""

    maps: dict[str, Tensor]
    """by layer, float32, of the size of what :func:`comparable` gives"""
    weights: dict[str, Tensor]
    """by layer (height, width, 1), how much of a position counts; none if all count alike"""
    scales: dict[str, Tensor]
    """by layer (), what its sum is multiplied with in the loss"""


def comparable(maps: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Reduce feature maps (height, width, C) to what targets are compared with.

    float32. Those above the grid are averaged over 4 x 4 or 2 x 2 positions, without an odd last
    row or column, as in VGG's pooling; those at it and below it stay as they are. A position
    depends on what is there alone, so that aligned tiles give what the whole picture does.
    """
    return {layer: compared(layer, maps[layer]) for layer in layers_of(maps)}


def compared(layer: str, features: Tensor) -> Tensor:
    """Return what is compared of a layer's features (height, width, C), see :func:`comparable`."""
    return block_mean(features, _block(layer))


def hypercolumns(maps: Mapping[str, Tensor]) -> Tensor:
    """Return (h, w, C) float32, all channels of ``maps`` one after the other.

    At the grid of block 3, a quarter of the picture's size; every map divided by its number of
    channels. Those of block 4 are enlarged bilinearly by two about half-pixel centers, and
    continued by the values at their edge. A map at the grid or above must be among them.
    """
    return joined(at_grid(comparable(maps)))


def at_grid(reduced: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return by layer (h, w, C) what :func:`comparable` gives, all at the grid."""
    height, width = next(
        each.shape[:2] for layer, each in reduced.items() if block_of(layer) <= GRID
    )

    def enlarged(layer: str, value: Tensor) -> Tensor:
        if block_of(layer) <= GRID:
            return value
        return _doubled(_doubled(value, 0, height), 1, width)

    return {layer: enlarged(layer, reduced[layer]) for layer in layers_of(reduced)}


def joined(grids: dict[str, Tensor]) -> Tensor:
    """Return (h, w, C): the maps (h, w, C') of all layers, each divided by its channels.

    ``grids`` is emptied, so that no map is in memory twice.
    """
    first = next(iter(grids.values()))
    if is_tensor(first):
        shares = [each / each.shape[-1] for each in grids.values()]
        return array_namespace(first).concatenate(shares, axis=-1)
    whole = sum(each.shape[-1] for each in grids.values())
    columns, begin = np.empty((*first.shape[:2], whole), np.float32), 0
    del first
    for layer in list(grids):
        each = grids.pop(layer)
        end = begin + each.shape[-1]
        np.multiply(each, np.float32(1 / each.shape[-1]), out=columns[..., begin:end])
        begin = end
    return columns


def layers_of(maps: Iterable[str]) -> list[str]:
    """Return the convolutions of the first four blocks among names of maps, from the shallowest."""
    return sorted(name for name in maps if re.fullmatch(r"block[1-4]_conv\d", name))


def block_of(layer: str) -> int:
    """Return the number of the block that a layer is in."""
    return int(layer[len("block")])


def _block(layer: str) -> int:
    """Return the side of the blocks of a layer's positions whose means are compared."""
    return int(2 ** max(0, GRID - block_of(layer)))


def _doubled(value: Tensor, axis: int, size: int) -> Tensor:
    """Enlarge (height, width, C) along an axis by two, bilinearly, to ``size``: that or one more.

    Every value becomes two, a quarter of the way towards either neighbor.
    """

    ops = array_namespace(value)

    def part(of: Tensor, begin: int | None, end: int | None) -> Tensor:
        return of[(slice(None),) * axis + (slice(begin, end),)]

    before = ops.concatenate([part(value, None, 1), part(value, None, -1)], axis=axis)
    after = ops.concatenate([part(value, 1, None), part(value, -1, None)], axis=axis)
    quarters = [0.75 * value + 0.25 * before, 0.75 * value + 0.25 * after]
    shape = list(value.shape)
    shape[axis] = 2 * shape[axis]
    doubled = ops.reshape(ops.stack(quarters, axis=axis + 1), tuple(shape))
    return part(ops.concatenate([doubled, part(doubled, -1, None)], axis=axis), None, size)


def query(photograph: ImageArray, picture: ImageArray | None, adventure: float) -> ImageArray:
    """Return the picture whose hypercolumns are matched, of the size of ``photograph``.

    (1 - a) photograph + a (picture + the photograph's finest detail), where the detail is what
    halving its size loses, and ``picture`` is the picture so far, of the same size; at the
    coarsest level there is none, and the photograph is returned. ``adventure`` is a in [0, 1]: at
    0 shapes stay the photograph's, from 0.5 the painting's take over.
    """
    if picture is None or not adventure:
        return photograph
    height, width = size_of(photograph)
    half = resample(photograph, max(1, height // 2), max(1, width // 2))
    detail = photograph - resample(half, height, width)
    rest, share = np.array([1 - adventure, adventure], np.float32)
    mixed: ImageArray = rest * photograph + share * (picture + detail)
    return mixed


def search(
    columns: Iterable[Array], regions: Sequence[Matched], where: Sequence[Indexes]
) -> list[Found]:
    """Find for every position its nearest in the pool of each region it belongs to.

    ``columns`` are hypercolumns (h, w, C) of the parts of a picture, ``where`` the places (h, w)
    that each part's positions have in the whole, row by row.
    """
    places = np.concatenate([each.reshape(-1) for each in where])
    inside = [_inside(region, places) for region in regions]
    asking = [pools.Asking(len(each)) for each in inside]
    for part, here in zip(columns, where, strict=True):
        flat = array_namespace(part).reshape(part, (-1, part.shape[-1]))
        for region, asked in zip(regions, asking, strict=True):
            asked.add(_asked(flat, here.reshape(-1), region))
        del part, flat  # the search takes memory of its own
    found = []
    for region, asked, own in zip(regions, asking, inside, strict=True):
        # All that belongs to a region at once, since its mean and its crowd are one.
        indexes = np.zeros(len(places), np.int32)
        if len(own):
            indexes[own] = pools.nearest(asked.whole, region.pool, own)
        found.append(Found(region.pool, indexes, region.weights))
    return found


def _asked(flat: Array, places: Indexes, region: Matched) -> pools.Query:
    if region.weights is None:
        return pools.projected(flat, region.pool)
    weights = region.weights.reshape(-1)[places]
    inside = weights > 0
    rows = gather_rows(flat, np.flatnonzero(inside))
    return pools.projected(rows, region.pool, weights[inside])


def _inside(region: Matched, places: Indexes) -> Indexes:
    """Return those of the places that belong to a region."""
    return places if region.weights is None else places[region.weights.reshape(-1)[places] > 0]


def mixed(found: Sequence[Found], channels: slice = slice(None)) -> tuple[Array, Array | None]:
    """Return what positions are to have (h, w, C), and how much of each counts (h, w).

    Of all channels of the pools, or of some in a row. One of several regions takes the mean over
    them, weighted by how much it belongs to each, which has the gradient of their weighted losses.
    """
    if len(found) == 1 and found[0].weights is None:
        return gather_rows(found[0].pool.features[:, channels], found[0].indexes), None
    total, features = np.zeros(found[0].indexes.shape, np.float32), 0.0
    for each in found:
        weights = np.float32(1) if each.weights is None else each.weights.astype(np.float32)
        total = total + weights
        share = as_array_like(np.broadcast_to(weights, total.shape)[..., None], each.pool.features)
        features = features + share * gather_rows(each.pool.features[:, channels], each.indexes)
    return features / as_array_like(np.maximum(total, TINY)[..., None], features), total


class Wanted(NamedTuple):
    """What a part of a picture is to have, layer by layer."""

    maps: dict[str, Array]
    """(height, width, C) of the size of what :func:`comparable` gives"""
    counts: dict[str, Array]
    """(height, width, 1) how many positions of the grid each stands for, by their weights"""
    weighted: bool
    """whether positions count by weights"""


def wanted(found: Sequence[Found], own: dict[str, Array], share: float) -> Wanted:
    """Return what a part of a picture is to have.

    What is not the painting's ``share`` is the photograph's ``own`` features, by layer at the grid
    (h, w, C). They are emptied, so that no more than one layer is in memory twice.
    """
    maps, counts, weights, begin = {}, {}, None, 0
    for layer in list(own):
        apart, photograph = 2 ** max(0, block_of(layer) - GRID), own.pop(layer)
        channels = photograph.shape[-1]
        columns, weights = mixed(found, slice(begin, begin + channels))
        columns = columns * (share * channels) + photograph * (1 - share)
        maps[layer], counts[layer] = _block_means(columns, weights, apart)
        begin += channels
    return Wanted(maps, counts, weights is not None)


def sizes(found: Sequence[Found], channels: Mapping[str, int]) -> dict[str, float]:
    """Return Σ w |m|² over a part of a picture by layer, m what was found; those of parts add up.

    What is found alone, and not the photograph's part in a target: that a picture in tiles need
    not look at the photograph for it.
    """
    height, width = found[0].indexes.shape
    total: HostArray = np.zeros(sum(channels.values()), np.float64)
    for rows in row_blocks(height, width * len(total)):
        values, weights = mixed([each.cut(operator.itemgetter(rows)) for each in found])
        ops = array_namespace(values)
        squares = ops.square(values)
        if weights is not None:
            squares = squares * as_array_like(weights[..., None], squares)
        dtype = {} if is_tensor(squares) else {"dtype": np.float64}
        total += to_numpy(ops.sum(squares, axis=(0, 1), **dtype))
    parts = np.split(total, np.cumsum([*channels.values()])[:-1])
    return {layer: float(part.sum()) for layer, part in zip(channels, parts, strict=True)}


def target(part: Wanted, whole: Mapping[str, float], layers: Mapping[str, float]) -> Target:
    """Return what a part of a picture is compared with.

    ``whole`` are the :func:`sizes` of the whole picture, ``layers`` shares of the layers in the
    loss, on which what is nearest does not depend.
    """
    size = max(sum(layers[name] * each for name, each in whole.items()), TINY)
    scales = {
        name: np.float32(layers[name] / each.shape[-1] ** 2 / size)
        for name, each in part.maps.items()
    }
    counting = {
        name: each for name, each in part.counts.items() if part.weighted or block_of(name) > GRID
    }
    return Target(part.maps, counting, scales)


def _block_means(values: Array, weights: Array | None, apart: int) -> tuple[Array, Array]:
    """Return weighted means of (h, w, C) over blocks, and each block's weight (h', w', 1)."""
    height, width, channels = values.shape
    each = np.ones((height, width), np.float32) if weights is None else weights
    if apart == 1:
        return values, each[..., None]
    rows, columns = height // apart, width // apart
    crop = slice(rows * apart), slice(columns * apart)
    apart_each = each[crop].reshape(rows, apart, columns, apart, 1)
    counts = apart_each.sum(axis=(1, 3))
    at_least = array_namespace(counts).maximum(counts, TINY)
    of = array_namespace(values)
    blocks = of.reshape(values[crop], (rows, apart, columns, apart, channels))
    sums = of.sum(blocks * as_array_like(apart_each, values), axis=(1, 3))
    return sums / as_array_like(at_least, values), counts


def read(seen: Seen, target: Target) -> dict[str, Tensor]:
    """Sum w |h - t|² over positions and channels, by layer; sums of several tiles add up."""
    sums = {}
    for layer, wanted in target.maps.items():
        ops = array_namespace(seen.maps[layer])
        squares = ops.square(block_mean(seen.maps[layer], _block(layer)) - wanted)
        if layer in target.weights:
            squares = squares * target.weights[layer]
        sums[layer] = ops.sum(squares)
    return sums


def vjp(seen: Seen, target: Target) -> tuple[dict[str, Tensor], Pullback]:
    """Return :func:`read` of NumPy features, and its pullback: 2 w (h - t)."""
    sums, weighted = {}, {}
    for layer, wanted in target.maps.items():
        apart = block_mean(seen.maps[layer], _block(layer)) - wanted
        weighted[layer] = apart
        if layer in target.weights:
            weighted[layer] = apart * target.weights[layer]
        sums[layer] = np.float32(np.vdot(apart, weighted[layer]))

    def pullback(by: Mapping[str, Tensor]) -> dict[str, list[AddGradient]]:
        return {layer: [_adding(each, 2 * by[layer], layer)] for layer, each in weighted.items()}

    return sums, pullback


def _adding(gradient: HostArray, factor: np.float32, layer: str) -> AddGradient:
    def add(to: HostArray) -> None:
        size, scaled = _block(layer), factor * gradient
        (block_mean_gradient(scaled, size) if size > 1 else added(scaled))(to)

    return add


def loss(sums: Mapping[str, Tensor], target: Target) -> Tensor:
    """Return the loss of the whole picture from its sums: 0 where it has its targets."""
    return sum(sums[layer] * scale for layer, scale in target.scales.items())


def loss_gradient(sums: Mapping[str, Tensor], target: Target) -> Mapping[str, Tensor]:
    """Return the gradient of :func:`loss` by the sums."""
    return target.scales


def share_of_painting(strength: float) -> float:
    """Return how much of a target is the painting's, the rest the photograph's own features.

    None of it at strength 0, HALFWAY at a half, all of it at 1. Up to a half it grows as the root
    of the strength, since how far a picture goes from the photograph grows as the square of the
    share (benchmarks/NOTES.md); from there linearly.
    """
    if strength < 0.5:
        return HALFWAY * (2 * strength) ** 0.5
    return HALFWAY + (1 - HALFWAY) * (2 * strength - 1)


def matching_term(recipe: Recipe, adventurous: float | None = None) -> Term:
    """Return style by matched features; ``strength`` says what is matched, and how much of it.

    ``adventurous`` is how much of what is matched is the picture so far, see :func:`query`; by
    default half the strength.
    """
    shares = dict(recipe.style_layers)
    layers = layers_of(shares)
    share = share_of_painting(recipe.strength)

    def freeze(scene: Scene) -> Callable[[Sight], Target]:
        mixed_in = recipe.strength / 2 if adventurous is None else adventurous
        asked = query(scene.content, scene.start, mixed_in)
        regions = [_matched(region, scene, layers) for region in scene.regions]
        channels: dict[str, int] = {}
        found = _searched(scene, asked, regions, layers, channels)

        def within(sight: Sight) -> list[Found]:
            return [each.cut(lambda field: sight.part(field, APART)) for each in found]

        whole = scene.summed(lambda sight: sizes(within(sight), channels))

        def part(sight: Sight) -> Target:
            own = _grids(sight.look(scene.content), layers)
            return target(wanted(within(sight), own, share), whole, shares)

        return scene.remembered(part)

    return Term(freeze, read, loss, vjp, loss_gradient, tuple(layers), additive=True)


APART = 2 ** (GRID - 1)
"""Pixels between positions of the grid."""


def _columns(look: Look, layers: Sequence[str]) -> Array:
    """Return the hypercolumns (h, w, C) of what is seen in a tile, of its inner box."""
    return joined(_grids(look, layers))


def _grids(look: Look, layers: Sequence[str]) -> dict[str, Array]:
    grids = at_grid(look.see(compared))
    return {layer: look.cut(grids[layer], APART) for layer in layers}


def _searched(
    scene: Scene,
    asked: ImageArray,
    regions: Sequence[Matched],
    layers: Sequence[str],
    channels: dict[str, int],
) -> list[Found]:
    """Return what all of the picture has found, each of its fields (h, w) at the grid.

    ``channels`` gets those of each layer.
    """

    def columns(sight: Sight) -> Array:
        grids = _grids(sight.look(asked), layers)
        channels.update({layer: each.shape[-1] for layer, each in grids.items()})
        return joined(grids)

    height, width = (side // APART for side in size_of(scene.content))
    places = np.arange(height * width).reshape(height, width)
    looks = (columns(sight) for sight in scene.sights())
    where = [tiles.part(places, APART, tile.inner) for tile in scene.tiles]
    return [
        each._replace(indexes=each.indexes.reshape(height, width))
        for each in search(looks, regions, where)
    ]


def _matched(region: StyledRegion, scene: Scene, layers: Sequence[str]) -> Matched:
    """Return the pool of a region's paintings, and its weights at the grid."""
    pool = _pool(region, scene.eye, layers)
    if region.mask is None:
        return Matched(pool)
    size = (side // APART for side in size_of(scene.content))
    return Matched(pool, masks.resize_mask(region.mask, *size))


def _pool(region: StyledRegion, eye: Eye, layers: Sequence[str]) -> Pool:
    paintings = [each for each in region.styles if each.share]
    limit = pools.LIMIT // len(paintings)
    pool = pools.keep([_kept(each, eye, layers, limit) for each in paintings])
    return pool._replace(made=functools.partial(_pool, region, eye, layers))


def _kept(
    painting: style_regions.StyleImage, eye: Eye, layers: Sequence[str], limit: int
) -> pools.Painting:
    """Return what is kept of a painting and its rotations."""
    views = pools.turned(painting.image)
    grids = [(view.shape[0] // APART, view.shape[1] // APART) for view in views]
    weights = None
    if painting.mask is not None:
        turned = pools.turned(painting.mask)
        weights = [masks.resize_mask(mask, *grid) for mask, grid in zip(turned, grids, strict=True)]
    counting = pools.counting(grids, weights, limit)
    rows = (
        _rows_of(_columns(look, layers), tiles.part(kept, APART, look.tile.inner))
        for view, kept in zip(views, counting, strict=True)
        for look in eye.looks(view)
    )
    return pools.Painting(painting.share, _filled(rows, sum(int(each.sum()) for each in counting)))


def _rows_of(columns: Array, kept: NDArray[np.bool_]) -> Array:
    """Return those of (h, w, C) that are kept, (n, C)."""
    if kept.all():
        return array_namespace(columns).reshape(columns, (-1, columns.shape[-1]))
    return pools.at_places(columns, np.flatnonzero(kept))


def _filled(rows: Iterable[Array], count: int) -> Array:
    """Return so many rows in all as one array, on the host without room for them twice."""
    filled, end, parts = np.empty((0, 0), np.float32), 0, []
    for each in rows:
        if is_tensor(each):
            parts.append(each)
            continue
        if not filled.size:
            filled = np.empty((count, each.shape[-1]), np.float32)
        filled[end : end + len(each)] = each
        end += len(each)
    return array_namespace(parts[0]).concatenate(parts) if parts else filled
