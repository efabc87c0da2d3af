"""EfficientNet-Lite0, frozen: a network whose architecture differs from VGG.

Tan and Le 2019, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", in the
variant for small devices: no squeeze and excitation, ReLU6, first and last layer of fixed width
(tensorflow/tpu, models/official/efficientnet/lite). Trained on ImageNet.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from impasto.compute.arrays import to_numpy
from impasto.compute.keras_backend import ops
from impasto.images.arrays import ImageArray
from impasto.network import torch_files

Tensor: TypeAlias = Any
Map: TypeAlias = NDArray[np.float32]
"""float32 (height, width, channels)"""

STRIDES = (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1)
"""Strides of the sixteen blocks; the layer before them also has a stride of 2."""

STAGES = {"stride 2": 0, "stride 4": 2, "stride 8": 4, "stride 16": 10, "stride 32": 15}
"""The last block at each stride in pixels; they have 16, 24, 40, 112 and 320 channels."""

MEAN, DEVIATION = 127.0, 128.0
"""Mean and deviation of the pixels in each channel, as in training."""

EPSILON = 1e-3
"""Added to variances, as in training."""

MAX_FILE_BYTES = 10**8
"""Maximum size of the file in bytes; it has 19 million."""


class Convolution(NamedTuple):
    """A convolution with its normalization folded into it."""

    kernel: Map
    """(height, width, in, out), or (height, width, channels, 1) for a depthwise convolution"""
    bias: NDArray[np.float32]


class Block(NamedTuple):
    """An inverted residual block: expansion, depthwise convolution, projection."""

    expand: Convolution | None
    depthwise: Convolution
    project: Convolution


class Lite0(NamedTuple):
    """The network up to its last block."""

    stem: Convolution
    blocks: tuple[Block, ...]


def load_lite0(path: Path) -> Lite0:
    """Read the network from a PyTorch file. Raises ValueError or KeyError for any other file."""
    return build_lite0(torch_files.read_state_dict(path, MAX_FILE_BYTES))


def build_lite0(state: Mapping[str, NDArray[Any]]) -> Lite0:
    """Build the network from a state dict with the names of efficientnet-lite-pytorch.

    Raises KeyError if one is missing.
    """
    blocks = []
    for number in range(len(STRIDES)):
        name = f"_blocks.{number}."
        wider = f"{name}_expand_conv.weight" in state
        blocks.append(
            Block(
                _folded(state, f"{name}_expand_conv", f"{name}_bn0") if wider else None,
                _folded(state, f"{name}_depthwise_conv", f"{name}_bn1"),
                _folded(state, f"{name}_project_conv", f"{name}_bn2"),
            )
        )
    return Lite0(_folded(state, "_conv_stem", "_bn0"), tuple(blocks))


def _folded(state: Mapping[str, NDArray[Any]], layer: str, norm: str) -> Convolution:
    """Return γ (w ∗ x − μ) / √(σ² + ε) + β as one convolution."""
    gain, shift, mean, variance = (
        state[f"{norm}.{part}"].astype(np.float64)
        for part in ("weight", "bias", "running_mean", "running_var")
    )
    scale = gain / np.sqrt(variance + EPSILON)
    kernel = (state[f"{layer}.weight"] * scale[:, None, None, None]).transpose(2, 3, 1, 0)
    if layer.endswith("depthwise_conv"):
        kernel = kernel.swapaxes(2, 3)
    return Convolution(
        np.ascontiguousarray(kernel, dtype=np.float32), (shift - mean * scale).astype(np.float32)
    )


def compute_features(network: Lite0, image: ImageArray) -> dict[str, Map]:
    """Return the features of an image at the end of each of STAGES, (height', width', C).

    They are linear, of either sign: a block ends without ReLU. The image is padded with zeros. If
    the padding is odd, the extra row is at the bottom and the extra column at the right, as in
    training ("SAME" in TensorFlow).
    """
    ends = {number: name for name, number in STAGES.items()}
    return {
        ends[number]: to_numpy(value)[0]
        for number, value in enumerate(_blocks(network, image))
        if number in ends
    }


def _blocks(network: Lite0, image: ImageArray) -> Iterator[Tensor]:
    """Yield the output of each block, (1, height, width, channels)."""
    value = ops.convert_to_tensor((image[None] - MEAN) / DEVIATION, dtype="float32")
    value = ops.relu6(_convolved(value, network.stem, 2))
    for block, stride in zip(network.blocks, STRIDES, strict=True):
        before = value
        if block.expand is not None:
            value = ops.relu6(_convolved(value, block.expand))
        value = ops.relu6(_convolved(value, block.depthwise, stride, depthwise=True))
        value = _convolved(value, block.project)
        if value.shape == before.shape:
            value = value + before
        yield value


def _convolved(
    value: Tensor, convolution: Convolution, stride: int = 1, depthwise: bool = False
) -> Tensor:
    """Convolve (1, height, width, in); ``depthwise`` convolves each channel by itself."""
    kernel = ops.convert_to_tensor(convolution.kernel)
    padding = [_padding(size, kernel.shape[0], stride) for size in value.shape[1:3]]
    value = ops.pad(value, ((0, 0), *padding, (0, 0)))
    convolve = ops.depthwise_conv if depthwise else ops.conv
    result = convolve(value, kernel, strides=stride, padding="valid", data_format="channels_last")
    return result + ops.convert_to_tensor(convolution.bias)


def _padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Return the padding before and after, so that ⌈size / stride⌉ positions remain.

    >>> _padding(224, 3, 2), _padding(225, 3, 2)
    ((0, 1), (1, 1))
    """
    whole = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return whole // 2, whole - whole // 2
