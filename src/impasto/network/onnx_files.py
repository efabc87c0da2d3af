"""Reads the initializers of ONNX files by protobuf, without the package ``onnx``.

An ONNX file is a message of Protocol Buffers. Only the fields below are declared, with the numbers
of https://github.com/onnx/onnx/blob/main/onnx/onnx.proto; protobuf skips all others. No operator
is interpreted and no other file is opened.
"""

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class _Field(NamedTuple):
    """A field of a message: name, number, type, and whether it occurs many times."""

    name: str
    number: int
    type: str
    """a scalar type of Protocol Buffers, or the name of a message"""
    repeated: bool = False


_MESSAGES: dict[str, tuple[_Field, ...]] = {
    "Entry": (_Field("key", 1, "string"), _Field("value", 2, "string")),
    "Tensor": (
        _Field("dims", 1, "int64", repeated=True),
        _Field("data_type", 2, "int32"),
        _Field("float_data", 4, "float", repeated=True),
        _Field("name", 8, "string"),
        _Field("raw_data", 9, "bytes"),
        _Field("external_data", 13, "Entry", repeated=True),
        _Field("data_location", 14, "int32"),
    ),
    "Graph": (_Field("initializer", 5, "Tensor", repeated=True),),
    "Model": (_Field("graph", 7, "Graph"),),
}
"""The declared messages; each uses only those before it."""

_DTYPES = {1: "<f4", 10: "<f2", 11: "<f8"}
"""NumPy types of ``data_type``: float, float16 and double."""

_EXTERNAL = 1
"""The ``data_location`` of numbers in another file."""


def iter_initializers(path: Path) -> Iterator[tuple[str, NDArray[np.floating[Any]]]]:
    """Yield the name and the array of each initializer of floats.

    Raises:
        ValueError: an initializer is stored in another file, or its size differs from its shape
        google.protobuf.message.DecodeError: the file is not a message of ONNX
    """
    model = _model_class()()
    model.ParseFromString(path.read_bytes())
    for tensor in model.graph.initializer:
        if tensor.external_data or tensor.data_location == _EXTERNAL:
            raise ValueError(f"{tensor.name} is stored in another file: save it in one file")
        if tensor.data_type in _DTYPES:
            yield tensor.name, _to_array(tensor)


def _to_array(tensor: Any) -> NDArray[np.floating[Any]]:
    dtype = np.dtype(_DTYPES[tensor.data_type])
    if tensor.raw_data:
        values: NDArray[Any] = np.frombuffer(tensor.raw_data, dtype)
    else:
        values = np.array(tensor.float_data, np.float32)
    return values.reshape(tuple(tensor.dims))


@functools.cache
def _model_class() -> Any:
    """Return the class of the message ``Model``, built from ``_MESSAGES``."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    file = descriptor_pb2.FileDescriptorProto(
        name="impasto/onnx_files.proto", package="impasto", syntax="proto2"
    )
    kinds = descriptor_pb2.FieldDescriptorProto
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for each in fields:
            is_message = each.type in _MESSAGES
            message.field.add(
                name=each.name,
                number=each.number,
                label=kinds.LABEL_REPEATED if each.repeated else kinds.LABEL_OPTIONAL,
                type=kinds.Type.Value(f"TYPE_{'MESSAGE' if is_message else each.type.upper()}"),
                type_name=f".impasto.{each.type}" if is_message else None,
            )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("impasto.Model"))
