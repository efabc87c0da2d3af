"""The total variation loss: how much neighboring pixels differ, which smooths the picture."""

from typing import NamedTuple

from impasto.compute.backend import Size, Tensor, ops


class Differences(NamedTuple):
    """Sums of squared differences of neighboring pixels, in [0, 1]; those of parts add up."""

    down: Tensor
    """() of each pixel and the one below it"""
    right: Tensor
    """() of each pixel and the one to the right of it"""


def differences(picture: Tensor, place: tuple[Size, Size, Size, Size] | None = None) -> Differences:
    """Sum over all pixels of (height, width, 3), or over those of a part of it.

    ``place`` is the part's first row and column, and how many it has of them.
    """
    # Beyond the edge stands the same pixel once more, from which nothing differs.
    # As a batch of one: PyTorch pads nothing else so.
    beyond = ops.pad(picture[None] / 255.0, ((0, 0), (0, 1), (0, 1), (0, 0)), mode="symmetric")[0]
    height, width, _ = ops.shape(picture)
    top, left, rows, columns = place or (0, 0, height, width)
    here = ops.slice(beyond, (top, left, 0), (rows + 1, columns + 1, 3))
    own = here[:-1, :-1]
    return Differences(
        ops.sum(ops.square(here[1:, :-1] - own)), ops.sum(ops.square(here[:-1, 1:] - own))
    )


def variation(sums: Differences, height: Size, width: Size) -> Tensor:
    """Return mean(Δx²) + mean(Δy²) of a picture of so many pixels from its differences."""
    numbers = (3 * (height - 1) * width, 3 * height * (width - 1))
    counts = (ops.cast(ops.maximum(each, 1), "float32") for each in numbers)
    return sum(each / count for each, count in zip(sums, counts, strict=True))


def total_variation(picture: Tensor) -> Tensor:
    """Return how much neighboring pixels of a (height, width, 3) picture differ, a scalar.

    mean(Δx²) + mean(Δy²) with values in [0, 1], that is, differences divided by 255: the squared
    (anisotropic) form of Mahendran and Vedaldi 2015, section 2, with β = 2.
    """
    scaled = picture / 255.0
    down = scaled[1:] - scaled[:-1]
    right = scaled[:, 1:] - scaled[:, :-1]
    return ops.mean(ops.square(down)) + ops.mean(ops.square(right))
