"""Keras's own VGG, frozen: named layers, preprocessing, features.

Simonyan and Zisserman 2015, "Very Deep Convolutional Networks for Large-Scale Image
Recognition", as built by ``keras.applications`` and cut off after the deepest layer in use.
"""

import time
import weakref
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from impasto import backend, processor, winograd
from impasto.backend import keras, ops
from impasto.weights import Weights

Tensor: TypeAlias = Any
Features: TypeAlias = Callable[[Tensor], dict[str, Tensor]]
"""picture (height, width, 3) -> by layer, features (height', width', channels)."""

BFLOAT16_GAIN = 1.2
"""How many times faster bfloat16 must be to be chosen, so that a machine always chooses alike."""

BGR_MEAN = (103.939, 116.779, 123.68)
"""The mean of ImageNet's pixels, subtracted before the first layer (Caffe's convention)."""


_ONE_AROUND = ((0, 0), (1, 1), (1, 1), (0, 0))


def build(
    weights: Weights, layers: Iterable[str], pooling: str, precision: str, padding: str
) -> Features:
    """Return the function that takes a picture to its features at ``layers``.

    Parameters
    ----------
    weights : the checked tensors of the network
    layers : names of Keras's layers, such as ``block4_conv2``
    pooling : ``max``, or ``avg``, which Gatys et al. 2016, section 2, found more appealing
    precision : dtype of the features, ``float32`` or ``bfloat16``
    padding : what every convolution sees beyond the edges: ``replicate``, the values at the
        edge once more; ``zero`` as in the paper, which prints a frame on the painting
    """
    names = tuple(dict.fromkeys(layers))
    model = _cut_off(_network(weights, pooling, precision), names)
    for layer in model.layers:
        if isinstance(layer, FrozenConvolution):
            kernel, bias = (weights.tensors[f"{layer.name}/{part}"] for part in ("kernel", "bias"))
            layer.freeze(kernel, bias, padding == "replicate")

    def features(picture: Tensor) -> dict[str, Tensor]:
        maps = model(preprocess(picture)[None])
        maps = maps if isinstance(maps, (list, tuple)) else [maps]
        return {name: feature_map[0] for name, feature_map in zip(names, maps, strict=True)}

    return features


def resolve_precision(precision: str) -> str:
    """Turn ``auto`` into float32 or bfloat16, by timing one layer in both, once."""
    if precision != "auto":
        return precision
    faster = _seconds("float32") > BFLOAT16_GAIN * _seconds("bfloat16")
    return "bfloat16" if faster else "float32"


def _seconds(precision: str) -> float:
    """Return the seconds of one layer of 128 channels at 128 x 128 px, the best of three."""
    features = ops.ones((1, 128, 128, 128), precision)
    kernel, bias = np.ones((3, 3, 128, 128), np.float32), np.ones(128, np.float32)
    layer = frozen(kernel, bias, True, precision)
    seconds = []
    for _ in range(4):
        start = time.perf_counter()
        ops.convert_to_numpy(ops.cast(layer(features)[0, 0, 0], "float32"))
        seconds.append(time.perf_counter() - start)
    return min(seconds[1:])


def preprocess(picture: Tensor) -> Tensor:
    """Turn RGB in [0, 255] into BGR minus the mean, (height, width, 3)."""
    return ops.flip(picture, axis=-1) - ops.convert_to_tensor(BGR_MEAN, dtype="float32")


def _network(weights: Weights, pooling: str, precision: str) -> keras.Model:
    application = getattr(keras.applications, weights.network.name.upper())
    original = application(weights=None, include_top=False)
    policy = {"float32": "float32", "bfloat16": "mixed_bfloat16"}[precision]
    replaced = {
        "Conv2D": FrozenConvolution,
        "MaxPooling2D": {"max": MaxPooling, "avg": keras.layers.AveragePooling2D}[pooling],
    }

    def clone(layer: keras.layers.Layer) -> keras.layers.Layer:
        kind = replaced.get(type(layer).__name__, type(layer))
        return kind.from_config({**layer.get_config(), "dtype": policy})

    return keras.models.clone_model(original, clone_function=clone)


def _cut_off(model: keras.Model, layers: Iterable[str]) -> keras.Model:
    outputs = [model.get_layer(name).output for name in layers]
    return keras.Model(model.inputs, outputs, trainable=False)


class FrozenConvolution(keras.layers.Conv2D):
    """A 3 x 3 convolution and its ReLU, whose kernel never changes; see :func:`frozen`."""

    def freeze(self, kernel: Any, bias: Any, replicate: bool) -> None:
        """Set the weights for good: kernel (3, 3, in, out) and bias (out,), float32."""
        self.set_weights([kernel, bias])
        self._frozen = frozen(kernel, bias, replicate, self.compute_dtype)

    def call(self, inputs: Tensor) -> Tensor:
        """Convolve; before :meth:`freeze`, while the model is put together, as Keras does."""
        layer = getattr(self, "_frozen", None)
        return layer(inputs) if layer else super().call(inputs)


