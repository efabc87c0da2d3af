"""Events of a run with the state after each, as immutable values, and requests to the run."""

import queue
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TypeAlias

from impasto.errors import SettingError
from impasto.images.arrays import ImageArray
from impasto.optimizers.solver import Array, StateArrays, StopReason
from impasto.optimizers.solver import SolverState as SolverState
from impasto.pipeline.provenance import Provenance
from impasto.recipe import settings as recipes
from impasto.recipe.settings import Recipe


@dataclass(frozen=True)
class StepRecord:
    """One evaluation in the history: weighted total, unweighted terms, seconds since the start.

    Content is 0 at levels where its weight is 0 and it is not computed.
    """

    level: int
    total: float
    content: float
    style: float
    tv: float
    seconds: float
    rejected: bool = False
    """whether the total is not below the lowest one of its level before: a step of a line search
    that was too long, or a step of Adam that went up"""
    layers: Mapping[str, Mapping[str, float]] = field(default_factory=dict, hash=False)
    """the part of each layer in ``content`` and ``style``, by loss and layer; parts add up"""


@dataclass(frozen=True, eq=False)
class RunState:
    """The state of a run: everything that the rest of the run depends on.

    A checkpoint is a state in a file.
    """

    provenance: Provenance
    """inputs, network and recipe; the recipe includes changes during the run"""
    level: int
    """the current level, from 1"""
    start_image: ImageArray
    """the initial image of that level, float32 (height, width, 3)"""
    solver: SolverState | StateArrays | None = None
    """state of the solver, as named arrays if the run resumes from a checkpoint
    (``Solver.to_arrays``); None at the start of a level"""
    history: tuple[StepRecord, ...] = ()
    """one record per evaluation"""
    levels: tuple["LevelFinished", ...] = ()
    """the levels that have ended"""
    seconds: Mapping[str, float] = field(default_factory=dict)
    """seconds spent so far by stage: network, targets, painting"""
    level_began: float = 0.0
    """seconds from the start of the run to that of the level"""
    curvature_scale: float = 0.0
    """from the level before, see ``Solver.curvature_scale``"""
    size_lowered: bool = False
    """whether memory ran out, so that the result is smaller than the recipe says"""
    stopped: bool = False
    """whether the run was stopped early"""

    @property
    def best(self) -> Array:
        """The best image of the current level, an array or tensor (height, width, 3)."""
        if self.solver is None:
            return self.start_image
        if isinstance(self.solver, Mapping):
            return self.solver["best"]
        return self.solver.progress.best


@dataclass(frozen=True)
class LevelStarted:
    """A level starts: its number from 1, its size in pixels, its budget of evaluations."""

    level: int
    levels: int
    height: int
    width: int
    evaluations: int
    state: RunState = field(repr=False, compare=False)


@dataclass(frozen=True)
class Step:
    """The loss was evaluated once.

    ``evaluation`` counts from 1 within the level. ``terms`` has the unweighted content, style and
    tv losses (see :class:`StepRecord`), and ``total`` is their weighted sum. ``seconds`` counts
    from the start of the run.
    """

    level: int
    evaluation: int
    total: float
    terms: Mapping[str, float] = field(hash=False)
    seconds: float
    state: RunState = field(repr=False, compare=False)
    make_pixels: Callable[[], ImageArray] = field(repr=False, compare=False)
    """computes ``pixels``"""

    @cached_property
    def pixels(self) -> ImageArray:
        """The evaluated image, with kept regions and colors applied; read-only.

        It is computed on first access.
        """
        return self.make_pixels()


@dataclass(frozen=True)
class LevelFinished:
    """A level ended, with the reason."""

    level: int
    height: int
    width: int
    evaluations: int
    seconds: float
    reason: StopReason
    state: RunState | None = field(default=None, repr=False, compare=False)
    """the state after the event; None for the levels listed in a state or a result"""

    def to_dict(self) -> dict[str, object]:
        """Return the fields for JSON."""
        return {name: value for name, value in vars(self).items() if name != "state"}

    def with_state(self, state: RunState) -> "LevelFinished":
        """Return a copy with a state."""
        return replace(self, state=state)


ProgressEvent: TypeAlias = LevelStarted | Step | LevelFinished
"""An event of a run, except the last one."""


def with_steered_settings(recipe: Recipe, by: Recipe) -> Recipe:
    """Return ``recipe`` with the steerable settings of ``by``."""
    return replace(recipe, **{name: getattr(by, name) for name in STEERABLE})


STEERABLE = ("strength", "content_weight", "style_weight", "tv_weight", "evaluations")
"""Settings that can be changed during a run without recompilation."""


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
