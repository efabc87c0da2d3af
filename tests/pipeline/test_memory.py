"""What fits into memory is begun, what does not is refused with the size that would."""

import itertools
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from impasto.compute.native import kernels
from impasto.errors import SettingError
from impasto.optimizers.registry import SOLVERS
from impasto.pipeline import memory
from impasto.pipeline.memory import MemoryInputs
from impasto.recipe import settings as recipe

WORK = MemoryInputs((3000, 4000), 512, ((12_000_000, 1.0),))


@pytest.fixture
def four_gigabytes(monkeypatch):
    machine = SimpleNamespace(available=4e9)
    monkeypatch.setattr(memory.psutil, "virtual_memory", lambda: machine)
    return machine


def test_what_fits_is_let_through(four_gigabytes):
    memory.plan_tiles(WORK)


def test_what_does_not_fit_is_refused_and_the_size_that_is_named_fits(four_gigabytes):
    with pytest.raises(
        SettingError, match=r"4000 x 3000 px needs about .* GB .* 4\.0 GB"
    ) as caught:
        memory.plan_tiles(replace(WORK, size=4000, optimizer="scipy"))
    size = int(str(caught.value).rsplit(" ", 1)[1])
    assert 512 < size < 4000
    memory.plan_tiles(replace(WORK, size=size, optimizer="scipy"))
    with pytest.raises(SettingError):
        memory.plan_tiles(replace(WORK, size=size + 16, optimizer="scipy"))


@pytest.mark.parametrize(("size", "most"), [((4000, 6000), 3e9), ((5657, 8485), 4e9)])
def test_huge_photographs_fit_since_arrays_lie_in_files(size, most):
    work = MemoryInputs(size, max(size), ((2**18, 1.0),), evaluations=8, style_loss="matching")
    assert memory.peak_bytes(work, memory.plan_tiles(work, most)) <= most


def test_where_nothing_fits_no_size_is_named(four_gigabytes):
    four_gigabytes.available = 1e8
    with pytest.raises(SettingError, match="free some memory first"):
        memory.plan_tiles(replace(WORK, size=100))


@pytest.mark.parametrize(
    "more",
    [
        {"size": 513},
        {"content_size": (4000, 4000)},
        {"styles": ((50_000_000, 1.0),)},
        {"styles": ((12_000_000, 3.0),)},
        {"styles": ((12_000_000, 1.0),) * 5},
        {"other_pixels": (10_000_000,)},
        {"region_count": 2},
        {"evaluations": 11},
        {"colors": "content"},
        {"style_loss": "wasserstein"},
        {"style_loss": "neighbors"},
        {"extra_bytes": 1.0},
    ],
    ids=str,
)
def test_more_work_needs_more(more):
    # By the native engine all of them but matching take the same.
    less = replace(WORK, evaluations=5, features="float32" if "style_loss" in more else "native")
    assert memory.peak_bytes(replace(less, **more)) > memory.peak_bytes(less)


def test_colors_that_change_count_where_inputs_are_huge():
    huge = replace(WORK, styles=((150_000_000, 1.0),))
    assert memory.peak_bytes(replace(huge, colors="match")) > memory.peak_bytes(huge)
    assert memory.peak_bytes(replace(WORK, colors="match")) == memory.peak_bytes(WORK)


def test_every_choice_of_the_recipe_is_known():
    choices = {name: about.choices for name, *_, about in recipe.iter_settings() if about.choices}
    assert set(SOLVERS) == set(choices["optimizer"])
    for rates in memory.RATES.values():
        assert set(rates.style_loss) <= set(choices["style_loss"])
    assert set(memory.COLOR_BYTES) <= set(choices["colors"])
    engines = [each for each in choices["engine"] if each != "auto"]
    precisions = [each for each in choices["precision"] if each != "auto"]
    named = {memory.features_of(*each) for each in itertools.product(engines, precisions)}
    assert set(memory.RATES) == named


def test_the_native_engine_needs_less():
    for size in (128, 512, 2048):
        native = replace(WORK, size=size, features="native")
        for features in ("float32", "bfloat16"):
            assert memory.peak_bytes(native) < memory.peak_bytes(replace(native, features=features))


