"""Arrays in temporary files, for images that are larger than memory.

A *file array* supports arithmetic and indexing like a NumPy array, a few rows at a time. Its
values are in a file without a name, which disappears with the last reference to the array, however
the process ends. Indexing returns NumPy arrays. Reductions and other read-only methods of NumPy
arrays read the whole array into memory.

``numpy.memmap`` is not used: its arithmetic returns arrays in memory, and a write to a full disk
kills the process (docs/decisions/33-arrays-in-files-above-a-size.md).
"""

import contextlib
import math
import os
import tempfile
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import EllipsisType
from typing import Any, TypeAlias, cast

import numpy as np
from numpy.typing import DTypeLike, NDArray

from impasto.errors import SettingError

ArrayLike: TypeAlias = NDArray[np.float32]
"""A NumPy array or a file array."""

MIN_FILE_BYTES = 2**23
"""Size in bytes above which an array is stored in a file: an image of 0.7 megapixels."""

BLOCK_BYTES = 2**23
"""Bytes of an array that are processed at once."""


class FileArray(np.lib.mixins.NDArrayOperatorsMixin):
    """A float32 array with two or more axes in a temporary file, initialized with zeros."""

    dtype = np.dtype(np.float32)

    def __init__(self, shape: Sequence[int]) -> None:
        """Allocate the file. Raises SettingError if the disk is full, as do all writes."""
        self.shape = tuple(shape)
        self._lock = threading.Lock()
        with _disk_errors():
            self._file = tempfile.TemporaryFile(buffering=0, dir=file_folder())  # noqa: SIM115
            weakref.finalize(self, self._file.close)
            self._file.truncate(self.nbytes)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of values."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Size in bytes."""
        return self.size * self.dtype.itemsize

    def __len__(self) -> int:
        """Return the number of rows."""
        return self.shape[0]

    def iter_row_slices(self, top: int = 0, bottom: int | None = None) -> Iterator[slice]:
        """Yield slices of rows to process at once, top to bottom."""
        bottom = len(self) if bottom is None else bottom
        each = max(1, BLOCK_BYTES * len(self) // self.nbytes)
        for first in range(top, max(bottom, top + 1), each):
            yield slice(first, min(bottom, first + each))

    def __getitem__(self, key: Any) -> ArrayLike:
        """Return a copy of the part selected by any key of NumPy.

        Slices and integers load only that part; other keys load the whole array.
        """
        if not _selects_rows(key, self.ndim):
            return self._read(slice(0, len(self)), slice(0, self.shape[1]))[key]
        first, columns, rest = self._split_key(key)
        if isinstance(first, slice) and first.step in (None, 1):
            top, bottom, _ = first.indices(len(self))
            pieces = [self._read(rows, columns)[rest] for rows in self.iter_row_slices(top, bottom)]
            return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)
        places = np.arange(len(self))[first]
        found = [
            self._read(slice(each, each + 1), columns)[rest][0]
            for each in np.atleast_1d(places).tolist()
        ]
        if not found:
            return self._read(slice(0, 0), columns)[rest]
        return np.stack(found) if places.ndim else found[0]

    def __setitem__(self, key: Any, value: Any) -> None:
        """Overwrite a contiguous part of rows."""
        first, columns, rest = self._split_key(key)
        if first.step not in (None, 1):
            raise IndexError("assign whole rows of a file array")
        top, bottom, _ = first.indices(len(self))
        selected = (max(0, bottom - top), _length(columns), *self.shape[2:])
        value = np.broadcast_to(value, np.broadcast_to(np.float32(0), selected)[rest].shape)
        for rows in self.iter_row_slices(top, bottom):
            here = value[rows.start - top : rows.stop - top]
            if any(each != slice(None) for each in rest):
                block = self._read(rows, columns)
                block[rest] = here
                here = block
            self._write(rows, columns, here)

    def _split_key(self, key: Any) -> tuple[Any, slice, tuple[Any, ...]]:
        """Split a key into rows, contiguous columns, and the key within these."""
        given = list(key) if isinstance(key, tuple) else [key]
        at = next((n for n, each in enumerate(given) if each is Ellipsis), None)
        if at is not None:
            given[at : at + 1] = [slice(None)] * (self.ndim - len(given) + 1)
        given += [slice(None)] * (self.ndim - len(given))
        first, second, *rest = given
        in_one_piece = isinstance(second, slice) and second.step in (None, 1)
        left, right, _ = second.indices(self.shape[1]) if in_one_piece else (0, self.shape[1], 1)
        left_over = slice(None) if in_one_piece else second
        return first, slice(left, right), (slice(None), left_over, *rest)

    def _read(self, rows: slice, columns: slice) -> ArrayLike:
        block = np.empty((_length(rows), _length(columns), *self.shape[2:]), np.float32)
        with self._lock:
            for place, data in self._iter_file_ranges(rows, columns, block):
                self._file.seek(place)
                while data:
                    data = data[self._file.readinto(data) :]
        return block

    def _write(self, rows: slice, columns: slice, block: ArrayLike) -> None:
        block = np.ascontiguousarray(block, np.float32)
        with self._lock, _disk_errors():
            for place, data in self._iter_file_ranges(rows, columns, block):
                self._file.seek(place)
                while data:
                    data = data[self._file.write(data) :]

    def _iter_file_ranges(
        self, rows: slice, columns: slice, block: ArrayLike
    ) -> Iterator[tuple[int, memoryview]]:
        """Yield file offsets and values of a block."""
        each = math.prod(self.shape[2:]) * self.dtype.itemsize
        pitch = self.shape[1] * each
        data = block.reshape(-1).view(np.uint8).data
        if _length(columns) == self.shape[1]:
            yield rows.start * pitch, data
            return
        wide = _length(columns) * each
        for number, row in enumerate(range(rows.start, rows.stop)):
            yield row * pitch + columns.start * each, data[number * wide : (number + 1) * wide]

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        """Return the whole array in memory."""
        if copy is False:
            raise ValueError("an array in a file can only be copied")
        array = self[:]
        return array if dtype is None else array.astype(dtype, copy=False)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *given: Any, **options: Any) -> Any:
        """Apply a NumPy function a few rows at a time; reductions and ``where`` in memory."""
        out = options.pop("out", (None,))
        if method == "__call__" and not options and ufunc.nout == 1:
            return map_rows(ufunc, *given, into=out[0])
        if any(isinstance(each, FileArray) for each in out):
            return NotImplemented
        options |= {} if all(each is None for each in out) else {"out": out}
        return getattr(ufunc, method)(*map(in_memory, given), **options)

    def clip(self, low: float, high: float, out: "FileArray | None" = None) -> "FileArray":
        """Return the array clipped to ``low`` and ``high``."""
        return cast(FileArray, map_rows(lambda block: np.clip(block, low, high), self, into=out))

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the values; unpickling stores them in a file again."""
        return spill, (self[:],)


def _method_in_memory(name: str) -> Callable[..., Any]:
    """Return a method of NumPy arrays, applied to the whole array in memory."""

    def method(self: FileArray, *given: Any, **options: Any) -> Any:
        return getattr(self[:], name)(*given, **options)

    return method


for _name in ("all", "any", "astype", "max", "mean", "min", "reshape", "std", "sum"):
    setattr(FileArray, _name, _method_in_memory(_name))


def _selects_rows(key: Any, axes: int) -> bool:
    """Return whether a key has rows as a slice, an integer or indexes, then slices and integers."""
    first, *rest = key if isinstance(key, tuple) else (key,)
    if not all(isinstance(each, slice | int | np.integer | EllipsisType) for each in rest):
        return False
    if isinstance(first, slice | int | np.integer | EllipsisType):
        return len(rest) < axes or Ellipsis in (first, *rest)
    indexes = np.asarray(first)
    return indexes.ndim == 1 and indexes.dtype.kind in "iu"


def _length(piece: slice) -> int:
    return int(piece.stop - piece.start)


@contextlib.contextmanager
def _disk_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SettingError(
            f"temporary files cannot be written to {file_folder()} ({error.strerror or error}): "
            "free disk space, or set TMPDIR to another folder"
        ) from None


def file_folder() -> Path:
    """Return the folder for array files: that of TMPDIR, or one on disk.

    The default temporary folder is in memory on some systems.
    """
    on_disk = Path("/var/tmp")
    named = any(os.environ.get(name) for name in ("TMPDIR", "TEMP", "TMP"))
    usable = on_disk.is_dir() and os.access(on_disk, os.W_OK)
    return on_disk if usable and not named else Path(tempfile.gettempdir())


# --- both kinds --------------------------------------------------------------------------------


def is_on_host(array: Any) -> bool:
    """Return whether an array is a NumPy array or a file array, and not a tensor."""
    return isinstance(array, np.ndarray | FileArray)


def is_large(size: float) -> bool:
    """Return whether an array of this size in bytes is stored in a file."""
    return size > MIN_FILE_BYTES


def zeros(shape: Sequence[int]) -> ArrayLike:
    """Return float32 zeros, in a file if they are large."""
    large = is_large(math.prod(shape) * FileArray.dtype.itemsize)
    return cast(ArrayLike, FileArray(shape)) if large else np.zeros(shape, np.float32)


def zeros_like(array: ArrayLike) -> ArrayLike:
    """Return zeros with the shape of an array, in a file if the array is."""
    return zeros(array.shape) if isinstance(array, FileArray) else np.zeros_like(array)


def spill(array: Any) -> Any:
    """Return an array, in a file if it is large and float32."""
    supported = isinstance(array, np.ndarray) and array.dtype == np.float32 and array.ndim > 1
    if not supported or not is_large(array.nbytes):
        return array
    file_array = zeros(array.shape)
    file_array[:] = array
    return file_array


def in_memory(array: Any) -> Any:
    """Return a file array in memory; other values unchanged."""
    return np.asarray(array) if isinstance(array, FileArray) else array


def iter_row_slices(array: NDArray[Any]) -> Iterator[slice]:
    """Yield slices of rows to process at once."""
    yield from array.iter_row_slices() if isinstance(array, FileArray) else [slice(0, len(array))]


def iter_blocks(array: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """Yield the blocks of an array to process at once."""
    yield from (
        (array[each] for each in array.iter_row_slices())
        if isinstance(array, FileArray)
        else [array]
    )


def map_rows(function: Callable[..., Any], *given: Any, into: Any = None) -> Any:
    """Apply a row-wise function to arrays a few rows at a time.

    The result is a file array if one of the arguments is. Results that are not floats, such as of
    comparisons, or that have one axis, are NumPy arrays. Arguments without as many rows as the file
    arrays are passed unchanged. ``into`` overwrites an array instead.
    """
    file_array = next((each for each in given if isinstance(each, FileArray)), None)
    if file_array is None:
        return function(*given)
    length = len(file_array)

    def part(each: Any, rows: slice) -> Any:
        by_row = np.ndim(each) == file_array.ndim and len(each) == length
        return each[rows] if by_row else each

    for rows in file_array.iter_row_slices():
        found = function(*(part(each, rows) for each in given))
        if into is None:
            shape = (length, *found.shape[1:])
            supported = found.ndim > 1 and found.dtype.kind == "f"
            into = FileArray(shape) if supported else np.empty(shape, found.dtype)
        into[rows] = found
    return into


def map_columns(function: Callable[[ArrayLike], ArrayLike], array: ArrayLike) -> ArrayLike:
    """Apply a column-wise function to an array, like :func:`map_rows`.

    It returns as many values as it receives.
    """
    if not isinstance(array, FileArray):
        return function(array)
    found = zeros(array.shape)
    each = max(1, BLOCK_BYTES * array.shape[1] // array.nbytes)
    for first in range(0, array.shape[1], each):
        columns = slice(first, first + each)
        found[:, columns] = function(array[:, columns])
    return found


def dot(a: ArrayLike, b: ArrayLike) -> float:
    """Return the inner product of two arrays."""
    pairs = zip(iter_blocks(a), iter_blocks(b), strict=True)
    return float(sum(float(np.vdot(*pair)) for pair in pairs))


def is_finite(array: NDArray[Any]) -> bool:
    """Return whether all values are finite."""
    return all(bool(np.isfinite(block).all()) for block in iter_blocks(array))
