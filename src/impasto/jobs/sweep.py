"""Sweeps: the same inputs with many settings, side by side on one sheet."""

import itertools
import math
import os
import shlex
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from impasto.errors import SettingError, suggest_names
from impasto.images.arrays import ImageArray, composite_on_white
from impasto.images.formats import encode
from impasto.jobs import runner
from impasto.jobs.outputs import OutputPaths
from impasto.jobs.specs import SWEEP_SIZE, InputPaths, JobSpec
from impasto.pipeline.inputs import PreparedRun
from impasto.pipeline.stylizer import Event, Stylizer
from impasto.recipe import settings as recipes
from impasto.recipe.settings import Recipe

if TYPE_CHECKING:
    from impasto.cluster.pool import WorkerPool
    from impasto.cluster.worker_state import WorkerState

SIZE = SWEEP_SIZE

MAX_VARIANTS = 100
"""Maximum number of images on a sheet."""


@dataclass(frozen=True)
class Variant:
    """One image of a sheet: its varied options, and its recipe."""

    options: tuple[str, ...]
    recipe: Recipe

    def absolute(self) -> "Variant":
        """Return a copy with absolute paths, for a process in another folder."""
        init = self.recipe.init
        if init in recipes.STARTS:
            return self
        return replace(self, recipe=replace(self.recipe, init=os.path.abspath(init)))

    def command(self, args: Sequence[str]) -> str:
        """Return the command of the image; ``args`` are the arguments that all have in common."""
        return shlex.join([*args, *self.options])


@dataclass(frozen=True)
class SweepPlan:
    """The variants of a sheet, row by row."""

    variants: tuple[Variant, ...]
    columns: int


def plan_sweep(varied: Sequence[str], make: Callable[..., Recipe]) -> SweepPlan:
    """Return all combinations of ``NAME=VALUE,VALUE,…``, with the last name changing fastest.

    ``make`` creates a recipe from settings by name. Values that contain commas are separated by
    semicolons. Raises SettingError for invalid input.
    """
    axes = [_parse_axis(text) for text in varied]
    if not axes:
        raise SettingError("nothing to vary: give --vary NAME=VALUE,VALUE at least once")
    names = [name for name, _ in axes]
    if len(set(names)) < len(names):
        raise SettingError(f"vary has {', '.join(names)}: give each setting once")
    count = math.prod(len(values) for _, values in axes)
    if count > MAX_VARIANTS:
        raise SettingError(f"{count} images: a sheet has at most {MAX_VARIANTS}; vary fewer values")
    variants = []
    for values in itertools.product(*(values for _, values in axes)):
        settings = dict(zip(names, values, strict=True))
        variants.append(Variant(recipes.to_options(settings), make(**settings)))
    last = len(axes[-1][1])
    return SweepPlan(tuple(variants), last if len(axes) > 1 else min(last, 4))


def _parse_axis(text: str) -> tuple[str, list[str]]:
    kinds = {name: kind for name, kind, _, _ in recipes.iter_settings()}
    name, _, values = text.partition("=")
    name = name.strip().replace("-", "_")
    name = recipes.RENAMED.get(name, name)
    if name not in kinds:
        raise SettingError(f"vary {text!r}: unknown setting {name!r}: {suggest_names(name, kinds)}")
    with_commas = kinds[name] in (recipes.Layers, recipes.Numbers)
    parts = values.split(";" if with_commas or ";" in values else ",")
    chosen = list(dict.fromkeys(part.strip() for part in parts if part.strip()))
    if name == "init":
        chosen = [os.path.expanduser(each) for each in chosen]
    if not chosen:
        raise SettingError(f"vary {text!r}: expected NAME=VALUE,VALUE")
    return name, chosen


class SheetPanel(NamedTuple):
    """An image of a sheet, and its report."""

    image: ImageArray
    report: dict[str, object]


class SweepWatcher(Protocol):
    """Observes the events of a run, and passes them on."""

    def __call__(
        self, variant: Variant, prepared: PreparedRun, events: Iterator[Event]
    ) -> Iterator[Event]:
        """Yield the events of a prepared variant."""
        ...


def job_spec_of(variant: Variant, inputs: InputPaths) -> JobSpec:
    """Return the job of a variant; only the sheet is written."""
    return JobSpec(inputs, OutputPaths(Path()), recipe=variant.recipe)


def group_by_network(variants: Sequence[Variant]) -> list[int]:
    """Return the numbers of the variants, grouped by the network that they use."""
    return sorted(
        range(len(variants)), key=lambda number: repr(variants[number].recipe.compile_key)
    )


def run_sweep(
    variants: Sequence[Variant],
    inputs: InputPaths,
    stylizer: Stylizer,
    watch: SweepWatcher,
) -> dict[int, SheetPanel]:
    """Run variants; return the images by number, without one that was stopped."""
    panels: dict[int, SheetPanel] = {}
    for number in group_by_network(variants):
        variant = variants[number]
        prepared = runner.prepare_run(job_spec_of(variant, inputs), stylizer)
        result = runner.last_result(watch(variant, prepared, stylizer.run(prepared)))
        if result.stopped:
            break
        image = result.pixels
        visible = image if result.alpha is None else composite_on_white(image, result.alpha)
        panels[number] = SheetPanel(visible, result.report())
    return dict(sorted(panels.items()))


def run_sweep_on_workers(
    variants: Iterable[Variant], inputs: InputPaths, weights_file: Path | None, pool: "WorkerPool"
) -> Iterator[SheetPanel]:
    """Run variants on workers, and yield the images in order.

    Workers read the inputs, so they need access to the same folders.
    """
    file = None if weights_file is None else weights_file.absolute()
    items = ((inputs.absolute(), each.absolute(), file) for each in variants)
    return pool.map(_run_variant_on_worker, items)


def _run_variant_on_worker(
    state: "WorkerState", item: tuple[InputPaths, Variant, Path | None]
) -> SheetPanel:
    state.match_parent_backend()
    inputs, variant, weights_file = item
    stylizer = state.worker_cache.setdefault("stylizer", Stylizer(weights_file=weights_file))
    panels = run_sweep([variant], inputs, stylizer, lambda variant, prepared, events: events)
    return panels[0]


LABEL, GAP = 18, 6
"""Height of a label, and distance between images, in pixels."""

MIN_COLUMN_WIDTH = 240
"""Minimum width of a column in pixels, for its label."""


def make_sheet(panels: Sequence[tuple[str, ImageArray]], columns: int) -> ImageArray:
    """Return a sheet of images of one size in rows, each under its label, on white."""
    height, width = panels[0][1].shape[:2]
    column_width, row_height = max(MIN_COLUMN_WIDTH, width) + GAP, height + LABEL + GAP
    rows = -(-len(panels) // columns)
    canvas = Image.new("RGB", (column_width * columns + GAP, row_height * rows + GAP), "white")
    draw = ImageDraw.Draw(canvas)
    font = ImageFont.load_default(11)
    for index, (label, image) in enumerate(panels):
        row, column = divmod(index, columns)
        left, top = GAP + column * column_width, GAP + row * row_height
        draw.text((left, top + LABEL - 4), label, fill="black", font=font, anchor="ls")
        canvas.paste(encode.to_pillow(image), (left, top + LABEL))
    return np.asarray(canvas, np.float32)
