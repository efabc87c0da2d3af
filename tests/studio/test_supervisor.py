"""An error fails one job with its reason, and the queue continues."""

import asyncio
import errno
import logging
import sys

import pytest

from impasto.errors import ImageError
from impasto.studio import supervisor as module
from impasto.studio import versions
from impasto.studio.queue import JobQueue
from impasto.studio.store import Store
from impasto.studio.supervisor import Supervisor
from tests.studio.test_store import begun

WORKER = """
import json, sys
def send(event, **more): print(json.dumps({"event": event, **more}), flush=True)
send("ready")
for line in sys.stdin:
    command = json.loads(line)
    if command["do"] == "stop":
        continue
    job = command["work"]
    send("draft", work=job)
    if command.get("garbage"):
        print(command["garbage"], flush=True)
    if command.get("long"):
        print("x" * 2**23, flush=True)
    send("finished", work=job, seconds=1.0, stopped=False, steered=False, recipe={})
"""


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "WORKER_COMMAND", (sys.executable, "-S", "-E", "-c", WORKER))
    monkeypatch.setattr(module, "RESTART_DELAYS", {})
    monkeypatch.setattr(module, "DEFAULT_RESTART_DELAY", 0.01)
    made = Store(tmp_path / "studio")
    made.prepare()
    return made


def run_jobs(supervisor, *numbers):
    """Run these jobs until all have ended; return their states."""

    def ended():
        return not {"queued", "painting"} & {supervisor.job(each)["state"] for each in numbers}

    async def run():
        task = asyncio.create_task(supervisor.run())
        for each in numbers:
            supervisor.clear_failures(each)
            supervisor.queue.add(each)
        async with asyncio.timeout(30):
            while not ended():
                assert not task.done()
                await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert supervisor._process
        await supervisor._process.wait()

    asyncio.run(run())
    return [supervisor.job(each)["state"] for each in numbers]


def two(store):
    return [begun(store)[1]["id"] for _ in range(2)]


def commands(**more):
    """Make commands, with more fields in that of the first job."""
    first = []

    def command(store, job):
        first.append(job["id"])
        return {**versions.paint_command(store, job), **(more if job["id"] == first[0] else {})}

    return command


def test_a_result_that_cannot_be_written_fails_and_the_next_job_runs(store, monkeypatch, caplog):
    full, other = two(store)
    save = Store.save_job
    disk = {"full": True}

    def save_job(self, job):
        if disk["full"] and job["id"] == full and job["state"] in ("done", "failed"):
            raise ImageError("work.json cannot be written: No space left on device")
        save(self, job)

    monkeypatch.setattr(Store, "save_job", save_job)
    supervisor = Supervisor(JobQueue(store), commands())
    assert run_jobs(supervisor, full, other) == ["failed", "done"]
    assert "No space left" in versions.serialize_job(store, full, supervisor)["error"]
    assert versions.serialize_job(store, full, supervisor)["resumable"]
    assert "could not be processed" in caplog.text
    # With free space, the failure is stored, and the job can run again.
    disk["full"] = False
    third = begun(store)[1]["id"]
    assert run_jobs(supervisor, third) == ["done"]
    assert store.job(full)["state"] == "failed"
    assert not supervisor.failures
    store.save_job({**store.job(full), "state": "queued"})
    assert run_jobs(supervisor, full) == ["done"]


def test_a_full_disk_fails_each_job_but_not_the_supervisor(store, monkeypatch):
    numbers = two(store)
    supervisor = Supervisor(JobQueue(store), commands())
    save, disk = Store.save_job, {"full": True}

    def save_job(self, job):
        if disk["full"]:
            raise OSError(errno.ENOSPC, "No space left on device")
        save(self, job)

    monkeypatch.setattr(Store, "save_job", save_job)
    assert run_jobs(supervisor, *numbers) == ["failed", "failed"]
    disk["full"] = False
    assert run_jobs(supervisor, *numbers) == ["done", "done"]


@pytest.mark.parametrize(
    "error", [KeyError("mask"), ImageError("a.png is gone"), OSError(5, "I/O")]
)
def test_a_job_that_cannot_start_fails_with_its_reason(store, error):
    bad, good = two(store)

    def command(store, job):
        if job["id"] == bad:
            raise error
        return versions.paint_command(store, job)

    supervisor = Supervisor(JobQueue(store), command)
    assert run_jobs(supervisor, bad, good) == ["failed", "done"]
    reason = store.job(bad)["error"]
    assert reason
    assert reason in str(error)
    assert bad not in supervisor.queue.job_ids()


@pytest.mark.parametrize("garbage", ["not JSON", '{"event": "step"}', '{"event": "finished"}', "7"])
def test_an_invalid_message_fails_its_job(store, garbage):
    numbers = two(store)
    supervisor = Supervisor(JobQueue(store), commands(garbage=garbage))
    states = run_jobs(supervisor, *numbers)
    assert states[1] == "done"
    assert states[0] in ("failed", "done")  # a message of another job does not affect this one


def test_a_supervisor_restarts_after_an_error(store, monkeypatch, caplog):
    number, _ = two(store)
    supervisor = Supervisor(JobQueue(store), commands())
    started, failed = supervisor._start_worker, []

    async def fail_once():
        if len(failed) < 2:
            failed.append(1)
            raise OSError(errno.EMFILE, "Too many open files")
        return await started()

    monkeypatch.setattr(supervisor, "_start_worker", fail_once)
    assert run_jobs(supervisor, number) == ["done"]
    assert len([each for each in caplog.records if each.levelno == logging.ERROR]) == 2
    assert "Too many open files" in caplog.text


def test_a_worker_that_sends_too_long_a_line_is_replaced_and_its_job_fails(store):
    """The queue continues after a line that exceeds the limit."""
    numbers = two(store)
    supervisor = Supervisor(JobQueue(store), commands(long=True))
    assert run_jobs(supervisor, *numbers) == ["failed", "done"]
    assert "three times" in store.job(numbers[0])["error"]


def test_a_removed_job_is_removed_from_the_queue(store):
    gone, number = two(store)
    store.remove_job(gone)
    supervisor = Supervisor(JobQueue(store), commands())
    assert run_jobs(supervisor, number) == ["done"]
    supervisor.queue.add(gone)
    store.save_job({**store.job(number), "state": "queued"})
    assert run_jobs(supervisor, number) == ["done"]
    assert supervisor.queue.job_ids() == []
    assert not supervisor.failures
