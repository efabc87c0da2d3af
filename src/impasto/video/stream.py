"""Paints a clip: survey, shots, frames, and the written clip. A generator of events.

Everything that a frame depends on is a value, the memory of its shot, which is stored after each
frame. So an interrupted clip resumes to the same bytes, and a shot may be painted anywhere.
"""

import dataclasses
import functools
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np

from impasto import files
from impasto.compute import threads
from impasto.compute.arrays import to_numpy
from impasto.errors import SettingError
from impasto.images import arrays, colors, load, masks
from impasto.images.arrays import ImageArray, Mask
from impasto.images.formats import encode
from impasto.images.load import ImageLike
from impasto.optimizers.registry import SOLVERS
from impasto.pipeline.events import LevelFinished
from impasto.pipeline.inputs import PreparedRun
from impasto.pipeline.result import Finished
from impasto.pipeline.run import Run
from impasto.pipeline.stylizer import RunOptions, Stylizer
from impasto.pipeline.video_events import (
    AUTO,
    ClipSurveyed,
    FramePainted,
    ShotFinished,
    ShotStarted,
    VideoEvent,
    VideoFinished,
    VideoOptions,
)
from impasto.recipe.settings import ORIGINAL, Recipe
from impasto.version import __version__
from impasto.video import between, extras, memory_file, motion, reader, survey, writer
from impasto.video import project as projects
from impasto.video.frame_painter import ShotMemory, ShotPainter
from impasto.video.project import Project
from impasto.video.reader import ClipFrame, ClipInfo
from impasto.video.survey import Shot, Survey
from impasto.video.writer import DEFAULT_CLIP_OPTIONS, ClipOptions, TimeRange

FADE_FRAMES = 6
"""Number of frames over which the strokes of a shot before a dissolve fade out."""

STEADY_SHARE = 0.8
"""Corresponding share over N frames from which ``every`` auto paints every N-th frame."""


@dataclass(frozen=True)
class VideoJob:
    """A clip to paint, and how."""

    clip: str
    style: ImageLike | Sequence[ImageLike] | None
    output: str
    options: VideoOptions
    regions: Sequence[Any] = ()
    keep: ImageLike | tuple[int, ImageLike] | None = None
    """a mask that stands, or the number of a frame and the mask that moves with its content"""
    memory: str | float | None = None
    encoding: ClipOptions = DEFAULT_CLIP_OPTIONS
    recipe: Recipe | None = None
    """settings instead of those of the stylizer"""


@dataclass(frozen=True, eq=False)
class PreparedClip:
    """A clip whose inputs and settings are validated."""

    job: VideoJob
    info: ClipInfo
    recipe: Recipe
    size: tuple[int, int]
    """height and width of the painted frames"""
    first: int
    """number of the first frame"""
    last: int | None
    """number of the last frame; None for the end of the clip"""
    start: float
    """time of the first frame in seconds"""
    moving: Mapping[str, "MovingMask"] = field(default_factory=dict)

    @property
    def project(self) -> Project:
        """The folder of the clip."""
        return Project.of_output(self.job.output)

    @property
    def depth(self) -> int:
        """Bits per channel of stored frames."""
        return 16 if self.job.encoding.depth > 8 else 8

    def frames(self, first: int | None = None, last: int | None = None) -> Iterator[ClipFrame]:
        """Yield the frames of a range, by default all that are painted."""
        return reader.iter_frames(
            self.info,
            self.first if first is None else first,
            self.last if last is None else last,
        )


class MovingMask(NamedTuple):
    """A mask that is given for one frame, and moves with the content of its shot."""

    frame: int
    mask: Mask


# Preparing ------------------------------------------------------------------------------------


def prepare(stylizer: Stylizer, job: VideoJob) -> PreparedClip:
    """Validate a job. Raises InputError, or ImpastoError if a package is missing."""
    extras.check()
    info = reader.probe(job.clip)
    writer.check_clip_output(job.output, job.encoding)
    recipe = job.recipe or stylizer.recipe
    if recipe.size == ORIGINAL:
        recipe = replace(recipe, size=max(info.size))
    size = arrays.fit(*info.size, recipe.size)
    if not writer.is_sequence(job.output):
        codec = writer.choose_codec(job.output, info.alpha, job.encoding)
        writer.check_clip_size(codec, *size)
    first, last, start = _frame_range(info, job.options)
    keep, moving = _moving_masks(job)
    job = replace(job, keep=keep)
    clip = PreparedClip(job, info, recipe, size, first, last, start, moving)
    content = next(iter(clip.frames(first)), None)
    if content is None or (content.source is None and first == last):
        raise SettingError(f"{files.display_path(job.clip)} has no frame in this range")
    if content.source is not None:
        _prepare_run(stylizer, clip, _content(clip, content, None))
    for number, image in job.options.keys.items():
        load.load_image(image, f"key {number}")
    return clip


