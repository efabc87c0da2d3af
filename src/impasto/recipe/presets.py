"""Presets: the built-in ones, and those of the user from a TOML file.

::

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
from typing import Any

import platformdirs

from impasto import files
from impasto.errors import SettingError
from impasto.recipe import settings as recipes
from impasto.recipe.settings import Preset

MAX_FILE_BYTES = 1_000_000
"""Maximum size of a file of presets in bytes."""


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
        return dict(recipes.PRESETS)
    own: dict[str, Preset] = {}
    for name, table in _read_tables(path).items():
        try:
            if name in recipes.PRESETS:
                raise SettingError("there is a built-in preset of this name: choose another name")
            own[name] = _parse_preset(table, {**recipes.PRESETS, **own})
        except SettingError as error:
            raise SettingError(f"{path}, preset {name}: {error}") from None
    return {**recipes.PRESETS, **own}


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
    about, base = settings.pop("about", ""), settings.pop("preset", recipes.DEFAULT)
    if not isinstance(about, str) or not isinstance(base, str):
        raise SettingError("about and preset must be text")
    if settings.get("init", recipes.STARTS[0]) not in recipes.STARTS:
        # A file of presets must not make impasto read another file.
        possible = ", ".join(recipes.STARTS)
        raise SettingError(
            f"init must be one of {possible}: give a file on the command line instead"
        )
    recipes.make_recipe(
        base, known, **settings
    )  # fails now for invalid settings, and not when the preset is used
    return Preset(about, {**known[base].settings, **settings})
