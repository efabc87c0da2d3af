"""What whoever watches may ask of a painting under way."""

import queue
from collections.abc import Mapping

from impasto.errors import SettingError
from impasto.painting.events import STEERABLE
from impasto.recipe import settings as recipes
from impasto.recipe.settings import Recipe


class Controls:
    """What whoever watches asks of a painting under way; taken up between two steps.

    May be used from any thread.
    """

    def __init__(self) -> None:
        """Ask for nothing."""
        self.stopped = False
        self._changes: queue.SimpleQueue[Mapping[str, recipes.Value]] = queue.SimpleQueue()

    def stop(self) -> None:
        """End the work after the step under way, with the best picture so far."""
        self.stopped = True

    def steer(self, recipe: Recipe, **settings: recipes.Value) -> Recipe:
        """Change settings of the ``recipe`` from the next step on, and return it so.

        Raises SettingError for one that cannot be changed while painting, and for values that
        make no recipe.
        """
        for name in settings:
            if name not in STEERABLE:
                raise SettingError(
                    f"{name} cannot be changed while painting: possible: {', '.join(STEERABLE)}"
                )
        changed = recipes.change(recipe, **settings)
        self._changes.put(settings)
        return changed

    def changed(self, recipe: Recipe) -> Recipe:
        """Return the recipe with all changes that were asked for since the last call."""
        while not self._changes.empty():
            recipe = recipes.change(recipe, **self._changes.get())
        return recipe
