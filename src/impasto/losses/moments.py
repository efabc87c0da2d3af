"""The losses: pure functions of features, moments and pictures.

All are written with ``keras.ops``, so that they take and return tensors of whatever backend
runs. All are means over positions and channels, so that weights carry over between sizes.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from impasto.compute import backend, host
from impasto.compute.backend import ops

Tensor: TypeAlias = Any
"""A tensor of the running backend."""

EPSILON = 1e-8
"""Keeps a division by the size of a target, or by a count of positions, finite at zero."""


class Moments(NamedTuple):
    """Sums over positions of features f with position weights w; C channels, float32.

    Those of several parts stand along a first axis of all three. Sums add up: over tiles, over
    regions, over styles. Means are taken when they are compared.
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


def slice_moments(
    features: Tensor, slices: int, weights: Tensor | None = None, sums: Tensor | None = None
) -> Moments:
    """Return the moments of upright slices, along a first axis; features are (height, width, C).

    Positions may have weights (height, width, 1); without, ``sums`` may be those that the network
    gave (``vgg.Features``). All slices have the same number of columns but
    the last, which has what is left; where there are few columns, the last ones may have none
    and a count of zero.
    """
    height, width, _ = ops.shape(features)
    on_host = backend.gathered_on_host(backend.dtype_of(features))
    take_sums = _sums_on_host if on_host else _sums_on_device
    if weights is None:
        each = (width + slices - 1) // slices
        columns = ops.clip(width - each * ops.arange(slices), 0, each)
        count = ops.cast(height * columns, "float32")
    else:
        count = ops.sum(_slices(weights, slices), axis=(1, 2))
    if sums is not None and weights is None:
        return Moments(count, *_apart(sums))
    return Moments(count, *take_sums(features, slices, weights))


def _slices(array: Tensor, slices: int) -> Tensor:
    """Cut (height, width, C) into float32 (slices, positions, C), filled up with zeros."""
    height, width, channels = ops.shape(array)
    each = (width + slices - 1) // slices
    # Zeros add nothing to a sum, and one reshaping is cheaper to differentiate than many slices.
    padded = ops.pad(array, ((0, 0), (0, each * slices - width), (0, 0)))
    apart = ops.transpose(ops.reshape(padded, (height, slices, each, channels)), (1, 0, 2, 3))
    return ops.cast(ops.reshape(apart, (slices, height * each, channels)), "float32")


def _sums_on_device(features: Tensor, slices: int, weights: Tensor | None) -> tuple[Tensor, Tensor]:
    flat = weighted = _slices(features, slices)
    if weights is not None:
        weighted = flat * _slices(weights, slices)
    return ops.sum(weighted, axis=1), ops.matmul(ops.transpose(weighted, (0, 2, 1)), flat)


def _sums_on_host(features: Tensor, slices: int, weights: Tensor | None) -> tuple[Tensor, Tensor]:
    def run(features: Any, *weights: Any) -> Any:
        return host.sliced_moments(features, slices, *weights)

    def gradient(upstream: Any, features: Any, result: Any, *weights: Any) -> Any:
        return host.sliced_moments_gradient(features, upstream, *weights)

    channels = features.shape[-1]
    constants = () if weights is None else (weights,)
    like = [((slices, channels + 1, channels), "float32")]
    return _apart(backend.on_host(run, gradient, lambda _: like, *constants)(features))


def _apart(sums: Tensor) -> tuple[Tensor, Tensor]:
    """Take what ``host.sliced_moments`` gives apart, into sums of f and of f fᵀ."""
    seconds, firsts = ops.split(sums, [sums.shape[-1]], axis=1)
    return ops.squeeze(firsts, axis=1), seconds


def combine(membership: NDArray[np.float32], parts: Moments) -> Moments:
    """Add up moments along their first axis: row by row of ``membership`` (sums, parts).

    Moments add up, so that those of a whole, or of a region, are a weighted sum of its parts'.
    """
    return Moments(*(ops.tensordot(membership, field, axes=1) for field in parts))


