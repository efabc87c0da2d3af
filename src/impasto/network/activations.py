"""Networks rescaled so that all channels have the same mean activation.

Gatys, Ecker and Bethge 2016, "Image Style Transfer Using Convolutional Neural Networks", section
2: the weights are rescaled so that the mean activation of each filter over images and positions is
one. Convolution, ReLU and pooling preserve a positive factor, so the next layer can undo it; only
the scale of the features changes.

Departures: the means are over the content samples of impasto, not over ImageNet. So few images
hardly activate some channels, which would then dominate all others. Therefore a mean is at least
MIN_ACTIVATION times the median of its layer.
"""

from collections.abc import Mapping
from dataclasses import replace
from importlib import resources

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

from impasto.network.weights import Weights

Means = Mapping[str, NDArray[np.float32]]
"""By convolution, the positive mean of every channel (C,)."""

MIN_ACTIVATION = 0.1
"""Minimum mean of a channel relative to the median of its layer (benchmarks/NOTES.md)."""

FILE = "activations.safetensors"
"""The means by network and convolution; written by ``python -m tools.activations``."""


def mean_activations(name: str) -> dict[str, NDArray[np.float32]]:
    """Return the mean activations of a network over content images, by convolution (C,)."""
    stored = safetensors.numpy.load((resources.files(__package__) / FILE).read_bytes())
    return {
        key.removeprefix(f"{name}/"): mean
        for key, mean in stored.items()
        if key.startswith(f"{name}/")
    }


def rescaling_means(name: str) -> dict[str, NDArray[np.float32]]:
    """Return the divisors of a network's weights: its mean activations, with a minimum."""
    return {
        layer: np.maximum(mean, np.float32(MIN_ACTIVATION * np.median(mean)))
        for layer, mean in mean_activations(name).items()
    }


def normalize_weights(weights: Weights, means: Means) -> Weights:
    """Return weights with which every channel is divided by its mean.

    Kernels (height, width, C, C') are multiplied by the means of the C input channels, and, as the
    biases, divided by those of the C' output channels.
    """
    tensors = dict(weights.tensors)
    before = np.ones(3, np.float32)
    for layer in weights.network.convolutions:
        kernel, bias = f"{layer}/kernel", f"{layer}/bias"
        after = means[layer]
        tensors[kernel] = tensors[kernel] * before[:, None] / after
        tensors[bias] = tensors[bias] / after
        before = after
    return replace(weights, tensors=tensors)
