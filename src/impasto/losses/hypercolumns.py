"""Hypercolumns: the features of all layers at a position, concatenated.

They lie on the grid of block 3, a quarter of the image's size (Kolkin et al. 2022, "Neural Neighbor
Style Transfer").
"""

import re
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from impasto.compute.arrays import Array, HostArray, Tensor, array_namespace, is_tensor
from impasto.compute.feature_reductions import block_mean
from impasto.losses.terms import TileFeatures

GRID_BLOCK = 3
"""The block whose positions are the grid of hypercolumns: a quarter of the image's size."""

GRID_STRIDE = 2 ** (GRID_BLOCK - 1)
"""Pixels between positions of the grid."""


def reduce_maps(maps: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Reduce feature maps (height, width, C) to the values that are compared, in float32.

    Maps finer than the grid are averaged over 4 x 4 or 2 x 2 positions, without an odd last row or
    column, as in VGG's pooling. The others are unchanged. A position depends only on the features
    there, so aligned tiles have the values of the whole image.
    """
    return {layer: reduce_layer(layer, maps[layer]) for layer in matching_layers(maps)}


def reduce_layer(layer: str, features: Tensor) -> Tensor:
    """Return :func:`reduce_maps` of one layer's features (height, width, C)."""
    return block_mean(features, block_size(layer))


def hypercolumns(maps: Mapping[str, Tensor]) -> Tensor:
    """Return the hypercolumns (h, w, C) of feature maps, float32.

    They lie on the grid of block 3, a quarter of the image's size. Each map is divided by its
    number of channels. Maps of block 4 are enlarged bilinearly by two about half-pixel centers,
    with edge values repeated. A map of the grid's size or finer is required.
    """
    return concatenate_layers(resample_to_grid(reduce_maps(maps)))


def resample_to_grid(reduced: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the output of :func:`reduce_maps` on the grid, by layer (h, w, C)."""
    height, width = next(
        each.shape[:2] for layer, each in reduced.items() if block_number(layer) <= GRID_BLOCK
    )

    def enlarged(layer: str, value: Tensor) -> Tensor:
        if block_number(layer) <= GRID_BLOCK:
            return value
        return _upsample_2x(_upsample_2x(value, 0, height), 1, width)

    return {layer: enlarged(layer, reduced[layer]) for layer in matching_layers(reduced)}


def concatenate_layers(grids: dict[str, Tensor]) -> Tensor:
    """Return (h, w, C): the maps (h, w, C') of all layers, each divided by its channels.

    ``grids`` is emptied, so that no map is in memory twice.
    """
    first = next(iter(grids.values()))
    if is_tensor(first):
        scaled = [each / each.shape[-1] for each in grids.values()]
        return array_namespace(first).concatenate(scaled, axis=-1)
    columns = np.empty((*first.shape[:2], channel_count(grids)), np.float32)
    del first
    write_columns(grids, columns)
    return columns


def channel_count(grids: Mapping[str, Tensor]) -> int:
    """Return the number of channels of hypercolumns."""
    return sum(int(each.shape[-1]) for each in grids.values())


def write_columns(grids: dict[str, HostArray], out: HostArray) -> None:
    """Write :func:`concatenate_layers` of NumPy maps (..., C') to ``out`` (..., C)."""
    begin = 0
    for layer in list(grids):
        each = grids.pop(layer)
        end = begin + each.shape[-1]
        np.multiply(each, np.float32(1 / each.shape[-1]), out=out[..., begin:end])
        begin = end


def matching_layers(maps: Iterable[str]) -> list[str]:
    """Return the convolutions of the first four blocks among names of layers, in their order."""
    return sorted(name for name in maps if re.fullmatch(r"block[1-4]_conv\d", name))


def block_number(layer: str) -> int:
    """Return the number of a layer's block."""
    return int(layer[len("block")])


def block_size(layer: str) -> int:
    """Return the side in positions of the blocks over which a layer's features are averaged."""
    return int(2 ** max(0, GRID_BLOCK - block_number(layer)))


def _upsample_2x(value: Tensor, axis: int, size: int) -> Tensor:
    """Enlarge (height, width, C) bilinearly by two along an axis, to ``size``: that or one more.

    Every value becomes two, at a quarter of the distance to either neighbor.
    """

    ops = array_namespace(value)

    def part(tensor: Tensor, begin: int | None, end: int | None) -> Tensor:
        return tensor[(slice(None),) * axis + (slice(begin, end),)]

    before = ops.concatenate([part(value, None, 1), part(value, None, -1)], axis=axis)
    after = ops.concatenate([part(value, 1, None), part(value, -1, None)], axis=axis)
    quarters = [0.75 * value + 0.25 * before, 0.75 * value + 0.25 * after]
    shape = list(value.shape)
    shape[axis] = 2 * shape[axis]
    doubled = ops.reshape(ops.stack(quarters, axis=axis + 1), tuple(shape))
    return part(ops.concatenate([doubled, part(doubled, -1, None)], axis=axis), None, size)


def tile_grids(features: TileFeatures, layers: Sequence[str]) -> dict[str, Array]:
    """Return the features of the core box of a tile on the grid, by layer (h, w, C)."""
    return core_grids(features, features.compute(reduce_layer), layers)


def core_grids(
    tile: TileFeatures, reduced: Mapping[str, Tensor], layers: Sequence[str]
) -> dict[str, Array]:
    """Return the part of :func:`reduce_maps` in the core box of a tile, on the grid, by layer."""
    grids = resample_to_grid(reduced)
    return {layer: tile.crop_to_core(grids[layer], GRID_STRIDE) for layer in layers}