def frozen(
    kernel: NDArray[np.float32], bias: NDArray[np.float32], replicate: bool, dtype: str
) -> Callable[[Tensor], Tensor]:
    """Return max(convolution + bias, 0) of (1, height, width, in) with a constant kernel.

    The input is continued by one position to every side, with the values at its edge if
    ``replicate``, else with zeros.

    With a frozen kernel (3, 3, in, out) the gradient with respect to the input is itself a
    convolution, with the kernel flipped and its channels exchanged. Keras's forward routine
    computes it in 0.4 to 0.7 of the time that TensorFlow's own routine for input gradients takes
    on a processor, and :mod:`impasto.winograd` in less (benchmarks/NOTES.md).
    """
    flipped = np.ascontiguousarray(np.flip(kernel, (0, 1)).swapaxes(2, 3))
    if backend.computed_on_host(dtype):
        return _frozen_on_host(kernel, flipped, bias, replicate)
    return _frozen_on_device(kernel, flipped, bias, replicate, dtype)


@dataclass(frozen=True)
class Kernels:
    """What a layer computes with in NumPy; made for winograd."""

    forward: Any
    flipped: Any
    bias: NDArray[np.float32]


def _frozen_on_host(kernel: Any, flipped: Any, bias: Any, replicate: bool) -> Any:
    kernels = Kernels(winograd.transform(kernel), winograd.transform(flipped), np.asarray(bias))
    channels = kernels.bias.size
    # TensorFlow never forgets a function that it called back: hundreds of megabytes of every
    # network that is gone, if these held on to what they compute with.
    known = weakref.ref(kernels)

    def run(features: Any) -> Any:
        held = _still(known)
        return winograd.layer(features[0], held.forward, held.bias, replicate)[None]

    def gradient(upstream: Any, features: Any, result: Any) -> Any:
        return winograd.layer_gradient(upstream[0], result[0], _still(known).flipped, replicate)[
            None
        ]

    convolve = backend.on_host(run, gradient, lambda shape: (*shape[:3], channels))

    def layer(inputs: Tensor, held: Kernels = kernels) -> Tensor:
        return convolve(inputs)

    return layer


def _still(known: "weakref.ref[Kernels]") -> Kernels:
    kernels = known()
    assert kernels is not None, "a layer was used after its network was gone"
    return kernels


def _frozen_on_device(kernel: Any, flipped: Any, bias: Any, replicate: bool, dtype: str) -> Any:
    kernel, flipped, bias = (ops.cast(each, dtype) for each in (kernel, flipped, bias))

    def forward(extended: Tensor) -> Tensor:
        return ops.relu(ops.conv(extended, kernel, data_format="channels_last") + bias)

    def gradient(upstream: Tensor, extended: Tensor, result: Tensor) -> Tensor:
        passed = ops.where(result > 0, upstream, ops.zeros_like(upstream))
        beyond = ops.pad(passed, _ONE_AROUND)
        return ops.conv(beyond, flipped, padding="same", data_format="channels_last")

    convolve = backend.differentiable(forward, gradient)

    def layer(inputs: Tensor) -> Tensor:
        # The mirror image of one row is that row again.
        return convolve(ops.pad(inputs, _ONE_AROUND, "symmetric" if replicate else "constant"))

    return layer


class MaxPooling(keras.layers.MaxPooling2D):
    """2 x 2 maximum pooling; equal values share its gradient alike on every backend.

    On a device as a maximum over an axis: TensorFlow's own pooling gradient takes several times
    as long as the pooling.
    """

    def call(self, inputs: Tensor) -> Tensor:
        """Pool (1, height, width, channels); an odd last row or column is left out, as in VGG."""
        if backend.computed_on_host(self.compute_dtype):
            return _pool_on_host(inputs)
        _, rows, columns, channels = _pooled(ops.shape(inputs))
        windows = ops.reshape(
            inputs[:, : rows * 2, : columns * 2], (1, rows, 2, columns, 2, channels)
        )
        return ops.max(windows, axis=(2, 4))


def _pooled(shape: tuple[Any, ...]) -> tuple[Any, ...]:
    batch, height, width, channels = shape
    return (batch, height // 2, width // 2, channels)


_pool_on_host = backend.on_host(
    lambda features: processor.maximum_pool(features[0])[None],
    lambda upstream, features, result: processor.maximum_pool_gradient(
        features[0], result[0], upstream[0]
    )[None],
    _pooled,
)
