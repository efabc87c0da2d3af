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
from impasto.compute.backend import HostArray, Shape, Tensor, Tensors, ops
from impasto.compute.host import Add

Adding: TypeAlias = Callable[..., Add]
"""(upstream, features, *constants) -> what adds rows of the gradient by the features."""


@dataclass(frozen=True, eq=False)
class Reading:
    """A function of features (height, width, channels) to float32, in two ways."""

    name: str
    """what it is found by among others of the same features in one compiled step; whatever else it
    depends on must be the same there"""
    take: Callable[..., HostArray]
    """(features, *constants) -> what is read, in NumPy"""
    adding: Adding
    shape: Callable[[Shape], Shape]
    """the shape of features -> the shape of what is read of them, as ``backend.known_shape``"""
    on_device: Callable[[Tensor], Tensor]
    """features -> what is read, in tensors"""
    constants: tuple[Tensor, ...] = ()


def read(reading: Reading, features: Tensor) -> Tensor:
    """Return what is read off features (height, width, channels), by itself."""
    if not backend.gathered_on_host(backend.dtype_of(features)):
        return reading.on_device(features)
    # Not the reading itself: TensorFlow never forgets a function that it called back.
    take, adding = reading.take, reading.adding

    def gradient(upstream: HostArray, seen: HostArray, *constants: HostArray) -> HostArray:
        return host.added_up(adding(upstream, seen, *constants), seen)

    def forward(value: Tensor) -> tuple[Tensors, Tensors]:
        like = [(reading.shape(backend.known_shape(value)), "float32")]
        return backend.call_host(take, like, value, *reading.constants), ()

    def backward(upstream: Tensors, value: Tensor, _: Tensors) -> Tensor:
        like = [(backend.known_shape(value), backend.dtype_of(value))]
        return backend.call_host(gradient, like, *upstream, value, *reading.constants)[0]

    return backend.differentiable(forward, backward)(features)[0]


def taken(readings: Sequence[Reading], features: Tensor) -> Tensors:
    """Return what is read off features (1, height, width, channels), without a gradient."""

    def one(reading: Reading) -> Tensor:
        take = reading.take

        def call(seen: HostArray, *constants: HostArray) -> HostArray:
            return take(seen[0], *constants)

        like = [(reading.shape(backend.known_shape(features)[1:]), "float32")]
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

    Without an odd last row or column.
    """

    def take(features: HostArray) -> HostArray:
        return host.block_means(features, apart)

    def adding(upstream: HostArray, features: HostArray) -> Add:
        return host.block_means_gradient(upstream, apart)

    def shape(of: Shape) -> Shape:
        height, width, channels = of
        return height // apart, width // apart, channels

    def on_device(features: Tensor) -> Tensor:
        height, width, channels = ops.shape(features)
        rows, columns = height // apart, width // apart
        features = ops.cast(features, "float32")[: rows * apart, : columns * apart]
        blocks = ops.reshape(features, (rows, apart, columns, apart, channels))
        return ops.mean(blocks, axis=(1, 3))

    return Reading(f"means {apart}", take, adding, shape, on_device)


def thinned(grid: Tensor, alike: Tensor) -> Reading:
    """Return some rows and columns, as many as another map has, ``alike``.

    ``grid`` is a ``host.Grid`` of them, int32.
    """

    def adding(upstream: HostArray, features: HostArray, grid: HostArray) -> Add:
        return host.thinned_gradient(upstream, grid)

    def shape(of: Shape) -> Shape:
        return *backend.known_shape(alike)[:2], of[-1]

    def on_device(features: Tensor) -> Tensor:
        for axis, count in enumerate(ops.shape(alike)[:2]):
            places = ops.arange(count, dtype="int32") * grid[2] + grid[axis]
            features = ops.take(features, places, axis=axis)
        return ops.cast(features, "float32")

    return Reading("thinned", host.thinned, adding, shape, on_device, (grid,))
