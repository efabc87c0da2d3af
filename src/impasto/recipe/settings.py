"""Every setting with its default, help, unit and range, and conversion from and to JSON.

The command line, the Python API and the documentation read the settings from the fields of
:class:`Recipe`. No other module states a default.
"""

import dataclasses
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from impasto.errors import SettingError, suggest_names
from impasto.recipe.keywords import Settings as Settings
from impasto.recipe.strength import StrengthEffects, strength_effects
from impasto.recipe.values import Layers as Layers
from impasto.recipe.values import Numbers as Numbers
from impasto.recipe.values import SettingInfo as SettingInfo
from impasto.recipe.values import Value as Value
from impasto.recipe.values import (
    check_value,
    convert_value,
    describe_value,
)
from impasto.recipe.values import format_value as format_value

STARTS = ("content", "style", "noise")
"""Named initial images; any other value of ``init`` is a path."""


ORIGINAL = -1
"""The size of the content image."""

AUTO = -1
"""The tile size is chosen by the memory that is free."""

WHOLE = 0
"""The image is processed as a whole."""

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

MOMENT_DEFAULTS: dict[str, Value] = {
    "style_layers": FIVE_LAYERS,
    "content_weight": 1.0,
    "style_weight": 10.0,
    "tv_weight": 1.0,
    "strips": 4,
    "evaluations": 12,
}
"""Defaults of the settings whose default depends on the style loss: for all losses except
matching."""

MATCHING_DEFAULTS: dict[str, Value] = {
    "style_layers": TEN_LAYERS,
    "content_weight": 0.0,
    "style_weight": 1.0,
    "tv_weight": 0.0,
    "strips": 1,
    "evaluations": 4,
}
"""Defaults of the same settings for matching, whose targets follow the content image's shapes."""


class StyleLossInfo(NamedTuple):
    """A style loss for users; ``losses.style.STYLE_LOSSES`` has its implementation."""

    help: str
    scale: float = 1.0
    """factor on the loss, so that a style weight means the same for every style loss"""
    strength_exponent: float = 1.0
    """exponent of the strength, relative to that of Gram matrices"""
    defaults: Mapping[str, Value] = MOMENT_DEFAULTS
    """defaults of the settings that depend on the style loss"""
    strength_in_targets: bool = False
    """whether strength changes the targets instead of the weight"""


# benchmarks/strength.py fits scale and strength_exponent; a new style loss may start without them.
STYLE_LOSSES: dict[str, StyleLossInfo] = {
    "matching": StyleLossInfo(
        "features of all layers at a position against their nearest neighbor in the style image, "
        "searched once per level",
        defaults=MATCHING_DEFAULTS,
        strength_in_targets=True,
    ),
    "gram": StyleLossInfo("Gram matrices (Gatys et al.)"),
    "moments": StyleLossInfo("Gram matrices, channel means and deviations", 0.77, 0.99),
    "wasserstein": StyleLossInfo(
        "Wasserstein distance between Gaussians of the same moments", 0.75, 0.74
    ),
    "neighbors": StyleLossInfo(
        "nearest neighbors per layer, searched at every evaluation", 2.4, 1.04
    ),
}
"""Style losses by the value of the setting ``style_loss``."""


def _setting(default: Value, help: str, **about: Value) -> Value:
    return dataclasses.field(default=default, metadata={"about": SettingInfo(help, **about)})


def _setting_by_style_loss(name: str, help: str, **about: Value) -> Value:
    """Return a setting whose default depends on the style loss; None until a recipe is made."""
    usual = (
        f"{format_value(MATCHING_DEFAULTS[name])} with matching, else "
        f"{format_value(MOMENT_DEFAULTS[name])}"
    )
    return _setting(None, help, default_text=usual, **about)


