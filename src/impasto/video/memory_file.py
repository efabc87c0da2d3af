"""The memory of a shot in a file: safetensors, written by rename, with a hash."""

import hashlib
import json
from pathlib import Path

import numpy as np
import safetensors
import safetensors.numpy

from impasto import files
from impasto.errors import CheckpointError
from impasto.video.births import Birth, BirthMap
from impasto.video.frame_painter import ShotMemory

_IMAGES = ("anchor", "anchor_painted", "photo", "reference", "painted")
_MAPS = ("number", "position", "age")


def write_memory(memory: ShotMemory, path: files.AnyPath) -> None:
    """Write the memory of a shot atomically. Raises OutputError if it cannot be written."""
    arrays = {name: getattr(memory, name) for name in _IMAGES}
    arrays |= {f"births {name}": getattr(memory.births, name) for name in _MAPS}
    for number, record in memory.records.items():
        arrays |= {f"record {number} {name}": getattr(record, name) for name in Birth._fields}
    arrays |= {f"mask {name}": mask for name, mask in memory.masks.items()}
    if memory.fading is not None:
        arrays["fading"] = memory.fading
    arrays = {name: np.ascontiguousarray(array) for name, array in sorted(arrays.items())}
    stored = {
        "number": memory.number,
        "scales": {str(level): scale for level, scale in memory.scales.items()},
    }
    digest = hashlib.sha256(json.dumps(stored).encode())
    for array in arrays.values():
        digest.update(array.data)
    header = {"impasto": json.dumps(stored), "sha256": digest.hexdigest()}
    with files.atomic_replace(path) as temporary:
        temporary.write_bytes(safetensors.numpy.save(arrays, header))


def read_memory(path: files.AnyPath) -> ShotMemory:
    """Read the memory of a shot. Raises CheckpointError if the file is damaged."""
    name = files.display_path(path)
    advice = "add --restart to paint the clip again"
    try:
        with safetensors.safe_open(str(path), "np") as file:
            header = file.metadata()
            arrays = {key: file.get_tensor(key) for key in sorted(file.keys())}
        digest = hashlib.sha256(header["impasto"].encode())
        for array in arrays.values():
            digest.update(np.ascontiguousarray(array).data)
        if digest.hexdigest() != header["sha256"]:
            raise CheckpointError(f"{name} is damaged: {advice}")
        return _from_arrays(json.loads(header["impasto"]), arrays)
    except (safetensors.SafetensorError, OSError, KeyError, ValueError, TypeError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise CheckpointError(f"{name} cannot be read: {advice}") from None


def _from_arrays(stored: dict, arrays: dict[str, np.ndarray]) -> ShotMemory:  # type: ignore[type-arg]
    numbers = {int(key.split()[1]) for key in arrays if key.startswith("record ")}
    records = {
        number: Birth(*(arrays[f"record {number} {name}"] for name in Birth._fields))
        for number in sorted(numbers)
    }
    return ShotMemory(
        number=stored["number"],
        **{name: arrays[name] for name in _IMAGES},
        births=BirthMap(*(arrays[f"births {name}"] for name in _MAPS)),
        records=records,
        scales={int(level): scale for level, scale in stored["scales"].items()},
        masks={
            key.removeprefix("mask "): value
            for key, value in arrays.items()
            if key.startswith("mask ")
        },
        fading=arrays.get("fading"),
    )


def memory_path(folder: Path, first: int) -> Path:
    """Return the file of the memory of the part of a shot that starts at the frame ``first``."""
    return folder / f"from-{first:06d}.memory"
