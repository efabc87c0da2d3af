"""Measured cost of tiles and workers, and an estimate for a gigapixel.

    python -m benchmarks.scale [--sizes 1024,2048] [--tile 512] [--workers 1,2] [--size 512]

Also a section of ``benchmarks.bench``.
"""

import argparse
import functools
import json
import math
import statistics
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np

import impasto
from impasto.compute import threads
from impasto.compute.arrays import HostArray
from impasto.images import arrays, samples
from impasto.losses import tiled
from impasto.losses.level_roles import DETAIL, STRUCTURE, LevelRole
from impasto.losses.objective import ConstrainedObjective, Objective
from impasto.losses.tiled import TiledObjective, TileEvaluator, TileResult
from impasto.pipeline.memory import TilePlan
from impasto.pipeline.models import ModelCache
from impasto.pipeline.run import Run
from impasto.recipe.presets import make_recipe

Section = dict[str, Any]

PIXEL = 12
"""Bytes of a pixel in float32."""


def tiles(sizes: Sequence[int], tile: int, repeats: int = 3) -> Section:
    """Time one loss and gradient as large pictures are painted with, whole and in tiles."""
    models, found = ModelCache(), {}
    for size in sizes:
        whole, parts = (_evaluations(models, size, each, repeats) for each in (0, tile))
        row = {"whole_s": statistics.median(whole), "tiled_s": statistics.median(parts)}
        found[str(size)] = {**row, "ratio": row["tiled_s"] / row["whole_s"]}
    return found


def _evaluations(models: ModelCache, size: int, tile: int, repeats: int) -> list[float]:
    with threads.one_blas_thread():
        task, content = _task(models, size, tile)
        task.evaluate(content)  # compiles, and keeps the targets of tiles
        return [_timed(lambda: task.evaluate(content)) for _ in range(repeats)]


def _task(
    models: ModelCache, size: int, tile: int, kind: LevelRole = DETAIL
) -> tuple[Objective, HostArray]:
    """Return what is minimized at a level of a kind, and a picture."""
    job = _job(models, size, tile)
    level = job.levels[0]
    content = job.content((level.height, level.width))
    task = job.problem(content, start=content, role=kind).objective
    return task.inner if isinstance(task, ConstrainedObjective) else task, content


