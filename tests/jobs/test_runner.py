"""An order carried out."""

import weakref
from collections.abc import Iterator

import numpy as np

from impasto.jobs import runner
from impasto.pipeline.result import Finished
from impasto.pipeline.stylizer import Event, Stylizer


def test_a_run_is_consumed_to_its_end_and_no_event_is_kept():
    """Each event holds the state of its evaluation, which has several images."""
    content, style = np.random.default_rng(0).uniform(0, 255, (2, 40, 48, 3))
    stylizer = Stylizer(preset="gram", size=32, levels=1, evaluations=8, precision="float32")
    passed: list[weakref.ref[Event]] = []
    held = []

    def watched() -> Iterator[Event]:
        for event in stylizer.run(stylizer.prepare(content, style)):
            passed.append(weakref.ref(event))
            if isinstance(event, Finished):
                last.append(event.result)
            held.append(sum(each() is not None for each in passed))
            yield event

    last = []
    assert runner.last_result(watched()) is last[0]
    assert len(held) == 8 + 3  # start and end of the level, and the result
    assert max(held) <= 2
