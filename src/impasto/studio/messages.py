"""The JSON of the studio: requests and responses, events, commands, stored files.

Each message is a ``TypedDict``. `parse` checks JSON that arrives against these types, and mypy
checks the code that makes and uses messages. ``make docs`` generates the types of the page's
JavaScript (tools/js/messages.d.ts).

Old keys stay, since stored sessions have them: ``photograph`` is the content image, ``paintings``
are the style images, ``painting`` is the style image of a region, ``works`` are the jobs of a
session, ``work`` is the id of a job, and a ``picture`` is an image.
"""

import functools
from collections.abc import Mapping
from types import UnionType
from typing import (
    Annotated,
    Any,
    Literal,
    NamedTuple,
    NotRequired,
    TypeAlias,
    TypedDict,
    TypeVar,
    Union,
    cast,
    final,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

from impasto.errors import SettingError

T = TypeVar("T")

MAX_BITS = 1000
"""Length of integers that can be converted to floats."""


class Range(NamedTuple):
    """The range of a number, or of the length of a list."""

    name: str
    minimum: float
    maximum: float


Fraction: TypeAlias = Annotated[float, Range("a coordinate or tolerance", 0, 1)]
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


# Stored files -----------------------------------------------------------------------------------


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


class KeyInfo(TypedDict):
    """A frame that was painted by hand."""

    frame: int
    picture: ImageInfo


class ClipSettingsInfo(TypedDict):
    """`ClipSettings` with descriptions of the images."""

    first: int
    last: int | None
    steady: float
    every: str
    hold: int
    cuts: list[int] | None
    keys: list[KeyInfo]


class PaintedClip(TypedDict):
    """The settings and painted frames of a job that paints a clip."""

    first: int
    last: int | None
    """number of the last frame of the range; None for the end of the clip"""
    steady: float
    every: str
    hold: int
    cuts: list[int] | None
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
    progress: "StepMessage | FrameMessage | None"
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
    | SweepInfo
    | ShareInfo
    | Done
    | ErrorInfo
)


# Commands of the server to the worker process ---------------------------------------------------


class ClipCommand(TypedDict):
    """`ClipSettings` for the worker process: times in seconds, and images as paths."""

    start: float
    end: float | None
    steady: float
    every: str
    hold: int
    cuts: list[int] | None
    keys: list[tuple[int, str]]
    output: str
    """path of the painted clip"""
    survey: str | None
    """path of the survey of the whole clip; None if only a part of it is painted"""


class PaintCommand(TypedDict):
    """Run a job; images and the folder are paths, and a region is a mask, a style, a feather."""

    do: Literal["paint"]
    """name of the command, by which the worker process distinguishes commands"""
    work: str
    folder: str
    content: str
    styles: list[str]
    regions: list[tuple[str, str, float]]
    keep: str | None
    keep_feather: float
    recipe: RecipeFields
    frame: int | None
    """number of the frame of the content that is painted; None for an image or a clip"""
    clip: ClipCommand | None
    """None unless a clip is painted"""


class SteerCommand(TypedDict):
    """Change settings of the running job from its next step on."""

    do: Literal["steer"]
    work: str
    settings: RecipeFields


class StopCommand(TypedDict):
    """Stop the running job after its current step."""

    do: Literal["stop"]
    work: str


WorkerCommand: TypeAlias = PaintCommand | SteerCommand | StopCommand


# Events of the worker process and of the server -------------------------------------------------


class ReadyMessage(TypedDict):
    """The worker process has loaded, and accepts jobs."""

    event: Literal["ready"]


class UnableMessage(TypedDict):
    """The worker process cannot load."""

    event: Literal["unable"]
    error: str


class DraftMessage(TypedDict):
    """The preview shows the draft: the content image in the colors of the style image.

    The worker process writes it before the first step.
    """

    event: Literal["draft"]
    work: str
    left: str
    """time left as text; empty while it is unknown"""


class NoteMessage(TypedDict):
    """A message of a job for the user."""

    event: Literal["note"]
    work: str
    note: str


class StepMessage(TypedDict):
    """A step of a job."""

    event: Literal["step"]
    work: str
    level: int
    """from 1 to ``levels``"""
    levels: int
    evaluation: int
    """from 1 to ``evaluations`` of the level"""
    evaluations: int
    total: float
    """total loss"""
    terms: dict[str, float]
    """content, style and tv loss, without weights"""
    seconds: float
    """since the begin of the run"""
    done: float
    """finished fraction of the run, in [0, 1]"""
    left: str
    """time left as text; empty while it is unknown"""
    shown: bool
    """whether the preview is of this step"""


