"""The Python examples of pages and of public docstrings run, at a small size."""

import ast
import asyncio
import inspect
import re
import textwrap
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import impasto
from tests.video import clips

ROOT = Path(__file__).parents[1]
PAGES = ["README.md", *sorted(each.relative_to(ROOT).as_posix() for each in ROOT.glob("docs/*.md"))]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
LITERAL = re.compile(r"Example::\n\n((?:    .*\n|\n)+)")
FILE = re.compile(r'"([\w-]+\.(?:jpg|png))"')

SMALL = {"size": 48, "evaluations": 2}
"""Settings with which the examples run, instead of theirs."""


PAINTING = (
    *("impasto.stylize", "impasto.Stylizer"),
    *("impasto.reconstruct_layers", "impasto.compare_layers_and_weights"),
)


class Smaller(ast.NodeTransformer):
    """Sets SMALL in each call of one of PAINTING."""

    def visit_Call(self, node: ast.Call) -> ast.Call:
        self.generic_visit(node)
        if ast.unparse(node.func) in PAINTING:
            kept = [each for each in node.keywords if each.arg not in SMALL]
            small = [ast.keyword(name, ast.Constant(value)) for name, value in SMALL.items()]
            node.keywords = [*kept, *small]
        return node


def page_examples():
    for page in PAGES:
        blocks = BLOCK.findall((ROOT / page).read_text(encoding="utf-8"))
        if blocks:  # later ones use names of earlier ones
            yield pytest.param("\n".join(blocks), id=page)


def docstring_examples():
    for name in impasto.__all__:
        value = getattr(impasto, name)
        members = vars(value).values() if inspect.isclass(value) else ()
        for each in (value, *members):
            text = inspect.getdoc(each) if callable(each) else None
            for code in LITERAL.findall(f"{text}\n"):
                before = "import impasto\n"
                if inspect.isclass(value) and each is not value:
                    before += "stylizer = impasto.Stylizer()\n"
                yield pytest.param(before + textwrap.dedent(code), id=name)


@pytest.fixture
def inputs(tmp_path, monkeypatch):
    """A function that writes the images that an example names, into the working folder."""
    monkeypatch.chdir(tmp_path)

    def write(code):
        for number, name in enumerate(sorted(set(FILE.findall(code)))):
            pixels = np.random.default_rng(number).uniform(0, 255, (40, 48, 3)).astype(np.uint8)
            # Masks are PNG in the examples.
            shown = pixels[..., 0] if name.endswith(".png") else pixels
            Image.fromarray(shown).save(tmp_path / name)
        if '"clip.mp4"' in code:
            clips.write(tmp_path / "clip.mp4", clips.pan(3))

    return write


@pytest.mark.slow
@pytest.mark.parametrize("code", [*page_examples(), *docstring_examples()])
def test_an_example_runs(code, inputs):
    inputs(code)
    tree = ast.fix_missing_locations(Smaller().visit(ast.parse(code)))
    program = compile(tree, "example", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    ran = eval(program, {"__name__": "__main__"})
    if program.co_flags & inspect.CO_COROUTINE:
        asyncio.run(ran)


def test_examples_are_found_on_pages_and_in_docstrings():
    found = {each.id for each in [*page_examples(), *docstring_examples()]}
    assert {
        "README.md",
        "docs/api.md",
        "docs/python.md",
        "docs/service.md",
        "stylize",
        "Stylizer",
    } <= found


def test_every_public_name_has_an_example():
    page = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    used = {ast.unparse(each) for each in ast.walk(ast.parse("\n".join(BLOCK.findall(page))))
            if isinstance(each, ast.Attribute)}  # fmt: skip
    names = {f"impasto.{name}" for name in impasto.__all__ if name != "__version__"}
    assert names - used == set()
    methods = {f"stylizer.{name}" for name in vars(impasto.Stylizer) if not name.startswith("_")}
    for name in methods - used:
        docstring = inspect.getdoc(getattr(impasto.Stylizer, name.partition(".")[2]))
        assert "Example::" in docstring or name == "stylizer.paint", name
