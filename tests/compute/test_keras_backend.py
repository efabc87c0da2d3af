"""What every Keras backend must give alike."""

import os
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest
from keras import ops

from impasto.compute import keras_backend
from impasto.compute.arrays import to_numpy
from impasto.errors import BackendError
from tests import tiny

pytestmark = pytest.mark.backend


def test_the_backend_is_the_one_that_was_asked_for():
    assert keras_backend.backend_name() == os.environ.get("KERAS_BACKEND", "tensorflow")


def test_value_terms_and_gradient_come_as_numbers_and_an_array():
    def loss(picture, constants):
        square = ops.sum(picture**2)
        return square + constants["shift"], {"square": square}

    picture = tiny.random_picture(4, 5, seed=1)
    constants = {"shift": ops.convert_to_tensor(np.float32(3))}
    total, terms, gradient = keras_backend.value_and_gradient(loss)(picture, constants)
    expected = np.sum(picture.astype(np.float64) ** 2)
    assert total == pytest.approx(expected + 3, rel=1e-5)
    assert terms == {"square": pytest.approx(expected, rel=1e-5)}
    np.testing.assert_allclose(gradient, 2 * picture, rtol=1e-5)
    assert type(total) is type(terms["square"]) is float


def test_constants_may_change_from_call_to_call():
    def loss(picture, constants):
        return ops.mean((picture - constants["target"]) ** 2), {}

    step = keras_backend.value_and_gradient(loss)
    for height in (4, 6):
        picture, target = (tiny.random_picture(height, 5, seed) for seed in (1, 2))
        total, _, _ = step(picture, {"target": ops.convert_to_tensor(target)})
        assert total == pytest.approx(np.mean((picture - target) ** 2), rel=1e-5)


@pytest.mark.slow
def test_an_unknown_backend_is_refused_in_one_line():
    code = (
        "from impasto.errors import BackendError\ntry:\n import impasto.compute.keras_backend "
        "as b\n"
    )
    code += " b.value_and_gradient(None)\nexcept BackendError as error:\n print(error)"
    for name in ("numpy", "nonsense"):
        environment = {**os.environ, "KERAS_BACKEND": name}
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True
        )
        lines = done.stdout.strip().splitlines()
        assert len(lines) == 1, done.stderr
        assert "KERAS_BACKEND" in lines[0]
        assert name in lines[0]


def test_stderr_is_discarded_during_the_import_only_where_the_environment_asks(capfd, monkeypatch):
    monkeypatch.delenv(keras_backend.QUIET_LOADING, raising=False)
    with keras_backend._silenced_import():
        os.write(2, b"heard")
    monkeypatch.setenv(keras_backend.QUIET_LOADING, "1")
    with keras_backend._silenced_import():
        os.write(2, b"discarded")
    assert capfd.readouterr().err == "heard"


@pytest.mark.skipif(
    keras_backend.backend_name() != "tensorflow", reason="only TensorFlow has graphs"
)
def test_inside_a_graph_of_tensorflow_an_error_says_what_to_do(one_line):
    import tensorflow as tf

    keras_backend.check_backend()
    with tf.Graph().as_default(), pytest.raises(BackendError) as caught:
        keras_backend.check_backend()
    assert "call it outside" in one_line(caught)


@pytest.mark.slow
def test_the_import_says_nothing_in_impastos_own_processes():
    code = "import impasto.compute.keras_backend as b; b.ops.zeros(3) + 1"
    own = {**os.environ, keras_backend.QUIET_LOADING: "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=own)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_traced_function_takes_pictures_of_any_size_to_the_same():
    def features(picture, constants):
        return {"double": picture * 2, "mean": ops.mean(picture)}

    traced = keras_backend.compile_function(features)
    for height in (4, 6):
        picture = tiny.random_picture(height, 5, seed=height)
        found = {name: to_numpy(each) for name, each in traced(picture, ()).items()}
        np.testing.assert_array_equal(found["double"], 2 * picture)
        assert found["mean"] == pytest.approx(picture.mean(), rel=1e-5)


def loaded_with(code, **environment):
    """What happens where a program loads Keras its own way, or a settings file is as it is."""
    kept = {name: value for name, value in os.environ.items() if name != "KERAS_BACKEND"}
    begin = "from impasto.errors import BackendError\n"
    done = subprocess.run(
        [sys.executable, "-c", begin + code],
        env={**kept, **environment},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.skipif(not find_spec("jax"), reason="Keras's backend numpy needs JAX")
def test_a_program_that_loaded_a_backend_which_cannot_paint_is_told():
    code = """
import keras
from impasto.pipeline.models import ModelCache
from impasto.recipe.settings import Recipe
try:
    ModelCache().get(Recipe(engine="keras"))
except BackendError as error:
    print(error)
"""
    said = loaded_with(code, KERAS_BACKEND="numpy")
    assert said == "Keras runs on 'numpy': set KERAS_BACKEND to one of tensorflow, jax, torch\n"


@pytest.mark.slow
@pytest.mark.parametrize("text", ["[]", '{"epsilon": 1}', '{"floatx": "int8"}'])
def test_a_settings_file_that_keras_refuses_is_named(text, tmp_path):
    (tmp_path / "keras.json").write_text(text)
    code = (
        "try:\n import impasto.compute.keras_backend\nexcept BackendError as error:\n print(error)"
    )
    said = loaded_with(code, KERAS_HOME=str(tmp_path))
    assert said.count("\n") == 1
    assert f"{tmp_path}/keras.json" in said
    assert "remove that file" in said


@pytest.mark.slow
def test_no_settings_file_is_left_where_there_was_none_and_one_that_was_there_stays(tmp_path):
    code = "import impasto.compute.keras_backend"
    loaded_with(code, KERAS_HOME=str(tmp_path / "new"))
    assert not (tmp_path / "new").exists()
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "models").touch()
    loaded_with(code, KERAS_HOME=str(tmp_path / "old"))
    assert [path.name for path in (tmp_path / "old").iterdir()] == ["models"]
