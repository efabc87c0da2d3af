"""Reads uploaded clips in a child process: frames for the timeline, and the survey.

The server starts it after an upload, and when a page asks for a clip that is not complete, such as
after a restart. Decoding takes seconds to minutes; pages receive the progress as events.
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
from impasto.studio import clips
from impasto.studio.event_messages import ReadingMessage
from impasto.studio.store import Store

LOG = logging.getLogger(__name__)

COMMAND = (sys.executable, "-P", "-m", "impasto.studio.clip_reading")
"""-P: no module is imported from the current folder."""

REPORT_SECONDS = 0.25
"""Seconds between two reports."""

NICENESS = 5
"""Added to the niceness, so that a painting is not slower."""


class ClipReading:
    """Reads one clip at a time."""

    def __init__(self, store: Store, publish: Callable[[ReadingMessage], None]) -> None:
        """Read clips of ``store``; ``publish`` sends an event to all pages."""
        self.store, self.publish = store, publish
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._failed: set[str] = set()
        """clips whose failure could not be stored, such as on a full disk"""
        self._turn = asyncio.Lock()

    def ensure(self, image_id: str) -> None:
        """Read a clip unless it was read, or is being read."""
        known = image_id in self._tasks or image_id in self._failed
        if known or clips.is_complete(self.store, image_id):
            return
        task = asyncio.create_task(self._read(image_id))
        self._tasks[image_id] = task
        task.add_done_callback(lambda _: self._tasks.pop(image_id, None))

    async def close(self) -> None:
        """End the child process; a clip that is not complete is read again later."""
        for task in list(self._tasks.values()):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def _read(self, image_id: str) -> None:
        async with self._turn:
            process = await asyncio.create_subprocess_exec(
                *(*COMMAND, str(self.store.folder.resolve()), image_id),
                stdin=DEVNULL,
                stdout=PIPE,
                stderr=DEVNULL,
                start_new_session=True,  # only the server receives Ctrl-C of the terminal
            )
            assert process.stdout is not None
            try:
                async for line in process.stdout:
                    self._report(image_id, int(line), complete=False)
                await process.wait()
            finally:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
        if not clips.is_complete(self.store, image_id):
            LOG.error("the clip %s could not be read: status %s", image_id, process.returncode)
            self._failed.add(image_id)
            await asyncio.to_thread(note_failure, self.store, image_id)
        self._report(image_id, clips.clip_info(self.store, image_id)["read"], complete=True)

    def _report(self, image_id: str, read: int, complete: bool) -> None:
        self.publish({"event": "reading", "picture": image_id, "read": read, "complete": complete})


def note_failure(store: Store, image_id: str) -> None:
    """Store that a clip could not be read, so that it is not tried again and again."""
    reason = "the process that reads the clip ended, perhaps because memory or the disk is full"
    index = {"times": [], "error": f"{reason}: add the clip again"}
    with contextlib.suppress(OSError, ImpastoError):
        files.write_text(json.dumps(index), store.image_folder(image_id) / clips.INDEX)


def read_requested() -> None:
    """Read the clip of the command line; write the number of frames so far to standard output."""
    _, folder, image_id = sys.argv
    if hasattr(os, "nice"):
        os.nice(NICENESS)
    due = 0.0

    def report(read: int) -> None:
        nonlocal due
        if time.monotonic() >= due:
            print(read, flush=True)
            due = time.monotonic() + REPORT_SECONDS

    clips.read_clip(Store(Path(folder)), image_id, report)


if __name__ == "__main__":
    read_requested()
