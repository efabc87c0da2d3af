"""The package is built in floors: a module imports from lower ones alone, and so never in a circle.

Imports inside functions and for type checkers count like all others.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import impasto

FLOORS = (
    {"errors"},
    {"files", "lbfgs", "processor", "recipe", "saving", "weightfiles"},
    {"backend", "metadata", "pictures", "presets", "provenance", "weights", "winograd"},
    {"decode", "encode", "events", "losses", "masks", "memory", "pyramid"},
    {"checkpoints", "colors", "films", "neighbors", "optimizers", "samples", "vgg"},
    {"places", "styles"},
    {"inputs"},
    {"objective"},
    {"journal"},
    {"painting"},
    {"forecast", "outputs", "sweep"},
    {"options", "progress"},
    {"interrupts"},
    {"session"},
    {"batch"},
    {"__init__", "cli"},
    {"__main__"},
)
HEIGHT = {module: height for height, floor in enumerate(FLOORS) for module in floor}
PACKAGE = Path(impasto.__file__).parent
SOURCES = [
    PACKAGE / "__init__.pyi",  # which says what __init__.py loads
    *(path for path in sorted(PACKAGE.rglob("*.py")) if path.name != "__init__.py"),
]


def imported(tree: ast.AST) -> Iterator[str]:
    """The modules of the package that are imported; a name from the package itself is __init__."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            dotted = [name.name for name in node.names]
        elif isinstance(node, ast.ImportFrom):
            source = ".".join(filter(None, ["impasto" if node.level else "", node.module]))
            dotted = [f"{source}.{name.name}" for name in node.names]
        else:
            continue
        for name in dotted:
            package, _, rest = name.partition(".")
            if package == "impasto":
                module = rest.split(".")[0]
                yield module if module in HEIGHT else "__init__"


@pytest.mark.parametrize(
    ("code", "modules"),
    [
        ("import impasto", ["__init__"]),
        ("import impasto.files as f, os", ["files"]),
        ("from impasto import files, stylize", ["files", "__init__"]),
        ("from impasto.vgg import build, Tensor", ["vgg", "vgg"]),
        ("from . import cli", ["cli"]),
        ("from .errors import nearest", ["errors"]),
        ("from os import path; import impastor", []),
        ("def f():\n from impasto import recipe as r", ["recipe"]),
        ("if TYPE_CHECKING:\n from impasto.painting import Result", ["painting"]),
    ],
)
def test_every_kind_of_import_is_seen(code, modules):
    assert list(imported(ast.parse(code))) == modules


def test_every_module_has_its_floor():
    assert sorted(path.stem for path in SOURCES) == sorted(HEIGHT)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_imports_come_from_lower_floors(path):
    used = set(imported(ast.parse(path.read_text(encoding="utf-8"))))
    too_high = {module for module in used if HEIGHT[module] >= HEIGHT[path.stem]}
    assert not too_high
