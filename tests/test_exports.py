"""What `import impasto` offers, and how little it loads."""

import subprocess
import sys

import pytest

import impasto

PUBLIC = [
    "BackendError",
    "CheckpointError",
    "Event",
    "ImpastoError",
    "InputError",
    "LevelFinished",
    "LevelStarted",
    "Listener",
    "Painted",
    "PRESETS",
    "PictureError",
    "Reason",
    "Recipe",
    "Region",
    "Result",
    "Saving",
    "Settings",
    "SettingError",
    "Step",
    "Stylizer",
    "WeightsError",
    "judge",
    "stylize",
]
HEAVY = {"tensorflow", "jax", "torch", "keras", "matplotlib", "scipy", "skimage"}


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_public_names_are_these():
    assert sorted(impasto.__all__) == sorted(PUBLIC)
    assert set(PUBLIC) <= set(dir(impasto))


@pytest.mark.backend
@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_can_be_imported(name):
    assert getattr(impasto, name) is not None


def test_other_names_do_not_exist():
    with pytest.raises(AttributeError, match="styleize"):
        impasto.styleize  # noqa: B018


@pytest.mark.parametrize(
    "code",
    [
        "import impasto",
        "import impasto.cli.app",
        "import impasto; impasto.Recipe(size=64); impasto.PRESETS; impasto.SettingError",
    ],
)
def test_little_is_loaded(code):
    assert run(f"{code}; import sys; print({HEAVY} & {{*sys.modules}})") == "set()"


@pytest.mark.parametrize(
    "code",
    [
        "import impasto; impasto.Stylizer; impasto.Reason; impasto.Step",
        "import impasto.cli.console",
        "import impasto.painting.checkpoints",
        "import impasto.studio.app",
    ],
)
def test_no_tensor_library_is_loaded_before_something_is_painted(code):
    if "studio" in code:
        pytest.importorskip("starlette")
    libraries = {"keras", "tensorflow", "jax", "torch"}
    assert run(f"{code}; import sys; print({libraries} & {{*sys.modules}})") == "set()"
