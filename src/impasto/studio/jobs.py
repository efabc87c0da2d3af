"""Sessions and jobs: their validation, their description for the page, and their queue."""

import contextlib
import functools
import itertools
import math
import statistics
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

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
from impasto.recipe import settings as recipes
from impasto.recipe.settings import Recipe
from impasto.studio import schema
from impasto.studio.store import Json, NotFound, Store
from impasto.studio.supervisor import Supervisor

MAX_STYLES = 8
"""Maximum number of style images of a session."""


# Sessions ---------------------------------------------------------------------------------------


def serialize_session(store: Store, supervisor: Supervisor, number: str) -> Json:
    """Return the description of a session for the page, with its jobs."""
    found, missing = without_missing_images(store, store.session(number))
    recipe = Recipe.from_dict(found["recipe"])
    jobs = [serialize(store, each["id"], supervisor) for each in store.jobs(number)]
    return {
        **found,
        "missing": missing,
        "photograph": _serialize_image(store, found["photograph"]),
        "paintings": [
            {**each, "picture": _serialize_image(store, each["picture"])}
            for each in found["paintings"]
        ],
        "regions": [
            {
                **each,
                "mask": _serialize_image(store, each["mask"]),
                "painting": _serialize_image(store, each["painting"]),
            }
            for each in found["regions"]
        ],
        "keep": _serialize_image(store, found["keep"]),
        "recipe": schema.format_settings(recipe),
        "idle": recipes.unused_settings(recipe),
        "works": jobs,
    }


def without_missing_images(store: Store, session: Json) -> tuple[Json, list[str]]:
    """Return a session without missing images, and the names of these."""

    def there(number: str | None) -> bool:
        try:
            return number is not None and bool(store.image_path(number))
        except NotFound:
            return False

    found, missing = dict(session), []
    for role, words in (("photograph", "the photograph"), ("keep", "the keep mask")):
        if session[role] is not None and not there(session[role]):
            found[role] = None
            missing.append(words)
    for role, words, parts in (
        ("paintings", "a painting", ("picture",)),
        ("regions", "the mask or style image of a region", ("mask", "painting")),
    ):
        found[role] = [each for each in session[role] if all(there(each[name]) for name in parts)]
        missing += [words] * (len(session[role]) - len(found[role]))
    return found, missing


def _serialize_image(store: Store, number: str | None) -> Json | None:
    return None if number is None else store.image(number)


def thumbnail_url(store: Store, session: Json) -> str | None:
    """Return the URL of a session's thumbnail."""
    try:
        found = _serialize_image(store, session["photograph"])
    except NotFound:
        return None
    return None if found is None else str(found["thumb"])


def update_session(store: Store, session: Json, request: Json) -> Json:
    """Return a session with the changes of the page.

    Raises NotFound for missing images, and SettingError for invalid values.
    """
    made, _ = without_missing_images(store, session)
    made |= {name: read(store, request[name]) for name, read in _PARSERS.items() if name in request}
    if "photograph" in request and request["photograph"] != session["photograph"]:
        made |= {"keep": None, "regions": []} | {
            name: made[name] for name in ("keep", "regions") if name in request
        }
    made["recipe"] = asdict(_update_recipe(Recipe.from_dict(session["recipe"]), request))
    return made


def _update_recipe(recipe: Recipe, request: Json) -> Recipe:
    """Return a recipe with the preset and settings of the page."""
    if "preset" in request:
        known, _ = schema.known_presets()
        # The size stays: a preset defines the style, not the size.
        recipe = recipes.make_recipe(str(request["preset"]), known, size=recipe.size)
    return schema.change_recipe(recipe, request.get("recipe", {}))


def _parse_list(found: object) -> list[Any]:
    if not isinstance(found, list) or len(found) > MAX_STYLES:
        raise SettingError(f"expected at most {MAX_STYLES} style images")
    return found


def _parse_style(store: Store, request: Any) -> Json:
    if not isinstance(request, dict):
        raise SettingError("expected a style image with its weight and its scale")
    image = store.image(request.get("picture"))
    share = checked_number(request.get("share", 1), "the weight of a style image", 0, 1000)
    return {"picture": image["id"], "share": share, "scale": _parse_scale(request)}


def _parse_region(store: Store, request: Any) -> Json:
    if not isinstance(request, dict):
        raise SettingError("expected a region with its mask and its style image")
    mask, style = store.image(request.get("mask")), store.image(request.get("painting"))
    feather = _parse_feather(request.get("feather", 0))
    return {
        "mask": mask["id"],
        "painting": style["id"],
        "scale": _parse_scale(request),
        "feather": feather,
    }


