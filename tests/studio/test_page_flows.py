"""The flows of the page: first minute, areas, comparing, keeping; by mouse, keyboard and touch."""

import io
import zipfile

import numpy as np
import pytest
from PIL import Image

from impasto.images import samples
from tests.studio.client import Server
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
    states,
    take_photo,
    take_samples,
    until,
)

SESSION = "() => window.studio.state.session"


def paint(page, settings=QUICK):
    ask_for(page, settings)
    page.click("#paint")
    until(lambda: states(page)[:1] == ["done"])


def write(image, path):
    Image.fromarray(np.asarray(image, np.uint8)).save(path)
    return path


# The first minute -------------------------------------------------------------------------------


def test_one_click_on_an_example_paints_it(page):
    expect(page.locator("#examples button")).to_have_count(3)
    expect(page.locator("#paint")).to_be_disabled()
    expect(page.locator("#why")).to_have_text("Choose a photo and a style to paint.")
    page.click("#examples button >> nth=1")
    expect(page.locator("#stop")).to_be_visible()
    assert [each["picture"]["name"] for each in page.evaluate(SESSION)["paintings"]] == [
        "mosaic.png"
    ]
    # The time is known, or said to be measured, and there is one percentage.
    expect(page.locator("#percent")).to_contain_text("% · ")
    page.click("#stop")
    until(lambda: states(page) == ["stopped"])


def test_the_reason_beside_paint_follows_what_is_missing(page):
    take_photo(page)
    expect(page.locator("#why")).to_have_text("Choose a style to paint.")
    page.click("#gallery .thumb:has-text('Batik')")
    expect(page.locator("#why")).to_be_empty()
    expect(page.locator("#paint")).to_be_enabled()


def test_a_click_replaces_the_style_and_plus_adds_one(page):
    take_samples(page)
    names = page.locator("#styles .name")
    page.click("#gallery .thumb:has-text('Charcoal')")
    expect(names).to_have_text(["Charcoal"])
    expect(page.locator("#gallery .thumb:has-text('Charcoal')")).to_have_attribute(
        "aria-pressed", "true"
    )
    page.click("[aria-label='Add Mosaic to the other styles']")
    expect(names).to_have_text(["Charcoal", "Mosaic"])
    expect(page.get_by_label("Weight of Mosaic")).to_be_visible()


def test_dropped_paintings_and_folders_stay_in_the_collection(page, tmp_path):
    mine = write(np.full((40, 50, 3), (200, 30, 90)), tmp_path / "mine.png")
    drop(page, "#style", mine)
    expect(page.locator("#styles .name")).to_have_text(["mine"])
    folder = tmp_path / "paintings" / "old"
    folder.mkdir(parents=True)
    write(np.full((40, 50, 3), (20, 130, 90)), folder / "lake.png")
    (folder / "notes.txt").write_text("no image")
    drop_from_disk(page, "#style", tmp_path / "paintings")
    collected = page.locator("#collection .thumb")
    expect(collected).to_have_text(["lake", "mine"])
    begin_session(page)
    expect(page.locator("#styles li")).to_have_count(0)
    page.click("#collection .thumb:has-text('lake')")
    expect(page.locator("#styles .name")).to_have_text(["lake"])
    for name in ("lake", "mine"):
        page.click(f"[aria-label='Remove {name} from your paintings']")
    expect(collected).to_have_count(0)


# Settings ---------------------------------------------------------------------------------------


def test_size_chips_show_pixels_and_centimeters(page):
    take_samples(page)
    chip = page.locator("#sizes [data-size='3508']")
    expect(chip).to_contain_text("3508 \u00d7 2339 px")
    expect(chip).to_contain_text("29.7 \u00d7 19.8 cm")
    assert patch_of(page, lambda: page.click("#sizes [data-size='1024']")).ok
    expect(page.locator("#sizes [data-size='1024']")).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#setting-size")).to_have_value("1024")


