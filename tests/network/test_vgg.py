"""The real network: its features against onnxruntime, and the gradients written for it."""

import functools
import importlib.util
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import ops

from impasto.compute import backend, readings
from impasto.losses import moments as losses
from impasto.losses.terms import Seen
from impasto.network import vgg, weights
from tests import tiny

pytestmark = pytest.mark.backend

NETWORK = weights.NETWORKS["vgg16"]


@pytest.fixture(scope="module")
def loaded():
    return weights.load()


@pytest.fixture(scope="module")
def picture():
    """A picture of the only size that the shipped graph takes."""
    y, x = np.mgrid[0:224, 0:224] / 224
    smooth = np.stack([x, y, 1 - x * y], axis=-1) * 200
    return (smooth + tiny.random_picture(224, 224, seed=3) / 5).astype(np.float32)


def numpy_features(loaded, picture, layers, **settings):
    settings = {"pooling": "max", "precision": "float32", "padding": "zero"} | settings
    features = vgg.build(loaded, layers, **settings)
    maps = features(ops.convert_to_tensor(picture))
    return {name: ops.convert_to_numpy(ops.cast(each, "float32")) for name, each in maps.items()}


def onnx_features(picture):
    """Run the shipped graph with every convolution's ReLU as an output, (1, C, h, w) each."""
    import onnx
    import onnxruntime

    spec = importlib.util.find_spec(NETWORK.package)
    model = onnx.load(Path(spec.submodule_search_locations[0]) / NETWORK.package_file)
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
    bgr = picture[..., ::-1] - np.asarray(vgg.BGR_MEAN, np.float32)
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
    kernels = {
        f"{layer.name}/kernel": np.broadcast_to(np.float32(0), layer.kernel.shape)
        for layer in kerass.layers
        if isinstance(layer, keras.layers.Conv2D)
    }
    ours = vgg._network(weights.Weights(weights.NETWORKS[name], "", kernels), "max", "float32")
    assert len(ours.layers) == len(kerass.layers)
    told = ("name", "filters", "kernel_size", "pool_size", "strides", "padding", "dilation_rate")
    for our, layer in zip(ours.layers[1:], kerass.layers[1:], strict=True):
        for each in told:
            assert getattr(our, each, None) == getattr(layer, each, None), (layer.name, each)
        assert isinstance(our, type(layer))
        activation = getattr(layer, "activation", None)
        assert getattr(our, "activation", None) is activation


def test_the_network_is_cut_off_after_the_deepest_layer_in_use(loaded, monkeypatch):
    channels = []

    def frozen(kernel, *others):
        channels.append(kernel.shape[2:])
        return original(kernel, *others)

    original = vgg.frozen
    monkeypatch.setattr(vgg, "frozen", frozen)
    vgg.build(loaded, ["block2_conv1"], "max", "float32", "zero")
    assert channels == [(3, 64), (64, 64), (64, 128)]


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


def test_a_precision_that_was_named_is_kept_and_auto_chooses_one():
    assert vgg.resolve_precision("bfloat16") == "bfloat16"
    assert vgg.resolve_precision("float32") == "float32"
    assert vgg.resolve_precision("auto") in ("float32", "bfloat16")


@pytest.mark.parametrize(
    ("in_bfloat16", "chosen"), [(0.7, "bfloat16"), (1.0, "bfloat16"), (1.6, "float32")]
)
def test_auto_takes_bfloat16_where_there_are_instructions_for_it(monkeypatch, in_bfloat16, chosen):
    # A round that something else slowed down does not count.
    seconds = {"float32": iter([9, 1.0, 5, 1.2, 1.1]), "bfloat16": iter([9, 7, in_bfloat16, 3, 8])}
    monkeypatch.setattr(vgg, "_layer_to_time", lambda precision: precision)
    monkeypatch.setattr(vgg, "_seconds", lambda precision: next(seconds[precision]))
    monkeypatch.setattr(vgg.host, "has_bfloat16", lambda: True)
    assert vgg.resolve_precision("auto") == chosen


def test_auto_takes_no_time_where_there_are_no_instructions_for_bfloat16(monkeypatch):
    monkeypatch.setattr(vgg, "_seconds", lambda _: pytest.fail("a layer was timed"))
    monkeypatch.setattr(vgg.backend, "on_processor", lambda: True)
    monkeypatch.setattr(vgg.host, "has_bfloat16", lambda: False)
    assert vgg.resolve_precision("auto") == "float32"


def gradient(function, point):
    def loss(picture, constants):
        value = function(picture)
        return value, {"loss": value}

    return backend.value_and_gradient(loss)(point, {})[2]


@pytest.mark.parametrize("replicate", [True, False])
@pytest.mark.parametrize("size", [(6, 5), (1, 9)])
def test_a_frozen_layer_and_its_gradient_are_those_of_the_naive_one(size, replicate):
    """For a linear A, <A x, y> = <x, Aᵀ y>; with a large bias the ReLU lets everything through."""
    upstream = np.random.default_rng(1).normal(size=(*size, 4)).astype(np.float32)
    picture = tiny.random_picture(*size, seed=2)
    layer = tiny.layer(tiny.KERNELS[0], np.full(4, 1e3, np.float32), replicate)
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


