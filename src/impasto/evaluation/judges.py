"""All measures by name, and ``impasto.judge``, which applies them to results.

impasto judge CONTENT STYLE RESULT …
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from impasto import files
from impasto.compute import threads
from impasto.errors import PictureError, SettingError
from impasto.evaluation import measures
from impasto.evaluation.eyes import VGG19_LAYERS, Eyes, Seen
from impasto.painting import inputs
from impasto.painting.inputs import PictureLike
from impasto.pictures import raster
from impasto.pictures.raster import Picture

SIZE = 384
"""Longest side in pixels at which pictures are judged, so that figures can be compared."""

SMALLEST, LARGEST = 128, 1024
"""Sizes that can be asked for: below, deep stages have few positions; above, time is squared."""

ASPECT = 0.05
"""How far the shape of a picture may be from the photograph's, by rounding."""

LITE0_STAGES = ("stride 4", "stride 8", "stride 16")
LOCAL_LAYERS = VGG19_LAYERS[2:]
"""At strides of 4, 8 and 16 as well."""

STRUCTURE_STAGE = "stride 16"

Stages: TypeAlias = Mapping[str, float]
"""Distances by stage of a network; by "" where there is but one."""


class Measure(NamedTuple):
    """What a measure says, and what it compares a picture with, which is at zero from itself."""

    about: str
    against: str


MEASURES: Mapping[str, Measure] = {
    "local_lite0": Measure("local style, Lite0", "style image"),
    "back_lite0": Measure("coverage, Lite0", "style image"),
    "global_lite0": Measure("global style, Lite0", "style image"),
    "local_vgg19": Measure("local style, VGG19", "style image"),
    "back_vgg19": Measure("coverage, VGG19", "style image"),
    "global_vgg19": Measure("global style, VGG19", "style image"),
    "palette_excess": Measure("colors not in the style image, ΔE", "style image"),
    "palette_distance": Measure("palette, ΔE", "style image"),
    "self_similarity": Measure("structure, CFSD", "content image"),
    "edge_distance": Measure("edges, HED", "content image"),
}
"""Every measure by its name: distances all, so that smaller is nearer.

Equations, sources, and how large a difference means something: :mod:`impasto.evaluation.measures`.
Lite0 is EfficientNet-Lite0.
"""


def compare_style(picture: Seen, painting: Seen) -> dict[str, Stages]:
    """Return the measures against a painting by name, at every stage of the networks."""
    networks = {
        "lite0": (picture.lite0, painting.lite0, LITE0_STAGES, LITE0_STAGES),
        "vgg19": (picture.vgg19, painting.vgg19, LOCAL_LAYERS, VGG19_LAYERS),
    }
    colors = picture.colors, painting.colors
    tasks: list[tuple[str, str, Callable[..., Any], Any, Any]] = [
        ("palette_excess", "", measures.palette_excess, *colors),
        ("palette_distance", "", measures.palette_distance, *colors),
    ]
    for name, (own, other, local, whole) in networks.items():
        tasks += [(f"local_{name}", at, measures.local_style, own[at], other[at]) for at in local]
        tasks += [(f"global_{name}", at, measures.global_style, own[at], other[at]) for at in whole]
    results = threads.in_parallel(lambda task: task[2](*task[3:]), tasks)
    found: dict[str, dict[str, float]] = {}
    for (name, stage, *_), result in zip(tasks, results, strict=True):
        there, *back = result if isinstance(result, tuple) else (result,)
        found.setdefault(name, {})[stage] = there
        for way in back:
            found.setdefault(name.replace("local", "back"), {})[stage] = way
    return dict(found)


def compare_structure(picture: Seen, photograph: Seen) -> dict[str, Stages]:
    """Return the measures against a photograph of the same size by name."""
    maps = (each.lite0[STRUCTURE_STAGE] for each in (picture, photograph))
    return {
        "self_similarity": {STRUCTURE_STAGE: measures.self_similarity(*maps)},
        "edge_distance": {"": measures.edge_distance(picture.edges, photograph.edges)},
    }


@dataclass(frozen=True)
class Scores:
    """The distances of one picture."""

    name: str
    figures: Mapping[str, float]
    """by the name of the measure; the mean over stages"""
    stages: Mapping[str, Stages]
    """by the name of the measure, then by stage"""


