"""The value range and alpha channel of arrays without tags. Pure functions.

Files of more than 8 bits and arrays from Python do not state their range. It follows from the
type, or for floats from the values. Ambiguous arrays are rejected, and the error names both
possible ranges.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from impasto.errors import ImageError
from impasto.recipe.values import format_value

OVERSHOOT = 0.25
"""Tolerance of floats outside their range, for ringing of resampling filters."""
DARKEST = 16.0
"""Floats with a maximum below this cannot be in 0 to 255: the image would be black."""
BULK = 99
"""Percentile that decides the range if single values are far outside."""


class ScaledValues(NamedTuple):
    """Values converted to a known range, and notes."""

    values: NDArray[Any]
    """uint8, uint16, or float32 in [0, 1]"""
    notes: tuple[str, ...] = ()


def scale_to_range(values: NDArray[Any], strict: bool = True) -> ScaledValues:
    """Return values of any type as uint8, uint16, or float32 in [0, 1].

    Raises ImageError for values that are not finite, far out of range, or ambiguous. If not
    ``strict``, for files with a stated depth and for masks, 16-bit data may use only 8 bits.
    """
    if not values.dtype.isnative:
        values = values.astype(values.dtype.newbyteorder("="))
    if values.dtype.kind not in "buif":
        raise ImageError(f"an array of {values.dtype}: expected integers or floats")
    if values.size == 0:
        raise ImageError(f"an array of shape {values.shape}: expected at least one pixel")
    if values.dtype.kind == "b":
        return ScaledValues(values.astype(np.uint8) * np.uint8(255))
    if values.dtype.kind == "f":
        return _scale_floats(values)
    return _scale_integers(values, strict)


def _scale_integers(values: NDArray[Any], strict: bool) -> ScaledValues:
    """Scale integers by the range of their type; wide types usually hold 8-bit values."""
    if values.dtype == np.uint8:
        return ScaledValues(values)
    low, high = int(values.min()), int(values.max())
    white = _integer_white(values.dtype, high, strict)
    if low < 0 or high > white:
        raise ImageError(
            f"{values.dtype} values from {low} to {high}: expected 0 to {white}, or 0 to 65535 "
            "as uint16"
        )
    if white == 255:
        return ScaledValues(values.astype(np.uint8))
    if strict and high <= 255:
        raise ImageError(
            f"{values.dtype} values up to {high}: if 255 is white, convert them to "
            "uint8; if not, scale them to 65535"
        )
    if white < 65535:
        return ScaledValues((values / white).astype(np.float32))
    return ScaledValues((values // (white // 65535)).astype(np.uint16))


def _integer_white(kind: np.dtype[Any], high: int, strict: bool) -> int:
    """Return the value of white for integers of a type whose maximum is ``high``."""
    if kind == np.uint16:
        return 65535
    if high <= 255 or (strict and kind.kind == "i"):
        return 255
    if kind == np.int16:
        return 32767
    return int(np.iinfo(kind).max) if kind.kind == "u" and high > 65535 else 65535


def _scale_floats(values: NDArray[Any]) -> ScaledValues:
    """Scale floats from 0 to 1 or from 0 to 255, and clip values slightly outside."""
    low, high = float(values.min()), float(values.max())
    white = _float_white(values, high)
    if not (np.isfinite(low) and np.isfinite(high)) or white is None or low < -OVERSHOOT * white:
        raise ImageError(
            f"values from {_short(low)} to {_short(high)}: expected 0 to 1 or 0 to 255; rescale "
            "them, or convert the image to 8 bits"
        )
    scaled = (values / white).astype(np.float32)
    if low >= 0 and high <= white:
        return ScaledValues(scaled)
    np.clip(scaled, 0, 1, out=scaled)
    note = f"values from {_short(low, 7)} to {_short(high, 7)} were clipped to 0 to {white:g}"
    return ScaledValues(scaled, (note,))


def _short(value: float, digits: int = 6) -> str:
    return format_value(float(f"{value:.{digits}g}"))


def _float_white(values: NDArray[Any], high: float) -> float | None:
    """Return the value of white for floats, 1 or 255; None if unknown."""
    if high <= 1 + OVERSHOOT:
        return 1.0
    if high >= DARKEST:
        return 255.0 if high <= 255 * (1 + OVERSHOOT) else None
    # Ambiguous: a few highlights, or a nearly black image in 0 to 255.
    return 1.0 if np.percentile(values, BULK) <= 1 + OVERSHOOT else None


class ColorAndAlpha(NamedTuple):
    """Color channels (height, width, 1 or 3), and opacity (height, width)."""

    colors: NDArray[Any]
    alpha: NDArray[Any] | None


def split_alpha(values: NDArray[Any]) -> ColorAndAlpha:
    """Split alpha from an array (h, w) or (h, w, 1 to 4). Raises ImageError for other shapes.

    Two channels are gray and alpha, four RGB and alpha. A first axis of length 1 is removed.
    """
    values = _drop_batch_axis(values)
    if values.ndim == 2:
        values = values[..., np.newaxis]
    if values.ndim != 3 or values.shape[2] not in (1, 2, 3, 4):
        first = values.ndim == 3 and values.shape[0] in (1, 3, 4)
        how = "; move its first axis to the end" if first else ""
        how = "; give one of these images, such as array[0]" if values.ndim == 4 else how
        raise ImageError(
            f"an array of shape {values.shape}: expected (height, width, 3), with transparency "
            f"(height, width, 4), or (height, width){how}"
        )
    count = values.shape[2]
    if count in (2, 4):
        return ColorAndAlpha(values[..., : count - 1], values[..., count - 1])
    return ColorAndAlpha(values, None)


def _drop_batch_axis(values: NDArray[Any]) -> NDArray[Any]:
    """Return the image of a batch of one; other arrays unchanged."""
    return values[0] if values.ndim == 4 and values.shape[0] == 1 else values


def masked_positions(array: NDArray[Any]) -> NDArray[np.bool_] | None:
    """Return which pixels of a `numpy.ma` array are masked in any channel; None for other arrays.

    The array has a shape that `split_alpha` accepts.
    """
    if not np.ma.is_masked(array):
        return None
    hidden = _drop_batch_axis(np.ma.getmaskarray(array))
    return hidden if hidden.ndim == 2 else np.any(hidden, axis=-1)


def scale_alpha(values: NDArray[Any]) -> NDArray[np.float32]:
    """Return opacity in [0, 1], by the range of its type. Raises the errors of
    :func:`scale_to_range`.
    """
    scaled = scale_to_range(values, strict=False).values
    white = 1 if scaled.dtype.kind == "f" else np.iinfo(scaled.dtype).max
    return np.clip(scaled.astype(np.float32) / np.float32(white), 0, 1)
