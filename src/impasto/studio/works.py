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
from impasto.painting import inputs, measurements, memory, pyramid
from impasto.painting.forecast import predict
from impasto.painting.progress import in_words
from impasto.painting.progress import work as pixels_of
from impasto.painting.pyramid import Level
from impasto.recipe import settings as recipes
from impasto.recipe.settings import Recipe
from impasto.studio import describe
from impasto.studio.foreman import Foreman
from impasto.studio.store import Json, NotThere, Store

PAINTINGS = 8
"""Maximum number of style images of a session."""


# Sessions ---------------------------------------------------------------------------------------


def session(store: Store, foreman: Foreman, number: str) -> Json:
    """Return the description of a session for the page, with its jobs."""
    found, missing = present(store, store.session(number))
    recipe = Recipe.from_dict(found["recipe"])
    works = [told(store, each["id"], foreman) for each in store.works(number)]
    return {
        **found,
        "missing": missing,
        "photograph": _picture(store, found["photograph"]),
        "paintings": [
            {**each, "picture": _picture(store, each["picture"])} for each in found["paintings"]
        ],
        "regions": [
            {
                **each,
                "mask": _picture(store, each["mask"]),
                "painting": _picture(store, each["painting"]),
            }
            for each in found["regions"]
        ],
        "keep": _picture(store, found["keep"]),
        "recipe": describe.shown(recipe),
        "idle": recipes.idle(recipe),
        "works": works,
    }


def present(store: Store, session: Json) -> tuple[Json, list[str]]:
    """Return a session without missing images, and the names of these."""

    def there(number: str | None) -> bool:
        try:
            return number is not None and bool(store.path_of(number))
        except NotThere:
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


def _picture(store: Store, number: str | None) -> Json | None:
    return None if number is None else store.picture(number)


def thumb(store: Store, session: Json) -> str | None:
    """Return the URL of a session's thumbnail."""
    try:
        found = _picture(store, session["photograph"])
    except NotThere:
        return None
    return None if found is None else str(found["thumb"])


def changed(store: Store, session: Json, asked: Json) -> Json:
    """Return a session with the changes of the page.

    Raises NotThere for missing images, and SettingError for invalid values.
    """
    made, _ = present(store, session)
    made |= {name: read(store, asked[name]) for name, read in _CHANGES.items() if name in asked}
    if "photograph" in asked and asked["photograph"] != session["photograph"]:
        made |= {"keep": None, "regions": []} | {
            name: made[name] for name in ("keep", "regions") if name in asked
        }
    made["recipe"] = asdict(_recipe(Recipe.from_dict(session["recipe"]), asked))
    return made


def _recipe(recipe: Recipe, asked: Json) -> Recipe:
    """Return a recipe with the preset and settings of the page."""
    if "preset" in asked:
        known, _ = describe.known_presets()
        # The size stays: a preset defines the style, not the size.
        recipe = recipes.make(str(asked["preset"]), known, size=recipe.size)
    return describe.changed(recipe, asked.get("recipe", {}))


def _list(found: object) -> list[Any]:
    if not isinstance(found, list) or len(found) > PAINTINGS:
        raise SettingError(f"expected at most {PAINTINGS} style images")
    return found


def _painting(store: Store, asked: Any) -> Json:
    if not isinstance(asked, dict):
        raise SettingError("expected a style image with its weight and its scale")
    picture = store.picture(asked.get("picture"))
    share = checked_number(asked.get("share", 1), "the weight of a style image", 0, 1000)
    return {"picture": picture["id"], "share": share, "scale": _scale(asked)}


def _region(store: Store, asked: Any) -> Json:
    if not isinstance(asked, dict):
        raise SettingError("expected a region with its mask and its style image")
    mask, painting = store.picture(asked.get("mask")), store.picture(asked.get("painting"))
    feather = _feather(asked.get("feather", 0))
    return {
        "mask": mask["id"],
        "painting": painting["id"],
        "scale": _scale(asked),
        "feather": feather,
    }


def _scale(asked: Json) -> float:
    return checked_number(asked.get("scale", 1), "the scale of a style image", 0.1, 10)


def _feather(asked: object) -> float:
    return checked_number(asked, "the feather of a mask, as a fraction of its longer side,", 0, 0.1)


def checked_number(asked: object, what: str, least: float, most: float) -> float:
    """Return a validated number from the page. Raises SettingError for anything else."""
    if not isinstance(asked, int | float) or not least <= asked <= most:
        raise SettingError(f"{what} is {asked!s:.40}: expected {least:g} to {most:g}")
    return float(asked)


def _known(store: Store, asked: object) -> str | None:
    return None if asked is None else str(store.picture(asked)["id"])


_CHANGES: dict[str, Callable[[Store, Any], Any]] = {
    "name": lambda _, asked: str(asked)[:100],
    "photograph": _known,
    "keep": _known,
    "keep_feather": lambda _, asked: _feather(asked),
    "paintings": lambda store, asked: [_painting(store, each) for each in _list(asked)],
    "regions": lambda store, asked: [_region(store, each) for each in _list(asked)],
    "preset": lambda _, asked: str(asked),
}
"""Fields of a session that the page can change, with their parsers."""


