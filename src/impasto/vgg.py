"""Keras's own VGG, frozen: named layers, preprocessing, features.

Simonyan and Zisserman 2015, "Very Deep Convolutional Networks for Large-Scale Image
Recognition", as built by ``keras.applications`` and cut off after the deepest layer in use.
"""

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from impasto.backend import keras, ops
from impasto.pictures import MARGIN
from impasto.weights import Weights

Tensor: TypeAlias = Any
Features: TypeAlias = Callable[[Tensor], dict[str, Tensor]]
"""picture (height, width, 3) -> by layer, features (height', width', channels)."""

BGR_MEAN = (103.939, 116.779, 123.68)
"""The mean of ImageNet's pixels, subtracted before the first layer (Caffe's convention)."""


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
    padding : ``mirror`` extends the picture by MARGIN mirrored pixels before the network sees it
        and cuts their features off, so that the zeros that convolutions pad with do not print a
        frame on the painting; ``zero`` leaves it at these, as in the paper
    """
    names = tuple(dict.fromkeys(layers))
    margin = MARGIN if padding == "mirror" else 0
    model = _frozen(weights, pooling, precision)
    outputs = [model.get_layer(name).output for name in names]
    cut = keras.Model(model.inputs, outputs, trainable=False)

    def features(picture: Tensor) -> dict[str, Tensor]:
        height, width, _ = ops.shape(picture)
        extended = mirror(picture) if margin else picture
        maps = cut(preprocess(extended)[None])
        maps = maps if isinstance(maps, (list, tuple)) else [maps]
        return {
            name: _inside(feature_map[0], stride(name), margin, height, width)
            for name, feature_map in zip(names, maps, strict=True)
        }

    return features


def stride(layer: str) -> int:
    """Return how many pixels apart the features of a layer lie, from names like block4_conv2."""
    block, kind = layer.removeprefix("block").split("_")
    return 2 ** (int(block) - (not kind.startswith("pool")))


def _inside(
    features: Tensor, stride: int, margin: int, height: int | Tensor, width: int | Tensor
) -> Tensor:
    """Cut the features of the picture itself out of those of the mirrored one."""
    start = margin // stride
    return features[start : start + height // stride, start : start + width // stride]


def mirror(picture: Tensor) -> Tensor:
    """Extend a (height, width, 3) picture by MARGIN pixels on all sides, mirrored at its edges."""
    for _ in ("rows", "columns"):
        above, below = ops.flip(picture[:MARGIN], axis=0), ops.flip(picture[-MARGIN:], axis=0)
        picture = ops.transpose(ops.concatenate((above, picture, below), axis=0), (1, 0, 2))
    return picture


def preprocess(picture: Tensor) -> Tensor:
    """Turn RGB in [0, 255] into BGR minus the mean, (height, width, 3)."""
    return ops.flip(picture, axis=-1) - ops.convert_to_tensor(BGR_MEAN, dtype="float32")


def _frozen(weights: Weights, pooling: str, precision: str) -> keras.Model:
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

    model = keras.models.clone_model(original, clone_function=clone)
    for name in weights.network.convolutions:
        tensors = [weights.tensors[f"{name}/{part}"] for part in ("kernel", "bias")]
        model.get_layer(name).freeze(*tensors)
    return model


class FrozenConvolution(keras.layers.Conv2D):
    """A 3 x 3 convolution whose kernel never changes; see :func:`frozen_convolution`."""

    def freeze(self, kernel: Any, bias: Any) -> None:
        """Set the weights for good: kernel (3, 3, in, out) and bias (out,), float32."""
        self.set_weights([kernel, bias])
        self._convolve = frozen_convolution(kernel, self.compute_dtype)

    def convolution_op(self, inputs: Tensor, kernel: Tensor) -> Tensor:
        """Convolve; before :meth:`freeze`, while the model is put together, as Keras does."""
        convolve = getattr(self, "_convolve", None)
        return convolve(inputs) if convolve else super().convolution_op(inputs, kernel)


def frozen_convolution(kernel: NDArray[np.float32], dtype: str) -> Callable[[Tensor], Tensor]:
    """Return the convolution of (1, height, width, in) with a constant kernel (3, 3, in, out).

    With a frozen kernel the gradient with respect to the input is itself a convolution, with
    the kernel flipped and its channels exchanged. The forward routine computes it in 0.4 to
    0.7 of the time that TensorFlow's own routine for input gradients takes on a processor
    (benchmarks/NOTES.md).
    """
    flipped = np.ascontiguousarray(np.flip(kernel, (0, 1)).swapaxes(2, 3))
    forward = ops.convert_to_tensor(kernel, dtype=dtype)
    backward = ops.convert_to_tensor(flipped, dtype=dtype)

    def convolve(inputs: Tensor, kernel: Tensor) -> Tensor:
        return ops.conv(inputs, kernel, padding="same", data_format="channels_last")

    @ops.custom_gradient
    def differentiable(inputs: Tensor) -> Any:
        def gradient(*arguments: Tensor, upstream: Tensor = None) -> Tensor:
            # On PyTorch Keras hands over the inputs, and the gradient by name; elsewhere it alone.
            return convolve(arguments[0] if upstream is None else upstream, backward)

        return convolve(inputs, forward), gradient

    return differentiable


class MaxPooling(keras.layers.MaxPooling2D):
    """2 x 2 maximum pooling, as a maximum over an axis.

    Its gradient runs on all cores, where TensorFlow's pooling gradient takes several times as
    long as the pooling, and equal values share it alike on every backend.
    """

    def call(self, inputs: Tensor) -> Tensor:
        """Pool (1, height, width, channels); an odd last row or column is left out, as in VGG."""
        _, height, width, channels = ops.shape(inputs)
        rows, columns = height // 2, width // 2
        windows = ops.reshape(
            inputs[:, : rows * 2, : columns * 2], (1, rows, 2, columns, 2, channels)
        )
        return ops.max(windows, axis=(2, 4))
