"""Compute the mean activations that ``impasto.network.activations`` keeps.

    python -m tools.activations

Means over the content samples at 512 px, with maximum pooling and zero padding. A channel that is
zero for all samples keeps its weights: its mean is set to 1.
"""

import importlib.resources

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

from impasto.compute.arrays import to_numpy
from impasto.compute.keras_backend import ops
from impasto.images import arrays, samples
from impasto.network import activations, vgg, weights

SIZE = 512


def measure(name: str) -> dict[str, NDArray[np.float32]]:
    """Return the mean of every channel of a network's convolutions over the content samples."""
    loaded = weights.load_weights(name)
    layers = loaded.network.convolutions
    features = vgg.build_vgg(loaded, layers, "max", "float32", "zero")
    sums: dict[str, NDArray[np.float64]] = {}
    for each in samples.CONTENTS:
        image = samples.load_content(each)
        small = arrays.resize(image, *arrays.fit(*arrays.size_of(image), SIZE))
        for layer, maps in features(ops.convert_to_tensor(small)).items():
            found = to_numpy(maps).mean(axis=(0, 1), dtype=np.float64)
            sums[layer] = sums.get(layer, 0.0) + found / len(samples.CONTENTS)
    return {
        f"{name}/{layer}": np.where(mean > 0, mean, 1.0).astype(np.float32)
        for layer, mean in sums.items()
    }


def main() -> None:
    """Write the file in the package."""
    whole = {key: mean for name in weights.NETWORKS for key, mean in measure(name).items()}
    with importlib.resources.as_file(
        importlib.resources.files("impasto.network") / activations.FILE
    ) as path:
        safetensors.numpy.save_file(whole, path)


if __name__ == "__main__":
    main()
