"""VGG as a frozen Keras model: named layers, preprocessing, features.

Simonyan and Zisserman 2015, "Very Deep Convolutional Networks for Large-Scale Image Recognition",
as in ``keras.applications``, truncated after the deepest layer in use.
"""

from collections.abc import Callable, Collection, Iterable
from typing import TypeAlias

from impasto.compute.arrays import Tensor
from impasto.compute.keras_backend import keras, ops
from impasto.network.weights import BGR_MEAN, Weights

Features: TypeAlias = Callable[..., dict[str, Tensor]]
"""(image (height, width, 3), layers=all) -> by layer, features (height', width', C)."""

_PADDING = ((0, 0), (1, 1), (1, 1), (0, 0))


def build_vgg(
    weights: Weights, layers: Iterable[str], pooling: str, precision: str, padding: str
) -> Features:
    """Return the function from an image to its features at ``layers``.

    Args:
        weights: the validated tensors of the network
        layers: names of Keras's layers, such as ``block4_conv2``
        pooling: ``max``, or ``avg``, which Gatys et al. 2016, section 2, found more appealing
        precision: dtype of the features, ``float32`` or ``bfloat16``
        padding: of every convolution: ``replicate`` repeats the values at the edge; ``zero`` as in
            the paper leaves a frame on results
    """
    names = tuple(dict.fromkeys(layers))
    model = _build_keras_model(weights, names, pooling, precision, padding)

    def features(image: Tensor, layers: Collection[str] = names) -> dict[str, Tensor]:
        value, left, maps = preprocess(image)[None], set(layers), {}
        for layer in model.layers[1:]:  # the first is the input
            if not left:  # deeper layers are not needed
                break
            value = layer(value)
            if layer.name in left:
                maps[layer.name] = ops.squeeze(value, 0)
                left.remove(layer.name)
        return maps

    return features


def preprocess(image: Tensor) -> Tensor:
    """Convert RGB in [0, 255] to BGR minus the mean, (height, width, 3)."""
    return ops.flip(image, axis=-1) - ops.convert_to_tensor(BGR_MEAN, dtype="float32")


def _build_keras_model(
    weights: Weights, names: Iterable[str], pooling: str, precision: str, padding: str
) -> keras.Model:
    """Build the network of ``keras.applications`` with given weights, frozen.

    ``keras.applications`` would initialize every kernel with random numbers first.
    """
    policy = {"float32": "float32", "bfloat16": "mixed_bfloat16"}[precision]
    pool = {"max": MaxPooling, "avg": keras.layers.AveragePooling2D}[pooling]

    def layer(name: str) -> keras.layers.Layer:
        named = {"name": name, "dtype": policy, "data_format": "channels_last"}
        if name.endswith("_pool"):
            return pool(2, 2, **named)
        channels = weights.tensors[f"{name}/kernel"].shape[-1]
        as_given = {"activation": "relu", "kernel_initializer": "zeros"}
        return PaddedConvolution(channels, 3, replicate=padding == "replicate", **as_given, **named)

    inputs = value = keras.Input((None, None, 3), name="image", dtype="float32")
    outputs: dict[str, Tensor] = {}
    for name in weights.network.iter_layers():
        if outputs.keys() >= set(names):  # deeper layers are not needed
            break
        value = outputs[name] = layer(name)(value)
    model = keras.Model(inputs, [outputs[name] for name in names], trainable=False)
    for made in model.layers:
        if isinstance(made, PaddedConvolution):
            made.set_weights(
                [weights.tensors[f"{made.name}/{part}"] for part in ("kernel", "bias")]
            )
    return model


class PaddedConvolution(keras.layers.Conv2D):
    """A 3 x 3 convolution and its ReLU, padded by one position."""

    def __init__(self, *arguments: object, replicate: bool, **options: object) -> None:
        """Pad with the values at the edge if ``replicate``, else with zeros."""
        super().__init__(*arguments, padding="valid", **options)
        self.replicate = replicate

    def call(self, inputs: Tensor) -> Tensor:
        """Convolve (1, height, width, channels); the result has the same height and width."""
        # Mirrored padding by one row repeats the row.
        mode = "symmetric" if self.replicate else "constant"
        return super().call(ops.pad(inputs, _PADDING, mode))


class MaxPooling(keras.layers.MaxPooling2D):
    """2 x 2 maximum pooling as a maximum over axes, so that equal values share the gradient.

    This holds on every backend and in the native engine. An odd last row or column is omitted, as
    in VGG.
    """

    def call(self, inputs: Tensor) -> Tensor:
        """Pool (1, height, width, channels)."""
        _, height, width, channels = ops.shape(inputs)
        rows, columns = height // 2, width // 2
        cut = inputs[:, : rows * 2, : columns * 2]
        return ops.max(ops.reshape(cut, (1, rows, 2, columns, 2, channels)), axis=(2, 4))
