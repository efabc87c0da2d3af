"""Generate the style images of ``impasto.images.samples``. ``python -m tools.sample_styles``.

Each is computed from a seed, so it needs neither a download nor a license. Coordinates are
fractions of the longest side and colors are from 0 to 1, so the composition is the same at every
size.
"""

from collections.abc import Callable

import numpy as np
from numpy.random import Generator
from PIL import Image
from scipy import ndimage, spatial

from impasto.images import samples
from impasto.images.arrays import ImageArray
from tools import sample_styles_dry, sample_styles_wet
from tools.style_painting import (
    Field,
    Index,
    Layer,
    brushed,
    carved,
    inks,
    lit,
    noise,
    over,
    plane,
    ramp,
    step,
    wash,
)


# --------------------------------------------------------------------------- swirls
def _two_pigments(colors: Field, rng: Generator) -> tuple[Field, Field]:
    """Colors (n, 3) on a brush that was not cleaned: each stroke a little off, and streaked."""
    shift = rng.normal(0, 0.05, colors.shape) + rng.normal(0, 0.06, (len(colors), 1))
    second = colors + 0.3 * shift + rng.normal(0.05, 0.07, (len(colors), 1))
    return np.clip(colors + shift, 0, 1), np.clip(second, 0, 1)


STARS = (76, 16, 7.5), (29, 25, 4.2), (46, 9, 3.4), (6, 9, 3.4), (58, 33, 3.4), (94, 36, 2.6)
"""Where the stars of the night stand, x and y, and how far they shine: hundredths."""


def _night(x: Field, y: Field, rng: Generator) -> tuple[Field, Field]:
    """Colors and stroke directions of a sky whose air whirls around lamps of stars."""
    stream = 0.05 * noise(x * 3, y * 5, rng, 2) + 0.5 * y
    for sx, sy, reach in ((0.46, 0.24, 0.10), (0.66, 0.36, -0.07), (0.18, 0.42, -0.06)):
        stream += 0.9 * reach * np.exp(-((x - sx) ** 2 + (y - sy) ** 2) / (2 * reach**2))
    tone = 0.42 + 0.26 * np.sin(stream * 70 + 2 * noise(x * 4, y * 4, rng))
    tone += 0.2 * noise(x * 3, y * 6, rng, 2)
    guide = ramp(tone, "0b1440 14276f 1f4aa3 3a78bd 74a9c4 b9d3bf ece7b0")
    for sx, sy, reach in np.array(STARS) / 100 + rng.normal(0, 0.02, (len(STARS), 3)) * [1, 1, 0]:
        far = np.hypot(x - sx, y - sy) / reach
        halo = step(2.2 - far, 0.7)
        ring = 1.05 - far * 0.45 + 0.06 * np.sin(far * 14)
        glow = ramp(ring, "12307a 2f74b4 8cc0b8 e8dc86 f4b41c f08c1e f9d64a fdf3b0")
        guide = over(guide, glow, halo)
        stream = stream * (1 - halo) + halo * far * 0.1
    down, right = np.gradient(stream)
    return guide, np.arctan2(-right, down)


GROUNDS = {
    0.53: "0b1c3c 15406a 2f6f86 6fa58f",
    0.585: "123227 2c6a3c 7a9a3a c8b04a",
    0.645: "5a3414 a8651b d99a25 f2cf5a f8e7a0",
}
"""Where the hills, the meadows and the wheat of the night begin, and their inks."""