@dataclass(frozen=True)
class Recipe:
    """All settings of a run. Immutable, and validated when it is created.

    Raises:
        SettingError: names the setting, the value received and the values allowed
    """

    size: int = _setting(
        512,
        "Longest side of the result; the aspect ratio is kept. The value original uses the size of "
        "the content image.",
        unit="px",
        words={"original": ORIGINAL},
        minimum=16,
        maximum=65536,
    )
    content_layers: Layers = _setting(
        CONTENT_LAYERS, "Layers of the content loss: NAME or NAME=WEIGHT."
    )
    style_layers: Layers = _setting_by_style_loss(
        "style_layers",
        "Layers of the style loss: NAME or NAME=WEIGHT.",
    )
    blend: Numbers = _setting(
        (), "Weights of the style images, one for each; equal by default.", minimum=0
    )
    style_scale: Numbers = _setting(
        (1.0,),
        "Size of the style images relative to the result; larger values give larger strokes. One "
        "number, or one for each style image, those of regions last.",
        minimum=0.1,
        maximum=10,
    )
    colors: str = _setting(
        "style",
        "Colors of the result: style, those of the style images; content, those of the content "
        "image, by changing only lightness; match, those of style images whose color mean and "
        "covariance are first matched to the content image.",
        choices=("style", "content", "match"),
    )
    strength: float = _setting(
        0.5,
        "How far the result moves from the content image (0) to the style alone (1). At 0.5 the "
        "weights apply as given. With matching, 1 also allows shapes of the style image.",
        minimum=0,
        maximum=1,
    )
    content_weight: float = _setting_by_style_loss(
        "content_weight", "Weight of the content loss.", minimum=0
    )
    style_weight: float = _setting_by_style_loss(
        "style_weight", "Weight of the style loss.", minimum=0
    )
    tv_weight: float = _setting_by_style_loss(
        "tv_weight", "Weight of the total variation loss, which smooths the result.", minimum=0
    )
    style_loss: str = _setting(
        "matching",
        "Style loss: "
        + "; ".join(f"{name}, {loss.help}" for name, loss in STYLE_LOSSES.items())
        + ".",
        choices=tuple(STYLE_LOSSES),
    )
    loss_scale: str = _setting(
        "relative",
        "Normalization of the losses: relative to the size of their targets, so that weights mean "
        "the same for every style image, or absolute, as in the paper.",
        choices=("relative", "absolute"),
    )
    strips: int = _setting_by_style_loss(
        "strips",
        "Number of overlapping vertical strips whose moments are compared besides those of the "
        "whole image, so that no side keeps the content image's look. 1 compares only the whole "
        "image. Matching compares every position and needs 1.",
        minimum=1,
        maximum=16,
    )
    init: str = _setting(
        STARTS[0], f"Initial image: {', '.join(STARTS)}, or the path of an image file."
    )
    optimizer: str = _setting(
        "lbfgs",
        "Optimizer: L-BFGS, SciPy's L-BFGS over pixels, or Adam.",
        choices=("lbfgs", "scipy", "adam"),
    )
    levels: int = _setting(
        0,
        "Number of sizes in the coarse-to-fine schedule, each about twice the one before. 1 uses "
        "the final size only; 0 chooses by the size.",
        minimum=0,
        maximum=12,
    )
    finished: int = _setting(
        0,
        "Longest side of the initial image if it is a finished result, so that only larger levels "
        "run; 0 if it is not. --finish sets it.",
        unit="px",
        minimum=0,
        maximum=65536,
    )
    structure_size: int = _setting(
        512,
        "Longest side up to which levels of matching determine structure; larger levels only "
        "sharpen the strokes.",
        unit="px",
        minimum=16,
        maximum=65536,
    )
    evaluations: int = _setting_by_style_loss(
        "evaluations",
        "Evaluations of loss and gradient at the finest level. Coarser levels, which are cheaper, "
        "get more, and levels of more than twice the structure size fewer.",
        minimum=1,
        maximum=1_000_000,
    )
    seed: int = _setting(0, "Random seed.", minimum=0, maximum=2**32 - 1)
    network: str = _setting("vgg16", "Network that computes features.", choices=("vgg16", "vgg19"))
    activations: str = _setting(
        "published",
        "Weights of the network as published, or normalized as in the paper: rescaled so that the "
        "mean activation of each channel over a set of photos is 1.",
        choices=("published", "normalized"),
    )
    pooling: str = _setting(
        "max", "Pooling between the blocks of the network.", choices=("max", "avg")
    )
    padding: str = _setting(
        "replicate",
        "Padding of convolutions: replicate repeats the values at the edge; zero, as in the paper, "
        "leaves a frame in the result.",
        choices=("replicate", "zero"),
    )
    engine: str = _setting(
        "auto",
        "Engine: native uses compiled kernels on the CPU; keras uses the backend that the "
        "environment variable KERAS_BACKEND names. auto chooses keras on a GPU, for bfloat16, and "
        "if the kernels are not built, else native.",
        choices=("auto", "native", "keras"),
    )
    precision: str = _setting(
        "auto",
        "Number format of the features. auto uses bfloat16 on a GPU and float32 elsewhere. The "
        "native engine always uses float32.",
        choices=("auto", "float32", "bfloat16"),
    )

    tile: int = _setting(
        AUTO,
        "Side of the tiles that a larger image is processed in, to limit memory. whole uses no "
        "tiles. auto uses tiles only if the image does not fit into memory, as large as fit.",
        unit="px",
        minimum=128,
        maximum=65536,
        words={"auto": AUTO, "whole": WHOLE},
    )

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            about = field.metadata["about"]
            value = about.parse_word(self._default_value(field.name) if value is None else value)
            value = convert_value(field, value)
            check_value(field.name, value, about)
            object.__setattr__(self, field.name, value)
        if not any(self.weights):
            raise SettingError(
                "all weights are zero: set content_weight, style_weight or tv_weight, or change "
                "strength"
            )
        if self.engine == "native" and self.precision == "bfloat16":
            raise SettingError(
                "precision is bfloat16, but the native engine supports only float32: omit one of "
                "the two, or use the keras engine"
            )
        if self.blend and not any(self.blend):
            raise SettingError(f"blend is {format_value(self.blend)}: all weights are zero")
        if self.style_loss == "matching":
            _check_matching(self)
        if not self.style_scale:
            raise SettingError("style_scale is empty: give one number, or one for each style image")

    def _default_value(self, name: str) -> Value:
        """Return the default of a setting for this style loss."""
        known = STYLE_LOSSES.get(self.style_loss)
        return (MOMENT_DEFAULTS if known is None else known.defaults).get(name)

    @property
    def layer_names(self) -> tuple[str, ...]:
        """All content and style layers."""
        return tuple(name for name, _ in (*self.content_layers, *self.style_layers))

    @property
    def compile_key(self) -> tuple[object, ...]:
        """Values of the settings that the compiled functions depend on."""
        names = [field.name for field in dataclasses.fields(self)]
        return tuple(getattr(self, name) for name in names if name not in _NOT_COMPILED)

    @property
    def weights(self) -> tuple[float, float, float]:
        """Weights of content, style and total variation, with strength and style loss applied."""
        return self.weights_at(1.0)

    @property
    def strength_effects(self) -> StrengthEffects:
        """What the strength changes, with this style loss."""
        loss = STYLE_LOSSES[self.style_loss]
        return strength_effects(self.strength, loss.strength_exponent, loss.strength_in_targets)

    @property
    def strength_in_targets(self) -> bool:
        """Whether strength changes the targets instead of the style weight."""
        return STYLE_LOSSES[self.style_loss].strength_in_targets

    def weights_at(self, style: float) -> tuple[float, float, float]:
        """Return the weights of content, style (times ``style``) and total variation."""
        effects = self.strength_effects
        scale = STYLE_LOSSES[self.style_loss].scale if self.loss_scale == "relative" else 1.0
        return (
            effects.content_weight * self.content_weight,
            effects.style_weight * scale * (style * self.style_weight),
            effects.tv_weight * self.tv_weight,
        )

    def to_json(self) -> str:
        """Return the recipe as JSON, with all settings in the order of the fields."""
        return json.dumps(dataclasses.asdict(self), indent=2)

    @classmethod
    def from_json(cls, text: str) -> "Recipe":
        """Parse the JSON of :meth:`to_json`. Raises SettingError for anything else."""
        try:
            settings = json.loads(text.removeprefix("\ufeff"))  # the byte order mark
        except (ValueError, RecursionError) as error:  # also for digits or brackets without end
            raise SettingError(f"the recipe is not valid JSON: {error}") from None
        return cls.from_dict(settings)

    @classmethod
    def from_dict(cls, settings: object) -> "Recipe":
        """Create a recipe from parsed JSON. Raises SettingError for anything but settings."""
        if not isinstance(settings, dict):
            kind = type(settings).__name__
            raise SettingError(f"the recipe is not a JSON object but {kind}")
        settings = with_current_names(settings)
        check_setting_names(settings)
        return cls(**settings)


