"""Keras's own VGG, frozen: named layers, preprocessing, features.

Simonyan and Zisserman 2015, "Very Deep Convolutional Networks for Large-Scale Image
Recognition", as built by ``keras.applications`` and cut off after the deepest layer in use.
"""

import time
import weakref
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from impasto.compute import backend, host, winograd
from impasto.compute.backend import (
    HostArray,
    HostFunction,
    Like,
    Shape,
    Tensor,
    Tensors,
    keras,
    ops,
)
from impasto.network.weights import Weights

Features: TypeAlias = Callable[..., dict[str, Tensor]]
"""(picture (height, width, 3), slices=0, asked=all) -> by layer, features (height', width', C).

Those of the layers that are ``asked`` for, of those that it was built for.

With slices also, under :func:`sums_of` a layer, the sums of its features over so many upright
slices (slices, channels + 1, channels) as ``host.sliced_moments`` gives them, where the
network has them for less than anyone after it.
"""

BFLOAT16_GAIN = 0.9
"""How many times as fast bfloat16 must be to be chosen.

In the middle between processors with instructions for it (1.3 and more) and without (0.6), so that
a machine always chooses alike, also while it is busy."""

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
    stages = _stages(model, names)

    def features(
        picture: Tensor, slices: int = 0, asked: Collection[str] = names
    ) -> dict[str, Tensor]:
        value, seen, before, left = preprocess(picture)[None], {}, "", set(asked)
        for name, stage in stages.items():
            if not left:  # what is deeper nobody asks for
                break
            if slices and before in seen and isinstance(stage, OnHost):
                value, seen[sums_of(before)] = stage.with_sums(value, slices)
            else:
                value = stage(value)
            if name in left:
                seen[name] = ops.squeeze(value, 0)
                left.remove(name)
            before = name
        return seen

    return features


def _stages(model: keras.Model, names: Iterable[str]) -> dict[str, Callable[[Tensor], Tensor]]:
    """Return what is done one after the other, by the name of the layer whose map it gives.

    A convolution and the pooling after it are one stage if nobody asks for what is between them.
    """
    stages: dict[str, Callable[[Tensor], Tensor]] = {}
    before = ""
    for layer in model.layers[1:]:  # the first is the input
        convolution = stages.get(before)
        alone = before in names or not isinstance(layer, MaxPooling)
        if isinstance(convolution, OnHost) and not alone:
            del stages[before]
            stages[layer.name] = replace(convolution, pooled=True)
        else:
            on_host = getattr(layer, "frozen", None)
            stages[layer.name] = on_host if isinstance(on_host, OnHost) else layer
        before = layer.name
    return stages


def sums_of(layer: str) -> str:
    """Return the name that a layer's sums have among the features."""
    return f"{layer}/sums"


def resolve_precision(precision: str) -> str:
    """Turn ``auto`` into float32 or bfloat16, by timing one layer in both, once.

    Not on a processor without instructions for bfloat16, which is slower there.
    """
    if precision != "auto":
        return precision
    if backend.on_processor() and not host.has_bfloat16():
        return "float32"
    layers = [_layer_to_time("float32"), _layer_to_time("bfloat16")]
    # In turn, so that whatever else the machine does hits both; the first round compiles.
    rounds = [[_seconds(layer) for layer in layers] for _ in range(5)]
    in_float32, in_bfloat16 = (min(seconds) for seconds in zip(*rounds[1:], strict=True))
    return "bfloat16" if in_float32 > BFLOAT16_GAIN * in_bfloat16 else "float32"


def _layer_to_time(precision: str) -> Callable[[], Tensor]:
    """Return a layer of 128 channels at 128 x 128 px, to be computed."""
    features = ops.ones((1, 128, 128, 128), precision)
    kernel, bias = np.ones((3, 3, 128, 128), np.float32), np.ones(128, np.float32)
    layer = frozen(kernel, bias, True, precision)
    return lambda: layer(features)


def _seconds(layer: Callable[[], Tensor]) -> float:
    start = time.perf_counter()
    ops.convert_to_numpy(ops.cast(layer()[0, 0, 0], "float32"))
    return time.perf_counter() - start


def preprocess(picture: Tensor) -> Tensor:
    """Turn RGB in [0, 255] into BGR minus the mean, (height, width, 3)."""
    return ops.flip(picture, axis=-1) - ops.convert_to_tensor(BGR_MEAN, dtype="float32")


