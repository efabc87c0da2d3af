"""What the setting ``strength`` changes: all of its effects as one value.

Every module that depends on strength uses a field of :class:`StrengthEffects`, which
``Recipe.strength_effects`` returns. docs/strength.md plots the fields.
"""

from dataclasses import dataclass

WEIGHT_EXPONENT = 1.3
"""Exponent of the weights' odds, chosen so that the content distance on a held-out network grows
about linearly with strength (benchmarks/NOTES.md)."""

HALF_STRENGTH_FRACTION = 0.85
"""The style fraction at strength 0.5. The rest, of the content image, keeps faces and ridges, for
which the style image has nothing similar (benchmarks/NOTES.md)."""


VOTE_FRACTION = 0.35
"""The vote fraction from strength 0.5 on. With 0.6, flat areas turn gray (benchmarks/NOTES.md)."""


@dataclass(frozen=True)
class StrengthEffects:
    """The effects of a strength in [0, 1].

    For all losses except matching, only the three weights apply.
    """

    content_weight: float
    """factor in [0, 1] on the weight of the content loss: 1 up to strength 0.5, then down to 0"""
    style_weight: float
    """factor in [0, 1] on the weight of the style loss: from 0 up to 1 at strength 0.5; always 1
    for matching, where strength acts on the targets instead"""
    tv_weight: float
    """factor in [0, 1] on the weight of total variation: from 0 up to 1 at strength 0.5"""
    style_fraction: float
    """the style image's fraction of a target, in [0, 1]; the rest is the content image's own
    features. Levels that only sharpen use its square. It also scales the weight of moments in
    feature splitting"""
    query_mix: float
    """fraction in [0, 1/2] of a level's initial image in the query whose nearest neighbors are
    searched; the rest is the content image. At 1/2, shapes of the style image replace those of the
    content image"""
    start_mix: float
    """fraction in [0, 1] of the blurred content image in the initial image; the rest is the sharp
    content image"""
    carry_fraction: float
    """fraction in [0, 1] of the enlarged image of the level before in the initial image of a level;
    the rest is the content image at the new size plus the change made by that level"""
    vote_fraction: float
    """fraction in [0, VOTE_FRACTION] of the style image's patches in the initial image of a level
    (``losses.voting``)"""


def strength_effects(
    strength: float, exponent: float = 1.0, in_targets: bool = False
) -> StrengthEffects:
    """Return the effects of a strength.

    The weights follow the odds o = (s / (1 - s))^(WEIGHT_EXPONENT · exponent) of the strength s:
    content is multiplied by min(1, 1 / o), style and total variation by min(1, o). The style
    fraction grows as √s up to 0.5, since the distance from the content image grows as the square of
    the fraction (benchmarks/NOTES.md), and linearly from there.

    Args:
        strength: in [0, 1]
        exponent: that of the style loss, relative to Gram matrices
        in_targets: whether strength changes the targets of the style loss instead of its weight

    >>> strength_effects(0.5)
    ... # doctest: +NORMALIZE_WHITESPACE
    StrengthEffects(content_weight=1.0, style_weight=1.0, tv_weight=1.0, style_fraction=0.85,
        query_mix=0.25, start_mix=1.0, carry_fraction=0.85, vote_fraction=0.35)
    """
    less = min(strength, 1 - strength)
    odds = (less / (1 - less)) ** (WEIGHT_EXPONENT * exponent)
    content, style = (1.0, odds) if strength < 0.5 else (odds, 1.0)
    fraction = _style_fraction(strength)
    return StrengthEffects(
        content_weight=content,
        style_weight=1.0 if in_targets else style,
        tv_weight=style,
        style_fraction=fraction,
        query_mix=strength / 2,
        start_mix=min(1.0, 2 * strength),
        carry_fraction=fraction,
        vote_fraction=VOTE_FRACTION * min(1.0, fraction / HALF_STRENGTH_FRACTION),
    )


def _style_fraction(strength: float) -> float:
    """Return 0 at strength 0, HALF_STRENGTH_FRACTION at 0.5, 1 at 1."""
    if strength < 0.5:
        return HALF_STRENGTH_FRACTION * (2 * strength) ** 0.5
    return HALF_STRENGTH_FRACTION + (1 - HALF_STRENGTH_FRACTION) * (2 * strength - 1)
