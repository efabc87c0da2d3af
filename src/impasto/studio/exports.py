"""Files that the page downloads: results under the names of their inputs, ZIP archives, films."""

import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from impasto.errors import SettingError
from impasto.images.formats import video
from impasto.studio.records import StoredJob
from impasto.studio.store import Store
from impasto.studio.versions import download_stem, result_path
from impasto.studio.worker import FRAMES

MAX_ZIP = 200
"""Maximum number of results in an archive."""


def download_name(store: Store, job: StoredJob, ending: str) -> str:
    """Return the name of a download, such as ``cat-mosaic-512.png``."""
    return f"{download_stem(store, job)}{ending}"


def write_zip(store: Store, jobs: Sequence[StoredJob]) -> Path:
    """Write the PNGs of results to an archive in the folder of uploads, and return its path.

    Results with the same name are numbered. Raises SettingError without a result, or for more than
    MAX_ZIP.
    """
    if not 0 < len(jobs) <= MAX_ZIP:
        raise SettingError(f"an archive has 1 to {MAX_ZIP} results; {len(jobs)} were chosen")
    paths = [result_path(store, job) for job in jobs]
    names = unique_names([download_name(store, job, ".png") for job in jobs])
    with (
        tempfile.NamedTemporaryFile(dir=store.incoming, suffix=".zip", delete=False) as file,
        # PNG data is compressed already.
        zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive,
    ):
        for path, name in zip(paths, names, strict=True):
            archive.write(path, name)
    return Path(file.name)


def unique_names(names: Sequence[str]) -> list[str]:
    """Return names with numbers for repeated ones.

    >>> unique_names(["a.png", "b.png", "a.png"])
    ['a.png', 'b.png', 'a (2).png']
    """
    made: list[str] = []
    for name in names:
        stem, dot, ending = name.rpartition(".")
        numbered = (f"{stem} ({number}){dot}{ending}" for number in range(2, len(names) + 2))
        made.append(next(each for each in (name, *numbered) if each not in made))
    return made


def write_film(folder: Path) -> Path:
    """Write the film of a job in ``folder`` as MP4, and return its path.

    Raises SettingError if there are no images of the run.
    """
    frames = sorted((folder / FRAMES).glob("*.jpg"))
    if not frames:
        raise SettingError("there are no images of this run: paint it again for a film")
    path = folder / "film.mp4"
    if not path.exists() or path.stat().st_mtime < frames[-1].stat().st_mtime:
        video.write_video([_read(each) for each in frames], path)
    return path


def _read(path: Path) -> "np.ndarray[tuple[int, ...], np.dtype[np.uint8]]":
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))
