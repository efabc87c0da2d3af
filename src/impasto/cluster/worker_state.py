"""The worker side: installs payloads, runs tasks, keeps state between tasks."""

import contextlib
import logging
import os
import platform
import signal
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

from distributed import Worker, get_worker

from impasto.errors import ClusterError
from impasto.version import __version__


class Versions(NamedTuple):
    """Versions that workers and the calling process must share."""

    impasto: str
    """version"""
    python: str
    """version without the patch level"""


def local_versions() -> Versions:
    """Return the versions of this process."""
    return Versions(__version__, ".".join(platform.python_version_tuple()[:2]))


class Payload(NamedTuple):
    """Data that all tasks share."""

    key: str
    content: bytes = b""
    threads: int = 0
    """number of threads of the calling process; 0 for as many as the worker has"""
    backend: str = ""
    """backend of the calling process; any if empty"""


@dataclass
class WorkerState:
    """The state of a worker between tasks."""

    payload: Payload
    payload_cache: dict[str, Any] = field(default_factory=dict)
    """values computed from the payload; removed with it"""
    worker_cache: dict[str, Any] = field(default_factory=dict)
    """values that stay when the payload changes"""
    lock: threading.Lock = field(default_factory=threading.Lock)
    """one task at a time, since each uses all cores"""

    def match_parent_backend(self) -> None:
        """Load the backend of the calling process, so that results are bit-identical.

        This holds for the same kind of processor. Raises ClusterError for another backend.
        """
        if self.payload.backend in ("", "native"):  # the same bytes for any number of threads
            return
        from impasto.compute import keras_backend

        if self.payload.backend != keras_backend.backend_name():
            raise ClusterError(
                f"a worker uses {keras_backend.backend_name()}, but this process uses "
                f"{self.payload.backend}: set KERAS_BACKEND to the same value"
            )
        if "threads" not in self.worker_cache and self.payload.threads:
            keras_backend.use_threads(self.payload.threads)
        self.worker_cache["threads"] = True


TaskFunction: TypeAlias = Callable[[WorkerState, Any], Any]
"""(state of the worker, item) -> result"""


class PayloadMissing(NamedTuple):
    """Returned instead of a result if the worker does not have the payload."""

    address: str


class TaskResult(NamedTuple):
    """The result of a task, and its log records."""

    result: Any
    log_lines: list[tuple[int, str]]
    """log levels and messages"""


def run_task(function: TaskFunction, key: str, item: Any) -> TaskResult | PayloadMissing:
    """Run a task on a worker that has the payload of this key; if not, report that."""
    worker = get_worker()
    state: WorkerState | None = getattr(worker, "impasto", None)
    if state is None or state.payload.key != key:
        return PayloadMissing(worker.address)
    with state.lock, _captured_log() as lines:
        return TaskResult(function(state, item), lines)


@contextlib.contextmanager
def _captured_log() -> Iterator[list[tuple[int, str]]]:
    """Collect log records of this block, which are sent to the calling process."""
    lines: list[tuple[int, str]] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append((record.levelno, record.getMessage()))  # type: ignore[method-assign]
    log = logging.getLogger("impasto")
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield lines
    finally:
        log.removeHandler(handler)


def dask_setup(worker: Worker) -> None:
    """Make a local worker ignore Ctrl-C, which a terminal sends to all processes.

    Dask calls this when the worker starts. The calling process handles Ctrl-C and closes workers.
    """
    for name in ("SIGINT", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)


def install_payload(
    versions: Versions, payload: Payload, local_workers: int, dask_worker: Worker
) -> None:
    """Install a payload on a worker; ``local_workers`` workers on one machine divide the cores.

    Raises ClusterError for a worker with other versions than the calling process.
    """
    if (own := local_versions()) != versions:
        raise ClusterError(
            f"the worker at {dask_worker.address} has impasto {own.impasto} on Python "
            f"{own.python}, and this is impasto {versions.impasto} on Python {versions.python}: "
            "install the same versions there"
        )
    before: WorkerState | None = getattr(dask_worker, "impasto", None)
    if before is None and local_workers:
        _pin_to_cores(int(dask_worker.name), local_workers)
    lasting = {} if before is None else before.worker_cache
    lock = threading.Lock() if before is None else before.lock
    dask_worker.impasto = WorkerState(payload, {}, lasting, lock)


def _pin_to_cores(number: int, workers: int) -> None:
    """Restrict this process to every N-th core, for N workers, if the system supports it."""
    if not hasattr(os, "sched_setaffinity"):
        return
    cores = sorted(os.sched_getaffinity(0))[number::workers]
    for thread in os.listdir("/proc/self/task") if cores else ():
        with contextlib.suppress(ProcessLookupError):
            os.sched_setaffinity(int(thread), cores)
