"""PyTorch's files of tensors, read without PyTorch: nothing of them is executed.

Two formats, as ``torch.serialization`` writes them: since 1.6 an archive with a pickle and a file
for every storage, before that pickles in a row and the storages behind them. The pickle describes
tensors as (storage, offset, size, stride); all that it may call is listed in :data:`_KNOWN`.
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
"""The number that files of the older format begin with."""


class _Kind(NamedTuple):
    """The type of the numbers of a storage."""

    dtype: str


class _Storage(NamedTuple):
    """Numbers that lie somewhere in the file."""

    kind: _Kind
    key: str
    length: int


class _Tensor(NamedTuple):
    """A tensor as the pickle describes it."""

    storage: _Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]

    def among(self, numbers: Array) -> Array:
        """Return the view of a storage's numbers. Raises ValueError if it reaches beyond them."""
        whole = isinstance(self.offset, int) and all(
            isinstance(n, int) and n >= 0 for n in (self.offset, *self.size, *self.stride)
        )
        if not whole or len(self.size) != len(self.stride):
            raise ValueError("has a tensor without a size")
        steps = zip(self.size, self.stride, strict=True)
        last = self.offset + sum((size - 1) * stride for size, stride in steps)
        if math.prod(self.size) and last >= numbers.size:
            raise ValueError("has a tensor that reaches beyond its numbers")
        if not math.prod(self.size):
            return np.zeros(self.size, numbers.dtype)
        strides = tuple(stride * numbers.itemsize for stride in self.stride)
        begun = numbers[self.offset :]
        return np.lib.stride_tricks.as_strided(begun, self.size, strides, writeable=False)


def _rebuilt(storage: Any, offset: Any, size: Any, stride: Any, *others: Any) -> _Tensor:
    if not isinstance(storage, _Storage):
        raise pickle.UnpicklingError("a tensor without a storage")
    return _Tensor(storage, offset, tuple(size), tuple(stride))


_KNOWN: dict[tuple[str, str], Callable[..., Any] | _Kind] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuilt,
    ("torch._utils", "_rebuild_parameter"): lambda data, *others: data,
    **{
        ("torch", f"{name}Storage"): _Kind(dtype)
        for name, dtype in {
            **{"Double": "f8", "Float": "f4", "Half": "f2", "Long": "i8", "Int": "i4"},
            **{"Short": "i2", "Char": "i1", "Byte": "u1", "Bool": "?"},
        }.items()
    },
}
"""All names that a pickle may use, and what stands for them here."""


_CODES = (
    *(pickle.PROTO, pickle.STOP, pickle.MARK, pickle.GLOBAL, pickle.REDUCE, pickle.BUILD),
    *(pickle.BINPERSID, pickle.BINPUT, pickle.LONG_BINPUT, pickle.BINGET, pickle.LONG_BINGET),
    *(pickle.EMPTY_DICT, pickle.EMPTY_LIST, pickle.EMPTY_TUPLE, pickle.TUPLE, pickle.TUPLE1),
    *(pickle.TUPLE2, pickle.TUPLE3, pickle.APPEND, pickle.APPENDS, pickle.SETITEM),
    *(pickle.SETITEMS, pickle.NONE, pickle.NEWTRUE, pickle.NEWFALSE, pickle.BININT),
    *(pickle.BININT1, pickle.BININT2, pickle.LONG1, pickle.BINFLOAT, pickle.BINUNICODE),
    *(pickle.BINSTRING, pickle.SHORT_BINSTRING),
)
"""What a pickle may say: protocol 2, without what makes room for a size that it announces."""


class _Unpickler(pickle._Unpickler):
    """Python's own unpickler: the one in C makes room for as many objects as a number says."""

    dispatch = {code[0]: pickle._Unpickler.dispatch[code[0]] for code in _CODES}  # noqa: RUF012

    def find_class(self, module: str, name: str) -> Any:
        """Return what stands for a name; raises UnpicklingError for all that are not known."""
        try:
            return _KNOWN[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"{module}.{name}") from None

    def persistent_load(self, given: Any) -> _Storage:
        """Return the storage that is named: (``storage``, kind, key, device, count, view)."""
        word, kind, key, _, count, *view = given
        if word != "storage" or not isinstance(kind, _Kind) or any(view):
            raise pickle.UnpicklingError("a storage of another form")
        return _Storage(kind, str(key), int(count))


