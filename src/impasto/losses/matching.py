"""Style by matched features: every position is to look like one that the painting has.

Kolkin, Kucera, Paris, Sýkora, Shechtman and Shakhnarovich 2022, "Neural Neighbor Style Transfer".
A *hypercolumn* is what all layers together see at one position. For a level of the pyramid the
hypercolumns of a query are each matched with the nearest that the painting has, and the picture
is to have the matched ones:

    sum over positions of w |h - t|² / sum over positions of w |t|²

with h the picture's hypercolumn, t its target and w its weight; layers may have shares. It is a sum
over positions, so that tiles, strips and regions add up.

Departures: squared error instead of the cosine, which lets contrast run away; targets stay as
they are for a level; below full strength a part of them is the photograph's own hypercolumn; and
the deepest block is compared at its own positions, each with the mean of the targets of the four
grid positions it covers. That has the gradient of the sum above with those maps enlarged by
repetition, and reads a quarter of the numbers.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from impasto.compute import backend
from impasto.compute.backend import Tensor, ops
from impasto.losses import pools
from impasto.losses.pools import Array, Painting, Pool
from impasto.losses.terms import Scene, Seen, Term
from impasto.pictures import masks
from impasto.pictures.guidance import StyledRegion
from impasto.pictures.raster import Picture, resample, size_of
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
    return {
        layer: _averaged(ops.cast(maps[layer], "float32"), 2 ** max(0, GRID - _block(layer)))
        for layer in layers_of(maps)
    }


def hypercolumns(maps: Mapping[str, Tensor]) -> Tensor:
    """Return (h, w, C) float32, all channels of ``maps`` one after the other.

    At the grid of block 3, a quarter of the picture's size; every map divided by its number of
    channels. Those of block 4 are enlarged bilinearly by two about half-pixel centers, and
    continued by the values at their edge. A map at the grid or above must be among them.
    """
    reduced = comparable(maps)
    height, width = next(
        ops.shape(each)[:2] for layer, each in reduced.items() if _block(layer) <= GRID
    )

    def at_grid(layer: str, value: Tensor) -> Tensor:
        value = value / value.shape[-1]
        if _block(layer) <= GRID:
            return value
        return _doubled(_doubled(value, 0, height), 1, width)

    return ops.concatenate([at_grid(*item) for item in reduced.items()], axis=-1)


def layers_of(maps: Iterable[str]) -> list[str]:
    """Return the convolutions of the first four blocks among names of maps, from the shallowest."""
    return sorted(name for name in maps if re.fullmatch(r"block[1-4]_conv\d", name))


def _block(layer: str) -> int:
    return int(layer[len("block")])


def grid_of(maps: Mapping[str, Tensor]) -> Array:
    """Return something of the size of the grid of ``maps``, (h, w)."""
    layer = next(name for name in layers_of(maps) if _block(name) <= GRID)
    height, width = map(int, ops.shape(maps[layer])[:2])
    apart = 2 ** (GRID - _block(layer))
    return np.empty((height // apart, width // apart), np.float32)


def _averaged(value: Tensor, apart: int) -> Tensor:
    if apart == 1:
        return value
    height, width, channels = ops.shape(value)
    rows, columns = height // apart, width // apart
    whole = value[: rows * apart, : columns * apart]
    return ops.mean(ops.reshape(whole, (rows, apart, columns, apart, channels)), axis=(1, 3))


def _doubled(value: Tensor, axis: int, size: int) -> Tensor:
    """Enlarge (height, width, C) along an axis by two, bilinearly, to ``size``: that or one more.

    Every value becomes two, a quarter of the way towards either neighbor.
    """
    value = ops.moveaxis(value, axis, 0)
    before = ops.concatenate([value[:1], value[:-1]], axis=0)
    after = ops.concatenate([value[1:], value[-1:]], axis=0)
    pairs = ops.stack([0.75 * value + 0.25 * before, 0.75 * value + 0.25 * after], axis=1)
    count, _, *others = ops.shape(pairs)
    doubled = ops.reshape(pairs, (2 * count, *others))
    return ops.moveaxis(ops.concatenate([doubled, doubled[-1:]], axis=0)[:size], 0, axis)


def query(photograph: Picture, picture: Picture | None, adventure: float) -> Picture:
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
    mixed = (1 - adventure) * photograph + adventure * (picture + detail)
    return np.asarray(mixed, np.float32)


def matched(columns: Array, regions: Sequence[Matched]) -> tuple[Array, Array | None]:
    """Return targets (h, w, C) for hypercolumns, and how much of every position counts (h, w).

    Every position takes its nearest in its region's pool; one of several regions the mean over
    them, weighted by how much it belongs to each, which has the gradient of their weighted losses.
    """
    size, channels = columns.shape[:2], columns.shape[-1]
    flat = columns.reshape(-1, channels)
    if len(regions) == 1 and regions[0].weights is None:
        pool = regions[0].pool
        return pool.features[pools.nearest(flat, pool)].reshape(columns.shape), None
    total, mixed = np.zeros(len(flat), np.float32), np.zeros_like(flat)
    for region in regions:
        weights = np.ones(len(flat)) if region.weights is None else region.weights.reshape(-1)
        inside = np.flatnonzero(weights > 0)
        if not inside.size:
            continue
        share = weights[inside].astype(np.float32)
        found = pools.nearest(flat[inside], region.pool, share)
        mixed[inside] += share[:, None] * region.pool.features[found]
        total[inside] += share
    mixed /= np.maximum(total, TINY)[:, None]
    return mixed.reshape(columns.shape), total.reshape(size)


def targets(
    maps: Mapping[str, Tensor],
    regions: Sequence[Matched],
    own: Mapping[str, Tensor],
    share: float = 1.0,
    layers: Mapping[str, float] | None = None,
) -> Target:
    """Match the query's feature ``maps``, and return what the picture is compared with.

    ``layers`` are shares of the layers in the loss, alike for all if not given; what is nearest
    does not depend on them.

    Pools hold hypercolumns of the same layers. See :func:`matched` for several regions. What of a
    target is not the painting's ``share`` is the photograph's ``own`` features.
    """
    columns, weights = matched(backend.to_numpy(hypercolumns(maps)), regions)
    if share < 1:
        photograph = backend.to_numpy(hypercolumns(own))
        columns = (np.float32(share) * columns + np.float32(1 - share) * photograph).astype(
            np.float32
        )
    names = layers_of(maps)
    channels = [int(maps[layer].shape[-1]) for layer in names]
    parts = np.split(columns, np.cumsum(channels)[:-1], axis=-1)
    wanted, counting, sizes = {}, {}, {}
    for layer, count, part in zip(names, channels, parts, strict=True):
        apart = 2 ** max(0, _block(layer) - GRID)
        wanted[layer], counts = _block_means(part * np.float32(count), weights, apart)
        sizes[layer] = float(np.sum(counts * np.square(wanted[layer]), dtype=np.float64)) / count**2
        if weights is not None or apart > 1:
            counting[layer] = counts
    shares = layers or dict.fromkeys(names, 1.0)
    whole = max(sum(shares[name] * size for name, size in sizes.items()), TINY)
    scales = {
        name: shares[name] / count**2 / whole for name, count in zip(names, channels, strict=True)
    }
    return Target(
        *(
            {name: backend.constant(v) for name, v in each.items()}
            for each in (wanted, counting, scales)
        )
    )


def _block_means(values: Array, weights: Array | None, apart: int) -> tuple[Array, Array]:
    """Return weighted means of (h, w, C) over blocks, and each block's weight (h', w', 1)."""
    height, width, channels = values.shape
    each = np.ones((height, width), np.float32) if weights is None else weights
    if apart == 1:
        return values, each[..., None]
    rows, columns = height // apart, width // apart
    crop = slice(rows * apart), slice(columns * apart)
    apart_each = each[crop].reshape(rows, apart, columns, apart, 1)
    blocks = values[crop].reshape(rows, apart, columns, apart, channels)
    counts = apart_each.sum(axis=(1, 3))
    means = (blocks * apart_each).sum(axis=(1, 3)) / np.maximum(counts, TINY)
    return means.astype(np.float32), counts.astype(np.float32)


