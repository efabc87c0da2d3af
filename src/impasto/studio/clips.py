"""Stored clips: which files are clips, their frames for the page, and their survey.

A clip is an image of the store (`studio.store`) with more files::

    FOLDER/pictures/ID/frames/000000.jpg …   each frame, reduced, for the timeline and the canvas
    FOLDER/pictures/ID/survey.json           shots and held frames (video.survey)
    FOLDER/pictures/ID/clip.json             the time of each frame, or why the clip cannot be read

`studio.clip_reading` writes them in a child process after the upload; clip.json is the last.
"""

import functools
import io
import itertools
import json
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from impasto import files
from impasto.errors import ImageError, ImpastoError, SettingError
from impasto.images import arrays
from impasto.images.formats import encode
from impasto.pipeline.video_events import AUTO, VideoOptions
from impasto.studio.event_messages import ClipCommand
from impasto.studio.messages import ClipFrames, ImageInfo
from impasto.studio.records import ClipFacts, ClipSettings
from impasto.studio.store import NotFound, Store
from impasto.video import extras, reader
from impasto.video import survey as surveys
from impasto.video.reader import ClipFrame
from impasto.video.survey import FrameSurvey, Survey

CLIP_ENDINGS = (*reader.CLIP_ENDINGS, ".gif")
"""Extensions of clips; a GIF is one if it has several images."""

CONTAINERS = (
    *((4, name) for name in (b"ftyp", b"moov", b"mdat", b"free", b"wide", b"skip", b"pnot")),
    *((0, b"\x1a\x45\xdf\xa3"), (8, b"AVI "), (0, b"GIF8"), (0, b"OggS"), (0, b"\x30\x26\xb2\x75")),
    *((0, b"\0\0\1\xba"), (0, b"\0\0\1\xb3"), (0, b"\x47"), (4, b"\x47")),
)
"""Offsets and byte patterns of containers: MP4 and MOV, WebM and MKV, AVI, GIF, Ogg, WMV, MPEG.
Others are rejected, since a playlist would make FFmpeg open other files."""

FRAME_SIDE, SMALL_SIDE = 1024, 160
"""Longest sides in pixels of frames on the canvas and on the timeline."""

FRAMES, INDEX, SURVEY = "frames", "clip.json", "survey.json"

TYPICAL_SHARE = 0.9
"""Share of a frame that corresponds with the one before, for the forecast of an unread clip."""


def is_clip(path: Path, name: str) -> bool:
    """Return whether an uploaded file is a clip, by the extension of its name."""
    ending = Path(name).suffix.lower()
    return ending in CLIP_ENDINGS and (ending != ".gif" or _is_animated(path))


def _check_container(path: Path, name: str) -> None:
    """Raise ImageError for a file that is not in one of CONTAINERS."""
    with path.open("rb") as file:
        head = file.read(16)
    if not any(head[at:].startswith(word) for at, word in CONTAINERS):
        raise ImageError(
            f"{files.display_path(name)} is not a video: expected MP4, MOV, WebM, MKV, AVI, GIF, "
            "Ogg, WMV or MPEG"
        )


def _is_animated(path: Path) -> bool:
    try:
        with Image.open(path) as image:
            return int(getattr(image, "n_frames", 1)) > 1
    except (OSError, ValueError):
        return False


def add_clip(store: Store, path: Path, name: str) -> ImageInfo:
    """Move an uploaded clip into the folder, with its first frame for the page.

    Raises ImageError if it is not a clip, ImpastoError if the extra ``video`` is not installed.
    """
    extras.check()
    _check_container(path, name)
    try:
        info = reader.probe(path)
        first = next((each for each in reader.iter_frames(info) if each.source is not None), None)
    except ImageError as error:
        reason = str(error).replace(files.display_path(path), files.display_path(name))
        raise ImageError(reason) from None
    if first is None:
        raise ImageError(f"{files.display_path(name)} has no frame that can be decoded")
    return store.add_file(path, name, first.pixels(), clip=_facts(path, info))


def _facts(path: Path, info: reader.ClipInfo) -> ClipFacts:
    """Return what the container says about a clip."""
    av = extras.load("av")
    with av.open(str(path)) as container:
        seconds = float(container.duration or 0) / av.time_base
        sound = bool(container.streams.audio)
    return {
        "frames": info.count or round(seconds * info.rate),
        "seconds": seconds or info.count / float(info.rate),
        "rate": float(info.rate),
        "sound": sound,
        "transparent": info.alpha,
    }


