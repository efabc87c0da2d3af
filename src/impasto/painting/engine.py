"""What all levels of a painting share: the network, and the compiled loss."""

import gc
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

from impasto.compute import backend, host
from impasto.losses import objective, tiled
from impasto.losses.objective import Frozen, Objective
from impasto.losses.style import LAST_PASSES
from impasto.losses.terms import Eye
from impasto.losses.tiled import Readers, TileSteps
from impasto.network import activations, vgg, weights
from impasto.network.vgg import Features
from impasto.recipe.settings import Recipe


@dataclass(frozen=True)
class Engine:
    """The network and the compiled loss of a recipe."""

    recipe: Recipe
    """with the precision that is used"""
    network: Mapping[str, str]
    """name, source and sha256 of the weights"""
    precision: str
    """of the features, float32 or bfloat16"""
    features: Features
    layers: tuple[str, ...]
    """those in use"""
    step: objective.Step
    last_step: objective.Step | None
    """that of the style loss's last pass, if it has one"""
    tiles: TileSteps
    """the same for tiles"""
    last_tiles: TileSteps | None

    def eye(self, tile: int) -> Eye:
        """Return the network as it is shown ``tile`` px of a picture at a time, or 0 for all."""
        network = weights.NETWORKS[self.network["network"]]
        return Eye.of(self.features, network, self.layers, tile)

    def objective(
        self, frozen: Frozen, last: bool, keep: bool, sharing: "Sharing | None" = None
    ) -> Objective:
        """Return what is minimized against targets; ``last`` is whether it is the last pass.

        ``keep`` is whether the targets of all tiles are kept, and not computed at every evaluation;
        ``sharing`` has the tiles read by others.
        """
        step, steps = (self.last_step, self.last_tiles) if last else (self.step, self.tiles)
        assert step is not None  # levels that are last come with a style loss that has a last pass
        assert steps is not None
        if len(frozen.scene.tiles) == 1:
            return objective.WholePicture(step, frozen.whole())
        readers = None if sharing is None else sharing(self, frozen, last, keep)
        return tiled.objective_of(steps, frozen, keep, readers)


Sharing: TypeAlias = Callable[[Engine, Frozen, bool, bool], Readers]
"""(engine, what a picture is compared with, whether it is the last pass, whether targets are kept)
-> who reads the tiles"""


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
            with host.one_blas_thread():  # the same last bits on any number of cores
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
    stride = loaded.network.stride
    last = recipe.style_loss in LAST_PASSES
    return Engine(
        replace(recipe, precision=precision),
        network,
        precision,
        backend.traced(features),
        recipe.layers,
        objective.compiled_step(features, recipe),
        objective.compiled_step(features, recipe, last=True) if last else None,
        tiled.compiled_steps(features, recipe, stride),
        tiled.compiled_steps(features, recipe, stride, last=True) if last else None,
    )
