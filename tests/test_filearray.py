"""Arrays in files: like NumPy's, whatever is done with them."""

import errno
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.fft
from hypothesis import given
from hypothesis import strategies as st

from impasto import filearray
from impasto.errors import SettingError
from impasto.filearray import FileArray

SHAPES = st.tuples(*[st.integers(1, 9)] * 2) | st.tuples(*[st.integers(1, 9)] * 3)


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    """A few rows are a block, and everything is large."""
    monkeypatch.setattr(filearray, "BLOCK_BYTES", 100)
    monkeypatch.setattr(filearray, "MIN_FILE_BYTES", 0)


def pair(shape, seed=0):
    array = np.random.default_rng(seed).standard_normal(shape).astype(np.float32)
    found = filearray.spill(array)
    assert isinstance(found, FileArray)
    return array, found


def slices(length):
    return st.tuples(st.integers(0, length), st.integers(0, length)).map(
        lambda two: slice(*sorted(two))
    )


@given(SHAPES, st.data())
def test_what_is_cut_out_is_what_numpy_cuts_out(shape, data):
    array, found = pair(shape)
    key = tuple(
        data.draw(slices(length)) for length in shape[: data.draw(st.integers(1, len(shape)))]
    )
    assert np.array_equal(found[key], array[key])
    assert found[key].dtype == np.float32


@given(SHAPES, st.data())
def test_what_is_written_is_what_numpy_writes(shape, data):
    array, found = pair(shape)
    key = tuple(
        data.draw(slices(length)) for length in shape[: data.draw(st.integers(1, len(shape)))]
    )
    value = np.random.default_rng(1).standard_normal(array[key].shape).astype(np.float32)
    found[key], array[key] = value, value
    assert np.array_equal(np.asarray(found), array)
    found[key] += value
    array[key] += value
    assert np.array_equal(np.asarray(found), array)


@given(st.integers(1, 9), st.integers(1, 9))
def test_a_channel_is_read_and_written(height, width):
    array, found = pair((height, width, 3))
    assert np.array_equal(found[..., 1], array[..., 1])
    found[..., 2], array[..., 2] = array[..., 0], array[..., 0]
    assert np.array_equal(np.asarray(found), array)


def test_rows_are_found_by_their_indexes():
    array, found = pair((20, 4))
    places = np.array([3, 19, 0, 3])
    assert np.array_equal(found[places], array[places])
    assert np.array_equal(found[5], array[5])
    with pytest.raises(IndexError):
        found[20]
    with pytest.raises(IndexError, match="assign whole rows"):
        found[::2] = 0


KEYS = [
    *(-1, (-2, -1), slice(None, None, 2), slice(None, None, -1), (slice(1, 9, 3), slice(None, 2))),
    *([], [-1, 2], ([1, 2], [0, 3]), (..., None), (None, 3), (slice(None), None)),
    *((np.array([[1, 2], [3, 4]]),), (slice(2, 5), [0, 2]), (..., 1), (4, ..., 1), ...),
]


@pytest.mark.parametrize("key", KEYS, ids=str)
@pytest.mark.parametrize("shape", [(20, 4), (20, 4, 3)])
def test_every_key_cuts_out_what_numpy_does(shape, key):
    array, found = pair(shape)
    assert np.array_equal(found[key], array[key])
    assert found[key].shape == array[key].shape
    where = array > 0
    assert np.array_equal(found[where], array[where])


@given(SHAPES)
def test_comparisons_and_reductions_are_numpys(shape):
    array, found = pair(shape)
    for comparison in (found > 0, np.isfinite(found), found == array):
        assert isinstance(comparison, np.ndarray)
        assert comparison.dtype == np.bool_
    assert np.array_equal(found > 0, array > 0)
    for name in ("max", "min", "mean", "sum", "std", "all", "any"):
        for axis in (None, -1):
            want, got = getattr(array, name)(axis=axis), getattr(found, name)(axis=axis)
            assert np.array_equal(got, want)
            assert np.array_equal(getattr(np, name)(found, axis=axis), want)
    assert np.array_equal(np.ptp(found, axis=-1), np.ptp(array, axis=-1))
    assert np.array_equal(found.reshape(-1).astype(np.float64), array.reshape(-1))
    assert np.array_equal(np.add.reduce(found, axis=1), array.sum(axis=1))
    out = np.zeros_like(array)
    assert np.divide(found, 2, out=out, where=array > 0) is out
    assert np.array_equal(out, np.where(array > 0, array / 2, 0))


