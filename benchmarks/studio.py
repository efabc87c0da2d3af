"""Response times of the studio in headless Chromium, and its screenshots.

    python -m benchmarks.studio FOLDER [--pictures 50] [--uploads 20] [--screenshots docs/studio]

Prints seconds from "Paint" to the first image and to the end of the first level, with a warm
worker process at 512 px; from a changed setting to the next step; frames per second while painting
a mask of 3,000 px; and the memory of the server after uploads of 24 MP and during many images of
256 px. The part ``clip`` paints a sample clip, for its screenshot.
"""

import argparse
import io
import shutil
import tempfile
import time
from pathlib import Path
from typing import Literal

import numpy as np
import psutil
from PIL import Image
from playwright.sync_api import Page, sync_playwright

from tests.studio.client import Server
from tools.video_methods import write_sample_clip

STATE = "() => window.studio.state.session.works"


def main() -> None:
    """Print the results of the chosen parts."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, help="folder of the studio")
    parser.add_argument("--pictures", type=int, default=50)
    parser.add_argument("--uploads", type=int, default=20)
    parser.add_argument("--screenshots", type=Path)
    parser.add_argument("--parts", nargs="+", default=["first", "mask", "memory"])
    asked = parser.parse_args()
    server = Server(asked.folder)
    with sync_playwright() as started:
        browser = started.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.set_default_timeout(600_000)
        page.goto(server.address)
        page.wait_for_selector("body[data-ready]")
        if asked.screenshots:
            shot(page, asked.screenshots, "empty")
        take_samples(page)
        if asked.screenshots:
            shot(page, asked.screenshots, "ready")
            page.click("#protect")
            page.click("#part-subject")
            until(page, "() => window.studio.state.masking.mask.isEmpty()", False)
            shot(page, asked.screenshots, "mask")
            page.click("#mask-cancel")
            page.click("#confirm-yes")
        if "first" in asked.parts:
            print("first images", first_images(page, asked.screenshots))
        if "clip" in asked.parts:
            paint_clip(page, asked.screenshots)
        if "memory" in asked.parts:
            print("memory", memory(page, server, asked.pictures, asked.uploads))
        if "mask" in asked.parts:
            print("mask, frames a second", frames(page))
        browser.close()
    server.end()


def until(page: Page, script: str, wanted: object) -> None:
    """Wait until a script has a value."""
    while page.evaluate(script) != wanted:
        time.sleep(0.02)


def take_samples(page: Page) -> None:
    """Add a content image and a style image."""
    page.click("#photo-samples summary")
    page.click("#photos button:has-text('Coffee')")
    page.wait_for_selector("#content-thumb:visible")
    page.click("#gallery .thumb:has-text('Oil')")
    page.wait_for_selector("#styles li")


def first_images(page: Page, screenshots: Path | None) -> dict[str, float]:
    """Run the samples twice; the first run warms up the worker process. Return seconds."""
    found = {}
    for warm in (False, True):
        page.wait_for_timeout(1000)
        begun = time.perf_counter()
        page.click("#paint")
        page.wait_for_selector("#draft:visible")
        found["draft"] = time.perf_counter() - begun
        page.wait_for_selector("#draft", state="hidden")
        found["first step"] = time.perf_counter() - begun
        until(page, f"() => ({STATE})()[0].progress?.level > 1", True)
        found["first level"] = time.perf_counter() - begun
        begun = time.perf_counter()
        page.evaluate(
            "() => { const field = document.getElementById('setting-strength');"
            f" field.value = {0.6 if warm else 0.5};"
            " field.dispatchEvent(new Event('change')); }"
        )
        before = page.text_content("#level")
        while page.text_content("#level") == before:
            time.sleep(0.01)
        found["next step after a dial"] = time.perf_counter() - begun
        if warm and screenshots:
            shot(page, screenshots, "painting")
        until(page, f"() => ({STATE})()[0]?.state", "done")
        found["finished"] = time.perf_counter() - begun
    if screenshots:
        page.select_option("#compare", "original")
        shot(page, screenshots, "compared", scheme="dark")
        shot(page, screenshots, "phone", (390, 844))
    return {name: round(value, 2) for name, value in found.items()}


def paint_clip(page: Page, screenshots: Path | None) -> None:
    """Paint a sample clip with a protected area; save the page in the middle."""
    before = page.evaluate("location.hash")
    page.click("#new-session")
    until(page, f"() => location.hash !== '{before}'", True)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "cat.mp4")
        write_sample_clip(path)
        with page.expect_file_chooser() as chosen:
            page.click("#empty .choose")
        chosen.value.set_files(path)
        until(page, "() => window.studio.state.clip?.complete", True)
    page.click("#gallery .thumb:has-text('Oil')")
    page.wait_for_selector("#styles li")
    page.click("#mark-after")
    page.click("#protect")
    page.wait_for_selector("#tools:visible")
    page.fill("#brush-size", "500")
    canvas = page.locator("#canvas").bounding_box()
    assert canvas is not None
    page.mouse.move(canvas["x"] + 0.4 * canvas["width"], canvas["y"] + 0.5 * canvas["height"])
    page.mouse.down()
    page.mouse.move(canvas["x"] + 0.6 * canvas["width"], canvas["y"] + 0.5 * canvas["height"])
    page.mouse.up()
    page.click("#mask-done")
    page.wait_for_selector("#areas li")
    page.click("#sizes [data-size='512']")
    page.select_option("#every", "1")
    page.click("#paint")
    until(page, f"() => (({STATE})()[0]?.video?.done ?? 0) >= 6", True)
    if screenshots:
        shot(page, screenshots, "clip")
    page.click("#stop")
    until(page, f"() => ({STATE})()[0]?.state", "stopped")


def shot(
    page: Page,
    folder: Path,
    name: str,
    size: tuple[int, int] = (1440, 900),
    scheme: Literal["light", "dark"] = "light",
) -> None:
    """Save the page in a size and a color scheme."""
    folder.mkdir(parents=True, exist_ok=True)
    page.set_viewport_size({"width": size[0], "height": size[1]})
    page.emulate_media(color_scheme=scheme)
    page.wait_for_timeout(500)
    saved = Image.open(io.BytesIO(page.screenshot()))
    saved.save(folder / f"{name}-{size[0]}-{scheme}.webp", quality=60, method=6)
    page.set_viewport_size({"width": 1440, "height": 900})
    page.emulate_media(color_scheme="light")


def frames(page: Page) -> float:
    """Return frames per second while painting a mask of 3,000 px."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "large.jpg")
        noise = np.random.default_rng(0).integers(0, 256, (150, 200, 3), np.uint8)
        Image.fromarray(noise).resize((4000, 3000)).save(path)
        with page.expect_file_chooser() as chosen:
            page.click("#content .choose")
        chosen.value.set_files(path)
        page.wait_for_selector("#content-thumb[alt='large.jpg']")
    page.click("#protect")
    page.wait_for_timeout(1000)
    box = page.locator("#canvas").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 0.3 * box["height"])
    page.mouse.down()
    before, begun, angle = (
        page.evaluate("() => window.studio.view.frames"),
        time.perf_counter(),
        0.0,
    )
    while time.perf_counter() < begun + 3:
        angle += 0.15
        page.mouse.move(
            box["x"] + box["width"] * (0.5 + 0.2 * np.cos(angle)),
            box["y"] + box["height"] * (0.5 + 0.3 * np.sin(angle)),
        )
    painted = page.evaluate("() => window.studio.view.frames") - before
    seconds = time.perf_counter() - begun
    page.mouse.up()
    page.click("#mask-cancel")
    page.click("#confirm-yes")
    return round(painted / seconds, 1)


