"""Every setting, once: its default, help, unit and range. JSON there and back.

The command line, the Python interface and the documentation all read the settings from the
fields of :class:`Recipe`; nothing else in the package states a default.
"""

import dataclasses
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple, TypedDict

from impasto.errors import SettingError, nearest
from impasto.recipe.values import About as About
from impasto.recipe.values import Layers as Layers
from impasto.recipe.values import LayersLike, NumbersLike, check, convert, received
from impasto.recipe.values import Numbers as Numbers
from impasto.recipe.values import Value as Value
from impasto.recipe.values import show as show

STARTS = ("content", "style", "noise")
"""The starting pictures that have a name; another one is the path of a picture."""


ORIGINAL = -1
"""The size that is the photograph's own."""

AUTO = -1
"""The tile that is chosen by how much memory is free."""

WHOLE = 0
"""The tile that is the whole picture."""

FIVE_LAYERS: Layers = (
    ("block1_conv1", 0.5),
    ("block2_conv1", 1.0),
    ("block3_conv1", 1.0),
    ("block4_conv1", 1.0),
    ("block5_conv1", 0.1),
)
"""The first layer of every block, as in Gatys et al. 2016."""

TEN_LAYERS: Layers = tuple(
    (f"block{block}_conv{number}", 1.0)
    for block, count in ((1, 2), (2, 2), (3, 3), (4, 3))
    for number in range(1, count + 1)
)
"""Every convolution of the first four blocks, as in Kolkin et al. 2022."""

CONTENT_LAYERS: Layers = (("block4_conv2", 1.0),)
"""As in Gatys et al. 2016."""

OF_MOMENTS: dict[str, Value] = {
    "style_layers": FIVE_LAYERS,
    "content_weight": 1.0,
    "style_weight": 10.0,
    "tv_weight": 1.0,
    "strips": 4,
    "evaluations": 12,
}
"""Defaults of those settings whose default goes with the style loss: for Gram matrices and what is
measured in their place."""

OF_MATCHING: dict[str, Value] = {
    "style_layers": TEN_LAYERS,
    "content_weight": 0.0,
    "style_weight": 1.0,
    "tv_weight": 0.0,
    "strips": 1,
    "evaluations": 8,
}
"""And for matching, whose targets have the photograph's shapes already."""


class StyleLoss(NamedTuple):
    """A way to measure how far a picture is from a style."""

    help: str
    scale: float = 1.0
    """what its loss is multiplied with, so that a style weight means the same for all of them"""
    dial: float = 1.0
    """how much further than the Gram matrix's the weight has to be turned to go as far"""
    defaults: Mapping[str, Value] = OF_MOMENTS
    """of the settings named there"""
    targets_turn: bool = False
    """whether strength turns what it compares with, instead of its weight"""


# Scale and dial are fitted by benchmarks/strength.py; a new measure may begin without them.
STYLE_LOSSES: dict[str, StyleLoss] = {
    "matching": StyleLoss(
        "what all layers see at a position with its nearest in the painting, found once a level",
        defaults=OF_MATCHING,
        targets_turn=True,
    ),
    "gram": StyleLoss("the Gram matrix (Gatys)"),
    "moments": StyleLoss("it with the mean and the deviation of every channel", 0.77, 0.99),
    "wasserstein": StyleLoss("the distance between Gaussians of the same moments", 0.75, 0.74),
    "neighbors": StyleLoss("every feature with its nearest in the painting", 2.4, 1.04),
}
"""Every way to measure style, by the name that the setting ``style_loss`` takes."""


def _setting(default: Value, help: str, **about: Value) -> Value:
    return dataclasses.field(default=default, metadata={"about": About(help, **about)})


def _by_style_loss(name: str, help: str, **about: Value) -> Value:
    """Return a setting whose default is the style loss's own: None, until a recipe is made."""
    usual = f"{show(OF_MATCHING[name])} with matching, else {show(OF_MOMENTS[name])}"
    return _setting(None, help, usual=usual, **about)


