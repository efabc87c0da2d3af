"""Runs a job that paints a clip, in the worker process.

The state of a clip is the folder of its project beside the output (`video.project`), so a job that
was stopped or interrupted resumes there. The page shows a reduced copy of each frame, in the folder
PAINTED of the job.
"""

import logging
import shutil
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from impasto.errors import CheckpointError, SettingError
from impasto.images import arrays
from impasto.images.arrays import ImageArray
from impasto.images.formats import encode
from impasto.pipeline import calibration, forecast
from impasto.pipeline.events import Controls, Step
from impasto.pipeline.inputs import PreparedRun
from impasto.pipeline.progress import TimeEstimate, format_duration
from impasto.pipeline.result import Finished
from impasto.pipeline.stylizer import Event, Stylizer
from impasto.pipeline.video_events import (
    ClipSurveyed,
    FramePainted,
    ShotStarted,
    VideoEvent,
    VideoFinished,
)
from impasto.recipe.settings import Recipe
from impasto.studio import clips
from impasto.studio.clips import FRAME_SIDE, frame_path
from impasto.studio.event_messages import (
    ClipCommand,
    FrameMessage,
    MaskCommand,
    PaintCommand,
)
from impasto.video import clip_job, reader, stream
from impasto.video.clip_job import KEEP, PreparedClip, VideoJob
from impasto.video.forecast import LATER_SHARE
from impasto.video.mask_sources import GivenMask, MovingMask, StandingMask

LOG = logging.getLogger(__name__)

PAINTED, PART = "painted", "part"
"""Folder of the painted frames for the page, and name of the clip of a stopped job."""

Watch = Callable[[PreparedRun, Event], None]
"""Receives the events of a frame that is painted in full."""


class WatchedStylizer(Stylizer):
    """A stylizer whose runs can be watched, such as that of a clip's first frame."""

    watch: Watch | None = None

    def run(self, prepared: PreparedRun) -> Iterator[Event]:
        """Return the events of a run, as :meth:`Stylizer.run`."""
        return self._watched(prepared, super().run(prepared))

    def forget_stop(self) -> None:
        """Forget that an earlier job was stopped: a resumed clip may start without a run."""
        self._controls = Controls()

    def _watched(self, prepared: PreparedRun, events: Iterator[Event]) -> Iterator[Event]:
        for event in events:
            if self.watch is not None:
                self.watch(prepared, event)
            yield event


@dataclass
class ClipProgress:
    """The progress of a clip and the time left, from the times of its frames so far."""

    full: float | None = None
    """expected seconds of a frame that is painted in full; None if they are unknown"""
    later_share: float = LATER_SHARE
    """expected seconds of a later frame of a shot, relative to those"""
    frames: int = 1
    shots: int = 1
    shot: int = 0
    """the shot that is painted, from 1"""
    count: int = 0
    """number of frames that are written"""
    started: int = 0
    """number of shots whose first frame is written"""
    base: int = 0
    """number of the first frame of the range"""
    part: float = 0.0
    """finished fraction of the first frame of a shot, while it is painted"""
    first_seconds: list[float] = field(default_factory=list)
    later_seconds: list[float] = field(default_factory=list)

    def note(self, event: VideoEvent) -> None:
        """Take an event into account."""
        if isinstance(event, ClipSurveyed):
            self.frames, self.shots = event.frames, event.shots
        elif isinstance(event, ShotStarted):
            self.shot = event.shot
            self.base = event.first if event.shot == 1 else self.base
            self.count = event.first - self.base + event.painted
            self.started = event.shot - (event.painted == 0)
        elif isinstance(event, FramePainted):
            self.part = 0.0
            self.count = event.done
            self.started = max(self.started, self.shot)
            first = event.kind == "first"
            (self.first_seconds if first else self.later_seconds).append(event.seconds)

    def _costs(self) -> tuple[float, float] | None:
        """Return the seconds of a first frame of a shot and of a later one; None if unknown."""
        first = statistics.mean(self.first_seconds) if self.first_seconds else self.full
        if self.later_seconds:
            later = statistics.mean(self.later_seconds)
            return first or later / self.later_share, later
        return None if first is None else (first, self.later_share * first)

    def _seconds(self, first: float, later: float) -> tuple[float, float]:
        """Return the seconds of what is painted and of what is left, from those of a frame."""
        shots = max(0, self.shots - self.started)
        made = first * (self.started + self.part) + later * max(0, self.count - self.started)
        left = first * (shots - self.part) + later * max(0, self.frames - self.count - shots)
        return made, max(0.0, left)

    @property
    def left(self) -> float | None:
        """The seconds left; None if they are unknown."""
        costs = self._costs()
        return None if costs is None else self._seconds(*costs)[1]

    @property
    def done(self) -> float:
        """The finished fraction, in [0, 1]."""
        made, left = self._seconds(*(self._costs() or (1.0, self.later_share)))
        return made / max(made + left, 1e-9)