def test_the_gradient_of_a_frozen_layer_passes_only_where_its_result_is_positive():
    picture = tiny.random_picture(6, 5, seed=2)
    layer = tiny.layer(tiny.KERNELS[0], np.array([-1e4, 0, 0, 1e4], np.float32))
    for channel, expected in ((0, 0), (3, 1)):
        received = gradient(
            lambda picture, c=channel: ops.sum(layer(picture[None])[..., c]), picture
        )
        assert np.any(received) == expected


@pytest.mark.parametrize(("precision", "tolerance"), [("float32", 1e-3), ("bfloat16", 0.02)])
def test_the_device_computes_what_the_host_computes(
    loaded, picture, monkeypatch, precision, tolerance
):
    """On a GPU Keras's own operations run; here they can be made to."""
    layers = ["block1_conv1", "block2_pool", "block3_conv2"]
    small = picture[:37, :50]

    def evaluate():
        features = vgg.build(loaded, layers, "max", precision, "replicate")

        def total(picture):
            return sum(ops.sum(ops.cast(each, "float32")) for each in features(picture).values())

        maps = numpy_features(loaded, small, layers, padding="replicate", precision=precision)
        return maps, gradient(total, small)

    on_host, gradient_on_host = evaluate()
    for asked in ("computed_on_host", "gathered_on_host"):
        monkeypatch.setattr(backend, asked, lambda dtype: False)
    on_device, gradient_on_device = evaluate()
    for name in layers:
        np.testing.assert_allclose(on_host[name], on_device[name], rtol=tolerance, atol=1e-2)
    error = np.linalg.norm(gradient_on_host - gradient_on_device)
    assert error < tolerance * np.linalg.norm(gradient_on_device)


def test_the_gradient_of_maximum_pooling_goes_to_the_maximum_and_ties_share_it():
    picture = np.zeros((3, 4, 3), np.float32)
    picture[0, 1] = 5.0  # one maximum
    picture[0, 2] = picture[1, 3] = 7.0  # two equal ones
    received = gradient(lambda picture: ops.sum(vgg.MaxPooling(2, 2)(picture[None])), picture)
    expected = np.zeros_like(picture)
    expected[0, 1], expected[0, 2], expected[1, 3] = 1.0, 0.5, 0.5
    np.testing.assert_array_equal(received, expected)


SIDES = {"block1_conv1": (61, 50), "block2_conv1": (30, 25), "block2_conv2": (30, 25)}
CHANNELS = {"block1_conv1": 64, "block2_conv1": 128, "block2_conv2": 128}


def read_of(layer, kind):
    rows, columns = (side // 3 for side in SIDES[layer])
    grid = ops.convert_to_tensor(np.array([1, 2, 3, rows, columns], np.int32))
    kinds = {
        "means": readings.means(2),
        "thinned": readings.thinned(grid, ops.zeros((rows, columns, 1))),
        "moments": losses.sliced(3),
    }
    return kinds[kind]


@pytest.mark.parametrize("kind", ["means", "thinned", "moments"])
@pytest.mark.parametrize("layer", SIDES)
def test_what_is_read_on_the_way_is_what_is_read_afterwards(loaded, picture, layer, kind):
    """Off a layer before a pooled one, before another, before pooling; also beside another.

    Both parts of the gradient are of one size, so that neither can be missing.
    """
    build = functools.partial(
        vgg.build, loaded, pooling="max", precision="float32", padding="replicate"
    )
    layers = (layer, "block3_conv1")
    together, apart = build(layers), build([*layers, "block1_conv2", "block2_conv2"])
    shape = read_of(layer, kind).shape((*SIDES[layer], CHANNELS[layer]))
    weight = backend.constant(np.random.default_rng(1).normal(size=shape))

    def gradient(features, on_the_way, share):
        def loss(picture, constants):
            reading = read_of(layer, kind)
            asked = {layer: [read_of(layer, "means"), reading]} if on_the_way else {}
            seen = Seen(features(picture, layers, asked))
            assert (vgg.reading_of(layer, reading) in seen.maps) == (
                on_the_way and backend.on_processor()
            )
            found = ops.sum(seen.read(layer, reading) * weight)
            return share * found + (1 - share) * ops.sum(ops.square(seen.maps["block3_conv1"])), {}

        return backend.value_and_gradient(loss)(picture[:61, :50].astype(np.float32), {})[2]

    sizes = [np.linalg.norm(gradient(apart, False, share)) for share in (1.0, 0.0)]
    even = sizes[1] / sum(sizes)
    received, expected = gradient(together, True, even), gradient(apart, False, even)
    assert np.linalg.norm(received - expected) < 1e-4 * np.linalg.norm(expected)
