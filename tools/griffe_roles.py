"""An extension of Griffe: docstrings with Sphinx roles and literal blocks, as Markdown.

``:class:`Recipe``` becomes a link to the page of the API if the name is public, else code, and a
literal block after ``Example::`` becomes a block of Python.
"""

import re
import textwrap
from functools import cache
from pathlib import Path
from typing import Any

import griffe

STUB = Path(__file__).parents[1] / "src" / "impasto" / "__init__.pyi"
ROLE = re.compile(r":(?:class|func|meth|mod|attr|data|exc):`~?([\w.]+)`")
LITERAL = re.compile(r"^([ \t]*)(.*)::\n\n((?:\1[ \t]+.*\n?|[ \t]*\n)+)", re.MULTILINE)


class MarkdownDocstrings(griffe.Extension):
    """Rewrites each docstring before it is parsed."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrite the docstring of an object."""
        if obj.docstring:
            obj.docstring.value = to_markdown(obj.docstring.value)


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
