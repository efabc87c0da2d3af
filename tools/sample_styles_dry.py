"""Style samples drawn with dry tools: charcoal, pastel and the engraver's burin."""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.random import Generator
from scipy import ndimage

from tools.style_painting import (
    Field,
    Layer,
    brush,
    brushed,
    carved,
    inks,
    lay,
    noise,
    over,
    plane,
    ramp,
    step,
    strokes,
)

Limb = tuple[float, float, float, float, float]
"""A piece of a tree: y, x, angle, length, width."""


def _limbs(
    y: float, x: float, angle: float, length: float, wide: float, rng: Generator
) -> Iterator[Limb]:
    """Yield the limbs of a bare tree that grows from (y, x), thick ones first."""
    if wide < 0.0026:
        return
    yield y + np.sin(angle) * length / 2, x + np.cos(angle) * length / 2, angle, length, wide
    y, x = y + np.sin(angle) * length, x + np.cos(angle) * length
    for spread in (rng.normal(-0.45, 0.15), rng.normal(0.4, 0.15), rng.normal(0, 0.2))[
        : 2 + (wide > 0.006)
    ]:
        yield from _limbs(y, x, angle + spread, length * rng.uniform(0.66, 0.86), wide * 0.62, rng)


# ------------------------------------------------------------------------- charcoal
def _storm(x: Field, y: Field, rng: Generator) -> tuple[Field, Field]:
    """Darkness (h, w) and stroke directions of a road between fields, under a stormy sky."""
    cloud = noise(x * 3, y * 5, rng, 4)
    light = np.exp(-(((x - 0.62) / 0.22) ** 2 + ((y - 0.30) / 0.13) ** 2))
    dark = 0.40 + 0.30 * cloud - 0.75 * light + 0.25 * np.clip(0.2 - y, 0, 1) / 0.2
    angle = 0.5 + 0.8 * noise(x * 2, y * 2, rng)
    hill = y - 0.43 + 0.05 * noise(x[:1] * 3, 0.3, rng, 4)
    dark = np.where(hill > 0, 0.78 + 0.12 * noise(x * 8, y * 8, rng, 2) - hill * 1.2, dark)
    field = y - 0.50 + 0.02 * noise(x[:1] * 4, 0.9, rng, 3)
    furrow = np.sin((x - 0.6) / np.maximum(y - 0.42, 0.02) * 9)
    dark = np.where(
        field > 0, 0.42 + 0.16 * furrow + 0.25 * noise(x * 6, y * 14, rng, 3) + 0.5 * field, dark
    )
    angle = np.where(field > 0, np.arctan2(y - 0.42, x - 0.6), np.where(hill > 0, 0.3, angle))
    road = (
        0.05
        + 0.42 * np.clip(y - 0.5, 0, 1)
        - np.abs(x - 0.6 + 0.5 * (y - 0.5) - 0.06 * np.sin(y * 12))
    )
    dark = np.where((field > 0) & (road > 0), 0.10 + 0.12 * noise(x * 20, y * 20, rng), dark)
    return np.clip(dark, 0, 1), angle


def _charcoal(size: int, rng: Generator) -> Field:
    """Charcoal on rough paper, rubbed and lifted: bare trees beside a road under a storm."""
    x, y = plane(size, 0.78, 1)
    tooth = noise(x * 330, y * 330, rng) + 0.5 * noise(x * 90, y * 160, rng, 3)
    dark, angle = _storm(x, y, rng)
    # The last channel is unused; the first has the charcoal.
    canvas = np.dstack([0.75 * ndimage.gaussian_filter(dark, size / 90)] * 4).astype(np.float32)
    for layer in (Layer(0.013, 0.075, 0.020, 0.9), Layer(0.0105, 0.050, 0.0075, 0.8)):
        laid = strokes(angle + rng.choice([0.0, 0.5]), layer, rng)
        tones = dark[tuple(laid[:, :2].astype(int).T)] + rng.normal(0, 0.10, len(laid))
        tips = [brush(layer.ragged, rng) for _ in range(8)]
        for n, stroke in enumerate(laid.tolist()):
            paints = np.array([[tones[n]] * 4, [tones[n] + 0.12] * 4], np.float32)
            lay(canvas, tips[n % 8], stroke, paints)
    tips = [brush(0.45, rng) for _ in range(8)]
    trees = (
        (0.80, 0.15, -1.45, 0.20, 0.030),
        (0.72, 0.33, -1.6, 0.13, 0.017),
        (0.86, 0.93, -1.75, 0.22, 0.034),
    )
    for tree in trees:
        for n, (ly, lx, turn, length, wide) in enumerate(_limbs(*tree, rng)):
            stroke = [
                ly * size,
                lx * size,
                turn,
                rng.normal(0, 1.0) / size,
                1.12 * length * size,
                1.25 * wide * size,
            ]
            lay(canvas, tips[n % 8], stroke, np.array([[0.95] * 4, [1.05] * 4], np.float32))
    coal = canvas[..., 0].astype(float)
    press = 0.55 * coal + 0.48 * step(coal + 0.20 * tooth - 0.55, 0.55)
    paper = inks("efe8da")[0] * (1 + 0.02 * tooth)[..., None]
    dust = inks("1c1a1c")[0] * (1 + 0.1 * tooth)[..., None]
    return over(paper, dust, np.clip(press, 0, 0.97))


