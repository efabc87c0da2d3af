"""Paint docs/gallery.md: every control, and some that go together. ``make gallery``."""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

import impasto
from impasto.pictures import encode, masks, raster, samples
from impasto.recipe import settings as recipe
from impasto.workshop import worker

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "gallery.md"
FOLDER = ROOT / "docs" / "gallery" / "controls"

SIZE = 384
"""Longest side in pixels at which everything is painted and shown."""


@dataclass(frozen=True)
class Shown:
    """One picture of the page: what it is made of, by the names of samples and masks."""

    content: str
    styles: tuple[str, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)
    regions: tuple[tuple[str, ...], ...] = ()
    keep: str = ""
    preset: str = "gram"

    @property
    def command(self) -> str:
        """The command that paints it from the samples and masks written beside it."""
        words = ["impasto stylize", *(f"{name}.png" for name in (self.content, *self.styles))]
        for region in self.regions:
            words.append("--region " + ":".join(f"{name}.png" for name in region))
        words += [f"--keep {self.keep}.png"] * bool(self.keep)
        words += [f"--preset {self.preset}"] * (self.preset != recipe.DEFAULT)
        return " ".join((*words, *recipe.as_options(self.settings)))


CONTROLS: tuple[tuple[str, str, tuple[Shown, ...]], ...] = (
    (
        "Strength",
        "One dial from the photograph to the painting, the same for every size, painting and "
        "measure.",
        tuple(Shown("astronaut", ("swirls",), {"strength": s}) for s in (0.3, 0.5, 0.7)),
    ),
    (
        "Several styles",
        "Each of the two paintings alone would be `--blend 1,0` and `--blend 0,1`.",
        tuple(
            Shown("cat", ("woodcut", "watercolour"), {"blend": shares})
            for shares in ((0.8, 0.2), (0.2, 0.8))
        ),
    ),
    (
        "Places",
        "Every mask takes its own painting; a soft edge is a soft transition. What no mask covers "
        "takes the style that is named first, or stays the photograph.",
        (
            Shown("rocket", ("swirls",), regions=(("rocket-sky", "glass"),)),
            Shown("rocket", (), regions=(("rocket-sky", "swirls"),)),
            Shown("astronaut", ("glass",), keep="astronaut-face"),
        ),
    ),
    (
        "A part of a painting",
        "A third name after a region's painting is the mask of what counts in it: here the left "
        "half.",
        (Shown("coffee", (), regions=(("everywhere", "swirls", "left"),)),),
    ),
    (
        "Strokes",
        "How large the painting is seen against the picture.",
        tuple(Shown("coffee", ("glass",), {"style_scale": (s,)}) for s in (0.5, 1.0, 2.0)),
    ),
    (
        "Colors",
        "The painting's (`style`), the photograph's under the painting's strokes (`content`), or "
        "the painting's strokes in colors like the photograph's (`match`).",
        tuple(
            Shown("coffee", ("swirls",), {"colors": colors})
            for colors in ("style", "content", "match")
        ),
    ),
    (
        "How style is measured",
        "By matched features, as is usual; by Gram matrices; with means and deviations besides; as "
        "Gaussians; by nearest neighbors.",
        tuple(
            Shown("astronaut", ("watercolour",), {"style_loss": o}, preset=recipe.DEFAULT)
            for o in recipe.STYLE_LOSSES
        ),
    ),
    (
        "Layers",
        "Shallow layers see colors and grain, deep ones shapes; a shallow content layer keeps "
        "detail.",
        (
            Shown("cat", ("glass",), {"style_layers": "block1_conv1,block2_conv1"}),
            Shown("cat", ("glass",), {"style_layers": "block3_conv1,block4_conv1"}),
            Shown("cat", ("glass",), {"content_layers": "block2_conv2=0.5,block4_conv2"}),
        ),
    ),
    (
        "Presets",
        "`impasto presets` lists and explains them.",
        tuple(
            Shown("motorcycle", ("watercolour",), preset=preset)
            for preset in recipe.PRESETS
            if preset not in (recipe.DEFAULT, "gatys", "tutorial")
        ),
    ),
    (
        "All at once",
        "Every control works with every other.",
        (
            Shown(
                "rocket",
                ("watercolour", "swirls"),
                {"blend": (0.6, 0.4), "colors": "match", "style_loss": "wasserstein"},
                regions=(("rocket-sky", "swirls"),),
            ),
            Shown(
                "astronaut",
                ("swirls",),
                {"style_scale": (1.5, 0.7), "colors": "content", "style_loss": "moments"},
                regions=(("astronaut-figure", "woodcut"),),
            ),
            Shown(
                "coffee",
                ("glass", "swirls"),
                {"style_loss": "neighbors", "style_scale": (1.5,), "strength": 0.6},
                keep="coffee-cup",
            ),
        ),
    ),
)


