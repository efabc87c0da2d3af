"""Paint a list of pairs with several recipes, rate the results, and compare them on a sheet.

    python -m tools.sheet OUT [--pairs TABLE.md] [--size 384]
        [--recipe default] [--recipe "strong: default strength=0.7"] [--pictures old=FOLDER]

``make sheet`` runs it. It paints OUT/<recipe>/<content>-<style>.png by `impasto.stylize`, or uses
existing results with such names, of any format, from folders. It rates them, and writes

- OUT/sheet-1.jpg, sheet-2.jpg, …: a row for each pair with content image, style image, and the
  result of each column with its distances, the smallest in red;
- OUT/sheet.md: means, on how many pairs a column is nearer than the first, and each distance;
- OUT/judged.json: all distances.

It resumes after an interruption: existing results and distances are used again. The name of a
folder has a hash of all settings, so a changed recipe is another column. A change of the code is
not detected: compare with earlier results by --pictures.
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
from tools.controls import PAIRS

SAMPLE = "sample:"
"""Prefix of the names of samples in a table of pairs."""

CELL, ROWS = 300, 8
"""Longest side of an image on the sheet in pixels, and pairs on one page."""

LINE = 15
"""Height of a line of text in pixels."""

ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".tif")
"""Extensions of results in a folder; the first that exists is used."""

INPUTS = ("content", "style")
"""The inputs of each pair, which the sheet shows before the results."""

FORMER_NAMES = {
    "photograph": "content",
    "painting": "style",
    "back_lite0": "coverage_lite0",
    "back_vgg19": "coverage_vgg19",
}
"""Former names in judged.json, which is still read."""

Figures: TypeAlias = Mapping[str, float]
"""Distances by the name of the measure."""

SHORT = {
    "local_lite0": "local L",
    "coverage_lite0": "cover. L",
    "global_lite0": "global L",
    "local_vgg19": "local V",
    "coverage_vgg19": "cover. V",
    "global_vgg19": "global V",
    "palette_excess": "foreign",
    "palette_distance": "palette",
    "self_similarity": "struct.",
    "edge_distance": "edges",
}
"""Labels of the measures under a result: L is EfficientNet-Lite0, V is VGG19."""


@dataclass(frozen=True)
class Pair:
    """A content image and a style image: paths, or samples by name."""

    content: str
    style: str
    note: str = ""
    """what to compare"""

    @property
    def name(self) -> str:
        """Return the name of its results."""
        return "-".join(Path(each.removeprefix(SAMPLE)).stem for each in (self.content, self.style))


SAMPLES = tuple(Pair(f"{SAMPLE}{content}", f"{SAMPLE}{style}") for content, style in PAIRS)
"""The pairs of the gallery."""


class Column(NamedTuple):
    """The results of all pairs: a label, and a function that returns the path of one, if any."""

    label: str
    result: Callable[[Pair], Path | None]


# --- pairs ----------------------------------------------------------------------------------


HEADINGS = ("content", "photograph")
"""Headings of the first column of a table of pairs."""


def read_pairs(path: Path) -> list[Pair]:
    """Read a table in Markdown: content image, style image, and what to compare.

    Paths are relative to the table. Raises InputError for a table without pairs.
    """
    pairs = []
    for line in path.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        is_row = line.lstrip().startswith("|") and len(cells) >= 2
        if is_row and not re.fullmatch(r":?-+:?", cells[0]) and cells[0] not in HEADINGS:
            pairs.append(Pair(*(_beside(path, cell) for cell in cells[:2]), *cells[2:3]))
    if not pairs:
        raise InputError(f"{files.display_path(path)} has no line | content | style |")
    return pairs


def _beside(table: Path, name: str) -> str:
    return name if name.startswith(SAMPLE) else str(table.parent / name)


def read(name: str) -> ImageArray:
    """Read an image or make a sample. Raises ImageError, or InputError for an unknown sample."""
    if not name.startswith(SAMPLE):
        return decode.read_image(name).pixels
    sample = name.removeprefix(SAMPLE)
    known = sample in samples.CONTENTS
    return samples.load_content(sample) if known else samples.make_style(sample)


# --- columns --------------------------------------------------------------------------------


def parse_recipe(text: str, size: int) -> tuple[str, str, dict[str, str]]:
    """Parse ``[LABEL:] [PRESET] [SETTING=VALUE …]`` into label, preset and settings.

    Raises SettingError for an unknown preset or setting.
    """
    label, colon, words = text.partition(":")
    parts = (words if colon else text).split()
    preset = presets.DEFAULT if not parts or "=" in parts[0] else parts.pop(0)
    settings = {"size": str(size), **dict(part.partition("=")[::2] for part in parts)}
    presets.make_recipe(preset, presets.available_presets(), **settings)
    return (label if colon else text).strip(), preset, settings


def recipe_column(out: Path, text: str, size: int) -> Column:
    """Return the column of a recipe; missing results are painted."""
    label, preset, settings = parse_recipe(text, size)
    whole = presets.make_recipe(preset, presets.available_presets(), **settings)
    digest = hashlib.sha256(json.dumps(asdict(whole), default=str).encode()).hexdigest()
    slug = re.sub(r"[^A-Za-z0-9.=]+", "-", label)
    folder = out / f"{slug}-{digest[:8]}"

    def paint(pair: Pair) -> Path:
        path = folder / f"{pair.name}.png"
        if not path.is_file():
            folder.mkdir(parents=True, exist_ok=True)
            chosen: dict[str, Any] = {"preset": preset, **settings}
            result = impasto.stylize(read(pair.content), read(pair.style), **chosen)
            encode.write_image(result.pixels, path)
            print(f"{path}: {result.seconds['total']:.1f} s", flush=True)
        return path

    return Column(label, paint)


def folder_column(text: str) -> Column:
    """Return the column of NAME=FOLDER, a folder of existing results."""
    label, _, name = text.partition("=")
    folder = Path(name)
    if not (label and name and folder.is_dir()):
        raise InputError(f"{text!r}: expected NAME=FOLDER, an existing folder")

    def find(pair: Pair) -> Path | None:
        paths = (folder / f"{pair.name}{ending}" for ending in ENDINGS)
        return next((path for path in paths if path.is_file()), None)

    return Column(label, find)


# --- distances ------------------------------------------------------------------------------


class DistanceCache:
    """Distances in a file, by pair and by the SHA-256 of each result."""

    def __init__(self, path: Path, size: int) -> None:
        """Read the file if it exists."""
        self._path, self._size = path, size
        self._cached: dict[str, Any] = {}
        if path.is_file():
            self._cached = json.loads(path.read_text("utf-8"), object_hook=_with_current_names)
        self._judges: Judges | None = None

    def figures(self, pair: Pair, results: Mapping[str, Path]) -> dict[str, Figures]:
        """Return the distances of the results of a pair by label, and those of its inputs."""
        hashes = {label: load.hash_of_file(path) for label, path in results.items()}
        cached = self._cached.setdefault(f"{pair.name} at {self._size} px", {})
        missing = [label for label in results if hashes[label] not in cached]
        if missing or not cached.keys() >= set(INPUTS):
            cached.update(self._judge(pair, {hashes[label]: results[label] for label in missing}))
            files.write_text(json.dumps(self._cached, indent=1), self._path)
        keys = {**{each: each for each in INPUTS}, **hashes}
        return {label: cached[key]["figures"] for label, key in keys.items()}

    def _judge(self, pair: Pair, results: Mapping[str, Path]) -> dict[str, Any]:
        self._judges = self._judges or Judges()
        named = ((key, decode.read_image(path).pixels) for key, path in results.items())
        inputs = read(pair.content), read(pair.style)
        judgment = self._judges.judge(*inputs, named, self._size).to_dict()
        return {
            **{each: judgment[each] for each in INPUTS},
            **{each["name"]: each for each in judgment["results"]},
        }


def _with_current_names(stored: dict[str, Any]) -> dict[str, Any]:
    """Return an object of the file with former names replaced."""
    return {FORMER_NAMES.get(name, name): value for name, value in stored.items()}


# --- the sheet ------------------------------------------------------------------------------


class Row(NamedTuple):
    """A pair with its results and their distances by column."""

    pair: Pair
    results: Mapping[str, Path]
    figures: Mapping[str, Figures]


def pages(rows: Sequence[Row], labels: Sequence[str]) -> Iterator[Image.Image]:
    """Yield the pages of the sheet, with ROWS pairs each."""
    for first in range(0, len(rows), ROWS):
        strips = [_strip(row, labels) for row in rows[first : first + ROWS]]
        page = Image.new("RGB", (strips[0].width, sum(strip.height for strip in strips)), "white")
        top = 0
        for strip in strips:
            page.paste(strip, (0, top))
            top += strip.height
        yield page


def _strip(row: Row, labels: Sequence[str]) -> Image.Image:
    """Return the strip of a pair: content image, style image, and the result of each column."""
    inputs = zip(INPUTS, (row.pair.content, row.pair.style), strict=True)
    panels = {name: _small(read(source)) for name, source in inputs}
    panels |= {label: _small(decode.read_image(path).pixels) for label, path in row.results.items()}
    columns = (*INPUTS, *labels)
    below = LINE * 2 + max(image.height for image in panels.values()) + 4
    height = below + LINE * -(-len(SHORT) // 2) + 12
    strip = Image.new("RGB", ((CELL + 8) * len(columns), height), "white")
    draw = ImageDraw.Draw(strip)
    font = ImageFont.load_default(LINE - 3)
    draw.text((4, 2), f"{row.pair.name}   {row.pair.note}", "black", font)
    for number, label in enumerate(columns):
        left = number * (CELL + 8) + 4
        draw.text((left, LINE), label, "gray", font)
        if label in panels:
            strip.paste(panels[label], (left, LINE * 2))
        for place, (text, best) in enumerate(_lines(row, label)):
            at = (left + place % 2 * CELL // 2, below + place // 2 * LINE)
            draw.text(at, text, "#b00000" if best else "black", font)
    return strip


def _small(image: ImageArray) -> Image.Image:
    height, width = arrays.fit(*arrays.size_of(image), CELL)
    return encode.to_pillow(arrays.resize(image, height, width))


def _lines(row: Row, label: str) -> list[tuple[str, bool]]:
    """Return the distances under a result, and whether each is the smallest of the columns."""
    if label not in row.figures:
        return []
    lines = []
    for key, short in SHORT.items():
        value = row.figures[label][key]
        others = [figures[key] for name, figures in row.figures.items() if name not in INPUTS]
        best = label not in INPUTS and len(others) > 1 and value == min(others)
        lines.append((f"{short} {value:.3f}", best))
    return lines


def summary(rows: Sequence[Row], labels: Sequence[str]) -> str:
    """Return the page of distances in Markdown."""
    whole = [row for row in rows if set(labels) <= row.figures.keys()]
    columns = (*INPUTS, *labels)
    text = [
        "# Sheet",
        "",
        f"{len(whole)} of {len(rows)} pairs have a result in each column; these are their means. "
        "Smaller is nearer; in parentheses: on how many pairs it is nearer than the first column.",
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


# --- command --------------------------------------------------------------------------------


def run(out: Path, pairs: Sequence[Pair], columns: Sequence[Column], size: int) -> list[str]:
    """Paint, rate and write everything; return a line for each pair that failed.

    Raises InputError for two columns with the same label.
    """
    labels = [column.label for column in columns]
    _check_labels(labels)
    cache = DistanceCache(out / "judged.json", size)
    rows, failures = [], []
    for pair in pairs:
        try:
            paths = {column.label: column.result(pair) for column in columns}
            results = {label: path for label, path in paths.items() if path}
            if results:
                rows.append(Row(pair, results, cache.figures(pair, results)))
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
        if label in INPUTS or labels.count(label) > 1:
            raise InputError(f"two columns have the label {label!r}: give one of them another name")


def main() -> None:
    """Parse the arguments, run, and print errors."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--pairs", type=Path, help="a table in Markdown (default the samples)")
    parser.add_argument("--size", type=int, default=SIZE, help="longest side in px to paint at")
    parser.add_argument("--judged-at", type=int, default=SIZE, help="longest side in px")
    parser.add_argument("--recipe", action="append", default=[], metavar="[LABEL:] RECIPE")
    parser.add_argument("--pictures", action="append", default=[], metavar="NAME=FOLDER")
    parser.add_argument("--only", default="", help="only pairs with this text in their name")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    try:
        pairs = read_pairs(args.pairs) if args.pairs else SAMPLES
        columns = [folder_column(each) for each in args.pictures]
        recipes = args.recipe or [presets.DEFAULT] * (not columns)
        columns += [recipe_column(args.out, each, args.size) for each in recipes]
        chosen = [pair for pair in pairs if args.only in pair.name]
        failures = run(args.out, chosen, columns, args.judged_at)
    except ImpastoError as error:
        sys.exit(str(error))
    if failures:
        sys.exit("\n".join(failures))


if __name__ == "__main__":
    main()
