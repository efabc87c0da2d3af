"""Optional dependencies: their table is that of pyproject.toml, and each missing one is named."""

import importlib.metadata
import json
import re
import sys
import tomllib
from pathlib import Path

import pytest

from impasto import extras
from impasto.cli.studio import studio
from impasto.errors import ImageError, OutputError, SettingError
from impasto.images.formats import decode, video
from impasto.jobs import outputs
from impasto.pipeline.stylizer import parse_workers

PROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))[
    "project"
]
OPTIONAL = PROJECT["optional-dependencies"]
DEVELOPMENT = {"all", "jax", "cuda", "docs", "examples", "lint", "dev"}
DATA = {"judge"} & set(OPTIONAL)  # which a release adds; it has no modules
HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(40)


def distributions(requirements):
    return {re.split(r"[<>=\[]", each)[0] for each in requirements}


def test_the_extras_are_those_of_the_metadata():
    assert set(OPTIONAL) - DEVELOPMENT - DATA == set(extras.EXTRAS)
    (everything,) = OPTIONAL["all"]
    named = everything.removeprefix("impasto[").removesuffix("]").split(",")
    assert set(named) - DATA == set(extras.EXTRAS)


@pytest.mark.parametrize("name", extras.EXTRAS)
def test_the_modules_of_an_extra_belong_to_its_packages(name):
    packages = importlib.metadata.packages_distributions()
    owners = {owner for each in extras.EXTRAS[name].modules for owner in packages[each]}
    assert {each.lower().replace("_", "-") for each in owners} == distributions(OPTIONAL[name])


def test_no_dependency_is_an_extra_as_well():
    required = distributions(PROJECT["dependencies"])
    assert not required & {each for name in extras.EXTRAS for each in distributions(OPTIONAL[name])}


@pytest.fixture
def without(monkeypatch):
    """A function that hides the modules of an extra."""

    def hide(extra):
        real, hidden = extras.importlib.util.find_spec, extras.EXTRAS[extra].modules
        for module in hidden:
            monkeypatch.setitem(sys.modules, module, None)
        monkeypatch.setattr(
            extras.importlib.util, "find_spec", lambda name: None if name in hidden else real(name)
        )

    return hide


USES = {
    "studio": (SettingError, lambda folder: studio(folder)),
    "video": (OutputError, lambda folder: video.check_video(folder / "a.mp4")),
    "plot": (
        OutputError,
        lambda folder: outputs.check_outputs(
            outputs.OutputPaths(folder / "a.png", plot=folder / "b.png")
        ),
    ),
    "heif": (ImageError, lambda folder: decode.read_image(HEIC)),
    "cluster": (SettingError, lambda folder: parse_workers(2)),
}


@pytest.mark.parametrize("name", extras.EXTRAS)
def test_a_missing_extra_is_named_with_the_command_that_installs_it(
    tmp_path, without, one_line, name
):
    without(name)
    error, use = USES[name]
    with pytest.raises(error) as caught:
        use(tmp_path)
    message = one_line(caught)
    assert f"[{name}]" in message
    assert "pip install " in message
    assert all(module in message for module in extras.EXTRAS[name].modules)


@pytest.mark.parametrize(
    ("origin", "command"),
    [
        (None, "pip install 'impasto[plot]'"),
        ("no JSON", "pip install 'impasto[plot]'"),
        ({"url": "https://example.org/i.whl", "archive_info": {}}, "pip install 'impasto[plot]'"),
        ({"url": "file:///home/a%20b", "dir_info": {}}, "pip install '/home/a b[plot]'"),
        (
            {"url": "file:///home/a", "dir_info": {"editable": True}},
            "pip install -e '/home/a[plot]'",
        ),
    ],
)
@pytest.mark.skipif(sys.platform == "win32", reason="paths of Windows differ")
def test_the_command_names_the_folder_from_which_impasto_was_installed(
    monkeypatch, origin, command
):
    class Installed:
        def read_text(self, name):
            assert name == "direct_url.json"
            return json.dumps(origin) if isinstance(origin, dict) else origin

    monkeypatch.setattr(extras.importlib.metadata, "distribution", lambda name: Installed())
    assert extras.install_command("plot") == command


def test_a_heic_file_is_read_where_its_decoder_is_installed():
    with pytest.raises(ImageError) as caught:  # by libheif, since the file has no image
        decode.read_image(HEIC)
    assert "pip install" not in str(caught.value)
