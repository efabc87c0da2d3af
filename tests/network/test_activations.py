"""Normalized networks: the same features but for their scale, with means of one."""

import numpy as np
import pytest

from impasto.compute.arrays import to_numpy
from impasto.compute.keras_backend import ops
from impasto.network import activations, vgg, weights
from tests import tiny

pytestmark = pytest.mark.backend


@pytest.mark.parametrize("name", list(weights.NETWORKS))
def test_every_channel_of_every_convolution_has_a_mean_above_zero(name):
    means = activations.rescaling_means(name)
    assert set(means) == set(weights.NETWORKS[name].convolutions)
    widths = {"block1": 64, "block2": 128, "block3": 256, "block4": 512, "block5": 512}
    for layer, mean in means.items():
        assert mean.shape == (widths[layer[:6]],)
        assert (mean > 0).all()


def test_the_features_are_those_of_the_published_network_over_the_means():
    loaded = weights.load_weights()
    layers = ("block1_conv2", "block3_conv3", "block5_conv1")
    means = activations.rescaling_means("vgg16")
    picture = tiny.random_picture(48, 64, seed=1)
    for pooling in ("max", "avg"):
        published, normalized = (
            vgg.build_vgg(each, layers, pooling, "float32", "zero")(ops.convert_to_tensor(picture))
            for each in (loaded, activations.normalize_weights(loaded, means))
        )
        for layer in layers:
            expected = to_numpy(published[layer]) / means[layer]
            found = to_numpy(normalized[layer])
            np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3 * expected.max())
