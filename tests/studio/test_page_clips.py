"""The flow of a clip on the page: drop, range, cuts, paint, watch, compare, download."""

import numpy as np
import pytest
from PIL import Image

from tests import tiny
from tests.studio.pages import (
    ask_for,
    axe,
    drop,
    expect,
    middle,
    patch_of,
    ready,
    states,
    until,
)

moving = pytest.importorskip("tests.video.clips")

pytestmark = tiny.needs_kernels

SMALL = {"size": "64", "levels": "1", "evaluations": "2"}
STATE = "() => window.studio.state"


@pytest.fixture(scope="module")
def two_shots(tmp_path_factory):
    """A clip of eight frames with a cut at frame 5."""
    path = tmp_path_factory.mktemp("clips") / "walk.webm"
    frames = [*moving.pan(5, 96, 128), *moving.pan(3, 96, 128, texture=moving.OTHER[::-1])]
    options = {"crf": "10", "b": "0"}
    return moving.write(path, frames, "libvpx-vp9", "yuv420p", options=options)


def add(page, clip, place=".hero"):
    """Drop a clip, and wait until the studio has read its frames."""
    drop(page, place, clip)
    expect(page.locator("#timeline")).to_be_visible()
    until(lambda: page.evaluate("() => window.studio.state.clip?.complete"))


def session_clip(page):
    return page.evaluate(STATE)["session"]["clip"]


def expect_clip(page, **expected):
    """Wait until the session has these settings of the clip."""
    until(lambda: expected.items() <= session_clip(page).items())


def position(page):
    return page.evaluate(STATE)["position"]


def pixel(page, x=0.5, y=0.5):
    """The color in the canvas at a place."""
    return page.evaluate(
        """([x, y]) => {
          const { canvas, context } = window.studio.view;
          const found = context.getImageData(x * canvas.width, y * canvas.height, 1, 1);
          return [...found.data].slice(0, 3);
        }""",
        [x, y],
    )


def on_track(page, frame, frames=8):
    """The place of the middle of a frame on the timeline."""
    box = page.locator("#thumbs-strip").bounding_box()
    return box["x"] + box["width"] * (frame + 0.5) / frames, box["y"] + box["height"] / 2


def at_edge(page, edge):
    """The place of an end of the range."""
    box = page.locator(edge).bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def test_a_clip_by_mouse_from_drop_to_download(page, two_shots):
    expect(page.locator("#clip-settings")).to_be_hidden()
    add(page, two_shots)
    expect(page.locator("#clip-settings")).to_be_visible()
    expect(page.locator("#marks .cut")).to_have_count(1)
    expect(page.locator("#frame-text")).to_have_text("0:00.0 · frame 1 of 8")

    # A click moves the position, and the canvas shows the frame.
    page.mouse.click(*on_track(page, 6))
    until(lambda: position(page) == 6)
    shown = moving.pan(3, 96, 128, texture=moving.OTHER[::-1])[1]
    until(lambda: np.abs(np.subtract(pixel(page), shown[48, 64])).max() < 40)

    # The grips are dragged.
    page.mouse.move(*at_edge(page, "#range-start"))
    page.mouse.down()
    page.mouse.move(*on_track(page, 0.6), steps=4)
    assert patch_of(page, page.mouse.up).ok
    page.mouse.move(*at_edge(page, "#range-end"))
    page.mouse.down()
    page.mouse.move(*on_track(page, 5.4), steps=4)
    assert patch_of(page, page.mouse.up).ok
    expect_clip(page, first=1, last=5)

    page.click("#gallery .thumb:has-text('Oil')")
    ask_for(page, SMALL)
    assert patch_of(page, lambda: page.select_option("#every", "1")).ok
    expect(page.locator("#forecast")).to_contain_text("5 frames in 2 shots")
    expect(page.locator("#forecast")).to_contain_text("MB of disk")

    page.click("#paint")
    expect(page.locator("#percent")).to_contain_text("of 5 frames")
    expect(page.locator("#follow")).to_have_attribute("aria-pressed", "true")
    until(lambda: states(page) == ["done"], 120)
    expect(page.locator("#percent")).to_contain_text("5 frames painted in")
    assert position(page) == 5, "the canvas follows the painter"
    assert page.locator("#thumbs-strip .painted").count() >= 4

    # Another frame, and the original while a button is held.
    page.mouse.click(*on_track(page, 2))
    until(lambda: position(page) == 2)
    original = moving.pan(5, 96, 128)[2][48, 64]
    painted = pixel(page)
    page.mouse.move(*at_edge(page, "#hold"))
    page.mouse.down()
    until(lambda: np.abs(np.subtract(pixel(page), original)).max() < 40)
    page.mouse.up()
    until(lambda: pixel(page) == painted)

    page.click("#play")
    expect(page.locator("#video")).to_be_visible()
    until(lambda: page.evaluate("() => document.getElementById('video').currentTime") > 0)
    page.click("#play")
    expect(page.locator("#video")).to_be_hidden()
    assert 1 <= position(page) <= 5

    with page.expect_download() as download:
        page.click("#version .downloads .button")
    assert download.value.suggested_filename == "walk-swirls-64.webm"


