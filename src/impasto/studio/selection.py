"""Selects the subject, the faces, the background or the sky of an image.

GrabCut (Rother, Kolmogorov and Blake, "GrabCut", SIGGRAPH 2004) separates foreground and background
by color models of both and by edges. It starts from seeds. Those of the subject come from
saliency (pixels whose colors differ from those at the border of the image, more in its middle) and
from faces. Those of the sky come from smooth areas that are connected with the upper border. Faces
of people are found by the cascade that scikit-image contains (Viola and Jones, CVPR 2001).
"""

import io
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import cluster, ndimage, spatial
from skimage import color, data, feature, filters

from impasto.errors import SettingError
from impasto.images import arrays
from impasto.images.formats import decode

Part: TypeAlias = Literal["subject", "face", "background", "sky"]
Selected: TypeAlias = NDArray[np.bool_]

MAX_SIDE = 400
"""Longest side in pixels at which the selection is computed."""

ITERATIONS = 4
"""Number of iterations of GrabCut."""

MIN_SHARE = 0.01
"""Minimum fraction of the image that a selection has."""


def select_part(image: Path, part: Part) -> bytes:
    """Return a mask of a part of an image, as a gray PNG of its size.

    Raises SettingError if there is no such part, or if OpenCV is missing.
    """
    pixels = decode.read_image(image).pixels
    height, width = arrays.size_of(pixels)
    size = arrays.fit(height, width, min(MAX_SIDE, max(height, width)))
    small = arrays.resize(pixels, *size).clip(0, 255).astype(np.uint8)
    finders = {"sky": _sky, "face": _faces}
    selected = finders.get(part, _subject)(small)
    least = MIN_SHARE / 10 if part == "face" else MIN_SHARE
    if not least < selected.mean() < 1 - MIN_SHARE:
        found = part if part in finders else "subject"
        raise SettingError(f"no {found} was found in this image: use the brush or the magic wand")
    if part == "background":
        selected = ~selected
    mask = arrays.resample(selected[..., None].astype(np.float32) * 255, height, width)[..., 0]
    out = io.BytesIO()
    Image.fromarray(mask.clip(0, 255).round().astype(np.uint8), "L").save(out, "PNG")
    return out.getvalue()


