"""The sheet: tables of pairs, recipes, resuming after an interruption, and its files."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from benchmarks import spread
from impasto.errors import ImageError, InputError, SettingError
from impasto.evaluation import judges
from impasto.images import samples
from impasto.images.formats import encode
from impasto.recipe import presets
from tests import tiny
from tests.evaluation.test_judges import FakeNetworks
from tools import sheet

TABLE = """# Pairs

| content | style | note |
| --- | --- | --- |
| a.png | sub/b.png | sharp edges |
| sample:cat | sample:woodcut | |

Words | with a bar.
"""


OTHER = next(name for name in presets.PRESETS if name != presets.DEFAULT)


@pytest.fixture
def pairs(tmp_path):
    """A table of two pairs with its images."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "pairs.md").write_text(TABLE)
    encode.write_image(tiny.random_picture(48, 64, 1), tmp_path / "a.png")
    encode.write_image(tiny.random_picture(40, 40, 2), tmp_path / "sub" / "b.png")
    return sheet.read_pairs(tmp_path / "pairs.md")


@pytest.fixture
def done(monkeypatch):
    """The painted and the rated images, by fakes that need no weights."""
    work = SimpleNamespace(painted=[], judged=[])

    def stylize(content, style, **chosen):
        work.painted.append((content.shape, style.shape, chosen))
        return SimpleNamespace(pixels=content * 0.5, seconds={"total": 1.0})

    class RecordingNetworks(FakeNetworks):
        def compute_features(self, image):
            work.judged.append(image.shape)
            return super().compute_features(image)

    monkeypatch.setattr(sheet.impasto, "stylize", stylize)
    monkeypatch.setattr(judges, "JudgeNetworks", RecordingNetworks)
    return work


@pytest.mark.slow
def test_a_table_has_files_relative_to_it_and_samples(pairs, tmp_path):
    first, second = pairs
    assert first.content == str(tmp_path / "a.png")
    assert first.style == str(tmp_path / "sub" / "b.png")
    assert (first.note, second.note) == ("sharp edges", "")
    assert [each.name for each in pairs] == ["a-b", "cat-woodcut"]
    np.testing.assert_array_equal(sheet.read(second.content), samples.load_content("cat"))
    np.testing.assert_array_equal(sheet.read(second.style), samples.make_style("woodcut"))


def test_a_table_without_pairs_is_rejected(tmp_path, one_line):
    (tmp_path / "a.md").write_text("| photograph | painting |\n| --- | --- |\n")
    with pytest.raises(InputError) as caught:
        sheet.read_pairs(tmp_path / "a.md")
    assert "a.md" in one_line(caught)


@pytest.mark.parametrize(
    ("text", "label", "preset", "settings"),
    [
        ("default", "default", "default", {}),
        (OTHER, OTHER, OTHER, {}),
        ("strength=0.7 colors=match", None, "default", {"strength": "0.7", "colors": "match"}),
        ("strong: default strength=0.7", "strong", "default", {"strength": "0.7"}),
        ("other: size=96", "other", "default", {"size": "96"}),
    ],
)
def test_a_recipe_is_a_preset_and_settings(text, label, preset, settings):
    expected = (label or text, preset, {"size": "128", **settings})
    assert sheet.parse_recipe(text, 128) == expected


@pytest.mark.parametrize("text", ["defualt", "default strenght=1", "strength=2000", "a: size=x"])
def test_an_invalid_recipe_is_rejected(text):
    with pytest.raises(SettingError):
        sheet.parse_recipe(text, 128)


