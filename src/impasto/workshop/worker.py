"""Runs a job: prepares the inputs, runs the stylizer, writes all outputs."""

import collections
import dataclasses
import logging
import shlex
from collections.abc import Iterator
from dataclasses import dataclass

from impasto import files
from impasto.errors import counted
from impasto.images.formats import encode
from impasto.painting import checkpoints, memory, provenance
from impasto.painting.preparing import Prepared
from impasto.painting.result import Painted, Result
from impasto.painting.stylizer import Event, Stylizer
from impasto.workshop import outputs
from impasto.workshop.orders import Order
from impasto.workshop.outputs import Recorder

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Ready:
    """A job whose inputs are read and validated."""

    order: Order
    prepared: Prepared
    recorder: Recorder

    @property
    def film(self) -> float:
        """Return the memory for the frames of the video in bytes."""
        return self.recorder.film_bytes(self.prepared.levels)


def prepare(order: Order, stylizer: Stylizer) -> Ready:
    """Read and validate the inputs of a job, and log notes."""
    prepared = read(order, stylizer)
    outputs.check_size(order.outputs, *prepared.inputs.work.painted)
    recorder = Recorder(order.outputs, sum(level.evaluations for level in prepared.levels))
    if prepared.state is not None:
        outputs.remove_leftovers(order.outputs)
        recorder.seen = len(prepared.state.history)
    ready = Ready(order, prepared, recorder)
    held = dataclasses.replace(prepared.inputs.work, held=ready.film)
    plan = memory.plan(held, prepared.most)
    ready = dataclasses.replace(ready, prepared=dataclasses.replace(prepared, plan=plan))
    for note in _notes(ready):
        LOG.info("%s", note)
    return ready


def read(order: Order, stylizer: Stylizer) -> Prepared:
    """Read and validate the inputs of a job."""
    sources = order.sources
    return stylizer.prepare(
        sources.content,
        sources.styles,
        regions=sources.regions,
        keep=sources.keep,
        checkpoint=order.checkpoint,
        checkpoint_every=order.checkpoint_every,
        resume=order.resume,
        recipe=order.recipe,
        memory=order.memory,
    )


def _notes(ready: Ready) -> Iterator[str]:
    """Yield notes for the user before the run."""
    order, state = ready.order, ready.prepared.state
    yield from ready.prepared.inputs.notes
    if order.before is not None:
        yield from provenance.changed(ready.prepared.inputs.sources, order.before)
    if state is not None:
        made = counted(len(state.history), "evaluation")
        yield f"resuming at level {state.level} after {made}"
        if order.outputs.timelapse:
            yield "the video starts here, without the earlier images"


def paint(ready: Ready, stylizer: Stylizer) -> Iterator[Event]:
    """Run a prepared job, record frames, and yield events.

    The last event has the result, see :func:`finish`.
    """
    for event in stylizer.run(ready.prepared):
        ready.recorder.note(event)
        yield event


def result_of(events: Iterator[Event]) -> Result:
    """Consume the events of a run, and return its result.

    Each event is released before the next one, since its state contains whole images.
    """
    (last,) = collections.deque(events, maxlen=1)
    assert isinstance(last, Painted)
    return last.result


def finish(ready: Ready, result: Result) -> None:
    """Write the outputs. If the run is incomplete, save its state and log how to resume."""
    picture, keeper = ready.order.outputs.picture, ready.prepared.keeper
    if not result.finished:
        _save_state(ready, result)
    outputs.write(result, ready.recorder)
    if result.finished:
        keeper.remove()
    for note in _shortfalls(result):
        LOG.info("%s", note)
    if result.alpha is not None and not encode.supports_transparency(picture):
        LOG.warning("%s: its format has no transparency; transparent parts are white", picture)
    if ready.recorder.failure:
        LOG.warning("%s", ready.recorder.failure)


def _save_state(ready: Ready, result: Result) -> None:
    """Save the state of a stopped run, under a derived name if none was given."""
    order, keeper = ready.order, ready.prepared.keeper
    picture = order.outputs.picture
    if keeper.path is None and result.stopped:
        keeper.path = files.free_name(picture.parent, picture.stem, checkpoints.ENDING)
    if keeper.path is None:
        return
    if keeper.save():
        words = [*order.words(result.recipe), "--resume", str(keeper.path)]
        LOG.warning("to resume: %s", shlex.join(words))
    else:
        files.release(keeper.path)


def _shortfalls(result: Result) -> Iterator[str]:
    """Yield why a result is incomplete, if it is."""
    if result.stopped:
        yield "stopped early: this is the best image so far"
    if result.lowered:
        last = result.levels[-1]
        yield (
            f"out of memory: painted at {last.width} x {last.height} px at most, and enlarged; "
            "free some memory, or choose a smaller --size"
        )