def read(path: Path, most: int) -> dict[str, Array]:
    """Return the tensors of a state dict by name; what else it holds is left out.

    Raises ValueError for a file of another form, one that holds other things than tensors and plain
    values, and one of more than ``most`` bytes unpacked.
    """
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                return _of_archive(archive, most)
        return _of_pickles(io.BytesIO(path.read_bytes()), most)
    except _BROKEN:
        raise ValueError("is no PyTorch file, or holds other things than tensors") from None


_BROKEN = (
    *(pickle.UnpicklingError, EOFError, TypeError, LookupError, AttributeError, struct.error),
    *(UnicodeError, RecursionError, OverflowError),
)
"""What reading a pickle raises that is no pickle, or none of tensors."""


def _of_archive(archive: zipfile.ZipFile, most: int) -> dict[str, Array]:
    members = archive.infolist()
    if (size := sum(member.file_size for member in members)) > most:
        raise ValueError(f"{size / 1e9:.1f} GB unpacked: {most / 1e9:.1f} GB are possible")
    # The other methods unpack without regard to the size that was announced.
    if any(m.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for m in members):
        raise ValueError("is packed by another method than deflate")
    names = [name for name in archive.namelist() if name.endswith("/data.pkl")]
    if len(names) != 1:
        raise pickle.UnpicklingError("no pickle")
    folder = names[0].removesuffix("data.pkl")
    turned = _member(archive, f"{folder}byteorder") == b"big"
    state = _state(_Unpickler(io.BytesIO(archive.read(names[0]))).load())
    storages: dict[str, Array] = {}
    for each in state.values():
        if (key := each.storage.key) not in storages:
            kind = np.dtype(each.storage.kind.dtype).newbyteorder(">" if turned else "<")
            storages[key] = np.frombuffer(_member(archive, f"{folder}data/{key}"), kind)
    return _tensors(state, storages)


def _member(archive: zipfile.ZipFile, name: str) -> bytes:
    return archive.read(name) if name in archive.namelist() else b""


def _of_pickles(stream: BinaryIO, most: int) -> dict[str, Array]:
    """Read the older format: magic, protocol, system, state, keys, and storages by their keys."""
    if _Unpickler(stream).load() != MAGIC:
        raise pickle.UnpicklingError("another number at the beginning")
    _Unpickler(stream).load()
    system = _Unpickler(stream).load()
    if not (isinstance(system, dict) and system.get("little_endian") is True):
        raise ValueError("was written by a machine of another byte order")
    state = _state(_Unpickler(stream).load())
    kinds = {each.storage.key: each.storage.kind for each in state.values()}
    storages: dict[str, Array] = {}
    for key in _Unpickler(stream).load():
        if key not in kinds:
            break  # of what is left out the size of a number is not known
        kind = np.dtype(kinds[key].dtype).newbyteorder("<")
        if (size := int.from_bytes(stream.read(8), "little") * kind.itemsize) > most:
            raise ValueError(f"says that it has {size:,} bytes: at most {most:,} are possible")
        storages[key] = np.frombuffer(stream.read(size), kind)
    return _tensors(state, storages)


def _state(found: Any) -> dict[str, _Tensor]:
    if not isinstance(found, Mapping):
        raise ValueError(f"holds no state dict but {type(found).__name__}")
    return {
        name: value
        for name, value in found.items()
        if isinstance(name, str) and isinstance(value, _Tensor)
    }


def _tensors(state: Mapping[str, _Tensor], storages: Mapping[str, Array]) -> dict[str, Array]:
    missing = [name for name, each in state.items() if each.storage.key not in storages]
    if missing:
        raise ValueError(f"has no numbers for {missing[0]}")
    return {name: each.among(storages[each.storage.key]) for name, each in state.items()}