@dataclass(frozen=True)
class Judgment:
    """What the judges say of pictures, with the photograph and the painting beside them.

    The photograph is at zero from the structure that is asked for and as far from the style as
    doing nothing is; the painting the other way round. It is stretched to the photograph's shape
    where structure is compared.
    """

    size: int
    """longest side in pixels at which all were judged"""
    photograph: Scores
    painting: Scores
    pictures: tuple[Scores, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as dicts, lists, words and numbers, as ``--json`` prints it."""
        return asdict(self)


def judge(
    photograph: PictureLike, painting: PictureLike, *pictures: PictureLike, size: int = SIZE
) -> Judgment:
    """Say how far pictures are from the painting's style and the photograph's structure.

    On networks and by measures that impasto never optimizes; see
    :data:`impasto.evaluation.judges.MEASURES`. All pictures are paths, Pillow images or
    arrays, as for :func:`impasto.stylize`.

    Parameters
    ----------
    photograph, painting : what the pictures were made of
    pictures : of the photograph's shape and any size
    size : longest side in pixels to which the photograph and the pictures are brought; the painting
        is seen at as many pixels, never enlarged

    Raises
    ------
    PictureError : for a picture that cannot be read or has another shape than the photograph
    SettingError : for a size out of range
    WeightsError : where the weights of a network are missing; it says how to install them
    """
    _check_size(size)
    whole = read(photograph, painting, pictures)
    return Judges().judge(*whole, size=size)


def read(
    photograph: PictureLike, painting: PictureLike, pictures: tuple[PictureLike, ...]
) -> tuple[Picture, Picture, list[tuple[str, Picture]]]:
    """Read what is to be judged, the pictures with names.

    Raises PictureError for what cannot be read or compared; no network is loaded yet.
    """
    content = inputs.load_picture(photograph, "photograph").pixels
    style = inputs.load_picture(painting, "painting").pixels
    named = []
    for number, each in enumerate(pictures, 1):
        known = isinstance(each, str) or hasattr(each, "__fspath__")
        name = files.shown(each) if known else f"picture {number}"  # type: ignore[arg-type]
        picture = inputs.load_picture(each, f"picture {number}").pixels
        _check_shape(name, picture, content)
        named.append((name, picture))
    return content, style, named


class Judges:
    """The judges with their networks, for many pairs one after the other."""

    def __init__(self) -> None:
        """Load the networks. Raises WeightsError where weights are missing."""
        self._eyes = Eyes()

    def judge(
        self,
        photograph: Picture,
        painting: Picture,
        pictures: Iterable[tuple[str, Picture]],
        size: int = SIZE,
    ) -> Judgment:
        """Judge named pictures as :func:`judge` does; float32 (height, width, 3) in [0, 255]."""
        with threads.one_blas_thread():  # on all of them, small products wait for each other
            return self._judge(photograph, painting, pictures, size)

    def _judge(
        self,
        photograph: Picture,
        painting: Picture,
        pictures: Iterable[tuple[str, Picture]],
        size: int,
    ) -> Judgment:
        height, width = raster.fit(*raster.size_of(photograph), size)
        look = self._eyes.look
        content = look(raster.resize(photograph, height, width))
        style = look(
            raster.resize(painting, *raster.fit_area(*raster.size_of(painting), height * width))
        )

        def scores(name: str, laid_over: Seen, seen: Seen) -> Scores:
            found = {**compare_style(seen, style), **compare_structure(laid_over, content)}
            return Scores(name, {key: _mean(found[key]) for key in MEASURES}, found)

        judged = []
        for name, picture in pictures:
            seen = look(raster.resize(picture, height, width))
            judged.append(scores(name, seen, seen))
        stretched = look(raster.resize(painting, height, width))
        return Judgment(
            size,
            scores("photograph", content, content),
            scores("painting", stretched, style),
            tuple(judged),
        )


def _mean(stages: Stages) -> float:
    return sum(stages.values()) / len(stages)


def _check_size(size: int) -> None:
    if not SMALLEST <= size <= LARGEST:
        raise SettingError(f"size is {size}: expected {SMALLEST} to {LARGEST} px")


def _check_shape(name: str, picture: Picture, photograph: Picture) -> None:
    (height, width), (tall, wide) = (raster.size_of(each) for each in (picture, photograph))
    if abs(np.log(width * tall / (height * wide))) > ASPECT:
        raise PictureError(
            f"{name} has {width} x {height} px, the content image {wide} x {tall} px: results "
            "must have the shape of the content image"
        )
