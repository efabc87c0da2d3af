"""The network and the compiled losses that the levels of a run share."""

import functools
import gc
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

from impasto.compute import threads
from impasto.engines import selection
from impasto.engines.interface import Engine
from impasto.losses import objective, tiled
from impasto.losses.kinds import FORMS, Kind
from impasto.losses.objective import Frozen, Objective
from impasto.losses.terms import Eye, Features
from impasto.losses.tiled import Reader, Readers, TileSteps
from impasto.network import activations, weights
from impasto.recipe.settings import Recipe


@dataclass(frozen=True)
class LevelProgram:
    """What levels of a kind are painted with."""

    recipe: Recipe
    """with the engine and the precision that are used"""
    kind: Kind
    engine: Engine
    layers: tuple[str, ...]
    """those that are looked at"""
    features: Features
    step: objective.Step
    tiles: TileSteps
    """the same for tiles"""

    def eye(self, tile: int) -> Eye:
        """Return the network as it is shown ``tile`` px of a picture at a time, or 0 for all."""
        return Eye.of(self.features, self.engine.network, self.layers, tile)

    def objective(self, frozen: Frozen, keep: bool, sharing: "Sharing | None" = None) -> Objective:
        """Return what is minimized against targets.

        ``keep`` is whether the targets of all tiles are kept, and not computed at every evaluation;
        ``sharing`` has the tiles read by others.
        """
        if len(frozen.scene.tiles) == 1:
            targets = self.engine.place(frozen.whole())
            return objective.WholePicture(self.step, targets, self.engine.place)
        readers = sharing(self, frozen, keep) if sharing else self.reader(frozen, keep)
        return tiled.objective_of(self.tiles, frozen, readers)

    def reader(self, frozen: Frozen, keep: bool) -> Reader:
        """Return what reads tiles in this process; ``keep`` as in :meth:`objective`."""
        return Reader(self.tiles, frozen, keep, self.engine.place)


Sharing: TypeAlias = Callable[[LevelProgram, Frozen, bool], Readers]
"""(what is painted with, what a picture is compared with, whether targets are kept) -> who reads
the tiles"""


@dataclass(frozen=True)
class Model:
    """The network and the compiled loss of a recipe."""

    network: Mapping[str, str]
    """name, source and sha256 of the weights"""
    recipe: Recipe
    """with the engine and the precision that are used"""
    engine: Engine
    made: Callable[[Kind, bool], LevelProgram]
    """(kind, whether content weighs anything) -> what such levels are painted with"""

    def of_levels(self, recipe: Recipe, kind: Kind) -> LevelProgram:
        """Return what levels of a kind are painted with.

        That is compiled once; where they find no forms once more for content that begins to weigh.
        """
        return self.made(kind, kind == FORMS or bool(recipe.content_weight))


class ModelCache:
    """A model, kept for the next picture whose recipe needs the same."""

    def __init__(self, weights_file: str | os.PathLike[str] | None = None) -> None:
        """Load nothing yet; ``weights_file`` is a file with the weights, see ``weights.load``."""
        self.weights_file = weights_file
        self._made: dict[tuple[object, ...], Model] = {}

    def get(self, recipe: Recipe, instruction_set: str = "") -> Model:
        """Return what a recipe needs; one is kept, since each holds a network in memory.

        ``instruction_set`` as :func:`impasto.engines.selection.build` has it.

        Raises WeightsError, and BackendError in a process that was forked, or where a program
        loaded Keras with a backend that cannot paint.
        """
        key = (recipe.compiled, instruction_set)
        if key not in self._made:
            if self._made:
                self.forget()
            with threads.one_blas_thread():  # the same last bits on any number of cores
                self._made[key] = _model(recipe, self.weights_file, instruction_set)
        self._made[key].engine.check()
        return self._made[key]

    def forget(self) -> None:
        """Give back the memory of what was made.

        Networks refer to themselves: Python alone would leave them for several pictures more.
        """
        self._made.clear()
        gc.collect()


def _model(
    recipe: Recipe, weights_file: str | os.PathLike[str] | None, instruction_set: str
) -> Model:
    loaded = weights.load(recipe.network, weights_file)
    if recipe.activations == "normalized":
        loaded = activations.normalized(loaded, activations.means(recipe.network))
    engine = selection.build(recipe, loaded, instruction_set)
    name = "native" if engine.backend == "native" else "keras"
    recipe = replace(recipe, engine=name, precision=engine.precision)
    # What is said of the weights, and not their tensors, which the network holds in its own form.
    network = {
        "network": recipe.network,
        "source": loaded.source,
        "sha256": loaded.network.sha256,
    }

    @functools.cache
    def made(kind: Kind, content: bool) -> LevelProgram:
        chosen = replace(recipe, content_weight=float(content))
        layers = objective.layers_of(chosen, kind)
        return LevelProgram(
            chosen,
            kind,
            engine,
            layers,
            engine.features(layers),
            engine.step(chosen, kind),
            engine.tile_steps(chosen, kind),
        )

    return Model(network, recipe, engine, made)