@dataclass
class ClipRun:
    """Paints a clip for a command, and sends its events."""

    stylizer: WatchedStylizer
    command: PaintCommand
    send: Callable[[FrameMessage], None]
    show: Callable[[ImageArray], None]
    """replaces the preview of the job"""
    due: Callable[[], bool]
    """returns whether it is time for another preview"""
    is_abandoned: Callable[[], bool] = lambda: False
    """returns whether the server is gone, so that the job ends as soon as possible"""
    progress: ClipProgress = field(default_factory=ClipProgress)
    seconds: float = 0.0
    notes: tuple[str, ...] = ()
    number: int = 0
    """number of the frame that is painted"""

    @property
    def clip(self) -> ClipCommand:
        """The part of the command about the clip."""
        assert self.command["clip"] is not None
        return self.command["clip"]

    @property
    def folder(self) -> Path:
        """The folder of the frames for the page."""
        return Path(self.command["folder"], PAINTED)

    def job(self, restart: bool = False) -> VideoJob:
        """Return the job of the command."""
        clip = self.clip
        made = clips.options(_settings(clip))
        options = replace(
            made,
            keys=dict(clip["keys"]),
            cuts=None if clip["cuts"] is None else tuple(clip["cuts"]),
            start=clip["start"],
            end=clip["end"],
            restart=restart,
        )
        keep = self.command["keep"]
        regions = [(_given(mask), style) for mask, style in self.command["regions"]]
        return VideoJob(
            self.command["content"],
            self.command["styles"],
            clip["output"],
            options,
            regions,
            keep and _given(keep),
            recipe=Recipe.from_dict(self.command["recipe"]),
        )

    def prepare(self) -> PreparedClip:
        """Validate the job; what an earlier run has painted is kept if it is of the same inputs.

        Raises InputError, or ImpastoError if a package is missing.
        """
        prepared = clip_job.prepare(self.stylizer, self.job())
        try:
            prepared.project.open(clip_job.identity(prepared), restart=False)
        except CheckpointError:  # of another version of impasto
            return self.restarted()
        self._reuse_survey(prepared)
        self._show_painted(prepared)
        return prepared

    def _reuse_survey(self, prepared: PreparedClip) -> None:
        """Store the survey of the whole clip that the studio has made, if there is one."""
        path, cuts = self.clip["survey"], self.clip["cuts"]
        if path is None or prepared.project.read_survey(prepared.first, None) is not None:
            return
        try:
            surveyed = clips.part_survey(Path(path), prepared.first, prepared.last, cuts)
        except (OSError, ValueError, TypeError):  # a damaged file: the clip is surveyed again
            return
        prepared.project.write_survey(surveyed)

    def restarted(self) -> PreparedClip:
        """Return the prepared job, whose earlier frames are removed."""
        LOG.info("the frames so far cannot be used: the clip is painted from its start")
        shutil.rmtree(self.folder, ignore_errors=True)
        prepared = clip_job.prepare(self.stylizer, self.job(restart=True))
        prepared.project.open(clip_job.identity(prepared), restart=True)
        self._reuse_survey(prepared)
        self.folder.mkdir(exist_ok=True)
        job = replace(prepared.job, options=replace(prepared.job.options, restart=False))
        return replace(prepared, job=job)

    def _show_painted(self, prepared: PreparedClip) -> None:
        """Write the frames of an earlier run for the page, as far as it lacks them."""
        self.folder.mkdir(exist_ok=True)
        for path in sorted(prepared.project.folder.glob("[0-9]*.png")):
            target = frame_path(self.folder, int(path.stem))
            if not target.exists():
                _write_reduced(prepared.project.read_pixels(int(path.stem)), target)

    def first_image(self, prepared: PreparedClip) -> PreparedRun:
        """Return the run of the first frame, and note its expected time."""
        run = clip_job.prepare_first(self.stylizer, prepared)
        keep = prepared.masks.get(KEEP)
        if isinstance(keep, StandingMask) or (
            isinstance(keep, MovingMask) and keep.frame == prepared.first
        ):  # for the draft
            run = replace(run, inputs=replace(run.inputs, keep=keep.mask))
        seconds = forecast.expected_seconds(run)
        self.progress.full = None if seconds is None else sum(seconds)
        if prepared.job.options.steady == 0:
            self.progress.later_share = 1.0
        return run

    def paint(self, prepared: PreparedClip) -> Iterator[VideoEvent]:
        """Paint the clip; yield its events after they were sent."""
        self.number = prepared.first
        self.stylizer.watch = self._watch()
        self.stylizer.forget_stop()
        try:
            for event in stream.paint_clip(self.stylizer, prepared):
                self.progress.note(event)
                if isinstance(event, FramePainted):
                    self._note_frame(event)
                elif isinstance(event, ShotStarted):
                    self.number = event.first
                    self._report(False, False)
                elif isinstance(event, VideoFinished):
                    self.seconds, self.notes = event.seconds, event.notes
                yield event
        finally:
            self.stylizer.watch = None

    def _note_frame(self, event: FramePainted) -> None:
        self.number = event.number
        self.seconds += event.seconds
        _write_reduced(event.pixels, frame_path(self.folder, event.number))
        shown = self.due() or event.kind == "first" or event.done == event.frames
        if shown:
            self.show(event.pixels)
        self._report(True, shown)

    def _watch(self) -> Watch:
        """Return what shows the first frame of a shot while it is painted."""
        estimates: dict[int, TimeEstimate] = {}

        def watch(prepared: PreparedRun, event: Event) -> None:
            estimate = estimates.setdefault(id(prepared), TimeEstimate(prepared.levels, None))
            if isinstance(event, Finished):
                calibration.store_run_speed(prepared, event.result)
                return
            estimate.note(event)
            if self.is_abandoned():
                self.stylizer.stop()
            if isinstance(event, Step) and self.due():
                self.progress.part = estimate.progress
                self.show(event.pixels)
                self._report(False, True)

        return watch

    def _report(self, written: bool, shown: bool) -> None:
        progress = self.progress
        left = progress.left
        self.send(
            {
                "event": "frame",
                "work": self.command["work"],
                "number": self.number,
                "written": written,
                "frames": progress.frames,
                "count": progress.count,
                "shot": progress.shot,
                "shots": progress.shots,
                "done": progress.done,
                "left": "" if left is None else f"{format_duration(left)} left",
                "shown": shown,
            }
        )

    def write_part(self, prepared: PreparedClip) -> tuple[str, ...]:
        """Write the clip of the frames so far, and return notes."""
        surveyed = clip_job.survey_of(prepared)
        if not prepared.project.has_frame(surveyed.first):
            return ()
        output = Path(self.clip["output"])
        return stream.write_painted(prepared, surveyed, str(output.with_stem(PART)))


