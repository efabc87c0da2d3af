"""Paints the frames of a shot, and writes each with the memory that the next one depends on."""

import functools
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from impasto.compute import threads
from impasto.images import masks
from impasto.images.arrays import ImageArray, Mask
from impasto.pipeline.stylizer import Stylizer
from impasto.pipeline.video_events import (
    FramePainted,
    ShotFinished,
    ShotStarted,
    VideoEvent,
)
from impasto.video import between, memory_file, tracking
from impasto.video.clip_job import PreparedClip, content_of, is_complete
from impasto.video.frame_painter import FrameRegions, ShotMemory, ShotPainter
from impasto.video.full_painter import FullPainter, finish, to_painted_content
from impasto.video.key_frames import NextKey, load_key
from impasto.video.mask_sources import MaskClip
from impasto.video.parts import Part, Schedule, in_dissolve, parts_of
from impasto.video.shot_masks import ShotMasks
from impasto.video.shot_styles import ShotStyles, load_styles
from impasto.video.survey import Shot, Survey

FADE_FRAMES = 6
"""Number of frames over which the strokes of a shot before a dissolve fade out."""


class _Source(NamedTuple):
    """A decoded frame."""

    number: int
    content: ImageArray
    alpha: Mask | None
    frame: FrameRegions


@dataclass
class _PartStream:
    """The frames of a part of a shot, as they are painted."""

    stylizer: Stylizer
    clip: PreparedClip
    surveyed: Survey
    part: Part
    began: float = field(default_factory=time.perf_counter)

    def __post_init__(self) -> None:
        self.project, self.shot = self.clip.project, self.part.shot
        self.path = memory_file.memory_path(self.project.folder, self.part.first)
        self.masks = ShotMasks(self.clip, self.shot)
        self.next_key = NextKey(self.clip, self.part)
        self.painter: ShotPainter | None = None
        self.schedule = schedule_of(self.clip, self.surveyed, self.part)
        self.shown = self.schedule.shown

    @functools.cached_property
    def full(self) -> FullPainter:
        return FullPainter(
            self.stylizer, self.clip, shot_styles(self.stylizer, self.clip, self.shot)
        )

    def __iter__(self) -> Iterator[FramePainted]:
        memory = memory_file.read_memory(self.path) if self.path.exists() else None
        if not self.shown:  # nothing of the shot can be decoded
            yield from self._bridge_all()
            return
        waiting: list[_Source] = []
        first = self.shown[0] if memory is None else memory.number + 1
        targets = set(self.schedule.painted)
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
            memory, confidence = result
            spent = self._spent()
            yield from self._write_between(before, memory, waiting)
            yield self._write(source, memory, confidence, spent)
            memory_file.write_memory(memory, self.path)
            waiting = []
        yield from self._copy_held()
        self._remove_state()

    def _sources(self, first: int) -> Iterator[_Source]:
        """Yield the frames that have an image of their own, from a number on."""
        shown = set(self.shown)
        for frame in self.clip.frames(first, self.part.last):
            if frame.number in shown and frame.source is not None:
                content = content_of(self.clip, frame, self.shot.peak)
                masks = self.masks.at(frame.number)
                regions = self.full.frame_regions(masks)
                yield _Source(frame.number, content, frame.alpha, regions)

    def _paint(self, memory: ShotMemory | None, source: _Source) -> tuple[ShotMemory, float] | None:
        """Return the memory after a frame, and its confidence; None if stopped."""
        options, content = self.clip.job.options, source.content
        shown = to_painted_content(self.clip, content)
        if source.number in options.keys:
            key = load_key(self.clip, source.number)
            return self._begin(memory, source, key, {}), 1.0
        if memory is None or options.steady == 0:
            full = self.full.paint(content, source.frame)
            if full is None:
                return None
            return self._begin(memory, source, full.image, full.scales), 0.0
        with self._threads():
            painter = self._painter(memory)
            after, report = painter.advance(memory, source.number, shown, source.frame)
        if source.number - self.shot.first >= FADE_FRAMES:
            after = replace(after, fading=None)
        return after, report.confidence

    def _begin(
        self,
        memory: ShotMemory | None,
        source: _Source,
        painted: ImageArray,
        scales: Mapping[int, float],
    ) -> ShotMemory:
        content = to_painted_content(self.clip, source.content)
        run = self.full.run(source.content, source.frame)
        self.painter = ShotPainter(run, self.clip.job.options.steady)
        with self._threads():
            begun = self.painter.begin(source.number, content, painted, scales)
        fading = self._fading() if memory is None else memory.fading
        return replace(begun, masks=source.frame.masks, fading=fading)

    def _painter(self, memory: ShotMemory) -> ShotPainter:
        if self.painter is None:
            first = self.full.frame_regions(self.masks.at(self.shown[0]))
            run = self.full.run(memory.anchor, first)
            self.painter = ShotPainter(run, self.clip.job.options.steady)
        return self.painter

    def _threads(self) -> ExitStack:
        """Return the context that painting needs, see ``pipeline.execution``."""
        stack = ExitStack()
        stack.enter_context(threads.one_blas_thread())
        stack.enter_context(threads.freed_memory_kept())
        return stack

    def _fading(self) -> ImageArray | None:
        """Return the last painted frame before a dissolve in which the shot starts."""
        before = memory_file.memory_path(self.project.folder, self._part_before.first)
        starts = self.part.first == self.shot.first
        if not (starts and in_dissolve(self.surveyed, self.shot) and before.exists()):
            return None
        return memory_file.read_memory(before).painted

    @property
    def _part_before(self) -> Part:
        """The last part of the shot before."""
        shot = self.surveyed.shots[max(0, self.shot.number - 1)]
        return parts_of(shot, self.clip.job.options.keys)[-1]

    def _remove_state(self) -> None:
        """Remove what only the frames of this part needed, so the disk does not fill up.

        The strokes of a shot that dissolves fade out in the next one, which needs its memory.
        """
        self.next_key.remove()
        later = self.surveyed.shots[self.shot.number + 1 :][:1]
        ends = self.part.last == self.shot.last
        if not (ends and any(in_dissolve(self.surveyed, shot) for shot in later)):
            self.path.unlink(missing_ok=True)
        if self.part.first == self.shot.first and in_dissolve(self.surveyed, self.shot):
            before = memory_file.memory_path(self.project.folder, self._part_before.first)
            before.unlink(missing_ok=True)

    # Writing ---------------------------------------------------------------------------------

    def _write_between(
        self, before: ShotMemory | None, after: ShotMemory, waiting: Sequence[_Source]
    ) -> Iterator[FramePainted]:
        """Write the frames between two painted ones."""
        for source in waiting:
            assert before is not None
            position = (source.number - before.number) / (after.number - before.number)
            left, right = (between.Side(each.painted, each.photo) for each in (before, after))
            content = to_painted_content(self.clip, source.content)
            image = between.interpolate(content, left, right, position)
            yield self._write(source, replace(after, painted=image), 1.0)

    def _write(
        self, source: _Source, memory: ShotMemory, confidence: float, spent: float = 0.0
    ) -> FramePainted:
        """Write a frame, for which ``spent`` seconds were needed already."""
        painted = memory.painted
        if memory.fading is not None and source.number - self.shot.first < FADE_FRAMES:
            weight = np.float32((source.number - self.shot.first + 1) / (FADE_FRAMES + 1))
            painted = weight * painted + (1 - weight) * memory.fading
        if source.number not in self.clip.job.options.keys:
            painted = self.next_key.approach(source.number, painted)
        run = (self.painter or self._painter(memory)).run
        pixels = finish(run, painted, source.content, source.frame.keep)
        alpha = source.alpha
        if alpha is not None and alpha.shape != self.clip.size:
            alpha = masks.resize_mask(alpha, *self.clip.size)
        self.project.write_frame(source.number, pixels, alpha, self.clip.depth)
        return self._event(source.number, confidence, pixels, spent)

    def _spent(self) -> float:
        """Return the seconds since the last call, or since the last event."""
        now = time.perf_counter()
        seconds, self.began = now - self.began, now
        return seconds

    def _event(
        self, number: int, confidence: float, pixels: ImageArray, spent: float = 0.0
    ) -> FramePainted:
        seconds = spent + self._spent()
        done = number - self.surveyed.first + 1
        path = str(self.project.frame_path(number))
        count, kind = len(self.surveyed.frames), self.schedule.kind(number)
        return FramePainted(number, done, count, kind, seconds, confidence, path, pixels)

    def _copy_held(self) -> Iterator[FramePainted]:
        """Write the frames without an image of their own, as copies."""
        latest = self.shown[0]
        own = set(self.shown)
        for number in range(self.part.first, self.part.last + 1):
            if number in own:
                latest = number
            elif not self.project.has_frame(number):
                self.project.copy_frame(latest, number)
                yield self._event(number, 1.0, self.project.read_pixels(number))

    def _bridge_all(self) -> Iterator[FramePainted]:
        """Write copies of the frame before the shot, or black ones at the start of the clip."""
        for number in range(self.part.first, self.part.last + 1):
            if self.project.has_frame(number - 1):
                self.project.copy_frame(number - 1, number)
            else:
                black = np.zeros((*self.clip.size, 3), np.float32)
                self.project.write_frame(number, black, None, self.clip.depth)
            yield self._event(number, 0.0, self.project.read_pixels(number))


