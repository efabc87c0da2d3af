"""The total variation loss: squared differences of neighboring pixels, which smooths."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from impasto.compute.arrays import HostArray, Size, Tensor, array_namespace
from impasto.images.arrays import size_of
from impasto.losses.content import add_array
from impasto.losses.terms import (
    IMAGE,
    AddGradient,
    FeatureMaps,
    LevelInputs,
    LossTerm,
    Pullback,
    TargetTile,
)


class PixelDifferences(NamedTuple):
    """Sums of squared differences of neighboring pixels, in [0, 1]; those of parts add up."""

    down: Tensor
    """() of each pixel and the one below it"""
    right: Tensor
    """() of each pixel and the one to the right of it"""


PixelBox = tuple[Size, Size, Size, Size]
"""A part's first row and column, and how many it has of them."""


def differences(image: Tensor, place: PixelBox | None = None) -> PixelDifferences:
    """Sum over all pixels of (height, width, 3), or over those of a part of it."""
    ops = array_namespace(image)
    down, right = _pixel_differences(image, place)
    return PixelDifferences(ops.sum(ops.square(down)), ops.sum(ops.square(right)))


def differences_vjp(
    image: HostArray, by: PixelDifferences, place: PixelBox | None = None
) -> HostArray:
    """Return the gradient by the picture of :func:`differences`, from that by the sums."""
    height, width, _ = image.shape
    top, left, rows, columns = map(int, place or (0, 0, height, width))
    down, right = _pixel_differences(image, place)
    # A difference falls with its own pixel and grows with the next; at the edge both are one.
    found = np.zeros((height + 1, width + 1, 3), np.float32)
    down, right = 2 / 255 * by.down * down, 2 / 255 * by.right * right
    found[top : top + rows, left : left + columns] -= down + right
    found[top + 1 : top + 1 + rows, left : left + columns] += down
    found[top : top + rows, left + 1 : left + 1 + columns] += right
    return found[:height, :width]


def _pixel_differences(image: Tensor, place: PixelBox | None) -> tuple[Tensor, Tensor]:
    """Return (rows, columns, 3) of how far the next pixel down, and to the right, is from each."""
    ops = array_namespace(image)
    # Beyond the edge stands the same pixel once more, from which nothing differs.
    # As a batch of one: PyTorch pads nothing else so.
    beyond = ops.pad(image[None] / 255.0, ((0, 0), (0, 1), (0, 1), (0, 0)), mode="symmetric")[0]
    height, width, _ = ops.shape(image)
    top, left, rows, columns = place or (0, 0, height, width)
    here = ops.slice(beyond, (top, left, 0), (rows + 1, columns + 1, 3))
    return here[1:, :-1] - here[:-1, :-1], here[:-1, 1:] - here[:-1, :-1]


def difference_counts(height: int, width: int) -> PixelDifferences:
    """Return how many differences a picture of that size has, down and to the right."""
    numbers = (3 * (height - 1) * width, 3 * height * (width - 1))
    return PixelDifferences(*(np.float32(max(each, 1)) for each in numbers))


def variation_loss(sums: PixelDifferences, target: PixelDifferences) -> Tensor:
    """Return mean(Δx²) + mean(Δy²) of a picture from its differences and their counts."""
    return sum(each / count for each, count in zip(sums, target, strict=True))


def variation_gradient(sums: PixelDifferences, target: PixelDifferences) -> PixelDifferences:
    """Return the gradient of :func:`variation_loss` by the sums."""
    return PixelDifferences(*(1 / count for count in target))


def variation_term() -> LossTerm:
    """Return the total variation of the pixels."""

    def freeze(level_inputs: LevelInputs) -> Callable[[TargetTile], PixelDifferences]:
        target = difference_counts(*size_of(level_inputs.content))
        return lambda target_tile: target

    def read(seen: FeatureMaps, target: PixelDifferences) -> PixelDifferences:
        return differences(seen.image, seen.core)

    def vjp(seen: FeatureMaps, target: PixelDifferences) -> tuple[PixelDifferences, Pullback]:
        def pullback(by: PixelDifferences) -> dict[str, list[AddGradient]]:
            return {IMAGE: [add_array(differences_vjp(seen.image, by, seen.core))]}

        return read(seen, target), pullback

    return LossTerm(freeze, read, variation_loss, vjp, variation_gradient, (), additive=True)


def total_variation(image: Tensor) -> Tensor:
    """Return how much neighboring pixels of a (height, width, 3) picture differ, a scalar.

    mean(Δx²) + mean(Δy²) with values in [0, 1], that is, differences divided by 255: the squared
    (anisotropic) form of Mahendran and Vedaldi 2015, section 2, with β = 2.
    """
    height, width, _ = image.shape
    return variation_loss(differences(image), difference_counts(height, width))
