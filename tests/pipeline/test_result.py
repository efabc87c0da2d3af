"""A result as an array, as a value, and as a file; nothing is painted here."""

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from impasto.errors import OutputError, SettingError
from impasto.images.formats import decode
from impasto.images.formats.save_options import SaveOptions
from impasto.pipeline import provenance
from impasto.pipeline.provenance import Provenance
from impasto.pipeline.result import Finished, Result
from impasto.recipe.settings import Recipe

PICTURE = np.random.default_rng(0).uniform(0, 255, (20, 30, 3)).astype(np.float32)
PICTURE[0, 0] = (0.4, 0.6, 254.7)
ORIGIN = Provenance(Recipe(seed=5), "tensorflow", {"network": "vgg16"}, ())
OPAQUE = np.linspace(0, 1, 600, dtype=np.float32).reshape(20, 30)


def made(alpha=None):
    return Result(PICTURE, Recipe(), {}, {}, (), (), False, False, ORIGIN, alpha)


@pytest.mark.parametrize("alpha", [None, OPAQUE], ids=["opaque", "transparent"])
def test_a_result_is_the_array_of_its_image(alpha):
    result = made(alpha)
    array = np.asarray(result)
    assert array.dtype == np.uint8
    np.testing.assert_array_equal(array, np.asarray(result.image))
    np.testing.assert_array_equal(array[..., :3], np.rint(PICTURE))
    assert tuple(array[0, 0, :3]) == (0, 1, 255)
    for kind in (np.uint8, np.float32, np.int64):
        np.testing.assert_array_equal(np.asarray(result, dtype=kind), array.astype(kind))
        assert np.asarray(result, dtype=kind).dtype == kind
    assert result.pixels.dtype == np.float32


def test_every_array_of_a_result_is_new():
    result = made()
    first = np.array(result, copy=True)
    first[:] = 0
    assert np.asarray(result).any()
    with pytest.raises(ValueError, match="copy=False"):
        np.array(result, copy=False)


def test_a_result_is_shown_on_one_short_line():
    assert repr(made()) == "<Result 30 x 20 px, 0 evaluations in 0.0 s on tensorflow, auto>"
    assert repr(replace(made(), stopped=True)).endswith("auto, incomplete>")


def test_results_and_events_are_compared_and_hashed():
    result = made()
    assert result == result
    assert result != made()
    assert result != 3
    assert len({result, result, made()}) == 2
    assert Finished(result) == Finished(result)
    assert len({Finished(result), Finished(result)}) == 1
    assert hash(ORIGIN) == hash(Provenance(Recipe(seed=5), "tensorflow", {"network": "vgg16"}, ()))


@pytest.mark.parametrize("format", ["png", "PNG", ".png", "jpg", "jpeg", "webp", "tiff"])
def test_a_result_is_saved_to_a_file_object_as_to_a_path(tmp_path, format):
    result, file = made(), io.BytesIO()
    ending = f".{format.lower().removeprefix('.')}"
    path = tmp_path / f"a{ending}"
    result.save(file, format=format)
    result.save(path)
    assert file.getvalue() == path.read_bytes()
    assert not file.closed
    assert provenance.read_provenance(path).recipe == ORIGIN.recipe


def test_a_file_object_takes_depth_and_transparency():
    file = io.BytesIO()
    made(OPAQUE).save(file, SaveOptions(depth=16), format="png")
    loaded = decode.read_image(file)
    np.testing.assert_allclose(loaded.alpha, OPAQUE, atol=1e-4)
    seen = OPAQUE > 0
    np.testing.assert_allclose(loaded.pixels[seen], PICTURE[seen], atol=0.01)


def test_what_a_result_cannot_be_saved_to_is_refused(tmp_path, one_line):
    result = made()
    for path, format, kind, words in (
        (io.BytesIO(), None, SettingError, "a file object needs a format"),
        (io.BytesIO(), "gif", OutputError, "has the ending .gif"),
        (tmp_path / "a.png", "png", SettingError, "the extension of a path selects its format"),
        (7, "png", OutputError, "int is neither a path nor a file object"),
        (io.StringIO(), "png", OutputError, "cannot be written"),
    ):
        with pytest.raises(kind) as caught:
            result.save(path, format=format)
        assert words in one_line(caught)
    closed = io.BytesIO()
    closed.close()
    with pytest.raises(OutputError, match="cannot be written"):
        result.save(closed, format="png")


def test_a_notebook_and_matplotlib_show_what_is_saved():
    pyplot = pytest.importorskip("matplotlib.figure")
    axes = pyplot.Figure().add_subplot()
    shown = axes.imshow(made()).get_array()
    np.testing.assert_array_equal(shown, np.rint(PICTURE))
    with Image.open(io.BytesIO(made()._repr_png_())) as image:
        np.testing.assert_array_equal(np.asarray(image), np.rint(PICTURE))
