"""The network by the compiled kernels: its features and their gradient by the image."""

import numpy as np
import pytest

from impasto.compute.native.kernels import Kernels
from impasto.network.native_vgg import NativeVGG
from tests import tiny

pytestmark = tiny.needs_kernels

LAYERS = ("block1_conv2", "block2_pool", "block3_conv2")


@pytest.fixture(scope="module")
def network():
    return NativeVGG.build(Kernels.load(), tiny.vgg(), "max", "replicate")


@pytest.mark.parametrize("padding", ["zero", "replicate"])
@pytest.mark.parametrize("pooling", ["max", "avg"])
@pytest.mark.parametrize("size", [(9, 8), (1, 1), (2, 7)])
def test_features_are_those_of_plain_loops(size, pooling, padding):
    picture = tiny.random_picture(*size, seed=1)
    network = NativeVGG.build(Kernels.load(), tiny.WEIGHTS, pooling, padding)
    asked = tiny.LAYERS if min(size) > 1 else tiny.LAYERS[:1]
    found = network.features(picture, asked)
    expected = tiny.naive_features(picture, pooling, padding)
    for layer in asked:
        np.testing.assert_allclose(found[layer], expected[layer], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("padding", ["zero", "replicate"])
@pytest.mark.parametrize("pooling", ["max", "avg"])
def test_the_gradient_is_that_of_finite_differences_of_plain_loops(pooling, padding):
    picture = tiny.random_picture(9, 8, seed=2)
    network = NativeVGG.build(Kernels.load(), tiny.WEIGHTS, pooling, padding)
    maps = network.features(picture, tiny.LAYERS, keep_all=True)
    random = np.random.default_rng(3)
    upstream = {layer: random.normal(size=maps[layer].shape) for layer in tiny.LAYERS}
    gradient = network.gradient(maps, adding(upstream))
    assert gradient.shape == picture.shape
    assert gradient.dtype == np.float32
    direction, step = random.normal(size=picture.shape), 1e-4

    def value(image):
        maps = tiny.naive_features(image, pooling, padding)
        return sum(np.vdot(upstream[layer], maps[layer]) for layer in tiny.LAYERS)

    expected = (value(picture + step * direction) - value(picture - step * direction)) / (2 * step)
    assert np.sum(gradient * direction) == pytest.approx(expected, rel=1e-4)


def adding(upstream):
    """What adds an array to the gradient of each layer."""

    def add(array):
        def to(gradient):
            gradient += array.astype(np.float32)

        return to

    return {layer: [add(array)] for layer, array in upstream.items()}


def test_a_trace_has_the_features_of_every_layer_up_to_the_deepest(network):
    picture = tiny.random_picture(45, 38, seed=4)
    asked = network.features(picture, LAYERS)
    assert list(asked) == list(LAYERS)
    traced = network.features(picture, LAYERS, keep_all=True)
    in_order = list(network.layers)
    assert list(traced) == in_order[: in_order.index("block3_conv2") + 1]
    for layer in LAYERS:
        np.testing.assert_array_equal(asked[layer], traced[layer])


def test_features_may_be_reduced_as_they_are_computed(network):
    picture = tiny.random_picture(45, 38, seed=5)
    whole = network.features(picture, LAYERS)
    means = network.features(picture, LAYERS, lambda layer, features: (layer, features.mean()))
    assert means == {layer: (layer, each.mean()) for layer, each in whole.items()}


def test_gradients_of_several_losses_of_a_layer_add_up(network):
    picture = tiny.random_picture(20, 17, seed=6)
    ones = {layer: np.ones(each.shape) for layer, each in network.features(picture, LAYERS).items()}
    once = network.gradient(network.features(picture, LAYERS, keep_all=True), adding(ones))
    adds = {layer: 2 * each for layer, each in adding(ones).items()}
    twice = network.gradient(network.features(picture, LAYERS, keep_all=True), adds)
    np.testing.assert_allclose(twice, 2 * once, rtol=1e-5, atol=1e-5 * np.abs(once).max())


def test_features_are_forgotten_as_their_gradient_is_computed(network):
    maps = network.features(tiny.random_picture(20, 17, seed=6), LAYERS, keep_all=True)
    adds = adding({layer: np.ones(maps[layer].shape) for layer in LAYERS})
    network.gradient(maps, adds)
    assert not maps
    assert not adds


def recorded(monkeypatch, method):
    """The layers that a method of the network is called for."""
    original, names = getattr(NativeVGG, method), []

    def record(network, name, *others):
        names.append(name)
        return original(network, name, *others)

    monkeypatch.setattr(NativeVGG, method, record)
    return names


def test_layers_deeper_than_what_is_asked_for_are_not_computed(network, monkeypatch):
    picture = tiny.random_picture(20, 17, seed=7)
    forward, backward = (recorded(monkeypatch, name) for name in ("_forward", "_backward"))
    network.features(picture, ["block1_conv2"])
    assert forward == ["block1_conv1", "block1_conv2"]
    maps = network.features(picture, LAYERS, keep_all=True)
    network.gradient(maps, adding({"block1_conv2": np.ones(maps["block1_conv2"].shape)}))
    assert backward == ["block1_conv2", "block1_conv1"]


def test_where_no_loss_has_a_gradient_that_of_the_image_is_zero(network):
    picture = tiny.random_picture(20, 17, seed=8)
    gradient = network.gradient(network.features(picture, LAYERS, keep_all=True), {})
    np.testing.assert_array_equal(gradient, np.zeros_like(picture))


def test_any_number_of_threads_gives_the_same_bytes():
    picture = tiny.random_picture(90, 75, seed=9)
    found = set()
    for threads in (1, 2, 5):
        network = NativeVGG.build(Kernels.load(threads=threads), tiny.vgg(), "max", "zero")
        maps = network.features(picture, LAYERS, keep_all=True)
        adds = adding({layer: np.cos(maps[layer]) for layer in LAYERS})
        found.add((maps[LAYERS[-1]].tobytes(), network.gradient(maps, adds).tobytes()))
    assert len(found) == 1