def _swirls(size: int, rng: Generator) -> Field:
    """Thick paint along a whirling night sky above wheat fields and a pair of cypresses."""
    x, y = plane(size, 0.8, 1)
    guide, angle = _night(x, y, rng)
    for base, codes in GROUNDS.items():
        edge = base + 0.03 * noise(x[:1] * 3, base, rng, 3)
        fall = (y - edge) / 0.16
        tone = 0.45 + 0.35 * noise(x * 5, fall * 3, rng, 2)
        tone += 0.25 * np.sin(fall * 14 + 3 * noise(x * 3, y * 3, rng))
        guide = over(guide, ramp(tone, codes), step(y - edge, 0.003))
        tilt = np.arctan(np.gradient(edge, x[0], axis=1)) + 0.5 * noise(x * 6, y * 9, rng)
        angle = np.where(y > edge, tilt, angle)
    for foot, top, wide in ((0.155, 0.03, 0.05), (0.225, 0.2, 0.035)):
        girth = np.clip((y - top) / 0.45, 0, 1) ** 0.7 * (1 + 0.25 * np.sin(y * 30 + foot * 90))
        side = x - foot - 0.012 * np.sin(y * 14)
        flame = wide * girth - np.abs(side)
        tone = 0.35 + 0.35 * noise(x * 26, y * 5, rng, 2)
        guide = over(guide, ramp(tone, "060f14 0f2c22 24532f 64702a a8742a"), step(flame, 0.003))
        angle = np.where(flame > 0, np.pi / 2 + 0.5 * np.sin(y * 30 + side * 40), angle)
    layers = [Layer(0.022, 0.12, 0.032), Layer(0.0145, 0.07, 0.016), Layer(0.012, 0.042, 0.0105)]
    return brushed(guide, angle, layers, _two_pigments, 1.2, rng)


# ----------------------------------------------------------------------------- dots
TUBES = (
    "1c2f8c 2f6fc4 5fb7dc 1f7a5c 6fbf4a f6e24a f7b61e ee7420 d8322c e87aa4 7a3f9a b49ae0 fff6dc"
    " 3a2350 12403a"
)


def _divided(colors: Field, rng: Generator) -> tuple[Field, Field]:
    """Pure pigments for mixed colors (n, 3): near ones mostly, now and then the complement."""
    tubes = inks(TUBES)
    gray = colors.mean(axis=1, keepdims=True)
    opposite = gray + 0.8 * (gray - colors)
    wanted = np.where(rng.random((len(colors), 1)) < 0.16, opposite, colors)
    fit = rng.gumbel(0, 0.06, (len(colors), len(tubes)))
    pure = tubes[(fit - ((wanted[:, None] - tubes) ** 2).sum(axis=2)).argmax(axis=1)]
    first = 0.4 * wanted + 0.6 * pure + rng.normal(0, 0.02, colors.shape)
    return np.clip(first, 0, 1), np.clip(first + 0.07, 0, 1)


def _river(x: Field, y: Field, rng: Generator) -> Field:
    """A wide river (h, w, 3) under the evening sun, with a far shore and two sails."""
    sun = np.hypot(x - 0.66, (y - 0.24) * 1.1)
    sky = "fff3b0 fbd36a f6a85a ee9c98 b8a0d4 7fa8e0 4a86d0 3a6cc0"
    guide = ramp(sun * 1.75 + 0.12 * noise(x * 3, y * 11, rng, 3), sky)
    guide = over(guide, inks("fff8d0")[0], step(0.05 - sun, 0.01))
    shore = y - 0.335 + 0.03 * noise(x[:1] * 6, 0.5, rng, 3)
    woods = ramp(0.5 + 0.6 * noise(x * 9, y * 20, rng, 2), "243a7c 3a5aa0 5a8a90 a894c8")
    guide = over(guide, woods, step(shore, 0.004))
    wave, depth = noise(x * 5, y * 50, rng, 2), y - 0.375
    water = ramp(0.55 + 0.35 * wave - 0.6 * depth, "142468 1f4c9c 3f88c0 94c8d4 f2c8b0")
    glint = np.exp(-(((x - 0.66) / (0.05 + 0.2 * np.maximum(depth, 0))) ** 2)) * (0.7 + 0.6 * wave)
    water = over(water, ramp(0.5 + 0.5 * wave, "f08a3a fbd060 fff4c0"), np.clip(glint, 0, 1))
    guide = over(guide, water, step(depth, 0.003))
    guide = _sail(guide, (x - 0.48) / 0.17, (0.47 - y) / 0.17)
    return _sail(guide, (x - 0.86) / 0.09, (0.42 - y) / 0.09)


