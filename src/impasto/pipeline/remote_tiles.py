"""Processes the tiles of an image on workers.

For each level, workers receive its inputs once, compute the features of the style images and the
targets of their tiles. After that, only pixels of tiles are sent, and sums and gradients returned.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from impasto.cluster import serialization
from impasto.cluster.pool import WorkerPool
from impasto.cluster.worker_state import WorkerState
from impasto.compute import threads
from impasto.compute.arrays import HostArray
from impasto.compute.native import kernels
from impasto.losses.kinds import Kind
from impasto.losses.objective import Frozen
from impasto.losses.tiled import Read, Reader, Reading
from impasto.pipeline.models import LevelProgram, ModelCache
from impasto.recipe.settings import Recipe

TileTask = tuple[Reading, HostArray]
"""A tile request, and the pixels of its outer box."""


class RemoteLevel(NamedTuple):
    """The data that workers need for the tiles of a level."""

    recipe: Recipe
    weights_file: str | None
    kind: Kind
    """the role of the level"""
    keep: bool
    """whether the targets of tiles are kept"""
    instruction_set: str
    """of the native engine, see ``engines.interface``"""
    frozen: bytes
    """the inputs of the targets, serialized, since workers need the network to load them"""


@dataclass(frozen=True)
class RemoteTileEvaluator:
    """Processes tiles on workers."""

    pool: WorkerPool

    def once(self, asked: Iterable[TileTask]) -> Iterator[Read]:
        """Yield the loss of every tile's sums; for a slope their product with it."""
        return self.pool.map(_once, asked)

    def sums(self, asked: Iterable[TileTask]) -> Iterator[HostArray]:
        """Yield every tile's sums (n,)."""
        return self.pool.map(_sums, asked)

    def slope(self, sums: HostArray, reading: Reading, shown: HostArray) -> Read:
        """Return the loss of all sums, its gradient the slope."""
        (found,) = self.pool.map(_slope, [(sums, reading, shown)])
        return Read(*found)


def common_instruction_set(pool: WorkerPool) -> str:
    """Return the best instruction set of the kernels that this process and all workers support.

    Rounding differs between instruction sets. Empty if one of them has no compiled kernels.
    """
    found = [kernels.instruction_sets(), *pool.call_on_workers(kernels.instruction_sets)]
    common = [each for each in found[0] if all(each in other for other in found)]
    return common[-1] if common else ""


def distribute(
    pool: WorkerPool,
    weights_file: str | None,
    style: LevelProgram,
    frozen: Frozen,
    keep: bool,
) -> RemoteTileEvaluator:
    """Send a level to the workers, and return a tile evaluator that uses them."""
    written = serialization.serialize(frozen, {"features": style.features})
    used = style.engine.instruction_set
    level = RemoteLevel(style.recipe, weights_file, style.kind, keep, used, written)
    pool.broadcast(serialization.serialize(level, {}), style.engine.backend)
    return RemoteTileEvaluator(pool)


# --- at a worker -------------------------------------------------------------------------------


def _worker_evaluator(state: WorkerState) -> Reader:
    if "reader" not in state.payload_cache:
        state.payload_cache["reader"] = _make_evaluator(state)
    found: Reader = state.payload_cache["reader"]
    return found


def _make_evaluator(state: WorkerState) -> Reader:
    state.match_parent_backend()
    level: RemoteLevel = serialization.deserialize(state.payload.content, {})
    models: ModelCache = state.worker_cache.setdefault("models", ModelCache(level.weights_file))
    model = models.get(level.recipe, level.instruction_set)
    style = model.level_program(level.recipe, level.kind)
    frozen = serialization.deserialize(level.frozen, {"features": style.features})
    return style.tile_evaluator(frozen, level.keep)


def _once(state: WorkerState, asked: TileTask) -> Read:
    with threads.one_blas_thread():
        (found,) = _worker_evaluator(state).once([asked])
    return found


def _sums(state: WorkerState, asked: TileTask) -> HostArray:
    with threads.one_blas_thread():
        (found,) = _worker_evaluator(state).sums([asked])
    return found


def _slope(state: WorkerState, asked: tuple[HostArray, Reading, HostArray]) -> Read:
    with threads.one_blas_thread():
        return _worker_evaluator(state).slope(*asked)
