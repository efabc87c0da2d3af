"""Additional outputs of a run: frames, video, plot, report."""

import json
import os
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from impasto import extras, files
from impasto.errors import InputError, OutputError, SettingError
from impasto.images.formats import encode, video
from impasto.images.formats.save_options import DEFAULT_SAVE_OPTIONS, SaveOptions
from impasto.pipeline.events import Step
from impasto.pipeline.pyramid import Level
from impasto.pipeline.result import Result
from impasto.pipeline.stylizer import Event

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

VIDEO_FRAMES = 100
"""Approximate number of frames of a video."""


@dataclass(frozen=True)
class OutputPaths:
    """Paths of all outputs."""

    result: Path
    frames: Path | None = None
    """folder for images during the run"""
    save_every: int | None = None
    """evaluations between two of these images; None for each evaluation"""
    timelapse: Path | None = None
    plot: Path | None = None
    report: Path | None = None
    saving: SaveOptions = DEFAULT_SAVE_OPTIONS
    """how the result is written"""
    checkpoint: Path | None = None
    """path of the checkpoint"""

    def paths(self) -> dict[str, Path]:
        """Return the paths of files by name."""
        names = ("result", "timelapse", "plot", "report", "checkpoint")
        return {name: path for name in names if (path := getattr(self, name)) is not None}

    def to_args(self) -> list[str]:
        """Return the arguments for the command line, without the checkpoint."""
        options = {
            "--output": self.result,
            "--frames": self.frames,
            "--frames-every": self.save_every,
            "--timelapse": self.timelapse,
            "--plot": self.plot,
            "--report": self.report,
        }
        given = {option: value for option, value in options.items() if value is not None}
        return [
            word for option, value in given.items() for word in (option, _as_arg(value))
        ] + list(self.saving.as_options())


def _as_arg(value: Path | int) -> str:
    """Return a value for the command line, so that a leading dash is not read as an option."""
    return f"./{value}" if str(value).startswith("-") else str(value)


def check_outputs(outputs: OutputPaths, inputs: Iterable[str] = ()) -> None:
    """Raise OutputError or SettingError for an output that cannot be written.

    ``inputs`` are the paths of input images, none of which may be overwritten.
    """
    _check_distinct(outputs, inputs)
    encode.check_writable(outputs.result, outputs.saving)
    if outputs.timelapse:
        video.check_video(outputs.timelapse)
    if outputs.plot:
        _check_plot(outputs.plot)
    if outputs.report:
        files.check_output(outputs.report, (".json",))
    if outputs.save_every is not None and outputs.frames is None:
        raise SettingError("--frames-every needs --frames FOLDER: give both")
    if outputs.save_every is not None and outputs.save_every < 1:
        raise SettingError(f"--frames-every is {outputs.save_every}: the minimum is 1")
    if outputs.frames:
        if outputs.frames.exists() and not outputs.frames.is_dir():
            raise SettingError(f"--frames {outputs.frames} is a file: give a folder")
        # The folder is created with the first frame; its parent must exist.
        exists = outputs.frames.exists()
        encode.check_writable((outputs.frames if exists else outputs.frames.parent) / "frame.png")


def _check_plot(path: Path) -> None:
    files.check_output(path, (".png", ".svg", ".pdf"))
    if extras.missing_modules("plot"):
        raise OutputError(extras.missing_extra_message("plot"))


def check_output_sizes(outputs: OutputPaths, height: int, width: int) -> None:
    """Raise OutputError for an output format that does not support an image of this size."""
    encode.check_format_size(outputs.result, height, width, outputs.saving)
    if outputs.timelapse:
        video.check_video_size(outputs.timelapse, height, width)


def _check_distinct(outputs: OutputPaths, inputs: Iterable[str]) -> None:
    taken = {os.path.realpath(path): f"the input {path}" for path in inputs}
    for name, path in outputs.paths().items():
        if (real := os.path.realpath(path)) in taken:
            raise SettingError(f"the {name} would overwrite {taken[real]}: use another name")
        taken[real] = f"the {name} {path}"


