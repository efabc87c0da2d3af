"""The supervisor: sends jobs to the worker process one by one, and events to all open pages.

A worker process that dies is restarted and resumes from the checkpoint of its job. After three
crashes on one job, that job fails. Runs in the event loop of the server.

An error of one job, such as a full disk when its result is written, fails only that job. Any other
error is logged, and the worker process is restarted.
"""

import asyncio
import contextlib
import json
import logging
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, TypeAlias

from impasto import files
from impasto.errors import ImpastoError
from impasto.studio.store import NotThere, Store

LOG = logging.getLogger(__name__)

Json = dict[str, Any]

DEATHS = 3
"""How often a painter may die over one work."""

STREAMS, WAITING = 16, 200
"""Pages that are told at a time, and how much each may be behind."""

Stream: TypeAlias = "asyncio.Queue[tuple[str, Json]]"

COMMAND = (sys.executable, "-P", "-m", "impasto.studio.painter")
"""With -P no module is taken from the folder that the person happens to be in."""

REST = {"ready": 0.2, "painting": 1.0}
"""Seconds before a painter that is gone is followed by the next, by how it was; else PAUSE."""

PAUSE = 5.0
"""Seconds before the next painter where one could not begin, or could not be followed."""

ENDS = ("finished", "failed")
"""The last events of a work."""

SAVING = 30.0
"""Seconds that a painter has to save its state before it is killed."""


