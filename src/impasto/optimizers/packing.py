"""Solver states as named arrays and back; values are validated, since files can be forged."""

import numpy as np
from numpy.typing import NDArray

from impasto import filearray
from impasto.compute.arrays import as_array_like, to_numpy
from impasto.errors import CheckpointError
from impasto.optimizers.solver import Array, Packed, Progress


def pack(progress: Progress) -> dict[str, NDArray[np.float32] | NDArray[np.float64]]:
    """Return what the rest of a run needs of its progress; ``before`` only where it is not 0."""
    arrays = {"best": to_numpy(progress.best), "bests": np.array(progress.lowest, np.float64)}
    return arrays | ({"before": np.array([progress.before], np.float64)} if progress.before else {})


def unpack(packed: Packed, start: Array, budget: int) -> Progress:
    """Return what :func:`pack` wrote down. Raises CheckpointError for what cannot be it."""
    lowest = numbers(packed, "bests")
    before = numbers(packed, "before") if "before" in packed else np.zeros(1)
    count = len(lowest) + int(before[0]) if len(before) == 1 and before[0] >= 0 else 0
    if not 0 < count <= budget or (np.diff(lowest) > 0).any():
        raise CheckpointError("its best values are not a history of this level")
    best = like(packed, "best", start)
    return Progress(best, budget, tuple(lowest.tolist()), int(before[0])).judged()


def check_names(packed: Packed, required: set[str], optional: set[str], solver: str) -> None:
    """Raise CheckpointError unless the arrays have these names, in any order."""
    if not required <= set(packed) <= required | optional:
        raise CheckpointError(f"its optimizer state is not one of {solver}")


def like(packed: Packed, name: str, point: Array) -> Array:
    """Return an array of a state where ``point`` is, a tensor or NumPy's.

    Raises CheckpointError unless it is float32, finite and of the same shape.
    """
    array = packed.get(name, np.empty(0))
    shape = tuple(point.shape)
    if array.shape != shape or array.dtype != np.float32 or not filearray.is_finite(array):
        raise CheckpointError(f"{name!r} of the optimizer's state is not of shape {shape}, float32")
    return (
        array if filearray.is_on_host(point) else as_array_like(filearray.in_memory(array), point)
    )


def numbers(packed: Packed, name: str) -> NDArray[np.float64]:
    """Return a row of numbers of a state. Raises CheckpointError unless all are finite float64."""
    array = packed.get(name, np.empty(0, np.float32))
    if array.ndim != 1 or array.dtype != np.float64 or not np.isfinite(array).all():
        raise CheckpointError(f"{name!r} of the optimizer's state is not a row of float64")
    return array.astype(np.float64, copy=False)
