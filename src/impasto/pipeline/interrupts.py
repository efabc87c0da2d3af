"""Handling of Ctrl-C: the first keeps the best image so far, the second exits.

Python handles signals in the main thread between two bytecodes, and an evaluation may take a
minute. A second thread therefore consumes the events, and the main thread waits for signals.
"""

import os
import queue
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum
from typing import Any, TypeVar

Item = TypeVar("Item")

GRACE_SECONDS = 1.0
"""Seconds for cleanup before the process exits."""

END_SIGNALS = [
    number
    for name in ("SIGINT", "SIGTERM", "SIGHUP")
    if (number := getattr(signal, name, None)) is not None
]
"""Signals that end a run: SIGINT (Ctrl-C), SIGTERM, SIGHUP."""


class _Signal(Enum):
    """A message to the waiting main thread, from the consumer thread or a signal."""

    LEAVE = "leave"
    END = "end"


class InterruptHandler:
    """Counts signals, and reacts to them."""

    def __init__(self, on_first: Callable[[], None], exits: bool) -> None:
        """Start without signals.

        ``on_first`` is called at the first signal. With ``exits``, the process exits GRACE_SECONDS
        after the second one.
        """
        self.on_first, self.exits = on_first, exits
        self.count = 0
        self._waiting: queue.SimpleQueue[Any] | None = None

    @property
    def stopped(self) -> bool:
        """Whether a signal was received."""
        return self.count > 0

    def handle(self, *_: Any) -> None:
        """Handle a signal. Raises KeyboardInterrupt at the second one, and never again."""
        self.count += 1
        if self.count == 1:
            self.on_first()
        if self.count != 2:
            return
        if self.exits:
            timer = threading.Timer(GRACE_SECONDS, os._exit, [130])
            timer.daemon = True
            timer.start()
        if self._waiting is not None:
            self._waiting.put(_Signal.LEAVE)
        raise KeyboardInterrupt

    def iterate(self, items: Iterator[Item]) -> Iterator[Item]:
        """Yield items that another thread iterates, while this one waits for signals.

        Raises the errors of the iteration, and KeyboardInterrupt at the second signal, when the
        other thread may still be in an evaluation.
        """
        requests: queue.SimpleQueue[bool] = queue.SimpleQueue()
        results: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._waiting = results
        threading.Thread(
            target=_iterate_in_thread, args=(items, requests, results), daemon=True
        ).start()
        try:
            while True:
                requests.put(True)
                item = _wait_for_item(results)
                if item is _Signal.END:
                    return
                if item is _Signal.LEAVE:
                    raise KeyboardInterrupt
                if isinstance(item, BaseException):
                    raise item
                yield item
        finally:
            self._waiting = None
            requests.put(False)


def _wait_for_item(results: "queue.SimpleQueue[Any]") -> Any:
    """Return the next item; polls, since signals do not interrupt a wait on Windows."""
    while True:
        try:
            return results.get(timeout=0.2 if os.name == "nt" else None)
        except queue.Empty:
            continue


def _iterate_in_thread(
    items: Iterator[Any], requests: "queue.SimpleQueue[bool]", results: "queue.SimpleQueue[Any]"
) -> None:
    while requests.get():
        try:
            results.put(next(items, _Signal.END))
        except BaseException as error:
            results.put(error)
    close = getattr(items, "close", None)
    if close is not None:
        close()


@contextmanager
def handled_interrupts(
    on_first: Callable[[], None], exits: bool = False
) -> Iterator[InterruptHandler]:
    """Handle signals that end a run within this block.

    Only the main thread can install handlers, so other threads handle none. Ignored signals, such
    as by ``nohup``, stay ignored.
    """
    interrupts = InterruptHandler(on_first, exits)
    if threading.current_thread() is not threading.main_thread():
        yield interrupts
        return
    before = {
        number: signal.signal(number, interrupts.handle)
        for number in END_SIGNALS
        if signal.getsignal(number) is not signal.SIG_IGN
    }
    try:
        yield interrupts
    finally:
        left = interrupts.count > 1
        for number, handler in before.items():
            signal.signal(number, signal.SIG_IGN if left and interrupts.exits else handler)
