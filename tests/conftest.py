"""Fixtures that several test files share, the groups that tests run in, and their time budget."""

import functools
import importlib
import os
import resource
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import hypothesis
import pytest

# A wall clock says nothing on a busy machine: CPU seconds count, see BUDGET.
hypothesis.settings.register_profile("impasto", deadline=None)
hypothesis.settings.load_profile("impasto")

BUDGET = float(os.environ.get("IMPASTO_TEST_BUDGET", "3"))
"""CPU seconds that the call of a test not marked slow may take, its child processes included.

Setting up fixtures does not count. A test that makes a network, of compiled kernels or traced as
the first painting of a process with some recipe is with Keras, may take TRACING."""

TRACING = 5 * BUDGET

traced: list[None] = []
"""One entry for each network of compiled kernels, and for each call of a Keras network's Python
code: compiled, it is called to be traced alone."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests that use a browser, and run each file in one process.

    A file's fixtures are then made once. Tests that share a compiled recipe name its group instead.
    """
    for item in items:
        if "browser" in getattr(item, "fixturenames", ()):
            item.add_marker("browser")
        if item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(str(item.path.name)))


def pytest_collection_finish() -> None:
    """Count how often networks are made, if a collected test can make one."""
    native: Any = sys.modules.get("impasto.network.native_vgg")
    if native is not None:
        layer = native._layer

        @functools.wraps(layer)
        def prepared(*arguments: Any) -> Any:
            traced.append(None)
            return layer(*arguments)

        native._layer = prepared
    if "keras" not in sys.modules:
        return
    vgg: Any = importlib.import_module("impasto.network.vgg")
    build = vgg.build_vgg

    @functools.wraps(build)
    def counted(*arguments: Any, **options: Any) -> Callable[..., Any]:
        features = build(*arguments, **options)

        @functools.wraps(features)
        def call(*inputs: Any, **more: Any) -> Any:
            traced.append(None)
            return features(*inputs, **more)

        return call

    vgg.build_vgg = counted


def cpu_seconds() -> float:
    """The CPU time of this process, and of its children that have ended."""
    used = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(each.ru_utime + each.ru_stime for each in used)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Fail a test that is over its budget."""
    before, networks, loaded = cpu_seconds(), len(traced), "keras" in sys.modules
    result = yield
    taken = cpu_seconds() - before
    most = BUDGET if loaded and len(traced) == networks else TRACING
    if taken > most and item.get_closest_marker("slow") is None:
        pytest.fail(
            f"{taken:.1f} CPU seconds, and {most:g} are the most for a test that is not marked "
            "slow: make it faster or mark it",
            pytrace=False,
        )
    return result


@pytest.fixture(autouse=True, scope="session")
def engine_of_auto() -> Iterator[None]:
    """With IMPASTO_TEST_ENGINE=keras let the setting ``auto`` choose Keras, as it does on a GPU."""
    with pytest.MonkeyPatch.context() as patch:
        if os.environ.get("IMPASTO_TEST_ENGINE") == "keras":
            patch.setattr("impasto.engines.selection._has_gpu", lambda: True)
        yield


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
