"""What all levels of a painting share: the network, and the compiled loss."""

import gc
import os
from collections.abc import Mapping
from dataclasses import dataclass

from impasto.compute import backend
from impasto.losses import objective
from impasto.losses.style import LAST_PASSES
from impasto.network import activations, vgg, weights
from impasto.network.vgg import Features
from impasto.recipe.settings import Recipe


@dataclass(frozen=True)
class Engine:
    """The network and the compiled loss of a recipe."""

    network: Mapping[str, str]
    """name, source and sha256 of the weights"""
    precision: str
    """of the features, float32 or bfloat16"""
    features: Features
    step: objective.Step
    last_step: objective.Step | None
    """that of the style loss's last pass, if it has one"""


class Engines:
    """An engine, kept for the next picture whose recipe needs the same."""

    def __init__(self, weights_file: str | os.PathLike[str] | None = None) -> None:
        """Load nothing yet; ``weights_file`` is a file with the weights, see ``weights.load``."""
        self.weights_file = weights_file
        self._made: dict[tuple[object, ...], Engine] = {}

    def get(self, recipe: Recipe) -> Engine:
        """Return what a recipe needs; one is kept, since each holds a network in memory.

        Raises WeightsError, and BackendError in a process that was forked, or where a program
        loaded Keras with a backend that cannot paint.
        """
        backend.check_process()
        backend.check_backend()
        key = recipe.compiled
        if key not in self._made:
            if self._made:
                self.forget()
            self._made[key] = _engine(recipe, self.weights_file)
        return self._made[key]

    def forget(self) -> None:
        """Give back the memory of what was made.

        Networks refer to themselves: Python alone would leave them for several pictures more.
        """
        self._made.clear()
        gc.collect()


def _engine(recipe: Recipe, weights_file: str | os.PathLike[str] | None) -> Engine:
    loaded = weights.load(recipe.network, weights_file)
    if recipe.activations == "normalized":
        loaded = activations.normalized(loaded, activations.means(recipe.network))
    precision = vgg.resolve_precision(recipe.precision)
    features = vgg.build(loaded, recipe.layers, recipe.pooling, precision, recipe.padding)
    # What is said of the weights, and not their tensors, which the network holds in its own form.
    network = {
        "network": recipe.network,
        "source": loaded.source,
        "sha256": loaded.network.sha256,
    }
    step = objective.compiled_step(features, recipe)
    last_step = None
    if recipe.style_loss in LAST_PASSES:
        last_step = objective.compiled_step(features, recipe, last=True)
    return Engine(network, precision, backend.traced(features), step, last_step)
