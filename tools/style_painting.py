"""Tools of the style samples: noise, color ramps, light on relief, and brush strokes.

Coordinates are fractions of the longest side and colors are from 0 to 1.
"""

from collections.abc import Callable, Sequence
from math import cos, sin
from typing import NamedTuple

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from scipy import ndimage

from impasto.images.arrays import ImageArray

Field = NDArray[np.float64]
Index = NDArray[np.intp]
Mix = Callable[[Field, Generator], tuple[Field, Field]]


def plane(size: int, height: float, width: float) -> tuple[Field, Field]:
    """Coordinates x, y of all pixel centers of a picture of height x width longest sides."""
    y, x = np.mgrid[0 : round(size * height), 0 : round(size * width)] + 0.5
    return x / size, y / size


def noise(x: Field, y: Field | float, rng: Generator, octaves: int = 1) -> Field:
    """Smooth noise, mostly in [-1, 1], with features of length 1 and finer ones by octaves."""
    x, y = np.broadcast_arrays(x, y)
    total = np.zeros(x.shape)
    for scale in (2.0**octave for octave in range(octaves)):
        lattice = rng.uniform(-1.5, 1.5, (64, 64))
        points = [y * scale + 64 * rng.random(), x * scale]
        total += ndimage.map_coordinates(lattice, points, order=3, mode="grid-wrap") / scale
    return total / float(np.sqrt(2 - 2.0 / 2**octaves))


def inks(codes: str) -> Field:
    """Colors (n, 3) in [0, 1] out of blank-separated codes such as "1b2a6b f6c52c"."""
    return np.array([list(bytes.fromhex(code)) for code in codes.split()]) / 255.0


def ramp(values: Field, codes: str) -> Field:
    """Colors (..., 3) for values in [0, 1] along evenly spaced inks."""
    colors = inks(codes)
    stops = np.linspace(0, 1, len(colors))
    return np.stack([np.interp(values, stops, channel) for channel in colors.T], axis=-1)


def over(below: Field, above: Field, cover: Field) -> Field:
    """The colors `above` laid over `below`, both (..., 3), where cover (...) is 1."""
    return below + (above - below) * cover[..., None]


def step(values: Field, softness: float) -> Field:
    """0 where values are below -softness, 1 above +softness, a smooth step between."""
    t = np.clip(values / (2 * softness) + 0.5, 0, 1)
    return t * t * (3 - 2 * t)


def lit(colors: Field, relief: Field, strength: float) -> Field:
    """Colors (h, w, 3) under a lamp at the upper left, on a surface of height relief (h, w)."""
    down, right = np.gradient(relief)
    light: Field = -(down + right) * strength * max(relief.shape) / 768
    shine = np.clip(light - 0.25, 0, 1) * 0.35
    return colors * (1 + np.clip(light, -0.55, 0.5))[..., None] + shine[..., None]


# --------------------------------------------------------------- brushes and strokes
class Layer(NamedTuple):
    """One going-over with the brush: sizes are fractions of the picture's longest side."""

    spacing: float
    length: float
    width: float
    ragged: float = 0.6


def brush(ragged: float, rng: Generator) -> ImageArray:
    """The print (along, across, 2) of a loaded brush: how it covers, and its streaks.

    A ragged brush (1) frays and runs dry at the end of its stroke, a full one (0) does not.
    """
    u, v = np.meshgrid(np.linspace(-1.05, 1.05, 96), np.linspace(-1.1, 1.1, 40), indexing="ij")
    streak = noise(v * 4.5, u * 1.2, rng, 2)
    fray = ragged * (0.4 + 0.4 * noise(v * 4.5, np.sign(u) * 9, rng))
    reach = np.clip(1.02 - v**2, 0, 1) ** 0.25 - fray * np.where(u > 0, 1, 0.4)
    dry = step(streak + 1.3 - ragged * (u + 1), 0.3)
    cover = step(reach - np.abs(u), 0.06) * step(0.95 - np.abs(v), 0.08) * dry
    # Samples beyond the print are drawn from its rim, which must therefore leave no paint.
    cover[[0, -1], :] = cover[:, [0, -1]] = 0
    ridge = np.exp(-((np.abs(v) - 0.8) ** 2) / 0.02) + np.exp(-((u - 0.75) ** 2) / 0.04)
    body = np.clip(0.4 + 0.35 * streak + 0.4 * ridge, 0, 1.5)
    return np.stack([cover, body], axis=-1).astype(np.float32)


