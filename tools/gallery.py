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
"""Photograph and painting of every row."""

CLASSIC = "gatys"
"""The preset that the first pair is painted with as well, for the README's first screen."""

SHOWN = 400
"""Longest side in pixels of the pictures in the table, whose originals are painted at 512."""


def main() -> None:
    """Paint every pair with the default settings, the first with the classic method as well."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    paint_classic()
    rows = []
    for photograph, painting in PAIRS:
        content, style = samples.load_content(photograph), samples.make_style(painting)
        result = impasto.stylize(content, style)
        generated = f"{photograph}-{painting}"
        for name, picture in (
            (photograph, content),
            (painting, style),
            (generated, result.pixels),
        ):
            keep(name, picture)
        rows.append((photograph, painting, generated))
        print(f"{generated}: {result.seconds['total']:.1f} s", flush=True)
    replace_table(rows)


def paint_classic() -> None:
    """Paint the first pair as the paper did, from noise."""
    photograph, painting = PAIRS[0]
    content, style = samples.load_content(photograph), samples.make_style(painting)
    result = impasto.stylize(content, style, preset=CLASSIC)
    keep(f"{photograph}-{painting}-{CLASSIC}", result.pixels)
    print(f"{CLASSIC}: {result.seconds['total']:.1f} s", flush=True)


def keep(name: str, picture: arrays.ImageArray) -> None:
    """Write a picture as the README shows it."""
    height, width = arrays.fit(*arrays.size_of(picture), SHOWN)
    image = encode.to_pillow(arrays.resize(picture, height, width))
    image.save(FOLDER / f"{name}.jpg", quality=85, optimize=True)


def replace_table(rows: list[tuple[str, str, str]]) -> None:
    """Write the table between its marks in the README."""
    lines = ["| content | style | generated |", "| --- | --- | --- |"]
    for row in rows:
        cells = (f'<img src="docs/gallery/{name}.jpg" alt="{name}" width="270">' for name in row)
        lines.append(f"| {' | '.join(cells)} |")
    table = "\n".join([BEGIN, "", *lines, "", END])
    text = README.read_text(encoding="utf-8")
    marked = f"{re.escape(BEGIN)}.*{re.escape(END)}"
    README.write_text(re.sub(marked, lambda _: table, text, flags=re.DOTALL), encoding="utf-8")


if __name__ == "__main__":
    main()
