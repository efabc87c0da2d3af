"""Random variation of the measures of ``impasto judge``, to judge the significance of differences.

    python -m benchmarks.spread --pairs TABLE.md --pictures A=FOLDER --pictures B=FOLDER

Cuts four overlapping crops out of each result and its content image, and compares each with the
whole style image. Prints a Markdown table; for each measure it has

- crop: the standard deviation over the crops of one result, - crop, A - B: that of the difference
of two results of the same pair with the same crops, - A - B: the difference of the whole results;
for two seeds of one recipe, √2 standard deviations,

each as the root mean square over all pairs with both results.
"""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from impasto.evaluation.judges import MEASURES, Judges
from impasto.images import arrays
from impasto.images.arrays import ImageArray
from impasto.images.formats import decode
from tools import sheet

PART = 7 / 8
"""Of both sides of a picture that a crop has."""

Figures: TypeAlias = NDArray[np.float64]
"""(two pictures, measures)"""


def crops(pictures: Sequence[ImageArray]) -> Iterator[list[ImageArray]]:
    """Yield pictures of one size cut alike, at each of the four corners."""
    height, width = arrays.size_of(pictures[0])
    tall, wide = round(PART * height), round(PART * width)
    for top in (0, height - tall):
        for left in (0, width - wide):
            yield [each[top : top + tall, left : left + wide] for each in pictures]


def judged(judges: Judges, painting: ImageArray, cut: Sequence[ImageArray]) -> Figures:
    """Return the figures of two pictures, after their photograph."""
    photograph, *pictures = cut
    named = ((str(number), picture) for number, picture in enumerate(pictures))
    found = judges.judge(photograph, painting, named)
    return np.array([[each.figures[key] for key in MEASURES] for each in found.results])


def measure(judges: Judges, pair: sheet.Pair, paths: Sequence[Path]) -> tuple[Figures, ...]:
    """Return a pair's deviations over crops, of one picture and of the difference, and that."""
    pictures = [decode.read_image(path).pixels for path in paths]
    size = arrays.size_of(pictures[0])
    whole = [arrays.resize(each, *size) for each in (sheet.read(pair.content), *pictures)]
    painting = sheet.read(pair.style)
    parts = np.stack([judged(judges, painting, cut) for cut in crops(whole)])
    first, second = judged(judges, painting, whole)
    apart = parts[:, 0] - parts[:, 1]
    return parts[:, 0].std(axis=0, ddof=1), apart.std(axis=0, ddof=1), first - second


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=Path, required=True)
    parser.add_argument("--pictures", action="append", required=True, metavar="NAME=FOLDER")
    given = parser.parse_args()
    columns = [sheet.folder_column(each) for each in given.pictures[:2]]
    judges, found = Judges(), []
    for pair in sheet.read_pairs(given.pairs):
        paths = [path for column in columns if (path := column.result(pair))]
        if len(paths) == 2:
            found.append(np.stack(measure(judges, pair, paths)))
    swings = np.sqrt(np.mean(np.square(found), axis=0))
    print(
        f"{len(found)} pairs\n\n| measure | crop | crop, A - B | A - B |\n| --- | --- | --- | --- |"
    )
    for key, row in zip(MEASURES, swings.T, strict=True):
        print(f"| {key} | {' | '.join(f'{value:.4f}' for value in row)} |")


if __name__ == "__main__":
    main()
