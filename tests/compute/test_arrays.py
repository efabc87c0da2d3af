"""Arrays of either engine."""

import subprocess
import sys

import numpy as np
import pytest
from keras import ops

from impasto import filearray
from impasto.compute import arrays, numpy_ops

pytestmark = pytest.mark.backend


@pytest.mark.parametrize("value", [np.zeros(2), np.float32(1), 1, 1.5, None, [1.0], (), "text"])
def test_what_is_no_tensor(value):
    assert not arrays.is_tensor(value)
    assert arrays.array_namespace(value) is numpy_ops


def test_a_tensor_is_computed_with_by_kerass_functions():
    tensor = ops.convert_to_tensor(np.arange(3, dtype=np.float32))
    assert arrays.is_tensor(tensor)
    assert arrays.array_namespace(tensor) is ops
    np.testing.assert_array_equal(arrays.to_numpy(tensor), [0, 1, 2])
    assert isinstance(arrays.to_numpy(tensor), np.ndarray)


def test_arrays_in_memory_and_in_files_stay_what_they_are(tmp_path):
    for array in (np.ones((4, 3)), filearray.zeros((4, 3))):
        assert arrays.to_numpy(array) is array
        assert arrays.as_array_like(array, np.zeros(1)) is array


def test_an_array_beside_a_tensor_becomes_one():
    tensor = ops.zeros(2)
    beside = arrays.as_array_like(np.ones(2, np.float32), tensor)
    assert arrays.is_tensor(beside)
    np.testing.assert_array_equal(arrays.to_numpy(beside + tensor), [1, 1])


@pytest.mark.parametrize("place", [np.asarray, ops.convert_to_tensor])
def test_rows_are_gathered_in_the_shape_of_their_indexes(place):
    rows = np.arange(12, dtype=np.float32).reshape(4, 3)
    indexes = np.array([[3, 0], [1, 1]])
    found = arrays.gather_rows(place(rows), indexes)
    assert arrays.is_tensor(found) == (place is not np.asarray)
    np.testing.assert_array_equal(arrays.to_numpy(found), rows[indexes])


def test_functions_that_numpy_calls_otherwise_do_what_kerass_do():
    array = np.arange(24, dtype=np.float32).reshape(4, 6)
    tensor = ops.convert_to_tensor(array)
    part = numpy_ops.slice(array, (1, 2), (2, 3))
    np.testing.assert_array_equal(part, ops.convert_to_numpy(ops.slice(tensor, (1, 2), (2, 3))))
    assert numpy_ops.cast(array, "float32") is array
    assert numpy_ops.cast(3, "float32").dtype == np.float32
    assert numpy_ops.stop_gradient(array) is array


def test_keras_is_not_loaded_for_arrays():
    code = "import sys, numpy; from impasto.compute import arrays; a = numpy.zeros(2)\n"
    code += "assert arrays.to_numpy(a) is a and not arrays.is_tensor(object())\n"
    code += "arrays.array_namespace(a); print('keras' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "False\n", done.stderr


def wrapped(error):
    try:
        try:
            raise error
        except Exception as inner:
            raise RuntimeError("in a layer") from inner
    except RuntimeError as outer:
        return outer


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (wrapped(MemoryError()), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), True),
        (RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 5 bytes"), True),
        (type("ResourceExhaustedError", (Exception,), {})("OOM"), True),
        (ValueError("shapes"), False),
        (wrapped(ValueError("shapes")), False),
        (None, False),
    ],
)
def test_errors_for_want_of_memory_are_known(error, expected):
    assert arrays.ran_out_of_memory(error) is expected


def test_an_allocation_that_no_machine_has_is_known():
    with pytest.raises(Exception) as caught:  # noqa: PT011 - each backend has its own
        ops.zeros((2**48,))
    assert arrays.ran_out_of_memory(caught.value)
