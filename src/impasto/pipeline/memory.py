"""Checks before a run whether it fits into the memory that is free.

The constants are fitted to the peak resident memory of whole processes on a CPU
(benchmarks/NOTES.md).
"""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import psutil

from impasto import filearray
from impasto.errors import SettingError
from impasto.images.arrays import fit
from impasto.optimizers.registry import SOLVERS
from impasto.recipe.settings import AUTO

BASE_BYTES = 0.2e9
"""Bytes of the process while inputs are read, before a tensor library is loaded."""

IMAGE_BYTES = 12
"""Bytes per pixel of a float32 image; inputs are kept at their own sizes."""

RESIZE_BYTES = 20
"""Bytes per pixel of an input while it is resized."""

DECODE_BYTES = 60
"""Maximum bytes per pixel of an input while it is read."""

COLOR_BYTES = {"content": 170, "match": 50}
"""Bytes per pixel of an input while its colors are changed by the setting ``colors``."""


class MemoryRates(NamedTuple):
    """Memory for features and losses, in bytes."""

    fixed: float
    """libraries, network and compiled functions, independent of the size"""
    evaluation: float
    """per evaluated pixel, mostly features for the gradient"""
    style_loss: Mapping[str, tuple[float, float]]
    """by style loss: constant, and per pixel processed at once, in addition to Gram matrices"""
    full: tuple[float, float]
    """the same for matching of large images, whose style images are sampled
    (``feature_index.MAX_POSITIONS``)
    """
    feature_index: float
    """maximum for the feature index of matching with tiles; without tiles ``style_loss`` and
    ``full`` include it"""
    tiled: float
    """for matching, per pixel of a tile, instead of ``style_loss``"""


_OF_OTHERS = {"wasserstein": (0.05e9, 200.0), "neighbors": (0.0, 1200.0)}
_KERAS = MemoryRates(
    fixed=1.47e9,
    evaluation=3000,
    style_loss={**_OF_OTHERS, "matching": (0.0, 9900.0)},
    full=(0.85e9, 3350.0),
    feature_index=0.75e9,
    tiled=1850,
)
_NATIVE = MemoryRates(
    fixed=0.43e9,
    evaluation=1100,
    style_loss={
        **dict.fromkeys(("gram", "moments", "wasserstein", "neighbors"), (0.17e9, 700.0)),
        "matching": (0.0, 1000.0),
    },
    full=(0.1e9, 700.0),
    feature_index=0.78e9,
    tiled=0,
)
RATES = {"native": _NATIVE, "float32": _KERAS, "bfloat16": _KERAS}
"""Costs by the value of :func:`features_of`."""

TILED_IMAGE_BYTES = 200
"""Bytes per pixel of the level for an image that is processed in tiles and is in memory: content
image, current image, solver, and queries of the search."""

FILE_IMAGE_BYTES = 4
"""The same for an image in a file (``impasto.filearray``): only the indexes of neighbors are in
memory."""

DISK_BYTES = 250
"""Bytes on disk per pixel of an image in a file."""

FILE_RESIZE_BYTES = 24
"""Bytes per pixel of an image in a file while it is enlarged between levels, or written."""

KEPT_TARGET_BYTES = {"matching": 390}
"""Bytes per pixel of targets that are kept for all tiles."""

TILE_SIDES = (4096, 3072, 2048, 1536, 1024, 768, 512, 384, 256)
"""Possible sides of tiles in pixels."""

MAX_SHARED_TILE = 1024
"""Maximum side of tiles in pixels if workers share an image."""

TILE_MARGIN = 2 * 56
"""Pixels by which the padded box of a tile is wider and higher than its core: about two halos."""

REGION_BYTES = 300
"""Bytes per pixel for each region beyond the first: a gradient for each feature."""

KEPT_FEATURE_BYTES, PASSING_FEATURE_BYTES = 400, 300
"""Bytes per pixel of the content and style images, as processed, while targets are computed: for
features that are kept, and for those of layers in between."""


