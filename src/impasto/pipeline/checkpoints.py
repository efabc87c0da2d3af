"""Checkpoints: the state of a run in one file.

A checkpoint is a safetensors file with JSON metadata. Its SHA-256 covers all bytes and is checked
before parsing. A file with the right hash can still be forged, so every value is checked against
the recipe and the inputs, which the user gives again. No path in the file is used.
"""

import hashlib
import json
import logging
import math
import operator
import os
import re
import stat
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import safetensors
from numpy.typing import NDArray

from impasto import filearray, files
from impasto.errors import CheckpointError, InputError, SettingError
from impasto.images.load import InputSource
from impasto.network import weights
from impasto.optimizers.registry import SOLVERS
from impasto.optimizers.solver import StopReason
from impasto.pipeline import provenance
from impasto.pipeline.events import LevelFinished, RunState, StepRecord
from impasto.pipeline.pyramid import Level
from impasto.recipe import settings as recipes
from impasto.recipe.settings import Recipe
from impasto.version import __version__

LOG = logging.getLogger(__name__)

CHECKPOINT_ENDING = ".checkpoint"
"""Extension of checkpoints whose name impasto chooses."""

LARGEST_HEADER = 100_000_000
"""Maximum bytes of JSON, as in safetensors."""

STAGES = ("network", "targets", "painting")
"""Stages for which seconds are counted."""

_PIECE = 2**24
"""Bytes of a file that are read at once."""
_UNSIGNED = "0" * 64
"""Placeholder for the hash in the header while it is computed."""
_SIGNED = re.compile(rb'"sha256":"([0-9a-f]{64})"')
_DTYPES = {"float32": "F32", "float64": "F64", "int32": "I32", "int64": "I64"}
_STATE = "optimizer "
"""Prefix of the names of the optimizer's arrays."""
_PARSE_ERRORS = (
    *(safetensors.SafetensorError, RecursionError, ArithmeticError),
    *(ValueError, KeyError, TypeError, AttributeError),
)
"""Exceptions while reading a forged file."""
_NUMBERS = ("level", "total", "content", "style", "tv", "seconds")
"""Fields of a ``StepRecord`` that are stored as numbers, in this order."""
_FORGED = "its values do not fit its recipe and these inputs"

HostArray: TypeAlias = NDArray[Any]
Arrays: TypeAlias = Mapping[str, HostArray]


# Writing ------------------------------------------------------------------------------------


def write_checkpoint(state: RunState, path: files.AnyPath) -> None:
    """Write a state atomically. Raises OutputError if it cannot be written."""
    state = to_serializable(state)
    tensors = _tensors(state)
    header = _header(state, tensors)
    digest = hashlib.sha256(header)
    for each in _iter_data(tensors):
        digest.update(each)
    signed = header.replace(_signature(_UNSIGNED), _signature(digest.hexdigest()), 1)
    with files.atomic_replace(path) as temporary, temporary.open("wb") as file:
        file.write(signed)
        file.writelines(_iter_data(tensors))


def _iter_data(tensors: Arrays) -> Iterator[memoryview]:
    for array in tensors.values():
        for block in filearray.iter_blocks(array):
            yield np.ascontiguousarray(block).reshape(-1).view(np.uint8).data


def to_serializable(state: RunState) -> RunState:
    """Return a state with the solver's state as arrays, or the start of the level.

    A level that ended is written with its final state, and ends again when resumed.
    """
    arrays = state.solver
    if arrays is not None and not isinstance(arrays, Mapping):
        arrays = SOLVERS[state.provenance.recipe.optimizer].to_arrays(arrays)
    earlier = tuple(each for each in state.levels if each.level < state.level)
    history = state.history
    if arrays is None:
        history = tuple(record for record in history if record.level < state.level)
    return replace(state, solver=arrays, history=history, levels=earlier)


def _signature(digest: str) -> bytes:
    return f'"sha256":"{digest}"'.encode()


