"""Products of parameters: the quick tests take every pair of values, the slow ones the rest too."""

import itertools
from collections.abc import Iterable, Sequence
from typing import Any

import pytest


def covering(counts: Sequence[int], together: int = 2) -> list[tuple[int, ...]]:
    """A few combinations of levels in which any levels of so many factors occur together.

    Greedy: the next combination is the first with the most that has not occurred.

    >>> covering([2, 2, 2])
    [(0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 0)]
    >>> covering([2, 3], together=1)
    [(0, 0), (1, 1), (0, 2)]
    """

    def shown(combination: Sequence[int]) -> set[tuple[tuple[int, int], ...]]:
        return set(itertools.combinations(enumerate(combination), together))

    every = list(itertools.product(*map(range, counts)))
    missing = set().union(*map(shown, every))
    chosen = []
    while missing:
        best = max(every, key=lambda each: len(shown(each) & missing))
        missing -= shown(best)
        chosen.append(best)
    return chosen


def product(*factors: Iterable[Any], together: int = 2) -> list[Any]:
    """All combinations as parameters of a test; those that :func:`covering` leaves out are slow."""
    values = [list(factor) for factor in factors]
    quick = set(covering([len(each) for each in values], together))
    return [
        pytest.param(
            *(each[level] for each, level in zip(values, levels, strict=True)),
            marks=[] if levels in quick else [pytest.mark.slow],
        )
        for levels in itertools.product(*(range(len(each)) for each in values))
    ]
