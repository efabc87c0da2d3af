"""Signatures and docstrings of functions that take settings by name, for ``help`` and editors.

A function has ``**settings: Unpack[Settings]``, which type checkers and editors read. At run time
:func:`document_settings` puts every setting into its signature and its docstring, with type,
default, range and description, from the fields of :class:`Recipe`. ``keywords`` has the same texts
for tools that read only source files.
"""

import functools
import inspect
import re
import textwrap
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, TypeVar

from impasto.recipe import settings as recipes
from impasto.recipe.keywords import Settings

Function = TypeVar("Function", bound=Callable[..., Any])

LINE = 88
"""Maximum length of a line of an argument, without its indentation."""


def describe_setting(name: str) -> str:
    """Return help, range and default of a setting.

    >>> describe_setting("seed")
    'Random seed. (0 to 4,294,967,295; default 0)'
    """
    default, about = _settings()[name]
    shown = re.sub(r",(?=\S)", ", ", about.default_text or about.format(default))
    values = filter(None, (describe_values(about), f"default {shown}" if shown else ""))
    return f"{about.help} ({'; '.join(values)})"


def describe_values(about: recipes.SettingInfo) -> str:
    """Return the allowed values with their unit, as people write numbers.

    >>> describe_values(_settings()["size"][1])
    '16 to 65,536 px, or original'
    """
    text = re.sub(r"\d{5,}", lambda number: f"{int(number[0]):,}", about.allowed_values)
    numbers, separator, words = text.partition(", or ")
    return f"{numbers}{' ' * bool(about.unit)}{about.unit}{separator}{words}"


@functools.cache
def _settings() -> dict[str, tuple[recipes.Value, recipes.SettingInfo]]:
    return {name: (default, about) for name, _, default, about in recipes.iter_settings()}


def default_argument(name: str) -> recipes.Value:
    """Return the default of a setting as an argument that a recipe accepts.

    >>> default_argument("size"), default_argument("tile"), default_argument("content_layers")
    (512, 'auto', 'block4_conv2')
    >>> default_argument("blend"), default_argument("style_scale")
    ((), 1.0)
    """
    default, about = _settings()[name]
    if isinstance(default, tuple) and default:
        return default[0] if default == (1.0,) else about.format(default)
    return next((word for word, number in about.words.items() if number == default), default)


class Annotation(str):
    """The source text of an annotation, shown without quotes."""

    def __repr__(self) -> str:
        """Return the text."""
        return str(self)


def _annotation(given: Any) -> Any:
    """Return an annotation with the names of types that the source has, such as ImageLike."""
    text = getattr(given, "__forward_arg__", given)
    return Annotation(text) if isinstance(text, str) else given


def document_settings(
    options: type | None = None, defaults: Mapping[str, Any] = MappingProxyType({})
) -> Callable[[Function], Function]:
    """Return a decorator that puts the settings into signature and docstring of a function.

    The last parameter of the function, ``**NAME``, and its line in the docstring are replaced.

    Args:
        options: a TypedDict of further keyword arguments, which the docstring of the class
            describes in its section Attributes; they come before the settings
        defaults: the defaults of these arguments, if they are not None
    """

    def decorate(function: Function) -> Function:
        signature = inspect.signature(function)
        *own, rest = signature.parameters.values()
        for name, kind in (options.__annotations__ if options else {}).items():
            own.append(_keyword(name, defaults.get(name), kind))
        for name, kind in Settings.__annotations__.items():
            own.append(_keyword(name, default_argument(name), kind))
        changed = signature.replace(
            parameters=[each.replace(annotation=_annotation(each.annotation)) for each in own],
            return_annotation=_annotation(signature.return_annotation),
        )
        function.__signature__ = changed  # type: ignore[attr-defined]
        if function.__doc__:  # not with python -OO
            function.__doc__ = _with_arguments(function.__doc__, rest.name, options)
        return function

    return decorate


def _keyword(name: str, default: Any, kind: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)


def _with_arguments(doc: str, rest: str, options: type | None) -> str:
    """Return a docstring with the line of ``**rest`` replaced by lines of all arguments."""
    replaced = re.search(rf"^( +)\*\*{rest}:.*\n(?:\1 +\S.*\n)*", doc, flags=re.MULTILINE)
    assert replaced is not None
    lines = [_attributes(options), *map(_argument, Settings.__annotations__)]
    text = textwrap.indent("\n".join(filter(None, lines)), replaced[1])
    return f"{doc[: replaced.start()]}{text}\n{doc[replaced.end() :]}"


def _attributes(options: type | None) -> str:
    """Return the section Attributes of a class, without its heading and indentation."""
    text = inspect.getdoc(options) or "" if options else ""
    return textwrap.dedent(text.partition("Attributes:\n")[2]).rstrip()


def _argument(name: str) -> str:
    text = f"{name}: {describe_setting(name)}"
    return textwrap.fill(text, LINE, subsequent_indent=" " * 4, break_on_hyphens=False)
