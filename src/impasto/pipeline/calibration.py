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
from impasto.losses.level_roles import STRUCTURE, LevelRole
from impasto.optimizers.registry import SOLVERS
from impasto.pipeline import forecast, measurements, memory
from impasto.pipeline.inputs import Inputs, PreparedRun
from impasto.pipeline.measurements import LevelCosts, SpeedMeasurement, fit_curve
from impasto.pipeline.models import ModelCache
from impasto.pipeline.pyramid import Level, schedule
from impasto.pipeline.result import Result
from impasto.pipeline.run import Run, start_image
from impasto.recipe.settings import Recipe

CALIBRATION_SIZES = (128, 320)
"""Longest sides in pixels of the calibration runs, if memory is free for them."""

EVALUATIONS = 4
"""Number of evaluations at each size."""


@dataclass(frozen=True)
class CostSample:
    """Seconds of a calibration level, for the first and the second time."""

    pixels: int
    processed: float
    """processed pixels of the content and style images"""
    cold: float
    """seconds of targets and of one evaluation"""
    targets: float
    evaluation: float


def measure_speed(
    models: ModelCache, recipe: Recipe, inputs: Inputs, roles: Iterable[LevelRole]
) -> SpeedMeasurement:
    """Load the network, and time levels of these roles at two small sizes, which takes seconds.

    Compiled functions stay in ``models`` for the run.
    """
    began = time.perf_counter()
    model = models.get(recipe)
    network = time.perf_counter() - began
    levels = small_levels(inputs, recipe)
    with threads.one_blas_thread(), threads.freed_memory_kept():
        costs = {
            role: costs_of_samples(
                [
                    _measure_level(models, recipe, inputs, replace(level, role=role))
                    for level in levels
                ],
                measurements.cost_exponent(model.engine.backend),
            )
            for role in roles
        }
    features = memory.features_of(model.recipe.engine, model.recipe.precision)
    return SpeedMeasurement(network, features, costs)


def small_levels(inputs: Inputs, recipe: Recipe) -> list[Level]:
    """Return a level for each of CALIBRATION_SIZES that fits, at least one."""
    height, width = arrays.size_of(inputs.content)
    first, *others = CALIBRATION_SIZES
    sizes = [first, *(size for size in others if size <= recipe.size or _fits_memory(inputs, size))]
    alone = (dataclasses.replace(recipe, size=size, levels=1, finished=0) for size in sizes)
    levels = (schedule(height, width, each)[0] for each in alone)
    return list({(level.height, level.width): level for level in levels}.values())


def _fits_memory(inputs: Inputs, size: int) -> bool:
    return memory.peak_bytes(replace(inputs.memory_inputs, size=size)) <= memory.free_bytes()


def _measure_level(models: ModelCache, recipe: Recipe, inputs: Inputs, level: Level) -> CostSample:
    content = arrays.resize(inputs.content, level.height, level.width)
    first, (evaluation,) = _time_level(models, recipe, inputs, content, 1, level.role)
    targets, each = _time_level(models, recipe, inputs, content, EVALUATIONS, level.role)
    pixels = level.height * level.width
    processed = measurements.processed_pixels(pixels, forecast.style_sizes(inputs))
    return CostSample(pixels, processed, first + evaluation, targets, statistics.median(each))


def _time_level(
    models: ModelCache,
    recipe: Recipe,
    inputs: Inputs,
    content: ImageArray,
    evaluations: int,
    role: LevelRole,
) -> tuple[float, list[float]]:
    """Return the seconds of the targets, and of each evaluation including the optimizer."""
    times = [time.perf_counter()]
    run = Run(models.get(recipe), inputs, recipe)
    problem = run.problem(content, start=None if role == STRUCTURE else content, role=role)
    times.append(time.perf_counter())
    solver = SOLVERS[recipe.optimizer]
    state = solver.begin(run.place_image(start_image(inputs, content, recipe)), evaluations)
    while state.progress.reason is None:
        state = solver.step(problem.objective.evaluate, state)
        times.append(time.perf_counter())
    targets, *each = (after - before for before, after in itertools.pairwise(times))
    return targets, each


def costs_of_samples(samples: Sequence[CostSample], bend: float = 0.0) -> LevelCosts:
    """Fit costs for all sizes to samples, smallest first."""
    extra = [each.cold - each.targets - each.evaluation for each in samples]
    # Compilation at the second size is per size; at the first, the rest of it is one-time.
    compiling = max(0.0, extra[-1]) if len(samples) > 1 else 0.0
    return LevelCosts(
        max(0.0, extra[0] - compiling),
        compiling,
        fit_curve([(each.processed, each.targets) for each in samples], bend),
        fit_curve([(each.pixels, each.evaluation) for each in samples], bend),
    )


def store_run_speed(prepared: PreparedRun, result: Result) -> None:
    """Store the times of a run, if there is no measurement for such settings."""
    if prepared.state is not None or forecast.known_measurement(prepared) is not None:
        return
    styles = forecast.style_sizes(prepared.inputs)
    measured = measurements.measurement_of_run(prepared.levels, result, styles)
    if measured is not None:
        measurements.store_measurement(prepared.recipe, len(prepared.inputs.regions), measured)
