"""Paint a list of pairs with several recipes, judge the pictures, lay all out. ``make sheet``.

    python -m tools.sheet OUT [--pairs TABLE.md] [--size 384]
        [--recipe default] [--recipe "strong: default strength=0.7"] [--pictures old=FOLDER]

Paints OUT/<recipe>/<photograph>-<painting>.png by `impasto.stylize`, one after the other, or takes
pictures of such names, of any format, from folders; judges them; and writes

- OUT/sheet-1.jpg and on: a row for every pair, its photograph, its painting, and a picture of every
  column, with its figures and the nearest of them marked;
- OUT/sheet.md: means, on how many pairs a column is nearer than the first, and every figure;
- OUT/judged.json: all that the judges said.

It goes on where it stopped: what is painted and judged is not done again. A folder's name has a
hash of all settings in it, so that a changed recipe is another column; changed code is not seen,
for which the old pictures are named with --pictures.
"""

import argparse
import hashlib
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from PIL import Image, ImageDraw, ImageFont

import impasto
from impasto import files
from impasto.errors import ImpastoError, InputError
from impasto.evaluation.judges import MEASURES, SIZE, Judges
from impasto.images import arrays, load, samples
from impasto.images.arrays import ImageArray
from impasto.images.formats import decode, encode
from impasto.recipe import presets
from tools.gallery import PAIRS

SAMPLE = "sample:"
"""How the names of samples begin in a table of pairs."""

CELL, ROWS = 300, 8
"""Longest side of a picture on the sheet in pixels, and pairs on one page."""

LINE = 15
"""Pixels of a line of words."""

ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".tif")
"""Of pictures that are taken from a folder; the first that is there."""

BESIDE = ("photograph", "painting")
"""What stands beside the pictures of every pair."""

Figures: TypeAlias = Mapping[str, float]
"""Distances by the name of the measure."""

SHORT = {
    "local_lite0": "local L",
    "back_lite0": "back L",
    "global_lite0": "global L",
    "local_vgg19": "local V",
    "back_vgg19": "back V",
    "global_vgg19": "global V",
    "palette_excess": "foreign",
    "palette_distance": "palette",
    "self_similarity": "struct.",
    "edge_distance": "edges",
}
"""The measures under a picture: L is EfficientNet-Lite0, V is VGG19."""


@dataclass(frozen=True)
class Pair:
    """A photograph and a painting: paths, or samples by name."""

    photograph: str
    painting: str
    watch: str = ""
    """what to look at"""

    @property
    def name(self) -> str:
        """What its pictures are called."""
        return "-".join(
            Path(each.removeprefix(SAMPLE)).stem for each in (self.photograph, self.painting)
        )


SAMPLES = tuple(
    Pair(f"{SAMPLE}{photograph}", f"{SAMPLE}{painting}") for photograph, painting in PAIRS
)
"""The pairs of the gallery."""


class Column(NamedTuple):
    """Pictures of all pairs: how they are called, and how one is come by, if it can be."""

    label: str
    picture: Callable[[Pair], Path | None]


# --- pairs ----------------------------------------------------------------------------------


def read_pairs(path: Path) -> list[Pair]:
    """Read a table in Markdown: photograph, painting, and what to watch.

    Names without a folder lie beside the table. Raises InputError where there is no pair in it.
    """
    pairs = []
    for line in path.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        is_row = line.lstrip().startswith("|") and len(cells) >= 2
        if is_row and not re.fullmatch(r":?-+:?", cells[0]) and cells[0] != "photograph":
            pairs.append(Pair(*(_beside(path, cell) for cell in cells[:2]), *cells[2:3]))
    if not pairs:
        raise InputError(f"{files.display_path(path)} has no line | photograph | painting |")
    return pairs


def _beside(table: Path, name: str) -> str:
    return name if name.startswith(SAMPLE) else str(table.parent / name)


def read(name: str) -> ImageArray:
    """Read a picture or make a sample. Raises ImageError, or InputError for no such sample."""
    if not name.startswith(SAMPLE):
        return decode.read_image(name).pixels
    sample = name.removeprefix(SAMPLE)
    known = sample in samples.CONTENTS
    return samples.load_content(sample) if known else samples.make_style(sample)


# --- columns --------------------------------------------------------------------------------


def parse_recipe(text: str, size: int) -> tuple[str, str, dict[str, str]]:
    """Cut up ``[LABEL:] [PRESET] [SETTING=VALUE …]`` into label, preset and settings.

    Raises SettingError, as the recipe does, for a preset or a setting that there is not.
    """
    label, colon, words = text.partition(":")
    parts = (words if colon else text).split()
    preset = presets.DEFAULT if not parts or "=" in parts[0] else parts.pop(0)
    settings = {"size": str(size), **dict(part.partition("=")[::2] for part in parts)}
    presets.make_recipe(preset, presets.available_presets(), **settings)
    return (label if colon else text).strip(), preset, settings


