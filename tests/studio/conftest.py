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


@pytest.fixture(scope="module")
def browser():
    from tests.studio import pages

    # Chromium's sandbox does not work in containers.
    with pages.playwright.sync_playwright() as started:
        made = started.chromium.launch(executable_path=pages.CHROMIUM, args=["--no-sandbox"])
        yield made
        made.close()


@pytest.fixture(scope="module")
def context(browser, server):
    """A browser context that opened the printed address."""
    from tests.studio import pages

    made = browser.new_context(viewport={"width": 1440, "height": 900})
    made.set_default_timeout(45_000)
    page = made.new_page()
    pages.enter(page, server.address)
    page.close()
    yield made
    made.close()


@pytest.fixture
def page(context, server):
    """The page with a new session; fails on errors of its console."""
    yield from open_page(context, server)


@pytest.fixture
def phone(browser, context, server):
    """The page on a phone, with touch, in a new session."""
    made = browser.new_context(
        viewport={"width": 390, "height": 844},
        device_scale_factor=2,
        has_touch=True,
        is_mobile=True,
        storage_state=context.storage_state(),
    )
    made.set_default_timeout(45_000)
    yield from open_page(made, server)
    made.close()


def open_page(context, server):
    """Yield the page with a new session; fails on errors of its console."""
    from tests.studio import pages

    made, wrong = context.new_page(), []
    made.on("pageerror", lambda error: wrong.append(str(error)))
    made.on(
        "console", lambda message: wrong.append(message.text) if message.type == "error" else None
    )
    made.goto(f"http://127.0.0.1:{server.port}/")
    pages.ready(made)
    pages.begin_session(made)
    yield made
    made.close()
    assert not [each for each in wrong if "status of 4" not in each]
