"""VGG in layers of Keras, frozen: named layers, preprocessing, features.

Simonyan and Zisserman 2015, "Very Deep Convolutional Networks for Large-Scale Image
Recognition", as ``keras.applications`` has it, cut off after the deepest layer in use.
"""

import time
import weakref
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from impasto.compute import backend, host, winograd
from impasto.compute.backend import (
    HostArray,
    Like,
    Shape,
    Tensor,
    Tensors,
    keras,
    ops,
)
from impasto.compute.readings import Reading, added, taken
from impasto.network.weights import Weights

Features: TypeAlias = Callable[..., dict[str, Tensor]]
"""(picture (height, width, 3), asked=all, readings={}) -> by layer, features (height', width', C).

Those of the layers that are ``asked`` for, of those that it was built for. Of ``readings``, several
for a layer, also what is read, under :func:`reading_of` both, where the network has it for less
than anyone after it.
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
        picture: Tensor,
        asked: Collection[str] = names,
        readings: Mapping[str, Sequence[Reading]] = NOTHING,
    ) -> dict[str, Tensor]:
        value, before, left = preprocess(picture)[None], "", set(asked)
        seen: dict[str, Tensor] = {}
        for name, stage in stages.items():
            if not left:  # what is deeper nobody asks for
                break
            if isinstance(stage, OnHost):
                wanted = readings.get(before, ())
                value, *found = stage.with_readings(value, wanted)
                seen.update(zip((reading_of(before, each) for each in wanted), found, strict=True))
            else:
                value = stage(value)
            if name in left:
                seen[name] = ops.squeeze(value, 0)
                left.remove(name)
            before = name
        return seen

    return features


NOTHING: Mapping[str, Sequence[Reading]] = MappingProxyType({})


def _stages(model: keras.Model, names: Iterable[str]) -> dict[str, Callable[[Tensor], Tensor]]:
    """Return what is done one after the other, by the name of the layer whose map it gives.

    A convolution and the pooling after it are one stage if nobody asks for what is between them.
    """
    stages: dict[str, Callable[[Tensor], Tensor]] = {}
    before = ""
    for layer in model.layers[1:]:  # the first is the input
        pooled = getattr(stages.get(before), "pooled", None)
        if pooled and isinstance(layer, MaxPooling) and before not in names:
            del stages[before]
            stages[layer.name] = pooled
        else:
            stages[layer.name] = _on_host(layer) or layer
        before = layer.name
    return stages


def _on_host(layer: keras.layers.Layer) -> "OnHost | None":
    computed = getattr(layer, "frozen", None)
    return computed if isinstance(computed, OnHost) else None


def reading_of(layer: str, reading: Reading) -> str:
    """Return the name that what is read off a layer has among the features."""
    return f"{layer}/{reading.name}"


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
    """Put the layers together that Keras's own network has, under their names.

    Not ``keras.applications``, which fills every kernel with random numbers first.
    """
    policy = {"float32": "float32", "bfloat16": "mixed_bfloat16"}[precision]
    pool = {"max": MaxPooling, "avg": keras.layers.AveragePooling2D}[pooling]

    def layer(name: str) -> keras.layers.Layer:
        named = {"name": name, "dtype": policy, "data_format": "channels_last"}
        if name.endswith("_pool"):
            return pool(2, 2, **named)
        channels = weights.tensors[f"{name}/kernel"].shape[-1]
        as_given = {"padding": "same", "activation": "relu", "kernel_initializer": "zeros"}
        return FrozenConvolution(channels, 3, **as_given, **named)

    inputs = value = keras.Input((None, None, 3), name="picture", dtype="float32")
    for name in weights.network.in_order():
        value = layer(name)(value)
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
        return _frozen_on_host(Kernels(*kernels), replicate)
    return _frozen_on_device(kernel, flipped, bias, replicate, dtype)


@dataclass(frozen=True)
class Kernels:
    """What a layer computes with in NumPy; made for winograd."""

    forward: winograd.Kernel
    flipped: winograd.Kernel
    bias: NDArray[np.float32]


Found: TypeAlias = tuple[HostArray, ...]
"""A layer's map, and after it what only its gradient needs."""
Gradient: TypeAlias = Callable[[HostArray, HostArray, Found, host.Add | None], HostArray]
"""(upstream, input, what was found, what is added to it or None) -> gradient by the input.

Without the batch of one that inputs and upstreams have as tensors."""


