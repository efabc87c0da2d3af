"""The expected time, memory and disk space of a clip."""

from dataclasses import dataclass

from impasto.errors import pluralize
from impasto.pipeline.progress import format_duration
from impasto.pipeline.stylizer import Stylizer
from impasto.pipeline.video_events import VideoOptions
from impasto.video.clip_job import PreparedClip, disk_bytes, prepare_first, read_survey
from impasto.video.parts import Schedule, parts_of
from impasto.video.shot import repeats_held
from impasto.video.survey import Shot, Survey

LATER_SHARE = 0.3
"""Time of a later frame relative to that of a frame painted in full, at worst."""

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
    seconds = image.start + clip_seconds(clip.job.options, surveyed, full, repeats_held(clip))
    memory = image.peak + SHOT_BYTES * clip.size[0] * clip.size[1]
    disk = disk_bytes(clip, surveyed)
    return ClipForecast(len(surveyed.frames), len(surveyed.shots), seconds, memory, disk)


def clip_seconds(
    options: VideoOptions, surveyed: Survey, full: float, repeats: bool = True
) -> float:
    """Return the expected seconds of a clip.

    Args:
        options: how the frames depend on each other
        surveyed: the survey of the frames
        full: expected seconds of a frame that is painted in full
        repeats: whether held frames are copies, see ``Schedule``
    """
    return sum(_shot_seconds(options, surveyed, shot, full, repeats) for shot in surveyed.shots)


def _shot_seconds(
    options: VideoOptions, surveyed: Survey, shot: Shot, full: float, repeats: bool
) -> float:
    """Return the expected seconds of a shot."""
    seconds = 0.0
    for part in parts_of(shot, options.keys):
        schedule = Schedule(surveyed, part, options, repeats)
        shown, painted = len(schedule.shown), len(schedule.painted)
        if options.steady == 0:
            seconds += full * painted
        else:
            whole = part.first not in options.keys
            later = max(0, painted - 1)
            seconds += full * (whole + LATER_SHARE * later)
        seconds += full * BETWEEN_SHARE * (shown - painted)
    return seconds
