"""A clip to paint: the job as given, and the clip whose inputs and settings are validated."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

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
from impasto.video import extras, reader, survey, writer
from impasto.video import project as projects
from impasto.video.project import Project
from impasto.video.reader import ClipFrame, ClipInfo
from impasto.video.survey import Shot, Survey
from impasto.video.writer import DEFAULT_CLIP_OPTIONS, ClipOptions


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
        prepare_run(stylizer, clip, content_of(clip, content, None))
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


def content_of(clip: PreparedClip, frame: ClipFrame, peak: float | None) -> ImageArray:
    """Return the content image of a frame at the painted size, in whole numbers."""
    return np.rint(frame.pixels(clip.size, peak)).astype(np.float32)


def prepare_run(stylizer: Stylizer, clip: PreparedClip, content: ImageArray) -> PreparedRun:
    """Return the run that paints a frame in full."""
    job = clip.job
    options: RunOptions = {"regions": job.regions, "memory": job.memory}
    if job.keep is not None and not isinstance(job.keep, tuple):
        options["keep"] = job.keep
    return stylizer.prepare(content.astype(np.uint8), job.style, recipe=clip.recipe, **options)


def prepare_first(stylizer: Stylizer, clip: PreparedClip) -> PreparedRun:
    """Return the run of the first frame that can be decoded, such as for its forecast."""
    frame = next(frame for frame in clip.frames() if frame.source is not None)
    return prepare_run(stylizer, clip, content_of(clip, frame, None))


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


def survey_of(clip: PreparedClip) -> Survey:
    """Return the survey of a clip, and store it for the next call."""
    project, cuts = clip.project, clip.job.options.cuts
    stored = project.read_survey(clip.first, cuts)
    if stored is not None:
        return stored
    made = survey.survey_clip(clip.frames(), cuts, clip.first)
    project.write_survey(made)
    return made


def is_complete(project: Project, shot: Shot) -> bool:
    """Return whether all frames of a shot are written."""
    return all(project.has_frame(number) for number in range(shot.first, shot.last + 1))
