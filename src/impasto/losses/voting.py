"""The image that a level starts from: patches of the style image, averaged where they overlap.

Each position of the grid has a match in the style image. The patch around the match is laid over
the result at that position, and every pixel becomes the weighted mean of the patches that cover it:
the E step of Kwatra, Essa, Bobick and Kwatra 2005, "Texture Optimization for Example-based
Synthesis", with the matches of image analogies (Hertzmann et al. 2001). A level then starts with
the style's own strokes, and needs fewer evaluations.

Departures: weights fall off as a Gaussian, and averaging, which takes contrast and color, is
followed by the linear map that gives the colors the covariance that the patches had before.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from impasto import paged
from impasto.losses.pools import TURNS
from impasto.pictures import colors, masks, raster
from impasto.pictures.guidance import StyledRegion
from impasto.pictures.masks import Mask
from impasto.pictures.raster import Picture, size_of

BLOCK = 4
"""Pixels between positions of the grid, and the side of a block."""

REACH = 2
"""Blocks that a patch reaches beyond its own on each side: a patch is 20 px wide."""

SIGMA = 3.0
"""Standard deviation in pixels of the weight of a patch's pixels."""

SHARE = 0.35
"""How much of the start is the vote at strength 0.5 and above; the rest is the image so far."""

TINY = np.float32(1e-12)
"""Keeps the mean of no patches finite."""

POSITIONS = 2**18
"""Positions of the grid that are averaged at a time, which bounds the memory."""


class Vote(NamedTuple):
    """Where the patches of a region come from."""

    indexes: NDArray[np.intp]
    """(h, w), for each position of the grid its match: an index among the positions of all views,
    row by row, one view after the other"""
    pictures: Sequence[Picture]
    """the style images, at the size at which they were matched; each has four views, rotated by 90°
    each"""
    counts: NDArray[np.bool_] | None = None
    """(h, w), which positions have a match; all if None"""
    mask: Mask | None = None
    """(height, width), how much of each pixel belongs to the region; all of it if None"""


def start(votes: Sequence[Vote], so_far: Picture, share: float, sharpens: bool) -> Picture:
    """Return the image (height, width, 3) that a level starts from.

    share · vote + (1 - share) · so_far, where the votes of several regions are blended by their
    masks. With ``sharpens`` a vote has the coarse part of the image so far (below a quarter of its
    resolution) in place of its own.
    """
    left = np.float32(1 - share)
    found = paged.mapped(lambda rows: left * rows, so_far)
    uncovered: Mask | None = None
    for vote in votes:
        image = averaged(vote, so_far)
        if sharpens:
            image = _with_coarse_part(image, so_far)
        if vote.mask is None:
            return paged.mapped(lambda rows, new: rows + np.float32(share) * new, found, image)
        weight = vote.mask[..., None]
        found = paged.mapped(
            lambda rows, new, of: rows + np.float32(share) * of * new, found, image, weight
        )
        uncovered = vote.mask if uncovered is None else uncovered + vote.mask
    if uncovered is None:
        return so_far
    rest = (1 - uncovered)[..., None]
    return paged.mapped(
        lambda rows, new, of: rows + np.float32(share) * of * new, found, so_far, rest
    )


