"""HED, holistically nested edge detection: a network trained on human-drawn outlines.

Xie and Tu 2015, "Holistically-Nested Edge Detection": a VGG16 trained on the outlines of
BSDS500, with one edge map for each of its five blocks, and a sixth that is their weighted sum.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from impasto.compute.arrays import to_numpy
from impasto.compute.keras_backend import ops
from impasto.images import arrays
from impasto.images.arrays import ImageArray
from impasto.network import vgg, weight_files, weights
from impasto.network.weight_files import Tensors

Edges: TypeAlias = NDArray[np.float32]
"""float32 (height, width) in [0, 1]: probability of an edge"""

LAYERS = ("block1_conv2", "block2_conv2", "block3_conv3", "block4_conv3", "block5_conv3")
"""The last convolution of each block, after its ReLU."""

SIDES = tuple(f"dsn{number}" for number in range(1, 6))
FUSE = "fuse"

BGR_MEAN = (104.00699, 116.66877, 122.67892)
"""The mean that HED was trained with; that of VGG16 differs by up to one."""

STRIDE = 16
"""Stride of the last block in pixels; images are padded to a multiple of it."""


def read_hed_weights(path: Path) -> Tensors:
    """Read the tensors by layer from a Keras file. Raises ValueError if one is missing."""
    layers = (*weights.NETWORKS["vgg16"].convolutions, *SIDES, FUSE)
    tensors = weight_files.read_weights(path, layers)
    missing = [each for each in layers if f"{each}/kernel" not in tensors]
    if missing:
        raise ValueError(f"has no tensor {missing[0]}/kernel")
    return tensors


def build_hed(tensors: Tensors) -> Callable[[ImageArray], Edges]:
    """Return the function from an image to its edge map, of the same size."""
    network = weights.Weights(weights.NETWORKS["vgg16"], "HED", tensors)
    features = vgg.build_vgg(network, LAYERS, "max", "float32", "zero")
    # In RGB, like images. The shift replaces the mean that the network subtracts.
    shift = np.subtract(weights.BGR_MEAN, BGR_MEAN, dtype=np.float32)[::-1]

    def edges(image: ImageArray) -> Edges:
        height, width = arrays.size_of(image)
        beyond = [(0, -size % STRIDE) for size in (height, width)]
        whole = np.pad(image, (*beyond, (0, 0)), mode="edge")
        by_layer = features(ops.convert_to_tensor(whole + shift))
        maps = [to_numpy(by_layer[layer]) for layer in LAYERS]
        return _fuse_sides(maps, tensors, arrays.size_of(whole))[:height, :width]

    return edges


def _fuse_sides(maps: list[NDArray[np.float32]], tensors: Tensors, size: tuple[int, int]) -> Edges:
    """Combine the edge maps of all blocks at the size of the first."""
    sides = [
        _enlarged(one @ tensors[f"{side}/kernel"][0, 0] + tensors[f"{side}/bias"], size)
        for one, side in zip(maps, SIDES, strict=True)
    ]
    logits = np.stack(sides, axis=-1) @ tensors[f"{FUSE}/kernel"][0, 0] + tensors[f"{FUSE}/bias"]
    return (1 / (1 + np.exp(-logits[..., 0]))).astype(np.float32)


def _enlarged(side: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """Enlarge a map (height, width, 1) to (height, width), bilinearly."""
    image = Image.fromarray(np.ascontiguousarray(side[..., 0], dtype=np.float32))
    return np.asarray(image.resize(size[::-1], Image.Resampling.BILINEAR))
