"""Sessions and the jobs of each: changes by the page, descriptions for it, commands, forecasts.

A session has the images and settings of the page; a job is one run with a copy of them. Both are
stored by `studio.store`. The queue is in `studio.queue`, and `studio.supervisor` runs its jobs.
"""

import functools
import itertools
import math
import statistics
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from impasto.errors import ImpastoError, SettingError
from impasto.images import samples
from impasto.images.arrays import ImageArray
from impasto.images.formats import encode
from impasto.jobs.sweep import SIZE as SMALL
from impasto.pipeline import inputs, measurements, memory, provenance, pyramid
from impasto.pipeline.forecast import predict_seconds
from impasto.pipeline.progress import format_duration
from impasto.pipeline.progress import total_pixels as pixels_of
from impasto.pipeline.pyramid import Level
from impasto.recipe import presets
from impasto.recipe import settings as recipes
from impasto.recipe.settings import Recipe
from impasto.studio import schema
from impasto.studio.messages import (
    ForecastInfo,
    ImageInfo,
    JobInfo,
    JobInputs,
    JobStatus,
    NewJob,
    PaintCommand,
    RegionEntry,
    ResultInfo,
    SessionChanges,
    SessionInfo,
    StoredJob,
    StoredSession,
    StyleEntry,
    UploadInfo,
    parse,
)
from impasto.studio.store import NotFound, Store
from impasto.studio.supervisor import Supervisor

# Sessions ---------------------------------------------------------------------------------------


def serialize_session(store: Store, supervisor: Supervisor, session_id: str) -> SessionInfo:
    """Return the description of a session for the page, with its jobs."""
    session, missing = without_missing_images(store, store.session(session_id))
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
        "missing": missing,
        "preset": session["preset"],
        "recipe": schema.format_settings(recipe),
        "idle": recipes.unused_settings(recipe),
        "works": [serialize_job(store, each["id"], supervisor) for each in store.jobs(session_id)],
    }


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


def update_session(store: Store, session: StoredSession, changes: SessionChanges) -> StoredSession:
    """Return a session with the changes of the page; a new content image removes masks.

    Raises NotFound for missing images, and SettingError for invalid values.
    """
    for image_id in _image_ids(changes):
        store.image(image_id)
    cleaned, _ = without_missing_images(store, session)
    if changes.get("photograph", session["photograph"]) != session["photograph"]:
        cleaned = {**cleaned, "keep": None, "regions": []}
    recipe = _update_recipe(Recipe.from_dict(session["recipe"]), changes)
    return {**cleaned, **changes, "recipe": asdict(recipe)}


def _image_ids(changes: SessionChanges) -> Iterator[str]:
    for image_id in (changes.get("photograph"), changes.get("keep")):
        if image_id is not None:
            yield image_id
    for style in changes.get("paintings", []):
        yield style["picture"]
    for region in changes.get("regions", []):
        yield from (region["mask"], region["painting"])


def _update_recipe(recipe: Recipe, changes: SessionChanges) -> Recipe:
    """Return a recipe with the preset and settings of the page."""
    if "preset" in changes:
        known, _ = schema.known_presets()
        # The size stays: a preset defines the style, not the size.
        recipe = presets.make_recipe(changes["preset"], known, size=recipe.size)
    return schema.change_recipe(recipe, changes.get("recipe", {}))


def add_image(store: Store, path: Path, name: str, mask: bool) -> UploadInfo:
    """Add an image; return its description, with the recipe of a result."""
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


def result_path(store: Store, job: StoredJob) -> Path:
    """Return the path of a result. Raises SettingError if there is none."""
    path = store.job_folder(job["id"]) / "picture.png"
    if job["state"] not in ("done", "stopped") or not path.is_file():
        raise SettingError("this image is not finished yet")
    return path


def add_sample(store: Store, name: str) -> UploadInfo:
    """Add a sample."""
    with tempfile.TemporaryDirectory(dir=store.incoming) as folder:
        path = Path(folder, f"{name}.png")
        encode.write_image(_make_sample(name), path)
        return add_image(store, path, path.name, mask=False)


@functools.cache  # generating one takes seconds
def _make_sample(name: str) -> ImageArray:
    content = name in samples.CONTENTS
    return samples.load_content(name) if content else samples.make_style(name, samples.SIZE)


# Jobs -------------------------------------------------------------------------------------------


