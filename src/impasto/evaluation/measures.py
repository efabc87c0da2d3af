"""Distances of a result from its style image and its content image: pure functions of NumPy arrays.

All are distances: zero for equal images, smaller is nearer. The features of an image are a *map*,
float32 (height, width, channels). The maps of two images may differ in height and width, except
where positions are compared. Colors are CIELAB, in which a difference of about 2.3 is just visible
(Mahy et al. 1994).

Significance: the distances of two results of one pair that differ only by chance, from noise of two
seeds at 384 px by Gram matrices (root mean square over ten pairs):

    local style        0.004 on EfficientNet-Lite0, 0.008 on VGG19
    coverage           0.005, 0.008
    global style       0.009, 0.044
    foreign colors     1.4 ΔE
    palette            1.9 ΔE
    self-similarity    0.035
    edges              0.067

For one pair, less than twice these values may be chance; for a mean over n pairs it is √n times
less. Computed by ``python -m tools.sheet OUT --pairs TABLE --recipe "a: init=noise seed=0" --recipe
"b: init=noise seed=1"``; ``python -m benchmarks.spread`` computes the deviation over crops.
"""

from typing import TypeAlias

import numpy as np
import scipy.ndimage
import scipy.spatial
from numpy.typing import NDArray

Map: TypeAlias = NDArray[np.float32]
"""float32 (height, width, channels)"""

Edges: TypeAlias = NDArray[np.float32]
"""float32 (height, width) in [0, 1]: probability of an edge"""

TEMPERATURE = 0.1
"""Temperature of the softmax over patch similarities."""

CHUNK_ROWS = 1024
"""Positions of one image that are compared with all of the other at once."""

SMOOTHING = 1 / 192
"""Standard deviation of the color smoothing, relative to the longest side: 2 px of 384."""

DIRECTIONS, QUANTILES = 64, 512
"""Number of projections of the colors, and of quantiles of each."""

TOLERANCE = 0.0075
"""Allowed displacement of an edge, relative to the diagonal, as in BSDS500."""


def local_style(image: Map, style: Map) -> tuple[float, float]:
    """Return the local style distance of features, and the coverage of the style image.

    With p and s all features of result and style image less the mean of the style image,

        local    = mean over p of min over s of (1 − cos(p, s)),
        coverage = mean over s of min over p of (1 − cos(p, s)),

    from 0 to 2. The first is small if every position of the result resembles some position of the
    style image, the second if every position of the style image occurs in the result. Use both:
    the first alone is small for a result that repeats one flat part of the style image, and on
    VGG19 some photos with soft backgrounds are nearer than their results. Two seeds differ by 0.004
    on EfficientNet-Lite0 and 0.008 on VGG19.

    Source: the loss of Kolkin et al. 2022, "Neural Neighbor Style Transfer", equation 1, here on
    networks that no loss uses; coverage as in Mechrez et al. 2018, "The Contextual Loss".
    """
    mean = style.mean((0, 1))
    features, style_features = (
        normalize((each - mean).reshape(-1, each.shape[-1])) for each in (image, style)
    )
    nearest, covered = [], np.full(len(style_features), -1, np.float32)
    for start in range(0, len(features), CHUNK_ROWS):
        cosines = features[start : start + CHUNK_ROWS] @ style_features.T
        nearest.append(cosines.max(axis=1))
        np.maximum(covered, cosines.max(axis=0), out=covered)
    return _distance(np.concatenate(nearest)), _distance(covered)


def global_style(image: Map, style: Map) -> float:
    """Return the distance of the features' Gaussians, relative to the variance of the style image.

        (‖μ − μₛ‖² + tr(Σ + Σₛ − 2 (Σₛ^½ Σ Σₛ^½)^½)) / tr Σₛ

    with the means μ and the covariances Σ of all features, s those of the style image. It is 1 if
    all features are the mean of the style image, and may be larger. Two seeds differ by 0.009 on
    EfficientNet-Lite0, by 0.044 on VGG19.

    Source: Fréchet 1957; Heusel et al. 2017, "GANs Trained by a Two Time-Scale Update Rule",
    equation 6. Departures: over the positions of one image instead of over images, like the
    Wasserstein distance of style transfer; and relative, so that stages can be averaged. With fewer
    positions than channels it is too large, equally for all images of one size.
    """
    (mean, covariance), (target_mean, target) = (_gaussian(each) for each in (image, style))
    shift = np.sum((mean - target_mean) ** 2)
    values, vectors = np.linalg.eigh(target)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    shared = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ covariance @ root), 0)).sum()
    whole = np.trace(target)
    distance = shift + np.trace(covariance) + whole - 2 * shared
    return max(0.0, float(distance / max(whole, 1e-12)))