def test_the_timeline_by_keyboard(page, two_shots):
    add(page, two_shots)
    page.locator("#playhead").focus()
    for key, expected in (
        *(("ArrowRight", 1), ("ArrowRight", 2), ("ArrowLeft", 1), ("PageDown", 0)),
        *(("End", 7), ("Home", 0), (".", 1), (".", 2), (",", 1), (".", 2)),
    ):
        page.keyboard.press(key)
        assert position(page) == expected, key
    assert patch_of(page, lambda: page.keyboard.press("[")).ok
    page.keyboard.press("End")
    page.keyboard.press(",")
    assert patch_of(page, lambda: page.keyboard.press("]")).ok
    expect_clip(page, first=2, last=6)
    slider = page.locator("#range-start")
    slider.focus()
    assert patch_of(page, lambda: page.keyboard.press("ArrowRight")).ok
    expect_clip(page, first=3)
    expect(slider).to_have_attribute("aria-valuetext", "0:00.1, frame 4")
    # A cut at the position, and the cuts that were found again.
    assert patch_of(page, lambda: page.press("#cut-here", "Enter")).ok
    expect_clip(page, cuts=[3, 5])
    page.press("#mark-after", "Enter")
    assert position(page) == 5
    assert patch_of(page, lambda: page.press("#cut-here", "Enter")).ok
    expect_clip(page, cuts=[3])
    assert patch_of(page, lambda: page.press("#cuts-auto", "Enter")).ok
    expect_clip(page, cuts=None)
    # The frames play in a loop within the range.
    page.locator("#playhead").focus()
    page.keyboard.press("l")
    expect(page.locator("#play")).to_have_text("Pause")
    until(lambda: position(page) != 5)
    assert 3 <= position(page) <= 6
    page.keyboard.press("l")
    expect(page.locator("#play")).to_have_text("Play")


def test_one_frame_is_painted_and_becomes_a_key_frame(page, two_shots, tmp_path):
    add(page, two_shots)
    page.click("#gallery .thumb:has-text('Mosaic')")
    ask_for(page, SMALL)
    page.mouse.click(*on_track(page, 3))
    page.click("#paint-frame")
    until(lambda: states(page) == ["done"], 120)
    expect(page.locator("#shown-name")).to_contain_text("Frame 4")
    page.click("button:has-text('Use as key frame')")
    expect(page.locator("#key-frames li")).to_have_count(1)
    assert session_clip(page)["keys"][0]["frame"] == 3
    red = tmp_path / "red.png"
    Image.new("RGB", (128, 96), (200, 0, 0)).save(red)
    page.mouse.click(*on_track(page, 6))
    drop(page, "#timeline", red)
    expect(page.locator("#key-frames li")).to_have_count(2)
    expect(page.locator("#marks .key")).to_have_count(2)
    page.click("[aria-label='Remove the key frame at 0:00.1']")
    expect(page.locator("#key-frames li")).to_have_count(1)
    assert [each["frame"] for each in session_clip(page)["keys"]] == [6]


def test_a_stopped_clip_is_kept_and_resumes(page, tmp_path):
    clip = moving.write(tmp_path / "long.mp4", moving.crossing(60, 96, 128), pixel_format="yuv420p")
    add(page, clip)
    page.click("#gallery .thumb:has-text('Oil')")
    ask_for(page, SMALL)
    assert patch_of(page, lambda: page.select_option("#every", "1")).ok
    page.click("#paint")
    done = "() => window.studio.state.session.works[0]?.video?.done ?? 0"
    until(lambda: page.evaluate(done) >= 2)
    # The position stays where the user puts it.
    page.mouse.click(*on_track(page, 0, 60))
    expect(page.locator("#follow")).to_have_attribute("aria-pressed", "false")
    count = page.evaluate(done)
    until(lambda: page.evaluate(done) > count)
    assert position(page) == 0
    page.click("#stop")
    until(lambda: states(page) == ["stopped"])
    expect(page.locator("#version .downloads")).to_contain_text("of the frames so far")
    page.click("#resume")
    until(lambda: page.evaluate(done) > count + 1)
    page.click("#stop")
    until(lambda: states(page) == ["stopped"])


