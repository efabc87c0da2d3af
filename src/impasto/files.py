"""Paths, checks of input and output files, and atomic writes.

A written file appears complete under its name, or the old file stays unchanged.
"""

import atexit
import difflib
import os
import re
import stat
import sys
import tempfile
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Literal, TypeAlias

from impasto.errors import ImageError, InputError, OutputError, suggest_names

AnyPath: TypeAlias = str | os.PathLike[str]


def check_input(path: Path, max_bytes: int) -> None:
    """Raise ImageError unless ``path`` is a file of 1 to ``max_bytes`` bytes that can be read."""
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        raise ImageError(_address_hint(path) or _missing_file_error(path)) from None
    except (OSError, ValueError) as error:
        raise ImageError(f"cannot be read: {error_reason(error)}") from None
    if stat.S_ISDIR(status.st_mode):
        raise ImageError("is a folder: give an image file inside it")
    if not stat.S_ISREG(status.st_mode):
        raise ImageError("is a device or a pipe: expected an image file")
    if status.st_size == 0:
        raise ImageError("is an empty file: save or download the image again")
    if status.st_size > max_bytes:
        raise ImageError(f"is a file of {status.st_size:,} bytes: the maximum is {max_bytes:,}")


def _address_hint(path: Path) -> str:
    """Return advice for a URL in place of a path; empty for a path."""
    found = re.match(r"([A-Za-z][A-Za-z0-9+.-]+):(/.*)", path.as_posix())  # `Path` makes // one /
    if found is None:
        return ""
    if found[1].lower() == "file":
        import urllib.parse  # imported here to keep --help fast

        return f"is a URL and not a path: give {display_path(urllib.parse.unquote(found[2]))}"
    return "is a web address: download the image and give its file"


def _missing_file_error(path: Path) -> str:
    if path.is_symlink():
        return (
            f"no such file: it is a link to {display_path(os.readlink(path))}, which does not exist"
        )
    try:
        names = {name.lower(): name for name in sorted(os.listdir(path.parent))}
    except OSError:
        return f"no such file: the folder {display_path(path.parent)} cannot be listed"
    near = difflib.get_close_matches(path.name.lower(), names)
    hint = ", ".join(display_path(names[name]) for name in near)
    return f"no such file: did you mean {hint}?" if near else "no such file"


def check_output(path: AnyPath, endings: Sequence[str]) -> None:
    """Check that a file can be written at ``path``.

    Raises OutputError if its extension is not one of ``endings``, if it is a folder or a device, or
    if its folder is missing or not writable.
    """
    ending_of(path, endings)
    check_folder(path)


def check_folder(path: AnyPath) -> None:
    """Check like :func:`check_output`, for any extension. Raises OutputError."""
    # os.access is unreliable for root and on many network folders.
    with _output_errors(path), tempfile.TemporaryFile(dir=_resolve_link(path).parent):
        pass


def reserve_name(folder: AnyPath, stem: str, ending: str = ".png") -> Path:
    """Reserve the first name of stem.png, stem-2.png, stem-3.png … that is free in ``folder``.

    An empty file is created, so no other process uses the name, and no file is overwritten.
    :func:`release_name` removes it, and so does the end of the process if it is still empty. A stem
    that is too long for the folder is shortened. Raises OutputError if no file can be created.
    """
    number = 1
    while True:
        tail = (f"-{number}" if number > 1 else "") + ending
        path = Path(folder, shorten_name(stem, _longest_name(folder) - _encode_name(tail)) + tail)
        try:
            with _output_errors(path):
                _try_reserve(path)
            return path
        except OutputError as error:
            if not isinstance(error.__cause__, FileExistsError):
                raise
        number += 1


_RESERVED: dict[Path, tuple[int, int, int]] = {}
"""Names reserved by this process, with device and inode of the file, and the process id, since a
fork is another process."""


def _try_reserve(path: Path) -> None:
    with open(path, "xb") as file:
        found = os.fstat(file.fileno())
    if not _RESERVED:
        atexit.register(release_all_names)
    _RESERVED[Path(os.path.abspath(path))] = found.st_dev, found.st_ino, os.getpid()


def release_name(path: AnyPath) -> None:
    """Remove a file reserved by :func:`reserve_name`, if it is still empty."""
    place = Path(os.path.abspath(path))
    reserved = _RESERVED.pop(place, None)
    with suppress(OSError):
        found = os.lstat(place)
        if reserved == (found.st_dev, found.st_ino, os.getpid()) and not found.st_size:
            place.unlink()


def release_all_names() -> None:
    """Remove all reserved files that are still empty."""
    for path in list(_RESERVED):
        release_name(path)


def _longest_name(folder: AnyPath) -> int:
    """Return the maximum length of a name in a folder in bytes."""
    with suppress(OSError, ValueError, AttributeError):
        return os.pathconf(folder, "PC_NAME_MAX")
    return 255


def shorten_name(name: str, max_bytes: int) -> str:
    """Return a name shortened to at most ``max_bytes`` bytes of UTF-8, with dots in the middle.

    >>> shorten_name("photograph-painting", 15)
    'photog...inting'
    """
    if _encode_name(name) <= max_bytes:
        return name
    dots = ELLIPSIS[: max(0, max_bytes)]
    space = max(0, max_bytes - len(dots))
    head, tail = space // 2, space - space // 2
    while _encode_name(name[:head]) > space // 2:
        head -= 1
    while _encode_name(name[len(name) - tail :]) > space - space // 2:
        tail -= 1
    while tail and unicodedata.combining(
        name[len(name) - tail]
    ):  # a combining character without its base
        tail -= 1
    return f"{name[:head]}{dots}{name[len(name) - tail :]}"


ELLIPSIS = "..."


