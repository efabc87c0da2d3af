"""Paint the images of the README from the samples, and write its table. ``make gallery``."""

import re
from pathlib import Path

import impasto
from impasto.images import arrays, samples
from impasto.images.formats import encode

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "gallery"
README = ROOT / "README.md"
BEGIN, END = "<!-- gallery -->", "<!-- /gallery -->"

PAIRS = (
    ("coffee", "swirls"),
    ("astronaut", "glass"),
    ("cat", "woodcut"),
    ("motorcycle", "dots"),
    ("rocket", "watercolour"),
)
"""Content and style sample of each row."""

CLASSIC = "gatys"
"""The preset for a second result of the first pair, at the top of the README."""

SHOWN = 400
"""Longest side in pixels of the images in the table; the originals have 512."""


def main() -> None:
    """Paint every pair with the default settings, the first with the classic method as well."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    paint_classic()
    rows = []
    for content_name, style_name in PAIRS:
        content, style = samples.load_content(content_name), samples.make_style(style_name)
        result = impasto.stylize(content, style)
        generated = f"{content_name}-{style_name}"
        for name, image in (
            (content_name, content),
            (style_name, style),
            (generated, result.pixels),
        ):
            keep(name, image)
        rows.append((content_name, style_name, generated))
        print(f"{generated}: {result.seconds['total']:.1f} s", flush=True)
    replace_table(rows)


def paint_classic() -> None:
    """Paint the first pair with the settings of the paper."""
    content_name, style_name = PAIRS[0]
    content, style = samples.load_content(content_name), samples.make_style(style_name)
    result = impasto.stylize(content, style, preset=CLASSIC)
    keep(f"{content_name}-{style_name}-{CLASSIC}", result.pixels)
    print(f"{CLASSIC}: {result.seconds['total']:.1f} s", flush=True)


def keep(name: str, image: arrays.ImageArray) -> None:
    """Write an image in the size of the README."""
    height, width = arrays.fit(*arrays.size_of(image), SHOWN)
    shown = encode.to_pillow(arrays.resize(image, height, width))
    shown.save(FOLDER / f"{name}.jpg", quality=85, optimize=True)


def replace_table(rows: list[tuple[str, str, str]]) -> None:
    """Write the table between its markers in the README."""
    lines = ["| content image | style image | result |", "| --- | --- | --- |"]
    for row in rows:
        cells = (f'<img src="docs/gallery/{name}.jpg" alt="{name}" width="270">' for name in row)
        lines.append(f"| {' | '.join(cells)} |")
    table = "\n".join([BEGIN, "", *lines, "", END])
    text = README.read_text(encoding="utf-8")
    marked = f"{re.escape(BEGIN)}.*{re.escape(END)}"
    README.write_text(re.sub(marked, lambda _: table, text, flags=re.DOTALL), encoding="utf-8")


if __name__ == "__main__":
    main()
