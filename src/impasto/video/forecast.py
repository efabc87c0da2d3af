"""The expected time, memory and disk space of a clip."""

from dataclasses import dataclass

from impasto.errors import pluralize
from impasto.pipeline.progress import format_duration
from impasto.pipeline.stylizer import Stylizer
from impasto.pipeline.video_events import VideoOptions
from impasto.video import project, stream, survey
from impasto.video.stream import PreparedClip
from impasto.video.survey import Survey

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
    options = clip.job.options
    stored = clip.project.read_survey(clip.first, options.cuts)
    surveyed = stored or survey.survey_clip(clip.frames(), options.cuts, clip.first)
    image = stylizer.forecast(stream.prepare_first(stylizer, clip))
    full = image.levels_seconds
    seconds = image.start + clip_seconds(options, surveyed, full)
    memory = image.peak + SHOT_BYTES * clip.size[0] * clip.size[1]
    disk = project.disk_bytes(len(surveyed.frames), *clip.size, clip.depth)
    return ClipForecast(len(surveyed.frames), len(surveyed.shots), seconds, memory, disk)


def clip_seconds(options: VideoOptions, surveyed: Survey, full: float) -> float:
    """Return the expected seconds of a clip; ``full`` are those of a frame painted in full."""
    return sum(_shot_seconds(options, surveyed, shot, full) for shot in surveyed.shots)


def _shot_seconds(options: VideoOptions, surveyed: Survey, shot: survey.Shot, full: float) -> float:
    """Return the expected seconds of a shot."""
    numbers = range(shot.first, shot.last + 1)
    shown = [n for n in numbers if surveyed.shown(n) and (n - shot.first) % options.hold == 0]
    if options.steady == 0:
        return full * len(shown)
    every = options.every
    step = stream.choose_every(surveyed, shot) if isinstance(every, str) else every
    painted = -(-len(shown) // step)
    later = max(0, painted - 1)
    return full * (1 + LATER_SHARE * later + BETWEEN_SHARE * (len(shown) - painted))
