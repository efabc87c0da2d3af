"""The JSON that the page and the server exchange: requests and responses.

Each message is a ``TypedDict``. `validation.parse` checks JSON that arrives against these types,
and mypy checks the code that makes and uses messages. ``make docs`` generates the types of the
page's JavaScript (tools/js/messages.d.ts). `records` has the types of stored files, and
`event_messages` those of commands and events.

Old keys stay, since stored sessions have them: ``works`` are the jobs of a session, ``work`` is the
id of a job, and `records` has the others.
"""

from typing import Annotated, Literal, NotRequired, TypeAlias, TypedDict, final

from impasto.studio.event_messages import FrameMessage, StepMessage
from impasto.studio.records import (
    CutList,
    Feather,
    FrameNumber,
    Hold,
    JobKind,
    JobStatus,
    KeyEntries,
    RegionEntries,
    SettingChanges,
    SettingTexts,
    Steady,
    StoredImage,
    StyleEntries,
)
from impasto.studio.validation import Range

Fraction: TypeAlias = Annotated[float, Range("a coordinate or tolerance", 0, 1)]

# Requests of the page ---------------------------------------------------------------------------


class ClipChanges(TypedDict, total=False):
    """New values of `ClipSettings`."""

    first: FrameNumber
    last: FrameNumber | None
    steady: Steady
    every: str
    hold: Hold
    cuts: CutList | None
    keys: KeyEntries


class SessionChanges(TypedDict, total=False):
    """New inputs and settings of a session."""

    photograph: str | None
    paintings: StyleEntries
    regions: RegionEntries
    keep: str | None
    keep_feather: Feather
    keep_frame: FrameNumber | None
    preset: str
    detail: str
    recipe: SettingChanges
    clip: ClipChanges


class PaintRequest(TypedDict):
    """Start a job; ``before`` is the previous version. With ``frame``, only it is painted."""

    before: NotRequired[str | None]
    frame: NotRequired[FrameNumber]


class FinishRequest(TypedDict):
    """Enlarge a result to a longest side in pixels."""

    size: int


class SteerRequest(TypedDict):
    """Change settings of the running job."""

    settings: SettingChanges


class PlaceInfo(TypedDict):
    """A place in the content image."""

    x: Fraction
    y: Fraction


class SweepRequest(TypedDict):
    """Start a job for each combination of values of the settings.

    With ``crop``, the jobs paint the part of the image around this place at the final scale. Of a
    clip, they paint one ``frame``.
    """

    vary: dict[str, list[str]]
    crop: NotRequired[PlaceInfo | None]
    frame: NotRequired[FrameNumber]


class SelectRequest(TypedDict):
    """Select the pixels that are similar to one; of a clip, in a frame."""

    x: Fraction
    y: Fraction
    tolerance: Fraction
    frame: NotRequired[FrameNumber]


class SelectPartRequest(TypedDict):
    """Select a part of the content image; of a clip, in a frame."""

    part: Literal["subject", "face", "background", "sky"]
    frame: NotRequired[FrameNumber]


class VersionChanges(TypedDict, total=False):
    """A new name of a version, or whether it has a star."""

    name: str
    starred: bool


class CollectionRequest(TypedDict):
    """Add an image to the collection of styles."""

    picture: str


class QueueRequest(TypedDict):
    """Reorder the queue, by the ids of jobs."""

    order: list[str]


PageRequest: TypeAlias = (
    SessionChanges
    | PaintRequest
    | FinishRequest
    | SteerRequest
    | SweepRequest
    | SelectRequest
    | SelectPartRequest
    | VersionChanges
    | CollectionRequest
    | QueueRequest
)


# Responses of the server ------------------------------------------------------------------------


class SettingSchema(TypedDict):
    """A setting, for its form field."""

    name: str
    label: str
    kind: Literal["integer", "number", "text", "choice"]
    help: str
    unit: str
    possible: str
    """the allowed values, as text"""
    minimum: float | None
    maximum: float | None
    choices: list[str]
    """all values of a choice"""
    words: list[str]
    """special values of a number, such as auto"""
    default: str


class PresetInfo(TypedDict):
    """A preset, with the address of its thumbnail."""

    name: str
    label: str
    help: str
    historic: bool
    """whether it has the settings of an earlier method"""
    recipe: SettingTexts
    picture: str | None


class DetailInfo(TypedDict):
    """A level of detail: the preset draft, default or fine."""

    name: str
    label: str
    help: str


class SampleInfo(TypedDict):
    """A sample, with the address of its thumbnail."""

    name: str
    label: str
    picture: str


class SampleNames(TypedDict):
    """The samples, content images and style images."""

    photographs: list[SampleInfo]
    paintings: list[SampleInfo]


class ExampleInfo(TypedDict):
    """A content and a style sample, with the address of a result."""

    content: str
    style: str
    picture: str


class StaticInfo(TypedDict):
    """The data that does not change while the studio runs."""

    notes: list[str]
    settings: list[SettingSchema]
    presets: list[PresetInfo]
    details: list[DetailInfo]
    """from coarse to fine; empty without presets for it"""
    samples: SampleNames
    examples: list[ExampleInfo]
    shares: bool
    """whether other devices can open the page"""
    steerable: list[str]
    """names of the settings that can change during a run"""
    video: str
    """why clips cannot be painted; empty if they can"""


class ImageInfo(StoredImage):
    """An image, with the addresses of two sizes of it."""

    url: str
    """the image for display"""
    thumb: str
    """the thumbnail"""


class InputInfo(TypedDict):
    """An input image of a result."""

    role: str
    name: str
    sha256: str
    here: ImageInfo | None
    """the image of the studio with the same file; None if there is none"""


