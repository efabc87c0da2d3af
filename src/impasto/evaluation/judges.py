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
from impasto.evaluation.networks import VGG19_LAYERS, JudgeFeatures, JudgeNetworks
from impasto.images import arrays, load
from impasto.images.arrays import ImageArray
from impasto.images.load import ImageLike

SIZE = 384
"""Default longest side in pixels at which images are compared."""

MIN_SIZE, MAX_SIZE = 128, 1024
"""Range of sizes: below, deep stages have few positions; above, time grows quadratically."""

ASPECT_TOLERANCE = 0.05
"""Tolerance of the aspect ratio of a result, for rounding."""

LITE0_STAGES = ("stride 4", "stride 8", "stride 16")
LOCAL_LAYERS = VGG19_LAYERS[2:]
"""Layers with strides of 4, 8 and 16."""

STRUCTURE_STAGE = "stride 16"

Stages: TypeAlias = Mapping[str, float]
"""Distances by stage of a network; "" if there is only one."""


class MeasureInfo(NamedTuple):
    """Label of a measure, and the image that results are compared with."""

    about: str
    reference: str


MEASURES: Mapping[str, MeasureInfo] = {
    "local_lite0": MeasureInfo("local style, Lite0", "style image"),
    "coverage_lite0": MeasureInfo("coverage, Lite0", "style image"),
    "global_lite0": MeasureInfo("global style, Lite0", "style image"),
    "local_vgg19": MeasureInfo("local style, VGG19", "style image"),
    "coverage_vgg19": MeasureInfo("coverage, VGG19", "style image"),
    "global_vgg19": MeasureInfo("global style, VGG19", "style image"),
    "palette_excess": MeasureInfo("colors not in the style image, ΔE", "style image"),
    "palette_distance": MeasureInfo("palette, ΔE", "style image"),
    "self_similarity": MeasureInfo("structure, CFSD", "content image"),
    "edge_distance": MeasureInfo("edges, HED", "content image"),
}
"""All measures by name. They are distances: smaller is nearer.

:mod:`impasto.evaluation.measures` has equations, sources, and significant differences. Lite0 is
EfficientNet-Lite0.
"""


def compare_style(image: JudgeFeatures, style: JudgeFeatures) -> dict[str, Stages]:
    """Return the distances from a style image by name, at each stage of the networks."""
    networks = {
        "lite0": (image.lite0, style.lite0, LITE0_STAGES, LITE0_STAGES),
        "vgg19": (image.vgg19, style.vgg19, LOCAL_LAYERS, VGG19_LAYERS),
    }
    colors = image.colors, style.colors
    tasks: list[tuple[str, str, Callable[..., Any], Any, Any]] = [
        ("palette_excess", "", measures.palette_excess, *colors),
        ("palette_distance", "", measures.palette_distance, *colors),
    ]
    for name, (maps, target, local, whole) in networks.items():
        tasks += [(f"local_{name}", at, measures.local_style, maps[at], target[at]) for at in local]
        tasks += [
            (f"global_{name}", at, measures.global_style, maps[at], target[at]) for at in whole
        ]
    results = threads.map_in_threads(lambda task: task[2](*task[3:]), tasks)
    distances: dict[str, dict[str, float]] = {}
    for (name, stage, *_), result in zip(tasks, results, strict=True):
        local, *coverage = result if isinstance(result, tuple) else (result,)
        distances.setdefault(name, {})[stage] = local
        for each in coverage:
            distances.setdefault(name.replace("local", "coverage"), {})[stage] = each
    return dict(distances)