# A new setting causes a new compilation unless it is listed here.
_NOT_COMPILED = {
    *("size", "blend", "style_scale", "colors", "init", "seed"),
    *("strength", "content_weight", "style_weight", "tv_weight"),
    *("optimizer", "levels", "structure_size", "evaluations", "finished", "tile"),
}


RENAMED = {"objective": "style_loss"}
"""Old and new names of renamed settings; the old names still work."""


def former_names(name: str) -> list[str]:
    """Return the old names of a setting."""
    return [old for old, new in RENAMED.items() if new == name]


def with_current_names(settings: Mapping[str, Value]) -> dict[str, Value]:
    """Replace old names of settings by new ones.

    Raises SettingError if a setting is given by both names.

    >>> with_current_names({"objective": "gram"})
    {'style_loss': 'gram'}
    """
    for old, new in RENAMED.items():
        if settings.get(old) is not None and settings.get(new) is not None:
            raise SettingError(f"{old} is the old name of {new}: give only one of them")
    return {RENAMED.get(name, name): value for name, value in settings.items()}


CHECKPOINT_EVERY = 30.0
"""Default seconds between checkpoints."""


def change_recipe(recipe: Recipe, **settings: Value) -> Recipe:
    """Return the recipe with some settings changed; None is ignored. Raises SettingError."""
    settings = with_current_names(settings)
    check_setting_names(settings)
    given = {name: value for name, value in settings.items() if value is not None}
    if given.get("style_loss", recipe.style_loss) == recipe.style_loss:
        return dataclasses.replace(recipe, **given)
    # Defaults of the old style loss become those of the new one.
    before = STYLE_LOSSES[recipe.style_loss].defaults
    own = {name: None for name in before if getattr(recipe, name) == before[name]}
    return dataclasses.replace(recipe, **{**own, **given})


