"""What a painting will take: time, from a short calibration with its own pictures, and memory.

A level costs its targets and its evaluations. Both grow with the pixels that the network looks
at, in a straight line that two small sizes give; on a processor a little more than that beyond.
"""

import dataclasses
import itertools
import statistics
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from impasto.compute import threads
from impasto.losses.kinds import FORMS, Kind
from impasto.optimizers.solvers import SOLVERS
from impasto.painting import memory
from impasto.painting.climb import Job
from impasto.painting.engine import Engines
from impasto.painting.inputs import Inputs, start
from impasto.painting.memory import WHOLE, Plan
from impasto.painting.preparing import Prepared
from impasto.painting.pyramid import Level, schedule
from impasto.pictures import raster
from impasto.pictures.guidance import size_seen
from impasto.pictures.raster import Picture
from impasto.recipe.settings import Recipe, as_options, settings

SIZES = (128, 320)
"""Longest sides in pixels at which a calibration paints, as far as the picture has them."""

EVALUATIONS = 4
"""Evaluations of a calibration at each size."""

BEND = 0.05
"""The power of the size with which a processor needs longer for a pixel beyond SIZES: the larger
maps are, the more of them lie in memory that is new each time (benchmarks/NOTES.md)."""


@dataclass(frozen=True)
class Curve:
    """Seconds as base + slope · pixels, times (pixels / measured)^bend beyond what was measured."""

    base: float
    slope: float
    measured: float
    bend: float = 0.0

    def at(self, pixels: float) -> float:
        """Return the seconds for so many pixels."""
        beyond = max(1.0, pixels / self.measured)
        return self.base + self.slope * pixels * beyond**self.bend


@dataclass(frozen=True)
class Costs:
    """What painting levels of a kind costs on this machine, in seconds."""

    once: float
    """for what is compiled once"""
    compiling: float
    """for what is compiled at every size"""
    targets: Curve
    """of the pixels of the photograph and the paintings as they are seen"""
    evaluation: Curve
    """of the pixels painted"""


@dataclass(frozen=True)
class Sample:
    """What one level of a calibration took, in seconds, the first time and again."""

    pixels: int
    seen: int
    """pixels of the photograph and of the paintings as they are seen"""
    cold: float
    """targets and one evaluation"""
    targets: float
    evaluation: float


def calibrate(
    engines: Engines, recipe: Recipe, inputs: Inputs, kinds: Iterable[Kind]
) -> tuple[float, dict[Kind, Costs]]:
    """Load the network, and paint a little at two small sizes; takes seconds.

    Returns the seconds that loading took, and the costs of levels by their kind. What was compiled
    stays in ``engines`` for the painting itself.
    """
    began = time.perf_counter()
    engines.get(recipe)
    network = time.perf_counter() - began
    bend = BEND if engines.get(recipe).computing.backend == "native" else 0.0
    levels = small_levels(inputs, recipe)
    with threads.one_blas_thread(), threads.freed_memory_kept():
        found = {
            kind: costs(
                [_sample(engines, recipe, inputs, replace(level, kind=kind)) for level in levels],
                bend,
            )
            for kind in kinds
        }
    return network, found


def small_levels(inputs: Inputs, recipe: Recipe) -> list[Level]:
    """Return a level for each of SIZES, smaller ones or a single one where the picture is small."""
    height, width = raster.size_of(inputs.content)
    alone = (_alone(recipe, min(size, recipe.size)) for size in SIZES)
    levels = (schedule(height, width, each)[0] for each in alone)
    return list({(level.height, level.width): level for level in levels}.values())


def _alone(recipe: Recipe, size: int) -> Recipe:
    return dataclasses.replace(recipe, size=size, levels=1, finished=0)


def _sample(engines: Engines, recipe: Recipe, inputs: Inputs, level: Level) -> Sample:
    content = raster.resize(inputs.content, level.height, level.width)
    first, (evaluation,) = _paint(engines, recipe, inputs, content, 1, level.kind)
    targets, each = _paint(engines, recipe, inputs, content, EVALUATIONS, level.kind)
    pixels = level.height * level.width
    return Sample(
        pixels, seen(inputs, pixels), first + evaluation, targets, statistics.median(each)
    )


def seen(inputs: Inputs, pixels: int) -> int:
    """Return how many pixels the network looks at for the targets of a level of so many."""
    paintings = (each for place in inputs.regions for each in place.paintings if each.share)
    sizes = (size_seen(each, pixels) for each in paintings)
    return pixels + sum(height * width for height, width in sizes)


def _paint(
    engines: Engines, recipe: Recipe, inputs: Inputs, content: Picture, evaluations: int, kind: Kind
) -> tuple[float, list[float]]:
    """Return the seconds for the targets, and for each evaluation with the optimizer's work."""
    times = [time.perf_counter()]
    job = Job(engines.get(recipe), inputs, recipe)
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
    """Return what samples, of the smallest size first, say of all sizes."""
    extra = [each.cold - each.targets - each.evaluation for each in samples]
    # Whatever the first size compiled is needed no more at the others, or else at each.
    compiling = max(0.0, extra[-1]) if len(samples) > 1 else 0.0
    return Costs(
        max(0.0, extra[0] - compiling),
        compiling,
        curve([(each.seen, each.targets) for each in samples], bend),
        curve([(each.pixels, each.evaluation) for each in samples], bend),
    )