@given(SHAPES)
def test_arithmetic_is_numpys(shape):
    (a, x), (b, y) = pair(shape), pair(shape, 1)
    assert np.array_equal(-x, -a)
    assert np.array_equal(x + 2.5 * y - 1, a + 2.5 * b - 1)
    assert np.array_equal(x * b, a * b)  # with one in memory
    assert np.array_equal(np.square(x) / 3.0, np.square(a) / 3.0)
    assert np.array_equal(np.clip(x, -0.5, 0.5), np.clip(a, -0.5, 0.5))
    assert isinstance(b * x, FileArray)
    same = x
    x += y
    assert x is same
    assert np.array_equal(x, a + b)


def test_a_channel_counts_for_all():
    (a, x), (b, y) = pair((7, 5, 3)), pair((7, 5, 1), 1)
    assert np.array_equal(x * y, a * b)
    assert np.array_equal(y * x, b * a)
    assert np.array_equal(x * np.array([1, 2, 3], np.float32), a * np.array([1, 2, 3], np.float32))


@given(SHAPES)
def test_inner_products_are_numpys_to_rounding(shape):
    (a, x), (b, y) = pair(shape), pair(shape, 1)
    assert filearray.dot(x, y) == pytest.approx(np.vdot(a.astype(np.float64), b), abs=1e-4)


def test_what_is_not_finite_is_found_wherever_it_is():
    _, found = pair((9, 9, 3))
    assert filearray.is_finite(found)
    found[8:9, 8:9] = np.nan
    assert not filearray.is_finite(found)


@given(SHAPES)
def test_columns_are_transformed_one_by_one(shape):
    array, found = pair(shape)
    want = scipy.fft.dct(array, axis=0, norm="ortho")
    assert np.array_equal(
        filearray.map_columns(lambda part: scipy.fft.dct(part, axis=0, norm="ortho"), found), want
    )


def test_it_is_sent_to_other_processes():
    array, found = pair((9, 9, 3))
    again = pickle.loads(pickle.dumps(found))
    assert isinstance(again, FileArray)
    assert np.array_equal(again, array)


def test_zeros_are_zeros_and_small_ones_are_numpys(monkeypatch):
    assert not np.asarray(filearray.zeros((5, 6, 3))).any()
    monkeypatch.setattr(filearray, "MIN_FILE_BYTES", 10_000)
    assert isinstance(filearray.zeros((5, 6, 3)), np.ndarray)
    array = np.ones((5, 6), np.float32)
    assert filearray.spill(array) is array


def test_a_full_disk_is_told_in_a_line(monkeypatch, one_line):
    _, found = pair((5, 6, 3))

    class Full:
        def seek(self, place):
            pass

        def write(self, data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    found._file = Full()
    with pytest.raises(SettingError, match="TMPDIR") as caught:
        found[:] = 1.0
    one_line(caught)


def test_nothing_is_left_behind(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    _, found = pair((5, 6, 3))
    assert filearray.file_folder() == tmp_path
    assert not list(tmp_path.iterdir())  # without a name even while it is used
    del found


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux's own numbers")
def test_memory_does_not_grow_with_arrays():
    lines = (
        "import resource, numpy as np",
        "from impasto import filearray",
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss",
        "x = filearray.zeros((4000, 6000, 3))",
        "y = (x + 1.0) * 2.0 - x[0]",
        "assert filearray.dot(y, y) == 4 * 4000 * 6000 * 3",
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)",
    )
    done = subprocess.run([sys.executable, "-c", "\n".join(lines)], capture_output=True, check=True)
    assert int(done.stdout) < 60_000  # kilobytes; the array has 288,000
