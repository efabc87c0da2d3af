"""What the front door opens to: models, and the painting under way.

Loads the tensor library.
"""

import functools
import logging
import os
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from impasto import files, paged
from impasto.compute import threads
from impasto.errors import CheckpointError, ClusterError
from impasto.painting import calibration
from impasto.painting.climb import Clock, Job, climb, finished, first_state
from impasto.painting.controls import Controls
from impasto.painting.events import Happening, State, steered
from impasto.painting.measurements import Measurement, kinds_of
from impasto.painting.models import ModelCache, Sharing
from impasto.painting.preparing import Prepared
from impasto.painting.provenance import Provenance
from impasto.painting.result import Painted, Result
from impasto.pictures import masks, raster

if TYPE_CHECKING:
    from impasto.cluster.crew import Crew

LOG = logging.getLogger(__name__)

Event: TypeAlias = Happening | Painted


class Painter:
    """Paints what was prepared, with models that are kept for the next picture."""

    def __init__(
        self, weights_file: str | os.PathLike[str] | None = None, workers: int | str = 0
    ) -> None:
        """Load nothing yet; ``weights_file`` is a file with the weights, see ``weights.load``.

        ``workers`` is how many processes on this machine read tiles, or the address of a
        scheduler of others.
        """
        self.models = ModelCache(weights_file)
        self.workers = workers
        self.under_way: tuple[Job, State] | None = None

    def run(self, prepared: Prepared, controls: Controls) -> Iterator[Event]:
        """Paint, and yield what happens; the last event has the result.

        Raises CheckpointError if the state to go on from is of another backend, or not its
        solver's; WeightsError and BackendError where there is nothing to paint with.
        """
        before = prepared.state
        sharing, instruction_set = None, ""
        if self.workers and prepared.plan.tile:
            sharing, instruction_set = self._sharing()
        if self.workers and sharing is None:
            LOG.info("the picture is a single tile: there is nothing for workers to do")
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
        # A picture in tiles is one for which memory is scarce.
        kept = nullcontext() if prepared.plan.tile else threads.freed_memory_kept()
        with threads.one_blas_thread(), kept:  # once, since setting and lifting it takes its time
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
        """Hire workers, if that was not done yet, and return what has them read tiles.

        And the instruction set that they compute with, as this process does.

        Raises ClusterError if there are none, and SettingError without Dask.
        """
        from impasto.painting import spread  # loads Dask

        crew, file = self._crew, self.models.weights_file
        weights_file = None if file is None else os.path.abspath(file)
        sharing = functools.partial(spread.share_out, crew, weights_file)
        return sharing, spread.instruction_set(crew)

    @functools.cached_property
    def _crew(self) -> "Crew":
        from impasto.cluster.crew import hire  # loads Dask

        return hire(self.workers)

    def so_far(self) -> Result | None:
        """Return the best picture so far of the painting under way, or left; None without one."""
        if self.under_way is None:
            return None
        job, state = self.under_way
        whole = state.level == len(job.levels) == len(state.levels)
        return result_of(job, replace(state, stopped=not whole))

    def measure(self, prepared: Prepared) -> Measurement:
        """Measure this machine with the pictures and the settings of a painting."""
        kinds = dict.fromkeys(
            (*kinds_of(prepared.recipe), *(level.kind for level in prepared.levels))
        )
        return calibration.calibrate(self.models, prepared.recipe, prepared.inputs, kinds)

    def dismiss(self) -> None:
        """Let workers go."""
        if "_crew" in vars(self):
            vars(self).pop("_crew").dismiss()

    def forget(self) -> None:
        """Give back the memory of the network and of the painting under way; let workers go."""
        self.dismiss()
        self.under_way = None
        self.models.forget()


def origin_of(job: Job) -> Provenance:
    """Return what a picture depends on, its recipe with the engine and precision that are used."""
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
    """Raise CheckpointError unless a state is continued by the engine and backend it is of."""
    if before == now:
        return
    how = "--engine native" if before == "native" else f"--engine keras and KERAS_BACKEND={before}"
    raise CheckpointError(
        f"the checkpoint was painted on {files.shown(before)}, and this is {now}: "
        f"resume with {files.shown(how)}"
    )


def result_of(job: Job, state: State) -> Result:
    """Return the result of a state: its best picture so far, at the finest level's size."""
    picture = paged.whole(np.clip(finished(job, state), 0.0, 255.0))
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
        alpha=None if alpha is None else masks.resize(alpha, *raster.size_of(picture)),
        metadata=job.inputs.metadata,
    )
