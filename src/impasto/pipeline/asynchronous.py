"""Iterates a blocking generator in a thread, for coroutines."""

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Iterator
from concurrent.futures import Executor
from typing import Any, TypeAlias, TypeVar

Item = TypeVar("Item")

_END = object()

AsyncItems: TypeAlias = AsyncGenerator[Item, None]


async def iterate(start: Callable[[], Iterator[Item]], executor: Executor) -> AsyncItems[Item]:
    """Yield the items of an iterator that runs as one job of ``executor``.

    The next item is computed when it is requested. When the caller stops iterating or is
    cancelled, the job closes the iterator after its current item, and this function waits for it.

    Args:
        start: returns the iterator; called in the thread of the job
        executor: runs the job

    Raises:
        Exception: the errors of ``start`` and of the iterator
    """
    loop = asyncio.get_running_loop()
    items: asyncio.Queue[Any] = asyncio.Queue()
    job = _Job(start, lambda item: loop.call_soon_threadsafe(items.put_nowait, item))
    running = executor.submit(job.run)
    try:
        while True:
            job.request()
            item = await items.get()
            if item is _END:
                break
            yield item
    finally:
        job.leave()
        if not running.cancel():
            await asyncio.shield(asyncio.wrap_future(running))


class _Job:
    """Sends one item for each request."""

    def __init__(self, start: Callable[[], Iterator[Any]], send: Callable[[Any], object]) -> None:
        self.start, self.send = start, send
        self.requests = threading.Semaphore(0)
        self.left = False

    def request(self) -> None:
        """Request the next item."""
        self.requests.release()

    def leave(self) -> None:
        """End the job after its current item."""
        self.left = True
        self.requests.release()

    def run(self) -> None:
        """Send items until the iterator ends or the caller leaves; called in a thread."""
        items: Any = iter(())
        try:
            if not self.left:
                items = self.start()
            while self._requested():
                item = next(items, _END)
                self.send(item)
                if item is _END:
                    return
        except BaseException:
            self.send(_END)
            raise
        finally:
            getattr(items, "close", lambda: None)()

    def _requested(self) -> bool:
        self.requests.acquire()
        return not self.left
