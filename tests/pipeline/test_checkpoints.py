"""Checkpoints there and back, and every file that is refused: cut, changed, forged, of others."""

import contextlib
import dataclasses
import hashlib
import json
import math
import os
import random

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from impasto.errors import CheckpointError, OutputError, SettingError
from impasto.images.load import InputSource
from impasto.network.weights import NETWORKS
from impasto.optimizers.solver import StopReason
from impasto.pipeline import checkpoints
from impasto.pipeline.checkpoints import CheckpointWriter
from impasto.pipeline.events import LevelFinished, RunState, StepRecord
from impasto.pipeline.provenance import Provenance
from impasto.pipeline.pyramid import schedule
from impasto.recipe import presets

RECIPE = presets.make_recipe(
    "gram", size=48, levels=2, evaluations=6, engine="keras", precision="float32"
)
LEVELS = schedule(300, 420, RECIPE)
INPUTS = (
    InputSource("content", "photo.png", "ab" * 32),
    InputSource("style", "painting.png", "cd" * 32),
)
NETWORK = {"network": "vgg16", "sha256": NETWORKS["vgg16"].sha256}
VALUES = np.random.default_rng(3)


def array(*shape):
    return VALUES.uniform(0, 255, shape).astype(np.float32)


def made(**other):
    """A state in the second of two levels, after two evaluations of it."""
    first, second = LEVELS
    point = second.height, second.width, 3
    evaluations = [1] * first.evaluations + [2] * 2
    numbers = {
        "provenance": Provenance(RECIPE, "tensorflow", NETWORK, INPUTS, finished=False),
        "level": 2,
        "start_image": array(*point),
        "solver": {
            "best": array(*point),
            "bests": np.array([0.1, 1 / 30]),
            "step 0": array(*point),
        },
        "history": tuple(
            StepRecord(n, 1 / 3, 0.1, 0.2, 0.3, 7.1, n == 2, {"style": {"block1_conv1": 1 / 7}})
            for n in evaluations
        ),
        "levels": (
            LevelFinished(
                1, first.height, first.width, first.evaluations, math.pi, StopReason.STALLED
            ),
        ),
        "seconds": {"network": 1 / 7, "targets": 0.1, "painting": 1e-9},
        "level_began": 2 / 3,
        "curvature_scale": 1 / 9,
    }
    return RunState(**{**numbers, **other})


def same(a, b):
    """Whether two states are the same to the last bit."""
    tensors = [{"picture": each.start_image, **(each.solver or {})} for each in (a, b)]
    assert {*tensors[0]} == {*tensors[1]}
    for name in tensors[0]:
        left, right = (each[name] for each in tensors)
        assert (left.dtype, left.shape, left.tobytes()) == (
            right.dtype,
            right.shape,
            right.tobytes(),
        )
    names = {each.name for each in dataclasses.fields(a)} - {"start_image", "solver"}
    return all(getattr(a, name) == getattr(b, name) for name in names)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    path = tmp_path_factory.mktemp("written") / "a.checkpoint"
    checkpoints.write_checkpoint(made(), path)
    return path.read_bytes()


def refused(data, path, one_line):
    """What is said of a file of these bytes, which must not be taken."""
    path.write_bytes(data)
    with pytest.raises(CheckpointError) as caught:
        checkpoints.check_checkpoint(checkpoints.read_checkpoint(path), INPUTS, LEVELS)
    return one_line(caught)


def forged(data, change):
    """The same file with something else in its JSON, or other tensors, and the right hash."""
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    said = json.loads(header["__metadata__"]["impasto"])
    tensors = safetensors.numpy.load(data)
    change(said, tensors)
    metadata = {"sha256": "0" * 64, "impasto": json.dumps(said)}
    whole = safetensors.numpy.save(tensors, metadata)
    digest = hashlib.sha256(whole).hexdigest()
    return whole.replace(b'"' + b"0" * 64, b'"' + digest.encode(), 1)


