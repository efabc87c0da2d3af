"""The collection: style images that the user keeps for all sessions, in ``collection.json``."""

import contextlib
import json
from collections.abc import Iterable

from impasto import files
from impasto.errors import SettingError
from impasto.studio.messages import ImageInfo
from impasto.studio.store import NotFound, Store, is_id

MAX_IMAGES = 200
"""Maximum number of images in the collection."""


def image_ids(store: Store) -> list[str]:
    """Return the ids of the collected images, newest first; a damaged file is skipped."""
    path = store.folder / "collection.json"
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(stored, list):
            raise ValueError("it is not a list")
    except FileNotFoundError:
        return []
    except (OSError, ValueError, RecursionError) as error:
        store.note_skipped(path, error)
        return []
    return [each for each in stored if is_id(each)]


def images(store: Store) -> list[ImageInfo]:
    """Return the collected images that are in the folder, newest first."""
    found = []
    for image_id in image_ids(store):
        with contextlib.suppress(NotFound):
            found.append(store.image(image_id))
    return found


def add(store: Store, image_id: str) -> None:
    """Add an image in front. Raises NotFound for a missing one, SettingError beyond MAX_IMAGES."""
    store.image(image_id)
    collected = image_ids(store)
    if len(collected) >= MAX_IMAGES and image_id not in collected:
        raise SettingError(f"the collection has {MAX_IMAGES} images: remove some first")
    _save(store, dict.fromkeys([image_id, *collected]))


def remove(store: Store, image_id: str) -> None:
    """Remove an image from the collection; its file stays for the sessions that use it."""
    _save(store, (each for each in image_ids(store) if each != image_id))


def _save(store: Store, collected: Iterable[str]) -> None:
    files.write_text(json.dumps(list(collected)), store.folder / "collection.json")
