"""Parametrizations of the image for the optimizer: pixels, or scaled cosine coefficients."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from impasto import filearray
from impasto.compute.arrays import Array, array_namespace, as_array_like

UNIT_STEP = 400.0
"""Pixel values per unit of a variable, at the lowest frequency.

The first step of L-BFGS has length one over all variables together. In units of pixel values that
is too short, and the first line search needs about ten evaluations to lengthen it.
"""


@dataclass(frozen=True)
class Parametrization:
    """A map between variables and points: point = inverse(variables · scale)."""

    forward: Callable[[Array], Array]
    inverse: Callable[[Array], Array]
    scale: Array

    def variables(self, point: Array) -> Array:
        """Return the variables of a point."""
        return self.forward(point) / self.scale

    def point(self, variables: Array) -> Array:
        """Return the point of variables."""
        return self.inverse(variables * self.scale)

    def gradient(self, gradient: Array) -> Array:
        """Return the gradient with respect to the variables, from that with respect to the point.

        The transform is orthogonal, so its inverse is its transpose.
        """
        return self.forward(gradient) * self.scale


PIXEL_SCALE = 100.0
"""Pixel values per unit of a variable if variables are pixels; see ``UNIT_STEP``."""

PIXELS = Parametrization(lambda point: point, lambda point: point, np.float32(PIXEL_SCALE))
"""The parametrization by pixels."""


def scaled_dct(start: Array, exponent: float = 0.5) -> Parametrization:
    """Return the parametrization by cosine coefficients of an image (height, width, channels).

    ``exponent``: see :func:`frequency_scale`.
    """
    scale = functools.partial(frequency_scale, exponent=exponent)
    return Parametrization(*_dct_pair(start), _scale_by_frequency(start, scale))


def highpass(like: Array, length: float) -> Callable[[Array], Array]:
    """Return a high-pass filter for arrays of the shape of ``like`` (height, width, channels).

    It multiplies each cosine coefficient by 1 - 2^-(length / wavelength)²: by 1/2 at a wavelength
    of ``length`` pixels, by about 1/6 at twice that, 1/24 at four times, and 1 at half.
    """
    height = like.shape[0]

    def factors(rows: Sequence[int], width: int) -> NDArray[np.float32]:
        # Coefficient n has n half periods over the whole length.
        down, across = np.array(rows)[:, None] / height, np.arange(width)[None, :] / width
        waves = length * np.hypot(down, across) / 2
        return (1.0 - 2.0 ** -(waves**2))[..., None].astype(np.float32)

    (forward, inverse), left = _dct_pair(like), _scale_by_frequency(like, factors)
    return lambda array: inverse(forward(array) * left)


SMALL = 128
"""Maximum longest side in pixels of images that are transformed by matrices on a CPU.

Importing the transforms of SciPy takes 0.15 s.
"""


def _dct_pair(like: Array) -> tuple[Callable[[Array], Array], Callable[[Array], Array]]:
    """Return the cosine transform and its inverse, for arrays on the device of ``like``."""
    if filearray.is_on_host(like) and max(like.shape[:2]) > SMALL:
        return _dct, _inverse_dct
    transforms = _cosine_by_matrices(like)
    if not filearray.is_on_host(like):
        return transforms
    forward, inverse = transforms
    return (
        lambda array: np.ascontiguousarray(forward(array)),
        lambda array: np.ascontiguousarray(inverse(array)),
    )


def _scale_by_frequency(
    like: Array, numbers: Callable[[Sequence[int], int], NDArray[np.float32]]
) -> Array:
    """Return factors (height, width, 1) of all coefficients; ``numbers`` computes some rows."""
    height, width, _ = like.shape
    result = filearray.zeros((height, width, 1))
    for rows in filearray.iter_row_slices(result):
        result[rows] = numbers(range(rows.start, rows.stop), width)
    if not filearray.is_on_host(like):
        return as_array_like(filearray.in_memory(result), like)
    return filearray.in_memory(result) if isinstance(like, np.ndarray) else result


def frequency_scale(rows: Sequence[int], width: int, exponent: float = 0.5) -> NDArray[np.float32]:
    """Return the pixel values per unit of the cosine coefficients in some rows, (rows, width, 1).

    UNIT_STEP / (1 + f)^exponent, where f is the radial frequency in half periods over the image.
    Features respond to low frequencies far more than to high ones of the same amplitude. With this
    scale the curvature is more even, and L-BFGS needs fewer evaluations.
    """
    frequency = np.hypot(np.array(rows)[:, None], np.arange(width)[None, :])
    return (UNIT_STEP * (1.0 + frequency) ** -exponent)[..., None].astype(np.float32)


def _dct(image: Array) -> Array:
    return _transform_both_axes("dct", image)


def _inverse_dct(coefficients: Array) -> Array:
    return _transform_both_axes("idct", coefficients)


def _transform_both_axes(name: str, array: Array) -> Array:
    import scipy.fft

    transform = functools.partial(getattr(scipy.fft, name), norm="ortho", workers=-1)
    across, down = (functools.partial(transform, axis=axis) for axis in (1, 0))
    return filearray.map_rows(across, filearray.map_columns(down, array))


def _cosine_by_matrices(like: Array) -> tuple[Callable[[Array], Array], Callable[[Array], Array]]:
    """Return the transform and its inverse as matrix products."""
    rows, columns = (as_array_like(_cosine_matrix(length), like) for length in like.shape[:2])

    return (
        lambda image: _between(rows, image, columns),
        lambda coefficients: _between_transposed(rows, coefficients, columns),
    )


def _cosine_matrix(length: int) -> NDArray[np.float32]:
    """Return the orthogonal matrix (length, length) of the cosine transform, a wave per row."""
    waves, positions = np.arange(length)[:, None], np.arange(length) + 0.5
    matrix = np.cos(np.pi / length * waves * positions) * (2 / length) ** 0.5
    matrix[0] /= 2**0.5
    return matrix.astype(np.float32)


def _between(rows: Array, image: Array, columns: Array) -> Array:
    ops = array_namespace(image)
    channels_first = ops.transpose(image, (2, 0, 1))
    return ops.transpose(
        ops.matmul(ops.matmul(rows, channels_first), ops.transpose(columns)), (1, 2, 0)
    )


def _between_transposed(rows: Array, coefficients: Array, columns: Array) -> Array:
    ops = array_namespace(coefficients)
    channels_first = ops.transpose(coefficients, (2, 0, 1))
    return ops.transpose(
        ops.matmul(ops.matmul(ops.transpose(rows), channels_first), columns), (1, 2, 0)
    )