class Foreman:
    """Keeps one painter at work."""

    def __init__(self, store: Store, asked: Callable[[Json], Json]) -> None:
        """Begin with nothing under way; ``asked`` makes a painter's words of a work."""
        self.store, self.asked = store, asked
        self.worker = "starting"
        """starting, ready, painting, or why it cannot paint"""
        self.under_way: str | None = None
        self.progress: dict[str, Json] = {}
        """of works under way, what the last step said"""
        self.histories: dict[str, list[list[float]]] = {}
        """of works under way, a record of every step that this server saw"""
        self.deaths: dict[str, int] = {}
        self.failures: dict[str, str] = {}
        """of works that failed, the reason, until it could be written to the folder"""
        self._process: Process | None = None
        self._streams: set[Stream] = set()
        self._more = asyncio.Event()

    # What pages are told ------------------------------------------------------------------------

    def tell(self, event: str, about: Json) -> None:
        """Tell every page. One that is too far behind misses the oldest."""
        for stream in self._streams:
            if stream.full():
                stream.get_nowait()
            stream.put_nowait((event, about))

    def listen(self) -> Stream:
        """Return what a new page hears on. Raises NotThere beyond STREAMS pages."""
        if len(self._streams) >= STREAMS:
            raise NotThere("too many studio pages are open: close some")
        stream: Stream = asyncio.Queue(WAITING)
        self._streams.add(stream)
        return stream

    def leave(self, stream: Stream) -> None:
        """Tell a page nothing any more."""
        self._streams.discard(stream)

    async def heard(self, stream: Stream) -> AsyncIterator[tuple[str, Json] | None]:
        """Yield how the painter is, then what happens, and None every 15 seconds."""
        yield "state", {"worker": self.worker}
        while True:
            try:
                yield await asyncio.wait_for(stream.get(), 15)
            except TimeoutError:
                yield None

    # What it is told ----------------------------------------------------------------------------

    def enqueue(self, number: str) -> None:
        """Have a work painted when its turn comes."""
        self.store.save_queue([*self.store.queue(), number])
        self.failures.pop(number, None)
        self._more.set()

    def remove(self, number: str) -> None:
        """Take a work out of the queue, if it waits there."""
        self.store.save_queue(each for each in self.store.queue() if each != number)

    def steer(self, settings: Json) -> None:
        """Change settings of the work under way, from its next step on."""
        self._say({"do": "steer", "work": self.under_way, "settings": settings})

    def stop(self) -> None:
        """End the work under way after its step, with the best picture so far."""
        self._say({"do": "stop", "work": self.under_way})

    def _say(self, words: Json) -> None:
        process = self._process
        if process is not None and process.returncode is None and process.stdin is not None:
            process.stdin.write((json.dumps(words) + "\n").encode())

    def work(self, number: str) -> Json:
        """Return a work with its state, also where that could not be written. Raises NotThere."""
        work = self.store.work(number)
        if number in self.failures:
            work |= {"state": "failed", "error": self.failures[number]}
        return work

    # What it does -------------------------------------------------------------------------------

    async def run(self) -> None:
        """Keep a painter at work, until it is cancelled; an error is logged and does not end it."""
        put_back = False
        while True:
            try:
                if not put_back:
                    self._put_back()
                    put_back = True
                await self._keep_painter()
            except Exception as error:
                LOG.exception("the studio's supervisor restarts after an error")
                self.worker = f"the painter process is restarted: {files.reason(error)}"
                self.tell("state", {"worker": self.worker})
            await asyncio.sleep(REST.get(self.worker, PAUSE))

    async def _keep_painter(self) -> None:
        """Start a painter, and follow it until it is gone."""
        process = await self._started()
        try:
            await self._follow(process)
        except Exception:
            await self._end_painter(process)
            self._note_death()
            raise
        finally:
            with contextlib.suppress(ProcessLookupError):
                self._left(process)
        self._note_death()

    async def _end_painter(self, process: Process) -> None:
        """Have a painter save its state and end, so that the next one has the work to itself."""
        self._left(process)
        try:
            await asyncio.wait_for(process.wait(), SAVING)
        except TimeoutError:
            process.kill()

    def _put_back(self) -> None:
        """Put back into the queue what an earlier server left in the middle."""
        queue = self.store.queue()
        for work in self.store.works():
            if work["state"] == "painting" or (
                work["state"] == "queued" and work["id"] not in queue
            ):
                with contextlib.suppress(ImpastoError):  # the queue says so, too
                    self.store.save_work({**work, "state": "queued"})
                queue = [work["id"], *(each for each in queue if each != work["id"])]
        self.store.save_queue(queue)

    async def _started(self) -> Process:
        if self.worker in REST:
            self.worker = "starting"
            self.tell("state", {"worker": self.worker})
        with Path(self.store.folder, "painter.log").open("ab") as log:
            # A group of its own: Ctrl-C at the terminal is the server's to hear.
            process = await asyncio.create_subprocess_exec(
                *COMMAND, stdin=PIPE, stdout=PIPE, stderr=log, limit=2**22, start_new_session=True
            )
        self._process = process
        return process

    def _left(self, process: Process) -> None:
        """Let a painter go: the end of its input tells it to save what is under way."""
        if process.stdin is not None:
            process.stdin.close()

    async def _follow(self, process: Process) -> None:
        """Hand out works, and take up what the painter says, until it is gone."""
        assert process.stdout is not None
        lines = asyncio.create_task(process.stdout.readline())
        more = asyncio.create_task(self._more.wait())
        try:
            while True:
                await asyncio.wait({lines, more}, return_when=asyncio.FIRST_COMPLETED)
                if lines.done():
                    if not lines.result():
                        return
                    self._heard_line(lines.result())
                    lines = asyncio.create_task(process.stdout.readline())
                if more.done():
                    self._more.clear()
                    more = asyncio.create_task(self._more.wait())
                if self.worker == "ready":
                    self._hand_out()
        finally:
            lines.cancel()
            more.cancel()

    def _heard_line(self, line: bytes) -> None:
        """Take up a line of the painter's; an error makes the work under way fail."""
        number = self.under_way
        try:
            self._take_up(json.loads(line))
        except Exception as error:
            LOG.exception("a message of the painter process could not be processed")
            if number is not None:
                self._fail(number, error)

    def _fail(self, number: str, error: Exception) -> None:
        """Mark a work as failed; the reason is kept here until it can be written to the folder."""
        self.failures[number] = files.reason(error)
        self.progress.pop(number, None)
        if self.under_way == number:  # the error came before the work had ended
            self.stop()
            self.under_way = None
        self.tell("state", {"session": None})

    def _write_failures(self) -> None:
        """Write down the failures that could not be written before."""
        for number, reason in list(self.failures.items()):
            try:
                self.remove(number)
                with contextlib.suppress(NotThere):
                    self._change(self.store.work(number), state="failed", error=reason)
            except Exception as error:  # the disk is still full, for instance
                LOG.warning("job %s: %s", number, files.reason(error))
                continue
            del self.failures[number]

    def _hand_out(self) -> None:
        """Give the painter the next work, if there is one."""
        self._write_failures()
        for number in self.store.queue():
            if number in self.failures:
                continue
            try:
                self._begin(number)
            except Exception as error:
                LOG.exception("job %s could not be started", number)
                self.under_way = None
                self._fail(number, error)
                continue
            return
        self._write_failures()

    def _begin(self, number: str) -> None:
        """Give the painter a work."""
        work = self.store.work(number)
        asked = self.asked(work)
        self._change(work, state="painting")
        self.worker, self.under_way = "painting", number
        self._say(asked)

    def _take_up(self, said: Json) -> None:
        event = said.pop("event")
        if event in ("ready", "unable"):
            self.worker = "ready" if event == "ready" else said["error"]
            self.tell("state", {"worker": self.worker})
        elif event == "refused":
            self.tell("note", {"work": said["work"], "note": said["error"]})
        elif self.under_way is None:
            if event in ENDS:  # of a work that was given up
                self.worker = "ready"
        elif said.get("work") == self.under_way:
            self._take_up_of(self.store.work(self.under_way), event, said)

    def _take_up_of(self, work: Json, event: str, said: Json) -> None:
        """Take up what the painter says of the work under way."""
        if event == "step":
            self.progress[work["id"]] = said
            self.histories.setdefault(work["id"], []).append(record(said))
            self.tell("step", {**said, "session": work["session"]})
        elif event in ("draft", "level", "started", "note"):
            self.tell(event, {**said, "session": work["session"]})
        elif event == "finished":
            state = "stopped" if said["stopped"] else "done"
            recipe = {**work["recipe"], **said["recipe"]}
            about = {name: said[name] for name in ("seconds", "steered", "precision")}
            self._end(work, state=state, recipe=recipe, **about)
        elif event == "failed":
            self._end(work, state="failed", error=said["error"])

    def _end(self, work: Json, **how: object) -> None:
        """Take a work out of the queue, and write down how it ended."""
        self.progress.pop(work["id"], None)
        self.worker, self.under_way = "ready", None
        self.remove(work["id"])
        self._change(work, history=self.histories.pop(work["id"], []), **how)

    def _change(self, work: Json, **how: object) -> None:
        changed = {**work, **how}
        self.store.save_work(changed)
        self.tell(
            "work", {"work": work["id"], "session": work["session"], "state": changed["state"]}
        )

    def _note_death(self) -> None:
        """Note that the painter died; over the same work it may only so often."""
        number, self.under_way = self.under_way, None
        if number is None:
            return
        self.deaths[number] = self.deaths.get(number, 0) + 1
        self.progress.pop(number, None)
        if self.deaths[number] < DEATHS:
            with contextlib.suppress(Exception):  # it is in the queue, whatever its state says
                self._change(self.store.work(number), state="queued")
        else:
            why = (
                "the painter process ended three times on this job, perhaps because memory ran out"
            )
            self._fail(number, RuntimeError(f"{why}: choose a smaller size"))
            self._write_failures()


def record(step: Json) -> list[float]:
    """Return what is kept of a step: level, total, content, style, tv, seconds."""
    terms = step["terms"]
    kept = (step["total"], terms["content"], terms["style"], terms["tv"], step["seconds"])
    return [step["level"], *(float(f"{each:.5g}") for each in kept)]