def lay(canvas: ImageArray, brush: ImageArray, stroke: Sequence[float], paints: ImageArray) -> None:
    """Press one stroke into the canvas (h, w, 4), whose last channel is the paint's height.

    The stroke is y, x, angle, bend, length, width in pixels and radians; the brush blends its
    two paints (2, 4).
    """
    y, x, angle, bend, length, width = stroke
    c, s = cos(angle), sin(angle)
    slack = abs(bend) * length**2 / 8 + width / 2
    high = abs(s) * length / 2 + abs(c) * slack + 1
    wide = abs(c) * length / 2 + abs(s) * slack + 1
    top, left = max(int(y - high), 0), max(int(x - wide), 0)
    patch = canvas[top : int(y + high) + 1, left : int(x + wide) + 1]
    dy = np.arange(top, top + patch.shape[0])[:, None] + (0.5 - y)
    dx = np.arange(left, left + patch.shape[1]) + (0.5 - x)
    along = dx * c + dy * s
    across = dy * c - dx * s - 0.5 * bend * along**2
    rows, columns = brush.shape[:2]
    i = ((along / length + 0.5) * rows).astype(int)
    j = ((across / width + 0.5) * columns).astype(int)
    mark = brush[np.minimum(np.maximum(i, 0), rows - 1), np.minimum(np.maximum(j, 0), columns - 1)]
    patch += (paints[0] + (paints[1] - paints[0]) * mark[..., 1:] - patch) * mark[..., :1]


def spots(shape: tuple[int, ...], spacing: float, rng: Generator) -> Field:
    """Pixel positions (n, 2) all over a picture: a jittered grid in random order."""
    apart = spacing * max(shape)
    axes = [np.linspace(0, side - 1, 2 + int(side / apart)) for side in shape]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 2)
    grid = rng.permutation(grid + rng.normal(0, 0.35 * apart, grid.shape))
    return np.clip(grid, 0, np.array(shape) - 1)


def strokes(angle: Field, layer: Layer, rng: Generator) -> Field:
    """One layer's strokes (n, 6), as lay wants them, each bent as the angles (h, w) turn."""
    size = max(angle.shape)
    begins = spots(angle.shape, layer.spacing, rng)
    turn = angle[tuple(begins.astype(int).T)]
    reach = 0.25 * layer.length * size
    ahead = begins + reach * np.stack([np.sin(turn), np.cos(turn)], axis=1)
    ahead = np.clip(ahead, 0, np.array(angle.shape) - 1)
    swing = np.angle(np.exp(1j * (angle[tuple(ahead.astype(int).T)] - turn)))
    bend = np.clip(swing, -0.3, 0.3) / reach
    body = rng.lognormal(0, 0.2, begins.shape) * [layer.length * size, layer.width * size]
    return np.column_stack([begins, turn + rng.normal(0, 0.08, len(turn)), bend, body])


def brushed(
    guide: Field, angle: Field, layers: list[Layer], mix: Mix, lamp: float, rng: Generator
) -> Field:
    """The guide (h, w, 3) gone over with strokes along angle (h, w), layer by layer, and lit.

    `mix` turns the guide's colors (n, 3) into the two pigments (n, 3) each stroke picks up.
    """
    canvas = np.dstack([guide, np.zeros(angle.shape)]).astype(np.float32)
    for layer in layers:
        brushes = [brush(layer.ragged, rng) for _ in range(8)]
        laid = strokes(angle, layer, rng)
        pigments = np.stack(mix(guide[tuple(laid[:, :2].astype(int).T)], rng), axis=1)
        heights = rng.uniform(0, 0.5, (len(laid), 1, 1)) + np.array([[0], [1]])
        paints = np.concatenate([pigments, heights], axis=2).astype(np.float32)
        for n, stroke in enumerate(laid.tolist()):
            lay(canvas, brushes[n % 8], stroke, paints[n])
    relief = ndimage.gaussian_filter(canvas[..., 3].astype(float), max(angle.shape) / 1500)
    return lit(canvas[..., :3].astype(float), relief, lamp)


# --------------------------------------------------------------- gouges and washes
def carved(phase: Field, along: Field, light: Field, rng: Generator) -> Field:
    """Ink (h, w) left by gouge cuts at every whole phase, the wider the more light is wanted."""
    line = np.floor(phase)
    swell = noise(along, line * 5.3, rng, 2)
    flank = np.abs(2 * (phase - line) - 1)
    return step(flank - light - 0.4 * swell, 0.1)


def wash(paper: Field, inside: Field, strength: Field, pigment: Field, grain: Field) -> Field:
    """Paper (h, w, 3) after a wash of pigment (..., 3) where `inside` (a length) is positive.

    Drying carries pigment to the rim of a wash and into the hollows of the paper.
    """
    rim = np.exp(-((inside / 0.003) ** 2)) + 0.5 * np.exp(-((inside / 0.012) ** 2))
    density = step(inside, 0.0015) * (strength * (1 + grain) + 0.3 * rim)
    return paper * pigment ** np.clip(density, 0, 3)[..., None]
