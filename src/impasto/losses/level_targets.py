"""The targets of a level: of content, style and total variation, for each tile.

Every term computes its own, in its method ``make_target``. Content: features of the content image.
Style by matching: nearest neighbors among the features of the style images. Other style losses
(``style.LayerwiseTerm``): moments or features of the style images, by layer and region.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from impasto.compute.arrays import HostArray
from impasto.images.arrays import ImageArray
from impasto.images.style_regions import StyledRegion
from impasto.losses.level_roles import STRUCTURE, LevelRole
from impasto.losses.objective import TileTargets, term_weights, total_loss
from impasto.losses.terms import (
    LevelInputs,
    StartFunction,
    Target,
    TargetTile,
    TiledFeatureExtractor,
)
from impasto.recipe.settings import Recipe


@dataclass(frozen=True)
class LevelTargets:
    """The targets of a level, computed for each tile on demand, and the weights of the terms."""

    level_inputs: LevelInputs
    terms: Mapping[str, Callable[[TargetTile], Target]]
    weights: HostArray
    """(3,) in the order of TERMS"""
    starts: tuple[StartFunction, ...] = ()
    """functions that change the image to start from, see ``terms.LevelTarget``"""

    def for_tile(self, target_tile: TargetTile) -> TileTargets:
        """Return the targets of a tile."""
        targets = {name: target(target_tile) for name, target in self.terms.items()}
        return TileTargets(targets, self.weights)

    def for_full_image(self) -> TileTargets:
        """Return the targets of an image that is one tile."""
        (target_tile,) = self.level_inputs.iter_target_tiles()
        return self.for_tile(target_tile)


def make_level_targets(
    extractor: TiledFeatureExtractor,
    recipe: Recipe,
    content: ImageArray,
    regions: Iterable[StyledRegion],
    style: float = 1.0,
    start: ImageArray | None = None,
    role: LevelRole = STRUCTURE,
    for_styles: TiledFeatureExtractor | None = None,
) -> LevelTargets:
    """Compute the targets of a level.

    Args:
        extractor: computes features of the layers of ``objective.required_layers``
        recipe: the settings
        content: the content image at the size of the level, (height, width, 3)
        regions: masks of that size, and style images at the sizes to use
        style: factor on the style weight
        start: the initial image of the level, of the size of ``content``; None at the first level
        role: the role of the level
        for_styles: see :attr:`impasto.losses.terms.LevelInputs.for_styles`
    """
    level_inputs = LevelInputs(extractor, content, tuple(regions), start, for_styles)
    terms = total_loss(recipe, role).terms
    targets = {name: term.make_target(level_inputs) for name, term in terms.items()}
    for_tile = {name: each.for_tile for name, each in targets.items()}
    starts = tuple(each.start for each in targets.values() if each.start is not None)
    return LevelTargets(level_inputs, for_tile, term_weights(recipe, style), starts)