def read(seen: Seen, target: Target) -> dict[str, Tensor]:
    """Sum w |h - t|² over positions and channels, by layer; sums of several tiles add up."""
    sums = {}
    maps = comparable({layer: seen.maps[layer] for layer in target.maps})
    for layer, wanted in target.maps.items():
        squares = ops.square(maps[layer] - wanted)
        if layer in target.weights:
            squares = squares * target.weights[layer]
        sums[layer] = ops.sum(squares)
    return sums


def loss(sums: Mapping[str, Tensor], target: Target) -> Tensor:
    """Return the loss of the whole picture from its sums: 0 where it has its targets."""
    return sum(sums[layer] * scale for layer, scale in target.scales.items())


def adventure(strength: float) -> float:
    """Return how far shapes may become the painting's, see :func:`query`: half the strength."""
    return strength / 2


def share_of_painting(strength: float) -> float:
    """Return how much of a target is the painting's, the rest the photograph's own features.

    None of it at strength 0, HALFWAY at a half, all of it at 1. Up to a half it grows as the root
    of the strength, since how far a picture goes from the photograph grows as the square of the
    share (benchmarks/NOTES.md); from there linearly.
    """
    if strength < 0.5:
        return HALFWAY * (2 * strength) ** 0.5
    return HALFWAY + (1 - HALFWAY) * (2 * strength - 1)


def matching_term(recipe: Recipe) -> Term:
    """Return style by matched features; ``strength`` says what is matched, and how much of it."""
    shares = dict(recipe.style_layers)
    layers = list(shares)
    share = share_of_painting(recipe.strength)

    def freeze(scene: Scene) -> Target:
        wanted = query(scene.content, scene.start, adventure(recipe.strength))
        maps = scene.photograph if wanted is scene.content else scene.features(wanted)
        own = {layer: scene.photograph[layer] for layer in layers}
        found = [_matched(region, scene, layers) for region in scene.regions]
        return targets({layer: maps[layer] for layer in layers}, found, own, share, shares)

    return Term(freeze, read, loss)


def _matched(region: StyledRegion, scene: Scene, layers: Sequence[str]) -> Matched:
    """Return the pool of a region's paintings, and its weights at the grid."""
    seen = []
    for painting in region.paintings:
        if not painting.share:
            continue
        views = [_columns(scene, turned, layers) for turned in pools.turned(painting.picture)]
        under = None
        if painting.mask is not None:
            turned = pools.turned(painting.mask)
            under = [masks.resize(m, *size_of(v)) for m, v in zip(turned, views, strict=True)]
        seen.append(Painting(painting.share, views, under))
    weights = None
    if region.mask is not None:
        photograph = {layer: scene.photograph[layer] for layer in layers}
        weights = masks.resize(region.mask, *size_of(grid_of(photograph)))
    return Matched(pools.keep(seen), weights)


def _columns(scene: Scene, picture: Picture, layers: Sequence[str]) -> Array:
    maps = scene.features(picture)
    return backend.to_numpy(hypercolumns({layer: maps[layer] for layer in layers}))
