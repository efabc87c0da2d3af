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

GRACE = 1.0
"""Seconds that a command which is to leave has to clean up."""

ENDING = [
    number
    for name in ("SIGINT", "SIGTERM", "SIGHUP")
    if (number := getattr(signal, name, None)) is not None
]
"""The signals that ask for an end: Ctrl-C, the system's, and that of a terminal that is closed."""


class _Said(Enum):
    """What the thread that pulls, or a signal, tells whoever waits."""

    LEAVE = "leave"
    END = "end"


class Interrupts:
    """What was asked for by signals so far."""

    def __init__(self, said: Callable[[], None], leaves: bool) -> None:
        """Hear nothing yet.

        ``said`` is called at the first signal; with ``leaves`` the process ends GRACE seconds
        after the second, wherever it is by then.
        """
        self.said, self.leaves = said, leaves
        self.count = 0
        self._waiting: queue.SimpleQueue[Any] | None = None

    @property
    def stopped(self) -> bool:
        """Whether a signal came."""
        return self.count > 0

    def hear(self, *_: Any) -> None:
        """Take a signal. Raises KeyboardInterrupt at the second, and never again."""
        self.count += 1
        if self.count == 1:
            self.said()
        if self.count != 2:
            return
        if self.leaves:
            timer = threading.Timer(GRACE, os._exit, [130])
            timer.daemon = True
            timer.start()
        if self._waiting is not None:
            self._waiting.put(_Said.LEAVE)
        raise KeyboardInterrupt

    def pulled(self, items: Iterator[Item]) -> Iterator[Item]:
        """Pull items in another thread, one at a time, while this one waits for signals.

        Raises what pulling raises, and KeyboardInterrupt at the second signal: then the thread is
        left to the evaluation that it is in.
        """
        wanted: queue.SimpleQueue[bool] = queue.SimpleQueue()
        found: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._waiting = found
        threading.Thread(target=_pull, args=(items, wanted, found), daemon=True).start()
        try:
            while True:
                wanted.put(True)
                item = _waited(found)
                if item is _Said.END:
                    return
                if item is _Said.LEAVE:
                    raise KeyboardInterrupt
                if isinstance(item, BaseException):
                    raise item
                yield item
        finally:
            self._waiting = None
            wanted.put(False)


def _waited(found: "queue.SimpleQueue[Any]") -> Any:
    """Return the next item; in steps, since on Windows no signal ends a wait."""
    while True:
        try:
            return found.get(timeout=0.2 if os.name == "nt" else None)
        except queue.Empty:
            continue


def _pull(
    items: Iterator[Any], wanted: "queue.SimpleQueue[bool]", found: "queue.SimpleQueue[Any]"
) -> None:
    while wanted.get():
        try:
            found.put(next(items, _Said.END))
        except BaseException as error:
            found.put(error)
    close = getattr(items, "close", None)
    if close is not None:
        close()


@contextmanager
def heard(said: Callable[[], None], leaves: bool = False) -> Iterator[Interrupts]:
    """Yield what hears the signals that ask for an end, until the block is left.

    In another thread than the main one, which alone may say who hears them, nothing is heard. A
    signal that is ignored, as by ``nohup``, stays ignored.
    """
    interrupts = Interrupts(said, leaves)
    if threading.current_thread() is not threading.main_thread():
        yield interrupts
        return
    before = {
        number: signal.signal(number, interrupts.hear)
        for number in ENDING
        if signal.getsignal(number) is not signal.SIG_IGN
    }
    try:
        yield interrupts
    finally:
        left = interrupts.count > 1
        for number, handler in before.items():
            signal.signal(number, signal.SIG_IGN if left and interrupts.leaves else handler)
