"""Networks small enough to check by hand: two seeded convolutions, and a VGG of few channels."""

import functools

import numpy as np
import optree
import pytest
import scipy.linalg

from impasto.compute.arrays import is_tensor
from impasto.compute.native import kernels
from impasto.losses.feature_index import select_positions
from impasto.losses.terms import StyleFeatures, TiledFeatureExtractor
from impasto.losses.tiles import TileAlignment
from impasto.network.weights import BGR_MEAN, NETWORKS, Network, Weights

needs_kernels = pytest.mark.skipif(
    not kernels.kernels_available(), reason="the compiled kernels are not built"
)
"""Of tests that the Keras engine cannot stand in for."""

LAYERS = ("first", "second")
_random = np.random.default_rng(7)
KERNELS = [
    _random.normal(0, 0.02, (3, 3, 3, 4)).astype(np.float32),
    _random.normal(0, 0.3, (3, 3, 4, 5)).astype(np.float32),
]

SMALL_GRAM = {
    "size": 48,
    "levels": 2,
    "evaluations": 3,
    "precision": "float32",
    "style_loss": "gram",
}
"""Settings of a recipe that is painted in moments."""


def network(kernels, biases):
    """Weights of a network of these layers, each followed by a pooling."""
    names = LAYERS[: len(kernels)]
    tensors = {}
    for name, kernel, bias in zip(names, kernels, biases, strict=True):
        tensors |= {f"{name}/kernel": kernel, f"{name}/bias": np.asarray(bias, np.float32)}
    return Weights(Network("tiny", names, *[""] * 5), "", tensors)


WEIGHTS = network(KERNELS, [np.zeros(4), np.zeros(5)])
"""The two seeded convolutions."""

WIDTHS = (8, 12, 16, 20, 8)
"""Channels of the five blocks of a VGG that is computed in milliseconds."""


@functools.cache
def vgg(name="vgg16"):
    """Seeded weights of a VGG with few channels, whose features keep their size."""
    random, tensors, before = np.random.default_rng(11), {}, 3
    for layer in NETWORKS[name].convolutions:
        channels = WIDTHS[int(layer[len("block")]) - 1]
        deviation = np.sqrt(2 / (9 * before))
        kernel = random.normal(0, deviation, (3, 3, before, channels))
        tensors[f"{layer}/kernel"] = kernel.astype(np.float32)
        tensors[f"{layer}/bias"] = random.normal(0, 1, channels).astype(np.float32)
        before = channels
    return Weights(NETWORKS[name], "", tensors)


ENGINES = ("native", "keras")


def engine(name, recipe, weights=WEIGHTS):
    """One of both engines, of small weights. A test of a native one that is missing is skipped."""
    if name == "native":
        if not kernels.kernels_available():
            pytest.skip("the compiled kernels are not built")
        from impasto.engines.native_engine import NativeEngine

        return NativeEngine(weights, recipe)
    from impasto.engines.keras_engine import KerasEngine

    return KerasEngine(weights, recipe)


def naive_features(picture, pooling="max", padding="zero"):
    """Features of the two convolutions, in float64 and plain loops."""
    maps = {}
    x = picture.astype(np.float64)[..., ::-1] - BGR_MEAN
    for name, kernel in zip(LAYERS, KERNELS, strict=True):
        x = np.maximum(naive_convolution(x, kernel.astype(np.float64), padding == "replicate"), 0)
        maps[name] = x
        x = naive_pooling(x, {"max": np.max, "avg": np.mean}[pooling])
    return maps


def naive_convolution(x, kernel, replicate=False):
    height, width, _ = x.shape
    if not x.size:
        return np.zeros((height, width, kernel.shape[3]))
    padded = np.pad(x, ((1, 1), (1, 1), (0, 0)), mode="edge" if replicate else "constant")
    out = np.zeros((height, width, kernel.shape[3]))
    for i in range(height):
        for j in range(width):
            window = padded[i : i + 3, j : j + 3]
            for k in range(kernel.shape[3]):
                out[i, j, k] = np.sum(window * kernel[..., k])
    return out


