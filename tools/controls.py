"""The results that the gallery shows, each with its inputs; ``tools.gallery`` paints them."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy import ndimage

from impasto.images import arrays, masks, samples
from impasto.recipe import presets
from impasto.recipe import settings as recipe

MASK_SIZE = 384
"""Longest side in pixels of the masks."""


@dataclass(frozen=True)
class Shown:
    """One result of the page; inputs are names of samples and masks."""

    content: str
    styles: tuple[str, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)
    regions: tuple[tuple[str, ...], ...] = ()
    keep: str = ""
    preset: str = presets.DEFAULT

    @property
    def command(self) -> str:
        """The command that paints the result from the samples and the masks of the page."""
        words = ["impasto stylize", *(f"{name}.png" for name in (self.content, *self.styles))]
        for region in self.regions:
            words.append("--region " + ":".join(f"{name}.png" for name in region))
        words += [f"--keep {self.keep}.png"] * bool(self.keep)
        words += [f"--preset {self.preset}"] * (self.preset != presets.DEFAULT)
        return " ".join((*words, *recipe.to_options(self.settings)))

    @property
    def inputs(self) -> tuple[str, ...]:
        """The names of the inputs, each once: the content image, the style images, the masks."""
        parts = (part for region in self.regions for part in reversed(region))
        named = (self.content, *self.styles, *parts, self.keep)
        return tuple(dict.fromkeys(name for name in named if name))


PAIRS = (
    ("coffee", "swirls"),
    ("astronaut", "glass"),
    ("cat", "knife"),
    ("motorcycle", "engraving"),
    ("rocket", "watercolour"),
    ("cat", "woodcut"),
    ("coffee", "batik"),
    ("motorcycle", "dots"),
    ("astronaut", "pastel"),
)
"""Content and style samples at the top of the gallery, with the default settings."""

CONTROLS: tuple[tuple[str, str, tuple[Shown, ...]], ...] = (
    (
        "Default settings",
        "No option is needed.",
        tuple(Shown(content, (style,)) for content, style in PAIRS),
    ),
    (
        "Strength",
        "`--strength` goes from 0 (the photo) to 1 (only the style). A value means about the same "
        "for every size, painting and style loss. [More about strength](strokes.md).",
        tuple(Shown("astronaut", ("swirls",), {"strength": s}) for s in (0.3, 0.5, 0.7)),
    ),
    (
        "Stroke size",
        "`--style-scale` resizes the painting before its features are computed. Larger values "
        "give larger strokes.",
        tuple(Shown("coffee", ("glass",), {"style_scale": (s,)}) for s in (0.5, 2.0)),
    ),
    (
        "Several styles",
        "`--blend` weighs the paintings. `--blend 1,0` uses only the first one. "
        "[More about several styles](styles.md).",
        tuple(
            Shown("cat", ("woodcut", "watercolour"), {"blend": shares})
            for shares in ((0.8, 0.2), (0.2, 0.8))
        ),
    ),
    (
        "Areas",
        "Each mask has its own painting. Soft edges of a mask give soft transitions. The rest of "
        "the photo takes the first painting, or stays unchanged if there is none. `--keep` leaves "
        "an area unchanged. [More about areas](areas.md).",
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
        "Colors",
        "`content` keeps the colors of the photo and changes only lightness. `match` gives the "
        "painting the mean and covariance of the photo's colors before the run. "
        "[More about colors](colors.md).",
        tuple(
            Shown("coffee", ("swirls",), {"colors": colors})
            for colors in ("style", "content", "match")
        ),
    ),
    (
        "Layers",
        "`--style-layers` selects the layers of the network whose features are matched. Shallow "
        "layers transfer colors and grain, deep ones shapes.",
        tuple(
            Shown("cat", ("glass",), {"style_layers": layers})
            for layers in (
                "block1_conv1,block2_conv1,block3_conv1",
                "block3_conv1,block4_conv1,block4_conv3",
            )
        ),
    ),
    (
        "Weights",
        "`--content-weight` adds a content loss, which keeps a face or a small subject. "
        "`--tv-weight` smooths.",
        (
            Shown("astronaut", ("knife",), {"content_weight": 0.3}),
            Shown("astronaut", ("knife",), {"tv_weight": 0.1}),
        ),
    ),
    (
        "Initial image",
        "`--init` starts from the style image or from noise instead of the photo.",
        tuple(Shown("cat", ("batik",), {"init": start}) for start in ("style", "noise")),
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
    (
        "Other style losses",
        "The default loss is `matching`. [Losses](losses.md) has their equations.",
        tuple(
            Shown("astronaut", ("watercolour",), {"style_loss": loss})
            for loss in recipe.STYLE_LOSSES
        ),
    ),
    (
        "Presets",
        "A preset is a named set of settings. `impasto presets` describes them. "
        "[Losses](losses.md) shows `--preset gatys`.",
        tuple(
            Shown("motorcycle", ("watercolour",), preset=preset)
            for preset in presets.PRESETS
            if preset not in (presets.DEFAULT, "gatys", "tutorial")
        ),
    ),
)
"""The sections of the page: title, introduction, and results."""


def ellipse(name: str, down: float, across: float, height: float, width: float) -> masks.Mask:
    """Return a soft elliptical mask; lengths are relative to the sides of the content image."""
    size = arrays.fit(*arrays.size_of(samples.load_content(name)), MASK_SIZE)
    rows, columns = ((np.arange(n) + 0.5) / n for n in size)
    inside = ((rows[:, None] - down) / height) ** 2 + ((columns - across) / width) ** 2 < 1
    return ndimage.gaussian_filter(inside.astype(np.float32), MASK_SIZE / 100)


def ramp(name: str, edge: float, softness: float) -> masks.Mask:
    """Return a mask of the part above an edge; lengths are relative to the height."""
    height, width = arrays.fit(*arrays.size_of(samples.load_content(name)), MASK_SIZE)
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


def image_name(title: str, number: int) -> str:
    """Return the file name of a result, without its ending."""
    return f"{title.lower().replace(' ', '-')}-{number}"