def _sail(guide: Field, side: Field, up: Field) -> Field:
    """The guide (h, w, 3) with a boat, its mirror image below: 1 high where side, up are 0."""
    for low, wide, code in ((0.1, 0.5, "fff2d8"), (0.16, -0.32, "f4b890"), (-0.4, 0.45, "8a9ac8")):
        rise = (up - low) / (0.95 - low) * np.sign(low)
        cloth = (rise > 0) & (side / wide > 0.04) & (side / wide < 1 - rise)
        guide = over(guide, inks(code)[0], np.where(cloth, 1.0 if low > 0 else 0.5, 0.0))
    hull = (np.abs(up) < 0.07) & (np.abs(side) < 0.5 + up)
    return over(guide, inks("4a2350")[0], np.where(hull, 1.0, 0.0))


def _bank(guide: Field, x: Field, y: Field, rng: Generator) -> Field:
    """The river's guide (h, w, 3) with a flowering bank and a tree before it."""
    depth = y - 0.61 + 0.09 * np.sin(x * 3.4 + 2.4)
    light = 0.5 + 0.45 * noise(x * 5, y * 14, rng, 3) - 0.5 * np.exp(-(((x - 0.15) / 0.2) ** 2))
    guide = over(guide, ramp(light, "0f2454 124a40 4a9038 b8c43c f8e070"), step(depth, 0.004))
    flowers = step(noise(x * 60, y * 75, rng) - 0.7 + depth, 0.1) * step(depth - 0.02, 0.01)
    petals = ramp(0.5 + 0.5 * noise(x * 7, y * 7, rng), "e0407a f05a2c fff0e0 b07ae0")
    guide = over(guide, petals, flowers)
    trunk = 0.016 + 0.1 * np.clip(y - 0.56, 0, 1) - np.abs(x - 0.11 - 0.05 * np.sin(y * 4))
    bark = ramp(0.5 + 0.5 * noise(x * 20, y * 6, rng), "2a1a4a 6a3a6a c8783c")
    guide = over(guide, bark, step(trunk, 0.004) * (y > 0.2) * (y < 0.64))
    crown, light = np.full(x.shape, -1.0), np.zeros(x.shape)
    for px, py, reach in rng.normal([0.13, 0.17, 0.06], [0.085, 0.075, 0.01], (32, 3)):
        puff = reach - np.hypot(x - px, (y - py) * 1.2)
        light = np.where(puff > crown, ((x - px) - (y - py)) / reach, light)
        crown = np.maximum(crown, puff)
    light = 0.42 + 0.3 * light + 0.2 * noise(x * 12, y * 14, rng, 2)
    leaves = ramp(light, "0c1450 0f4450 217a40 7ab038 f0d84a")
    return over(guide, leaves, step(crown + 0.012 * noise(x * 30, y * 30, rng), 0.006))


def _dots(size: int, rng: Generator) -> Field:
    """Points of divided color: a river in the evening sun, seen from a flowering bank."""
    x, y = plane(size, 0.75, 1)
    guide = _bank(_river(x, y, rng), x, y, rng)
    sizes = (0.017, 0.03, 0.024), (0.011, 0.0145, 0.0135), (0.0088, 0.0107, 0.0096)
    layers = [Layer(*numbers, ragged=0.1) for numbers in sizes]
    return brushed(guide, 3 * noise(x * 8, y * 8, rng), layers, _divided, 0.6, rng)


# ---------------------------------------------------------------------------- glass
SUN = np.array([0.43, 0.33])
GLASS = (
    "fff6c0 ffdc5a ffb020",
    "ff9a20 f2601c d8281e a01428",
    "5a0c30 b81a34 e8501e f8b838",
    "0a4a6c 14909c 7fd8c0 d8f4dc",
    "0c4028 1f8a3c a0cc3a e8e060",
    "101a68 1f48bc 3a90e0 a0d8f4",
    "3a1468 3a2a9a 6a5ad0 c0a0f0",
)
"""Inks of the sun, its corona, the meadow, the river, the hills, and the sky's two rays."""


