"""The gradients written beside the losses, against automatic differentiation and differences.

Both engines are given the same features: seeded maps, not those of a network.
"""

import functools
import hashlib

import numpy as np
import pytest

from impasto.compute import keras_backend
from impasto.compute.keras_backend import ops
from impasto.images.style_regions import StyledRegion, StyleImage
from impasto.losses import feature_index
from impasto.losses.content import content_term
from impasto.losses.level_roles import DETAIL, FEATURE_SPLITTING, FINEST, STRUCTURE
from impasto.losses.style import style_term
from impasto.losses.terms import FeatureMaps, LevelInputs, TiledFeatureExtractor
from impasto.losses.tiles import TileAlignment
from impasto.losses.total_variation import (
    TotalVariationTerm,
    difference_counts,
    differences,
    differences_vjp,
    total_variation,
)
from impasto.network.weights import NETWORKS
from impasto.recipe import presets
from tests import tiny

pytestmark = pytest.mark.backend

CHANNELS = {1: 5, 2: 6, 3: 7, 4: 8, 5: 6}
VGG = NETWORKS["vgg16"]
HEIGHT, WIDTH = 42, 59  # odd at every layer but the first
PHOTOGRAPH, START, PICTURE = (tiny.random_picture(HEIGHT, WIDTH, seed) for seed in (1, 2, 3))
STYLE, OTHER = tiny.random_picture(33, 40, 4), tiny.random_picture(40, 34, 5)