def with_resolved_autos(recipe: Recipe, before: Recipe) -> Recipe:
    """Return the recipe with automatic settings replaced by the values chosen in ``before``."""
    left = {"engine": "auto", "precision": "auto", "tile": AUTO, "size": ORIGINAL}
    taken = {name: getattr(before, name) for name in left if getattr(recipe, name) == left[name]}
    return dataclasses.replace(recipe, **taken)


def iter_settings() -> Iterator[tuple[str, Value, Value, SettingInfo]]:
    """Yield name, type, default and description of each setting, in order.

    The type is one of int, float, str, Layers and Numbers.
    """
    usual = Recipe()
    for field in dataclasses.fields(Recipe):
        yield field.name, field.type, getattr(usual, field.name), field.metadata["about"]


def check_setting_names(settings: Iterable[str]) -> None:
    """Raise SettingError, which names similar settings, for an unknown name."""
    known = [field.name for field in dataclasses.fields(Recipe)]
    for name in settings:
        if name not in known:
            raise SettingError(
                f"unknown setting {describe_value(name)}: {suggest_names(name, known)}"
            )


def option_name(name: str) -> str:
    """Return the command-line option of a setting.

    >>> option_name("style_scale")
    '--style-scale'
    """
    return f"--{name.replace('_', '-')}"


def to_options(chosen: Mapping[str, object]) -> tuple[str, ...]:
    """Return settings as command-line options.

    >>> to_options({"style_scale": (2.0,), "seed": 7})
    ('--style-scale', '2', '--seed', '7')
    """
    abouts = {name: about for name, *_, about in iter_settings()}
    return tuple(
        word
        for name, value in chosen.items()
        for word in (option_name(name), abouts[name].format(value))
    )


def _check_matching(recipe: Recipe) -> None:
    """Raise SettingError for settings that matching does not support."""
    if recipe.strips != 1:
        raise SettingError(
            f"strips is {recipe.strips}: matching compares every position and supports only 1"
        )
    if recipe.loss_scale != "relative":
        raise SettingError("loss_scale is absolute: matching supports only relative")
    for name, _ in recipe.style_layers:
        if name.startswith("block5") or name.endswith("_pool"):
            raise SettingError(
                f"style_layers has {describe_value(name)}: matching supports only convolutions of "
                "blocks 1 to 4"
            )
    if all(name.startswith("block4") for name, _ in recipe.style_layers):
        raise SettingError("style_layers: matching needs at least one layer of blocks 1 to 3")


def unused_settings(recipe: Recipe) -> list[str]:
    """Return a message for each setting that differs from its default and has no effect."""
    messages = []
    if recipe.content_weight == 0 and recipe.content_layers != CONTENT_LAYERS:
        messages.append(
            "content_layers has no effect because content_weight is 0: set it, for example to 1"
        )
    alone = recipe.content_weight == recipe.tv_weight == 0
    if alone and recipe.style_weight != STYLE_LOSSES[recipe.style_loss].defaults["style_weight"]:
        messages.append(
            "style_weight has no effect because no other loss has a weight: change strength, or "
            "set content_weight or tv_weight"
        )
    return messages
