"""Types of settings, and conversion of their values from and to text."""

import contextlib
import dataclasses
import math
import numbers
import os
import reprlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from impasto.errors import SettingError, suggest_names

Layers: TypeAlias = tuple[tuple[str, float], ...]
"""Layers of the network by name, with their weights."""

Numbers: TypeAlias = tuple[float, ...]
"""One number, or one for each style image."""

Value: TypeAlias = Any
"""The value of a setting as the caller gave it; a recipe converts and validates it."""

LayersLike: TypeAlias = str | Mapping[str, float] | Iterable[str | tuple[str, float]]
"""Layers as ``"a,b=0.5"``, as a mapping to weights, or as names or (name, weight) pairs."""

NumbersLike: TypeAlias = str | float | Iterable[float]
"""Numbers as ``"0.7,0.3"``, one number, or an iterable."""


@dataclass(frozen=True)
class SettingInfo:
    """Description of a setting: help, unit, range."""

    help: str
    unit: str = ""
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    words: Mapping[str, int] = field(default_factory=dict)
    """special values by name; they may be out of range"""
    default_text: str = ""
    """the default in words, if it depends on the style loss"""

    @property
    def allowed_values(self) -> str:
        """The allowed values in words; empty if the help has them."""
        if self.choices:
            return f"one of {', '.join(self.choices)}"
        if self.minimum is None:
            return ""
        named = "".join(f", or {word}" for word in self.words)
        if self.maximum is None:
            return f"{format_number(self.minimum)} or more{named}"
        return f"{format_number(self.minimum)} to {format_number(self.maximum)}{named}"

    def parse_word(self, value: Value) -> Value:
        """Return the number of a special value; other values are returned unchanged."""
        return self.words.get(value, value) if isinstance(value, str) else value

    def format(self, value: object) -> str:
        """Return a value as the command line accepts it."""
        names = [word for word, number in self.words.items() if number == value]
        return names[0] if names else format_value(value)


def describe_value(value: object) -> str:
    """Return a short representation of a value on one line."""
    return " ".join(reprlib.repr(value).split())


def _parse_numbers(setting: str, value: Value) -> Numbers:
    """Convert :data:`NumbersLike` to numbers."""
    several = value
    if isinstance(value, str):
        several = [part for part in value.split(",") if part.strip()]
    elif isinstance(value, numbers.Real):
        several = [value]
    try:
        return tuple(float(each) for each in several)
    except (TypeError, ValueError, OverflowError):
        raise SettingError(
            f"{setting} is {describe_value(value)}: expected numbers separated by commas"
        ) from None


def _parse_layers(setting: str, value: Value) -> Layers:
    """Convert :data:`LayersLike` to layers."""
    if isinstance(value, str):
        value = [name.strip() for name in value.split(",") if name.strip()]
    pairs = value.items() if isinstance(value, Mapping) else value
    layers = {}
    try:
        for pair in pairs:
            name, weight = pair.partition("=")[::2] if isinstance(pair, str) else pair
            layers[str(name).strip()] = 1.0 if weight == "" else float(weight)
    except (TypeError, ValueError, OverflowError):
        raise SettingError(
            f"{setting} is {describe_value(value)}: expected names separated by commas, each "
            f"NAME or "
            "NAME=WEIGHT"
        ) from None
    if not layers:
        raise SettingError(f"{setting} is empty: give at least one layer")
    if any(not math.isfinite(weight) or weight < 0 for weight in layers.values()):
        raise SettingError(
            f"{setting} is {describe_value(value)}: weights must be finite and at least 0"
        )
    if not any(layers.values()):
        raise SettingError(f"{setting} is {describe_value(value)}: all weights are zero")
    return tuple(layers.items())


def format_value(value: object) -> str:
    """Return the value of a setting as the command line accepts it.

    >>> format_value((("block1_conv1", 0.5), ("block2_conv1", 1.0)))
    'block1_conv1=0.5,block2_conv1'
    """
    if not isinstance(value, tuple):
        return format_number(value) if isinstance(value, float) else str(value)
    return ",".join(format_item(each) for each in value)


def format_item(value: float | tuple[str, float]) -> str:
    """Return a number, or a layer with its weight, as the command line accepts it."""
    if isinstance(value, float):
        return format_number(value)
    name, weight = value
    return name if weight == 1 else f"{name}={format_number(weight)}"


def format_number(value: float) -> str:
    """Return a number exactly, with the fewest digits.

    >>> format_number(1.0), format_number(0.1), format_number(1e6), format_number(2**32 - 1)
    ('1', '0.1', '1000000', '4294967295')
    """
    return repr(value).removesuffix(".0")


_EXPECTED = {int: "a whole number", float: "a number", str: "a word"}


def convert_value(field: "dataclasses.Field[Value]", value: Value) -> Value:
    """Convert a value to the type of the field, if the conversion is exact."""
    kind: Value = field.type
    if kind == Layers:
        return _parse_layers(field.name, value)
    if kind == Numbers:
        return _parse_numbers(field.name, value)
    if kind in (int, float) and isinstance(value, str):
        with contextlib.suppress(ValueError):
            return kind(value)
    if isinstance(value, os.PathLike):
        value = os.fspath(value)
    if kind is int and isinstance(value, numbers.Integral) and not isinstance(value, bool):
        value = int(value)
    if kind is float and isinstance(value, numbers.Real) and not isinstance(value, bool):
        with contextlib.suppress(OverflowError):
            return float(value)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise SettingError(f"{field.name} is {describe_value(value)}: expected {_EXPECTED[kind]}")
    return value


def check_value(name: str, value: Value, about: SettingInfo) -> None:
    """Raise SettingError for a value that is not a choice, or out of range."""
    if value in about.words.values():
        return
    if about.choices and value not in about.choices:
        raise SettingError(
            f"{name} is {describe_value(value)}: {suggest_names(value, about.choices)}"
        )
    for number in value if isinstance(value, tuple) else [value]:
        if isinstance(number, int | float):
            _check_number(name, number, about)


def _check_number(name: str, number: float, about: SettingInfo) -> None:
    if isinstance(number, float) and not math.isfinite(number):
        raise SettingError(f"{name} is {number}: expected a finite number")
    if about.minimum is not None and number < about.minimum:
        raise SettingError(
            f"{name} is {describe_value(number)}: the minimum is {format_number(about.minimum)}"
        )
    if about.maximum is not None and number > about.maximum:
        raise SettingError(
            f"{name} is {describe_value(number)}: the maximum is {format_number(about.maximum)}"
        )
