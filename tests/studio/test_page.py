"""The page in a real browser, by mouse and by keyboard; see tests/studio/pages.py."""

import re
import signal
import time

import numpy as np
import psutil
import pytest
from PIL import Image

from impasto.images import samples
from impasto.pipeline import provenance
from tests.studio.client import Server
from tests.studio.images import write_photo
from tests.studio.pages import (
    LONG,
    QUICK,
    ask_for,
    axe,
    begin_session,
    drop,
    drop_from_disk,
    enter,
    expect,
    jobs,
    middle,
    patch_of,
    ready,
    set_strength,
    states,
    take_samples,
    until,
)


def test_all_steps_to_a_result_by_mouse(page, tmp_path):
    content = tmp_path / "a photo.jpg"
    Image.fromarray(samples.load_content("coffee").astype(np.uint8)).save(content)
    style = tmp_path / "painting.png"
    Image.fromarray(samples.make_style("swirls").astype(np.uint8)).save(style)
    drop(page, "#content", content)
    expect(page.locator("#content-thumb")).to_have_attribute("alt", "a photo.jpg")
    with page.expect_file_chooser() as chosen:
        page.click("#style .choose")
    chosen.value.set_files(style)
    expect(page.locator("#styles li")).to_have_count(1)
    ask_for(page, LONG)

    # A mask: a stroke, undo and redo.
    page.click("#protect")
    page.mouse.move(*middle(page, 0.4, 0.4))
    page.mouse.down()
    page.mouse.move(*middle(page, 0.6, 0.6), steps=8)
    page.mouse.up()
    page.click("#undo")
    page.click("#redo")
    page.click("#mask-done")
    expect(page.locator("#areas li")).to_have_count(1)

    # Start, steer, stop.
    page.click("#paint")
    expect(page.locator("#stop")).to_be_visible()
    expect(page.locator("#level")).to_contain_text("evaluation")
    with page.expect_response("**/steer") as answer:
        set_strength(page, 0.8)
    assert answer.value.ok
    page.wait_for_timeout(500)
    page.click("#stop")
    until(lambda: states(page)[:1] == ["stopped"])
    assert jobs(page)[0]["steered"]
    expect(page.locator("#resume")).to_be_visible()

    # A second version, and its differences.
    ask_for(page, {"evaluations": "3"})
    page.click("#paint")
    until(lambda: states(page)[:1] == ["done"])
    expect(page.locator("#version table")).to_contain_text("evaluations")
    expect(page.locator("#versions li")).to_have_count(2)

    # Compare, and download in three formats with the recipe.
    page.select_option("#compare", "original")
    expect(page.locator("#divider")).to_be_visible()
    page.locator("#divider").fill("250")
    for ending, kind in (("png", "PNG"), ("jpg", "JPEG"), ("tif", "TIFF")):
        with page.expect_download() as taken:
            page.click(f"#version a[href*='picture.{ending}']")
        path = tmp_path / taken.value.suggested_filename
        taken.value.save_as(path)
        with Image.open(path) as image:
            assert image.format == kind
        recipe = provenance.read_provenance(path).recipe
        assert (recipe.size, recipe.evaluations, recipe.strength) == (128, 3, 0.8)


@pytest.mark.slow
def test_all_steps_to_a_result_by_keyboard(page):
    def press(place, *keys):
        page.locator(place).focus()
        for key in keys:
            page.keyboard.press(key)

    recipe = "() => window.studio.state.session.recipe"
    press("#photo-samples summary", "Enter")
    press("#photos button >> nth=2", "Enter")
    expect(page.locator("#content-thumb")).to_be_visible()
    press("#gallery .thumb >> nth=0", "Enter")
    expect(page.locator("#styles li")).to_have_count(1)
    press("#more summary", "Enter")
    for name, value in QUICK.items():
        page.locator(f"#setting-{name}").focus()
        page.keyboard.press("Control+A")
        page.keyboard.type(value)
        page.keyboard.press("Tab")
        until(lambda name=name: page.evaluate(recipe)[name] == QUICK[name])
    press("#canvas", "m", " ", "ArrowRight", "]", " ", "Control+z", "Enter")
    expect(page.locator("#areas li")).to_have_count(1)
    press("#canvas", "p")
    until(lambda: states(page)[:1] == ["done"])
    press("#canvas", "c")
    expect(page.locator("#divider")).to_be_visible()
    page.keyboard.press("?")
    expect(page.locator("#keys")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#keys")).to_be_hidden()


def test_tab_reaches_everything(page):
    take_samples(page)
    reached = set()
    for _ in range(120):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("() => document.activeElement.id"))
    for name in ("new-session", "protect", "canvas", "fit", "paint", "setting-strength"):
        assert name in reached


