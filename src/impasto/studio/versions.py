"""Versions: the jobs of a session, each one run with a copy of its images and settings.

The queue is in `studio.queue`, and `studio.supervisor` runs its jobs.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from impasto.errors import SettingError
from impasto.jobs.sweep import SIZE as SMALL
from impasto.pipeline import inputs, provenance
from impasto.recipe import settings as recipes
from impasto.recipe.settings import Recipe
from impasto.studio import schema
from impasto.studio.event_messages import PaintCommand
from impasto.studio.messages import ImageInfo, JobInfo
from impasto.studio.records import (
    JobInputs,
    JobStatus,
    NewJob,
    RegionEntry,
    StoredJob,
    StoredSession,
    StyleEntry,
)
from impasto.studio.store import NotFound, Store, safe_name
from impasto.studio.supervisor import Supervisor
from impasto.studio.validation import parse
from impasto.studio.worker import FRAMES


def without_missing_images(store: Store, session: StoredSession) -> tuple[StoredSession, list[str]]:
    """Return a session without missing images, and the roles of these."""

    def exists(image_id: str | None) -> bool:
        try:
            return image_id is not None and bool(store.image_path(image_id))
        except NotFound:
            return False

    content = session["photograph"] if exists(session["photograph"]) else None
    keep = session["keep"] if exists(session["keep"]) else None
    styles = [each for each in session["paintings"] if exists(each["picture"])]
    regions = [
        each for each in session["regions"] if exists(each["mask"]) and exists(each["painting"])
    ]
    counts = {
        "the content image": content != session["photograph"],
        "the mask of the protected area": keep != session["keep"],
        "a style image": len(session["paintings"]) - len(styles),
        "the mask or style image of an area": len(session["regions"]) - len(regions),
    }
    cleaned: StoredSession = {
        **session,
        "photograph": content,
        "keep": keep,
        "paintings": styles,
        "regions": regions,
    }
    return cleaned, [role for role, count in counts.items() for _ in range(count)]


def result_path(store: Store, job: StoredJob) -> Path:
    """Return the path of a result. Raises SettingError if there is none."""
    path = store.job_folder(job["id"]) / "picture.png"
    if job["state"] not in ("done", "stopped") or not path.is_file():
        raise SettingError("this image is not finished yet")
    return path


def create_job(
    store: Store,
    session: StoredSession,
    before: str | None = None,
    changes: Mapping[str, str | None] | None = None,
    sheet: str | None = None,
    small: bool = True,
) -> StoredJob:
    """Create a job of a session, with changes of its recipe; ``before`` is the previous version.

    The jobs of a sheet are small, except those of crops. Raises SettingError for missing inputs or
    an invalid recipe.
    """
    session, _ = without_missing_images(store, session)
    styles, regions = session["paintings"], session["regions"]
    if session["photograph"] is None:
        raise SettingError("there is no content image yet: add one, or choose a sample")
    if not styles and not regions:
        raise SettingError("there is no style image yet: add one, or choose a sample")
    recipe = Recipe.from_dict(session["recipe"])
    if sheet is not None and small:
        recipe = recipes.change_recipe(
            recipe, size=min(SMALL, recipe.size) if recipe.size > 0 else SMALL
        )
    recipe = with_shares_and_scales(schema.change_recipe(recipe, changes or {}), styles, regions)
    inputs.check_style_counts(recipe, len(styles), len(regions))
    return store.new_job(
        {
            **parse(session, JobInputs),
            "recipe": asdict(recipe),
            "session": session["id"],
            "sheet": sheet,
            "before": before,
            "init": None,
        }
    )


def with_shares_and_scales(
    recipe: Recipe, styles: Sequence[StyleEntry], regions: Sequence[RegionEntry]
) -> Recipe:
    """Return a recipe with the weights and scales of the style images."""
    shares = [each["share"] for each in styles]
    scales = [*(each["scale"] for each in styles), *(each["scale"] for each in regions)]
    overall = recipe.style_scale[0] if recipe.style_scale else 1.0
    scaled = (
        tuple(overall * each for each in scales) if set(scales) != {1.0} else recipe.style_scale
    )
    blend = tuple(shares) if len(shares) > 1 and len(set(shares)) > 1 else ()
    return recipes.change_recipe(recipe, blend=blend, style_scale=scaled)


def create_finish_job(store: Store, job: StoredJob, size: int) -> StoredJob:
    """Create a job that enlarges a result."""
    image = result_path(store, job)
    before = provenance.read_provenance(image).recipe
    recipe = recipes.change_recipe(before, **provenance.finish_settings(image), size=size)
    if recipe.size <= recipe.finished:
        raise SettingError(f"this image has {recipe.finished} px: choose a larger size")
    fields = asdict(replace(recipe, init="content"))
    return store.new_job(
        {
            **parse(job, NewJob),
            "sheet": None,
            "before": job["id"],
            "init": job["id"],
            "recipe": fields,
        }
    )


def sweep_cells(vary: Mapping[str, Sequence[str]], max_cells: int) -> list[dict[str, str]]:
    """Return the changes for each cell of a sweep, from settings and their values."""
    axes = [[(name, value) for value in values] for name, values in vary.items()]
    cells = [dict(each) for each in itertools.product(*axes)]
    if not 1 < len(cells) <= max_cells:
        raise SettingError(f"a sweep has 2 to {max_cells} images; this one would have {len(cells)}")
    return cells


def paint_command(store: Store, job: StoredJob) -> PaintCommand:
    """Return the command that runs a job. Raises NotFound if an image is missing."""
    recipe = dict(job["recipe"])
    if job["init"] is not None:
        recipe["init"] = str(store.job_folder(job["init"]) / "picture.png")

    def path(image_id: str) -> str:
        return str(store.image_path(image_id).resolve())

    keep = job["keep"]
    return {
        "do": "paint",
        "work": job["id"],
        "folder": str(store.job_folder(job["id"]).resolve()),
        "content": path(str(job["photograph"])),
        "styles": [path(each["picture"]) for each in job["paintings"]],
        "regions": [
            (path(each["mask"]), path(each["painting"]), each["feather"]) for each in job["regions"]
        ],
        "keep": None if keep is None else path(keep),
        "keep_feather": job["keep_feather"],
        "recipe": recipe,
    }


def serialize_job(store: Store, job_id: str, supervisor: Supervisor) -> JobInfo:
    """Return the description of a job for the page."""
    job = supervisor.job(job_id)
    recipe = Recipe.from_dict(job["recipe"])
    url, folder = f"/api/works/{job_id}", store.job_folder(job_id)
    finished = (folder / "picture.png").exists() and job["state"] in ("done", "stopped")
    changes = _modified_ms(folder / "preview.jpg")
    return {
        **parse(job, JobStatus),
        "sheet": job["sheet"],
        "content": _image_or_none(store, job["photograph"]),
        "styles": style_names(store, job),
        "stem": download_stem(store, job),
        "film": any((folder / FRAMES).glob("*.jpg")),
        "recipe": schema.format_settings(recipe),
        "differs": _changed_settings(store, job["before"], recipe),
        "preview": f"{url}/preview.jpg?{changes}" if changes else None,
        "result": f"{url}/picture.png" if finished else None,
        "resumable": job["state"] == "failed"
        or (job["state"] == "stopped" and (folder / "checkpoint").exists()),
        "progress": supervisor.progress.get(job_id),
        "draft": bool(changes) and job["state"] == "painting" and job_id not in supervisor.progress,
    }


def _image_or_none(store: Store, image_id: str | None) -> ImageInfo | None:
    try:
        return None if image_id is None else store.image(image_id)
    except NotFound:
        return None


def style_names(store: Store, job: JobInputs) -> list[str]:
    """Return the names of the style images of a job, without file extensions."""
    image_ids = [each["picture"] for each in job["paintings"]]
    image_ids += [each["painting"] for each in job["regions"]]
    images = (_image_or_none(store, each) for each in dict.fromkeys(image_ids))
    return [Path(each["name"]).stem for each in images if each is not None]


def download_stem(store: Store, job: StoredJob) -> str:
    """Return the name of downloads of a job: its own, or those of its inputs."""
    content = _image_or_none(store, job["photograph"])
    inputs_of_job = [Path(content["name"]).stem] if content else []
    named = job["name"] or "-".join([*inputs_of_job, *style_names(store, job)[:2]])
    size = Recipe.from_dict(job["recipe"]).size
    return safe_name(named or job["id"]) + ("" if job["name"] or size <= 0 else f"-{size}")


def _modified_ms(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns // 1_000_000
    except OSError:
        return 0


def _changed_settings(
    store: Store, before: str | None, recipe: Recipe
) -> list[tuple[str, str, str]]:
    """Return the differences from the recipe of the previous version."""
    try:
        earlier = None if before is None else store.job(before)
    except NotFound:
        earlier = None
    return (
        schema.setting_differences(recipe, Recipe.from_dict(earlier["recipe"])) if earlier else []
    )
