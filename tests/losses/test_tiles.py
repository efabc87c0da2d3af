"""The seam: a picture read in tiles has the loss and the gradient of the whole.

Every term reads the tiles into sums, which add up; then the slope of the loss along the sums goes
back through every tile. Edges of tiles lie at multiples of the deepest layer's stride, and a tile
is seen with as much around it as that layer's receptive field reaches beyond.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

from impasto.compute import backend
from impasto.losses import objective
from impasto.losses.terms import Columns, Seen
from impasto.losses.variation import total_variation
from impasto.network import vgg, weights
from impasto.pictures.guidance import Painting, StyledRegion
from impasto.recipe import settings as recipe
from tests import tiny
from tests.tiny import random_picture

pytestmark = pytest.mark.backend

HEIGHT, WIDTH, TILE = 150, 213, 96
CONTENT, PICTURE = (random_picture(HEIGHT, WIDTH, seed) for seed in (1, 2))
STYLE, OTHER = random_picture(120, 90, 3), random_picture(80, 130, 4)


@dataclass(frozen=True)
class Eye:
    """A network, its layers in use from the shallowest, and what is known of them."""

    features: Callable[..., Any]
    layers: tuple[str, ...]
    stride: Callable[[str], int]
    field: Callable[[str], int]

    @property
    def halo(self):
        """Pixels around a tile that its features depend on, a multiple of the stride."""
        stride = self.stride(self.layers[-1])
        return -(-self.field(self.layers[-1]) // 2 // stride) * stride


TINY = Eye(tiny.features, tiny.LAYERS, {"first": 1, "second": 2}.__getitem__, tiny.receptive_field)


def soft_mask():
    across = np.linspace(0, 1, WIDTH, dtype=np.float32)
    return np.tile(across, (HEIGHT, 1))


REGIONS = {
    "everywhere": (StyledRegion((Painting(STYLE),)),),
    "masked": (
        StyledRegion(
            (
                Painting(STYLE, 2.0),
                Painting(OTHER, 1.0, mask=np.eye(80, 130, k=9, dtype=np.float32)),
            ),
            soft_mask(),
        ),
        StyledRegion((Painting(OTHER),), 1 - soft_mask()),
    ),
}


def tiles(halo):
    """(inner box, haloed box) of every tile, in pixels; edges at multiples of the tile's size."""
    for top in range(0, HEIGHT, TILE):
        for left in range(0, WIDTH, TILE):
            bottom, right = min(HEIGHT, top + TILE), min(WIDTH, left + TILE)
            outer = (
                max(0, top - halo),
                max(0, left - halo),
                min(HEIGHT, bottom + halo),
                min(WIDTH, right + halo),
            )
            yield (top, left, bottom, right), outer