def test_a_click_selects_similar_pixels(page):
    take_samples(page)
    page.click("#protect")
    page.click("#wand")
    with page.expect_response("**/select"):
        page.mouse.click(*middle(page, 0.5, 0.8))
    masked = "() => { const mask = window.studio.state.masking.mask; return !mask.isEmpty(); }"
    until(lambda: page.evaluate(masked))
    # Escape asks before it discards what was painted.
    page.keyboard.press("Escape")
    page.click("#confirm-no")
    expect(page.locator("#tools")).to_be_visible()
    page.keyboard.press("Escape")
    page.click("#confirm-yes")
    expect(page.locator("#tools")).to_be_hidden()


@pytest.mark.slow
def test_the_feather_leaves_the_border_unchanged(page):
    take_samples(page)
    page.click("#protect")
    page.click("#fill")
    page.locator("#feather").fill("60")
    with page.expect_download() as taken:
        page.click("#export-mask")
    mask = np.asarray(Image.open(taken.value.path()).convert("L"))
    assert mask.min() == 255


def test_a_reload_during_a_run_shows_its_progress(page):
    take_samples(page)
    ask_for(page, {**LONG, "size": "640"})  # so that the draft is displayed long enough
    page.click("#paint")
    expect(page.locator("#draft")).to_be_visible()
    expect(page.locator("#draft")).to_be_hidden()
    expect(page.locator("#level")).to_contain_text("evaluation")
    page.reload()
    ready(page)
    expect(page.locator("#level")).to_contain_text("evaluation")
    before = page.locator("#level").inner_text()
    expect(page.locator("#level")).not_to_have_text(before)
    page.click("#stop")
    until(lambda: states(page)[:1] == ["stopped"])


def test_two_tabs_show_the_same(page, context):
    take_samples(page)
    other = context.new_page()
    other.goto(page.evaluate("location.href"))
    ready(other)
    expect(other.locator("#styles li")).to_have_count(1)
    page.click("#styles button[aria-label^='Remove']")
    expect(page.locator("#styles li")).to_have_count(0)
    expect(other.locator("#styles li")).to_have_count(0)
    other.close()


def test_an_invalid_image_gives_a_message(page, tmp_path):
    wrong = tmp_path / "letter.jpg"
    wrong.write_text("Dear reader")
    drop(page, "#content", wrong)
    expect(page.locator("#toasts")).to_contain_text("letter.jpg")
    expect(page.locator("#content-thumb")).to_be_hidden()


def paint_and_download(page, folder):
    """Run the samples; return the PNG of the result."""
    take_samples(page)
    ask_for(page, QUICK)
    page.click("#paint")
    until(lambda: states(page)[:1] == ["done"])
    with page.expect_download() as taken:
        page.click("#version a[href*='picture.png']")
    path = folder / "painted.png"
    taken.value.save_as(path)
    return path


@pytest.mark.slow
def test_a_dropped_result_restores_its_settings_and_inputs(page, tmp_path):
    path = paint_and_download(page, tmp_path)
    begin_session(page)
    drop(page, "#content", path)
    expect(page.locator("#result-choice")).to_contain_text("painted.png")
    page.click("#result-choice button:text('Restore its settings')")
    expect(page.locator("#toasts")).to_contain_text("its settings and images are restored")
    expect(page.locator("#setting-style_loss")).to_have_value("gram")
    expect(page.locator("#styles li")).to_have_count(1)


