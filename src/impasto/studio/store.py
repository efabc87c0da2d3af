"""The studio's files: images, sessions, jobs.

::

    FOLDER/pictures/ID/   the uploaded file (only for runs), shown.jpg or .png, thumb.jpg,
                          picture.json; of a clip also frames/, clip.json and survey.json
                          (studio.clips), and areas/ (studio.clip_areas)
    FOLDER/sessions/ID.json
    FOLDER/works/ID/      work.json, checkpoint, preview.jpg, picture.png, .jpg and .tif,
                          frames/ (images of the run, for a film); of a clip clip.mp4 or
                          part.mp4, painted/ (its frames for the page) (studio.clip_jobs)
    FOLDER/queue.json     queued and running jobs, in order (studio.queue)
    FOLDER/collection.json  collected style images (studio.collection)
    FOLDER/incoming/      uploads in progress

Identifiers are hexadecimal and created by the server. They are the only part of a path that the
page can give.
"""

import hashlib
import json
import re
import secrets
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from impasto import files
from impasto.errors import InputError
from impasto.images import arrays
from impasto.images.arrays import ImageArray
from impasto.images.formats import decode, encode
from impasto.recipe.settings import Recipe
from impasto.studio.messages import ImageInfo
from impasto.studio.records import (
    ClipFacts,
    ClipSettings,
    NewJob,
    RecipeFields,
    StoredImage,
    StoredJob,
    StoredSession,
)
from impasto.studio.validation import parse

DERIVED_FILES = ("shown.jpg", "shown.png", "thumb.jpg")
"""Files of an image that the page can request."""

DESCRIPTIONS = ("picture.json", "clip.json", "survey.json")
"""Files of an image that describe it."""

DISPLAY_SIDE, DISPLAY_MASK_SIDE, THUMBNAIL_SIDE = 2048, 3000, 320
"""Longest sides in pixels of images, masks and thumbnails on the page. A mask is edited at the size
at which it was drawn (`SIDE` in static/masks.js), so it is never resampled."""

MAX_NAME_BYTES = 140
"""Maximum length of the name of an upload in bytes; encrypted home folders allow 143."""

KINDS: dict[str, type] = {"picture": StoredImage, "session": StoredSession, "work": StoredJob}
"""The types of stored descriptions."""

NAMES = {"picture": "image", "session": "session", "work": "job"}
"""The kinds of descriptions in messages."""


class NotFound(InputError):
    """An object that the page requests does not exist."""


class DamagedEntry(NotFound):
    """A damaged description in the folder."""


