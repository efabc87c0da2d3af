"""Executes prepared runs with cached models, and keeps the current run. Loads the engine."""

import functools
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from impasto import filearray, files
from impasto.compute import threads
from impasto.compute.arrays import to_numpy
from impasto.errors import CheckpointError, ClusterError
from impasto.images import arrays, masks
from impasto.images.arrays import ImageArray
from impasto.losses import style_cache
from impasto.losses.objective import Evaluation
from impasto.losses.style_cache import StyleCache
from impasto.pipeline import calibration, memory
from impasto.pipeline.events import Controls, ProgressEvent, RunState, with_steered_settings
from impasto.pipeline.inputs import PreparedRun
from impasto.pipeline.levels import StageTimer, run_levels
from impasto.pipeline.measurements import SpeedMeasurement, level_roles
from impasto.pipeline.models import DistributeTiles, Model, ModelCache
from impasto.pipeline.provenance import Provenance
from impasto.pipeline.result import Finished, Result
from impasto.pipeline.run import Run, final_image, first_state
from impasto.recipe.settings import Recipe

if TYPE_CHECKING:
    from impasto.cluster.pool import WorkerPool

FREE_FACTOR = 4
"""Free memory for which values of style images are kept, relative to their maximum size."""

LOG = logging.getLogger(__name__)

Event: TypeAlias = ProgressEvent | Finished


class Executor:
    """Executes prepared runs, with models that are cached for the next run."""

    def __init__(
        self, weights_file: str | os.PathLike[str] | None = None, workers: int | str = 0
    ) -> None:
        """Create the executor; models are loaded for the first run.

        Args:
            weights_file: see ``weights.load_weights``
            workers: number of worker processes for tiles on this machine, or the address of a
                scheduler
        """
        self.models = ModelCache(weights_file)
        self.workers = workers
        self.current: tuple[Run, RunState] | None = None

    def run(self, prepared: PreparedRun, controls: Controls) -> Iterator[Event]:
        """Run the levels, and yield events; the last one has the result.

        Raises:
            CheckpointError: if the state to resume from was made by another backend or solver
            WeightsError: if the weights cannot be loaded
            BackendError: if the backend cannot be used
        """
        before = prepared.state
        distribute, instruction_set = None, ""
        if self.workers and prepared.plan.tile:
            distribute, instruction_set = self._distribute()
        if self.workers and distribute is None:
            LOG.info("the image is a single tile: workers are not used")
        clock = StageTimer({} if before is None else before.seconds)
        model = self.models.get(prepared.recipe, instruction_set)
        if before is not None:
            _check_backend(before.provenance.backend, model.engine.backend)
        styles = self._style_cache(prepared, model)
        run = Run(model, prepared.inputs, prepared.recipe, prepared.plan, distribute, styles)
        clock.end_stage("network")
        origin = make_provenance(run)
        if before is None:
            state = first_state(run, origin)
        else:
            origin = replace(origin, steered=before.provenance.steered)
            state = replace(before, provenance=origin)
        # Tiles are used if memory is scarce.
        kept = nullcontext() if prepared.plan.tile else threads.freed_memory_kept()
        with threads.one_blas_thread(), kept:  # set once, since setting takes time
            try:
                for event in run_levels(run, state, controls, clock):
                    assert event.state is not None
                    state = event.state
                    self.current = run, state
                    prepared.checkpoint_writer.note(state)
                    yield event
            except ClusterError as error:
                if not state.history:
                    raise
                LOG.warning("%s", error)
                state = replace(state, stopped=True)
        yield Finished(make_result(run, state))

    def _style_cache(self, prepared: PreparedRun, model: Model) -> StyleCache:
        """Return a cache for what is computed from style images, to keep for the next run.

        In the first run, which is often the only one, and if memory is limited, it is small and
        only for the next level.
        """
        free = memory.free_bytes() > FREE_FACTOR * style_cache.LIMIT_BYTES
        if self.current is not None and prepared.memory_limit is None and free:
            return model.style_cache
        return StyleCache(style_cache.LEVEL_BYTES)

    def _distribute(self) -> tuple[DistributeTiles, str]:
        """Return the function that distributes tiles, and the instruction set of all workers.

        Starts workers, or connects to a scheduler, on first use. Raises ClusterError if there are
        no workers.
        """
        from impasto.pipeline import remote_tiles  # loads Dask

        pool, file = self._pool, self.models.weights_file
        weights_file = None if file is None else os.path.abspath(file)
        distribute = functools.partial(remote_tiles.distribute, pool, weights_file)
        return distribute, remote_tiles.common_instruction_set(pool)

    @functools.cached_property
    def _pool(self) -> "WorkerPool":
        from impasto.cluster.pool import connect  # loads Dask

        return connect(self.workers)

    def so_far(self) -> Result | None:
        """Return the best image of the current or last run; None if there is none."""
        if self.current is None:
            return None
        run, state = self.current
        complete = state.level == len(run.levels) == len(state.levels)
        return make_result(run, replace(state, stopped=not complete))

    def measure(self, prepared: PreparedRun) -> SpeedMeasurement:
        """Measure this machine with the inputs and settings of a run."""
        roles = dict.fromkeys(
            (*level_roles(prepared.recipe), *(level.role for level in prepared.levels))
        )
        return calibration.measure_speed(self.models, prepared.recipe, prepared.inputs, roles)

    def features(
        self, recipe: Recipe, image: ImageArray, layers: Sequence[str]
    ) -> dict[str, NDArray[np.float32]]:
        """Return the features of an image by layer, (height, width, channels)."""
        model = self.models.get(recipe)
        with threads.one_blas_thread():
            maps = model.engine.feature_function(layers)(image)
            return {layer: np.asarray(to_numpy(maps[layer]), np.float32) for layer in layers}

    def evaluate(self, prepared: PreparedRun, image: ImageArray | None) -> Evaluation:
        """Return the losses of the finest level and their gradient, at an image of its size.

        None for the content image at that size.
        """
        run = Run(self.models.get(prepared.recipe), prepared.inputs, prepared.recipe, prepared.plan)
        level = prepared.levels[-1]
        content = run.content((level.height, level.width))
        pixels = content if image is None else arrays.resize(image, level.height, level.width)
        with threads.one_blas_thread():
            problem = run.problem(content, level.style, role=level.role)
            found = problem.objective.evaluate(run.place_image(pixels))
            return replace(found, gradient=filearray.in_memory(to_numpy(found.gradient)))

    def close_pool(self) -> None:
        """Close the workers."""
        if "_pool" in vars(self):
            vars(self).pop("_pool").close()

    def clear(self) -> None:
        """Free the networks and the current run, and close the workers."""
        self.close_pool()
        self.current = None
        self.models.clear()


