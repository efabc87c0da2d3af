"""A pool of workers, by Dask. A task is repeated on another worker if its worker is lost.

Results are returned in the order of the tasks, so a sum over them does not depend on the number of
workers. Workers on this machine listen only on 127.0.0.1 and need a certificate created for the
run. Security elsewhere follows Dask's configuration,
https://distributed.dask.org/en/stable/tls.html.
"""

import asyncio
import contextlib
import logging
import multiprocessing
import sys
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import CancelledError
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import dask
from distributed import Client, Future, KilledWorker, LocalCluster
from distributed.comm import CommClosedError

from impasto.cluster import bench
from impasto.cluster.bench import Done, Missing, Parcel, Work
from impasto.compute import threads
from impasto.errors import ClusterError, ImpastoError

LOG = logging.getLogger(__name__)

CONNECT = 10.0
"""Timeout for the answer of a scheduler, in seconds."""

LOOK = 2.0
"""Interval in seconds for checking whether any worker is left."""

PATIENCE = 60.0
"""Seconds to wait for workers if all are lost."""

TRIES = 5
"""Maximum number of times a task is sent to workers without the payload."""

SETTINGS: Mapping[str, Any] = {
    "distributed.admin.large-graph-warning-threshold": "1 TB",
    "distributed.scheduler.allowed-failures": 10,
    # No dashboard: it is not needed, and it would be accessible to others.
    "distributed.scheduler.http.routes": [],
    "distributed.worker.http.routes": [],
    "distributed.worker.preload": ["impasto.cluster.bench"],
    # Workers inherit the environment of this process.
    "distributed.nanny.pre-spawn-environ": {},
}
"""Configuration of Dask while a pool exists."""


@dataclass(frozen=True)
class Handed:
    """A submitted task."""

    work: Work
    item: Any
    address: str
    """the preferred worker"""
    future: Future