class ResultInfo(TypedDict):
    """The recipe and inputs that a result contains."""

    recipe: SettingTexts
    inputs: list[InputInfo]


@final
class UploadInfo(ImageInfo):
    """An added image."""

    painted: ResultInfo | None
    """recipe and inputs of a result of impasto; None for any other image"""


class StyleInfo(TypedDict):
    """A style image of a session."""

    picture: ImageInfo
    share: float
    scale: float


class RegionInfo(TypedDict):
    """A region of a session."""

    mask: ImageInfo
    painting: ImageInfo
    scale: float
    feather: float
    frame: int | None


class KeyInfo(TypedDict):
    """A frame that was painted by hand."""

    frame: int
    picture: ImageInfo


class ClipOptionsInfo(TypedDict):
    """`ClipSettings` without key frames."""

    first: int
    last: int | None
    """number of the last frame of the range; None for the end of the clip"""
    steady: float
    every: str
    hold: int
    cuts: list[int] | None


class ClipSettingsInfo(ClipOptionsInfo):
    """`ClipSettings` with descriptions of the images."""

    keys: list[KeyInfo]


class PaintedClip(ClipOptionsInfo):
    """The settings and painted frames of a job that paints a clip."""

    done: int
    """number of painted frames"""
    latest: int | None
    """the highest number of a painted frame; None if there is none"""
    url: str | None
    """address of the painted clip; of a stopped job, of the frames so far"""


class JobInfo(JobStatus):
    """A job, which the page shows as a version."""

    sheet: str | None
    """the sweep that the job belongs to; None for a single job"""
    content: ImageInfo | None
    """the content image; None if it is no longer in the folder"""
    styles: list[str]
    """the names of the style images, without file extensions"""
    stem: str
    """the name of downloads, without file extension"""
    film: bool
    """whether there are images of the run, for a film"""
    recipe: SettingTexts
    differs: list[tuple[str, str, str]]
    """settings that differ from the previous version: label, old value, new value"""
    preview: str | None
    """address of the preview image, which is replaced during the run"""
    result: str | None
    """address of the result; None until the run ends"""
    resumable: bool
    progress: StepMessage | FrameMessage | None
    """the last step of a running job"""
    kind: JobKind
    frame: int
    video: PaintedClip | None
    """None unless the job paints a clip"""
    draft: bool
    """whether the preview is the draft, see `DraftMessage`"""


class JobDetails(JobInfo):
    """A job with the records of its steps."""

    history: list[list[float]]


class SessionInfo(TypedDict):
    """A session with its jobs."""

    id: str
    photograph: ImageInfo | None
    paintings: list[StyleInfo]
    regions: list[RegionInfo]
    keep: ImageInfo | None
    keep_feather: float
    keep_frame: int | None
    missing: list[str]
    """descriptions of images that are no longer in the folder"""
    preset: str
    detail: str
    recipe: SettingTexts
    clip: ClipSettingsInfo
    idle: list[str]
    """a message for each setting that has no effect"""
    works: list[JobInfo]
    """the jobs, newest first"""


class SessionName(TypedDict):
    """A session in the list of sessions."""

    id: str
    name: str


class StudioState(TypedDict):
    """The state of the whole studio."""

    worker: str
    """state of the worker process: starting, ready, painting, or an error"""
    sessions: list[SessionName]
    queue: list[JobInfo]
    """the running job and the queued ones, in order"""
    collection: list[ImageInfo]
    """the style images that the user has collected, newest first"""
    skipped: list[tuple[str, str]]
    """files that cannot be read, with the reasons"""


class SizeForecast(TypedDict):
    """The expected time and memory of a run at another size, as text."""

    value: str
    """value of the setting size"""
    width: int
    height: int
    time: str
    """empty while it is unknown"""
    memory: str
    fits: bool


class ForecastInfo(TypedDict):
    """The expected seconds and bytes of a run, and both as text."""

    seconds: float | None
    memory: float | None
    fits: bool
    """whether the memory is sufficient"""
    text: str
    frames: str
    """the number of frames and shots of a clip as text; empty for an image"""
    sizes: list[SizeForecast]


class ClipFrames(TypedDict):
    """The frames of a clip that the studio has read so far."""

    picture: str
    read: int
    """number of frames"""
    frames: int
    """number of all frames; as the container says until ``complete``"""
    complete: bool
    times: list[float]
    """time of each frame in seconds; empty until ``complete``"""
    cuts: list[int]
    """numbers of the frames that start a shot after the first"""
    error: str | None
    """why the clip could not be read"""


class AreaFrames(TypedDict):
    """The frames of a clip for which a mask that moves is known, which grow from its own frame."""

    mask: str
    frame: int
    """the frame on which it was drawn"""
    begin: int
    """the first frame of its shot; other shots have no such mask"""
    end: int
    """the last frame of its shot"""
    first: int
    """the first frame for which it is known"""
    last: int
    """the last frame for which it is known"""


class AreaList(TypedDict):
    """The masks of a session that move with the content of its clip."""

    areas: list[AreaFrames]


class SweepInfo(TypedDict):
    """The id of a sheet, and the ids of its jobs."""

    sheet: str
    works: list[str]


class ShareInfo(TypedDict):
    """An address that gives access to one more device, once, and its QR code as SVG."""

    address: str
    code: str


class Done(TypedDict):
    """The response without data."""


@final
class ErrorInfo(TypedDict):
    """The response to a rejected request."""

    error: str


PageResponse: TypeAlias = (
    StaticInfo
    | UploadInfo
    | JobInfo
    | JobDetails
    | SessionInfo
    | StudioState
    | ForecastInfo
    | ClipFrames
    | AreaList
    | SweepInfo
    | ShareInfo
    | Done
    | ErrorInfo
)
