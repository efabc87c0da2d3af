"""The studio's files: images, sessions, jobs.

::

    FOLDER/pictures/ID/   the uploaded file (only for runs), shown.jpg or .png, thumb.jpg,
                          picture.json
    FOLDER/sessions/ID.json
    FOLDER/works/ID/      work.json, checkpoint, preview.jpg, picture.png, .jpg and .tif
    FOLDER/queue.json     queued and running jobs, in order
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
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from impasto import files
from impasto.errors import InputError
from impasto.images import arrays
from impasto.images.formats import decode, encode
from impasto.images.formats.decode import DecodedImage
from impasto.recipe.settings import Recipe

Json = dict[str, Any]

FILES = ("shown.jpg", "shown.png", "thumb.jpg")
"""Files of an image that the page can request."""

SHOWN, SHOWN_MASK, THUMB = 2048, 3000, 320
"""Longest sides in pixels of images, masks and thumbnails on the page. A mask is edited at the size
at which it was drawn (`SIDE` in static/masks.js), so it is never resampled."""

NAME = 140
"""Maximum length of the name of an upload in bytes; encrypted home folders allow 143."""

_PICTURE = {"id": str, "name": str, "width": int, "height": int, "mask": bool, "notes": list}
_PAINTING = {"picture": str, "share": int | float, "scale": int | float}
_REGION = {"mask": str, "painting": str, "scale": int | float, "feather": int | float}
_INPUTS = {
    **{"photograph": str | None, "paintings": [_PAINTING], "regions": [_REGION]},
    **{"keep": str | None, "keep_feather": int | float, "preset": str, "recipe": dict},
}
_SESSION = {"id": str, "name": str, "created": int | float, **_INPUTS}
_WORK = {
    **{"id": str, "created": int | float, "state": str, "error": str | None, "history": list},
    **{"seconds": int | float, "steered": bool, "session": str, "sheet": str | None},
    **{"before": str | None, "init": str | None, **_INPUTS},
}
_FIELDS: dict[str, Mapping[str, Any]] = {"picture": _PICTURE, "session": _SESSION, "work": _WORK}
"""The fields of each kind of description, with their types."""

NAMES = {"picture": "image", "session": "session", "work": "job"}
"""The kinds of descriptions in messages."""


class NotThere(InputError):
    """An object that the page requests does not exist."""


class Damaged(NotThere):
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

    # Pictures -----------------------------------------------------------------------------------

    def add_picture(self, path: Path, name: str, mask: bool = False) -> tuple[Json, DecodedImage]:
        """Move the uploaded file at ``path`` into the folder.

        Raises ImageError if it is not an image.
        """
        loaded = decode.read_image(path, decode.ANY_SIZE, name)
        with path.open("rb") as file:
            number = hashlib.file_digest(file, "sha256").hexdigest()[:16]
        if not self._is_whole(number) or (mask and not self.picture(number)["mask"]):
            place = self.folder / "pictures" / number
            shutil.rmtree(place, ignore_errors=True)
            try:
                self._add(loaded, place, path, name, mask)
            except BaseException:
                shutil.rmtree(place, ignore_errors=True)
                raise
        return self.picture(number), loaded

    def _is_whole(self, number: str) -> bool:
        """Return whether all files of an image exist."""
        try:
            self.path_of(number)
            mask = self.picture(number)["mask"]
            return all(self.shown(number, each) for each in (_shown_name(mask), "thumb.jpg"))
        except NotThere:
            return False

    def _add(self, loaded: DecodedImage, place: Path, path: Path, name: str, mask: bool) -> None:
        """Write the files of an image, the description last, so it appears only if complete."""
        place.mkdir()
        height, width = arrays.size_of(loaded.pixels)
        own = safe_name(name)
        _write_shown(loaded, place, mask)
        path.replace(place / own)
        description = {
            "id": place.name,
            "name": own,
            "width": width,
            "height": height,
            "mask": mask,
            "notes": list(loaded.notes),
        }
        files.write_text(json.dumps(description), place / "picture.json")

    def picture(self, number: object) -> Json:
        """Return the description of an image. Raises NotThere."""
        found = self._read(self._place("pictures", number) / "picture.json", "picture")
        place = f"/api/pictures/{number}"
        shown = _shown_name(found["mask"])
        return {**found, "url": f"{place}/{shown}", "thumb": f"{place}/thumb.jpg"}

    def path_of(self, number: str) -> Path:
        """Return the path of the uploaded file. Raises NotThere."""
        name: str = self.picture(number)["name"]
        path = self._place("pictures", number) / name
        if Path(name).name != name or not path.is_file():
            raise NotThere(f"{name} is no longer in the studio's folder: add it again")
        return path

    def shown(self, number: str, file: str) -> Path:
        """Return the path of a file of an image for the page. Raises NotThere."""
        if file not in FILES or not (path := self._place("pictures", number) / file).is_file():
            raise NotThere("this image no longer exists")
        return path

    # Sessions -----------------------------------------------------------------------------------

    def new_session(self, recipe: Json) -> Json:
        """Create a session with a recipe."""
        session = {
            "id": secrets.token_hex(4),
            "name": "",
            "created": time.time(),
            "photograph": None,
            "paintings": [],
            "regions": [],
            "keep": None,
            "keep_feather": 0.0,
            "preset": "default",
            "recipe": recipe,
        }
        self.save_session(session)
        return session

    def session(self, number: str) -> Json:
        """Return a session. Raises NotThere."""
        return self._read(self._place("sessions", number).with_suffix(".json"), "session")

    def save_session(self, session: Json) -> None:
        """Write a session."""
        path = self._place("sessions", session["id"]).with_suffix(".json")
        files.write_text(json.dumps(session), path)

    def sessions(self) -> list[Json]:
        """Return all sessions, newest first."""
        return sorted(self._all("sessions", "*.json", "session"), key=_age)

    def remove_session(self, number: str) -> None:
        """Remove a session and its jobs."""
        for work in self.works(number):
            self.remove_work(work["id"])
        self._place("sessions", number).with_suffix(".json").unlink(missing_ok=True)

    # Jobs ---------------------------------------------------------------------------------------

    def new_work(self, **about: object) -> Json:
        """Create a job."""
        work: Json = {
            "id": secrets.token_hex(4),
            "created": time.time(),
            "state": "queued",
            "error": None,
            "seconds": 0.0,
            "steered": False,
            "history": [],
            **about,
        }
        (self.folder / "works" / work["id"]).mkdir()
        self.save_work(work)
        return work

    def work(self, number: str) -> Json:
        """Return a job. Raises NotThere."""
        return self._read(self.work_folder(number) / "work.json", "work")

    def save_work(self, work: Json) -> None:
        """Write a job."""
        files.write_text(json.dumps(work), self.work_folder(work["id"]) / "work.json")

    def works(self, session: str | None = None) -> list[Json]:
        """Return the jobs of a session, or all, newest first."""
        found = self._all("works", "*/work.json", "work")
        these = (each for each in found if session is None or each["session"] == session)
        return sorted(these, key=_age)

    def work_folder(self, number: str) -> Path:
        """Return the folder of a job."""
        return self._place("works", number)

    def remove_work(self, number: str) -> None:
        """Remove a job and its images."""
        shutil.rmtree(self.work_folder(number), ignore_errors=True)

    # The queue ----------------------------------------------------------------------------------

    def queue(self) -> list[str]:
        """Return the ids of queued and running jobs, in order."""
        path = self.folder / "queue.json"
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            if not isinstance(found, list):
                raise ValueError("it is not a list")
        except FileNotFoundError:
            return []
        except (OSError, ValueError, RecursionError) as error:
            self._skip(path, error)
            return []
        return [each for each in found if _is_id(each)]

    def save_queue(self, queue: Iterable[str]) -> None:
        """Write the queue."""
        files.write_text(json.dumps(list(queue)), self.folder / "queue.json")

    def _place(self, kind: str, number: object) -> Path:
        """Return the path for an untrusted id. Raises NotThere."""
        if not _is_id(number):
            raise NotThere("this does not exist")
        return self.folder / kind / str(number)

    def _read(self, path: Path, kind: str) -> Json:
        """Return a description. Raises NotThere if it is missing, Damaged if it is invalid."""
        try:
            found = _described(path, kind)
        except (FileNotFoundError, NotADirectoryError):
            self.skipped.pop(self._name(path), None)
            raise NotThere(f"this {NAMES[kind]} no longer exists: reload the page") from None
        except (OSError, ValueError, RecursionError) as error:
            raise Damaged(f"this {NAMES[kind]} cannot be read: {self._skip(path, error)}") from None
        self.skipped.pop(self._name(path), None)
        return found

    def _all(self, place: str, pattern: str, kind: str) -> Iterator[Json]:
        """Yield the descriptions of a kind; invalid ones are skipped."""
        for path in sorted((self.folder / place).glob(pattern)):
            try:
                yield self._read(path, kind)
            except NotThere:
                continue

    def _skip(self, path: Path, error: Exception) -> str:
        """Record a file as skipped; return the reason."""
        reason = files.reason(error)
        self.skipped[self._name(path)] = reason
        return reason

    def _name(self, path: Path) -> str:
        return path.relative_to(self.folder).as_posix()


def _is_id(found: object) -> bool:
    return isinstance(found, str) and bool(re.fullmatch("[0-9a-f]{8}|[0-9a-f]{16}", found))


def _age(described: Json) -> float:
    """Return the sort key of descriptions, newest first."""
    return -float(described["created"])


def _described(path: Path, kind: str) -> Json:
    """Read a description. Raises OSError or ValueError for other content."""
    own = path.stem if kind == "session" else path.parent.name
    if not _is_id(own):
        raise ValueError("it is not a file of the studio")
    text = path.read_text(encoding="utf-8")
    if not text.strip():
        raise ValueError("the file is empty")
    try:
        found = json.loads(text)
    except ValueError:
        raise ValueError("it is not JSON") from None
    if isinstance(found, dict) and kind != "picture":
        _add_feather(found)
    if (wrong := _misfit(found, _FIELDS[kind])) is not None:
        raise ValueError(f"it does not describe a {kind}{wrong}")
    if found["id"] != own:
        raise ValueError(f"it describes the {kind} {found['id']}")
    if kind != "picture":
        Recipe.from_dict(found["recipe"])
    return dict(found)


def _add_feather(found: Json) -> None:
    """Add the field that earlier versions lack: their masks include the feather."""
    found.setdefault("keep_feather", 0.0)
    regions = found.get("regions")
    for each in regions if isinstance(regions, list) else []:
        if isinstance(each, dict):
            each.setdefault("feather", 0.0)


def _misfit(found: object, fields: Mapping[str, Any]) -> str | None:
    """Return which field is invalid; None if all are valid."""
    if not isinstance(found, dict):
        return ""
    for name, kind in fields.items():
        value = found.get(name, NotThere)  # a value that no description contains
        if isinstance(kind, list):
            fits = isinstance(value, list) and all(_misfit(each, kind[0]) is None for each in value)
        else:
            fits = isinstance(value, kind)
        if not fits:
            return f" (its {name})"
    return None


def _shown_name(mask: bool) -> str:
    return "shown.png" if mask else "shown.jpg"


def _write_shown(loaded: DecodedImage, place: Path, mask: bool) -> None:
    """Write an image for the page, encoded again."""
    height, width = arrays.size_of(loaded.pixels)
    longest = SHOWN_MASK if mask else SHOWN
    for name, side in ((_shown_name(mask), longest), ("thumb.jpg", THUMB)):
        size = arrays.fit(height, width, min(side, max(height, width)))
        encode.write_image(arrays.resize(loaded.pixels, *size), place / name)


def safe_name(name: str) -> str:
    """Return a file name without folders and special characters, of at most `NAME` bytes.

    >>> safe_name("../../etc/My photo (1).JPG")
    'My photo (1).JPG'
    >>> len(safe_name("\u6c34" * 92 + ".jpg").encode()) <= NAME
    True
    """
    last = re.split(r"[/\\\\]", name)[-1]
    kept = re.sub(r"[^\w .()+-]", "_", last).strip(" .")
    reserved = kept.lower() in {"", *FILES, "picture.json"}
    return files.shortened(f"picture {kept}".strip() if reserved else kept, NAME)