def _job(models: ModelCache, size: int, tile: int) -> Run:
    stylizer = impasto.Stylizer(size=size, levels=1, tile=tile, precision="float32")
    photograph = arrays.resize(samples.load_content("coffee"), size * 2 // 3, size)
    prepared = stylizer.prepare(photograph, samples.make_style("swirls", 512))
    return Run(models.get(prepared.recipe), prepared.inputs, prepared.recipe, TilePlan(tile))


def _timed(run: Any) -> float:
    began = time.perf_counter()
    run()
    return time.perf_counter() - began


@dataclass(frozen=True)
class Costs:
    """What the tiles of a picture cost."""

    tile: float
    """seconds for one at one worker"""
    pixels: int
    """that one counts for"""
    shown: int
    """pixels that are sent with one, and come back as a gradient"""
    own: float
    """seconds of an evaluation that whoever hands out the work takes by itself, for all tiles"""


def costs(size: int, tile: int, repeats: int = 3, kind: LevelRole = DETAIL) -> tuple[Costs, int]:
    """Measure one tile, and the rest of an evaluation; return them and how many tiles there are."""
    with threads.one_blas_thread():
        task, content = _task(ModelCache(), size, tile, kind)
        assert isinstance(task, TiledObjective)
        task.evaluate(content)
        each, answers = [], {}
        for reading, shown in task.iter_tasks(content, tiled.NO_GRADIENT):
            read = functools.partial(_read, task, (reading, shown))
            each.append(statistics.median(_timed(read) for _ in range(repeats)))
            answers[reading.tile_number] = read()
        alone = replace(task, evaluator=cast(TileEvaluator, _Answers(answers)))
        own = statistics.median(_timed(lambda: alone.evaluate(content)) for _ in range(repeats))
    outer = [each.padded.height * each.padded.width for each in task.tiles]
    count = len(task.tiles)
    pixels = content.shape[0] * content.shape[1] // count
    return Costs(statistics.mean(each), pixels, round(statistics.mean(outer)), own), count


def _read(task: TiledObjective, asked: tiled.TileTask) -> TileResult:
    (found,) = task.evaluator.value_and_grad([asked])
    return found


@dataclass(frozen=True)
class _Answers:
    """Has the answers ready, so that what is left is what handing out takes."""

    answers: dict[int, TileResult]

    def value_and_grad(self, tasks: Iterable[tiled.TileTask]) -> Iterator[TileResult]:
        for reading, _ in tasks:
            yield self.answers[reading.tile_number]


def seconds(
    found: Costs, count: int, workers: int, bandwidth: float, machines: int | None = None
) -> float:
    """Return how long an evaluation of so many tiles takes with workers.

    Each is a machine, or they share so many. Tiles go round in turns; what is sent and comes back
    goes through the one link of whoever hands out the work, of ``bandwidth`` bytes a second,
    while others compute.
    """
    tile = found.tile * workers / (machines or workers)
    sent = 2 * PIXEL * found.shown * count / bandwidth
    return max(math.ceil(count / workers) * tile, sent) + found.own


def most_workers(found: Costs, bandwidth: float) -> float:
    """Return how many workers one link keeps busy."""
    return found.tile / (2 * PIXEL * found.shown / bandwidth)


def gigapixel(found: Costs, tiles: int, bandwidth: float) -> Section:
    """Return the seconds of one evaluation of 1e9 pixels by numbers of machines.

    ``tiles`` is how many the costs were measured of.
    """
    count = math.ceil(1e9 / found.pixels)
    grown = replace(found, own=found.own * count / tiles)
    return {
        str(workers): round(seconds(grown, count, workers, bandwidth)) for workers in (1, 8, 64)
    }


def workers(size: int, tile: int, counts: Iterable[int]) -> Section:
    """Paint a picture with so many workers of this machine, 0 for none; whether bytes are alike.

    Workers share this machine's cores, so that they can be no faster than one process.
    """
    photograph = arrays.resize(samples.load_content("coffee"), size * 2 // 3, size)
    painting, found, pictures = samples.make_style("swirls", 512), {}, []
    recipe = make_recipe(
        size=size, tile=tile, levels=1, evaluations=EVALUATIONS, precision="float32"
    )
    for count in counts:
        with impasto.Stylizer(recipe=recipe, workers=count) as stylizer:
            list(stylizer.paint(photograph, painting, recipe=_short(stylizer)))  # warm
            began = time.perf_counter()
            *steps, last = stylizer.paint(photograph, painting)
        assert isinstance(last, impasto.Finished)
        found[str(count)] = {
            "painting_s": round(time.perf_counter() - began, 2),
            "evaluation_s": round(_between(steps), 3),
        }
        pictures.append(last.result.pixels)
    alike = all(np.array_equal(pictures[0], each) for each in pictures)
    return {"took": found, "same_bytes": alike}


EVALUATIONS = 4
"""Of a level that is painted with workers."""


def _between(events: Iterable[Any]) -> float:
    """Return the median of seconds from one evaluation of the first level to the next."""
    times = [each.seconds for each in events if isinstance(each, impasto.Step) and each.level == 1]
    return float(statistics.median(np.diff(times)))


def _short(stylizer: impasto.Stylizer) -> impasto.Recipe:
    return replace(stylizer.recipe, evaluations=1)


def simulated(size: int, tile: int, counts: Iterable[int]) -> Section:
    """Return what the simulation says of one evaluation by workers that share this machine."""
    found, count = costs(size, tile, kind=STRUCTURE)
    link = 2e9  # bytes a second, from one process of this machine to another
    return {
        str(each): round(seconds(found, count, max(1, each), link, machines=1), 3)
        for each in counts
    }


def section(
    sizes: Sequence[int], tile: int, counts: Sequence[int], size: int, bandwidth: float
) -> Section:
    """Return all that is measured, and what is reckoned from it.

    The picture that workers paint, of ``size``, has smaller tiles if there would be only one.
    """
    found, count = costs(max(sizes), tile)
    part = tile if tile < size else size // 2
    return {
        "tiles": tiles(sizes, tile),
        "tile": {"seconds": found.tile, "bytes_each_way": PIXEL * found.shown, "own_s": found.own},
        "tile_of_workers": part,
        "workers": workers(size, part, counts),
        "simulated_evaluation_s": simulated(size, part, counts),
        "gigapixel_evaluation_s": gigapixel(found, count, bandwidth),
        "workers_a_link_keeps_busy": round(most_workers(found, bandwidth)),
        "tiles_of_the_picture": count,
    }


def main() -> None:
    """Measure, and print it as JSON."""
    parser = argparse.ArgumentParser(description="What tiles and workers cost.")
    parser.add_argument("--sizes", default="1024")
    parser.add_argument("--tile", type=int, default=512)
    parser.add_argument("--workers", default="0,1,2")
    parser.add_argument("--size", type=int, default=768, help="of the picture that is painted")
    parser.add_argument("--bandwidth", type=float, default=125e6, help="bytes a second; 1 Gbit/s")
    asked = parser.parse_args()
    sizes, counts = (
        [int(each) for each in text.split(",")] for text in (asked.sizes, asked.workers)
    )
    print(json.dumps(section(sizes, asked.tile, counts, asked.size, asked.bandwidth), indent=2))


if __name__ == "__main__":
    main()
