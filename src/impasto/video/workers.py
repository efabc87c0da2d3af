"""Paints the parts of a clip on Dask workers, the longest first."""

import os
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from impasto.pipeline.stylizer import Stylizer
from impasto.pipeline.video_events import FramePainted, ShotFinished, ShotStarted, VideoEvent
from impasto.recipe.settings import Recipe
from impasto.video.clip_job import PreparedClip, VideoJob, is_complete, prepare, survey_of
from impasto.video.parts import Part, group_parts, parts_of
from impasto.video.shot import paint_part, schedule_of
from impasto.video.survey import Shot, Survey

POLL_SECONDS = 0.5
"""Time after which the folder is searched for new frames."""


class PartsTask(NamedTuple):
    """Parts for a worker, which must see the same files."""

    job: VideoJob
    recipe: Recipe
    weights_file: str | None
    parts: tuple[Part, ...]
    """parts that depend on each other, such as those of a dissolve, in order"""


def paint_on_workers(
    stylizer: Stylizer, clip: PreparedClip, surveyed: Survey
) -> Iterator[VideoEvent]:
    """Paint parts on workers, the longest first; yield events as frames appear.

    A worker paints what an earlier call has left of a part. Ends early if the stylizer is stopped.
    """
    from impasto.cluster.pool import connect  # loads Dask

    file = stylizer.weights_file
    weights = None if file is None else os.path.abspath(file)
    job, progress = _absolute(clip.job), _Progress(clip, surveyed)
    tasks = [
        PartsTask(job, clip.recipe, weights, tuple(parts))
        for parts in group_parts(surveyed, clip.job.options.keys)
        if not all(map(progress.is_complete, parts))
    ]
    tasks.sort(key=lambda task: sum(part.frames for part in task.parts), reverse=True)
    with ThreadPoolExecutor(1) as thread, connect(stylizer.workers) as pool:
        painting = thread.submit(list, pool.map(paint_on_worker, tasks))
        while not _is_done(painting) and not stylizer.stopped:
            yield from progress.events()
    if not stylizer.stopped:
        painting.result()
        yield from progress.events()


def _is_done(painting: Future[Any]) -> bool:
    return bool(wait([painting], timeout=POLL_SECONDS).done)


@dataclass
class _Progress:
    """Events of the frames that workers have written."""

    clip: PreparedClip
    surveyed: Survey
    reported: set[int] = field(default_factory=set)
    began: dict[int, float] = field(default_factory=dict)
    finished: set[int] = field(default_factory=set)
    latest: float = field(default_factory=time.perf_counter)

    def __post_init__(self) -> None:
        first = self.surveyed.first
        numbers = range(first, first + len(self.surveyed.frames))
        self.reported = {n for n in numbers if self.clip.project.has_frame(n)}
        complete = [each for each in self.surveyed.shots if is_complete(self.clip.project, each)]
        self.finished = {shot.number for shot in complete}

    def is_complete(self, part: Part) -> bool:
        """Return whether all frames of a part were written when this was made."""
        return self.reported.issuperset(range(part.first, part.last + 1))

    def events(self) -> Iterator[VideoEvent]:
        """Yield events for what is new."""
        for shot in self.surveyed.shots:
            if shot.number not in self.finished:
                yield from self._shot_events(shot)

    def _shot_events(self, shot: Shot) -> Iterator[VideoEvent]:
        project, shots = self.clip.project, len(self.surveyed.shots)
        numbers = range(shot.first, shot.last + 1)
        new = [n for n in numbers if n not in self.reported and project.has_frame(n)]
        if new and shot.number not in self.began:
            self.began[shot.number] = time.perf_counter()
            painted = sum(n in self.reported for n in numbers)
            yield ShotStarted(shot.number + 1, shots, shot.first, shot.last, painted)
        kinds = self._kinds(shot) if new else {}
        for number in new:
            self.reported.add(number)
            yield self._frame_event(number, kinds[number])
        if self.reported.issuperset(numbers):
            self.finished.add(shot.number)
            yield ShotFinished(
                shot.number + 1, shots, time.perf_counter() - self.began[shot.number]
            )

    def _kinds(self, shot: Shot) -> dict[int, str]:
        kinds: dict[int, str] = {}
        for part in parts_of(shot, self.clip.job.options.keys):
            schedule = schedule_of(self.clip, self.surveyed, part)
            kinds |= {n: schedule.kind(n) for n in range(part.first, part.last + 1)}
        return kinds

    def _frame_event(self, number: int, kind: str) -> FramePainted:
        now = time.perf_counter()
        seconds, self.latest = now - self.latest, now
        project, count = self.clip.project, len(self.surveyed.frames)
        share = self.surveyed.frame(number).share
        path = str(project.frame_path(number))
        pixels = project.read_pixels(number)
        return FramePainted(number, len(self.reported), count, kind, seconds, share, path, pixels)


def _absolute(job: VideoJob) -> VideoJob:
    """Return a job whose paths do not depend on the working folder."""

    def absolute(source: Any) -> Any:
        if isinstance(source, list | tuple):
            return tuple(absolute(each) for each in source)
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


def paint_on_worker(payload: object, task: PartsTask) -> None:
    """Paint parts in a worker process."""
    with Stylizer(task.recipe, weights_file=task.weights_file) as stylizer:
        clip = prepare(stylizer, replace(task.job, recipe=task.recipe))
        surveyed = survey_of(clip)
        for part in task.parts:
            for _ in paint_part(stylizer, clip, surveyed, part):
                pass
