"""Style losses that compare two sets of moments.

Each function takes the moments of the image and of the style; moments of several parts have a
leading axis and give one loss each. Each loss has its gradient by the moments, in NumPy.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from impasto.compute import threads
from impasto.compute.arrays import HostArray, Tensor, array_namespace, is_tensor
from impasto.losses.moments import Moments, channel_mean, gram, mean_and_deviation, positive_count
from impasto.losses.terms import EPSILON


class MomentLoss(NamedTuple):
    """A loss of two sets of moments, and its gradient."""

    loss: Callable[[Moments, Moments, bool], Tensor]
    """(moments, target, relative) -> loss; moments with a leading axis give one loss each"""
    gradient: Callable[[Moments, Moments, bool], Moments]
    """(moments, target, relative) -> gradient of each loss by its own moments, in NumPy; zero for
    the counts, which do not depend on features"""


def gram_loss(moments: Moments, target: Moments, relative: bool = True) -> Tensor:
    """Compare the Gram matrices G of two sets of moments; return a scalar.

    mean((G - A)²), divided by mean(A²) if ``relative``.

    Gatys et al. 2016, equation 4, which is a quarter of the mean.
    """
    return _squared_error(gram(moments), gram(target), relative, axes=(-2, -1))


def moments_loss(moments: Moments, target: Moments, relative: bool = True) -> Tensor:
    """Compare Gram matrices, and means μ and standard deviations σ; return a scalar.

    gram_loss + mean((μ - μₛ)²) + mean((σ - σₛ)²), where the latter two are divided by
    mean(μₛ² + σₛ²) if ``relative``.

    A Gram matrix has the sum of μ² and σ², so a flat patch of the right mean can replace strokes.
    Galerne et al. 2023, "Scaling Painting Style Transfer", add mean and deviation for this reason.
    Departure: their weights (1e3 / C² and 1e4) are replaced by the relative scale.
    """
    ops = array_namespace(moments.sum)
    center, deviation = mean_and_deviation(moments)
    target_center, target_deviation = mean_and_deviation(target)
    shift = ops.mean(
        ops.square(center - target_center) + ops.square(deviation - target_deviation), axis=-1
    )
    if relative:
        shift = shift / (
            ops.mean(ops.square(target_center) + ops.square(target_deviation)) + EPSILON
        )
    return gram_loss(moments, target, relative) + shift


def wasserstein_loss(moments: Moments, target: Moments, relative: bool = True) -> Tensor:
    """Return the distance of two Gaussians with these means and covariances, a scalar.

    The squared Wasserstein-2 distance |μ - μₛ|² + tr(Σ + Σₛ - 2 (Σₛ^½ Σ Σₛ^½)^½), divided by the
    number of channels, and by mean(|fₛ|²) per channel if ``relative``.

    Dowson and Landau 1982, "The Fréchet distance between multivariate normal distributions",
    equation 4.
    Departure: RIDGE times the target's mean variance is added to both variances, since the root has
    no gradient for a singular covariance, as with fewer positions than channels.
    """
    ops = array_namespace(moments.sum)
    (center, covariance), (target_center, target_covariance) = _gaussians(moments, target)
    factor = _power(target_covariance, 0.5)
    root = _trace_of_root(ops.matmul(ops.matmul(factor, covariance), factor))
    distance = (
        ops.sum(ops.square(center - target_center), axis=-1)
        + _trace(covariance)
        + _trace(target_covariance)
        - 2 * root
    )
    return distance / _wasserstein_scale(target, relative)


def gram_gradient(moments: Moments, target: Moments, relative: bool = True) -> Moments:
    """Return the gradient of :func:`gram_loss`: 2 (G - A) / C² by the Gram matrix."""
    by_gram = 2 * (gram(moments) - gram(target)) / np.float32(moments.sum.shape[-1] ** 2)
    if relative:
        by_gram = by_gram / (np.mean(np.square(gram(target))) + np.float32(EPSILON))
    return _by_moments(moments, np.zeros_like(moments.sum), by_gram)


def moments_gradient(moments: Moments, target: Moments, relative: bool = True) -> Moments:
    """Return the gradient of :func:`moments_loss`."""
    by_gram = gram_gradient(moments, target, relative)
    center, deviation = mean_and_deviation(moments)
    target_center, target_deviation = mean_and_deviation(target)
    scale = np.float32(moments.sum.shape[-1] / 2)
    if relative:
        scale = scale * (np.mean(np.square(target_center) + np.square(target_deviation)) + EPSILON)
    # σ = (s / n - μ²)^½ with s the diagonal of the second moments.
    by_variance = (deviation - target_deviation) / scale / (2 * deviation)
    by_mean = (center - target_center) / scale - 2 * by_variance * center
    identity = np.eye(moments.sum.shape[-1], dtype=np.float32)
    by_shift = _by_moments(moments, by_mean, by_variance[..., None] * identity)
    return Moments(by_gram.count, by_shift.sum, by_gram.second + by_shift.second)


def wasserstein_gradient(moments: Moments, target: Moments, relative: bool = True) -> Moments:
    """Return the gradient of :func:`wasserstein_loss`.

    By the covariance it is I - F (F Σ F)^-½ F with F = Σₛ^½, the gradient of tr((F Σ F)^½) being
    F (F Σ F)^-½ F / 2.
    """
    (center, covariance), (target_center, target_covariance) = _gaussians(moments, target)
    factor = _power(target_covariance, 0.5)
    inverse = _power(factor @ covariance @ factor, -0.5)
    scale = _wasserstein_scale(target, relative)
    by_covariance = (np.eye(center.shape[-1], dtype=np.float32) - factor @ inverse @ factor) / scale
    by_mean = 2 * (center - target_center) / scale
    by_mean = by_mean - 2 * (by_covariance @ center[..., None])[..., 0]
    return _by_moments(moments, by_mean, by_covariance)


def _by_moments(moments: Moments, by_mean: HostArray, by_gram: HostArray) -> Moments:
    """Return the gradient by the sums from the gradients by μ and by the Gram matrix."""
    count = positive_count(moments)
    return Moments(
        np.zeros_like(count), by_mean / count[..., None], by_gram / count[..., None, None]
    )


GRAM = MomentLoss(gram_loss, gram_gradient)
MOMENTS = MomentLoss(moments_loss, moments_gradient)
WASSERSTEIN = MomentLoss(wasserstein_loss, wasserstein_gradient)

RIDGE = 1e-3
"""Added to every variance in the Wasserstein distance, relative to the target's mean."""

