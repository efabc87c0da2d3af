"""Standard input as an image to read, and standard output as the result, where a path is ``-``."""

import dataclasses
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from impasto import files
from impasto.errors import ImageError, SettingError
from impasto.jobs.specs import InputPaths

STANDARD = "-"
"""The path of standard input and standard output; for a file of this name use ``./-``."""

NAME = "standard-input"
"""The name of standard input in notes, errors and the stored recipe."""


@contextmanager
def piped_paths(
    sources: InputPaths, output: Path | None
) -> Iterator[tuple[InputPaths, Path | None]]:
    """Yield paths of temporary files where a path is ``-``; they are removed at the end.

    Raises SettingError if standard input is given twice, or if either stream is a terminal.
    """
    with ExitStack() as stack:
        count = sources.paths().count(STANDARD)
        if count > 1:
            raise SettingError(
                "standard input (-) can be read only once: give files for the others"
            )
        if count:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="impasto-"))
            path = Path(folder, NAME)
            _read_standard_input(path)
            sources = dataclasses.replace(
                sources.replace_path(STANDARD, str(path)), piped=str(path)
            )
        if is_standard_stream(output):
            if sys.stdout.isatty():
                raise SettingError("standard output (-) is a terminal: redirect it into a file")
            output = files.reserve_name(tempfile.gettempdir(), "impasto")
            stack.callback(_remove_file, output)
        yield sources, output


def is_standard_stream(path: Path | None) -> bool:
    """Return whether a path stands for standard input or standard output."""
    return path is not None and str(path) == STANDARD


def _read_standard_input(path: Path) -> None:
    if sys.stdin is None or sys.stdin.isatty():
        raise SettingError("standard input (-) is a terminal: pipe an image into it")
    try:
        with path.open("wb") as file:
            while part := sys.stdin.buffer.read(2**20):
                file.write(part)
    except OSError as error:
        raise ImageError(f"standard input cannot be read: {files.error_reason(error)}") from None


def _remove_file(path: Path) -> None:
    files.release_name(path)
    path.unlink(missing_ok=True)


def write_out(path: Path) -> None:
    """Write the bytes of a file to standard output."""
    with path.open("rb") as file:
        while part := file.read(2**20):
            sys.stdout.buffer.write(part)
    sys.stdout.buffer.flush()
