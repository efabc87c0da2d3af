"""How good a picture is, by measures that nothing optimized: on VGG19, which impasto never asked.

All are distances, zero for the best; smaller is better.

    python -m benchmarks.heldout CONTENT STYLE PICTURE …
"""

import argparse
import functools
import json
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from impasto.network import weights
from impasto.pictures import decode, raster
from impasto.pictures.raster import Picture

Map: TypeAlias = NDArray[np.float32]
Maps: TypeAlias = Mapping[str, Map]

SIZE = 256
"""Longest side in pixels at which content is compared: what a person takes in at a glance."""

STRUCTURE_LAYER, CONTENT_LAYER = "block3_conv3", "block4_conv2"
STYLE_LAYERS = tuple(f"block{block}_conv1" for block in range(1, 6))

TEMPERATURE = 0.1
"""Softens the similarities of patches into a distribution over all patches."""


def measure(content: Picture, style: Picture, picture: Picture) -> dict[str, float]:
    """Return the distances of a picture from its photograph and its painting.

    content_structure : CFSD, the content feature structural distance of Chung, Hyun and Heo 2024,
        "Style Injection in Diffusion", section 4.2: the Kullback-Leibler divergence of the
        distributions of similarity between patches. Departure: similarities are cosines divided
        by TEMPERATURE, since raw products put all weight on the patch itself.
    content_cosine : one minus the mean cosine of the features at the same position
    style_gram : relative mean squared difference of the Gram matrices, mean over five layers
    style_mean : the same of the features' means
    """
    small = [_at(each, SIZE) for each in (content, picture)]
    photograph, seen = (_features(each) for each in small)
    painting = _features(raster.resize(style, *_fitting(style, picture)))
    own = _features(picture)
    return {
        "content_structure": structural_distance(
            photograph[STRUCTURE_LAYER], seen[STRUCTURE_LAYER]
        ),
        "content_cosine": 1
        - float(np.mean(_cosines(photograph[CONTENT_LAYER], seen[CONTENT_LAYER]))),
        "style_gram": _mean_over_layers(_gram, own, painting),
        "style_mean": _mean_over_layers(_means, own, painting),
    }


def structural_distance(content: Map, picture: Map) -> float:
    """Return mean over patches of KL(content's similarities, picture's); maps (h, w, C)."""
    logs = [_log_similarities(each) for each in (content, picture)]
    return float(np.mean(np.sum(np.exp(logs[0]) * (logs[0] - logs[1]), axis=1)))


def _log_similarities(features: Map) -> Map:
    flat = _unit(features.reshape(-1, features.shape[-1]))
    scaled = flat @ flat.T / TEMPERATURE
    scaled -= scaled.max(axis=1, keepdims=True)
    return scaled - np.log(np.exp(scaled).sum(axis=1, keepdims=True))


def _unit(features: Map) -> Map:
    lengths = np.linalg.norm(features, axis=-1, keepdims=True)
    return np.divide(features, np.maximum(lengths, 1e-8), dtype=np.float32)


def _cosines(a: Map, b: Map) -> Map:
    return np.einsum("hwc,hwc->hw", _unit(a), _unit(b))


def _gram(features: Map) -> Map:
    flat = features.reshape(-1, features.shape[-1])
    return np.divide(flat.T @ flat, len(flat), dtype=np.float32)


def _means(features: Map) -> Map:
    return features.mean(axis=(0, 1), dtype=np.float32)


def _mean_over_layers(statistic: Callable[[Map], Map], own: Maps, target: Maps) -> float:
    pairs = [(statistic(own[layer]), statistic(target[layer])) for layer in STYLE_LAYERS]
    return float(np.mean([np.mean((a - b) ** 2) / np.mean(b**2) for a, b in pairs]))


def _at(picture: Picture, longest: int) -> Picture:
    return raster.resize(picture, *raster.fit(*raster.size_of(picture), longest))


def _fitting(style: Picture, picture: Picture) -> tuple[int, int]:
    return raster.fit_area(*raster.size_of(style), picture.shape[0] * picture.shape[1])


def _features(picture: Picture) -> dict[str, Map]:
    from impasto.compute.backend import ops, to_numpy

    maps = _network()(ops.convert_to_tensor(np.clip(picture, 0, 255)))
    return {name: to_numpy(each) for name, each in maps.items()}


@functools.cache
def _network() -> Any:
    from impasto.network import vgg

    layers = (*STYLE_LAYERS, STRUCTURE_LAYER, CONTENT_LAYER)
    return vgg.build(weights.load("vgg19"), layers, "max", "float32", "replicate")


def measure_file(content: str, style: str, path: str) -> dict[str, float]:
    """Measure a picture file; the photograph is brought to its size, whatever was rounded."""
    picture = decode.read(path).pixels
    photograph = raster.resize(decode.read(content).pixels, *raster.size_of(picture))
    return measure(photograph, decode.read(style).pixels, picture)


def main() -> None:
    """Print the measures of every picture as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("content")
    parser.add_argument("style")
    parser.add_argument("picture", nargs="+")
    arguments = parser.parse_args()
    for path in arguments.picture:
        print(path, json.dumps(measure_file(arguments.content, arguments.style, path)))


if __name__ == "__main__":
    main()
