"""The folder in which a clip is painted: its frames, the memory of its shots, and what it is of.

The folder lies beside the output. Every file is written by rename, so a killed process leaves the
last complete state.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from impasto import files
from impasto.errors import CheckpointError, OutputError
from impasto.images.arrays import ImageArray, Mask
from impasto.images.formats import encode
from impasto.images.formats.save_options import SaveOptions
from impasto.video import extras
from impasto.video import survey as surveys
from impasto.video.survey import FrameSurvey, Survey
from impasto.video.writer import PaintedFrame

ENDING = ".impasto"
"""Ending of the folder."""

MEMORY_BYTES = 500.0
"""Largest expected size of the memory of a shot in bytes per pixel, twice: while it is replaced."""

PNG_SHARE = 0.75
"""Expected size of a PNG file of a painted frame, relative to its pixels."""


@dataclass(frozen=True)
class Project:
    """The folder of a clip."""

    folder: Path

    @classmethod
    def of_output(cls, output: files.AnyPath) -> "Project":
        """Return the project of an output file or pattern."""
        path = Path(output)
        return cls(path.with_name(path.name.replace("%", "") + ENDING))

    def open(self, identity: Mapping[str, Any], restart: bool) -> None:
        """Create the folder, or check that it belongs to the same inputs and settings.

        Raises CheckpointError if it belongs to others, OutputError if it cannot be created.
        """
        text = json.dumps(identity, indent=2, sort_keys=True) + "\n"
        about = self.folder / "clip.json"
        try:
            stored = about.read_text(encoding="utf-8") if about.exists() else ""
            painted = any(self.folder.glob("[0-9]*.png"))
            if restart or not stored or (stored != text and not painted):
                self.remove()
                self.folder.mkdir(exist_ok=True)
                files.write_text(text, about)
                stored = text
        except OSError as error:
            raise OutputError(
                f"{files.display_path(self.folder)} cannot be used: {files.error_reason(error)}"
            ) from None
        if stored != text:
            names = _different_names(stored, identity)
            raise CheckpointError(
                f"{files.display_path(self.folder)} has frames of other inputs or settings "
                f"({names}): repeat its command to resume, choose another output, or add "
                "--restart"
            )
        for path in self.folder.iterdir():
            if path.is_file():
                files.remove_temporary_files(path)

    def remove(self) -> None:
        """Remove the folder, if it is one of impasto."""
        if (self.folder / "clip.json").exists():
            shutil.rmtree(self.folder)

    def remove_without_frames(self) -> None:
        """Remove the folder, unless it has painted frames."""
        if not any(self.folder.glob("[0-9]*.png")):
            self.remove()

    def frame_path(self, number: int) -> Path:
        """Return the file of a frame."""
        return self.folder / f"{number:06d}.png"

    def has_frame(self, number: int) -> bool:
        """Return whether a frame is written."""
        return self.frame_path(number).exists()

    def write_frame(
        self, number: int, pixels: ImageArray, alpha: Mask | None = None, depth: int = 8
    ) -> None:
        """Write a painted frame. Raises OutputError, such as for a full disk."""
        saving = SaveOptions(depth=16 if depth > 8 else 8)
        encode.write_image(pixels, self.frame_path(number), alpha=alpha, saving=saving)

    def copy_frame(self, source: int, number: int) -> None:
        """Write a frame that is the same as another one."""
        with files.atomic_replace(self.frame_path(number)) as temporary:
            shutil.copyfile(self.frame_path(source), temporary)

    def read_frame(self, number: int) -> NDArray[Any]:
        """Return a written frame, see :meth:`read_image`."""
        return self.read_image(self.frame_path(number))

    def read_pixels(self, number: int) -> ImageArray:
        """Return a written frame as an image, RGB in [0, 255]."""
        values = self.read_frame(number)[..., :3]
        return values.astype(np.float32) * np.float32(255 / np.iinfo(values.dtype).max)

    def image_path(self, name: str, number: int) -> Path:
        """Return the file of something else of a frame, such as a mask."""
        return self.folder / f"{name}-{number:06d}.png"

    def write_image(self, path: Path, values: NDArray[np.uint8]) -> None:
        """Write an image (height, width) or (height, width, 4) in a file of this folder."""
        order = [2, 1, 0, 3] if values.ndim == 3 else slice(None)
        _, data = extras.load("cv2").imencode(".png", values[..., order])
        with files.atomic_replace(path) as temporary:
            temporary.write_bytes(data.tobytes())

    def write_mark(self, path: Path) -> None:
        """Write an empty file in this folder: something is finished."""
        files.write_text("", path)

    def read_image(self, path: Path) -> NDArray[Any]:
        """Return an image of this folder: uint8 or uint16 (height, width, 1, 3 or 4).

        Not as an input image: colors of transparent pixels stay as they are.
        """
        cv2 = extras.load("cv2")
        values = np.atleast_3d(cv2.imread(str(path), cv2.IMREAD_UNCHANGED))
        order = [2, 1, 0, 3][: values.shape[-1]] if values.shape[-1] > 1 else [0]
        return np.ascontiguousarray(values[..., order])  # OpenCV has blue first

    def iter_painted(self, survey: Survey) -> Iterator[PaintedFrame]:
        """Yield the written frames in order, without those that are missing."""
        for number, frame in enumerate(survey.frames, start=survey.first):
            if self.has_frame(number):
                yield PaintedFrame(self.read_frame(number), frame.pts, frame.duration)

    def read_survey(self, first: int, cuts: tuple[int, ...] | None) -> Survey | None:
        """Return the stored survey; None if there is none."""
        path = self.folder / "survey.json"
        if not path.exists():
            return None
        try:
            rows = json.loads(path.read_text(encoding="utf-8"))
            return surveys.make_survey(tuple(FrameSurvey(*row) for row in rows), cuts, first)
        except (OSError, ValueError, TypeError):
            return None

    def write_survey(self, survey: Survey) -> None:
        """Store a survey."""
        files.write_text(json.dumps(survey.frames) + "\n", self.folder / "survey.json")


def _different_names(stored: str, identity: Mapping[str, Any]) -> str:
    """Return the names of the entries that differ."""
    try:
        before = json.loads(stored)
        names = [name for name in identity if before.get(name) != identity[name]]
    except (ValueError, AttributeError):
        names = []
    return ", ".join(names) or "clip.json"


def hash_of(source: object) -> str:
    """Return the hash of an input: of the bytes of a file, or of the pixels of an array."""
    digest = hashlib.sha256()
    if isinstance(source, str | os.PathLike) and os.path.isfile(source):
        with open(source, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    if isinstance(source, str | os.PathLike):
        digest.update(os.fsencode(source))
    elif isinstance(source, bytes):
        digest.update(source)
    else:
        array = np.ascontiguousarray(source)
        digest.update(f"{array.shape} {array.dtype}".encode() + array.tobytes())
    return digest.hexdigest()


def disk_bytes(frames: int, height: int, width: int, depth: int) -> float:
    """Return the expected size of stored frames, with the memory of a shot."""
    pixels = height * width
    return frames * pixels * 3 * depth / 8 * PNG_SHARE + MEMORY_BYTES * pixels


def check_disk(folder: Path, needed: float) -> None:
    """Raise OutputError if a disk has not enough space for a folder.

    ``needed`` is the expected size of the folder in bytes; what it holds already counts.
    """
    needed -= sum(path.stat().st_size for path in folder.iterdir())
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise OutputError(
            f"the frames need about {_size(needed)} in {files.display_path(folder)}, and "
            f"{_size(free)} are free: free some space, choose a smaller size or a part of "
            "the clip"
        )


def _size(count: float) -> str:
    """Return a number of bytes in words."""
    return f"{count / 1e9:.1f} GB" if count >= 1e8 else f"{count / 1e6:.1f} MB"