def _frame_range(info: ClipInfo, options: VideoOptions) -> tuple[int, int | None, float]:
    """Return the first and last frame number of the time range, and the time of the first."""
    if not options.start and options.end is None:
        return 0, None, 0.0
    first, last, begin = None, None, 0.0
    for frame in reader.iter_frames(info):
        if options.end is not None and frame.seconds >= options.end:
            break
        if first is None and frame.seconds >= options.start:
            first, begin = frame.number, frame.seconds
        last = frame.number
    if first is None or last is None or last < first:
        raise SettingError(
            f"the clip has no frame from {options.start:g} s on: choose an earlier time"
        )
    return first, last, begin


def _moving_masks(job: VideoJob) -> tuple[ImageLike | None, dict[str, MovingMask]]:
    """Return the mask to keep that stands, and the masks that move, given as ``(frame, mask)``."""
    if not isinstance(job.keep, tuple):
        return job.keep, {}
    number, image = job.keep
    info = reader.probe(job.clip)
    loaded = load.load_mask(image, "keep", info.size)
    return None, {"keep": MovingMask(int(number), loaded.mask)}


def _content(clip: PreparedClip, frame: ClipFrame, peak: float | None) -> ImageArray:
    """Return the content image of a frame at the painted size, in whole numbers."""
    return np.rint(frame.pixels(clip.size, peak)).astype(np.float32)


def _prepare_run(stylizer: Stylizer, clip: PreparedClip, content: ImageArray) -> PreparedRun:
    """Return the run that paints a frame in full."""
    job = clip.job
    options: RunOptions = {"regions": job.regions, "memory": job.memory}
    if job.keep is not None and not isinstance(job.keep, tuple):
        options["keep"] = job.keep
    return stylizer.prepare(content.astype(np.uint8), job.style, recipe=clip.recipe, **options)


def prepare_first(stylizer: Stylizer, clip: PreparedClip) -> PreparedRun:
    """Return the run of the first frame that can be decoded, such as for its forecast."""
    frame = next(frame for frame in clip.frames() if frame.source is not None)
    return _prepare_run(stylizer, clip, _content(clip, frame, None))


def identity(clip: PreparedClip) -> dict[str, Any]:
    """Return what the stored frames depend on, for JSON."""
    job, options = clip.job, clip.job.options
    styles = job.style if isinstance(job.style, list | tuple) else [job.style]
    chosen = {
        name: value
        for name, value in dataclasses.asdict(replace(options, keys={})).items()
        if name not in ("keys", "restart")
    }
    moving = {name: [mask.frame, projects.hash_of(mask.mask)] for name, mask in clip.moving.items()}
    return {
        "version": __version__,
        "clip": projects.hash_of(job.clip),
        "styles": [projects.hash_of(each) for each in styles if each is not None],
        "regions": [
            [projects.hash_of(each) for each in region if each is not None]
            for region in job.regions
        ],
        "keep": projects.hash_of(job.keep) if job.keep is not None else moving,
        "keys": {
            str(number): projects.hash_of(image) for number, image in sorted(options.keys.items())
        },
        "recipe": _as_json(dataclasses.asdict(clip.recipe)),
        "options": _as_json(chosen),
        "depth": clip.depth,
    }


def _as_json(value: Any) -> Any:
    """Return a value as JSON has it, with lists instead of tuples."""
    if isinstance(value, dict):
        return {name: _as_json(each) for name, each in value.items()}
    return [_as_json(each) for each in value] if isinstance(value, list | tuple) else value


# The clip -------------------------------------------------------------------------------------


