"""The configured backend of Keras, found without loading Keras."""

import importlib.util
import json
import os
import sys
from pathlib import Path

BACKENDS = ("tensorflow", "jax", "torch")
"""Supported backends, which are also the names of their packages."""


def settings_file() -> Path:
    """Return the settings file of Keras, which creates it if it is missing."""
    home = os.path.expanduser("~")
    usual = os.path.join(home if os.access(home, os.W_OK) else "/tmp", ".keras")
    return Path(os.path.expanduser(os.environ.get("KERAS_HOME", usual)), "keras.json")


def replacement_backend() -> str | None:
    """Return the backend to load instead of the one in ``keras.json``; None to use that one.

    The file may name a backend for other programs, which impasto does not support or which is not
    installed. KERAS_BACKEND is meant for this run, and is not replaced.
    """
    wanted = _backend_in_file()
    if wanted is None:
        return None
    usable = wanted in BACKENDS and importlib.util.find_spec(wanted) is not None
    return None if usable or "keras" in sys.modules else "tensorflow"


def chosen_backend() -> str:
    """Return the backend that Keras uses, or will use when it is loaded."""
    keras = sys.modules.get("keras")
    if keras is not None and hasattr(keras, "backend"):
        return str(keras.backend.backend())
    return (
        os.environ.get("KERAS_BACKEND")
        or replacement_backend()
        or _backend_in_file()
        or "tensorflow"
    )


def _backend_in_file() -> str | None:
    """Return the backend in ``keras.json``; None if the file is missing or invalid."""
    try:
        settings = json.loads(settings_file().read_text(encoding="utf-8"))
        return str(settings.get("backend", "tensorflow"))
    except (OSError, ValueError, AttributeError):
        return None
