"""The network in Keras: its features against onnxruntime, its layers and their gradients."""

import importlib.util
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import ops

from impasto.compute import keras_backend
from impasto.network import vgg, weights
from tests import tiny

pytestmark = pytest.mark.backend

NETWORK = weights.NETWORKS["vgg16"]


@pytest.fixture(scope="module")
def loaded():
    return weights.load_weights()


@pytest.fixture(scope="module")
def picture():
    """A picture of the only size that the shipped graph takes."""
    y, x = np.mgrid[0:224, 0:224] / 224
    smooth = np.stack([x, y, 1 - x * y], axis=-1) * 200
    return (smooth + tiny.random_picture(224, 224, seed=3) / 5).astype(np.float32)


def numpy_features(loaded, picture, layers, **settings):
    settings = {"pooling": "max", "precision": "float32", "padding": "zero"} | settings
    features = vgg.build_vgg(loaded, layers, **settings)
    maps = features(ops.convert_to_tensor(picture))
    return {name: ops.convert_to_numpy(ops.cast(each, "float32")) for name, each in maps.items()}


def onnx_features(picture):
    """Run the shipped graph with every convolution's ReLU as an output, (1, C, h, w) each."""
    import onnx
    import onnxruntime

    package = next(each for each in NETWORK.packages if each.file.endswith(".onnx"))
    spec = importlib.util.find_spec(package.module)
    model = onnx.load(Path(spec.submodule_search_locations[0]) / package.file)
    relus = {
        node.output[0]: node.output[0].split("/")[1].removesuffix("_1")
        for node in model.graph.node
        if node.op_type == "Relu" and "/block" in node.output[0]
    }
    # What the graph itself does to a picture before the first convolution is not ours: begin there.
    first = next(node for node in model.graph.node if node.op_type == "Conv")
    shape = [1, 3, 224, 224]
    entry = onnx.helper.make_tensor_value_info(first.input[0], onnx.TensorProto.FLOAT, shape)
    outputs = [onnx.helper.make_empty_tensor_value_info(name) for name in relus]
    kept, known = [], {first.input[0], *(i.name for i in model.graph.initializer)}
    for node in model.graph.node:
        if all(name in known for name in node.input) and node.output[0] != first.input[0]:
            kept.append(node)
            known.update(node.output)
    graph = onnx.helper.make_graph(
        kept, "features", [entry], outputs, list(model.graph.initializer)
    )
    features = onnx.helper.make_model(
        graph, opset_imports=model.opset_import, ir_version=model.ir_version
    )
    session = onnxruntime.InferenceSession(features.SerializeToString())
    bgr = picture[..., ::-1] - np.asarray(weights.BGR_MEAN, np.float32)
    maps = session.run(None, {first.input[0]: bgr.transpose(2, 0, 1)[None]})
    return {
        name: each[0].transpose(1, 2, 0) for name, each in zip(relus.values(), maps, strict=True)
    }


def test_features_equal_those_of_onnxruntime_at_every_convolution(loaded, picture):
    expected = onnx_features(picture)
    assert set(expected) == set(NETWORK.convolutions)
    received = numpy_features(loaded, picture, NETWORK.convolutions)
    for layer in NETWORK.convolutions:
        error = np.linalg.norm(received[layer] - expected[layer]) / np.linalg.norm(expected[layer])
        assert error < 1e-4, layer


@pytest.mark.parametrize("name", ["vgg16", "vgg19"])
def test_the_layers_are_those_that_keras_has(name):
    kerass = getattr(keras.applications, name.upper())(weights=None, include_top=False)
    tensors = {}
    for layer in kerass.layers:
        if isinstance(layer, keras.layers.Conv2D):
            tensors[f"{layer.name}/kernel"] = np.broadcast_to(np.float32(0), layer.kernel.shape)
            tensors[f"{layer.name}/bias"] = np.zeros(layer.bias.shape, np.float32)
    network = weights.Weights(weights.NETWORKS[name], "", tensors)
    ours = vgg._build_keras_model(network, [kerass.layers[-1].name], "max", "float32", "zero")
    assert len(ours.layers) == len(kerass.layers)
    told = ("name", "filters", "kernel_size", "pool_size", "strides", "dilation_rate")
    for our, layer in zip(ours.layers[1:], kerass.layers[1:], strict=True):
        for each in told:
            assert getattr(our, each, None) == getattr(layer, each, None), (layer.name, each)
        assert isinstance(our, type(layer))
        activation = getattr(layer, "activation", None)
        assert getattr(our, "activation", None) is activation


def test_the_network_is_cut_off_after_the_deepest_layer_in_use(monkeypatch):
    made = []
    original = vgg.PaddedConvolution.build

    def build(layer, shape):
        made.append((shape[-1], layer.filters))
        original(layer, shape)

    monkeypatch.setattr(vgg.PaddedConvolution, "build", build)
    vgg.build_vgg(tiny.vgg(), ["block2_conv1"], "max", "float32", "zero")
    assert made == [(3, 8), (8, 8), (8, 12)]


def test_layers_that_are_not_asked_for_are_not_computed(monkeypatch):
    features = vgg.build_vgg(tiny.vgg(), ["block1_conv2", "block3_conv1"], "max", "float32", "zero")
    computed = []
    original = vgg.PaddedConvolution.call

    def call(layer, inputs):
        computed.append(layer.name)
        return original(layer, inputs)

    monkeypatch.setattr(vgg.PaddedConvolution, "call", call)
    found = features(ops.zeros((8, 8, 3)), layers=["block1_conv2"])
    assert list(found) == ["block1_conv2"]
    assert computed == ["block1_conv1", "block1_conv2"]


