"""Paint the images of docs/gallery.md and write the page. ``make gallery``."""

import sys
import textwrap
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

import impasto
from impasto.images import arrays, masks, samples
from impasto.images.formats import encode
from impasto.jobs import runner
from impasto.recipe import presets
from impasto.recipe import settings as recipe

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "gallery.md"
FOLDER = ROOT / "docs" / "gallery" / "controls"

SIZE = 384
"""Longest side in pixels of the images."""

WIDTH = 100
"""Characters of a command in one line."""


@dataclass(frozen=True)
class Shown:
    """One image of the page; inputs are names of samples and masks."""

    content: str
    styles: tuple[str, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)
    regions: tuple[tuple[str, ...], ...] = ()
    keep: str = ""
    preset: str = presets.DEFAULT

    @property
    def command(self) -> str:
        """The command that paints the image from the samples and the masks of the page."""
        words = ["impasto stylize", *(f"{name}.png" for name in (self.content, *self.styles))]
        for region in self.regions:
            words.append("--region " + ":".join(f"{name}.png" for name in region))
        words += [f"--keep {self.keep}.png"] * bool(self.keep)
        words += [f"--preset {self.preset}"] * (self.preset != presets.DEFAULT)
        return " ".join((*words, *recipe.to_options(self.settings)))


CONTROLS: tuple[tuple[str, str, tuple[Shown, ...]], ...] = (
    (
        "Strength",
        "`--strength` goes from 0 (the photo) to 1 (only the style). A value means about the same "
        "for every size, painting and style loss.",
        tuple(Shown("astronaut", ("swirls",), {"strength": s}) for s in (0.3, 0.5, 0.7)),
    ),
    (
        "Several styles",
        "`--blend` weighs the paintings. `--blend 1,0` uses only the first one.",
        tuple(
            Shown("cat", ("woodcut", "watercolour"), {"blend": shares})
            for shares in ((0.8, 0.2), (0.2, 0.8))
        ),
    ),
    (
        "Regions",
        "Each mask has its own painting. Soft edges of a mask give soft transitions. The rest of "
        "the photo takes the first painting, or stays unchanged if there is none. `--keep` leaves "
        "a region unchanged.",
        (
            Shown("rocket", ("swirls",), regions=(("rocket-sky", "glass"),)),
            Shown("rocket", (), regions=(("rocket-sky", "swirls"),)),
            Shown("astronaut", ("glass",), keep="astronaut-face"),
        ),
    ),
    (
        "A part of a painting",
        "`--region MASK:PAINTING:PAINTING_MASK` uses only the part of the painting inside the "
        "second mask, here the left half.",
        (Shown("coffee", (), regions=(("everywhere", "swirls", "left"),)),),
    ),
    (
        "Stroke size",
        "`--style-scale` resizes the painting before its features are computed. Larger values "
        "give larger strokes.",
        tuple(Shown("coffee", ("glass",), {"style_scale": (s,)}) for s in (0.5, 1.0, 2.0)),
    ),
    (
        "Colors",
        "`style` uses the colors of the painting. `content` keeps the colors of the photo and "
        "changes only lightness. `match` gives the painting the mean and covariance of the photo's "
        "colors before the run.",
        tuple(
            Shown("coffee", ("swirls",), {"colors": colors})
            for colors in ("style", "content", "match")
        ),
    ),
    (
        "Style losses",
        "`matching` is the default. [Settings](settings.md) describes each loss.",
        tuple(Shown("astronaut", ("watercolour",), {"style_loss": o}) for o in recipe.STYLE_LOSSES),
    ),
    (
        "Layers",
        "These use Gram matrices. Shallow style layers transfer colors and grain, deep ones "
        "shapes. A shallow content layer keeps detail.",
        tuple(
            Shown("cat", ("glass",), settings, preset="gram")
            for settings in (
                {"style_layers": "block1_conv1,block2_conv1"},
                {"style_layers": "block3_conv1,block4_conv1"},
                {"content_layers": "block2_conv2=0.5,block4_conv2"},
            )
        ),
    ),
    (
        "Presets",
        "`impasto presets` lists and describes them.",
        tuple(
            Shown("motorcycle", ("watercolour",), preset=preset)
            for preset in presets.PRESETS
            if preset not in (presets.DEFAULT, "gatys", "tutorial")
        ),
    ),
    (
        "Combinations",
        "All controls work together.",
        (
            Shown(
                "rocket",
                ("watercolour", "swirls"),
                {"blend": (0.6, 0.4), "colors": "match"},
                regions=(("rocket-sky", "swirls"),),
            ),
            Shown(
                "astronaut",
                ("swirls",),
                {"style_scale": (1.5, 0.7), "colors": "content"},
                regions=(("astronaut-figure", "woodcut"),),
            ),
            Shown(
                "coffee",
                ("glass", "swirls"),
                {"style_scale": (1.5,), "strength": 0.6},
                keep="coffee-cup",
            ),
        ),
    ),
)