MEASURE = """
import re, sys
import impasto
from impasto.pipeline import memory
from impasto.images import samples

pictures = samples.load_content("coffee"), samples.load_content("cat")
with impasto.Stylizer(**eval(sys.argv[1]), engine="native", evaluations=4) as stylizer:
    prepared = stylizer.prepare(*pictures)
    for _ in stylizer.run(prepared):
        pass
    foretold = memory.peak_bytes(prepared.inputs.memory_inputs, prepared.plan)
# Not getrusage: it counts the process that started this one as well.
peak = re.search(r"VmHWM:\\s*(\\d+) kB", open("/proc/self/status").read())[1]
print(int(peak) * 1024 / foretold)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux's own numbers")
@pytest.mark.skipif(not kernels.kernels_available(), reason="the kernels are not built")
@pytest.mark.parametrize("asked", ["size=256", "size=256, style_loss='gram'", "size=96, levels=1"])
def test_the_native_engine_needs_what_was_foretold(asked):
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, f"dict({asked})"], capture_output=True, check=True
    )
    assert 0.8 < float(done.stdout) <= 1


# In what tiles ---------------------------------------------------------------------------------


def test_a_picture_is_looked_at_as_a_whole_while_that_fits_then_in_ever_smaller_tiles(
    four_gigabytes,
):
    four_gigabytes.available = 1e12
    work = replace(WORK, size=2048, style_loss="matching")
    needs = {each: memory.peak_bytes(work, each) for each in memory.iter_plans(work)}
    assert next(iter(needs)) == memory.WHOLE_IMAGE
    for each in needs:
        most = needs[each]
        faster = list(needs)[: list(needs).index(each)]
        fitting = (one for one in faster if needs[one] <= most)
        assert memory.plan_tiles(work, most) == next(fitting, each)
    kept = [memory.TilePlan(1024, keep) for keep in (True, False)]
    assert needs[kept[0]] > needs[kept[1]] > needs[memory.TilePlan(512, keep_targets=False)]


def test_the_tile_of_the_recipe_is_taken_and_a_picture_no_larger_is_one():
    assert {each.tile for each in memory.iter_plans(replace(WORK, size=1000, tile=384))} == {384}
    assert list(memory.iter_plans(replace(WORK, size=300, tile=384))) == [memory.WHOLE_IMAGE]
    assert list(memory.iter_plans(replace(WORK, size=1000, tile=recipe.WHOLE))) == [
        memory.WHOLE_IMAGE
    ]


def test_a_picture_in_tiles_hardly_needs_more_when_it_is_larger():
    sizes = {size: replace(WORK, size=size, style_loss="matching") for size in (1024, 2048)}
    tiled = memory.TilePlan(384, keep_targets=False)
    whole, part = (
        memory.peak_bytes(sizes[2048], each) - memory.peak_bytes(sizes[1024], each)
        for each in (memory.WHOLE_IMAGE, tiled)
    )
    assert part < whole / 6


def test_what_is_allowed_counts_where_less_is_free_or_not(four_gigabytes):
    work = replace(WORK, size=4000, optimizer="scipy")
    with pytest.raises(SettingError, match=r"2\.0 GB are allowed"):
        memory.plan_tiles(work, 2e9)
    with pytest.raises(SettingError, match=r"4\.0 GB are free"):
        memory.plan_tiles(work, 8e9)


def test_a_full_disk_is_told_before_anything_is_painted(monkeypatch, one_line):
    memory.check_disk(WORK)
    monkeypatch.setattr(memory.psutil, "disk_usage", lambda path: SimpleNamespace(free=1e9))
    memory.check_disk(WORK)  # arrays that are small are kept in memory
    with pytest.raises(SettingError, match=r"about 3\.0 GB .* 1\.0 GB are free") as caught:
        memory.check_disk(replace(WORK, size=4000))
    one_line(caught)


def test_a_narrower_plan_is_the_next_smaller_tile_until_there_is_none():
    assert memory.WHOLE_IMAGE.narrower(1024) == memory.TilePlan(768, keep_targets=False)
    assert memory.TilePlan(512, keep_targets=True).narrower(2000) == memory.TilePlan(
        384, keep_targets=False
    )
    assert memory.WHOLE_IMAGE.narrower(300) is None


@pytest.mark.parametrize(
    ("given", "expected"),
    [(None, None), ("3GB", 3e9), ("800 mb", 8e8), ("1.5GiB", 1.5 * 2**30), ("5e8", None), (7, 7.0)],
)
def test_an_amount_is_read_or_refused(given, expected):
    if expected is None and given is not None:
        with pytest.raises(SettingError, match="expected an amount such as 3GB"):
            memory.memory_limit(given)
    else:
        assert memory.memory_limit(given) == expected


@pytest.mark.parametrize("given", ["", "much", "-3GB", "0", "3XB", 0, -1.0, math.inf, math.nan])
def test_what_is_no_amount_is_refused(given):
    with pytest.raises(SettingError, match="memory is"):
        memory.memory_limit(given)


# What is free ---------------------------------------------------------------------------------

NEWER = "0::/user.slice/session.scope\n"
OLDER = "9:name=systemd:/a\n5:cpu,memory:/docker/ab\n4:cpuset:/docker/ab\n0::/\n"


def test_the_groups_of_a_process_and_those_above():
    assert memory.group_folders(NEWER, Path("/g")) == [
        Path("/g/user.slice/session.scope"),
        Path("/g/user.slice"),
        Path("/g"),
    ]
    assert memory.group_folders(OLDER, Path("/g")) == [
        Path("/g/memory/docker/ab"),
        Path("/g/memory/docker"),
        Path("/g/memory"),
        Path("/g"),
    ]


@pytest.mark.parametrize(
    ("limit", "used", "stat", "expected"),
    [
        ("max\n", "123\n", "", math.inf),
        ("2000\n", "500\n", "anon 400\nfile 90\ninactive_file 80\n", 1580),
        ("2000\n", "2500\n", "", 0),
        (
            "9223372036854771712",
            "0",
            "inactive_file 1\ntotal_inactive_file 7",
            9.223372036854772e18,
        ),
        ("1000", "600", "inactive_file 1\ntotal_inactive_file 7", 407),
    ],
)
def test_what_a_group_leaves(limit, used, stat, expected):
    assert memory.group_bytes_left(limit, used, stat) == expected


@pytest.mark.parametrize(
    "names",
    [("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes")],
)
def test_the_tightest_group_counts_and_what_cannot_be_read_is_passed_over(
    tmp_path, monkeypatch, four_gigabytes, names
):
    groups = [tmp_path / name for name in ("not-there", "inner", "outer")]
    for folder, limit in zip(groups[1:], ("3000", "2000"), strict=True):
        folder.mkdir()
        for name, text in (
            (names[0], limit),
            (names[1], "500"),
            ("memory.stat", "inactive_file 1"),
        ):
            (folder / name).write_text(text)
    monkeypatch.setattr(memory, "group_folders", lambda text: groups)
    if Path("/proc/self/cgroup").exists():
        assert memory.free_bytes() == 1501
    monkeypatch.setattr(memory, "group_folders", lambda text: groups[:1])
    assert memory.free_bytes() == 4e9