# There and back -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "other",
    [
        {},
        {"solver": None, "history": made().history[:-2]},
        {"start_image": np.asfortranarray(array(LEVELS[1].height, LEVELS[1].width, 3))},
    ],
)
def test_a_checkpoint_comes_back_to_the_last_bit_and_fits(tmp_path, other):
    before = made(**other)
    checkpoints.write_checkpoint(before, tmp_path / "a")
    after = checkpoints.read_checkpoint(tmp_path / "a")
    assert same(after, before)
    checkpoints.check_checkpoint(after, INPUTS, LEVELS)
    assert [*tmp_path.iterdir()] == [tmp_path / "a"]


def test_the_file_is_safetensors_with_json(written):
    tensors = safetensors.numpy.load(written)
    np.testing.assert_array_equal(tensors["history"][:, 0], [1] * LEVELS[0].evaluations + [2] * 2)
    header = json.loads(written[8 : 8 + int.from_bytes(written[:8], "little")])
    said = json.loads(header["__metadata__"]["impasto"])
    assert said["provenance"]["recipe"]["size"] == 48
    assert said["level"] == 2


def test_the_same_state_gives_the_same_bytes(tmp_path):
    before = made()
    for name in ("a", "b"):
        checkpoints.write_checkpoint(before, tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@given(value=st.floats(allow_nan=False, allow_infinity=False), width=st.integers(0, 5))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
def test_every_number_comes_back(tmp_path, value, width):
    state = {"bests": np.full(width, value), "n": np.array(width), "e": np.zeros((width, 2))}
    history = (StepRecord(2, value, value, 0.1, 0.2, 0.3),)
    before = made(solver=state, history=history)
    checkpoints.write_checkpoint(before, tmp_path / "a")
    assert same(checkpoints.read_checkpoint(tmp_path / "a"), before)


# What is refused ----------------------------------------------------------------------------


def test_a_file_cut_off_anywhere_is_refused(tmp_path, written, one_line):
    for length in {*range(0, 200), *range(200, len(written), 331), len(written) - 1}:
        said = refused(written[:length], tmp_path / "a", one_line)
        assert "is not a checkpoint" in said or "is damaged" in said
    assert "is damaged" in refused(written + b"\0", tmp_path / "a", one_line)


def test_a_file_with_any_byte_changed_is_refused(tmp_path, written, one_line):
    generator = random.Random(5)
    header = 8 + int.from_bytes(written[:8], "little")
    places = {*range(header), *generator.sample(range(header, len(written)), 300)}
    for place in places:
        other = (written[place] + generator.randrange(1, 256)) % 256
        changed = written[:place] + bytes([other]) + written[place + 1 :]
        said = refused(changed, tmp_path / "a", one_line)
        assert "is not a checkpoint" in said or "is damaged" in said


@given(data=st.binary(max_size=300))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_other_bytes_are_refused(tmp_path, one_line, data):
    refused(data, tmp_path / "a", one_line)
    signed = len(data).to_bytes(8, "little") + b'{"sha256":"' + b"0" * 64 + b'"}' + data
    digest = hashlib.sha256(signed).hexdigest().encode()
    length = (len(signed) - 8).to_bytes(8, "little")
    assert refused(length + signed[8:].replace(b"0" * 64, digest), tmp_path / "a", one_line)


def test_what_is_no_file_is_refused(tmp_path, one_line):
    os.mkfifo(tmp_path / "pipe")
    for name, words in (("no", "no such file"), ("", "is not a file"), ("pipe", "is not a file")):
        with pytest.raises(CheckpointError) as caught:
            checkpoints.read_checkpoint(tmp_path / name)
        assert words in one_line(caught)
    with pytest.raises(CheckpointError):
        checkpoints.read_checkpoint("a\0b")


def test_a_file_larger_than_memory_is_read_in_pieces(tmp_path, one_line):
    with (tmp_path / "a").open("wb") as file:
        file.truncate(1 << 43)  # holes alone: it takes no room
    with pytest.raises(CheckpointError) as caught:
        checkpoints.read_checkpoint(tmp_path / "a")
    assert "is not a checkpoint" in one_line(caught)


def test_another_version_is_refused_and_named(tmp_path, written, one_line):
    def older(said, tensors):
        said["provenance"]["version"] = "0.0.7"
        said["provenance"]["recipe"]["of that time"] = 1

    assert "written by impasto '0.0.7'" in refused(forged(written, older), tmp_path / "a", one_line)


def test_a_file_forged_to_the_same_is_taken(tmp_path, written):
    """So that what follows is refused for what it changes, and not for how it is made."""
    (tmp_path / "a").write_bytes(forged(written, lambda said, tensors: None))
    checkpoints.check_checkpoint(checkpoints.read_checkpoint(tmp_path / "a"), INPUTS, LEVELS)


def put(*keys, value):
    def change(said, tensors):
        inner = said
        for key in keys[:-1]:
            inner = inner[key]
        inner[keys[-1]] = value

    return change


def tensor(name, value):
    return lambda said, tensors: tensors.update({name: value(tensors[name])})


FORGERIES = {
    "a level that is not there": put("level", value=3),
    "level zero": put("level", value=0),
    "an earlier level": put("level", value=1),
    "a level that is no number": put("level", value=1.5),
    "levels that are none": put("levels", value=None),
    "no levels": put("levels", value=[]),
    "a level of another size": put("levels", 0, "height", value=17),
    "a level of more evaluations": put("levels", 0, "evaluations", value=10**30),
    "an unknown reason": put("levels", 0, "reason", value="because"),
    "seconds that are none": put("levels", 0, "seconds", value="nan"),
    "negative seconds": put("seconds", "painting", value=-1),
    "endless seconds": put("began", value=1e400),
    "seconds too large for a float": put("began", value=10**400),
    "a curvature that is none": put("learned", value="steep"),
    "a negative curvature": put("learned", value=-0.1),
    "an endless curvature": put("learned", value=1e400),
    "no curvature learned": lambda said, tensors: said.pop("learned"),
    "an unknown stage": put("seconds", "reading", value=1),
    "no provenance": put("provenance", value=[]),
    "a recipe out of range": put("provenance", "recipe", "size", value=-5),
    "a recipe of a stranger": put("provenance", "recipe", "sise", value=5),
    "another network": put("provenance", "network", "sha256", value="00"),
    "no inputs": put("provenance", "inputs", value=[]),
    "inputs that are none": put("provenance", "inputs", value=7),
    "a smaller picture": tensor("picture", lambda each: each[:-1].copy()),
    "a picture of another dtype": tensor("picture", lambda each: each.astype(np.float64)),
    "a picture that is not finite": tensor("picture", lambda each: each * np.nan),
    "a picture that is a number": tensor("picture", lambda each: np.zeros((), np.float32)),
    "a shorter history": tensor("history", lambda each: each[1:].copy()),
    "a history of other columns": tensor("history", lambda each: each[:, :-1].copy()),
    "a history of other levels": tensor("history", lambda each: each[::-1].copy()),
    "a history that is not finite": tensor("history", lambda each: each * np.inf),
    "a history of another dtype": tensor("history", lambda each: each.astype(np.float32)),
    "fewer best values": tensor("optimizer bests", lambda each: each[1:].copy()),
    "best values that are none": tensor("optimizer bests", lambda each: np.zeros((0, 3))),
    "evaluations before these that are none": lambda said, tensors: tensors.update(
        {"optimizer before": np.array([np.nan])}
    ),
    "more evaluations than there may be": lambda said, tensors: tensors.update(
        {"optimizer before": np.array([1e9])}
    ),
    "no picture": lambda said, tensors: tensors.pop("picture"),
    "not a history": lambda said, tensors: tensors.pop("history"),
    "no best values": lambda said, tensors: tensors.pop("optimizer bests"),
    "no state": lambda said, tensors: [
        tensors.pop(name) for name in list(tensors) if name.startswith("optimizer")
    ],
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_forged_file_is_refused_though_its_hash_is_right(tmp_path, written, forgery, one_line):
    said = refused(forged(written, FORGERIES[forgery]), tmp_path / "a", one_line)
    assert "is damaged" not in said


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=4,
)


def taken_or_refused(tmp_path, written, data):
    """Take or refuse a checkpoint with anything at any place of its JSON."""

    def change(said, tensors):
        inner, key = said, None
        while (
            isinstance(inner, dict | list) and inner and (key is None or data.draw(st.booleans()))
        ):
            outer = inner
            key = data.draw(st.sampled_from([*inner] if isinstance(inner, dict) else [0]))
            inner = outer[key]
        outer[key] = data.draw(JSON)

    (tmp_path / "a").write_bytes(forged(written, change))
    with contextlib.suppress(CheckpointError):
        checkpoints.check_checkpoint(checkpoints.read_checkpoint(tmp_path / "a"), INPUTS, LEVELS)


ONE_FOLDER = [HealthCheck.function_scoped_fixture]


@given(data=st.data())
@settings(suppress_health_check=ONE_FOLDER, max_examples=50)
def test_whatever_stands_in_the_json_is_taken_or_refused(tmp_path, written, data):
    taken_or_refused(tmp_path, written, data)


@pytest.mark.slow
@given(data=st.data())
@settings(suppress_health_check=ONE_FOLDER, max_examples=500)
def test_whatever_else_stands_in_the_json_is_taken_or_refused(tmp_path, written, data):
    taken_or_refused(tmp_path, written, data)


# Of other pictures and settings -------------------------------------------------------------


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ([INPUTS[0], InputSource("style", "b.png", "00")], "b.png is not the style"),
        (INPUTS[:1], "started with painting.png as its style: give it again"),
        ((*INPUTS, InputSource("keep", "mask.png", "00")), "started without keep"),
    ],
)
def test_other_pictures_are_refused_and_named(inputs, words, one_line):
    with pytest.raises(CheckpointError) as caught:
        checkpoints.check_checkpoint(made(), inputs, LEVELS)
    assert words in one_line(caught)


