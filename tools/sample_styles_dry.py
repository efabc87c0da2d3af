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
Tones = tuple[Field, Field]
"""Light (h, w) from 0 to 1, and the phase (h, w) of the lines that the burin cuts there."""

PITCH = 0.0062
"""The distance of lines."""

WATERLINE, KEEL = 0.655, 0.43
"""Where the ship meets the sea, and its middle."""


def _burin(phase: Field, along: Field, light: Field, rng: Generator) -> Field:
    """Ink (h, w) of lines that swell where it is dark; only a little by chance, unlike `carved`."""
    line = np.floor(phase)
    swell = noise(along, line * 5.3, rng)
    return step(np.abs(2 * (phase - line) - 1) - light - 0.1 * swell, 0.14)


def _clouds(tones: Tones, x: Field, y: Field, rng: Generator) -> Tones:
    """The tones with heaps of clouds, lit from the right, with arcs across each billow."""
    light, phase = tones
    heaps = ((0.10, 0.34, 0.16), (0.30, 0.20, 0.10), (0.92, 0.40, 0.13), (0.70, 0.10, 0.07))
    ragged = 0.012 * noise(x * 12, y * 2, rng, 2)
    for cx, cy, reach in heaps:
        spots = rng.normal([cx, cy], [0.8 * reach, 0.35 * reach], (9, 2))
        for px, py in spots[np.argsort(spots[:, 1])]:
            radius = reach * rng.uniform(0.35, 0.6)
            dx, dy = (x - px) / radius, (y - py) / (0.8 * radius)
            far = np.hypot(dx, dy) + 0.05 * noise(x * 16, y * 16, rng)
            billow = (far < 1) & (y < cy + 0.3 * reach + ragged)
            shade = 0.74 + 0.4 * (0.7 * dx - 0.7 * dy) * np.clip(far, 0, 1)
            light = np.where(billow, np.clip(shade, 0.3, 1.2), light)
            arcs = np.hypot(dx + 0.3, 0.8 * dy - 0.9) * radius / PITCH
            phase = np.where(billow, arcs, phase)
    return light, phase


def _sea(tones: Tones, x: Field, y: Field, rng: Generator) -> Tones:
    """The tones with a swell whose lines follow the waves, and a glint below the sun."""
    light, phase = tones
    depth = np.clip(y - 0.615, 0, 1)
    roll = x * (7 - 5 * depth) + 24 * np.sqrt(depth + 0.01) + 0.8 * noise(x * 3, y * 5, rng)
    crest = np.sin(2.2 * roll) + 0.35 * noise(x * 10, y * 30, rng, 2)
    glint = np.exp(-(((x - 0.76) / (0.05 + 0.3 * depth)) ** 2))
    here = y > 0.615 + 0.004 * np.sin(x * 40)
    light = np.where(here, 0.45 + 0.34 * crest + 0.4 * glint, light)
    bent = y + 0.011 * np.sin(2.2 * roll + 0.6) * (0.4 + 3 * depth)
    return light, np.where(here, bent / PITCH, phase)


def _spar(x: Field, y: Field, ends: tuple[float, float, float, float], wide: float) -> Field:
    """Where a line between two ends, x and y of each, is that wide."""
    left, top, right, bottom = ends
    run, fall = right - left, bottom - top
    share = np.clip(((x - left) * run + (y - top) * fall) / (run**2 + fall**2), 0, 1)
    return np.asarray(np.hypot(x - left - share * run, y - top - share * fall) < wide / 2)


def _sails(tones: Tones, x: Field, y: Field) -> Tones:
    """The tones with the sails of three masts, full of a wind from the left, and two jibs."""
    light, phase = tones
    for mast, high, wide in ((-0.10, 0.29, 0.062), (0.005, 0.36, 0.08), (0.105, 0.30, 0.066)):
        for n in range(3):
            top = WATERLINE - 0.075 - high * (0.94 - 0.3 * n)
            down = (y - top) / (0.265 * high)
            across = (x - KEEL - mast - 0.014 * np.sin(3 * down)) / (wide * (0.5 + 0.19 * n))
            across /= 0.88 + 0.12 * np.clip(down, 0, 1)
            inside = (np.abs(across) < 1) & (down > 0) & (down < 0.93 - 0.13 * (1 - across**2))
            shade = 1.05 - 0.5 * np.clip(-across, -0.3, 1) - 0.35 * np.exp(-((down / 0.16) ** 2))
            light = np.where(inside, shade, light)
            phase = np.where(inside, (across + 0.35 * down) * wide * 0.6 / PITCH, phase)
            light = np.where((np.abs(down) < 0.035) & (np.abs(across) < 1.12), -1.0, light)
    for foot, head in ((0.255, 0.31), (0.205, 0.24)):
        rise = (WATERLINE - 0.10 - y) / head
        luff = KEEL + foot - (foot - 0.115) * rise
        jib = (rise > 0) & (rise < 1) & (x < luff) & (x > KEEL + 0.185 - 0.07 * rise)
        light = np.where(jib, 0.95 - 0.4 * (luff - x) / 0.07, light)
        phase = np.where(jib, (luff - x) / PITCH, phase)
    return light, phase


