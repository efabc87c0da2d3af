"""Areas of a clip: masks that are drawn on one frame and move with its content.

`video.shot_masks` moves them while a clip is painted. Here they are moved along the frames that the
studio has read: for the page, which shows them on every frame of their shot, for a single frame
that is painted, and to the painted range if they were drawn outside of it. The files of the page::

    FOLDER/pictures/CLIP/areas/MASK-FRAME/000123.png   the mask at frame 123, gray
"""

import itertools
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from impasto import files
from impasto.errors import SettingError
from impasto.images import arrays, masks
from impasto.images.formats import decode
from impasto.studio import clips
from impasto.studio.clips import FRAMES, frame_path
from impasto.studio.event_messages import MaskCommand
from impasto.studio.messages import AreaFrames
from impasto.studio.records import ClipSettings, StoredSession
from impasto.studio.store import Store, is_id
from impasto.video.shot_masks import iter_moved
from impasto.video.survey import Shot
from impasto.video.tracking import Content

AREAS = "areas"

AREA_SIDE = 512
"""Longest side in pixels of the masks for the page."""

MOVED_SIDE = 1024
"""Longest side in pixels of a mask that is moved for a painted frame."""

GrayImage = NDArray[np.uint8]


def shot_of(store: Store, clip: str, settings: ClipSettings, number: int) -> Shot | None:
    """Return the shot of a clip that has a frame; None while the clip is read."""
    surveyed = clips.survey(store, clip, {**settings, "first": 0, "last": None})
    if surveyed is None:
        return None
    return next((each for each in surveyed.shots if each.first <= number <= each.last), None)


def shown_areas(store: Store, session: StoredSession, first: int, last: int) -> StoredSession:
    """Return a session without the areas that no frame from ``first`` to ``last`` shows.

    An area is in the frames of its shot only. Raises SettingError while the clip is read, if the
    shot matters.
    """
    clip = str(session["photograph"])

    def is_shown(frame: int | None) -> bool:
        if frame is None or first <= frame <= last:
            return True
        if not clips.is_complete(store, clip):
            raise SettingError("the clip is still being read: wait until its timeline is complete")
        shot = shot_of(store, clip, session["clip"], frame)
        return shot is not None and shot.first <= last and first <= shot.last

    return {
        **session,
        "keep": session["keep"] if is_shown(session["keep_frame"]) else None,
        "regions": [each for each in session["regions"] if is_shown(each["frame"])],
    }


def mask_command(
    path: str, feather: float, frame: int | None, first: int, last: int
) -> MaskCommand:
    """Return the command for a mask of the frames from ``first`` to ``last``."""
    target = first if frame is None else min(max(frame, first), last)
    return {"path": path, "feather": feather, "frame": frame, "target": target}


# Moving a mask ----------------------------------------------------------------------------------


def moved_masks(
    frames: Path, mask: Path, start: int, end: int, longest: int
) -> Iterator[tuple[int, GrayImage]]:
    """Yield a mask of frame ``start`` as it is at each frame up to ``end``, which may be before.

    Args:
        frames: folder of the reduced frames of a clip; those without a file are left out
        mask: a gray image
        start: number of the frame on which the mask was drawn
        end: number of the last frame
        longest: longest side of the masks in pixels, reduced to that of the frames

    Yields:
        the number of a frame, and its mask, uint8 (height, width)
    """
    given = masks.mask_from_image(decode.read_image(mask, decode.ANY_SIZE).pixels).mask
    with Image.open(clips.nearest_frame(frames, start)) as image:
        width, height = image.size
    size = arrays.fit(height, width, min(longest, max(height, width)))
    contents = _contents(frames, start, end, size)
    for number, moved in iter_moved(masks.resize_mask(given, *size), contents):
        yield number, np.rint(np.clip(moved, 0, 1) * 255).astype(np.uint8)


def _contents(frames: Path, start: int, end: int, size: tuple[int, int]) -> Iterator[Content]:
    step = 1 if end >= start else -1
    for number in range(start, end + step, step):
        path = frame_path(frames, number)
        if number in (start, end):  # a held frame is the one before it
            path = clips.nearest_frame(frames, number)
        if path.is_file():
            pixels = arrays.resize(decode.read_image(path).pixels, *size)
            yield Content(number, np.rint(np.clip(pixels, 0, 255)).astype(np.float32))


