"""The command ``video``."""

import json
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from impasto.cli.one import make_stylizer
from impasto.cli.options import (
    DryRun,
    FromResult,
    Preset,
    PresetsFile,
    Quiet,
    Styles,
    WeightsFile,
    Workers,
    add_setting_options,
    file_option,
)
from impasto.errors import SettingError, pluralize
from impasto.jobs.specs import InputPaths
from impasto.pipeline.video_events import (
    AUTO,
    ClipSurveyed,
    FramePainted,
    ShotStarted,
    VideoEvent,
    VideoFinished,
    VideoOptions,
)
from impasto.recipe import presets
from impasto.recipe import settings as recipes

if TYPE_CHECKING:
    from impasto.pipeline.stylizer import Stylizer
    from impasto.video.clip_job import PreparedClip

PANEL = "Frames"


def _frames(help: str, *flags: str, metavar: str = "") -> Any:
    return typer.Option(
        *flags, help=help, rich_help_panel=PANEL, metavar=metavar or None, show_default=False
    )


@add_setting_options
def video(
    clip: Annotated[
        str,
        typer.Argument(
            help="Video file, or numbered images such as frames/%06d.png.", show_default=False
        ),
    ],
    style: Styles = None,
    *,
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            help="Video to write: .mp4, .mov, .mkv, .webm, or numbered images such as "
            "painted/%06d.png.",
            rich_help_panel="Files",
        ),
    ] = Path("painted.mp4"),
    steady: Annotated[
        float,
        _frames(
            "How much strokes stay on things, 0 to 1 (default 1); 0 paints every frame by itself."
        ),
    ] = 1.0,
    every: Annotated[
        str,
        _frames(
            "Paint every N-th frame, and derive those between from both sides; auto chooses N "
            "per shot (default 1).",
            metavar="N|auto",
        ),
    ] = "1",
    hold: Annotated[
        int,
        _frames(
            "Show each painted frame N times, as in animation on twos (default 1).", metavar="N"
        ),
    ] = 1,
    key: Annotated[
        list[str] | None,
        _frames("Use this image, painted by hand, as frame F; repeatable.", metavar="F=IMAGE"),
    ] = None,
    cuts: Annotated[
        str,
        _frames(
            "Frames that start a shot: auto, none, or numbers such as 48,120 (default auto).",
            metavar="auto|none|F,...",
        ),
    ] = AUTO,
    start: Annotated[
        str | None,
        _frames(
            "Time of the first frame, in seconds or as minutes:seconds.", "--from", metavar="TIME"
        ),
    ] = None,
    end: Annotated[str | None, _frames("Time at which to end.", "--to", metavar="TIME")] = None,
    look: Annotated[
        int | None,
        _frames("Paint only frame F, print the forecast for the clip, and exit.", metavar="F"),
    ] = None,
    keep: Annotated[
        str | None,
        typer.Option(
            help="Mask of the region that stays unchanged in all frames; as F=MASK it belongs to "
            "frame F and moves with the content of its shot. A video, a folder or numbered images "
            "have a mask for each frame.",
            rich_help_panel="Regions",
            show_default=False,
        ),
    ] = None,
    region: Annotated[
        list[str] | None,
        typer.Option(
            help="Use another style image in a region: MASK:STYLE or MASK:STYLE:STYLE_MASK, with "
            "a mask as of --keep; repeatable. The rest takes STYLE, or stays unchanged without "
            "one.",
            metavar="MASK:STYLE",
            rich_help_panel="Regions",
            show_default=False,
        ),
    ] = None,
    codec: Annotated[
        str | None,
        typer.Option(
            help="h264, hevc, prores or vp9 (default by the ending; with transparency ProRes 4444 "
            "in .mov and VP9 in .webm).",
            rich_help_panel="Files",
            show_default=False,
        ),
    ] = None,
    depth: Annotated[
        int,
        typer.Option(help="Bits per channel, 8 or 10.", rich_help_panel="Files"),
    ] = 8,
    location: Annotated[
        bool,
        typer.Option(
            "--keep-location",
            help="Keep the place of recording that the clip stores.",
            rich_help_panel="Files",
        ),
    ] = False,
    preview: Annotated[
        Path | None,
        file_option("--preview", "Write the frames painted so far to this video, and exit."),
    ] = None,
    restart: Annotated[
        bool,
        typer.Option("--restart", help="Remove stored frames instead of resuming."),
    ] = False,
    memory: Annotated[
        str | None,
        file_option("--memory", "Memory limit, such as 3GB; by default the memory that is free."),
    ] = None,
    preset: Preset = presets.DEFAULT,
    own_presets: PresetsFile = None,
    recipe: FromResult = None,
    weights_file: WeightsFile = None,
    workers: Workers = None,
    dry_run: DryRun = False,
    json_lines: Annotated[
        bool, typer.Option("--json", help="Print each event as a line of JSON on standard output.")
    ] = False,
    quiet: Quiet = False,
    settings: dict[str, recipes.Value],
) -> None:
    """Paint the video CLIP in the style of STYLE.

    Repeat the command to resume after an interruption.
    """
    from impasto.cli import console
    from impasto.video import clip_job, stream
    from impasto.video.writer import ClipOptions

    options = VideoOptions(
        steady,
        _every(every),
        hold,
        dict(_numbered(each, "--key") for each in key or ()),
        _cuts(cuts),
        _seconds(start or "0", "--from"),
        None if end is None else _seconds(end, "--to"),
        look,
        restart,
    )
    stylizer, _ = make_stylizer(preset, own_presets, recipe, weights_file, settings, workers)
    inputs = InputPaths.parse(clip, style, region, None)
    job = clip_job.VideoJob(
        clip,
        inputs.styles,
        str(output),
        options,
        [(_mask(mask, "--region"), *styles) for mask, *styles in inputs.regions],
        None if keep is None else _mask(keep, "--keep"),
        memory,
        ClipOptions(codec or "", depth, location),
    )
    with console.logged_lines(quiet):
        prepared = clip_job.prepare(stylizer, job)
        if dry_run:
            print("\n".join(_forecast_lines(prepared, stylizer)))
        elif preview is not None:
            _write_preview(prepared, preview)
        else:
            events = stream.paint_clip(stylizer, prepared)
            _show(events, prepared, stylizer, quiet=quiet, json_lines=json_lines)


