"""Reads uploaded clips in a child process: frames for the timeline, and the survey.

The server starts it after an upload, and when a page asks for a clip that is not complete, such as
after a restart. Decoding takes seconds to minutes; pages receive the progress as events. Another
one moves the masks that are drawn on a frame to the other frames of their shot
(`studio.clip_areas`).
"""

import asyncio
import contextlib
import json
import logging
import os
import sys
import time
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import Callable
from pathlib import Path

from impasto import files
from impasto.errors import ImpastoError
from impasto.studio import clip_areas, clips
from impasto.studio.event_messages import AreaMessage, NoteMessage, ReadingMessage
from impasto.studio.messages import AreaFrames
from impasto.studio.store import Store

LOG = logging.getLogger(__name__)

COMMAND = (sys.executable, "-P", "-m", "impasto.studio.clip_reading")
"""-P: no module is imported from the current folder."""

REPORT_SECONDS = 0.25
"""Seconds between two reports."""

NICENESS = 5
"""Added to the niceness, so that a painting is not slower."""


class ClipReading:
    """Reads one clip at a time, and moves one mask at a time."""

    def __init__(
        self, store: Store, publish: Callable[[ReadingMessage | AreaMessage | NoteMessage], None]
    ) -> None:
        """Read clips of ``store``; ``publish`` sends an event to all pages."""
        self.store, self.publish = store, publish
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._areas: dict[str, dict[tuple[str, str, int, int, int], asyncio.Task[None]]] = {}
        """by session"""
        self._failed: set[str] = set()
        """clips whose failure could not be stored, such as on a full disk"""
        self._turn, self._area_turn = asyncio.Lock(), asyncio.Lock()

    def ensure(self, image_id: str) -> None:
        """Read a clip unless it was read, or is being read."""
        known = image_id in self._tasks or image_id in self._failed
        if known or clips.is_complete(self.store, image_id):
            return
        task = asyncio.create_task(self._read(image_id))
        self._tasks[image_id] = task
        task.add_done_callback(lambda _: self._tasks.pop(image_id, None))

    def ensure_areas(self, session_id: str, image_id: str, areas: list[AreaFrames]) -> None:
        """Move the masks of a session to all frames of their shots; others are no longer moved."""
        running = self._areas.setdefault(session_id, {})
        wanted = {
            (image_id, each["mask"], each["frame"], each["begin"], each["end"]): each
            for each in areas
            if (each["first"], each["last"]) != (each["begin"], each["end"])
        }
        for key in [key for key in running if key not in wanted]:
            running.pop(key).cancel()
        for key, area in wanted.items():
            if key not in running:
                running[key] = asyncio.create_task(self._move(image_id, area))

    async def close(self) -> None:
        """End the child processes; a clip that is not complete is read again later."""
        areas = [task for each in self._areas.values() for task in each.values()]
        for task in [*self._tasks.values(), *areas]:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _read(self, image_id: str) -> None:
        def report(line: bytes) -> None:
            self._report(image_id, int(line), complete=False)

        async with self._turn:
            status = await self._run([image_id], report)
        if not clips.is_complete(self.store, image_id):
            LOG.error("the clip %s could not be read: status %s", image_id, status)
            self._failed.add(image_id)
            await asyncio.to_thread(note_failure, self.store, image_id)
        self._report(image_id, clips.clip_info(self.store, image_id)["read"], complete=True)

    async def _move(self, image_id: str, area: AreaFrames) -> None:
        def report(line: bytes) -> None:
            first, last = map(int, line.split())
            self.publish(
                {
                    "event": "area",
                    "picture": image_id,
                    "mask": area["mask"],
                    "frame": area["frame"],
                    "first": first,
                    "last": last,
                }
            )

        async with self._area_turn:
            await asyncio.to_thread(clip_areas.remove_unused, self.store, image_id)
            status = await self._run([image_id, json.dumps(area)], report)
        if status:
            LOG.error("an area of the clip %s could not be moved: status %s", image_id, status)
            note = "an area could not be moved along the clip, perhaps because the disk is full"
            self.publish({"event": "note", "work": "", "note": note})

    async def _run(self, arguments: list[str], report: Callable[[bytes], None]) -> int | None:
        """Run a child process, pass on the lines of its output, and return its status."""
        process = await asyncio.create_subprocess_exec(
            *(*COMMAND, str(self.store.folder.resolve()), *arguments),
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=DEVNULL,
            start_new_session=True,  # only the server receives Ctrl-C of the terminal
        )
        assert process.stdout is not None
        try:
            async for line in process.stdout:
                report(line)
            return await process.wait()
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()

    def _report(self, image_id: str, read: int, complete: bool) -> None:
        self.publish({"event": "reading", "picture": image_id, "read": read, "complete": complete})


def note_failure(store: Store, image_id: str) -> None:
    """Store that a clip could not be read, so that it is not tried again and again."""
    reason = "the process that reads the clip ended, perhaps because memory or the disk is full"
    index = {"times": [], "error": f"{reason}: add the clip again"}
    with contextlib.suppress(OSError, ImpastoError):
        files.write_text(json.dumps(index), store.image_folder(image_id) / clips.INDEX)


def read_requested() -> None:
    """Read the clip of the command line, or move a mask of it; write the progress as lines."""
    _, folder, image_id, *areas = sys.argv
    if hasattr(os, "nice"):
        os.nice(NICENESS)
    due = 0.0

    def report(*numbers: int, last: bool = False) -> None:
        nonlocal due
        if last or time.monotonic() >= due:
            print(*numbers, flush=True)
            due = time.monotonic() + REPORT_SECONDS

    store = Store(Path(folder))
    if not areas:
        clips.read_clip(store, image_id, report)
    for text in areas:
        area: AreaFrames = json.loads(text)
        clip_areas.trace(store, image_id, area, report)
        report(area["begin"], area["end"], last=True)


if __name__ == "__main__":
    read_requested()
