"""Many content images with one recipe: plan, skipped images, errors."""

import json
import unicodedata
from dataclasses import replace

import numpy as np
import pytest

from impasto.errors import ImageError, SettingError
from impasto.images.formats import decode, encode
from impasto.jobs import batch
from impasto.jobs.batch import ExistingFiles
from impasto.jobs.specs import InputPaths, OutputOptions
from impasto.network.weights import NETWORKS
from impasto.pipeline import inputs, provenance
from impasto.pipeline.provenance import Provenance
from impasto.pipeline.stylizer import Stylizer
from impasto.recipe.presets import make_recipe
from impasto.recipe.settings import Recipe

PICTURE = np.full((64, 64, 3), 90, np.float32)
RECIPE = make_recipe(size=64, style_layers="block1_conv1")


NETWORK = {"sha256": NETWORKS["vgg16"].sha256}


@pytest.fixture
def folder(tmp_path):
    for name in ("a.png", "b.jpg", "b.png"):
        encode.write_image(PICTURE, tmp_path / name)
    (tmp_path / "notes.txt").write_text("not an image")
    (tmp_path / "empty").mkdir()
    return tmp_path


def names(tasks):
    return [(task.content.name, task.result.name) for task in tasks]


def test_folders_and_files_are_tasks_once_each_in_order(folder):
    tasks = batch.plan_batch([str(folder / "b.png"), str(folder)], folder / "out", ".jpg")
    assert names(tasks) == [("b.png", "b.jpg"), ("a.png", "a.jpg"), ("b.jpg", "b.jpg.jpg")]
    assert {task.result.parent for task in tasks} == {folder / "out"}


def test_a_file_that_is_not_there_is_a_task_that_will_fail(folder):
    assert names(batch.plan_batch([str(folder / "no.png")], folder / "out", ".png")) == [
        ("no.png", "no.png")
    ]


def test_a_folder_without_images_is_rejected(folder, one_line):
    with pytest.raises(ImageError) as caught:
        batch.plan_batch([str(folder / "empty")], folder / "out", ".png")
    assert "there are no images in this folder" in one_line(caught)


