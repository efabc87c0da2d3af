"""Many photographs with one recipe: what is planned, skipped, and survived."""

import json
from dataclasses import replace

import numpy as np
import pytest

from impasto.errors import PictureError, SettingError
from impasto.network.weights import NETWORKS
from impasto.painting import inputs
from impasto.painting.provenance import Provenance
from impasto.painting.stylizer import Stylizer
from impasto.pictures import encode
from impasto.recipe.settings import Recipe, make
from impasto.workshop import batch
from impasto.workshop.orders import Extras, Sources

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


def test_a_folder_without_pictures_is_refused(folder, one_line):
    with pytest.raises(PictureError) as caught:
        batch.plan([str(folder / "empty")], folder / "out", ".png")
    assert "there are no pictures in this folder" in one_line(caught)


def job(folder, recipe=RECIPE, **extras):
    sources = Sources.parse("", [str(folder / "b.png")], None, None)
    return batch.Job(recipe, sources, Extras(**extras))


@pytest.mark.parametrize(
    ("names", "into", "extras"),
    [
        (["a.png"], ".", {}),
        (["b.jpg"], ".", {}),
        (["a.png"], "out", {"plot": "out/{name}.png"}),
        (["a.png", "a-2.png"], "out", {"plot": "out/{name}-2.png"}),
        (["a.png"], "out", {"checkpoint": "c/{name}", "timelapse": "c/{name}"}),
    ],
)
def test_no_file_overwrites_one_that_is_read_or_another_pictures(
    folder, one_line, names, into, extras
):
    tasks = batch.plan([str(folder / name) for name in names], folder / into, ".png")
    placed = {option: folder / place for option, place in extras.items()}
    before = sorted(folder.iterdir())
    with pytest.raises(SettingError) as caught:
        batch.make_room(job(folder, **placed), tasks)
    assert "would overwrite" in one_line(caught)
    assert sorted(folder.iterdir()) == before


def test_files_beside_the_pictures_have_their_names_in_folders_that_are_made(folder, one_line):
    tasks = batch.plan([str(folder / "a.png"), str(folder / "b.jpg")], folder / "out", ".png")
    with pytest.raises(SettingError) as caught:
        batch.make_room(job(folder, report=folder / "one.json"), tasks)
    assert "one.json would be one for all pictures: put {name} into it" in one_line(caught)
    assert not (folder / "out").exists()
    wanted = job(folder, report=folder / "r/{name}.json", timelapse=folder / "{name}/film.gif")
    batch.make_room(wanted, tasks)
    assert {path.name for path in folder.iterdir() if path.is_dir()} == {*"abr", "empty", "out"}
    assert wanted.order(tasks[1]).outputs.paths() == {
        "picture": folder / "out/b.png",
        "report": folder / "r/b.json",
        "timelapse": folder / "b/film.gif",
    }


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
        Provenance(used, "x", NETWORK, read.sources, steered=True),
        Provenance(used, "x", {"sha256": "0"}, read.sources),
        Provenance(used, "x", NETWORK, read.sources, version="0.0.1"),
    ):
        encode.write(PICTURE, folder / "other.png", other.to_xmp())
        assert not batch.is_done(batch.Task(task.photograph, folder / "other.png"), RECIPE, read)
    assert not batch.is_done(task, Recipe(size=65), read)
    assert not batch.is_done(task, Recipe(size=64, precision="bfloat16"), read)
    other = inputs.prepare(RECIPE, folder / "b.jpg", folder / "b.jpg")
    assert not batch.is_done(task, RECIPE, other)


TINY = Recipe(size=32, levels=1, evaluations=3, precision="float32", style_loss="gram")


def paint(wanted, tasks, stop=-1):
    """Paint; the picture of number ``stop`` is stopped at its first evaluation, the last begun."""
    batch.make_room(wanted, tasks)
    found = []
    with Stylizer() as stylizer:

        def watch(task, ready, events):
            for event in events:
                if tasks.index(task) == stop:
                    stylizer.stop()
                yield event

        for ended in batch.paint_all(wanted, tasks, stylizer, watch, skip_done=True):
            found.append(ended)
            if tasks.index(ended.task) == stop:
                break
    return found


@pytest.mark.slow
def test_a_failure_stops_nothing_and_what_is_interrupted_goes_on(folder):
    (folder / "broken.png").write_bytes(b"not a picture")
    photographs = [str(folder / name) for name in ("a.png", "broken.png", "b.jpg")]
    tasks = batch.plan(photographs, folder / "out", ".png")
    kept = folder / "out/{name}.checkpoint"
    begun = job(folder, TINY, checkpoint=kept, checkpoint_every=99)
    first = paint(begun, tasks, stop=2)
    assert [bool(ended.failure) for ended in first] == [False, True, False]
    assert "broken.png: not a picture" in first[1].failure
    assert names_in(folder / "out") == {"a.png", "b.png", "b.checkpoint"}
    assert not inputs.read_provenance(folder / "out/b.png").finished
    with pytest.raises(SettingError, match="is there already"):
        batch.make_room(begun, tasks)
    others = job(folder, replace(TINY, evaluations=4), resume=kept)
    second = paint(others, tasks)
    assert "evaluations is 4, and 3 in the checkpoint" in second[2].failure
    third = paint(job(folder, TINY, resume=kept, report=folder / "{name}.json"), tasks)
    assert [ended.skipped for ended in third] == [False, False, False]
    assert names_in(folder / "out") == {"a.png", "b.png"}
    assert len(json.loads((folder / "b.json").read_text())["history"]) == 3
    assert [ended.skipped for ended in paint(job(folder, TINY), tasks)] == [True, False, True]


def names_in(folder):
    return {path.name for path in folder.iterdir()}