def ellipse(name: str, down: float, across: float, height: float, width: float) -> masks.Mask:
    """Return a soft elliptical mask; lengths are relative to the sides of the content image."""
    size = arrays.fit(*arrays.size_of(samples.load_content(name)), SIZE)
    rows, columns = ((np.arange(n) + 0.5) / n for n in size)
    inside = ((rows[:, None] - down) / height) ** 2 + ((columns - across) / width) ** 2 < 1
    return ndimage.gaussian_filter(inside.astype(np.float32), SIZE / 100)


def ramp(name: str, edge: float, softness: float) -> masks.Mask:
    """Return a mask of the part above an edge; lengths are relative to the height."""
    height, width = arrays.fit(*arrays.size_of(samples.load_content(name)), SIZE)
    rows = (np.arange(height) + 0.5) / height
    column = np.clip((edge - rows) / softness + 0.5, 0, 1).astype(np.float32)
    return np.tile(column[:, None], (1, width))


def made_masks() -> dict[str, masks.Mask]:
    """Return the masks by name."""
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


def gray(mask: masks.Mask) -> arrays.ImageArray:
    """Return a mask as an RGB image."""
    return np.repeat(mask[..., None] * np.float32(255), 3, axis=2)


def main() -> None:
    """Paint all sections, or those whose titles are given, and write the page."""
    titles = sys.argv[1:] or [title for title, _, _ in CONTROLS]
    FOLDER.mkdir(parents=True, exist_ok=True)
    mask_pictures = {name: gray(mask) for name, mask in made_masks().items()}
    sources = {
        **{name: samples.load_content(name) for name in samples.CONTENTS},
        **{name: samples.make_style(name) for name in samples.STYLES},
        **mask_pictures,
    }
    lines, stylizer = [HEAD], impasto.Stylizer()
    for title, words, shown in CONTROLS:
        if title in titles:
            _paint(title, shown, sources, stylizer)
        lines += [f"## {title}", "", *textwrap.wrap(words, WIDTH), "", *_row(title, shown), ""]
    lines += ["## Masks", "", "White is inside the region.", ""]
    for name, picture in mask_pictures.items():
        encode.write_image(picture, FOLDER / f"{name}.png")
        lines += [f'<img src="gallery/controls/{name}.png" alt="{name}" width="180">']
    PAGE.write_text("\n".join(lines) + "\n", encoding="utf-8")


HEAD = f"""# Gallery

The command below each image paints it. The inputs are the samples that `impasto samples DIR` writes
and the masks at the end of this page. `make gallery` paints this page; it adds `--size {SIZE}` to
each command.
"""


def _row(title: str, shown: tuple[Shown, ...]) -> list[str]:
    lines = []
    for number, each in enumerate(shown, start=1):
        picture = f"![{title}](gallery/controls/{image_name(title, number)}.jpg)"
        lines += [picture, "", *code_block(each.command), ""]
    return lines


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


def image_name(title: str, number: int) -> str:
    """Return the file name of an image, without its ending."""
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
            recipe=presets.make_recipe(each.preset, size=SIZE, **each.settings),
        )
        result = runner.last_result(stylizer.run(prepared))
        name = image_name(title, number)
        encode.to_pillow(result.pixels).save(FOLDER / f"{name}.jpg", quality=85, optimize=True)
        print(f"{name}: {result.seconds['total']:.1f} s", flush=True)


if __name__ == "__main__":
    main()
