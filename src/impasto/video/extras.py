"""Loads the libraries of the extra ``video``, with one line of advice where they are missing."""

import importlib
from typing import Any

from impasto.errors import ImpastoError

_PACKAGES = {"av": "av", "cv2": "opencv-python-headless"}


def load(name: str) -> Any:
    """Return the module ``av`` or ``cv2``.

    Raises ImpastoError if it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError:
        raise ImpastoError(
            f"video needs the package {_PACKAGES[name]}: pip install 'impasto[video]'"
        ) from None


def check() -> None:
    """Raise ImpastoError unless all libraries of the extra are installed."""
    for name in _PACKAGES:
        load(name)
