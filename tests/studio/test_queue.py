"""The queue keeps its order, its limit, and jobs that a killed server did not finish."""

import pytest

from impasto.errors import SettingError
from impasto.studio.queue import MAX_JOBS, JobQueue
from impasto.studio.store import NotFound, Store
from tests.studio.test_store import begun


@pytest.fixture
def queue(tmp_path):
    store = Store(tmp_path / "studio")
    store.prepare()
    return JobQueue(store)


def job_ids(count):
    return [f"{index:08x}" for index in range(count)]


def test_jobs_are_added_at_the_end_and_removed(queue):
    one, two, three = job_ids(3)
    for each in (one, two, three):
        queue.add(each)
    queue.remove(two)
    queue.remove("ffffffff")
    assert queue.job_ids() == JobQueue(queue.store).job_ids() == [one, three]
    assert queue.job_added.is_set()


def test_the_next_job_is_the_first_that_is_not_excluded(queue):
    one, two = job_ids(2)
    assert queue.next_job(()) is None
    queue.add(one)
    queue.add(two)
    assert queue.next_job(()) == one
    assert queue.next_job({one}) == two
    assert queue.next_job({one, two}) is None


def test_a_new_order_keeps_the_running_job_first_and_loses_none(queue):
    one, two, three, four = job_ids(4)
    for each in (one, two, three, four):
        queue.add(each)
    queue.reorder([four, "unknown", two, one], running=one)
    assert queue.job_ids() == [one, four, two, three]
    queue.reorder([three], running=None)
    assert queue.job_ids() == [three, one, four, two]


def test_the_queue_has_a_maximum_length(queue):
    for each in job_ids(MAX_JOBS - 1):
        queue.add(each)
    queue.check_capacity(1)
    with pytest.raises(SettingError, match=str(MAX_JOBS)):
        queue.check_capacity(2)


def test_jobs_that_were_interrupted_are_first_again(queue):
    (_, running), (_, waiting), (_, ended) = (begun(queue.store) for _ in range(3))
    queue.store.save_job({**running, "state": "painting"})
    queue.store.save_job({**ended, "state": "done"})
    queue.add(waiting["id"])
    queue.requeue_interrupted()
    assert queue.job_ids() == [running["id"], waiting["id"]]
    assert queue.store.job(running["id"])["state"] == "queued"


def test_the_description_of_the_queue_skips_missing_jobs(queue):
    one, two = job_ids(2)
    queue.add(one)
    queue.add(two)

    def serialize_job(job_id):
        if job_id == one:
            raise NotFound("this job no longer exists")
        return {"id": job_id}

    assert queue.serialize(serialize_job) == [{"id": two}]
