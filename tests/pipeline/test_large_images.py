"""A painting whose arrays lie in files has the bytes of one whose arrays are in memory."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from impasto import Stylizer, filearray
from impasto.pipeline.events import Step
from impasto.recipe.settings import Recipe

LARGE: dict[str, Any] = {"size": 160, "levels": 2, "evaluations": 3, "precision": "float32"}
SMALL = {**LARGE, "size": 64, "evaluations": 2}
TILED = {**LARGE, "size": 130, "evaluations": 1, "tile": 128}
"""Two tiles at the finest level."""


def gram(settings, **more):
    return pytest.param(
        Recipe(**settings, **more, style_loss="gram"), marks=pytest.mark.xdist_group("gram")
    )


def matching(settings, **more):
    return pytest.param(
        Recipe(**settings, **more, style_loss="matching"), marks=pytest.mark.xdist_group("matching")
    )


def slow(parameter):
    return pytest.param(*parameter.values, marks=[*parameter.marks, pytest.mark.slow])


@pytest.fixture(scope="module")
def stylizer(engines):
    made = Stylizer()
    made._executor.models = engines
    return made


def painted(stylizer, content, style, chosen, **wanted):
    *_, last = stylizer.paint(content, style, recipe=chosen, **wanted)
    return last.result


def keeping(content):
    mask = np.zeros(content.shape[:2], np.float32)
    mask[:, : content.shape[1] // 3] = 255
    return mask


EVERY = [
    matching(LARGE, tile=128),
    matching(LARGE),
    gram(LARGE, tile=128, colors="content"),
    gram(LARGE, optimizer="scipy"),
    gram(LARGE, optimizer="adam", tile=128),
]


@pytest.mark.parametrize(
    ("chosen", "keep"),
    [
        pytest.param(*each.values, keep, marks=each.marks)
        for each, keep in (
            (slow(matching(TILED)), False),
            (matching(SMALL), True),
            (gram(SMALL, optimizer="scipy"), True),
            (gram(SMALL, optimizer="adam", colors="content"), False),
            *((slow(each), keep) for each in EVERY for keep in (False, True)),
        )
    ],
)
def test_paged_paintings_are_painted_alike(stylizer, content, style, chosen, keep, monkeypatch):
    wanted = {"keep": keeping(content)} if keep else {}
    usual = painted(stylizer, content, style, chosen, **wanted)
    monkeypatch.setattr(filearray, "MIN_FILE_BYTES", 0)
    found = painted(stylizer, content, style, chosen, **wanted)
    assert type(found.pixels) is np.ndarray
    assert [each.total for each in found.history] == [each.total for each in usual.history]
    assert found.pixels.tobytes() == usual.pixels.tobytes()


@pytest.mark.parametrize(
    ("chosen", "large"),
    [
        pytest.param(*each.values, large, marks=each.marks)
        for each, large in (
            (matching(SMALL), 32),
            *((slow(matching(LARGE, optimizer=each)), 96) for each in ("lbfgs", "scipy", "adam")),
        )
    ],
)
def test_a_picture_that_is_sharpened_is_painted_alike(
    stylizer, content, style, chosen, large, monkeypatch
):
    chosen = replace(chosen, structure_size=large)
    usual = painted(stylizer, content, style, chosen, keep=keeping(content))
    assert len(usual.levels) == 3  # at half the size, feature splitting, and the size
    monkeypatch.setattr(filearray, "MIN_FILE_BYTES", 0)
    found = painted(stylizer, content, style, chosen, keep=keeping(content))
    assert found.pixels.tobytes() == usual.pixels.tobytes()


@pytest.mark.parametrize(
    "chosen",
    [gram(SMALL), matching(SMALL), slow(gram(LARGE, tile=128)), slow(matching(LARGE, tile=128))],
)
def test_blocks_of_arrays_change_no_more_than_rounding(
    stylizer, content, style, chosen, monkeypatch
):
    """Of matching losses alone: where two are as near, rounding says which is the neighbor."""
    usual = painted(stylizer, content, style, chosen)
    monkeypatch.setattr(filearray, "MIN_FILE_BYTES", 0)
    monkeypatch.setattr(filearray, "BLOCK_BYTES", 5000)
    found = painted(stylizer, content, style, chosen)
    for one, other in zip(found.history, usual.history, strict=True):
        assert one.total == pytest.approx(other.total, rel=2e-3)
    if chosen.style_loss == "gram":
        np.testing.assert_allclose(found.pixels, usual.pixels, atol=0.5)


@pytest.mark.parametrize(
    "chosen",
    [
        matching(SMALL),
        slow(matching(LARGE, tile=128)),
        slow(matching(LARGE, tile=128, optimizer="adam")),
    ],
)
def test_a_paged_painting_is_gone_on_with_to_the_same_bytes(
    stylizer, content, style, chosen, tmp_path, monkeypatch
):
    monkeypatch.setattr(filearray, "MIN_FILE_BYTES", 0)
    path, steps = tmp_path / "a.checkpoint", 0
    usual = painted(stylizer, content, style, chosen)
    for event in stylizer.paint(content, style, recipe=chosen, checkpoint=path, checkpoint_every=0):
        steps += isinstance(event, Step)
        if steps == 4:
            break
    found = painted(stylizer, content, style, None, resume=path)
    assert found.pixels.tobytes() == usual.pixels.tobytes()


@pytest.mark.xdist_group("gram")
def test_a_step_shows_a_picture_of_numpys(stylizer, content, style, monkeypatch):
    monkeypatch.setattr(filearray, "MIN_FILE_BYTES", 0)
    chosen = Recipe(**SMALL, style_loss="gram")
    for event in stylizer.paint(content, style, recipe=chosen):
        if isinstance(event, Step):
            assert type(event.pixels) is np.ndarray