def paint_clip(stylizer: Stylizer, clip: PreparedClip) -> Iterator[VideoEvent]:
    """Paint a clip and write it; yield events. Ends without the last event if it was stopped."""
    began = time.perf_counter()
    project, options = clip.project, clip.job.options
    if options.look is not None:
        yield from _paint_look(stylizer, clip, options.look)
        return
    project.open(identity(clip), options.restart)
    surveyed = survey_of(clip)
    _check_keys(surveyed, options.keys)
    needed = projects.disk_bytes(len(surveyed.frames), *clip.size, clip.depth)
    projects.check_disk(project.folder, needed)
    cuts = tuple(shot.first for shot in surveyed.shots[1:])
    yield ClipSurveyed(len(surveyed.frames), len(surveyed.shots), cuts, needed)
    if stylizer.workers and len(surveyed.shots) > 1:
        yield from _paint_on_workers(stylizer, clip, surveyed)
    else:
        for shot in surveyed.shots:
            yield from paint_shot(stylizer, clip, surveyed, shot)
            if not _complete(project, shot):
                return
    notes = write_painted(clip, surveyed)
    project.remove()
    seconds = time.perf_counter() - began
    yield VideoFinished(clip.job.output, len(surveyed.frames), seconds, notes)


def _check_keys(surveyed: Survey, keys: Mapping[int, ImageLike]) -> None:
    """Raise SettingError for a key frame that the clip does not have, or cannot be decoded."""
    last = surveyed.first + len(surveyed.frames) - 1
    for number in keys:
        inside = surveyed.first <= number <= last
        if not inside or surveyed.frame(number).damaged:
            raise SettingError(
                f"key {number} is no frame that is painted: possible are {surveyed.first} to {last}"
            )


def survey_of(clip: PreparedClip) -> Survey:
    """Return the survey of a clip, and store it for the next call."""
    project, cuts = clip.project, clip.job.options.cuts
    stored = project.read_survey(clip.first, cuts)
    if stored is not None:
        return stored
    made = survey.survey_clip(clip.frames(), cuts, clip.first)
    project.write_survey(made)
    return made


def _complete(project: Project, shot: Shot) -> bool:
    return all(project.has_frame(number) for number in range(shot.first, shot.last + 1))


def write_painted(
    clip: PreparedClip, surveyed: Survey, output: str | None = None
) -> tuple[str, ...]:
    """Write the clip of all frames that are painted, and return notes."""
    path, encoding = output or clip.job.output, clip.job.encoding
    painted = clip.project.iter_painted(surveyed)
    if writer.is_sequence(path):
        writer.write_sequence(painted, path, encoding.depth, surveyed.first)
        return ()
    part = TimeRange(clip.start, clip.job.options.end) if clip.first else writer.WHOLE_CLIP
    if clip.job.options.end is not None:
        part = TimeRange(clip.start, clip.job.options.end)
    notes = writer.write_clip(painted, path, clip.info, encoding, part)
    damaged = [n for n, frame in enumerate(surveyed.frames, surveyed.first) if frame.damaged]
    if damaged:
        shown = ", ".join(map(str, damaged[:8])) + ("…" if len(damaged) > 8 else "")
        notes = (*notes, f"frames {shown} cannot be decoded: the frames before are shown instead")
    if clip.info.alpha and not writer.choose_codec(path, True, encoding).alpha_format:
        notes = (*notes, f"{Path(path).suffix} has no transparency; transparent parts are white")
    return notes


def _paint_look(stylizer: Stylizer, clip: PreparedClip, number: int) -> Iterator[VideoEvent]:
    """Paint one frame by itself, and write it beside the output."""
    began = time.perf_counter()
    frame = next(iter(reader.iter_frames(clip.info, number, number)), None)
    if frame is None or frame.source is None:
        raise SettingError(f"look is {number}: the clip has no such frame that can be decoded")
    painter = _FullPainter(stylizer, clip)
    content = _content(clip, frame, None)
    painted = painter.paint(content)
    if painted is None:
        return
    output = Path(clip.job.output)
    path = output.with_name(f"{output.stem.replace('%', '')}-{number:06d}.png")
    pixels = _finish(painter.run(content), painted.image, content)
    encode.write_image(pixels, path, alpha=frame.alpha)
    seconds = time.perf_counter() - began
    yield FramePainted(number, 1, 1, "first", seconds, 0.0, str(path), pixels)
    yield VideoFinished(path, 1, seconds, ())


# A shot ---------------------------------------------------------------------------------------