def blend(parts: Sequence[tuple[float, Moments]]) -> Moments:
    """Mix moments by shares, as if so much of all positions came from each; their count is 1.

    Several paintings are one style whose moments are the weighted means of theirs.
    """
    whole = sum(share for share, _ in parts)
    return Moments(
        ops.ones(()),
        sum(share / whole * _mean(each) for share, each in parts),
        sum(share / whole * gram(each) for share, each in parts),
    )


def _mean(of: Moments) -> Tensor:
    return of.sum / ops.maximum(of.count, EPSILON)[..., None]


def gram(of: Moments) -> Tensor:
    """Return the Gram matrix per position, (C, C): second / count.

    Gatys et al. 2016, equation 3, divided by the number of positions M of the layer.
    """
    return of.second / ops.maximum(of.count, EPSILON)[..., None, None]


def mean_and_deviation(of: Moments) -> tuple[Tensor, Tensor]:
    """Return the mean and the standard deviation of every channel, (C,) each."""
    count, mean = ops.maximum(of.count, EPSILON)[..., None], _mean(of)
    squares = ops.sum(of.second * ops.eye(of.second.shape[-1]), axis=-1)
    variance = squares / count - ops.square(mean)
    return mean, ops.sqrt(ops.maximum(variance, 0.0) + EPSILON)


def content_loss(features: Tensor, target: Tensor, relative: bool = True) -> Tensor:
    """Compare two feature maps of shape (height, width, C); return a scalar.

    mean((F - P)²), divided by mean(P²) if ``relative``.

    Gatys et al. 2016, equation 1, as a mean instead of half the sum.
    """
    features = ops.cast(features, "float32")
    return _compare(features, ops.cast(target, "float32"), relative, axes=(0, 1, 2))


def gram_loss(of: Moments, target: Moments, relative: bool = True) -> Tensor:
    """Compare the Gram matrices G of two sets of moments; return a scalar.

    mean((G - A)²), divided by mean(A²) if ``relative``.

    Gatys et al. 2016, equation 4, which is a quarter of the mean.
    """
    return _compare(gram(of), gram(target), relative, axes=(-2, -1))


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
    shift = ops.mean(
        ops.square(mean - target_mean) + ops.square(deviation - target_deviation), axis=-1
    )
    if relative:
        shift = shift / (ops.mean(ops.square(target_mean) + ops.square(target_deviation)) + EPSILON)
    return gram_loss(of, target, relative) + shift


def wasserstein_loss(of: Moments, target: Moments, relative: bool = True) -> Tensor:
    """Return how far apart two Gaussians with these means and covariances are; a scalar.

    The squared Wasserstein-2 distance |μ - μₛ|² + tr(Σ + Σₛ - 2 (Σₛ^½ Σ Σₛ^½)^½), divided by the
    number of channels, and by mean(|fₛ|²) per channel if ``relative``.

    Dowson and Landau 1982, "The Fréchet distance between multivariate normal distributions",
    equation 4.
    Departure: RIDGE of the target's mean variance is added to both variances, since the root has
    no gradient where a covariance is singular, as it is with fewer positions than channels.
    """
    (mean, covariance), (target_mean, target_covariance) = _gaussian(of), _gaussian(target)
    channels = covariance.shape[-1]
    ridge = RIDGE * ops.maximum(_trace(target_covariance), 0.0) / channels + EPSILON
    added = ridge[..., None, None] * ops.eye(channels)
    covariance, target_covariance = covariance + added, target_covariance + added
    factor = _power(target_covariance, 0.5)
    root = _trace_of_root(ops.matmul(ops.matmul(factor, covariance), factor))
    distance = (
        ops.sum(ops.square(mean - target_mean), axis=-1)
        + _trace(covariance)
        + _trace(target_covariance)
        - 2 * root
    )
    if not relative:
        return distance / channels
    return distance / (_trace(gram(target)) + EPSILON)


RIDGE = 1e-3
"""What is added to every variance in the Wasserstein distance, relative to the target's mean."""


def _gaussian(of: Moments) -> tuple[Tensor, Tensor]:
    mean = _mean(of)
    return mean, gram(of) - mean[..., :, None] * mean[..., None, :]


def _trace(matrix: Tensor) -> Tensor:
    return ops.sum(matrix * ops.eye(matrix.shape[-1]), axis=(-2, -1))