# Areas ------------------------------------------------------------------------------------------

CENTER = """() => {
  const [area] = window.studio.view.areas;
  if (!area) return null;
  const { data } = area.getContext("2d").getImageData(0, 0, area.width, area.height);
  let sum = 0, count = 0;
  for (let at = 0; at < data.length / 4; at += 1) {
    if (data[4 * at + 3] > 127) { sum += at % area.width; count += 1; }
  }
  return sum / count / area.width;
}"""


def center(page, frame):
    """Show a frame, and return the horizontal center of the area there, in [0, 1]."""
    until(lambda: position(page) == frame)
    until(lambda: page.evaluate("() => window.studio.view.areas.length") == 1)
    return page.evaluate(CENTER)


def test_a_protected_area_follows_the_clip(page, two_shots):
    add(page, two_shots)
    page.mouse.click(*on_track(page, 2))
    page.click("#protect")
    expect(page.locator("#mask-title")).to_have_text("Protect an area")
    expect(page.locator("#mask-help")).to_contain_text("the frame at 0:00.1; the area follows")
    expect(page.locator("#timeline")).to_be_hidden()
    page.mouse.move(*middle(page, 0.48, 0.45))
    page.mouse.down()
    page.mouse.move(*middle(page, 0.52, 0.55), steps=4)
    page.mouse.up()
    for key in (".", "l"):  # the frame stays while the mask is drawn
        page.keyboard.press(key)
    assert patch_of(page, lambda: page.click("#mask-done")).ok
    until(lambda: page.evaluate(STATE)["session"]["keep_frame"] == 2)
    expect(page.locator("#legend")).to_have_text("Protected")
    expect(page.locator("#marks .area")).to_have_count(1)

    # It is shown on the other frames of its shot, where its content is.
    drawn = center(page, 2)
    page.mouse.click(*on_track(page, 4))
    moved = center(page, 4)
    assert moved - drawn == pytest.approx(-2 * 2 / 128, abs=0.01)
    page.mouse.click(*on_track(page, 0))
    assert center(page, 0) - drawn == pytest.approx(2 * 2 / 128, abs=0.01)
    page.mouse.click(*on_track(page, 6))
    expect(page.locator("#legend")).to_be_hidden()
    assert page.evaluate("() => window.studio.view.areas.length") == 0

    # Its frame is found again, and it can stay in place or be removed.
    where = page.locator("#areas .where")
    expect(where).to_have_text("drawn at 0:00.1, frame 3")
    where.click()
    until(lambda: position(page) == 2)
    page.mouse.click(*on_track(page, 6))
    page.click("#areas button:text('Change')")
    until(lambda: position(page) == 2)
    page.uncheck("#follow-area")
    expect(page.locator("#mask-help")).to_contain_text("The area is the same in all frames.")
    assert patch_of(page, lambda: page.click("#mask-done")).ok
    until(lambda: page.evaluate(STATE)["session"]["keep_frame"] is None)
    expect(page.locator("#areas")).to_contain_text("the same in all frames")
    page.mouse.click(*on_track(page, 6))
    assert center(page, 6) == pytest.approx(drawn, abs=0.01)
    assert patch_of(page, lambda: page.click("#areas [aria-label='Remove: Protected']")).ok
    expect(page.locator("#areas li")).to_have_count(0)
    expect(page.locator("#legend")).to_be_hidden()


def test_a_style_in_an_area_of_a_clip_by_keyboard(page, two_shots):
    add(page, two_shots)
    page.press("#gallery .thumb:has-text('Oil')", "Enter")
    expect(page.locator("#styles li")).to_have_count(1)
    ask_for(page, SMALL)
    page.locator("#playhead").focus()
    page.keyboard.press("ArrowRight")
    page.press("#styles [aria-label='Use Oil in one area']", "Enter")
    expect(page.locator("#mask-title")).to_have_text("Use Oil in one area")
    for key in (*["]"] * 8, "Space", "ArrowRight", "Space", "Enter"):
        page.locator("#canvas").press(key)
    expect(page.locator("#tools")).to_be_hidden()
    (region,) = page.evaluate(STATE)["session"]["regions"]
    assert region["frame"] == 1
    expect(page.locator("#legend")).to_have_text("Oil")
    # The frame that is painted has the area where its content is.
    page.locator("#playhead").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert center(page, 3) < 0.5
    page.press("#paint-frame", "Enter")
    until(lambda: states(page)[:1] in (["done"], ["failed"]), 60)
    assert page.evaluate(STATE)["session"]["works"][0]["error"] is None
    assert patch_of(page, lambda: page.press("#areas [aria-label^='Remove']", "Enter")).ok
    expect(page.locator("#areas li")).to_have_count(0)


