"""Selects the engine if the recipe does not."""

import logging
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from impasto.compute.native import kernels
from impasto.errors import BackendError
from impasto.network.weights import Weights
from impasto.recipe.settings import Recipe

if TYPE_CHECKING:
    from impasto.engines.engine import Engine

LOG = logging.getLogger(__name__)

EngineName = Literal["native", "keras"]

INSTALL_HINT = "install a C compiler, then run: pip install --force-reinstall --no-deps impasto"
"""The remedy for missing kernels."""


def choose_engine(recipe: Recipe) -> EngineName:
    """Return the engine of a recipe.

    ``auto`` is Keras on a GPU, for bfloat16, or if the kernels were not built; else native.
    """
    if recipe.engine == "native":
        return "native"
    if recipe.engine == "keras" or recipe.precision == "bfloat16":
        return "keras"
    return "keras" if not kernels.kernels_available() or _has_gpu() else "native"


def describe_auto() -> str:
    """Return the engine that ``auto`` selects on this machine, and why if it is slower."""
    if choose_engine(Recipe()) == "native":
        return f"native, with {kernels.instruction_sets()[-1]}"
    if kernels.kernels_available():
        return "keras, on a GPU"
    return f"keras, because the compiled kernels are missing: {INSTALL_HINT}"


def build_engine(recipe: Recipe, weights: Weights, instruction_set: str = "") -> "Engine":
    """Return the engine of a recipe, with a network of validated weights.

    ``instruction_set`` is that of the compiled kernels, by default the best of this processor.

    Raises:
        BackendError: the engine cannot be used
    """
    if choose_engine(recipe) == "keras":
        chosen = recipe.engine == "keras" or recipe.precision == "bfloat16"
        if not chosen and not kernels.kernels_available():
            LOG.warning(
                "the compiled kernels are missing; Keras is used, which is slower: %s", INSTALL_HINT
            )
        from impasto.engines.keras_engine import KerasEngine  # loads the tensor library

        return KerasEngine(weights, recipe)
    from impasto.engines.native_engine import NativeEngine  # loads all losses

    try:
        return NativeEngine(weights, recipe, instruction_set)
    except ImportError as error:
        raise BackendError(f"{error} Or use the keras engine.") from None


def _has_gpu() -> bool:
    """Return whether Keras would compute on a GPU. Loads Keras only if there may be one."""
    apple = sys.platform == "darwin" and os.environ.get("KERAS_BACKEND") == "torch"
    devices = (Path("/dev/nvidiactl"), Path("/dev/kfd"), Path("/dev/dxg"))
    if not (apple or any(each.exists() for each in devices) or shutil.which("nvidia-smi")):
        return False
    from impasto.compute import keras_backend

    return not keras_backend.runs_on_cpu()
