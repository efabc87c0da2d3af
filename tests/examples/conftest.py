"""Examples as modules, and two small images."""

import importlib.util
import sys
from pathlib import Path

import pytest
from PIL import Image

import impasto

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def example(monkeypatch):
    """Return a function that imports an example."""

    def load(name):
        spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, module)
        spec.loader.exec_module(module)
        return module

    return load


@pytest.fixture
def files(tmp_path):
    """The paths of a content image and a style image."""
    for name, sample in (("content", "coffee"), ("style", "swirls")):
        pixels = impasto.load_sample(sample, 96)
        Image.fromarray(pixels.astype("uint8")).save(tmp_path / f"{name}.png")
    return tmp_path / "content.png", tmp_path / "style.png"
