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

from impasto.cluster import worker_state
from impasto.cluster.worker_state import Payload, PayloadMissing, TaskFunction, TaskResult
from impasto.compute import threads
from impasto.errors import ClusterError, ImpastoError

LOG = logging.getLogger(__name__)

CONNECT_TIMEOUT = 10.0
"""Timeout for the answer of a scheduler, in seconds."""

POLL_SECONDS = 2.0
"""Interval in seconds for checking whether any worker is left."""

NO_WORKERS_TIMEOUT = 60.0
"""Seconds to wait for workers if all are lost."""

MAX_SUBMITS = 5
"""Maximum number of times a task is sent to workers without the payload."""

DASK_SETTINGS: Mapping[str, Any] = {
    "distributed.admin.large-graph-warning-threshold": "1 TB",
    "distributed.scheduler.allowed-failures": 10,
    # No dashboard: it is not needed, and it would be accessible to others.
    "distributed.scheduler.http.routes": [],
    "distributed.worker.http.routes": [],
    "distributed.worker.preload": ["impasto.cluster.worker_state"],
    # Workers inherit the environment of this process.
    "distributed.nanny.pre-spawn-environ": {},
}
"""Configuration of Dask while a pool exists."""


@dataclass(frozen=True)
class PendingTask:
    """A submitted task."""

    function: TaskFunction
    item: Any
    address: str
    """the preferred worker"""
    future: Future


class WorkerPool:
    """A pool of workers, as a context manager."""

    def __init__(self, client: Client, local_count: int, stack: contextlib.ExitStack) -> None:
        """Take ownership of ``stack``, which is closed at the end.

        ``local_count`` is the number of workers started on this machine for this pool.
        """
        self.client, self.local_count, self._stack = client, local_count, stack
        self.address = str(client.scheduler.address)
        self._payload = Payload("")

    def __enter__(self) -> "WorkerPool":
        """Return itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Disconnect; workers started for this pool exit."""
        self.close()

    def close(self) -> None:
        """Disconnect from the workers."""
        self._stack.close()

    def worker_addresses(self) -> list[str]:
        """Return the addresses of the workers.

        Raises ClusterError if the scheduler is lost.
        """
        with self._scheduler_errors():
            workers = self.client.scheduler_info(n_workers=-1)["workers"]
        return sorted(workers, key=lambda address: str(workers[address]["name"]))

    def broadcast(self, content: bytes, backend: str) -> None:
        """Install a payload on all workers, instead of the one before.

        ``backend`` is the Keras backend to use. Raises ClusterError for workers with other versions
        than this process.
        """
        self._payload = Payload(uuid.uuid4().hex, content, threads.core_count(), backend)
        self._install_payload(self.worker_addresses())

    def _install_payload(self, addresses: list[str]) -> None:
        """Send the payload to workers. If one is lost meanwhile, its tasks are submitted again."""
        with self._scheduler_errors():
            errors = self.client.run(
                *(
                    worker_state.install_payload,
                    worker_state.local_versions(),
                    self._payload,
                    self.local_count,
                ),
                workers=addresses,
                on_error="return",
            )
        for address, error in errors.items():
            if isinstance(error, ImpastoError):
                raise error
            if isinstance(error, Exception) and "No module named" in str(
                error
            ):  # the message of Python
                raise ClusterError(
                    f"the worker at {address} cannot load impasto ({error}): install the same "
                    "version there and on the scheduler"
                )

    def call_on_workers(self, function: Callable[[], Any]) -> list[Any]:
        """Return the result of a function on each worker."""
        with self._scheduler_errors():
            return list(self.client.run(function).values())

    def map(self, function: TaskFunction, items: Iterable[Any]) -> Iterator[Any]:
        """Yield the result of ``function`` for each item, in order.

        Raises the errors of ``function``, and ClusterError if no worker is left.
        """
        workers = self.worker_addresses() or [""]
        submitted: deque[PendingTask] = deque()
        try:
            for number, item in enumerate(items):
                submitted.append(self._submit(function, item, workers[number % len(workers)]))
                if len(submitted) >= 2 * len(workers):
                    yield self._wait_for_result(submitted.popleft())
            while submitted:
                yield self._wait_for_result(submitted.popleft())
        finally:
            with contextlib.suppress(Exception):  # lost workers need no message
                self.client.cancel([each.future for each in submitted])

    def _submit(self, function: TaskFunction, item: Any, address: str) -> PendingTask:
        with self._scheduler_errors():
            future = self.client.submit(
                *(worker_state.run_task, function, self._payload.key, item),
                pure=False,
                # Prefer the worker that cached data for this item, unless it is busy or lost.
                workers=[address] if address else None,
                allow_other_workers=bool(address),
            )
        return PendingTask(function, item, address, future)

    def _wait_for_result(self, task: PendingTask) -> Any:
        for _ in range(MAX_SUBMITS):
            answer = self._poll_result(task)
            if isinstance(answer, TaskResult):
                for level, line in answer.log_lines:
                    LOG.log(level, "%s", line)
                return answer.result
            if isinstance(answer, PayloadMissing):
                self._install_payload([answer.address])
            address = answer.address if answer else next(iter(self.worker_addresses()), "")
            task = self._submit(task.function, task.item, address)
        raise ClusterError(f"the workers of {self.address} were lost too often: see their logs")

    def _poll_result(self, task: PendingTask) -> TaskResult | PayloadMissing | None:
        """Wait for a result; return None if the task must be submitted again.

        Dask resubmits tasks itself, unless all workers were lost for a while.
        """
        last_seen = time.monotonic()
        while True:
            wait = POLL_SECONDS if task.future.status == "pending" else None
            try:
                with self._scheduler_errors(task.future):
                    answer: TaskResult | PayloadMissing = task.future.result(timeout=wait)
                    return answer
            except TimeoutError:
                if task.future.status == "error":  # a TimeoutError of the task itself
                    raise
                workers = self.worker_addresses()
                if workers and task.address not in workers:
                    self.client.cancel([task.future])
                    return None
                if workers:
                    last_seen = time.monotonic()
                elif time.monotonic() - last_seen > NO_WORKERS_TIMEOUT:
                    raise ClusterError(f"no worker is left at {self.address}") from None

    @contextlib.contextmanager
    def _scheduler_errors(self, future: Future | None = None) -> Iterator[None]:
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