@dataclass(frozen=True)
class Recipe:
    """How a picture is to be painted. Immutable; checked when it is made.

    Raises SettingError, naming the setting, what was received and what is possible.
    """

    size: int = _setting(
        512,
        "Longest side of the picture; the aspect ratio stays. The word original takes the "
        "photograph's.",
        unit="px",
        words={"original": ORIGINAL},
        minimum=16,
        maximum=65536,
    )
    content_layers: Layers = _setting(
        CONTENT_LAYERS, "Layers whose features are to stay those of the photograph."
    )
    style_layers: Layers = _by_style_loss(
        "style_layers",
        "Layers that are to see the painting's manner, each with its share: NAME or NAME=WEIGHT.",
    )
    blend: Numbers = _setting(
        (), "Shares of the paintings, one for each; without it they count alike.", minimum=0
    )
    style_scale: Numbers = _setting(
        (1.0,),
        "How large the paintings are seen against the picture, one number or one for each "
        "painting, those of regions last; larger gives larger strokes.",
        minimum=0.1,
        maximum=10,
    )
    colors: str = _setting(
        "style",
        "Whose colors remain: the paintings'; or the photograph's, either by painting lightness "
        "alone (content) or by giving the paintings its mean and covariance first (match).",
        choices=("style", "content", "match"),
    )
    strength: float = _setting(
        0.5,
        "One dial from the photograph to the painting, on top of the weights: 0 leaves the "
        "photograph, 0.5 the weights as they are, 1 asks for nothing but style; with matching, "
        "the painting's own shapes.",
        minimum=0,
        maximum=1,
    )
    content_weight: float = _by_style_loss(
        "content_weight", "Weight of the content loss.", minimum=0
    )
    style_weight: float = _by_style_loss("style_weight", "Weight of the style loss.", minimum=0)
    tv_weight: float = _by_style_loss(
        "tv_weight", "Weight of the total variation loss, which smooths.", minimum=0
    )
    style_loss: str = _setting(
        "matching",
        "How style is measured: "
        + "; ".join(f"{name}, {measure.help}" for name, measure in STYLE_LOSSES.items())
        + ".",
        choices=tuple(STYLE_LOSSES),
    )
    loss_scale: str = _setting(
        "relative",
        "Losses relative to the size of their targets, so that weights mean the same for every "
        "painting; or absolute, as in the paper.",
        choices=("relative", "absolute"),
    )
    strips: int = _by_style_loss(
        "strips",
        "Upright, overlapping strips that are to have the painting's moments each, besides the "
        "picture as a whole, so that no side is left unpainted; 1 takes the whole alone, as "
        "matching does, which asks every position.",
        minimum=1,
        maximum=16,
    )
    init: str = _setting(
        STARTS[0], f"Starting picture: {', '.join(STARTS)}, or the path of a picture file."
    )
    optimizer: str = _setting(
        "lbfgs",
        "L-BFGS, SciPy's L-BFGS over the pixels, or Adam of Keras.",
        choices=("lbfgs", "scipy", "adam"),
    )
    levels: int = _setting(
        0,
        "Sizes painted one after the other from coarse to fine, each about twice the one before; "
        "1 paints at one scale, 0 chooses by the size.",
        minimum=0,
        maximum=12,
    )
    finished: int = _setting(
        0,
        "Longest side at which the starting picture was painted to its end, so that larger levels "
        "alone are painted; 0 if it was not. See --finish.",
        unit="px",
        minimum=0,
        maximum=65536,
    )
    evaluations: int = _by_style_loss(
        "evaluations",
        "Evaluations of the loss at the finest level; coarser levels, where they are cheap, get "
        "more, and levels of more than 1024 px fewer.",
        minimum=1,
        maximum=1_000_000,
    )
    seed: int = _setting(0, "Seed of the noise.", minimum=0, maximum=2**32 - 1)
    network: str = _setting("vgg16", "The frozen network that looks.", choices=("vgg16", "vgg19"))
    activations: str = _setting(
        "published",
        "The network's weights as they were published, or normalized as in the paper: rescaled so "
        "that every channel is 1 in the mean over photographs.",
        choices=("published", "normalized"),
    )
    pooling: str = _setting("max", "Pooling between the network's blocks.", choices=("max", "avg"))
    padding: str = _setting(
        "replicate",
        "What the network sees beyond the picture's edge: the values at the edge once more; or "
        "zeros as in the paper, which leave a frame.",
        choices=("replicate", "zero"),
    )
    engine: str = _setting(
        "auto",
        "What computes: compiled kernels on this processor, or Keras on the backend that "
        "KERAS_BACKEND names; auto is Keras where there is a GPU, for bfloat16, "
        "and where the kernels are not built.",
        choices=("auto", "native", "keras"),
    )
    precision: str = _setting(
        "auto",
        "Number format of the features; auto takes bfloat16 on a GPU, else float32, which the "
        "native engine always computes with.",
        choices=("auto", "float32", "bfloat16"),
    )

    tile: int = _setting(
        AUTO,
        "Side of the tiles in which a picture that is larger is looked at, which bounds memory; "
        "whole, or 0, looks at it all at once, auto does while that fits, else it takes the "
        "largest tiles that do.",
        unit="px",
        minimum=128,
        maximum=65536,
        words={"auto": AUTO, "whole": WHOLE},
    )

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            about = field.metadata["about"]
            value = about.number(self._usual(field.name) if value is None else value)
            value = convert(field, value)
            check(field.name, value, about)
            object.__setattr__(self, field.name, value)
        if not any(self.weights):
            raise SettingError(
                "all weights are zero: give content_weight, style_weight or tv_weight a value, or "
                "strength another one"
            )
        if self.engine == "native" and self.precision == "bfloat16":
            raise SettingError(
                "the native engine computes in float32, and precision is bfloat16: leave one of "
                "them out, or choose the keras engine"
            )
        if self.blend and not any(self.blend):
            raise SettingError(f"blend is {show(self.blend)}: all shares are zero")
        if self.style_loss == "matching":
            _check_matching(self)
        if not self.style_scale:
            raise SettingError("style_scale is empty: give a number, or one for each painting")

    def _usual(self, name: str) -> Value:
        """Return a setting's default, which may be the style loss's own."""
        known = STYLE_LOSSES.get(self.style_loss)
        return (OF_MOMENTS if known is None else known.defaults).get(name)

    @property
    def layers(self) -> tuple[str, ...]:
        """Every layer that is named, for content or for style."""
        return tuple(name for name, _ in (*self.content_layers, *self.style_layers))

    @property
    def compiled(self) -> tuple[object, ...]:
        """The values of those settings that a network and its compiled loss depend on."""
        names = [field.name for field in dataclasses.fields(self)]
        return tuple(getattr(self, name) for name in names if name not in _NOT_COMPILED)

    @property
    def weights(self) -> tuple[float, float, float]:
        """The weights of content, style and total variation, after strength and style loss."""
        return self.weights_at(1.0)

    @property
    def targets_turn(self) -> bool:
        """Whether strength changes what the picture is compared with."""
        return STYLE_LOSSES[self.style_loss].targets_turn

    def weights_at(self, style: float) -> tuple[float, float, float]:
        """Return the weights of content, style and variation where style weighs ``style`` times.

        With the odds o = (s / (1 - s))^DIAL of the strength s, and DIAL multiplied by the style
        loss's own, content is multiplied by min(1, 1 / o), the others by min(1, o); but not a style
        loss whose targets turn with the strength.
        """
        measure = STYLE_LOSSES[self.style_loss]
        less = min(self.strength, 1 - self.strength)
        odds = (less / (1 - less)) ** (DIAL * measure.dial)
        photograph, painting = (1.0, odds) if self.strength < 0.5 else (odds, 1.0)
        scale = measure.scale if self.loss_scale == "relative" else 1.0
        on_style = 1.0 if measure.targets_turn else painting
        return (
            photograph * self.content_weight,
            on_style * scale * (style * self.style_weight),
            painting * self.tv_weight,
        )

    def to_json(self) -> str:
        """Return the recipe as JSON, every setting in the order of the fields."""
        return json.dumps(dataclasses.asdict(self), indent=2)

    @classmethod
    def from_json(cls, text: str) -> "Recipe":
        """Read what :meth:`to_json` wrote. Raises SettingError for anything else."""
        try:
            settings = json.loads(text.removeprefix("\ufeff"))  # the byte order mark
        except (ValueError, RecursionError) as error:  # also for digits or brackets without end
            raise SettingError(f"a recipe that is not JSON: {error}") from None
        return cls.from_dict(settings)

    @classmethod
    def from_dict(cls, settings: object) -> "Recipe":
        """Make a recipe of what JSON gave. Raises SettingError for anything but settings."""
        if not isinstance(settings, dict):
            kind = type(settings).__name__
            raise SettingError(f"a recipe that is not a JSON object but {kind}")
        settings = renamed(settings)
        check_names(settings)
        return cls(**settings)