def test_a_waiting_job_shows_its_position(page):
    take_samples(page)
    ask_for(page, LONG)
    with page.expect_response(lambda answer: answer.request.method == "POST"):
        page.click("#paint")
    expect(page.locator("#stop")).to_be_visible()  # clicks before the answer are ignored
    page.click("#paint")
    expect(page.locator("#percent")).to_have_text("Position 2 of 2 in the queue")
    page.click("#queue [aria-label^='Remove']")
    until(lambda: len(jobs(page)) == 1)
    page.click("#stop")
    until(lambda: states(page) == ["stopped"])


def test_messages_cover_no_control(page, tmp_path):
    take_samples(page)
    wrong = tmp_path / "letter.jpg"
    wrong.write_text("Dear reader")
    for place in ("#content", "#style"):
        drop(page, place, wrong)
    expect(page.locator(".toast")).to_have_count(2)
    covered = page.evaluate(
        """() => [...document.querySelectorAll("main button, main input, main select")].filter(
          (each) => {
            const box = each.getBoundingClientRect();
            const x = box.x + box.width / 2, y = box.y + box.height / 2;
            return box.width && document.elementFromPoint(x, y)?.closest(".toast");
          }).length"""
    )
    assert covered == 0
    page.click(".toast [aria-label='Dismiss'] >> nth=0")
    expect(page.locator(".toast")).to_have_count(1)


# Areas ------------------------------------------------------------------------------------------


def test_a_face_is_protected_with_three_clicks_and_shown_on_the_photo(page):
    take_photo(page, "Astronaut")
    page.click("#gallery .thumb:has-text('Mosaic')")
    page.click("#protect")
    expect(page.locator("#mask-title")).to_have_text("Protect an area")
    page.click("#part-face")
    until(lambda: page.evaluate("() => !window.studio.state.masking.mask.isEmpty()"))
    # Before the mask is saved, Paint would leave it out.
    expect(page.locator("#paint")).to_be_disabled()
    expect(page.locator("#why")).to_have_text("Finish the mask to paint.")
    page.click("#swatches [aria-label='Yellow overlay']")
    page.click("#mask-done")
    expect(page.locator("#legend")).to_have_text("Protected")
    expect(page.locator("#paint")).to_be_enabled()
    until(lambda: page.evaluate("() => window.studio.view.areas.length") == 1)
    page.click("#areas-shown")
    expect(page.locator("#legend")).to_be_hidden()
    # Another photo keeps the area, and the page says so.
    with page.expect_file_chooser() as chosen:
        page.click("#content .choose")
    photo = encoded(samples.load_content("coffee"))
    chosen.value.set_files({"name": "cup.png", "mimeType": "image/png", "buffer": photo})
    expect(page.locator("#toasts")).to_contain_text("The areas were kept")
    assert page.evaluate(SESSION)["keep"]


def encoded(image):
    """Return the bytes of an image as PNG."""
    out = io.BytesIO()
    Image.fromarray(np.asarray(image, np.uint8)).save(out, "PNG")
    return out.getvalue()


def test_a_color_of_the_overlay_leaves_the_mask(page):
    take_samples(page)
    page.click("#styles [aria-label='Use Oil in one area']")
    expect(page.locator("#mask-title")).to_have_text("Use Oil in one area")
    page.mouse.click(*middle(page))
    size = """async () => { const blob = await window.studio.state.masking.mask.toBlob(0);
      return [...new Uint8Array(await blob.arrayBuffer())].join(); }"""
    before = page.evaluate(size)
    for name in ("Yellow", "Blue"):
        page.click(f"#swatches [aria-label='{name} overlay']")
    assert page.evaluate(size) == before
    for key in ("Control+z", "Control+Shift+Z"):
        page.locator("#canvas").press(key)
    assert page.evaluate(size) == before
    page.locator("#canvas").press("Escape")
    page.click("#confirm-yes")
    expect(page.locator("#tools")).to_be_hidden()


# Comparing and keeping ----------------------------------------------------------------------------