@dataclass(frozen=True)
class Store:
    """The folder of a studio."""

    folder: Path
    skipped: dict[str, str] = field(default_factory=dict)
    """skipped files by their path in the folder, with the reason"""

    def prepare(self) -> None:
        """Create the folder if it is missing. Raises OSError if that fails."""
        for name in ("pictures", "sessions", "works", "incoming"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)

    @property
    def incoming(self) -> Path:
        """Return the folder of uploads in progress."""
        return self.folder / "incoming"

    def remove_leftovers(self) -> None:
        """Remove uploads of a killed server; only for the server that has the lock."""
        shutil.rmtree(self.incoming, ignore_errors=True)
        self.prepare()

    # Images -------------------------------------------------------------------------------------

    def add_image(self, path: Path, name: str, mask: bool = False) -> ImageInfo:
        """Move the uploaded file at ``path`` into the folder.

        Raises ImageError if it is not an image.
        """
        decoded = decode.read_image(path, decode.ANY_SIZE, name)
        return self.add_file(path, name, decoded.pixels, decoded.notes, mask)

    def add_file(
        self,
        path: Path,
        name: str,
        shown: ImageArray,
        notes: Sequence[str] = (),
        mask: bool = False,
        clip: ClipFacts | None = None,
    ) -> ImageInfo:
        """Move the uploaded file at ``path`` into the folder; the page shows ``shown``."""
        with path.open("rb") as file:
            image_id = hashlib.file_digest(file, "sha256").hexdigest()[:16]
        if not self._is_complete(image_id) or not self._is_same_kind(image_id, mask, clip):
            folder = self.folder / "pictures" / image_id
            shutil.rmtree(folder, ignore_errors=True)
            height, width = arrays.size_of(shown)
            description: StoredImage = {
                "id": image_id,
                "name": safe_name(name),
                "width": width,
                "height": height,
                "mask": mask,
                "notes": list(notes),
                "clip": clip,
            }
            try:
                self._write_image(shown, folder, path, description)
            except BaseException:
                shutil.rmtree(folder, ignore_errors=True)
                raise
        return self.image(image_id)

    def _is_same_kind(self, image_id: str, mask: bool, clip: ClipFacts | None) -> bool:
        """Return whether a file that is added again has the files of its new use."""
        known = self.image(image_id)
        return (known["mask"] or not mask) and (known["clip"] is not None or clip is None)

    def _is_complete(self, image_id: str) -> bool:
        """Return whether all files of an image exist."""
        try:
            self.image_path(image_id)
            mask = self.image(image_id)["mask"]
            return all(
                self.derived_image_path(image_id, each)
                for each in (_display_name(mask), "thumb.jpg")
            )
        except NotFound:
            return False

    def _write_image(
        self, shown: ImageArray, folder: Path, path: Path, description: StoredImage
    ) -> None:
        """Write the files of an image, the description last, so it appears only if complete."""
        folder.mkdir()
        _write_display(shown, folder, description["mask"])
        path.replace(folder / description["name"])
        files.write_text(json.dumps(description), folder / "picture.json")

    def image(self, image_id: str) -> ImageInfo:
        """Return the description of an image. Raises NotFound."""
        stored: StoredImage = self._read_entry(
            self._entry_path("pictures", image_id) / "picture.json", "picture"
        )
        url = f"/api/pictures/{image_id}"
        display_name = _display_name(stored["mask"])
        return {**stored, "url": f"{url}/{display_name}", "thumb": f"{url}/thumb.jpg"}

    def image_path(self, image_id: str) -> Path:
        """Return the path of the uploaded file. Raises NotFound."""
        name = self.image(image_id)["name"]
        path = self._entry_path("pictures", image_id) / name
        if Path(name).name != name or not path.is_file():
            raise NotFound(f"{name} is no longer in the studio's folder: add it again")
        return path

    def image_folder(self, image_id: str) -> Path:
        """Return the folder of an image."""
        return self._entry_path("pictures", image_id)

    def derived_image_path(self, image_id: str, file: str) -> Path:
        """Return the path of a file of an image for the page. Raises NotFound."""
        if (
            file not in DERIVED_FILES
            or not (path := self._entry_path("pictures", image_id) / file).is_file()
        ):
            raise NotFound("this image no longer exists")
        return path

    # Sessions -----------------------------------------------------------------------------------

    def new_session(self, recipe: RecipeFields) -> StoredSession:
        """Create a session with a recipe."""
        session: StoredSession = {
            "id": secrets.token_hex(4),
            "name": "",
            "created": time.time(),
            "photograph": None,
            "paintings": [],
            "regions": [],
            "keep": None,
            "keep_feather": 0.0,
            "keep_frame": None,
            "preset": "default",
            "detail": "default",
            "recipe": recipe,
            "clip": default_clip(),
        }
        self.save_session(session)
        return session

    def session(self, session_id: str) -> StoredSession:
        """Return a session. Raises NotFound."""
        return self._read_entry(
            self._entry_path("sessions", session_id).with_suffix(".json"), "session"
        )

    def save_session(self, session: StoredSession) -> None:
        """Write a session."""
        path = self._entry_path("sessions", session["id"]).with_suffix(".json")
        files.write_text(json.dumps(session), path)

    def sessions(self) -> list[StoredSession]:
        """Return all sessions, newest first."""
        return sorted(self._iter_entries("sessions", "*.json", "session"), key=_newest_first)

    def remove_session(self, session_id: str) -> None:
        """Remove a session and its jobs."""
        for job in self.jobs(session_id):
            self.remove_job(job["id"])
        self._entry_path("sessions", session_id).with_suffix(".json").unlink(missing_ok=True)

    # Jobs ---------------------------------------------------------------------------------------

    def new_job(self, new: NewJob) -> StoredJob:
        """Create a job."""
        job: StoredJob = {
            **new,
            "id": secrets.token_hex(4),
            "created": time.time(),
            "state": "queued",
            "error": None,
            "seconds": 0.0,
            "steered": False,
            "name": "",
            "starred": False,
            "history": [],
        }
        (self.folder / "works" / job["id"]).mkdir()
        self.save_job(job)
        return job

    def job(self, job_id: str) -> StoredJob:
        """Return a job. Raises NotFound."""
        return self._read_entry(self.job_folder(job_id) / "work.json", "work")

    def save_job(self, job: StoredJob) -> None:
        """Write a job."""
        files.write_text(json.dumps(job), self.job_folder(job["id"]) / "work.json")

    def jobs(self, session: str | None = None) -> list[StoredJob]:
        """Return the jobs of a session, or all, newest first."""
        entries = self._iter_entries("works", "*/work.json", "work")
        chosen = (each for each in entries if session is None or each["session"] == session)
        return sorted(chosen, key=_newest_first)

    def job_folder(self, job_id: str) -> Path:
        """Return the folder of a job."""
        return self._entry_path("works", job_id)

    def remove_job(self, job_id: str) -> None:
        """Remove a job and its images."""
        shutil.rmtree(self.job_folder(job_id), ignore_errors=True)

    # Files --------------------------------------------------------------------------------------

    def _entry_path(self, kind: str, entry_id: object) -> Path:
        """Return the path for an untrusted id. Raises NotFound."""
        if not is_id(entry_id):
            raise NotFound("this does not exist")
        return self.folder / kind / str(entry_id)

    def _read_entry(self, path: Path, kind: str) -> Any:
        """Return a description. Raises NotFound, or DamagedEntry if it is invalid."""
        try:
            entry = _read_description(path, kind)
        except (FileNotFoundError, NotADirectoryError):
            self.skipped.pop(self._relative_name(path), None)
            raise NotFound(f"this {NAMES[kind]} no longer exists: reload the page") from None
        except (OSError, ValueError, RecursionError) as error:
            raise DamagedEntry(
                f"this {NAMES[kind]} cannot be read: {self.note_skipped(path, error)}"
            ) from None
        self.skipped.pop(self._relative_name(path), None)
        return entry

    def _iter_entries(self, subfolder: str, pattern: str, kind: str) -> Iterator[Any]:
        """Yield the descriptions of a kind; invalid ones are skipped."""
        for path in sorted((self.folder / subfolder).glob(pattern)):
            try:
                yield self._read_entry(path, kind)
            except NotFound:
                continue

    def note_skipped(self, path: Path, error: Exception) -> str:
        """Record a file as skipped; return the reason."""
        reason = files.error_reason(error)
        self.skipped[self._relative_name(path)] = reason
        return reason

    def _relative_name(self, path: Path) -> str:
        return path.relative_to(self.folder).as_posix()