def ellipse(name: str, down: float, across: float, height: float, width: float) -> masks.Mask:
    """Return a soft ellipse over a photograph, all lengths as parts of its sides."""
    size = raster.fit(*raster.size_of(samples.photograph(name)), SIZE)
    rows, columns = ((np.arange(n) + 0.5) / n for n in size)
    inside = ((rows[:, None] - down) / height) ** 2 + ((columns - across) / width) ** 2 < 1
    return ndimage.gaussian_filter(inside.astype(np.float32), SIZE / 100)


def ramp(name: str, edge: float, softness: float) -> masks.Mask:
    """Return a mask of what lies above an edge, all lengths as parts of the height."""
    height, width = raster.fit(*raster.size_of(samples.photograph(name)), SIZE)
    rows = (np.arange(height) + 0.5) / height
    column = np.clip((edge - rows) / softness + 0.5, 0, 1).astype(np.float32)
    return np.tile(column[:, None], (1, width))


def made_masks() -> dict[str, masks.Mask]:
    """Return the masks of the page by name."""
    left = np.zeros((64, 64), np.float32)
    left[:, :32] = 1
    return {
        "rocket-sky": ramp("rocket", 0.62, 0.15),
        "astronaut-face": ellipse("astronaut", 0.27, 0.44, 0.22, 0.17),
        "astronaut-figure": ellipse("astronaut", 0.65, 0.45, 0.75, 0.45),
        "coffee-cup": ellipse("coffee", 0.47, 0.50, 0.42, 0.31),
        "everywhere": np.ones((64, 64), np.float32),
        "left": left,
    }


def gray(mask: masks.Mask) -> raster.Picture:
    """Return a mask as a picture."""
    return np.repeat(mask[..., None] * np.float32(255), 3, axis=2)


def main() -> None:
    """Paint everything, or the titles that are named, and write the page."""
    titles = sys.argv[1:] or [title for title, _, _ in CONTROLS]
    FOLDER.mkdir(parents=True, exist_ok=True)
    mask_pictures = {name: gray(mask) for name, mask in made_masks().items()}
    sources = {
        **{name: samples.photograph(name) for name in samples.PHOTOGRAPHS},
        **{name: samples.painting(name) for name in samples.PAINTINGS},
        **mask_pictures,
    }
    lines, stylizer = [HEAD], impasto.Stylizer()
    for title, words, shown in CONTROLS:
        if title in titles:
            _paint(title, shown, sources, stylizer)
        lines += [f"## {title}", "", words, "", *_row(title, shown), ""]
    lines += ["## The masks", "", "White is in the place.", ""]
    for name, picture in mask_pictures.items():
        encode.write(picture, FOLDER / f"{name}.png")
        lines += [f'<img src="gallery/controls/{name}.png" alt="{name}" width="180">']
    PAGE.write_text("\n".join(lines) + "\n", encoding="utf-8")


HEAD = f"""# What the artist decides

Painted by `make gallery` at {SIZE} px, from the samples that `impasto samples DIR` writes and the
masks at the end of this page. Under every picture stands its command, less `--size {SIZE}`. Most
show the classic style loss, `--preset gram`; the controls do the same to the default.
"""


def _row(title: str, shown: tuple[Shown, ...]) -> list[str]:
    lines = []
    for number, each in enumerate(shown, start=1):
        picture = f"![{title}](gallery/controls/{_name(title, number)}.jpg)"
        lines += [picture, "", f"`{each.command}`", ""]
    return lines


def _name(title: str, number: int) -> str:
    return f"{title.lower().replace(' ', '-')}-{number}"


def _paint(
    title: str, shown: tuple[Shown, ...], sources: dict[str, Any], stylizer: impasto.Stylizer
) -> None:
    for number, each in enumerate(shown, start=1):
        prepared = stylizer.prepare(
            sources[each.content],
            [sources[style] for style in each.styles],
            regions=[tuple(sources[part] for part in region) for region in each.regions],
            keep=sources[each.keep] if each.keep else None,
            recipe=recipe.make(each.preset, size=SIZE, **each.settings),
        )
        result = worker.result_of(stylizer.run(prepared))
        name = _name(title, number)
        encode.to_image(result.picture).save(FOLDER / f"{name}.jpg", quality=85, optimize=True)
        print(f"{name}: {result.seconds['total']:.1f} s", flush=True)


if __name__ == "__main__":
    main()
