"""The total variation loss: squared differences of neighboring pixels, which smooths.

mean(Δx²) + mean(Δy²) with values in [0, 1], that is, differences divided by 255: the squared
(anisotropic) form of Mahendran and Vedaldi 2015, section 2, with β = 2.
"""

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
    LevelTarget,
    Pullback,
)


class PixelDifferences(NamedTuple):
    """Sums of squared differences of neighboring pixels, in [0, 1]; they add up over tiles."""

    down: Tensor
    """() of each pixel and the one below it"""
    right: Tensor
    """() of each pixel and the one to the right of it"""


PixelBox = tuple[Size, Size, Size, Size]
"""First row, first column, rows and columns of a part of an image."""


def differences(image: Tensor, box: PixelBox | None = None) -> PixelDifferences:
    """Return sums over all pixels of (height, width, 3), or over those of a part of it."""
    ops = array_namespace(image)
    down, right = _pixel_differences(image, box)
    return PixelDifferences(ops.sum(ops.square(down)), ops.sum(ops.square(right)))


def differences_vjp(
    image: HostArray, by: PixelDifferences, box: PixelBox | None = None
) -> HostArray:
    """Return the gradient of :func:`differences` by the image, from ∂loss/∂sums."""
    height, width, _ = image.shape
    top, left, rows, columns = map(int, box or (0, 0, height, width))
    down, right = _pixel_differences(image, box)
    # A difference falls with its own pixel and grows with the next; at the edge both are one.
    gradient = np.zeros((height + 1, width + 1, 3), np.float32)
    down, right = 2 / 255 * by.down * down, 2 / 255 * by.right * right
    gradient[top : top + rows, left : left + columns] -= down + right
    gradient[top + 1 : top + 1 + rows, left : left + columns] += down
    gradient[top : top + rows, left + 1 : left + 1 + columns] += right
    return gradient[:height, :width]


def _pixel_differences(image: Tensor, box: PixelBox | None) -> tuple[Tensor, Tensor]:
    """Return the next pixel down, and to the right, minus each pixel, (rows, columns, 3)."""
    ops = array_namespace(image)
    # Edge pixels are repeated, so differences across the edge are zero. Padded as a batch of one,
    # since PyTorch supports this mode for batches only.
    padded = ops.pad(image[None] / 255.0, ((0, 0), (0, 1), (0, 1), (0, 0)), mode="symmetric")[0]
    height, width, _ = ops.shape(image)
    top, left, rows, columns = box or (0, 0, height, width)
    pixels = ops.slice(padded, (top, left, 0), (rows + 1, columns + 1, 3))
    return pixels[1:, :-1] - pixels[:-1, :-1], pixels[:-1, 1:] - pixels[:-1, :-1]


def difference_counts(height: int, width: int) -> PixelDifferences:
    """Return the number of differences of an image of that size, at least 1."""
    numbers = (3 * (height - 1) * width, 3 * height * (width - 1))
    return PixelDifferences(*(np.float32(max(each, 1)) for each in numbers))


class TotalVariationTerm:
    """The total variation of the pixels. Its sums and its target are :class:`PixelDifferences`."""

    layers: tuple[str, ...] = ()
    additive = True

    def make_target(self, level_inputs: LevelInputs) -> LevelTarget:
        """Return the numbers of differences of the whole image."""
        target = difference_counts(*size_of(level_inputs.content))
        return LevelTarget(lambda tile: target)

    def reduce(self, features: FeatureMaps, target: PixelDifferences) -> PixelDifferences:
        """Return the sums of squared differences."""
        return differences(features.image, features.core)

    def loss(self, sums: PixelDifferences, target: PixelDifferences) -> Tensor:
        """Return mean(Δx²) + mean(Δy²)."""
        return sum(each / count for each, count in zip(sums, target, strict=True))

    def layer_losses(self, sums: PixelDifferences, target: PixelDifferences) -> dict[str, Tensor]:
        """Return nothing: the loss has no layers."""
        return {}

    def vjp(
        self, features: FeatureMaps, target: PixelDifferences
    ) -> tuple[PixelDifferences, Pullback]:
        """Return :meth:`reduce`, and its pullback, by the pixels."""

        def pullback(by: PixelDifferences) -> dict[str, list[AddGradient]]:
            return {IMAGE: [add_array(differences_vjp(features.image, by, features.core))]}

        return self.reduce(features, target), pullback

    def loss_gradient(self, sums: PixelDifferences, target: PixelDifferences) -> PixelDifferences:
        """Return the gradient of :meth:`loss`: one over each count."""
        return PixelDifferences(*(1 / count for count in target))


def total_variation(image: Tensor) -> Tensor:
    """Return the total variation of a (height, width, 3) image, a scalar."""
    height, width, _ = image.shape
    return TotalVariationTerm().loss(differences(image), difference_counts(height, width))
