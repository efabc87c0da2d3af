"""The memory of a shot is read as it was written."""

import dataclasses

import numpy as np
import pytest

from impasto.errors import CheckpointError
from impasto.video import births, memory_file
from impasto.video.births import Birth
from impasto.video.frame_painter import ShotMemory


@pytest.fixture
def memory():
    random = np.random.default_rng(2)
    images = [random.uniform(0, 255, (16, 24, 3)).astype(np.float32) for _ in range(5)]
    grid = random.integers(0, 9, (2, 4, 6)).astype(np.int32)
    record = Birth(images[0], images[1].astype(np.uint8), grid, grid.astype(np.float32))
    state = births.first_births(4, 16, 24)
    mask = {"keep": random.uniform(0, 1, (16, 24)).astype(np.float32)}
    return ShotMemory(
        9, *images, state, {4: record, 7: record}, {1: 0.0, 5: 1 / 3}, mask, images[2]
    )


def flat(value):
    if dataclasses.is_dataclass(value):
        return {k: flat(getattr(value, k)) for k in value.__dataclass_fields__}
    if isinstance(value, dict):
        return {str(k): flat(v) for k, v in value.items()}
    return [flat(v) for v in value] if isinstance(value, tuple) else value


def test_nothing_is_lost(memory, tmp_path):
    memory_file.write_memory(memory, tmp_path / "m")
    np.testing.assert_equal(flat(memory_file.read_memory(tmp_path / "m")), flat(memory))


@pytest.mark.parametrize("damage", ["cut", "flip", "text"])
def test_a_damaged_file_is_one_line(memory, tmp_path, damage):
    path = tmp_path / "m"
    memory_file.write_memory(memory, path)
    data = bytearray(path.read_bytes())
    if damage == "flip":
        data[-7] ^= 1
    path.write_bytes({"cut": data[:-100], "flip": data, "text": b"no"}[damage])
    with pytest.raises(CheckpointError, match="--restart"):
        memory_file.read_memory(path)