class FrameMessage(TypedDict):
    """The progress of a clip: a frame was written, or the first one of a shot has grown."""

    event: Literal["frame"]
    work: str
    number: int
    """the frame's number in the clip"""
    written: bool
    """whether the frame is finished"""
    frames: int
    """number of all frames to paint"""
    count: int
    """number of frames that are written"""
    shot: int
    """from 1 to ``shots``"""
    shots: int
    done: float
    """finished fraction of the run, in [0, 1]"""
    left: str
    """time left as text; empty while it is unknown"""
    shown: bool
    """whether the preview has changed"""


class FinishedMessage(TypedDict):
    """A job has a result; ``recipe`` has the settings that may have changed during the run."""

    event: Literal["finished"]
    work: str
    seconds: float
    stopped: bool
    steered: bool
    recipe: RecipeFields


class FailedMessage(TypedDict):
    """A job has failed."""

    event: Literal["failed"]
    work: str
    error: str


class HelloMessage(TypedDict):
    """The first event of a stream, with a hash of the page's files."""

    event: Literal["hello"]
    build: str


class StateMessage(TypedDict):
    """Sessions, the queue or the worker process have changed."""

    event: Literal["state"]
    worker: str
    """state of the worker process, see `StudioState`"""


class JobMessage(TypedDict):
    """A job has changed."""

    event: Literal["work"]
    work: str
    state: JobState


class ReadingMessage(TypedDict):
    """Frames of a clip were read for the page."""

    event: Literal["reading"]
    picture: str
    read: int
    complete: bool


JobEvent: TypeAlias = (
    DraftMessage | NoteMessage | StepMessage | FrameMessage | FinishedMessage | FailedMessage
)
WorkerMessage: TypeAlias = ReadyMessage | UnableMessage | JobEvent
PageMessage: TypeAlias = (
    HelloMessage
    | StateMessage
    | JobMessage
    | DraftMessage
    | NoteMessage
    | StepMessage
    | FrameMessage
    | ReadingMessage
)


# Validation -------------------------------------------------------------------------------------


def parse(value: object, kind: type[T], name: str = "") -> T:
    """Return parsed JSON as a type of this module, without unknown keys.

    Args:
        value: parsed JSON
        kind: a TypedDict, or the type of one of its fields
        name: the name of the value in messages

    Raises:
        SettingError: for a value of another type, a number out of range, or a missing key
    """
    return cast(T, _parse(value, kind, name))


def _parse(value: object, kind: Any, name: str) -> object:
    origin, args = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _in_range(_parse(value, args[0], name), args[1])
    if origin in (Union, UnionType):  # of a type and None
        return None if value is None else _parse(value, args[0], name)
    if isinstance(value, dict) and (is_typeddict(kind) or origin is dict):
        return _parse_object(value, kind, name)
    if isinstance(value, list) and origin is list:
        return [_parse(each, args[0], f"{name}[{at}]") for at, each in enumerate(value)]
    if kind is float and type(value) is int and value.bit_length() < MAX_BITS:
        return float(value)
    if kind is Any or type(value) is kind or (origin is Literal and value in args):
        return value
    raise SettingError(f"{name or 'the JSON'} is {value!r:.40}: expected {_describe(kind)}")


def _parse_object(value: Mapping[str, object], kind: Any, name: str) -> dict[str, object]:
    """Return the known fields of a TypedDict, or all of a dict."""
    types = field_types(kind) if is_typeddict(kind) else dict.fromkeys(value, get_args(kind)[1])
    prefix = f"{name}." if name else ""
    required: frozenset[str] = getattr(kind, "__required_keys__", frozenset())
    if not required <= set(value):
        raise SettingError(f"{prefix}{min(required - set(value))} is missing")
    return {
        field: _parse(value[field], of, f"{prefix}{field}")
        for field, of in types.items()
        if field in value
    }


@functools.cache
def field_types(kind: Any) -> dict[str, Any]:
    """Return the fields of a TypedDict with their types, which include ranges."""
    hints = get_type_hints(kind, include_extras=True)
    return {
        name: get_args(of)[0] if get_origin(of) is NotRequired else of for name, of in hints.items()
    }


def _in_range(value: object, allowed: Range) -> object:
    size = len(value) if isinstance(value, list) else cast(float, value)
    if not allowed.minimum <= size <= allowed.maximum:
        limits = f"{allowed.minimum:g} to {allowed.maximum:g}"
        raise SettingError(f"{allowed.name} is {size!s:.40}: expected {limits}")
    return value


def _describe(kind: Any) -> str:
    names = {str: "a text", int: "an integer", float: "a number", bool: "true or false"}
    if get_origin(kind) is Literal:
        return " or ".join(map(str, get_args(kind)))
    return names.get(kind, "a list" if get_origin(kind) is list else "an object")