def _parse_scale(request: Json) -> float:
    return checked_number(request.get("scale", 1), "the scale of a style image", 0.1, 10)


def _parse_feather(request: object) -> float:
    return checked_number(
        request, "the feather of a mask, as a fraction of its longer side,", 0, 0.1
    )


def checked_number(request: object, what: str, least: float, most: float) -> float:
    """Return a validated number from the page. Raises SettingError for anything else."""
    if not isinstance(request, int | float) or not least <= request <= most:
        raise SettingError(f"{what} is {request!s:.40}: expected {least:g} to {most:g}")
    return float(request)


def _parse_image_id(store: Store, request: object) -> str | None:
    return None if request is None else str(store.image(request)["id"])


_PARSERS: dict[str, Callable[[Store, Any], Any]] = {
    "name": lambda _, request: str(request)[:100],
    "photograph": _parse_image_id,
    "keep": _parse_image_id,
    "keep_feather": lambda _, request: _parse_feather(request),
    "paintings": lambda store, request: [
        _parse_style(store, each) for each in _parse_list(request)
    ],
    "regions": lambda store, request: [_parse_region(store, each) for each in _parse_list(request)],
    "preset": lambda _, request: str(request),
}
"""Fields of a session that the page can change, with their parsers."""


def add_image(store: Store, path: Path, name: str, mask: bool) -> Json:
    """Add an image; return its description, with the recipe of a result."""
    image, _ = store.add_image(path, name, mask)
    return {**image, "painted": None if mask else _stored_recipe(store, image["id"])}


def _stored_recipe(store: Store, number: str) -> Json | None:
    """Return the recipe of a result, and which of its inputs exist here."""
    try:
        found = provenance.read_provenance(store.image_path(number))
    except ImpastoError:
        return None
    here = [each._asdict() for each in found.inputs]
    for each in here:
        each["here"] = None
        with contextlib.suppress(NotFound):
            each["here"] = store.image(str(each["sha256"])[:16])
    recipe = (
        found.recipe
        if found.recipe.init in recipes.STARTS
        else replace(found.recipe, init="content")
    )
    return {"recipe": schema.format_settings(recipe), "inputs": here}


def result_path(store: Store, job: Json) -> Path:
    """Return the path of a result. Raises SettingError if there is none."""
    path = store.job_folder(job["id"]) / "picture.png"
    if job["state"] not in ("done", "stopped") or not path.is_file():
        raise SettingError("this image is not finished yet")
    return path


def add_sample(store: Store, name: str) -> Json:
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
    store: Store, session: Json, before: object, changes: object, sheet: str | None = None
) -> Json:
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
    recipe = with_shares_and_scales(schema.change_recipe(recipe, changes), styles, regions)
    inputs.check_style_counts(recipe, len(styles), len(regions))
    return store.new_job(
        session=session["id"],
        sheet=sheet,
        before=before if isinstance(before, str) else None,
        preset=session["preset"],
        recipe=asdict(recipe),
        init=None,
        photograph=session["photograph"],
        paintings=styles,
        regions=regions,
        keep=session["keep"],
        keep_feather=session["keep_feather"],
    )


def with_shares_and_scales(
    recipe: Recipe, styles: Sequence[Json], regions: Sequence[Json]
) -> Recipe:
    """Return a recipe with the weights and scales of the style images."""
    shares = [each["share"] for each in styles]
    scales = [each["scale"] for each in (*styles, *regions)]
    overall = recipe.style_scale[0] if recipe.style_scale else 1.0
    scaled = (
        tuple(overall * each for each in scales) if set(scales) != {1.0} else recipe.style_scale
    )
    blend = tuple(shares) if len(shares) > 1 and len(set(shares)) > 1 else ()
    return recipes.change_recipe(recipe, blend=blend, style_scale=scaled)


def create_finish_job(store: Store, job: Json, size: object) -> Json:
    """Create a job that enlarges a result."""
    image = result_path(store, job)
    before = provenance.read_provenance(image).recipe
    recipe = recipes.change_recipe(before, **provenance.finish_settings(image), size=size)
    if recipe.size <= recipe.finished:
        raise SettingError(f"this image has {recipe.finished} px: choose a larger size")
    kept = ("session", "preset", "photograph", "paintings", "regions", "keep", "keep_feather")
    return store.new_job(
        **{name: job[name] for name in kept},
        sheet=None,
        before=job["id"],
        init=job["id"],
        recipe=asdict(replace(recipe, init="content")),
    )


