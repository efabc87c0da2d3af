"""A clip to paint: the job as given, and the clip whose inputs and settings are validated."""

import dataclasses
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

import numpy as np

from impasto import files
from impasto.errors import SettingError
from impasto.images import arrays, load
from impasto.images.arrays import ImageArray, Mask
from impasto.images.load import ImageLike
from impasto.pipeline.inputs import PreparedRun
from impasto.pipeline.stylizer import RunOptions, Stylizer
from impasto.pipeline.video_events import VideoOptions
from impasto.recipe.settings import ORIGINAL, Recipe
from impasto.version import __version__
from impasto.video import extras, mask_sources, reader, survey, writer
from impasto.video import project as projects
from impasto.video.mask_sources import GivenMask, MaskClip, MaskSource, MovingMask, StandingMask
from impasto.video.project import Project
from impasto.video.reader import ClipFrame, ClipInfo
from impasto.video.survey import Shot, Survey
from impasto.video.writer import DEFAULT_CLIP_OPTIONS, ClipOptions

KEEP = "keep"
"""Name of the mask of pixels that stay unchanged."""


@dataclass(frozen=True)
class VideoJob:
    """A clip to paint, and how."""

    clip: str
    style: ImageLike | Sequence[ImageLike] | None
    output: str
    options: VideoOptions
    regions: Sequence[tuple[Any, ...]] = ()
    """(mask, style) or (mask, style, style mask) for each; the mask as of ``GivenMask``"""
    keep: GivenMask | None = None
    """the mask of the pixels that stay unchanged"""
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
    masks: Mapping[str, MaskSource] = field(default_factory=dict)
    """the masks by name: ``keep`` and ``region-1`` and so on"""

    @property
    def styles(self) -> Sequence[ImageLike]:
        """The style images outside regions."""
        style = self.job.style
        if style is None:
            return ()
        return style if isinstance(style, list | tuple) else [cast(ImageLike, style)]

    @property
    def any_mask(self) -> Mask:
        """A mask that stands for the one of any region: all have a part of every pixel."""
        side = arrays.MIN_SIDE
        return np.full((side, side), 1 / (len(self.job.regions) + 1), np.float32)

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


def prepare(stylizer: Stylizer, job: VideoJob) -> PreparedClip:
    """Validate a job. Raises InputError, or ImpastoError if a package is missing."""
    extras.check()
    info = reader.probe(job.clip)
    _check_not_overwritten(job)
    writer.check_clip_output(job.output, job.encoding)
    recipe = job.recipe or stylizer.recipe
    if recipe.size == ORIGINAL:
        recipe = replace(recipe, size=max(info.size))
    size = arrays.fit(*info.size, recipe.size)
    if not writer.is_sequence(job.output):
        codec = writer.choose_codec(job.output, info.alpha, job.encoding)
        writer.check_clip_size(codec, *size)
    first, last, start = _frame_range(info, job.options)
    clip = PreparedClip(job, info, recipe, size, first, last, start, _load_masks(job, info))
    content = next(iter(clip.frames(first)), None)
    if content is None or (content.source is None and first == last):
        raise SettingError(f"{files.display_path(job.clip)} has no frame in this range")
    if content.source is not None:
        _check_inputs(stylizer, clip, content_of(clip, content, None))
    for number, image in job.options.keys.items():
        load.load_image(image, f"key {number}")
    return clip


def _check_not_overwritten(job: VideoJob) -> None:
    """Raise SettingError if the painted clip or its frames would replace the clip."""
    clip, output = (os.path.realpath(each) for each in (job.clip, job.output))
    same = os.path.exists(output) and os.path.exists(clip) and os.path.samefile(clip, output)
    if clip == output or same:
        raise SettingError(
            f"{files.display_path(job.output)} would overwrite the clip: give another name"
        )


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


def content_of(clip: PreparedClip, frame: ClipFrame, peak: float | None) -> ImageArray:
    """Return the content image of a frame at the painted size, in whole numbers."""
    return np.rint(frame.pixels(clip.size, peak)).astype(np.float32)


def _load_masks(job: VideoJob, info: ClipInfo) -> dict[str, MaskSource]:
    """Return the masks by name."""
    found: dict[str, MaskSource] = {}
    for number, region in enumerate(job.regions, 1):
        if not isinstance(region, tuple | list) or len(region) not in (2, 3):
            raise SettingError(
                "regions: expected (mask, style) or (mask, style, style mask) for each"
            )
        found[f"region-{number}"] = mask_sources.load_source(region[0], f"region {number}", info)
    if job.keep is not None:
        found[KEEP] = mask_sources.load_source(job.keep, KEEP, info)
    return found