def compare_structure(image: JudgeFeatures, content: JudgeFeatures) -> dict[str, Stages]:
    """Return the distances from a content image of the same size by name."""
    maps = (each.lite0[STRUCTURE_STAGE] for each in (image, content))
    return {
        "self_similarity": {STRUCTURE_STAGE: measures.self_similarity(*maps)},
        "edge_distance": {"": measures.edge_distance(image.edges, content.edges)},
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
    content: Scores
    style: Scores
    results: tuple[Scores, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return all data for JSON."""
        return asdict(self)


def judge(content: ImageLike, style: ImageLike, *images: ImageLike, size: int = SIZE) -> Judgment:
    """Rate results: distances from the style image and from the content image.

    The distances use networks that impasto does not optimize, see
    :data:`impasto.evaluation.judges.MEASURES`.

    Args:
        content: the content image: path, Pillow image or array, as for :func:`impasto.stylize`
        style: the style image
        images: results, with the aspect ratio of the content image and any size
        size: longest side in pixels of the content image and the results for the comparison; the
            style image is resized to as many pixels, but never enlarged

    Raises:
        ImageError: for an image that cannot be read or has another aspect ratio
        SettingError: for a size out of range
        WeightsError: if weights are missing; it says how to install them
    """
    _check_size(size)
    whole = load_images(content, style, images)
    return Judges().judge(*whole, size=size)


def load_images(
    content: ImageLike, style: ImageLike, images: tuple[ImageLike, ...]
) -> tuple[ImageArray, ImageArray, list[tuple[str, ImageArray]]]:
    """Read the images, with names for the results. No network is loaded yet.

    Raises ImageError for an image that cannot be read or compared.
    """
    content_pixels = load.load_image(content, "content").pixels
    style_pixels = load.load_image(style, "style").pixels
    named = []
    for number, each in enumerate(images, 1):
        known = isinstance(each, str) or hasattr(each, "__fspath__")
        name = files.display_path(each) if known else f"result {number}"  # type: ignore[arg-type]
        image = load.load_image(each, f"result {number}").pixels
        _check_shape(name, image, content_pixels)
        named.append((name, image))
    return content_pixels, style_pixels, named


class Judges:
    """Measures with loaded networks, for many pairs."""

    def __init__(self) -> None:
        """Load the networks. Raises WeightsError if weights are missing."""
        self._networks = JudgeNetworks()

    def judge(
        self,
        content: ImageArray,
        style: ImageArray,
        images: Iterable[tuple[str, ImageArray]],
        size: int = SIZE,
    ) -> Judgment:
        """Rate named images like :func:`judge`; float32 (height, width, 3) in [0, 255]."""
        with threads.one_blas_thread():  # on all of them, small products wait for each other
            return self._judge(content, style, images, size)

    def _judge(
        self,
        content: ImageArray,
        style: ImageArray,
        images: Iterable[tuple[str, ImageArray]],
        size: int,
    ) -> Judgment:
        height, width = arrays.fit(*arrays.size_of(content), size)
        compute = self._networks.compute_features
        content_features = compute(arrays.resize(content, height, width))
        style_features = compute(
            arrays.resize(style, *arrays.fit_area(*arrays.size_of(style), height * width))
        )

        def scores(name: str, laid_over: JudgeFeatures, features: JudgeFeatures) -> Scores:
            distances = {
                **compare_style(features, style_features),
                **compare_structure(laid_over, content_features),
            }
            means = {key: _mean_over_stages(distances[key]) for key in MEASURES}
            return Scores(name, means, distances)

        judged = []
        for name, image in images:
            features = compute(arrays.resize(image, height, width))
            judged.append(scores(name, features, features))
        stretched = compute(arrays.resize(style, height, width))
        return Judgment(
            size,
            scores("content", content_features, content_features),
            scores("style", stretched, style_features),
            tuple(judged),
        )


def _mean_over_stages(stages: Stages) -> float:
    return sum(stages.values()) / len(stages)


def _check_size(size: int) -> None:
    if not MIN_SIZE <= size <= MAX_SIZE:
        raise SettingError(f"size is {size}: expected {MIN_SIZE} to {MAX_SIZE} px")


def _check_shape(name: str, image: ImageArray, content: ImageArray) -> None:
    (height, width), (tall, wide) = (arrays.size_of(each) for each in (image, content))
    if abs(np.log(width * tall / (height * wide))) > ASPECT_TOLERANCE:
        raise ImageError(
            f"{name} has {width} x {height} px, the content image {wide} x {tall} px: results "
            "must have the shape of the content image"
        )
