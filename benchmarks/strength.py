"""Content distance of each style loss by its weight, from which the strength is calibrated.

    python -m benchmarks.strength OUT.json [--size 256]

Runs pairs with each style loss at several style weights. For each it computes the factor and the
exponent with which results are as far from the content image as those of Gram matrices: ``scale``
and ``strength_exponent`` of ``impasto.recipe.settings.STYLE_LOSSES``. The distance is the held-out
content distance.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import impasto
from benchmarks import bench, heldout
from impasto.images.formats import decode
from impasto.jobs import runner
from impasto.recipe import presets
from impasto.recipe import settings as recipe

WEIGHTS = (0.5, 2.0, 8.0, 32.0, 128.0)
"""Relative style weights, each with its measure's present scale taken out."""


def distances(options: argparse.Namespace) -> dict[str, dict[str, list[float]]]:
    """Return, by measure and pair, the content's held-out distance at every weight."""
    found: dict[str, dict[str, list[float]]] = {}
    for name, measure in recipe.STYLE_LOSSES.items():
        stylizer = impasto.Stylizer()
        found[name] = {}
        for content, style in bench.PAIRS[: options.pairs]:
            read = [
                decode.read_image(options.shared / f"{each}.jpg").pixels
                for each in (content, style)
            ]
            row = []
            for weight in WEIGHTS:
                made = presets.make_recipe(
                    style_loss=name, size=options.size, style_weight=weight / measure.scale
                )
                prepared = stylizer.prepare(*read, recipe=made)
                result = runner.last_result(stylizer.run(prepared))
                row.append(heldout.measure(read[0], read[1], result.pixels)["content_cosine"])
            found[name][f"{content} x {style}"] = row
            print(name, content, style, np.round(row, 3), flush=True)
    return found


def fit(own: NDArray[np.float64], gram: NDArray[np.float64]) -> tuple[float, float]:
    """Return (scale, exponent) such that scale · w^exponent has the distance of the Gram loss at w.

    Both are distances at WEIGHTS; a straight line through the weights of equal distance.
    """
    logs = np.log(WEIGHTS)
    inside = (gram >= own.min()) & (gram <= own.max())
    equal = np.interp(gram[inside], own, logs)
    slope, intercept = np.polyfit(logs[inside] - np.log(10), equal, 1)
    return float(np.exp(intercept) / 10), float(slope)


def main() -> None:
    """Measure, and print what belongs into the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--pairs", type=int, default=2)
    parser.add_argument("--shared", type=Path, default=bench.SHARED)
    options = parser.parse_args()
    found = distances(options)
    means = {name: np.mean(list(rows.values()), axis=0) for name, rows in found.items()}
    fitted = {name: fit(own, means["gram"]) for name, own in means.items()}
    options.out.write_text(json.dumps({"distances": found, "fitted": fitted}, indent=2))
    for name, (scale, exponent) in fitted.items():
        print(f"{name}: scale {scale:.3g}, strength_exponent {exponent:.2f}")


if __name__ == "__main__":
    main()