@pytest.mark.slow
def test_a_result_is_used_as_content_or_as_style(page, tmp_path):
    path = paint_and_download(page, tmp_path)
    size = "() => window.studio.state.session.photograph.width"
    styles = page.locator("#styles li")

    # A dropped result opens a dialog; Cancel and Escape change nothing.
    for cancelled in ("by its button", "by a key"):
        drop(page, "#content", path)
        expect(page.locator("#result-choice")).to_be_visible()
        if cancelled == "by a key":
            page.keyboard.press("Escape")
        else:
            page.click("#result-choice >> text=Cancel")
        expect(page.locator("#result-choice")).to_be_hidden()
    assert page.evaluate(size) != 64
    expect(styles).to_have_count(1)
    drop(page, "#content", path)
    page.click("#result-choice >> text=Use as style")
    expect(styles).to_have_count(2)
    drop(page, "#style", path)
    page.click("#result-choice >> text=Use as content")
    until(lambda: page.evaluate(size) == 64)
    expect(page.locator("#setting-size")).to_have_value("64")

    # Each version has a button for each use.
    page.click("#versions .version")
    page.click("#version >> text=Use as style")
    expect(styles).to_have_count(3)
    photo = tmp_path / "another.png"
    Image.new("RGB", (90, 60), (9, 99, 200)).save(photo)
    drop(page, "#content", photo)
    until(lambda: page.evaluate(size) == 90)
    page.click("#versions .version")
    page.click("#version >> text=Use as content")
    until(lambda: page.evaluate(size) == 64)


@pytest.mark.slow
def test_a_sweep_is_a_sheet_of_versions(page):
    take_samples(page)
    ask_for(page, QUICK)
    page.click("#compare-settings")
    page.fill("#sweep-values", "0.2, 0.9")
    page.click("#sweep-go")
    until(lambda: len(states(page)) == 2)
    page.reload()  # the queue has names of versions before their session is loaded
    ready(page)
    until(lambda: states(page) == ["done"] * 2)
    expect(page.locator("#versions .version")).to_contain_text(["strength 0.9", "strength 0.2"])
    page.click("#version button:text('Sheet')")
    expect(page.locator("#cells button")).to_have_count(2)
    page.click("#cells button:has-text('0.9')")
    expect(page.locator("#sheet")).to_be_hidden()
    expect(page.locator("#version")).to_be_visible()


def test_an_invalid_value_is_explained_at_its_field_and_restored(page):
    take_samples(page)
    page.click("#more summary")
    for name, value, word in (("size", "7", "16"), ("evaluations", "many", "evaluations")):
        field = page.locator(f"#setting-{name}")
        before = field.input_value()
        field.fill(value)
        assert patch_of(page, lambda field=field: field.press("Enter")).status == 400
        refusal = page.locator(f"#refusal-setting-{name}")
        expect(refusal).to_contain_text(word)
        expect(field).to_have_value(before)
        expect(field).to_have_attribute("aria-invalid", "true")
        field.fill(before)
        expect(refusal).to_have_count(0)
    expect(page.locator("#toasts")).to_be_empty()
    # A single style has no stroke size of its own.
    expect(page.locator("#styles input")).to_have_count(0)
    page.click("[aria-label='Add Mosaic to the other styles']")
    strokes = page.get_by_label("Stroke size of Oil")
    strokes.fill("99")
    assert patch_of(page, lambda: strokes.press("Tab")).status == 400
    expect(page.locator("#styles .refusal")).to_contain_text("0.1 to 10")
    expect(strokes).to_have_value("1")
    # In a dialog, which covers toasts; the typed value stays.
    page.click("#compare-settings")
    page.fill("#sweep-values", "0.2")
    page.click("#sweep-go")
    expect(page.locator("#sweep .refusal")).to_contain_text("2 to 16")
    expect(page.locator("#sweep-values")).to_have_value("0.2")


def test_a_preset_leaves_the_size(page):
    take_samples(page)
    ask_for(page, {"size": "333"})
    assert patch_of(page, lambda: page.click("#presets [data-preset='bold']")).ok
    expect(page.locator("#presets [data-preset='bold']")).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#setting-size")).to_have_value("333")


def test_a_double_click_starts_one_job(page):
    take_samples(page)
    ask_for(page, LONG)
    page.dblclick("#paint")
    expect(page.locator("#stop")).to_be_visible()
    page.locator("#canvas").focus()
    for _ in range(3):  # a key that is held
        page.keyboard.down("s")
    page.keyboard.up("s")
    until(lambda: states(page) == ["stopped"])


