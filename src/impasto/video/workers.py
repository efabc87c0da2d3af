"""Paints the shots of a clip on Dask workers, the longest first."""

import os
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple, cast

from impasto.pipeline.stylizer import Stylizer
from impasto.pipeline.video_events import ShotFinished, ShotStarted, VideoEvent
from impasto.recipe.settings import Recipe
from impasto.video.clip_job import PreparedClip, VideoJob, is_complete, prepare, survey_of
from impasto.video.shot import paint_shot
from impasto.video.survey import Survey


class ShotTask(NamedTuple):
    """A shot for a worker, which must see the same files."""

    job: VideoJob
    recipe: Recipe
    weights_file: str | None
    numbers: tuple[int, ...]
    """numbers of consecutive shots: shots of a dissolve depend on each other"""


def paint_on_workers(
    stylizer: Stylizer, clip: PreparedClip, surveyed: Survey
) -> Iterator[VideoEvent]:
    """Paint shots on workers, the longest first."""
    from impasto.cluster.pool import connect  # loads Dask

    file = stylizer.weights_file
    weights = None if file is None else os.path.abspath(file)
    job = _absolute(clip.job)
    tasks = [
        ShotTask(job, clip.recipe, weights, numbers)
        for numbers in _groups(surveyed)
        if not all(is_complete(clip.project, surveyed.shots[number]) for number in numbers)
    ]

    def frames(task: ShotTask) -> int:
        return sum(surveyed.shots[number].frames for number in task.numbers)

    tasks.sort(key=frames, reverse=True)
    shots = len(surveyed.shots)
    with connect(stylizer.workers) as pool:
        for task in tasks:
            for number in task.numbers:
                shot = surveyed.shots[number]
                yield ShotStarted(number + 1, shots, shot.first, shot.last, 0)
        for seconds in pool.map(paint_on_worker, tasks):
            for number, each in cast(dict[int, float], seconds).items():
                yield ShotFinished(number + 1, shots, each)


def _absolute(job: VideoJob) -> VideoJob:
    """Return a job whose paths do not depend on the working folder."""

    def absolute(source: Any) -> Any:
        if isinstance(source, list | tuple):
            return type(source)(absolute(each) for each in source)
        is_path = isinstance(source, str | os.PathLike)
        return os.path.abspath(source) if is_path and source is not None else source

    keys = {number: absolute(image) for number, image in job.options.keys.items()}
    return replace(
        job,
        clip=absolute(job.clip),
        output=absolute(job.output),
        style=absolute(job.style),
        regions=[absolute(region) for region in job.regions],
        keep=absolute(job.keep),
        options=replace(job.options, keys=keys),
    )


def _groups(surveyed: Survey) -> list[tuple[int, ...]]:
    """Return the shots in groups that are painted in order: those joined by dissolves."""
    groups: list[list[int]] = []
    for shot in surveyed.shots:
        inside = any(a <= shot.first <= b for a, b in surveyed.dissolves)
        if inside and groups:
            groups[-1].append(shot.number)
        else:
            groups.append([shot.number])
    return [tuple(group) for group in groups]


def paint_on_worker(payload: object, task: ShotTask) -> dict[int, float]:
    """Paint shots in a worker process, and return the seconds of each."""
    seconds = {}
    with Stylizer(task.recipe, weights_file=task.weights_file) as stylizer:
        clip = prepare(stylizer, replace(task.job, recipe=task.recipe))
        surveyed = survey_of(clip)
        for number in task.numbers:
            for event in paint_shot(stylizer, clip, surveyed, surveyed.shots[number]):
                if isinstance(event, ShotFinished):
                    seconds[number] = event.seconds
    return seconds