def features_of(engine: str, precision: str) -> str:
    """Return ``native``, or the number format of features with Keras."""
    if engine == "native":
        return "native"
    return "bfloat16" if precision == "bfloat16" else "float32"


@dataclass(frozen=True)
class MemoryInputs:
    """The data that the memory use of a run depends on."""

    content_size: tuple[int, int]
    """height and width of the content image in pixels"""
    size: int
    """longest side of the result in pixels"""
    styles: tuple[tuple[int, float], ...] = ()
    """number of pixels and scale of each style image"""
    other_pixels: tuple[int, ...] = ()
    """pixels of other inputs: masks, and an initial image"""
    region_count: int = 1
    evaluations: int = 10
    """at the finest level"""
    colors: str = "style"
    style_loss: str = "gram"
    optimizer: str = "lbfgs"
    features: str = "native"
    """see :func:`features_of`"""
    extra_bytes: float = 0.0
    """additional bytes, such as the frames of a video"""
    tile: int = AUTO
    """the setting"""
    workers: int | None = None
    """number of local worker processes; 0 if workers are elsewhere, None without workers"""

    @property
    def result_size(self) -> tuple[int, int]:
        """Return the height and width of the finest level, in pixels."""
        return fit(*self.content_size, self.size)


class TilePlan(NamedTuple):
    """How an image is processed so that it fits into memory."""

    tile: int = 0
    """maximum side of tiles in pixels; 0 for the whole image"""
    keep_targets: bool = True
    """whether the targets of all tiles are kept, instead of recomputed at each evaluation"""

    def narrower(self, longest: int) -> "TilePlan | None":
        """Return a plan with less memory for a level of this longest side; None if none is left."""
        side = min(self.tile or longest, longest)
        return next(
            (TilePlan(each, keep_targets=False) for each in TILE_SIDES if each <= side / 1.3), None
        )


WHOLE_IMAGE = TilePlan()


def peak_bytes(inputs: MemoryInputs, plan: TilePlan = WHOLE_IMAGE) -> float:
    """Return the estimated peak memory in bytes, while reading inputs or during the run."""
    pixels = _pixels(inputs.result_size)
    sizes = (
        _pixels(inputs.content_size),
        *(size for size, _ in inputs.styles),
        *inputs.other_pixels,
    )
    kept = sum(sizes[1:])
    if not filearray.is_large(IMAGE_BYTES * sizes[0]):
        kept += sizes[0] * (2 if inputs.colors == "content" else 1)
    preparing = COLOR_BYTES.get(inputs.colors, RESIZE_BYTES) * max(sizes)
    if filearray.is_large(IMAGE_BYTES * pixels):
        resizing = FILE_RESIZE_BYTES * pixels
    else:
        resizing = RESIZE_BYTES * max(sizes)
    running = max(
        _evaluation_bytes(inputs, plan, pixels), _target_bytes(inputs, plan, pixels), resizing
    )
    fixed = RATES[inputs.features].fixed
    return IMAGE_BYTES * kept + max(BASE_BYTES + preparing, fixed + running) + inputs.extra_bytes


def _pixels(size: tuple[int, int]) -> int:
    return size[0] * size[1]


def _pixels_at_once(plan: TilePlan, pixels: float) -> float:
    """Return the number of pixels that are processed at once."""
    return min(pixels, (plan.tile + TILE_MARGIN) ** 2) if plan.tile else pixels


def _evaluation_bytes(inputs: MemoryInputs, plan: TilePlan, pixels: int) -> float:
    rates, matching = RATES[inputs.features], inputs.style_loss == "matching"
    solver = SOLVERS[inputs.optimizer]
    fixed, per_pixel = _style_bytes(inputs, plan, pixels)
    per_pixel += rates.evaluation + REGION_BYTES * (inputs.region_count - 1)
    in_file = solver.accepts_files and filearray.is_large(IMAGE_BYTES * pixels)
    history = 0 if in_file else solver.history_bytes(inputs.evaluations)
    if not plan.tile:
        return fixed + (per_pixel + history) * pixels
    targets = KEPT_TARGET_BYTES.get(inputs.style_loss, 0) * plan.keep_targets * pixels
    index = rates.feature_index * matching * inputs.region_count
    tile = fixed + index + per_pixel * _pixels_at_once(plan, pixels)
    image = (FILE_IMAGE_BYTES if in_file else TILED_IMAGE_BYTES + history) * pixels
    if inputs.workers is None:
        return tile + image + targets
    # Each worker has a network, the content image, and the current image.
    worker = rates.fixed + tile + 2 * IMAGE_BYTES * pixels
    return index + image + inputs.workers * worker + targets * bool(inputs.workers)