def _subject(pixels: NDArray[np.uint8]) -> Selected:
    saliency = salience(pixels)
    level = float(filters.threshold_otsu(saliency))
    likely = ndimage.gaussian_filter(saliency, 2) > level
    certain = ndimage.gaussian_filter(saliency, 4) > float(np.quantile(saliency, 0.95))
    height, width = likely.shape
    y, x = np.mgrid[0:height, 0:width]
    likely |= ((x / width - 0.5) / 0.24) ** 2 + ((y / height - 0.58) / 0.30) ** 2 < 1
    for left, top, wide, high in find_faces(pixels):
        middle = left + wide / 2
        certain |= _ellipse(pixels, left, top, wide, high, 0.45)
        likely |= _ellipse(pixels, left, top, wide, high, 0.85)
        body = np.clip((y - top - high) / (0.8 * high), 0, 1) * 1.1 * wide + 0.4 * wide
        likely |= (y > top + high) & (np.abs(x - middle) < body)
    border = np.ones_like(likely)
    # A subject may end at the lower border.
    border[height // 25 :, width // 25 : width - width // 25] = False
    found = _grab_cut(pixels, likely, certain & ~border, border & (saliency < level))
    return _largest(_without_holes(found))


def _faces(pixels: NDArray[np.uint8]) -> Selected:
    selected = np.zeros(pixels.shape[:2], bool)
    for left, top, wide, high in find_faces(pixels):
        selected |= _ellipse(pixels, left, top, wide, high, 0.62)
    return selected


def _ellipse(
    pixels: NDArray[np.uint8], left: int, top: int, wide: int, high: int, size: float
) -> Selected:
    """Return an upright ellipse of ``size`` times a box (1 is twice as wide as the box)."""
    y, x = np.mgrid[0 : pixels.shape[0], 0 : pixels.shape[1]]
    across = (x - left - wide / 2) / (size * wide)
    down = (y - top - 0.52 * high) / (1.15 * size * high)
    return np.asarray(across**2 + down**2 < 1, bool)


def find_faces(pixels: NDArray[np.uint8]) -> list[tuple[int, int, int, int]]:
    """Return the boxes of faces in an image: left, top, width and height in pixels."""
    detector = feature.Cascade(data.lbp_frontal_face_cascade_filename())
    side = min(pixels.shape[:2])
    boxes = detector.detect_multi_scale(
        img=pixels,
        scale_factor=1.15,
        step_ratio=1,
        min_size=(side // 9, side // 9),
        max_size=(side, side),
        min_neighbor_number=3,
    )
    return [(each["c"], each["r"], each["width"], each["height"]) for each in boxes]


def salience(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the distance in CIELAB from the colors at the upper and side borders, by position.

    The distance is multiplied by a Gaussian around the middle of the image.
    """
    lab = color.rgb2lab(pixels)
    height, width = lab.shape[:2]
    rim = max(2, min(height, width) // 20)
    edge = np.concatenate(
        [lab[:rim].reshape(-1, 3), lab[:, :rim].reshape(-1, 3), lab[:, -rim:].reshape(-1, 3)]
    )
    centers, _ = cluster.vq.kmeans2(edge, 8, minit="++", seed=0)
    far, _ = spatial.KDTree(centers).query(ndimage.gaussian_filter(lab, (1.5, 1.5, 0)))
    y, x = np.mgrid[0:height, 0:width]
    middle = np.exp(-(((x / width - 0.5) / 0.30) ** 2 + ((y / height - 0.55) / 0.36) ** 2))
    return np.asarray(ndimage.gaussian_filter(far, 3) * (0.15 + middle), np.float64)


def _sky(pixels: NDArray[np.uint8]) -> Selected:
    lab = color.rgb2lab(pixels)
    height = len(lab)
    rough = ndimage.gaussian_filter(filters.sobel(lab[..., 0]) + filters.sobel(lab[..., 2]), 1.2)
    smooth = rough < 1.6
    # The sky is bright or blue; grass and walls are not.
    bright = (lab[..., 0] > 45) | (lab[..., 2] < -6)
    green = (lab[..., 1] < -8) & (lab[..., 2] > 6)
    labels, _ = ndimage.label(smooth & bright & ~green)
    top = np.unique(labels[: max(2, height // 40)])
    likely = np.isin(labels, top[top > 0])
    likely[int(0.85 * height) :] = False
    if likely.mean() < MIN_SHARE:
        return likely
    certain = ndimage.binary_erosion(likely, iterations=3)
    below = np.zeros_like(likely)
    below[int(0.8 * height) :] = True
    lowest = height - 1 - np.argmax(likely[::-1], axis=0)
    far_below = np.arange(height)[:, None] > lowest + height // 10
    found = _grab_cut(pixels, likely, certain, (below | far_below) & ~likely)
    labels, _ = ndimage.label(found)
    top = np.unique(labels[: max(2, height // 40)])
    return np.asarray(np.isin(labels, top[top > 0]), bool)


def _grab_cut(
    pixels: NDArray[np.uint8], likely: Selected, certain: Selected, never: Selected
) -> Selected:
    """Return the foreground by GrabCut, from seeds (height, width)."""
    cv2 = _opencv()
    mask = np.where(likely, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    mask[certain], mask[never] = cv2.GC_FGD, cv2.GC_BGD
    if not np.isin(mask, (cv2.GC_FGD, cv2.GC_PR_FGD)).any():
        return np.zeros_like(likely)
    models = np.zeros((2, 1, 65))
    cv2.setRNGSeed(0)
    cv2.grabCut(
        np.ascontiguousarray(pixels[..., ::-1]), mask, None, models[0], models[1], ITERATIONS,
        cv2.GC_INIT_WITH_MASK,
    )  # fmt: skip
    return np.isin(mask, (cv2.GC_FGD, cv2.GC_PR_FGD))


def _without_holes(selected: Selected) -> Selected:
    """Return a selection whose holes of less than a sixtieth of the image are filled."""
    labels, _ = ndimage.label(~selected)
    small = np.bincount(labels.ravel()) < selected.size / 60
    small[0] = False
    return np.asarray(selected | small[labels], bool)


def _largest(selected: Selected) -> Selected:
    """Return the largest connected area, and others of at least a quarter of its size."""
    labels, count = ndimage.label(selected)
    if count < 2:
        return selected
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    return np.asarray(np.isin(labels, np.flatnonzero(sizes * 4 >= sizes.max())), bool)


def _opencv() -> Any:
    try:
        import cv2
    except ImportError:
        raise SettingError(
            "selecting by one click needs OpenCV: pip install 'impasto[studio]'"
        ) from None
    return cv2
