"""Style samples in paint, dye and glass: palette knife, ink wash, batik and mosaic."""

from collections.abc import Callable

import numpy as np
from numpy.random import Generator
from scipy import ndimage, spatial
from skimage import measure

from tools.style_painting import (
    Field,
    Layer,
    brushed,
    inks,
    lit,
    noise,
    over,
    plane,
    ramp,
    step,
    wash,
)


# -------------------------------------------------------------------- palette knife
def _slabs(colors: Field, rng: Generator) -> tuple[Field, Field]:
    """Colors (n, 3) as a knife picks them up: hardly mixed, the second much lighter or darker."""
    shift = rng.normal(0, 0.09, (len(colors), 1)) + rng.normal(0, 0.07, colors.shape)
    second = colors + rng.normal(0.06, 0.13, (len(colors), 1))
    return np.clip(colors + shift, 0, 1), np.clip(second, 0, 1)


def _knife(size: int, rng: Generator) -> Field:
    """Slabs of paint from a knife: an avenue in autumn, with lamps, mirrored in a wet road."""
    x, y = plane(size, 0.8, 1)
    far = np.hypot((x - 0.5) * 0.9, y - 0.42)
    sky = ramp(far * 1.9 + 0.15 * noise(x * 5, y * 5, rng, 3), "fff2c0 ffd878 f7b26a 8fa6c8 4a6aa8")
    angle = 0.9 * noise(x * 4, y * 4, rng)
    guide = sky
    for n in range(26):
        side = -1 if n % 2 else 1
        depth = 1 - (n // 2) / 13
        px = 0.5 + side * (0.50 - 0.43 * depth) + rng.normal(0, 0.015)
        py, reach = 0.20 + 0.18 * depth + rng.normal(0, 0.02), 0.22 - 0.15 * depth
        puff = reach - np.hypot(x - px, (y - py) * 1.1) + 0.03 * noise(x * 14, y * 14, rng, 2)
        light = 0.5 + 0.3 * noise(x * 22, y * 22, rng, 2) - 0.9 * side * (x - px) / reach * 0.3
        codes = (
            "7a1420 c8281e f0641a fbb62a",
            "6a2a14 d06a14 f6a81e fde06a",
            "24401c 6a8a24 d8b82a",
        )
        guide = over(guide, ramp(light, codes[n % 3]), step(puff, 0.01))
        trunk = 0.004 + 0.010 * (1 - depth) - np.abs(x - px - 0.01 * np.sin(y * 20))
        cover = step(trunk, 0.002) * (y > py) * (y < 0.52 + 0.16 * (1 - depth))
        guide = over(guide, inks("2a1420")[0], cover)
    ground = y - 0.50 - 0.10 * np.abs(x - 0.5)
    mirror = np.clip((1.0 - y + 0.02 * noise(x * 40, y * 6, rng)) * size, 0, len(x) - 1).astype(int)
    columns = np.broadcast_to(np.arange(x.shape[1]), x.shape)
    wet = 0.75 * guide[mirror, columns] + 0.10 * inks("3a4a86")[0]
    guide = over(guide, wet, step(ground, 0.006))
    angle = np.where(ground > 0, 1.45 + 0.25 * noise(x * 4, y * 4, rng), angle)
    for px, py in ((0.30, 0.33), (0.71, 0.31), (0.405, 0.41), (0.60, 0.41)):
        post = 0.0035 - np.abs(x - px)
        guide = over(guide, inks("1a1024")[0], step(post, 0.0015) * (y > py) * (y < 0.60))
        glow = np.hypot(x - px, y - py) / 0.035
        guide = over(guide, ramp(glow / 2, "fff6d0 ffe070 ffb030"), step(0.9 - glow, 0.4))
        streak = np.exp(-(((x - px) / 0.02) ** 2)) * (ground > 0.03)
        guide = over(guide, inks("ffe08a")[0], 0.8 * streak)
    walker = np.hypot((x - 0.5) / 0.016, (y - 0.555) / 0.055)
    guide = over(guide, inks("16121e")[0], step(1 - walker, 0.1))
    shade = np.hypot((x - 0.5) / 0.05, (y - 0.505) / 0.018)
    guide = over(guide, inks("d81e2c")[0], step(1 - shade, 0.1) * (y < 0.508))
    layers = [
        Layer(0.030, 0.11, 0.060, ragged=0.1),
        Layer(0.027, 0.065, 0.038, ragged=0.15),
        Layer(0.0235, 0.042, 0.021, ragged=0.2),
    ]
    return brushed(guide, angle, layers, _slabs, 2.1, rng)


# ------------------------------------------------------------------------- ink wash
def _bamboo(paper: Field, x: Field, y: Field, grain: Field, rng: Generator) -> Field:
    """Paper (h, w, 3) with bamboo in the foreground: jointed stems, and tapering leaves."""
    dark, pale = inks("1c1e24 5a5e66")
    for foot, lean, wide, top in ((0.63, 0.10, 0.0125, -0.1), (0.55, 0.03, 0.0075, 0.30)):
        middle = foot - lean * (1 - y) ** 2
        joint = np.abs((y + foot) % 0.118 - 0.059)
        swell = wide * (1 + 0.16 * (joint > 0.052))
        inside = np.minimum(swell - np.abs(x - middle), (0.0565 - joint) * 0.6)
        inside = np.minimum(inside, y - top)
        wet = 0.75 + 0.5 * noise(x * 60, y * 7, rng, 3)
        paper = wash(paper, inside, np.clip(wet, 0.2, 2), pale, grain)
    for n in range(44):
        cx, cy, way = ((0.55, 0.06, 2.4), (0.53, 0.26, 2.1), (0.62, 0.40, 1.2), (0.50, 0.52, 2.3))[
            n % 4
        ]
        turn, length = rng.normal(way, 0.42), rng.uniform(0.10, 0.17)
        dx, dy = x - cx - rng.normal(0, 0.018), y - cy - rng.normal(0, 0.018)
        along = (dx * np.cos(turn) + dy * np.sin(turn)) / length
        across = (
            dy * np.cos(turn) - dx * np.sin(turn) - 0.35 * length * along**2 * rng.normal(0, 0.5)
        )
        shape = np.clip(along, 0, 1) ** 0.45 * np.clip(1 - along, 0, 1) ** 0.8
        inside = 0.0125 * shape - np.abs(across)
        inside = np.where((along > 0) & (along < 1), inside, -1.0)
        wet = rng.uniform(0.5, 1.6) * (1 + 0.3 * noise(along * 2, across * 400, rng))
        paper = wash(paper, inside, np.clip(wet, 0, 2.5), dark, grain)
    return paper


def _ink(size: int, rng: Generator) -> Field:
    """Ink and water on paper: mountains that sink into mist, a boat, and bamboo in front."""
    x, y = plane(size, 1, 0.74)
    grain = 0.10 * noise(x * 230, y * 230, rng) + 0.12 * noise(x * 50, y * 50, rng, 2)
    bloom = noise(x * 7, y * 7, rng, 5)
    paper = np.ones((*x.shape, 3)) * inks("f3ebd8")[0]
    paper *= (1 + 0.02 * noise(x * 190, y * 60, rng, 2))[..., None]
    paper = wash(paper, 0.3 + 0 * x, 0.10 + 0.07 * bloom, inks("8a94a0")[0], grain)
    tones = inks("b4bcc4 8c949e 646a74 3a3e48")
    for n, pigment in enumerate(tones):
        base, high = 0.34 + 0.13 * n, 0.26 - 0.035 * n
        peaks = np.abs(noise(x[:1] * (2.6 + n), n * 5.7, rng, 5)) + 0.3 * noise(x[:1] * 2, n, rng)
        fall = y - base + high * peaks
        folds = np.abs(noise(x * 16 + fall * 8, fall * 9, rng, 4))
        density = (1.5 + 0.5 * bloom - 1.3 * step(folds - 0.35, 0.3)) * np.exp(-fall / 0.075)
        paper = wash(paper, fall + 0.002 * bloom, np.clip(density, 0, 2.4), pigment, grain)
    near = y - 0.86 + 0.05 * noise(x[:1] * 5, 3.0, rng, 4)
    wet = np.clip(1.3 + 0.9 * bloom, 0.1, 2.5) * np.exp(-near / 0.12)
    paper = wash(paper, near, wet, inks("2c3038")[0], grain)
    boat = 0.012 - np.abs(y - 0.765 + 0.9 * (x - 0.22) ** 2 * 2) - 0.08 * np.abs(x - 0.22)
    paper = wash(paper, boat * 0.6, 2.2 + 0 * x, inks("2a2a30")[0], grain)
    man = 1 - np.hypot((x - 0.235) / 0.008, (y - 0.745) / 0.022)
    paper = wash(paper, man * 0.01, 2.0 + 0 * x, inks("2a2a30")[0], grain)
    paper = _bamboo(paper, x, y, grain, rng)
    seal = np.maximum(np.abs(x - 0.085), np.abs(y - 0.915)) - 0.028
    carved = np.maximum(np.abs(x - 0.085) % 0.018, np.abs(y - 0.92) % 0.02) < 0.013
    rubbed = 0.9 - 0.4 * step(noise(x * 200, y * 200, rng) - 0.8, 0.3)
    return over(paper, inks("b8281e")[0], step(-seal, 0.001) * carved * rubbed)


# ---------------------------------------------------------------------------- batik
def _crackle(x: Field, y: Field, rng: Generator) -> Field:
    """Cracks (h, w) of wax: dye that ran into lines between irregular cells."""
    cracks = np.zeros(x.shape)
    for count, width in ((50, 0.0013), (330, 0.0008)):
        cells = rng.random((count, 2))
        bent = np.stack([a + 0.02 * noise(x * 6, y * 6, rng, 4) for a in (x, y)], axis=-1)
        far, _ = spatial.KDTree(cells).query(bent, k=2)
        gap = far[..., 1] - far[..., 0]
        cracks = np.maximum(
            cracks, step(width * 2 - gap, width) * step(noise(x * 5, y * 5, rng), 0.5)
        )
    return cracks


def _flower(x: Field, y: Field, reach: float, petals: int, turn: float) -> tuple[Field, Field]:
    """A flower around (0, 0): which ring of it each pixel is in (h, w), and the wax along them."""
    far, angle = np.hypot(x, y) / reach, np.arctan2(y, x) + turn
    wave = np.abs(np.cos(angle * petals / 2))
    rings = [0.20 + 0 * far, 0.34 + 0.05 * wave, 0.62 + 0.2 * wave**0.6, 0.78 + 0.3 * wave**0.6]
    ring = np.sum([far > each for each in rings], axis=0).astype(float)
    wax = np.zeros(far.shape)
    for each in rings:
        wax = np.maximum(wax, np.exp(-(((far - each) * reach / 0.0042) ** 2)))
    veins = np.abs(np.sin(angle * petals * 1.5)) * far * reach
    wax = np.maximum(wax, np.exp(-((veins / 0.006) ** 2)) * (far > 0.36) * (ring == 2))
    spots = np.hypot(np.sin(angle * petals) * far, (far - 0.27) * 4) < 0.09
    return ring, np.maximum(wax, spots * 1.0)


def _batik(size: int, rng: Generator) -> Field:
    """Cotton dyed indigo, brown and red through wax: flowers, leaves, and wax that cracked."""
    x, y = plane(size, 1, 0.8)
    bx = x + 0.006 * noise(x * 8, y * 8, rng, 2)
    by = y + 0.006 * noise(x * 8, y * 8, rng, 2)
    dye = ramp(0.5 + 0.28 * noise(x * 3, y * 3, rng, 4), "0c1638 142a66 1f4a92 2f6ab0")
    flow = 26 * (by + 0.16 * np.sin(bx * 7) + 0.04 * noise(x * 2, y * 2, rng))
    wave = np.abs(flow % 1 - 0.5)
    wax = step(0.10 - wave, 0.05)
    dots = np.hypot((flow % 1 - 0.5) / 5, ((bx * 42) % 1 - 0.5) / 5) < 0.035
    wax = np.maximum(np.where(np.floor(flow) % 3 == 1, 0, wax), dots * (np.floor(flow) % 3 == 1))
    places = (
        (0.22, 0.2, 0.2, 8),
        (0.62, 0.34, 0.21, 10),
        (0.2, 0.66, 0.22, 12),
        (0.64, 0.82, 0.19, 8),
    )
    small = (
        (0.45, 0.08),
        (0.42, 0.49),
        (0.78, 0.58),
        (0.42, 0.93),
        (0.03, 0.43),
        (0.77, 0.06),
        (0.03, 0.95),
    )
    every = [*places, *((sx, sy, 0.075, 5) for sx, sy in small)]
    fabrics = (
        "8a1c22 f0c064 b4541c d98a2a",
        "e8b048 7a2418 a8401c c8742a",
        "f4dca0 a83018 1c4c5c 3a8a86",
    )
    for n, (fx, fy, reach, petals) in enumerate(every):
        fx, fy = fx + rng.normal(0, 0.012), fy + rng.normal(0, 0.012)
        ring, line = _flower(bx - fx, by - fy, reach, petals, rng.random())
        mottle = 1 + 0.16 * noise(x * 9, y * 9, rng, 4)
        for each, color in enumerate(inks(fabrics[n % 3])):
            here = ring == each
            dye = np.where(here[..., None], color * mottle[..., None], dye)
        wax = np.where(ring < 4, 0, wax)
        wax = np.maximum(wax, np.where(ring <= 4, line, 0))
    cotton = inks("f2e6c8")[0] * (1 + 0.03 * noise(x * 160, y * 160, rng, 2))[..., None]
    cloth = over(dye, cotton, np.clip(wax, 0, 1))
    cracks = _crackle(x, y, rng)
    cloth = over(
        cloth, inks("14224e")[0], 0.75 * cracks * np.clip(0.25 + cloth.mean(-1) * 1.3, 0, 1)
    )
    weave = (
        1
        + 0.05 * np.sin(x * size * 1.6) * np.sin(y * size * 1.6)
        + 0.03 * noise(x * 300, y * 300, rng)
    )
    return cloth * weave[..., None]


# --------------------------------------------------------------------------- mosaic
def _tesserae(label: Field, size: int, wide: float, rng: Generator) -> Field:
    """Centers (n, 2) as y, x in pixels of stones in rows along the outlines of labels (h, w)."""
    centers = []
    for value in np.unique(label):
        inside = np.pad(label == value, 1, mode="edge")
        apart = ndimage.distance_transform_edt(inside)[1:-1, 1:-1]
        apart = ndimage.gaussian_filter(apart, size / 400)
        for level in np.arange(0.5 * wide, apart.max(), wide):
            for line in measure.find_contours(apart, level):
                steps = np.hypot(*np.diff(line, axis=0).T)
                along = np.concatenate([[0], np.cumsum(steps)])
                if along[-1] < wide:
                    continue
                places = np.arange(rng.random() * wide, along[-1], wide * 1.12)
                points = [np.interp(places, along, axis) for axis in line.T]
                centers.append(np.stack(points, axis=1))
    found = np.concatenate(centers)
    return found + rng.normal(0, 0.05 * wide, found.shape)


def _sea(x: Field, y: Field) -> Field:
    """Labels (h, w) of a picture for stones: sky, rays, sun, waves, fish, their fins and eyes."""
    turn, far = np.arctan2(y - 0.40, x - 0.5), np.hypot(x - 0.5, y - 0.40)
    label = np.where(np.floor(turn * 7 / np.pi) % 2 == 0, 0, 1)
    label = np.where(far < 0.26, 2, label)
    label = np.where(far < 0.17, 3, label)
    for n in range(6):
        crest = 0.44 + 0.062 * n + 0.020 * np.sin(x * 17 + n * 2.3)
        label = np.where(y > crest, 4 + n, label)
    for n, (fx, fy, way) in enumerate(((0.30, 0.615, 1), (0.70, 0.745, -1))):
        u, v = (x - fx) * way / 0.165, (y - fy - 0.02 * np.sin((x - fx) * 12)) / 0.066
        body = u**2 + v**2 < 1
        tail = (u < -0.85) & (u > -1.45) & (np.abs(v) < (-0.75 - u) * 1.7)
        fin = (np.abs(u + 0.05) < 0.4) & (v < -0.7) & (v > -1.65 - u * 0.4)
        label = np.where(tail | fin, 10 + n, label)
        label = np.where(body, 12 + n, label)
        label = np.where(body & (u > 0.55), 14, label)
        label = np.where(body & (np.abs(u + 0.15) < 0.13), 16, label)
        label = np.where(np.hypot((u - 0.72) * 0.165, (v + 0.2) * 0.066) < 0.013, 15, label)
    return label


STONES = (
    "c8962a e8c052 f6dc8a", "a87420 d8a83a eccb6a", "d8481c f07a24 f8a43a", "fff0b8 fbd868 f4b83a",
    "d4ece0 9cd4d0 6cbcc4", "4a9cb8 2f84ac 5ab0c4", "2a6ca4 1f5a96 4484b4", "1c4a8a 163c7c 2f5c98",
    "14306c 10285c 24447c", "0c1c48 142858 1c3464", "e8641c f09030 c8481c", "d83a5a e86a7a b0284a",
    "f8b83c f0982c fcd068", "f4f0e4 e8c8c0 fcfaf4", "c8381c e0582c a82818", "101018 1c1c28 141420",
    "fbf4e0 f4e8cc fffaf0",
)  # fmt: skip
"""Colors of the stones, by the labels of `_sea`."""


def _mosaic(size: int, rng: Generator) -> Field:
    """Stones and gold glass set in mortar: two fish in the waves under a rising sun."""
    x, y = plane(size, 0.9, 1)
    label = _sea(x, y)
    wide = 0.0165 * size
    stones = _tesserae(label, size, wide, rng)
    rows, columns = np.mgrid[0 : x.shape[0], 0 : x.shape[1]]
    sway = 0.08 * wide
    bent = np.stack(
        [rows + sway * noise(x * 40, y * 40, rng), columns + sway * noise(x * 40, y * 40, rng)], -1
    )
    far, near = spatial.KDTree(stones).query(bent, k=2)
    apart = np.maximum(np.linalg.norm(stones[near[..., 1]] - stones[near[..., 0]], axis=-1), 1e-6)
    gap = (far[..., 1] ** 2 - far[..., 0] ** 2) / (2 * apart)
    place = np.clip(stones.astype(int), 0, np.array(label.shape) - 1)
    kind = label[place[:, 0], place[:, 1]].astype(int)
    tone = rng.beta(1.4, 1.4, len(stones))
    cut = np.stack([ramp(tone[n : n + 1], STONES[kind[n]])[0] for n in range(len(stones))])
    cut += rng.normal(0, 0.035, (len(stones), 1))
    own = near[..., 0]
    tilt = rng.normal(0, 0.35, (len(stones), 2))[own]
    offset = bent - stones[own]
    plain = 1 + (tilt * offset).sum(-1) / wide + 0.06 * noise(x * 150, y * 150, rng, 2)
    shine = rng.random(len(stones))[own] ** 6 * (kind[own] < 4) * 0.28
    colors = np.clip(cut[own], 0, 1) * plain[..., None] + shine[..., None]
    relief = np.clip(gap / (0.16 * wide), 0, 1) ** 0.6
    mortar = inks("b8a890")[0] * (0.8 + 0.12 * noise(x * 120, y * 120, rng, 2))[..., None]
    set_stones = over(mortar, colors, step(gap - 0.10 * wide, 0.05 * wide))
    return lit(set_stones, ndimage.gaussian_filter(relief, size / 900) * 2.2, 0.55)


STYLES: dict[str, Callable[[int, Generator], Field]] = {
    "knife": _knife,
    "ink": _ink,
    "batik": _batik,
    "mosaic": _mosaic,
}
"""Generators by name, see ``tools.sample_styles.STYLES``."""
