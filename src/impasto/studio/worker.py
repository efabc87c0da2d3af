"""The worker process of the studio: receives commands and sends events as JSON lines.

It reads ``paint``, ``steer`` and ``stop`` from standard input, and writes events to standard
output. When the input closes, it saves the state of the job and exits.
"""

import itertools
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
from impasto.errors import CheckpointError, ImpastoError, SettingError
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
from impasto.pipeline.progress import TimeEstimate, format_duration
from impasto.pipeline.pyramid import Level
from impasto.pipeline.result import Finished, Result
from impasto.pipeline.stylizer import Event
from impasto.pipeline.video_events import VideoEvent, VideoFinished
from impasto.recipe.settings import Recipe
from impasto.studio.clip_areas import is_black, write_moved_mask
from impasto.studio.clip_jobs import PART, ClipRun, WatchedStylizer, write_frame
from impasto.studio.event_messages import (
    FinishedMessage,
    MaskCommand,
    PaintCommand,
    SteerCommand,
    StepMessage,
    StopCommand,
    WorkerCommand,
    WorkerMessage,
)
from impasto.studio.masks import feather_mask
from impasto.video.clip_job import PreparedClip

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
    stylizer: WatchedStylizer
    server_gone: bool = False
    running: str | None = None
    """the running job, to which commands are applied"""
    stopped: bool = False
    """whether the running job was asked to stop"""
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
            self.stopped = True
            self.stylizer.stop()

    def begin_job(self, job_id: str) -> None:
        """Apply commands for a job from now on, and those received while it was prepared."""
        with self.lock:
            self.running, self.stopped = job_id, False
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

    stylizer = WatchedStylizer()
    with stylizer:
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

    paint = _paint_image if command["clip"] is None else _paint_clip
    try:
        finished = paint(command, commands, send)
    except (ImpastoError, OSError) as error:
        fail(" ".join(str(error).split()))
    except MemoryError:
        fail("out of memory: choose a smaller size")
    except Exception as error:  # a bug: the next job may still work
        LOG.exception("job %s", job_id)
        fail(f"impasto failed ({type(error).__name__}: {files.error_reason(error)})")
    else:
        if finished is not None:
            send(finished)
    finally:
        commands.end_job(job_id)


def _paint_image(
    command: PaintCommand, commands: CommandReader, send: Send
) -> FinishedMessage | None:
    """Paint an image, or one frame of a clip; returns None if the server closed the input."""
    job_id = command["work"]
    with _LogForwarder(job_id, send):
        job = runner.prepare_job(job_spec(command), commands.stylizer)
    finished = _run_and_report(job, command, commands, send)
    if finished is None:
        job.prepared.checkpoint_writer.save()
        return None
    result = finished.result
    _write_results(job, result, Path(command["folder"]))
    calibration.store_run_speed(job.prepared, result)
    return {
        "event": "finished",
        "work": job_id,
        "seconds": result.seconds["total"],
        "stopped": result.stopped,
        "steered": result.run_provenance.steered,
        "recipe": {name: getattr(result.recipe, name) for name in STEERABLE},
    }


def _paint_clip(
    command: PaintCommand, commands: CommandReader, send: Send
) -> FinishedMessage | None:
    """Paint a clip; returns None if the server closed the input. The frames so far are stored."""
    folder, preview = Path(command["folder"]), PreviewTimer()
    command = with_prepared_masks(command)
    run = ClipRun(
        commands.stylizer,
        command,
        send,
        lambda pixels: _write_preview(pixels, folder),
        preview.due,
        lambda: commands.server_gone,
    )
    with _LogForwarder(command["work"], send):
        prepared = run.prepare()
    first = run.first_image(prepared)
    if not any(run.folder.iterdir()):
        _write_preview(draft(first), folder)
        left = run.progress.full
        words = "" if left is None else f"{format_duration(left)} for the first frame"
        send({"event": "draft", "work": command["work"], "left": words})
    try:
        complete = _follow_clip(run, prepared, commands)
    except CheckpointError:  # a damaged file
        with _LogForwarder(command["work"], send):
            prepared = run.restarted()
        complete = _follow_clip(run, prepared, commands)
    if commands.server_gone and not complete:
        return None
    if complete:
        for path in folder.glob(f"{PART}.*"):
            path.unlink()
    notes = run.notes if complete else run.write_part(prepared)
    for note in notes:
        send({"event": "note", "work": command["work"], "note": note})
    recipe = prepared.recipe
    return {
        "event": "finished",
        "work": command["work"],
        "seconds": run.seconds,
        "stopped": not complete,
        "steered": False,
        "recipe": {name: getattr(recipe, name) for name in STEERABLE},
    }


def _follow_clip(run: ClipRun, prepared: PreparedClip, commands: CommandReader) -> bool:
    """Paint a clip until it is complete, stopped, or the server is gone; returns whether it is."""
    last: VideoEvent | None = None
    for event in run.paint(prepared):
        last = event
        if commands.running is None:  # commands are accepted from now on
            commands.begin_job(run.command["work"])
        if (commands.stopped or commands.server_gone) and not isinstance(event, VideoFinished):
            return False
    return isinstance(last, VideoFinished)


