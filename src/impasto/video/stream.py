"""Paints a clip: survey, shots, frames, and the written clip. A generator of events.

Everything that a frame depends on is a value, the memory of its shot, which is stored after each
frame. So an interrupted clip resumes to the same bytes, and a shot may be painted anywhere.
"""

import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from impasto.errors import SettingError
from impasto.images.formats import encode
from impasto.images.load import ImageLike
from impasto.pipeline.stylizer import Stylizer
from impasto.pipeline.video_events import (
    ClipSurveyed,
    FramePainted,
    VideoEvent,
    VideoFinished,
)
from impasto.video import project as projects
from impasto.video import reader, writer
from impasto.video.clip_job import (
    PreparedClip,
    content_of,
    identity,
    is_complete,
    survey_of,
)
from impasto.video.clip_job import VideoJob as VideoJob
from impasto.video.clip_job import prepare as prepare
from impasto.video.full_painter import FullPainter, finish
from impasto.video.shot import paint_shot
from impasto.video.survey import Survey
from impasto.video.workers import paint_on_workers
from impasto.video.writer import TimeRange


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
        yield from paint_on_workers(stylizer, clip, surveyed)
    else:
        for shot in surveyed.shots:
            yield from paint_shot(stylizer, clip, surveyed, shot)
            if not is_complete(project, shot):
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
    painter = FullPainter(stylizer, clip)
    content = content_of(clip, frame, None)
    painted = painter.paint(content)
    if painted is None:
        return
    output = Path(clip.job.output)
    path = output.with_name(f"{output.stem.replace('%', '')}-{number:06d}.png")
    pixels = finish(painter.run(content), painted.image, content)
    encode.write_image(pixels, path, alpha=frame.alpha)
    seconds = time.perf_counter() - began
    yield FramePainted(number, 1, 1, "first", seconds, 0.0, str(path), pixels)
    yield VideoFinished(path, 1, seconds, ())
