"""PyTorch's files of tensors, read as numbers, without PyTorch.

Such a file is a pickle, which may name any function to be called. Here names of tensors and of
dictionaries are known and nothing else, and none of them is called: the unpickler makes plain
values that say which numbers a tensor consists of, and those are looked up afterwards.

Two layouts are in use. Before version 1.6 a file was four pickles in a row, followed by the
numbers of every storage; since then it is a ZIP archive with the pickle in ``data.pkl`` and the
numbers in ``data/<key>``.
"""

import functools
import io
import pickle
import struct
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

Numbers: TypeAlias = Callable[["Storage"], bytes]
"""The bytes of a storage."""

MOST_AXES = 8
"""Axes that a tensor may have; a kernel has four."""

_MAGIC = 0x1950A86A20F9469CFC6C
_VERSION = 1001

_DTYPES = {
    "FloatStorage": "<f4",
    "DoubleStorage": "<f8",
    "HalfStorage": "<f2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "<i1",
    "ByteStorage": "<u1",
    "BoolStorage": "<b1",
}
"""What the storages that NumPy has numbers for consist of."""


class Storage(NamedTuple):
    """A row of numbers in the file, which several tensors may be views of."""

    kind: str
    key: str


class Tensor(NamedTuple):
    """A view of a storage: where it begins, its sizes and its strides, in numbers."""

    storage: Storage
    offset: int
    sizes: tuple[int, ...]
    strides: tuple[int, ...]


class _Dictionary(dict[Any, Any]):
    """An ordered dictionary; what else a pickle says of it, such as versions, is left out."""

    def __setstate__(self, state: object) -> None:
        return


def _tensor(storage: Storage, offset: int, sizes: Any, strides: Any, *_: object) -> Tensor:
    return Tensor(storage, offset, sizes, strides)


def _parameter(data: Tensor, *_: object) -> Tensor:
    return data


_KNOWN: Mapping[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): _Dictionary,
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("torch._utils", "_rebuild_parameter"): _parameter,
    **{("torch", name): name for name in _DTYPES},
}
"""Everything that a pickle may name, and what stands for it."""


# The one in Python: that in C reserves memory for as many objects as the pickle says.
class _Unpickler(pickle._Unpickler):
    def find_class(self, module: str, name: str, /) -> Any:
        if (module, name) not in _KNOWN:
            raise ValueError("is no PyTorch file, or holds other things than tensors")
        return _KNOWN[module, name]

    def persistent_load(self, pid: Any) -> Storage:
        kind, storage, key, _, _, *view = pid  # where it was computed, and its length, as it says
        if kind != "storage" or any(each is not None for each in view):
            raise ValueError("holds a part of a storage: save the tensors anew")
        return Storage(storage, key)


def read(path: Path, most: int) -> dict[str, NDArray[Any]]:
    """Return the tensors of a state dict by name, as read-only arrays; the rest is left out.

    Raises ValueError for a file of more than ``most`` bytes, packed or unpacked, one that is
    broken or no state dict, for anything in it but tensors, dictionaries, lists, words and
    numbers, and for numbers in bfloat16.
    """
    if (size := path.stat().st_size) > most:
        raise ValueError(f"{size / 1e9:.1f} GB: {most / 1e9:.1f} GB are possible")
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            return _arrays(*_archive(archive, most))
    return _arrays(*_row(path.read_bytes()))


def _arrays(state: Any, numbers: Numbers) -> dict[str, NDArray[Any]]:
    if not isinstance(state, dict):
        raise ValueError(f"holds no state dict but {type(state).__name__}")
    return {
        name: _array(value, numbers)
        for name, value in state.items()
        if isinstance(name, str) and isinstance(value, Tensor)
    }


