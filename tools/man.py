"""Write the manual pages of the command, for ``man impasto``. ``make man``.

Usage: ``python -m tools.man FOLDER``. Formatting is by click-man. Its own search for options finds
none, since Typer has a copy of Click.
"""

import sys
from inspect import cleandoc
from pathlib import Path
from typing import Any

import typer
from click_man.man import ManPage

from impasto.cli import app
from impasto.version import __version__

NAME = "impasto"


def manual_pages(date: str) -> dict[str, str]:
    """Return the pages of the command and of its subcommands, by file name."""
    root = typer.main.get_command(app.app)
    context = typer.Context(root, info_name=NAME)
    subcommands = {name: each for name, each in vars(root)["commands"].items() if not each.hidden}
    pages = {f"{NAME}.1": _page(context, date, subcommands)}
    for name, command in subcommands.items():
        inner = typer.Context(command, info_name=name, parent=context)
        pages[f"{NAME}-{name}.1"] = _page(inner, date, {})
    return pages


def _page(context: Any, date: str, subcommands: dict[str, Any]) -> str:
    command = context.command
    page = ManPage(context.command_path)
    page.version, page.date = __version__, date
    help_text = cleandoc(command.help or "")
    page.short_help = help_text.partition("\n")[0].rstrip(".")
    page.description = help_text
    page.synopsis = " ".join(command.collect_usage_pieces(context))
    records = (each.get_help_record(context) for each in command.params if _is_option(each))
    page.options = [each for each in records if each]
    page.commands = [
        (name, (each.help or "").partition("\n")[0]) for name, each in subcommands.items()
    ]
    return str(page)


def _is_option(parameter: Any) -> bool:
    return parameter.param_type_name == "option" and not parameter.hidden


def main() -> None:
    """Write all pages into a folder."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    changelog = (Path(__file__).parents[1] / "CITATION.cff").read_text(encoding="utf-8")
    date = changelog.partition("date-released: ")[2].split()[0]
    for name, text in manual_pages(date).items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