def _network(weights: Weights, pooling: str, precision: str) -> keras.Model:
    application = getattr(keras.applications, weights.network.name.upper())
    original = application(weights=None, include_top=False)
    policy = {"float32": "float32", "bfloat16": "mixed_bfloat16"}[precision]
    pool = {"max": MaxPooling, "avg": keras.layers.AveragePooling2D}[pooling]

    # Not keras.models.clone_model, which imports TensorFlow whatever the backend.
    def clone(layer: keras.layers.Layer) -> keras.layers.Layer:
        named = {"name": layer.name, "dtype": policy, "data_format": "channels_last"}
        if isinstance(layer, keras.layers.Conv2D):
            return FrozenConvolution(
                layer.filters,
                layer.kernel_size,
                padding="same",
                activation="relu",
                kernel_initializer="zeros",  # random ones take their time, and are set anyway
                **named,
            )
        return pool(layer.pool_size, layer.strides, **named)

    name = original.layers[0].name
    inputs = value = keras.Input((None, None, 3), name=name, dtype="float32")
    for layer in original.layers[1:]:
        value = clone(layer)(value)
    return keras.Model(inputs, value)


def _cut_off(model: keras.Model, layers: Iterable[str]) -> keras.Model:
    outputs = [model.get_layer(name).output for name in layers]
    return keras.Model(model.inputs, outputs, trainable=False)


class FrozenConvolution(keras.layers.Conv2D):
    """A 3 x 3 convolution and its ReLU, whose kernel never changes; see :func:`frozen`."""

    frozen: "Frozen | None" = None

    def freeze(self, kernel: HostArray, bias: HostArray, replicate: bool) -> None:
        """Set the weights for good: kernel (3, 3, in, out) and bias (out,), float32."""
        self.set_weights([kernel, bias])
        self.frozen = frozen(kernel, bias, replicate, self.compute_dtype)

    def call(self, inputs: Tensor) -> Tensor:
        """Convolve; before :meth:`freeze`, while the model is put together, as Keras does."""
        return self.frozen(inputs) if self.frozen else super().call(inputs)


Frozen: TypeAlias = Callable[[Tensor], Tensor]


def frozen(
    kernel: NDArray[np.float32], bias: NDArray[np.float32], replicate: bool, dtype: str
) -> Frozen:
    """Return max(convolution + bias, 0) of (1, height, width, in) with a constant kernel.

    The input is continued by one position to every side, with the values at its edge if
    ``replicate``, else with zeros.

    With a frozen kernel (3, 3, in, out) the gradient with respect to the input is itself a
    convolution, with the kernel flipped and its channels exchanged. Keras's forward routine
    computes it in 0.4 to 0.7 of the time that TensorFlow's own routine for input gradients takes
    on a processor, and :mod:`impasto.compute.winograd` in less (benchmarks/NOTES.md).
    """
    flipped = np.ascontiguousarray(np.flip(kernel, (0, 1)).swapaxes(2, 3))
    if backend.computed_on_host(dtype):
        kernels = (winograd.transform(kernel), winograd.transform(flipped), np.asarray(bias))
        return OnHost(Kernels(*kernels), replicate)
    return _frozen_on_device(kernel, flipped, bias, replicate, dtype)


@dataclass(frozen=True)
class Kernels:
    """What a layer computes with in NumPy; made for winograd."""

    forward: winograd.Kernel
    flipped: winograd.Kernel
    bias: NDArray[np.float32]