# --------------------------------------------------------------------------- pastel
def _sticks(colors: Field, rng: Generator) -> tuple[Field, Field]:
    """Colors (n, 3) of pastel sticks: light and clear, each stroke of one stick."""
    gray = colors.mean(axis=1, keepdims=True)
    clear = gray + 1.18 * (colors - gray) + rng.normal(0, 0.05, colors.shape)
    tint = np.clip(clear + rng.normal(0.02, 0.06, (len(colors), 1)), 0, 1)
    return tint, np.clip(tint + 0.06, 0, 1)


def _poppies(x: Field, y: Field, rng: Generator) -> tuple[Field, Field]:
    """Colors and stroke directions of a poppy field before hills and a pink evening sky."""
    guide = ramp(y * 2.1 + 0.10 * noise(x * 3, y * 9, rng, 3), "6a8ad8 9aaae4 d8b4dc f8c4b8 fde0b0")
    cloud = step(noise(x * 3, y * 9, rng, 3) - 0.35, 0.4)
    guide = over(guide, ramp(y * 3, "fff0ec ffd8cc f6b0b4"), 0.8 * cloud * (y < 0.38))
    angle = 0.35 + 0.4 * noise(x * 3, y * 3, rng)
    for n, codes in enumerate(
        ("7a80c4 a49cd0 c8b0d4", "4a7a9c 6aa4a4 9cc4a8", "2c6a5c 5a9a5c a4c464")
    ):
        edge = 0.34 + 0.055 * n + 0.035 * noise(x[:1] * (2 + n), n * 3.3, rng, 3)
        tone = 0.5 + 0.4 * noise(x * 6, y * 12, rng, 2) - (y - edge) * 2
        guide = over(guide, ramp(tone, codes), step(y - edge, 0.004))
        angle = np.where(y > edge, 0.15 * n - 0.4 + 0.5 * noise(x * 4, y * 4, rng), angle)
    depth = y - 0.50
    grass = ramp(
        0.45 + 0.35 * noise(x * 16, y * 7, rng, 3) - 0.3 * depth, "12402c 2a7a3c 7ab44a d8d868"
    )
    guide = over(guide, grass, step(depth, 0.01))
    angle = np.where(depth > 0, -1.35 + 0.5 * noise(x * 5, y * 5, rng), angle)
    for _ in range(240):
        d = rng.beta(0.9, 1.2)
        px, py, reach = rng.random(), 0.52 + 0.26 * d, 0.006 + 0.024 * d
        blot = np.hypot((x - px) * 0.85, y - py) / reach + 0.25 * noise(x * 40, y * 40, rng)
        if np.min(blot) > 1:
            continue
        petals = ramp(0.5 + (y - py) / reach * 0.4, "ff8a6a f0402c c81c28 8a1430")
        if rng.random() < 0.16:
            petals = ramp(0.5 + (y - py) / reach * 0.4, "ffffff e8e0ff b8a8f0")
        guide = over(guide, petals, step(1 - blot, 0.15))
        guide = over(guide, inks("3a1438")[0], step(0.26 - blot, 0.08))
    return guide, angle


def _pastel(size: int, rng: Generator) -> Field:
    """Soft pastel on toned, toothed paper: a poppy field in the evening."""
    x, y = plane(size, 0.78, 1)
    guide, angle = _poppies(x, y, rng)
    layers = [
        Layer(0.019, 0.075, 0.026, 0.8),
        Layer(0.0125, 0.05, 0.0125, 0.8),
        Layer(0.0105, 0.032, 0.0075, 0.7),
    ]
    chalk = np.clip(brushed(guide, angle, layers, _sticks, 0.0, rng), 0, 1)
    tooth = noise(x * 340, y * 340, rng) + 0.5 * noise(x * 150, y * 210, rng, 2)
    # Where the paper is deep, the chalk misses it; the more, the farther from the bright strokes.
    miss = step(tooth + 0.5 * noise(x * 20, y * 20, rng, 2) - 0.75, 0.9)
    ground = inks("5a5470")[0] * (1 + 0.06 * tooth)[..., None]
    return over(chalk, ground, 0.6 * miss) * (1 + 0.045 * tooth)[..., None]