def test_a_dropped_folder_gives_a_message(page, tmp_path):
    folder = tmp_path / "holidays"
    folder.mkdir()
    path = folder / "a.png"
    Image.new("RGB", (40, 30), (9, 99, 200)).save(path)
    drop_from_disk(page, "#content", folder, path)
    expect(page.locator("#toasts")).to_contain_text("holidays is a folder")
    expect(page.locator("#content-thumb")).to_have_attribute("alt", "a.png")
    page.evaluate(
        """() => { const dataTransfer = new DataTransfer();
          dataTransfer.setData("text/plain", "words");
          document.getElementById("style").dispatchEvent(
            new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true })); }"""
    )
    expect(page.locator("#toasts")).to_contain_text("is not a file")


def test_a_missing_file_gives_a_message_and_the_next_is_added(page, tmp_path):
    paths = [tmp_path / name for name in ("gone.png", "there.png")]
    for number, path in enumerate(paths):
        Image.new("RGB", (40, 30), (99 * number,) * 3).save(path)

    def delete(route):
        if "gone" in route.request.url:
            paths[0].unlink()
            route.fulfill(status=400, json={"error": "the file changed while it was sent"})
        else:
            route.continue_()

    page.route("**/api/pictures?*", delete)
    drop_from_disk(page, "#content", *paths)
    expect(page.locator("#toasts")).to_contain_text("gone.png cannot be read")
    expect(page.locator("#toasts")).not_to_contain_text("does not answer")
    expect(page.locator("#content-thumb")).to_have_attribute("alt", "there.png")


def test_a_mask_is_stored_unchanged_with_its_feather(page, tmp_path):
    content = tmp_path / "large.png"
    Image.new("RGB", (3600, 2400), (90, 120, 150)).save(content, compress_level=1)
    drop(page, "#content", content)
    expect(page.locator("#content-thumb")).to_be_visible()
    page.click("#protect")
    page.mouse.move(*middle(page, 0.4, 0.4))
    page.mouse.down()
    page.mouse.move(*middle(page, 0.6, 0.6), steps=3)
    page.mouse.up()
    page.locator("#feather").fill("20")
    session = """() => { const { keep, keep_feather } = window.studio.state.session;
      return [keep?.id, keep_feather, keep?.width]; }"""
    assert patch_of(page, lambda: page.click("#mask-done")).ok
    expect(page.locator("#areas li")).to_have_count(1)
    before = page.evaluate(session)
    assert before[1:] == [0.02, 3000]
    for _ in range(3):
        page.click("#areas button:text('Change')")
        expect(page.locator("#feather")).to_have_value("20")
        expect(page.locator("#tools")).to_be_visible()
        assert patch_of(page, lambda: page.click("#mask-done")).ok
        assert page.evaluate(session) == before
    # An exported mask includes the feather, relative to the image's size.
    page.click("#areas button:text('Change')")
    with page.expect_download() as taken:
        page.click("#export-mask")
    mask = np.asarray(Image.open(taken.value.path()).convert("L"))
    assert mask.shape == (2000, 3000)
    assert ((mask > 20) & (mask < 235)).sum() > 50_000
    page.keyboard.press("Escape")
    expect(page.locator("#tools")).to_be_hidden()


def test_skipped_files_are_listed(page, folder):
    for name, data in (("._x.json", b"\0\5\26\7"), ("0123abcd.json", b"")):
        (folder / "sessions" / name).write_bytes(data)
    try:
        page.reload()
        ready(page)
        expect(page.locator("#skipped summary")).to_contain_text("2")
        page.click("#skipped summary")
        expect(page.locator("#skipped")).to_contain_text("0123abcd.json: the file is empty")
    finally:
        for name in ("._x.json", "0123abcd.json"):
            (folder / "sessions" / name).unlink()


def test_a_used_address_gives_a_page_with_instructions(browser, server, context):
    with browser.new_context() as other:
        page = other.new_page()
        assert page.goto(server.address).status == 403
        expect(page.locator("h1")).to_have_text("impasto")
        expect(page.locator("body")).to_contain_text("This address was already used")
        expect(page.locator("code")).to_have_text("impasto studio")
        assert page.evaluate("getComputedStyle(document.body).maxWidth") != "none"
        found = axe.Axe().run(page)
        assert found.violations_count == 0, found.generate_report()
    page = context.new_page()  # the browser that used the address
    assert page.goto(server.address).status == 200
    ready(page)
    page.close()


