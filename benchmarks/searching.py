"""Time of the nearest-neighbor search, and an exhaustive search for comparison."""

import functools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from impasto.losses import feature_index, feature_splitting


@contextmanager
def timed() -> Iterator[list[float]]:
    """Yield a list that gets the seconds of every search on a processor, while it is open.

    Of networks that are compiled meanwhile. Some searches run side by side: what is counted is the
    time in which there is one.
    """
    seconds: list[float] = []
    lock, running = threading.Lock(), {"searches": 0, "since": 0.0}

    def counted(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def call(*arguments: Any) -> Any:
            with lock:
                if not running["searches"]:
                    running["since"] = time.perf_counter()
                running["searches"] += 1
            try:
                return function(*arguments)
            finally:
                with lock:
                    running["searches"] -= 1
                    if not running["searches"]:
                        seconds.append(time.perf_counter() - running["since"])

        return call

    with (
        mock.patch.object(feature_index, "search", counted(feature_index.search)),
        mock.patch.object(feature_index, "argmax_product", counted(feature_index.argmax_product)),
    ):
        yield seconds


@contextmanager
def exhaustive() -> Iterator[None]:
    """Search in all channels, and ask all queries what they are near to, while it is open."""
    everything = functools.partial(feature_index.build_index, components=None)
    with (
        mock.patch.object(feature_index, "build_index", everything),
        mock.patch.object(feature_index, "HUBNESS_SAMPLE", 2**31),
        mock.patch.object(feature_splitting, "COMPONENTS", 2**31),
    ):
        yield
