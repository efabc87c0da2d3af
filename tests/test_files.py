"""Names of files, and how they get into their place."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from impasto import files
from impasto.errors import PictureError
from impasto.pictures import encode
from tests.imagery import halves, pixels_of


def test_written_files_have_ordinary_permissions(tmp_path):
    files.write_text("{}", tmp_path / "a.json")
    (tmp_path / "b").touch()
    assert (tmp_path / "a.json").stat().st_mode == (tmp_path / "b").stat().st_mode


def test_text_is_replaced_and_links_are_followed(tmp_path):
    target, link = tmp_path / "real.json", tmp_path / "link.json"
    target.write_text("old")
    link.symlink_to(target)
    files.write_text("naïve\n", link)
    assert link.is_symlink()
    assert target.read_bytes() == "naïve\n".encode()


def test_an_interruption_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.json"
    path.write_bytes(b"old")

    def write_half() -> None:
        with files.replacing(path) as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["a.png", "a.JPG", "a.b.tiff"])
def test_possible_outputs_pass_and_leave_nothing(tmp_path, monkeypatch, name):
    encode.check(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    encode.check(name)
    files.check_output("a.json", (".json",))
    assert list(tmp_path.iterdir()) == []


OUTPUTS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "unknown ending": (lambda folder: folder / "a.xyz", "the ending .xyz: possible: .png, .jpg"),
    "near ending": (lambda folder: folder / "a.jpgg", "did you mean .jpg"),
    "no ending": (lambda folder: folder / "a", "no ending: possible: .png"),
    "a folder": (lambda folder: folder / "folder.png", "is a folder"),
    "no folder": (lambda folder: folder / "none" / "a.png", "there is no folder"),
    "below a file": (lambda folder: folder / "file" / "a.png", "there is no folder"),
    "/proc": (lambda folder: Path("/proc/a.png"), "cannot be written"),
    "device": (lambda folder: folder / "null.png", "is a device"),
    "null byte": (lambda folder: folder / "nul\0.png", "cannot be written"),
    "other kind": (lambda folder: folder / "a.gif", "the ending .gif"),
}


@pytest.mark.parametrize(("place", "words"), OUTPUTS.values(), ids=OUTPUTS.keys())
def test_impossible_outputs(tmp_path, place, words, one_line):
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "null.png").symlink_to("/dev/null")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(PictureError) as caught:
        encode.check(place(tmp_path))
    assert words in one_line(caught)
    with pytest.raises(PictureError):
        encode.write(pixels_of(halves()), place(tmp_path))
    assert sorted(tmp_path.iterdir()) == before
    assert not Path("/dev/null").is_file()


def test_a_folder_without_write_permission(tmp_path, one_line, ordinary_user):
    tmp_path.chmod(0o500)
    with pytest.raises(PictureError) as caught, ordinary_user():
        encode.check(tmp_path / "a.png")
    tmp_path.chmod(0o700)
    assert "Permission denied" in one_line(caught)


def test_free_names(tmp_path):
    assert files.free_name(tmp_path, "night") == tmp_path / "night.png"
    (tmp_path / "night.png").touch()
    assert files.free_name(str(tmp_path), "night").name == "night-2.png"
    (tmp_path / "night-2.png").symlink_to("nowhere")
    assert files.free_name(tmp_path, "night").name == "night-3.png"
    assert files.free_name(tmp_path, "night", ".gif").name == "night.gif"


def test_importing_stays_light():
    code = (
        "import sys, impasto.pictures.decode, impasto.pictures.encode; "
        "print('PIL.ImageCms' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "False\n"


def test_what_a_killed_process_left_is_removed_and_nothing_else(tmp_path):
    """The names are those that `replacing` gives; killed, it does not come to remove them."""
    left = {}
    for name in ("a.png", "b.png"):
        with files.replacing(tmp_path / name) as temporary:
            temporary.write_text("half")
            left[name] = temporary
        left[name].write_text("half")
    files.remove_leftovers(tmp_path / "a.png")
    assert sorted(tmp_path.iterdir()) == sorted(
        [tmp_path / "a.png", tmp_path / "b.png", left["b.png"]]
    )
    files.remove_leftovers(tmp_path / "none" / "a.png")