def painted(out: Path, text: str, size: int) -> Column:
    """Return the column of a recipe, whose pictures are painted where they are missing."""
    label, preset, settings = parse_recipe(text, size)
    whole = presets.make_recipe(preset, presets.available_presets(), **settings)
    digest = hashlib.sha256(json.dumps(asdict(whole), default=str).encode()).hexdigest()
    slug = re.sub(r"[^A-Za-z0-9.=]+", "-", label)
    folder = out / f"{slug}-{digest[:8]}"

    def picture(pair: Pair) -> Path:
        path = folder / f"{pair.name}.png"
        if not path.is_file():
            folder.mkdir(parents=True, exist_ok=True)
            chosen: dict[str, Any] = {"preset": preset, **settings}
            result = impasto.stylize(read(pair.photograph), read(pair.painting), **chosen)
            encode.write_image(result.pixels, path)
            print(f"{path}: {result.seconds['total']:.1f} s", flush=True)
        return path

    return Column(label, picture)


def taken(text: str) -> Column:
    """Return the column of NAME=FOLDER, of pictures that are there already."""
    label, _, name = text.partition("=")
    folder = Path(name)
    if not (label and name and folder.is_dir()):
        raise InputError(f"{text!r}: expected NAME=FOLDER, a folder that is there")

    def picture(pair: Pair) -> Path | None:
        paths = (folder / f"{pair.name}{ending}" for ending in ENDINGS)
        return next((path for path in paths if path.is_file()), None)

    return Column(label, picture)


# --- judging --------------------------------------------------------------------------------


class Book:
    """What the judges have said so far, in a file, by pair and by the pictures' SHA-256."""

    def __init__(self, path: Path, size: int) -> None:
        """Read the file if it is there."""
        self._path, self._size = path, size
        self._said: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.is_file() else {}
        self._judges: Judges | None = None

    def figures(self, pair: Pair, pictures: Mapping[str, Path]) -> dict[str, Figures]:
        """Return the figures of every picture of a pair by its label, and of what is BESIDE."""
        hashes = {label: load.hash_of_file(path) for label, path in pictures.items()}
        said = self._said.setdefault(f"{pair.name} at {self._size} px", {})
        missing = [label for label in pictures if hashes[label] not in said]
        if missing or not said.keys() >= set(BESIDE):
            said.update(self._judge(pair, {hashes[label]: pictures[label] for label in missing}))
            files.write_text(json.dumps(self._said, indent=1), self._path)
        wanted = {**{each: each for each in BESIDE}, **hashes}
        return {label: said[key]["figures"] for label, key in wanted.items()}

    def _judge(self, pair: Pair, pictures: Mapping[str, Path]) -> dict[str, Any]:
        self._judges = self._judges or Judges()
        named = ((key, decode.read_image(path).pixels) for key, path in pictures.items())
        photograph, painting = read(pair.photograph), read(pair.painting)
        judged = self._judges.judge(photograph, painting, named, self._size).to_dict()
        return {
            **{each: judged[each] for each in BESIDE},
            **{each["name"]: each for each in judged["pictures"]},
        }


# --- the sheet ------------------------------------------------------------------------------


class Row(NamedTuple):
    """A pair with its pictures and their figures by column."""

    pair: Pair
    pictures: Mapping[str, Path]
    figures: Mapping[str, Figures]


def pages(rows: Sequence[Row], labels: Sequence[str]) -> Iterator[Image.Image]:
    """Yield the pages of the sheet, each of ROWS pairs."""
    for first in range(0, len(rows), ROWS):
        strips = [_strip(row, labels) for row in rows[first : first + ROWS]]
        page = Image.new("RGB", (strips[0].width, sum(strip.height for strip in strips)), "white")
        top = 0
        for strip in strips:
            page.paste(strip, (0, top))
            top += strip.height
        yield page


