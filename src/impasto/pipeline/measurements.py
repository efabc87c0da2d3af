"""The speed of this machine: measured once, stored, and read without a tensor library.

The cost of a level is that of its targets and its evaluations. Both are linear in the number of
processed pixels, with coefficients from two small sizes; on a CPU, larger sizes cost a little
more. :mod:`impasto.pipeline.calibration` measures, and :mod:`impasto.pipeline.forecast` predicts.

The file ``measurements.json`` in the cache folder has one entry per machine and set of settings
that the speed depends on. A machine is identified by the version of impasto, backend, number of
cores, processor and GPUs.
"""

import itertools
import json
import logging
import math
import os
import platform
import re
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeAlias

from impasto import files
from impasto.compute import keras_settings, threads
from impasto.compute.native import kernels
from impasto.errors import OutputError
from impasto.losses.level_roles import LevelRole
from impasto.pipeline import memory, pyramid
from impasto.pipeline.events import LevelFinished, StepRecord
from impasto.pipeline.pyramid import Level
from impasto.pipeline.result import Result
from impasto.recipe.settings import Recipe
from impasto.version import __version__

LOG = logging.getLogger(__name__)

NAME = "measurements.json"
"""Name of the file in the cache folder."""

MAX_ENTRIES = 200
"""Maximum number of sets of settings per machine; the newest are kept."""

MAX_FILE_BYTES = 2**22
"""Maximum size of the file in bytes."""

MIN_SIZE = 320
"""Minimum longest side in pixels of a run that counts as a measurement."""

COST_EXPONENT = 0.05
"""Exponent of the time per pixel on a CPU beyond the measured sizes: larger feature maps need more
newly allocated memory (benchmarks/NOTES.md)."""

StyleSizes: TypeAlias = Sequence[tuple[int, float]]
"""Number of pixels and scale of each style image."""


@dataclass(frozen=True)
class CostCurve:
    """Seconds = base + slope · pixels, times (pixels / measured)^bend beyond the measured sizes."""

    base: float
    slope: float
    measured: float
    bend: float = 0.0

    def at(self, pixels: float) -> float:
        """Return the seconds for a number of pixels."""
        beyond = max(1.0, pixels / self.measured)
        return self.base + self.slope * pixels * beyond**self.bend


@dataclass(frozen=True)
class LevelCosts:
    """Cost of levels of a role in seconds."""

    once: float
    """one-time compilation"""
    compiling: float
    """compilation per size"""
    targets: CostCurve
    """by the processed pixels of the content and style images"""
    evaluation: CostCurve
    """by the pixels of the level"""


@dataclass(frozen=True)
class SpeedMeasurement:
    """Costs on a machine with some settings."""

    network: float
    """seconds to load the network"""
    features: str
    """see ``memory.features_of``"""
    costs: Mapping[LevelRole, LevelCosts]
    """by the role of a level"""


def cost_exponent(backend: str) -> float:
    """Return the exponent of the time per pixel beyond the measured sizes."""
    return COST_EXPONENT if backend == "native" else 0.0


def fit_curve(points: Sequence[tuple[float, float]], bend: float = 0.0) -> CostCurve:
    """Return the line through the first and last of (pixels, seconds).

    If it would have a negative slope or intercept, or if there is one point, the line goes through
    zero and the last point.
    """
    (few, short), (many, long) = points[0], points[-1]
    slope = (long - short) / (many - few) if many > few else 0.0
    if slope <= 0 or short - slope * few < 0:
        return CostCurve(0.0, long / many, many, bend)
    return CostCurve(short - slope * few, slope, many, bend)


def processed_pixels(pixels: int, styles: StyleSizes) -> float:
    """Return the number of pixels processed for the targets of a level of ``pixels``."""
    return pixels + sum(min(own, pixels) * scale**2 for own, scale in styles)


def level_roles(recipe: Recipe) -> tuple[LevelRole, ...]:
    """Return the possible roles of levels of a recipe, at any size."""
    large = Recipe(style_loss=recipe.style_loss, size=8192)
    return tuple(dict.fromkeys(level.role for level in pyramid.schedule(8192, 8192, large)))


# A run as a measurement -----------------------------------------------------------------------


def measurement_of_run(
    levels: Sequence[Level], result: Result, styles: StyleSizes
) -> SpeedMeasurement | None:
    """Return a measurement from the times of a run; None if they are not sufficient.

    ``levels`` are those planned. A run counts if it was completed as planned, without tiles and
    without interruption, and has at least MIN_SIZE pixels on the longest side.
    """
    size = max(levels[-1].height, levels[-1].width)
    timed = [_evaluation_seconds(result.history, each) for each in result.levels]
    as_planned = [each.level for each in result.levels] == [each.number for each in levels]
    if size < MIN_SIZE or not (result.finished and as_planned and all(timed)):
        return None
    if result.run_provenance.steered or result.run_provenance.recipe.tile:
        return None
    costs: dict[LevelRole, LevelCosts] = {}
    processed = [processed_pixels(each.height * each.width, styles) for each in levels]
    targets = fit_curve(
        [(max(processed), result.seconds["targets"] * max(processed) / sum(processed))]
    )
    for role in dict.fromkeys(each.role for each in levels):
        own = [(each, took) for each, took in zip(levels, timed, strict=True) if each.role == role]
        points = [(each.height * each.width, statistics.median(took[1:])) for each, took in own]
        extra = [max(0.0, took[0] - each) for (_, each), (_, took) in zip(points, own, strict=True)]
        compiling = statistics.median(extra[1:]) if extra[1:] else 0.0
        once = max(0.0, extra[0] - compiling)
        costs[role] = LevelCosts(
            once, compiling, targets, fit_curve(points, cost_exponent(result.backend))
        )
    features = memory.features_of(result.run_provenance.recipe.engine, result.precision)
    return SpeedMeasurement(result.seconds.get("network", 0.0), features, costs)


