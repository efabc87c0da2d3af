"""Completion as the scripts of four shells ask for it, and in those shells that are installed."""

import os
import shutil
import subprocess
import sys

import pytest

from impasto.cli import app, help

SHELLS = ("bash", "zsh", "fish", "powershell", "pwsh")
START = "import sys; sys.argv[0] = 'impasto'; from impasto.cli import run; run()"


@pytest.fixture
def command(tmp_path):
    """A folder with the command, for shells to find."""
    path = tmp_path / "impasto"
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" -c "{START}" "$@"\n')
    path.chmod(0o755)
    return tmp_path


def run(words, folder, **environment):
    path = f"{folder}{os.pathsep}{os.environ['PATH']}"
    known = {**os.environ, "PATH": path, "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    done = subprocess.run(
        words, env={**known, **environment}, capture_output=True, text=True, cwd=folder
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def complete(monkeypatch, capsys):
    """A function from a line to the lines that the command prints for the script of a shell."""

    def ask(shell, line):
        word = "" if line.endswith(" ") else line.split()[-1]
        asked = {"_IMPASTO_COMPLETE": f"complete_{shell}", "_TYPER_COMPLETE_ARGS": line}
        asked |= {
            "_TYPER_COMPLETE_WORD_TO_COMPLETE": word,
            "_TYPER_COMPLETE_FISH_ACTION": "get-args",
        }
        for name, value in asked.items():
            monkeypatch.setenv(name, value)
        with pytest.raises(SystemExit) as left:
            app.app([], prog_name="impasto")
        assert not left.value.code
        return capsys.readouterr().out.splitlines()

    return ask


LINES = [
    *("impasto ", "impasto stu", "impasto stylize --colors ", "impasto stylize --preset ga"),
    *(f"impasto {name} --" for name in app.COMMANDS),
]


@pytest.mark.parametrize("line", LINES)
def test_powershell_gets_a_value_and_a_text_in_every_line(complete, line):
    """PowerShell takes each line for a completion, and refuses one without a text."""
    found = complete("powershell", line)
    assert found
    for each in found:
        value, text = each.split(":::")
        assert value.startswith(line.split(" ")[-1])
        assert text
        assert len(text) <= help.LINE_WIDTH


def test_powershell_has_commands_options_and_choices(complete):
    texts = dict(each.split(":::") for each in complete("powershell", "impasto "))
    assert list(texts) == list(app.COMMANDS)
    assert texts["studio"].startswith("Serve the web interface")
    options = dict(each.split(":::") for each in complete("powershell", "impasto stylize --st"))
    assert {"--style-scale", "--strength"} <= set(options)
    colors = [each.split(":::")[0] for each in complete("powershell", "impasto stylize --colors ")]
    assert sorted(colors) == ["content", "match", "style"]


@pytest.mark.parametrize("line", LINES)
def test_fish_gets_a_value_in_every_line(complete, line):
    words = [each.split("\t")[0] for each in complete("fish", line)]
    assert words == [each.split(":::")[0] for each in complete("powershell", line)]


@pytest.mark.slow  # processes
@pytest.mark.parametrize("shell", SHELLS)
def test_every_shell_has_a_script_and_gets_the_values_of_an_option(command, shell):
    script = run([command / "impasto", "--show-completion", shell], command)
    asking = "complete_powershell" if shell == "pwsh" else f"complete_{shell}"
    assert asking in script.replace('"', "")
    line = "impasto stylize --colors "
    asked = {"_IMPASTO_COMPLETE": f"complete_{shell}", "_TYPER_COMPLETE_ARGS": line}
    asked |= {"COMP_WORDS": line, "COMP_CWORD": "3", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    found = run([command / "impasto"], command, **asked)
    assert all(choice in found for choice in ("style", "content", "match"))


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
def test_bash_completes_commands_options_and_presets(command):
    code = "source <(impasto --show-completion bash)\n"
    for words in (["stu"], ["stylize", "--obj"], ["stylize", "--preset", "gat"]):
        quoted = " ".join(["impasto", *words])
        code += f"COMP_WORDS=({quoted}); COMP_CWORD={len(words)}; _impasto_completion impasto\n"
        code += 'echo "${COMPREPLY[*]}"\n'
    found = run(["bash", "-c", code], command).splitlines()
    assert found == ["studio", "", "gatys"]  # and no old name of an option


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("fish") is None, reason="fish is not installed")
def test_fish_completes(command):
    code = 'impasto --show-completion fish | source; complete -C "impasto stylize --colors "'
    found = run(["fish", "-c", code], command, HOME=str(command)).split()
    assert sorted(found) == ["content", "match", "style"]