def naive_pooling(x, of=np.max):
    height, width, channels = x.shape
    out = np.zeros((height // 2, width // 2, channels))
    for i in range(height // 2):
        for j in range(width // 2):
            out[i, j] = of(x[2 * i : 2 * i + 2, 2 * j : 2 * j + 2], axis=(0, 1))
    return out


def naive_losses(picture, content, style, relative, style_loss="gram", strips=1):
    """Content, style and total variation losses, straight from their equations."""
    seen, photograph, painting = (naive_features(p) for p in (picture, content, style))
    content_loss = [naive_mse(seen[n], photograph[n], relative) for n in LAYERS[1:]]
    styles = []
    for name in LAYERS:
        whole, target = seen[name], painting[name]
        loss = naive_style(whole, target, relative, style_loss)
        if strips > 1 and style_loss != "neighbors":
            width = whole.shape[1]
            each = -(-width // (strips + 1))
            parts = [whole[:, i * each : (i + 2) * each] for i in range(strips)]
            parts = [part for part in parts if part.size]
            apart = [naive_style(part, target, relative, style_loss) for part in parts]
            loss = (loss + np.average(apart, weights=[part.size for part in parts])) / 2
        styles.append(loss)
    x = picture.astype(np.float64) / 255
    tv = np.mean((x[1:] - x[:-1]) ** 2) + np.mean((x[:, 1:] - x[:, :-1]) ** 2)
    return {"content": np.mean(content_loss), "style": np.mean(styles), "tv": tv}


def naive_style(received, target, relative, style_loss):
    if style_loss == "wasserstein":
        return naive_wasserstein(received, target, relative)
    if style_loss == "neighbors":
        return naive_neighbors(received, target)
    loss = naive_mse(naive_gram(received), naive_gram(target), relative)
    return loss + naive_shift(received, target, relative) * (style_loss == "moments")


def naive_wasserstein(received, target, relative):
    """The squared distance of Gaussians per channel, with its ridge, by matrix square roots."""
    flat, other = (
        each.reshape(-1, each.shape[-1]).astype(np.float64) for each in (received, target)
    )
    channels = flat.shape[1]
    covariance, target_covariance = (np.cov(each.T, bias=True) for each in (flat, other))
    ridge = (1e-3 * np.trace(target_covariance) / channels + 1e-8) * np.eye(channels)
    covariance, target_covariance = covariance + ridge, target_covariance + ridge
    root = scipy.linalg.sqrtm(target_covariance)
    cross = scipy.linalg.sqrtm(root @ covariance @ root).real
    distance = np.sum((flat.mean(0) - other.mean(0)) ** 2) + np.trace(
        covariance + target_covariance - 2 * cross
    )
    return distance / (np.sum(other**2) / len(other) if relative else channels)


def naive_neighbors(received, target):
    flat, other = (
        each.reshape(-1, each.shape[-1]).astype(np.float64) for each in (received, target)
    )
    mean = other.mean(0)
    total = 0.0
    for one in flat - mean:
        total += min(
            1 - one @ each / np.sqrt((one @ one + 1e-8) * (each @ each + 1e-8))
            for each in other - mean
        )
    return total / len(flat)


def naive_mse(received, target, relative):
    loss = np.mean((received - target) ** 2)
    return loss / np.mean(target**2) if relative else loss


def naive_gram(features):
    height, width, channels = features.shape
    out = np.zeros((channels, channels))
    for i in range(height):
        for j in range(width):
            out += np.outer(features[i, j], features[i, j])
    return out / (height * width)


def naive_shift(received, target, relative):
    mean, deviation = received.mean((0, 1)), received.std((0, 1))
    target_mean, target_deviation = target.mean((0, 1)), target.std((0, 1))
    shift = np.mean((mean - target_mean) ** 2 + (deviation - target_deviation) ** 2)
    return shift / np.mean(target_mean**2 + target_deviation**2) if relative else shift


def eye(engine, tile=0):
    """An engine's network of two convolutions, shown so much of a picture at a time."""
    network = engine.network
    features = engine.feature_function(LAYERS)
    return TiledFeatureExtractor(
        features, network.stride, network.receptive_field, TileAlignment(2, 4), tile
    )


def painted(measure, *paintings, place=lambda array: array):
    """What a measure keeps of paintings, each a share, features and perhaps weights.

    ``place`` makes the arrays that are looked at, such as tensors.
    """
    whole = sum(share for share, *_ in paintings)
    kept = []
    for number, (share, features, *weights) in enumerate(paintings):
        under = weights[0] if weights else None
        at = None
        if limit := measure.max_positions(share / whole):
            flat = None if under is None else [under[..., 0]]
            (where,) = select_positions([features.shape[:2]], flat, limit)
            at = np.where(where, np.arange(where.size).reshape(where.shape), -1)
        there = (None if each is None else place(each) for each in (features, under))
        kept.append((share, [measure.extract(StyleFeatures(*there, number, at))]))
    return measure.make_target(kept)


def placed(target, place):
    """A target whose arrays are all of one kind, as an engine has them."""
    return optree.tree_map(lambda each: each if is_tensor(each) else place(each), target)


def random_picture(height, width, seed):
    generator = np.random.default_rng(seed)
    return generator.uniform(0, 255, (height, width, 3)).astype(np.float32)