def test_the_same_pictures_under_other_names_are_taken():
    renamed = [source._replace(name="renamed.png") for source in INPUTS]
    checkpoints.check_checkpoint(made(), renamed, LEVELS)


def test_settings_may_be_left_out_or_named_again():
    for named in ({}, {"size": 48}, {"size": "48", "precision": "auto"}, {"init": "content"}):
        assert checkpoints.resumed_recipe(made(), named) == RECIPE


def test_a_checkpoint_from_before_there_were_engines_resumes_with_keras():
    before = made()
    earlier = dataclasses.replace(RECIPE, engine="auto")
    old = dataclasses.replace(before.provenance, recipe=earlier)
    assert checkpoints.resumed_recipe(dataclasses.replace(before, provenance=old), {}) == RECIPE


@pytest.mark.parametrize(
    ("named", "words"),
    [
        ({"size": 64}, "size is 64, and 48 in the checkpoint"),
        ({"strength": 0.7, "seed": 0}, "strength is 0.7, and 0.5 in"),
        ({"precision": "bfloat16"}, "precision is bfloat16, and float32"),
        ({"init": "start.png"}, "init is start.png, and content"),
        ({"sise": 5}, "did you mean size"),
        (presets.preset_settings("bold"), "style_scale is 1.6"),
    ],
)
def test_other_settings_are_refused_and_named(named, words, one_line):
    with pytest.raises(SettingError) as caught:
        checkpoints.resumed_recipe(made(), named)
    assert words in one_line(caught)