def sweep_cells(vary: object, most: int) -> list[Json]:
    """Return the changes for each cell of a sweep, from settings and their values."""
    if not isinstance(vary, dict) or not vary:
        raise SettingError("give a setting to vary, and its values")
    if not all(isinstance(values, list) for values in vary.values()):
        raise SettingError("expected a list of values for each setting")
    axes = [[(name, str(value)) for value in values] for name, values in vary.items()]
    found = [dict(each) for each in itertools.product(*axes)]
    if not 1 < len(found) <= most:
        raise SettingError(f"a sweep has 2 to {most} images; this one would have {len(found)}")
    return found


def worker_request(store: Store, job: Json) -> Json:
    """Return the request for a job. Raises NotFound if an image is missing."""
    recipe = dict(job["recipe"])
    if job["init"] is not None:
        recipe["init"] = str(store.job_folder(job["init"]) / "picture.png")

    def path(number: str | None) -> str | None:
        return None if number is None else str(store.image_path(number).resolve())

    return {
        "do": "paint",
        "work": job["id"],
        "folder": str(store.job_folder(job["id"]).resolve()),
        "content": path(job["photograph"]),
        "styles": [path(each["picture"]) for each in job["paintings"]],
        "regions": [
            [path(each["mask"]), path(each["painting"]), each["feather"]] for each in job["regions"]
        ],
        "keep": path(job["keep"]),
        "keep_feather": job["keep_feather"],
        "recipe": recipe,
        "resume": True,
    }


def serialize(store: Store, number: str, supervisor: Supervisor) -> Json:
    """Return the description of a job for the page."""
    job = {name: value for name, value in supervisor.job(number).items() if name != "history"}
    recipe = Recipe.from_dict(job.pop("recipe"))
    place, folder = f"/api/works/{number}", store.job_folder(number)
    finished = (folder / "picture.png").exists() and job["state"] in ("done", "stopped")
    changes = _modified_ms(folder / "preview.jpg")
    return {
        **job,
        "recipe": schema.format_settings(recipe),
        "differs": _changed_settings(store, job["before"], recipe),
        "preview": f"{place}/preview.jpg?{changes}" if changes else None,
        "result": f"{place}/picture.png" if finished else None,
        "resumable": job["state"] == "failed"
        or (job["state"] == "stopped" and (folder / "checkpoint").exists()),
        "progress": supervisor.progress.get(number),
        "draft": bool(changes) and job["state"] == "painting" and number not in supervisor.progress,
    }


def serialize_queue(store: Store, supervisor: Supervisor) -> list[Json]:
    """Return the descriptions of queued jobs for the page."""
    found = []
    for each in store.queue():
        with contextlib.suppress(NotFound):
            found.append(serialize(store, each, supervisor))
    return found


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


def forecast(store: Store, session: Json) -> Json:
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
    places = len(session["regions"]) + bool(session["paintings"])
    job = memory.MemoryInputs(
        size,
        recipe.size,
        styles,
        region_count=places,
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
    measured = measurements.find_measurement(recipe, places, [level.role for level in levels])
    seconds = (
        _predict_seconds(store, recipe, levels)
        if measured is None
        else sum(predict_seconds(measured, levels, styles, plan))
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


def _style_sizes(store: Store, recipe: Recipe, session: Json) -> tuple[tuple[int, float], ...]:
    """Return number of pixels and scale of each style image of a session."""
    numbers = [
        *(each["picture"] for each in session["paintings"]),
        *(each["painting"] for each in session["regions"]),
    ]
    found = [store.image(each) for each in numbers]
    scales = itertools.islice(itertools.cycle(recipe.style_scale or (1.0,)), len(found))
    return tuple(
        (each["height"] * each["width"], scale) for each, scale in zip(found, scales, strict=True)
    )


def _predict_seconds(store: Store, recipe: Recipe, levels: Sequence[Level]) -> float | None:
    """Return the expected seconds of levels, from earlier jobs with the same style loss."""
    rates = []
    for job in store.jobs()[:50]:
        if job["state"] == "done" and job["recipe"]["style_loss"] == recipe.style_loss:
            try:
                other = store.image(job["photograph"])
            except NotFound:
                continue
            done = inputs.with_size(
                Recipe.from_dict(job["recipe"]), (other["height"], other["width"])
            )
            painted = pyramid.schedule(other["height"], other["width"], done)
            rates.append(job["seconds"] / pixels_of(painted))
    if not rates:
        return None
    seconds = statistics.median(rates[:5]) * pixels_of(levels)
    return seconds if math.isfinite(seconds) else None
