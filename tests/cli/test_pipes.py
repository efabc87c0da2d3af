"""Standard input and output in the place of paths."""

import io
import sys
from pathlib import Path

import pytest

from impasto.cli import pipes
from impasto.errors import SettingError
from impasto.jobs.outputs import OutputPaths
from impasto.jobs.specs import InputPaths, JobSpec

DATA = bytes(range(256)) * 5000


class Stream(io.TextIOWrapper):
    def __init__(self, data=b"", terminal=False):
        super().__init__(io.BytesIO(data))
        self.terminal = terminal

    def isatty(self):
        return self.terminal


@pytest.mark.parametrize(
    "words",
    [("-", ["a.png"], None, None), ("a.png", ["-"], None, None), ("a", ["b"], None, "-")],
)
def test_a_dash_is_what_standard_input_gives(monkeypatch, words):
    monkeypatch.setattr(sys, "stdin", Stream(DATA))
    given = InputPaths.parse(*words)
    with pipes.piped_paths(given, Path("out.png")) as (sources, output):
        (path,) = set(sources.paths()) - set(given.paths())
        assert Path(path).read_bytes() == DATA
        assert Path(path).name == "standard-input"
        assert output == Path("out.png")
        assert sources.to_args() == [*JobSpec(given, OutputPaths(Path("x.png"))).inputs.to_args()]
        assert "-" in sources.to_args()
    assert not Path(path).exists()


def test_a_dash_is_the_mask_of_a_region(monkeypatch):
    monkeypatch.setattr(sys, "stdin", Stream(DATA))
    with pipes.piped_paths(InputPaths.parse("a", ["b"], ["-:c"], None), None) as (sources, output):
        assert Path(sources.regions[0][0]).read_bytes() == DATA
        assert sources.to_args() == ["a", "b", "--region", "-:c"]
        assert output is None


def test_a_file_that_is_called_dash_is_named_with_its_folder():
    given = InputPaths.parse("./-", ["b"], None, None)
    with pipes.piped_paths(given, Path("./x-")) as (sources, output):
        assert (sources, output) == (given, Path("x-"))


def test_standard_output_receives_the_bytes_of_the_result(monkeypatch):
    out = Stream()
    monkeypatch.setattr(sys, "stdout", out)
    with pipes.piped_paths(InputPaths.parse("a", ["b"], None, None), Path("-")) as (_, output):
        assert output.suffix == ".png"
        output.write_bytes(DATA)
        pipes.write_out(output)
    assert out.buffer.getvalue() == DATA
    assert not output.exists()


def test_terminals_and_two_dashes_are_rejected(monkeypatch, one_line):
    monkeypatch.setattr(sys, "stdin", Stream(terminal=True))
    monkeypatch.setattr(sys, "stdout", Stream(terminal=True))
    for words, output, said in (
        (("-", ["-"], None, None), None, "can be read only once"),
        (("-", ["a"], None, None), None, "standard input (-) is a terminal"),
        (("a", ["b"], None, None), Path("-"), "standard output (-) is a terminal"),
    ):
        with (
            pytest.raises(SettingError) as caught,
            pipes.piped_paths(InputPaths.parse(*words), output),
        ):
            pass
        assert said in one_line(caught)