def _trace_of_root(matrix: Tensor) -> Tensor:
    """Return tr(M^½) of symmetric positive matrices, whose gradient is M^-½ / 2.

    As tr(M^-½ M) with the root held constant: through the eigenvectors the gradient would not be
    finite where eigenvalues are equal.
    """
    inverse = _power(matrix, -0.5)
    trace = ops.sum(inverse * matrix, axis=(-2, -1))
    return (trace + ops.stop_gradient(trace)) / 2


def _power(matrix: Tensor, power: float) -> Tensor:
    """Return a power of symmetric positive matrices, held constant."""
    matrix = ops.stop_gradient(matrix)
    if not backend.computed_on_host("float32"):
        values, vectors = ops.linalg.eigh(matrix)
        least = ops.max(values, axis=-1, keepdims=True) * SINGULAR + EPSILON**2
        scaled = vectors * (ops.maximum(values, least) ** power)[..., None, :]
        return ops.stop_gradient(ops.matmul(scaled, ops.swapaxes(vectors, -1, -2)))

    def run(value: Any) -> Any:
        return host.matrix_power(value, power, SINGULAR, EPSILON**2)

    (powers,) = backend.call_host(run, [(ops.shape(matrix), "float32")], matrix)
    return ops.stop_gradient(powers)


SINGULAR = 1e-7
"""Eigenvalues are taken to be at least so much of the largest: rounding leaves them below zero."""

StyleLoss: TypeAlias = Callable[[Moments, Moments, bool], Tensor]
"""(moments, target, relative) -> loss; moments with a first axis give one loss for each."""


def spread(
    compare: StyleLoss,
    features: Tensor,
    weights: Tensor | None,
    target: Moments,
    relative: bool,
    strips: int,
    sums: Tensor | None = None,
) -> Tensor:
    """Compare features (height, width, C) with a target, as a whole and in upright strips.

    (compare(whole) + Σ share · compare(strip)) / 2, where a strip's share is that of its
    positions among those of all strips; compare(whole) alone for a single strip. Positions count
    by their ``weights`` (height, width, 1), or alike; then ``sums`` may be what the network gave
    for the :func:`slices_of` these strips.

    Moments of the whole picture do not care where the strokes are: half of a sky may be painted
    twice over and the other half be left a gray photograph. Departure from Gatys et al.: every
    strip is asked for them as well. The strips are upright, since in pictures that have an above
    and a below the strokes may well differ between these, but not between left and right. Each
    is two slices wide and overlaps its neighbors by one, so that no edge stands between them
    (the outermost slices lie in one strip, all others in two); moments add up, so this costs
    little more than the whole.
    """
    slices = slice_moments(features, slices_of(strips), weights, sums)
    if strips == 1:
        return ops.sum(compare(slices, target, relative))
    pairs = np.eye(strips, strips + 1) + np.eye(strips, strips + 1, k=1)
    membership = np.concatenate((pairs, np.ones((1, strips + 1)))).astype(np.float32)
    parts = combine(membership, slices)
    compared = compare(parts, target, relative)
    shares = parts.count[:-1] / ops.maximum(ops.sum(parts.count[:-1]), EPSILON)
    return (compared[-1] + ops.sum(shares * compared[:-1])) / 2


def slices_of(strips: int) -> int:
    """Return how many slices make so many strips."""
    return 1 if strips == 1 else strips + 1


def total_variation(picture: Tensor) -> Tensor:
    """Return how much neighboring pixels of a (height, width, 3) picture differ, a scalar.

    mean(Δx²) + mean(Δy²) with values in [0, 1], that is, differences divided by 255: the squared
    (anisotropic) form of Mahendran and Vedaldi 2015, section 2, with β = 2.
    """
    scaled = picture / 255.0
    down = scaled[1:] - scaled[:-1]
    right = scaled[:, 1:] - scaled[:, :-1]
    return ops.mean(ops.square(down)) + ops.mean(ops.square(right))


def _compare(received: Tensor, target: Tensor, relative: bool, axes: tuple[int, ...]) -> Tensor:
    difference = ops.mean(ops.square(received - target), axis=axes)
    if not relative:
        return difference
    return difference / (ops.mean(ops.square(target), axis=axes) + EPSILON)
