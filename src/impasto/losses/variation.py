"""The total variation loss: how much neighboring pixels differ, which smooths the picture."""

from impasto.compute.backend import Tensor, ops


def total_variation(picture: Tensor) -> Tensor:
    """Return how much neighboring pixels of a (height, width, 3) picture differ, a scalar.

    mean(Δx²) + mean(Δy²) with values in [0, 1], that is, differences divided by 255: the squared
    (anisotropic) form of Mahendran and Vedaldi 2015, section 2, with β = 2.
    """
    scaled = picture / 255.0
    down = scaled[1:] - scaled[:-1]
    right = scaled[:, 1:] - scaled[:, :-1]
    return ops.mean(ops.square(down)) + ops.mean(ops.square(right))