# A new setting is compiled for, until it is known not to matter.
_NOT_COMPILED = {
    *("size", "blend", "style_scale", "colors", "init", "seed"),
    *("strength", "content_weight", "style_weight", "tv_weight"),
    *("optimizer", "levels", "evaluations", "finished", "tile"),
}


class Settings(TypedDict, total=False):
    """The settings by name, for editors and type checkers; :class:`Recipe` says what each is."""

    size: int | str
    content_layers: LayersLike
    style_layers: LayersLike
    blend: NumbersLike
    style_scale: NumbersLike
    colors: str
    strength: float | str
    content_weight: float | str
    style_weight: float | str
    tv_weight: float | str
    style_loss: str
    loss_scale: str
    strips: int | str
    init: str | os.PathLike[str]
    optimizer: str
    levels: int | str
    finished: int | str
    evaluations: int | str
    seed: int | str
    network: str
    activations: str
    pooling: str
    padding: str
    engine: str
    precision: str
    tile: int | str


RENAMED = {"objective": "style_loss"}
"""Names that settings had before, and have now; the old ones go on working."""


def former(name: str) -> list[str]:
    """Return the names that a setting had before."""
    return [old for old, new in RENAMED.items() if new == name]


def renamed(settings: Mapping[str, Value]) -> dict[str, Value]:
    """Return settings by the names that they have now.

    Raises SettingError for a setting that is given by its old and its new name.

    >>> renamed({"objective": "gram"})
    {'style_loss': 'gram'}
    """
    for old, new in RENAMED.items():
        if settings.get(old) is not None and settings.get(new) is not None:
            raise SettingError(f"{old} is {new} by its old name: give one of them")
    return {RENAMED.get(name, name): value for name, value in settings.items()}