@pytest.mark.slow
def test_a_sheet_has_results_distances_and_pages(pairs, done, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    columns = [sheet.recipe_column(out, text, 64) for text in ("default", "strong: strength=0.7")]
    assert sheet.run(out, pairs, columns, 128) == []
    assert [each[2] for each in done.painted[:2]] == [
        {"preset": "default", "size": "64"},
        {"preset": "default", "size": "64", "strength": "0.7"},
    ]
    files = sorted(path.relative_to(out).as_posix() for path in out.rglob("*.png"))
    assert [path.split("/")[1] for path in files] == ["a-b.png", "cat-woodcut.png"] * 2
    folders = {path.split("/")[0].rpartition("-")[0] for path in files}
    assert folders == {"default", "strong"}
    with Image.open(out / "sheet-1.jpg") as page:
        assert page.width == 4 * (sheet.CELL + 8)
    said = json.loads((out / "judged.json").read_text())
    assert set(said["a-b at 128 px"]) >= set(sheet.INPUTS)
    text = (out / "sheet.md").read_text()
    assert "2 of 2 pairs" in text
    assert "| measure | content | style | default | strong |" in text
    assert text.count("\n| a-b |") == len(judges.MEASURES)


def test_a_sheet_resumes_after_an_interruption(pairs, done, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    sheet.run(out, pairs[:1], [sheet.recipe_column(out, "default", 64)], 128)
    assert (len(done.painted), len(done.judged)) == (1, 4)
    sheet.run(out, pairs[:1], [sheet.recipe_column(out, "default", 64)], 128)
    assert (len(done.painted), len(done.judged)) == (1, 4)
    # A recipe with other settings has another folder; a changed result is rated again.
    columns = [sheet.recipe_column(out, "default: strength=0.4", 64)]
    sheet.run(out, pairs[:1], columns, 128)
    assert len(done.painted) == 2
    encode.write_image(tiny.random_picture(48, 64, 5), columns[0].result(pairs[0]))
    before = len(done.judged)
    sheet.run(out, pairs[:1], columns, 128)
    assert len(done.judged) > before


def test_existing_results_are_used(pairs, done, tmp_path):
    (tmp_path / "old").mkdir()
    encode.write_image(tiny.random_picture(48, 64, 3), tmp_path / "old" / "a-b.jpg")
    out = tmp_path / "out"
    out.mkdir()
    column = sheet.folder_column(f"old={tmp_path / 'old'}")
    assert [column.result(pair) is not None for pair in pairs] == [True, False]
    assert sheet.run(out, pairs, [column], 128) == []
    assert done.painted == []
    assert "1 of 1 pairs" in (out / "sheet.md").read_text()


@pytest.mark.parametrize("text", ["old", "old=", "old=no-such-folder", "=."])
def test_a_folder_column_needs_a_name_and_a_folder(text):
    with pytest.raises(InputError, match="NAME=FOLDER"):
        sheet.folder_column(text)


@pytest.mark.parametrize("labels", [("old", "old"), ("style", "old")])
def test_columns_with_the_same_label_are_rejected(labels, pairs, tmp_path):
    columns = [sheet.Column(label, lambda pair: None) for label in labels]
    with pytest.raises(InputError, match="another name"):
        sheet.run(tmp_path, pairs, columns, 128)


def test_a_pair_that_fails_is_listed_and_the_others_are_done(pairs, done, tmp_path, monkeypatch):
    out = tmp_path / "out"
    out.mkdir()
    missing = sheet.Pair("missing.png", "sample:woodcut")
    failures = sheet.run(out, [missing, pairs[0]], [sheet.recipe_column(out, "default", 64)], 128)
    assert len(failures) == 1
    assert "missing-woodcut: missing.png: no such file" in failures[0]
    assert "1 of 1 pairs" in (out / "sheet.md").read_text()


def test_the_nearest_result_is_marked_and_the_wins_counted():
    figures = {
        "content": dict.fromkeys(judges.MEASURES, 0.5),
        "style": dict.fromkeys(judges.MEASURES, 0.0),
        "old": dict.fromkeys(judges.MEASURES, 0.4),
        "new": {**dict.fromkeys(judges.MEASURES, 0.3), "edge_distance": 0.45},
    }
    row = sheet.Row(sheet.SAMPLES[0], {}, figures)
    marked = [best for _, best in sheet._lines(row, "new")]
    assert marked == [key != "edge_distance" for key in sheet.SHORT]
    assert not any(best for _, best in sheet._lines(row, "style"))
    text = sheet.summary([row, row], ["old", "new"])
    assert "| edges, HED | 0.500 | 0.000 | 0.400 | 0.450 (0) |" in text
    assert "| colors not in the style image, ΔE | 0.500 | 0.000 | 0.400 | 0.300 (2) |" in text


def test_every_measure_has_a_short_name():
    assert set(sheet.SHORT) == set(judges.MEASURES)


def test_crops_are_cut_alike_at_the_corners():
    rows, columns = np.mgrid[0:80, 0:160].astype(np.float32)
    image = np.stack([rows, columns, rows], axis=-1)
    cut = list(spread.crops([image, image + 1]))
    assert {each.shape for pair in cut for each in pair} == {(70, 140, 3)}
    assert [tuple(first[0, 0, :2]) for first, _ in cut] == [(0, 0), (0, 20), (10, 0), (10, 20)]
    for first, second in cut:
        np.testing.assert_array_equal(second, first + 1)


def test_an_image_that_cannot_be_read_is_rejected():
    with pytest.raises(ImageError):
        sheet.read("missing.png")
    with pytest.raises(InputError):
        sheet.read("sample:missing")


def test_former_names_in_the_file_of_distances_are_read(pairs, done, tmp_path):
    result = tmp_path / "a-b.png"
    encode.write_image(tiny.random_picture(48, 64, 3), result)
    path = tmp_path / "judged.json"
    sheet.DistanceCache(path, 128).figures(pairs[0], {"new": result})
    text = path.read_text()
    for former, name in sheet.FORMER_NAMES.items():
        assert f'"{name}"' in text
        text = text.replace(f'"{name}"', f'"{former}"')
    path.write_text(text)
    count = len(done.judged)
    figures = sheet.DistanceCache(path, 128).figures(pairs[0], {"new": result})
    assert len(done.judged) == count
    assert figures["content"].keys() == judges.MEASURES.keys()
