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
"""Maximum number of crashes of the worker process on one job."""

STREAMS, WAITING = 16, 200
"""Maximum number of open streams, and of events queued for each."""

Stream: TypeAlias = "asyncio.Queue[tuple[str, Json]]"

COMMAND = (sys.executable, "-P", "-m", "impasto.studio.painter")
"""-P: no module is imported from the current folder."""

REST = {"ready": 0.2, "painting": 1.0}
"""Seconds before the worker process is restarted, by its last state; PAUSE for other states."""

PAUSE = 5.0
"""Seconds before a restart after a failed start or an error of the supervisor."""

ENDS = ("finished", "failed")
"""The events that end a job."""

SAVING = 30.0
"""Seconds for the worker process to save its state before it is killed."""


class Foreman:
    """Runs one worker process, and sends it the jobs of the queue."""

    def __init__(self, store: Store, asked: Callable[[Json], Json]) -> None:
        """Start without a job; ``asked`` creates the request for a job."""
        self.store, self.asked = store, asked
        self.worker = "starting"
        """starting, ready, painting, or an error"""
        self.under_way: str | None = None
        self.progress: dict[str, Json] = {}
        """last step event of the running job"""
        self.histories: dict[str, list[list[float]]] = {}
        """records of the steps of the running job"""
        self.deaths: dict[str, int] = {}
        self.failures: dict[str, str] = {}
        """reasons of failed jobs that are not written to the folder yet"""
        self._process: Process | None = None
        self._streams: set[Stream] = set()
        self._more = asyncio.Event()

    # Events for pages -----------------------------------------------------------------------

    def tell(self, event: str, about: Json) -> None:
        """Send an event to all pages. A page that is too slow misses the oldest events."""
        for stream in self._streams:
            if stream.full():
                stream.get_nowait()
            stream.put_nowait((event, about))

    def listen(self) -> Stream:
        """Return the event queue of a new page. Raises NotThere beyond STREAMS pages."""
        if len(self._streams) >= STREAMS:
            raise NotThere("too many studio pages are open: close some")
        stream: Stream = asyncio.Queue(WAITING)
        self._streams.add(stream)
        return stream

    def leave(self, stream: Stream) -> None:
        """Remove the event queue of a page."""
        self._streams.discard(stream)

    async def heard(self, stream: Stream) -> AsyncIterator[tuple[str, Json] | None]:
        """Yield the state of the worker process, then events, and None every 15 seconds."""
        yield "state", {"worker": self.worker}
        while True:
            try:
                yield await asyncio.wait_for(stream.get(), 15)
            except TimeoutError:
                yield None

    # Requests ---------------------------------------------------------------------------------

    def enqueue(self, number: str) -> None:
        """Add a job to the queue."""
        self.store.save_queue([*self.store.queue(), number])
        self.failures.pop(number, None)
        self._more.set()

    def remove(self, number: str) -> None:
        """Remove a job from the queue, if it is queued."""
        self.store.save_queue(each for each in self.store.queue() if each != number)

    def steer(self, settings: Json) -> None:
        """Change settings of the running job, from its next step on."""
        self._say({"do": "steer", "work": self.under_way, "settings": settings})

    def stop(self) -> None:
        """Stop the running job after its current step, with the best image so far."""
        self._say({"do": "stop", "work": self.under_way})

    def _say(self, words: Json) -> None:
        process = self._process
        if process is not None and process.returncode is None and process.stdin is not None:
            process.stdin.write((json.dumps(words) + "\n").encode())

    def work(self, number: str) -> Json:
        """Return a job with its state, even if it could not be written. Raises NotThere."""
        work = self.store.work(number)
        if number in self.failures:
            work |= {"state": "failed", "error": self.failures[number]}
        return work

    # Supervision -------------------------------------------------------------------------------

    async def run(self) -> None:
        """Run worker processes until cancelled; errors are logged."""
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
        """Start a worker process, and handle its messages until it exits."""
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
        """Make a worker process save its state and exit."""
        self._left(process)
        try:
            await asyncio.wait_for(process.wait(), SAVING)
        except TimeoutError:
            process.kill()

    def _put_back(self) -> None:
        """Queue jobs again that an earlier server did not finish."""
        queue = self.store.queue()
        for work in self.store.works():
            if work["state"] == "painting" or (
                work["state"] == "queued" and work["id"] not in queue
            ):
                with contextlib.suppress(ImpastoError):  # the queue has it as well
                    self.store.save_work({**work, "state": "queued"})
                queue = [work["id"], *(each for each in queue if each != work["id"])]
        self.store.save_queue(queue)

    async def _started(self) -> Process:
        if self.worker in REST:
            self.worker = "starting"
            self.tell("state", {"worker": self.worker})
        with Path(self.store.folder, "painter.log").open("ab") as log:
            # A separate process group, so that only the server receives Ctrl-C of the terminal.
            process = await asyncio.create_subprocess_exec(
                *COMMAND, stdin=PIPE, stdout=PIPE, stderr=log, limit=2**22, start_new_session=True
            )
        self._process = process
        return process

    def _left(self, process: Process) -> None:
        """Close the input of a worker process, which then saves its state and exits."""
        if process.stdin is not None:
            process.stdin.close()

    async def _follow(self, process: Process) -> None:
        """Send jobs to the worker process and handle its messages, until it exits."""
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
        """Handle a message of the worker process; an error fails the running job."""
        number = self.under_way
        try:
            self._take_up(json.loads(line))
        except Exception as error:
            LOG.exception("a message of the painter process could not be processed")
            if number is not None:
                self._fail(number, error)

    def _fail(self, number: str, error: Exception) -> None:
        """Mark a job as failed; the reason is kept until it can be written to the folder."""
        self.failures[number] = files.reason(error)
        self.progress.pop(number, None)
        if self.under_way == number:  # the error occurred before the end of the job
            self.stop()
            self.under_way = None
        self.tell("state", {"session": None})

    def _write_failures(self) -> None:
        """Write failures that could not be written before."""
        for number, reason in list(self.failures.items()):
            try:
                self.remove(number)
                with contextlib.suppress(NotThere):
                    self._change(self.store.work(number), state="failed", error=reason)
            except Exception as error:  # for example, the disk is still full
                LOG.warning("job %s: %s", number, files.reason(error))
                continue
            del self.failures[number]

    def _hand_out(self) -> None:
        """Send the next job to the worker process, if there is one."""
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
        """Send a job to the worker process."""
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
            if event in ENDS:  # of a job that already failed
                self.worker = "ready"
        elif said.get("work") == self.under_way:
            self._take_up_of(self.store.work(self.under_way), event, said)

    def _take_up_of(self, work: Json, event: str, said: Json) -> None:
        """Handle an event of the running job."""
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
        """Remove a job from the queue, and store how it ended."""
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
        """Count a crash of the worker process; too many on one job fail it."""
        number, self.under_way = self.under_way, None
        if number is None:
            return
        self.deaths[number] = self.deaths.get(number, 0) + 1
        self.progress.pop(number, None)
        if self.deaths[number] < DEATHS:
            with contextlib.suppress(Exception):  # it is in the queue in any case
                self._change(self.store.work(number), state="queued")
        else:
            why = (
                "the painter process ended three times on this job, perhaps because memory ran out"
            )
            self._fail(number, RuntimeError(f"{why}: choose a smaller size"))
            self._write_failures()


def record(step: Json) -> list[float]:
    """Return the record of a step: level, total, content, style, tv, seconds."""
    terms = step["terms"]
    kept = (step["total"], terms["content"], terms["style"], terms["tv"], step["seconds"])
    return [step["level"], *(float(f"{each:.5g}") for each in kept)]