def _tensors(state: RunState) -> Arrays:
    history = [[getattr(record, name) for name in _NUMBERS] for record in state.history]
    assert state.solver is None or isinstance(state.solver, Mapping)
    return {
        "picture": state.start_image,
        "history": np.array(history, np.float64).reshape(-1, len(_NUMBERS)),
        **{_STATE + name: array for name, array in (state.solver or {}).items()},
    }


def _header(state: RunState, tensors: Arrays) -> bytes:
    """Return the header of a safetensors file: https://github.com/huggingface/safetensors."""
    stored = {
        "provenance": state.provenance.to_dict(),
        "level": state.level,
        "levels": [level.to_dict() for level in state.levels],
        "steps": [[int(record.rejected), record.layers] for record in state.history],
        "seconds": dict(state.seconds),
        "began": state.level_began,
        "learned": state.curvature_scale,
    }
    parts: dict[str, Any] = {"__metadata__": {"sha256": _UNSIGNED, "impasto": json.dumps(stored)}}
    end = 0
    for name, array in tensors.items():
        begin, end = end, end + array.nbytes
        dtype = _DTYPES[str(array.dtype)]
        parts[name] = {"dtype": dtype, "shape": array.shape, "data_offsets": [begin, end]}
    text = json.dumps(parts, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


# Reading ------------------------------------------------------------------------------------


def read_checkpoint(path: files.AnyPath) -> RunState:
    """Read a checkpoint; its values are validated later, by :func:`check_checkpoint`.

    Raises CheckpointError for another file, a damaged one, or one of another version.
    """
    try:
        return _parse_checkpoint(Path(path), _read_verified_header(Path(path)))
    except InputError as error:
        raise CheckpointError(f"{files.display_path(path)}: {error}") from None
    except FileNotFoundError:
        raise CheckpointError(
            f"{files.display_path(path)}: no such file: omit --resume to start again"
        ) from None
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{files.display_path(path)} cannot be read: {error}") from None


def _read_verified_header(path: Path) -> bytes:
    """Return the JSON of a file whose bytes have the stated hash."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise CheckpointError("is not a file")
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = file.read(min(length, LARGEST_HEADER))
        signature = _SIGNED.search(header)
        if not signature or length > LARGEST_HEADER:
            raise CheckpointError("is not a checkpoint of impasto")
        unsigned = header[: signature.start(1)] + _UNSIGNED.encode() + header[signature.end(1) :]
        digest = hashlib.sha256(length.to_bytes(8, "little") + unsigned)
        while piece := file.read(_PIECE):
            digest.update(piece)
    if digest.hexdigest().encode() != signature[1]:
        raise CheckpointError("is damaged: it is truncated or was modified")
    return header


def _parse_checkpoint(path: Path, header: bytes) -> RunState:
    """Return the content of a file with the right hash, which may still be forged."""
    try:
        stored = json.loads(json.loads(header)["__metadata__"]["impasto"])
        version = str(stored["provenance"]["version"])
        if version != __version__:
            raise CheckpointError(
                f"was written by impasto {version[:20]!r}, and this is {__version__}: "
                "resume with that version"
            )
        with safetensors.safe_open(path, "np") as file:
            names = file.keys()
            tensors = {name: filearray.spill(np.array(file.get_tensor(name))) for name in names}
        return _make_state(stored, tensors)
    except (SettingError, CheckpointError):
        raise
    except _PARSE_ERRORS:
        raise CheckpointError(_FORGED) from None


def _make_state(stored: Any, tensors: dict[str, HostArray]) -> RunState:
    """Create a checkpoint from JSON and tensors. Raises the exceptions of _PARSE_ERRORS."""
    history = tensors.pop("history")
    if history.dtype != np.float64 or not np.isfinite(history).all():
        raise ValueError
    image = tensors.pop("picture")
    solver = {name.removeprefix(_STATE): array for name, array in tensors.items()}
    seconds = {stage: _not_negative(value) for stage, value in stored["seconds"].items()}
    if set(seconds) - set(STAGES):
        raise ValueError
    return RunState(
        provenance=provenance.from_dict(stored["provenance"]),
        level=operator.index(stored["level"]),
        start_image=image,
        solver=solver or None,
        history=_parse_history(history, stored.get("steps") or [[0, {}]] * len(history)),
        levels=tuple(_parse_level(each) for each in stored["levels"]),
        seconds=seconds,
        level_began=_not_negative(stored["began"]),
        curvature_scale=_not_negative(stored["learned"]),
    )


def _parse_history(numbers: HostArray, steps: Sequence[Any]) -> tuple[StepRecord, ...]:
    """Create the history from numbers and, of each evaluation, the rest in JSON."""
    return tuple(
        StepRecord(
            **{**dict(zip(_NUMBERS, values, strict=True)), "level": int(values[0])},
            rejected=bool(rejected),
            layers={
                str(term): {str(layer): _not_negative(part) for layer, part in parts.items()}
                for term, parts in layers.items()
            },
        )
        for values, (rejected, layers) in zip(numbers.tolist(), steps, strict=True)
    )


def _parse_level(stored: Any) -> LevelFinished:
    names = ("level", "height", "width", "evaluations")
    numbers: dict[str, Any] = {name: operator.index(stored[name]) for name in names}
    seconds, reason = _not_negative(stored["seconds"]), StopReason(stored["reason"])
    return LevelFinished(**numbers, seconds=seconds, reason=reason, state=None)


def _not_negative(value: Any) -> float:
    if not 0.0 <= (number := float(value)) < math.inf:
        raise ValueError
    return number


# Resuming -----------------------------------------------------------------------------------


def resumed_recipe(state: RunState, settings: Mapping[str, recipes.Value]) -> Recipe:
    """Return the recipe to resume with; ``settings`` are those that the user gives again.

    Raises SettingError for a setting that differs from the checkpoint, or if the initial image,
    whose path a checkpoint does not contain, is not given again.
    """
    before = state.provenance.recipe
    if before.engine == "auto":  # written before there was a choice, on a backend of Keras
        before = replace(before, engine="keras")
    if "init" not in settings and before.init not in recipes.STARTS:
        # A checkpoint, which may be forged, never chooses a file to read.
        raise SettingError("the checkpoint was started from an image file: give it with --init")
    chosen = recipes.with_resolved_autos(recipes.change_recipe(before, **settings), before)
    named = replace(chosen, init=os.path.basename(chosen.init))
    for name, *_ in recipes.iter_settings():
        if (was := getattr(before, name)) != (received := getattr(named, name)):
            raise SettingError(
                f"{name} is {recipes.format_value(received)}, and {recipes.format_value(was)} in "
                f"the checkpoint: "
                "omit it, or omit --resume to start again"
            )
    return chosen


def check_checkpoint(
    state: RunState, inputs: Sequence[InputSource], levels: Sequence[Level]
) -> None:
    """Raise CheckpointError unless a checkpoint fits these inputs and levels."""
    before = state.provenance
    _check_inputs(inputs, before.inputs)
    if before.network.get("sha256") != weights.NETWORKS[before.recipe.network].sha256:
        raise CheckpointError("the checkpoint was made with other network weights")
    try:
        fits = 1 <= state.level <= len(levels) and _fits_levels(state, levels)
    except _PARSE_ERRORS:
        fits = False
    if not fits:
        raise CheckpointError(f"the checkpoint cannot be used: {_FORGED}")


def _check_inputs(inputs: Sequence[InputSource], before: Sequence[InputSource]) -> None:
    known = {source.role: source for source in before}
    given = {source.role: source for source in inputs}
    for role in dict.fromkeys((*known, *given)):
        if role not in given:
            named = f"{files.display_path(known[role].name)} as its {files.display_path(role)}"
            raise CheckpointError(f"the checkpoint was started with {named}: give it again")
        if role not in known:
            raise CheckpointError(f"the checkpoint was started without {role}: omit it")
        if known[role].sha256 != given[role].sha256:
            raise CheckpointError(
                f"{given[role].name} is not the {role} that the checkpoint was started with: give "
                "the same inputs, or omit --resume to start again"
            )


def _fits_levels(state: RunState, levels: Sequence[Level]) -> bool:
    """Return whether image, levels and history are possible for these levels."""
    level, image = levels[state.level - 1], state.start_image
    if image.shape != (level.height, level.width, 3) or image.dtype != np.float32:
        return False
    finished = [(each.level, each.height, each.width) for each in state.levels]
    earlier = [(each.number, each.height, each.width) for each in levels[: level.number - 1]]
    counts = [*(each.evaluations for each in state.levels), _evaluations(state)]
    # Steering may lower the evaluations of a level below the number that it has already made.
    limits = [math.inf if state.provenance.steered else each.evaluations for each in levels]
    if finished != earlier or any(
        not 0 <= count <= limit for count, limit in zip(counts, limits, strict=False)
    ):
        return False
    numbers = [number for number, count in enumerate(counts, 1) for _ in range(count)]
    same = [record.level for record in state.history] == numbers
    return same and filearray.is_finite(image)


def _evaluations(state: RunState) -> int:
    """Return the number of evaluations at the current level, from the arrays of the solver."""
    assert state.solver is None or isinstance(state.solver, Mapping)
    arrays = state.solver or {}
    before = arrays.get("before", np.zeros(1))
    return int(np.size(arrays.get("bests", ()))) + (int(before[0]) if np.size(before) else 0)


# During the run -----------------------------------------------------------------------------


def checkpoint_path(
    checkpoint: files.AnyPath | None, resume: files.AnyPath | None = None
) -> Path | None:
    """Return the path for checkpoints: the given one, or that of the checkpoint to resume.

    Raises SettingError for an existing file that is not the checkpoint to resume, and OutputError
    for one that cannot be written.
    """
    path = resume if checkpoint is None else checkpoint
    if path is None:
        return None
    same = resume is not None and os.path.realpath(path) == os.path.realpath(resume)
    if os.path.lexists(path) and not same:
        raise SettingError(
            f"the checkpoint {files.display_path(path)} exists: resume from it with --resume, "
            "or use another file"
        )
    files.check_folder(path)
    return Path(path)


class CheckpointWriter:
    """Keeps the latest state of a run, and writes it at intervals.

    A failed write, such as on a full disk, does not stop the run. It is logged once and retried at
    the next interval.
    """

    def __init__(self, path: Path | None = None, every: float = recipes.CHECKPOINT_EVERY) -> None:
        """Start; without a ``path`` nothing is written before :meth:`save`.

        A checkpoint is written after the step in which ``every`` seconds have passed. Raises
        SettingError if ``every`` is negative or not a number.
        """
        if not every >= 0:
            raise SettingError(f"checkpoint_every is {every:g}: the minimum is 0")
        self.path, self.every = path, every
        self._newest: RunState | None = None
        self._due = time.monotonic() + every
        self._told = False
        if path is not None:
            files.remove_temporary_files(path)

    def note(self, state: RunState) -> None:
        """Keep the latest state, and write it if the interval has passed.

        A state whose size was reduced for lack of memory is not kept: the state before it can
        resume at full size where there is more memory.
        """
        if state.size_lowered:
            return
        self._newest = state
        if self.path is not None and time.monotonic() >= self._due:
            self.save()

    def save(self) -> bool:
        """Write the latest state; return whether it succeeded."""
        if self.path is None or self._newest is None:
            return False
        try:
            write_checkpoint(self._newest, self.path)
        except (InputError, MemoryError) as error:
            if not self._told:
                LOG.warning("the checkpoint was not written: %s", str(error) or "memory ran out")
            self._told = True
            return False
        finally:
            self._due = time.monotonic() + self.every
        return True

    def remove(self) -> None:
        """Remove the checkpoint of a complete run."""
        if self.path is not None:
            self.path.resolve().unlink(missing_ok=True)
