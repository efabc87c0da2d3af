"""The worker process of the studio: receives commands and sends events as JSON lines.

It reads ``paint``, ``steer`` and ``stop`` from standard input, and writes events to standard
output. When the input closes, it saves the state of the job and exits.
"""

import json
import logging
import os
import queue
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO, TypeAlias

import numpy as np

from impasto import files
from impasto.errors import ImpastoError
from impasto.images import arrays, colors, masks
from impasto.images.arrays import ImageArray
from impasto.images.formats import encode
from impasto.images.formats.save_options import SaveOptions
from impasto.jobs import runner
from impasto.jobs.outputs import OutputPaths
from impasto.jobs.runner import PreparedJob
from impasto.jobs.specs import InputPaths, JobSpec
from impasto.pipeline import calibration, forecast
from impasto.pipeline.events import STEERABLE, Step
from impasto.pipeline.inputs import PreparedRun
from impasto.pipeline.progress import TimeEstimate
from impasto.pipeline.pyramid import Level
from impasto.pipeline.result import Finished, Result
from impasto.pipeline.stylizer import Event, Stylizer
from impasto.recipe.settings import Recipe
from impasto.studio.event_messages import (
    PaintCommand,
    SteerCommand,
    StepMessage,
    StopCommand,
    WorkerCommand,
    WorkerMessage,
)
from impasto.studio.masks import feather_mask

Send: TypeAlias = Callable[[WorkerMessage], None]

LOG = logging.getLogger(__name__)

PREVIEW_SECONDS = 0.25
"""Seconds between two preview images."""

DRAFT_SIZE, DRAFT_SHARE = 512, 0.65
"""Longest side of the draft in pixels, and how far its colors move to those of the style."""

FRAMES, MAX_FRAMES, FRAME_SIZE = "frames", 90, 720
"""Folder of the images for a film, their approximate number, and their longest side in pixels."""


@dataclass
class CommandReader:
    """Reads commands from standard input: jobs in order, and whether the server has closed it."""

    jobs: "queue.SimpleQueue[PaintCommand | None]"
    stylizer: Stylizer
    server_gone: bool = False
    running: str | None = None
    """the running job, to which commands are applied"""
    pending: list[SteerCommand | StopCommand] = field(default_factory=list)
    """commands for a job that is still being prepared"""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def read_commands(self, lines: TextIO, send: Send) -> None:
        """Read commands until the input closes."""
        for line in lines:
            command: WorkerCommand = json.loads(line)
            try:
                self._handle(command)
            except ImpastoError as error:
                send({"event": "note", "work": command["work"], "note": str(error)})
        self.server_gone = True
        self.jobs.put(None)

    def _handle(self, command: WorkerCommand) -> None:
        if command["do"] == "paint":
            self.jobs.put(command)
            return
        with self.lock:
            if command["work"] == self.running:
                self._apply(command)
            else:
                self.pending.append(command)

    def _apply(self, command: SteerCommand | StopCommand) -> None:
        if command["do"] == "steer":
            self.stylizer.steer(**command["settings"])
        else:
            self.stylizer.stop()

    def begin_job(self, job_id: str) -> None:
        """Apply commands for a job from now on, and those received while it was prepared."""
        with self.lock:
            self.running = job_id
            for command in self.pending:
                if command["work"] == job_id:
                    self._apply(command)

    def end_job(self, job_id: str) -> None:
        """Discard the commands for a job."""
        with self.lock:
            self.running = None
            self.pending = [command for command in self.pending if command["work"] != job_id]


