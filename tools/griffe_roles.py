"""Extensions of Griffe: signatures with all settings, and docstrings as Markdown.

A function that ``recipe.signature`` documents has its signature and docstring of run time, with
every setting. In a docstring, ``:class:`Recipe``` becomes a link to the page of the API if the name
is public, else code, and a literal block after ``Example::`` becomes a block of Python.
"""

import functools
import importlib
import inspect
import re
import textwrap
from functools import cache
from pathlib import Path
from typing import Any

import griffe

from impasto.recipe import signature

STUB = Path(__file__).parents[1] / "src" / "impasto" / "__init__.pyi"
ROLE = re.compile(r":(?:class|func|meth|mod|attr|data|exc):`~?([\w.]+)`")
LITERAL = re.compile(r"^([ \t]*)(.*)::\n\n((?:\1[ \t]+.*\n?|[ \t]*\n)+)", re.MULTILINE)


class MarkdownDocstrings(griffe.Extension):
    """Rewrites each docstring before it is parsed, and signatures with settings."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrite the docstring of an object, and the signature of a function."""
        if isinstance(obj, griffe.Function):
            document_settings(obj)
        if obj.docstring:
            obj.docstring.value = to_markdown(obj.docstring.value)

    def on_package(self, *, pkg: griffe.Module, **_: Any) -> None:
        """Show the defaults of a recipe as values, not as the expressions that make its fields."""
        for name, member in pkg["recipe.settings.Recipe"].members.items():
            if isinstance(member, griffe.Attribute) and str(member.value).startswith("_setting"):
                member.value = repr(signature.default_argument(name))


def document_settings(function: griffe.Function) -> None:
    """Add the settings to the signature and the docstring of a function that takes them by name."""
    if not any(str(each.annotation).startswith("Unpack[") for each in function.parameters):
        return
    module = importlib.import_module(function.module.path)
    names = function.path.removeprefix(f"{function.module.path}.").split(".")
    found: Any = functools.reduce(getattr, names, module)
    if not hasattr(found, "__signature__"):
        return
    for each in [each for each in function.parameters if each.kind is VAR_KEYWORD]:
        del function.parameters[each.name]
    for name, given in inspect.signature(found).parameters.items():
        if name not in function.parameters:
            kind, default = griffe.ParameterKind.keyword_only, repr(given.default)
            note = str(given.annotation)
            function.parameters.add(
                griffe.Parameter(name, annotation=note, kind=kind, default=default)
            )
    function.docstring = griffe.Docstring(
        inspect.getdoc(found) or "", parent=function, parser="google"
    )


VAR_KEYWORD = griffe.ParameterKind.var_keyword


def to_markdown(text: str) -> str:
    """Return a docstring with links and blocks of Markdown."""
    return LITERAL.sub(_code_block, ROLE.sub(_link, text))


def _link(found: re.Match[str]) -> str:
    parts = found[1].removeprefix("impasto.").split(".")
    code = f"`{parts[-1]}`"
    return f"[{code}][impasto.{parts[0]}]" if parts[0] in public_names() else code


def _code_block(found: re.Match[str]) -> str:
    margin, words, code = found[1], found[2], textwrap.dedent(found[3]).strip("\n")
    block = f"**{words}**\n\n```python\n{code}\n```\n\n"
    return textwrap.indent(block, margin)


@cache
def public_names() -> frozenset[str]:
    """Return the names that ``impasto`` exports."""
    return frozenset(re.findall(r" as (\w+)$", STUB.read_text(encoding="utf-8"), re.MULTILINE))
