"""What `import impasto` offers, and how little it loads."""

import builtins
import importlib.metadata
import inspect
import pkgutil
import re
import subprocess
import sys
from importlib.util import find_spec

import pytest

import impasto

PUBLIC = [
    "BackendError",
    "CheckpointError",
    "ClusterError",
    "Event",
    "ImpastoError",
    "InputError",
    "LevelFinished",
    "LevelStarted",
    "Listener",
    "OutputError",
    "Finished",
    "ImageLike",
    "PRESETS",
    "ImageError",
    "StopReason",
    "Recipe",
    "StepRecord",
    "Region",
    "Result",
    "SaveOptions",
    "Settings",
    "SettingError",
    "Step",
    "Stylizer",
    "RunOptions",
    "ClipSurveyed",
    "FramePainted",
    "ShotFinished",
    "ShotStarted",
    "VideoEvent",
    "VideoFinished",
    "VideoOptions",
    "WeightsError",
    "__version__",
    "compare_layers_and_weights",
    "judge",
    "load_sample",
    "plot_grid",
    "plot_history",
    "reconstruct_layers",
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


NAMED = re.compile(r":\w+:`~?([\w.]+)`|\b([A-Z]\w+(?:Error|Exception))\b")
"""What a docstring refers to by a role, and every error that it names."""


def documented(name):
    """Yield the docstrings of a public name and of its public members."""
    value = getattr(impasto, name)
    members = vars(value) if inspect.isclass(value) else {}
    for each in (value, *(member for key, member in members.items() if key[0] != "_")):
        if inspect.isroutine(each) or inspect.isclass(each) or isinstance(each, property):
            yield inspect.getdoc(each) or ""


def resolves(name, owner):
    """Whether a user finds a name: in impasto, in its owner, in Python, or by its whole path."""
    if name.startswith("impasto."):
        return pkgutil.resolve_name(name) is not None
    return any(hasattr(place, name) for place in (impasto, owner, builtins))


@pytest.mark.parametrize("name", PUBLIC)
def test_every_name_in_a_public_docstring_resolves(name):
    text = "\n".join(documented(name))
    named = {role or error for role, error in NAMED.findall(text)}
    assert not {each for each in named if not resolves(each, getattr(impasto, name))}


def test_the_public_docstrings_name_something():
    named = {
        each
        for name in PUBLIC
        for found in NAMED.findall("".join(documented(name)))
        for each in found
    }
    assert {"ClusterError", "RunOptions", "SettingError", "so_far"} <= named


def test_the_version_is_the_installed_one_and_read_on_first_use():
    assert impasto.__version__ == importlib.metadata.version("impasto")
    assert run("import sys, impasto; print('importlib.metadata' in sys.modules)") == "False"


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
    "import impasto.images.formats.decode, impasto.images.formats.encode": {
        *TENSORS,
        "PIL.ImageCms",
    },
    "import impasto.images.formats.video": {*TENSORS, "PIL.ImageCms", "imageio_ffmpeg"},
    "import impasto; impasto.Stylizer; impasto.StopReason; impasto.Step": TENSORS,
    "import impasto.pipeline.inputs": TENSORS,
    "import impasto.pipeline.checkpoints": TENSORS,
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