class FullPainting(NamedTuple):
    """A frame that was painted in full."""

    image: ImageArray
    """unclipped"""
    scales: dict[int, float]
    """by level, see ``Solver.curvature_scale``"""


@dataclass
class _FullPainter:
    """Paints frames by themselves."""

    stylizer: Stylizer
    clip: PreparedClip

    def paint(self, content: ImageArray) -> FullPainting | None:
        """Return a frame painted in full; None if the run was stopped."""
        prepared = _prepare_run(self.stylizer, self.clip, content)
        scales, image, stopped = dict[int, float](), None, False
        for event in self.stylizer.run(prepared):
            if isinstance(event, LevelFinished) and event.state is not None:
                solver = SOLVERS[prepared.recipe.optimizer]
                scales[event.level] = solver.curvature_scale(event.state.solver)
                image = to_numpy(event.state.best)
            elif isinstance(event, Finished):
                stopped = not event.result.finished
        if image is None or stopped:
            return None
        return FullPainting(np.array(image, np.float32), scales)

    def run(self, content: ImageArray) -> Run:
        """Return the run of a frame, without running it."""
        prepared = _prepare_run(self.stylizer, self.clip, content)
        model = self.stylizer.model(prepared.recipe)
        return Run(model, prepared.inputs, prepared.recipe, prepared.plan)


def _finish(run: Run, painted: ImageArray, content: ImageArray) -> ImageArray:
    """Return a painted frame with kept regions and colors of its content, clipped."""
    inputs = replace(run.inputs, original=content)
    finished = replace(run, inputs=inputs, _resized={}).finish_image(painted)
    return np.clip(finished, 0, 255)


def _to_painted_content(clip: PreparedClip, content: ImageArray) -> ImageArray:
    """Return the content as it is painted: in gray if only lightness is changed."""
    if clip.recipe.colors != "content":
        return content
    return colors.gray_from_lightness(colors.lightness(content))


class _Source(NamedTuple):
    """A decoded frame."""

    number: int
    content: ImageArray
    alpha: Mask | None


