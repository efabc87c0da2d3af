"""Loss and gradient of other implementations, and the speed of bare convolutions, for comparison.

All use five Gram layers and one content layer of VGG16 with the published weights. Each returns a
function from an image, float32 (height, width, 3), to its gradient.
"""

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from impasto.images.arrays import ImageArray
from impasto.network import weights

Gradient: TypeAlias = Callable[[ImageArray], NDArray[np.float32]]

CONTENT_LAYER = "block4_conv2"
STYLE_LAYERS = tuple(f"block{block}_conv1" for block in range(1, 6))
CONTENT_WEIGHT, STYLE_WEIGHT = 1.0, 2e-4
BGR_MEAN = np.array([103.939, 116.779, 123.68], np.float32)


def keras_eager(content: ImageArray, style: ImageArray) -> Gradient:
    """Return the way of the Keras tutorial: the stock model under a GradientTape, eagerly."""
    import tensorflow as tf

    model = stock_network((CONTENT_LAYER, *STYLE_LAYERS))
    target = model(_enter(content))[CONTENT_LAYER]
    grams = {name: _tensorflow_gram(model(_enter(style))[name]) for name in STYLE_LAYERS}

    def gradient(picture: ImageArray) -> NDArray[np.float32]:
        x = tf.constant(_enter(picture))
        with tf.GradientTape() as tape:
            tape.watch(x)
            seen = model(x)
            loss = CONTENT_WEIGHT * tf.reduce_mean((seen[CONTENT_LAYER] - target) ** 2)
            for name in STYLE_LAYERS:
                difference = _tensorflow_gram(seen[name]) - grams[name]
                loss += STYLE_WEIGHT / len(STYLE_LAYERS) * tf.reduce_mean(difference**2)
        return np.asarray(tape.gradient(loss, x))[0, ..., ::-1]

    return gradient


def torch_features() -> tuple[Callable[[Any], dict[str, Any]], Callable[[ImageArray], Any]]:
    """Return the network as PyTorch's layers, and what turns a picture into its input."""
    import torch

    layers = _torch_layers()

    def features(x: Any) -> dict[str, Any]:
        maps = {}
        for name, layer in layers:
            x = layer(x)
            maps[name] = x
        return maps

    def enter(picture: ImageArray) -> Any:
        return torch.from_numpy(np.ascontiguousarray(_enter(picture).transpose(0, 3, 1, 2)))

    return features, enter


def torch_classic(content: ImageArray, style: ImageArray) -> Gradient:
    """Return the way of the classic repositories: float32, (N, C, H, W), autograd."""
    import torch

    features, enter = torch_features()

    def gram(maps: Any) -> Any:
        flat = maps.reshape(maps.shape[1], -1)
        return flat @ flat.T / flat.shape[1]

    with torch.no_grad():
        target = features(enter(content))[CONTENT_LAYER]
        painting = features(enter(style))
        grams = {name: gram(painting[name]) for name in STYLE_LAYERS}

    def gradient(picture: ImageArray) -> NDArray[np.float32]:
        x = enter(picture).requires_grad_(True)
        seen = features(x)
        mse = torch.nn.functional.mse_loss
        style_loss = sum(mse(gram(seen[name]), grams[name]) for name in STYLE_LAYERS)
        loss = CONTENT_WEIGHT * mse(seen[CONTENT_LAYER], target)
        (loss + STYLE_WEIGHT / len(STYLE_LAYERS) * style_loss).backward()
        assert x.grad is not None
        return np.asarray(x.grad)[0].transpose(1, 2, 0)[..., ::-1]

    return gradient


Convolutions: TypeAlias = Callable[[ImageArray], object]


def native_convolutions(last: str) -> Convolutions:
    """Return all convolutions up to the ``last`` and their gradients, by the native engine."""
    from impasto.compute.native import kernels
    from impasto.network.native_vgg import NativeVGG

    network = NativeVGG.build(kernels.best_kernels(), weights.load_weights(), "max", "replicate")

    def run(picture: ImageArray) -> object:
        maps = network.features(picture, [last], keep_all=True)
        return network.gradient(maps, {last: [lambda gradient: gradient.fill(1.0)]})

    return run


def tensorflow_convolutions(last: str) -> Convolutions:
    """Return the same twice forward, compiled by TensorFlow.

    A gradient by the input costs what the convolution does. Pooling is replaced by taking every
    second value, ReLU and bias are left out.
    """
    import tensorflow as tf

    kernels = [tf.constant(kernel) for kernel in _kernels(last)]

    @tf.function(autograph=False)
    def run(x: Any) -> Any:
        for number, kernel in enumerate(kernels):
            x = tf.nn.conv2d(
                x if number not in _after_pools(last) else x[:, ::2, ::2], kernel, 1, "SAME"
            )
        return x

    return _twice(lambda picture: run(tf.constant(_enter(picture))).numpy())