def test_an_area_of_a_clip_by_touch(phone, two_shots):
    drop(phone, ".hero", two_shots)
    until(lambda: phone.evaluate("() => window.studio.state.clip?.complete"))
    phone.locator("#track").scroll_into_view_if_needed()
    phone.touchscreen.tap(*on_track(phone, 3))
    until(lambda: position(phone) == 3)
    phone.tap("#protect")
    expect(phone.locator("#tools")).to_be_visible()
    finger(phone, middle(phone, 0.4, 0.5), middle(phone, 0.5, 0.5), middle(phone, 0.6, 0.5))
    until(lambda: phone.evaluate("() => window.studio.state.masking.mask.done.length") == 1)
    box = phone.locator("#follow-area-field").bounding_box()
    assert box["height"] >= 43.5
    found = axe.Axe().run(phone)
    assert found.violations_count == 0, found.generate_report()
    phone.tap("#mask-done")
    expect(phone.locator("#legend")).to_have_text("Protected")
    assert phone.evaluate(STATE)["session"]["keep_frame"] == 3
    phone.tap("#areas .where")
    phone.tap("#areas [aria-label='Remove: Protected']")
    expect(phone.locator("#areas li")).to_have_count(0)


def finger(page, *places):
    """Move a finger over the page."""
    browser = page.context.new_cdp_session(page)
    for number, (x, y) in enumerate(places):
        points = [{"x": x, "y": y, "id": 0}]
        kind = "touchMove" if number else "touchStart"
        browser.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    browser.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


def test_a_clip_by_touch(phone, two_shots):
    with phone.expect_file_chooser() as chosen:
        phone.tap("#empty .choose")
    chosen.value.set_files(two_shots)
    expect(phone.locator("#timeline")).to_be_visible()
    until(lambda: phone.evaluate("() => window.studio.state.clip?.complete"))
    assert phone.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
    phone.tap("#gallery .thumb:has-text('Oil')")
    expect(phone.locator("#styles li")).to_have_count(1)
    ask_for(phone, SMALL)
    phone.locator("#track").scroll_into_view_if_needed()

    phone.touchscreen.tap(*on_track(phone, 6))
    until(lambda: position(phone) == 6)
    finger(phone, on_track(phone, 6), on_track(phone, 5), on_track(phone, 4))
    until(lambda: position(phone) == 4)
    start, ends = at_edge(phone, "#range-start"), [on_track(phone, 2), on_track(phone, 2.6)]
    patch_of(phone, lambda: finger(phone, start, *ends))
    expect_clip(phone, first=3)
    small = phone.evaluate(
        """() => [...document.querySelectorAll("#timeline button, #clip-settings select, #steady")]
          .filter((each) => each.offsetParent && each.getBoundingClientRect().height < 43.5)
          .map((each) => each.id)"""
    )
    assert not small
    # The target of a grip is larger than what is drawn.
    x, y = at_edge(phone, "#range-start")
    for shift in (-20, 8):
        hit = phone.evaluate("([x, y]) => document.elementFromPoint(x, y).id", [x + shift, y])
        assert hit == "range-start"
    found = axe.Axe().run(phone)
    assert found.violations_count == 0, found.generate_report()

    phone.tap("#paint")
    until(lambda: states(phone) == ["done"], 120)
    phone.locator("#play").scroll_into_view_if_needed()
    phone.tap("#play")
    expect(phone.locator("#video")).to_be_visible()
    phone.tap("#play")
    with phone.expect_download() as download:
        phone.tap("#version .downloads .button")
    assert download.value.suggested_filename == "walk-swirls-64.webm"
    found = axe.Axe().run(phone)
    assert found.violations_count == 0, found.generate_report()


def test_a_page_with_a_clip_has_no_fault_that_axe_finds(page, two_shots):
    add(page, two_shots)
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        page.reload()  # without the transition of colors
        ready(page)
        expect(page.locator("#thumbs-strip img[src]").first).to_be_visible()
        found = axe.Axe().run(page)
        assert found.violations_count == 0, found.generate_report()


def test_without_the_extra_the_page_says_what_to_install(page, two_shots):
    page.evaluate(
        "(text) => { window.studio.state.about.video = text; }",
        "av not installed: for videos, run pip install 'impasto[video]'",
    )
    drop(page, ".hero", two_shots)
    expect(page.locator(".toast")).to_contain_text("for videos, run pip install")
    expect(page.locator("#timeline")).to_be_hidden()
