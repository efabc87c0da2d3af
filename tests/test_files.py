"""Names of files, and how they get into their place."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from impasto import files
from impasto.errors import ImageError, OutputError
from impasto.images.formats import decode, encode
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
        with files.atomic_replace(path) as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["a.png", "a.JPG", "a.b.tiff"])
def test_possible_outputs_pass_and_leave_nothing(tmp_path, monkeypatch, name):
    encode.check_writable(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    encode.check_writable(name)
    files.check_output("a.json", (".json",))
    assert list(tmp_path.iterdir()) == []


OUTPUTS: dict[str, tuple[Callable[[Path], Path], str]] = {
    "unknown ending": (lambda folder: folder / "a.xyz", "the ending .xyz: possible: .png, .jpg"),
    "near ending": (lambda folder: folder / "a.jpgg", "did you mean .jpg"),
    "no ending": (lambda folder: folder / "a", "no ending: possible: .png"),
    "a folder": (lambda folder: folder / "folder.png", "is a folder"),
    "no folder": (lambda folder: folder / "none" / "a.png", "does not exist"),
    "below a file": (lambda folder: folder / "file" / "a.png", "does not exist"),
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
    with pytest.raises(OutputError) as caught:
        encode.check_writable(place(tmp_path))
    assert words in one_line(caught)
    with pytest.raises(OutputError):
        encode.write_image(pixels_of(halves()), place(tmp_path))
    assert sorted(tmp_path.iterdir()) == before
    assert not Path("/dev/null").is_file()


def test_a_folder_without_write_permission(tmp_path, one_line, ordinary_user):
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError) as caught, ordinary_user():
        encode.check_writable(tmp_path / "a.png")
    tmp_path.chmod(0o700)
    assert "Permission denied" in one_line(caught)


def test_free_names_are_reserved(tmp_path):
    assert files.reserve_name(tmp_path, "night") == tmp_path / "night.png"
    assert files.reserve_name(str(tmp_path), "night").name == "night-2.png"
    (tmp_path / "night-3.png").symlink_to("nowhere")
    (tmp_path / "night-4.png").mkdir()
    assert files.reserve_name(tmp_path, "night").name == "night-5.png"
    assert files.reserve_name(tmp_path, "night", ".gif").name == "night.gif"


def test_a_name_that_is_given_back_is_free_and_what_was_written_stays(tmp_path):
    free, written, replaced = (files.reserve_name(tmp_path, "night") for _ in range(3))
    files.write_text("painted", written)
    os.link(replaced, tmp_path / "old")  # so that its inode number is not used again
    replaced.unlink()
    replaced.touch()  # by somebody else
    for path in (free, written, replaced, tmp_path / "never.png"):
        files.release_name(path)
    assert not free.exists()
    assert written.read_text() == "painted"
    assert replaced.exists()
    assert files.reserve_name(tmp_path, "night") == free


@pytest.mark.slow
def test_a_program_that_ends_leaves_no_empty_file_and_two_at_once_have_two_names(tmp_path):
    code = (
        "import sys; from impasto import files\n"
        "print(*[files.reserve_name('.', 'night').name for _ in range(40)], flush=True)\n"
        "sys.stdin.read()"
    )
    pipe = subprocess.PIPE
    runs = [
        subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, stdin=pipe, stdout=pipe)
        for _ in range(3)
    ]
    names = [name for run in runs for name in run.stdout.readline().split()]
    for run in runs:
        run.communicate()
    assert len(names) == len(set(names)) == 120
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("letter", ["n", "é", "絵", "🎨", "\udcff"])
def test_names_too_long_are_shortened_at_whole_letters(tmp_path, letter):
    first, second = (files.reserve_name(tmp_path, letter * 300 + "-painting") for _ in range(2))
    for path, end in ((first, "-painting.png"), (second, "-painting-2.png")):
        assert path.exists()
        assert 245 < len(os.fsencode(path.name)) <= 255
        assert path.name.startswith(letter)
        assert path.name.endswith(end)
        assert set(path.name.removesuffix(end)) == {letter, "."}


def test_a_folder_where_no_file_can_be_made_is_told(tmp_path, one_line):
    for folder in (tmp_path / "none", Path("/proc")):
        with pytest.raises(OutputError) as caught:
            files.reserve_name(folder, "night")
        assert "cannot be written" in one_line(caught)


CLOSED = """
import os, sys
{fill}
from impasto import files
from impasto.images.formats import decode, encode
pixels = decode.read_image(sys.argv[1]).pixels
assert pixels[0, 0].tolist() == [255, 0, 0], pixels[0, 0]
encode.write_image(pixels, sys.argv[2])
with files.silenced_stderr():
    pass
