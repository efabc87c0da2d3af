"""Style by matched features: hypercolumns, targets and loss against plain NumPy."""

from dataclasses import replace

import numpy as np
import pytest

from impasto.compute import keras_backend
from impasto.compute.arrays import to_numpy
from impasto.compute.keras_backend import ops
from impasto.images.style_regions import StyledRegion, StyleImage
from impasto.losses import (
    feature_index,
    feature_splitting,
    hypercolumns,
    match_search,
    matching,
    objective,
)
from impasto.losses.feature_index import IndexedStyle as Kept
from impasto.losses.level_roles import FEATURE_SPLITTING, FINEST, STRUCTURE
from impasto.losses.level_targets import make_level_targets
from impasto.losses.style_index import RegionIndex
from impasto.losses.terms import FeatureMaps, TiledFeatureExtractor
from impasto.recipe import presets
from impasto.recipe import settings as recipe
from tests import tiny
from tests.tiny import random_picture

pytestmark = pytest.mark.backend

CHANNELS = {"block1_conv1": 2, "block2_conv2": 3, "block3_conv1": 4, "block4_conv3": 5}
LOSS = matching.matching_term(recipe.Recipe())


def maps_of(seed, height=37, width=30):
    """Maps as VGG gives them, of sizes that are floored at every pooling."""
    random = np.random.default_rng(seed)
    maps = {}
    for name, channels in CHANNELS.items():
        size = height >> (int(name[5]) - 1), width >> (int(name[5]) - 1)
        maps[name] = np.maximum(random.normal(0.2, 1, (*size, channels)), 0).astype(np.float32)
    return maps


@pytest.fixture(scope="module")
def columns_of(place):
    """Those of maps, as an array."""
    return lambda maps: to_numpy(hypercolumns.hypercolumns(placed(maps, place)))


def placed(maps, place):
    return {name: place(each) for name, each in maps.items()}