@dataclass(frozen=True)
class OnHost:
    """A layer that is computed in NumPy, with what is cheaper along with it.

    The maps of the first layers, and their gradients, are the largest arrays there are: what is
    only pooled is pooled at once, and the gradients of what is read off the features that the layer
    is given are added to theirs at once.
    """

    run: Callable[[HostArray], Found]
    """of an input (height, width, in)"""
    gradient: Gradient
    like: Callable[[Shape], Like]
    """the shape of an input of the same dtype, with its batch -> those of what ``run`` gives"""
    pooled: "OnHost | None" = None
    """the same layer with a maximum over 2 x 2 after it, where there is one"""
    kernels: Kernels | None = None
    """what it computes with, which lives as long as it does"""

    def __call__(self, inputs: Tensor) -> Tensor:
        """Return the layer's map of (1, height, width, in), (1, height', width', channels)."""
        return self.with_readings(inputs, ())[0]

    def with_readings(self, inputs: Tensor, readings: Sequence[Reading]) -> Tensors:
        """Return the layer's map, and what is read off the features that it is given."""
        run, gradient, like = self.run, self.gradient, self.like
        together, constants = added(readings), [x for each in readings for x in each.constants]

        def call(features: HostArray) -> Found:
            return tuple(each[None] for each in run(features[0]))

        count = len(readings) + len(constants)

        def call_back(features: HostArray, upstream: HostArray, *others: HostArray) -> HostArray:
            add = together(features[0], *others[:count])
            found = tuple(each[0] for each in others[count:])
            return gradient(upstream[0], features[0], found, add)[None]

        def forward(value: Tensor) -> tuple[Tensors, Tensors]:
            found = backend.call_host(call, like(backend.known_shape(value)), value)
            return (found[0], *taken(readings, value)), found

        def backward(upstream: Tensors, value: Tensor, found: Tensors) -> Tensor:
            same = [(backend.known_shape(value), backend.dtype_of(value))]
            given = (value, *upstream, *constants, *found)
            return backend.call_host(call_back, same, *given)[0]

        return backend.differentiable(forward, backward)(inputs)


def _frozen_on_host(kernels: Kernels, replicate: bool) -> OnHost:
    # TensorFlow never forgets a function that it called back: hundreds of megabytes of every
    # network that is gone, if these held on to what they compute with.
    known, channels = weakref.ref(kernels), kernels.bias.size

    def run(features: HostArray) -> Found:
        held = _still(known)
        return (winograd.layer(features, held.forward, held.bias, replicate),)

    def gradient(
        upstream: HostArray, features: HostArray, found: Found, add: host.Add | None
    ) -> HostArray:
        flipped = _still(known).flipped
        return winograd.layer_gradient(upstream, found[0], flipped, replicate, add)

    def run_pooled(features: HostArray) -> Found:
        held = _still(known)
        return winograd.pooled_layer(features, held.forward, held.bias, replicate)

    def pooled_gradient(
        upstream: HostArray, features: HostArray, found: Found, add: host.Add | None
    ) -> HostArray:
        size, flipped = features.shape[:2], _still(known).flipped
        return winograd.pooled_layer_gradient(upstream, found[1], size, flipped, replicate, add)

    def like(shape: Shape) -> Like:
        return [((*shape[:3], channels), "float32")]

    def like_pooled(shape: Shape) -> Like:
        return _pooled((*shape[:3], channels), "float32")

    pooled = OnHost(run_pooled, pooled_gradient, like_pooled, kernels=kernels)
    return OnHost(run, gradient, like, pooled, kernels)


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

    @property
    def frozen(self) -> OnHost | None:
        """What pools without a GPU."""
        dtype = self.compute_dtype
        return _pooling(dtype) if backend.gathered_on_host(dtype) else None

    def call(self, inputs: Tensor) -> Tensor:
        """Pool (1, height, width, channels); an odd last row or column is left out, as in VGG."""
        if self.frozen:
            return self.frozen(inputs)
        _, height, width, channels = ops.shape(inputs)
        rows, columns = height // 2, width // 2
        windows = ops.reshape(
            inputs[:, : rows * 2, : columns * 2], (1, rows, 2, columns, 2, channels)
        )
        return ops.max(windows, axis=(2, 4))


def _pooling(dtype: str) -> OnHost:
    def gradient(
        upstream: HostArray, features: HostArray, found: Found, add: host.Add | None
    ) -> HostArray:
        height, width, _ = features.shape
        return host.maximum_pool_gradient(upstream, found[1], height, width, add)

    return OnHost(host.maximum_pool, gradient, lambda shape: _pooled(shape, dtype))


def _pooled(shape: Shape, dtype: str) -> Like:
    """Return shapes and dtypes of a maximum over 2 x 2 and of where it was."""
    batch, height, width, channels = shape
    halved = (batch, height // 2, width // 2, channels)
    return [(halved, dtype), (halved, "uint8")]
