"""Pieces of work that the tests hand out; workers import them from here."""

import logging
import os
import signal
import time


def double(bench, item):
    return 2 * item


def slow_if_odd(bench, item):
    time.sleep(0.3 * (item % 2))
    return item, os.getpid()


def fail(bench, item):
    raise item


def say(bench, item):
    logging.getLogger("impasto.work").warning("done %s", item)
    return item


def remember(bench, item):
    """How often this worker has worked for the parcel, and in all; and what the parcel is."""
    for kept in (bench.payload_cache, bench.worker_cache):
        kept["times"] = kept.get("times", 0) + 1
    return bench.payload_cache["times"], bench.worker_cache["times"], bench.payload.content


def lose_payload(dask_worker):
    """Give a worker the key of another payload, as if it did not have this one."""
    dask_worker.impasto.payload = dask_worker.impasto.payload._replace(key="another")


def wait(bench, item):
    time.sleep(item)
    return item


def die_once(bench, item):
    """End the worker the first time, by the file that is named."""
    number, path = item
    if path is not None and not os.path.exists(path):
        with open(path, "w"):
            os.kill(os.getpid(), signal.SIGKILL)
    return number


def cores(bench, item):
    return sorted(os.sched_getaffinity(0))
