"""The backend that Keras is set to, found without loading Keras."""

import importlib.util
import json
import os
import sys
from pathlib import Path

BACKENDS = ("tensorflow", "jax", "torch")
"""Those that Keras may run on, by the names of their packages too."""


def settings_file() -> Path:
    """Return the file that Keras reads its settings from, and makes where there is none."""
    home = os.path.expanduser("~")
    usual = os.path.join(home if os.access(home, os.W_OK) else "/tmp", ".keras")
    return Path(os.path.expanduser(os.environ.get("KERAS_HOME", usual)), "keras.json")


def replacement_backend() -> str | None:
    """Return the backend to load instead of that in a person's ``keras.json``; None for that one.

    The file may name a backend for other work, that impasto does not know or that this
    environment lacks. What KERAS_BACKEND names was named for this run, and is not replaced.
    """
    wanted = _backend_in_file()
    if wanted is None:
        return None
    usable = wanted in BACKENDS and importlib.util.find_spec(wanted) is not None
    return None if usable or "keras" in sys.modules else "tensorflow"


def chosen_backend() -> str:
    """Return the backend that Keras runs on, or will run on once it is loaded."""
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
    """Return what ``keras.json`` names; None where there is no such file that can be read."""
    try:
        said = json.loads(settings_file().read_text(encoding="utf-8"))
        return str(said.get("backend", "tensorflow"))
    except (OSError, ValueError, AttributeError):
        return None