# ------------------------------------------------------------------------ engraving
def _ship(x: Field, y: Field, light: Field) -> tuple[Field, Field]:
    """Light (h, w) with a ship under sail, and where it is (h, w)."""
    here = np.zeros(x.shape)
    for mast, high, wide in ((0.36, 0.30, 0.075), (0.46, 0.36, 0.095), (0.565, 0.27, 0.07)):
        for n in range(3):
            top = 0.60 - high * (1 - n * 0.32)
            down = (y - top) / (0.25 * high)
            across = (x - mast - 0.012 * down) / (wide * (0.42 + 0.2 * n + 0.10 * down))
            belly = 0.16 * (1 - across**2)
            sail = (np.abs(across) < 1) & (down > 0.5 * belly) & (down < 0.9 + belly)
            light = np.where(sail, 0.95 - 0.5 * np.clip(across + 0.2, 0, 1), light)
            here = np.maximum(here, sail)
        pole = (np.abs(x - mast) < 0.003) & (y > 0.58 - high) & (y < 0.62)
        light, here = np.where(pole, 0.02, light), np.maximum(here, pole)
    u = (x - 0.46) / 0.2
    hull = (
        (y > 0.595 - 0.05 * u**2 * np.sign(np.abs(u) - 0.3))
        & (y < 0.665)
        & (np.abs(u) < 1.02 - (y - 0.6) * 4)
    )
    light = np.where(hull, 0.12 + 0.22 * ((y * 90) % 1 > 0.75), light)
    return light, np.maximum(here, hull)


def _engraving(size: int, rng: Generator) -> Field:
    """A copper plate's lines, crossed where it is dark: a ship in a swell under heavy clouds."""
    x, y = plane(size, 0.8, 1)
    far = np.hypot(x - 0.74, y - 0.20)
    billow = noise(x * 4, y * 6, rng, 4)
    light = (
        0.66 + 0.30 * billow + 0.5 * np.exp(-((far / 0.16) ** 2)) - 0.45 * np.clip(0.22 - y, 0, 1)
    )
    rays = 0.12 * np.sin(np.arctan2(y - 0.2, x - 0.74) * 30) * step(far - 0.11, 0.02)
    light = light + rays * np.exp(-far / 0.2)
    bend = 0.016 * billow + 0.02 * noise(x * 2.2, y * 2.2, rng)
    first = (y + bend) / 0.0072
    swell = y - 0.62 - 0.010 * np.sin(x * 21) - 0.006 * noise(x[:1] * 9, 0.4, rng, 2)
    depth = np.clip(swell, 0, 1)
    phase = x * (9 - 4 * depth) + 26 * np.sqrt(depth + 0.01) + noise(x * 3, y * 6, rng)
    crest = np.sin(phase * 2.3) + 0.6 * noise(x * 14, y * 40, rng, 2)
    sea = 0.42 + 0.30 * crest + 0.4 * np.exp(-(((x - 0.74) / (0.05 + 0.3 * depth)) ** 2))
    light = np.where(swell > 0, sea, light)
    first = np.where(
        swell > 0, (y + 0.012 * np.sin(phase * 2.3) * (0.3 + 2 * depth)) / 0.0074, first
    )
    shown, ship = _ship(x, y, light)
    light = np.where(ship > 0, shown, light)
    first = np.where(ship > 0, (x * 0.8 + 0.35 * y + 0.9 * (x - 0.46) ** 2) / 0.0066, first)
    second = (0.75 * x + 0.62 * y + bend) / 0.0078
    third = (0.75 * x - 0.62 * y + bend) / 0.0082
    ink = carved(first, x * 9, light * 1.02, rng)
    ink = np.maximum(ink, carved(second, y * 9, 0.36 + light * 1.15, rng))
    ink = np.maximum(ink, carved(third, y * 9, 0.66 + light * 1.2, rng))
    paper = inks("f1e7cf")[0] * (1 + 0.025 * noise(x * 150, y * 150, rng, 2))[..., None]
    tone = 0.05 * step(0.5 - light, 0.5)  # the film of ink that a wiped plate keeps
    paper = over(paper, inks("5a4630")[0], tone)
    press = 0.94 - 0.18 * step(noise(x * 300, y * 300, rng) - 0.9, 0.4)
    return over(paper, inks("201a18")[0], ink * press)


STYLES: dict[str, Callable[[int, Generator], Field]] = {
    "charcoal": _charcoal,
    "pastel": _pastel,
    "engraving": _engraving,
}
"""Generators by name, see ``tools.sample_styles.STYLES``."""
