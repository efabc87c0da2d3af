"""Measures the speed of this machine at two small sizes. Builds the engine."""

import dataclasses
import itertools
import statistics
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from impasto.compute import threads
from impasto.images import arrays
from impasto.images.arrays import ImageArray
from impasto.losses.kinds import FORMS, Kind
from impasto.optimizers.solvers import SOLVERS
from impasto.painting import forecast, measurements, memory
from impasto.painting.climb import Job
from impasto.painting.inputs import Inputs, start
from impasto.painting.measurements import Costs, Measurement, curve
from impasto.painting.models import ModelCache
from impasto.painting.preparing import Prepared
from impasto.painting.pyramid import Level, schedule
from impasto.painting.result import Result
from impasto.recipe.settings import Recipe

SIZES = (128, 320)
"""Longest sides in pixels of the calibration runs, if memory is free for them."""

EVALUATIONS = 4
"""Number of evaluations at each size."""


@dataclass(frozen=True)
class Sample:
    """Seconds of a calibration level, for the first and the second time."""

    pixels: int
    seen: float
    """processed pixels of the content and style images"""
    cold: float
    """seconds of targets and of one evaluation"""
    targets: float
    evaluation: float


def calibrate(
    models: ModelCache, recipe: Recipe, inputs: Inputs, kinds: Iterable[Kind]
) -> Measurement:
    """Load the network, and time levels of these kinds at two small sizes, which takes seconds.

    Compiled functions stay in ``models`` for the run.
    """
    began = time.perf_counter()
    model = models.get(recipe)
    network = time.perf_counter() - began
    levels = small_levels(inputs, recipe)
    with threads.one_blas_thread(), threads.freed_memory_kept():
        found = {
            kind: costs(
                [_sample(models, recipe, inputs, replace(level, kind=kind)) for level in levels],
                measurements.bend_of(model.engine.backend),
            )
            for kind in kinds
        }
    features = memory.features_of(model.recipe.engine, model.recipe.precision)
    return Measurement(network, features, found)


def small_levels(inputs: Inputs, recipe: Recipe) -> list[Level]:
    """Return a level for each of SIZES that fits, at least one."""
    height, width = arrays.size_of(inputs.content)
    first, *others = SIZES
    sizes = [first, *(size for size in others if size <= recipe.size or _fits(inputs, size))]
    alone = (dataclasses.replace(recipe, size=size, levels=1, finished=0) for size in sizes)
    levels = (schedule(height, width, each)[0] for each in alone)
    return list({(level.height, level.width): level for level in levels}.values())


def _fits(inputs: Inputs, size: int) -> bool:
    return memory.needed(replace(inputs.work, size=size)) <= memory.free()


def _sample(models: ModelCache, recipe: Recipe, inputs: Inputs, level: Level) -> Sample:
    content = arrays.resize(inputs.content, level.height, level.width)
    first, (evaluation,) = _paint(models, recipe, inputs, content, 1, level.kind)
    targets, each = _paint(models, recipe, inputs, content, EVALUATIONS, level.kind)
    pixels = level.height * level.width
    seen = measurements.seen(pixels, forecast.paintings_of(inputs))
    return Sample(pixels, seen, first + evaluation, targets, statistics.median(each))


def _paint(
    models: ModelCache,
    recipe: Recipe,
    inputs: Inputs,
    content: ImageArray,
    evaluations: int,
    kind: Kind,
) -> tuple[float, list[float]]:
    """Return the seconds of the targets, and of each evaluation including the optimizer."""
    times = [time.perf_counter()]
    job = Job(models.get(recipe), inputs, recipe)
    task = job.objective(content, start=None if kind == FORMS else content, kind=kind)
    times.append(time.perf_counter())
    solver = SOLVERS[recipe.optimizer]
    state = solver.begin(job.placed(start(inputs, content, recipe)), evaluations)
    while state.progress.reason is None:
        state = solver.step(task.evaluate, state)
        times.append(time.perf_counter())
    targets, *each = (after - before for before, after in itertools.pairwise(times))
    return targets, each


def costs(samples: Sequence[Sample], bend: float = 0.0) -> Costs:
    """Fit costs for all sizes to samples, smallest first."""
    extra = [each.cold - each.targets - each.evaluation for each in samples]
    # Whatever the first size compiled is needed no more at the others, or else at each.
    compiling = max(0.0, extra[-1]) if len(samples) > 1 else 0.0
    return Costs(
        max(0.0, extra[0] - compiling),
        compiling,
        curve([(each.seen, each.targets) for each in samples], bend),
        curve([(each.pixels, each.evaluation) for each in samples], bend),
    )


def remember(prepared: Prepared, result: Result) -> None:
    """Store the times of a run, if there is no measurement for such settings."""
    if prepared.state is not None or forecast.known(prepared) is not None:
        return
    paintings = forecast.paintings_of(prepared.inputs)
    measured = measurements.of_painting(prepared.levels, result, paintings)
    if measured is not None:
        measurements.store(prepared.recipe, len(prepared.inputs.regions), measured)
