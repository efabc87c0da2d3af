"""What every Keras backend must give alike."""

import os
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import pytest
from keras import ops

from impasto.compute import backend
from tests import tiny

pytestmark = pytest.mark.backend


def test_the_backend_is_the_one_that_was_asked_for():
    assert backend.name() == os.environ.get("KERAS_BACKEND", "tensorflow")


def test_value_terms_and_gradient_come_as_numbers_and_an_array():
    def loss(picture, constants):
        square = ops.sum(picture**2)
        return square + constants["shift"], {"square": square}

    picture = tiny.random_picture(4, 5, seed=1)
    constants = {"shift": ops.convert_to_tensor(np.float32(3))}
    total, terms, gradient = backend.value_and_gradient(loss)(picture, constants)
    expected = np.sum(picture.astype(np.float64) ** 2)
    assert total == pytest.approx(expected + 3, rel=1e-5)
    assert terms == {"square": pytest.approx(expected, rel=1e-5)}
    np.testing.assert_allclose(gradient, 2 * picture, rtol=1e-5)
    assert type(total) is type(terms["square"]) is float


def test_constants_may_change_from_call_to_call():
    def loss(picture, constants):
        return ops.mean((picture - constants["target"]) ** 2), {}

    step = backend.value_and_gradient(loss)
    for height in (4, 6):
        picture, target = (tiny.random_picture(height, 5, seed) for seed in (1, 2))
        total, _, _ = step(picture, {"target": ops.convert_to_tensor(target)})
        assert total == pytest.approx(np.mean((picture - target) ** 2), rel=1e-5)


@pytest.mark.slow
def test_an_unknown_backend_is_refused_in_one_line():
    code = "from impasto.errors import BackendError\ntry:\n import impasto.compute.backend as b\n"
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


def wrapped(error):
    try:
        try:
            raise error
        except Exception as inner:
            raise RuntimeError("in a layer") from inner
    except RuntimeError as outer:
        return outer


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (wrapped(MemoryError()), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), True),
        (RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 5 bytes"), True),
        (type("ResourceExhaustedError", (Exception,), {})("OOM"), True),
        (ValueError("shapes"), False),
        (wrapped(ValueError("shapes")), False),
        (None, False),
    ],
)
def test_errors_for_want_of_memory_are_known(error, expected):
    assert backend.ran_out_of_memory(error) is expected


def test_an_allocation_that_no_machine_has_is_known():
    with pytest.raises(Exception) as caught:  # noqa: PT011 - each backend has its own
        backend.keras.ops.zeros((2**48,))
    assert backend.ran_out_of_memory(caught.value)


@pytest.mark.parametrize("chosen", [None, "0"])
def test_the_level_of_tensorflows_log_is_lifted_for_its_import_alone(chosen, monkeypatch):
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL", raising=False)
    if chosen is not None:
        monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", chosen)
    with backend._without_greetings():
        assert os.environ["TF_CPP_MIN_LOG_LEVEL"] == (chosen or "3")
    assert os.environ.get("TF_CPP_MIN_LOG_LEVEL") == chosen


@pytest.mark.slow
def test_the_import_says_nothing():
    code = "import impasto.compute.backend as b; b.ops.zeros(3) + 1"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_traced_function_takes_pictures_of_any_size_to_the_same():
    def features(picture):
        return {"double": picture * 2, "mean": ops.mean(picture)}

    traced = backend.traced(features)
    for height in (4, 6):
        picture = tiny.random_picture(height, 5, seed=height)
        found = {name: backend.to_numpy(each) for name, each in traced(picture).items()}
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
from impasto.painting.engine import Engines
from impasto.recipe.settings import Recipe
try:
    Engines().get(Recipe())
except BackendError as error:
    print(error)
