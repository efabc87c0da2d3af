"""Counts what a run would request from a GPU and transfer to and from it, on any machine.

Runs as with a GPU, with features and solver in tensors of the backend, and counts per level the
arrays converted to tensors, the tensors copied back, and the operations that PyTorch starts.
Without a GPU nothing is really transferred. For JAX it counts the compiled programs and their
compilation time, which only the first run of a process needs.

    KERAS_BACKEND=jax python -m benchmarks.transfers [--size 256]
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
from impasto.compute import keras_backend
from impasto.images import samples

Counts = collections.Counter[str]


@contextmanager
def counted() -> Iterator[Counts]:
    """Paint as with a GPU while it is open, and count what is sent either way."""
    counts: Counts = collections.Counter()
    to_tensor, to_numpy = keras_backend.ops.convert_to_tensor, keras_backend.ops.convert_to_numpy

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
        mock.patch.object(keras_backend, "runs_on_cpu", return_value=False),
        mock.patch.object(keras_backend.ops, "convert_to_tensor", sent),
        mock.patch.object(keras_backend.ops, "convert_to_numpy", brought),
    ):
        yield counts


@contextmanager
def started(counts: Counts) -> Iterator[None]:
    """Count operations or compilations while it is open; nothing with TensorFlow."""
    record = {"jax": _programs, "torch": _operations}.get(keras_backend.backend_name())
    if record is None:
        yield
        return
    with record(counts):
        yield


@contextmanager
def _programs(counts: Counts) -> Iterator[None]:
    """Count the programs that JAX compiles."""
    import jax

    def heard(event: str, seconds: float, **_: Any) -> None:
        if event.endswith("backend_compile_duration"):
            counts["programs compiled"] += 1
            counts["milliseconds compiling"] += round(1000 * seconds)

    jax.monitoring.register_event_duration_secs_listener(heard)
    try:
        yield
    finally:
        jax.monitoring.unregister_event_duration_listener(heard)


@contextmanager
def _operations(counts: Counts) -> Iterator[None]:
    """Count the operations that PyTorch starts; those that only name another shape as well."""
    from torch.utils._python_dispatch import TorchDispatchMode

    class Counting(TorchDispatchMode):
        def __torch_dispatch__(
            self, operation: Any, _types: Any, arguments: Any = (), named: Any = None
        ) -> Any:
            counts["operations"] += 1
            return operation(*arguments, **(named or {}))

    with Counting():
        yield


def by_level(size: int) -> dict[str, Any]:
    """Return what is asked and sent for the targets of every level, and for one evaluation each.

    Of the first picture of a process, and of the second, for which all is compiled.
    """
    photograph, painting = samples.load_content("coffee"), samples.make_style("swirls", size)
    # Two evaluations a level: every later one sends what the second sends.
    with impasto.Stylizer(
        size=size, evaluations=2, engine="keras", precision="float32"
    ) as stylizer:
        return {
            which: _of_a_picture(stylizer.paint(photograph, painting))
            for which in ("first picture", "second picture")
        }


def _of_a_picture(events: Iterator[Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    level = 0
    with counted() as counts:
        while True:
            before = counts.copy()
            with started(counts):
                event = next(events, None)
            if event is None:
                return found
            each = {name: counts[name] - before[name] for name in sorted(counts)}
            if isinstance(event, impasto.LevelStarted):
                level += 1
                found[f"level {level}, targets"] = each
            elif isinstance(event, impasto.Step):
                found[f"level {level}, an evaluation"] = each


def main() -> None:
    """Count, and print it as JSON."""
    parser = argparse.ArgumentParser(description="What is asked of a device and sent to and fro.")
    parser.add_argument("--size", type=int, default=256)
    print(json.dumps(by_level(parser.parse_args().size), indent=1))


if __name__ == "__main__":
    main()
