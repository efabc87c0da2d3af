"""Features of images on the networks used for evaluation.

EfficientNet-Lite0 is unrelated to the VGG16 that the losses use. VGG19 has a similar architecture
but was trained separately, and style has been evaluated on it since Gatys et al. HED computes
outlines.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from impasto.compute.arrays import to_numpy
from impasto.compute.keras_backend import ops
from impasto.evaluation import edges, lite0, weight_packages
from impasto.images import colors
from impasto.images.arrays import ImageArray
from impasto.network import vgg, weights

Map: TypeAlias = NDArray[np.float32]
"""float32 (height, width, channels)"""

FeatureFunction: TypeAlias = Callable[[ImageArray], dict[str, Map]]
"""A function from an image to its features by name."""

VGG19_LAYERS = tuple(f"block{block}_conv1" for block in range(1, 6))
"""The style layers of Gatys et al. 2016, with strides of 1 to 16."""


class JudgeFeatures(NamedTuple):
    """Features of an image on all networks."""

    colors: Map
    """in CIELAB, (height, width, 3)"""
    lite0: Mapping[str, Map]
    """by stage"""
    vgg19: Mapping[str, Map]
    """by layer"""
    edges: NDArray[np.float32]
    """(height, width), in [0, 1]"""


class JudgeNetworks:
    """The evaluation networks, loaded once."""

    def __init__(self) -> None:
        """Load the networks. Raises WeightsError with the command to install missing weights."""
        weight_packages.check_packages()
        self._vgg19 = build_vgg19(VGG19_LAYERS)
        self._lite0 = lite0.load_lite0(weight_packages.find_weights(weight_packages.LITE0))
        self._edges = edges.build_hed(
            edges.read_hed_weights(weight_packages.find_weights(weight_packages.HED))
        )

    def compute_features(self, image: ImageArray) -> JudgeFeatures:
        """Return the features of an image of any size."""
        return JudgeFeatures(
            colors.to_lab(image).astype(np.float32),
            lite0.compute_features(self._lite0, image),
            self._vgg19(image),
            self._edges(image),
        )


def build_vgg19(layers: tuple[str, ...]) -> FeatureFunction:
    """Return the function from an image to its features on VGG19, after the ReLU.

    Raises WeightsError, which says what to install, if weights are missing.
    """
    vgg19 = weights.load_weights("vgg19")
    features = vgg.build_vgg(vgg19, layers, "max", "float32", "replicate")

    def compute(image: ImageArray) -> dict[str, Map]:
        maps = features(ops.convert_to_tensor(np.clip(image, 0, 255)))
        return {layer: to_numpy(maps[layer]) for layer in layers}

    return compute
