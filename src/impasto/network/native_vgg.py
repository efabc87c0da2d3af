"""VGG by the compiled kernels: features, and the gradient by the image, in NumPy.

The network of :mod:`impasto.network.vgg` in float32, without a tensor library.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from impasto.compute.feature_reductions import AddGradient
from impasto.compute.native.kernels import Kernels, PreparedKernel
from impasto.network.weights import BGR_MEAN, Weights

Array = NDArray[np.float32]


class ConvolutionLayer(NamedTuple):
    """A convolution with its ReLU."""

    forward: PreparedKernel
    flipped: PreparedKernel
    """the kernel that the gradient is convolved with: rotated by 180 degrees, channels swapped"""
    bias: Array
    """(out,)"""

    def clear_cache(self) -> None:
        """Free the forms of the kernels that were prepared on first use."""
        self.forward.clear_cache()
        self.flipped.clear_cache()


@dataclass(frozen=True)
class NativeVGG:
    """A frozen network."""

    kernels: Kernels
    layers: Mapping[str, ConvolutionLayer | None]
    """by name, in order; None for a pooling"""
    average: bool
    """whether pooling is by average instead of maximum"""
    replicate: bool
    """whether convolutions pad with the values at the edge, else with zeros"""

    @classmethod
    def build(cls, kernels: Kernels, weights: Weights, pooling: str, padding: str) -> "NativeVGG":
        """Return the network of validated weights; see :func:`impasto.network.vgg.build_vgg`."""
        layers = {
            name: None if name.endswith("_pool") else _layer(kernels, weights, name)
            for name in weights.network.iter_layers()
        }
        return cls(kernels, layers, pooling == "avg", padding == "replicate")

    def features(
        self,
        image: Array,
        layers: Collection[str],
        reduce: Callable[[str, Array], Array] | None = None,
        keep_all: bool = False,
    ) -> dict[str, Array]:
        """Return the features of an image by layer, (height', width', C).

        Args:
            image: RGB in [0, 255], float32 (height, width, 3)
            layers: the layers to return
            reduce: (layer, features) -> a reduction of the features to return instead
            keep_all: return also all other layers up to the deepest, as :meth:`gradient` needs them
        """
        value, left, maps = preprocess(image), set(layers), {}
        for name, layer in self.layers.items():
            if left:
                value = self._forward(name, value)
                left.discard(name)
                if keep_all or name in layers:
                    maps[name] = value if reduce is None else reduce(name, value)
            elif layer is not None:  # deeper layers are not needed
                layer.clear_cache()
        return maps

    def gradient(self, maps: dict[str, Array], adds: dict[str, Sequence[AddGradient]]) -> Array:
        """Return the gradient by the image (height, width, 3), from gradients by features.

        ``maps`` are the features of all layers; ``adds`` has by layer functions that add the
        gradient by its features to what later layers contribute. Both are emptied from the deepest
        layer on, which frees memory early.
        """
        names, upstream = list(maps), None
        gradient = np.zeros((*maps[names[0]].shape[:2], 3), np.float32)
        while maps:
            name, features = maps.popitem()
            layer_adds = list(adds.pop(name, ()))
            if upstream is None and not layer_adds:
                continue  # no gradient comes from deeper layers
            upstream = np.zeros_like(features) if upstream is None else upstream
            while layer_adds:
                layer_adds.pop(0)(upstream)
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
    """Convert RGB in [0, 255] to BGR minus the mean, (height, width, 3)."""
    return image[..., ::-1] - np.array(BGR_MEAN, np.float32)


def _layer(kernels: Kernels, weights: Weights, name: str) -> ConvolutionLayer:
    kernel, bias = (weights.tensors[f"{name}/{part}"] for part in ("kernel", "bias"))
    flipped = np.flip(kernel, (0, 1)).swapaxes(2, 3)
    return ConvolutionLayer(
        kernels.prepare(kernel), kernels.prepare(flipped), np.asarray(bias, np.float32)
    )
