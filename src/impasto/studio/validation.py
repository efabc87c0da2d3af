"""Validation of the JSON that arrives: `parse` checks it against a ``TypedDict``."""

import functools
from collections.abc import Mapping
from types import UnionType
from typing import (
    Annotated,
    Any,
    Literal,
    NamedTuple,
    NotRequired,
    TypeVar,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

from impasto.errors import SettingError

T = TypeVar("T")

MAX_BITS = 1000
"""Length of integers that can be converted to floats."""


class Range(NamedTuple):
    """The range of a number, or of the length of a list."""

    name: str
    minimum: float
    maximum: float


def parse(value: object, kind: type[T], name: str = "") -> T:
    """Return parsed JSON as a type, without unknown keys.

    Args:
        value: parsed JSON
        kind: a TypedDict, or the type of one of its fields
        name: the name of the value in messages

    Raises:
        SettingError: for a value of another type, a number out of range, or a missing key
    """
    return cast(T, _parse(value, kind, name))


def _parse(value: object, kind: Any, name: str) -> object:
    origin, args = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _in_range(_parse(value, args[0], name), args[1])
    if origin in (Union, UnionType):  # of a type and None
        return None if value is None else _parse(value, args[0], name)
    if isinstance(value, dict) and (is_typeddict(kind) or origin is dict):
        return _parse_object(value, kind, name)
    if isinstance(value, list) and origin is list:
        return [_parse(each, args[0], f"{name}[{at}]") for at, each in enumerate(value)]
    if kind is float and type(value) is int and value.bit_length() < MAX_BITS:
        return float(value)
    if kind is Any or type(value) is kind or (origin is Literal and value in args):
        return value
    raise SettingError(f"{name or 'the JSON'} is {value!r:.40}: expected {_describe(kind)}")


def _parse_object(value: Mapping[str, object], kind: Any, name: str) -> dict[str, object]:
    """Return the known fields of a TypedDict, or all of a dict."""
    types = field_types(kind) if is_typeddict(kind) else dict.fromkeys(value, get_args(kind)[1])
    prefix = f"{name}." if name else ""
    required: frozenset[str] = getattr(kind, "__required_keys__", frozenset())
    if not required <= set(value):
        raise SettingError(f"{prefix}{min(required - set(value))} is missing")
    return {
        field: _parse(value[field], of, f"{prefix}{field}")
        for field, of in types.items()
        if field in value
    }


@functools.cache
def field_types(kind: Any) -> dict[str, Any]:
    """Return the fields of a TypedDict with their types, which include ranges."""
    hints = get_type_hints(kind, include_extras=True)
    return {
        name: get_args(of)[0] if get_origin(of) is NotRequired else of for name, of in hints.items()
    }


def _in_range(value: object, allowed: Range) -> object:
    size = len(value) if isinstance(value, list) else cast(float, value)
    if not allowed.minimum <= size <= allowed.maximum:
        limits = f"{allowed.minimum:g} to {allowed.maximum:g}"
        raise SettingError(f"{allowed.name} is {size!s:.40}: expected {limits}")
    return value


def _describe(kind: Any) -> str:
    names = {str: "a text", int: "an integer", float: "a number", bool: "true or false"}
    if get_origin(kind) is Literal:
        return " or ".join(map(str, get_args(kind)))
    return names.get(kind, "a list" if get_origin(kind) is list else "an object")
