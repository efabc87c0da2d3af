"""Whether a picture fits into this machine's memory, before it is begun."""

import psutil

from impasto.errors import SettingError
from impasto.pictures import fit

FIXED = 1.45e9
"""Bytes that the libraries, the network and its compilation take, whatever the size."""

PER_PIXEL = 2000
"""Bytes for each pixel that is evaluated, mostly features that the gradient needs.

Both are read off the peak resident memory of TensorFlow in float32 at 512 and 1024 px.
"""


def needed(height: int, width: int) -> float:
    """Return about how many bytes a picture of (height, width) pixels needs."""
    return FIXED + PER_PIXEL * height * width


def fits(height: int, width: int) -> bool:
    """Return whether (height, width) pixels fit into the memory that is free."""
    return needed(height, width) <= psutil.virtual_memory().available


def require(height: int, width: int) -> None:
    """Raise SettingError, naming the largest size that fits, if (height, width) does not."""
    if fits(height, width):
        return
    free = psutil.virtual_memory().available
    received = f"{width} x {height} px needs about {needed(height, width) / 1e9:.1f} GB"
    fitting = largest(height, width, free)
    advice = f"the largest size that fits is {fitting}" if fitting else "free some memory first"
    raise SettingError(f"a picture of {received} of memory, {free / 1e9:.1f} GB are free: {advice}")


def largest(height: int, width: int, free: float) -> int:
    """Return the longest side in pixels, a multiple of 16, that fits into ``free`` bytes, or 0."""
    sizes = range(16, max(height, width) + 1, 16)
    return max((size for size in sizes if needed(*fit(height, width, size)) <= free), default=0)
