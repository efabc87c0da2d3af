"""Help of the commands: plain text in groups, short by default, and whole with ``--help-all``."""

import re
import textwrap
from typing import Annotated, Any

import typer
from typer.core import TyperArgument, TyperCommand, TyperGroup

ADVANCED: set[str] = set()
"""Parameters that only ``--help-all`` shows; ``options`` adds to it."""

SHORT_HELP: dict[str, str] = {}
"""Help of parameters in the short help, if it is not the first sentence of their help."""

SHORT_ORDER: list[str] = []
"""The first parameters of the short help, in order; ``options`` adds to it."""

OLD_NAMES = {"--objective", "--save-every"}
"""Old names of options: they work, and the help does not show them."""

HEADINGS = ("Arguments", "Settings", "Regions", "Files")
"""The first groups of the help, in order."""

COLUMN = 26
"""Maximum width of the names of options; the help of a longer one begins on the next line."""

LINE_WIDTH = 60
"""Maximum length of the help that a shell shows beside a completion."""

TYPE_NAMES = {"str": "TEXT", "path": "PATH", "int": "N", "float": "X"}
"""Metavariables in the help, by the name of the type."""


class Command(TyperCommand):
    """A command whose help is grouped, with kinds such as ``PATH`` instead of Python types."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the parameters, for the parser and for the help."""
        return _without_types(super().get_params(ctx), ctx)

    def shell_complete(self, ctx: Any, incomplete: str) -> list[Any]:
        """Return completions without old names of options, with help of one line."""
        found = super().shell_complete(ctx, incomplete)
        return [_in_one_line(each) for each in found if each.value not in OLD_NAMES]

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return the words of the usage line after the name of the command."""
        arguments = (each for each in self.get_params(ctx) if isinstance(each, TyperArgument))
        return ["[OPTIONS]", *map(_argument_name, arguments)]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write arguments and options in groups."""
        _write_groups(self.get_params(ctx), ctx, formatter)


class Group(TyperGroup):
    """A group of commands with the same help style as :class:`Command`."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the parameters, for the parser and for the help."""
        return _without_types(super().get_params(ctx), ctx)

    def shell_complete(self, ctx: Any, incomplete: str) -> list[Any]:
        """Return completions with help of one line."""
        found = super().shell_complete(ctx, incomplete)
        for each in found:
            if each.value in self.commands:
                each.help = _summary(self.commands[each.value])
        return [_in_one_line(each) for each in found]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the commands, then the options."""
        rows = [(name, _summary(self.commands[name])) for name in self.list_commands(ctx)]
        with formatter.section("Commands"):
            formatter.write_dl(rows)
        _write_groups(self.get_params(ctx), ctx, formatter)


def _in_one_line(completion: Any) -> Any:
    """Return a completion whose help is one line.

    Typer breaks longer ones, and PowerShell and fish take every line for a completion.
    """
    if completion.help:
        completion.help = textwrap.shorten(
            first_sentence(completion.help), LINE_WIDTH, placeholder="…"
        )
    return completion


def print_all(ctx: typer.Context, given: bool) -> None:
    """Print the whole help and exit, if the option was given."""
    if given and not ctx.resilient_parsing:
        ctx.meta[__name__] = True
        typer.echo(ctx.get_help())
        raise typer.Exit


HelpAll = Annotated[
    bool,
    typer.Option("--help-all", is_eager=True, callback=print_all, help="Show all options."),
]
"""An option of commands that have a short help."""


def _without_types(parameters: list[Any], ctx: Any) -> list[Any]:
    for each in parameters:
        if isinstance(each, TyperArgument):
            each.display_type_rich = lambda ctx: None  # type: ignore[method-assign]
        elif each.is_flag:
            each.metavar = ""
        elif each.metavar is None:
            kind = re.sub(r"<|>|list\[|\]", "", each.display_type(ctx))
            each.metavar = TYPE_NAMES.get(kind.lower(), kind.upper())
    return parameters


def _summary(command: Any) -> str:
    """Return the first sentence of a command's help."""
    return re.split(r"\.(?:\s|$)", command.help or "", maxsplit=1)[0] + "."


