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
    """What workers are to have in common with whoever hands out the work."""

    impasto: str
    """its version"""
    python: str
    """its version, without the last number"""


def facts() -> Facts:
    """Return those of this process."""
    return Facts(__version__, ".".join(platform.python_version_tuple()[:2]))


class Parcel(NamedTuple):
    """What all pieces of work have in common."""

    key: str
    content: bytes = b""
    threads: int = 0
    """with which whoever hands out the work computes; 0 is as many as a worker has"""
    backend: str = ""
    """on which it computes; any if it is empty"""


@dataclass
class Bench:
    """What a worker keeps."""

    parcel: Parcel
    of_parcel: dict[str, Any] = field(default_factory=dict)
    """what was made of the parcel; forgotten with it"""
    lasting: dict[str, Any] = field(default_factory=dict)
    """what the next parcel finds as well"""
    lock: threading.Lock = field(default_factory=threading.Lock)
    """one piece of work at a time, since each uses all cores"""

    def compute_alike(self) -> None:
        """Load the tensor library, so that it computes what whoever hands out the work would.

        To the last bit, on the same kind of processor. Raises ClusterError if it is another one.
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
"""(what the worker keeps, an item) -> what comes of it"""


class Missing(NamedTuple):
    """Instead of a result: the worker has not got the parcel."""

    address: str


class Done(NamedTuple):
    """What came of a piece of work, and what was logged meanwhile."""

    result: Any
    said: list[tuple[int, str]]
    """levels and lines"""


def do(work: Work, key: str, item: Any) -> Done | Missing:
    """Do a piece of work at a worker that has the parcel of this key, else say that it has not."""
    worker = get_worker()
    bench: Bench | None = getattr(worker, "impasto", None)
    if bench is None or bench.parcel.key != key:
        return Missing(worker.address)
    with bench.lock, _heard() as said:
        return Done(work(bench, item), said)


@contextlib.contextmanager
def _heard() -> Iterator[list[tuple[int, str]]]:
    """Yield what is logged in this block, which nobody at the worker would read."""
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
    """Have a worker of this machine ignore Ctrl-C, which a terminal sends to all processes.

    Dask calls it as the worker starts. Who hands out the work hears of it, and lets it go.
    """
    for name in ("SIGINT", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)


def equip(wanted: Facts, parcel: Parcel, share: int, dask_worker: Worker) -> None:
    """Give a worker a parcel; of ``share`` workers on one machine each gets its share of the cores.

    Raises ClusterError for a worker that is not like whoever hands out the work.
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
    """Keep all threads of this process to every ``share``-th core, where the system can do that."""
    if not hasattr(os, "sched_setaffinity"):
        return
    cores = sorted(os.sched_getaffinity(0))[number::share]
    for thread in os.listdir("/proc/self/task") if cores else ():
        with contextlib.suppress(ProcessLookupError):
            os.sched_setaffinity(int(thread), cores)
