"""Solver states as named arrays and back; values are validated, since files can be forged."""

import numpy as np
from numpy.typing import NDArray

from impasto import filearray
from impasto.compute.arrays import as_array_like, to_numpy
from impasto.errors import CheckpointError
from impasto.optimizers.solver import Array, SolverProgress, StateArrays


def progress_to_arrays(
    progress: SolverProgress,
) -> dict[str, NDArray[np.float32] | NDArray[np.float64]]:
    """Return the progress as named arrays; ``before`` only if it is not 0."""
    arrays = {"best": to_numpy(progress.best), "bests": np.array(progress.lowest, np.float64)}
    return arrays | ({"before": np.array([progress.before], np.float64)} if progress.before else {})


def progress_from_arrays(arrays: StateArrays, start: Array, budget: int) -> SolverProgress:
    """Return the progress that the arrays contain. Raises CheckpointError for invalid ones."""
    lowest = read_numbers(arrays, "bests")
    before = read_numbers(arrays, "before") if "before" in arrays else np.zeros(1)
    count = len(lowest) + int(before[0]) if len(before) == 1 and before[0] >= 0 else 0
    if not 0 < count <= budget or (np.diff(lowest) > 0).any():
        raise CheckpointError("its best values are not a history of this level")
    best = read_point(arrays, "best", start)
    return SolverProgress(best, budget, tuple(lowest.tolist()), int(before[0])).with_stop_reason()


def check_array_names(
    arrays: StateArrays, required: set[str], optional: set[str], solver: str
) -> None:
    """Raise CheckpointError unless the arrays have these names, in any order."""
    if not required <= set(arrays) <= required | optional:
        raise CheckpointError(f"its optimizer state is not one of {solver}")


def read_point(arrays: StateArrays, name: str, point: Array) -> Array:
    """Return an array of a state on the device of ``point``.

    Raises CheckpointError unless it is float32, finite and of the shape of ``point``.
    """
    array = arrays.get(name, np.empty(0))
    shape = tuple(point.shape)
    if array.shape != shape or array.dtype != np.float32 or not filearray.is_finite(array):
        raise CheckpointError(f"{name!r} of the optimizer's state is not of shape {shape}, float32")
    return (
        array if filearray.is_on_host(point) else as_array_like(filearray.in_memory(array), point)
    )


def read_numbers(arrays: StateArrays, name: str) -> NDArray[np.float64]:
    """Return a finite float64 array (n,) of a state. Raises CheckpointError for other arrays."""
    array = arrays.get(name, np.empty(0, np.float32))
    if array.ndim != 1 or array.dtype != np.float64 or not np.isfinite(array).all():
        raise CheckpointError(f"{name!r} of the optimizer's state is not a row of float64")
    return array.astype(np.float64, copy=False)
