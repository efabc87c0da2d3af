"""Loads the libraries of the extra ``video``, with one line of advice where they are missing."""

import importlib
from typing import Any

from impasto import extras
from impasto.errors import ImpastoError


def load(name: str) -> Any:
    """Return the module ``av`` or ``cv2``.

    Raises ImpastoError if it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError:
        raise ImpastoError(extras.missing_extra_message("video")) from None


def check() -> None:
    """Raise ImpastoError unless all libraries of the extra are installed."""
    if extras.missing_modules("video"):
        raise ImpastoError(extras.missing_extra_message("video"))