def _style_bytes(inputs: MemoryInputs, plan: TilePlan, pixels: int) -> tuple[float, float]:
    """Return the bytes of a style loss: constant, and per processed pixel."""
    rates = RATES[inputs.features]
    rate = rates.style_loss.get(inputs.style_loss, (0.0, 0.0))
    if inputs.style_loss != "matching":
        return rate
    if plan.tile:
        return rate[0], rates.tiled
    return min((rate, rates.full), key=lambda each: each[0] + each[1] * pixels)


def _target_bytes(inputs: MemoryInputs, plan: TilePlan, pixels: int) -> float:
    """Memory for the style images of a region, which are processed before their reduction."""
    sizes = [pixels, *(min(size, pixels) * scale**2 for size, scale in inputs.styles)]
    at_once = [_pixels_at_once(plan, each) for each in sizes]
    if plan.tile:
        at_once = [max(at_once)]
    return KEPT_FEATURE_BYTES * sum(at_once) + PASSING_FEATURE_BYTES * max(at_once)


def iter_plans(inputs: MemoryInputs) -> Iterator[TilePlan]:
    """Yield the plans that the setting allows, fastest first."""
    longest = max(inputs.result_size)
    smaller = [side for side in TILE_SIDES if side < longest]
    if inputs.workers is not None:
        shared = [
            side
            for side in smaller
            if side <= MAX_SHARED_TILE and _tile_count(inputs, side) >= inputs.workers
        ]
        auto = shared or smaller[-1:] or [0]
    else:
        auto = [0, *smaller]
    for side in auto if inputs.tile == AUTO else [inputs.tile]:
        if side == 0 or side >= longest:
            yield TilePlan()
        else:
            yield from (TilePlan(side, keep) for keep in (True, False))


def _tile_count(inputs: MemoryInputs, side: int) -> int:
    height, width = inputs.result_size
    return math.ceil(height / side) * math.ceil(width / side)


def plan_tiles(inputs: MemoryInputs, limit: float | None = None) -> TilePlan:
    """Return the fastest plan that fits into ``limit`` bytes and into the memory that is free.

    Raises SettingError, which names the largest size that fits, if there is none.
    """
    available = min(free_bytes(), math.inf if limit is None else limit)
    for plan in iter_plans(inputs):
        if peak_bytes(inputs, plan) <= available:
            return plan
    height, width = inputs.result_size
    needed = min(peak_bytes(inputs, plan) for plan in iter_plans(inputs))
    fitting = largest_size(inputs, available)
    advice = f"the largest size that fits is {fitting}" if fitting else "free some memory first"
    allowed = "are allowed" if available == limit else "are free"
    raise SettingError(
        f"an image of {width} x {height} px needs about {needed / 1e9:.1f} GB of memory, "
        f"{available / 1e9:.1f} GB {allowed}: {advice}"
    )


def check_disk(inputs: MemoryInputs) -> None:
    """Raise SettingError if the disk has too little space for an image in a file."""
    height, width = inputs.result_size
    if not filearray.is_large(IMAGE_BYTES * height * width):
        return
    needed = DISK_BYTES * height * width
    available = psutil.disk_usage(str(filearray.file_folder())).free
    if needed > available:
        fitting = int(inputs.size * (available / needed) ** 0.5) // 16 * 16
        raise SettingError(
            f"an image of {width} x {height} px needs about {needed / 1e9:.1f} GB on disk "
            f"during the run; {available / 1e9:.1f} GB are free in {filearray.file_folder()} (set "
            f"TMPDIR to another folder): the largest size that fits is {fitting}"
        )