def curve(points: Sequence[tuple[float, float]], bend: float = 0.0) -> Curve:
    """Return the curve through the first and the last of (pixels, seconds).

    Never one that falls, nor below zero at zero: then it goes through zero and the last, as with a
    single point.
    """
    (few, short), (many, long) = points[0], points[-1]
    slope = (long - short) / (many - few) if many > few else 0.0
    if slope <= 0 or short - slope * few < 0:
        return Curve(0.0, long / many, many, bend)
    return Curve(short - slope * few, slope, many, bend)


@dataclass(frozen=True)
class Forecast:
    """What a painting will take."""

    start: float
    """seconds until the first level: to load the network, and for what is compiled once"""
    levels: tuple[tuple[Level, float], ...]
    """each with its seconds"""
    peak: float
    """bytes of memory"""
    free: float
    """bytes that there are"""
    plan: Plan = WHOLE
    """in what tiles it is read"""

    @property
    def painting(self) -> float:
        """Return the seconds for all levels together."""
        return sum(seconds for _, seconds in self.levels)

    def told(self, recipe: Recipe, pictures: int = 1) -> list[str]:
        """Return the lines that tell a person what so many pictures of a recipe will take."""
        usual = Recipe(style_loss=recipe.style_loss)
        names = [name for name, *_ in settings() if getattr(recipe, name) != getattr(usual, name)]
        names += ["style_loss"] if recipe.style_loss != Recipe().style_loss else []
        other = {name: getattr(recipe, name) for name in names}
        return [
            f"recipe: {' '.join(as_options(other)) or 'the default of every setting'}",
            *(
                f"level {level.number}: {level.width} x {level.height} px, "
                f"{level.evaluations} evaluations, {in_words(each)}"
                for level, each in self.levels
            ),
            self.told_time(pictures),
            f"memory: about {self.peak / 1e9:.1f} GB at the peak, {self.free / 1e9:.1f} GB "
            f"are free{self.told_plan()}",
        ]

    def told_plan(self) -> str:
        """Return words on how the picture is read, if it is not read as a whole."""
        if not self.plan.tile:
            return ""
        anew = "" if self.plan.keep else ", whose targets are computed anew every time"
        return f"; in tiles of {self.plan.tile} px{anew}"

    def told_time(self, pictures: int = 1) -> str:
        """Return the line that tells a person how long so many pictures will take."""
        seconds = self.start + pictures * self.painting
        several = f" for {pictures} pictures like the first" if pictures > 1 else ""
        begin = in_words(self.start)
        return f"time: about {in_words(seconds)}{several}, {begin} of it to begin with"


def make(engines: Engines, prepared: Prepared, held: float = 0.0) -> Forecast:
    """Calibrate, and say what a painting will take; ``held`` is bytes that are kept besides.

    Painting with the same ``engines`` afterwards takes no start any more.
    """
    recipe, inputs, levels, plan = (
        *(prepared.recipe, prepared.inputs, prepared.levels, prepared.plan),
    )
    kinds = dict.fromkeys(level.kind for level in levels)
    network, found = calibrate(engines, recipe, inputs, kinds)
    used = engines.get(recipe).recipe
    features = memory.features_of(used.engine, used.precision)
    work = dataclasses.replace(inputs.work, held=held, features=features)
    return Forecast(
        network + sum(each.once for each in found.values()),
        tuple(zip(levels, predict(found, inputs, levels, plan), strict=True)),
        memory.needed(work, plan),
        memory.free(),
        plan,
    )


def predict(
    found: Mapping[Kind, Costs], inputs: Inputs, levels: Sequence[Level], plan: Plan = WHOLE
) -> list[float]:
    """Return the seconds that each level will take; what is done once is not among them.

    ``found`` are the costs of levels by their kind. Of what is read in
    tiles more is looked at than there is; a last pass reads it twice, and targets that are not kept
    are computed with every evaluation, both of which add about half.
    """

    def seconds(level: Level) -> float:
        kind, pixels = found[level.kind], level.height * level.width
        targets, shown, again = seen(inputs, pixels), float(pixels), 1.0
        if 0 < plan.tile < max(level.height, level.width):
            around = ((plan.tile + memory.AROUND) / plan.tile) ** 2
            again = (1.5 if level.kind.last else 1.0) * (1.0 if plan.keep else 1.5)
            targets, shown = round(around * targets), around * pixels
        return (
            kind.compiling
            + kind.targets.at(targets)
            + level.evaluations * again * kind.evaluation.at(shown)
        )

    return [seconds(level) for level in levels]


def in_words(seconds: float) -> str:
    """Return a duration as a person says it.

    >>> in_words(8.2), in_words(250), in_words(9000)
    ('8 s', '4 min', '2.5 h')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