def _panes(rng: Generator) -> Field:
    """Centers (n, 2) of glass panes: rings around the sun, and evenly scattered ones outside."""
    rings = []
    for radius, count in ((0.0, 1), (0.05, 7), (0.1, 14), (0.145, 18), (0.19, 26)):
        turn = np.arange(count) * 2 * np.pi / count + rng.normal(0, 0.1)
        rings.append(SUN + radius * np.stack([np.cos(turn), np.sin(turn)], axis=1))
    fixed = np.concatenate(rings)
    loose = rng.random((420, 2)) * [0.8, 1.0]
    loose = loose[np.hypot(*(loose - SUN).T) > 0.225]
    spots = rng.random((12000, 2)) * [0.8, 1.0]
    for _ in range(3):
        owner = spatial.KDTree(np.concatenate([fixed, loose])).query(spots)[1]
        tally = [np.bincount(owner, w, len(fixed) + len(loose)) for w in (*spots.T, None)]
        sums = np.stack(tally, axis=1)[len(fixed) :]
        loose = sums[:, :2] / np.maximum(sums[:, 2:], 1)
    return np.concatenate([fixed, loose])


def _motif(px: Field, py: Field) -> Index:
    """Which of GLASS each pane with center px, py (n) is cut from."""
    sun, turn = np.hypot(px - SUN[0], py - SUN[1]), np.arctan2(py - SUN[1], px - SUN[0])
    meadow = py > 0.86 + 0.04 * np.sin(px * 9)
    river = py > 0.73 + 0.05 * np.cos(px * 8)
    hills = py > 0.6 - 0.06 * np.sin(px * 7)
    rays = 5 + np.floor(turn * 8 / np.pi + sun * 4).astype(int) % 2
    return np.select([sun < 0.12, sun < 0.21, meadow, river, hills], [0, 1, 2, 3, 4], rays)


def _tinted(pane: Index, motif: Index, dx: Field, dy: Field, rng: Generator) -> Field:
    """Colors (h, w, 3) of streaky glass with lines traced on it, each pane leaning its own way.

    dx, dy (h, w) lead from a pane's center to the pixel.
    """
    lean = rng.uniform(0, np.pi, len(motif))[pane]
    along, across = dx * np.cos(lean) + dy * np.sin(lean), dy * np.cos(lean) - dx * np.sin(lean)
    streak = noise(across * 70 + pane * 3.7, along * 12, rng, 4)
    tone = rng.normal(0.45, 0.24, len(motif))[pane] + 0.2 * streak + 5 * along
    colors = np.zeros((*pane.shape, 3))
    for kind, codes in enumerate(GLASS):
        here = motif[pane] == kind
        colors[here] = ramp(tone[here], codes)
    bare = rng.normal(0.95, 0.35, len(motif))[pane]
    traced = carved(across / 0.006 + pane * 0.37, along * 30 + pane, bare, rng)
    return colors * (1 - 0.4 * traced)[..., None]


def _glass(size: int, rng: Generator) -> Field:
    """A leaded window with a great sun over hills and a river, lit from behind."""
    x, y = plane(size, 1, 0.8)
    panes = _panes(rng)
    motif = _motif(*panes.T)
    bent = np.stack([axis + 0.005 * noise(x * 9, y * 9, rng) for axis in (x, y)], axis=-1)
    far, near = spatial.KDTree(panes).query(bent, k=2)
    pane, other = np.moveaxis(near, -1, 0)
    apart = np.linalg.norm(panes[other] - panes[pane], axis=-1)
    gap = (far[..., 1] ** 2 - far[..., 0] ** 2) / (2 * apart)
    dx, dy = np.moveaxis(bent - panes[pane], -1, 0)
    colors = _tinted(pane, motif, dx, dy, rng)
    outline = motif[pane] != motif[other]
    lead = 0.0032 + 0.0026 * outline + 0.0008 * noise(x * 40, y * 40, rng)
    daylight = 1.12 + 0.2 * noise(x * 5, y * 5, rng, 4) - 0.5 * np.exp((lead - gap) / 0.004)
    colors = lit(colors * daylight[..., None], noise(x * 70, y * 70, rng, 2), 0.5)
    came = np.sqrt(np.clip(1 - (gap / lead) ** 2, 0, 1)) + 0.6 * noise(x * 160, y * 160, rng)
    metal = ramp(0.5 + 0.5 * noise(x * 25, y * 25, rng), "0a0a0e 1d1d23 2e2b28")
    halo: Field = ndimage.gaussian_filter(colors, (size / 100, size / 100, 0))
    window = over(colors, lit(metal, came, 0.8) + 0.1 * halo, step(lead - gap, 0.0008))
    return window + 0.08 * halo