def memory(page: Page, server: Server, pictures: int, uploads: int) -> dict[str, float]:
    """Return the resident memory in MB of the server and the worker process.

    After uploads of different photos of 24 MP, and then during many jobs of 256 px.
    """
    process = psutil.Process(server.process.pid)
    photo = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
    for number in range(1, uploads + 1):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, f"photo{number}.jpg")
            Image.fromarray(np.roll(photo, number, 1)).resize((6000, 4000)).save(path)
            with page.expect_file_chooser() as chosen:
                page.click("#content .choose")
            chosen.value.set_files(path)
            page.wait_for_selector(f"#content-thumb[alt='{path.name}']")
    found = resident(process, f"{uploads} uploads")
    page.fill("#setting-size", "256")
    page.press("#setting-size", "Tab")
    page.wait_for_timeout(1000)
    before = len(page.evaluate(STATE))
    for number in range(1, pictures + 1):
        page.click("#paint")
        until(page, f"() => ({STATE})()[0]?.state", "done")
        until(page, f"() => ({STATE})().length", before + number)
        if number == 2 or number % 10 == 0:
            found |= resident(process, f"{number} images")
    return found


def resident(process: psutil.Process, after: str) -> dict[str, float]:
    """Return the resident memory in MB of a server and of its worker process."""
    return {
        f"{'server' if each is process else 'worker'} after {after}": round(
            each.memory_info().rss / 1e6
        )
        for each in (process, *process.children())
    }


if __name__ == "__main__":
    main()