CHECKPOINT_EVERY = 30.0
"""Seconds between checkpoints, unless a person says otherwise."""

DIAL = 1.3
"""How steeply the dial of strength turns: so that the held-out distance of content grows about
evenly with it (benchmarks/NOTES.md)."""

DEFAULT = "default"
"""The preset that changes nothing."""


class Preset(NamedTuple):
    """A named set of settings."""

    help: str
    settings: Mapping[str, Value]

    def checked(self) -> dict[str, Value]:
        """Return the settings as a recipe holds them."""
        whole = Recipe(**self.settings)
        return {name: getattr(whole, name) for name in self.settings}


_CLASSIC: Mapping[str, Value] = {
    "style_loss": "gram",
    "loss_scale": "absolute",
    "strips": 1,
    "optimizer": "scipy",
    "levels": 1,
    "padding": "zero",
}
"""What recipes of 2015 and 2016 have in common."""

PRESETS: dict[str, Preset] = {
    DEFAULT: Preset("Matched features, coarse to fine: the painting's strokes all over.", {}),
    "painterly": Preset(
        "Large, visible brush-work; the photograph is clear in its shapes alone.",
        {"strength": 0.6, "style_scale": 1.4, "evaluations": 16},
    ),
    "bold": Preset(
        "The painting takes over: strong colors and strokes, the photograph a hint.",
        {"strength": 0.75, "style_scale": 1.6},
    ),
    "subtle": Preset(
        "A photograph first, touched by the painting.",
        {"strength": 0.2},
    ),
    "photo-colours": Preset(
        "The painting's strokes in the photograph's own colors.", {"colors": "content"}
    ),
    "fine-strokes": Preset("Small strokes, much detail of the photograph.", {"style_scale": 0.6}),
    "broad-strokes": Preset("Strokes twice as large, as of a broad brush.", {"style_scale": 2.0}),
    "gram": Preset(
        "The classic style loss in its best form: Gram matrices, coarse to fine, in strips.",
        {"style_loss": "gram"},
    ),
    # Gatys, Ecker and Bethge, "Image Style Transfer Using Convolutional Neural Networks",
    # CVPR 2016: conv4_2 for content, conv1_1 ... conv5_1 for style with w_l = 1/5, average
    # pooling, weights rescaled to a mean activation of one, noise to start from.
    # Departures: VGG16 for VGG19; losses are means, and the balance between them, which the paper
    # gives for sums, is chosen so that pictures look like its figures at 512 px
    # (benchmarks/NOTES.md); the painting is brought to the picture's area and keeps its own shape.
    "gatys": Preset(
        "The paper's own choices: one scale, from noise, its layers and weights.",
        {
            **_CLASSIC,
            "evaluations": 500,
            "init": "noise",
            "activations": "normalized",
            "pooling": "avg",
            "content_layers": "block4_conv2",
            "style_layers": "block1_conv1,block2_conv1,block3_conv1,block4_conv1,block5_conv1",
            "content_weight": 1.0,
            "style_weight": 20.0,
            "tv_weight": 0.0,
        },
    ),
    # Chollet, "Neural style transfer", keras.io/examples/generative/neural_style_transfer: ten
    # rounds of 20 evaluations of L-BFGS. Its losses are sums, ours are means: at 512 x 384 px its
    # weight of content, 2.5e-8 a number, is that times 32 * 24 * 512, and a layer's of style,
    # 1e-6 / 5 / (4 * 3² * (h w)²) for the squares of its sums of products, is
    # 2e-7 * C² / (36 * 16^(block - 1)), in all 3e-5.
    # Departures: squared variation for its power of 2.5, as strong where neighbors differ by 10 of
    # 255; L-BFGS goes on where it begins every round anew; the painting keeps its own shape.
    "tutorial": Preset(
        "The recipe of the Keras tutorial: one scale, from the photograph.",
        {
            **_CLASSIC,
            "evaluations": 200,
            "init": "content",
            "content_layers": "block5_conv2",
            "style_layers": "block1_conv1=1024,block2_conv1=256,block3_conv1=64,block4_conv1=16,"
            "block5_conv1=1",
            "content_weight": 9.8e-3,
            "style_weight": 3.0e-5,
            "tv_weight": 1.4e5,
        },
    ),
}
"""The presets that are built in."""


