"""What is written down for a worker comes out there as it was."""

import numpy as np
import pytest

from impasto.cluster import serialization
from impasto.compute.arrays import is_tensor, to_numpy
from impasto.compute.keras_backend import ops


@pytest.mark.backend
@pytest.mark.parametrize("dtype", ["float32", "int32"])
def test_tensors_come_out_as_tensors(dtype):
    array = np.arange(6, dtype=dtype).reshape(2, 3)
    (found,) = serialization.deserialize(
        serialization.serialize([ops.convert_to_tensor(array)], {}), {}
    )
    assert is_tensor(found)
    np.testing.assert_array_equal(to_numpy(found), array)
    assert to_numpy(found).dtype == dtype


def test_functions_come_out_with_what_they_hold():
    factor = np.float32(3)

    def times(value):
        return factor * value

    assert serialization.deserialize(serialization.serialize(times, {}), {})(2) == 6


def test_what_the_reader_has_of_its_own_is_left_out():
    huge = np.zeros(10**6)
    written = serialization.serialize({"a": huge, "b": [huge, 1]}, {"huge": huge})
    assert len(written) < 10**4
    found = serialization.deserialize(written, {"huge": "mine"})
    assert found == {"a": "mine", "b": ["mine", 1]}


def test_one_value_in_two_places_stays_one():
    one = [1]
    first, second = serialization.deserialize(serialization.serialize([one, one], {}), {})
    assert first is second