def _given(mask: MaskCommand) -> GivenMask:
    """Return a mask as the job of a clip takes it."""
    frame = mask["frame"]
    return mask["path"] if frame is None else (frame, mask["path"])


def _settings(clip: ClipCommand) -> Any:
    """Return the settings of a command without its range."""
    return {**clip, "first": 0, "last": None}


def _write_reduced(pixels: ImageArray, path: Path) -> None:
    """Write a frame for the page."""
    height, width = arrays.size_of(pixels)
    size = arrays.fit(height, width, min(FRAME_SIDE, max(height, width)))
    encode.write_image(arrays.resize(pixels.clip(0, 255), *size), path)


def write_frame(clip: str, number: int, longest: int, path: Path) -> None:
    """Write one frame of a clip as a PNG, at the size at which it is painted.

    Args:
        clip: path of the clip
        number: number of the frame; one that cannot be decoded is replaced by the one before
        longest: longest side in pixels; 0 or less for that of the clip
        path: the file to write

    Raises:
        ImageError: if the clip cannot be read
        SettingError: if it has no such frame
    """
    info = reader.probe(clip)
    latest, found = None, False
    for frame in reader.iter_frames(info, 0, number):
        latest = frame if frame.source is not None else latest
        found = frame.number == number
    if latest is None or not found:
        raise SettingError(f"the clip has no frame {number} that can be decoded: choose another")
    size = arrays.fit(*info.size, longest) if longest > 0 else info.size
    encode.write_image(np.rint(latest.pixels(size)), path)
