"""A painting whose arrays lie in files has the bytes of one whose arrays are in memory."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from impasto import Stylizer, paged
from impasto.painting import pyramid
from impasto.painting.events import Step
from impasto.pictures import samples
from impasto.recipe.settings import Recipe

SMALL: dict[str, Any] = {"size": 160, "levels": 2, "evaluations": 3, "precision": "float32"}
MATCHING = Recipe(**SMALL, style_loss="matching")
GRAM = Recipe(**SMALL, style_loss="gram")


@pytest.fixture(scope="module")
def content():
    return samples.photograph("coffee")[:300:3, :420:3]


@pytest.fixture(scope="module")
def style():
    return samples.painting("swirls", 96)


@pytest.fixture(scope="module")
def stylizer():
    with Stylizer() as made:
        yield made


def painted(stylizer, content, style, chosen, **wanted):
    *_, last = stylizer.paint(content, style, recipe=chosen, **wanted)
    return last.result


def keeping(content):
    mask = np.zeros(content.shape[:2], np.float32)
    mask[:, : content.shape[1] // 3] = 255
    return mask


@pytest.mark.parametrize(
    "chosen",
    [
        replace(MATCHING, tile=128),
        MATCHING,
        replace(GRAM, tile=128, colors="content"),
        replace(GRAM, optimizer="scipy"),
        replace(GRAM, optimizer="adam", tile=128),
    ],
    ids=["matching in tiles", "matching", "colors", "scipy", "adam"],
)
@pytest.mark.parametrize("keep", [False, True], ids=["", "keep"])
def test_paged_paintings_are_painted_alike(stylizer, content, style, chosen, keep, monkeypatch):
    wanted = {"keep": keeping(content)} if keep else {}
    usual = painted(stylizer, content, style, chosen, **wanted)
    monkeypatch.setattr(paged, "LARGE", 0)
    found = painted(stylizer, content, style, chosen, **wanted)
    assert type(found.picture) is np.ndarray
    assert [each.total for each in found.history] == [each.total for each in usual.history]
    assert found.picture.tobytes() == usual.picture.tobytes()


@pytest.mark.parametrize("optimizer", ["lbfgs", "scipy", "adam"])
def test_a_picture_that_is_sharpened_is_painted_alike(
    stylizer, content, style, optimizer, monkeypatch
):
    shape = replace(pyramid.SHAPES["matching"], large=96)
    monkeypatch.setitem(pyramid.SHAPES, "matching", shape)
    chosen = replace(MATCHING, optimizer=optimizer)
    usual = painted(stylizer, content, style, chosen, keep=keeping(content))
    assert len(usual.levels) == 3  # at 80 px, the last pass, and 160 px
    monkeypatch.setattr(paged, "LARGE", 0)
    found = painted(stylizer, content, style, chosen, keep=keeping(content))
    assert found.picture.tobytes() == usual.picture.tobytes()


@pytest.mark.parametrize("chosen", [GRAM, MATCHING], ids=["gram", "matching"])
def test_blocks_of_arrays_change_no_more_than_rounding(
    stylizer, content, style, chosen, monkeypatch
):
    """Of matching losses alone: where two are as near, rounding says which is the neighbor."""
    chosen = replace(chosen, tile=128)
    usual = painted(stylizer, content, style, chosen)
    monkeypatch.setattr(paged, "LARGE", 0)
    monkeypatch.setattr(paged, "BLOCK", 5000)
    found = painted(stylizer, content, style, chosen)
    for one, other in zip(found.history, usual.history, strict=True):
        assert one.total == pytest.approx(other.total, rel=2e-3)
    if chosen.style_loss == "gram":
        np.testing.assert_allclose(found.picture, usual.picture, atol=0.5)


@pytest.mark.parametrize("optimizer", ["lbfgs", "adam"])
def test_a_paged_painting_is_gone_on_with_to_the_same_bytes(
    stylizer, content, style, optimizer, tmp_path, monkeypatch
):
    monkeypatch.setattr(paged, "LARGE", 0)
    chosen = replace(MATCHING, tile=128, optimizer=optimizer)
    path, steps = tmp_path / "a.checkpoint", 0
    usual = painted(stylizer, content, style, chosen)
    for event in stylizer.paint(content, style, recipe=chosen, checkpoint=path, checkpoint_every=0):
        steps += isinstance(event, Step)
        if steps == 6:
            break
    found = painted(stylizer, content, style, None, resume=path)
    assert found.picture.tobytes() == usual.picture.tobytes()


def test_a_step_shows_a_picture_of_numpys(stylizer, content, style, monkeypatch):
    monkeypatch.setattr(paged, "LARGE", 0)
    for event in stylizer.paint(content, style, recipe=replace(GRAM, evaluations=1)):
        if isinstance(event, Step):
            assert type(event.picture) is np.ndarray
