"""The cache of values that were computed from style images."""

import pickle

import numpy as np
import pytest

from impasto import Stylizer
from impasto.images.style_regions import StyledRegion, StyleImage
from impasto.losses.style_cache import NO_CACHE, StyleCache, region_key
from tests import tiny


def counted(value):
    calls = []

    def compute():
        calls.append(1)
        return value

    return compute, calls


def test_a_value_is_computed_once():
    cache = StyleCache(limit=1000)
    compute, calls = counted({"a": np.zeros((10, 5), np.float32), "b": (None, 3)})
    assert cache.get("key", compute) is cache.get("key", compute)
    assert len(calls) == 1
    assert cache.size == 200


def test_the_least_recently_used_values_are_dropped_above_the_limit():
    cache = StyleCache(limit=1000)
    computes = {name: counted(np.zeros(100, np.float32)) for name in "abc"}
    for name in "abac":  # c drops b
        cache.get(name, computes[name][0])
    for name in "ab":
        cache.get(name, computes[name][0])
    assert {name: len(calls) for name, (_, calls) in computes.items()} == {"a": 1, "b": 2, "c": 1}
    assert cache.size <= 1000


@pytest.mark.parametrize("cache", [NO_CACHE, StyleCache(limit=100)])
def test_a_value_above_the_limit_is_not_kept(cache):
    compute, calls = counted(np.zeros(100, np.float32))
    for _ in range(2):
        cache.get("key", compute)
    assert len(calls) == 2
    assert cache.size == 0


def test_a_pickled_cache_is_empty():
    cache = StyleCache(limit=1000)
    cache.get("key", lambda: np.zeros(3))
    copy = pickle.loads(pickle.dumps(cache))
    assert (copy.limit, copy.size) == (1000, 0)


def test_the_key_of_a_region_depends_on_images_weights_and_masks():
    image, other = tiny.random_picture(8, 9, 1), tiny.random_picture(8, 9, 2)
    mask = np.ones((8, 9), np.float32)
    regions = [
        (StyleImage(image),),
        (StyleImage(other),),
        (StyleImage(image, 0.5), StyleImage(other, 0.5)),
        (StyleImage(image, mask=mask),),
        (StyleImage(image, mask=mask / 2),),
    ]
    assert len({region_key(StyledRegion(each)) for each in regions}) == len(regions)
    ignored = StyledRegion((StyleImage(image.copy()), StyleImage(other, 0)))
    assert region_key(ignored) == region_key(StyledRegion((StyleImage(image),), mask))


@pytest.mark.parametrize("style_loss", ["matching", "gram"])
def test_images_of_a_stylizer_are_the_same_with_values_kept_from_the_style(style_loss):
    """The first run keeps none, the second keeps them, and the third uses them."""
    content, style = tiny.random_picture(40, 48, 1), tiny.random_picture(36, 30, 2)
    settings = {"size": 48, "levels": 1, "evaluations": 1, "engine": "native"}
    with Stylizer(style_loss=style_loss, **settings) as stylizer:
        images, sizes = [], []
        for _ in range(3):
            *_, last = stylizer.paint(content, style)
            images.append(last.result.pixels)
            cache = stylizer._executor.models.get(stylizer.recipe).style_cache
            sizes.append(cache.size)
    assert sizes[0] == 0
    assert 0 < sizes[1] == sizes[2]
    for each in images[1:]:
        np.testing.assert_array_equal(each, images[0])
