"""All measures by name, and ``impasto.judge``, which applies them to results.

impasto judge CONTENT STYLE RESULT …
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from impasto import files
from impasto.compute import threads
from impasto.errors import ImageError, SettingError
from impasto.evaluation import measures
from impasto.evaluation.eyes import VGG19_LAYERS, Eyes, Seen
from impasto.images import arrays
from impasto.images.arrays import ImageArray
from impasto.painting import inputs
from impasto.painting.inputs import PictureLike

SIZE = 384
"""Default longest side in pixels at which images are compared."""

SMALLEST, LARGEST = 128, 1024
"""Range of sizes: below, deep stages have few positions; above, time grows quadratically."""

ASPECT = 0.05
"""Tolerance of the aspect ratio of a result, for rounding."""

LITE0_STAGES = ("stride 4", "stride 8", "stride 16")
LOCAL_LAYERS = VGG19_LAYERS[2:]
"""Layers with strides of 4, 8 and 16."""

STRUCTURE_STAGE = "stride 16"

Stages: TypeAlias = Mapping[str, float]
"""Distances by stage of a network; "" if there is only one."""


class Measure(NamedTuple):
    """Label of a measure, and the image that results are compared with."""

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
"""All measures by name. They are distances: smaller is nearer.

:mod:`impasto.evaluation.measures` has equations, sources, and significant differences. Lite0 is
EfficientNet-Lite0.
"""


def compare_style(picture: Seen, painting: Seen) -> dict[str, Stages]:
    """Return the distances from a style image by name, at each stage of the networks."""
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
    """Return the distances from a content image of the same size by name."""
    maps = (each.lite0[STRUCTURE_STAGE] for each in (picture, photograph))
    return {
        "self_similarity": {STRUCTURE_STAGE: measures.self_similarity(*maps)},
        "edge_distance": {"": measures.edge_distance(picture.edges, photograph.edges)},
    }


@dataclass(frozen=True)
class Scores:
    """The distances of one image."""

    name: str
    figures: Mapping[str, float]
    """mean over stages, by measure"""
    stages: Mapping[str, Stages]
    """by measure and stage"""


@dataclass(frozen=True)
class Judgment:
    """Distances of results, with those of the content and style images as reference.

    The content image has distance zero in structure and the style image in style. For structure the
    style image is stretched to the shape of the content image.
    """

    size: int
    """longest side in pixels at which images were compared"""
    photograph: Scores
    painting: Scores
    pictures: tuple[Scores, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return all data for JSON."""
        return asdict(self)


def judge(
    photograph: PictureLike, painting: PictureLike, *pictures: PictureLike, size: int = SIZE
) -> Judgment:
    """Rate results: distances from the style image and from the content image.

    The distances use networks that impasto does not optimize, see
    :data:`impasto.evaluation.judges.MEASURES`.

    Args:
        photograph: the content image: path, Pillow image or array, as for :func:`impasto.stylize`
        painting: the style image
        pictures: results, with the aspect ratio of the content image and any size
        size: longest side in pixels of the content image and the results for the comparison; the
            style image is resized to as many pixels, but never enlarged

    Raises:
        ImageError: for an image that cannot be read or has another aspect ratio
        SettingError: for a size out of range
        WeightsError: if weights are missing; it says how to install them
    """
    _check_size(size)
    whole = read(photograph, painting, pictures)
    return Judges().judge(*whole, size=size)


def read(
    photograph: PictureLike, painting: PictureLike, pictures: tuple[PictureLike, ...]
) -> tuple[ImageArray, ImageArray, list[tuple[str, ImageArray]]]:
    """Read the images, with names for the results. No network is loaded yet.

    Raises ImageError for an image that cannot be read or compared.
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
    """Measures with loaded networks, for many pairs."""

    def __init__(self) -> None:
        """Load the networks. Raises WeightsError if weights are missing."""
        self._eyes = Eyes()

    def judge(
        self,
        photograph: ImageArray,
        painting: ImageArray,
        pictures: Iterable[tuple[str, ImageArray]],
        size: int = SIZE,
    ) -> Judgment:
        """Rate named images like :func:`judge`; float32 (height, width, 3) in [0, 255]."""
        with threads.one_blas_thread():  # on all of them, small products wait for each other
            return self._judge(photograph, painting, pictures, size)

    def _judge(
        self,
        photograph: ImageArray,
        painting: ImageArray,
        pictures: Iterable[tuple[str, ImageArray]],
        size: int,
    ) -> Judgment:
        height, width = arrays.fit(*arrays.size_of(photograph), size)
        look = self._eyes.look
        content = look(arrays.resize(photograph, height, width))
        style = look(
            arrays.resize(painting, *arrays.fit_area(*arrays.size_of(painting), height * width))
        )

        def scores(name: str, laid_over: Seen, seen: Seen) -> Scores:
            found = {**compare_style(seen, style), **compare_structure(laid_over, content)}
            return Scores(name, {key: _mean(found[key]) for key in MEASURES}, found)

        judged = []
        for name, picture in pictures:
            seen = look(arrays.resize(picture, height, width))
            judged.append(scores(name, seen, seen))
        stretched = look(arrays.resize(painting, height, width))
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


def _check_shape(name: str, picture: ImageArray, photograph: ImageArray) -> None:
    (height, width), (tall, wide) = (arrays.size_of(each) for each in (picture, photograph))
    if abs(np.log(width * tall / (height * wide))) > ASPECT:
        raise ImageError(
            f"{name} has {width} x {height} px, the content image {wide} x {tall} px: results "
            "must have the shape of the content image"
        )
