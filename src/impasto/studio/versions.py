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
from impasto.studio import clip_areas, clips, schema
from impasto.studio.clip_jobs import PAINTED, PART
from impasto.studio.event_messages import MaskCommand, PaintCommand
from impasto.studio.messages import ImageInfo, JobInfo, PaintedClip
from impasto.studio.records import (
    ClipSettings,
    JobInputs,
    JobKind,
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
from impasto.video.project import ENDING

CLIP_TYPES = {".mp4": "video/mp4", ".webm": "video/webm"}
"""Media types of painted clips by extension."""

LAST = 10_000_000
"""A frame number after the end of any clip."""


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
    """Return the path of a result image. Raises SettingError if there is none."""
    if job["kind"] == "clip":
        raise SettingError("this needs an image, not a clip: paint one of its frames")
    path = store.job_folder(job["id"]) / "picture.png"
    if job["state"] not in ("done", "stopped") or not path.is_file():
        raise SettingError("this image is not finished yet")
    return path


def clip_path(store: Store, job: StoredJob) -> Path | None:
    """Return the path of a painted clip, or of the part that a stopped job has painted, or None."""
    names = {"done": "clip", "stopped": PART}
    name = names.get(job["state"])
    paths = store.job_folder(job["id"]).glob(f"{name}.*") if name else iter(())
    return next((each for each in paths if each.suffix in CLIP_TYPES), None)


def create_job(
    store: Store,
    session: StoredSession,
    before: str | None = None,
    changes: Mapping[str, str | None] | None = None,
    sheet: str | None = None,
    small: bool = True,
    frame: int | None = None,
) -> StoredJob:
    """Create a job of a session, with changes of its recipe; ``before`` is the previous version.

    The jobs of a sheet are small, except those of crops, and paint one frame of a clip. ``frame``
    is its number; None paints the clip. Raises SettingError for missing inputs or an invalid
    recipe.
    """
    session, _ = without_missing_images(store, session)
    content = session["photograph"]
    if content is None:
        raise SettingError("there is no content image yet: add one, or choose a sample")
    if not session["paintings"] and not session["regions"]:
        raise SettingError("there is no style image yet: add one, or choose a sample")
    kind = _kind(store, content, sheet is not None or frame is not None)
    if kind != "image":
        painted = _frame_range(kind, frame, session["clip"])
        session = clip_areas.shown_areas(store, session, *painted)
    styles, regions = session["paintings"], session["regions"]
    if not styles and not regions:
        raise SettingError(
            "the area of the style is in another shot: choose a style for the rest as well"
        )
    recipe = Recipe.from_dict(session["recipe"])
    if sheet is not None and small:
        recipe = recipes.change_recipe(
            recipe, size=min(SMALL, recipe.size) if recipe.size > 0 else SMALL
        )
    recipe = with_shares_and_scales(schema.change_recipe(recipe, changes or {}), styles, regions)
    inputs.check_style_counts(recipe, len(styles), len(regions))
    job: NewJob = {
        **parse(session, JobInputs),
        "recipe": asdict(recipe),
        "session": session["id"],
        "sheet": sheet,
        "before": before,
        "init": None,
        "kind": kind,
        "frame": frame or 0,
    }
    if kind == "clip":  # raises SettingError now, and not when the job starts
        clips.command(store, content, job["clip"], store.incoming)
    return store.new_job(job)


def _kind(store: Store, content: str, one_frame: bool) -> JobKind:
    """Return what a job of a content image paints."""
    if store.image(content)["clip"] is None:
        return "image"
    return "frame" if one_frame else "clip"


def _frame_range(kind: JobKind, frame: int | None, settings: ClipSettings) -> tuple[int, int]:
    """Return the first and last frame that a job of a clip paints."""
    if kind == "frame":
        return frame or 0, frame or 0
    last = settings["last"]
    return settings["first"], LAST if last is None else last


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

    def mask(image_id: str, feather: float, frame: int | None) -> MaskCommand:
        drawn = None if job["kind"] == "image" else frame
        painted = _frame_range(job["kind"], job["frame"], job["clip"])
        return clip_areas.mask_command(path(image_id), feather, drawn, *painted)

    keep, folder = job["keep"], store.job_folder(job["id"]).resolve()
    return {
        "do": "paint",
        "work": job["id"],
        "folder": str(folder),
        "content": path(str(job["photograph"])),
        "styles": [path(each["picture"]) for each in job["paintings"]],
        "regions": [
            (mask(each["mask"], each["feather"], each["frame"]), path(each["painting"]))
            for each in job["regions"]
        ],
        "keep": None if keep is None else mask(keep, job["keep_feather"], job["keep_frame"]),
        "recipe": recipe,
        "frame": job["frame"] if job["kind"] == "frame" else None,
        "frames": str((store.image_folder(str(job["photograph"])) / clips.FRAMES).resolve()),
        "clip": clips.command(store, str(job["photograph"]), job["clip"], folder)
        if job["kind"] == "clip"
        else None,
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
        "differs": _changed_settings(store, job, recipe),
        "preview": f"{url}/preview.jpg?{changes}" if changes else None,
        "result": f"{url}/picture.png" if finished else None,
        "resumable": job["state"] == "failed"
        or (job["state"] == "stopped" and _has_state(store, job)),
        "progress": supervisor.progress.get(job_id),
        "kind": job["kind"],
        "frame": job["frame"],
        "video": _painted_clip(store, job, url) if job["kind"] == "clip" else None,
        "draft": bool(changes) and job["state"] == "painting" and job_id not in supervisor.progress,
    }


def _has_state(store: Store, job: StoredJob) -> bool:
    """Return whether a stopped job can be resumed."""
    folder = store.job_folder(job["id"])
    return (folder / "checkpoint").exists() or any(folder.glob(f"clip.*{ENDING}"))


def _painted_clip(store: Store, job: StoredJob, url: str) -> PaintedClip:
    """Return the painted frames of a job for the page; ``url`` is the address of the job."""
    numbers = clips.written_numbers(store.job_folder(job["id"]) / PAINTED)
    path = clip_path(store, job)
    changed = _modified_ms(path) if path else 0
    settings = job["clip"]
    return {
        "first": settings["first"],
        "last": settings["last"],
        "steady": settings["steady"],
        "every": settings["every"],
        "hold": settings["hold"],
        "cuts": settings["cuts"],
        "done": len(numbers),
        "latest": numbers[-1] if numbers else None,
        "url": f"{url}/clip/{path.name}?{changed}" if path else None,
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
    if job["kind"] == "frame":
        inputs_of_job.append(f"frame-{job['frame']}")
    named = job["name"] or "-".join([*inputs_of_job, *style_names(store, job)[:2]])
    size = Recipe.from_dict(job["recipe"]).size
    return safe_name(named or job["id"]) + ("" if job["name"] or size <= 0 else f"-{size}")


def _modified_ms(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns // 1_000_000
    except OSError:
        return 0


def _changed_settings(store: Store, job: StoredJob, recipe: Recipe) -> list[tuple[str, str, str]]:
    """Return the differences from the recipe of the previous version, and from its clip."""
    try:
        earlier = None if job["before"] is None else store.job(job["before"])
    except NotFound:
        earlier = None
    if earlier is None:
        return []
    differences = schema.setting_differences(recipe, Recipe.from_dict(earlier["recipe"]))
    if job["kind"] == earlier["kind"] == "clip":
        now, was = (_clip_texts(each["clip"]) for each in (job, earlier))
        differences += [(name, was[name], now[name]) for name in now if now[name] != was[name]]
    return differences


def _clip_texts(clip: ClipSettings) -> dict[str, str]:
    """Return the settings of a clip as text, by name."""
    last = "end" if clip["last"] is None else str(clip["last"])
    keys = ", ".join(str(each["frame"]) for each in clip["keys"])
    cuts = "auto" if clip["cuts"] is None else ", ".join(map(str, clip["cuts"])) or "none"
    return {
        "frames": f"{clip['first']} to {last}",
        "steady": f"{clip['steady']:g}",
        "every": clip["every"],
        "hold": str(clip["hold"]),
        "key frames": keys,
        "cuts": cuts,
    }