def _evaluation_seconds(history: Iterable[StepRecord], level: LevelFinished) -> list[float]:
    """Return the seconds of each evaluation of a level; empty if there are fewer than two."""
    ends = [record.seconds for record in history if record.level == level.level]
    if len(ends) < 2:
        return []
    each = [after - before for before, after in itertools.pairwise(ends)]
    return [max(0.0, level.seconds - sum(each)), *each]


# Storing --------------------------------------------------------------------------------------


def find_measurement(
    recipe: Recipe, regions: int, roles: Iterable[LevelRole]
) -> SpeedMeasurement | None:
    """Return the stored measurement for levels of some roles; None if there is none.

    ``regions`` is their number, 1 without regions. Takes milliseconds and loads no tensor
    library. A damaged file is ignored.
    """
    stored = _read_measurements().get(machine_key(), {}).get(_settings_key(recipe, regions))
    measured = _from_dict(stored)
    return measured if measured is not None and set(roles) <= set(measured.costs) else None


def store_measurement(recipe: Recipe, regions: int, measured: SpeedMeasurement) -> None:
    """Store a measurement of this machine; other measurements are kept.

    A failed write is logged.
    """
    path = measurements_file()
    if path is None:
        return
    key, machine = _settings_key(recipe, regions), machine_key()
    version = machine.split(",")[0]
    stored = _read_measurements()
    known = {name: stored[name] for name in stored if name.split(",")[0] == version}
    entries = {name: each for name, each in known.get(machine, {}).items() if name != key}
    entries = dict([*entries.items(), (key, _to_dict(measured))][-MAX_ENTRIES:])
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        files.write_text(json.dumps({**known, machine: entries}, indent=1), path)
    except (OSError, OutputError) as error:
        LOG.info("the measurement cannot be stored and will be repeated: %s", error)


def measurements_file() -> Path | None:
    """Return the path of the file; None for a user without a home folder."""
    folder = files.cache_folder()
    return None if folder is None else folder / NAME


def machine_key() -> str:
    """Return the key of this machine, with version and backend."""
    parts = (
        f"impasto {__version__}",
        " ".join(("kernels", *kernels.instruction_sets()[-1:])),
        keras_settings.chosen_backend(),
        f"{threads.core_count()} cores",
        _processor(),
        *_gpus(),
    )
    return ", ".join(parts)


def _processor(described: Path = Path("/proc/cpuinfo")) -> str:
    """Return the model of the processor; ``described`` is /proc/cpuinfo on Linux."""
    names = ("model name", "cpu family", "model", "stepping", "CPU part")
    try:
        text = described.read_text()
    except OSError:
        return platform.processor() or platform.machine()
    lines = (re.search(rf"^{name}\s*:\s*(.+)$", text, re.M) for name in names)
    return " ".join(line[1].strip() for line in lines if line) or platform.machine()


def _gpus(drivers: Path = Path("/proc/driver/nvidia/gpus")) -> list[str]:
    """Return the models of NVIDIA GPUs, and which are visible (Linux)."""
    models = []
    for each in sorted(drivers.glob("*/information")):
        try:
            model = re.search(r"^Model:\s*(.+)$", each.read_text(), re.M)
        except OSError:
            continue
        models += [model[1].strip()] if model else []
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return models + ([f"visible {visible}"] if models and visible is not None else [])


def _settings_key(recipe: Recipe, regions: int) -> str:
    """Return the key of the settings that the speed depends on."""
    content = bool(recipe.content_weight)
    return json.dumps([regions, recipe.optimizer, content, *recipe.compile_key])


def _read_measurements() -> dict[str, dict[str, Any]]:
    """Return all valid stored measurements."""
    path = measurements_file()
    try:
        if path is None or path.stat().st_size > MAX_FILE_BYTES:
            return {}
        stored = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    if not isinstance(stored, dict):
        return {}
    return {name: each for name, each in stored.items() if isinstance(each, dict)}


def _to_dict(measured: SpeedMeasurement) -> dict[str, Any]:
    costs = [{"kind": list(role), **asdict(each)} for role, each in measured.costs.items()]
    return {"network": measured.network, "features": measured.features, "costs": costs}


def _from_dict(stored: Any) -> SpeedMeasurement | None:
    """Parse a stored measurement; None if its values are invalid."""
    try:
        costs = {
            LevelRole(*(bool(each) for each in role["kind"])): LevelCosts(
                _parse_seconds(role["once"]),
                _parse_seconds(role["compiling"]),
                _parse_curve(role["targets"]),
                _parse_curve(role["evaluation"]),
            )
            for role in stored["costs"]
        }
        features = {name: name for name in memory.RATES}[stored["features"]]
        return SpeedMeasurement(_parse_seconds(stored["network"]), features, costs)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
        return None


def _parse_curve(stored: Any) -> CostCurve:
    curve = CostCurve(
        *(_parse_seconds(stored[name]) for name in ("base", "slope", "measured", "bend"))
    )
    if not (curve.measured > 0 and curve.bend <= 1):
        raise ValueError
    return curve


def _parse_seconds(value: Any) -> float:
    if not 0.0 <= (number := float(value)) < math.inf:
        raise ValueError
    return number
