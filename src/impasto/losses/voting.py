"""Patch voting: the image that a level of matching starts from.

Each position of the grid has a match in the style image. The patch of the style image around the
match is laid over the position, and every pixel becomes the weighted mean of the patches that cover
it: the E step of Kwatra, Essa, Bobick and Kwatra 2005, "Texture Optimization for Example-based
Synthesis", with the matches of image analogies (Hertzmann et al. 2001). A level then starts with
the strokes of the style image, and needs fewer evaluations.

Departures: weights are Gaussian. Averaging reduces contrast and saturation, so a linear map
restores the covariance that the colors of the patches had.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from impasto import filearray
from impasto.images import arrays, colors, masks
from impasto.images.arrays import ImageArray, Mask, size_of
from impasto.images.style_regions import StyledRegion
from impasto.losses.feature_index import ROTATIONS

BLOCK_SIZE = 4
"""Pixels between positions of the grid, and the side of a block."""

REACH = 2
"""Blocks by which a patch extends beyond its own on each side: it is 20 px wide."""

SIGMA = 3.0
"""Standard deviation in pixels of the weights in a patch."""

NEIGHBORHOOD = 8
"""Positions on each side within which the repetition of a match is counted: 32 px."""

MAX_REPETITION = 8
"""Repetition from which on a vote has less weight. Without a bound one patch is used up to 126
times in such a neighborhood of a flat area, and its copies are visible (benchmarks/NOTES.md)."""

TINY = np.float32(1e-12)
"""Keeps the mean of no patches finite."""

CHUNK_POSITIONS = 2**18
"""Positions of the grid that are averaged at a time, which bounds the memory."""


class Votes(NamedTuple):
    """The matches of a region, which vote for the pixels around them."""

    matches: NDArray[np.intp]
    """(h, w) on the grid, the match of each position: a row-major index among the positions of all
    rotations of all style images, one after the other"""
    styles: Sequence[ImageArray]
    """the style images, at the sizes at which they were matched"""
    voters: NDArray[np.bool_] | None = None
    """(h, w) which positions have a match; None for all"""
    mask: Mask | None = None
    """(height, width) mask of the region; None for the whole image"""


def mix_vote(
    regions: Sequence[Votes], image: ImageArray, fraction: float, detail: bool
) -> ImageArray:
    """Return fraction · vote + (1 - fraction) · image.

    Args:
        regions: the votes of each region; outside of all, the image stays
        image: the image so far, (height, width, 3)
        fraction: in [0, 1]
        detail: whether a vote changes fine detail only, so that the part below a quarter of the
            resolution is that of ``image``
    """
    mixed = image
    for votes in regions:
        voted = average_patches(votes, image)
        if detail:
            voted = _replace_coarse(voted, image)
        weight = np.float32(fraction) * _variety(votes.matches)
        weight = masks.resize_mask(weight, *size_of(image))
        if votes.mask is not None:
            weight = weight * votes.mask
        mixed = filearray.map_rows(_add_change, mixed, voted, image, weight[..., None])
    return mixed


def repetition(matches: NDArray[np.intp], reach: int = NEIGHBORHOOD) -> NDArray[np.int32]:
    """Return how often the match of each position is that of other positions nearby, (h, w).

    Args:
        matches: (h, w), as in :class:`Votes`
        reach: positions on each side that are nearby: (2 · reach + 1)² - 1 in all
    """
    height, width = matches.shape
    counts = np.zeros(matches.shape, np.int32)
    for down in range(min(reach + 1, height)):
        for right in range(-min(reach, width - 1), min(reach + 1, width)):
            if (down, right) <= (0, 0):
                continue  # each pair of positions once
            upper = slice(0, height - down), slice(max(0, -right), width - max(0, right))
            lower = slice(down, height), slice(max(0, right), width - max(0, -right))
            same = matches[upper] == matches[lower]
            counts[upper] += same
            counts[lower] += same
    return counts


def _variety(matches: NDArray[np.intp]) -> NDArray[np.float32]:
    """Return factors (h, w) in (0, 1] of the votes: less where one match is repeated often."""
    return np.minimum(1, MAX_REPETITION / np.maximum(repetition(matches), 1)).astype(np.float32)


def _add_change(
    mixed: ImageArray, voted: ImageArray, image: ImageArray, weight: NDArray[np.float32]
) -> ImageArray:
    return mixed + weight * (voted - image)


def average_patches(votes: Votes, image: ImageArray) -> ImageArray:
    """Return the weighted mean of the patches at each pixel, with the colors of single patches.

    Pixels that no patch covers are those of ``image`` (height, width, 3). Pixels beyond the grid
    have the values of its last row and column.
    """
    height, width = size_of(image)
    rows, columns = votes.matches.shape
    averaged = filearray.zeros(image.shape)
    single, mean = colors.ColorMoments(), colors.ColorMoments()
    strip = max(1, CHUNK_POSITIONS // columns)
    for first in range(0, rows, strip):
        last = min(rows, first + strip)
        total, weight = _sum_patches(votes, first, last, REACH)
        covered = weight > 0
        total /= np.maximum(weight, TINY)[..., None]
        mean.add(total[covered])
        block, weight = _sum_patches(votes, first, last, 0)
        single.add((block[weight > 0] / weight[weight > 0][:, None]).astype(np.float32))
        end = height if last == rows else last * BLOCK_SIZE
        edges = ((0, end - last * BLOCK_SIZE), (0, width - columns * BLOCK_SIZE))
        total = np.pad(total, (*edges, (0, 0)), mode="edge")
        covered = np.pad(covered, edges, mode="edge")[..., None]
        inside = slice(first * BLOCK_SIZE, end)
        averaged[inside] = np.where(covered, total, image[inside])
    by = colors.color_transport(mean.covariance, single.covariance)
    return _map_colors(averaged, by, mean.mean, mean.mean)


def _map_colors(
    image: ImageArray, by: colors.Colors, mean: colors.Colors, target: colors.Colors
) -> ImageArray:
    """Return by · (image - mean) + target."""
    matrix, shift = np.float32(by.T), np.float32(target - by @ mean)
    return filearray.map_rows(lambda rows: rows @ matrix + shift, image)


def _sum_patches(
    votes: Votes, first: int, last: int, reach: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the sums of weighted patches and of weights, over some rows of the grid.

    (rows · BLOCK_SIZE, w · BLOCK_SIZE, 3) and (rows · BLOCK_SIZE, w · BLOCK_SIZE).
    """
    columns = votes.matches.shape[1]
    total = np.zeros((last - first, columns, BLOCK_SIZE, BLOCK_SIZE, 3), np.float32)
    weight = np.zeros((last - first, columns, BLOCK_SIZE, BLOCK_SIZE), np.float32)
    above = max(0, first - reach)
    near = slice(above, last + reach)
    matches, begin = votes.matches[near], 0
    views = (np.rot90(each, turns) for each in votes.styles for turns in range(ROTATIONS))
    for view in views:
        height, width = (side // BLOCK_SIZE for side in size_of(view))
        in_view = (matches >= begin) & (matches < begin + height * width)
        if votes.voters is not None:
            in_view &= votes.voters[near]
        row, column = np.nonzero(in_view)
        style_row, style_column = np.divmod(matches[row, column] - begin, width)
        begin += height * width
        blocks = _split_blocks(view)
        row += above - first
        for down in range(-reach, reach + 1):
            for right in range(-reach, reach + 1):
                exists = _in_range(row + down, last - first) & _in_range(column + right, columns)
                exists &= _in_range(style_row + down, height)
                exists &= _in_range(style_column + right, width)
                weights = _block_weights(down, right)
                to = row[exists] + down, column[exists] + right
                of = blocks[style_row[exists] + down, :, style_column[exists] + right]
                # Each position of the grid occurs once, so that this adds to distinct elements.
                total[to] += weights[..., None] * of
                weight[to] += weights
    size = (last - first) * BLOCK_SIZE, columns * BLOCK_SIZE
    return total.swapaxes(1, 2).reshape(*size, 3), weight.swapaxes(1, 2).reshape(*size)


def _in_range(numbers: NDArray[np.intp], count: int) -> NDArray[np.bool_]:
    return (numbers >= 0) & (numbers < count)


def _split_blocks(view: ImageArray) -> ImageArray:
    """Return (h, BLOCK_SIZE, w, BLOCK_SIZE, 3) of an image, without incomplete blocks."""
    height, width = (side // BLOCK_SIZE for side in size_of(view))
    whole = view[: height * BLOCK_SIZE, : width * BLOCK_SIZE]
    return whole.reshape(height, BLOCK_SIZE, width, BLOCK_SIZE, 3)


def _block_weights(down: int, right: int) -> NDArray[np.float32]:
    """Return the weights (BLOCK_SIZE, BLOCK_SIZE) of the block so far from a patch's center."""
    offsets = np.arange(BLOCK_SIZE) - (BLOCK_SIZE - 1) / 2
    vertical, horizontal = (
        np.exp(-((offsets + BLOCK_SIZE * each) ** 2) / (2 * SIGMA**2)) for each in (down, right)
    )
    return np.outer(vertical, horizontal).astype(np.float32)


def move_colors(
    regions: Sequence[StyledRegion], image: ImageArray, fraction: float = 0.5
) -> ImageArray:
    """Return an image with colors moved ``fraction`` of the way to those of the style images.

    Mean and covariance, within each region's mask.
    """
    result = image
    for region in regions:
        styles = [each for each in region.styles if each.weight]
        weights = [each.weight for each in styles]
        targets = [colors.color_moments(each.image, each.mask) for each in styles]
        mean = np.average([each.mean for each in targets], axis=0, weights=weights)
        covariance = np.average([each.covariance for each in targets], axis=0, weights=weights)
        own = colors.color_moments(image, region.mask)
        by = colors.color_transport(own.covariance, covariance)
        by = (1 - fraction) * np.eye(3) + fraction * by
        moved = _map_colors(image, by, own.mean, own.mean + fraction * (mean - own.mean))
        if region.mask is not None:
            moved = masks.blend_kept(region.mask[..., None], moved, result)
        result = moved
    return result


def _replace_coarse(image: ImageArray, coarse: ImageArray) -> ImageArray:
    """Return an image whose part below a quarter of the resolution is that of ``coarse``."""
    height, width = size_of(image)
    small = max(1, height // 4), max(1, width // 4)
    change = arrays.resample(filearray.map_rows(np.subtract, coarse, image), *small)
    return filearray.map_rows(np.add, image, arrays.resample(change, height, width))
