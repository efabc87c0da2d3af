"""NumPy functions under the names of ``keras.ops``, for code that both engines share.

:func:`impasto.compute.arrays.array_namespace` returns this module or ``keras.ops``.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray


def __getattr__(name: str) -> Any:
    return getattr(np, name)


def cast(value: Any, dtype: DTypeLike) -> NDArray[Any]:
    """Return an array of a dtype; an array of that dtype is not copied."""
    return np.asarray(value, dtype)


def stop_gradient(value: Any) -> Any:
    """Return the value: NumPy arrays have no gradient."""
    return value


def slice(value: NDArray[Any], begin: Sequence[int], size: Sequence[int]) -> NDArray[Any]:
    """Return the part with an index and a size along every axis."""
    ends = zip(begin, size, strict=True)
    return value[tuple(np.s_[int(first) : int(first + count)] for first, count in ends)]
