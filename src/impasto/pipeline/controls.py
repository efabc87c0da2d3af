"""Requests to a run in progress: stop, change settings."""

import queue
from collections.abc import Mapping

from impasto.errors import SettingError
from impasto.pipeline.events import STEERABLE
from impasto.recipe import settings as recipes
from impasto.recipe.settings import Recipe


class Controls:
    """Requests to a run in progress, applied between two steps. Thread-safe."""

    def __init__(self) -> None:
        """Start without requests."""
        self.stopped = False
        self._changes: queue.SimpleQueue[Mapping[str, recipes.Value]] = queue.SimpleQueue()

    def stop(self) -> None:
        """Stop the run after the current step, with the best image so far."""
        self.stopped = True

    def steer(self, recipe: Recipe, **settings: recipes.Value) -> Recipe:
        """Change settings from the next step on, and return the changed recipe.

        Raises SettingError for a setting that cannot be changed during a run, or an invalid value.
        """
        for name in settings:
            if name not in STEERABLE:
                raise SettingError(
                    f"{name} cannot be changed during a run: possible: {', '.join(STEERABLE)}"
                )
        changed = recipes.change_recipe(recipe, **settings)
        self._changes.put(settings)
        return changed

    def changed(self, recipe: Recipe) -> Recipe:
        """Return the recipe with the changes requested since the last call."""
        while not self._changes.empty():
            recipe = recipes.change_recipe(recipe, **self._changes.get())
        return recipe
