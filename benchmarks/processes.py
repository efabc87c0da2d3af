"""Wall time and peak memory of whole processes, measured from outside."""

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

POLL = 0.02
"""Seconds between looks at a running process."""


@dataclass(frozen=True)
class Run:
    """How a process ended: wall seconds, peak resident bytes, and whether it was cut off."""

    seconds: float
    peak: float
    cut_off: bool
    output: str


def run(command: Sequence[str], limit: float = 3600.0, **environment: str) -> Run:
    """Run a command of this environment to its end, or kill it after ``limit`` seconds.

    Raises RuntimeError, with what it printed, if the command fails.
    """
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **environment},
    )
    cut_off = False
    while True:
        pid, status, usage = os.wait4(process.pid, os.WNOHANG)
        if pid:
            break
        if time.perf_counter() - start > limit and not cut_off:
            process.send_signal(signal.SIGKILL)
            cut_off = True
        time.sleep(POLL)
    seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.stdout is not None
    with process.stdout:
        output = process.stdout.read()
    if process.returncode and not cut_off:
        raise RuntimeError(f"{' '.join(command)} failed ({process.returncode}): {output[-500:]}")
    # Linux counts in kibibytes, macOS in bytes.
    peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return Run(seconds, peak, cut_off, output)


def parser_of_pair(about: str) -> argparse.ArgumentParser:
    """Return what reads CONTENT STYLE OUT --size N, as all that paint a pair take it."""
    parser = argparse.ArgumentParser(description=about)
    for name in ("content", "style", "out"):
        parser.add_argument(name)
    parser.add_argument("--size", type=int, default=512)
    return parser