@dataclass
class _ShotStream:
    """The frames of one shot, as they are painted."""

    stylizer: Stylizer
    clip: PreparedClip
    surveyed: Survey
    shot: Shot
    began: float = field(default_factory=time.perf_counter)

    def __post_init__(self) -> None:
        self.project = self.clip.project
        self.full = _FullPainter(self.stylizer, self.clip)
        self.path = memory_file.memory_path(self.project.folder, self.shot.number)
        self.painter: ShotPainter | None = None

    @functools.cached_property
    def shown(self) -> list[int]:
        """The frames that have an image of their own."""
        hold, first = self.clip.job.options.hold, self.shot.first
        numbers = range(first, self.shot.last + 1)
        keys = self.clip.job.options.keys
        own = [n for n in numbers if self.surveyed.shown(n) and (n - first) % hold == 0]
        own = sorted({*own, *(n for n in numbers if n in keys)})
        usable = [n for n in numbers if not self.surveyed.frame(n).damaged]
        return own if own and own[0] == first else sorted({*usable[:1], *own})

    @functools.cached_property
    def painted_numbers(self) -> list[int]:
        """The frames that are painted; those between follow from them."""
        every = self.clip.job.options.every
        if every == AUTO:
            every = choose_every(self.surveyed, self.shot)
        chosen = {*self.shown[:: int(every)], *self.shown[-1:]}
        chosen |= set(self.clip.job.options.keys) & set(self.shown)
        return sorted(chosen)

    def __iter__(self) -> Iterator[FramePainted]:
        memory = memory_file.read_memory(self.path) if self.path.exists() else None
        if not self.shown:  # nothing of the shot can be decoded
            yield from self._bridge_all()
            return
        waiting: list[_Source] = []
        first = self.shown[0] if memory is None else memory.number + 1
        targets = set(self.painted_numbers)
        for source in self._sources(first):
            if source.number not in targets:
                waiting.append(source)
                continue
            if self.stylizer.stopped:
                return
            before = memory
            result = self._paint(before, source)
            if result is None:
                return
            memory, kind, confidence = result
            yield from self._write_between(before, memory, waiting)
            yield self._write(source, memory, kind, confidence)
            memory_file.write_memory(memory, self.path)
            waiting = []
        yield from self._copy_held()

    def _sources(self, first: int) -> Iterator[_Source]:
        """Yield the frames that have an image of their own, from a number on."""
        shown = set(self.shown)
        for frame in self.clip.frames(first, self.shot.last):
            if frame.number in shown and frame.source is not None:
                content = _content(self.clip, frame, self.shot.peak)
                yield _Source(frame.number, content, frame.alpha)

    def _paint(
        self, memory: ShotMemory | None, source: _Source
    ) -> tuple[ShotMemory, str, float] | None:
        """Return the memory after a frame, its kind and its confidence; None if stopped."""
        options, content = self.clip.job.options, source.content
        shown = _to_painted_content(self.clip, content)
        if source.number in options.keys:
            return self._begin(memory, source, self._key(source), {}), "key", 1.0
        if memory is None or options.steady == 0:
            full = self.full.paint(content)
            if full is None:
                return None
            kind = "first" if memory is None else "painted"
            return self._begin(memory, source, full.image, full.scales), kind, 0.0
        with self._threads():
            painter = self._painter(memory)
            after, report = painter.advance(memory, source.number, shown)
        if source.number - self.shot.first >= FADE_FRAMES:
            after = replace(after, fading=None)
        return after, "painted", report.confidence

    def _begin(
        self,
        memory: ShotMemory | None,
        source: _Source,
        painted: ImageArray,
        scales: Mapping[int, float],
    ) -> ShotMemory:
        content = _to_painted_content(self.clip, source.content)
        self.painter = ShotPainter(self.full.run(source.content), self.clip.job.options.steady)
        if not scales and memory is not None:
            scales = memory.scales
        with self._threads():
            begun = self.painter.begin(source.number, content, painted, scales)
        fading = self._fading() if memory is None else memory.fading
        return replace(begun, masks=self._first_masks(), fading=fading)

    def _painter(self, memory: ShotMemory) -> ShotPainter:
        if self.painter is None:
            run = self.full.run(memory.anchor)
            self.painter = ShotPainter(run, self.clip.job.options.steady)
        return self.painter

    def _threads(self) -> ExitStack:
        """Return the context that painting needs, see ``pipeline.execution``."""
        stack = ExitStack()
        stack.enter_context(threads.one_blas_thread())
        stack.enter_context(threads.freed_memory_kept())
        return stack

    def _key(self, source: _Source) -> ImageArray:
        """Return a frame that was painted by hand."""
        image = load.load_image(self.clip.job.options.keys[source.number], f"key {source.number}")
        return arrays.resize(image.pixels, *arrays.size_of(source.content))

    def _fading(self) -> ImageArray | None:
        """Return the last painted frame before a dissolve in which the shot starts."""
        inside = any(a <= self.shot.first <= b for a, b in self.surveyed.dissolves)
        before = memory_file.memory_path(self.project.folder, self.shot.number - 1)
        if not inside or not before.exists():
            return None
        return memory_file.read_memory(before).painted

    def _first_masks(self) -> dict[str, Mask]:
        """Return the moving masks at the first frame of the shot."""
        found = {}
        for name, moving in self.clip.moving.items():
            if self.shot.first <= moving.frame <= self.shot.last:
                found[name] = self._trace_back(moving)
        return found

    def _trace_back(self, moving: MovingMask) -> Mask:
        """Return a mask at the shot's first frame: positions are traced to the mask's frame."""
        size = self.clip.size
        positions, before = motion.grid(*size), None
        for frame in self.clip.frames(self.shot.first, moving.frame):
            if frame.source is None:
                continue
            luma = motion.to_luma(_content(self.clip, frame, self.shot.peak))
            if before is not None:
                positions += motion.sample(motion.estimate_flow(before, luma), positions, True)
            before = luma
        mask = masks.resize_mask(moving.mask, *size)
        return np.clip(motion.sample(mask, positions, linear=True), 0, 1)

    # Writing ---------------------------------------------------------------------------------

    def _write_between(
        self, before: ShotMemory | None, after: ShotMemory, waiting: Sequence[_Source]
    ) -> Iterator[FramePainted]:
        """Write the frames between two painted ones."""
        for source in waiting:
            assert before is not None
            position = (source.number - before.number) / (after.number - before.number)
            left, right = (between.Side(each.painted, each.photo) for each in (before, after))
            content = _to_painted_content(self.clip, source.content)
            image = between.interpolate(content, left, right, position)
            yield self._write(source, replace(after, painted=image), "between", 1.0)

    def _write(
        self, source: _Source, memory: ShotMemory, kind: str, confidence: float
    ) -> FramePainted:
        painted = memory.painted
        if memory.fading is not None:
            weight = np.float32((source.number - self.shot.first + 1) / (FADE_FRAMES + 1))
            painted = weight * painted + (1 - weight) * memory.fading
        run = (self.painter or self._painter(memory)).run
        pixels = _finish(run, painted, source.content)
        if "keep" in memory.masks:
            keep = memory.masks["keep"][..., None]
            pixels = masks.blend_kept(keep, source.content, pixels)
        alpha = source.alpha
        if alpha is not None and alpha.shape != self.clip.size:
            alpha = masks.resize_mask(alpha, *self.clip.size)
        self.project.write_frame(source.number, pixels, alpha, self.clip.depth)
        return self._event(source.number, kind, confidence, pixels)

    def _event(self, number: int, kind: str, confidence: float, pixels: ImageArray) -> FramePainted:
        now = time.perf_counter()
        seconds, self.began = now - self.began, now
        done = number - self.surveyed.first + 1
        path = str(self.project.frame_path(number))
        count = len(self.surveyed.frames)
        return FramePainted(number, done, count, kind, seconds, confidence, path, pixels)

    def _copy_held(self) -> Iterator[FramePainted]:
        """Write the frames without an image of their own, as copies."""
        latest = self.shown[0]
        own = set(self.shown)
        for number in range(self.shot.first, self.shot.last + 1):
            if number in own:
                latest = number
            elif not self.project.has_frame(number):
                self.project.copy_frame(latest, number)
                kind = "bridged" if self.surveyed.frame(number).damaged else "held"
                yield self._event(number, kind, 1.0, self._written(number))

    def _bridge_all(self) -> Iterator[FramePainted]:
        """Write copies of the frame before the shot, or black ones at the start of the clip."""
        for number in range(self.shot.first, self.shot.last + 1):
            if self.project.has_frame(number - 1):
                self.project.copy_frame(number - 1, number)
            else:
                black = np.zeros((*self.clip.size, 3), np.float32)
                self.project.write_frame(number, black, None, self.clip.depth)
            yield self._event(number, "bridged", 0.0, self._written(number))

    def _written(self, number: int) -> ImageArray:
        """Return a written frame, RGB in [0, 255]."""
        values = self.project.read_frame(number)
        return values[..., :3].astype(np.float32) * np.float32(255 / np.iinfo(values.dtype).max)