assert (decode.read_image(sys.argv[2]).pixels == pixels).all()
open(sys.argv[3], "w").write("done")
"""


FILLED = "from impasto import files; files.fill_standard_streams()"


@pytest.mark.parametrize(
    ("closed", "fill"),
    [
        ((0, 1, 2), ""),
        *(
            pytest.param(closed, fill, marks=pytest.mark.slow)
            for closed in ((0,), (1,), (2,), (0, 1, 2))
            for fill in ("", FILLED)
            if (closed, fill) != ((0, 1, 2), "")
        ),
    ],
)
def test_pictures_are_read_and_written_where_standard_streams_are_closed(tmp_path, closed, fill):
    paths = [tmp_path / name for name in ("a.png", "b.tif", "done")]
    halves().save(paths[0])
    code = CLOSED.format(fill=fill)
    gone = " ".join(f"{number}>&-" for number in closed)
    command = f'exec "$0" -c "$1" "$2" "$3" "$4" {gone}'
    words = ["sh", "-c", command, sys.executable, code, *map(str, paths)]
    subprocess.run(words, check=True, timeout=60)
    assert paths[2].read_text() == "done"


def test_standard_streams_that_are_filled_are_nobody_elses(tmp_path):
    code = (
        "import os; from impasto import files; files.fill_standard_streams()\n"
        f"file = open({str(tmp_path / 'a')!r}, 'w'); assert file.fileno() > 2\n"
        "os.write(1, b'heard'); os.write(2, b'heard'); file.write('written')"
    )
    command = 'exec "$0" -c "$1" 0>&- 1>&- 2>&-'
    subprocess.run(["sh", "-c", command, sys.executable, code], check=True)
    assert (tmp_path / "a").read_text() == "written"


def test_what_a_killed_process_left_is_removed_and_nothing_else(tmp_path):
    """The names are those that `replacing` gives; killed, it does not come to remove them."""
    left = {}
    for name in ("a.png", "b.png"):
        with files.atomic_replace(tmp_path / name) as temporary:
            temporary.write_text("half")
            left[name] = temporary
        left[name].write_text("half")
    files.remove_temporary_files(tmp_path / "a.png")
    assert sorted(tmp_path.iterdir()) == sorted(
        [tmp_path / "a.png", tmp_path / "b.png", left["b.png"]]
    )
    files.remove_temporary_files(tmp_path / "none" / "a.png")


@pytest.mark.parametrize("kind", ["cache", "config"])
def test_folders_of_a_person(monkeypatch, tmp_path, kind):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    monkeypatch.setenv("XDG_CONFIG_HOME", "")
    if sys.platform == "linux":
        assert files.user_folder(kind) == tmp_path / f".{kind}" / "impasto"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("XDG_CONFIG_HOME", "relative")
    assert files.user_folder(kind) is None or files.user_folder(kind).is_absolute()


@pytest.mark.skipif(sys.platform != "linux", reason="a user without a name is of Linux")
def test_somebody_without_a_home_has_no_folders(monkeypatch):
    import pwd

    def unknown(number):
        raise KeyError(number)

    monkeypatch.delenv("HOME")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    assert files.user_folder("cache") is None
    assert files.user_folder("config") is None


def test_shortened_names_fit_in_their_bytes():
    for name in ("photograph-painting", "\u6c34" * 50, "\U0001f3a8" * 20, "e\u0301" * 40):
        for most in range(0, 60):
            short = files.shorten_name(name, most)
            assert len(short.encode()) <= most
            short.encode("utf-8", "strict")


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o755])
def test_writing_over_a_file_keeps_its_permissions(tmp_path, mode):
    path, link = tmp_path / "a.txt", tmp_path / "link.txt"
    path.write_text("before")
    path.chmod(mode)
    link.symlink_to(path)
    for place in (path, link):
        files.write_text("after", place)
        assert path.read_text() == "after"
        assert path.stat().st_mode & 0o777 == mode


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root gives files away")
def test_writing_over_a_file_keeps_its_owner(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("before")
    os.chown(path, 65534, 65533)
    files.write_text("after", path)
    assert (path.stat().st_uid, path.stat().st_gid) == (65534, 65533)


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("https://example.org/a.png", "is a web address: download"),
        ("s3://bucket/a.png", "is a web address"),
        ("file:///home/me/my%20photo.png", "give /home/me/my photo.png"),
    ],
)
def test_addresses_are_named_for_what_they_are(address, words, one_line):
    for path in (address, Path(address)):
        with pytest.raises(ImageError) as caught:
            decode.read_image(path)
        assert words in one_line(caught)
        assert "did you mean" not in one_line(caught)
        with pytest.raises(OutputError) as caught:
            files.check_folder(path)
        assert "is a URL and not a path" in one_line(caught)
    with pytest.raises(ImageError) as caught:
        decode.read_image(address)
    assert one_line(caught).startswith(f"{address}: ")


def test_a_dangling_link_does_not_suggest_itself(tmp_path, one_line):
    link = tmp_path / "a.png"
    link.symlink_to("b.png")
    with pytest.raises(ImageError) as caught:
        decode.read_image(link)
    assert one_line(caught).endswith("it is a link to b.png, which does not exist")
