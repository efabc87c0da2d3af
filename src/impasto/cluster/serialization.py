"""Serialization of values for another process, with functions and tensors, by pickle.

The sender of a pickle can run code in the process that loads it, so workers must trust each other,
as with Dask's own messages.
"""

import io
import pickle
from collections.abc import Mapping
from typing import Any

import cloudpickle

from impasto.compute.arrays import HostArray, Tensor, is_tensor, to_numpy


class _PayloadPickler(cloudpickle.Pickler):
    """Pickles tensors as arrays, and shared values by their names."""

    def __init__(self, file: io.BytesIO, shared: Mapping[str, object]) -> None:
        super().__init__(file, protocol=pickle.HIGHEST_PROTOCOL)
        self.names = {id(value): name for name, value in shared.items()}

    def persistent_id(self, value: object) -> str | None:
        """Return the name of a shared value; None for other values."""
        return self.names.get(id(value))

    def reducer_override(self, value: Any) -> Any:
        """Return how a tensor is pickled."""
        if is_tensor(value):
            return _make_tensor, (to_numpy(value),)
        return super().reducer_override(value)


class _PayloadUnpickler(pickle.Unpickler):
    """Unpickles, and inserts shared values by their names."""

    def __init__(self, file: io.BytesIO, shared: Mapping[str, object]) -> None:
        super().__init__(file)
        self.shared = shared

    def persistent_load(self, name: str) -> object:
        """Return the shared value of this name."""
        return self.shared[name]


def _make_tensor(array: HostArray) -> Tensor:
    from impasto.compute.keras_backend import ops  # only the pickle of a tensor needs it

    return ops.convert_to_tensor(array)


def serialize(value: object, shared: Mapping[str, object]) -> bytes:
    """Return the pickle of a value.

    Args:
        value: any value, with functions and tensors
        shared: objects, compared by identity, that are stored by name: the process that loads the
            pickle has its own, such as the functions of its network
    """
    file = io.BytesIO()
    _PayloadPickler(file, shared).dump(value)
    return file.getvalue()


def deserialize(payload: bytes, shared: Mapping[str, object]) -> Any:
    """Return the value of :func:`serialize`, with the ``shared`` objects of this process."""
    return _PayloadUnpickler(io.BytesIO(payload), shared).load()
