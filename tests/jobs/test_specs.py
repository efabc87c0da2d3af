"""What was asked for, in words and as values."""

from pathlib import Path

import pytest

from impasto.errors import SettingError
from impasto.jobs import specs
from impasto.jobs.outputs import OutputPaths
from impasto.recipe import presets


@pytest.mark.parametrize(
    ("text", "drives", "parts"),
    [
        ("m.png:p.jpg", False, ("m.png", "p.jpg")),
        ("/a/m.png:/b/p.jpg:/c/q.png", False, ("/a/m.png", "/b/p.jpg", "/c/q.png")),
        ("m:p", False, ("m", "p")),
        (r"C:\m.png:D:\p.jpg", True, (r"C:\m.png", r"D:\p.jpg")),
        ("c:/m.png:p.jpg:d:/q.png", True, ("c:/m.png", "p.jpg", "d:/q.png")),
        ("m.png:p.jpg", True, ("m.png", "p.jpg")),
    ],
)
def test_regions_are_cut_up_at_colons(text, drives, parts):
    assert specs.parse_region(text, drives) == parts


@pytest.mark.parametrize("text", ["", "m.png", "m.png:", ":p.jpg", "a:b:c:d"])
def test_a_region_of_another_form_is_rejected(one_line, text):
    with pytest.raises(SettingError) as caught:
        specs.parse_region(text)
    assert "expected MASK:STYLE" in one_line(caught)


def test_names_with_colons_are_cut_where_the_files_are(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("m.png", "10:30:00.png", "n:1.png"):
        (tmp_path / name).touch()
    assert specs.parse_region("m.png:10:30:00.png") == ("m.png", "10:30:00.png")
    assert specs.parse_region("n:1.png:10:30:00.png:m.png") == (
        "n:1.png",
        "10:30:00.png",
        "m.png",
    )
    assert specs.parse_region("m.png:none.png") == ("m.png", "none.png")


def test_a_tilde_is_the_persons_home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert specs.parse_region("~/m.png:~/p.png") == (f"{tmp_path}/m.png", f"{tmp_path}/p.png")
    sources = specs.InputPaths.parse("~/a.png", ["~/b.png"], None, "~/k.png")
    assert sources.paths() == (f"{tmp_path}/a.png", f"{tmp_path}/b.png", f"{tmp_path}/k.png")


def test_names_that_begin_with_a_dash_are_no_options_in_the_words_that_are_printed():
    sources = specs.InputPaths("-a.png", ["--b.png"], [("-m.png", "p.png")], "-k.png")
    words = sources.to_args()
    assert words[:2] == ["./-a.png", "./--b.png"]
    assert [word for word in words if word.startswith("-")] == ["--region", "--keep"]
    made = specs.JobSpec(sources, OutputPaths(Path("-o.png"), plot=Path("-p.png")))
    spoken = made.to_args(presets.make_recipe(init="-i.png"))
    assert [word for word in spoken if word.startswith("-")] == [
        *("--region", "--keep", "--output", "--plot", "--init"),
    ]
