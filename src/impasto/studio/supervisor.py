"""The supervisor: runs the jobs of the queue in a worker process, and sends events to all pages.

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
from typing import TypeAlias, Unpack

from impasto import files
from impasto.studio.event_messages import (
    JobEvent,
    PageMessage,
    PaintCommand,
    StateMessage,
    StepMessage,
    WorkerCommand,
    WorkerMessage,
)
from impasto.studio.queue import JobQueue
from impasto.studio.records import JobChanges, RecipeFields, StoredJob
from impasto.studio.store import NotFound, Store

LOG = logging.getLogger(__name__)

MAX_WORKER_CRASHES = 3
"""Maximum number of crashes of the worker process on one job."""

MAX_STREAMS, STREAM_CAPACITY = 16, 200
"""Maximum number of open streams, and of events queued for each."""

Stream: TypeAlias = "asyncio.Queue[PageMessage]"

WORKER_COMMAND = (sys.executable, "-P", "-m", "impasto.studio.worker")
"""-P: no module is imported from the current folder."""

RESTART_DELAYS = {"ready": 0.2, "painting": 1.0}
"""Seconds before the worker process is restarted, by its last state."""

DEFAULT_RESTART_DELAY = 5.0
"""Seconds before a restart after a failed start or an error of the supervisor."""

SAVE_TIMEOUT = 30.0
"""Seconds for the worker process to save its state before it is killed."""


class Supervisor:
    """Runs one worker process, and sends it the jobs of the queue."""

    def __init__(
        self, queue: JobQueue, make_command: Callable[[Store, StoredJob], PaintCommand]
    ) -> None:
        """Start without a job; ``make_command`` returns the command that runs a job."""
        self.queue, self.store, self.make_command = queue, queue.store, make_command
        self.worker_status = "starting"
        """starting, ready, painting, or an error"""
        self.current_job: str | None = None
        self.progress: dict[str, StepMessage] = {}
        """last step of the running job"""
        self.histories: dict[str, list[list[float]]] = {}
        """records of the steps of the running job"""
        self.worker_crashes: dict[str, int] = {}
        self.failures: dict[str, str] = {}
        """reasons of failed jobs that are not written to the folder yet"""
        self._process: Process | None = None
        self._streams: set[Stream] = set()

    # Events for pages -----------------------------------------------------------------------

    def publish(self, message: PageMessage) -> None:
        """Send an event to all pages. A page that is too slow misses the oldest events."""
        for stream in self._streams:
            if stream.full():
                stream.get_nowait()
            stream.put_nowait(message)

    def publish_state(self) -> None:
        """Send an event to all pages: sessions, the queue or the worker process have changed."""
        self.publish(self._state())

    def _state(self) -> StateMessage:
        return {"event": "state", "worker": self.worker_status}

    def open_stream(self) -> Stream:
        """Return the event queue of a new page. Raises NotFound beyond MAX_STREAMS pages."""
        if len(self._streams) >= MAX_STREAMS:
            raise NotFound("too many studio pages are open: close some")
        stream: Stream = asyncio.Queue(STREAM_CAPACITY)
        self._streams.add(stream)
        return stream

    def close_stream(self, stream: Stream) -> None:
        """Remove the event queue of a page."""
        self._streams.discard(stream)

    async def subscribe(self, stream: Stream) -> AsyncIterator[PageMessage | None]:
        """Yield the state of the worker process, then events, and None every 15 seconds."""
        yield self._state()
        while True:
            try:
                yield await asyncio.wait_for(stream.get(), 15)
            except TimeoutError:
                yield None

    # Requests ---------------------------------------------------------------------------------

    def clear_failures(self, job_id: str) -> None:
        """Forget earlier failures and crashes of a job, so that it can run again."""
        self.failures.pop(job_id, None)
        self.worker_crashes.pop(job_id, None)

    def steer(self, job_id: str, settings: RecipeFields) -> None:
        """Change settings of the running job, from its next step on."""
        self._send({"do": "steer", "work": job_id, "settings": settings})

    def stop(self, job_id: str) -> None:
        """Stop the running job after its current step, with the best image so far."""
        self._send({"do": "stop", "work": job_id})

    def _send(self, command: WorkerCommand) -> None:
        process = self._process
        if process is not None and process.returncode is None and process.stdin is not None:
            process.stdin.write((json.dumps(command) + "\n").encode())

    def job(self, job_id: str) -> StoredJob:
        """Return a job with its state, even if it could not be written. Raises NotFound."""
        job = self.store.job(job_id)
        if job_id in self.failures:
            return {**job, "state": "failed", "error": self.failures[job_id]}
        return job

    # Supervision -------------------------------------------------------------------------------

    async def run(self) -> None:
        """Run worker processes until cancelled; errors are logged."""
        requeued = False
        while True:
            try:
                if not requeued:
                    self.queue.requeue_interrupted()
                    requeued = True
                await self._run_worker()
            except Exception as error:
                LOG.exception("the studio's supervisor restarts after an error")
                self.worker_status = f"the worker process is restarted: {files.error_reason(error)}"
                self.publish_state()
            await asyncio.sleep(RESTART_DELAYS.get(self.worker_status, DEFAULT_RESTART_DELAY))

    async def _run_worker(self) -> None:
        """Start a worker process, and handle its messages until it exits."""
        process = await self._start_worker()
        try:
            await self._follow_worker(process)
        except Exception:
            await self._end_worker(process)
            self._note_worker_crash()
            raise
        finally:
            with contextlib.suppress(ProcessLookupError):
                self._close_input(process)
        self._note_worker_crash()

    async def _end_worker(self, process: Process) -> None:
        """Make a worker process save its state and exit."""
        self._close_input(process)
        try:
            await asyncio.wait_for(process.wait(), SAVE_TIMEOUT)
        except TimeoutError:
            process.kill()

    async def _start_worker(self) -> Process:
        if self.worker_status in RESTART_DELAYS:
            self.worker_status = "starting"
            self.publish_state()
        with Path(self.store.folder, "painter.log").open("ab") as log:
            # A separate process group, so that only the server receives Ctrl-C of the terminal.
            process = await asyncio.create_subprocess_exec(
                *WORKER_COMMAND,
                stdin=PIPE,
                stdout=PIPE,
                stderr=log,
                limit=2**22,
                start_new_session=True,
            )
        self._process = process
        return process

    def _close_input(self, process: Process) -> None:
        """Close the input of a worker process, which then saves its state and exits."""
        if process.stdin is not None:
            process.stdin.close()

    async def _follow_worker(self, process: Process) -> None:
        """Send jobs to the worker process and handle its messages, until it exits."""
        assert process.stdout is not None
        lines = asyncio.create_task(process.stdout.readline())
        added = asyncio.create_task(self.queue.job_added.wait())
        try:
            while True:
                await asyncio.wait({lines, added}, return_when=asyncio.FIRST_COMPLETED)
                if lines.done():
                    if not lines.result():
                        return
                    self._receive_line(lines.result())
                    lines = asyncio.create_task(process.stdout.readline())
                if added.done():
                    self.queue.job_added.clear()
                    added = asyncio.create_task(self.queue.job_added.wait())
                if self.worker_status == "ready":
                    self._start_next_job()
        finally:
            lines.cancel()
            added.cancel()

    def _receive_line(self, line: bytes) -> None:
        """Handle a message of the worker process; an error fails the running job."""
        job_id = self.current_job
        try:
            self._handle_event(json.loads(line))
        except Exception as error:
            LOG.exception("a message of the worker process could not be processed")
            if job_id is not None:
                self._fail(job_id, error)

    def _fail(self, job_id: str, error: Exception) -> None:
        """Mark a job as failed; the reason is kept until it can be written to the folder."""
        self.failures[job_id] = files.error_reason(error)
        self.progress.pop(job_id, None)
        if self.current_job == job_id:  # the error occurred before the end of the job
            self.stop(job_id)
            self.current_job = None
        self.publish_state()

    def _write_failures(self) -> None:
        """Write failures that could not be written before."""
        for job_id, reason in list(self.failures.items()):
            try:
                self.queue.remove(job_id)
                with contextlib.suppress(NotFound):
                    self._update_job(self.store.job(job_id), state="failed", error=reason)
            except Exception as error:  # for example, the disk is still full
                LOG.warning("job %s: %s", job_id, files.error_reason(error))
                continue
            del self.failures[job_id]

    def _start_next_job(self) -> None:
        """Send the next job to the worker process, if there is one."""
        self._write_failures()
        while (job_id := self.queue.next_job(self.failures)) is not None:
            try:
                self._start_job(job_id)
            except Exception as error:
                LOG.exception("job %s could not be started", job_id)
                self.current_job = None
                self._fail(job_id, error)
            else:
                return
        self._write_failures()

    def _start_job(self, job_id: str) -> None:
        """Send a job to the worker process."""
        job = self.store.job(job_id)
        command = self.make_command(self.store, job)
        self._update_job(job, state="painting")
        self.worker_status, self.current_job = "painting", job_id
        self._send(command)

    def _handle_event(self, message: WorkerMessage) -> None:
        if message["event"] == "ready" or message["event"] == "unable":
            self.worker_status = "ready" if message["event"] == "ready" else message["error"]
            self.publish_state()
        elif message["work"] == self.current_job:
            self._handle_job_event(self.store.job(message["work"]), message)
        elif self.current_job is None and message["event"] in ("finished", "failed"):
            self.worker_status = "ready"  # after a job that already failed

    def _handle_job_event(self, job: StoredJob, message: JobEvent) -> None:
        """Handle an event of the running job."""
        if message["event"] == "finished":
            self._end_job(
                job,
                state="stopped" if message["stopped"] else "done",
                recipe={**job["recipe"], **message["recipe"]},
                seconds=message["seconds"],
                steered=message["steered"],
            )
        elif message["event"] == "failed":
            self._end_job(job, state="failed", error=message["error"])
        else:
            if message["event"] == "step":
                self.progress[job["id"]] = message
                self.histories.setdefault(job["id"], []).append(step_record(message))
            self.publish(message)

    def _end_job(self, job: StoredJob, **changes: Unpack[JobChanges]) -> None:
        """Remove a job from the queue, and store how it ended."""
        self.progress.pop(job["id"], None)
        self.worker_status, self.current_job = "ready", None
        self.queue.remove(job["id"])
        self._update_job({**job, "history": self.histories.pop(job["id"], [])}, **changes)

    def _update_job(self, job: StoredJob, **changes: Unpack[JobChanges]) -> None:
        changed: StoredJob = {**job, **changes}
        self.store.save_job(changed)
        self.publish({"event": "work", "work": changed["id"], "state": changed["state"]})

    def _note_worker_crash(self) -> None:
        """Count a crash of the worker process; too many on one job fail it."""
        job_id, self.current_job = self.current_job, None
        if job_id is None:
            return
        self.worker_crashes[job_id] = self.worker_crashes.get(job_id, 0) + 1
        self.progress.pop(job_id, None)
        if self.worker_crashes[job_id] < MAX_WORKER_CRASHES:
            note = "the painter was restarted; the picture continues where it was last saved"
            self.publish({"event": "note", "work": job_id, "note": note})
            with contextlib.suppress(Exception):  # it is in the queue in any case
                self._update_job(self.store.job(job_id), state="queued")
        else:
            why = "the worker process ended three times on this job, perhaps because memory ran out"
            self._fail(job_id, RuntimeError(f"{why}: choose a smaller size"))
            self._write_failures()


def step_record(step: StepMessage) -> list[float]:
    """Return the record of a step: level, total, content, style, tv, seconds."""
    terms = step["terms"]
    kept = (step["total"], terms["content"], terms["style"], terms["tv"], step["seconds"])
    return [step["level"], *(float(f"{each:.5g}") for each in kept)]
