"""Plot the effects of strength for docs/strength.md. ``make docs``."""

from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from impasto.recipe.strength import strength_effects

PLOT = Path(__file__).parents[1] / "docs" / "strength.svg"

PANELS = (
    ("Factors on the weights", ("content_weight", "style_weight", "tv_weight")),
    (
        "Fractions, with matching",
        (
            "style_fraction",
            "carry_fraction",
            "query_mix",
            "start_mix",
            "vote_fraction",
        ),
    ),
)
"""Titles of the panels, and the fields that each plots."""

STYLES = {"tv_weight": "--", "carry_fraction": "--"}
"""Line styles of fields that equal another one."""


def plot() -> Figure:
    """Return the fields of ``StrengthEffects`` by strength."""
    figure = Figure(figsize=(9, 3.4), layout="constrained")
    strengths = np.linspace(0, 1, 101)
    effects = [strength_effects(float(each)) for each in strengths]
    panels = figure.subplots(1, len(PANELS), sharey=True)
    for panel, (title, names) in zip(panels, PANELS, strict=True):
        for name in names:
            values = [getattr(each, name) for each in effects]
            panel.plot(strengths, values, STYLES.get(name, "-"), label=name)
        panel.set(title=title, xlabel="strength", xlim=(0, 1), ylim=(0, 1.05))
        panel.grid(alpha=0.3)
        panel.legend(loc="lower right" if "Fractions" in title else "lower center")
    return figure


def main() -> None:
    """Write the plot; the same bytes each time."""
    with matplotlib.rc_context({"svg.hashsalt": "impasto", "svg.fonttype": "none"}):
        plot().savefig(PLOT, metadata={"Date": None})


if __name__ == "__main__":
    main()
    print(PLOT)
