"""Whether a painting fits into the memory that is free, before it is begun.

The constants are read off the peak resident memory of whole processes, of TensorFlow on a processor
(benchmarks/NOTES.md). Where nothing is loaded yet that could say which precision is faster,
float32 is counted.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import psutil

from impasto.errors import SettingError
from impasto.pictures.raster import fit

FIXED = {"float32": 1.47e9, "bfloat16": 1.09e9}
"""Bytes that the libraries, the network and its compilation take, whatever the size."""

BARE = 0.2e9
"""Bytes of the program before a tensor library is loaded, while inputs are read and prepared."""

PICTURE = 12
"""Bytes for each pixel of a picture in float32, which inputs are kept in at their own sizes."""

RESIZING = 20
"""Bytes for each pixel of an input, at its own size, while it is made smaller."""

CHANGING = {"content": 170, "match": 50}
"""Bytes for each pixel of an input while it gets other colors, by the setting ``colors``."""

EVALUATION = {"float32": 1150, "bfloat16": 1400}
"""Bytes for each pixel that is evaluated, mostly features that the gradient needs."""

OPTIMIZER = {"lbfgs": 48, "scipy": 68, "adam": 0}
"""Bytes for each pixel and step that an optimizer remembers, of STEPS at most."""

STEPS = 10

STYLE_LOSS = {"wasserstein": (0.05e9, 200), "neighbors": (0, 1200), "matching": (0, 9900)}
"""Bytes by measure of style, in all and for each pixel, besides those of Gram matrices."""

PLACE = 300
"""Bytes for each pixel and each place beyond the first: a gradient for every feature."""

TARGET, LOOKING = 400, 300
"""Bytes for each pixel of the photograph and of paintings, as they are seen, while targets are
computed: for features that are kept, and for those in between of the picture that is looked at."""


@dataclass(frozen=True)
class Work:
    """What decides how much memory a painting takes."""

    photograph: tuple[int, int]
    """its own height and width in pixels"""
    size: int
    """longest side of the picture to be painted, in pixels"""
    paintings: tuple[tuple[int, float], ...] = ()
    """of each its own number of pixels, and the scale it is seen at"""
    others: tuple[int, ...] = ()
    """pixels of other inputs: masks, and a picture to start from"""
    places: int = 1
    evaluations: int = STEPS
    """at the finest level"""
    colors: str = "style"
    style_loss: str = "gram"
    optimizer: str = "lbfgs"
    precision: str = "float32"
    """of features, float32 or bfloat16"""
    held: float = 0.0
    """bytes that are kept besides, such as the frames of a film"""

    @property
    def painted(self) -> tuple[int, int]:
        """Return the height and width of the finest level, in pixels."""
        return fit(*self.photograph, self.size)


def needed(work: Work) -> float:
    """Return about how many bytes there are at the peak: before a tensor library, or with it."""
    pixels = _product(work.painted)
    inputs = (_product(work.photograph), *(own for own, _ in work.paintings), *work.others)
    copies = PICTURE * (sum(inputs) + (work.colors == "content") * inputs[0])
    preparing = CHANGING.get(work.colors, RESIZING) * max(inputs)
    at_once = max(_evaluating(work, pixels), _targets(work, pixels), RESIZING * max(inputs))
    return copies + max(BARE + preparing, FIXED[work.precision] + at_once) + work.held


def _product(size: tuple[int, int]) -> int:
    return size[0] * size[1]


def _evaluating(work: Work, pixels: int) -> float:
    fixed, each = STYLE_LOSS.get(work.style_loss, (0, 0))
    steps = min(work.evaluations - 1, STEPS)
    each += EVALUATION[work.precision] + PLACE * (work.places - 1)
    return fixed + (each + steps * OPTIMIZER[work.optimizer]) * pixels


def _targets(work: Work, pixels: int) -> float:
    """All paintings of a place are looked at before their style is summarized."""
    seen = [pixels, *(min(own, pixels) * scale**2 for own, scale in work.paintings)]
    return TARGET * sum(seen) + LOOKING * max(seen)


def fits(work: Work) -> bool:
    """Return whether a painting fits into the memory that is free."""
    return needed(work) <= free()


def require(work: Work) -> None:
    """Raise SettingError, naming the largest size that fits, if a painting does not fit."""
    there = free()
    if needed(work) <= there:
        return
    height, width = work.painted
    fitting = largest(work, there)
    advice = f"the largest size that fits is {fitting}" if fitting else "free some memory first"
    raise SettingError(
        f"a picture of {width} x {height} px needs about {needed(work) / 1e9:.1f} GB of memory, "
        f"{there / 1e9:.1f} GB are free: {advice}"
    )


def largest(work: Work, there: float) -> int:
    """Return the longest side in pixels, a multiple of 16, that fits into so many bytes, or 0."""
    sizes = range(16, work.size + 1, 16)
    return max((size for size in sizes if needed(replace(work, size=size)) <= there), default=0)


# --- what is free ------------------------------------------------------------------------------


def free() -> float:
    """Return the bytes that are free: on this machine, and to the groups this process is in."""
    return min([float(psutil.virtual_memory().available), *_left_to_groups()])


def _left_to_groups() -> Iterator[float]:
    """Yield what each control group leaves, of those above this process and its own (Linux)."""
    try:
        groups = folders(Path("/proc/self/cgroup").read_text())
    except OSError:
        return
    for folder in groups:
        for names in (
            ("memory.max", "memory.current", "memory.stat"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "memory.stat"),
        ):
            try:
                yield left(*((folder / name).read_text() for name in names))
            except (OSError, ValueError):  # of the other version, without a limit, or not for us
                continue


def folders(groups: str, root: Path = Path("/sys/fs/cgroup")) -> list[Path]:
    """Return the folders of memory's groups, from the text of /proc/self/cgroup, and their parents.

    Inside a container some of them may not be there, since it sees its own as the top.

    >>> folders("4:memory:/a/b")[0].as_posix()
    '/sys/fs/cgroup/memory/a/b'
    """
    found: dict[Path, None] = {}
    for line in groups.splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        top = root / "memory" if controllers else root
        own = top / path.lstrip("/")
        above = (each for each in own.parents if each.is_relative_to(top))
        found.update(dict.fromkeys([own, *above]))
    return list(found)


def left(limit: str, used: str, stat: str) -> float:
    """Return the bytes that a group leaves, from the texts of its files; both versions.

    What was read from files and not used lately is given back when it is needed.

    >>> left("1000", "700", "anon 500\\ninactive_file 50")
    350.0
    """
    if limit.strip() == "max":
        return float("inf")
    # The first version counts those of the groups below under another name.
    given_back = re.search(r"^total_inactive_file (\d+)$", stat, re.M) or re.search(
        r"^inactive_file (\d+)$", stat, re.M
    )
    return max(0.0, float(limit) - float(used) + (float(given_back[1]) if given_back else 0.0))
