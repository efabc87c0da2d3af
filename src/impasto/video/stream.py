"""Paints a clip: survey, shots, frames, and the written clip. A generator of events.

Everything that a frame depends on is a value, the memory of its shot, which is stored after each
frame. So an interrupted clip resumes to the same frames, and a shot may be painted anywhere.
"""

import os
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from impasto.errors import InputError, SettingError
from impasto.images import style_regions
from impasto.images.formats import encode
from impasto.images.load import ImageLike
from impasto.pipeline.stylizer import Stylizer
from impasto.pipeline.video_events import (
    ClipSurveyed,
    FramePainted,
    VideoEvent,
    VideoFinished,
)
from impasto.video import mask_sources, reader, writer
from impasto.video import project as projects
from impasto.video.clip_job import (
    PreparedClip,
    content_of,
    disk_bytes,
    identity,
    is_complete,
    read_survey,
    survey_of,
)
from impasto.video.full_painter import FullPainter, finish
from impasto.video.mask_sources import MovingMask
from impasto.video.parts import group_parts
from impasto.video.reader import ClipFrame
from impasto.video.shot import paint_shot, shot_styles
from impasto.video.shot_masks import ShotMasks
from impasto.video.survey import Shot, Survey
from impasto.video.workers import paint_on_workers
from impasto.video.writer import TimeRange


def paint_clip(stylizer: Stylizer, clip: PreparedClip) -> Iterator[VideoEvent]:
    """Paint a clip and write it; yield events. Ends without the last event if it was stopped."""
    options = clip.job.options
    if options.look is not None:
        yield from _paint_look(stylizer, clip, options.look)
        return
    clip.project.open(identity(clip), options.restart)
    try:
        yield from _paint_shots(stylizer, clip)
    except InputError:
        clip.project.remove_without_frames()
        raise


def _paint_shots(stylizer: Stylizer, clip: PreparedClip) -> Iterator[VideoEvent]:
    """Paint all shots and write the clip."""
    began = time.perf_counter()
    project, options = clip.project, clip.job.options
    surveyed = survey_of(clip)
    _check_keys(surveyed, options.keys)
    _check_cuts(clip, surveyed)
    _check_masks(clip, surveyed)
    needed = disk_bytes(clip, surveyed)
    projects.check_disk(project.folder, needed)
    cuts = tuple(shot.first for shot in surveyed.shots[1:])
    yield ClipSurveyed(len(surveyed.frames), len(surveyed.shots), cuts, needed)
    if stylizer.workers and len(group_parts(surveyed, options.keys)) > 1:
        yield from paint_on_workers(stylizer, clip, surveyed)
        if not all(is_complete(project, shot) for shot in surveyed.shots):
            return
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


def _check_cuts(clip: PreparedClip, surveyed: Survey) -> None:
    """Raise SettingError for a cut beyond the end of the clip, if it is painted to its end."""
    last = surveyed.first + len(surveyed.frames) - 1
    for number in clip.job.options.cuts or ():
        if clip.last is None and number > last:
            raise SettingError(f"cut {number} is no frame of the clip: possible are 1 to {last}")


def _check_masks(clip: PreparedClip, surveyed: Survey) -> None:
    """Raise SettingError for a mask that does not have the frames of the clip."""
    last = surveyed.first + len(surveyed.frames) - 1
    for name, source in clip.masks.items():
        mask_sources.check_count(source, name, last)


def write_painted(
    clip: PreparedClip, surveyed: Survey, output: str | None = None
) -> tuple[str, ...]:
    """Write the clip of all frames that are painted, and return notes."""
    path, encoding = output or clip.job.output, clip.job.encoding
    painted = clip.project.iter_painted(surveyed)
    if writer.is_sequence(path):
        writer.write_sequence(painted, path, encoding.depth, surveyed.first)
        return _damage_notes(surveyed)
    part = TimeRange(clip.start, clip.job.options.end) if clip.first else writer.WHOLE_CLIP
    if clip.job.options.end is not None:
        part = TimeRange(clip.start, clip.job.options.end)
    notes = writer.write_clip(painted, path, clip.info, encoding, part)
    notes = (*notes, *_damage_notes(surveyed))
    if clip.info.alpha and not writer.choose_codec(path, True, encoding).alpha_format:
        notes = (*notes, f"{Path(path).suffix} has no transparency; transparent parts are white")
    return notes


def _damage_notes(surveyed: Survey) -> tuple[str, ...]:
    damaged = [n for n, frame in enumerate(surveyed.frames, surveyed.first) if frame.damaged]
    if not damaged:
        return ()
    shown = ", ".join(map(str, damaged[:8])) + ("…" if len(damaged) > 8 else "")
    return (f"frames {shown} cannot be decoded: the frames before are shown instead",)


def _paint_look(stylizer: Stylizer, clip: PreparedClip, number: int) -> Iterator[VideoEvent]:
    """Paint one frame by itself, as the first of a shot is, and write it beside the output."""
    began = time.perf_counter()
    frame = next(iter(reader.iter_frames(clip.info, number, number)), None)
    if frame is None or frame.source is None:
        last = reader.count_frames(clip.info.path) - 1
        raise SettingError(
            f"look is {number}: no frame that can be decoded; the clip has frames 0 to {last}"
        )
    shot = _shot_of_look(clip, frame)
    with tempfile.TemporaryDirectory() as folder:  # for masks that move to the frame
        elsewhere = replace(clip, job=replace(clip.job, output=os.path.join(folder, "look")))
        elsewhere.project.folder.mkdir()
        masks = ShotMasks(elsewhere, shot).at(number)
        painter = FullPainter(stylizer, clip, shot_styles(stylizer, elsewhere, shot))
    content, regions = content_of(clip, frame, shot.peak), painter.frame_regions(masks)
    painted = painter.paint(content, regions)
    if painted is None:
        return
    output = Path(clip.job.output)
    path = output.with_name(f"{output.stem.replace('%', '')}-{number:06d}.png")
    pixels = finish(painter.run(content, regions), painted.image, content, regions.keep)
    encode.write_image(pixels, path, alpha=frame.alpha)
    seconds = time.perf_counter() - began
    yield FramePainted(number, 1, 1, "first", seconds, 0.0, str(path), pixels)
    yield VideoFinished(path, 1, seconds, ())


def _shot_of_look(clip: PreparedClip, frame: ClipFrame) -> Shot:
    """Return the shot of a frame; only the frame itself if nothing else of the shot matters."""
    moving = any(isinstance(source, MovingMask) for source in clip.masks.values())
    if moving or clip.info.hdr or clip.recipe.colors in style_regions.COLOR_TRANSFORMS:
        for shot in read_survey(clip).shots:
            if shot.first <= frame.number <= shot.last:
                return shot
    peak = frame.peak() if clip.info.hdr else 1.0
    return Shot(0, frame.number, frame.number, peak)
