"""Signals as at a terminal, for processes of tests that run under nohup or in the background."""

import signal

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def as_usual() -> None:
    """Let each end this process; to be called in a child before it starts its program."""
    for number in ENDING:
        signal.signal(number, signal.SIG_DFL)
