"""What a studio keeps on disk: pictures, sessions, works. Closing anything loses nothing.

::

    FOLDER/pictures/ID/   the file that came (for painting alone), shown.jpg or .png, thumb.jpg,
                          picture.json
    FOLDER/sessions/ID.json
    FOLDER/works/ID/      work.json, checkpoint, preview.jpg, picture.png, .jpg and .tif
    FOLDER/queue.json     works that wait or are painted, in their order

Ids are hexadecimal, made here, and the only thing of a path that comes from the page.
"""

import hashlib
import json
import re
import secrets
import shutil
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from impasto import files
from impasto.errors import InputError
from impasto.pictures import decode, encode, raster
from impasto.pictures.decode import Loaded

Json = dict[str, Any]

FILES = ("shown.jpg", "shown.png", "thumb.jpg")
"""What the page gets of a picture."""

SHOWN, THUMB = 2048, 320
"""Longest sides in pixels at which the page is shown a picture, and its thumbnail."""


class NotThere(InputError):
    """Something that the page names is not, or no longer, in the folder."""


@dataclass(frozen=True)
class Store:
    """The folder of a studio."""

    folder: Path

    def prepare(self) -> None:
        """Make the folder where there is none. Raises OSError if it cannot be made."""
        for name in ("pictures", "sessions", "works"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)

    # Pictures -----------------------------------------------------------------------------------

    def add_picture(self, path: Path, name: str, mask: bool = False) -> tuple[Json, Loaded]:
        """Take in the file at ``path``, which came under a ``name``; it is moved into the folder.

        Raises PictureError for what is no picture.
        """
        loaded = decode.read(path, decode.ANY, name)
        with path.open("rb") as file:
            number = hashlib.file_digest(file, "sha256").hexdigest()[:16]
        place = self.folder / "pictures" / number
        if not (place / "picture.json").exists():
            place.mkdir(exist_ok=True)
            height, width = raster.size_of(loaded.pixels)
            own = safe_name(name)
            _write_shown(loaded, place, mask)
            files.write_text(
                json.dumps(
                    {
                        "id": number,
                        "name": own,
                        "width": width,
                        "height": height,
                        "mask": mask,
                        "notes": list(loaded.notes),
                    }
                ),
                place / "picture.json",
            )
            path.replace(place / own)
        return self.picture(number), loaded

    def picture(self, number: object) -> Json:
        """Return what is known of a picture. Raises NotThere."""
        found = self._read(self._place("pictures", number) / "picture.json", "picture")
        ending = "png" if found["mask"] else "jpg"
        place = f"/api/pictures/{number}"
        return {**found, "url": f"{place}/shown.{ending}", "thumb": f"{place}/thumb.jpg"}

    def path_of(self, number: str) -> Path:
        """Return the file that a picture came as. Raises NotThere."""
        name: str = self.picture(number)["name"]
        return self._place("pictures", number) / name

    def shown(self, number: str, file: str) -> Path:
        """Return one of the files of a picture that are made for the page. Raises NotThere."""
        if file not in FILES or not (path := self._place("pictures", number) / file).is_file():
            raise NotThere("this picture is not there any more")
        return path

    # Sessions -----------------------------------------------------------------------------------

    def new_session(self, recipe: Json) -> Json:
        """Begin a session with a recipe."""
        session = {
            "id": secrets.token_hex(4),
            "name": "",
            "created": time.time(),
            "photograph": None,
            "paintings": [],
            "regions": [],
            "keep": None,
            "preset": "default",
            "recipe": recipe,
        }
        self.save_session(session)
        return session

    def session(self, number: str) -> Json:
        """Return a session. Raises NotThere."""
        return self._read(self._place("sessions", number).with_suffix(".json"), "session")

    def save_session(self, session: Json) -> None:
        """Write a session down."""
        path = self._place("sessions", session["id"]).with_suffix(".json")
        files.write_text(json.dumps(session), path)

    def sessions(self) -> list[Json]:
        """Return all sessions, the newest first."""
        paths = (self.folder / "sessions").glob("*.json")
        return sorted(map(self._any, paths), key=lambda each: -float(each["created"]))

    def remove_session(self, number: str) -> None:
        """Remove a session and its works."""
        for work in self.works(number):
            self.remove_work(work["id"])
        self._place("sessions", number).with_suffix(".json").unlink(missing_ok=True)

    # Works --------------------------------------------------------------------------------------

    def new_work(self, **about: object) -> Json:
        """Write down a work that is to be painted."""
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
        """Return a work. Raises NotThere."""
        return self._read(self.work_folder(number) / "work.json", "work")

    def save_work(self, work: Json) -> None:
        """Write a work down."""
        files.write_text(json.dumps(work), self.work_folder(work["id"]) / "work.json")

    def works(self, session: str | None = None) -> list[Json]:
        """Return the works of a session, or all, the newest first."""
        found = map(self._any, (self.folder / "works").glob("*/work.json"))
        these = (each for each in found if session is None or each["session"] == session)
        return sorted(these, key=lambda each: -float(each["created"]))

    def work_folder(self, number: str) -> Path:
        """Return the folder of a work."""
        return self._place("works", number)

    def remove_work(self, number: str) -> None:
        """Remove a work, and its pictures."""
        shutil.rmtree(self.work_folder(number), ignore_errors=True)

    # The queue ----------------------------------------------------------------------------------

    def queue(self) -> list[str]:
        """Return the ids of works that wait or are painted, in their order."""
        path = self.folder / "queue.json"
        return list(json.loads(path.read_text())) if path.exists() else []

    def save_queue(self, queue: Iterable[str]) -> None:
        """Write the queue down."""
        files.write_text(json.dumps(list(queue)), self.folder / "queue.json")

    def _place(self, kind: str, number: object) -> Path:
        """Return where something lies whose id the page may have made up. Raises NotThere."""
        if not isinstance(number, str) or not re.fullmatch("[0-9a-f]{8}|[0-9a-f]{16}", number):
            raise NotThere("this is not there")
        return self.folder / kind / number

    def _read(self, path: Path, what: str) -> Json:
        try:
            return self._any(path)
        except FileNotFoundError:
            raise NotThere(f"this {what} is not there any more: reload the page") from None

    def _any(self, path: Path) -> Json:
        found: Json = json.loads(path.read_text(encoding="utf-8"))
        return found


def _write_shown(loaded: Loaded, place: Path, mask: bool) -> None:
    """Write what the page is shown of a picture, encoded anew."""
    height, width = raster.size_of(loaded.pixels)
    for name, longest in (("shown", SHOWN), ("thumb", THUMB)):
        size = raster.fit(height, width, min(longest, max(height, width)))
        pixels = raster.resize(loaded.pixels, *size).clip(0, 255)
        ending = "png" if mask and name == "shown" else "jpg"
        encode.write(pixels, place / f"{name}.{ending}")


def safe_name(name: str) -> str:
    """Return the name of a file without folders, and without anything but usual characters.

    >>> safe_name("../../etc/My photo (1).JPG")
    'My photo (1).JPG'
    """
    last = re.split(r"[/\\\\]", name)[-1]
    kept = re.sub(r"[^\w .()+-]", "_", last).strip(" .")[-100:]
    reserved = kept.lower() in {"", "shown.jpg", "shown.png", "thumb.jpg", "picture.json"}
    return f"picture {kept}".strip() if reserved else kept