def _write_groups(parameters: list[Any], ctx: Any, formatter: Any) -> None:
    """Write arguments and options, those of all groups in the same columns."""
    short = not ctx.meta.get(__name__) and any(each.name == "help_all" for each in parameters)
    groups = option_groups(parameters, ctx, short)
    names = [name for rows in groups.values() for name, _ in rows]
    width = max(len(name) for name in names if len(name) <= COLUMN)
    for heading, rows in groups.items():
        with formatter.section(heading):
            formatter.write_dl([(name.ljust(width), text) for name, text in rows], COLUMN)


def option_groups(
    parameters: list[Any], ctx: Any, short: bool = False
) -> dict[str, list[tuple[str, str]]]:
    """Return the names and the help of arguments and options, by heading.

    Args:
        parameters: from :meth:`Command.get_params`
        ctx: the context of the command
        short: whether to leave out advanced options, and all but a sentence of each help
    """
    grouped = any(getattr(each, "rich_help_panel", None) for each in parameters)
    last = "Run" if grouped else "Options"
    groups: dict[str, list[tuple[str, str]]] = {heading: [] for heading in HEADINGS}
    for each in _in_short_order(parameters) if short else parameters:
        if not (each.hidden or (short and each.name in ADVANCED)):
            groups.setdefault(_heading(each, last), []).append(_record(each, ctx, short))
    groups[last] = groups.pop(last)  # which ends with --help
    return {heading: rows for heading, rows in groups.items() if rows}


def _in_short_order(parameters: list[Any]) -> list[Any]:
    """Return arguments, then options with those of SHORT_ORDER first."""
    order = {name: number for number, name in enumerate(SHORT_ORDER)}

    def place(each: Any) -> int:
        return -1 if isinstance(each, TyperArgument) else order.get(each.name, len(order))

    return sorted(parameters, key=place)


def _heading(parameter: Any, last: str) -> str:
    if isinstance(parameter, TyperArgument):
        return "Arguments"
    return parameter.rich_help_panel or last


def _record(parameter: Any, ctx: Any, short: bool) -> tuple[str, str]:
    """Return the names of a parameter and its help."""
    name, text = parameter.get_help_record(ctx)
    if isinstance(parameter, TyperArgument):
        name, text = _argument_name(parameter), text.removesuffix("[required]").rstrip()
    else:
        flags = sorted((each for each in parameter.opts if each not in OLD_NAMES), key=len)
        name = ", ".join(flags) if len(flags[0]) == 2 else f"    {', '.join(flags)}"
        if parameter.secondary_opts:
            name += f" / {', '.join(parameter.secondary_opts)}"
        name += f" {parameter.metavar}" * bool(parameter.metavar)
    return name, SHORT_HELP.get(parameter.name, first_sentence(text)) if short else text


def _argument_name(parameter: Any) -> str:
    """Return the name of an argument, such as [STYLE]..."""
    name = parameter.name.upper()
    return (
        ("" if parameter.required else "[")
        + name
        + ("" if parameter.required else "]")
        + ("..." if parameter.nargs != 1 else "")
    )


def first_sentence(text: str) -> str:
    """Return a help text up to its first full stop or semicolon; brackets at its end are kept.

    >>> first_sentence("Print resolution; of the image. And more.  [default: 2]")
    'Print resolution.  [default: 2]'
    """
    text, values = re.fullmatch(r"(.*?)(\s*[\[(][^\[\]()]*[\])])?", text, flags=re.DOTALL).groups()  # type: ignore[union-attr]
    # Up to the first end of a sentence that is not in round brackets.
    sentence = re.match(r"(?:\([^()]*\)|[^()])*?(?=[.;](?:\s|$)|$)", text)
    return f"{sentence[0] if sentence else text}.{values or ''}"