# Reading --------------------------------------------------------------------------------------


def read_clip(store: Store, image_id: str, report: Callable[[int], None]) -> None:
    """Write the frames of a clip for the page, its survey and its index.

    ``report`` receives the number of frames so far. Frames of an earlier call stay.
    """
    folder, path = store.image_folder(image_id), store.image_path(image_id)
    (folder / FRAMES).mkdir(exist_ok=True)
    times: list[float] = []
    try:
        info = reader.probe(path)
        size = arrays.fit(*info.size, min(FRAME_SIDE, max(info.size)))
        frames = _written(reader.iter_frames(info), folder, size, times, report)
        surveyed = surveys.survey_clip(frames)
    except ImpastoError as error:
        _write_index(folder, times, " ".join(str(error).split()))
        return
    files.write_text(json.dumps(surveyed.frames) + "\n", folder / SURVEY)
    _write_index(folder, times, None)


def _write_index(folder: Path, times: list[float], error: str | None) -> None:
    files.write_text(json.dumps({"times": times, "error": error}), folder / INDEX)


def _written(
    frames: Iterator[ClipFrame],
    folder: Path,
    size: tuple[int, int],
    times: list[float],
    report: Callable[[int], None],
) -> Iterator[ClipFrame]:
    """Yield frames, and write each for the page; one that cannot be decoded is missing."""
    for frame in frames:
        path = frame_path(folder / FRAMES, frame.number)
        if frame.source is not None and not path.exists():
            encode.write_image(frame.pixels(size), path)
        times.append(frame.seconds)
        report(len(times))
        yield frame


def frame_path(folder: Path, number: int) -> Path:
    """Return the file of a frame in a folder of frames."""
    return folder / f"{number:06d}.jpg"


def nearest_frame(folder: Path, number: int) -> Path:
    """Return the file of a frame, or of the closest one before it.

    Held frames and those that cannot be decoded have no file. Raises NotFound without any.
    """
    before = (frame_path(folder, each) for each in range(number, max(-1, number - 1000), -1))
    path = next((each for each in before if each.is_file()), None)
    if path is None:
        raise NotFound("this frame does not exist yet")
    return path


def written_numbers(folder: Path) -> list[int]:
    """Return the numbers of the frames in a folder of frames, in order."""
    return sorted(int(each.stem) for each in folder.glob("*.jpg") if each.stem.isdigit())


def small_frame(path: Path) -> bytes:
    """Return a frame as a JPEG for the timeline."""
    out = io.BytesIO()
    with Image.open(path) as image:
        image.draft("RGB", (SMALL_SIDE, SMALL_SIDE))
        image.thumbnail((SMALL_SIDE, SMALL_SIDE))
        image.save(out, "JPEG", quality=78)
    return out.getvalue()


# Descriptions ---------------------------------------------------------------------------------


def is_complete(store: Store, image_id: str) -> bool:
    """Return whether all frames of a clip were read, or it cannot be read."""
    return (store.image_folder(image_id) / INDEX).exists()


def _index(store: Store, image_id: str) -> dict[str, Any] | None:
    """Return the index of a clip; None while it is read."""
    path = store.image_folder(image_id) / INDEX
    try:
        return _parsed(path, path.stat().st_mtime_ns)
    except OSError:
        return None


@functools.lru_cache(8)
def _parsed(path: Path, changed: int) -> dict[str, Any]:
    """Return the JSON of an index, whose file was changed at ``changed``."""
    parsed: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return parsed


def clip_info(store: Store, image_id: str) -> ClipFrames:
    """Return the description of the frames of a clip. Raises NotFound, also for an image."""
    facts = store.image(image_id)["clip"]
    if facts is None:
        raise NotFound("this is an image, not a clip")
    index = _index(store, image_id)
    if index is None:
        read = len(written_numbers(store.image_folder(image_id) / FRAMES))
        frames = max(read, facts["frames"])
    else:
        read = frames = len(index["times"])
    surveyed = survey(store, image_id)
    return {
        "picture": image_id,
        "read": read,
        "frames": frames,
        "complete": index is not None,
        "times": [] if index is None else index["times"],
        "cuts": [] if surveyed is None else [shot.first for shot in surveyed.shots[1:]],
        "error": None if index is None else index["error"],
    }


@functools.lru_cache(8)
def _rows(path: Path, changed: int) -> tuple[FrameSurvey, ...]:
    """Return the survey of each frame from a file that was changed at ``changed``."""
    return tuple(FrameSurvey(*row) for row in json.loads(path.read_text(encoding="utf-8")))


