"""Paints the frames of a shot, and writes each with the memory that the next one depends on."""

import functools
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from impasto.compute import threads
from impasto.images import arrays, load, masks
from impasto.images.arrays import ImageArray, Mask
from impasto.pipeline.stylizer import Stylizer
from impasto.pipeline.video_events import (
    AUTO,
    FramePainted,
    ShotFinished,
    ShotStarted,
    VideoEvent,
)
from impasto.video import between, memory_file, motion
from impasto.video.clip_job import MovingMask, PreparedClip, content_of, is_complete
from impasto.video.frame_painter import ShotMemory, ShotPainter
from impasto.video.full_painter import FullPainter, finish, to_painted_content
from impasto.video.survey import Shot, Survey

FADE_FRAMES = 6
"""Number of frames over which the strokes of a shot before a dissolve fade out."""

STEADY_SHARE = 0.8
"""Corresponding share over N frames from which ``every`` auto paints every N-th frame."""


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
        self.full = FullPainter(self.stylizer, self.clip)
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
                content = content_of(self.clip, frame, self.shot.peak)
                yield _Source(frame.number, content, frame.alpha)

    def _paint(
        self, memory: ShotMemory | None, source: _Source
    ) -> tuple[ShotMemory, str, float] | None:
        """Return the memory after a frame, its kind and its confidence; None if stopped."""
        options, content = self.clip.job.options, source.content
        shown = to_painted_content(self.clip, content)
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
        content = to_painted_content(self.clip, source.content)
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
            luma = motion.to_luma(content_of(self.clip, frame, self.shot.peak))
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
            content = to_painted_content(self.clip, source.content)
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
        pixels = finish(run, painted, source.content)
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
    if is_complete(project, shot):
        yield ShotFinished(shot.number + 1, shots, time.perf_counter() - began)
