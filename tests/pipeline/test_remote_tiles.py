"""A picture whose tiles workers read is, to the last byte, that of one process."""

import logging
import os
import random
import signal
import threading
import time
from dataclasses import replace
from typing import Any

import pytest
from distributed import LocalCluster

from impasto import Stylizer
from impasto.compute.native import kernels
from impasto.errors import ClusterError, SettingError
from impasto.images import samples
from impasto.pipeline.events import LevelStarted, Step
from impasto.pipeline.stylizer import parse_workers
from impasto.recipe import settings as recipe
from impasto.recipe.settings import Recipe

SETTINGS: dict[str, Any] = {
    "size": 160,
    "levels": 1,
    "evaluations": 4,
    "precision": "float32",
    "tile": 128,
}
GRAM = Recipe(**SETTINGS, style_loss="gram")

KILLS = min(10, int(os.environ.get("IMPASTO_KILLS", "3")))
"""How often a worker is killed, at seeded moments."""


@pytest.fixture(scope="module")
def content():
    return samples.load_content("coffee")[:300:2, :420:2]


@pytest.fixture(scope="module")
def style():
    return samples.make_style("swirls", 96)


@pytest.fixture(scope="module")
def crew():
    with Stylizer(workers=2) as stylizer:
        yield stylizer


def painted(stylizer, content, style, chosen, **wanted):
    *_, last = stylizer.paint(content, style, recipe=chosen, **wanted)
    return last.result


@pytest.fixture(scope="module")
def alone(content, style):
    with Stylizer() as stylizer:
        yield lambda chosen: painted(stylizer, content, style, chosen)


@pytest.mark.slow
@pytest.mark.parametrize(
    "chosen",
    [
        pytest.param(GRAM, marks=pytest.mark.backend),
        Recipe(**SETTINGS, style_loss="matching"),
        Recipe(**SETTINGS, style_loss="gram", content_weight=1.0, colors="content"),
    ],
    ids=["gram", "matching", "content"],
)
def test_workers_give_the_same_bytes(crew, alone, content, style, chosen):
    shared, own = painted(crew, content, style, chosen), alone(chosen)
    assert shared.recipe == own.recipe
    assert [each.total for each in shared.history] == [each.total for each in own.history]
    assert shared.pixels.tobytes() == own.pixels.tobytes()


@pytest.mark.slow
def test_workers_compute_with_an_instruction_set_that_all_have(crew, content, style, monkeypatch):
    usual = painted(crew, content, style, GRAM)
    least, *better = kernels.instruction_sets()
    monkeypatch.setattr(kernels, "instruction_sets", lambda: (least,))
    shared = painted(crew, content, style, GRAM)
    with Stylizer() as stylizer:
        assert painted(stylizer, content, style, GRAM).pixels.tobytes() == shared.pixels.tobytes()
    if better:
        assert shared.pixels.tobytes() != usual.pixels.tobytes()


@pytest.mark.slow
def test_weights_may_be_steered_while_workers_read(crew, content, style):
    def steered(stylizer):
        for event in stylizer.paint(content, style, recipe=GRAM):
            if isinstance(event, LevelStarted):
                stylizer.steer(content_weight=2.0)
        return event.result.pixels.tobytes()

    with Stylizer() as stylizer:
        assert steered(crew) == steered(stylizer)


def alive(crew):
    """Return the processes of the workers; one killed a moment ago may be listed yet."""
    client, found = crew._executor._pool.client, {}
    while not found:
        found = client.run(os.getpid, on_error="ignore")
    return list(found.values())


@pytest.mark.slow
def test_a_worker_that_is_killed_changes_nothing(crew, alone, content, style):
    want = alone(replace(GRAM, evaluations=8)).pixels.tobytes()
    begun = time.monotonic()
    painted(crew, content, style, replace(GRAM, evaluations=8))
    takes = time.monotonic() - begun
    moments = random.Random(7)
    for _ in range(KILLS):
        victim = moments.choice(alive(crew))
        killer = threading.Timer(moments.uniform(0, takes), os.kill, (victim, signal.SIGKILL))
        killer.start()
        found = painted(crew, content, style, replace(GRAM, evaluations=8)).pixels.tobytes()
        killer.join()
        assert found == want


@pytest.mark.slow
def test_what_a_lost_scheduler_leaves_is_gone_on_with_by_one_process(
    alone, content, style, tmp_path, caplog
):
    path, steps = tmp_path / "a.checkpoint", 0
    chosen = replace(GRAM, evaluations=6)
    with (
        LocalCluster(n_workers=1, dashboard_address=None, memory_limit=0) as cluster,
        Stylizer(workers=cluster.scheduler_address) as stylizer,
    ):
        for event in stylizer.paint(content, style, recipe=chosen, checkpoint=path):
            steps += isinstance(event, Step)
            if steps == 2:
                cluster.close()
    assert event.result.stopped
    assert not event.result.finished
    (line,) = [each.message for each in caplog.records if each.levelno == logging.WARNING]
    assert "is gone" in line
    assert path.exists()
    with Stylizer() as stylizer:
        *_, last = stylizer.paint(content, style, resume=path)
    assert last.result.pixels.tobytes() == alone(chosen).pixels.tobytes()


def test_without_a_scheduler_nothing_is_begun(content, style, monkeypatch, one_line):
    monkeypatch.setattr("impasto.cluster.pool.CONNECT_TIMEOUT", 1)
    with (
        Stylizer(workers="tcp://127.0.0.1:1") as stylizer,
        pytest.raises(ClusterError) as caught,
    ):
        next(iter(stylizer.paint(content, style, recipe=GRAM)))
    one_line(caught)


@pytest.mark.parametrize("given", ["-1", "two", "http://", "tcp://host", "1.5"])
def test_what_is_no_number_and_no_address_is_refused(given, one_line):
    with pytest.raises(SettingError, match="workers is") as caught:
        parse_workers(given)
    one_line(caught)


@pytest.mark.parametrize(
    ("given", "taken"), [(None, 0), (0, 0), ("3", 3), ("tls://a.b:8786", "tls://a.b:8786")]
)
def test_workers_are_a_number_or_an_address(given, taken):
    assert parse_workers(given) == taken


def test_without_dask_it_is_said_what_to_install(monkeypatch, one_line):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SettingError, match=r"pip install .*\[cluster\]") as caught:
        parse_workers(2)
    one_line(caught)


@pytest.mark.xdist_group("gram")
@pytest.mark.usefixtures("one_network")
def test_a_picture_of_one_tile_needs_no_workers_and_says_so(content, style, caplog):
    caplog.set_level(logging.INFO)
    with Stylizer(workers="tcp://127.0.0.1:1") as stylizer:
        painted(stylizer, content, style, replace(GRAM, size=48, tile=recipe.WHOLE))
    assert "workers are not used" in caplog.text


def test_a_picture_is_cut_up_for_workers(content, style):
    settings = {name: SETTINGS[name] for name in ("levels", "evaluations")}
    prepared = Stylizer(workers=2, size=600, **settings).prepare(content, style)
    assert 256 <= prepared.plan.tile < 600
    assert Stylizer(size=600, **settings).prepare(content, style).plan.tile == recipe.WHOLE