# -------------------------------------------------------------------------- woodcut
def _mountains(x: Field, y: Field, rng: Generator) -> Field:
    """The black, warm and cool blocks (3, h, w) of a sun that rises behind mountains."""
    sun, turn = np.hypot(x - 0.47, y - 0.27), np.arctan2(y - 0.27, x - 0.47)
    sway = 0.012 * noise(x * 5, y * 5, rng, 2)
    light = 1.0 - 0.8 * sun + 0.35 * noise(x * 2.5, y * 9, rng, 2)
    rings = carved((sun + sway) / 0.0135, np.abs(turn) * 5, light, rng) * step(sun - 0.122, 0.002)
    glow = step(0.118 - sun, 0.002) + 0.45 * np.exp(-(((y - 0.40) / 0.13) ** 2))
    blocks = np.stack([rings, glow, np.clip(0.75 - 2.1 * y, 0, 1) * (sun > 0.118)])
    for base, rough, slant in ((0.43, 0.11, 1.0), (0.52, 0.08, -0.8), (0.61, 0.04, 0.6)):
        edge = base - rough * np.abs(noise(x[:1] * 4, base * 50, rng, 4))
        fall = y - edge
        face = slant * np.gradient(ndimage.gaussian_filter1d(edge, len(x) / 60), x[0], axis=1)
        light = 0.5 - 0.6 * face + 0.3 * noise(x * 9, fall * 9, rng, 2) - (fall < 0.005)
        lines = carved((x * slant + 0.8 * fall + 2 * sway) / 0.0125, fall * 12, light, rng)
        shade = step(face + 0.2 * noise(x * 9, y * 20, rng, 2), 0.1)
        blocks = np.where(fall > 0, [lines, 0.55 * (1 - shade), 0.9 * shade], blocks)
    return blocks


def _lake(blocks: Field, x: Field, y: Field, rng: Generator) -> Field:
    """The blocks (3, h, w) with a lake that mirrors the sun, and a grassy shore in front."""
    depth = np.clip(y - 0.62, 0, 1)
    glint = np.exp(-(((x - 0.47) / (0.07 + 0.3 * depth)) ** 2))
    wave = noise(x * 4, 40 * np.log(depth + 0.1), rng, 2)
    swell = 22 * np.log(depth + 0.06) + noise(x * 8, y * 14, rng, 2)
    light = 0.5 + 0.4 * glint + 0.3 * noise(x * 4, y * 14, rng, 2)
    mirror = step(glint - 0.5 + 0.4 * wave, 0.06)
    water = [carved(swell, x * 9, light, rng), mirror, 1 - mirror]
    near = y - 0.90 + 0.12 * x + 0.03 * np.sin(x * 9) + 0.02 * noise(x[:1] * 9, 0.5, rng, 2)
    blades = (x + 0.05 * noise(x * 6, y * 9, rng) + 0.3 * near) / 0.013
    light = 0.4 + 0.3 * noise(x * 9, y * 9, rng) - (near < 0.005)
    flowers = step(noise(x * 18, y * 26, rng, 2) - 0.3, 0.1)
    grass = [carved(blades, y * 9, light, rng), flowers, 0.8 * (1 - flowers)]
    return np.where(near > 0, grass, np.where(depth > 0, water, blocks))


