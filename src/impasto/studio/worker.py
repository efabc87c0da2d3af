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
from typing import Any, TextIO

from impasto import files
from impasto.errors import ImpastoError
from impasto.images import arrays, colors
from impasto.images.arrays import ImageArray
from impasto.images.formats import encode
from impasto.images.formats.save_options import SaveOptions
from impasto.jobs import runner
from impasto.jobs.outputs import OutputPaths
from impasto.jobs.runner import PreparedJob
from impasto.jobs.specs import InputPaths, JobSpec
from impasto.pipeline import calibration, forecast
from impasto.pipeline.events import STEERABLE, LevelStarted, Step
from impasto.pipeline.inputs import PreparedRun
from impasto.pipeline.progress import TimeEstimate
from impasto.pipeline.pyramid import Level
from impasto.pipeline.result import Finished, Result
from impasto.pipeline.stylizer import Event, Stylizer
from impasto.recipe.settings import Recipe
from impasto.studio.masks import feather_mask

Json = dict[str, Any]
SendEvent = Callable[..., None]

LOG = logging.getLogger(__name__)

PREVIEW_SECONDS = 0.25
"""Seconds between two preview images."""

DRAFT_SIZE = 512
"""Longest side of the draft in pixels."""


@dataclass
class CommandReader:
    """Reads commands from standard input: jobs in order, and whether the server has closed it."""

    jobs: "queue.SimpleQueue[Json | None]"
    stylizer: Stylizer
    server_gone: bool = False
    running: str | None = None
    """the running job, to which commands are applied"""
    pending: list[Json] = field(default_factory=list)
    """commands for a job that is still being prepared"""
    lock: threading.Lock = field(default_factory=threading.Lock)

    def read_commands(self, lines: TextIO, say: SendEvent) -> None:
        """Read commands until the input closes."""
        for line in lines:
            message = json.loads(line)
            try:
                self._handle(message)
            except ImpastoError as error:
                say("refused", work=message.get("work"), error=str(error))
        self.server_gone = True
        self.jobs.put(None)

    def _handle(self, message: Json) -> None:
        if message["do"] == "paint":
            self.jobs.put(message)
            return
        with self.lock:
            if message["work"] == self.running:
                self._apply(message)
            else:
                self.pending.append(message)

    def _apply(self, message: Json) -> None:
        if message["do"] == "steer":
            self.stylizer.steer(**message["settings"])
        else:
            self.stylizer.stop()

    def begin_job(self, number: str) -> None:
        """Apply commands for a job from now on, and those received while it was prepared."""
        with self.lock:
            self.running = number
            for message in self.pending:
                if message["work"] == number:
                    self._apply(message)

    def end_job(self, number: str) -> None:
        """Discard the commands for a job."""
        with self.lock:
            self.running = None
            self.pending = [message for message in self.pending if message["work"] != number]


