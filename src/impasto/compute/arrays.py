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
"""A NumPy array, one that lies in a file, or a tensor of the running backend."""
Tensor: TypeAlias = Any
"""A tensor of the running backend; with the native engine a NumPy array."""
HostArray: TypeAlias = NDArray[Any]
"""A NumPy array."""
Size: TypeAlias = Any
"""A whole number; in a traced function perhaps a tensor of one."""


def is_tensor(value: object) -> bool:
    """Return whether a value is a tensor of the running backend."""
    if isinstance(value, np.ndarray | np.generic | int | float) or value is None:
        return False
    ops = getattr(sys.modules.get("keras"), "ops", None)
    return ops is not None and bool(ops.is_tensor(value))


def array_namespace(array: Array) -> Any:
    """Return the functions that take such an array, under the names of ``keras.ops``.

    ``keras.ops`` itself for a tensor, else :mod:`impasto.compute.numpy_ops`.
    """
    return sys.modules["keras"].ops if is_tensor(array) else numpy_ops


def as_array_like(value: HostArray, array: Array) -> Array:
    """Return a NumPy array as what can be computed with beside ``array``: a tensor beside one."""
    return array_namespace(array).convert_to_tensor(value) if is_tensor(array) else value


def to_numpy(array: Array) -> HostArray:
    """Return a tensor as a NumPy array; an array in memory or in a file as it is."""
    if filearray.is_on_host(array) or not is_tensor(array):
        return array if filearray.is_on_host(array) else np.asarray(array)
    found: HostArray = array_namespace(array).convert_to_numpy(array)
    return found


def gather_rows(array: Array, indexes: NDArray[Any]) -> Array:
    """Return those rows of an array or a tensor (n, ...), in the shape of ``indexes``."""
    if not is_tensor(array):
        return array[indexes]
    ops = array_namespace(array)
    return ops.take(array, ops.convert_to_tensor(indexes.astype(np.int32)), axis=0)


def ran_out_of_memory(error: BaseException | None) -> bool:
    """Return whether NumPy, or the running backend, raised an error for want of memory.

    Each backend has errors of its own for it, and Keras, TensorFlow and JAX wrap those of others;
    but each says so, or the one within it does.
    """
    if error is None or isinstance(error, MemoryError):
        return error is not None
    said = f"{type(error).__name__}: {error}".lower()
    within = error.__cause__ or error.__context__
    return any(words in said for words in _OUT_OF_MEMORY) or ran_out_of_memory(within)


_OUT_OF_MEMORY = (
    "resourceexhausted",
    "resource_exhausted",
    "out of memory",
    "outofmemory",
    "memoryerror",
    "can't allocate memory",
    "not enough memory",
)