def taken_in(store: Store, path: Path, name: str, mask: bool) -> Json:
    """Add an image; return its description, with the recipe of a result."""
    picture, _ = store.add_picture(path, name, mask)
    return {**picture, "painted": None if mask else _painted(store, picture["id"])}


def _painted(store: Store, number: str) -> Json | None:
    """Return the recipe of a result, and which of its inputs exist here."""
    try:
        found = inputs.read_provenance(store.path_of(number))
    except ImpastoError:
        return None
    here = [each._asdict() for each in found.inputs]
    for each in here:
        each["here"] = None
        with contextlib.suppress(NotThere):
            each["here"] = store.picture(str(each["sha256"])[:16])
    recipe = (
        found.recipe
        if found.recipe.init in recipes.STARTS
        else replace(found.recipe, init="content")
    )
    return {"recipe": describe.shown(recipe), "inputs": here}


def result_path(store: Store, work: Json) -> Path:
    """Return the path of a result. Raises SettingError if there is none."""
    path = store.work_folder(work["id"]) / "picture.png"
    if work["state"] not in ("done", "stopped") or not path.is_file():
        raise SettingError("this image is not finished yet")
    return path


def sampled(store: Store, name: str) -> Json:
    """Add a sample."""
    with tempfile.TemporaryDirectory(dir=store.incoming) as folder:
        path = Path(folder, f"{name}.png")
        encode.write_image(_sample(name), path)
        return taken_in(store, path, path.name, mask=False)


@functools.cache  # generating one takes seconds
def _sample(name: str) -> ImageArray:
    photograph = name in samples.CONTENTS
    return samples.load_content(name) if photograph else samples.make_style(name, samples.SIZE)


# Jobs -------------------------------------------------------------------------------------------


def begin(
    store: Store, session: Json, before: object, changes: object, sheet: str | None = None
) -> Json:
    """Create a job of a session, with changes of its recipe; ``before`` is the previous version.

    Raises SettingError for missing inputs or an invalid recipe.
    """
    session, _ = present(store, session)
    paintings, regions = session["paintings"], session["regions"]
    if session["photograph"] is None:
        raise SettingError("there is no content image yet: add one, or choose a sample")
    if not paintings and not regions:
        raise SettingError("there is no style image yet: add one, or choose a sample")
    recipe = Recipe.from_dict(session["recipe"])
    if sheet is not None:
        recipe = recipes.change(recipe, size=min(SMALL, recipe.size) if recipe.size > 0 else SMALL)
    recipe = described(describe.changed(recipe, changes), paintings, regions)
    inputs.check_numbers(recipe, len(paintings), len(regions))
    return store.new_work(
        session=session["id"],
        sheet=sheet,
        before=before if isinstance(before, str) else None,
        preset=session["preset"],
        recipe=asdict(recipe),
        init=None,
        photograph=session["photograph"],
        paintings=paintings,
        regions=regions,
        keep=session["keep"],
        keep_feather=session["keep_feather"],
    )


def described(recipe: Recipe, paintings: Sequence[Json], regions: Sequence[Json]) -> Recipe:
    """Return a recipe with the weights and scales of the style images."""
    shares = [each["share"] for each in paintings]
    scales = [each["scale"] for each in (*paintings, *regions)]
    overall = recipe.style_scale[0] if recipe.style_scale else 1.0
    scaled = (
        tuple(overall * each for each in scales) if set(scales) != {1.0} else recipe.style_scale
    )
    blend = tuple(shares) if len(shares) > 1 and len(set(shares)) > 1 else ()
    return recipes.change(recipe, blend=blend, style_scale=scaled)


def larger(store: Store, work: Json, size: object) -> Json:
    """Create a job that enlarges a result."""
    picture = result_path(store, work)
    before = inputs.read_provenance(picture).recipe
    recipe = recipes.change(before, **inputs.finishing(picture), size=size)
    if recipe.size <= recipe.finished:
        raise SettingError(f"this image has {recipe.finished} px: choose a larger size")
    kept = ("session", "preset", "photograph", "paintings", "regions", "keep", "keep_feather")
    return store.new_work(
        **{name: work[name] for name in kept},
        sheet=None,
        before=work["id"],
        init=work["id"],
        recipe=asdict(replace(recipe, init="content")),
    )


def cells(vary: object, most: int) -> list[Json]:
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


def asked(store: Store, work: Json) -> Json:
    """Return the request for a job. Raises NotThere if an image is missing."""
    recipe = dict(work["recipe"])
    if work["init"] is not None:
        recipe["init"] = str(store.work_folder(work["init"]) / "picture.png")

    def path(number: str | None) -> str | None:
        return None if number is None else str(store.path_of(number).resolve())

    return {
        "do": "paint",
        "work": work["id"],
        "folder": str(store.work_folder(work["id"]).resolve()),
        "content": path(work["photograph"]),
        "styles": [path(each["picture"]) for each in work["paintings"]],
        "regions": [
            [path(each["mask"]), path(each["painting"]), each["feather"]]
            for each in work["regions"]
        ],
        "keep": path(work["keep"]),
        "keep_feather": work["keep_feather"],
        "recipe": recipe,
        "resume": True,
    }


