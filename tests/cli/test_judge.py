"""`impasto judge` as a person calls it: a table or JSON on stdout, refusals in a line."""

import json

import pytest
import typer
from typer.testing import CliRunner

from impasto.cli import judge
from impasto.errors import ImageError, SettingError
from impasto.evaluation import judges
from impasto.images.formats import encode
from tests import tiny
from tests.evaluation.test_judges import FakeNetworks

app = typer.Typer()
app.command()(judge.judge)


@pytest.fixture
def images(tmp_path, monkeypatch):
    """Paths of a content image, a style image and two results; the networks need no weights."""
    monkeypatch.setattr(judges, "JudgeNetworks", FakeNetworks)
    names = ("photo", "painting", "near", "far")
    for seed, name in enumerate(names):
        encode.write_image(tiny.random_picture(96, 128, seed), tmp_path / f"{name}.png")
    encode.write_image(tiny.random_picture(96, 128, 1) * 0.9, tmp_path / "near.png")
    encode.write_image(tiny.random_picture(96, 128, 3) * 0.5, tmp_path / "far.png")
    return [str(tmp_path / f"{name}.png") for name in names]


def run(*arguments):
    return CliRunner().invoke(app, list(arguments))


def test_the_table_has_a_row_for_each_measure_and_a_column_for_each_image(images, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    done = run(*images, "--size", "128")
    assert done.exit_code == 0, done.output
    head, *lines = done.stdout.splitlines()
    assert "128 px" in head
    assert lines[0].split() == ["distance", "from", "content", "style", "near.png", "far.png"]
    assert len(lines) == 1 + len(judges.MEASURES)
    for line, measure in zip(lines[1:], judges.MEASURES.values(), strict=True):
        assert line.startswith(measure.about)
        content, style = map(float, line.split()[-4:-2])
        assert (content if measure.reference == "content image" else style) < 1e-3


def test_json_has_all_that_is_known(images):
    done = run(*images, "--size", "128", "--json")
    found = json.loads(done.stdout)
    assert [each["name"] for each in found["results"]] == images[2:]
    near, far = (each["figures"] for each in found["results"])
    assert near["palette_distance"] < far["palette_distance"]
    assert set(near) == set(judges.MEASURES)


def test_inputs_without_results_are_rated_at_the_default_size(images):
    done = run(*images[:2], "--json")
    found = json.loads(done.stdout)
    assert (found["size"], found["results"]) == (judges.SIZE, [])


def test_an_image_that_cannot_be_rated_is_rejected(images):
    assert isinstance(run(*images[:2], "missing.png").exception, ImageError)
    assert isinstance(run(*images, "--size", "9").exception, SettingError)


def test_the_help_names_the_default_that_holds():
    assert f"(default {judges.SIZE})" in " ".join(run("--help").output.split())
