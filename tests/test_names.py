"""A class name is defined once in the package, and a function name in three modules at most."""

import ast
from collections import defaultdict
from pathlib import Path
from typing import TypeAlias

import impasto

PACKAGE = Path(impasto.__file__).parent

MOST_FUNCTIONS = 3
"""Modules that may define a function of one name, such as ``loss`` or ``vjp``."""


Kind: TypeAlias = type[ast.ClassDef] | type[ast.FunctionDef] | type[ast.AsyncFunctionDef]


def definitions(trees: dict[str, ast.Module], kinds: tuple[Kind, ...]) -> dict[str, list[str]]:
    """The modules that define each name at their top level."""
    found = defaultdict(list)
    for module, tree in trees.items():
        for node in tree.body:
            if isinstance(node, kinds):
                found[node.name].append(module)
    return dict(found)


def repeated(trees: dict[str, ast.Module], kinds: tuple[Kind, ...], most: int) -> list[str]:
    """The names that more than ``most`` modules define, with these modules."""
    found = definitions(trees, kinds)
    return [f"{name}: {', '.join(in_)}" for name, in_ in found.items() if len(in_) > most]


def package() -> dict[str, ast.Module]:
    paths = sorted(PACKAGE.rglob("*.py"))
    return {
        path.relative_to(PACKAGE).as_posix(): ast.parse(path.read_text(encoding="utf-8"))
        for path in paths
    }


def test_repeated_names_are_found():
    trees = {"a": ast.parse("class C: ...\ndef f(): ..."), "b": ast.parse("class C: ...")}
    assert repeated(trees, (ast.ClassDef,), 1) == ["C: a, b"]
    assert repeated(trees, (ast.FunctionDef,), 1) == []


def test_no_class_name_is_defined_twice():
    assert repeated(package(), (ast.ClassDef,), 1) == []


def test_no_function_name_is_defined_in_more_than_three_modules():
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    assert repeated(package(), functions, MOST_FUNCTIONS) == []
