"""Tables of pairs for a batch: a CSV file with a content image, style images and settings a row."""

import csv
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from impasto import files
from impasto.errors import SettingError, suggest_names
from impasto.recipe import settings as recipes

COLUMNS = ("content", "style", "result")
"""Columns besides settings; the first two are required."""

STYLE_SEPARATOR = ";"
"""Separates several style images in a cell."""

MAX_FILE_BYTES = 50_000_000
"""Maximum size of a table in bytes."""


class TableRow(NamedTuple):
    """A row of a table."""

    content: Path
    styles: tuple[str, ...]
    result: str
    """name of the result without extension; empty for one derived from the images"""
    settings: tuple[tuple[str, str], ...]
    """settings by name, as text"""
    line: int
    """line in the file, from 1"""


def read_table(path: Path) -> list[TableRow]:
    """Read a table. Relative paths start from its folder; empty cells are not given.

    Raises SettingError, which names file and line, for anything else than a table with the columns
    content and style, and possibly result and settings.
    """
    shown = files.display_path(path)
    try:
        if path.stat().st_size > MAX_FILE_BYTES:
            raise SettingError(f"{shown}: larger than {MAX_FILE_BYTES:,} bytes")
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(_iter_rows(csv.DictReader(file, strict=True), path))
    except OSError as error:
        raise SettingError(f"{shown}: cannot be read: {files.error_reason(error)}") from None
    except (csv.Error, UnicodeDecodeError) as error:
        raise SettingError(f"{shown} is not a CSV table in UTF-8: {error}") from None
    if not rows:
        raise SettingError(f"{shown} has no rows: give a content and a style image in each")
    return rows


def _iter_rows(reader: "csv.DictReader[str]", path: Path) -> Iterator[TableRow]:
    columns = [(name or "").strip() for name in reader.fieldnames or ()]
    names = _setting_names(columns, path)
    for cells in reader:
        where = f"{files.display_path(path)}, line {reader.line_num}"
        if None in cells:
            raise SettingError(f"{where} has more cells than the first line")
        row = {
            name: (cell or "").strip() for name, cell in zip(columns, cells.values(), strict=True)
        }
        if not any(row.values()):
            continue
        styles = [each.strip() for each in row["style"].split(STYLE_SEPARATOR) if each.strip()]
        if not row["content"] or not styles:
            raise SettingError(f"{where} needs a content and a style image")
        settings = tuple((name, row[column]) for column, name in names.items() if row[column])
        yield TableRow(
            _from_folder(row["content"], path),
            tuple(str(_from_folder(each, path)) for each in styles),
            row.get("result", ""),
            settings,
            reader.line_num,
        )


def _setting_names(columns: list[str], path: Path) -> dict[str, str]:
    """Return the settings by column. Raises SettingError for a missing or unknown column."""
    shown = files.display_path(path)
    for required in COLUMNS[:2]:
        if required not in columns:
            raise SettingError(
                f"{shown} has no column {required!r}: the first line names the columns, such as "
                "content,style,strength"
            )
    known = [name for name, *_ in recipes.iter_settings()]
    names = {}
    for column in columns:
        name = column.removeprefix("--").replace("-", "_")
        name = recipes.RENAMED.get(name, name)
        if column not in COLUMNS and name not in known:
            raise SettingError(
                f"{shown} has a column {column!r}: {suggest_names(name, (*COLUMNS, *known))}"
            )
        if column not in COLUMNS:
            names[column] = name
    return names


def _from_folder(name: str, path: Path) -> Path:
    return path.parent / os.path.expanduser(name)
