"""How far two sets of moments are apart: the style losses that are functions of moments.

Each takes the moments of the picture and of the painting; those of several parts stand along a
first axis and give one loss for each.
"""

from collections.abc import Callable
from typing import TypeAlias

from impasto.compute import backend, host
from impasto.compute.backend import HostArray, Tensor, ops
from impasto.losses.moments import Moments, gram, mean, mean_and_deviation
from impasto.losses.terms import EPSILON

Comparison: TypeAlias = Callable[[Moments, Moments, bool], Tensor]
"""(moments, target, relative) -> loss; moments with a first axis give one loss for each."""


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
    center, deviation = mean_and_deviation(of)
    target_center, target_deviation = mean_and_deviation(target)
    shift = ops.mean(
        ops.square(center - target_center) + ops.square(deviation - target_deviation), axis=-1
    )
    if relative:
        shift = shift / (
            ops.mean(ops.square(target_center) + ops.square(target_deviation)) + EPSILON
        )
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
    (center, covariance), (target_center, target_covariance) = _gaussian(of), _gaussian(target)
    channels = covariance.shape[-1]
    ridge = RIDGE * ops.maximum(_trace(target_covariance), 0.0) / channels + EPSILON
    added = ridge[..., None, None] * ops.eye(channels, dtype="float32")
    covariance, target_covariance = covariance + added, target_covariance + added
    factor = _power(target_covariance, 0.5)
    root = _trace_of_root(ops.matmul(ops.matmul(factor, covariance), factor))
    distance = (
        ops.sum(ops.square(center - target_center), axis=-1)
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
    center = mean(of)
    return center, gram(of) - center[..., :, None] * center[..., None, :]


def _trace(matrix: Tensor) -> Tensor:
    return ops.sum(matrix * ops.eye(matrix.shape[-1], dtype="float32"), axis=(-2, -1))


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

    def run(value: HostArray) -> HostArray:
        return host.matrix_power(value, power, SINGULAR, EPSILON**2)

    (powers,) = backend.call_host(run, [(backend.known_shape(matrix), "float32")], matrix)
    return ops.stop_gradient(powers)


SINGULAR = 1e-7
"""Eigenvalues are taken to be at least so much of the largest: rounding leaves them below zero."""


def _compare(received: Tensor, target: Tensor, relative: bool, axes: tuple[int, ...]) -> Tensor:
    difference = ops.mean(ops.square(received - target), axis=axes)
    if not relative:
        return difference
    return difference / (ops.mean(ops.square(target), axis=axes) + EPSILON)
