"""What `import impasto` offers, and how little it loads."""

import subprocess
import sys
from importlib.util import find_spec

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
TENSORS = {"tensorflow", "jax", "torch", "keras"}
HEAVY = {*TENSORS, "matplotlib", "scipy", "skimage"}


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_public_names_are_these():
    assert sorted(impasto.__all__) == sorted(PUBLIC)
    assert set(PUBLIC) <= set(dir(impasto))


@pytest.mark.backend
def test_every_public_name_can_be_imported():
    assert [name for name in PUBLIC if getattr(impasto, name, None) is None] == []


def test_other_names_do_not_exist():
    with pytest.raises(AttributeError, match="styleize"):
        impasto.styleize  # noqa: B018


HELP = """
import contextlib, io, sys
from impasto.cli.app import main
sys.argv = ["impasto", "--help"]
with contextlib.suppress(SystemExit), contextlib.redirect_stdout(io.StringIO()) as said:
    main()
assert "stylize" in said.getvalue()
"""

LOADED: dict[str, set[str]] = {
    "import impasto": HEAVY,
    "import impasto; impasto.Recipe(size=64); impasto.PRESETS; impasto.SettingError": HEAVY,
    "import impasto.cli.app": HEAVY,
    HELP: HEAVY,
    "import impasto.cli.judge": {*TENSORS, "scipy"},
    "import impasto.pictures.decode, impasto.pictures.encode": {*TENSORS, "PIL.ImageCms"},
    "import impasto.pictures.films": {*TENSORS, "PIL.ImageCms", "imageio_ffmpeg"},
    "import impasto; impasto.Stylizer; impasto.Reason; impasto.Step": TENSORS,
    "import impasto.painting.inputs": TENSORS,
    "import impasto.painting.checkpoints": TENSORS,
    "import impasto.cli.console": TENSORS,
    "import impasto.studio.app": TENSORS,
}
"""What must not be loaded after some code, in the order in which the sets become smaller."""


def loaded_after(*steps):
    """The libraries that are loaded after a step, among those that must not be, by step."""
    code = f"""
import sys
for step, forbidden in {[(step, LOADED[step]) for step in steps]!r}:
    exec(step, {{}})
    if found := forbidden & {{*sys.modules}}:
        print(step, found)
"""
    return run(code)


def test_importing_stays_light():
    """One process for all; the slow set has one for each."""
    steps = [step for step in LOADED if "studio" not in step or find_spec("starlette")]
    assert loaded_after(*steps) == ""


@pytest.mark.slow
@pytest.mark.parametrize("step", LOADED)
def test_importing_each_by_itself_stays_light(step):
    if "studio" in step:
        pytest.importorskip("starlette")
    assert loaded_after(step) == ""