@pytest.mark.parametrize("init", ["start.png", "/etc/secret.png"])
def test_no_path_is_taken_from_a_checkpoint(init, one_line):
    origin = dataclasses.replace(made().provenance, recipe=dataclasses.replace(RECIPE, init=init))
    before = made(provenance=origin)
    with pytest.raises(SettingError) as caught:
        checkpoints.resumed_recipe(before, {})
    assert "give it with --init" in one_line(caught)
    if init == "start.png":
        again = checkpoints.resumed_recipe(before, {"init": "here/start.png"})
        assert again.init == "here/start.png"


# Where and when -----------------------------------------------------------------------------


def test_a_place_that_is_taken_is_refused_unless_it_is_gone_on_from(tmp_path, one_line):
    there, free = tmp_path / "there", tmp_path / "free"
    there.touch()
    (tmp_path / "link").symlink_to(there)
    assert checkpoints.checkpoint_path(None) is None
    assert checkpoints.checkpoint_path(free) == free
    assert checkpoints.checkpoint_path(None, there) == there
    assert checkpoints.checkpoint_path(str(there), tmp_path / "link") == there
    assert checkpoints.checkpoint_path(free, there) == free
    for checkpoint, resume in ((there, None), (there, free)):
        with pytest.raises(SettingError) as caught:
            checkpoints.checkpoint_path(checkpoint, resume)
        assert "exists: resume from it with --resume" in one_line(caught)
    with pytest.raises(OutputError):
        checkpoints.checkpoint_path(tmp_path / "none" / "a")