def _ship(tones: Tones, x: Field, y: Field) -> Tones:
    """The tones with a three-masted ship: rigging, sails and hull."""
    light, phase = tones
    lines = [(KEEL + foot, 0.60, KEEL + top, 0.25) for foot, top in ((-0.2, 0.0), (0.13, 0.0))]
    lines += [(KEEL - 0.17, 0.60, KEEL - 0.1, 0.31), (KEEL + 0.27, 0.545, KEEL + 0.105, 0.30)]
    for ends in lines:
        light = np.where(_spar(x, y, ends, 0.0028), -1.0, light)
    for mast, high in ((-0.10, 0.31), (0.005, 0.40), (0.105, 0.33)):
        pole = _spar(x, y, (KEEL + mast, 0.62, KEEL + mast, WATERLINE - 0.05 - high), 0.006)
        light = np.where(pole, -1.0, light)
        flag = (np.abs(y - WATERLINE + 0.045 + high) < 0.008) & (x > KEEL + mast)
        light = np.where(flag & (x < KEEL + mast + 0.04), -1.0, light)
    light, phase = _sails((light, phase), x, y)
    light = np.where(_spar(x, y, (KEEL + 0.17, 0.60, KEEL + 0.28, 0.54), 0.007), -1.0, light)
    u = (x - KEEL) / 0.19
    deck = 0.605 - 0.022 * u**2 - 0.022 * (u < -0.62) - 0.010 * (u > 0.66)
    hull = (y > deck) & (y < WATERLINE + 0.01 + 0.004 * np.sin(x * 90))
    hull &= (u < 1.02 - 5 * (y - 0.585)) & (u > -1 + 1.6 * (y - 0.57))
    strake = (y - deck) / 0.016
    port = (np.abs(strake - 1.5) < 0.3) & (np.abs(u * 9 % 1 - 0.5) < 0.2) & (np.abs(u) < 0.75)
    shade = np.where(port, -1.0, 0.42 + 0.2 * u + 0.35 * (np.abs(strake % 2 - 1) < 0.2))
    return np.where(hull, shade, light), np.where(hull, (y - deck) / PITCH * 1.1, phase)


def _engraving(size: int, rng: Generator) -> Field:
    """A copper plate's lines, crossed where it is dark: a ship in a swell under heaped clouds."""
    x, y = plane(size, 0.8, 1)
    sun = np.hypot(x - 0.76, y - 0.26)
    light = 0.86 - 0.75 * np.clip(0.5 - y, 0, 1) + 0.10 * noise(x * 3, y * 8, rng, 2)
    rays = np.sin(np.arctan2(y - 0.26, x - 0.76) * 36) * step(sun - 0.075, 0.01)
    light = light + 0.5 * np.exp(-((sun / 0.17) ** 2)) + 0.14 * rays * np.exp(-sun / 0.22)
    tones = light, (y + 0.006 * noise(x * 2, y * 2, rng)) / PITCH
    tones = _clouds(tones, x, y, rng)
    light, phase = _ship(_sea(tones, x, y, rng), x, y)
    bend = 0.012 * noise(x * 2.2, y * 2.2, rng)
    # Two more sets of lines cross the first ones where they alone would be too dark.
    ink = _burin(phase, x * 9, np.where(light < -0.5, light, np.clip(light, 0.3, 2)), rng)
    for slant, above in ((0.62, 0.38), (-0.62, 0.62)):
        crossing = (0.78 * x + slant * y + bend) / (1.12 * PITCH)
        ink = np.maximum(ink, _burin(crossing, y * 9, above + light, rng))
    paper = inks("f1e7cf")[0] * (1 + 0.025 * noise(x * 150, y * 150, rng, 2))[..., None]
    tone = 0.05 * step(0.5 - light, 0.5)  # the film of ink that a wiped plate keeps
    paper = over(paper, inks("5a4630")[0], tone)
    press = 0.95 - 0.12 * step(noise(x * 300, y * 300, rng) - 0.9, 0.4)
    return over(paper, inks("201a18")[0], ink * press)


STYLES: dict[str, Callable[[int, Generator], Field]] = {
    "charcoal": _charcoal,
    "pastel": _pastel,
    "engraving": _engraving,
}
"""Generators by name, see ``tools.sample_styles.STYLES``."""