def averaged(vote: Vote, so_far: Picture) -> Picture:
    """Return the weighted mean of the patches at each pixel, at the patches' own contrast.

    Pixels that no patch covers are those of ``so_far``.
    """
    height, width = size_of(so_far)
    rows_of_grid, columns = vote.indexes.shape
    found = paged.zeros(so_far.shape)
    single, mean = colors.ColorMoments(), colors.ColorMoments()
    strip = max(1, POSITIONS // columns)
    for first in range(0, rows_of_grid, strip):
        last = min(rows_of_grid, first + strip)
        total, weight = _summed(vote, first, last, REACH)
        covered = weight > 0
        total /= np.maximum(weight, TINY)[..., None]
        mean.add(total[covered])
        alone, weight = _summed(vote, first, last, 0)
        single.add((alone[weight > 0] / weight[weight > 0][:, None]).astype(np.float32))
        # Pixels beyond the grid continue its last row and column.
        end = height if last == rows_of_grid else last * BLOCK
        inside = slice(first * BLOCK, end)
        edges = ((0, end - last * BLOCK), (0, width - columns * BLOCK))
        total = np.pad(total, (*edges, (0, 0)), mode="edge")
        covered = np.pad(covered, edges, mode="edge")[..., None]
        found[inside] = np.where(covered, total, so_far[inside])
    return _moved(found, mean.mean, colors.transport(mean.covariance, single.covariance), mean.mean)


def _moved(image: Picture, mean: colors.Colors, by: colors.Colors, to: colors.Colors) -> Picture:
    """Return by · (image - mean) + to."""
    matrix, shift = np.float32(by.T), np.float32(to - by @ mean)
    return paged.mapped(lambda rows: rows @ matrix + shift, image)


def _summed(
    vote: Vote, first: int, last: int, reach: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return sums of weighted patches, and of weights, over some rows of the grid.

    (rows · BLOCK, w · BLOCK, 3) and (rows · BLOCK, w · BLOCK).
    """
    columns = vote.indexes.shape[1]
    total = np.zeros((last - first, columns, BLOCK, BLOCK, 3), np.float32)
    weight = np.zeros((last - first, columns, BLOCK, BLOCK), np.float32)
    above = max(0, first - reach)
    near = slice(above, last + reach)
    indexes, begin = vote.indexes[near], 0
    views = (np.rot90(each, turn) for each in vote.pictures for turn in range(TURNS))
    for view in views:
        height, width = (side // BLOCK for side in size_of(view))
        here = (indexes >= begin) & (indexes < begin + height * width)
        if vote.counts is not None:
            here &= vote.counts[near]
        row, column = np.nonzero(here)
        from_row, from_column = np.divmod(indexes[row, column] - begin, width)
        begin += height * width
        blocks = _blocks(view)
        row += above - first
        for i in range(-reach, reach + 1):
            for j in range(-reach, reach + 1):
                ok = _within(row + i, last - first) & _within(column + j, columns)
                ok &= _within(from_row + i, height) & _within(from_column + j, width)
                share = _share(i, j)
                to = row[ok] + i, column[ok] + j
                total[to] += share[..., None] * blocks[from_row[ok] + i, :, from_column[ok] + j]
                weight[to] += share
    size = (last - first) * BLOCK, columns * BLOCK
    return (
        total.swapaxes(1, 2).reshape(*size, 3),
        weight.swapaxes(1, 2).reshape(*size),
    )


def _within(numbers: NDArray[np.intp], count: int) -> NDArray[np.bool_]:
    return (numbers >= 0) & (numbers < count)


def _blocks(view: Picture) -> Picture:
    """Return (rows, BLOCK, columns, BLOCK, 3) of an image, without what is left at its edges."""
    height, width = (side // BLOCK for side in size_of(view))
    whole = view[: height * BLOCK, : width * BLOCK]
    return whole.reshape(height, BLOCK, width, BLOCK, 3)


def _share(i: int, j: int) -> NDArray[np.float32]:
    """Return the weights (BLOCK, BLOCK) of the block of a patch that lies so many blocks away."""
    inside = np.arange(BLOCK) - (BLOCK - 1) / 2
    down, across = (np.exp(-((inside + BLOCK * each) ** 2) / (2 * SIGMA**2)) for each in (i, j))
    return np.outer(down, across).astype(np.float32)


def toward_colors(regions: Sequence[StyledRegion], so_far: Picture, share: float = 0.5) -> Picture:
    """Return an image whose colors are moved ``share`` of the way to those of the style images.

    Mean and covariance, within each region's mask.
    """
    found = so_far
    for region in regions:
        paintings = [each for each in region.paintings if each.share]
        shares = [each.share for each in paintings]
        targets = [colors.moments(each.picture, each.mask) for each in paintings]
        mean = np.average([each.mean for each in targets], axis=0, weights=shares)
        covariance = np.average([each.covariance for each in targets], axis=0, weights=shares)
        own = colors.moments(so_far, region.mask)
        by = (1 - share) * np.eye(3) + share * colors.transport(own.covariance, covariance)
        moved = _moved(so_far, own.mean, by, own.mean + share * (mean - own.mean))
        keep = None if region.mask is None else region.mask[..., None]
        found = moved if keep is None else masks.compose(keep, moved, found)
    return found


def _with_coarse_part(image: Picture, of: Picture) -> Picture:
    height, width = size_of(image)
    small = max(1, height // 4), max(1, width // 4)
    change = raster.resample(paged.mapped(np.subtract, of, image), *small)
    return paged.mapped(np.add, image, raster.resample(change, height, width))
