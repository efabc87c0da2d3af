"""VGG by the compiled kernels: features, and the gradient by the image, in NumPy.

The network of :mod:`impasto.network.vgg` in float32, without a tensor library.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from impasto.compute.native.kernels import Kernels, PreparedKernel
from impasto.network.weights import BGR_MEAN, Weights

Array = NDArray[np.float32]
AddGradient = Callable[[Array], None]
"""Adds a gradient by a layer's features (height, width, channels), in place."""


class ConvolutionLayer(NamedTuple):
    """A convolution with its ReLU."""

    forward: PreparedKernel
    flipped: PreparedKernel
    """the kernel that the gradient is convolved with: turned by 180 degrees, channels exchanged"""
    bias: Array
    """(out,)"""

    def forget(self) -> None:
        """Free the memory of what is prepared on first use."""
        self.forward.forget()
        self.flipped.forget()


@dataclass(frozen=True)
class NativeVGG:
    """A frozen network."""

    kernels: Kernels
    layers: Mapping[str, ConvolutionLayer | None]
    """by name, in the order in which an image passes them; None for a pooling"""
    average: bool
    """whether poolings take the average instead of the maximum"""
    replicate: bool
    """whether convolutions see the values at the edge once more, or zeros"""

    @classmethod
    def build(cls, kernels: Kernels, weights: Weights, pooling: str, padding: str) -> "NativeVGG":
        """Return the network of checked weights; see :func:`impasto.network.vgg.build_vgg`."""
        layers = {
            name: None if name.endswith("_pool") else _layer(kernels, weights, name)
            for name in weights.network.iter_layers()
        }
        return cls(kernels, layers, pooling == "avg", padding == "replicate")

    def features(
        self,
        image: Array,
        asked: Collection[str],
        reduce: Callable[[str, Array], Array] = lambda layer, features: features,
    ) -> dict[str, Array]:
        """Return by layer the features (height', width', C) of RGB in [0, 255] (height, width, 3).

        Those that are ``asked`` for, or what ``reduce`` keeps of them.
        """
        maps = self._maps(image, asked)
        return {name: reduce(name, features) for name, features in maps if name in asked}

    def trace(self, image: Array, asked: Collection[str]) -> dict[str, Array]:
        """Return the features of every layer up to the deepest that is asked for, in order."""
        return dict(self._maps(image, asked))

    def _maps(self, image: Array, asked: Collection[str]) -> Iterator[tuple[str, Array]]:
        value, left = preprocess(image), set(asked)
        for name, layer in self.layers.items():
            if left:
                value = self._forward(name, value)
                left.discard(name)
                yield name, value
            elif layer is not None:  # deeper layers are not needed
                layer.forget()

    def gradient(self, maps: dict[str, Array], adds: dict[str, Sequence[AddGradient]]) -> Array:
        """Return the gradient by the image (height, width, 3), from the gradients by features.

        ``maps`` are those of :meth:`trace`; ``adds`` by layer add what its features' gradient
        consists of besides what comes from the layer after it. Both are emptied from the deepest
        layer, so that memory is free as soon as nothing needs it.
        """
        names, upstream = list(maps), None
        gradient = np.zeros((*maps[names[0]].shape[:2], 3), np.float32)
        while maps:
            name, features = maps.popitem()
            own = list(adds.pop(name, ()))
            if upstream is None and not own:
                continue  # no gradient comes from deeper layers
            upstream = np.zeros_like(features) if upstream is None else upstream
            while own:
                own.pop(0)(upstream)
            before = maps[names[len(maps) - 1]] if maps else None
            upstream = self._backward(name, upstream, features, before)
        return gradient if upstream is None else np.ascontiguousarray(upstream[..., ::-1])

    def _forward(self, name: str, value: Array) -> Array:
        layer = self.layers[name]
        if layer is not None:
            return self.kernels.convolve(value, layer.forward, layer.bias, self.replicate)
        return self.kernels.block_mean(value, 2) if self.average else self.kernels.max_pool(value)

    def _backward(self, name: str, upstream: Array, output: Array, before: Array | None) -> Array:
        layer = self.layers[name]
        if layer is not None:
            return self.kernels.convolve_gradient(upstream, output, layer.flipped, self.replicate)
        assert before is not None  # the first layer is a convolution
        if self.average:
            gradient = np.zeros_like(before)
            self.kernels.add_block_mean_gradient(upstream, 2, gradient)
            return gradient
        return self.kernels.max_pool_gradient(upstream, before, output)


def preprocess(image: Array) -> Array:
    """Turn RGB in [0, 255] into BGR minus the mean, (height, width, 3)."""
    return image[..., ::-1] - np.array(BGR_MEAN, np.float32)


def _layer(kernels: Kernels, weights: Weights, name: str) -> ConvolutionLayer:
    kernel, bias = (weights.tensors[f"{name}/{part}"] for part in ("kernel", "bias"))
    flipped = np.flip(kernel, (0, 1)).swapaxes(2, 3)
    return ConvolutionLayer(
        kernels.prepare(kernel), kernels.prepare(flipped), np.asarray(bias, np.float32)
    )
