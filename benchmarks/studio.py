"""Response times of the studio in headless Chromium, and its screenshots.

    python -m benchmarks.studio FOLDER [--pictures 50] [--screenshots docs/studio]

Prints seconds from "Paint" to the first image and to the end of the first level, with a warm
worker process at 512 px; from a changed setting to the next step; frames per second while painting
a mask of 3,000 px; and the memory of the server before and after many small images.
"""

import argparse
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil
from PIL import Image
from playwright.sync_api import Page, sync_playwright

from tests.studio.client import Server

STATE = "() => window.studio.state.session.works"


def main() -> None:
    """Print the results of the chosen parts."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, help="folder of the studio")
    parser.add_argument("--pictures", type=int, default=50)
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
        take_samples(page)
        if "first" in asked.parts:
            print("first images", first_images(page, asked.screenshots))
        if "memory" in asked.parts:
            print("memory", memory(page, server, asked.pictures))
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
    page.select_option("#content .sample", "coffee")
    page.wait_for_selector("#content-thumb:visible")
    page.select_option("#style .sample", "swirls")
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
        before = page.inner_text("#level")
        while page.inner_text("#level") == before:
            time.sleep(0.01)
        found["next step after a dial"] = time.perf_counter() - begun
        if warm and screenshots:
            shots(page, screenshots, "painting")
        until(page, f"() => ({STATE})()[0]?.state", "done")
        found["finished"] = time.perf_counter() - begun
    if screenshots:
        page.select_option("#compare", "original")
        page.wait_for_timeout(500)
        shots(page, screenshots, "compared")
    return {name: round(value, 2) for name, value in found.items()}


def shots(page: Page, folder: Path, name: str) -> None:
    """Save the page in both sizes and both schemes."""
    folder.mkdir(parents=True, exist_ok=True)
    for width, height in ((1440, 900), (1024, 768)):
        for scheme in ("light", "dark"):
            page.set_viewport_size({"width": width, "height": height})
            page.emulate_media(color_scheme=scheme)
            page.wait_for_timeout(200)
            path = folder / f"{name}-{width}-{scheme}.jpg"
            page.screenshot(path=path, type="jpeg", quality=80)
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
    return round(painted / seconds, 1)


def memory(page: Page, server: Server, pictures: int) -> dict[str, float]:
    """Return the resident memory in MB of the server and the worker process, during many jobs."""
    page.click("#more summary")
    page.select_option("#setting-style_loss", "gram")
    for name, value in {"size": "64", "levels": "1", "evaluations": "2"}.items():
        page.fill(f"#setting-{name}", value)
        page.press(f"#setting-{name}", "Tab")
    page.wait_for_timeout(1000)
    before = len(page.evaluate(STATE))
    process, found = psutil.Process(server.process.pid), {}
    for number in range(1, pictures + 1):
        page.click("#paint")
        until(page, f"() => ({STATE})()[0]?.state", "done")
        until(page, f"() => ({STATE})().length", before + number)
        if number in (5, pictures // 2, pictures):
            for each in (process, *process.children()):
                kind = "server" if each is process else "worker"
                found[f"{kind} after {number}"] = round(each.memory_info().rss / 1e6)
    return found


if __name__ == "__main__":
    main()
