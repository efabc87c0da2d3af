"""Files and their names: what can be read, what can be written, and how it gets into its place.

Writing is atomic: a file appears complete under its name, or the old one stays as it was.
"""

import difflib
import hashlib
import os
import secrets
import stat
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeAlias

from impasto.errors import PictureError, nearest

AnyPath: TypeAlias = str | os.PathLike[str]

_STDERR = threading.RLock()


def check_input(path: Path, most: int) -> None:
    """Raise PictureError unless ``path`` is a file of 1 to ``most`` bytes that can be read."""
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        raise PictureError(_missing(path)) from None
    except (OSError, ValueError) as error:
        raise PictureError(f"cannot be read: {reason(error)}") from None
    if stat.S_ISDIR(status.st_mode):
        raise PictureError("is a folder: name a picture file inside it")
    if not stat.S_ISREG(status.st_mode):
        raise PictureError("is a device or a pipe: a picture file is needed")
    if status.st_size == 0:
        raise PictureError("is an empty file: save or download the picture again")
    if status.st_size > most:
        raise PictureError(f"is a file of {status.st_size:,} bytes: at most {most:,} are possible")


def _missing(path: Path) -> str:
    try:
        names = {name.lower(): name for name in sorted(os.listdir(path.parent))}
    except OSError:
        return f"no such file: the folder {shown(path.parent)} cannot be listed"
    near = difflib.get_close_matches(path.name.lower(), names)
    hint = ", ".join(shown(names[name]) for name in near)
    return f"no such file: did you mean {hint}?" if near else "no such file"


def check_output(path: AnyPath, endings: Sequence[str]) -> None:
    """Check that a file can be written at ``path``, before the work that will fill it.

    Raises PictureError if its ending is none of ``endings``, if it is a folder or a device,
    or if its folder is missing or not writable.
    """
    ending_of(path, endings)
    check_place(path)


def check_place(path: AnyPath) -> None:
    """Check as :func:`check_output` does, whatever the ending. Raises PictureError."""
    # Only trying tells: os.access says yes to root and on many network folders.
    with _writing(path), tempfile.TemporaryFile(dir=_target(path).parent):
        pass


def free_name(folder: AnyPath, stem: str, ending: str = ".png") -> Path:
    """Return the first of stem.png, stem-2.png, stem-3.png … that ``folder`` does not hold."""
    path, number = Path(folder, stem + ending), 1
    while os.path.lexists(path):
        number += 1
        path = Path(folder, f"{stem}-{number}{ending}")
    return path


def write_text(text: str, path: AnyPath) -> None:
    """Write ``text`` as UTF-8, atomically. Raises PictureError if it cannot be written."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8", newline="\n")


@contextmanager
def replacing(path: AnyPath) -> Iterator[Path]:
    """Yield a temporary path in the folder of ``path``; move that file into place at the end.

    If anything fails inside, the temporary file is removed and what was at ``path`` stays.
    Raises PictureError, in one line that begins with the path, if it cannot be written.
    """
    with _writing(path):
        target = _target(path)
        token = secrets.token_hex(8)
        temporary = target.with_name(f"{_begun(target)}{token}{Path(path).suffix}")
        try:
            yield temporary
            with temporary.open("r+b") as file:
                os.fsync(file.fileno())
            os.replace(temporary, target)
            _settle(target.parent)
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)


def _begun(target: Path) -> str:
    """Return how the names of temporary files begin that are to become ``target``."""
    return f".impasto-{hashlib.sha256(os.fsencode(target.name)).hexdigest()[:16]}-"


def _settle(folder: Path) -> None:
    """Have the names in a folder outlast a power cut, where the system can do that."""
    with suppress(OSError):
        opened = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(opened)
        finally:
            os.close(opened)


def remove_leftovers(path: AnyPath) -> None:
    """Remove what a killed process left beside ``path``, half-written and on its way there."""
    target = Path(os.path.realpath(path))
    with suppress(OSError):
        for each in target.parent.glob(f"{_begun(target)}*"):
            each.unlink(missing_ok=True)


@contextmanager
def _writing(path: AnyPath) -> Iterator[None]:
    try:
        yield
    except PictureError:
        raise
    except (OSError, ValueError, RuntimeError, MemoryError) as error:
        raise PictureError(f"{shown(path)} cannot be written: {reason(error)}") from error


def _target(path: AnyPath) -> Path:
    """Return the file that ``path`` stands for, so that a link stays and what it names changes."""
    target = Path(os.path.realpath(path))
    if target.is_dir():
        raise PictureError(f"{shown(path)} is a folder: name a file inside it")
    if target.exists() and not target.is_file():
        raise PictureError(f"{shown(path)} is a device or a pipe: name a file")
    if not target.parent.is_dir():
        raise PictureError(f"{shown(path)}: there is no folder {shown(target.parent)}")
    return target


def ending_of(path: AnyPath, endings: Sequence[str]) -> str:
    """Return the ending in lower case. Raises PictureError if it is none of ``endings``."""
    ending = Path(path).suffix.lower()
    if ending in endings:
        return ending
    received = f"the ending {shown(ending)}" if ending else "no ending"
    raise PictureError(f"{shown(path)} has {received}: {nearest(ending, endings)}")


def shown(path: AnyPath) -> str:
    """Return the path as it is, or escaped where it would break the line."""
    text = os.fspath(path)
    return text if text.isprintable() else repr(text)


def reason(error: BaseException) -> str:
    """Return what went wrong, in a few words of one line."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    lines = (line.strip() for line in str(error).splitlines())
    return next(filter(None, lines), type(error).__name__)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep off stderr what libtiff and libjpeg print there themselves, past Python."""
    with _STDERR:
        try:
            kept = os.dup(2)
        except OSError:  # a program without stderr
            yield
            return
        try:
            with open(os.devnull, "wb") as nothing:
                os.dup2(nothing.fileno(), 2)
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
