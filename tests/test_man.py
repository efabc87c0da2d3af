"""The manual pages of the command."""

import pytest
import typer

from impasto.cli import app

man = pytest.importorskip("tools.man", exc_type=ImportError)


def test_each_command_has_a_page_with_its_options():
    pages = man.manual_pages("2026-01-31")
    commands = vars(typer.main.get_command(app.app))["commands"]
    shown = {name for name, each in commands.items() if not each.hidden}
    assert set(pages) == {"impasto.1", *(f"impasto-{name}.1" for name in shown)}
    assert '.TH "IMPASTO STYLIZE" "1" "2026-01-31"' in pages["impasto-stylize.1"]
    assert r"\-\-strength" in pages["impasto-stylize.1"]
    assert all(name in pages["impasto.1"] for name in shown)