@dataclass
class OutputRecorder:
    """Writes frames during the run, and keeps those of the video."""

    outputs: OutputPaths
    evaluations: int
    """number of evaluations of the run"""
    evaluated: int = 0
    """number of evaluations so far"""
    video_frames: list[NDArray[np.uint8]] = field(default_factory=list)
    failure: str = ""
    """why frames could not be written, if so"""

    @property
    def video_every(self) -> int:
        """Return the number of evaluations between two frames of the video."""
        return max(1, self.evaluations // VIDEO_FRAMES)

    def video_bytes(self, levels: Iterable[Level]) -> float:
        """Return the memory for the frames of the video in bytes, if there is one."""
        frame_bytes = sum(3 * each.height * each.width * each.evaluations for each in levels)
        return frame_bytes / self.video_every if self.outputs.timelapse else 0.0

    def note(self, event: Event) -> None:
        """Record a step."""
        if not isinstance(event, Step):
            return
        self.evaluated += 1
        if self.outputs.timelapse and self.evaluated % self.video_every == 0:
            self.video_frames.append(np.asarray(encode.to_pillow(event.pixels)))
        every, folder = self.outputs.save_every or 1, self.outputs.frames
        if folder and not self.failure and self.evaluated % every == 0:
            try:
                folder.mkdir(exist_ok=True)
                encode.write_image(event.pixels, folder / f"frame-{self.evaluated:05d}.png")
            except (InputError, OSError) as error:  # a run does not fail for its frames
                self.failure = f"no frames are written from evaluation {self.evaluated}: {error}"


def write_outputs(result: Result, recorder: OutputRecorder) -> None:
    """Write the result, then all other outputs.

    Raises OutputError. If the result cannot be written, the error says where it was saved instead.
    """
    outputs = recorder.outputs
    try:
        result.save(outputs.result, outputs.saving)
    except InputError as error:
        raise OutputError(f"{error}; {_rescue(result, outputs)}") from error
    if outputs.report:
        files.write_text(json.dumps(result.report(), indent=2) + "\n", outputs.report)
    if outputs.plot:
        with files.atomic_replace(outputs.plot) as path:
            plot_history(result).savefig(path, format=outputs.plot.suffix[1:].lower(), dpi=120)
    if outputs.timelapse:
        video.write_video([*recorder.video_frames, result.pixels], outputs.timelapse)


def _rescue(result: Result, outputs: OutputPaths) -> str:
    """Return where the result is kept; without a checkpoint, save it in the temporary folder."""
    if outputs.checkpoint is not None and outputs.checkpoint.exists():
        return f"nothing is lost: resume with --resume {files.display_path(outputs.checkpoint)}"
    chosen, path = outputs.result, None
    height, width = result.pixels.shape[:2]
    ending = encode.ending_that_fits(chosen.suffix, height, width, outputs.saving)
    try:
        path = files.reserve_name(tempfile.gettempdir(), chosen.stem, ending)
        result.save(path, outputs.saving)
    except (InputError, OSError):
        if path is not None:
            files.release_name(path)
        return "and it could not be saved to the temporary folder either"
    return f"the result was saved as {files.display_path(path)} instead"


def remove_partial_outputs(outputs: OutputPaths) -> None:
    """Remove temporary files that a killed process left at these outputs."""
    for path in outputs.paths().values():
        files.remove_temporary_files(path)


def plot_history(result: Result) -> "Figure":
    """Plot the losses against evaluations; return a Matplotlib figure.

    The first plot has the weighted terms and their total, with a cross at evaluations that did not
    lower the total, such as rejected steps of a line search. The second has the parts of the layers
    in the unweighted content and style losses.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    by_layer = _layer_curves(result)
    figure = Figure(figsize=(8, 4.5 if not by_layer else 8), layout="constrained")
    axes, *others = figure.subplots(1 + bool(by_layer), sharex=True, squeeze=False)[:, 0]
    _plot_terms(axes, result)
    for other in others:
        _plot_layers(other, by_layer)
    (others or [axes])[-1].set_xlabel("evaluations")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    _mark_levels(axes, others, result)
    return figure


def _plot_terms(axes: "Axes", result: Result) -> None:
    """Plot the weighted terms, their total, and the evaluations that did not lower it."""
    history = result.history
    content, style, tv = result.recipe.weights
    evaluations = range(1, len(history) + 1)
    curves = {
        "total": [record.total for record in history],
        "content": [content * record.content for record in history],
        "style": [style * record.style for record in history],
        "total variation": [tv * record.tv for record in history],
    }
    for name, values in curves.items():
        if any(value > 0 for value in values):
            axes.plot(evaluations, values, label=name, linewidth=2 if name == "total" else 1.2)
    rejected = [number for number, each in enumerate(history, 1) if each.rejected]
    if rejected:
        totals = [history[number - 1].total for number in rejected]
        axes.plot(rejected, totals, "x", color="black", label="rejected", zorder=3)
    axes.set(ylabel="weighted loss", yscale="log")
    # The content loss starts near zero if the content image is the initial image.
    axes.set_ylim(bottom=max(axes.get_ylim()[0], 1e-4 * min(curves["total"])))
    axes.legend(frameon=False, fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))


def _layer_curves(result: Result) -> dict[tuple[str, str], list[float]]:
    """Return the parts in the losses by loss and layer, NaN where a level does not use the layer.

    A loss that one layer has alone is left out, since the first plot has it.
    """
    found = {
        (term, layer): None
        for record in result.history
        for term, parts in record.layers.items()
        if len(parts) > 1
        for layer in parts
    }
    return {
        (term, layer): [record.layers.get(term, {}).get(layer, np.nan) for record in result.history]
        for term, layer in sorted(found)
    }


def _plot_layers(axes: "Axes", curves: dict[tuple[str, str], list[float]]) -> None:
    """Plot the parts of the layers: a color per block, a dash pattern per layer of it."""
    dashes = ("-", "--", ":", "-.")
    for (term, layer), values in curves.items():
        block, _, name = layer.removeprefix("block").partition("_conv")
        number = int(block) if block.isdigit() else 0
        style = dashes[(int(name) - 1) % len(dashes)] if name.isdigit() else "-"
        color = f"C{number}" if term == "style" else "0.5"
        evaluations = range(1, len(values) + 1)
        axes.plot(evaluations, values, style, color=color, label=f"{term} {layer}", linewidth=1.2)
    axes.set(ylabel="part of the unweighted loss", yscale="log")
    axes.legend(frameon=False, fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))


def _mark_levels(axes: "Axes", others: "Sequence[Axes]", result: Result) -> None:
    """Draw a line where a level begins, and write its size above the first plot."""
    end = 0
    for level in result.levels:
        for each in (axes, *others):
            each.axvline(end + 0.5, color="0.8", linewidth=0.8, zorder=0)
        axes.annotate(
            f"{level.width} x {level.height}",
            (end + 1, 1.01),
            xycoords=("data", "axes fraction"),
            fontsize=8,
        )
        end += level.evaluations