def choose_every(surveyed: Survey, shot: Shot) -> int:
    """Return the number of frames from one painted frame to the next, 1 to 4, for ``every`` auto.

    The share that corresponds over N frames is estimated by the N-th power of that over one.
    """
    shares = [surveyed.frame(n).share for n in range(shot.first + 1, shot.last + 1)]
    if not shares:
        return 1
    typical = float(np.percentile(shares, 20))
    return max([n for n in range(1, 5) if typical**n > STEADY_SHARE], default=1)


def paint_shot(
    stylizer: Stylizer, clip: PreparedClip, surveyed: Survey, shot: Shot
) -> Iterator[VideoEvent]:
    """Paint a shot from its first frame that is missing, and yield events."""
    began, project = time.perf_counter(), clip.project
    numbers = range(shot.first, shot.last + 1)
    done = sum(project.has_frame(number) for number in numbers)
    shots = len(surveyed.shots)
    yield ShotStarted(shot.number + 1, shots, shot.first, shot.last, done)
    if done < len(numbers):
        yield from _ShotStream(stylizer, clip, surveyed, shot)
    if _complete(project, shot):
        yield ShotFinished(shot.number + 1, shots, time.perf_counter() - began)


# Workers --------------------------------------------------------------------------------------


class ShotTask(NamedTuple):
    """A shot for a worker, which must see the same files."""

    job: VideoJob
    recipe: Recipe
    weights_file: str | None
    numbers: tuple[int, ...]
    """numbers of consecutive shots: shots of a dissolve depend on each other"""


def _paint_on_workers(
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
        if not all(_complete(clip.project, surveyed.shots[number]) for number in numbers)
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
