"""Keeps what was computed from style images, for the next image in the same style."""

import hashlib
import math
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any

import numpy as np
import optree

from impasto.images.style_regions import StyledRegion

LIMIT_BYTES = 5e8
"""Maximum size of a cache: what the levels of one style image at 512 px need."""

LEVEL_BYTES = 5e7
"""Maximum size of a cache from one level to the next: what feature splitting needs."""

ITEM_BYTES = 4
"""Bytes of a value: float32 or int32."""


class StyleCache:
    """Caches values that were computed from style images, the least recently used dropped first.

    A cached value equals a newly computed one in every byte. A pickled cache is empty.
    """

    def __init__(self, limit: float = LIMIT_BYTES) -> None:
        """Create an empty cache for up to ``limit`` bytes."""
        self.limit, self.size = limit, 0
        self._entries: OrderedDict[Hashable, tuple[Any, int]] = OrderedDict()

    def get(self, key: Hashable, compute: Callable[[], Any]) -> Any:
        """Return the value of a key; computed if it is not cached.

        Args:
            key: everything that the value depends on, for one network
            compute: returns the value, a nested structure of arrays or tensors
        """
        if key in self._entries:
            self._entries.move_to_end(key)
            return self._entries[key][0]
        value = compute()
        size = _size(value)
        if 0 < size <= self.limit:
            self._entries[key] = value, size
            self.size += size
        while self.size > self.limit:
            _, (_, dropped) = self._entries.popitem(last=False)
            self.size -= dropped
        return value

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle without the values."""
        return (StyleCache, (self.limit,))


NO_CACHE = StyleCache(limit=0)
"""A cache that keeps nothing."""


def region_key(region: StyledRegion) -> Hashable:
    """Return the key of the style images of a region, with their weights and masks."""
    return tuple(
        (_digest(each.image), each.weight, None if each.mask is None else _digest(each.mask))
        for each in region.styles
        if each.weight
    )


def _digest(array: Any) -> Hashable:
    whole = np.ascontiguousarray(array)
    return whole.shape, hashlib.blake2b(whole.data, digest_size=16).digest()


def _size(value: Any) -> int:
    """Return the bytes of the arrays in a nested structure."""
    leaves = optree.tree_leaves(value, none_is_leaf=False)
    return sum(ITEM_BYTES * math.prod(each.shape) for each in leaves if hasattr(each, "shape"))