@pytest.mark.slow
@pytest.mark.parametrize("ending", ["jpg", "heic"])
@pytest.mark.parametrize("megapixels", [12, 24, 50])
def test_a_camera_photo_is_added(page, tmp_path, megapixels, ending):
    path = tmp_path / f"photo.{ending}"
    size = write_photo(megapixels, path)
    with page.expect_file_chooser() as chosen:
        page.click("#content .choose")
    chosen.value.set_files(path)
    expect(page.locator("#content-thumb")).to_have_attribute("alt", path.name, timeout=180_000)
    content = page.evaluate("() => window.studio.state.session.photograph")
    assert (content["width"], content["height"]) == size
    until(lambda: page.evaluate("() => window.studio.view.image?.width") == 2048)
    expect(page.locator("#toasts")).to_be_empty()


def test_the_page_sends_no_requests_to_other_machines(page, server):
    urls = []
    page.on("request", lambda request: urls.append(request.url))
    page.reload()
    ready(page)
    take_samples(page)
    own = f"http://127.0.0.1:{server.port}/"
    assert urls
    assert not [each for each in urls if not each.startswith((own, "blob:", "data:"))]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("width", "height"), [(1440, 900), (1024, 768), (820, 1180), (390, 844)])
def test_accessibility_and_layout(page, scheme, width, height):
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": height})
    take_samples(page)
    page.click("#more summary")
    page.click("#protect")
    found = axe.Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    cut = page.evaluate(
        """() => [...document.querySelectorAll("button, label, h2, p, summary, option, th, td")]
          .filter((each) => each.offsetParent && each.scrollWidth > each.clientWidth + 1
            && getComputedStyle(each).overflow !== "visible")
          .map((each) => each.textContent)"""
    )
    assert not cut
    assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")


def test_a_page_of_an_older_version_asks_to_reload(context, server):
    page = context.new_page()
    builds = iter(["old", *["new"] * 1000])

    def hello(route):
        event = (
            f'retry: 100\nevent: hello\ndata: {{"event": "hello", "build": "{next(builds)}"}}\n\n'
        )
        route.fulfill(content_type="text/event-stream", body=event)

    page.route("**/api/events", hello)
    page.goto(f"http://127.0.0.1:{server.port}/")
    expect(page.locator("#toasts")).to_contain_text("the studio was updated: reload the page")
    page.close()


@pytest.mark.slow
def test_a_run_continues_after_sleep(page, server):
    take_samples(page)
    ask_for(page, LONG)
    page.click("#paint")
    expect(page.locator("#level")).to_contain_text(re.compile("evaluation [1-9]"))
    studio = psutil.Process(server.process.pid)
    asleep = [studio, *studio.children(recursive=True)]
    for process in asleep:
        process.suspend()
    time.sleep(20)
    before = page.locator("#level").inner_text()
    for process in asleep:
        process.resume()
    expect(page.locator("#level")).not_to_have_text(before)
    page.click("#stop")
    until(lambda: states(page)[:1] == ["stopped"])


@pytest.mark.slow
def test_a_killed_server_is_reported_until_it_restarts(browser, tmp_path):
    first = Server(tmp_path / "studio")
    with browser.new_context() as context:
        context.set_default_timeout(45_000)
        page = context.new_page()
        enter(page, first.address)
        take_samples(page)
        ask_for(page, LONG)
        page.click("#paint")
        expect(page.locator("#level")).to_contain_text(re.compile("evaluation [1-9]"))
        first.end(signal.SIGKILL)
        expect(page.locator("#worker")).to_contain_text("No data is lost")
        second = Server(tmp_path / "studio", "--port", str(first.port))
        try:
            expect(page.locator("#toasts")).to_contain_text("the studio is available again")
            before = page.locator("#level").inner_text()
            expect(page.locator("#level")).not_to_have_text(before)
            page.click("#stop")
            until(lambda: states(page)[:1] == ["stopped"])
        finally:
            second.end()
