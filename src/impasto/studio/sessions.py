"""Sessions: changes by the page, and descriptions for it.

A session has the images and settings of the page; it is stored by `studio.store`. Its jobs, which
the page shows as versions, are in `studio.versions`.
"""

import functools
import io
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

from impasto.errors import ImpastoError
from impasto.images import arrays, samples
from impasto.images.arrays import ImageArray
from impasto.images.formats import encode
from impasto.pipeline import provenance
from impasto.recipe import presets
from impasto.recipe import settings as recipes
from impasto.recipe.settings import Recipe
from impasto.studio import clips, schema, versions
from impasto.studio.messages import (
    ClipSettingsInfo,
    ImageInfo,
    KeyInfo,
    ResultInfo,
    SessionChanges,
    SessionInfo,
    UploadInfo,
)
from impasto.studio.records import ClipSettings, RegionEntry, StoredSession
from impasto.studio.store import THUMBNAIL_SIDE, NotFound, Store
from impasto.studio.supervisor import Supervisor


def serialize_session(store: Store, supervisor: Supervisor, session_id: str) -> SessionInfo:
    """Return the description of a session for the page, with its jobs."""
    session, missing = versions.without_missing_images(store, store.session(session_id))
    recipe = Recipe.from_dict(session["recipe"])
    content, keep = session["photograph"], session["keep"]
    return {
        "id": session["id"],
        "photograph": None if content is None else store.image(content),
        "paintings": [
            {**each, "picture": store.image(each["picture"])} for each in session["paintings"]
        ],
        "regions": [
            {**each, "mask": store.image(each["mask"]), "painting": store.image(each["painting"])}
            for each in session["regions"]
        ],
        "keep": None if keep is None else store.image(keep),
        "keep_feather": session["keep_feather"],
        "keep_frame": session["keep_frame"],
        "missing": missing,
        "preset": session["preset"],
        "detail": session["detail"],
        "recipe": schema.format_settings(recipe),
        "clip": _clip_settings(store, session["clip"]),
        "idle": recipes.unused_settings(recipe),
        "works": [
            versions.serialize_job(store, each["id"], supervisor) for each in store.jobs(session_id)
        ],
    }


def update_session(store: Store, session: StoredSession, changes: SessionChanges) -> StoredSession:
    """Return a session with the changes of the page; a new content image keeps masks.

    A new clip is painted from its start to its end, and masks move from its start on. Raises
    NotFound for missing images, and SettingError for invalid values.
    """
    for image_id in _image_ids(changes):
        store.image(image_id)
    cleaned, _ = versions.without_missing_images(store, session)
    recipe = _update_recipe(session, changes)
    clip: ClipSettings = {**session["clip"], **changes.get("clip", {})}
    if changes.get("photograph", session["photograph"]) != session["photograph"]:
        clip = {**clip, "first": 0, "last": None, "cuts": None, "keys": []}
        cleaned = _with_areas_at_start(cleaned)
    clips.options(clip)  # raises SettingError
    return {**cleaned, **changes, "recipe": asdict(recipe), "clip": clip}


def _with_areas_at_start(session: StoredSession) -> StoredSession:
    """Return a session whose masks that move are those of frame 0."""
    regions: list[RegionEntry] = [
        {**each, "frame": None if each["frame"] is None else 0} for each in session["regions"]
    ]
    keep_frame = None if session["keep_frame"] is None else 0
    return {**session, "regions": regions, "keep_frame": keep_frame}


def _image_ids(changes: SessionChanges) -> Iterator[str]:
    for image_id in (changes.get("photograph"), changes.get("keep")):
        if image_id is not None:
            yield image_id
    for style in changes.get("paintings", []):
        yield style["picture"]
    for region in changes.get("regions", []):
        yield from (region["mask"], region["painting"])
    for key in changes.get("clip", {}).get("keys", []):
        yield key["picture"]


def _clip_settings(store: Store, settings: ClipSettings) -> ClipSettingsInfo:
    """Return the settings of a clip for the page, without missing key frames."""
    keys: list[KeyInfo] = []
    for each in settings["keys"]:
        picture = _known_image(store, each["picture"])
        if picture is not None:
            keys.append({"frame": each["frame"], "picture": picture})
    return {**settings, "keys": keys}


def _update_recipe(session: StoredSession, changes: SessionChanges) -> Recipe:
    """Return the recipe of a session with the preset, detail and settings of the page."""
    recipe = Recipe.from_dict(session["recipe"])
    preset = changes.get("preset", session["preset"])
    known, _ = schema.known_presets()
    if "preset" in changes:
        # The size stays: a preset defines the style, not the size.
        recipe = presets.make_recipe(preset, known, size=recipe.size)
    if "preset" in changes or "detail" in changes:
        detail = changes.get("detail", session["detail"])
        recipe = schema.with_detail(recipe, detail, preset, known)
    return schema.change_recipe(recipe, changes.get("recipe", {}))


def add_image(store: Store, path: Path, name: str, mask: bool, clip: bool = False) -> UploadInfo:
    """Add an image, or with ``clip`` also a clip; return its description.

    It includes the recipe of a result.
    """
    if clip and clips.is_clip(path, name):
        return {**clips.add_clip(store, path, name), "painted": None}
    image = store.add_image(path, name, mask)
    return {**image, "painted": None if mask else _stored_recipe(store, image["id"])}


def _stored_recipe(store: Store, image_id: str) -> ResultInfo | None:
    """Return the recipe of a result, and which of its inputs exist here."""
    try:
        stored = provenance.read_provenance(store.image_path(image_id))
    except ImpastoError:
        return None
    recipe = stored.recipe
    if recipe.init not in recipes.STARTS:
        recipe = replace(recipe, init="content")
    return {
        "recipe": schema.format_settings(recipe),
        "inputs": [
            {
                "role": each.role,
                "name": each.name,
                "sha256": each.sha256,
                "here": _known_image(store, each.sha256[:16]),
            }
            for each in stored.inputs
        ],
    }


def _known_image(store: Store, image_id: str) -> ImageInfo | None:
    try:
        return store.image(image_id)
    except NotFound:
        return None


def add_sample(store: Store, name: str) -> UploadInfo:
    """Add a sample."""
    with tempfile.TemporaryDirectory(dir=store.incoming) as folder:
        path = Path(folder, f"{name}.png")
        encode.write_image(_make_sample(name), path)
        return add_image(store, path, path.name, mask=False)


def _make_sample(name: str) -> ImageArray:
    content = name in samples.CONTENTS
    return samples.load_content(name) if content else samples.make_style(name, samples.SIZE)


@functools.cache
def sample_thumbnail(name: str) -> bytes:
    """Return the thumbnail of a sample, as a JPEG."""
    image = _make_sample(name)
    size = arrays.fit(*arrays.size_of(image), THUMBNAIL_SIDE)
    out = io.BytesIO()
    encode.to_pillow(arrays.resize(image, *size)).save(out, "JPEG", quality=82)
    return out.getvalue()


def session_name(store: Store, session: StoredSession) -> str:
    """Return the name of a session: its own, or that of its content image."""
    if session["name"] or session["photograph"] is None:
        return session["name"]
    try:
        return Path(store.image(session["photograph"])["name"]).stem
    except NotFound:
        return ""