class Crew:
    """A pool of workers, as a context manager."""

    def __init__(self, client: Client, here: int, stack: contextlib.ExitStack) -> None:
        """Take ownership of ``stack``, which is closed at the end.

        ``here`` is the number of workers started on this machine for this pool.
        """
        self.client, self.here, self._stack = client, here, stack
        self.address = str(client.scheduler.address)
        self._parcel = Parcel("")

    def __enter__(self) -> "Crew":
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Disconnect; workers started for this pool exit."""
        self.dismiss()

    def dismiss(self) -> None:
        """Disconnect from the workers."""
        self._stack.close()

    def workers(self) -> list[str]:
        """Return the addresses of the workers.

        Raises ClusterError if the scheduler is lost.
        """
        with self._connected():
            found = self.client.scheduler_info(n_workers=-1)["workers"]
        return sorted(found, key=lambda address: str(found[address]["name"]))

    def share(self, content: bytes, backend: str) -> None:
        """Install a payload on all workers, instead of the one before.

        ``backend`` is the Keras backend to use. Raises ClusterError for workers with other versions
        than this process.
        """
        self._parcel = Parcel(uuid.uuid4().hex, content, threads.cores(), backend)
        self._equip(self.workers())

    def _equip(self, addresses: list[str]) -> None:
        """Send the payload to workers. If one is lost meanwhile, its tasks are submitted again."""
        with self._connected():
            found = self.client.run(
                *(bench.equip, bench.facts(), self._parcel, self.here),
                workers=addresses,
                on_error="return",
            )
        for address, error in found.items():
            if isinstance(error, ImpastoError):
                raise error
            if isinstance(error, Exception) and "No module named" in str(error):  # in its words
                raise ClusterError(
                    f"the worker at {address} cannot load impasto ({error}): install the same "
                    "version there and on the scheduler"
                )

    def ask(self, function: Callable[[], Any]) -> list[Any]:
        """Return the result of a function on each worker."""
        with self._connected():
            return list(self.client.run(function).values())

    def each(self, work: Work, items: Iterable[Any]) -> Iterator[Any]:
        """Yield the result of ``work`` for each item, in order.

        Raises the errors of ``work``, and ClusterError if no worker is left.
        """
        workers = self.workers() or [""]
        handed: deque[Handed] = deque()
        try:
            for number, item in enumerate(items):
                handed.append(self._hand_out(work, item, workers[number % len(workers)]))
                if len(handed) >= 2 * len(workers):
                    yield self._result(handed.popleft())
            while handed:
                yield self._result(handed.popleft())
        finally:
            with contextlib.suppress(Exception):  # who is gone need not be told
                self.client.cancel([each.future for each in handed])

    def _hand_out(self, work: Work, item: Any, address: str) -> Handed:
        with self._connected():
            future = self.client.submit(
                *(bench.do, work, self._parcel.key, item),
                pure=False,
                # Prefer the worker that cached data for this item, unless it is busy or lost.
                workers=[address] if address else None,
                allow_other_workers=bool(address),
            )
        return Handed(work, item, address, future)

    def _result(self, handed: Handed) -> Any:
        for _ in range(TRIES):
            found = self._waited_for(handed)
            if isinstance(found, Done):
                for level, line in found.said:
                    LOG.log(level, "%s", line)
                return found.result
            if isinstance(found, Missing):
                self._equip([found.address])
            address = found.address if found else next(iter(self.workers()), "")
            handed = self._hand_out(handed.work, handed.item, address)
        raise ClusterError(f"the workers of {self.address} were lost too often: see their logs")

    def _waited_for(self, handed: Handed) -> Done | Missing | None:
        """Wait for a result; return None if the task must be submitted again.

        Dask resubmits tasks itself, unless all workers were lost for a while.
        """
        seen = time.monotonic()
        while True:
            wait = LOOK if handed.future.status == "pending" else None
            try:
                with self._connected(handed.future):
                    found: Done | Missing = handed.future.result(timeout=wait)
                    return found
            except TimeoutError:
                if handed.future.status == "error":  # it is the work's own
                    raise
                workers = self.workers()
                if workers and handed.address not in workers:
                    self.client.cancel([handed.future])
                    return None
                if workers:
                    seen = time.monotonic()
                elif time.monotonic() - seen > PATIENCE:
                    raise ClusterError(f"no worker is left at {self.address}") from None

    @contextlib.contextmanager
    def _connected(self, future: Future | None = None) -> Iterator[None]:
        """Replace errors of Dask about lost workers by one-line errors."""
        try:
            yield
        except KilledWorker as error:
            raise ClusterError(
                f"a task crashed several workers ({error.task}): they may have too little memory"
            ) from None
        except RuntimeError as error:
            if "deserialization of the task graph" not in str(error):
                raise
            raise ClusterError(
                f"the scheduler at {self.address} cannot load impasto: install the same version "
                "there"
            ) from None
        except (CancelledError, asyncio.CancelledError, CommClosedError, OSError) as error:
            failed = future is not None and future.status == "error"
            if failed or isinstance(error, TimeoutError):
                raise
            raise ClusterError(f"the scheduler at {self.address} is gone") from None


def hire(workers: int | str) -> Crew:
    """Return a pool of N processes on this machine, or of the workers of a scheduler.

    Raises ClusterError if there is no scheduler, or no worker, or one with other versions. Exits a
    process that is itself a worker being started by a script without a main guard.
    """
    if isinstance(workers, int) and _is_starting():
        sys.exit(1)
    with contextlib.ExitStack() as stack:
        stack.enter_context(dask.config.set(SETTINGS))
        stack.enter_context(_quiet())
        here = workers if isinstance(workers, int) else 0
        client = stack.enter_context(
            _client(stack.enter_context(_local(here)) if here else workers)
        )
        crew = Crew(client, here, stack.pop_all())
    try:
        if not crew.workers():
            raise ClusterError(f"the scheduler at {workers} has no workers: start at least one")
        crew.share(b"", "")
    except ClusterError:
        crew.dismiss()
        raise
    return crew


def _is_starting() -> bool:
    """Return whether this process is still importing its main module for `multiprocessing`."""
    return bool(getattr(multiprocessing.current_process(), "_inheriting", False))


@contextlib.contextmanager
def _local(count: int) -> Iterator[LocalCluster]:
    """Start workers that listen only on 127.0.0.1 and accept only certified messages.

    Raises ClusterError if they cannot be started.
    """
    try:
        cluster = LocalCluster(
            n_workers=count,
            threads_per_worker=1,
            memory_limit=0,  # what they may use is planned beforehand
            host="127.0.0.1",
            protocol="tls://",
            security=True,
            dashboard_address="127.0.0.1:0",
            silence_logs=logging.CRITICAL,
        )
    except (RuntimeError, OSError) as error:
        raise ClusterError(
            f"no worker could be started ({str(error).rstrip('.')}): in a script, put what is to "
            'run under if __name__ == "__main__":, since every worker imports the script'
        ) from None
    with cluster:
        yield cluster


@contextlib.contextmanager
def _client(where: LocalCluster | str | int) -> Iterator[Client]:
    try:
        client = Client(where, timeout=CONNECT, set_as_default=False)
    except (OSError, ValueError, TypeError, RuntimeError) as error:
        said = " ".join(str(error).split())
        raise ClusterError(
            f"no scheduler answers at {where} ({said}): expected a number of workers, or an "
            "address such as tcp://host:8786"
        ) from None
    with client:
        yield client


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Suppress log messages of Dask about workers."""
    loggers = [logging.getLogger(name) for name in ("distributed", "tornado", "asyncio")]
    levels = [each.level for each in loggers]
    for each in loggers:
        each.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for each, level in zip(loggers, levels, strict=True):
            each.setLevel(level)
