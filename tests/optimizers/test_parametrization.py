"""What is fine of an array, and what is not."""

import numpy as np
import pytest

from impasto.compute.keras_backend import ops
from impasto.optimizers import parametrization
from impasto.optimizers.parametrization import highpass


def wave(periods, height=32, width=64):
    """So many periods over the width, as a cosine that the transform has a coefficient of."""
    across = np.cos(2 * np.pi * periods * (np.arange(width) + 0.5) / width)
    return np.broadcast_to(across[None, :, None], (height, width, 3)).astype(np.float32)


@pytest.mark.parametrize(("periods", "share"), [(0, 0.0), (2, 0.1591), (4, 0.5), (16, 1.0)])
def test_of_a_wave_as_long_as_the_length_half_is_left(periods, share):
    array = wave(periods)
    np.testing.assert_allclose(highpass(array, 16)(array), share * array, atol=1e-4)


@pytest.mark.backend
def test_a_tensor_has_the_same_detail_as_an_array():
    array = np.random.default_rng(0).normal(size=(20, 30, 3)).astype(np.float32)
    tensor = ops.convert_to_tensor(array)
    found = ops.convert_to_numpy(highpass(tensor, 8)(tensor))
    np.testing.assert_allclose(found, highpass(array, 8)(array), atol=5e-3)


def test_small_images_are_transformed_by_matrices_to_the_same(monkeypatch):
    array = np.random.default_rng(1).normal(size=(29, parametrization.SMALL, 3)).astype(np.float32)
    forward, inverse = parametrization._dct_pair(array)
    monkeypatch.setattr(parametrization, "SMALL", 8)
    found, (expected, _) = forward(array), parametrization._dct_pair(array)
    np.testing.assert_allclose(found, expected(array), atol=1e-5)
    np.testing.assert_allclose(inverse(found), array, atol=1e-5)
    assert found.flags.c_contiguous
    assert inverse(found).flags.c_contiguous
