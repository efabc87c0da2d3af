"""Distances of results on VGG19, which impasto does not optimize.

Zero is best; smaller is better.

    python -m benchmarks.heldout CONTENT STYLE PICTURE …
"""

import argparse
import functools
import json
from collections.abc import Callable, Mapping
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from impasto.evaluation import measures, networks
from impasto.images import arrays
from impasto.images.arrays import ImageArray
from impasto.images.formats import decode

Map: TypeAlias = NDArray[np.float32]
Maps: TypeAlias = Mapping[str, Map]

SIZE = 256
"""Longest side in pixels at which content is compared: what a person takes in at a glance."""

STRUCTURE_LAYER, CONTENT_LAYER = "block3_conv3", "block4_conv2"
STYLE_LAYERS = networks.VGG19_LAYERS


def measure(content: ImageArray, style: ImageArray, picture: ImageArray) -> dict[str, float]:
    """Return the distances of a picture from its photograph and its painting.

    content_structure : CFSD, see :func:`impasto.evaluation.measures.self_similarity`
    content_cosine : one minus the mean cosine of the features at the same position
    style_gram : relative mean squared difference of the Gram matrices, mean over five layers
    style_mean : the same of the features' means
    """
    small = [_at(each, SIZE) for each in (content, picture)]
    look = _network()
    photograph, seen = map(look, small)
    painting = look(arrays.resize(style, *_fitting(style, picture)))
    own = look(picture)
    return {
        "content_structure": measures.self_similarity(
            seen[STRUCTURE_LAYER], photograph[STRUCTURE_LAYER]
        ),
        "content_cosine": 1
        - float(np.mean(_cosines(photograph[CONTENT_LAYER], seen[CONTENT_LAYER]))),
        "style_gram": _mean_over_layers(_gram, own, painting),
        "style_mean": _mean_over_layers(_means, own, painting),
    }


def _cosines(a: Map, b: Map) -> Map:
    return np.einsum("hwc,hwc->hw", measures.normalize(a), measures.normalize(b))


def _gram(features: Map) -> Map:
    flat = features.reshape(-1, features.shape[-1])
    return np.divide(flat.T @ flat, len(flat), dtype=np.float32)


def _means(features: Map) -> Map:
    return features.mean(axis=(0, 1), dtype=np.float32)


def _mean_over_layers(statistic: Callable[[Map], Map], own: Maps, target: Maps) -> float:
    pairs = [(statistic(own[layer]), statistic(target[layer])) for layer in STYLE_LAYERS]
    return float(np.mean([np.mean((a - b) ** 2) / np.mean(b**2) for a, b in pairs]))


def _at(picture: ImageArray, longest: int) -> ImageArray:
    return arrays.resize(picture, *arrays.fit(*arrays.size_of(picture), longest))


def _fitting(style: ImageArray, picture: ImageArray) -> tuple[int, int]:
    return arrays.fit_area(*arrays.size_of(style), picture.shape[0] * picture.shape[1])


@functools.cache
def _network() -> networks.FeatureFunction:
    return networks.build_vgg19((*STYLE_LAYERS, STRUCTURE_LAYER, CONTENT_LAYER))


def measure_file(content: str, style: str, path: str) -> dict[str, float]:
    """Measure a picture file; the photograph is brought to its size, whatever was rounded."""
    picture = decode.read_image(path).pixels
    photograph = arrays.resize(decode.read_image(content).pixels, *arrays.size_of(picture))
    return measure(photograph, decode.read_image(style).pixels, picture)


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
