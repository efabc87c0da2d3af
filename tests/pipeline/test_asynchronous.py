"""A blocking generator for coroutines, with generators that record what happens to them."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from impasto.pipeline import asynchronous


class Source:
    """Yields 0, 1, 2 …; records the items computed and whether it was closed."""

    def __init__(self, count=1000, fails_at=None):
        self.count, self.fails_at, self.made, self.closed = count, fails_at, 0, False
        self.threads = set()

    def __call__(self):
        try:
            for number in range(self.count):
                self.threads.add(threading.current_thread().name)
                if number == self.fails_at:
                    raise ValueError("broken")
                self.made += 1
                yield number
        finally:
            self.closed = True


@pytest.fixture
def executor():
    with ThreadPoolExecutor(1, "runs") as made:
        yield made


async def collect(source, executor, limit=None):
    found = []
    items = asynchronous.iterate(source, executor)
    async for item in items:
        found.append(item)
        if len(found) == limit:
            await items.aclose()
            break
    return found


def test_all_items_come_in_order_from_one_thread(executor):
    source = Source(4)
    assert asyncio.run(collect(source, executor)) == [0, 1, 2, 3]
    assert source.closed
    assert source.threads == {"runs_0"}


def test_items_are_computed_on_demand_and_the_generator_is_closed(executor):
    source = Source()
    assert asyncio.run(collect(source, executor, limit=2)) == [0, 1]
    assert source.closed
    assert source.made == 2


@pytest.mark.parametrize("at", [0, 2])
def test_an_error_reaches_the_caller(executor, at):
    source = Source(fails_at=at)
    with pytest.raises(ValueError, match="broken"):
        asyncio.run(collect(source, executor))
    assert source.made == at
    assert source.closed


def test_an_error_before_the_first_item_reaches_the_caller(executor):
    def start():
        raise KeyError("invalid")

    with pytest.raises(KeyError, match="invalid"):
        asyncio.run(collect(start, executor))


def test_two_runs_take_turns(executor):
    first, second = Source(3), Source(3)

    async def both():
        return await asyncio.gather(collect(first, executor), collect(second, executor))

    assert asyncio.run(both()) == [[0, 1, 2], [0, 1, 2]]


def test_a_cancelled_task_ends_the_run_and_the_next_one_begins(executor):
    first, second = Source(), Source(2)

    async def cancel():
        waiting = asyncio.Event()

        async def consume():
            async for _ in asynchronous.iterate(first, executor):
                waiting.set()
                await asyncio.sleep(60)

        running = asyncio.create_task(consume())
        queued = asyncio.create_task(collect(Source(), executor))
        await waiting.wait()
        for task in (queued, running):
            task.cancel()
        await asyncio.gather(running, queued, return_exceptions=True)
        return await collect(second, executor)

    assert asyncio.run(asyncio.wait_for(cancel(), 20)) == [0, 1]
    assert (first.made, first.closed) == (1, True)