def schedule_of(clip: PreparedClip, surveyed: Survey, part: Part) -> Schedule:
    """Return how each frame of a part is made."""
    repeats = not any(isinstance(source, MaskClip) for source in clip.masks.values())
    return Schedule(surveyed, part, clip.job.options, repeats)


def shot_styles(stylizer: Stylizer, clip: PreparedClip, shot: Shot) -> ShotStyles:
    """Return the style images of a shot, in the colors of its first frame that can be decoded."""
    content = next(tracking.iter_contents(clip, shot.first, shot.last, shot.peak))
    masks = ShotMasks(clip, shot).at(content.number)
    return load_styles(stylizer, clip, content.image, masks)


def paint_part(
    stylizer: Stylizer, clip: PreparedClip, surveyed: Survey, part: Part
) -> Iterator[FramePainted]:
    """Paint a part of a shot from its first frame that is missing."""
    if not all(clip.project.has_frame(n) for n in range(part.first, part.last + 1)):
        yield from _PartStream(stylizer, clip, surveyed, part)


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
        for part in parts_of(shot, clip.job.options.keys):
            if not stylizer.stopped:
                yield from paint_part(stylizer, clip, surveyed, part)
    if is_complete(project, shot):
        yield ShotFinished(shot.number + 1, shots, time.perf_counter() - began)