def _encode_name(name: str) -> int:
    return len(name.encode("utf-8", "surrogateescape"))


def user_folder(kind: Literal["cache", "config"]) -> Path | None:
    """Return the user's folder for caches or settings, which may not exist or be writable.

    None for a user without a home folder.
    """
    import platformdirs

    find = {"cache": platformdirs.user_cache_dir, "config": platformdirs.user_config_dir}[kind]
    try:
        folder = Path(find("impasto"))
    except (RuntimeError, OSError, KeyError):
        return None
    return folder if folder.is_absolute() else None  # if not, "~" could not be expanded


def cache_folder() -> Path | None:
    """Return the cache folder of impasto: ``$IMPASTO_CACHE`` if it is set.

    None for a user without a home folder.
    """
    named = os.environ.get("IMPASTO_CACHE")
    return Path(os.path.expanduser(named)) if named else user_folder("cache")


def write_text(text: str, path: AnyPath) -> None:
    """Write ``text`` as UTF-8, atomically. Raises OutputError if it cannot be written."""
    with atomic_replace(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


@contextmanager
def atomic_replace(path: AnyPath) -> Iterator[Path]:
    """Yield a temporary path in the folder of ``path``, and move that file to ``path`` at the end.

    If the block fails, the temporary file is removed and ``path`` is unchanged. Raises OutputError
    if it cannot be written.
    """
    with _output_errors(path):
        target = _resolve_link(path)
        token = os.urandom(8).hex()
        temporary = target.with_name(f"{_temporary_prefix(target)}{token}{Path(path).suffix}")
        try:
            yield temporary
            with temporary.open("r+b") as file:
                os.fsync(file.fileno())
            _keep_permissions(target, temporary)
            os.replace(temporary, target)
            _sync_folder(target.parent)
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)


def _keep_permissions(target: Path, temporary: Path) -> None:
    """Copy owner, group and permissions of the replaced file to a temporary file.

    Only an administrator can change owners; failures are ignored.
    """
    with suppress(OSError):
        before = target.stat()
        if hasattr(os, "chown"):
            with suppress(OSError):
                os.chown(temporary, before.st_uid, before.st_gid)
        os.chmod(temporary, stat.S_IMODE(before.st_mode))


def _temporary_prefix(target: Path) -> str:
    """Return the prefix of temporary files for ``target``."""
    import hashlib  # imported here to keep --help fast

    return f".impasto-{hashlib.sha256(os.fsencode(target.name)).hexdigest()[:16]}-"


def _sync_folder(folder: Path) -> None:
    """Sync a folder to disk, if the system supports it."""
    with suppress(OSError):
        opened = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)


def remove_temporary_files(path: AnyPath) -> None:
    """Remove temporary files for ``path`` that a killed process left."""
    target = Path(os.path.realpath(path))
    with suppress(OSError):
        for each in target.parent.glob(f"{_temporary_prefix(target)}*"):
            each.unlink(missing_ok=True)


@contextmanager
def _output_errors(path: AnyPath) -> Iterator[None]:
    try:
        yield
    except InputError:
        raise
    except (OSError, ValueError, RuntimeError, MemoryError) as error:
        raise OutputError(
            f"{display_path(path)} cannot be written: {error_reason(error)}"
        ) from error


def _resolve_link(path: AnyPath) -> Path:
    """Return ``path`` with links resolved, so that the target of a link is replaced."""
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise OutputError(f"{display_path(path)} is a folder: give a file inside it")
    if target.exists() and not target.is_file():
        raise OutputError(f"{display_path(path)} is a device or a pipe: give a file")
    if not target.parent.is_dir():
        if _address_hint(Path(path)):
            raise OutputError(f"{display_path(path)} is a URL and not a path: give a file")
        raise OutputError(
            f"{display_path(path)}: the folder {display_path(target.parent)} does not exist"
        )
    return target


def ending_of(path: AnyPath, endings: Sequence[str]) -> str:
    """Return the extension in lower case. Raises OutputError if it is not one of ``endings``."""
    ending = Path(path).suffix.lower()
    if ending in endings:
        return ending
    received = f"the ending {display_path(ending)}" if ending else "no ending"
    raise OutputError(f"{display_path(path)} has {received}: {suggest_names(ending, endings)}")


def display_path(path: AnyPath) -> str:
    """Return the path, escaped if it contains unprintable characters."""
    text = os.fspath(path)
    return text if text.isprintable() else repr(text)


def error_reason(error: BaseException) -> str:
    """Return a short reason for an error, on one line."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    lines = (line.strip() for line in str(error).splitlines())
    return next(filter(None, lines), type(error).__name__)


@contextmanager
def silenced_stderr() -> Iterator[None]:
    """Discard everything written to file descriptor 2 in this block, also by C libraries.

    This affects the whole process: output of other threads is lost, and child processes have no
    stderr. So only processes of impasto use it, and only while they load a tensor library (see
    `compute.keras_backend`). If the process started without stderr, descriptor 2 may be another
    file, which is left alone.
    """
    try:
        kept = os.dup(2) if _is_stderr(2) else None
    except OSError:
        kept = None
    if kept is None:
        yield
        return
    try:
        with open(os.devnull, "wb") as nothing:
            os.dup2(nothing.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _is_stderr(number: int) -> bool:
    """Return whether a descriptor is the stderr that Python started with."""
    stderr = sys.__stderr__
    try:
        return stderr is not None and not stderr.closed and stderr.fileno() == number
    except (OSError, ValueError):
        return False


def fill_standard_streams() -> None:
    """Open the null device for missing stdin, stdout and stderr.

    Otherwise the next opened file would get their number, and output of libraries would go into it.
    Call this before opening any file.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            # open() returns the lowest free descriptor, which is this one.
            os.open(os.devnull, os.O_RDWR)
