"""What a painting would send between the host and a device: counted, on any machine.

Paints as with a GPU, features and solver in the backend's tensors, and counts what is turned into
tensors and what comes back, by level; on a machine without a GPU nothing is really sent.

    KERAS_BACKEND=torch python -m benchmarks.transfers [--size 256]
"""

import argparse
import collections
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import numpy as np

import impasto
from impasto.compute import backend
from impasto.pictures import samples

Counts = collections.Counter[str]


@contextmanager
def counted() -> Iterator[Counts]:
    """Paint as with a GPU while it is open, and count what is sent either way."""
    counts: Counts = collections.Counter()
    to_tensor, to_numpy = backend.ops.convert_to_tensor, backend.to_numpy

    def sent(value: Any, *arguments: Any, **named: Any) -> Any:
        if isinstance(value, np.ndarray):
            counts["to the device"] += 1
            counts["bytes to the device"] += value.nbytes
        return to_tensor(value, *arguments, **named)

    def brought(value: Any) -> Any:
        found = to_numpy(value)
        if found is not value:
            counts["to the host"] += 1
            counts["bytes to the host"] += found.nbytes
        return found

    with (
        mock.patch.object(backend, "on_processor", return_value=False),
        mock.patch.object(backend.ops, "convert_to_tensor", sent),
        mock.patch.object(backend, "to_numpy", brought),
    ):
        yield counts


def by_level(size: int) -> dict[str, Any]:
    """Return what was sent for the targets of every level, and for one of its evaluations."""
    found: dict[str, Any] = {}
    photograph, painting = samples.photograph("coffee"), samples.painting("swirls", size)
    with impasto.Stylizer(size=size, precision="float32") as stylizer, counted() as counts:
        level, before = 0, counts.copy()
        for event in stylizer.paint(photograph, painting):
            if isinstance(event, impasto.LevelStarted):
                level += 1
                found[f"level {level}, targets"] = _since(before, counts)
            elif isinstance(event, impasto.Step):
                found[f"level {level}, an evaluation"] = _since(before, counts)
            before = counts.copy()
    return found


def _since(before: Counts, counts: Counts) -> dict[str, int]:
    return {name: counts[name] - before[name] for name in sorted(counts)}


def main() -> None:
    """Count, and print it as JSON."""
    parser = argparse.ArgumentParser(description="What is sent between the host and a device.")
    parser.add_argument("--size", type=int, default=256)
    print(json.dumps(by_level(parser.parse_args().size), indent=1))


if __name__ == "__main__":
    main()
