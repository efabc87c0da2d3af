"""What happens while painting, as values: events, and the state of the work that each leaves."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TypeAlias

from impasto.optimizers.solver import Array, Packed, Reason
from impasto.optimizers.solver import State as SolverState
from impasto.painting.provenance import Provenance
from impasto.pictures.raster import Picture
from impasto.recipe.settings import Recipe


@dataclass(frozen=True)
class Record:
    """What the history keeps of a step: weighted total, unweighted terms, seconds since start.

    Content is 0 where it weighs nothing and is not computed: where matching finds no forms.
    """

    level: int
    total: float
    content: float
    style: float
    tv: float
    seconds: float


@dataclass(frozen=True, eq=False)
class State:
    """A painting under way: everything that the rest of the work depends on."""

    provenance: Provenance
    """what it is painted from and with; its recipe as it was steered last"""
    level: int
    """the level that is under way, from 1"""
    picture: Picture
    """what that level started from, float32 (height, width, 3)"""
    solver: SolverState | Packed | None = None
    """the solver's, or what was written down of it; None at the start of a level"""
    history: tuple[Record, ...] = ()
    """one record for every evaluation"""
    levels: tuple["LevelFinished", ...] = ()
    """how levels ended, the one under way among them once it has"""
    seconds: Mapping[str, float] = field(default_factory=dict)
    """since the work began, by stage"""
    began: float = 0.0
    """seconds at which the level began"""
    learned: float = 0.0
    """what the solver learned at the level before, see ``Solver.learned``"""
    lowered: bool = False
    """whether memory ran out, so that the work cannot be gone on with as the recipe says"""
    stopped: bool = False
    """whether the work was stopped before its end"""

    @property
    def best(self) -> Array:
        """The best picture of the level under way, an array or a tensor (height, width, 3)."""
        if self.solver is None:
            return self.picture
        if isinstance(self.solver, Mapping):
            return self.solver["best"]
        return self.solver.progress.best


@dataclass(frozen=True)
class LevelStarted:
    """A level of the pyramid begins: its number from 1, its size in pixels, its budget."""

    level: int
    levels: int
    height: int
    width: int
    evaluations: int
    state: State = field(repr=False, compare=False)


@dataclass(frozen=True)
class Step:
    """The loss was evaluated once.

    ``evaluation`` counts from 1 within the level; ``terms`` holds the unweighted content, style
    and tv losses, see :class:`Record`, ``total`` their weighted sum; ``seconds`` since the work
    began.
    """

    level: int
    evaluation: int
    total: float
    terms: Mapping[str, float] = field(hash=False)
    seconds: float
    state: State = field(repr=False, compare=False)
    shown: Callable[[], Picture] = field(repr=False, compare=False)
    """makes ``picture``"""

    @cached_property
    def picture(self) -> Picture:
        """What was evaluated, with all that is to remain of the photograph; not to be written.

        It is made when somebody asks for it.
        """
        return self.shown()


@dataclass(frozen=True)
class LevelFinished:
    """A level of the pyramid ended, and why."""

    level: int
    height: int
    width: int
    evaluations: int
    seconds: float
    reason: Reason
    state: State | None = field(default=None, repr=False, compare=False)
    """of the event; the levels that a state or a result lists have none"""

    def to_dict(self) -> dict[str, object]:
        """Return it as JSON takes it."""
        return {name: value for name, value in vars(self).items() if name != "state"}

    def with_state(self, state: State) -> "LevelFinished":
        """Return the event that leaves a state."""
        return replace(self, state=state)


Happening: TypeAlias = LevelStarted | Step | LevelFinished
"""What happens on the way up."""


def steered(recipe: Recipe, by: Recipe) -> Recipe:
    """Return a recipe with those settings of another that can be changed while painting."""
    return replace(recipe, **{name: getattr(by, name) for name in STEERABLE})


STEERABLE = ("strength", "content_weight", "style_weight", "tv_weight", "evaluations")
"""Settings that can be changed while painting: nothing is compiled anew for them."""
