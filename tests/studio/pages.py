"""Chromium, and helpers of the tests that use the page in it.

Needs a Chromium on the path; without one these tests are skipped, unless IMPASTO_BROWSER is
``required``.
"""

import base64
import os
import shutil
import time

import pytest

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)
if not CHROMIUM and os.environ.get("IMPASTO_BROWSER") != "required":
    pytest.skip("there is no Chromium on the path", allow_module_level=True)

axe = pytest.importorskip("axe_playwright_python.sync_playwright")
playwright = pytest.importorskip("playwright.sync_api")
expect = playwright.expect
expect.set_options(timeout=45_000)

QUICK = {"size": "64", "levels": "1", "evaluations": "3", "style_loss": "gram"}
LONG = {**QUICK, "size": "128", "evaluations": "2000"}


def enter(page, address):
    for _ in range(100):
        try:
            page.goto(address)
            break
        except playwright.Error:
            time.sleep(0.1)
    ready(page)


def ready(page):
    expect(page.locator("body[data-ready]")).to_be_visible()


def begin_session(page):
    before = page.evaluate("location.hash")
    page.click("#new-session")
    until(lambda: page.evaluate("location.hash") != before)
    expect(page.locator("#content-thumb")).to_be_hidden()


def drop(page, place, path):
    """Drop a file, as a browser does."""
    data = base64.b64encode(path.read_bytes()).decode()
    transfer = page.evaluate_handle(
        """([data, name]) => {
          const bytes = Uint8Array.from(atob(data), (each) => each.charCodeAt(0));
          const transfer = new DataTransfer();
          transfer.items.add(new File([bytes], name));
          return transfer;
        }""",
        [data, path.name],
    )
    page.dispatch_event(place, "drop", {"dataTransfer": transfer})


def take_photo(page, name="Coffee"):
    if not page.locator("#photo-samples[open]").count():
        page.click("#photo-samples summary")
    page.click(f"#photos button:has-text('{name}')")
    expect(page.locator("#content-thumb")).to_be_visible()


def take_samples(page):
    take_photo(page)
    page.click("#gallery .thumb:has-text('Oil')")
    expect(page.locator("#styles li")).to_have_count(1)


def ask_for(page, settings):
    """Type values of settings, including those under "More"."""
    if not page.locator("#more[open]").count():
        page.click("#more summary")
    for name, value in settings.items():
        field = page.locator(f"#setting-{name}")
        with page.expect_response(lambda answer: answer.request.method == "PATCH"):
            if field.evaluate("(field) => field.tagName") == "SELECT":
                field.select_option(value)
            else:
                field.fill(value)
                field.press("Tab")
    for name, value in settings.items():
        expect(page.locator(f"#setting-{name}")).to_have_value(value)


def set_strength(page, value):
    page.locator("#setting-strength").evaluate(
        "(field, value) => { field.value = value; field.dispatchEvent(new Event('change')); }",
        value,
    )


def jobs(page):
    return page.evaluate("() => window.studio.state.session.works")


def states(page):
    return [each["state"] for each in jobs(page)]


def until(condition, seconds=45):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)


def middle(page, across=0.5, down=0.5):
    box = page.locator("#canvas").bounding_box()
    return box["x"] + across * box["width"], box["y"] + down * box["height"]


def patch_of(page, doing):
    with page.expect_response(lambda answer: answer.request.method == "PATCH") as answer:
        doing()
    return answer.value


def drop_from_disk(page, place, *paths):
    """Drop files and folders of the disk, as a file manager does."""
    page.locator(place).scroll_into_view_if_needed()
    box = page.locator(place).bounding_box()
    data = {"items": [], "files": [str(path) for path in paths], "dragOperationsMask": 1}
    browser = page.context.new_cdp_session(page)
    for kind in ("dragEnter", "dragOver", "drop"):
        at = {"x": box["x"] + box["width"] / 2, "y": box["y"] + 5, "data": data}
        browser.send("Input.dispatchDragEvent", {"type": kind, **at})
