"""One studio for all tests of a module."""

import pytest

from tests.studio.client import Server


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("studio")


@pytest.fixture(scope="module")
def server(folder):
    made = Server(folder)
    yield made
    made.end()


@pytest.fixture(scope="module")
def client(server):
    return server.client()
