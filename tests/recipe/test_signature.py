"""What `help`, `inspect.signature` and editors know of functions that take settings."""

import ast
import dataclasses
import inspect
import re
import typing

import pytest

import impasto
from impasto.recipe import keywords, signature
from impasto.recipe import settings as recipes
from tools import keywords as tool

NAMES = [field.name for field in dataclasses.fields(recipes.Recipe)]
FUNCTIONS = {"stylize": impasto.stylize, "Stylizer": impasto.Stylizer.__init__}


def arguments(function):
    """The section Args of a docstring, by argument, each on one line."""
    text = inspect.getdoc(function).partition("Args:\n")[2].partition("\n\n")[0]
    parts = re.split(r"^    (?=\S)", text, flags=re.MULTILINE)[1:]
    return {
        name: " ".join(rest.split()) for name, _, rest in (part.partition(":") for part in parts)
    }


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_setting_is_in_the_signature_with_type_and_default(name):
    parameters = inspect.signature(FUNCTIONS[name]).parameters
    assert [each for each in parameters if each in NAMES] == NAMES
    for field in dataclasses.fields(recipes.Recipe):
        found = parameters[field.name]
        assert found.kind is inspect.Parameter.KEYWORD_ONLY
        given = recipes.Recipe(**{field.name: found.default})
        assert getattr(given, field.name) == getattr(recipes.Recipe(), field.name)
        assert found.annotation == keywords.Settings.__annotations__[field.name].__forward_arg__
    assert not any(each.kind is each.VAR_KEYWORD for each in parameters.values())


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_argument_is_in_the_docstring_with_range_and_default(name):
    function = FUNCTIONS[name]
    documented = arguments(function)
    expected = [each for each in inspect.signature(function).parameters if each != "self"]
    assert list(documented) == expected
    for setting in NAMES:
        assert documented[setting] == signature.describe_setting(setting)
    assert documented["strength"].endswith("(0 to 1; default 0.5)")
    assert documented["size"].endswith("(16 to 65,536 px, or original; default 512)")


def test_the_docstring_has_the_sections_that_follow_the_arguments():
    text = inspect.getdoc(impasto.stylize)
    assert [text.index(each) for each in ("\nReturns:", "\nRaises:", "\nExample::")]


def test_options_of_a_run_are_documented_with_their_defaults():
    parameters = inspect.signature(impasto.stylize).parameters
    for name in impasto.RunOptions.__annotations__:
        assert arguments(impasto.stylize)[name]
    assert parameters["regions"].default == ()
    assert parameters["checkpoint_every"].default == recipes.CHECKPOINT_EVERY


def test_the_annotations_can_be_evaluated():
    hints = typing.get_type_hints(keywords.Settings)
    assert list(hints) == NAMES
    assert typing.get_args(hints["colors"]) == ("style", "content", "match")


def test_the_generated_module_is_current():
    assert tool.MODULE.read_text(encoding="utf-8") == tool.module()


def test_static_tools_read_the_same_texts():
    tree = ast.parse(tool.MODULE.read_text(encoding="utf-8"))
    (found,) = (node for node in tree.body if isinstance(node, ast.ClassDef))
    texts = [
        " ".join(ast.literal_eval(node.value).split())
        for node in found.body
        if isinstance(node, ast.Expr)
    ]
    assert texts[1:] == [signature.describe_setting(name) for name in NAMES]


def test_notebooks_complete_every_setting():
    completer = pytest.importorskip("IPython.core.completer").IPCompleter(
        namespace={"stylize": impasto.stylize}
    )
    provisional = pytest.importorskip("IPython.core.completer").provisionalcompleter
    with provisional():
        text = "stylize('a.jpg', 'b.jpg', "
        found = {each.text.rstrip("=") for each in completer.completions(text, len(text))}
    assert set(NAMES) <= found


def test_a_function_without_docstring_stays_without():
    def bare(**settings: int) -> None: ...

    bare.__doc__ = None
    assert signature.document_settings()(bare).__doc__ is None
