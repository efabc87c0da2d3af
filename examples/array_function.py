"""Style transfer as a function of arrays, with the conventions of scikit-image.

pip install impasto
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.color import gray2rgb
from skimage.util import img_as_float, img_as_ubyte

import impasto


def transfer_style(
    image: NDArray[Any],
    style: NDArray[Any],
    *,
    strength: float = 0.5,
    preserve_colors: bool = False,
    max_size: int | None = None,
    rng: int = 0,
    channel_axis: int | None = -1,
) -> NDArray[np.float64]:
    """Transfer the style of an image to another one.

    Parameters
    ----------
    image : (M, N[, 3]) ndarray
        Content image, of any dtype that ``skimage.util.img_as_float`` accepts.
    style : (P, Q[, 3]) ndarray
        Style image.
    strength : float, optional
        From the content image (0) to the style alone (1).
    preserve_colors : bool, optional
        Whether to keep the colors of ``image``, and to change only its lightness.
    max_size : int, optional
        Longest side of the result in pixels; by default that of ``image``.
    rng : int, optional
        Seed of pseudo-random numbers.
    channel_axis : int or None, optional
        Axis of the color channels of both images; None for grayscale images.

    Returns
    -------
    out : (M, N, 3) ndarray of float
        Result in [0, 1], with the channels at ``channel_axis``, or last for grayscale images.

    Examples
    --------
    >>> from skimage import data
    >>> out = transfer_style(data.coffee(), data.rocket(), max_size=64)
    >>> out.shape
    (43, 64, 3)
    """
    arrays = [_to_rgb(each, channel_axis) for each in (image, style)]
    result = impasto.stylize(
        *arrays,
        size=max(arrays[0].shape[:2]) if max_size is None else max_size,
        strength=strength,
        colors="content" if preserve_colors else "style",
        seed=rng,
    )
    out = result.pixels.astype(np.float64) / 255
    return out if channel_axis is None else np.moveaxis(out, -1, channel_axis)


def _to_rgb(image: NDArray[Any], channel_axis: int | None) -> NDArray[np.uint8]:
    image = gray2rgb(image) if channel_axis is None else np.moveaxis(image, channel_axis, -1)
    return img_as_ubyte(img_as_float(image))
