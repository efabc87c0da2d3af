"""Ctrl-C: the first keeps the best picture so far, the second leaves at once."""

import _thread
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from impasto.workshop import progress

GRACE = 1.0
"""Seconds that whoever leaves at once has to clean up."""


@contextmanager
def heard() -> Iterator[threading.Event]:
    """Yield an event that the first Ctrl-C sets; at the second KeyboardInterrupt is raised.

    A thread hears of both, since Python tells the main thread of neither before the evaluation
    under way is over, which may take a minute. A process still there ``GRACE`` seconds after the
    second ends with status 130.
    """
    first = threading.Event()
    leaving = _Leaving()
    hearing, told = socket.socketpair()
    told.setblocking(False)
    before = signal.signal(signal.SIGINT, leaving.leave), signal.set_wakeup_fd(told.fileno())
    threading.Thread(target=_listen, args=(hearing, first, leaving), daemon=True).start()
    try:
        yield first
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN if leaving.raised else before[0])
        signal.set_wakeup_fd(before[1])
        told.close()


def _listen(hearing: socket.socket, first: threading.Event, leaving: "_Leaving") -> None:
    with hearing:
        while number := hearing.recv(1):
            if number[0] != signal.SIGINT:
                continue
            if first.is_set():
                leaving.begin()
            first.set()
            progress.say("stopping after this evaluation; Ctrl-C again leaves at once")


class _Leaving:
    """Raises KeyboardInterrupt in the main thread, once, so that cleaning up is left alone."""

    def __init__(self) -> None:
        self._wanted = self.raised = False

    def begin(self) -> None:
        """Leave, in the listening thread; does not return."""
        # A finalizer would print what is raised within it, and go on: it is raised again.
        sys.unraisablehook = self._want
        self._want()
        for _ in range(20):
            _thread.interrupt_main()
            time.sleep(GRACE / 20)
        os._exit(130)

    def _want(self, *_: Any) -> None:
        self._wanted = True

    def leave(self, *_: Any) -> None:
        """Handle SIGINT, in the main thread. Raises KeyboardInterrupt at the second."""
        if self._wanted:
            self._wanted, self.raised = False, True
            raise KeyboardInterrupt
