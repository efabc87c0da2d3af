"""CPU time of each convolution of VGG16 by the compiled kernels, for each instruction set.

    python -m benchmarks.kernels [--size 512] [--repeats 5] [--threads 1]

CPU milliseconds of all threads (``time.process_time``), the least of so many in turn, so that
other jobs on the machine matter little. Every layer is timed forward and for its input gradient.
"""

import argparse
import os
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from impasto.compute import threads
from impasto.compute.native import kernels
from impasto.compute.native.kernels import Array, Kernels


class Layer(NamedTuple):
    """A 3 x 3 convolution of VGG16."""

    name: str
    scale: int
    """how many pixels are one of its positions, in each direction"""
    channels_in: int
    channels: int


LAYERS = (
    Layer("1_1", 1, 3, 64),
    Layer("1_2", 1, 64, 64),
    Layer("2_1", 2, 64, 128),
    Layer("2_2", 2, 128, 128),
    Layer("3_1", 4, 128, 256),
    Layer("3_2", 4, 256, 256),
    Layer("4_1", 8, 256, 512),
    Layer("4_2", 8, 512, 512),
)

Way = tuple[Callable[[], object], Callable[[], object]]
"""A layer forward, and its input gradient."""


def ways(layer: Layer, height: int, width: int, count: int) -> dict[str, Way]:
    """Return a layer of a picture of that size by each instruction set, on ``count`` threads."""
    random = np.random.default_rng(0)
    _, scale, channels_in, channels = layer

    def values(*shape: int) -> Array:
        made = threads.aligned_empty(shape)
        made[...] = random.standard_normal(shape, dtype=np.float32)
        return made

    features = values(height // scale, width // scale, channels_in)
    upstream = values(height // scale, width // scale, channels)
    kernel, bias = values(3, 3, channels_in, channels) / (3 * channels_in**0.5), values(channels)
    found: dict[str, Way] = {}
    for name in kernels.instruction_sets():
        library = Kernels.load(name, count)
        output = library.convolve(features, library.prepare(kernel), bias, True)
        found[name] = native(library, features, kernel, bias, output, upstream)
    return found


def native(
    library: Kernels, features: Array, kernel: Array, bias: Array, output: Array, upstream: Array
) -> Way:
    """Return a layer by the compiled kernels of one instruction set."""
    prepared = library.prepare(kernel)
    flipped = library.prepare(np.flip(kernel, (0, 1)).swapaxes(2, 3))
    return (
        lambda: library.convolve(features, prepared, bias, True),
        lambda: library.convolve_gradient(upstream, output, flipped, True),
    )


def least(functions: list[Callable[[], object]], repeats: int) -> list[float]:
    """Return the least CPU milliseconds of each function, called in turn."""
    best = [np.inf] * len(functions)
    for function in functions:
        function()  # has its kernel prepared
    for _ in range(repeats):
        for number, function in enumerate(functions):
            start = time.process_time()
            function()
            best[number] = min(best[number], 1e3 * (time.process_time() - start))
    return best


def rate(repeats: int) -> float:
    """Return the best rate of single-precision matrix products in 1e9 operations a CPU second."""
    size = 2048
    left, right = np.random.default_rng(0).standard_normal((2, size, size), dtype=np.float32)
    return 2 * size**3 / 1e6 / least([lambda: left @ right], repeats)[0]


def limit(layer: Layer, height: int, width: int, sgemm: float) -> float:
    """Return the milliseconds that the multiplications of F(6 x 6) take at the rate of sgemm."""
    _, scale, channels_in, channels = layer
    tiles = -(-(height // scale) // 6) * -(-(width // scale) // 6)
    return 2 * 64 * tiles * channels_in * channels / 1e6 / sgemm


def main() -> None:
    """Print a table of all layers and ways."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--size", type=int, default=512, help="width in pixels; three quarters high"
    )
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1, help="threads of the compiled kernels")
    chosen = parser.parse_args()
    height, width = chosen.size * 3 // 4, chosen.size
    if not kernels.kernels_available():
        raise SystemExit("The compiled kernels are not built: `make demo` builds them.")
    with threads.one_blas_thread(), threads.freed_memory_kept():
        sgemm = rate(chosen.repeats)
        load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
        print(f"{width} x {height} px, sgemm {sgemm:.0f} GFLOP/s a core, load {load:.1f}\n")
        sets = kernels.instruction_sets()
        print("| layer | " + " | ".join(sets) + " | limit of F(6 x 6) |")
        print("|" + " --- |" * (len(sets) + 2))
        for layer in LAYERS:
            both = ways(layer, height, width, chosen.threads).values()
            times = iter(least([function for way in both for function in way], chosen.repeats))
            cells = [f"{forward:.1f} / {next(times):.1f}" for forward in times]
            bound = limit(layer, height, width, sgemm)
            print(f"| {layer.name} | " + " | ".join(cells) + f" | {bound:.1f} |", flush=True)


if __name__ == "__main__":
    main()
