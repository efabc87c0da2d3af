"""What is read off a layer's map, whose gradient is cheapest where the next layer's is made.

The maps of the first layers are the largest arrays there are. On a processor the gradient of what
is read off one is therefore no map of its own: a layer that is computed in NumPy adds it, row by
row, to the gradient that it makes for the same map (``network.vgg``). Wherever that cannot be, what
is read has a gradient like any other.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from impasto.compute import backend, host
from impasto.compute.backend import HostArray, HostFunction, Like, Shape, Size, Tensor, ops
from impasto.compute.host import Add

Adding: TypeAlias = Callable[..., Add]
"""(upstream, features, *constants) -> what adds rows of the gradient by the features."""


@dataclass(frozen=True, eq=False)
class Reading:
    """A function of features (height, width, channels), in two ways; see :func:`read`."""

    name: str
    """what it is found by among others of the same features"""
    take: HostFunction
    """(features, *constants) -> what is read, in NumPy"""
    adding: Adding
    like: Callable[[Shape], Like]
    """the shape of features -> shape and dtype of what is read of them, in a list"""
    on_device: Callable[[Tensor], Tensor]
    """features -> what is read, in tensors"""
    constants: tuple[Tensor, ...] = ()


def read(reading: Reading, features: Tensor) -> Tensor:
    """Return what is read off features (height, width, channels), by itself."""
    if not backend.gathered_on_host(backend.dtype_of(features)):
        return reading.on_device(features)
    # Not the reading itself: TensorFlow never forgets a function that it called back.
    adding = reading.adding

    def gradient(
        upstream: HostArray, seen: HostArray, _: HostArray, *constants: HostArray
    ) -> HostArray:
        return host.added_up(adding(upstream, seen, *constants), seen)

    return backend.on_host(reading.take, gradient, reading.like, *reading.constants)(features)


def taken(readings: Sequence[Reading], features: Tensor) -> tuple[Tensor, ...]:
    """Return what is read off features (1, height, width, channels), without a gradient.

    Each by a call of its own, which a compiled step leaves out where nobody asks for it.
    """

    def one(reading: Reading) -> Tensor:
        take = reading.take

        def call(seen: HostArray, *constants: HostArray) -> HostArray | tuple[HostArray, ...]:
            return take(seen[0], *constants)

        like = reading.like(ops.shape(features)[1:])
        return backend.call_host(call, like, features, *reading.constants)[0]

    return tuple(map(one, readings))


def added(readings: Sequence[Reading]) -> Callable[..., Add | None]:
    """Return what makes one function to add all their gradients, of features without a batch.

    (features, *upstream of every reading, *constants of all) -> that function; None where nobody
    asked for any.
    """
    makes = [(each.adding, len(each.constants)) for each in readings]

    def together(features: HostArray, *given: HostArray) -> Add | None:
        upstreams, constants, adds = given[: len(makes)], list(given[len(makes) :]), []
        for (adding, count), upstream in zip(makes, upstreams, strict=True):
            own, constants = constants[:count], constants[count:]
            if upstream.any():
                adds.append(adding(upstream, features, *own))

        def add(rows: slice, out: host.Array) -> None:
            for each in adds:
                each(rows, out)

        return add if adds else None

    return together


def means(apart: int) -> Reading:
    """Return the means of every ``apart`` x ``apart``, (height // apart, width // apart, channels).

    float32, without an odd last row or column.
    """

    def take(features: HostArray) -> HostArray:
        return host.block_means(features, apart)

    def adding(upstream: HostArray, features: HostArray) -> Add:
        return host.block_means_gradient(upstream, apart)

    def like(shape: Shape) -> Like:
        height, width, channels = shape
        return [((height // apart, width // apart, channels), "float32")]

    def on_device(features: Tensor) -> Tensor:
        height, width, channels = ops.shape(features)
        rows, columns = height // apart, width // apart
        features = ops.cast(features, "float32")[: rows * apart, : columns * apart]
        blocks = ops.reshape(features, (rows, apart, columns, apart, channels))
        return ops.mean(blocks, axis=(1, 3))

    return Reading(f"means {apart}", take, adding, like, on_device)


def thinned(grid: Tensor, rows: Size, columns: Size) -> Reading:
    """Return so many rows and columns, float32; ``grid`` is a ``host.Grid`` of them, int32."""

    def adding(upstream: HostArray, features: HostArray, grid: HostArray) -> Add:
        return host.thinned_gradient(upstream, grid)

    def like(shape: Shape) -> Like:
        return [((rows, columns, shape[-1]), "float32")]

    def on_device(features: Tensor) -> Tensor:
        for axis, count in enumerate((rows, columns)):
            places = ops.arange(count, dtype="int32") * grid[2] + grid[axis]
            features = ops.take(features, places, axis=axis)
        return ops.cast(features, "float32")

    return Reading("thinned", host.thinned, adding, like, on_device, (grid,))
