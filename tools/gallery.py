"""Paint docs/gallery.md, and the images of the README and of the home page. ``make gallery``.

Usage: ``python -m tools.gallery [--size 1024] [TITLE ...]``. With titles, only these sections are
painted again. ``Home`` is the title of the images of the README and of the home page.
"""

import argparse
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

import impasto
from impasto.images import arrays, samples
from impasto.images.formats import encode
from impasto.recipe import presets
from tools import controls
from tools.controls import CONTROLS, Shown, image_name

DOCS = Path(__file__).parents[1] / "docs"
PAGE = DOCS / "gallery.md"
FOLDER = DOCS / "gallery"
IMAGES = DOCS / "images"

SIZE = 1024
"""Longest side in pixels of the results, unless another is given."""

INPUT_SIZE = 320
"""Longest side in pixels of the inputs that are shown beside a result."""

QUALITY = 72
"""Quality of WebP."""

WIDTH = 100
"""Characters of a command in one line."""

HOME = "Home"
HOME_PAIR = controls.PAIRS[0]
"""Content and style samples of the README and of the home page."""

CLASSIC = "gatys"
"""The preset of a second result of that pair."""


class Growing(NamedTuple):
    """The animation of a result that grows: pixels, frames, and milliseconds."""

    size: int = 480
    frames: int = 28
    frame_time: int = 160
    last_time: int = 2500
    quality: int = 52


GROWING = Growing()


def main() -> None:
    """Paint the sections, or those whose titles are given, and write the page."""
    titles = [HOME, *(title for title, _, _ in CONTROLS)]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=SIZE, help="longest side of the results in px")
    parser.add_argument("titles", nargs="*", metavar="TITLE", help="sections to paint")
    given = parser.parse_args()
    if unknown := set(given.titles) - set(titles):
        parser.error(f"unknown {', '.join(sorted(unknown))}; possible: {', '.join(titles)}")
    paint(given.titles or titles, given.size)
    PAGE.write_text(page(given.size), encoding="utf-8")


def paint(titles: list[str], size: int) -> None:
    """Paint sections, and write their inputs."""
    sources = sample_images()
    FOLDER.mkdir(exist_ok=True)
    for name in {name for _, _, shown in CONTROLS for each in shown for name in each.inputs}:
        keep(sources[name], FOLDER / f"{name}.webp", INPUT_SIZE)
    with impasto.Stylizer() as stylizer:
        for title, _, shown in CONTROLS:
            if title not in titles:
                continue
            for number, each in enumerate(shown, start=1):
                result = paint_one(each, sources, stylizer, size)
                keep(result.pixels, FOLDER / f"{image_name(title, number)}.webp")
                print(f"{image_name(title, number)}: {result.seconds['total']:.1f} s", flush=True)
    if HOME in titles:
        paint_home(sources, size)


def sample_images() -> dict[str, arrays.ImageArray]:
    """Return the content images, the style images and the masks by name."""
    return {
        **{name: samples.load_content(name) for name in samples.CONTENTS},
        **{name: samples.make_style(name) for name in samples.STYLES},
        **{name: controls.gray(mask) for name, mask in controls.made_masks().items()},
    }


def paint_one(
    shown: Shown, sources: dict[str, Any], stylizer: impasto.Stylizer, size: int
) -> impasto.Result:
    """Return one result of the page."""
    prepared = stylizer.prepare(
        sources[shown.content],
        [sources[style] for style in shown.styles],
        regions=[tuple(sources[part] for part in region) for region in shown.regions],
        keep=sources[shown.keep] if shown.keep else None,
        recipe=presets.make_recipe(shown.preset, size=size, **shown.settings),
    )
    *_, last = stylizer.run(prepared)
    assert isinstance(last, impasto.Finished)
    return last.result


def paint_home(sources: dict[str, Any], size: int) -> None:
    """Write the images of the home page: inputs, result, classic result, and an animation."""
    content, style = (sources[name] for name in HOME_PAIR)
    keep(content, IMAGES / "content.webp", INPUT_SIZE)
    keep(style, IMAGES / "style.webp", INPUT_SIZE)
    keep(impasto.stylize(content, style, size=size).pixels, IMAGES / "result.webp")
    classic = impasto.stylize(content, style, preset=CLASSIC, size=min(size, INPUT_SIZE))
    keep(classic.pixels, IMAGES / f"result-{CLASSIC}.webp", INPUT_SIZE)
    keep_growing(content, style, IMAGES / "growing.webp")


def keep(image: arrays.ImageArray, path: Path, size: int | None = None) -> None:
    """Write an image as WebP, reduced to ``size`` pixels on the longest side if it is larger."""
    height, width = arrays.size_of(image)
    if size is not None and size < max(height, width):
        image = arrays.resize(image, *arrays.fit(height, width, size))
    encode.to_pillow(image).save(path, quality=QUALITY, method=6)


def keep_growing(content: arrays.ImageArray, style: arrays.ImageArray, path: Path) -> None:
    """Write an animation of a run: the content image, then the image after its evaluations."""
    frames: list[arrays.ImageArray] = [content]
    with impasto.Stylizer(size=GROWING.size) as stylizer:
        for event in stylizer.paint(content, style):
            if isinstance(event, impasto.Step):
                frames.append(event.pixels)
    size = arrays.fit(*arrays.size_of(content), GROWING.size)
    chosen = np.linspace(0, len(frames) - 1, min(len(frames), GROWING.frames)).round().astype(int)
    pictures = [resized(frames[number], size) for number in chosen]
    times = [GROWING.frame_time] * (len(pictures) - 1) + [GROWING.last_time]
    pictures[0].save(
        path,
        save_all=True,
        append_images=pictures[1:],
        duration=times,
        loop=0,
        quality=GROWING.quality,
        method=6,
    )


def resized(image: arrays.ImageArray, size: tuple[int, int]) -> Image.Image:
    """Return an image of (height, width), as 8 bits."""
    return encode.to_pillow(arrays.resize(np.asarray(image, np.float32), *size))


def page(size: int) -> str:
    """Return the page, as Markdown."""
    lines = [HEAD.format(size=size)]
    for title, words, shown in CONTROLS:
        lines += [f"## {title}", "", *textwrap.wrap(words, WIDTH), ""]
        for number, each in enumerate(shown, start=1):
            lines += [*_shown_lines(title, number, each), ""]
    return "\n".join(lines).rstrip() + "\n"


HEAD = """# Gallery

Each result is shown below its inputs, with the command that paints it. The inputs are the samples
that `impasto samples DIR` writes, and masks, in which white is inside the area. `make gallery`
paints this page with `--size {size}` added to each command.
"""


def _shown_lines(title: str, number: int, shown: Shown) -> Iterator[str]:
    name = image_name(title, number)
    for each in shown.inputs:
        yield f'<img src="gallery/{each}.webp" alt="{each}" width="150">'
    yield ""
    yield f"![{title}, {number}](gallery/{name}.webp)"
    yield ""
    yield from code_block(shown.command)


def code_block(command: str) -> list[str]:
    """Return a command as an indented block of Markdown, on several lines if it is long."""
    first, *options = command.split(" --")
    lines = [f"    {first}"]
    for option in options:
        if len(lines[-1]) + len(option) > WIDTH:
            lines[-1] += " \\"
            lines.append("       ")
        lines[-1] += f" --{option}"
    return lines


if __name__ == "__main__":
    main()
