"""Runs prepared jobs with cached models, and keeps the current run. Loads the engine."""

import functools
import logging
import os
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from impasto import filearray, files
from impasto.compute import threads
from impasto.errors import CheckpointError, ClusterError
from impasto.images import arrays, masks
from impasto.painting import calibration
from impasto.painting.climb import Clock, Job, climb, finished, first_state
from impasto.painting.controls import Controls
from impasto.painting.events import Happening, State, steered
from impasto.painting.measurements import Measurement, kinds_of
from impasto.painting.models import ModelCache, Sharing
from impasto.painting.preparing import Prepared
from impasto.painting.provenance import Provenance
from impasto.painting.result import Painted, Result

if TYPE_CHECKING:
    from impasto.cluster.pool import WorkerPool

LOG = logging.getLogger(__name__)

Event: TypeAlias = Happening | Painted


class Painter:
    """Runs prepared jobs, with models that are cached for the next run."""

    def __init__(
        self, weights_file: str | os.PathLike[str] | None = None, workers: int | str = 0
    ) -> None:
        """Load nothing yet.

        Args:
            weights_file: see ``weights.load``
            workers: number of worker processes for tiles on this machine, or the address of a
                scheduler
        """
        self.models = ModelCache(weights_file)
        self.workers = workers
        self.under_way: tuple[Job, State] | None = None

    def run(self, prepared: Prepared, controls: Controls) -> Iterator[Event]:
        """Run the levels, and yield events; the last one has the result.

        Raises:
            CheckpointError: if the state to resume from was made by another backend or solver
            WeightsError: if the weights cannot be loaded
            BackendError: if the backend cannot be used
        """
        before = prepared.state
        sharing, instruction_set = None, ""
        if self.workers and prepared.plan.tile:
            sharing, instruction_set = self._sharing()
        if self.workers and sharing is None:
            LOG.info("the image is a single tile: workers are not used")
        clock = Clock({} if before is None else before.seconds)
        model = self.models.get(prepared.recipe, instruction_set)
        if before is not None:
            _check_backend(before.provenance.backend, model.engine.backend)
        job = Job(model, prepared.inputs, prepared.recipe, prepared.plan, sharing)
        clock.lap("network")
        origin = origin_of(job)
        if before is None:
            state = first_state(job, origin)
        else:
            origin = replace(origin, steered=before.provenance.steered)
            state = replace(before, provenance=origin)
        # Tiles are used if memory is scarce.
        kept = nullcontext() if prepared.plan.tile else threads.freed_memory_kept()
        with threads.one_blas_thread(), kept:  # set once, since setting takes time
            try:
                for event in climb(job, state, controls, clock):
                    assert event.state is not None
                    state = event.state
                    self.under_way = job, state
                    prepared.keeper.note(state)
                    yield event
            except ClusterError as error:
                if not state.history:
                    raise
                LOG.warning("%s", error)
                state = replace(state, stopped=True)
        yield Painted(result_of(job, state))

    def _sharing(self) -> tuple[Sharing, str]:
        """Return what distributes tiles to the workers, and the instruction set that all use.

        Starts or connects the workers on first use. Raises ClusterError if there are none.
        """
        from impasto.painting import spread  # loads Dask

        pool, file = self._crew, self.models.weights_file
        weights_file = None if file is None else os.path.abspath(file)
        sharing = functools.partial(spread.share_out, pool, weights_file)
        return sharing, spread.instruction_set(pool)

    @functools.cached_property
    def _crew(self) -> "WorkerPool":
        from impasto.cluster.pool import connect  # loads Dask

        return connect(self.workers)

    def so_far(self) -> Result | None:
        """Return the best image of the current or last run; None if there is none."""
        if self.under_way is None:
            return None
        job, state = self.under_way
        whole = state.level == len(job.levels) == len(state.levels)
        return result_of(job, replace(state, stopped=not whole))

    def measure(self, prepared: Prepared) -> Measurement:
        """Measure this machine with the inputs and settings of a run."""
        kinds = dict.fromkeys(
            (*kinds_of(prepared.recipe), *(level.kind for level in prepared.levels))
        )
        return calibration.calibrate(self.models, prepared.recipe, prepared.inputs, kinds)

    def dismiss(self) -> None:
        """Close the workers."""
        if "_crew" in vars(self):
            vars(self).pop("_crew").close()

    def forget(self) -> None:
        """Free the networks and the current run, and close the workers."""
        self.dismiss()
        self.under_way = None
        self.models.forget()


def origin_of(job: Job) -> Provenance:
    """Return the provenance of a run; its recipe has the engine and precision in use."""
    named = {name: job.model.network[name] for name in ("network", "sha256")}
    init = os.path.basename(job.recipe.init)
    tile = job.plan.tile
    chosen = job.model.recipe
    used = replace(
        job.recipe, engine=chosen.engine, precision=chosen.precision, init=init, tile=tile
    )
    backend = job.model.engine.backend
    return Provenance(used, backend, named, job.inputs.sources, finished=False)


def _check_backend(before: str, now: str) -> None:
    """Raise CheckpointError unless a state resumes with the engine and backend that made it."""
    if before == now:
        return
    how = "--engine native" if before == "native" else f"--engine keras and KERAS_BACKEND={before}"
    raise CheckpointError(
        f"the checkpoint was made with {files.display_path(before)}, but this is {now}: "
        f"resume with {files.display_path(how)}"
    )


def result_of(job: Job, state: State) -> Result:
    """Return the result of a state: its best image, at the size of the finest level."""
    picture = filearray.in_memory(np.clip(finished(job, state), 0.0, 255.0))
    alpha = job.inputs.alpha
    return Result(
        picture=picture,
        recipe=steered(job.recipe, state.provenance.recipe),
        network=job.model.network,
        origin=state.provenance,
        seconds={"total": sum(state.seconds.values()), **state.seconds},
        levels=state.levels,
        history=state.history,
        stopped=state.stopped,
        lowered=state.lowered,
        alpha=None if alpha is None else masks.resize_mask(alpha, *arrays.size_of(picture)),
        metadata=job.inputs.metadata,
    )
