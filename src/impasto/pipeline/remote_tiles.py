"""Processes the tiles of an image on workers.

For each level, workers receive its inputs once, compute the features of the style images and the
targets of their tiles. After that, only pixels of tiles are sent, and sums and gradients returned.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from impasto.cluster import serialization
from impasto.cluster.pool import WorkerPool
from impasto.cluster.worker_state import WorkerState
from impasto.compute import threads
from impasto.compute.arrays import HostArray
from impasto.compute.native import kernels
from impasto.losses.level_roles import LevelRole
from impasto.losses.level_targets import LevelTargets
from impasto.losses.tiled import LocalTileEvaluator, TileRequest, TileResult, TileTask
from impasto.pipeline.models import LevelProgram, ModelCache
from impasto.recipe.settings import Recipe


class RemoteLevel(NamedTuple):
    """The data that workers need for the tiles of a level."""

    recipe: Recipe
    weights_file: str | None
    role: LevelRole
    """the role of the level"""
    keep_targets: bool
    """whether the targets of tiles are kept"""
    instruction_set: str
    """of the native engine, see ``engines.engine``"""
    targets: bytes
    """the level targets, serialized separately, since workers need the network to load them"""


@dataclass(frozen=True)
class RemoteTileEvaluator:
    """Processes tiles on workers, see ``tiled.TileEvaluator``."""

    pool: WorkerPool

    def value_and_grad(self, tasks: Iterable[TileTask]) -> Iterator[TileResult]:
        """Yield loss and gradient of each tile."""
        return self.pool.map(_value_and_grad, tasks)

    def statistics(self, tasks: Iterable[TileTask]) -> Iterator[HostArray]:
        """Yield the sums (n,) of each tile."""
        return self.pool.map(_statistics, tasks)

    def loss_grad(self, sums: HostArray, request: TileRequest, pixels: HostArray) -> TileResult:
        """Return the loss of the whole image and ∂loss/∂sums."""
        (result,) = self.pool.map(_loss_grad, [(sums, request, pixels)])
        return TileResult(*result)


def common_instruction_set(pool: WorkerPool) -> str:
    """Return the best instruction set of the kernels that this process and all workers support.

    Rounding differs between instruction sets. Empty if one of them has no compiled kernels.
    """
    supported = [kernels.instruction_sets(), *pool.call_on_workers(kernels.instruction_sets)]
    common = [each for each in supported[0] if all(each in other for other in supported)]
    return common[-1] if common else ""


def distribute(
    pool: WorkerPool,
    weights_file: str | None,
    program: LevelProgram,
    targets: LevelTargets,
    keep_targets: bool,
) -> RemoteTileEvaluator:
    """Send a level to the workers, and return a tile evaluator that uses them."""
    level = RemoteLevel(
        program.recipe,
        weights_file,
        program.role,
        keep_targets,
        program.engine.instruction_set,
        serialization.serialize(replace(targets, starts=()), {"features": program.features}),
    )
    pool.broadcast(serialization.serialize(level, {}), program.engine.backend)
    return RemoteTileEvaluator(pool)


# On a worker --------------------------------------------------------------------------------


def _worker_evaluator(state: WorkerState) -> LocalTileEvaluator:
    if "tile_evaluator" not in state.payload_cache:
        state.payload_cache["tile_evaluator"] = _make_evaluator(state)
    evaluator: LocalTileEvaluator = state.payload_cache["tile_evaluator"]
    return evaluator


def _make_evaluator(state: WorkerState) -> LocalTileEvaluator:
    state.match_parent_backend()
    level: RemoteLevel = serialization.deserialize(state.payload.content, {})
    models: ModelCache = state.worker_cache.setdefault("models", ModelCache(level.weights_file))
    model = models.get(level.recipe, level.instruction_set)
    program = model.level_program(level.recipe, level.role)
    targets = serialization.deserialize(level.targets, {"features": program.features})
    return program.tile_evaluator(targets, level.keep_targets)


def _value_and_grad(state: WorkerState, task: TileTask) -> TileResult:
    with threads.one_blas_thread():
        (result,) = _worker_evaluator(state).value_and_grad([task])
    return result


def _statistics(state: WorkerState, task: TileTask) -> HostArray:
    with threads.one_blas_thread():
        (sums,) = _worker_evaluator(state).statistics([task])
    return sums


def _loss_grad(
    state: WorkerState, arguments: tuple[HostArray, TileRequest, HostArray]
) -> TileResult:
    with threads.one_blas_thread():
        return _worker_evaluator(state).loss_grad(*arguments)
