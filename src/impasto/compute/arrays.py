"""Arrays of both engines: NumPy arrays, and tensors of the Keras backend.

Never imports Keras: if it is not loaded, there are no tensors.
"""

import sys
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from impasto import filearray
from impasto.compute import numpy_ops

Array: TypeAlias = Any
"""A NumPy array, an array in a file, or a tensor of the backend."""
Tensor: TypeAlias = Any
"""A tensor of the backend; with the native engine a NumPy array."""
HostArray: TypeAlias = NDArray[Any]
"""A NumPy array."""
Size: TypeAlias = Any
"""An integer, or in a traced function an integer tensor."""


def is_tensor(value: object) -> bool:
    """Return whether a value is a tensor of the backend."""
    if isinstance(value, np.ndarray | np.generic | int | float) or value is None:
        return False
    ops = getattr(sys.modules.get("keras"), "ops", None)
    return ops is not None and bool(ops.is_tensor(value))


def array_namespace(array: Array) -> Any:
    """Return the functions for an array, under the names of ``keras.ops``.

    ``keras.ops`` itself for a tensor, else :mod:`impasto.compute.numpy_ops`.
    """
    return sys.modules["keras"].ops if is_tensor(array) else numpy_ops


def as_array_like(value: HostArray, array: Array) -> Array:
    """Return a NumPy array as a tensor if ``array`` is one, else unchanged."""
    return array_namespace(array).convert_to_tensor(value) if is_tensor(array) else value


def to_numpy(array: Array) -> HostArray:
    """Return a tensor as a NumPy array; an array in memory or in a file unchanged."""
    if filearray.is_on_host(array) or not is_tensor(array):
        return array if filearray.is_on_host(array) else np.asarray(array)
    converted: HostArray = array_namespace(array).convert_to_numpy(array)
    return converted


def gather_rows(array: Array, indexes: NDArray[Any]) -> Array:
    """Return rows of an array or a tensor (n, ...), in the shape of ``indexes``."""
    if not is_tensor(array):
        return array[indexes]
    ops = array_namespace(array)
    return ops.take(array, ops.convert_to_tensor(indexes.astype(np.int32)), axis=0)


def ran_out_of_memory(error: BaseException | None) -> bool:
    """Return whether an error of NumPy or of the backend means that memory ran out.

    Backends have their own error types, which may wrap others. Therefore the name and the message
    of the error, and of those that caused it, are searched for known words.
    """
    if error is None or isinstance(error, MemoryError):
        return error is not None
    text = f"{type(error).__name__}: {error}".lower()
    cause = error.__cause__ or error.__context__
    return any(words in text for words in _OUT_OF_MEMORY) or ran_out_of_memory(cause)


_OUT_OF_MEMORY = (
    *("resourceexhausted", "resource_exhausted", "out of memory", "outofmemory", "memoryerror"),
    *("can't allocate memory", "not enough memory"),
)