def test_subfolders_are_skipped_with_a_message_or_included_on_request(folder, caplog):
    for name in ("sub/a.png", "sub/deep/c.png", ".thumbnails/d.png", "out/e.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        encode.write_image(PICTURE, folder / name)
    (folder / "sub/deep/around").symlink_to(folder, target_is_directory=True)
    assert [name for name, _ in names(batch.plan_batch([folder], folder / "out", ".png"))] == [
        *("a.png", "b.jpg", "b.png")
    ]
    line = f"{folder}: skipped 2 folders, use --recursive to include: empty, sub"
    assert line in caplog.messages
    assert f"{folder}: skipped (not images): notes.txt" in caplog.messages
    caplog.clear()
    tasks = batch.plan_batch([folder], folder / "out", ".png", recursive=True)
    made = [str(task.result.relative_to(folder / "out")) for task in tasks]
    assert made == ["a.png", "b.png", "b.png.png", "sub/a.png", "sub/deep/c.png"]
    assert [task.name for task in tasks] == ["a", "b", "b.png", "sub/a", "sub/deep/c"]
    assert not any("use --recursive" in line for line in caplog.messages)


def test_a_folder_with_only_folders_names_the_option(folder, one_line):
    (folder / "albums/one").mkdir(parents=True)
    encode.write_image(PICTURE, folder / "albums/one/a.png")
    with pytest.raises(ImageError) as caught:
        batch.plan_batch([folder / "albums"], folder / "out", ".png")
    assert one_line(caught).endswith("no images in this folder, only folders: use --recursive")
    assert len(batch.plan_batch([folder / "albums"], folder / "out", ".png", recursive=True)) == 1


def test_a_subfolder_that_cannot_be_listed_is_logged(folder, caplog, monkeypatch):
    (folder / "locked").mkdir()
    listing = decode.list_folder

    def listed(path):
        if path.name == "locked":
            raise ImageError(f"{path} cannot be listed: Permission denied")
        return listing(path)

    monkeypatch.setattr(decode, "list_folder", listed)
    assert len(batch.plan_batch([folder], folder / "out", ".png", recursive=True)) == 3
    assert f"{folder}/locked cannot be listed: Permission denied" in caplog.messages


def test_one_name_in_three_folders_gives_three_results(folder):
    for number in (1, 2, 3, 4):
        (folder / f"f{number}").mkdir()
    contents = [folder / f"f{number}/x.jpg" for number in (1, 2, 3, 4)]
    tasks = batch.plan_batch(contents, folder / "out", ".png")
    made = [task.result.name for task in tasks]
    assert made == ["x.png", "x.jpg.png", "x-2.png", "x-3.png"]
    wanted = job(folder, report=folder / "r/{name}.json")
    reports = {wanted.job_spec(task).outputs.report for task in tasks}
    assert len(reports) == 4


def test_names_that_differ_in_capitals_alone_do_not_collide(folder):
    contents = ["IMG.jpg", "img.JPG", "Img.jpg", "\u00e9.jpg", "e\u0301.jpg", "\u00c9.jpg"]
    tasks = batch.plan_batch([folder / name for name in contents], folder / "out", ".png")
    made = [task.result.name for task in tasks]
    assert made[:3] == ["IMG.png", "img.JPG.png", "Img-2.png"]
    where_capitals_do_not_count = {unicodedata.normalize("NFC", name).casefold() for name in made}
    assert len(where_capitals_do_not_count) == len(contents)


def test_an_input_by_another_name_is_not_overwritten(folder, one_line):
    """As on a disk where capitals do not count, where A.PNG is a.png."""
    (folder / "out").mkdir()
    (folder / "out/a.png").hardlink_to(folder / "a.png")
    tasks = batch.plan_batch([folder / "a.png"], folder / "out", ".png")
    with pytest.raises(SettingError) as caught:
        batch.prepare_folders(job(folder), tasks)
    assert "would overwrite an input" in one_line(caught)


def job(folder, recipe=RECIPE, **extras):
    sources = InputPaths.parse("", [str(folder / "b.png")], None, None)
    return batch.BatchSpec(recipe, sources, OutputOptions(**extras))


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
def test_no_output_overwrites_an_input_or_an_output_of_another_image(
    folder, one_line, names, into, extras
):
    tasks = batch.plan_batch([str(folder / name) for name in names], folder / into, ".png")
    placed = {option: folder / place for option, place in extras.items()}
    before = sorted(folder.iterdir())
    with pytest.raises(SettingError) as caught:
        batch.prepare_folders(job(folder, **placed), tasks)
    assert "would overwrite" in one_line(caught)
    assert sorted(folder.iterdir()) == before


def test_additional_outputs_have_the_names_of_their_images_in_new_folders(folder, one_line):
    tasks = batch.plan_batch([str(folder / "a.png"), str(folder / "b.jpg")], folder / "out", ".png")
    with pytest.raises(SettingError) as caught:
        batch.prepare_folders(job(folder, report=folder / "one.json"), tasks)
    assert "one.json would be the same file for all images: put {name}" in one_line(caught)
    assert not (folder / "out").exists()
    wanted = job(folder, report=folder / "r/{name}.json", timelapse=folder / "{name}/film.gif")
    batch.prepare_folders(wanted, tasks)
    assert {path.name for path in folder.iterdir() if path.is_dir()} == {*"abr", "empty", "out"}
    assert wanted.job_spec(tasks[1]).outputs.paths() == {
        "result": folder / "out/b.png",
        "report": folder / "r/b.json",
        "timelapse": folder / "b/film.gif",
    }


def test_a_result_of_the_same_inputs_and_recipe_is_done(folder):
    task = batch.BatchItem(folder / "a.png", folder / "painted.png", "painted")
    read = inputs.load_inputs(RECIPE, task.content, folder / "b.jpg")
    assert not batch.is_done(task, RECIPE, read)
    encode.write_image(PICTURE, task.result)
    assert not batch.is_done(task, RECIPE, read)
    used = make_recipe(size=64, style_layers="block1_conv1", precision="float32")
    encode.write_image(PICTURE, task.result, Provenance(used, "x", NETWORK, read.sources).to_xmp())
    assert batch.is_done(task, RECIPE, read)
    for other in (
        Provenance(used, "x", NETWORK, read.sources, finished=False),
        Provenance(used, "x", NETWORK, read.sources, steered=True),
        Provenance(used, "x", {"sha256": "0"}, read.sources),
        Provenance(used, "x", NETWORK, read.sources, version="0.0.1"),
    ):
        encode.write_image(PICTURE, folder / "other.png", other.to_xmp())
        assert not batch.is_done(replace(task, result=folder / "other.png"), RECIPE, read)
    assert not batch.is_done(task, Recipe(size=65), read)
    assert not batch.is_done(task, Recipe(size=64, precision="bfloat16"), read)
    other = inputs.load_inputs(RECIPE, folder / "b.jpg", folder / "b.jpg")
    assert not batch.is_done(task, RECIPE, other)


def painted_by_impasto(path, finished=True):
    encode.write_image(
        PICTURE, path, Provenance(RECIPE, "x", NETWORK, (), finished=finished).to_xmp()
    )


@pytest.mark.parametrize("existing", ExistingFiles)
@pytest.mark.parametrize("there", ["nothing", "a stranger's", "impasto's", "its report", "frames"])
def test_existing_files_are_kept_by_default(folder, existing, there):
    (task,) = batch.plan_batch([folder / "a.png"], folder / "out", ".png")
    wanted = job(
        *(folder,),
        report=folder / "r/{name}.json",
        frames=folder / "f/{name}",
        save_every=1,
    )
    batch.prepare_folders(wanted, [task])
    order = wanted.job_spec(task)
    if there == "a stranger's":
        encode.write_image(PICTURE, task.result)
    if there == "impasto's":
        painted_by_impasto(task.result)
    if there == "its report":
        order.outputs.report.write_text("{}")
    if there == "frames":
        order.outputs.frames.mkdir()
        encode.write_image(PICTURE, order.outputs.frames / "frame-00001.png")
    kept = batch.existing_file(order, existing)
    paths = {"its report": order.outputs.report, "frames": order.outputs.frames}
    expected = paths.get(there, task.result)
    stays = {
        ExistingFiles.KEEP: there != "nothing",
        ExistingFiles.SKIP_DONE: there == "a stranger's",
        ExistingFiles.OVERWRITE: False,
    }
    assert kept == (expected if stays[existing] else None)


def test_a_resumed_image_replaces_its_earlier_result(folder):
    (task,) = batch.plan_batch([folder / "a.png"], folder / "out", ".png")
    wanted = job(folder, resume=folder / "{name}.checkpoint")
    (folder / "out").mkdir()
    painted_by_impasto(task.result, finished=False)
    assert batch.existing_file(wanted.job_spec(task), ExistingFiles.KEEP) == task.result
    (folder / "a.checkpoint").write_text("")
    assert batch.existing_file(wanted.job_spec(task), ExistingFiles.KEEP) is None
    encode.write_image(PICTURE, task.result)
    assert batch.existing_file(wanted.job_spec(task), ExistingFiles.KEEP) == task.result


def test_each_content_image_is_opened_before_the_first_run(folder):
    whole = (folder / "b.jpg").read_bytes()
    (folder / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    encode.write_image(PICTURE[:8, :8], folder / "small.png")
    (folder / "out").mkdir()
    encode.write_image(PICTURE, folder / "out/b.png")
    names = ("a.png", "cut.jpg", "small.png", "no.png", "b.jpg")
    tasks = batch.plan_batch([folder / name for name in names], folder / "out", ".png")
    found = list(batch.check_items(job(folder), tasks, decode.DEFAULT_LIMITS))
    assert found[0] is None
    words = ("damaged or truncated", "the minimum is 16 x 16 px", "no such file", "b.png exists")
    for ended, task, word in zip(found[1:], tasks[1:], words, strict=True):
        assert ended.item == task
        assert ended.failure.startswith(f"{task.content}: ")
        assert word in ended.failure
    assert "--skip-done" in found[4].failure
    assert "--overwrite" in found[4].failure
    assert list(
        batch.check_items(job(folder), tasks[4:], decode.DEFAULT_LIMITS, ExistingFiles.SKIP_DONE)
    ) == [None]
    assert list(
        batch.check_items(job(folder), tasks[4:], decode.DEFAULT_LIMITS, ExistingFiles.OVERWRITE)
    ) == [None]


TINY = Recipe(size=32, levels=1, evaluations=3, precision="float32", style_loss="gram")


def paint(wanted, tasks, stop=-1):
    """Run; the image of number ``stop``, the last one, is stopped at its first evaluation."""
    batch.prepare_folders(wanted, tasks)
    found = []
    with Stylizer() as stylizer:

        def watch(task, ready, events):
            for event in events:
                if tasks.index(task) == stop:
                    stylizer.stop()
                yield event

        for ended in batch.run_batch(wanted, tasks, stylizer, watch, ExistingFiles.SKIP_DONE):
            found.append(ended)
            if tasks.index(ended.item) == stop:
                break
    return found


@pytest.mark.slow
def test_a_failure_stops_nothing_and_what_is_interrupted_goes_on(folder):
    (folder / "broken.png").write_bytes(b"not an image")
    contents = [str(folder / name) for name in ("a.png", "broken.png", "b.jpg")]
    tasks = batch.plan_batch(contents, folder / "out", ".png")
    kept = folder / "out/{name}.checkpoint"
    begun = job(folder, TINY, checkpoint=kept, checkpoint_every=99)
    first = paint(begun, tasks, stop=2)
    assert [bool(ended.failure) for ended in first] == [False, True, False]
    assert "broken.png: not an image" in first[1].failure
    assert names_in(folder / "out") == {"a.png", "b.png", "b.checkpoint"}
    assert not provenance.read_provenance(folder / "out/b.png").finished
    with pytest.raises(SettingError, match="exists"):
        batch.prepare_folders(begun, tasks)
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


def test_results_of_workers_name_the_items_as_they_were_given(folder, monkeypatch):
    """Workers get absolute paths."""
    monkeypatch.chdir(folder)

    class Pool:
        def map(self, function, items):
            return (batch.ItemResult(item) for _, item, _ in items)

    spec = batch.BatchSpec(RECIPE, InputPaths("", ["b.jpg"]))
    tasks = batch.plan_batch(["a.png", "b.png"], folder / "out", ".png")
    ended = list(batch.run_batch_on_workers(spec, tasks, Pool()))
    assert [each.item for each in ended] == tasks