@pytest.mark.parametrize("layer", ["block1_conv1", "block3_conv2", "block2_pool", "block5_conv1"])
@pytest.mark.parametrize("padding", ["replicate", "zero"])
def test_a_map_has_the_size_that_its_stride_says(loaded, picture, layer, padding):
    received = numpy_features(loaded, picture[:70, :52], [layer], padding=padding)[layer]
    stride = loaded.network.stride(layer)
    assert received.shape[:2] == (70 // stride, 52 // stride)


def test_what_lies_beyond_the_edge_does_not_change_the_inside_of_a_picture(loaded, picture):
    layer = "block3_conv1"  # sees 12 pixels to every side
    plain = numpy_features(loaded, picture[:64, :64], [layer])[layer]
    replicated = numpy_features(loaded, picture[:64, :64], [layer], padding="replicate")[layer]
    np.testing.assert_allclose(replicated[4:-4, 4:-4], plain[4:-4, 4:-4], rtol=1e-3, atol=1e-2)
    assert not np.allclose(replicated[0], plain[0], rtol=1e-3, atol=1e-2)


def test_replicated_edges_keep_a_flat_picture_flat_and_zeros_frame_it(loaded):
    flat = np.full((48, 48, 3), 90, np.float32)

    def unevenness(padding):
        maps = numpy_features(loaded, flat, ["block3_conv1"], padding=padding)["block3_conv1"]
        return np.std(maps, axis=(0, 1)).max() / np.abs(maps).max()

    assert unevenness("replicate") < 1e-4
    assert unevenness("zero") > 0.01


def test_average_pooling_differs_from_maximum_and_only_after_the_first_pooling(loaded, picture):
    layers = ["block1_conv2", "block2_conv1"]
    largest = numpy_features(loaded, picture[:32, :32], layers)
    mean = numpy_features(loaded, picture[:32, :32], layers, pooling="avg")
    np.testing.assert_array_equal(mean["block1_conv2"], largest["block1_conv2"])
    assert np.mean(mean["block2_conv1"]) < np.mean(largest["block2_conv1"])


def test_bfloat16_features_are_close_to_float32(loaded, picture):
    layers = ["block1_conv1", "block4_conv2"]
    exact = numpy_features(loaded, picture[:48, :48], layers)
    rough = numpy_features(loaded, picture[:48, :48], layers, precision="bfloat16")
    for layer in layers:
        error = np.linalg.norm(rough[layer] - exact[layer]) / np.linalg.norm(exact[layer])
        assert 0 < error < 0.03, layer


def gradient(function, point):
    def loss(picture, constants):
        value = function(picture)
        return value, {"loss": value}

    return keras_backend.value_and_gradient(loss)(point, {})[2]


def convolution(kernel, bias, replicate=False):
    """A layer (1, height, width, in) to (1, height, width, out)."""
    settings = {"activation": "relu", "dtype": "float32", "data_format": "channels_last"}
    layer = vgg.PaddedConvolution(kernel.shape[-1], 3, replicate=replicate, **settings)
    layer.build((None, None, None, kernel.shape[2]))
    layer.set_weights([kernel, bias])
    return layer


@pytest.mark.parametrize("replicate", [True, False])
@pytest.mark.parametrize("size", [(6, 5), (1, 9)])
def test_a_convolution_and_its_gradient_are_those_of_the_naive_one(size, replicate):
    """For a linear A, <A x, y> = <x, Aᵀ y>; with a large bias the ReLU lets everything through."""
    upstream = np.random.default_rng(1).normal(size=(*size, 4)).astype(np.float32)
    picture = tiny.random_picture(*size, seed=2)
    layer = convolution(tiny.KERNELS[0], np.full(4, 1e3, np.float32), replicate)
    result = ops.convert_to_numpy(layer(ops.convert_to_tensor(picture[None])))[0]
    naive = tiny.naive_convolution(picture, tiny.KERNELS[0], replicate) + 1e3
    np.testing.assert_allclose(result, naive, rtol=1e-5)
    received = gradient(
        lambda picture: ops.sum(layer(picture[None])[0] * ops.convert_to_tensor(upstream)), picture
    )
    for seed in range(3):
        direction = np.random.default_rng(seed).normal(size=(*size, 3))
        expected = np.sum(tiny.naive_convolution(direction, tiny.KERNELS[0], replicate) * upstream)
        assert np.sum(received * direction) == pytest.approx(expected, rel=1e-3)


def test_the_gradient_of_a_convolution_passes_only_where_its_result_is_positive():
    picture = tiny.random_picture(6, 5, seed=2)
    layer = convolution(tiny.KERNELS[0], np.array([-1e4, 0, 0, 1e4], np.float32))
    for channel, expected in ((0, 0), (3, 1)):
        received = gradient(
            lambda picture, c=channel: ops.sum(layer(picture[None])[..., c]), picture
        )
        assert np.any(received) == expected


def test_the_gradient_of_maximum_pooling_goes_to_the_maximum_and_ties_share_it():
    picture = np.zeros((3, 4, 3), np.float32)
    picture[0, 1] = 5.0  # one maximum
    picture[0, 2] = picture[1, 3] = 7.0  # two equal ones
    received = gradient(lambda picture: ops.sum(vgg.MaxPooling(2, 2)(picture[None])), picture)
    expected = np.zeros_like(picture)
    expected[0, 1], expected[0, 2], expected[1, 3] = 1.0, 0.5, 0.5
    np.testing.assert_array_equal(received, expected)