def _array(tensor: Tensor, numbers: Numbers) -> NDArray[Any]:
    """Return a tensor's numbers. Raises ValueError unless all of them lie in its storage."""
    storage, offset, sizes, strides = tensor
    if not isinstance(storage, Storage) or storage.kind not in _DTYPES:
        raise ValueError("has a tensor without a storage")
    if not all(isinstance(each, tuple) and len(each) <= MOST_AXES for each in (sizes, strides)):
        raise ValueError("has a tensor of unknown shape")
    whole = (offset, *sizes, *strides)
    if len(sizes) != len(strides) or not all(type(n) is int and n >= 0 for n in whole):
        raise ValueError("has a tensor of unknown shape")
    row = np.frombuffer(numbers(storage), _DTYPES[storage.kind])
    last = offset + sum((n - 1) * step for n, step in zip(sizes, strides, strict=True))
    if 0 not in sizes and last >= len(row):
        raise ValueError("has a tensor with fewer numbers than it says")
    size = row.dtype.itemsize
    steps = tuple(step * size for step in strides)
    return np.lib.stride_tricks.as_strided(row[offset:], sizes, steps, writeable=False)


def _unpickled(stream: io.BytesIO) -> Any:
    """Read one pickle. Raises ValueError for a broken one and for what is not allowed in it."""
    try:
        return _Unpickler(stream, encoding="utf-8").load()
    except ValueError:
        raise
    except Exception:  # what a broken pickle raises is anything
        raise ValueError("is no PyTorch file, or holds other things than tensors") from None


def _archive(archive: zipfile.ZipFile, most: int) -> tuple[Any, Numbers]:
    """Return what is pickled in an archive, and how the numbers of its storages are read."""
    members = {member.filename: member for member in archive.infolist()}
    if (size := sum(member.file_size for member in archive.infolist())) > most:
        raise ValueError(f"{size / 1e9:.1f} GB unpacked: {most / 1e9:.1f} GB are possible")
    pickled = next((name for name in members if name.endswith("/data.pkl")), None)
    if pickled is None:
        raise ValueError("is an archive without data.pkl")
    folder = pickled.removesuffix("data.pkl")

    @functools.cache  # tensors that share a storage share its memory
    def content(name: str) -> bytes:
        member = members.get(folder + name)
        # The other methods unpack without regard to the size that was announced.
        if member is None or member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ValueError(f"has no {name}, or packs it by another method than deflate")
        with archive.open(member) as packed:
            return packed.read(member.file_size)

    if f"{folder}byteorder" in members and content("byteorder") != b"little":
        raise ValueError("has the bytes of its numbers in big-endian order")
    return _unpickled(io.BytesIO(content("data.pkl"))), lambda each: content(f"data/{each.key}")


def _row(file: bytes) -> tuple[Any, Numbers]:
    """Return what is pickled in a file before version 1.6, and its numbers by storage."""
    stream = io.BytesIO(file)
    if (_unpickled(stream), _unpickled(stream)) != (_MAGIC, _VERSION):
        raise ValueError("is no PyTorch file, or holds other things than tensors")
    machine = _unpickled(stream)
    if not isinstance(machine, dict) or machine.get("little_endian") is not True:
        raise ValueError("has the bytes of its numbers in big-endian order")
    state, keys = _unpickled(stream), _unpickled(stream)
    sizes = {each.storage.key: each.storage for each in _tensors(state)}
    rows: dict[str, bytes] = {}
    for key in keys if isinstance(keys, list) else ():
        if key not in sizes:
            raise ValueError("has numbers that belong to no tensor")
        (count,) = struct.unpack("<q", stream.read(8).ljust(8, b"\xff"))
        width = np.dtype(_DTYPES[sizes[key].kind]).itemsize
        if not 0 <= count * width <= len(file):
            raise ValueError("ends before its numbers")
        rows[key] = stream.read(count * width)
    return state, lambda each: rows.get(each.key, b"")


def _tensors(state: Any) -> list[Tensor]:
    values = state.values() if isinstance(state, dict) else ()
    found = [each for each in values if isinstance(each, Tensor)]
    if not all(
        isinstance(each.storage, Storage) and each.storage.kind in _DTYPES for each in found
    ):
        raise ValueError("has a tensor without a storage")
    return found