def connect(workers: int | str) -> WorkerPool:
    """Return a pool of N processes on this machine, or of the workers of a scheduler.

    Raises ClusterError if there is no scheduler, or no worker, or one with other versions. Exits a
    process that is itself a worker being started by a script without a main guard.
    """
    if isinstance(workers, int) and _is_importing_main():
        sys.exit(1)
    with contextlib.ExitStack() as stack:
        stack.enter_context(dask.config.set(DASK_SETTINGS))
        stack.enter_context(_silenced_dask())
        local_count = workers if isinstance(workers, int) else 0
        address: LocalCluster | str | int = workers
        if local_count:
            address = stack.enter_context(_local_cluster(local_count))
        client = stack.enter_context(_connected_client(address))
        pool = WorkerPool(client, local_count, stack.pop_all())
    try:
        if not pool.worker_addresses():
            raise ClusterError(f"the scheduler at {workers} has no workers: start at least one")
        pool.broadcast(b"", "")
    except ClusterError:
        pool.close()
        raise
    return pool


def _is_importing_main() -> bool:
    """Return whether this process is still importing its main module for `multiprocessing`."""
    return bool(getattr(multiprocessing.current_process(), "_inheriting", False))


@contextlib.contextmanager
def _local_cluster(count: int) -> Iterator[LocalCluster]:
    """Start workers that listen only on 127.0.0.1 and accept only certified messages.

    Raises ClusterError if they cannot be started.
    """
    try:
        cluster = LocalCluster(
            n_workers=count,
            threads_per_worker=1,
            memory_limit=0,  # memory use is planned before the run
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
def _connected_client(address: LocalCluster | str | int) -> Iterator[Client]:
    try:
        client = Client(address, timeout=CONNECT_TIMEOUT, set_as_default=False)
    except (OSError, ValueError, TypeError, RuntimeError) as error:
        reason = " ".join(str(error).split())
        raise ClusterError(
            f"no scheduler answers at {address} ({reason}): expected a number of workers, or an "
            "address such as tcp://host:8786"
        ) from None
    with client:
        yield client


@contextlib.contextmanager
def _silenced_dask() -> Iterator[None]:
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
