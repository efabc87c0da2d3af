"""Expected time and memory of a run, from the measurement of this machine."""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass

from impasto.errors import pluralize
from impasto.images import arrays
from impasto.losses.level_roles import LevelRole
from impasto.pipeline import measurements, memory
from impasto.pipeline.inputs import Inputs, PreparedRun
from impasto.pipeline.measurements import SpeedMeasurement, StyleSizes
from impasto.pipeline.memory import WHOLE_IMAGE, TilePlan
from impasto.pipeline.progress import format_duration
from impasto.pipeline.pyramid import Level
from impasto.recipe.settings import Recipe, iter_settings, to_options


@dataclass(frozen=True)
class Forecast:
    """Expected time and memory of a run."""

    start: float
    """seconds before the first level: loading the network, and compilation"""
    levels: tuple[tuple[Level, float], ...]
    """levels with their seconds"""
    peak: float
    """peak memory in bytes"""
    free: float
    """free memory in bytes"""
    plan: TilePlan = WHOLE_IMAGE
    """the tiles to use"""

    @property
    def levels_seconds(self) -> float:
        """Return the seconds of all levels."""
        return sum(seconds for _, seconds in self.levels)

    def lines(self, recipe: Recipe, images: int = 1) -> list[str]:
        """Return lines about the run of ``images`` images."""
        usual = Recipe(style_loss=recipe.style_loss)
        names = [
            name for name, *_ in iter_settings() if getattr(recipe, name) != getattr(usual, name)
        ]
        names += ["style_loss"] if recipe.style_loss != Recipe().style_loss else []
        other = {name: getattr(recipe, name) for name in names}
        return [
            f"recipe: {' '.join(to_options(other)) or 'default settings'}",
            *(
                f"level {level.number}: {level.width} x {level.height} px, "
                f"{pluralize(level.evaluations, 'evaluation')}, {format_duration(each)}"
                for level, each in self.levels
            ),
            self.time_line(images),
            self.memory_line(),
        ]

    def memory_line(self) -> str:
        """Return a line about memory, and about tiles if there are any."""
        needed = f"memory: about {self.peak / 1e9:.1f} GB peak"
        tiles = ""
        if self.plan.tile:
            again = "" if self.plan.keep_targets else ", with targets recomputed at each evaluation"
            tiles = f"; tiles of {self.plan.tile} px{again}"
        return f"{needed}, {self.free / 1e9:.1f} GB free{tiles}"

    def time_line(self, images: int = 1) -> str:
        """Return a line about the time of ``images`` such images."""
        seconds = self.start + images * self.levels_seconds
        several = f" for {images} images like the first" if images > 1 else ""
        begin = format_duration(self.start)
        return f"time: about {format_duration(seconds)}{several}, including {begin} to start"


def combine_forecasts(forecasts: Sequence[tuple[Recipe, Forecast]]) -> Forecast:
    """Return the forecast of several runs in a row, which share networks."""
    starts = {recipe.compile_key: each.start for recipe, each in forecasts}
    made = [each for _, each in forecasts]
    return Forecast(
        sum(starts.values()),
        tuple(level for each in made for level in each.levels),
        max(each.peak for each in made),
        min(each.free for each in made),
    )


def make_forecast(prepared: PreparedRun, measured: SpeedMeasurement, held: float = 0.0) -> Forecast:
    """Return the forecast of a run; ``held`` is additional memory in bytes."""
    inputs, levels, plan = prepared.inputs, prepared.levels, prepared.plan
    seconds = level_seconds(prepared, measured)
    memory_inputs = dataclasses.replace(
        inputs.memory_inputs, extra_bytes=held, features=measured.features
    )
    return Forecast(
        measured.network + sum(measured.costs[role].once for role in _level_roles(levels)),
        tuple(zip(levels, seconds, strict=True)),
        memory.peak_bytes(memory_inputs, plan),
        memory.free_bytes(),
        plan,
    )


def level_seconds(prepared: PreparedRun, measured: SpeedMeasurement) -> list[float]:
    """Return the expected seconds of each level of a run."""
    return predict_seconds(
        prepared.recipe, measured, prepared.levels, style_sizes(prepared.inputs), prepared.plan
    )


def expected_seconds(prepared: PreparedRun) -> list[float] | None:
    """Return the expected seconds of each level; None without a measurement."""
    measured = known_measurement(prepared)
    return None if measured is None else level_seconds(prepared, measured)


def known_measurement(prepared: PreparedRun) -> SpeedMeasurement | None:
    """Return the stored measurement for a run; None if there is none."""
    regions = len(prepared.inputs.regions)
    return measurements.find_measurement(prepared.recipe, regions, _level_roles(prepared.levels))


def _level_roles(levels: Sequence[Level]) -> list[LevelRole]:
    return list(dict.fromkeys(level.role for level in levels))


def style_sizes(inputs: Inputs) -> StyleSizes:
    """Return number of pixels and scale of the style images with weight."""
    counting = (each for region in inputs.regions for each in region.styles if each.weight)
    return [(math.prod(arrays.size_of(each.image)), each.scale) for each in counting]


def predict_seconds(
    recipe: Recipe,
    measured: SpeedMeasurement,
    levels: Sequence[Level],
    styles: StyleSizes,
    plan: TilePlan = WHOLE_IMAGE,
) -> list[float]:
    """Return the expected seconds of each level, without one-time costs.

    ``measured`` has the costs of all roles of levels. Tiles overlap, so more pixels are processed
    than the image has. A loss that is not additive needs a second pass over the tiles, and targets
    that are not kept are recomputed at each evaluation; each of the two adds about half.
    """
    from impasto.losses import objective  # loads all losses

    def seconds(level: Level) -> float:
        costs, pixels = measured.costs[level.role], level.height * level.width
        target_pixels, factor = measurements.processed_pixels(pixels, styles), 1.0
        evaluation_pixels = float(pixels)
        if 0 < plan.tile < max(level.height, level.width):
            overlap = ((plan.tile + memory.TILE_MARGIN) / plan.tile) ** 2
            target_pixels, evaluation_pixels = overlap * target_pixels, overlap * pixels
            factor = 1.0 if objective.total_loss(recipe, level.role).additive else 1.5
            factor *= 1.0 if plan.keep_targets else 1.5
        return (
            costs.compiling
            + costs.targets.at(target_pixels)
            + level.evaluations * factor * costs.evaluation.at(evaluation_pixels)
        )

    return [seconds(level) for level in levels]
