"""The JSON of stored files: images, clips, sessions and jobs.

Old keys stay, since stored sessions have them: ``photograph`` is the content image, ``paintings``
are the style images, ``painting`` is the style image of a region, and a ``picture`` is an image.
"""

from typing import Annotated, Any, Literal, TypeAlias, TypedDict

from impasto.studio.validation import Range

StyleScale: TypeAlias = Annotated[float, Range("the scale of a style image", 0.1, 10)]
StyleWeight: TypeAlias = Annotated[float, Range("the weight of a style image", 0, 1000)]
Steady: TypeAlias = Annotated[float, Range("steady", 0, 1)]
Hold: TypeAlias = Annotated[int, Range("hold", 1, 16)]
FrameNumber: TypeAlias = Annotated[int, Range("the number of a frame", 0, 10_000_000)]
Feather: TypeAlias = Annotated[float, Range("the feather, as a fraction of a mask's side,", 0, 0.1)]

RecipeFields: TypeAlias = dict[str, Any]
"""The fields of a `Recipe`, which validates them."""

SettingTexts: TypeAlias = dict[str, str]
"""Settings as the user writes them, by name."""

SettingChanges: TypeAlias = dict[str, str | None]
"""New values of settings, by name; None is ignored."""

JobKind: TypeAlias = Literal["image", "frame", "clip"]
"""What a job paints: an image, one frame of a clip, or the clip."""

JobState: TypeAlias = Literal["queued", "painting", "done", "stopped", "failed"]
"""``painting`` is a running job."""


class ClipFacts(TypedDict):
    """A video clip, as its container describes it."""

    frames: int
    """number of frames; 0 if the container does not say"""
    seconds: float
    """duration; 0 if the container does not say"""
    rate: float
    """frames per second on average"""
    sound: bool
    transparent: bool
    """whether frames may be transparent"""


class StoredImage(TypedDict):
    """An uploaded image, or a clip, which has the size and the thumbnail of its first frame."""

    id: str
    """the first 16 digits of the SHA-256 of the file"""
    name: str
    width: int
    height: int
    mask: bool
    """whether the image is a mask, which the page shows unchanged"""
    notes: list[str]
    """messages for the user from reading the file"""
    clip: ClipFacts | None
    """None for an image"""


class StyleEntry(TypedDict):
    """A style image of a session: its id, weight and scale."""

    picture: str
    share: StyleWeight
    scale: StyleScale


class RegionEntry(TypedDict):
    """A region with its own style image, by the ids of both images."""

    mask: str
    painting: str
    scale: StyleScale
    feather: Feather
    frame: FrameNumber | None
    """frame of a clip on which the mask was drawn, and with whose content it moves; None for a mask
    that is the same in all frames"""


StyleEntries: TypeAlias = Annotated[list[StyleEntry], Range("the number of style images", 0, 8)]
RegionEntries: TypeAlias = Annotated[list[RegionEntry], Range("the number of regions", 0, 8)]


class KeyEntry(TypedDict):
    """A frame that was painted by hand: its number and the id of the image."""

    frame: FrameNumber
    picture: str


KeyEntries: TypeAlias = Annotated[list[KeyEntry], Range("the number of key frames", 0, 64)]
CutList: TypeAlias = Annotated[list[FrameNumber], Range("the number of cuts", 0, 10_000)]


class ClipSettings(TypedDict):
    """How a clip is painted; without effect for an image. See ``VideoOptions``."""

    first: FrameNumber
    """number of the first frame"""
    last: FrameNumber | None
    """number of the last frame; None for the end of the clip"""
    steady: Steady
    every: str
    """auto, or a number of frames"""
    hold: Hold
    cuts: CutList | None
    """None to find them"""
    keys: KeyEntries


class JobInputs(TypedDict):
    """The images and settings of a session or of a job."""

    photograph: str | None
    paintings: StyleEntries
    regions: RegionEntries
    keep: str | None
    """mask of the protected area, which keeps the pixels of the content image"""
    keep_feather: Feather
    keep_frame: FrameNumber | None
    """as ``frame`` of a region"""
    preset: str
    """the name of the preset that was chosen last"""
    detail: str
    """draft, default or fine: the preset whose detail was chosen last"""
    recipe: RecipeFields
    clip: ClipSettings


class StoredSession(JobInputs):
    """A session."""

    id: str
    name: str
    created: float
    """seconds since 1970"""


class NewJob(JobInputs):
    """A job that is not stored yet, with the ids of related objects."""

    session: str
    sheet: str | None
    """the sweep that the job belongs to; None for a single job"""
    before: str | None
    """the previous version, with which the page compares the settings of this job"""
    init: str | None
    """the job whose result is the initial image; None for that of the recipe"""
    kind: JobKind
    frame: FrameNumber
    """number of the painted frame of a job of this kind"""


class JobStatus(TypedDict):
    """The fields of a stored job that the page receives as they are."""

    id: str
    created: float
    state: JobState
    error: str | None
    """why the job failed"""
    seconds: float
    """duration of the finished run"""
    steered: bool
    """whether settings changed during the run"""
    name: str
    """given by the user; empty without one"""
    starred: bool


class StoredJob(JobStatus, NewJob):
    """A job."""

    history: list[Any]
    """for each step: level, total loss, content, style, total variation, seconds"""


class JobChanges(TypedDict, total=False):
    """Fields of a job that change during its run."""

    state: JobState
    error: str | None
    seconds: float
    steered: bool
    recipe: RecipeFields
    history: list[Any]