def palette_excess(image: Map, style: Map) -> float:
    """Return the mean distance of the result's colors from the nearest color of the style image.

        mean over pixels x of min over pixels y of the style image of ‖x − y‖,

    of images in CIELAB, smoothed by a Gaussian of SMOOTHING longest sides to ignore grain and
    single pixels. It grows with each color that the style image does not have, and ignores how
    often a color is used. Two seeds differ by 1.4.
    """
    colors, style_colors = (_smoothed(each).reshape(-1, 3) for each in (image, style))
    distances, _ = scipy.spatial.KDTree(style_colors).query(colors)
    return float(np.mean(distances))


def palette_distance(image: Map, style: Map) -> float:
    """Return how far colors must move to have the distribution of the style image.

    The sliced Wasserstein distance W₁ of all pixels in CIELAB, times two,

        2 · mean over directions θ of ∫ |F⁻¹(q; θ) − Fₛ⁻¹(q; θ)| dq,

    where F⁻¹ are the quantiles of the colors' projections. With the factor of two it is d if all
    colors move by d. It depends on how often each color is used. Two seeds differ by 1.9.

    Source: Rabin et al. 2011, "Wasserstein Barycenter and Its Application to Texture Mixing".
    Departure: directions on a Fibonacci lattice over the half sphere instead of random ones.
    """
    quantiles, style_quantiles = (_quantiles(each.reshape(-1, 3)) for each in (image, style))
    return float(2 * np.mean(np.abs(quantiles - style_quantiles)))


def self_similarity(image: Map, content: Map) -> float:
    """Return the difference of self-similarity between a result and its content image.

    CFSD, the content feature structural distance of Chung, Hyun and Heo 2024, "Style Injection in
    Diffusion", section 4.2: mean over positions of KL(C ‖ P), where C and P are the softmax of a
    position's similarity to all positions. Maps of the same size. Departure: similarities are
    cosines divided by TEMPERATURE, since raw products put all weight on the position itself. Two
    seeds differ by 0.035.
    """
    target, similarities = (_log_similarities(each) for each in (content, image))
    return max(0.0, float(np.mean(np.sum(np.exp(target) * (target - similarities), axis=1))))


def edge_distance(image: Edges, content: Edges) -> float:
    """Return one minus the correlation of the edges of a result and its content image.

        1 − ρ(G p, G c)

    with Pearson's correlation ρ of edges p of the result and c of the content image, of the same
    size, smoothed by a Gaussian G of TOLERANCE diagonals, so that an outline may move as far as the
    Berkeley benchmark allows (Martin, Fowlkes and Malik 2004). About 1 for unrelated images, 2 at
    most. Lost and added edges both count, including strokes. Two seeds differ by 0.067.
    """
    deviation = TOLERANCE * float(np.hypot(*content.shape))
    edges, content_edges = (
        scipy.ndimage.gaussian_filter(each.astype(np.float64), deviation).ravel()
        for each in (image, content)
    )
    edges, content_edges = edges - edges.mean(), content_edges - content_edges.mean()
    lengths = float(np.linalg.norm(edges) * np.linalg.norm(content_edges))
    return max(0.0, 1 - float(edges @ content_edges) / max(lengths, 1e-12))


def _distance(cosines: NDArray[np.float32]) -> float:
    return max(0.0, 1 - float(np.mean(cosines)))


def normalize(features: Map) -> Map:
    """Return features normalized along the last axis; zeros stay zeros."""
    lengths = np.linalg.norm(features, axis=-1, keepdims=True)
    return np.divide(features, np.maximum(lengths, 1e-8), dtype=np.float32)


def _gaussian(features: Map) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the mean (C) and the covariance (C, C) over all positions."""
    flat = features.reshape(-1, features.shape[-1])
    mean = flat.mean(0, dtype=np.float64)
    centered = (flat - mean).astype(np.float32)
    return mean, (centered.T @ centered).astype(np.float64) / len(flat)


def _quantiles(colors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the nearest ranks at QUANTILES levels of colors (n, 3), (DIRECTIONS, QUANTILES)."""
    levels = (np.arange(QUANTILES) + 0.5) / QUANTILES
    ranks = np.round(levels * (len(colors) - 1)).astype(int)
    return np.sort(_directions() @ colors.T, axis=1)[:, ranks]


def _log_similarities(features: Map) -> Map:
    flat = normalize(features.reshape(-1, features.shape[-1]))
    scaled = flat @ flat.T / TEMPERATURE
    scaled -= scaled.max(axis=1, keepdims=True)
    return scaled - np.log(np.exp(scaled).sum(axis=1, keepdims=True))


def _smoothed(colors: Map) -> Map:
    deviation = SMOOTHING * max(colors.shape[:2])
    return scipy.ndimage.gaussian_filter(colors, (deviation, deviation, 0), mode="nearest")


def _directions() -> NDArray[np.float32]:
    """Return unit vectors (DIRECTIONS, 3), evenly over half of the sphere."""
    number = np.arange(DIRECTIONS) + 0.5
    height = number / DIRECTIONS
    turn = np.pi * (1 + 5**0.5) * number
    across = np.sqrt(1 - height**2)
    lattice = np.stack([across * np.cos(turn), across * np.sin(turn), height], axis=1)
    return lattice.astype(np.float32)
