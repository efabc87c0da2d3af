"""Serialization of values for another process, with functions and tensors, by pickle.

The sender of a pickle can run code in the reader, so workers must trust each other, as with Dask's
own messages.
"""

import io
import pickle
from collections.abc import Mapping
from typing import Any

import cloudpickle

from impasto.compute.arrays import HostArray, Tensor, is_tensor, to_numpy


class _PayloadPickler(cloudpickle.Pickler):
    """Pickles tensors as arrays, and omits values that the reader has."""

    def __init__(self, file: io.BytesIO, own: Mapping[str, object]) -> None:
        super().__init__(file, protocol=pickle.HIGHEST_PROTOCOL)
        self.names = {id(value): name for name, value in own.items()}

    def persistent_id(self, value: object) -> str | None:
        """Return the name of a value that the reader has; None for other values."""
        return self.names.get(id(value))

    def reducer_override(self, value: Any) -> Any:
        """Return how a tensor is pickled."""
        if is_tensor(value):
            return _make_tensor, (to_numpy(value),)
        return super().reducer_override(value)


class _PayloadUnpickler(pickle.Unpickler):
    """Unpickles, and inserts the reader's own values."""

    def __init__(self, file: io.BytesIO, own: Mapping[str, object]) -> None:
        super().__init__(file)
        self.own = own

    def persistent_load(self, name: str) -> object:
        """Return a value of the reader."""
        return self.own[name]


def _make_tensor(array: HostArray) -> Tensor:
    from impasto.compute.keras_backend import (
        ops,  # a tensor was written, so that the library is needed
    )

    return ops.convert_to_tensor(array)


def serialize(value: object, own: Mapping[str, object]) -> bytes:
    """Serialize a value; objects in ``own``, compared by identity, are omitted."""
    file = io.BytesIO()
    _PayloadPickler(file, own).dump(value)
    return file.getvalue()


def deserialize(payload: bytes, own: Mapping[str, object]) -> Any:
    """Deserialize a value, with the reader's ``own`` values by the same names."""
    return _PayloadUnpickler(io.BytesIO(payload), own).load()
