"""Fixtures that several test files share."""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest


@pytest.fixture
def one_line() -> Callable[[pytest.ExceptionInfo[BaseException]], str]:
    """The message of an error that was caught, once it is sure to fit on one line."""

    def message(caught: pytest.ExceptionInfo[BaseException]) -> str:
        text = str(caught.value)
        assert text.isprintable(), repr(text)
        assert 0 < len(text) < 400
        return text

    return message


@pytest.fixture
def ordinary_user() -> Callable[[], AbstractContextManager[None]]:
    """A block run as somebody else than root, so that what a test takes away is away."""

    @contextmanager
    def block() -> Iterator[None]:
        if os.geteuid() != 0:
            yield
            return
        os.seteuid(65534)
        try:
            yield
        finally:
            os.seteuid(0)

    return block
