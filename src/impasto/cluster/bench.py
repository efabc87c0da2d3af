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


class Facts(NamedTuple):
    """Versions that workers and the calling process must share."""

    impasto: str
    """version"""
    python: str
    """version without the patch level"""


def facts() -> Facts:
    """Return the versions of this process."""
    return Facts(__version__, ".".join(platform.python_version_tuple()[:2]))


class Parcel(NamedTuple):
    """Data that all tasks share."""

    key: str
    content: bytes = b""
    threads: int = 0
    """number of threads of the calling process; 0 for as many as the worker has"""
    backend: str = ""
    """backend of the calling process; any if empty"""


@dataclass
class Bench:
    """The state of a worker between tasks."""

    parcel: Parcel
    of_parcel: dict[str, Any] = field(default_factory=dict)
    """values computed from the payload; removed with it"""
    lasting: dict[str, Any] = field(default_factory=dict)
    """values that stay when the payload changes"""
    lock: threading.Lock = field(default_factory=threading.Lock)
    """one task at a time, since each uses all cores"""

    def compute_alike(self) -> None:
        """Load the backend of the calling process, so that results are bit-identical.

        This holds for the same kind of processor. Raises ClusterError for another backend.
        """
        if self.parcel.backend in ("", "native"):  # the same bytes for any number of threads
            return
        from impasto.compute import backend

        if self.parcel.backend != backend.name():
            raise ClusterError(
                f"a worker uses {backend.name()}, but this process uses "
                f"{self.parcel.backend}: set KERAS_BACKEND to the same value"
            )
        if "threads" not in self.lasting and self.parcel.threads:
            backend.use_threads(self.parcel.threads)
        self.lasting["threads"] = True


Work: TypeAlias = Callable[[Bench, Any], Any]
"""(state of the worker, item) -> result"""


class Missing(NamedTuple):
    """Returned instead of a result if the worker does not have the payload."""

    address: str


class Done(NamedTuple):
    """The result of a task, and its log records."""

    result: Any
    said: list[tuple[int, str]]
    """log levels and messages"""


def do(work: Work, key: str, item: Any) -> Done | Missing:
    """Run a task on a worker that has the payload of this key; if not, report that."""
    worker = get_worker()
    bench: Bench | None = getattr(worker, "impasto", None)
    if bench is None or bench.parcel.key != key:
        return Missing(worker.address)
    with bench.lock, _heard() as said:
        return Done(work(bench, item), said)


@contextlib.contextmanager
def _heard() -> Iterator[list[tuple[int, str]]]:
    """Collect log records of this block, which are sent to the calling process."""
    said: list[tuple[int, str]] = []
    handler = logging.Handler()
    handler.emit = lambda record: said.append((record.levelno, record.getMessage()))  # type: ignore[method-assign]
    log = logging.getLogger("impasto")
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield said
    finally:
        log.removeHandler(handler)


def dask_setup(worker: Worker) -> None:
    """Make a local worker ignore Ctrl-C, which a terminal sends to all processes.

    Dask calls this when the worker starts. The calling process handles Ctrl-C and closes workers.
    """
    for name in ("SIGINT", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)


def equip(wanted: Facts, parcel: Parcel, share: int, dask_worker: Worker) -> None:
    """Install a payload on a worker; ``share`` workers on one machine divide the cores.

    Raises ClusterError for a worker with other versions than the calling process.
    """
    if (own := facts()) != wanted:
        raise ClusterError(
            f"the worker at {dask_worker.address} has impasto {own.impasto} on Python "
            f"{own.python}, and this is impasto {wanted.impasto} on Python {wanted.python}: "
            "install the same versions there"
        )
    before: Bench | None = getattr(dask_worker, "impasto", None)
    if before is None and share:
        _keep_to_share(int(dask_worker.name), share)
    lasting = {} if before is None else before.lasting
    lock = threading.Lock() if before is None else before.lock
    dask_worker.impasto = Bench(parcel, {}, lasting, lock)


def _keep_to_share(number: int, share: int) -> None:
    """Restrict this process to every ``share``-th core, if the system supports it."""
    if not hasattr(os, "sched_setaffinity"):
        return
    cores = sorted(os.sched_getaffinity(0))[number::share]
    for thread in os.listdir("/proc/self/task") if cores else ():
        with contextlib.suppress(ProcessLookupError):
            os.sched_setaffinity(int(thread), cores)
