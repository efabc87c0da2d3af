"""A stylizer with a small seeded network, and a painting."""

import pytest

from impasto import Stylizer
from impasto.images import samples
from impasto.pipeline import models
from tests import tiny

SETTINGS = {"size": 64, "evaluations": 2, "engine": "native"}


@pytest.fixture(scope="session")
def painting():
    return samples.make_style("swirls", 64)


@pytest.fixture
def small_network(monkeypatch):
    """Let stylizers use a network of few channels."""
    monkeypatch.setattr(models.weights, "load_weights", lambda *_: tiny.vgg())


@pytest.fixture
def stylizer(small_network):
    with Stylizer(**SETTINGS) as made:
        yield made
