"""One painting as the command line does it: read, foretold, painted, written, and gone on from."""

import dataclasses
import shlex
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from impasto import files
from impasto.painting import checkpoints, inputs, memory, provenance, pyramid
from impasto.painting.checkpoints import Checkpoint, Keeper
from impasto.painting.inputs import Inputs
from impasto.painting.provenance import Provenance
from impasto.painting.pyramid import Level
from impasto.pictures import encode, raster
from impasto.recipe import settings as recipes
from impasto.recipe.settings import Recipe
from impasto.workshop import interrupts, outputs, progress
from impasto.workshop.orders import Sources
from impasto.workshop.outputs import Outputs, Recorder

if TYPE_CHECKING:
    from impasto.painting.climb import Engines, Result
    from impasto.painting.events import Event


@dataclass(frozen=True)
class Order:
    """What was asked for on the command line."""

    recipe: Recipe
    sources: Sources
    outputs: Outputs
    weights_file: Path | None = None
    quiet: bool = False
    before: Provenance | None = None
    """what the picture says whose recipe it is"""
    resumed: Checkpoint | None = None
    keeper: Keeper = field(default_factory=Keeper)

    def words(self) -> list[str]:
        """Return the words of the command line that a checkpoint does not hold."""
        words = ["impasto", "stylize", *self.sources.words(), *self.outputs.words()]
        words += ["--weights", str(self.weights_file)] if self.weights_file else []
        init = self.recipe.init
        return words + ([] if init in recipes.STARTS else ["--init", init])


@dataclass(frozen=True)
class Ready:
    """An order whose pictures were read and checked, before anything slow."""

    inputs: Inputs
    levels: tuple[Level, ...]
    recorder: Recorder

    @property
    def film(self) -> float:
        """Return the bytes that the film's frames will take."""
        return self.recorder.film_bytes(self.levels)


def prepare(order: Order) -> Ready:
    """Read and check, and say what the person should know."""
    read = inputs.prepare(order.recipe, *order.sources.given())
    levels = pyramid.schedule(*raster.size_of(read.content), order.recipe)
    recorder = Recorder(order.outputs, sum(level.evaluations for level in levels))
    if order.resumed is not None:
        checkpoints.check(order.resumed, read.sources, levels)
        recorder.seen = len(order.resumed.history)
    ready = Ready(read, levels, recorder)
    memory.require(dataclasses.replace(read.work, held=ready.film))
    if not order.quiet:
        changed = provenance.changed(read.sources, order.before) if order.before else ()
        for note in (*read.notes, *changed):
            progress.say(note)
        progress.resumed(order.resumed, order.outputs)
    return ready


def tell(order: Order, count: int = 1) -> None:
    """Print the recipe, and what painting so many such pictures will take; write nothing."""
    ready = prepare(order)
    if not order.quiet:
        progress.say("painting a little, to measure this machine")
    from impasto.painting import forecast  # loads the tensor library
    from impasto.painting.climb import Engines

    engines = Engines(order.weights_file)
    made = forecast.make(engines, order.recipe, ready.inputs, ready.levels, ready.film)
    print("\n".join(forecast.told(made, order.recipe, count)))


def paint(order: Order) -> None:
    """Paint, write everything that was asked for, and print the picture's path."""
    ready = prepare(order)
    with progress.shown(ready.levels, order.quiet) as show:
        # Loads the tensor library, while the bar is shown.
        from impasto.painting import climb, forecast

        engines = climb.Engines(order.weights_file)
        if not order.quiet and forecast.is_long(ready.levels):
            made = forecast.make(engines, order.recipe, ready.inputs, ready.levels, ready.film)
            progress.say(forecast.told(made, order.recipe)[-2])
        with interrupts.heard() as interrupted:
            result = work(order, ready, engines, show, interrupted)
    finish(order, ready, result)
    if not order.quiet:
        progress.summary(result, order.outputs)
    print(order.outputs.picture)


def work(
    order: Order,
    ready: Ready,
    engines: "Engines",
    show: progress.Show,
    interrupted: threading.Event,
) -> "Result":
    """Paint what was read, until it is done or interrupted."""
    from impasto.painting import climb

    def listener(event: "Event") -> bool:
        ready.recorder(event)
        show(event)
        return not interrupted.is_set()

    return climb.paint(ready.inputs, order.recipe, listener, engines, order.keeper, order.resumed)


def finish(order: Order, ready: Ready, result: "Result") -> None:
    """Write the outputs; of what is not finished save the state, and say how to go on."""
    keeper = order.keeper
    if not result.finished:
        if keeper.path is None and result.stopped:
            picture = order.outputs.picture
            keeper.path = files.free_name(picture.parent, picture.stem, checkpoints.ENDING)
        if keeper.path is not None and keeper.save():
            progress.say(f"to go on: {shlex.join([*order.words(), '--resume', str(keeper.path)])}")
    outputs.write(result, ready.recorder)
    if result.finished:
        keeper.remove()
    if not order.quiet:
        progress.shortfall(result)
    if result.alpha is not None and not encode.keeps_transparency(order.outputs.picture):
        progress.say(f"{order.outputs.picture}: its format has no transparency, which is white now")
    if ready.recorder.failure:
        progress.say(ready.recorder.failure)
