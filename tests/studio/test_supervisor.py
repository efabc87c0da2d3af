"""An error concerns one work: it fails with its reason, and the queue goes on."""

import asyncio
import errno
import logging
import sys

import pytest

from impasto.errors import ImageError
from impasto.studio import jobs
from impasto.studio import supervisor as module
from impasto.studio.store import Store
from impasto.studio.supervisor import Supervisor
from tests.studio.test_store import begun

PAINTER = """
import json, sys
def say(event, **more): print(json.dumps({"event": event, **more}), flush=True)
say("ready")
for line in sys.stdin:
    asked = json.loads(line)
    if asked["do"] == "stop":
        continue
    work = asked["work"]
    say("draft", work=work)
    if asked.get("garbage"):
        print(asked["garbage"], flush=True)
    if asked.get("long"):
        print("x" * 2**23, flush=True)
    say("finished", work=work, seconds=1.0, stopped=False, steered=False, recipe={})
"""


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "WORKER_COMMAND", (sys.executable, "-S", "-E", "-c", PAINTER))
    monkeypatch.setattr(module, "RESTART_DELAYS", {})
    monkeypatch.setattr(module, "DEFAULT_RESTART_DELAY", 0.01)
    made = Store(tmp_path / "studio")
    made.prepare()
    return made


def painted(store, foreman, *numbers, enough=None):
    """Run the foreman over these works, until all have ended; their states as the page is told."""

    def ended():
        found = [foreman.job(each)["state"] for each in numbers]
        return enough() if enough else not {"queued", "painting"} & set(found)

    async def run():
        task = asyncio.create_task(foreman.run())
        for each in numbers:
            foreman.enqueue(each)
        async with asyncio.timeout(30):
            while not ended():
                assert not task.done()
                await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert foreman._process
        await foreman._process.wait()

    asyncio.run(run())
    return [foreman.job(each)["state"] for each in numbers]


def two(store):
    return [begun(store)[1]["id"] for _ in range(2)]


def commands(**more):
    """Make commands, with more fields in that of the first job."""
    first = []

    def command(store, job):
        first.append(job["id"])
        return {**jobs.paint_command(store, job), **(more if job["id"] == first[0] else {})}

    return command


def test_a_result_that_cannot_be_written_fails_and_the_next_is_painted(store, monkeypatch, caplog):
    full, other = two(store)
    save = Store.save_job
    disk = {"full": True}

    def save_job(self, work):
        if disk["full"] and work["id"] == full and work["state"] in ("done", "failed"):
            raise ImageError("work.json cannot be written: No space left on device")
        save(self, work)

    monkeypatch.setattr(Store, "save_job", save_job)
    supervisor = Supervisor(store, commands())
    assert painted(store, supervisor, full, other) == ["failed", "done"]
    assert "No space left" in jobs.serialize(store, full, supervisor)["error"]
    assert jobs.serialize(store, full, supervisor)["resumable"]
    assert "could not be processed" in caplog.text
    # Once there is room, the failure is written down, and the work can be painted again.
    disk["full"] = False
    third = begun(store)[1]["id"]
    assert painted(store, supervisor, third) == ["done"]
    assert store.job(full)["state"] == "failed"
    assert not supervisor.failures
    store.save_job({**store.job(full), "state": "queued"})
    assert painted(store, supervisor, full) == ["done"]


def test_a_full_disk_fails_every_work_and_ends_nothing(store, monkeypatch):
    numbers = two(store)
    supervisor = Supervisor(store, commands())
    save, disk = Store.save_job, {"full": True}

    def save_job(self, work):
        if disk["full"]:
            raise OSError(errno.ENOSPC, "No space left on device")
        save(self, work)

    monkeypatch.setattr(Store, "save_job", save_job)
    assert painted(store, supervisor, *numbers) == ["failed", "failed"]
    disk["full"] = False
    assert painted(store, supervisor, *numbers) == ["done", "done"]


@pytest.mark.parametrize(
    "error", [KeyError("mask"), ImageError("a.png is gone"), OSError(5, "I/O")]
)
def test_a_work_that_cannot_be_begun_fails_with_its_reason(store, error):
    bad, good = two(store)

    def command(store, job):
        if job["id"] == bad:
            raise error
        return jobs.paint_command(store, job)

    supervisor = Supervisor(store, command)
    assert painted(store, supervisor, bad, good) == ["failed", "done"]
    reason = store.job(bad)["error"]
    assert reason
    assert reason in str(error)
    assert bad not in store.queue()


@pytest.mark.parametrize("garbage", ["not JSON", '{"event": "step"}', '{"event": "finished"}', "7"])
def test_a_line_that_cannot_be_used_fails_its_work(store, garbage):
    numbers = two(store)
    supervisor = Supervisor(store, commands(garbage=garbage))
    states = painted(store, supervisor, *numbers)
    assert states[1] == "done"
    assert states[0] in ("failed", "done")  # a line of no work says nothing of this one


def test_a_supervisor_that_fails_starts_again(store, monkeypatch, caplog):
    number, _ = two(store)
    supervisor = Supervisor(store, commands())
    started, failed = supervisor._start_worker, []

    async def fail_once():
        if len(failed) < 2:
            failed.append(1)
            raise OSError(errno.EMFILE, "Too many open files")
        return await started()

    monkeypatch.setattr(supervisor, "_start_worker", fail_once)
    assert painted(store, supervisor, number) == ["done"]
    assert len([each for each in caplog.records if each.levelno == logging.ERROR]) == 2
    assert "Too many open files" in caplog.text


def test_a_painter_that_says_too_much_is_replaced_and_gives_its_work_up(store):
    """A line beyond all limits ends what follows the painter, not the queue."""
    numbers = two(store)
    supervisor = Supervisor(store, commands(long=True))
    assert painted(store, supervisor, *numbers) == ["failed", "done"]
    assert "three times" in store.job(numbers[0])["error"]


def test_a_work_that_is_removed_while_it_waits_is_forgotten(store):
    gone, number = two(store)
    store.remove_job(gone)
    supervisor = Supervisor(store, commands())
    assert painted(store, supervisor, number) == ["done"]
    store.save_queue([gone, number])
    store.save_job({**store.job(number), "state": "queued"})
    assert painted(store, supervisor, number) == ["done"]
    assert store.queue() == []
    assert not supervisor.failures
