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
from impasto.losses.level_roles import LevelRole
from impasto.losses.level_targets import LevelTargets
from impasto.losses.tiled import LocalTileEvaluator, TileRequest, TileResult
from impasto.pipeline.models import LevelProgram, ModelCache
from impasto.recipe.settings import Recipe

TileTask = tuple[TileRequest, HostArray]
"""A tile request, and the pixels of its outer box."""


class RemoteLevel(NamedTuple):
    """The data that workers need for the tiles of a level."""

    recipe: Recipe
    weights_file: str | None
    role: LevelRole
    """the role of the level"""
    keep: bool
    """whether the targets of tiles are kept"""
    instruction_set: str
    """of the native engine, see ``engines.engine``"""
    targets: bytes
    """the inputs of the targets, serialized, since workers need the network to load them"""


@dataclass(frozen=True)
class RemoteTileEvaluator:
    """Processes tiles on workers."""

    pool: WorkerPool

    def value_and_grad(self, asked: Iterable[TileTask]) -> Iterator[TileResult]:
        """Yield the loss of every tile's sums; for a slope their product with it."""
        return self.pool.map(_value_and_grad, asked)

    def statistics(self, asked: Iterable[TileTask]) -> Iterator[HostArray]:
        """Yield every tile's sums (n,)."""
        return self.pool.map(_statistics, asked)

    def loss_grad(self, sums: HostArray, reading: TileRequest, shown: HostArray) -> TileResult:
        """Return the loss of all sums, its gradient the slope."""
        (found,) = self.pool.map(_loss_grad, [(sums, reading, shown)])
        return TileResult(*found)


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
    targets: LevelTargets,
    keep: bool,
) -> RemoteTileEvaluator:
    """Send a level to the workers, and return a tile evaluator that uses them."""
    written = serialization.serialize(targets, {"features": style.features})
    used = style.engine.instruction_set
    level = RemoteLevel(style.recipe, weights_file, style.role, keep, used, written)
    pool.broadcast(serialization.serialize(level, {}), style.engine.backend)
    return RemoteTileEvaluator(pool)


# --- at a worker -------------------------------------------------------------------------------


def _worker_evaluator(state: WorkerState) -> LocalTileEvaluator:
    if "reader" not in state.payload_cache:
        state.payload_cache["reader"] = _make_evaluator(state)
    found: LocalTileEvaluator = state.payload_cache["reader"]
    return found


def _make_evaluator(state: WorkerState) -> LocalTileEvaluator:
    state.match_parent_backend()
    level: RemoteLevel = serialization.deserialize(state.payload.content, {})
    models: ModelCache = state.worker_cache.setdefault("models", ModelCache(level.weights_file))
    model = models.get(level.recipe, level.instruction_set)
    style = model.level_program(level.recipe, level.role)
    targets = serialization.deserialize(level.targets, {"features": style.features})
    return style.tile_evaluator(targets, level.keep)


def _value_and_grad(state: WorkerState, asked: TileTask) -> TileResult:
    with threads.one_blas_thread():
        (found,) = _worker_evaluator(state).value_and_grad([asked])
    return found


def _statistics(state: WorkerState, asked: TileTask) -> HostArray:
    with threads.one_blas_thread():
        (found,) = _worker_evaluator(state).statistics([asked])
    return found


def _loss_grad(state: WorkerState, asked: tuple[HostArray, TileRequest, HostArray]) -> TileResult:
    with threads.one_blas_thread():
        return _worker_evaluator(state).loss_grad(*asked)