SINGULAR = 1e-7
"""Minimum eigenvalue relative to the largest, since rounding makes some negative."""


def _gaussians(
    moments: Moments, target: Moments
) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Return means and covariances of both, with the ridge added."""
    ops = array_namespace(moments.sum)
    (center, covariance), (target_center, target_covariance) = _gaussian(moments), _gaussian(target)
    channels = covariance.shape[-1]
    ridge = RIDGE * ops.maximum(_trace(target_covariance), 0.0) / channels + EPSILON
    added = ridge[..., None, None] * ops.eye(channels, dtype="float32")
    return (center, covariance + added), (target_center, target_covariance + added)


def _gaussian(moments: Moments) -> tuple[Tensor, Tensor]:
    center = channel_mean(moments)
    return center, gram(moments) - center[..., :, None] * center[..., None, :]


def _wasserstein_scale(target: Moments, relative: bool) -> Tensor:
    if not relative:
        return target.sum.shape[-1]
    return _trace(gram(target)) + EPSILON


def _trace(matrix: Tensor) -> Tensor:
    ops = array_namespace(matrix)
    return ops.sum(matrix * ops.eye(matrix.shape[-1], dtype="float32"), axis=(-2, -1))


def _trace_of_root(matrix: Tensor) -> Tensor:
    """Return tr(M^½) of symmetric positive matrices, whose gradient is M^-½ / 2.

    As tr(M^-½ M) with the root held constant: the gradient through eigenvectors is not finite for
    equal eigenvalues.
    """
    ops, inverse = array_namespace(matrix), _power(matrix, -0.5)
    trace = ops.sum(inverse * matrix, axis=(-2, -1))
    return (trace + ops.stop_gradient(trace)) / 2


def _power(matrix: Tensor, power: float) -> Tensor:
    """Return a power of symmetric positive matrices (..., n, n), held constant."""
    ops = array_namespace(matrix)
    values, vectors = _eigen(ops.stop_gradient(matrix))
    least = ops.max(values, axis=-1, keepdims=True) * SINGULAR + EPSILON**2
    scaled = vectors * (ops.maximum(values, least) ** power)[..., None, :]
    return ops.stop_gradient(ops.matmul(scaled, ops.swapaxes(vectors, -1, -2)))


def _eigen(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Return eigenvalues (..., n) and eigenvectors (..., n, n); NumPy uses all cores."""
    if is_tensor(matrix):
        decomposition: tuple[Tensor, Tensor] = array_namespace(matrix).linalg.eigh(matrix)
        return decomposition
    each = threads.map_in_threads(np.linalg.eigh, matrix.reshape(-1, *matrix.shape[-2:]))
    values, vectors = (np.stack(side) for side in zip(*each, strict=True))
    return values.reshape(matrix.shape[:-1]), vectors.reshape(matrix.shape)


def _squared_error(
    received: Tensor, target: Tensor, relative: bool, axes: tuple[int, ...]
) -> Tensor:
    ops = array_namespace(received)
    difference = ops.mean(ops.square(received - target), axis=axes)
    if not relative:
        return difference
    return difference / (ops.mean(ops.square(target), axis=axes) + EPSILON)
