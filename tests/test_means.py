"""The means of activations that the package carries are those its tool measures."""

import numpy as np
import pytest

from impasto.network import activations
from tools.activations import measure

pytestmark = [pytest.mark.backend, pytest.mark.slow]


def test_the_means_are_those_over_the_sample_photographs():
    kept = activations.mean_activations("vgg16")
    for key, mean in measure("vgg16").items():
        np.testing.assert_allclose(mean, kept[key.removeprefix("vgg16/")], rtol=2e-3)