def create_job(
    store: Store,
    session: StoredSession,
    before: str | None = None,
    changes: Mapping[str, str | None] | None = None,
    sheet: str | None = None,
) -> StoredJob:
    """Create a job of a session, with changes of its recipe; ``before`` is the previous version.

    Raises SettingError for missing inputs or an invalid recipe.
    """
    session, _ = without_missing_images(store, session)
    styles, regions = session["paintings"], session["regions"]
    if session["photograph"] is None:
        raise SettingError("there is no content image yet: add one, or choose a sample")
    if not styles and not regions:
        raise SettingError("there is no style image yet: add one, or choose a sample")
    recipe = Recipe.from_dict(session["recipe"])
    if sheet is not None:
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
        "recipe": schema.format_settings(recipe),
        "differs": _changed_settings(store, job["before"], recipe),
        "preview": f"{url}/preview.jpg?{changes}" if changes else None,
        "result": f"{url}/picture.png" if finished else None,
        "resumable": job["state"] == "failed"
        or (job["state"] == "stopped" and (folder / "checkpoint").exists()),
        "progress": supervisor.progress.get(job_id),
        "draft": bool(changes) and job["state"] == "painting" and job_id not in supervisor.progress,
    }


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


# Forecasts --------------------------------------------------------------------------------------


def forecast(store: Store, session: StoredSession) -> ForecastInfo:
    """Return the expected time and memory of a session, as text.

    The time follows from the stored measurement of this machine. Without one for these settings, it
    is estimated from earlier jobs. Nothing is measured, so this is fast.
    """
    session, _ = without_missing_images(store, session)
    if session["photograph"] is None or not (session["paintings"] or session["regions"]):
        return {"seconds": None, "memory": None, "fits": True, "text": ""}
    recipe = with_shares_and_scales(
        Recipe.from_dict(session["recipe"]), session["paintings"], session["regions"]
    )
    content = store.image(session["photograph"])
    size = content["height"], content["width"]
    recipe = inputs.with_size(recipe, size)
    styles = _style_sizes(store, recipe, session)
    region_count = len(session["regions"]) + bool(session["paintings"])
    job = memory.MemoryInputs(
        size,
        recipe.size,
        styles,
        region_count=region_count,
        evaluations=recipe.evaluations,
        colors=recipe.colors,
        style_loss=recipe.style_loss,
        optimizer=recipe.optimizer,
        tile=recipe.tile,
    )
    try:
        plan = memory.plan_tiles(job)
    except SettingError as error:
        return {"seconds": None, "memory": None, "fits": False, "text": str(error)}
    levels = pyramid.schedule(*size, recipe)
    measured = measurements.find_measurement(recipe, region_count, [level.role for level in levels])
    seconds = (
        _predict_seconds(store, recipe, levels)
        if measured is None
        else sum(predict_seconds(recipe, measured, levels, styles, plan))
    )
    bytes_needed = memory.peak_bytes(job, plan)
    tiles = f", tiles of {plan.tile} px" if plan.tile else ""
    time = f"about {format_duration(seconds)}, " if seconds else ""
    return {
        "seconds": seconds,
        "memory": bytes_needed,
        "fits": True,
        "text": f"{time}{bytes_needed / 1e9:.1f} GB{tiles}",
    }


def _style_sizes(
    store: Store, recipe: Recipe, session: StoredSession
) -> tuple[tuple[int, float], ...]:
    """Return number of pixels and scale of each style image of a session."""
    image_ids = [
        *(each["picture"] for each in session["paintings"]),
        *(each["painting"] for each in session["regions"]),
    ]
    images = [store.image(each) for each in image_ids]
    scales = itertools.islice(itertools.cycle(recipe.style_scale or (1.0,)), len(images))
    return tuple(
        (each["height"] * each["width"], scale) for each, scale in zip(images, scales, strict=True)
    )


def _predict_seconds(store: Store, recipe: Recipe, levels: Sequence[Level]) -> float | None:
    """Return the expected seconds of levels, from earlier jobs with the same style loss."""
    rates = []
    for job in store.jobs()[:50]:
        if job["state"] == "done" and job["recipe"]["style_loss"] == recipe.style_loss:
            try:
                content = store.image(str(job["photograph"]))
            except NotFound:
                continue
            recipe_done = inputs.with_size(
                Recipe.from_dict(job["recipe"]), (content["height"], content["width"])
            )
            levels_done = pyramid.schedule(content["height"], content["width"], recipe_done)
            rates.append(job["seconds"] / pixels_of(levels_done))
    if not rates:
        return None
    seconds = statistics.median(rates[:5]) * pixels_of(levels)
    return seconds if math.isfinite(seconds) else None
