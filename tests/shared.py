"""Compiled losses that all paintings of a test process share."""

import functools
from typing import Any

from impasto.painting.engine import Engines


class SharedEngines(Engines):
    """Engines that outlive the painting they were made for: one per compiled recipe."""

    def forget(self) -> None:
        pass


@functools.cache
def engines() -> SharedEngines:
    return SharedEngines()


def engines_for(weights_file: Any = None) -> Engines:
    """What stands in for ``painter.Engines``; a weights file of its own is not shared."""
    return engines() if weights_file is None else Engines(weights_file)
