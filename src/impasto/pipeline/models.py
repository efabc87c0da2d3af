"""The network and the compiled losses that the levels of a run share."""

import functools
import gc
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from impasto.compute import threads
from impasto.engines import selection
from impasto.engines.engine import Engine
from impasto.losses import objective, tiled
from impasto.losses.level_roles import STRUCTURE, LevelRole
from impasto.losses.level_targets import LevelTargets
from impasto.losses.objective import Objective
from impasto.losses.style_cache import NO_CACHE, StyleCache
from impasto.losses.terms import Features, TiledFeatureExtractor
from impasto.losses.tiled import CompiledTileFns, LocalTileEvaluator, TileEvaluator
from impasto.network import activations, weights
from impasto.recipe.settings import Recipe


@dataclass(frozen=True)
class LevelProgram:
    """The compiled functions for levels of a role."""

    recipe: Recipe
    """recipe with the engine and precision in use"""
    role: LevelRole
    engine: Engine
    layers: tuple[str, ...]
    """the layers in use"""
    features: Features
    step: objective.StepFunction
    tiles: CompiledTileFns
    """the functions for tiles"""

    def feature_extractor(
        self, tile: int, style_cache: StyleCache = NO_CACHE
    ) -> TiledFeatureExtractor:
        """Return the feature extractor for tiles of ``tile`` px; 0 for the whole image."""
        return TiledFeatureExtractor.for_layers(
            self.features, self.engine.network, self.layers, tile, style_cache
        )

    def objective(
        self, targets: LevelTargets, keep_targets: bool, distribute: "DistributeTiles | None" = None
    ) -> Objective:
        """Return the objective for given targets.

        ``keep_targets`` keeps the targets of all tiles instead of recomputing them; ``distribute``
        distributes tiles to workers.
        """
        if len(targets.level_inputs.tiles) == 1:
            placed = self.engine.place(targets.for_full_image())
            return objective.FullImageObjective(self.step, placed, self.engine.place)
        if distribute is None:
            evaluator: TileEvaluator = self.tile_evaluator(targets, keep_targets)
        else:
            evaluator = distribute(self, targets, keep_targets)
        tiles, additive = targets.level_inputs.tiles, self.tiles.additive
        return tiled.TiledObjective(tiles, additive, evaluator, targets.weights)

    def tile_evaluator(self, targets: LevelTargets, keep_targets: bool) -> LocalTileEvaluator:
        """Return the tile evaluator of this process, see :meth:`objective`."""
        return LocalTileEvaluator(self.tiles, targets, keep_targets, self.engine.place)


DistributeTiles: TypeAlias = Callable[[LevelProgram, LevelTargets, bool], TileEvaluator]
"""(compiled functions, targets, whether targets are kept) -> the tile evaluator"""


@dataclass(frozen=True)
class Model:
    """The network and the compiled losses of a recipe."""

    network: Mapping[str, str]
    """name, source and sha256 of the weights"""
    recipe: Recipe
    """recipe with the engine and precision in use"""
    engine: Engine
    make_program: Callable[[LevelRole, bool], LevelProgram]
    """(role, whether content has weight) -> compiled functions"""
    style_cache: StyleCache = field(default_factory=StyleCache)
    """values computed from style images, for runs that keep them"""

    def level_program(self, recipe: Recipe, role: LevelRole) -> LevelProgram:
        """Return the compiled functions for levels of a role.

        They are compiled once, and for other roles than STRUCTURE again if content gets a weight.
        """
        return self.make_program(role, role == STRUCTURE or bool(recipe.content_weight))


class ModelCache:
    """Caches one model for the next run that needs the same."""

    def __init__(self, weights_file: str | os.PathLike[str] | None = None) -> None:
        """Create an empty cache; ``weights_file``: see ``weights.load_weights``."""
        self.weights_file = weights_file
        self._made: dict[tuple[object, ...], Model] = {}

    def get(self, recipe: Recipe, instruction_set: str = "") -> Model:
        """Return the model for a recipe; only one is cached, since each has a network in memory.

        ``instruction_set``: see :func:`impasto.engines.selection.build_engine`. Raises
        WeightsError, and BackendError in a forked process or with an unsupported backend.
        """
        key = (recipe.compile_key, instruction_set)
        if key not in self._made:
            if self._made:
                self.clear()
            with threads.one_blas_thread():  # the same last bits on any number of cores
                self._made[key] = _build_model(recipe, self.weights_file, instruction_set)
        self._made[key].engine.check_usable()
        return self._made[key]

    def clear(self) -> None:
        """Free the cached model.

        Networks contain reference cycles, so this runs the garbage collector.
        """
        self._made.clear()
        gc.collect()


def _build_model(
    recipe: Recipe, weights_file: str | os.PathLike[str] | None, instruction_set: str
) -> Model:
    loaded = weights.load_weights(recipe.network, weights_file)
    if recipe.activations == "normalized":
        loaded = activations.normalize_weights(loaded, activations.rescaling_means(recipe.network))
    engine = selection.build_engine(recipe, loaded, instruction_set)
    name = "native" if engine.backend == "native" else "keras"
    recipe = replace(recipe, engine=name, precision=engine.precision)
    # Without the tensors of the weights, which the network holds in its own form.
    network = {
        "network": recipe.network,
        "source": loaded.source,
        "sha256": loaded.network.sha256,
    }

    @functools.cache
    def make_program(role: LevelRole, content: bool) -> LevelProgram:
        chosen = replace(recipe, content_weight=float(content))
        layers = objective.required_layers(chosen, role)
        return LevelProgram(
            chosen,
            role,
            engine,
            layers,
            engine.feature_function(layers),
            engine.compile_step(chosen, role),
            engine.compile_tile_fns(chosen, role),
        )

    return Model(network, recipe, engine, make_program)