def make_provenance(run: Run) -> Provenance:
    """Return the provenance of a run; its recipe has the engine and precision in use."""
    named = {name: run.model.network[name] for name in ("network", "sha256")}
    init = os.path.basename(run.recipe.init)
    tile = run.plan.tile
    chosen = run.model.recipe
    used = replace(
        run.recipe, engine=chosen.engine, precision=chosen.precision, init=init, tile=tile
    )
    backend = run.model.engine.backend
    return Provenance(used, backend, named, run.inputs.sources, finished=False)


def _check_backend(before: str, now: str) -> None:
    """Raise CheckpointError unless a state resumes with the engine and backend that made it."""
    if before == now:
        return
    how = "--engine native" if before == "native" else f"--engine keras and KERAS_BACKEND={before}"
    raise CheckpointError(
        f"the checkpoint was made with {files.display_path(before)}, but this is {now}: "
        f"resume with {files.display_path(how)}"
    )


def make_result(run: Run, state: RunState) -> Result:
    """Return the result of a state: its best image, at the size of the finest level."""
    image = filearray.in_memory(np.clip(final_image(run, state), 0.0, 255.0))
    alpha = run.inputs.alpha
    return Result(
        pixels=image,
        recipe=with_steered_settings(run.recipe, state.provenance.recipe),
        network=run.model.network,
        run_provenance=state.provenance,
        seconds={"total": sum(state.seconds.values()), **state.seconds},
        levels=state.levels,
        history=state.history,
        stopped=state.stopped,
        size_lowered=state.size_lowered,
        alpha=None if alpha is None else masks.resize_mask(alpha, *arrays.size_of(image)),
        metadata=run.inputs.metadata,
    )