def make(
    preset: str = DEFAULT, presets: Mapping[str, Preset] | None = None, **settings: Value
) -> Recipe:
    """Make a recipe from a preset and the settings that differ from it; None is not a setting.

    ``presets`` are those there are, the built-in ones if not given. Raises SettingError for an
    unknown preset or setting and for a value that is out of range.
    """
    return Recipe(**named(preset, presets, **settings))


def named(
    preset: str = DEFAULT, presets: Mapping[str, Preset] | None = None, **settings: Value
) -> dict[str, Value]:
    """Return the settings alone that :func:`make` would set, unchecked but for their names."""
    settings = renamed(settings)
    known = PRESETS if presets is None else presets
    if preset not in known:
        raise SettingError(f"there is no preset {received(preset)}: {nearest(preset, known)}")
    check_names(settings)
    given = {name: value for name, value in settings.items() if value is not None}
    return {**known[preset].settings, **given}


def change(recipe: Recipe, **settings: Value) -> Recipe:
    """Return the recipe with other settings; None is not a setting. Raises SettingError."""
    settings = renamed(settings)
    check_names(settings)
    given = {name: value for name, value in settings.items() if value is not None}
    if given.get("style_loss", recipe.style_loss) == recipe.style_loss:
        return dataclasses.replace(recipe, **given)
    # What was the old style loss's own default becomes the new one's.
    before = STYLE_LOSSES[recipe.style_loss].defaults
    own = {name: None for name in before if getattr(recipe, name) == before[name]}
    return dataclasses.replace(recipe, **{**own, **given})


