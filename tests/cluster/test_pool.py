"""Work is handed out, and comes back in order, whoever did it and whoever was lost meanwhile."""

import os
import subprocess
import sys
import time

import psutil
import pytest
from distributed import LocalCluster

from impasto.cluster import pool, worker_state
from impasto.cluster.pool import connect
from impasto.cluster.worker_state import Versions
from impasto.errors import ClusterError
from tests.cluster import tasks


@pytest.fixture(scope="module")
def two():
    with connect(2) as hired:
        hired.broadcast(b"", "")
        yield hired


def elsewhere():
    """A scheduler with workers that somebody else has started."""
    return LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None, memory_limit=0)


def test_results_come_in_the_order_of_the_items(two):
    found = list(two.map(tasks.slow_if_odd, range(8)))
    assert [item for item, _ in found] == list(range(8))
    assert len({process for _, process in found}) == 2


def test_no_more_is_handed_out_than_workers_need(two):
    taken = []
    results = two.map(tasks.double, (taken.append(item) or item for item in range(50)))
    assert next(results) == 0
    assert len(taken) <= 4
    results.close()
    assert list(two.map(tasks.double, [7])) == [14]


@pytest.mark.parametrize("kind", [ValueError, FileNotFoundError, TimeoutError])
def test_what_work_raises_is_raised(two, kind):
    with pytest.raises(kind, match="3 cannot be done"):
        list(two.map(tasks.fail, [kind("3 cannot be done")]))


def test_what_work_logs_is_logged_here(two, caplog):
    assert list(two.map(tasks.say, ["a", "b"])) == ["a", "b"]
    assert [record.message for record in caplog.records] == ["done a", "done b"]


def test_what_was_made_of_a_parcel_is_forgotten_with_it(two):
    for number in (1, 2):
        two.broadcast(b"%d" % number, "")
        found = list(two.map(tasks.remember, range(6)))
        assert {content for *_, content in found} == {b"%d" % number}
        assert max(times for times, *_ in found) <= 6
        assert max(lasting for _, lasting, _ in found) > 3 * (number - 1)


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="a single core cannot be shared out")
def test_workers_of_one_machine_share_its_cores(two):
    found = [cores for cores in two.map(tasks.cores, range(8))]
    assert {core for cores in found for core in cores} == os.sched_getaffinity(0)
    assert not set(found[0]) & set(found[1])


def test_a_worker_that_is_killed_has_its_work_done_by_others(two, tmp_path):
    items = [(number, str(tmp_path / "killed") if number == 3 else None) for number in range(8)]
    assert list(two.map(tasks.die_once, items)) == list(range(8))
    assert (tmp_path / "killed").exists()


def test_a_worker_without_the_payload_gets_it(two):
    two.client.run(tasks.lose_payload)
    assert list(two.map(tasks.double, range(4))) == [0, 2, 4, 6]


def test_a_task_may_take_longer_than_workers_may_be_missing(two, monkeypatch):
    monkeypatch.setattr(pool, "NO_WORKERS_TIMEOUT", 0.1)
    monkeypatch.setattr(pool, "POLL_SECONDS", 0.05)
    assert list(two.map(tasks.wait, [0.5, 0.5])) == [0.5, 0.5]


@pytest.mark.slow
def test_all_workers_may_be_killed_at_once(two, tmp_path):
    two.broadcast(b"again", "")
    items = [(number, str(tmp_path / str(number % 2))) for number in range(8)]
    assert list(two.map(tasks.die_once, items)) == list(range(8))
    assert {content for *_, content in two.map(tasks.remember, range(4))} == {b"again"}


@pytest.mark.slow
def test_a_worker_that_joins_late_gets_its_share(two):
    two.broadcast(b"early", "")
    two.client.cluster.scale(3)
    until = time.monotonic() + 60
    while len(two.worker_addresses()) < 3 and time.monotonic() < until:
        time.sleep(0.2)
    found = list(two.map(tasks.slow_if_odd, range(12)))
    assert [item for item, _ in found] == list(range(12))
    assert len({process for _, process in found}) == 3
    two.client.cluster.scale(2)


def test_workers_of_this_machine_listen_to_it_alone(two):
    me = psutil.Process()
    for process in (me, *me.children(recursive=True)):
        for each in process.net_connections("inet"):
            assert each.status != psutil.CONN_LISTEN or each.laddr.ip in ("127.0.0.1", "::1")
    assert two.address.startswith("tls://")


def test_a_worker_of_another_version_is_refused(two, monkeypatch, one_line):
    monkeypatch.setattr(worker_state, "local_versions", lambda: Versions("9.9", "3.99"))
    with pytest.raises(ClusterError, match=r"this is impasto 9\.9 on Python 3\.99") as caught:
        two.broadcast(b"", "")
    one_line(caught)


def test_where_there_is_no_scheduler_that_is_said(monkeypatch, one_line):
    monkeypatch.setattr(pool, "CONNECT_TIMEOUT", 2)
    with pytest.raises(ClusterError, match="no scheduler answers at tcp://127") as caught:
        connect("tcp://127.0.0.1:1")
    one_line(caught)


def test_a_worker_without_impasto_is_named(two, monkeypatch, one_line):
    """Dask's own words for it, as a worker in an environment of its own gave them."""
    said = Exception("ModuleNotFoundError(\"No module named 'impasto'\")")
    monkeypatch.setattr(two.client, "run", lambda *_, **__: {"tcp://there": said})
    with pytest.raises(ClusterError, match="worker at tcp://there cannot load impasto") as caught:
        two.broadcast(b"", "")
    one_line(caught)


@pytest.mark.slow
def test_a_scheduler_that_goes_away_is_told_in_a_line(one_line):
    with elsewhere() as cluster, connect(cluster.scheduler_address) as hired:
        hired.broadcast(b"", "")
        results = hired.map(tasks.slow_if_odd, range(1, 100, 2))
        assert next(results)[0] == 1
        cluster.close()
        with pytest.raises(ClusterError, match=r"scheduler at tcp://.* is gone") as caught:
            list(results)
        one_line(caught)


@pytest.mark.slow
def test_where_no_worker_is_left_somebody_says_so(monkeypatch, one_line):
    monkeypatch.setattr(pool, "NO_WORKERS_TIMEOUT", 3)
    with elsewhere() as cluster, connect(cluster.scheduler_address) as hired:
        hired.broadcast(b"", "")
        cluster.scale(0)
        while hired.worker_addresses():
            time.sleep(0.2)
        with pytest.raises(ClusterError, match="no worker is left") as caught:
            list(hired.map(tasks.double, [1]))
        one_line(caught)


WITHOUT_GUARD = """
from impasto.cluster.pool import connect
print("begun")
connect(2)
"""


@pytest.mark.slow
def test_a_script_without_a_main_guard_ends_in_a_line_that_says_what_to_add(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(WITHOUT_GUARD)
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    *trace, last = done.stderr.strip().splitlines()
    assert last.startswith("impasto.errors.ClusterError: no worker could be started (")
    assert 'in a script, put what is to run under if __name__ == "__main__":' in last
    # The script's own trace alone, none of a worker's or of Dask's.
    assert sum("Traceback" in line for line in trace) == 1
    assert "distributed" not in done.stderr