def largest_size(inputs: MemoryInputs, available: float) -> int:
    """Return the largest longest side in pixels, a multiple of 16, that fits; 0 if none does."""
    sizes = (replace(inputs, size=size) for size in range(inputs.size // 16 * 16, 0, -16))
    fitting = (
        each.size
        for each in sizes
        if any(peak_bytes(each, plan) <= available for plan in iter_plans(each))
    )
    return next(fitting, 0)


def readable_pixels(limit: float | None) -> int:
    """Return the maximum number of pixels of a content image that memory can hold."""
    available = free_bytes() if limit is None else limit
    return int(max(0.0, available - BASE_BYTES) / DECODE_BYTES)


def memory_limit(given: str | float | None) -> float | None:
    """Return an amount of memory in bytes. Raises SettingError for an invalid one."""
    if given is None:
        return None
    if isinstance(given, str):
        return parse_bytes(given)
    if not 0 < given < math.inf:
        raise SettingError(f"memory is {given:g}: expected bytes, or an amount such as '3GB'")
    return float(given)


def parse_bytes(text: str) -> float:
    """Return the bytes of an amount such as ``3GB`` or ``800 MB``. Raises SettingError.

    >>> parse_bytes("3GB"), parse_bytes("1.5 gib")
    (3000000000.0, 1610612736.0)
    """
    match = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([kmgt]i?)?b?\s*", text, re.IGNORECASE)
    if not match or not (amount := float(match[1])):
        raise SettingError(f"memory is {text!r}: expected an amount such as 3GB or 800MB")
    unit = (match[2] or "").lower()
    base = 1024 if unit.endswith("i") else 1000
    return float(amount * base ** " kmgt".index(unit[:1] or " "))


# Free memory --------------------------------------------------------------------------------


def free_bytes() -> float:
    """Return the free bytes, on this machine and in the control groups of this process."""
    return min([float(psutil.virtual_memory().available), *_iter_group_bytes()])


def _iter_group_bytes() -> Iterator[float]:
    """Yield the free bytes of each control group of this process and its parents (Linux)."""
    try:
        groups = group_folders(Path("/proc/self/cgroup").read_text())
    except OSError:
        return
    for folder in groups:
        for names in (
            ("memory.max", "memory.current", "memory.stat"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "memory.stat"),
        ):
            try:
                yield group_bytes_left(*((folder / name).read_text() for name in names))
            except (OSError, ValueError):  # of the other version, without a limit, or not for us
                continue


def group_folders(groups: str, root: Path = Path("/sys/fs/cgroup")) -> list[Path]:
    """Return the folders of memory control groups and their parents, from /proc/self/cgroup.

    Inside a container some may not exist, since its own group appears as the root.

    >>> group_folders("4:memory:/a/b")[0].as_posix()
    '/sys/fs/cgroup/memory/a/b'
    """
    folders: dict[Path, None] = {}
    for line in groups.splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        top = root / "memory" if controllers else root
        folder = top / path.lstrip("/")
        parents = (each for each in folder.parents if each.is_relative_to(top))
        folders.update(dict.fromkeys([folder, *parents]))
    return list(folders)


def group_bytes_left(limit: str, used: str, stat: str) -> float:
    """Return the free bytes of a group, from the texts of its files, for both versions.

    Inactive file pages are reclaimed when needed, so they count as free.

    >>> group_bytes_left("1000", "700", "anon 500\\ninactive_file 50")
    350.0
    """
    if limit.strip() == "max":
        return float("inf")
    # The first version counts those of the groups below under another name.
    reclaimable = re.search(r"^total_inactive_file (\d+)$", stat, re.M) or re.search(
        r"^inactive_file (\d+)$", stat, re.M
    )
    return max(0.0, float(limit) - float(used) + (float(reclaimable[1]) if reclaimable else 0.0))
