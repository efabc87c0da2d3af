"""Runs a job: prepares the inputs, runs the stylizer, writes all outputs."""

import collections
import dataclasses
import logging
import shlex
from collections.abc import Iterator
from dataclasses import dataclass

from impasto import files
from impasto.errors import pluralize
from impasto.images.formats import encode
from impasto.jobs import outputs
from impasto.jobs.outputs import OutputRecorder
from impasto.jobs.specs import JobSpec
from impasto.pipeline import checkpoints, memory, provenance
from impasto.pipeline.inputs import PreparedRun
from impasto.pipeline.result import Finished, Result
from impasto.pipeline.stylizer import Event, Stylizer

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class PreparedJob:
    """A job whose inputs are read and validated."""

    spec: JobSpec
    prepared: PreparedRun
    recorder: OutputRecorder

    @property
    def video_bytes(self) -> float:
        """Return the memory for the frames of the video in bytes."""
        return self.recorder.video_bytes(self.prepared.levels)


def prepare_job(spec: JobSpec, stylizer: Stylizer) -> PreparedJob:
    """Read and validate the inputs of a job, and log notes."""
    prepared = prepare_run(spec, stylizer)
    outputs.check_output_sizes(spec.outputs, *prepared.inputs.memory_inputs.result_size)
    recorder = OutputRecorder(spec.outputs, sum(level.evaluations for level in prepared.levels))
    if prepared.state is not None:
        outputs.remove_partial_outputs(spec.outputs)
        recorder.evaluated = len(prepared.state.history)
    job = PreparedJob(spec, prepared, recorder)
    held = dataclasses.replace(prepared.inputs.memory_inputs, extra_bytes=job.video_bytes)
    plan = memory.plan_tiles(held, prepared.memory_limit)
    job = dataclasses.replace(job, prepared=dataclasses.replace(prepared, plan=plan))
    for note in _iter_notes(job):
        LOG.info("%s", note)
    return job


def prepare_run(spec: JobSpec, stylizer: Stylizer) -> PreparedRun:
    """Read and validate the inputs of a job."""
    inputs = spec.inputs
    return stylizer.prepare(
        inputs.content,
        inputs.styles,
        regions=inputs.regions,
        keep=inputs.keep,
        checkpoint=spec.checkpoint,
        checkpoint_every=spec.checkpoint_every,
        resume=spec.resume,
        recipe=spec.recipe,
        memory=spec.memory,
    )


def _iter_notes(job: PreparedJob) -> Iterator[str]:
    """Yield notes for the user before the run."""
    spec, state = job.spec, job.prepared.state
    yield from job.prepared.inputs.notes
    if spec.provenance is not None:
        yield from provenance.changed_inputs(job.prepared.inputs.sources, spec.provenance)
    if state is not None:
        evaluations = pluralize(len(state.history), "evaluation")
        yield f"resuming at level {state.level} after {evaluations}"
        if spec.outputs.timelapse:
            yield "the video starts here, without the earlier images"


def run_job(job: PreparedJob, stylizer: Stylizer) -> Iterator[Event]:
    """Run a prepared job, record frames, and yield events.

    The last event has the result, see :func:`write_results`.
    """
    for event in stylizer.run(job.prepared):
        job.recorder.note(event)
        yield event


def last_result(events: Iterator[Event]) -> Result:
    """Consume the events of a run, and return its result.

    Each event is released before the next one, since its state contains whole images.
    """
    (last,) = collections.deque(events, maxlen=1)
    assert isinstance(last, Finished)
    return last.result


def write_results(job: PreparedJob, result: Result) -> None:
    """Write the outputs. If the run is incomplete, save its state and log how to resume."""
    image, writer = job.spec.outputs.result, job.prepared.checkpoint_writer
    if not result.finished:
        _save_state(job, result)
    outputs.write_outputs(result, job.recorder)
    if result.finished:
        writer.remove()
    for note in _iter_shortfalls(result):
        LOG.info("%s", note)
    if result.alpha is not None and not encode.supports_transparency(image):
        LOG.warning("%s: its format has no transparency; transparent parts are white", image)
    if job.recorder.failure:
        LOG.warning("%s", job.recorder.failure)


def _save_state(job: PreparedJob, result: Result) -> None:
    """Save the state of a stopped run, under a derived name if none was given."""
    spec, writer = job.spec, job.prepared.checkpoint_writer
    image = spec.outputs.result
    if writer.path is None and result.stopped:
        writer.path = files.reserve_name(image.parent, image.stem, checkpoints.CHECKPOINT_ENDING)
    if writer.path is None:
        return
    if writer.save():
        args = [*spec.to_args(result.recipe), "--resume", str(writer.path)]
        LOG.warning("to resume: %s", shlex.join(args))
    else:
        files.release_name(writer.path)


def _iter_shortfalls(result: Result) -> Iterator[str]:
    """Yield why a result is incomplete, if it is."""
    if result.stopped:
        yield "stopped early: this is the best image so far"
    if result.size_lowered:
        last = result.levels[-1]
        yield (
            f"out of memory: painted at {last.width} x {last.height} px at most, and enlarged; "
            "free some memory, or choose a smaller --size"
        )