def default_clip() -> ClipSettings:
    """Return the settings of a new clip: the whole of it, with all strokes kept on things."""
    return {
        "first": 0,
        "last": None,
        "steady": 1.0,
        "every": "auto",
        "hold": 1,
        "cuts": None,
        "keys": [],
    }


def is_id(value: object) -> bool:
    """Return whether a value of a request or a file is an id."""
    return isinstance(value, str) and bool(re.fullmatch("[0-9a-f]{8}|[0-9a-f]{16}", value))


def _newest_first(described: StoredSession | StoredJob) -> float:
    """Return the sort key of descriptions, newest first."""
    return -described["created"]


def _read_description(path: Path, kind: str) -> Any:
    """Read a description. Raises OSError or ValueError for other content."""
    entry_id = path.stem if kind == "session" else path.parent.name
    if not is_id(entry_id):
        raise ValueError("it is not a file of the studio")
    text = path.read_text(encoding="utf-8")
    if not text.strip():
        raise ValueError("the file is empty")
    try:
        entry = json.loads(text)
    except ValueError:
        raise ValueError("it is not JSON") from None
    if isinstance(entry, dict):
        _add_missing_fields(entry, kind)
    description: Any = parse(entry, KINDS[kind])
    if description["id"] != entry_id:
        raise ValueError(f"it describes the {NAMES[kind]} {description['id']}")
    if kind != "picture":
        Recipe.from_dict(description["recipe"])
    return description


def _add_missing_fields(entry: dict[str, Any], kind: str) -> None:
    """Add the fields that earlier versions lack; their masks include the feather."""
    added: dict[str, object] = {"keep_feather": 0.0, "keep_frame": None, "detail": "default"}
    added |= {"clip": default_clip()}
    if kind == "work":
        added |= {"name": "", "starred": False, "kind": "image", "frame": 0}
    if kind == "picture":
        added = {"clip": None}
    for name, value in added.items():
        entry.setdefault(name, value)
    regions = entry.get("regions")
    for each in regions if isinstance(regions, list) else []:
        if isinstance(each, dict):
            each.setdefault("feather", 0.0)
            each.setdefault("frame", None)


def _display_name(mask: bool) -> str:
    return "shown.png" if mask else "shown.jpg"


def _write_display(shown: ImageArray, folder: Path, mask: bool) -> None:
    """Write an image for the page, encoded again."""
    height, width = arrays.size_of(shown)
    longest = DISPLAY_MASK_SIDE if mask else DISPLAY_SIDE
    for name, side in ((_display_name(mask), longest), ("thumb.jpg", THUMBNAIL_SIDE)):
        size = arrays.fit(height, width, min(side, max(height, width)))
        encode.write_image(arrays.resize(shown, *size), folder / name)


def safe_name(name: str) -> str:
    """Return a file name without folders and special characters, of at most `MAX_NAME_BYTES` bytes.

    >>> safe_name("../../etc/My photo (1).JPG")
    'My photo (1).JPG'
    >>> len(safe_name("\u6c34" * 92 + ".jpg").encode()) <= MAX_NAME_BYTES
    True
    """
    last = re.split(r"[/\\\\]", name)[-1]
    clean = re.sub(r"[^\w .()+-]", "_", last).strip(" .")
    reserved = clean.lower() in {"", *DERIVED_FILES, *DESCRIPTIONS, "frames"}
    return files.shorten_name(f"picture {clean}".strip() if reserved else clean, MAX_NAME_BYTES)