def write_moved_mask(frames: Path, mask: Path, start: int, end: int, into: Path) -> Path:
    """Write a mask of frame ``start`` as it is at frame ``end``; return the path ``into``.

    Where nothing of the area is left, the mask is black: values below MIN_WHITE would be taken for
    those of a mask with another range.
    """
    if not into.exists():
        for _, moved in moved_masks(frames, mask, start, end, MOVED_SIDE):
            latest = moved
        _write(latest if latest.max() >= masks.MIN_WHITE else np.zeros_like(latest), into)
    return into


def is_black(mask: Path) -> bool:
    """Return whether a mask that was moved is black everywhere."""
    with Image.open(mask) as image:
        return image.getextrema() == (0, 0)


def _write(mask: GrayImage, path: Path) -> None:
    with files.atomic_replace(path) as temporary:
        Image.fromarray(mask, "L").save(temporary, "PNG")


# Masks for the page -----------------------------------------------------------------------------


def area_folder(store: Store, clip: str, mask: str, frame: int) -> Path:
    """Return the folder of the masks of an area at each frame."""
    return store.image_folder(clip) / AREAS / f"{mask}-{frame}"


def area_path(folder: Path, number: int) -> Path:
    """Return the file of a mask at a frame."""
    return folder / f"{number:06d}.png"


def moving_masks(session: StoredSession) -> list[tuple[str, int]]:
    """Return the masks of a session that move, with their frames."""
    found = [(session["keep"], session["keep_frame"])]
    found += [(each["mask"], each["frame"]) for each in session["regions"]]
    chosen = ((mask, frame) for mask, frame in found if mask is not None and frame is not None)
    return list(dict.fromkeys(chosen))


def describe(store: Store, session: StoredSession) -> list[AreaFrames]:
    """Return the frames of the clip of a session for which its masks that move are known."""
    clip = session["photograph"]
    if clip is None or store.image(clip)["clip"] is None:
        return []
    described: list[AreaFrames] = []
    for mask, frame in moving_masks(session):
        shot = shot_of(store, clip, session["clip"], frame)
        begin, end = (frame, frame) if shot is None else (shot.first, shot.last)
        first, last = known_frames(area_folder(store, clip, mask, frame), frame)
        described.append(
            {
                "mask": mask,
                "frame": frame,
                "begin": begin,
                "end": end,
                "first": max(begin, first),
                "last": min(end, last),
            }
        )
    return described


def known_frames(folder: Path, frame: int) -> tuple[int, int]:
    """Return the first and last frame without a gap around ``frame`` whose masks are written."""
    written = {int(each.stem) for each in folder.glob("*.png") if each.stem.isdigit()} | {frame}
    first = next(number for number in itertools.count(frame, -1) if number - 1 not in written)
    last = next(number for number in itertools.count(frame) if number + 1 not in written)
    return first, last


def trace(
    store: Store,
    clip: str,
    area: AreaFrames,
    report: Callable[[int, int], None] = lambda first, last: None,
) -> None:
    """Write a mask at each frame of its shot, forward from its own and backward.

    ``report`` receives the first and last frame for which it is known so far.
    """
    folder = area_folder(store, clip, area["mask"], area["frame"])
    folder.mkdir(parents=True, exist_ok=True)
    frames = store.image_folder(clip) / FRAMES
    source, start = store.image_path(area["mask"]), area["frame"]
    known = known_frames(folder, start)
    for end, step in ((area["end"], 1), (area["begin"], -1)):
        if known[0] <= end <= known[1] and area_path(folder, end).exists():
            continue
        before: tuple[int, GrayImage] | None = None
        for number, moved in moved_masks(frames, source, start, end, AREA_SIDE):
            if before is not None:  # a held frame is the one before it in time
                for held in range(before[0] + step, number, step):
                    _write(before[1] if step > 0 else moved, area_path(folder, held))
            _write(moved, area_path(folder, number))
            known = min(known[0], number), max(known[1], number)
            report(*known)
            before = number, moved


def remove_unused(store: Store, clip: str) -> None:
    """Remove the files of areas that no session of a clip has any more."""
    used = {
        area_folder(store, clip, mask, frame).name
        for session in store.sessions()
        if session["photograph"] == clip
        for mask, frame in moving_masks(session)
        if is_id(mask)
    }
    for folder in (store.image_folder(clip) / AREAS).glob("*-*"):
        if folder.name not in used:
            shutil.rmtree(folder, ignore_errors=True)