def _woodcut(size: int, rng: Generator) -> Field:
    """A lake before mountains and the rising sun, in black, vermilion and blue ink."""
    x, y = plane(size, 1, 0.78)
    blocks = _lake(_mountains(x, y, rng), x, y, rng)
    fibre = 1 + 0.04 * noise(x * 200, y * 200, rng, 2)
    paper: Field = inks("f4e6c4")[0] * fibre[..., None]
    grain = noise(x * 110 + 3 * noise(x * 3, y * 3, rng), y * 4, rng, 2)
    # Hand-printed blocks never meet exactly: each color slips a little to its own side.
    for slip, ink, block in zip((0, -1, 1), inks("15110f e2452a 1d6a8c"), blocks, strict=True):
        cover = ndimage.shift(block, (0, slip * size / 380), order=1, mode="nearest")
        rub = 0.95 + 0.09 * grain - 0.35 * step(noise(x * 420, y * 320, rng, 2) - 1.0, 0.3)
        paper = paper * (1 - np.clip(cover * rub, 0, 1)[..., None] * (1 - ink))
    return paper


# ---------------------------------------------------------------------- watercolour
def _watercolour(size: int, rng: Generator) -> Field:
    """Transparent washes on rough paper: wooded hills behind hills under a hazy sun."""
    x, y = plane(size, 0.76, 1)
    grain = 0.2 * noise(x * 230, y * 230, rng) + 0.2 * noise(x * 60, y * 60, rng, 2)
    bloom, flow = noise(x * 9, y * 9, rng, 5), noise(x * 3, y * 7, rng, 5)
    sun = np.hypot(x - 0.68, y - 0.19) + 0.004 * bloom
    paper = np.ones((*x.shape, 3)) * inks("fdf6e6")[0]
    sky = ramp(0.1 + 1.1 * sun + 0.35 * flow, "fff0b0 fcc060 f48878 c490d0 5c98e0 3c7cd0")
    wet = np.clip(0.8 + 0.6 * bloom, 0.3, 2) * step(0.42 - y, 0.2)
    paper = wash(paper, sun + 0.1, wet, sky, grain)
    for tide in (0.2, -0.25):
        wet = np.clip(0.25 + 0.4 * bloom, 0.05, 2)
        paper = wash(paper, (flow + tide) * 0.1, wet, sky, grain)
    paper = wash(paper, 0.065 - sun, 1.2 + 0.5 * bloom, inks("f8743c")[0], grain)
    for n, pigment in enumerate(inks("b094dc 7c94dc 4c90bc 3ca48c 84b83c ecb024 e06c2c 8c2c5c")):
        edge = 0.30 + 0.066 * n + 0.06 * noise(x[:1] * (2 + 0.5 * n), n * 7.7, rng, 5)
        trees = np.clip(noise(x[:1] * 50, n * 3.1, rng, 3), 0, 2) * 0.004 * n
        fall = y - edge + trees
        wet = (1.2 + 0.8 * noise(x * 6, y * 12, rng, 5)) * np.exp(-fall / 0.06)
        paper = wash(paper, fall + 0.003 * bloom, np.clip(wet, 0, 2), pigment, grain)
    return lit(paper, grain, 0.5)


# --------------------------------------------------------------------------- files
STYLES: dict[str, Callable[[int, Generator], Field]] = {
    "swirls": _swirls,
    "glass": _glass,
    "dots": _dots,
    "woodcut": _woodcut,
    "watercolour": _watercolour,
    **sample_styles_wet.STYLES,
    **sample_styles_dry.STYLES,
}
"""Generators by name: functions of the longest side in pixels and a random generator, which return
colors (h, w, 3) from 0 to 1."""


def generate(name: str, size: int = samples.SIZE, seed: int = 0) -> ImageArray:
    """Generate one of STYLES, the same for the same name, size and seed.

    Returns sRGB-encoded colors, float32 (height, width, 3) in [0, 255], longest side ``size``.
    """
    colors = STYLES[name](size, np.random.default_rng(seed))
    return (255 * np.clip(colors, 0, 1)).astype(np.float32)


def main() -> None:
    """Write the images that the package contains."""
    samples.FOLDER.mkdir(exist_ok=True)
    for name in STYLES:
        path = samples.FOLDER / f"{name}.avif"
        image = Image.fromarray(np.round(generate(name)).astype(np.uint8))
        # Full chroma resolution, since strokes are narrow; 1.8 MB in all.
        image.save(path, quality=70, subsampling="4:4:4", speed=4)
        print(path)


if __name__ == "__main__":
    main()