@pytest.mark.slow
def test_versions_are_compared_named_starred_downloaded_and_deleted(page, tmp_path):
    take_samples(page)
    paint(page)
    paint(page, {"evaluations": "2"})
    expect(page.locator("#versions .version >> nth=0")).to_contain_text("evaluations 2")

    # The divider is dragged on the image; the original is shown while a button is held.
    page.select_option("#compare", "original")
    page.mouse.move(*middle(page, 0.5))
    page.mouse.down()
    page.mouse.move(*middle(page, 0.25), steps=4)
    page.mouse.up()
    assert page.evaluate("() => window.studio.view.divide") < 0.4
    other = jobs(page)[1]["id"]
    page.select_option("#compare", other)
    page.click("#side-by-side")
    until(lambda: page.evaluate("() => window.studio.view.beside"))
    page.select_option("#compare", "")
    page.hover("#hold")
    page.mouse.down()
    expect(page.locator("#shown-name")).to_have_text("Original")
    page.mouse.up()
    expect(page.locator("#shown-name")).not_to_have_text("Original")

    page.fill("#version-name", "First light")
    page.press("#version-name", "Enter")
    expect(page.locator("#versions .version >> nth=0")).to_contain_text("First light")
    page.click("#versions .star >> nth=0")
    expect(page.locator("#versions .star >> nth=0")).to_have_attribute("aria-pressed", "true")
    with page.expect_download() as taken:
        page.click("#version a[href*='picture.jpg']")
    assert taken.value.suggested_filename == "First light.jpg"
    with page.expect_download() as taken:
        page.click("#version button:has-text('Film')")
    assert taken.value.suggested_filename == "First light.mp4"

    page.click("#grid-open")
    page.click("#grid-all")
    expect(page.locator("#grid-text")).to_have_text("2 selected")
    with page.expect_download() as taken:
        page.click("#grid-zip")
    taken.value.save_as(tmp_path / "all.zip")
    with zipfile.ZipFile(tmp_path / "all.zip") as archive:
        assert sorted(archive.namelist()) == ["First light.png", "coffee-swirls-64.png"]
    page.click("#grid-stars")
    expect(page.locator("#grid-text")).to_have_text("1 selected")
    page.click("#grid-delete")
    page.click("#confirm-yes")
    until(lambda: len(jobs(page)) == 1)
    assert jobs(page)[0]["id"] == other


def test_the_original_is_shown_while_a_key_is_held(page):
    take_samples(page)
    paint(page)
    name = page.locator("#shown-name")
    page.locator("#canvas").focus()
    page.keyboard.down("o")
    expect(name).to_have_text("Original")
    page.keyboard.up("o")
    expect(name).not_to_have_text("Original")


def test_a_sheet_warns_that_small_versions_differ(page):
    take_samples(page)
    page.click("#compare-settings")
    expect(page.locator("#sweep-note")).to_contain_text("Small versions differ from large ones")
    # Values are suggested for the chosen setting.
    page.select_option("#sweep-setting", "colors")
    expect(page.locator("#sweep-values")).to_have_value("style, content, match")
    page.select_option("#sweep-setting", "style_scale")
    expect(page.locator("#sweep-values")).to_have_value("0.5, 1, 2")
    page.select_option("#sweep-setting", "strength")
    page.select_option("#sweep-scale", "crop")
    expect(page.locator("#sweep-note")).to_contain_text("as it will look in the final size")
    page.fill("#sweep-values", "0.2, 0.9")
    with page.expect_request("**/sweep") as sent:
        page.route("**/sweep", lambda route: route.fulfill(status=400, json={"error": "full"}))
        page.click("#sweep-go")
    crop = sent.value.post_data_json["crop"]
    assert crop == {"x": pytest.approx(0.5, abs=0.01), "y": pytest.approx(0.5, abs=0.01)}


# Phone --------------------------------------------------------------------------------------------


