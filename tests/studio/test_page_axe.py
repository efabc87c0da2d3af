"""Every state of the page at three sizes, in light and dark: axe finds no fault."""

import itertools

import pytest
from PIL import Image

from tests import tiny
from tests.studio.pages import (
    LONG,
    QUICK,
    ask_for,
    axe,
    drop,
    expect,
    jobs,
    middle,
    states,
    take_samples,
    until,
)

moving = pytest.importorskip("tests.video.clips")

pytestmark = [pytest.mark.slow, tiny.needs_kernels]

SIZES = ((1440, 900), (820, 1180), (390, 844))


def check(page, state):
    """Run axe at each size and in each color scheme."""
    for (width, height), scheme in itertools.product(SIZES, ("light", "dark")):
        page.set_viewport_size({"width": width, "height": height})
        page.emulate_media(color_scheme=scheme)
        page.wait_for_timeout(250)  # transitions of colors
        found = axe.Axe().run(page)
        where = f"{state}, {width} x {height}, {scheme}"
        assert found.violations_count == 0, f"{where}:\n{found.generate_report()}"
        assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth"), where
    page.set_viewport_size({"width": 1440, "height": 900})


def stroke(page):
    page.mouse.move(*middle(page, 0.45, 0.5))
    page.mouse.down()
    page.mouse.move(*middle(page, 0.55, 0.5), steps=3)
    page.mouse.up()


def in_dialog(page, name):
    """Check an open dialog, and close it."""
    expect(page.locator(name)).to_be_visible()
    check(page, name)
    page.keyboard.press("Escape")
    expect(page.locator(name)).to_be_hidden()


def test_before_a_run(page, tmp_path):
    check(page, "empty")
    page.click("#photo-samples summary")
    check(page, "sample photos")
    take_samples(page)
    page.click("[aria-label='Add Mosaic to the other styles']")
    expect(page.locator("#styles li")).to_have_count(2)
    for each in ("#historic summary", "#more summary", ".ask >> nth=0"):
        page.click(each)
    wrong = tmp_path / "letter.jpg"
    wrong.write_text("Dear reader")
    drop(page, "#content", wrong)
    expect(page.locator(".toast")).to_have_count(1)
    check(page, "settings and a message")
    field = page.locator("#setting-size")
    field.fill("7")
    field.press("Enter")
    expect(page.locator("#refusal-setting-size")).to_be_visible()
    check(page, "an invalid value")


def test_masks(page):
    take_samples(page)
    page.click("#protect")
    page.click("#wand")
    check(page, "magic wand")
    page.click("#brush")
    stroke(page)
    check(page, "mask with a stroke")
    page.keyboard.press("Escape")
    check(page, "question before strokes are discarded")
    page.click("#confirm-no")
    page.click("#mask-done")
    expect(page.locator("#areas li")).to_have_count(1)
    page.click("#styles [aria-label='Use Oil in one area']")
    stroke(page)
    page.click("#mask-done")
    expect(page.locator("#areas li")).to_have_count(2)
    check(page, "areas on the image")


def test_runs_and_versions(page):
    take_samples(page)
    ask_for(page, QUICK)
    for count in range(1, 4):
        page.click("#paint")
        until(lambda count=count: states(page) == ["done"] * count)
    check(page, "done")
    page.click("#versions .star >> nth=0")
    page.select_option("#compare", "original")
    check(page, "compared")
    page.click("#side-by-side")
    check(page, "side by side")
    page.click("#grid-open")
    page.click("#grid-all")
    in_dialog(page, "#grid")
    page.keyboard.press("?")
    in_dialog(page, "#keys")
    page.click("#compare-settings")
    page.fill("#sweep-values", "0.2, 0.9")
    check(page, "compare settings")
    page.click("#sweep-go")
    until(lambda: states(page) == ["done"] * 5)
    page.click("#version button:text('Sheet')")
    in_dialog(page, "#sheet")
    ask_for(page, {name: LONG[name] for name in ("size", "evaluations")})
    page.click("#paint")
    expect(page.locator("#level")).to_contain_text("evaluation")
    page.click("#paint")
    until(lambda: len(jobs(page)) == 7)
    check(page, "queued")
    page.click("#versions .version >> nth=1")
    page.click("#run-details summary")
    check(page, "painting")
    page.click("#queue [aria-label^='Remove']")
    page.click("#stop")
    until(lambda: "painting" not in states(page))
    check(page, "stopped")


def test_clips(page, tmp_path):
    clip = moving.write(tmp_path / "a.mp4", moving.crossing(90, 96, 128), pixel_format="yuv420p")
    drop(page, ".hero", clip)
    until(lambda: page.evaluate("() => window.studio.state.clip?.complete"))
    page.click("#gallery .thumb:has-text('Oil')")
    expect(page.locator("#styles li")).to_have_count(1)
    ask_for(page, {"size": "64", "levels": "1", "evaluations": "2"})
    page.click("#more summary")
    key = tmp_path / "key.png"
    Image.new("RGB", (128, 96), (200, 90, 0)).save(key)
    drop(page, "#timeline", key)
    expect(page.locator("#key-frames li")).to_have_count(1)
    page.locator("#playhead").focus()
    for _ in range(3):
        page.keyboard.press("PageUp")
    page.click("#cut-here")
    expect(page.locator("#cuts-auto")).to_be_visible()
    check(page, "timeline")
    page.click("#protect")
    stroke(page)
    check(page, "mask of a clip")
    page.click("#mask-done")
    expect(page.locator("#areas .where")).to_be_visible()
    check(page, "area of a clip")
    page.click("#paint")
    until(
        lambda: page.evaluate("() => (window.studio.state.session.works[0]?.video?.done ?? 0) > 1")
    )
    page.click("#follow")  # buttons would change while they are measured
    check(page, "clip in progress")
    if page.locator("#stop").is_visible():
        page.click("#stop")
    until(lambda: states(page)[0] in ("stopped", "done"))
    page.select_option("#compare", "original")
    check(page, "painted clip")
