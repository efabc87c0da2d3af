"""Small pictures, and compiled losses that all paintings of a test process share."""

import pytest

from impasto.painting import painter
from impasto.pictures import samples
from tests import shared


@pytest.fixture(scope="session")
def engines():
    return shared.engines()


@pytest.fixture
def one_network(monkeypatch):
    """Let ``stylize`` and new stylizers use the compiled losses of the process."""
    monkeypatch.setattr(painter, "ModelCache", shared.engines_for)


@pytest.fixture(scope="session")
def content():
    return samples.photograph("coffee")[:300:3, :420:3]


@pytest.fixture(scope="session")
def style():
    return samples.painting("swirls", 96)


@pytest.fixture(scope="session")
def other():
    return samples.painting("glass", 96)
