"""Views of style images, read once for two levels."""

import numpy as np
import pytest

import impasto
from impasto.images.style_regions import StyledRegion, StyleImage
from impasto.losses import style_cache, style_views
from impasto.network.native_vgg import NativeVGG
from impasto.pipeline import models
from tests import tiny
from tests.tiny import random_picture


def test_views_are_the_rotations_of_the_style_images_that_count():
    mask = np.zeros((8, 16), np.float32)
    mask[:, :4] = 1
    first, second = random_picture(8, 16, 1), random_picture(16, 16, 2)
    region = StyledRegion((StyleImage(first, 2.0, mask=mask), StyleImage(second, 0.0)))
    (plain,) = style_views.region_views(region, rotated=False)
    assert plain.image is first
    assert plain.weight == 2
    views = style_views.region_views(region, rotated=True)
    assert [view.number for view in views] == [0, 1, 2, 3]
    for turns, view in enumerate(views):
        np.testing.assert_array_equal(view.image, np.rot90(first, turns))
        np.testing.assert_array_equal(view.mask, np.rot90(mask, turns))


@tiny.needs_kernels
@pytest.mark.parametrize("shared", [True, False])
def test_feature_splitting_reads_style_images_with_the_finest_level(monkeypatch, shared):
    """Their features are computed once for both levels, and the result is the same."""
    monkeypatch.setattr(models.weights, "load_weights", lambda *_: tiny.vgg())
    results, calls = [], []
    features = NativeVGG.features
    style = random_picture(96, 80, 2)

    def counted(self, image, *rest, **options):
        calls.append(image.shape[:2])
        return features(self, image, *rest, **options)

    monkeypatch.setattr(NativeVGG, "features", counted)
    for limit in (style_cache.LEVEL_BYTES, 0.0):
        monkeypatch.setattr(style_cache, "LEVEL_BYTES", limit if shared else 0.0)
        calls.clear()
        result = impasto.stylize(
            random_picture(104, 72, 1), style, size=104, evaluations=1, engine="native"
        )
        results.append((result.pixels, len(calls)))
    (one, fewer), (two, more) = results
    np.testing.assert_array_equal(one, two)
    assert more - fewer == (4 if shared else 0)
