"""Small pictures, and compiled losses that all paintings of a test process share."""

import pytest

from impasto.images import samples
from impasto.pipeline import execution, inputs
from impasto.recipe import presets
from tests import shared
from tests.tiny import SMALL_GRAM, random_picture


@pytest.fixture(scope="session")
def engines():
    return shared.engines()


@pytest.fixture
def one_network(monkeypatch):
    """Let ``stylize`` and new stylizers use the compiled losses of the process."""
    monkeypatch.setattr(execution, "ModelCache", shared.engines_for)


@pytest.fixture(scope="session")
def content():
    return samples.load_content("coffee")[:300:3, :420:3]


@pytest.fixture(scope="session")
def style():
    return samples.make_style("swirls", 96)


@pytest.fixture(scope="session")
def other():
    return samples.make_style("glass", 96)


@pytest.fixture(scope="module")
def read():
    """A photograph and two paintings, prepared for a small recipe."""
    paintings = [random_picture(40, 60, 2), random_picture(90, 90, 3)]
    chosen = presets.make_recipe(**SMALL_GRAM)
    return inputs.load_inputs(chosen, random_picture(96, 144, 1), paintings)