def _check_inputs(stylizer: Stylizer, clip: PreparedClip, content: ImageArray) -> None:
    """Validate everything that a run of the first frame needs, with the masks that are images."""

    def mask_of(name: str) -> Mask:
        source = clip.masks[name]
        return clip.any_mask if isinstance(source, MaskClip) else source.mask

    regions = [(mask_of(f"region-{n}"), *each[1:]) for n, each in enumerate(clip.job.regions, 1)]
    options: RunOptions = {"regions": regions, "memory": clip.job.memory}
    if isinstance(clip.masks.get(KEEP), StandingMask):
        options["keep"] = mask_of(KEEP)
    stylizer.prepare(content.astype(np.uint8), clip.job.style, recipe=clip.recipe, **options)


def prepare_run(
    stylizer: Stylizer, clip: PreparedClip, content: ImageArray, recipe: Recipe | None = None
) -> PreparedRun:
    """Return a run of a frame with all regions, whose masks are the same everywhere.

    ``recipe`` replaces that of the clip.
    """
    regions = [(clip.any_mask, *each[1:]) for each in clip.job.regions]
    options: RunOptions = {"regions": regions, "memory": clip.job.memory}
    recipe = recipe or clip.recipe
    return stylizer.prepare(content.astype(np.uint8), clip.job.style, recipe=recipe, **options)


def prepare_first(stylizer: Stylizer, clip: PreparedClip) -> PreparedRun:
    """Return the run of the first frame that can be decoded, such as for its forecast."""
    frame = next(frame for frame in clip.frames() if frame.source is not None)
    return prepare_run(stylizer, clip, content_of(clip, frame, None))


def identity(clip: PreparedClip) -> dict[str, Any]:
    """Return what the stored frames depend on, for JSON."""
    job, options = clip.job, clip.job.options
    chosen = {
        name: value
        for name, value in dataclasses.asdict(replace(options, keys={})).items()
        if name not in ("keys", "restart")
    }
    return {
        "version": __version__,
        "clip": projects.hash_of(job.clip),
        "styles": [projects.hash_of(each) for each in clip.styles],
        "regions": [
            [projects.hash_of(each) for each in region[1:] if each is not None]
            for region in job.regions
        ],
        "masks": {name: _hash_of_mask(source) for name, source in clip.masks.items()},
        "keys": {
            str(number): projects.hash_of(image) for number, image in sorted(options.keys.items())
        },
        "recipe": _as_json(dataclasses.asdict(clip.recipe)),
        "options": _as_json(chosen),
        "depth": clip.depth,
    }


def _hash_of_mask(source: MaskSource) -> list[Any]:
    """Return what a mask depends on, for JSON."""
    if isinstance(source, MaskClip):
        return [projects.hash_of(path) for path in source.images or [source.path]]
    frame = source.frame if isinstance(source, MovingMask) else None
    return [frame, projects.hash_of(source.mask)]


def _as_json(value: Any) -> Any:
    """Return a value as JSON has it, with lists instead of tuples."""
    if isinstance(value, dict):
        return {name: _as_json(each) for name, each in value.items()}
    return [_as_json(each) for each in value] if isinstance(value, list | tuple) else value


def survey_of(clip: PreparedClip) -> Survey:
    """Return the survey of a clip, and store it for the next call."""
    if (stored := _stored_survey(clip)) is not None:
        return stored
    made = _make_survey(clip)
    clip.project.write_survey(made)
    return made


def read_survey(clip: PreparedClip) -> Survey:
    """Return the survey of a clip: the stored one, if there is one."""
    return _stored_survey(clip) or _make_survey(clip)


def _stored_survey(clip: PreparedClip) -> Survey | None:
    return clip.project.read_survey(clip.first, clip.job.options.cuts)


def _make_survey(clip: PreparedClip) -> Survey:
    return survey.survey_clip(clip.frames(), clip.job.options.cuts, clip.first)


def disk_bytes(clip: PreparedClip, surveyed: Survey) -> float:
    """Return the expected size of the stored frames of a clip, with what helps to paint them."""
    frames = len(surveyed.frames)
    needed = projects.disk_bytes(frames, *clip.size, clip.depth)
    if clip.job.options.keys:  # what they look like in the frames before
        needed += projects.disk_bytes(frames, *clip.size, 8)
    return needed


def is_complete(project: Project, shot: Shot) -> bool:
    """Return whether all frames of a shot are written."""
    return all(project.has_frame(number) for number in range(shot.first, shot.last + 1))