def as_chosen(recipe: Recipe, before: Recipe) -> Recipe:
    """Return the recipe with what was chosen in ``before``, where it leaves the choice open."""
    left = {"engine": "auto", "precision": "auto", "tile": AUTO, "size": ORIGINAL}
    taken = {name: getattr(before, name) for name in left if getattr(recipe, name) == left[name]}
    return dataclasses.replace(recipe, **taken)


def settings() -> Iterator[tuple[str, Value, Value, About]]:
    """Yield name, type, default and description of every setting, in order.

    The type is one of int, float, str, Layers and Numbers.
    """
    usual = Recipe()
    for field in dataclasses.fields(Recipe):
        yield field.name, field.type, getattr(usual, field.name), field.metadata["about"]


def check_names(settings: Iterable[str]) -> None:
    """Raise SettingError, naming the nearest, for a name that is no setting."""
    known = [field.name for field in dataclasses.fields(Recipe)]
    for name in settings:
        if name not in known:
            raise SettingError(f"there is no setting {received(name)}: {nearest(name, known)}")


def flag(name: str) -> str:
    """Return the option of a setting.

    >>> flag("style_scale")
    '--style-scale'
    """
    return f"--{name.replace('_', '-')}"


def as_options(chosen: Mapping[str, object]) -> tuple[str, ...]:
    """Write settings as options of the command line.

    >>> as_options({"style_scale": (2.0,), "seed": 7})
    ('--style-scale', '2', '--seed', '7')
    """
    abouts = {name: about for name, *_, about in settings()}
    return tuple(
        word for name, value in chosen.items() for word in (flag(name), abouts[name].show(value))
    )


def _check_matching(recipe: Recipe) -> None:
    """Raise SettingError for what style by matching cannot mean."""
    if recipe.strips != 1:
        raise SettingError(
            f"strips is {recipe.strips}: matching asks every position for the style, 1 is possible"
        )
    if recipe.loss_scale != "relative":
        raise SettingError("loss_scale is absolute: matching is relative to its targets")
    for name, _ in recipe.style_layers:
        if name.startswith("block5") or name.endswith("_pool"):
            raise SettingError(
                f"style_layers has {received(name)}: matching takes convolutions of blocks 1 to 4"
            )
    if all(name.startswith("block4") for name, _ in recipe.style_layers):
        raise SettingError("style_layers: matching needs a layer of blocks 1 to 3 at least")


def idle(recipe: Recipe) -> list[str]:
    """Return a sentence for every setting that was chosen and changes nothing."""
    found = []
    if recipe.content_weight == 0 and recipe.content_layers != CONTENT_LAYERS:
        found.append(
            "content_layers changes nothing, since content_weight is 0: give it a value, such as 1"
        )
    alone = recipe.content_weight == recipe.tv_weight == 0
    if alone and recipe.style_weight != STYLE_LOSSES[recipe.style_loss].defaults["style_weight"]:
        found.append(
            "style_weight changes nothing, since no other loss has a weight: turn strength, or "
            "give content_weight or tv_weight a value"
        )
    return found
