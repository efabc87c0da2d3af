"""Presets: the built-in ones (`PRESETS`), and those of the user from a TOML file.

`make_recipe` creates a recipe from a preset. An example of the file::

    [my-oils]
    about = "Thick paint for portraits."   # optional
    preset = "broad-strokes"               # the preset to start from, optional
    style_weight = 20
    style_layers = { block2_conv1 = 1, block3_conv1 = 0.5 }
"""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import platformdirs

from impasto import files
from impasto.errors import SettingError, suggest_names
from impasto.recipe.settings import (
    STARTS,
    Recipe,
    Value,
    check_setting_names,
    with_current_names,
)
from impasto.recipe.values import describe_value

MAX_FILE_BYTES = 1_000_000
"""Maximum size of a file of presets in bytes."""

DEFAULT = "default"
"""The preset with the default settings."""


class Preset(NamedTuple):
    """A named set of settings, with a description."""

    help: str
    settings: Mapping[str, Value]

    def checked(self) -> dict[str, Value]:
        """Return the settings, validated and converted as in a recipe."""
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
"""Settings shared by the methods of 2015 and 2016."""

PRESETS: dict[str, Preset] = {
    DEFAULT: Preset("Matched features, coarse to fine. Strokes everywhere.", {}),
    "draft": Preset(
        "A quick look, in half of the time.",
        {"structure_size": 256, "evaluations": 2},
    ),
    "fine": Preset("More evaluations: closer to the style, 1.6 times as slow.", {"evaluations": 8}),
    "painterly": Preset(
        "Large, visible brushwork; only the shapes of the photo stay clear.",
        {"strength": 0.6, "style_scale": 1.4, "evaluations": 8},
    ),
    "bold": Preset(
        "Strong colors and strokes; the photo is only a hint.",
        {"strength": 0.75, "style_scale": 1.6},
    ),
    "subtle": Preset(
        "Close to the photo, with a light touch of the style.",
        {"strength": 0.2},
    ),
    "photo-colours": Preset(
        "The strokes of the painting in the colors of the photo.", {"colors": "content"}
    ),
    "fine-strokes": Preset(
        "Small strokes; much detail of the photo is kept.", {"style_scale": 0.6}
    ),
    "broad-strokes": Preset("Strokes twice as large.", {"style_scale": 2.0}),
    "gram": Preset(
        "Gram matrices, coarse to fine, on strips.",
        {"style_loss": "gram"},
    ),
    # Gatys, Ecker and Bethge, "Image Style Transfer Using Convolutional Neural Networks",
    # CVPR 2016: conv4_2 for content, conv1_1 ... conv5_1 for style with w_l = 1/5, average
    # pooling, weights rescaled to a mean activation of one, noise to start from.
    # Departures: VGG16 instead of VGG19. Losses are means instead of sums, and their weights are
    # chosen so that results look like the figures of the paper at 512 px (benchmarks/NOTES.md).
    # The style image is resized to the area of the result and keeps its aspect ratio.
    "gatys": Preset(
        "Settings of Gatys et al. 2016: one size, from noise, with their layers and weights.",
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
    # rounds of 20 evaluations of L-BFGS. Its losses are sums, ours are means. At 512 x 384 px its
    # content weight, 2.5e-8 per value, is multiplied by 32 * 24 * 512. Its style weight of a layer,
    # 1e-6 / 5 / (4 * 3² * (h w)²) for squared sums of products, becomes
    # 2e-7 * C² / (36 * 16^(block - 1)); 3e-5 in all.
    # Departures: total variation is squared, not to the power of 2.5, and equally strong where
    # neighbors differ by 10 of 255. L-BFGS continues instead of restarting every round. The style
    # image keeps its aspect ratio.
    "tutorial": Preset(
        "Settings of the Keras tutorial: one size, from the content image.",
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
"""The built-in presets."""


def make_recipe(
    preset: str = DEFAULT, presets: Mapping[str, Preset] | None = None, **settings: Value
) -> Recipe:
    """Create a recipe from a preset and overrides; overrides that are None are ignored.

    Args:
        preset: name of the preset
        presets: the presets to choose from; the built-in ones by default
        settings: overrides

    Raises:
        SettingError: for an unknown preset or setting, or a value out of range
    """
    return Recipe(**preset_settings(preset, presets, **settings))


def preset_settings(
    preset: str = DEFAULT, presets: Mapping[str, Preset] | None = None, **settings: Value
) -> dict[str, Value]:
    """Return the settings that :func:`make_recipe` would use; only their names are validated."""
    settings = with_current_names(settings)
    known = PRESETS if presets is None else presets
    if preset not in known:
        raise SettingError(
            f"unknown preset {describe_value(preset)}: {suggest_names(preset, known)}"
        )
    check_setting_names(settings)
    given = {name: value for name, value in settings.items() if value is not None}
    return {**known[preset].settings, **given}


def user_presets_file() -> Path:
    """Return the path of the user's presets: presets.toml in the settings folder.

    For a user without a home folder, such as a service, in the settings folder of the machine.
    """
    folder = files.user_folder("config") or Path(platformdirs.site_config_dir("impasto"))
    return folder / "presets.toml"


def available_presets(file: str | os.PathLike[str] | None = None) -> dict[str, Preset]:
    """Return the built-in presets and those of ``file``, by default the user's file if it exists.

    Raises SettingError, which names file and preset, for an invalid preset.
    """
    path = user_presets_file() if file is None else Path(file)
    if file is None and not _file_exists(path):
        return dict(PRESETS)
    own: dict[str, Preset] = {}
    for name, table in _read_tables(path).items():
        try:
            if name in PRESETS:
                raise SettingError("there is a built-in preset of this name: choose another name")
            own[name] = _parse_preset(table, {**PRESETS, **own})
        except SettingError as error:
            raise SettingError(f"{path}, preset {name}: {error}") from None
    return {**PRESETS, **own}


def _file_exists(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a home folder without read permission
        return False


def _read_tables(path: Path) -> Mapping[str, Any]:
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise SettingError(f"{path}: larger than {MAX_FILE_BYTES:,} bytes")
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise SettingError(f"{path}: cannot read presets: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise SettingError(f"{path} is not valid TOML: {error}") from None


def _parse_preset(table: Any, known: Mapping[str, Preset]) -> Preset:
    if not isinstance(table, dict):
        raise SettingError("expected a table of settings")
    settings = dict(table)
    about, base = settings.pop("about", ""), settings.pop("preset", DEFAULT)
    if not isinstance(about, str) or not isinstance(base, str):
        raise SettingError("about and preset must be text")
    if settings.get("init", STARTS[0]) not in STARTS:
        # A file of presets must not make impasto read another file.
        possible = ", ".join(STARTS)
        raise SettingError(
            f"init must be one of {possible}: give a file on the command line instead"
        )
    make_recipe(
        base, known, **settings
    )  # fails now for invalid settings, and not when the preset is used
    return Preset(about, {**known[base].settings, **settings})