# Options ----------------------------------------------------------------------------------------


def _every(text: str) -> int | str:
    if text == AUTO:
        return AUTO
    if not text.isdigit():
        raise SettingError(f"--every is {text!r}: expected auto, or a number of frames")
    return int(text)


def _numbered(text: str, option: str) -> tuple[int, str]:
    """Return the frame and the file of F=FILE."""
    number, _, path = text.partition("=")
    if not (number.isdigit() and path):
        raise SettingError(f"{option} is {text!r}: expected the number of a frame, =, and a file")
    return int(number), path


def _mask(text: str, option: str) -> str | tuple[int, str]:
    """Return a mask of an option, with its frame if one is given."""
    if os.path.exists(text) or not re.match(r"\d+=.", text):
        return os.path.expanduser(text)
    number, path = _numbered(text, option)
    return number, os.path.expanduser(path)


def _cuts(text: str) -> tuple[int, ...] | None:
    if text in (AUTO, "none"):
        return None if text == AUTO else ()
    numbers = [each.strip() for each in text.split(",")]
    if not all(each.isdigit() for each in numbers):
        raise SettingError(f"--cuts is {text!r}: expected auto, none, or frames such as 48,120")
    return tuple(map(int, numbers))


def _seconds(text: str, option: str) -> float:
    """Return the seconds of a time such as ``12.5``, ``0:12`` or ``1:02:03``.

    >>> _seconds("1:02.5", "--from")
    62.5
    """
    parts = text.split(":")
    if len(parts) > 3 or not all(re.fullmatch(r"\d+(\.\d+)?", part) for part in parts):
        raise SettingError(f"{option} is {text!r}: expected seconds, or minutes:seconds")
    total = 0.0
    for part in parts:
        total = total * 60 + float(part)
    return total


# Output -----------------------------------------------------------------------------------------


def _show(
    events: Iterable[VideoEvent],
    prepared: "PreparedClip",
    stylizer: "Stylizer",
    *,
    quiet: bool,
    json_lines: bool,
) -> None:
    """Consume the events, and print progress and the path of the result."""
    from impasto.cli import console

    finished = None
    with console.stop_on_interrupt(stylizer) as interrupts:
        for event in _lines(interrupts.iterate(iter(events)), json_lines):
            finished = event if isinstance(event, VideoFinished) else None
            for line in () if quiet or json_lines else _event_lines(event):
                console.print_line(line)
    if finished is None:
        console.print_line("stopped: repeat the command to resume from the frames so far")
        raise KeyboardInterrupt  # the exit status is that of any interrupted command
    look = prepared.job.options.look is not None and not quiet
    for line in (*finished.notes, *(_forecast_lines(prepared, stylizer) if look else ())):
        console.print_line(line)
    if not json_lines:
        print(finished.path)


def _lines(events: Iterator[Any], json_lines: bool) -> Iterator[Any]:
    """Yield events, and print them as JSON."""
    for event in events:
        if json_lines:
            print(json.dumps(to_json(event)), flush=True)
        yield event


def to_json(event: VideoEvent) -> dict[str, Any]:
    """Return an event as a JSON object, without pixels."""
    values = {name: value for name, value in vars(event).items() if name != "pixels"}
    values = {name: str(v) if isinstance(v, Path) else v for name, v in values.items()}
    return {"event": type(event).__name__, **values}


def _event_lines(event: VideoEvent) -> list[str]:
    if isinstance(event, ClipSurveyed):
        return [
            f"{pluralize(event.frames, 'frame')} in {pluralize(event.shots, 'shot')}; the stored "
            f"frames need about {event.disk_bytes / 1e6:,.0f} MB of disk"
        ]
    if isinstance(event, ShotStarted):
        resumed = f", {event.painted} painted before" if event.painted else ""
        return [f"shot {event.shot}/{event.shots}: frames {event.first} to {event.last}{resumed}"]
    if isinstance(event, FramePainted):
        return [
            f"frame {event.number} ({event.done}/{event.frames}): {event.kind}, "
            f"{event.seconds:.1f} s"
        ]
    return []


def _write_preview(prepared: "PreparedClip", path: Path) -> None:
    """Write the frames that an earlier call has painted."""
    from impasto.video import stream

    surveyed = prepared.project.read_survey(prepared.first, prepared.job.options.cuts)
    if surveyed is None:
        raise SettingError("--preview needs frames of an earlier call: there are none")
    stream.write_painted(prepared, surveyed, str(path))
    print(path)


def _forecast_lines(prepared: "PreparedClip", stylizer: "Stylizer") -> list[str]:
    """Return lines about the time, the memory and the disk that the clip needs."""
    from impasto.video import forecast

    return forecast.forecast_clip(prepared, stylizer).lines()