def survey(store: Store, image_id: str, settings: ClipSettings | None = None) -> Survey | None:
    """Return the survey of a clip, of the range and with the cuts of settings.

    Returns None while the clip is read, or if it cannot be read.
    """
    path = store.image_folder(image_id) / SURVEY
    try:
        rows = _rows(path, path.stat().st_mtime_ns)
    except OSError:
        return None
    if settings is None:
        return surveys.make_survey(rows)
    first = min(settings["first"], len(rows) - 1)
    last = settings["last"]
    return _part_of(rows, first, None if last is None else max(first, last), settings["cuts"])


def part_survey(path: Path, first: int, last: int | None, cuts: Sequence[int] | None) -> Survey:
    """Return the survey of a range of a clip, from the file of the whole clip.

    Raises OSError or ValueError for a missing or damaged file.
    """
    return _part_of(_rows(path, path.stat().st_mtime_ns), first, last, cuts)


def _part_of(
    rows: tuple[FrameSurvey, ...], first: int, last: int | None, cuts: Sequence[int] | None
) -> Survey:
    """Return the survey of a range, whose first frames are compared with none before it."""
    part = list(rows[first : None if last is None else last + 1])
    if first and part and not part[0].damaged:
        part[0] = part[0]._replace(
            share=0.0, held=False, change=0.0, linearity=math.inf, unexplained=0.0, cut=True
        )
        part[1:2] = [each._replace(linearity=math.inf) for each in part[1:2]]
    return surveys.make_survey(tuple(part), None if cuts is None else tuple(cuts), first)


def expected_survey(facts: ClipFacts, settings: ClipSettings) -> Survey:
    """Return the survey of a clip that is not read yet, as if it were one shot of usual motion."""
    last = settings["last"]
    count = facts["frames"] if last is None else last + 1
    rows = (
        FrameSurvey(n, 1, TYPICAL_SHARE, False, False, 1.0, 1.0, 1.0, 0.0, False)
        for n in itertools.count(settings["first"])
    )
    frames = tuple(itertools.islice(rows, max(1, count - settings["first"])))
    return surveys.make_survey(frames, (), settings["first"])


def options(settings: ClipSettings) -> VideoOptions:
    """Return the options of a clip without its range, cuts and key frames.

    Raises SettingError for a value out of range.
    """
    every = settings["every"]
    if every != AUTO and not every.isdecimal():
        raise SettingError(f"every is {every!r:.40}: expected auto, or 1 to 16 frames")
    last = settings["last"]
    if last is not None and last < settings["first"]:
        raise SettingError(
            f"the clip ends at frame {last}, before its start {settings['first']}: choose a later "
            "end"
        )
    return VideoOptions(
        settings["steady"], every if every == AUTO else int(every[:9]), settings["hold"]
    )


def command(store: Store, image_id: str, settings: ClipSettings, folder: Path) -> ClipCommand:
    """Return how the worker process paints a clip into a job's folder.

    Raises SettingError for a range while the clip is read, NotFound if an image is missing.
    """
    facts = store.image(image_id)["clip"]
    assert facts is not None
    first, last = settings["first"], settings["last"]
    times: list[float] = (_index(store, image_id) or {"times": []})["times"]
    if first >= max(1, len(times)) or (last is not None and not times):
        raise SettingError("the clip is still being read: wait until its timeline is complete")
    if last is not None and last >= len(times) - 1:
        last = None
    surveyed = store.image_folder(image_id) / SURVEY
    return {
        "start": times[first] if first else 0.0,
        "end": None if last is None else times[last + 1],
        "steady": settings["steady"],
        "every": settings["every"],
        "hold": settings["hold"],
        "cuts": settings["cuts"],
        "keys": [
            (each["frame"], str(store.image_path(each["picture"]).resolve()))
            for each in settings["keys"]
            if first <= each["frame"] and (last is None or each["frame"] <= last)
        ],
        "output": str(folder / f"clip{ending_of(store.image(image_id))}"),
        "survey": str(surveyed.resolve()) if surveyed.exists() else None,
    }


def ending_of(clip: ImageInfo) -> str:
    """Return the extension of a painted clip, which keeps the transparency of WebM and GIF."""
    facts = clip["clip"]
    webm = Path(clip["name"]).suffix.lower() == ".webm"
    return ".webm" if webm or (facts is not None and facts["transparent"]) else ".mp4"
