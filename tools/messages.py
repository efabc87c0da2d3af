"""Generate the types of the studio's page from those of its messages. ``make docs``."""

from collections.abc import Iterator
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, is_typeddict

from impasto.studio import event_messages, messages, validation

TYPES = Path(__file__).parent / "js" / "messages.d.ts"

HEAD = "// From studio/messages.py and studio/event_messages.py; `make docs` generates this file.\n"

NAMES = {str: "string", int: "number", float: "number", bool: "boolean", NoneType: "null"}


def declarations() -> str:
    """Return the declarations of all messages that the page sends or receives, in TypeScript."""
    unions = {
        "PageRequest": messages.PageRequest,
        "PageResponse": messages.PageResponse,
        "PageMessage": event_messages.PageMessage,
    }
    kinds = dict.fromkeys(each for union in unions.values() for each in _messages_in(union))
    named = [f"type {name} = {_type(union)};\n" for name, union in unions.items()]
    return "\n".join([HEAD, *map(_interface, kinds), *named])


def _messages_in(kind: Any) -> Iterator[Any]:
    """Yield the messages that a type consists of, and theirs."""
    if is_typeddict(kind):
        yield kind
    parts = validation.field_types(kind).values() if is_typeddict(kind) else get_args(kind)
    for each in parts:
        yield from _messages_in(each)


def _interface(kind: Any) -> str:
    fields = "".join(
        f"  {name}{'' if name in kind.__required_keys__ else '?'}: {_type(of)};\n"
        for name, of in validation.field_types(kind).items()
    )
    return f"/** {kind.__doc__} */\ninterface {kind.__name__} {{\n{fields}}}\n"


def _type(kind: Any) -> str:
    """Return a type of Python in TypeScript."""
    origin, args = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _type(args[0])
    if origin is Literal:
        return " | ".join(f'"{each}"' for each in args)
    if origin in (Union, UnionType):
        return " | ".join(map(_type, args))
    if origin is list:
        item = _type(args[0])
        return f"({item})[]" if " | " in item else f"{item}[]"
    if origin is tuple:
        return f"[{', '.join(map(_type, args))}]"
    if origin is dict:
        return f"Record<string, {_type(args[1])}>"
    return "any" if kind is Any else NAMES.get(kind, kind.__name__)


if __name__ == "__main__":
    TYPES.write_text(declarations(), encoding="utf-8")
    print(TYPES)