def maps_of(picture, reduce=lambda layer, features: features):
    """Seeded maps of the sizes that VGG's have, others for every picture, or what is kept."""
    digest = hashlib.sha256(np.ascontiguousarray(picture)).digest()
    random, maps = np.random.default_rng(list(digest)), {}
    for layer in VGG.layers:
        height, width = (side // VGG.stride(layer) for side in picture.shape[:2])
        channels = CHANNELS[int(layer[len("block")])]
        mixing = random.normal(0, 1, (channels, channels))
        values = random.normal(0.3, 1, (height, width, channels)) @ mixing + 0.5
        maps[layer] = reduce(layer, np.maximum(values, 0).astype(np.float32))
    return maps


EYE = TiledFeatureExtractor(maps_of, VGG.stride, VGG.receptive_field, TileAlignment(8, 56))

ACROSS = np.tile(np.linspace(0, 1, WIDTH, dtype=np.float32), (HEIGHT, 1))
UNDER = np.eye(40, 34, k=5, dtype=np.float32) + np.eye(40, 34, k=6, dtype=np.float32)
REGIONS = {
    "whole": (StyledRegion((StyleImage(STYLE),)),),
    "a region": (StyledRegion((StyleImage(STYLE),), ACROSS),),
    "two regions, three paintings": (
        StyledRegion((StyleImage(STYLE, 2.0), StyleImage(OTHER, 1.0, mask=UNDER)), ACROSS),
        StyledRegion((StyleImage(OTHER),), 1 - ACROSS),
    ),
}
SETTINGS = {
    "matching": ({"style_loss": "matching", "strength": 0.4}, STRUCTURE),
    "matching, finest": ({"style_loss": "matching", "strength": 0.4}, FINEST),
    "matching, sharpening": ({"style_loss": "matching"}, DETAIL),
    "matching, feature splitting": ({"style_loss": "matching", "strength": 0.4}, FEATURE_SPLITTING),
    "gram": ({"style_loss": "gram", "strips": 1}, STRUCTURE),
    "gram, absolute": ({"style_loss": "gram", "loss_scale": "absolute", "strips": 3}, STRUCTURE),
    "moments": ({"style_loss": "moments", "strips": 4}, STRUCTURE),
    "moments, absolute": ({"style_loss": "moments", "loss_scale": "absolute"}, STRUCTURE),
    "wasserstein": ({"style_loss": "wasserstein", "strips": 4}, STRUCTURE),
    "wasserstein, absolute": ({"style_loss": "wasserstein", "loss_scale": "absolute"}, STRUCTURE),
    "neighbors": ({"style_loss": "neighbors"}, STRUCTURE),
    "content": ({"style_loss": "gram"}, None),
    "content, absolute": ({"style_loss": "gram", "loss_scale": "absolute"}, None),
}
LAYERS = "block1_conv1=1,block3_conv2=0.5"
MATCHED = "block1_conv2=1,block3_conv1=2,block4_conv1=0.5"


def the_same(name, regions):
    """A term, its target, and the features of the picture at the layers it reads."""
    chosen, kind = SETTINGS[name]
    layers = MATCHED if chosen["style_loss"] == "matching" else LAYERS
    content = "block3_conv1=2,block4_conv2=1"
    made = presets.make_recipe(style_layers=layers, content_layers=content, **chosen)
    term = content_term(made) if kind is None else style_term(made, kind)
    level_inputs = LevelInputs(EYE, PHOTOGRAPH, REGIONS[regions], START)
    (target_tile,) = level_inputs.iter_target_tiles()
    maps = maps_of(PICTURE)
    return (
        term,
        term.make_target(level_inputs).for_tile(target_tile),
        {layer: maps[layer] for layer in term.layers},
    )


def by_hand(term, target, maps):
    """Loss, and by layer its gradient, in NumPy."""
    sums, pullback = term.vjp(FeatureMaps(maps), target)
    gradient = {layer: np.zeros_like(each) for layer, each in maps.items()}
    for layer, adds in pullback(term.loss_gradient(sums, target)).items():
        for add in adds:
            add(gradient[layer])
    return float(term.loss(sums, target)), gradient


def by_the_backend(term, target, maps):
    """The same by automatic differentiation of ``read`` and ``loss``."""

    def loss(packed, target):
        read = term.reduce(FeatureMaps(unpacked(packed, maps)), target)
        return term.loss(read, target), {}

    placed = placing()(target)
    total, _, gradient = keras_backend.value_and_gradient(loss)(packed_of(maps), placed)
    return total, unpacked(gradient, maps)


def packed_of(maps):
    """All numbers of maps as one picture (n, 1, 1)."""
    return np.concatenate([each.ravel() for each in maps.values()]).reshape(-1, 1, 1)


def unpacked(packed, maps):
    """Maps of the sizes of others from what :func:`packed_of` gave."""
    found, begin = {}, 0
    for layer, each in maps.items():
        part = packed[begin : begin + each.size]
        is_array = isinstance(part, np.ndarray)
        found[layer] = part.reshape(each.shape) if is_array else ops.reshape(part, each.shape)
        begin += each.size
    return found


@functools.cache
def placing():
    """What makes tensors of targets, as the Keras engine has them."""
    layers = {"content_layers": "second", "style_layers": "first", "padding": "zero"}
    return tiny.engine("keras", presets.make_recipe("gram", **layers)).place


CASES = [
    (name, regions)
    for name, (_, kind) in SETTINGS.items()
    for regions in (REGIONS if kind is not None else ["whole"])
]


TRACED_LONG = ("matching, feature splitting", "two regions, three paintings")
"""The case that TensorFlow takes over three CPU seconds to trace."""


@pytest.mark.parametrize(
    ("name", "regions"),
    [
        pytest.param(*each, marks=[pytest.mark.slow] if each == TRACED_LONG else [])
        for each in CASES
    ],
)
def test_gradients_are_those_of_automatic_differentiation(name, regions):
    term, target, maps = the_same(name, regions)
    value, gradient = by_hand(term, target, maps)
    total, expected = by_the_backend(term, target, maps)
    assert value == pytest.approx(total, rel=1e-5)
    apart = packed_of(gradient) - packed_of(expected)
    size = np.linalg.norm(packed_of(expected))
    assert size > 0
    assert np.linalg.norm(apart) < 1e-5 * size
    for layer in maps:  # none is left out because its gradient is small beside the others'
        assert np.any(gradient[layer]) == np.any(expected[layer]), layer


@pytest.mark.parametrize(("name", "regions"), CASES)
def test_gradients_are_those_of_finite_differences(name, regions, held_neighbors):
    term, target, maps = the_same(name, regions)
    loss, gradient = by_hand(term, target, maps)
    # Along the gradient itself, where the difference stands out of float32's rounding.
    size = np.sqrt(sum(np.vdot(each, each) for each in gradient.values()))
    length = 0.01 * loss / size  # which changes the loss by about a hundredth

    def value(step):
        moved = {
            layer: each + np.float32(step / size) * gradient[layer] for layer, each in maps.items()
        }
        return float(term.loss(term.reduce(FeatureMaps(moved), target), target))

    difference = (value(length) - value(-length)) / (2 * length)
    assert difference == pytest.approx(size, rel=5e-3)


@pytest.fixture
def held_neighbors(monkeypatch):
    """Neighbors that are found once for a pool: a gradient holds them constant."""
    largest, found = feature_index.argmax_product, {}

    def once(query, among):
        if id(among) not in found:
            found[id(among)] = largest(query, among)
        return found[id(among)]

    monkeypatch.setattr(feature_index, "argmax_product", once)


VARIATION = TotalVariationTerm()
COUNTS = difference_counts(HEIGHT, WIDTH)
PLACES = {"whole": None, "a part": (3, 5, 12, 9), "to the corner": (6, 4, HEIGHT - 6, WIDTH - 4)}


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_the_gradient_of_total_variation(place):
    sums = differences(PICTURE, place)
    slope = VARIATION.loss_gradient(sums, COUNTS)
    gradient = differences_vjp(PICTURE, slope, place)

    def loss(picture, _):
        return VARIATION.loss(differences(picture, place), COUNTS), {}

    total, _, expected = keras_backend.value_and_gradient(loss)(PICTURE, {})
    assert float(VARIATION.loss(sums, COUNTS)) == pytest.approx(total, rel=1e-5)
    assert np.linalg.norm(gradient - expected) < 1e-5 * np.linalg.norm(expected)
    # A quadratic, of which central differences are exact.
    direction = gradient / np.linalg.norm(gradient)
    ahead, behind = (
        float(VARIATION.loss(differences(PICTURE + sign * direction * 50, place), COUNTS))
        for sign in (np.float32(1), np.float32(-1))
    )
    assert (ahead - behind) / 100 == pytest.approx(np.linalg.norm(gradient), rel=1e-3)


def test_total_variation_is_that_of_the_whole_picture():
    sums = differences(PICTURE)
    assert float(total_variation(PICTURE)) == float(VARIATION.loss(sums, COUNTS))