def naive_hypercolumns(maps):
    """Every grid position by itself, in plain loops."""
    height, width = maps["block3_conv1"].shape[:2]
    out = np.zeros((height, width, sum(CHANNELS.values())))
    deep = np.pad(maps["block4_conv3"], ((1, 2), (1, 2), (0, 0)), mode="edge")
    for i in range(height):
        for j in range(width):
            column = []
            for name, apart in (("block1_conv1", 4), ("block2_conv2", 2), ("block3_conv1", 1)):
                block = maps[name][apart * i : apart * (i + 1), apart * j : apart * (j + 1)]
                column.append(block.mean((0, 1)) / CHANNELS[name])
            rows, columns = ((n // 2 + 1, n // 2 + (2 if n % 2 else 0)) for n in (i, j))
            value = 0.0
            for row, down in ((rows[0], 0.75), (rows[1], 0.25)):
                for place, across in ((columns[0], 0.75), (columns[1], 0.25)):
                    value = value + down * across * deep[row, place]
            column.append(value / CHANNELS["block4_conv3"])
            out[i, j] = np.concatenate(column)
    return out


@pytest.mark.parametrize(("height", "width"), [(32, 24), (48, 40)])
def test_hypercolumns_are_what_plain_loops_give(columns_of, height, width):
    maps = maps_of(1, height, width)
    found = columns_of(maps)
    np.testing.assert_allclose(found, naive_hypercolumns(maps), rtol=1e-4, atol=1e-6)


def test_of_an_odd_size_the_deepest_values_go_on_to_the_edge(columns_of):
    maps = maps_of(2, 44, 36)  # a grid of 11 x 9, and 5 x 4 positions below it
    found = columns_of(maps)
    assert found.shape == (11, 9, 14)
    np.testing.assert_array_equal(found[10, :, -5:], found[9, :, -5:])


def target_of(maps, pool, weights=None, share=1.0):
    columns = hypercolumns.hypercolumns(maps)
    places = np.arange(columns[..., 0].size).reshape(columns.shape[:2])
    (found,) = match_search.match_regions([columns], [RegionIndex(pool, weights)], [places])
    found = found._replace(indexes=found.indexes.reshape(columns.shape[:2]))
    channels = {name: CHANNELS[name] for name in hypercolumns.matching_layers(maps)}
    own = hypercolumns.resample_to_grid(hypercolumns.reduce_maps(maps))
    wanted = matching.make_target_maps([found], own, share)
    sizes = matching.squared_norms([found], channels)
    return matching.make_match_target(wanted, sizes, dict.fromkeys(channels, 1.0))


def pool_of(maps):
    return kept(hypercolumns.hypercolumns(maps))


def kept(columns):
    return feature_index.build_index([Kept(1.0, columns.reshape(-1, columns.shape[-1]))], None)


def nearest(columns, pool, weights=None):
    query = feature_index.project_query(columns.reshape(-1, columns.shape[-1]), pool, weights)
    return pool.features[feature_index.search(query, pool)].reshape(columns.shape)


@pytest.fixture(scope="module")
def loss_of(place):
    """The loss of maps against a target."""

    def loss(maps, target):
        target = tiny.placed(target, place)
        return float(LOSS.loss(LOSS.reduce(FeatureMaps(placed(maps, place)), target), target))

    return loss


def test_the_loss_is_that_of_its_equation(columns_of, loss_of):
    """With block 4 left out hypercolumns are compared as they are."""
    query, picture = ({n: m for n, m in maps_of(s, 32, 24).items() if n[5] != "4"} for s in (3, 4))
    columns = {s: columns_of(m) for s, m in ((3, query), (4, picture))}
    other = {n: m for n, m in maps_of(5, 40, 40).items() if n[5] != "4"}
    pool = pool_of(other)
    wanted = nearest(columns[3], pool)
    weights = np.random.default_rng(6).uniform(0, 1, columns[3].shape[:2]).astype(np.float32)
    for each in (None, weights):
        w = np.ones(wanted.shape[:2]) if each is None else each
        if each is not None:
            wanted = nearest(columns[3], pool, w.reshape(-1))
        expected = np.sum(w[..., None] * (columns[4] - wanted) ** 2) / np.sum(
            w[..., None] * wanted**2
        )
        assert loss_of(picture, target_of(query, pool, each)) == pytest.approx(expected, rel=1e-4)


def test_a_picture_that_has_its_targets_loses_nothing(columns_of, loss_of):
    maps = maps_of(7, 32, 40)
    columns = columns_of(maps)
    pool = kept(columns)
    query = {n: m for n, m in maps.items() if n[5] != "4"}
    shallow = kept(columns[..., :9])
    assert loss_of(query, target_of(query, shallow)) < 1e-9
    assert loss_of(maps, target_of(maps, pool)) < 0.2
    assert loss_of(maps_of(8, 32, 40), target_of(maps, pool)) > 0.5


def test_without_strength_the_target_is_the_photograph(loss_of):
    maps = {n: m for n, m in maps_of(9, 32, 24).items() if n[5] != "4"}
    other = {n: m for n, m in maps_of(10, 32, 24).items() if n[5] != "4"}
    pool = pool_of(other)
    losses = [loss_of(maps, target_of(maps, pool, share=share)) for share in (0.0, 0.5, 1.0)]
    assert losses[0] < 1e-9
    assert losses[0] < losses[1] < losses[2]


def test_the_query_goes_from_the_photograph_to_the_picture():
    photograph, picture = (random_picture(20, 24, seed) for seed in (11, 12))
    assert match_search.mix_query(photograph, None, 0.7) is photograph
    assert match_search.mix_query(photograph, picture, 0.0) is photograph
    half, whole = (match_search.mix_query(photograph, picture, a) for a in (0.5, 1.0))
    np.testing.assert_allclose(2 * half - photograph, whole, atol=1e-3)
    smooth = np.full_like(photograph, 90)  # a photograph without detail adds none
    np.testing.assert_allclose(match_search.mix_query(smooth, picture, 1.0), picture, atol=1e-3)


# The whole term, with the network -------------------------------------------------------------

CONTENT, STYLE, OTHER = (
    random_picture(48, 64, 13),
    random_picture(40, 60, 14),
    random_picture(50, 44, 15),
)


@pytest.fixture(scope="module", params=tiny.ENGINES)
def engine(request):
    """Either engine, of a small network with the layers of matching."""
    return tiny.engine(request.param, presets.make_recipe(), tiny.vgg())


@pytest.fixture(scope="module")
def eye(engine):
    return eye_of(engine)


def eye_of(engine):
    layers = presets.make_recipe().layer_names
    return TiledFeatureExtractor.for_layers(engine.feature_function(layers), engine.network, layers)


def test_the_gradient_equals_finite_differences(engine, eye):
    chosen = presets.make_recipe(
        style_loss="matching", content_weight=0.3, tv_weight=0.1, strength=0.4
    )
    left = np.zeros(CONTENT.shape[:2], np.float32)
    left[:, :32] = 1
    regions = (
        StyledRegion((StyleImage(STYLE, 2.0), StyleImage(OTHER, 1.0)), left),
        StyledRegion((StyleImage(OTHER),), 1 - left),
    )
    start = random_picture(48, 64, 16)
    targets = engine.place(
        make_level_targets(eye, chosen, CONTENT, regions, start=start).for_full_image()
    )
    task = objective.FullImageObjective(
        engine.compile_step(chosen, STRUCTURE), targets, engine.place
    )
    picture = random_picture(48, 64, 17)
    evaluation = task.evaluate(picture)
    # Along the gradient itself, where the difference stands out of float32's rounding.
    direction = evaluation.gradient / np.linalg.norm(evaluation.gradient)
    ahead, behind = (task.evaluate(picture + np.float32(s) * direction).total for s in (2, -2))
    expected = np.sum(evaluation.gradient * direction)
    assert (ahead - behind) / 4 == pytest.approx(expected, rel=0.03)


def test_the_same_inputs_have_the_same_targets_to_the_byte(eye):
    chosen = presets.make_recipe(style_loss="matching")
    regions = (StyledRegion((StyleImage(STYLE),)),)
    start = OTHER[:48, :44].repeat(2, 1)[:, :64]
    found = [
        make_level_targets(eye, chosen, CONTENT, regions, start=start).for_full_image()
        for _ in range(2)
    ]
    for one, other in zip(*(each.terms["style"].maps.values() for each in found), strict=True):
        assert to_numpy(one).tobytes() == to_numpy(other).tobytes()


@pytest.mark.parametrize(
    "kind", [STRUCTURE, FINEST, FEATURE_SPLITTING], ids=["forms", "finest", "last"]
)
@pytest.mark.parametrize(
    "masked", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["whole", "masked"]
)
def test_targets_that_never_leave_the_device_are_those_of_the_host(monkeypatch, kind, masked):
    """As with a GPU, of two paintings, and of a region of its own."""
    first, second, third = (random_picture(28, 24, seed) for seed in (21, 22, 23))
    photograph, start = (random_picture(36, 28, seed) for seed in (24, 25))
    regions = [StyledRegion((StyleImage(first, weight=2.0), StyleImage(second)))]
    if masked:
        mask = np.tile(np.linspace(0, 1, 28, dtype=np.float32), (36, 1))
        regions = [
            replace(regions[0], mask=1 - mask),
            StyledRegion((StyleImage(third),), mask=mask),
        ]
    chosen = presets.make_recipe(content_weight=0)
    extractor = eye_of(tiny.engine("keras", chosen, tiny.vgg()))

    def targets():
        targets = make_level_targets(extractor, chosen, photograph, regions, start=start, role=kind)
        return {
            path: to_numpy(each) for path, each in named(targets.for_full_image().terms["style"])
        }

    on_host = targets()
    with monkeypatch.context() as patched:
        patched.setattr(keras_backend, "runs_on_cpu", lambda: False)
        on_device = targets()
    assert on_host.keys() == on_device.keys()
    for path, each in on_host.items():
        other = on_device[path]
        if path[-1] == "basis":  # arbitrary where there is nothing left
            continue
        if path[-1] == "directions":  # no matter in which basis
            each, other = each @ each.T, other @ other.T
        error = np.abs(each - other).max()
        assert error <= 1e-4 * np.abs(each).max(), path


def named(target, path=()):
    """The tensors of a target, each with the names and numbers of where it is."""
    if hasattr(target, "_asdict"):
        target = target._asdict()
    if isinstance(target, list | tuple):
        target = dict(enumerate(target))
    if isinstance(target, dict):
        for key, each in target.items():
            yield from named(each, (*path, key))
    else:
        yield path, target


def test_pools_on_a_device_bring_but_places_and_sums_to_the_host(monkeypatch):
    """What is seen in paintings and in the picture stays where it was computed."""
    painting, photograph = random_picture(64, 64, 31), random_picture(64, 64, 32)
    regions = [StyledRegion((StyleImage(painting),))]
    brought, to_numpy = [], ops.convert_to_numpy

    def counted(tensor):
        found = to_numpy(tensor)
        brought.append(found.size)
        return found

    chosen = presets.make_recipe(content_weight=0)
    extractor = eye_of(tiny.engine("keras", chosen, tiny.vgg()))
    monkeypatch.setattr(keras_backend, "runs_on_cpu", lambda: False)
    monkeypatch.setattr(ops, "convert_to_numpy", counted)
    monkeypatch.setattr(feature_splitting, "COMPONENTS", 3)
    make_level_targets(
        extractor, chosen, photograph, regions, start=photograph, role=FINEST
    ).for_full_image()
    grid, channels = 16 * 16, sum(2 * [8, 12]) + sum(3 * [16])
    products = (feature_index.COMPONENTS + feature_index.PCA_OVERSAMPLING) ** 2
    assert grid <= max(brought) <= products
    # Which is nearest in each of both searches, and sums over positions.
    assert sum(brought) < 4 * grid + 2 * products + 4 * channels
    brought.clear()
    make_level_targets(
        extractor, chosen, photograph, regions, start=photograph, role=FEATURE_SPLITTING
    ).for_full_image()
    assert 0 < max(brought) <= (max(tiny.WIDTHS) // 4 + feature_index.PCA_OVERSAMPLING) ** 2