def test_a_keeper_writes_when_the_time_has_come(tmp_path):
    path = tmp_path / "a"
    slow = CheckpointWriter(path)
    slow.note(made())
    assert not path.exists()
    assert slow.save()
    assert path.exists()
    slow.remove()
    assert not path.exists()
    eager = CheckpointWriter(path, every=0)
    for level in (2, 1):
        newest = made(level=level)
        eager.note(newest)
        assert checkpoints.read_checkpoint(path).level == level
    nowhere = CheckpointWriter(every=0)
    nowhere.note(made())
    assert not nowhere.save()


def test_a_keeper_keeps_the_last_state_that_can_be_gone_on_from(tmp_path):
    keeper = CheckpointWriter(tmp_path / "a", every=0)
    keeper.note(made())
    before = (tmp_path / "a").read_bytes()
    keeper.note(made(size_lowered=True, level=1))
    assert keeper.save()
    assert (tmp_path / "a").read_bytes() == before


@pytest.mark.parametrize("every", [-1.0, float("nan")])
def test_a_keeper_refuses_a_time_that_is_none(every, one_line):
    with pytest.raises(SettingError) as caught:
        CheckpointWriter(every=every)
    assert "checkpoint_every" in one_line(caught)


def test_what_cannot_be_written_is_told_once_and_tried_again(tmp_path, caplog, monkeypatch):
    (tmp_path / "folder").mkdir()
    keeper = CheckpointWriter(tmp_path / "folder" / "a", 0)
    keeper.note(made())
    old = (tmp_path / "folder" / "a").read_bytes()
    (tmp_path / "folder").rename(tmp_path / "away")
    keeper.note(made())
    keeper.note(made())
    assert not keeper.save()
    assert len(caplog.messages) == 1
    assert "the checkpoint was not written: " in caplog.text
    assert (tmp_path / "away" / "a").read_bytes() == old
    (tmp_path / "away").rename(tmp_path / "folder")
    assert keeper.save()

    def too_large(state, path):
        raise MemoryError

    monkeypatch.setattr(checkpoints, "write_checkpoint", too_large)
    keeper.note(made())
    assert len(caplog.messages) == 1
    CheckpointWriter(tmp_path / "b", 0).note(made())
    assert caplog.messages[1:] == ["the checkpoint was not written: memory ran out"]
