"""The real command, killed and starved: at every instant there is the old file or the new one.

IMPASTO_KILLS says how many times it is killed; ``make soak`` asks for more. The moments are seeded,
and spread from the start of the process to past its end.

The command paints with the default recipe, through every kind of level: beyond 32 px it sharpens,
as it does beyond 1,024 px outside of these tests.
"""

import json
import os
import random
import re
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image

from impasto import stylize
from impasto.errors import CheckpointError
from impasto.images import samples
from impasto.pipeline import checkpoints, execution
from tests import shared, signals
from tests.cli.test_app import run

KILLS = int(os.environ.get("IMPASTO_KILLS", "3"))
TINY = ["--size", "64", "--structure-size", "32", "--levels", "3", "--precision", "float32"]
SMALL = [*TINY, "--evaluations", "3"]
EVALUATIONS = (4, 3, 6, 3)
"""of its levels: FORMS, FINEST, LAST, SHARPENING"""
SAVING = ["--checkpoint-every", "0"]  # every iteration, so that many moments lie within writes
WORDS = ["stylize", "photo.png", "painting.png", "-o", "out.png"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    photograph = samples.load_content("coffee")[::4, ::4].astype(np.uint8)
    Image.fromarray(photograph).save(folder / "photo.png")
    Image.fromarray(samples.make_style("swirls", 96).astype(np.uint8)).save(folder / "painting.png")
    return folder


@pytest.fixture(scope="module")
def whole(folder):
    """The bytes of the picture that is painted when nothing happens."""
    done = run(*WORDS, *SMALL, cwd=folder)
    assert done.returncode == 0, done.stderr
    return (folder / "out.png").read_bytes()


@pytest.fixture(scope="module")
def takes(folder, whole):
    """The seconds that a process takes to paint it, saving its state after every step."""
    begun = time.monotonic()
    done = start(folder, *WORDS, *SMALL, "--checkpoint", "w", *SAVING)
    said = done.communicate()[1]
    assert done.returncode == 0, said
    assert not (folder / "w").exists()
    assert (folder / "out.png").read_bytes() == whole
    return time.monotonic() - begun


@pytest.fixture
def copy(folder, tmp_path):
    for name in ("photo.png", "painting.png"):
        shutil.copy(folder / name, tmp_path)
    return tmp_path


def start(folder, *words, **more):
    return subprocess.Popen(
        [sys.executable, "-m", "impasto", *words],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **{"preexec_fn": signals.as_usual, **more},
    )


def whole_or_none(path):
    """A checkpoint that is there is a whole one, whatever happened to its writer."""
    return path.exists() and bool(checkpoints.read_checkpoint(path))


@pytest.mark.slow
@pytest.mark.parametrize("number", range(KILLS))
def test_killed_at_any_moment_it_goes_on_to_the_same_bytes(number, copy, whole, takes):
    """Killed twice: the work that was gone on with as well."""
    generator = random.Random(number)
    kept = copy / "a.checkpoint"
    for kill in range(2):
        again = (
            ["--resume", kept.name] if whole_or_none(kept) else [*SMALL, "--checkpoint", kept.name]
        )
        process = start(copy, *WORDS, *again, *SAVING)
        # The moments of one test after another are even over the whole run; the second is not.
        share = generator.random() if kill else (number + generator.random()) / KILLS
        try:
            _, said = process.communicate(timeout=1.05 * takes * share)
            assert process.returncode == 0, said
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.communicate()
        if (copy / "out.png").exists():
            assert (copy / "out.png").read_bytes() == whole
            if not kept.exists():
                break
    if whole_or_none(kept):
        done = start(copy, *WORDS, "--resume", kept.name)
    else:
        done = start(copy, *WORDS, *SMALL, "--checkpoint", kept.name)
    _, said = done.communicate()
    assert done.returncode == 0, said
    assert (copy / "out.png").read_bytes() == whole
    assert sorted(path.name for path in copy.iterdir()) == ["out.png", "painting.png", "photo.png"]


@pytest.mark.slow
@pytest.mark.parametrize(("moment", "calls"), [("os.fsync", 5), ("os.replace", 3)])
def test_killed_within_a_write_it_leaves_the_old_checkpoint_whole(moment, calls, copy, whole):
    """At the third write, whose temporary file is there and not yet in its place.

    Every write syncs two times, the file and then its folder.
    """
    code = f"""
import os, signal, sys
from impasto.cli import app
from impasto.pipeline import checkpoints
module, name = {moment!r}.split(".")
calls, real = [], getattr(os, name)
def deadly(*arguments):
    calls.append(arguments)
    if len(calls) == {calls}:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*arguments)
setattr(os, name, deadly)
sys.argv = ["impasto", *{[*WORDS, *SMALL, "--checkpoint", "a", *SAVING]!r}]
app.main()
"""
    killed = subprocess.run([sys.executable, "-c", code], cwd=copy, capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert whole_or_none(copy / "a")
    (left,) = copy.glob(".impasto-*")
    done = start(copy, *WORDS, "--resume", "a")
    done.communicate()
    assert done.returncode == 0
    assert (copy / "out.png").read_bytes() == whole
    assert not left.exists()


@pytest.mark.parametrize(
    "number",
    [
        signal.SIGINT,
        pytest.param(signal.SIGTERM, marks=pytest.mark.slow),
        pytest.param(signal.SIGHUP, marks=pytest.mark.slow),
    ],
)
def test_an_end_saves_the_picture_and_a_checkpoint_and_says_how_to_go_on(number, copy, whole):
    """Ctrl-C, the system's request to end, and a terminal that is closed."""
    (copy / "out.checkpoint").write_text("mine")
    process = start(
        copy,
        *WORDS,
        *SMALL,
        *("--save-every", "1", "--frames", "seen frames"),
    )
    while not (copy / "seen frames" / "frame-00003.png").exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    process.send_signal(number)
    out, said = process.communicate()
    assert process.returncode == 0, said
    assert out.strip() == "out.png"
    with Image.open(copy / "out.png") as image:
        assert image.size == (64, 43)
    assert (copy / "out.checkpoint").read_text() == "mine"
    assert whole_or_none(copy / "out-2.checkpoint")
    (line,) = (line for line in said.splitlines() if line.startswith("to resume: "))
    program, *words = shlex.split(line.removeprefix("to resume: "))
    assert program == "impasto"
    again = run(*words, cwd=copy)
    assert again.returncode == 0, again.stderr
    assert re.search("resuming at level [1-3] after", again.stderr)
    assert (copy / "out.png").read_bytes() == whole
    assert not (copy / "out-2.checkpoint").exists()
    assert len([*(copy / "seen frames").iterdir()]) == sum(EVALUATIONS)


@pytest.mark.slow
def test_ctrl_c_twice_leaves_and_keeps_the_last_checkpoint(copy, whole):
    endless = [*TINY, "--evaluations", "99999"]
    process = start(copy, *WORDS, *endless, "--checkpoint", "a", *SAVING)
    while not (copy / "a").exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    while process.poll() is None:
        process.send_signal(signal.SIGINT)
        time.sleep(0.002)
    assert process.returncode in (0, 130)  # 0 where the system took many for one
    assert "Traceback" not in process.communicate()[1]
    assert whole_or_none(copy / "a")
    assert not [*copy.glob(".impasto-*")]


# A full disk --------------------------------------------------------------------------------


def starved(folder, size, *words):
    """Run the command where a file of more than so many bytes cannot be written."""

    def quota():
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

    process = start(folder, *words, preexec_fn=quota)
    out, said = process.communicate()
    assert "Traceback" not in said
    return process.returncode, out, said.splitlines()


@pytest.mark.slow
def test_beyond_a_quota_the_painting_goes_on_and_the_old_checkpoint_stays(copy, whole):
    """Checkpoints grow by two arrays of 33 kB with every step: some fit, and those after do not."""
    words = [*WORDS, *SMALL, "--checkpoint", "a", *SAVING]
    status, out, said = starved(copy, 100_000, *words)
    assert (status, out.strip()) == (0, "out.png")
    assert [line for line in said if "checkpoint" in line] == [
        "the checkpoint was not written: a cannot be written: File too large"
    ]
    assert (copy / "out.png").read_bytes() == whole
    assert sorted(path.name for path in copy.iterdir()) == ["out.png", "painting.png", "photo.png"]


@pytest.mark.slow
def test_a_picture_that_cannot_be_written_is_kept_by_its_checkpoint(copy):
    """The state at the start of the coarsest of three levels is smaller than the picture."""
    coarse = ["--style-loss", "gram", "--size", "96", "--levels", "3", "--evaluations", "1"]
    words = [*WORDS, *coarse, "--checkpoint", "a"]
    status, out, said = starved(copy, 10_000, *words, *SAVING)
    assert (status, out) == (2, "")
    assert said[-1] == (
        "impasto: out.png cannot be written: File too large; nothing is lost: "
        "resume with --resume a"
    )
    assert whole_or_none(copy / "a")
    done = start(copy, *WORDS, "--resume", "a")
    done.communicate()
    assert done.returncode == 0
    with Image.open(copy / "out.png") as image:
        assert image.size == (96, 64)


@pytest.mark.slow
def test_on_a_full_disk_the_picture_is_saved_elsewhere_and_the_old_one_stays(copy, whole):
    """A disk of one megabyte, mounted for the one process, with room for a checkpoint or two."""
    (copy / "disk").mkdir()
    (copy / "elsewhere").mkdir()
    command = [sys.executable, "-m", "impasto", *WORDS[:-1], "disk/out.png", *SMALL, *SAVING]
    script = f"""
mount -t tmpfs -o size=1m none disk || exit 99
echo old > disk/out.png
head -c 1000000 /dev/zero > disk/filler 2>/dev/null
head -c 1000000 /dev/zero > disk/rest 2>/dev/null
export TMPDIR={shlex.quote(str(copy / "elsewhere"))}
{shlex.join(command)} --checkpoint disk/a
status=$?
cat disk/out.png
ls -A disk
exit $status
"""
    if not shutil.which("unshare"):
        pytest.skip("no unshare, which makes room for a disk of its own")
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", script], cwd=copy, capture_output=True, text=True
    )
    if done.returncode == 99 or "unshare" in done.stderr:
        pytest.skip(f"this system mounts no disk of its own for a test: {done.stderr.strip()}")
    assert done.returncode == 2, done.stderr
    assert done.stdout.split() == ["old", "filler", "out.png", "rest"]
    first, *_, last = done.stderr.splitlines()
    assert first == (
        "the checkpoint was not written: disk/a cannot be written: No space left on device"
    )
    assert (
        "disk/out.png cannot be written: No space left on device; the result was saved as " in last
    )
    assert (copy / "elsewhere" / "out.png").read_bytes() == whole


# Power cuts ---------------------------------------------------------------------------------


def test_whatever_of_a_file_reached_the_disk_it_is_taken_whole_or_refused(copy, monkeypatch):
    """A power cut may lose any blocks that were not synced; names are moved after they are."""
    monkeypatch.setattr(execution, "ModelCache", shared.engines_for)
    wanted = {"size": 64, "levels": 3, "precision": "float32", "evaluations": 4}
    steps = []

    def stop_in_the_last_level(event):
        steps.append(getattr(event, "level", 0))
        return steps.count(4) < 3

    paths = copy / "photo.png", copy / "painting.png"
    stylize(*paths, **wanted, checkpoint=copy / "a", listener=stop_in_the_last_level)
    data = (copy / "a").read_bytes()
    generator = random.Random(0)
    for _ in range(200):
        block = generator.choice([512, 4096])
        lost = bytearray(data)
        for _ in range(generator.randrange(1, 5)):
            begin = generator.randrange(0, len(data), block)
            lost[begin : begin + block] = bytes(len(lost[begin : begin + block]))
        if lost == data:
            continue
        (copy / "lost").write_bytes(lost[: generator.choice([None, len(lost) // 2])])
        with pytest.raises(CheckpointError, match=r"is damaged|is not a checkpoint"):
            checkpoints.read_checkpoint(copy / "lost")
    assert checkpoints.read_checkpoint(copy / "a").history


# Whatever Keras is set to ---------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        {"floatx": "float16", "image_data_format": "channels_first"},
        {"floatx": "float64", "epsilon": 0.1, "backend": "abacus"},
        {"floatx": "float32", "backend": "numpy"},
    ],
    ids=lambda settings: "-".join(map(str, settings.values())),
)
def test_a_persons_settings_of_keras_change_nothing_and_stay(settings, copy, whole):
    """A backend that impasto does not know becomes TensorFlow, which comes with it.

    What a program sets is in ``painting/test_promises.py``.
    """
    home = copy / "home"
    home.mkdir()
    (home / "keras.json").write_text(json.dumps(settings))
    environment = {**os.environ, "KERAS_HOME": str(home)}
    if "backend" in settings:
        environment.pop("KERAS_BACKEND", None)
    done = start(copy, *WORDS, *SMALL, env=environment)
    _, said = done.communicate()
    assert done.returncode == 0, said
    if "backend" not in settings or os.environ.get("KERAS_BACKEND") in (None, "tensorflow"):
        assert (copy / "out.png").read_bytes() == whole
    assert json.loads((home / "keras.json").read_text()) == settings


# Whatever the streams are ---------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_are_no_reason_to_fail(closed, copy, whole):
    command = shlex.join([sys.executable, "-m", "impasto", *WORDS, *SMALL])
    done = subprocess.run(["sh", "-c", f"{command} {closed}"], cwd=copy, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert (copy / "out.png").read_bytes() == whole


@pytest.mark.slow
def test_a_name_that_the_terminal_cannot_show_ends_no_batch(copy):
    (copy / "photo.png").rename(copy / "写真.png")
    environment = {**os.environ, "PYTHONUTF8": "0", "PYTHONIOENCODING": "cp1252"}
    tiny = ["--size", "32", "--levels", "1", "--evaluations", "1", "--precision", "float32"]
    words = ["batch", "写真.png", "painting.png", "--style", "painting.png", *tiny]
    done = start(copy, *words, env=environment)
    out, said = done.communicate()
    assert done.returncode == 0, said
    assert out.split() == ["painted/\\u5199\\u771f.png", "painted/painting.png"]
    written = {path.name for path in (copy / "painted").iterdir()}
    assert written == {"写真.png", "painting.png", "contact-sheet.html"}


# What is left behind, and what ends it early -----------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        [*WORDS, "--plot", "p.png", "--timelapse", "t.mp4", "--report", "r.json"],
        ["samples", "there", "--size", "32"],
    ],
    ids=["stylize", "samples"],
)
@pytest.mark.parametrize("home", ["home", os.devnull], ids=["a home", "no home"])
def test_no_temporary_file_is_left_whatever_library_made_it(home, words, copy):
    """Matplotlib keeps a folder, and Keras its settings, where there is no home to keep them in."""
    (copy / "temporary").mkdir()
    (copy / "home").mkdir()
    tiny = ["--size", "32", "--levels", "1", "--evaluations", "2"] if words[0] == "stylize" else []
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("XDG_", "KERAS_HOME", "MPLCONFIGDIR", "IMPASTO_CACHE"))
    }
    place = str(copy / home) if home == "home" else home
    environment |= {"HOME": place, "TMPDIR": str(copy / "temporary")}
    process = start(copy, *words, *tiny, env=environment)
    _, said = process.communicate()
    assert process.returncode == 0, said
    assert not [*(copy / "temporary").iterdir()]
    assert not (copy / "home" / ".keras").exists()


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("unshare"), reason="no unshare, which makes such a user")
def test_somebody_without_a_home_paints_and_leaves_nothing(copy, whole):
    there = os.path.exists("/tmp/.keras")
    command = [sys.executable, "-m", "impasto", *WORDS, *SMALL, "--plot", "p.png"]
    (copy / "temporary").mkdir()
    nobody = ["unshare", "--user", "--map-user=12345", "env", "-u", "HOME"]
    nobody += [f"TMPDIR={copy / 'temporary'}"]
    done = subprocess.run([*nobody, *command], cwd=copy, capture_output=True, text=True)
    if "unshare" in done.stderr:
        pytest.skip(f"this system makes no user for a test: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    assert (copy / "out.png").read_bytes() == whole
    assert not [*(copy / "temporary").iterdir()]
    assert os.path.exists("/tmp/.keras") == there


@pytest.mark.parametrize(
    ("name", "status"),
    [("SIGTERM", 143), pytest.param("SIGHUP", 129, marks=pytest.mark.slow)],
)
def test_a_signal_before_a_painting_begins_gives_back_the_name_that_was_reserved(
    name, status, copy
):
    code = f"""
import os, signal, sys, time
from impasto.cli import app
from impasto.jobs import runner
def ended(*_):
    assert [*__import__("pathlib").Path().glob("photo-*")]  # reserved by now
    os.kill(os.getpid(), signal.{name})
    time.sleep(30)  # it may take a moment to be heard
runner.prepare_job = ended
sys.argv = ["impasto", "stylize", "photo.png", "painting.png"]
app.run()
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=copy,
        capture_output=True,
        text=True,
        preexec_fn=signals.as_usual,
    )
    assert (done.returncode, done.stderr) == (status, f"impasto: ended by {name}\n")
    assert sorted(path.name for path in copy.iterdir()) == ["painting.png", "photo.png"]


# Processes ----------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
@pytest.mark.parametrize("before", [False, True], ids=["nothing loaded", "painted before"])
def test_every_way_to_start_processes_works_or_says_what_to_do(method, before, copy):
    """With Keras only a fork of a process that has a tensor library cannot paint."""
    (copy / "many.py").write_text(f"""
import multiprocessing, sys
def paint(name):
    import impasto
    try:
        picture = impasto.stylize("photo.png", "painting.png", size=32, levels=1, evaluations=1,
                                  engine="keras", precision="float32").pixels
        return picture.shape
    except impasto.BackendError as error:
        return str(error)
if __name__ == "__main__":
    if {before}:
        paint("here")
    with multiprocessing.get_context({method!r}).Pool(1) as pool:
        print(*pool.map_async(paint, ["there"]).get(timeout=100))
""")
    done = subprocess.run(
        [sys.executable, "many.py"], cwd=copy, capture_output=True, text=True, timeout=150
    )
    assert done.returncode == 0, done.stderr
    if before and method == "fork":
        assert (
            "start processes with the multiprocessing method 'spawn' or 'forkserver'" in done.stdout
        )
    else:
        assert done.stdout == "(21, 32, 3)\n"
