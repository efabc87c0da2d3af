"""Many photographs with one recipe: what is planned, skipped, and survived."""

import numpy as np
import pytest

from impasto import batch, encode, inputs
from impasto.errors import PictureError, SettingError
from impasto.provenance import Provenance
from impasto.recipe import Recipe, make
from impasto.weights import NETWORKS

PICTURE = np.full((64, 64, 3), 90, np.float32)
RECIPE = make(size=64, style_layers="block1_conv1")


NETWORK = {"sha256": NETWORKS["vgg16"].sha256}


@pytest.fixture
def folder(tmp_path):
    for name in ("a.png", "b.jpg", "b.png"):
        encode.write(PICTURE, tmp_path / name)
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / "empty").mkdir()
    return tmp_path


def names(tasks):
    return [(task.photograph.name, task.picture.name) for task in tasks]


def test_folders_and_files_are_tasks_once_each_in_order(folder):
    tasks = batch.plan([str(folder / "b.png"), str(folder)], folder / "out", ".jpg")
    assert names(tasks) == [("b.png", "b.jpg"), ("a.png", "a.jpg"), ("b.jpg", "b.jpg.jpg")]
    assert {task.picture.parent for task in tasks} == {folder / "out"}


def test_a_file_that_is_not_there_is_a_task_that_will_fail(folder):
    assert names(batch.plan([str(folder / "no.png")], folder / "out", ".png")) == [
        ("no.png", "no.png")
    ]


def test_folders_without_pictures_and_overwritten_photographs_are_refused(folder, one_line):
    with pytest.raises(PictureError) as caught:
        batch.plan([str(folder / "empty")], folder / "out", ".png")
    assert "there are no pictures in this folder" in one_line(caught)
    with pytest.raises(SettingError) as caught:
        batch.plan([str(folder / "a.png")], folder, ".png")
    assert "would overwrite a picture that is read" in one_line(caught)
    with pytest.raises(SettingError):
        batch.plan(
            [str(folder / "b.png")], folder / "empty", ".png", others=[str(folder / "empty/b.png")]
        )


def test_done_is_what_was_painted_from_the_same_pictures_with_the_same_recipe(folder):
    task = batch.Task(folder / "a.png", folder / "painted.png")
    read = inputs.prepare(RECIPE, task.photograph, folder / "b.jpg")
    assert not batch.is_done(task, RECIPE, read)
    encode.write(PICTURE, task.picture)
    assert not batch.is_done(task, RECIPE, read)
    used = make(size=64, style_layers="block1_conv1", precision="float32")
    encode.write(PICTURE, task.picture, Provenance(used, "x", NETWORK, read.sources).to_xmp())
    assert batch.is_done(task, RECIPE, read)
    for other in (
        Provenance(used, "x", NETWORK, read.sources, finished=False),
        Provenance(used, "x", {"sha256": "0"}, read.sources),
        Provenance(used, "x", NETWORK, read.sources, version="0.0.1"),
    ):
        encode.write(PICTURE, folder / "other.png", other.to_xmp())
        assert not batch.is_done(batch.Task(task.photograph, folder / "other.png"), RECIPE, read)
    assert not batch.is_done(task, Recipe(size=65), read)
    assert not batch.is_done(task, Recipe(size=64, precision="bfloat16"), read)
    other = inputs.prepare(RECIPE, folder / "b.jpg", folder / "b.jpg")
    assert not batch.is_done(task, RECIPE, other)


@pytest.mark.backend
def test_a_failure_stops_nothing_and_a_stop_writes_nothing(folder):
    recipe = Recipe(size=32, levels=1, evaluations=2, precision="float32")
    (folder / "broken.png").write_bytes(b"not a picture")
    photographs = [str(folder / name) for name in ("a.png", "broken.png", "b.jpg")]
    tasks = batch.plan(photographs, folder / "out", ".png")
    (folder / "out").mkdir()

    def paint(stop=-1):
        def listener(number, read):
            return lambda event: number != stop

        prepare = lambda photograph: inputs.prepare(recipe, photograph, folder / "b.png")  # noqa: E731
        return list(batch.paint_all(tasks, recipe, prepare, listener, skip_done=True))

    first = paint(stop=2)
    assert [bool(ended.failure) for ended in first] == [False, True]
    assert "broken.png: not a picture" in first[1].failure
    assert [path.name for path in (folder / "out").iterdir()] == ["a.png"]
    second = paint()
    assert [ended.skipped for ended in second] == [True, False, False]
    assert {path.name for path in (folder / "out").iterdir()} == {"a.png", "b.png"}
