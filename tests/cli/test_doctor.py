"""What `impasto doctor` prints, on machines with and without some packages."""

import importlib.metadata
import subprocess

import pytest

from impasto.cli import doctor
from impasto.errors import WeightsError
from impasto.network import weights
from impasto.version import __version__


def rows(text):
    return dict(line.split("  ", 1) for line in text.splitlines())


def test_everything_that_an_issue_needs_is_printed(capsys, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    doctor.doctor()
    found = {name: value.strip() for name, value in rows(capsys.readouterr().out).items()}
    assert found["impasto"].startswith(__version__)
    assert {"python", "system", "libraries", "engine", "cores", "memory", "GPU"} <= set(found)
    assert "numpy" in found["libraries"]
    assert found["environment"].startswith("KERAS_BACKEND=tensorflow")
    assert found["weights vgg16"]
    assert not found["weights vgg16"].startswith(doctor.MISSING)
    assert "extra studio" in found
    assert not any(f"extra {name}" in found for name in ("dev", "docs", "lint", "all"))


def test_the_home_folder_is_not_shown(monkeypatch):
    monkeypatch.setenv("HOME", "/home/ada")
    monkeypatch.setenv("USERPROFILE", "/home/ada")
    assert doctor.shorten_home("in /home/ada/src") == "in ~/src"


def test_missing_weights_are_named_with_their_command_and_the_status_is_1(capsys, monkeypatch):
    def missing(name):
        raise WeightsError("none")

    monkeypatch.setattr(weights, "load_weights", missing)
    with pytest.raises(SystemExit) as left:
        doctor.doctor()
    assert left.value.code == 1
    found = rows(capsys.readouterr().out)
    assert found["weights vgg16"].strip() == f"missing: {weights.NETWORKS['vgg16'].install}"


REQUIREMENTS = {
    "impasto": [
        "numpy>=2",
        "no-such-package>=1; extra == 'studio'",
        "numpy>=1; extra == 'studio'",
        "numpy>=1000; extra == 'jax'",
        "pillow[heif]; extra == 'jax'",
        "no-such-package; extra == 'jax' and python_version < '3'",
    ],
    "pillow": ["no-such-plugin==3; extra == 'heif'"],
}


def test_missing_requirements_of_an_extra_include_those_of_its_own_extras(monkeypatch):
    monkeypatch.setattr(importlib.metadata, "requires", REQUIREMENTS.get)
    assert doctor.missing_requirements("impasto", "studio") == ["no-such-package>=1"]
    assert doctor.missing_requirements("impasto", "jax") == ["numpy>=1000", "no-such-plugin==3"]


def test_graphics_cards_are_listed_or_the_failure_is(monkeypatch):
    monkeypatch.setattr(doctor.shutil, "which", lambda name: f"/bin/{name}")
    answers = iter(["NVIDIA H200, 143771 MiB, 570.1\n", subprocess.TimeoutExpired("x", 1)])

    def answered(words, **options):
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return subprocess.CompletedProcess(words, 0, answer, "")

    monkeypatch.setattr(doctor.subprocess, "run", answered)
    assert list(doctor._iter_gpus()) == ["NVIDIA H200, 143771 MiB, 570.1"]
    assert list(doctor._iter_gpus()) == ["nvidia-smi failed: TimeoutExpired"]
