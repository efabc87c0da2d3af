"""The same loss and gradient as others compute it, and how fast the processor could.

All take five Gram layers and one content layer of VGG16 with the published weights, and return a
function from a picture, float32 (height, width, 3), to its gradient.
"""

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from impasto.network import weights
from impasto.pictures.raster import Picture

Gradient: TypeAlias = Callable[[Picture], NDArray[np.float32]]

CONTENT_LAYER = "block4_conv2"
STYLE_LAYERS = tuple(f"block{block}_conv1" for block in range(1, 6))
CONTENT_WEIGHT, STYLE_WEIGHT = 1.0, 2e-4
BGR_MEAN = np.array([103.939, 116.779, 123.68], np.float32)


def keras_eager(content: Picture, style: Picture) -> Gradient:
    """Return the way of the Keras tutorial: the stock model under a GradientTape, eagerly."""
    import tensorflow as tf

    model = stock_network((CONTENT_LAYER, *STYLE_LAYERS))
    target = model(_enter(content))[CONTENT_LAYER]
    grams = {name: _tensorflow_gram(model(_enter(style))[name]) for name in STYLE_LAYERS}

    def gradient(picture: Picture) -> NDArray[np.float32]:
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


def torch_features() -> tuple[Callable[[Any], dict[str, Any]], Callable[[Picture], Any]]:
    """Return the network as PyTorch's layers, and what turns a picture into its input."""
    import torch

    layers = _torch_layers()

    def features(x: Any) -> dict[str, Any]:
        maps = {}
        for name, layer in layers:
            x = layer(x)
            maps[name] = x
        return maps

    def enter(picture: Picture) -> Any:
        return torch.from_numpy(np.ascontiguousarray(_enter(picture).transpose(0, 3, 1, 2)))

    return features, enter


def torch_classic(content: Picture, style: Picture) -> Gradient:
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

    def gradient(picture: Picture) -> NDArray[np.float32]:
        x = enter(picture).requires_grad_(True)
        seen = features(x)
        mse = torch.nn.functional.mse_loss
        style_loss = sum(mse(gram(seen[name]), grams[name]) for name in STYLE_LAYERS)
        loss = CONTENT_WEIGHT * mse(seen[CONTENT_LAYER], target)
        (loss + STYLE_WEIGHT / len(STYLE_LAYERS) * style_loss).backward()
        assert x.grad is not None
        return np.asarray(x.grad)[0].transpose(1, 2, 0)[..., ::-1]

    return gradient


def forward_convolutions(dtype: str, last: str) -> Callable[[Picture], None]:
    """Return all convolutions up to the ``last`` and nothing else, compiled by TensorFlow.

    Twice their time is what one loss and gradient takes at least with these routines. Pooling is
    replaced by taking every second value, ReLU and bias are left out.
    """
    import tensorflow as tf

    loaded = weights.load()
    names = loaded.network.convolutions[: loaded.network.convolutions.index(last) + 1]
    kernels = [tf.cast(loaded.tensors[f"{name}/kernel"], dtype) for name in names]

    @tf.function(autograph=False)
    def run(x: Any) -> Any:
        for name, kernel in zip(names, kernels, strict=True):
            if name.endswith("conv1") and name != names[0]:
                x = x[:, ::2, ::2]
            x = tf.nn.conv2d(x, kernel, 1, "SAME")
        return x

    return lambda picture: run(tf.cast(_enter(picture), dtype)).numpy()


def _enter(picture: Picture) -> NDArray[np.float32]:
    return (picture[None, ..., ::-1] - BGR_MEAN).astype(np.float32)


def stock_network(layers: Iterable[str]) -> Any:
    """Return Keras's own VGG16 with the published weights, giving the layers by name."""
    import keras

    loaded = weights.load()
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

    loaded = weights.load()
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
