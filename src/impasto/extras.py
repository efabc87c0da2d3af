"""Optional dependencies: which are installed, and the command that installs a missing one.

The names are those of the optional dependencies in ``pyproject.toml``. An installation without
extras stylizes images; an extra adds a feature that only some users need.
"""

import importlib.metadata
import importlib.util
import json
from typing import NamedTuple
from urllib.parse import urlsplit
from urllib.request import url2pathname


class Extra(NamedTuple):
    """An optional dependency: the modules that it provides, and the features that need them."""

    modules: tuple[str, ...]
    features: str


EXTRAS: dict[str, Extra] = {
    "studio": Extra(("cv2", "segno", "starlette", "uvicorn"), "the studio"),
    "video": Extra(("imageio_ffmpeg", "av", "cv2"), "videos"),
    "plot": Extra(("matplotlib",), "plots of the losses"),
    "heif": Extra(("pillow_heif",), "HEIC images"),
    "cluster": Extra(("distributed", "cloudpickle", "cryptography"), "workers"),
}
"""Extras by name. The Keras backends, ``jax`` and ``cuda``, are in ``compute.keras_backend``."""


def missing_modules(extra: str) -> tuple[str, ...]:
    """Return the modules of an extra that are not installed; nothing is imported."""
    return tuple(name for name in EXTRAS[extra].modules if importlib.util.find_spec(name) is None)


def missing_extra_message(extra: str) -> str:
    """Return the message for a missing extra, with the command that installs it."""
    modules = ", ".join(missing_modules(extra)) or ", ".join(EXTRAS[extra].modules)
    return f"{modules} not installed: for {EXTRAS[extra].features}, run {install_command(extra)}"


def provided_extras() -> list[str]:
    """Return the names of all extras of the installed package, empty if pip did not install it."""
    try:
        return importlib.metadata.metadata("impasto").get_all("Provides-Extra") or []
    except importlib.metadata.PackageNotFoundError:
        return []


def install_command(extra: str) -> str:
    """Return the command that installs an extra.

    If impasto was installed from a folder, the command names this folder: the package index may
    not have impasto.

    Example:
        >>> install_command("plot").startswith("pip install")
        True
    """
    folder, editable = _source_folder()
    if folder is None:
        return f"pip install 'impasto[{extra}]'"
    return f"pip install {'-e ' * editable}'{folder}[{extra}]'"


def _source_folder() -> tuple[str | None, bool]:
    """Return the folder from which impasto was installed, or None, and whether it is editable."""
    try:
        origin = importlib.metadata.distribution("impasto").read_text("direct_url.json")
        stated = json.loads(origin or "{}")
    except (importlib.metadata.PackageNotFoundError, ValueError):
        return None, False
    if "dir_info" not in stated:
        return None, False
    return url2pathname(urlsplit(stated["url"]).path), bool(stated["dir_info"].get("editable"))