def main() -> None:
    """Run jobs until the input closes."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # output of libraries must not reach the server
    lock = threading.Lock()

    def send(message: WorkerMessage) -> None:
        with lock:
            out.write(json.dumps(message) + "\n")
            out.flush()

    with Stylizer() as stylizer:
        commands = CommandReader(queue.SimpleQueue(), stylizer)
        threading.Thread(target=commands.read_commands, args=(sys.stdin, send), daemon=True).start()
        try:
            stylizer.load()
        except ImpastoError as error:
            send({"event": "unable", "error": str(error)})
            return
        send({"event": "ready"})
        while (command := commands.jobs.get()) is not None:
            _run_job(command, commands, send)


def _run_job(command: PaintCommand, commands: CommandReader, send: Send) -> None:
    """Run a job; errors are sent as events."""
    job_id = command["work"]

    def fail(reason: str) -> None:
        send({"event": "failed", "work": job_id, "error": reason})

    try:
        with _LogForwarder(job_id, send):
            job = runner.prepare_job(job_spec(command), commands.stylizer)
        finished = _run_and_report(job, command, commands, send)
        if finished is None:
            job.prepared.checkpoint_writer.save()
            return
        result = finished.result
        _write_results(job, result, Path(command["folder"]))
        calibration.store_run_speed(job.prepared, result)
    except (ImpastoError, OSError) as error:
        fail(" ".join(str(error).split()))
    except MemoryError:
        fail("out of memory: choose a smaller size")
    except Exception as error:  # a bug: the next job may still work
        LOG.exception("job %s", job_id)
        fail(f"impasto failed ({type(error).__name__}: {files.error_reason(error)})")
    else:
        send(
            {
                "event": "finished",
                "work": job_id,
                "seconds": result.seconds["total"],
                "stopped": result.stopped,
                "steered": result.run_provenance.steered,
                "recipe": {name: getattr(result.recipe, name) for name in STEERABLE},
            }
        )
    finally:
        commands.end_job(job_id)


def job_spec(command: PaintCommand) -> JobSpec:
    """Return the job of a command, which resumes from its checkpoint if there is one.

    Soft masks are written to its folder.
    """
    folder = Path(command["folder"])
    checkpoint = folder / "checkpoint"
    regions = [
        (str(feather_mask(Path(mask), feather, folder / f"mask-{index}.png")), style)
        for index, (mask, style, feather) in enumerate(command["regions"], 1)
    ]
    keep = command["keep"] and str(
        feather_mask(Path(command["keep"]), command["keep_feather"], folder / "keep.png")
    )
    inputs = InputPaths(command["content"], command["styles"], regions, keep)
    outputs = OutputPaths(folder / "picture.png", checkpoint=checkpoint)
    return JobSpec(
        inputs,
        outputs,
        checkpoint=checkpoint,
        resume=checkpoint if checkpoint.exists() else None,
        recipe=Recipe.from_dict(command["recipe"]),
    )


def _run_and_report(
    job: PreparedJob, command: PaintCommand, commands: CommandReader, send: Send
) -> Finished | None:
    """Run a job, and send events; returns None if the server closed the input."""
    job_id, folder = command["work"], Path(command["folder"])
    estimate, preview_due = time_left(job.prepared), 0.0
    last: Event | None = None
    film = FilmRecorder(folder / FRAMES, sum(each.evaluations for each in job.prepared.levels))
    if job.prepared.state is None:  # otherwise the preview is of the job that is resumed
        _write_preview(draft(job), folder)
        send({"event": "draft", "work": job_id, "left": estimate.in_words()})
    for event in runner.run_job(job, commands.stylizer):
        last = event
        if isinstance(event, Finished):
            break
        if commands.running is None:  # commands are accepted from now on
            commands.begin_job(job_id)
        estimate.note(event)
        if isinstance(event, Step):
            film.note(event.pixels)
            new_preview = time.monotonic() >= preview_due
            if new_preview:
                _write_preview(event.pixels, folder)
                preview_due = time.monotonic() + PREVIEW_SECONDS
            send(step_message(job_id, event, job.prepared.levels, estimate, new_preview))
        if commands.server_gone:
            return None
    assert isinstance(last, Finished)
    return last


def time_left(prepared: PreparedRun) -> TimeEstimate:
    """Return an estimator of the time left, with the stored measurement if there is one."""
    measured = forecast.known_measurement(prepared)
    expected = None if measured is None else forecast.level_seconds(prepared, measured)
    return TimeEstimate(prepared.levels, expected)


EARLY_SHARE = 0.1
"""Progress below which the time left is not sent without a measurement: the first evaluations
compile."""


def step_message(
    job_id: str, event: Step, levels: Sequence[Level], estimate: TimeEstimate, new_preview: bool
) -> StepMessage:
    """Return the message of a step; ``new_preview`` says whether the preview is of this step."""
    return {
        "event": "step",
        "work": job_id,
        "level": event.level,
        "levels": len(levels),
        "evaluation": event.evaluation,
        "evaluations": levels[event.level - 1].evaluations,
        "total": event.total,
        "terms": dict(event.terms),
        "seconds": event.seconds,
        "done": estimate.progress,
        "left": estimate.in_words()
        if estimate.measured or estimate.progress >= EARLY_SHARE
        else "",
        "shown": new_preview,
    }


def draft(job: PreparedJob) -> ImageArray:
    """Return the draft: the content image with its colors moved to those of the first style image.

    They move as little as possible (`colors.color_transport`), by DRAFT_SHARE of the way, since
    colors far from the mean become garish; in the protected area they stay.
    """
    inputs = job.prepared.inputs
    height, width = arrays.size_of(inputs.content)
    every = max(1, max(height, width) // (2 * DRAFT_SIZE))  # resizing all of 24 MP takes a second
    small = arrays.resize(
        inputs.content[::every, ::every],
        *arrays.fit(height, width, min(DRAFT_SIZE, max(height, width))),
    )
    styles = [each for region in inputs.regions for each in region.styles if each.weight]
    if not styles or job.prepared.recipe.colors != "style":
        return small
    style = styles[0].image
    sample = style[:: max(1, style.shape[0] // 256), :: max(1, style.shape[1] // 256)]
    own, target = colors.color_moments(small), colors.color_moments(sample)
    change = colors.color_transport(own.covariance, target.covariance)
    moved = ((small - own.mean) @ change.T + target.mean).clip(0, 255)
    share = np.full((*arrays.size_of(small), 1), DRAFT_SHARE, np.float32)
    if inputs.keep is not None:
        share -= DRAFT_SHARE * masks.resize_mask(inputs.keep, *arrays.size_of(small))[..., None]
    return np.asarray(small + share * (moved - small), np.float32)


class FilmRecorder:
    """Writes about MAX_FRAMES images of a run, reduced, from which the server makes a film."""

    def __init__(self, folder: Path, evaluations: int) -> None:
        """Write to ``folder``, for a run of ``evaluations``; a resumed run adds to it."""
        self.folder, self.every = folder, max(1, evaluations // MAX_FRAMES)
        self.steps = self.every * len(list(folder.glob("*.jpg")))

    def note(self, image: ImageArray) -> None:
        """Write the image of a step, if it is one of those for the film."""
        if self.steps % self.every == 0:
            self.folder.mkdir(exist_ok=True)
            height, width = arrays.size_of(image)
            size = arrays.fit(height, width, min(FRAME_SIZE, max(height, width)))
            path = self.folder / f"{self.steps // self.every:06d}.jpg"
            encode.write_image(arrays.resize(image.clip(0, 255), *size), path)
        self.steps += 1


def _write_preview(image: ImageArray, folder: Path) -> None:
    encode.write_image(image.clip(0, 255), folder / "preview.jpg")


def _write_results(job: PreparedJob, result: Result, folder: Path) -> None:
    """Write the result in all formats, with its recipe."""
    runner.write_results(job, result)
    result.save(folder / "picture.jpg")
    result.save(folder / "picture.tif", SaveOptions(depth=16))
    _write_preview(result.pixels, folder)


class _LogForwarder(logging.Handler):
    """Sends log records of the library as notes of a job within this block."""

    def __init__(self, job_id: str, send: Send) -> None:
        super().__init__()
        self.job_id, self.send, self.log = job_id, send, logging.getLogger("impasto")

    def __enter__(self) -> None:
        self.log.addHandler(self)
        self.log.setLevel(logging.INFO)

    def __exit__(self, *_: object) -> None:
        self.log.removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        self.send({"event": "note", "work": self.job_id, "note": record.getMessage()})


if __name__ == "__main__":
    main()
