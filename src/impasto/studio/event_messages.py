"""Commands of the server to the worker process, and the events of both.

The worker process and the server exchange them as JSON lines, and the server sends the events of
`PageMessage` to the page. ``work`` is the id of a job.
"""

from typing import Literal, TypeAlias, TypedDict

from impasto.studio.records import JobState, RecipeFields

# Commands of the server to the worker process ---------------------------------------------------


class MaskCommand(TypedDict):
    """A mask for the worker process."""

    path: str
    feather: float
    frame: int | None
    """number of the frame on which it was drawn; None if it is the same in all frames"""
    target: int
    """number of the painted frame to which it is moved first"""


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
    """path of the survey of the whole clip; None while it is read"""


class PaintCommand(TypedDict):
    """Run a job; images and the folder are paths, and a region is a mask and a style."""

    do: Literal["paint"]
    """name of the command, by which the worker process distinguishes commands"""
    work: str
    folder: str
    content: str
    styles: list[str]
    regions: list[tuple[MaskCommand, str]]
    keep: MaskCommand | None
    recipe: RecipeFields
    frame: int | None
    """number of the frame of the content that is painted; None for an image or a clip"""
    frames: str
    """folder of the reduced frames of a clip, along which masks move"""
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


class AreaMessage(TypedDict):
    """A mask of a clip is known for more frames; see `messages.AreaFrames`."""

    event: Literal["area"]
    picture: str
    mask: str
    frame: int
    first: int
    last: int


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
    | AreaMessage
)
