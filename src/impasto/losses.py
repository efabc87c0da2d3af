"""The losses: pure functions of features, moments and pictures.

All are written with ``keras.ops``, so that they take and return tensors of whatever backend
runs. All are means over positions and channels, so that weights carry over between sizes.
"""

from collections.abc import Callable, Iterable
from itertools import pairwise
from typing import Any, NamedTuple, TypeAlias

from impasto.backend import ops

Tensor: TypeAlias = Any
"""A tensor of the running backend."""

EPSILON = 1e-8
"""Keeps a division by the size of a target, or by a count of positions, finite at zero."""


class Moments(NamedTuple):
    """Sums over positions of features f with position weights w; C channels, float32.

    Sums add up: over tiles, over regions, over styles. Means are taken when they are compared.
    """

    count: Tensor
    """() sum of w"""
    sum: Tensor
    """(C,) sum of w f"""
    second: Tensor
    """(C, C) sum of w f fᵀ; divided by the count it is the Gram matrix"""


def moments(features: Tensor, weights: Tensor | None = None) -> Moments:
    """Sum features of shape (height, width, C) over positions, weighted by (height, width).

    Features of any float type are summed as float32: a Gram matrix overflows in half precision.
    """
    channels = features.shape[-1]
    flat = ops.cast(ops.reshape(features, (-1, channels)), "float32")
    if weights is None:
        count = ops.cast(ops.shape(flat)[0], "float32")
        weighted = flat
    else:
        column = ops.cast(ops.reshape(weights, (-1, 1)), "float32")
        count = ops.sum(column)
        weighted = flat * column
    return Moments(count, ops.sum(weighted, axis=0), ops.matmul(ops.transpose(weighted), flat))


def add(parts: Iterable[Moments]) -> Moments:
    """Return the moments of several parts taken together."""
    return Moments(*(sum(values) for values in zip(*parts, strict=True)))


def slice_moments(features: Tensor, slices: int) -> list[Moments]:
    """Return the moments of upright slices; features are (height, width, C).

    All slices have the same number of columns but the last, which has what is left; where there
    are few columns, the last ones may have none and a count of zero.
    """
    height, width, channels = ops.shape(features)
    each = (width + slices - 1) // slices
    # Columns of zeros add nothing to a sum, and one reshaping is cheaper to differentiate than
    # many slices would be.
    padded = ops.pad(features, ((0, 0), (0, each * slices - width), (0, 0)))
    apart = ops.transpose(ops.reshape(padded, (height, slices, each, channels)), (1, 0, 2, 3))
    flat = ops.cast(ops.reshape(apart, (slices, height * each, channels)), "float32")
    columns = ops.clip(width - each * ops.arange(slices), 0, each)
    counts = ops.cast(height * columns, "float32")
    sums = ops.sum(flat, axis=1)
    seconds = ops.matmul(ops.transpose(flat, (0, 2, 1)), flat)
    return [Moments(counts[i], sums[i], seconds[i]) for i in range(slices)]


def gram(of: Moments) -> Tensor:
    """Return the Gram matrix per position, (C, C): second / count.

    Gatys et al. 2016, equation 3, divided by the number of positions M of the layer.
    """
    return of.second / ops.maximum(of.count, EPSILON)


def mean_and_deviation(of: Moments) -> tuple[Tensor, Tensor]:
    """Return the mean and the standard deviation of every channel, (C,) each."""
    count = ops.maximum(of.count, EPSILON)
    mean = of.sum / count
    variance = ops.diagonal(of.second) / count - mean**2
    return mean, ops.sqrt(ops.maximum(variance, 0.0) + EPSILON)


def content_loss(features: Tensor, target: Tensor, relative: bool = True) -> Tensor:
    """Compare two feature maps of shape (height, width, C); return a scalar.

    mean((F - P)²), divided by mean(P²) if ``relative``.

    Gatys et al. 2016, equation 1, as a mean instead of half the sum.
    """
    features = ops.cast(features, "float32")
    return _compare(features, ops.cast(target, "float32"), relative)


def gram_loss(of: Moments, target: Moments, relative: bool = True) -> Tensor:
    """Compare the Gram matrices G of two sets of moments; return a scalar.

    mean((G - A)²), divided by mean(A²) if ``relative``.

    Gatys et al. 2016, equation 4, which is a quarter of the mean.
    """
    return _compare(gram(of), gram(target), relative)


def moments_loss(of: Moments, target: Moments, relative: bool = True) -> Tensor:
    """Compare Gram matrices, and means μ and standard deviations σ; return a scalar.

    gram_loss + mean((μ - μₛ)²) + mean((σ - σₛ)²), where the latter two are divided by
    mean(μₛ² + σₛ²) if ``relative``.

    A Gram matrix mixes up μ² and σ²: a flat patch of the right mean passes for strokes. Galerne
    et al. 2023, "Scaling Painting Style Transfer", add mean and deviation to cure that.
    Departure: their weights (1e3 / C² and 1e4) are replaced by the relative scale.
    """
    mean, deviation = mean_and_deviation(of)
    target_mean, target_deviation = mean_and_deviation(target)
    shift = ops.mean((mean - target_mean) ** 2 + (deviation - target_deviation) ** 2)
    if relative:
        shift = shift / (ops.mean(target_mean**2 + target_deviation**2) + EPSILON)
    return gram_loss(of, target, relative) + shift


StyleLoss: TypeAlias = Callable[[Moments, Moments, bool], Tensor]
"""(moments, target, relative) -> scalar"""


def spread(
    compare: StyleLoss, features: Tensor, target: Moments, relative: bool, strips: int
) -> Tensor:
    """Compare features (height, width, C) with a target, as a whole and in upright strips.

    (compare(whole) + Σ share · compare(strip)) / 2, where a strip's share is that of its
    positions among those of all strips; compare(whole) alone for a single strip.

    Moments of the whole picture do not care where the strokes are: half of a sky may be painted
    twice over and the other half be left a grey photograph. Departure from Gatys et al.: every
    strip is asked for them as well. The strips are upright, since in pictures that have an above
    and a below the strokes may well differ between these, but not between left and right. Each
    is two slices wide and overlaps its neighbours by one, so that no edge stands between them
    (the outermost slices lie in one strip, all others in two); moments add up, so this costs
    little more than the whole.
    """
    if strips == 1:
        return compare(moments(features), target, relative)
    slices = slice_moments(features, strips + 1)
    parts = [add(neighbours) for neighbours in pairwise(slices)]
    positions = sum(part.count for part in parts)
    apart = sum(part.count * compare(part, target, relative) for part in parts) / positions
    return (compare(add(slices), target, relative) + apart) / 2


STYLE_LOSSES: dict[str, StyleLoss] = {
    "gram": gram_loss,
    "moments": moments_loss,
}
"""Every way to compare two sets of moments, by the name that the setting ``objective`` takes."""


def total_variation(picture: Tensor) -> Tensor:
    """Return how much neighbouring pixels of a (height, width, 3) picture differ, a scalar.

    mean(Δx²) + mean(Δy²) with values in [0, 1], that is, differences divided by 255: the squared
    (anisotropic) form of Mahendran and Vedaldi 2015, section 2, with β = 2.
    """
    scaled = picture / 255.0
    down = scaled[1:] - scaled[:-1]
    right = scaled[:, 1:] - scaled[:, :-1]
    return ops.mean(down**2) + ops.mean(right**2)


def _compare(received: Tensor, target: Tensor, relative: bool) -> Tensor:
    difference = ops.mean((received - target) ** 2)
    return difference / (ops.mean(target**2) + EPSILON) if relative else difference