def touch(page, *moves):
    """Move fingers over the middle of the canvas; each move has a position for each finger."""
    box = page.locator("#canvas").bounding_box()
    browser = page.context.new_cdp_session(page)
    kinds = ["touchStart", *["touchMove"] * (len(moves) - 1)]
    for kind, fingers in zip(kinds, moves, strict=True):
        points = [
            {"x": box["x"] + x * box["width"], "y": box["y"] + y * box["height"], "id": number}
            for number, (x, y) in enumerate(fingers)
        ]
        browser.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    browser.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})


def test_all_steps_to_a_result_by_touch(phone, tmp_path):
    photo = write(samples.load_content("coffee"), tmp_path / "cup.png")
    expect(phone.locator("#empty .camera")).to_be_visible()
    with phone.expect_file_chooser() as chosen:
        phone.tap("#empty .choose")
    chosen.value.set_files(photo)
    expect(phone.locator("#content-thumb")).to_have_attribute("alt", "cup.png")
    phone.tap("#gallery .thumb:has-text('Woodcut')")
    expect(phone.locator("#styles .name")).to_have_text(["Woodcut"])
    bar = phone.locator("#paint").bounding_box()
    assert bar["y"] + bar["height"] <= 844, "Paint stays at the bottom of the screen"

    # One finger paints the mask, two fingers zoom.
    phone.tap("#protect")
    expect(phone.locator("#tools")).to_be_visible()
    touch(phone, [(0.4, 0.5)], [(0.6, 0.5)])
    until(lambda: phone.evaluate("() => window.studio.state.masking.mask.done.length") == 1)
    scale = phone.evaluate("() => window.studio.view.scale")
    touch(phone, [(0.4, 0.5), (0.6, 0.5)], [(0.3, 0.5), (0.7, 0.5)], [(0.2, 0.5), (0.8, 0.5)])
    until(lambda: phone.evaluate("() => window.studio.view.scale") > 1.5 * scale)
    assert phone.evaluate("() => window.studio.state.masking.mask.done.length") == 1
    phone.tap("#mask-done")
    expect(phone.locator("#areas li")).to_have_count(1)

    ask_for(phone, QUICK)
    phone.tap("#paint")
    until(lambda: states(phone) == ["done"])
    phone.select_option("#compare", "original")
    phone.locator("#canvas").scroll_into_view_if_needed()
    touch(phone, [(0.5, 0.5)], [(0.4, 0.5)], [(0.25, 0.5)])
    until(lambda: phone.evaluate("() => window.studio.view.divide") < 0.4)


def test_on_a_phone_the_page_scrolls_over_the_image_and_targets_are_large(phone):
    phone.tap("#photo-samples summary")
    phone.tap("#photos button:has-text('Cat')")
    expect(phone.locator("#content-thumb")).to_be_visible()
    action = "() => getComputedStyle(document.getElementById('canvas')).touchAction"
    assert phone.evaluate(action) == "pan-y"
    phone.tap("#larger")
    assert phone.evaluate(action) == "none", "an enlarged image is moved by one finger"
    phone.tap("#fit")
    assert phone.evaluate(action) == "pan-y"
    small = phone.evaluate(
        """() => [...document.querySelectorAll("button, select, summary, .button, input")]
          .filter((each) => each.offsetParent && each.getBoundingClientRect().height < 43.5
            && each.getBoundingClientRect().height > 2)
          .map((each) => each.id || each.textContent || each.className)"""
    )
    assert not small
    assert phone.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
    found = axe.Axe().run(phone)
    assert found.violations_count == 0, found.generate_report()


def test_the_code_for_a_phone_is_an_image(browser, tmp_path):
    server = Server(tmp_path / "studio", "--port", "0", "--name", "studio.test")
    try:
        with browser.new_context() as context:
            page = context.new_page()
            enter(page, server.address)
            page.click("#share")
            expect(page.locator("#share-address")).to_contain_text("http://studio.test/?token=")
            until(lambda: page.evaluate("() => document.getElementById('share-code').naturalWidth"))
    finally:
        server.end()
