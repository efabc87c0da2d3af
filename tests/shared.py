"""Compiled losses that all paintings of a test process share."""

import functools
from typing import Any

from impasto.pipeline.models import ModelCache


class SharedModels(ModelCache):
    """Engines that outlive the painting they were made for: one per compiled recipe."""

    def clear(self) -> None:
        pass


@functools.cache
def engines() -> SharedModels:
    return SharedModels()


def engines_for(weights_file: Any = None) -> ModelCache:
    """What stands in for ``execution.ModelCache``; a weights file of its own is not shared."""
    return engines() if weights_file is None else ModelCache(weights_file)