"""
    said = loaded_with(code, KERAS_BACKEND="numpy")
    assert said == "Keras runs on 'numpy': set KERAS_BACKEND to one of tensorflow, jax, torch\n"


@pytest.mark.slow
@pytest.mark.parametrize("text", ["[]", '{"epsilon": 1}', '{"floatx": "int8"}'])
def test_a_settings_file_that_keras_refuses_is_named(text, tmp_path):
    (tmp_path / "keras.json").write_text(text)
    code = "try:\n import impasto.compute.backend\nexcept BackendError as error:\n print(error)"
    said = loaded_with(code, KERAS_HOME=str(tmp_path))
    assert said.count("\n") == 1
    assert f"{tmp_path}/keras.json" in said
    assert "remove it" in said


@pytest.mark.slow
def test_no_settings_file_is_left_where_there_was_none_and_one_that_was_there_stays(tmp_path):
    code = "import impasto.compute.backend"
    loaded_with(code, KERAS_HOME=str(tmp_path / "new"))
    assert not (tmp_path / "new").exists()
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "models").touch()
    loaded_with(code, KERAS_HOME=str(tmp_path / "old"))
    assert [path.name for path in (tmp_path / "old").iterdir()] == ["models"]


def together(rows, more):
    """A few operations, with what such functions may be given."""
    assert more["nothing"] is None
    return ops.sum(rows * more["by"] + 1, axis=0), [ops.max(rows)]


@pytest.fixture
def gpu(monkeypatch):
    """As with one."""
    monkeypatch.setattr(backend, "on_processor", lambda: False)


def test_a_fused_function_gives_what_it_gives_by_itself(gpu):
    rows = tiny.random_picture(4, 5, seed=3)[..., 0]
    more = {"by": np.float32(2), "nothing": None}
    total, (largest,) = backend.fused(together)(ops.convert_to_tensor(rows), more)
    np.testing.assert_allclose(backend.to_numpy(total), (rows * 2 + 1).sum(axis=0), rtol=1e-6)
    assert float(largest) == rows.max()


def test_a_fused_function_of_numpys_arrays_is_the_function_itself(gpu):
    assert backend.fused(lambda array: array)(array := np.zeros(2)) is array


@pytest.mark.skipif(backend.name() != "jax", reason="only JAX compiles operation by operation")
def test_a_fused_function_is_one_program_of_jax(gpu):
    import jax

    compiled = []

    def heard(event, seconds, **_):
        if "backend_compile" in event:
            compiled.append(seconds)

    rows = ops.convert_to_tensor(tiny.random_picture(6, 7, seed=4)[..., 0])
    more = {"by": np.float32(2), "nothing": None}
    jax.monitoring.register_event_duration_secs_listener(heard)
    try:
        for _ in range(2):
            fused = backend.fused(together)
            fused(rows, more)
            fused(rows, more)
        assert len(compiled) == 1  # the second is found among those that JAX has
        together(rows, more)
        assert len(compiled) > 1
    finally:
        jax.monitoring.unregister_event_duration_listener(heard)


@pytest.mark.skipif(backend.name() != "jax", reason="only JAX has programs of its own for sizes")
def test_a_program_of_jax_does_not_hold_what_its_function_holds(monkeypatch):
    import jax

    jit, programs = jax.jit, []

    def seen(function, **settings):
        compiled = jit(function, **settings)

        def call(*arguments):
            programs.append(compiled.lower(*arguments).as_text())
            return compiled(*arguments)

        return call

    monkeypatch.setattr(jax, "jit", seen)
    kernel = tiny.random_picture(100, 100, seed=5)[..., 0]
    held = ops.convert_to_tensor(kernel)
    traced = backend.traced(lambda picture: ops.matmul(held, picture[..., 0]))
    for width in (3, 4, 3):
        picture = tiny.random_picture(100, width, seed=6)
        found = backend.to_numpy(traced(ops.convert_to_tensor(picture)))
        np.testing.assert_allclose(found, kernel @ picture[..., 0], rtol=1e-4)
    assert len(programs) == 3
    assert max(map(len, programs)) < 10_000 < kernel.nbytes