def told(store: Store, number: str, foreman: Foreman) -> Json:
    """Return the description of a job for the page."""
    work = {name: value for name, value in foreman.work(number).items() if name != "history"}
    recipe = Recipe.from_dict(work.pop("recipe"))
    place, folder = f"/api/works/{number}", store.work_folder(number)
    finished = (folder / "picture.png").exists() and work["state"] in ("done", "stopped")
    changes = _stamp(folder / "preview.jpg")
    return {
        **work,
        "recipe": describe.shown(recipe),
        "differs": _differs(store, work["before"], recipe),
        "preview": f"{place}/preview.jpg?{changes}" if changes else None,
        "result": f"{place}/picture.png" if finished else None,
        "resumable": work["state"] == "failed"
        or (work["state"] == "stopped" and (folder / "checkpoint").exists()),
        "progress": foreman.progress.get(number),
        "draft": bool(changes) and work["state"] == "painting" and number not in foreman.progress,
    }


def waiting(store: Store, foreman: Foreman) -> list[Json]:
    """Return the descriptions of queued jobs for the page."""
    found = []
    for each in store.queue():
        with contextlib.suppress(NotThere):
            found.append(told(store, each, foreman))
    return found


def _stamp(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns // 1_000_000
    except OSError:
        return 0


def _differs(store: Store, before: str | None, recipe: Recipe) -> list[tuple[str, str, str]]:
    """Return the differences from the recipe of the previous version."""
    try:
        earlier = None if before is None else store.work(before)
    except NotThere:
        earlier = None
    return describe.differences(recipe, Recipe.from_dict(earlier["recipe"])) if earlier else []


# Forecasts --------------------------------------------------------------------------------------


def forecast(store: Store, session: Json) -> Json:
    """Return the expected time and memory of a session, as text.

    The time follows from the stored measurement of this machine. Without one for these settings, it
    is estimated from earlier jobs. Nothing is measured, so this is fast.
    """
    session, _ = present(store, session)
    if session["photograph"] is None or not (session["paintings"] or session["regions"]):
        return {"seconds": None, "memory": None, "fits": True, "text": ""}
    recipe = described(
        Recipe.from_dict(session["recipe"]), session["paintings"], session["regions"]
    )
    photograph = store.picture(session["photograph"])
    size = photograph["height"], photograph["width"]
    recipe = inputs.sized(recipe, size)
    paintings = _sizes(store, recipe, session)
    places = len(session["regions"]) + bool(session["paintings"])
    work = memory.Work(
        size,
        recipe.size,
        paintings,
        places=places,
        evaluations=recipe.evaluations,
        colors=recipe.colors,
        style_loss=recipe.style_loss,
        optimizer=recipe.optimizer,
        tile=recipe.tile,
    )
    try:
        plan = memory.plan(work)
    except SettingError as error:
        return {"seconds": None, "memory": None, "fits": False, "text": str(error)}
    levels = pyramid.schedule(*size, recipe)
    measured = measurements.find(recipe, places, [level.kind for level in levels])
    seconds = (
        _seconds(store, recipe, levels)
        if measured is None
        else sum(predict(measured, levels, paintings, plan))
    )
    bytes_needed = memory.needed(work, plan)
    tiles = f", tiles of {plan.tile} px" if plan.tile else ""
    time = f"about {in_words(seconds)}, " if seconds else ""
    return {
        "seconds": seconds,
        "memory": bytes_needed,
        "fits": True,
        "text": f"{time}{bytes_needed / 1e9:.1f} GB{tiles}",
    }


def _sizes(store: Store, recipe: Recipe, session: Json) -> tuple[tuple[int, float], ...]:
    """Return number of pixels and scale of each style image of a session."""
    numbers = [
        *(each["picture"] for each in session["paintings"]),
        *(each["painting"] for each in session["regions"]),
    ]
    found = [store.picture(each) for each in numbers]
    scales = itertools.islice(itertools.cycle(recipe.style_scale or (1.0,)), len(found))
    return tuple(
        (each["height"] * each["width"], scale) for each, scale in zip(found, scales, strict=True)
    )


def _seconds(store: Store, recipe: Recipe, levels: Sequence[Level]) -> float | None:
    """Return the expected seconds of levels, from earlier jobs with the same style loss."""
    rates = []
    for work in store.works()[:50]:
        if work["state"] == "done" and work["recipe"]["style_loss"] == recipe.style_loss:
            try:
                other = store.picture(work["photograph"])
            except NotThere:
                continue
            done = inputs.sized(Recipe.from_dict(work["recipe"]), (other["height"], other["width"]))
            painted = pyramid.schedule(other["height"], other["width"], done)
            rates.append(work["seconds"] / pixels_of(painted))
    if not rates:
        return None
    seconds = statistics.median(rates[:5]) * pixels_of(levels)
    return seconds if math.isfinite(seconds) else None
