"""The benchmark's own parts: baselines that compute the same, measures that mean what they say."""

import re

import numpy as np
import pytest

import impasto
from benchmarks import baselines, bench, classic, processes, scale, searching, transfers
from impasto.compute import keras_backend
from impasto.images import samples
from impasto.images.style_regions import StyledRegion, StyleImage
from impasto.losses.level_roles import STRUCTURE
from impasto.losses.level_targets import make_level_targets
from impasto.losses.terms import TiledFeatureExtractor
from impasto.network import weights
from impasto.recipe import presets
from tests import tiny


@pytest.mark.backend
@pytest.mark.parametrize("way", ["keras_eager", "torch_classic"])
def test_a_baseline_has_the_gradient_that_impasto_has_for_the_same_loss(way):
    library = {"keras_eager": "tensorflow", "torch_classic": "torch"}[way]
    if keras_backend.backend_name() != library:
        pytest.skip(f"computes with {library}")
    content, style, picture = (tiny.random_picture(48, 64, seed) for seed in (1, 2, 3))
    chosen = presets.make_recipe(
        "gram",
        loss_scale="absolute",
        strips=1,
        padding="zero",
        content_weight=baselines.CONTENT_WEIGHT,
        style_weight=baselines.STYLE_WEIGHT,
        tv_weight=0,
        style_layers=",".join(baselines.STYLE_LAYERS),
    )
    places = (StyledRegion((StyleImage(style),)),)
    expected = []
    for name in tiny.ENGINES:
        engine = tiny.engine(name, chosen, weights.load_weights())
        eye = TiledFeatureExtractor.for_layers(
            engine.feature_function(chosen.layer_names), engine.network, chosen.layer_names
        )
        targets = engine.place(make_level_targets(eye, chosen, content, places).for_full_image())
        _, _, gradient = engine.compile_step(chosen, STRUCTURE)(picture, targets)
        expected.append(gradient)
    received = getattr(baselines, way)(content, style)(picture)
    for each in expected:
        assert np.linalg.norm(received - each) < 1e-3 * np.linalg.norm(each)


def test_a_process_is_timed_and_its_memory_measured():
    done = processes.run(["timeit", "-n1", "-r1", "x = bytearray(200_000_000); print(len(x))"])
    assert 0 < done.seconds < 60
    assert not done.cut_off
    assert done.peak > 2e8
    assert "200000000" in done.output


def test_a_process_that_takes_too_long_is_cut_off_and_one_that_fails_is_told():
    assert processes.run(["timeit", "-n1", "-r1", "import time; time.sleep(60)"], 0.5).cut_off
    with pytest.raises(RuntimeError, match="no_such_module"):
        processes.run(["no_such_module"])


def test_workers_are_reckoned_with_until_their_link_is_full():
    costs = scale.Costs(tile=10.0, pixels=10**6, shown=10**6, own=1.0)
    assert scale.seconds(costs, 64, 1, 1e9) == 641
    assert scale.seconds(costs, 64, 8, 1e9) == 81
    assert scale.seconds(costs, 64, 7, 1e9) == 101
    most = scale.most_workers(costs, 1e8)
    assert scale.seconds(costs, 6400, 10 * int(most), 1e8) == pytest.approx(1 + 64000 / most)


def test_a_picture_of_one_tile_has_smaller_ones_for_workers(monkeypatch):
    tried = []
    costs = scale.Costs(tile=1.0, pixels=10**6, shown=10**6, own=0.1)
    monkeypatch.setattr(
        scale, "costs", lambda size, tile, **_: (tried.append((size, tile)), (costs, 4))[1]
    )
    monkeypatch.setattr(scale, "tiles", lambda sizes, tile: {})
    monkeypatch.setattr(scale, "workers", lambda size, tile, counts: tried.append((size, tile)))
    scale.section([1024, 2048], 1024, [0], 768, 1e8)
    assert tried == [(2048, 1024), (768, 384), (768, 384)]


@pytest.mark.slow
def test_what_tiles_and_workers_cost_is_measured():
    found = scale.section([192], 128, [0, 2], 192, 1e8)
    assert found["workers"]["same_bytes"]
    assert found["tiles"]["192"]["ratio"] > 1
    assert found["tiles_of_the_picture"] == 2
    one, eight, many = found["gigapixel_evaluation_s"].values()
    assert one > eight >= many


@pytest.mark.slow
def test_a_search_is_timed_and_what_it_stands_for_is_hardly_nearer():
    content, style = samples.load_content("coffee")[::4, ::4], samples.make_style("swirls", 96)
    with searching.timed() as seconds, impasto.Stylizer(size=64, evaluations=1) as stylizer:
        list(stylizer.paint(content, style))
        assert len(seconds) >= 2  # of levels, and of feature splitting
        assert 0 < sum(seconds) < 60
    for ratio in bench._nearness(content, style, 96).values():
        assert 0.99 < ratio < 1.1


@pytest.mark.slow
@pytest.mark.backend
def test_on_a_device_an_evaluation_brings_but_numbers_to_the_host():
    first, second = transfers.by_level(64).values()
    evaluations = [each for name, each in second.items() if name.endswith("an evaluation")]
    assert len(evaluations) >= 2
    assert all(each["bytes to the host"] < 100 for each in evaluations)
    targets = [each for name, each in second.items() if name.endswith("targets")]
    assert 0 < max(each["bytes to the host"] for each in targets) < 1e6
    if keras_backend.backend_name() == "torch":
        assert all(each["operations"] > 0 for each in evaluations)
    if keras_backend.backend_name() == "jax":
        assert sum(each.get("programs compiled", 0) for each in first.values()) > 20
        assert sum(each.get("programs compiled", 0) for each in second.values()) == 0


def test_the_classic_recipe_paints():
    pytest.importorskip("torch")
    content, style = (tiny.random_picture(40, 48, seed) for seed in (1, 2))
    picture = classic.paint(content, style, evaluations=5)
    assert picture.shape == content.shape
    assert 1 < np.abs(picture - content).mean() < 100


def test_the_plot_of_growth_shows_every_size_and_value(tmp_path):
    found = {
        "512": {"seconds": 12.3, "peak_gigabytes": 0.95},
        "4096": {"seconds": 177.2, "peak_gigabytes": 10.2},
    }
    bench.plot_growth(found, tmp_path / "growth.svg")
    texts = re.findall(r">([^<>]+)</text>", (tmp_path / "growth.svg").read_text(encoding="utf-8"))
    assert {"512", "4,096", "12", "177", "0.95", "10"} <= set(texts)