@dataclass(frozen=True)
class OnHost:
    """A frozen layer that ``compute.winograd`` computes, with what is cheaper along with it.

    The maps of the first layers, and their gradients, are the largest arrays there are: what is
    only pooled is pooled at once, and the gradient of sums over the features that the layer is
    given is added to theirs at once.
    """

    kernels: Kernels
    replicate: bool
    pooled: bool = False
    """whether to give the maximum of every 2 x 2 instead of all values"""

    def __call__(self, inputs: Tensor) -> Tensor:
        """Return the layer's map of (1, height, width, in), (1, height', width', channels)."""
        run, gradient, like = self._functions()

        def backward(upstream: HostArray, features: HostArray, *found: HostArray) -> HostArray:
            return gradient(upstream, features, found, None)

        return backend.on_host(run, backward, like)(inputs)

    def with_sums(self, inputs: Tensor, slices: int) -> tuple[Tensor, Tensor]:
        """Return the layer's map, and sums over slices of what it was given; see ``Features``."""
        run, gradient, like = self._functions()
        channels = inputs.shape[-1]

        def sums(features: HostArray) -> HostArray:
            return host.sliced_moments(features[0], slices)

        def on_host(
            upstream: HostArray, sums: HostArray, features: HostArray, *found: HostArray
        ) -> HostArray:
            return gradient(upstream, features, found, sums if sums.any() else None)

        def forward(value: Tensor) -> tuple[Tensors, Tensors]:
            found = backend.call_host(run, like(ops.shape(value)), value)
            # A call of its own, which a compiled step leaves out where nobody asks for it.
            summed = backend.call_host(sums, [((slices, channels + 1, channels), "float32")], value)
            return (found[0], *summed), found

        def backward(upstream: Tensors, value: Tensor, found: Tensors) -> Tensor:
            same = [(ops.shape(value), "float32")]
            return backend.call_host(on_host, same, *upstream, value, *found)[0]

        result, summed = backend.differentiable(forward, backward)(inputs)
        return result, summed

    def _functions(self) -> tuple[HostFunction, "Gradient", Callable[[Shape], Like]]:
        """Return the layer in NumPy, its gradient, and the shapes and dtypes of what it gives."""
        # TensorFlow never forgets a function that it called back: hundreds of megabytes of every
        # network that is gone, if these held on to what they compute with.
        known = weakref.ref(self.kernels)
        replicate, pooled, channels = self.replicate, self.pooled, self.kernels.bias.size

        def run(features: HostArray) -> HostArray | tuple[HostArray, ...]:
            held = _still(known)
            arguments = features[0], held.forward, held.bias, replicate
            if pooled:
                return tuple(each[None] for each in winograd.pooled_layer(*arguments))
            return winograd.layer(*arguments)[None]

        def gradient(
            upstream: HostArray,
            features: HostArray,
            found: tuple[HostArray, ...],
            sums: HostArray | None,
        ) -> HostArray:
            flipped = _still(known).flipped
            add = None if sums is None else host.moments_gradient(features[0], sums)
            if pooled:
                _, winners = found
                size = features.shape[1:3]
                return winograd.pooled_layer_gradient(
                    upstream[0], winners[0], size, flipped, replicate, add
                )[None]
            return winograd.layer_gradient(upstream[0], found[0][0], flipped, replicate, add)[None]

        def like(shape: Shape) -> Like:
            shape = (*shape[:3], channels)
            return _pooled(shape) if pooled else [(shape, "float32")]

        return run, gradient, like


Gradient: TypeAlias = Callable[
    [HostArray, HostArray, tuple[HostArray, ...], HostArray | None], HostArray
]
"""(upstream, input, what the layer gave, upstream of the input's sums or None) -> gradient"""


def _still(known: "weakref.ref[Kernels]") -> Kernels:
    kernels = known()
    assert kernels is not None, "a layer was used after its network was gone"
    return kernels


def _frozen_on_device(
    kernel: HostArray, flipped: HostArray, bias: HostArray, replicate: bool, dtype: str
) -> Frozen:
    kernel, flipped, bias = (ops.cast(each, dtype) for each in (kernel, flipped, bias))

    def forward(extended: Tensor) -> tuple[Tensors, Tensors]:
        result = ops.relu(ops.conv(extended, kernel, data_format="channels_last") + bias)
        return (result,), (ops.stop_gradient(result),)

    def gradient(upstream: Tensors, extended: Tensor, kept: Tensors) -> Tensor:
        beyond = ops.pad(backend.relu_gradient(upstream[0], kept[0]), _ONE_AROUND)
        return ops.conv(beyond, flipped, padding="same", data_format="channels_last")

    convolve = backend.differentiable(forward, gradient)

    def layer(inputs: Tensor) -> Tensor:
        # The mirror image of one row is that row again.
        return convolve(ops.pad(inputs, _ONE_AROUND, "symmetric" if replicate else "constant"))[0]

    return layer


class MaxPooling(keras.layers.MaxPooling2D):
    """2 x 2 maximum pooling; equal values share its gradient alike on every backend.

    On a device as a maximum over an axis: TensorFlow's own pooling gradient takes several times
    as long as the pooling.
    """

    def call(self, inputs: Tensor) -> Tensor:
        """Pool (1, height, width, channels); an odd last row or column is left out, as in VGG."""
        dtype = self.compute_dtype
        if backend.gathered_on_host(dtype):
            return backend.on_host(_pool, _pool_gradient, lambda shape: _pooled(shape, dtype))(
                inputs
            )
        _, height, width, channels = ops.shape(inputs)
        rows, columns = height // 2, width // 2
        windows = ops.reshape(
            inputs[:, : rows * 2, : columns * 2], (1, rows, 2, columns, 2, channels)
        )
        return ops.max(windows, axis=(2, 4))


def _pooled(shape: Shape, dtype: str = "float32") -> list[tuple[Shape, str]]:
    """Return shapes and dtypes of a maximum over 2 x 2 and of where it was."""
    batch, height, width, channels = shape
    halved = (batch, height // 2, width // 2, channels)
    return [(halved, dtype), (halved, "uint8")]


def _pool(features: HostArray) -> tuple[HostArray, ...]:
    return tuple(each[None] for each in host.maximum_pool(features[0]))


def _pool_gradient(
    upstream: HostArray, features: HostArray, _: HostArray, winners: HostArray
) -> HostArray:
    height, width = features.shape[1:3]
    return host.maximum_pool_gradient(upstream[0], winners[0], height, width)[None]
