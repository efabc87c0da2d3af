"""Which engine computes."""

import logging
import subprocess
import sys

import pytest

from impasto.compute import keras_backend
from impasto.compute.native import kernels
from impasto.engines import selection
from impasto.engines.keras_engine import KerasEngine
from impasto.engines.native_engine import NativeEngine
from impasto.errors import BackendError
from impasto.recipe import presets
from tests import tiny


@pytest.fixture
def missing(monkeypatch):
    """As where the kernels were not built."""

    def library():
        raise ImportError("The compiled kernels are not built: install a C compiler.")

    monkeypatch.setattr(kernels, "_library", library)


@pytest.fixture
def gpu(monkeypatch):
    """As with one that Keras computes on."""
    monkeypatch.setattr(selection, "_has_gpu", lambda: True)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        pytest.param({}, "native", marks=tiny.needs_kernels),
        pytest.param(
            {"engine": "auto", "precision": "float32"}, "native", marks=tiny.needs_kernels
        ),
        pytest.param({"engine": "native"}, "native", marks=tiny.needs_kernels),
        ({"engine": "keras"}, "keras"),
        ({"precision": "bfloat16"}, "keras"),
        ({"engine": "keras", "precision": "bfloat16"}, "keras"),
    ],
)
def test_the_native_engine_computes_unless_the_recipe_asks_for_what_it_cannot_do(
    settings, expected, monkeypatch, caplog
):
    monkeypatch.setattr(selection, "_has_gpu", lambda: False)
    chosen = presets.make_recipe(**settings)
    assert selection.choose_engine(chosen) == expected
    engine = selection.build_engine(chosen, tiny.vgg())
    assert type(engine) is {"native": NativeEngine, "keras": KerasEngine}[expected]
    assert not caplog.records


@pytest.mark.parametrize(
    ("asked", "expected"), [("auto", "keras"), ("keras", "keras"), ("native", "native")]
)
def test_on_a_gpu_keras_computes_unless_the_native_engine_is_asked_for(gpu, asked, expected):
    assert selection.choose_engine(presets.make_recipe(engine=asked)) == expected


def test_where_the_kernels_are_missing_keras_computes_and_one_line_says_so(missing, caplog):
    with caplog.at_level(logging.WARNING):
        engine = selection.build_engine(presets.make_recipe(), tiny.vgg())
    assert isinstance(engine, KerasEngine)
    (record,) = caplog.records
    said = record.getMessage()
    assert said.isprintable()
    assert "kernels are missing" in said
    assert "pip install" in said


def test_keras_that_was_asked_for_is_no_reason_to_warn(missing, caplog):
    selection.build_engine(presets.make_recipe(engine="keras"), tiny.vgg())
    assert not caplog.records


def test_a_native_engine_that_is_asked_for_but_missing_is_refused(missing, one_line):
    with pytest.raises(BackendError) as caught:
        selection.build_engine(presets.make_recipe(engine="native"), tiny.vgg())
    said = one_line(caught)
    assert "compiler" in said
    assert "keras" in said


def test_bfloat16_is_refused_by_the_native_engine_and_by_nobody_else(one_line):
    with pytest.raises(Exception, match="bfloat16") as caught:
        presets.make_recipe(engine="native", precision="bfloat16")
    one_line(caught)


@pytest.mark.parametrize("device", [False, True])
def test_keras_is_asked_for_a_gpu_only_where_a_device_hints_at_one(device, tmp_path, monkeypatch):
    hint, asked = tmp_path / "nvidiactl", []
    if device:
        hint.touch()
    monkeypatch.setattr(selection.shutil, "which", lambda name: None)
    monkeypatch.setattr(selection, "Path", lambda name: hint)
    monkeypatch.setattr(keras_backend, "runs_on_cpu", lambda: asked.append(True))
    monkeypatch.setattr(kernels, "kernels_available", lambda: True)
    assert selection.choose_engine(presets.make_recipe()) == ("keras" if device else "native")
    assert bool(asked) == device


def test_without_such_a_device_keras_is_not_loaded():
    code = """
import sys
from pathlib import Path
from impasto.engines import selection
from impasto.recipe.settings import Recipe
selection.kernels.kernels_available = lambda: True
selection.shutil.which = lambda name: None
selection.Path = lambda name: Path("nowhere")
print(selection.choose_engine(Recipe()), "keras" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "native False\n", done.stderr