def part_of(field, apart, inner, outer=(0, 0, HEIGHT, WIDTH)):
    """The part of a map of ``outer``, its positions ``apart`` px, that lies in ``inner``."""
    top, left = ((inner[n] - outer[n]) // apart for n in (0, 1))
    bottom = None if inner[2] == HEIGHT else (inner[2] - outer[0]) // apart
    right = None if inner[3] == WIDTH else (inner[3] - outer[1]) // apart
    return field[top:bottom, left:right]


def cut(target, inner):
    """What of a target belongs to a tile: fields of positions are cut, all others stay."""

    def part(each):
        if len(each.shape) != 3:
            return each
        return part_of(each, 2 ** int(np.log2(HEIGHT // each.shape[0])), inner)

    return keras.tree.map_structure(part, target)


def flat(sums):
    return ops.concatenate([ops.reshape(each, (-1,)) for each in keras.tree.flatten(sums)])


def tiled(eye, chosen, targets):
    """Loss and gradient by two passes over the tiles."""
    terms = objective.terms_of(chosen)

    def read(tile, inner, outer, frozen):
        maps = {
            name: part_of(each, eye.stride(name), inner, outer)
            for name, each in eye.features(tile).items()
        }
        columns = {
            name: Columns(inner[1] // eye.stride(name), WIDTH // eye.stride(name)) for name in maps
        }
        seen = Seen(maps, columns)
        return {name: term.read(seen, frozen[name]) for name, term in terms.items()}

    total = None
    for inner, outer in tiles(eye.halo):
        tile = ops.convert_to_tensor(PICTURE[outer[0] : outer[2], outer[1] : outer[3]])
        sums = read(tile, inner, outer, cut(targets.terms, inner))
        total = sums if total is None else keras.tree.map_structure(ops.add, total, sums)

    def loss_of(vector, _):
        """The weighted losses as a function of the sums alone."""
        shaped, begin = [], 0
        for each in keras.tree.flatten(total):
            size = int(np.prod(each.shape))
            shaped.append(ops.reshape(vector[begin : begin + size], each.shape))
            begin += size
        sums = keras.tree.pack_sequence_as(total, shaped)
        losses = {name: term.loss(sums[name], targets.terms[name]) for name, term in terms.items()}
        weight = dict(zip(objective.TERMS, chosen.weights, strict=True))
        return sum(weight[name] * value for name, value in losses.items()), losses

    vector = backend.to_numpy(flat(total))
    loss, losses, slope = backend.value_and_gradient(loss_of)(vector, {})
    gradient = np.zeros_like(PICTURE)
    for inner, outer in tiles(eye.halo):
        rows, columns = slice(outer[0], outer[2]), slice(outer[1], outer[3])

        def along(tile, slope, inner=inner, outer=outer):
            sums = read(tile, inner, outer, cut(targets.terms, inner))
            return ops.sum(flat(sums) * slope["slope"]), {}

        step = backend.value_and_gradient(along)
        slopes = {"slope": ops.convert_to_tensor(slope)}
        gradient[rows, columns] += step(PICTURE[rows, columns], slopes)[2]
    # Variation looks at pixels alone, and stays outside of the tiles.
    weight = chosen.weights[2]
    step = backend.value_and_gradient(lambda picture, _: (weight * total_variation(picture), {}))
    value, _, added = step(PICTURE, {})
    return loss + value, losses, gradient + added


def compared(eye, chosen, regions):
    """Loss, terms and gradient in tiles, and the evaluation of the whole."""
    targets = objective.freeze(eye.features, chosen, CONTENT, regions, eye.field)
    whole = objective.WholePicture(objective.compiled_step(eye.features, chosen), targets)
    return *tiled(eye, chosen, targets), whole.evaluate(PICTURE)


@pytest.mark.parametrize(
    ("regions", "strips"), [("everywhere", 1), ("everywhere", 4), ("masked", 4)]
)
@pytest.mark.parametrize("style_loss", [name for name in recipe.STYLE_LOSSES if name != "matching"])
def test_tiles_have_the_loss_and_the_gradient_of_the_whole(style_loss, strips, regions):
    chosen = recipe.make(
        style_loss=style_loss, strips=strips, content_layers="second", style_layers="first,second"
    )
    loss, losses, gradient, whole = compared(TINY, chosen, REGIONS[regions])
    # A Wasserstein distance is what is left of terms of about one, in float32.
    assert loss == pytest.approx(whole.total, rel=1e-5)
    assert losses == pytest.approx({name: whole.terms[name] for name in losses}, rel=1e-5, abs=1e-6)
    difference = np.linalg.norm(gradient - whole.gradient)
    assert difference < 1e-5 * np.linalg.norm(whole.gradient)


@pytest.mark.parametrize(
    ("style_loss", "layers", "halo"),
    [
        ("gram", ("block1_conv1", "block2_conv1", "block3_conv1"), 12),
        ("matching", ("block1_conv1", "block2_conv1", "block3_conv1", "block4_conv1"), 32),
    ],
)
def test_the_halo_of_the_real_network_follows_from_its_layers(style_loss, layers, halo):
    """Of its millions of features a few lie so near zero, or two so near each other where they are
    pooled, that the rounding of another order of additions lets the gradient pass or not. Where it
    does the same, it is the same."""
    network = weights.NETWORKS["vgg16"]
    chosen = recipe.make(
        style_loss=style_loss,
        content_layers=layers[-1],
        style_layers=",".join(layers),
        precision="float32",
    )
    features = vgg.build(weights.load(), chosen.layers, "max", "float32", chosen.padding)
    eye = Eye(features, layers, network.stride, network.receptive_field)
    assert eye.halo == halo
    loss, losses, gradient, whole = compared(eye, chosen, REGIONS["masked"])
    assert loss == pytest.approx(whole.total, rel=1e-5)
    assert losses == pytest.approx({name: whole.terms[name] for name in losses}, rel=1e-5, abs=1e-6)
    difference = np.abs(gradient - whole.gradient)
    size = np.sqrt(np.mean(whole.gradient**2))
    assert np.median(difference) < 1e-5 * size
    assert np.sqrt(np.mean(difference**2)) < 1e-3 * size
