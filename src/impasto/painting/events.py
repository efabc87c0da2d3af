"""What happens while painting, as values. A listener is told, and may stop the work."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from impasto.optimizers.solver import Reason
from impasto.pictures.raster import Picture


@dataclass(frozen=True)
class LevelStarted:
    """A level of the pyramid begins: its number from 1, its size in pixels, its budget."""

    level: int
    levels: int
    height: int
    width: int
    evaluations: int


@dataclass(frozen=True)
class Step:
    """The loss was evaluated once.

    ``evaluation`` counts from 1 within the level; ``terms`` holds the unweighted content, style
    and tv losses, ``total`` their weighted sum; ``seconds`` since the work began; ``picture`` is
    what was evaluated, to be read and not written.
    """

    level: int
    evaluation: int
    total: float
    terms: Mapping[str, float]
    seconds: float
    picture: Picture


@dataclass(frozen=True)
class LevelFinished:
    """A level of the pyramid ended, and why."""

    level: int
    height: int
    width: int
    evaluations: int
    seconds: float
    reason: Reason


@dataclass(frozen=True)
class Record:
    """What the history keeps of a step: weighted total, unweighted terms, seconds since start."""

    level: int
    total: float
    content: float
    style: float
    tv: float
    seconds: float


Event: TypeAlias = LevelStarted | Step | LevelFinished
Listener: TypeAlias = Callable[[Event], bool | None]
"""Told every event, in order; returning False stops the work with the best picture so far."""
