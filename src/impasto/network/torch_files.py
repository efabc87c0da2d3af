"""Reads tensor files of PyTorch without PyTorch; no code in them is executed.

Two formats of ``torch.serialization``: since version 1.6 an archive with a pickle and one file per
storage, before that consecutive pickles followed by the storages. The pickle describes tensors as
(storage, offset, size, stride); :data:`_ALLOWED_GLOBALS` lists everything that it may call.
"""

import io
import math
import pickle
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

MAGIC = 0x1950A86A20F9469CFC6C
"""The first number in files of the older format."""


class _DType(NamedTuple):
    """The dtype of a storage."""

    dtype: str


class _Storage(NamedTuple):
    """A storage in the file."""

    kind: _DType
    key: str


class _Tensor(NamedTuple):
    """The description of a tensor in the pickle."""

    storage: _Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]

    def view(self, numbers: Array) -> Array:
        """Return the tensor from its storage. Raises ValueError if it exceeds the storage."""
        if math.prod(self.size) == 0:
            return np.zeros(self.size, numbers.dtype)
        steps = list(zip(self.size, self.stride, strict=True))
        last = self.offset + sum((size - 1) * stride for size, stride in steps)
        if min(self.offset, *self.size, *self.stride, 0) < 0 or last >= numbers.size:
            raise ValueError("has a tensor that exceeds its storage")
        strides = tuple(stride * numbers.itemsize for stride in self.stride)
        return np.lib.stride_tricks.as_strided(
            numbers[self.offset :], self.size, strides, writeable=False
        )


_DTYPES = {
    **{"Double": "f8", "Float": "f4", "Half": "f2", "Long": "i8", "Int": "i4", "Short": "i2"},
    **{"Char": "i1", "Byte": "u1", "Bool": "?"},
}
_ALLOWED_GLOBALS: dict[tuple[str, str], Callable[..., Any] | _DType] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): (
        lambda storage, offset, size, stride, *others: _Tensor(
            storage, offset, tuple(size), tuple(stride)
        )
    ),
    ("torch._utils", "_rebuild_parameter"): lambda data, *others: data,
    **{("torch", f"{name}Storage"): _DType(dtype) for name, dtype in _DTYPES.items()},
}
"""All names that a pickle may use, and their replacements."""


class _RestrictedUnpickler(pickle._Unpickler):
    """The unpickler in Python, since the one in C allocates memory for a number in the file.

    Protocol 4 and later are disabled, since one of their opcodes does so too.
    """

    dispatch = {  # noqa: RUF012
        code: load
        for code, load in pickle._Unpickler.dispatch.items()
        if code < pickle.SHORT_BINUNICODE[0]
    }

    def find_class(self, module: str, name: str) -> Any:
        """Return the replacement of a name; raises KeyError for other names."""
        return _ALLOWED_GLOBALS[module, name]

    def persistent_load(self, given: Any) -> _Storage:
        """Return the storage of a persistent id (``storage``, kind, key, device, count, view)."""
        word, kind, key, _, _, *view = given
        if word != "storage" or not isinstance(kind, _DType) or any(view):
            raise pickle.UnpicklingError
        return _Storage(kind, str(key))


def read_state_dict(path: Path, most: int) -> dict[str, Array]:
    """Return the tensors of a state dict by name, without its other values.

    Raises:
        ValueError: the format is unknown, there are objects other than tensors and plain values, or
            the file has more than ``most`` bytes unpacked
    """
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                return _read_archive(archive, most)
        return _read_legacy(io.BytesIO(path.read_bytes()), most)
    except _PARSE_ERRORS:
        raise ValueError("is not a PyTorch file, or contains other objects than tensors") from None


_PARSE_ERRORS = (
    *(pickle.UnpicklingError, EOFError, TypeError, LookupError, AttributeError, struct.error),
    *(UnicodeError, RecursionError, OverflowError),
)
"""Exceptions of the unpickler for an invalid file."""


def _read_archive(archive: zipfile.ZipFile, most: int) -> dict[str, Array]:
    members = {member.filename: member for member in archive.infolist()}
    if (size := sum(member.file_size for member in members.values())) > most:
        raise ValueError(f"{size / 1e9:.1f} GB unpacked: the maximum is {most / 1e9:.1f} GB")
    # Other methods ignore the stated size while unpacking.
    methods = {member.compress_type for member in members.values()}
    if not methods <= {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
        raise ValueError("is not compressed by deflate")
    pickled, *_ = [name for name in members if name.endswith("/data.pkl")] or [""]
    folder = pickled.removesuffix("data.pkl")
    order = f"{folder}byteorder"
    endian = ">" if order in members and archive.read(order) == b"big" else "<"
    state = _check_state(_RestrictedUnpickler(io.BytesIO(archive.read(pickled))).load())
    return _views(
        state,
        {
            key: np.frombuffer(archive.read(f"{folder}data/{key}"), endian + kind.dtype)
            for kind, key in {tensor.storage for tensor in state.values()}
        },
    )


def _read_legacy(stream: BinaryIO, most: int) -> dict[str, Array]:
    """Read the older format: magic, protocol, system, state, keys, and storages by their keys."""
    magic, _, system = (_RestrictedUnpickler(stream).load() for _ in range(3))
    if magic != MAGIC:
        raise pickle.UnpicklingError
    if not (isinstance(system, dict) and system.get("little_endian") is True):
        raise ValueError("was written with another byte order")
    state = _check_state(_RestrictedUnpickler(stream).load())
    kinds = {
        tensor.storage.key: np.dtype("<" + tensor.storage.kind.dtype) for tensor in state.values()
    }
    storages: dict[str, Array] = {}
    for key in _RestrictedUnpickler(stream).load():
        if key not in kinds:
            break  # the dtype of an unused storage is unknown
        size = int.from_bytes(stream.read(8), "little") * kinds[key].itemsize
        if size > most:
            raise ValueError(f"states {size:,} bytes: the maximum is {most:,}")
        storages[key] = np.frombuffer(stream.read(size), kinds[key])
    return _views(state, storages)


def _check_state(content: Any) -> dict[str, _Tensor]:
    if not isinstance(content, Mapping):
        raise ValueError(f"does not contain a state dict but {type(content).__name__}")
    named = {name: each for name, each in content.items() if isinstance(name, str)}
    return {name: each for name, each in named.items() if isinstance(each, _Tensor)}


def _views(state: Mapping[str, _Tensor], storages: Mapping[str, Array]) -> dict[str, Array]:
    missing = [name for name, each in state.items() if each.storage.key not in storages]
    if missing:
        raise ValueError(f"has no data for {missing[0]}")
    return {name: each.view(storages[each.storage.key]) for name, each in state.items()}