def _strip(row: Row, labels: Sequence[str]) -> Image.Image:
    """Lay a pair out from left to right: photograph, painting, a picture of every column."""
    beside = zip(BESIDE, (row.pair.photograph, row.pair.painting), strict=True)
    shown = {name: _small(read(source)) for name, source in beside}
    shown |= {label: _small(decode.read_image(path).pixels) for label, path in row.pictures.items()}
    columns = (*BESIDE, *labels)
    below = LINE * 2 + max(image.height for image in shown.values()) + 4
    height = below + LINE * -(-len(SHORT) // 2) + 12
    strip = Image.new("RGB", ((CELL + 8) * len(columns), height), "white")
    draw = ImageDraw.Draw(strip)
    font = ImageFont.load_default(LINE - 3)
    draw.text((4, 2), f"{row.pair.name}   {row.pair.watch}", "black", font)
    for number, label in enumerate(columns):
        left = number * (CELL + 8) + 4
        draw.text((left, LINE), label, "gray", font)
        if label in shown:
            strip.paste(shown[label], (left, LINE * 2))
        for place, (text, best) in enumerate(_lines(row, label)):
            at = (left + place % 2 * CELL // 2, below + place // 2 * LINE)
            draw.text(at, text, "#b00000" if best else "black", font)
    return strip


def _small(picture: ImageArray) -> Image.Image:
    height, width = arrays.fit(*arrays.size_of(picture), CELL)
    return encode.to_pillow(arrays.resize(picture, height, width))


def _lines(row: Row, label: str) -> list[tuple[str, bool]]:
    """Return the figures under a picture, and whether each is the nearest of the columns."""
    if label not in row.figures:
        return []
    lines = []
    for key, short in SHORT.items():
        value = row.figures[label][key]
        others = [figures[key] for name, figures in row.figures.items() if name not in BESIDE]
        best = label not in BESIDE and len(others) > 1 and value == min(others)
        lines.append((f"{short} {value:.3f}", best))
    return lines


def summary(rows: Sequence[Row], labels: Sequence[str]) -> str:
    """Return the page of figures in Markdown."""
    whole = [row for row in rows if set(labels) <= row.figures.keys()]
    columns = (*BESIDE, *labels)
    text = [
        "# Sheet",
        "",
        f"{len(whole)} of {len(rows)} pairs have a picture in every column; these are their means. "
        "Smaller is nearer; in brackets, on how many pairs it is nearer than the first column.",
        "",
        *_table("measure", columns, (_means(key, whole, columns, labels) for key in MEASURES)),
    ]
    for key, measure in MEASURES.items():
        text += ["", f"## {measure.about}", ""]
        text += _table("pair", columns, (_of_pair(row, key, columns) for row in rows))
    return "\n".join(text) + "\n"


def _table(first: str, columns: Iterable[str], rows: Iterable[Sequence[str]]) -> list[str]:
    head = [first, *columns]
    lines = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(line)} |" for line in lines]


def _means(
    key: str, rows: Sequence[Row], columns: Sequence[str], labels: Sequence[str]
) -> list[str]:
    cells = [MEASURES[key].about]
    for label in columns:
        values = [row.figures[label][key] for row in rows]
        nearer = sum(
            value < row.figures[labels[0]][key] for value, row in zip(values, rows, strict=True)
        )
        counted = f" ({nearer})" if label in labels[1:] else ""
        cells.append(f"{np.mean(values):.3f}{counted}" if values else "")
    return cells


def _of_pair(row: Row, key: str, columns: Sequence[str]) -> list[str]:
    known = row.figures
    return [
        row.pair.name,
        *(f"{known[each][key]:.3f}" if each in known else "" for each in columns),
    ]


# --- the whole ------------------------------------------------------------------------------


def run(out: Path, pairs: Sequence[Pair], columns: Sequence[Column], size: int) -> list[str]:
    """Paint, judge and write everything; return a line for every picture that failed.

    Raises InputError for two columns of one name.
    """
    labels = [column.label for column in columns]
    _check_labels(labels)
    book = Book(out / "judged.json", size)
    rows, failures = [], []
    for pair in pairs:
        try:
            found = {column.label: column.picture(pair) for column in columns}
            pictures = {label: path for label, path in found.items() if path}
            if pictures:
                rows.append(Row(pair, pictures, book.figures(pair, pictures)))
                print(f"{pair.name}: judged", flush=True)
        except ImpastoError as error:
            failures.append(f"{pair.name}: {error}")
    for number, page in enumerate(pages(rows, labels), 1):
        page.save(out / f"sheet-{number}.jpg", quality=90)
    if rows:
        files.write_text(summary(rows, labels), out / "sheet.md")
    return failures


def _check_labels(labels: Sequence[str]) -> None:
    for label in labels:
        if label in BESIDE or labels.count(label) > 1:
            raise InputError(f"two columns are called {label!r}: give one of them another name")


def main() -> None:
    """Read the words, do the work, say what failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--pairs", type=Path, help="a table in Markdown (default the samples)")
    parser.add_argument("--size", type=int, default=SIZE, help="longest side in px to paint at")
    parser.add_argument("--judged-at", type=int, default=SIZE, help="longest side in px")
    parser.add_argument("--recipe", action="append", default=[], metavar="[LABEL:] RECIPE")
    parser.add_argument("--pictures", action="append", default=[], metavar="NAME=FOLDER")
    parser.add_argument("--only", default="", help="pairs whose name has this in it")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    try:
        pairs = read_pairs(given.pairs) if given.pairs else SAMPLES
        columns = [taken(each) for each in given.pictures]
        wanted = given.recipe or [presets.DEFAULT] * (not columns)
        columns += [painted(given.out, each, given.size) for each in wanted]
        chosen = [pair for pair in pairs if given.only in pair.name]
        failures = run(given.out, chosen, columns, given.judged_at)
    except ImpastoError as error:
        sys.exit(str(error))
    if failures:
        sys.exit("\n".join(failures))


if __name__ == "__main__":
    main()
