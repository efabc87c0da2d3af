"""What a loss is made of: terms that read a picture into sums, and compare the sums.

Sums are taken over positions and add up: over the parts of a picture, whoever reads them. So a
term is the same for a whole picture and for one that is read in parts.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

from impasto.compute.backend import Size, Tensor
from impasto.network.vgg import Features
from impasto.pictures.guidance import StyledRegion
from impasto.pictures.raster import Picture

EPSILON = 1e-8
"""Keeps a division by the size of a target, or by a count of positions, finite at zero."""

Maps: TypeAlias = Mapping[str, Tensor]
"""By layer, features (height, width, channels)."""

Sums: TypeAlias = Any
"""Any nesting of dicts, lists and tuples of tensors that are sums over positions."""

Target: TypeAlias = Any
"""Any nesting of dicts, lists and tuples of tensors. Those of rank 3 (height, width, channels)
belong to the positions of a layer and are cut with the picture; all others hold for all of it."""


class Columns(NamedTuple):
    """Where a part of a picture lies between its left and its right edge, in a layer's positions.

    Both are whole numbers, or tensors of them.
    """

    first: Size
    """the part's first column"""
    of: Size
    """columns of the whole picture"""


@dataclass(frozen=True)
class Seen:
    """What the network sees in a picture, or in a part of one."""

    maps: Maps
    """features, and under ``vgg.sums_of`` a layer the sums that the network gave along with it"""
    columns: Mapping[str, Columns] = field(default_factory=dict)
    """by layer, where the part lies; nothing for a whole picture"""


@dataclass(frozen=True)
class Scene:
    """What a picture of one size is to be compared with."""

    features: Features
    photograph: Maps
    """the photograph's features at this size"""
    content: Picture
    regions: tuple[StyledRegion, ...]
    """masks of this size, paintings of the sizes they are seen at"""
    receptive_field: Callable[[str], int]
    """how many pixels wide the square is that a feature of a layer sees"""
    start: Picture | None = None
    """the picture so far, which this size starts from; None at the first"""


class View(NamedTuple):
    """What is seen at one layer of the positions of a region."""

    features: Tensor
    """(height, width, C)"""
    weights: Tensor | None = None
    """(height, width, 1), how much of a position belongs to the region; None if all do"""
    columns: Columns | None = None
    """where a part of the picture lies; None for a whole one"""
    sums: Tensor | None = None
    """what the network gave of the features along with them, see ``vgg.Features``"""


class Painted(NamedTuple):
    """What is seen at one layer of a painting."""

    share: float
    """the painting's share among all of the region"""
    features: Tensor
    """(height, width, C)"""
    weights: Tensor | None = None
    """(height, width, 1), how much of a position counts; None if all do"""


class Measure(NamedTuple):
    """A way to compare what is seen at one layer with paintings; pure functions."""

    freeze: Callable[[Sequence[Painted]], Target]
    read: Callable[[View, Target], Sums]
    """what is seen -> sums that add up over the parts of a picture"""
    loss: Callable[[Sums, Target], Tensor]
    """the sums of the whole picture -> the loss, a scalar"""
    slices: int = 0
    """upright slices over which it asks the network for sums of features; see ``vgg.Features``"""
    settle: Callable[[Target, View, View], Target] | None = None
    """(target, what is seen of the picture so far, and of the photograph) -> the target that goes
    with these; None if the target is the paintings' alone"""


class Term(NamedTuple):
    """One loss among those that add up to the total; pure functions."""

    freeze: Callable[[Scene], Target]
    """what pictures of the scene's size are compared with"""
    read: Callable[[Seen, Target], Sums]
    """what is seen, and the target's part that belongs there -> sums that add up over the parts"""
    loss: Callable[[Sums, Target], Tensor]
    """the sums of the whole picture -> the loss, a scalar"""
    slices: int = 0
    """upright slices over which it asks the network for sums of features; see ``vgg.Features``"""
