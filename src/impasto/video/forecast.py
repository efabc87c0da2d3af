"""The expected time, memory and disk space of a clip."""

from collections.abc import Callable
from dataclasses import dataclass

from impasto.errors import pluralize
from impasto.pipeline.progress import format_duration
from impasto.pipeline.stylizer import Stylizer
from impasto.pipeline.video_events import VideoOptions
from impasto.video.clip_job import PreparedClip, disk_bytes, prepare_first, read_survey
from impasto.video.parts import Part, Schedule, parts_of
from impasto.video.shot import schedule_of
from impasto.video.survey import Shot, Survey

LATER_SHARE = 0.2
"""Time of a later frame relative to that of a frame painted in full. Measured: .12 to .17."""

BETWEEN_SHARE = 0.03
"""The same for a frame between two painted ones."""

SHOT_BYTES = 400.0
"""Bytes per pixel of the memory of a shot, beyond that of an image."""


@dataclass(frozen=True)
class ClipForecast:
    """What a clip needs."""

    frames: int
    shots: int
    seconds: float
    memory_bytes: float
    disk_bytes: float

    def lines(self) -> list[str]:
        """Return lines for the user."""
        return [
            f"{pluralize(self.frames, 'frame')} in {pluralize(self.shots, 'shot')}: "
            f"about {format_duration(self.seconds)}",
            f"memory: about {self.memory_bytes / 1e9:.1f} GB",
            f"disk: about {self.disk_bytes / 1e6:,.0f} MB until the clip is written",
        ]


def forecast_clip(clip: PreparedClip, stylizer: Stylizer) -> ClipForecast:
    """Return what a clip needs: the survey of all frames, and the forecast of the first one."""
    surveyed = read_survey(clip)
    image = stylizer.forecast(prepare_first(stylizer, clip))
    full = image.levels_seconds
    seconds = image.start + _seconds(
        clip.job.options, surveyed, full, lambda part: schedule_of(clip, surveyed, part)
    )
    memory = image.peak + SHOT_BYTES * clip.size[0] * clip.size[1]
    disk = disk_bytes(clip, surveyed)
    return ClipForecast(len(surveyed.frames), len(surveyed.shots), seconds, memory, disk)


def clip_seconds(options: VideoOptions, surveyed: Survey, full: float) -> float:
    """Return the expected seconds of a clip; ``full`` are those of a frame painted in full."""
    return _seconds(options, surveyed, full, lambda part: Schedule(surveyed, part, options))


def _seconds(
    options: VideoOptions, surveyed: Survey, full: float, schedule: Callable[[Part], Schedule]
) -> float:
    return sum(_shot_seconds(options, shot, full, schedule) for shot in surveyed.shots)


def _shot_seconds(
    options: VideoOptions, shot: Shot, full: float, schedule_part: Callable[[Part], Schedule]
) -> float:
    """Return the expected seconds of a shot."""
    seconds = 0.0
    for part in parts_of(shot, options.keys):
        schedule = schedule_part(part)
        shown, painted = len(schedule.shown), len(schedule.painted)
        if options.steady == 0:
            seconds += full * painted
        else:
            whole = part.first not in options.keys
            later = max(0, painted - 1)
            seconds += full * (whole + LATER_SHARE * later)
        seconds += full * BETWEEN_SHARE * (shown - painted)
    return seconds