def main() -> None:
    """Run jobs until the input closes."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # output of libraries must not reach the server
    lock = threading.Lock()

    def say(event: str, **more: object) -> None:
        with lock:
            out.write(json.dumps({"event": event, **more}) + "\n")
            out.flush()

    with Stylizer() as stylizer:
        commands = CommandReader(queue.SimpleQueue(), stylizer)
        threading.Thread(target=commands.read_commands, args=(sys.stdin, say), daemon=True).start()
        try:
            stylizer.load()
        except ImpastoError as error:
            say("unable", error=str(error))
            return
        say("ready")
        while (request := commands.jobs.get()) is not None:
            _run_job(request, commands, say)


def _run_job(request: Json, commands: CommandReader, say: SendEvent) -> None:
    """Run a job; errors are sent as events."""
    number = request["work"]

    def tell(event: str, **more: object) -> None:
        say(event, work=number, **more)

    try:
        with _LogForwarder(tell):
            ready = runner.prepare_job(job_spec(request), commands.stylizer)
        painted = _run_and_report(ready, request, commands, tell)
        if painted is None:
            ready.prepared.checkpoint_writer.save()
            return
        result = painted.result
        _write_results(ready, result, Path(request["folder"]))
        calibration.store_run_speed(ready.prepared, result)
    except (ImpastoError, OSError) as error:
        tell("failed", error=" ".join(str(error).split()))
    except MemoryError:
        tell("failed", error="out of memory: choose a smaller size")
    except Exception as error:  # a bug: the next job may still work
        LOG.exception("work %s", number)
        tell(
            "failed", error=f"impasto failed ({type(error).__name__}: {files.error_reason(error)})"
        )
    else:
        tell(
            "finished",
            seconds=result.seconds["total"],
            stopped=result.stopped,
            steered=result.run_provenance.steered,
            recipe={name: getattr(result.recipe, name) for name in STEERABLE},
            precision=result.precision,
        )
    finally:
        commands.end_job(number)


def job_spec(request: Json) -> JobSpec:
    """Return the job of a request; soft masks are written to its folder."""
    folder = Path(request["folder"])
    checkpoint = folder / "checkpoint"
    resume = checkpoint if request["resume"] and checkpoint.exists() else None
    regions = [
        (str(feather_mask(Path(mask), feather, folder / f"mask-{number}.png")), style)
        for number, (mask, style, feather) in enumerate(request["regions"], 1)
    ]
    keep = request["keep"] and str(
        feather_mask(Path(request["keep"]), request["keep_feather"], folder / "keep.png")
    )
    sources = InputPaths(request["content"], request["styles"], regions, keep)
    outputs = OutputPaths(folder / "picture.png", checkpoint=checkpoint)
    return JobSpec(
        sources,
        outputs,
        checkpoint=checkpoint,
        resume=resume,
        recipe=Recipe.from_dict(request["recipe"]),
    )


def _run_and_report(
    ready: PreparedJob, request: Json, commands: CommandReader, tell: SendEvent
) -> Finished | None:
    """Run a job, and send events; returns None if the server closed the input."""
    number, folder = request["work"], Path(request["folder"])
    left, due = time_left(ready.prepared), 0.0
    last: Event | None = None
    _report_start(ready, folder, tell)
    for event in runner.run_job(ready, commands.stylizer):
        last = event
        if isinstance(event, Finished):
            break
        if commands.running is None:  # commands are accepted from now on
            commands.begin_job(number)
        left.note(event)
        if isinstance(event, LevelStarted):
            tell(
                "level",
                level=event.level,
                levels=event.levels,
                width=event.width,
                height=event.height,
            )
        if isinstance(event, Step):
            shown = time.monotonic() >= due
            if shown:
                _write_preview(event.pixels, folder)
                due = time.monotonic() + PREVIEW_SECONDS
            tell("step", **_step_report(event, ready.prepared.levels, left), shown=shown)
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


def _report_start(ready: PreparedJob, folder: Path, tell: SendEvent) -> None:
    """Send the levels, and a draft unless there is an image already."""
    levels = ready.prepared.levels
    tell("started", levels=[[each.width, each.height, each.evaluations] for each in levels])
    if ready.prepared.state is None:
        _write_preview(draft(ready), folder)
        tell("draft")


def _step_report(event: Step, levels: Sequence[Level], left: TimeEstimate) -> Json:
    """Return the event of a step for the page."""
    return {
        "level": event.level,
        "levels": len(levels),
        "evaluation": event.evaluation,
        "evaluations": levels[event.level - 1].evaluations,
        "total": event.total,
        "terms": dict(event.terms),
        "seconds": event.seconds,
        "done": left.share,
        "left": left.in_words() if left.measured or left.share >= EARLY_SHARE else "",
    }


def draft(ready: PreparedJob) -> ImageArray:
    """Return the draft: the content image in the colors of the first style image."""
    inputs = ready.prepared.inputs
    height, width = arrays.size_of(inputs.content)
    small = arrays.resize(
        inputs.content, *arrays.fit(height, width, min(DRAFT_SIZE, max(height, width)))
    )
    styles = [each for place in inputs.regions for each in place.styles if each.share]
    if not styles or ready.prepared.recipe.colors != "style":
        return small
    style = styles[0].image
    some = style[:: max(1, style.shape[0] // 256), :: max(1, style.shape[1] // 256)]
    return colors.match_colors(small, some)


def _write_preview(image: ImageArray, folder: Path) -> None:
    encode.write_image(image.clip(0, 255), folder / "preview.jpg")


def _write_results(ready: PreparedJob, result: Result, folder: Path) -> None:
    """Write the result in all formats, with its recipe."""
    runner.write_results(ready, result)
    result.save(folder / "picture.jpg")
    result.save(folder / "picture.tif", SaveOptions(depth=16))
    _write_preview(result.pixels, folder)


class _LogForwarder(logging.Handler):
    """Sends log records of the library as events within this block."""

    def __init__(self, tell: SendEvent) -> None:
        super().__init__()
        self.tell, self.log = tell, logging.getLogger("impasto")

    def __enter__(self) -> None:
        self.log.addHandler(self)
        self.log.setLevel(logging.INFO)

    def __exit__(self, *_: object) -> None:
        self.log.removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        self.tell("note", note=record.getMessage())


if __name__ == "__main__":
    main()