class PreviewTimer:
    """Says when it is time for another preview."""

    def __init__(self) -> None:
        """Start with a preview that is due."""
        self.next = 0.0

    def due(self) -> bool:
        """Return whether PREVIEW_SECONDS have passed since this was True."""
        now = time.monotonic()
        if now < self.next:
            return False
        self.next = now + PREVIEW_SECONDS
        return True


def job_spec(command: PaintCommand) -> JobSpec:
    """Return the job of a command, which resumes from its checkpoint if there is one.

    Masks that are soft or moved are written to its folder.
    """
    command = with_prepared_masks(command)
    folder, keep = Path(command["folder"]), command["keep"]
    checkpoint = folder / "checkpoint"
    regions = [(mask["path"], style) for mask, style in command["regions"]]
    inputs = InputPaths(_content(command), command["styles"], regions, keep and keep["path"])
    outputs = OutputPaths(folder / "picture.png", checkpoint=checkpoint)
    return JobSpec(
        inputs,
        outputs,
        checkpoint=checkpoint,
        resume=checkpoint if checkpoint.exists() else None,
        recipe=Recipe.from_dict(command["recipe"]),
    )


def with_prepared_masks(command: PaintCommand) -> PaintCommand:
    """Return a command whose masks are soft, and of a frame that is painted or of all frames.

    They are written to the folder of the job. Areas that have left the image are omitted. Raises
    SettingError if no style is left.
    """
    masks = [(mask, f"mask-{index}") for index, (mask, _) in enumerate(command["regions"], 1)]
    prepared = [_prepare_mask(command, *each) for each in masks]
    regions = [
        (mask, style)
        for mask, (_, style) in zip(prepared, command["regions"], strict=True)
        if mask is not None
    ]
    if not regions and not command["styles"]:
        raise SettingError("the area of the style is not in this frame: choose another frame")
    keep, recipe = command["keep"], command["recipe"]
    scales = recipe.get("style_scale") or ()
    if len(scales) == len(command["styles"]) + len(prepared):
        shown = [*([True] * len(command["styles"])), *(mask is not None for mask in prepared)]
        recipe = {**recipe, "style_scale": tuple(itertools.compress(scales, shown))}
    return {
        **command,
        "regions": regions,
        "keep": keep and _prepare_mask(command, keep, "keep"),
        "recipe": recipe,
    }


def _prepare_mask(command: PaintCommand, mask: MaskCommand, name: str) -> MaskCommand | None:
    """Return a mask with its feather, moved to a frame that is painted; None if it is black there.

    A file of the job's folder with this name is written if one of both changes it.
    """
    folder, drawn, target = Path(command["folder"]), mask["frame"], mask["target"]
    path = feather_mask(Path(mask["path"]), mask["feather"], folder / f"{name}.png")
    if drawn is not None and drawn != target:
        into = folder / f"{name}-moved.png"
        path = write_moved_mask(Path(command["frames"]), path, drawn, target, into)
        if is_black(path):
            return None
    frame = None if drawn is None else target
    return {"path": str(path), "feather": 0.0, "frame": frame, "target": target}


def _content(command: PaintCommand) -> str:
    """Return the path of the content image; a frame of a clip is written to the job's folder."""
    if command["frame"] is None:
        return command["content"]
    clip, number = Path(command["content"]), command["frame"]
    path = Path(command["folder"], f"{clip.stem}-frame-{number}.png")
    if not path.exists():
        write_frame(str(clip), number, Recipe.from_dict(command["recipe"]).size, path)
    return str(path)


def _run_and_report(
    job: PreparedJob, command: PaintCommand, commands: CommandReader, send: Send
) -> Finished | None:
    """Run a job, and send events; returns None if the server closed the input."""
    job_id, folder = command["work"], Path(command["folder"])
    estimate, preview = time_left(job.prepared), PreviewTimer()
    last: Event | None = None
    film = FilmRecorder(folder / FRAMES, sum(each.evaluations for each in job.prepared.levels))
    if job.prepared.state is None:  # otherwise the preview is of the job that is resumed
        _write_preview(draft(job.prepared), folder)
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
            new_preview = preview.due()
            if new_preview:
                _write_preview(event.pixels, folder)
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


def draft(prepared: PreparedRun) -> ImageArray:
    """Return the draft: the content image with its colors moved to those of the first style image.

    They move as little as possible (`colors.color_transport`), by DRAFT_SHARE of the way, since
    colors far from the mean become garish; in the protected area they stay.
    """
    inputs = prepared.inputs
    height, width = arrays.size_of(inputs.content)
    every = max(1, max(height, width) // (2 * DRAFT_SIZE))  # resizing all of 24 MP takes a second
    small = arrays.resize(
        inputs.content[::every, ::every],
        *arrays.fit(height, width, min(DRAFT_SIZE, max(height, width))),
    )
    styles = [each for region in inputs.regions for each in region.styles if each.weight]
    if not styles or prepared.recipe.colors != "style":
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