def torch_convolutions(last: str) -> Convolutions:
    """Return the same twice forward, by PyTorch with channels last."""
    import torch

    kernels = [
        torch.from_numpy(np.ascontiguousarray(kernel.transpose(3, 2, 0, 1))).to(
            memory_format=torch.channels_last
        )
        for kernel in _kernels(last)
    ]

    def run(picture: ImageArray) -> object:
        x = torch.from_numpy(np.ascontiguousarray(_enter(picture).transpose(0, 3, 1, 2)))
        x = x.to(memory_format=torch.channels_last)
        with torch.no_grad():
            for number, kernel in enumerate(kernels):
                x = x[:, :, ::2, ::2] if number in _after_pools(last) else x
                x = torch.nn.functional.conv2d(x, kernel, padding=1)
        return x

    return _twice(run)


def onnxruntime_convolutions(last: str) -> Convolutions:
    """Return the same twice forward, by onnxruntime."""
    import onnx
    import onnxruntime
    from onnx import helper

    nodes, tensors, value = [], [], "x"
    for number, kernel in enumerate(_kernels(last)):
        if number in _after_pools(last):
            nodes.append(
                helper.make_node(
                    "MaxPool", [value], [f"p{number}"], kernel_shape=[2, 2], strides=[2, 2]
                )
            )
            value = f"p{number}"
        turned = np.ascontiguousarray(kernel.transpose(3, 2, 0, 1))
        tensors.append(onnx.numpy_helper.from_array(turned, f"k{number}"))
        nodes.append(helper.make_node("Conv", [value, f"k{number}"], [f"y{number}"], pads=[1] * 4))
        value = f"y{number}"
    given, found = (
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, None, None, None])
        for name in ("x", value)
    )
    graph = helper.make_graph(nodes, "convolutions", [given], [found], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    session = onnxruntime.InferenceSession(model.SerializeToString())

    def run(picture: ImageArray) -> object:
        x = np.ascontiguousarray(_enter(picture).transpose(0, 3, 1, 2))
        return session.run(None, {"x": x})

    return _twice(run)


CONVOLUTIONS: dict[str, Callable[[str], Convolutions]] = {
    "native": native_convolutions,
    "TensorFlow": tensorflow_convolutions,
    "PyTorch": torch_convolutions,
    "onnxruntime": onnxruntime_convolutions,
}
"""By library, the function from the last layer to all convolutions and their gradients."""


def products(operations: float) -> Convolutions:
    """Return matrix products of so many operations in all, by NumPy's BLAS on all cores.

    F(6 x 6, 3 x 3) needs 1 / 5.06 of a convolution's, F(4 x 4, 3 x 3) a quarter.
    """
    side = 2048
    one, other = np.random.default_rng(0).standard_normal((2, side, side), dtype=np.float32)
    rows = round(operations / (2 * side**2))
    pieces = [slice(first, min(first + side, rows)) for first in range(0, rows, side)]
    return lambda picture: [one[: each.stop - each.start] @ other for each in pieces]


def _kernels(last: str) -> list[NDArray[np.float32]]:
    loaded = weights.load_weights()
    return [loaded.tensors[f"{name}/kernel"] for name in _names(last)]


def _names(last: str) -> tuple[str, ...]:
    names = weights.NETWORKS["vgg16"].convolutions
    return names[: names.index(last) + 1]


def _after_pools(last: str) -> set[int]:
    """Return the numbers of the convolutions that a pooling comes before."""
    return {number for number, name in enumerate(_names(last)) if number and name.endswith("conv1")}


def _twice(run: Convolutions) -> Convolutions:
    return lambda picture: (run(picture), run(picture))


def _enter(picture: ImageArray) -> NDArray[np.float32]:
    return (picture[None, ..., ::-1] - BGR_MEAN).astype(np.float32)


def stock_network(layers: Iterable[str]) -> Any:
    """Return Keras's own VGG16 with the published weights, giving the layers by name."""
    import keras

    loaded = weights.load_weights()
    model = keras.applications.VGG16(weights=None, include_top=False)
    for name in loaded.network.convolutions:
        parts = [loaded.tensors[f"{name}/{part}"] for part in ("kernel", "bias")]
        model.get_layer(name).set_weights(parts)
    model.trainable = False
    return keras.Model(model.input, {name: model.get_layer(name).output for name in layers})


def _tensorflow_gram(features: Any) -> Any:
    import tensorflow as tf

    flat = tf.reshape(features, (-1, features.shape[-1]))
    return tf.matmul(flat, flat, transpose_a=True) / tf.cast(tf.shape(flat)[0], tf.float32)


def _torch_layers() -> list[tuple[str, Any]]:
    import torch

    loaded = weights.load_weights()
    layers: list[tuple[str, Any]] = []
    for name in loaded.network.convolutions:
        if name.endswith("conv1") and layers:
            layers.append((f"pool before {name}", torch.nn.MaxPool2d(2)))
        kernel = loaded.tensors[f"{name}/kernel"].transpose(3, 2, 0, 1)
        convolution = torch.nn.Conv2d(kernel.shape[1], kernel.shape[0], 3, padding=1)
        convolution.requires_grad_(False)
        convolution.weight.copy_(torch.from_numpy(np.ascontiguousarray(kernel)))
        convolution.bias.copy_(torch.from_numpy(loaded.tensors[f"{name}/bias"].copy()))
        layers.append((name, torch.nn.Sequential(convolution, torch.nn.ReLU())))
        if name == "block5_conv1":
            break
    return layers
