"""What sessions and works mean: checked when they are changed, told to the page, and painted."""

import functools
import itertools
import math
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from impasto.errors import ImpastoError, PictureError, SettingError
from impasto.painting import inputs, memory, pyramid
from impasto.painting.progress import work as pixels_of
from impasto.pictures import encode, samples
from impasto.pictures.raster import Picture
from impasto.recipe import presets
from impasto.recipe import settings as recipes
from impasto.recipe.settings import Recipe
from impasto.studio import describe
from impasto.studio.foreman import Foreman
from impasto.studio.store import Json, NotThere, Store
from impasto.workshop.sweep import SIZE as SMALL

PAINTINGS = 8
"""Paintings of one session at most."""


# Sessions ---------------------------------------------------------------------------------------


def session(store: Store, foreman: Foreman, number: str) -> Json:
    """Return a session as the page is told of it, with its works."""
    found = store.session(number)
    recipe = Recipe.from_dict(found["recipe"])
    works = [told(store, each["id"], foreman) for each in store.works(number)]
    return {
        **found,
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


def _picture(store: Store, number: str | None) -> Json | None:
    return None if number is None else store.picture(number)


def thumb(store: Store, session: Json) -> str | None:
    """Return the address of a session's thumbnail."""
    found = _picture(store, session["photograph"])
    return None if found is None else str(found["thumb"])


def changed(store: Store, session: Json, asked: Json) -> Json:
    """Return a session with what the page asked for; what it does not name stays.

    Raises NotThere for pictures that are not there, SettingError for what cannot be.
    """
    made = dict(session)
    if "name" in asked:
        made["name"] = str(asked["name"])[:100]
    for role in ("photograph", "keep"):
        if role in asked:
            made[role] = asked[role]
            _picture(store, asked[role])
    if "paintings" in asked:
        made["paintings"] = [_painting(store, each) for each in _list(asked["paintings"])]
    if "regions" in asked:
        made["regions"] = [_region(store, each) for each in _list(asked["regions"])]
    if "photograph" in asked and asked["photograph"] != session["photograph"]:
        made.update(keep=asked.get("keep"), regions=asked.get("regions", []))
    recipe = Recipe.from_dict(session["recipe"])
    if "preset" in asked:
        recipe = recipes.make(str(asked["preset"]), presets.available())
        made["preset"] = asked["preset"]
    recipe = describe.changed(recipe, asked.get("recipe", {}))
    made["recipe"] = asdict(recipe)
    return made


def _list(found: object) -> list[Any]:
    if not isinstance(found, list) or len(found) > PAINTINGS:
        raise SettingError(f"expected up to {PAINTINGS} paintings")
    return found


def _painting(store: Store, asked: Any) -> Json:
    if not isinstance(asked, dict):
        raise SettingError("expected a painting with its share and its scale")
    picture = store.picture(asked.get("picture"))
    share, scale = float(asked.get("share", 1)), float(asked.get("scale", 1))
    if not (0 <= share <= 1000 and 0.1 <= scale <= 10):
        raise SettingError("a painting's share is 0 or more, and its scale from 0.1 to 10")
    return {"picture": picture["id"], "share": share, "scale": scale}


def _region(store: Store, asked: Any) -> Json:
    if not isinstance(asked, dict):
        raise SettingError("expected a region with its mask and its painting")
    mask, painting = store.picture(asked.get("mask")), store.picture(asked.get("painting"))
    return {"mask": mask["id"], "painting": painting["id"], "scale": float(asked.get("scale", 1))}


def taken_in(store: Store, path: Path, name: str, mask: bool) -> Json:
    """Take in a picture; says what it was painted with, if impasto painted it."""
    try:
        picture, _ = store.add_picture(path, name, mask)
    except PictureError as error:  # by the name that the person knows, not the server's
        raise PictureError(str(error).replace(str(path), name)) from None
    return {**picture, "painted": None if mask else _painted(store, picture["id"])}


def _painted(store: Store, number: str) -> Json | None:
    """Return the recipe in a picture, and which of its inputs are here."""
    try:
        found = inputs.read_provenance(store.path_of(number))
    except ImpastoError:
        return None
    here = [each._asdict() for each in found.inputs]
    for each in here:
        known = str(each["sha256"])[:16]
        there = (store.folder / "pictures" / known / "picture.json").exists()
        each["here"] = store.picture(known) if there else None
    recipe = (
        found.recipe
        if found.recipe.init in recipes.STARTS
        else replace(found.recipe, init="content")
    )
    return {"recipe": describe.shown(recipe), "inputs": here}


def sampled(store: Store, name: str) -> Json:
    """Take in one of the samples."""
    with tempfile.TemporaryDirectory(dir=store.folder) as folder:
        path = Path(folder, f"{name}.png")
        encode.write(_sample(name), path)
        return taken_in(store, path, path.name, mask=False)


@functools.cache  # painting one takes seconds
def _sample(name: str) -> Picture:
    photograph = name in samples.PHOTOGRAPHS
    return samples.photograph(name) if photograph else samples.painting(name, samples.SIZE)


# Works ------------------------------------------------------------------------------------------


def begin(
    store: Store, session: Json, before: str | None, changes: object, sheet: str | None = None
) -> Json:
    """Write down a work of a session, with changes of its recipe; ``before`` is what it goes by.

    Raises SettingError where there is nothing to paint, or the recipe cannot be.
    """
    paintings, regions = session["paintings"], session["regions"]
    if session["photograph"] is None:
        raise SettingError("there is no photograph yet: drop one, or take a sample")
    if not paintings and not regions:
        raise SettingError("there is no painting yet: drop one, or take a sample")
    recipe = Recipe.from_dict(session["recipe"])
    if sheet is not None:
        recipe = recipes.change(recipe, size=min(SMALL, recipe.size) if recipe.size > 0 else SMALL)
    recipe = described(describe.changed(recipe, changes), paintings, regions)
    inputs.check_numbers(recipe, len(paintings), len(regions))
    return store.new_work(
        session=session["id"],
        sheet=sheet,
        before=before,
        preset=session["preset"],
        recipe=asdict(recipe),
        init=None,
        photograph=session["photograph"],
        paintings=paintings,
        regions=regions,
        keep=session["keep"],
    )


def described(recipe: Recipe, paintings: Sequence[Json], regions: Sequence[Json]) -> Recipe:
    """Return a recipe with the shares and scales that paintings have."""
    shares = [each["share"] for each in paintings]
    scales = [each["scale"] for each in (*paintings, *regions)]
    overall = recipe.style_scale[0] if recipe.style_scale else 1.0
    scaled = (
        tuple(overall * each for each in scales) if set(scales) != {1.0} else recipe.style_scale
    )
    blend = tuple(shares) if len(shares) > 1 and len(set(shares)) > 1 else ()
    return recipes.change(recipe, blend=blend, style_scale=scaled)


def larger(store: Store, work: Json, size: object) -> Json:
    """Write down a work that takes a finished picture up to a larger size."""
    picture = store.work_folder(work["id"]) / "picture.png"
    if work["state"] not in ("done", "stopped") or not picture.exists():
        raise SettingError("this picture is not painted yet")
    before = inputs.read_provenance(picture).recipe
    recipe = recipes.change(before, **inputs.finishing(picture), size=size)
    if recipe.size <= recipe.finished:
        raise SettingError(f"this picture has {recipe.finished} px: choose a larger size")
    kept = ("session", "preset", "photograph", "paintings", "regions", "keep")
    return store.new_work(
        **{name: work[name] for name in kept},
        sheet=None,
        before=work["id"],
        init=work["id"],
        recipe=asdict(replace(recipe, init="content")),
    )


def cells(vary: object, most: int) -> list[Json]:
    """Return the changes of every cell of a sweep, from settings each with its values."""
    if not isinstance(vary, dict) or not vary:
        raise SettingError("name a setting to vary, and its values")
    axes = [[(name, str(value)) for value in values] for name, values in vary.items()]
    found = [dict(each) for each in itertools.product(*axes)]
    if not 1 < len(found) <= most:
        raise SettingError(
            f"a sweep has 2 to {most} pictures, and this one would have {len(found)}"
        )
    return found


def asked(store: Store, work: Json) -> Json:
    """Return the painter's words of a work. Raises NotThere if one of its pictures is gone."""
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
        "regions": [[path(each["mask"]), path(each["painting"])] for each in work["regions"]],
        "keep": path(work["keep"]),
        "recipe": recipe,
        "resume": True,
    }


def told(store: Store, number: str, foreman: Foreman) -> Json:
    """Return a work as the page is told of it."""
    work = {name: value for name, value in store.work(number).items() if name != "history"}
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
        "resumable": work["state"] in ("stopped", "failed") and (folder / "checkpoint").exists(),
        "progress": foreman.progress.get(number),
        "draft": bool(changes) and work["state"] == "painting" and number not in foreman.progress,
    }


def _stamp(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns // 1_000_000
    except OSError:
        return 0


def _differs(store: Store, before: str | None, recipe: Recipe) -> list[tuple[str, str, str]]:
    """Return what differs from the recipe of the work before."""
    try:
        earlier = None if before is None else store.work(before)
    except NotThere:
        earlier = None
    return describe.differences(recipe, Recipe.from_dict(earlier["recipe"])) if earlier else []


# Forecasts --------------------------------------------------------------------------------------


def forecast(store: Store, session: Json) -> Json:
    """Return about how long a session would take and how much memory, by what was painted so far.

    Nothing is painted for it, so that it can follow every dial.
    """
    if session["photograph"] is None or not (session["paintings"] or session["regions"]):
        return {"seconds": None, "memory": None, "fits": True, "text": ""}
    recipe = described(
        Recipe.from_dict(session["recipe"]), session["paintings"], session["regions"]
    )
    photograph = store.picture(session["photograph"])
    size = photograph["height"], photograph["width"]
    recipe = inputs.sized(recipe, size)
    seconds = _seconds(store, recipe, size)
    paintings = [store.picture(each["picture"]) for each in session["paintings"]]
    work = memory.Work(
        size,
        recipe.size,
        tuple((each["height"] * each["width"], 1.0) for each in paintings),
        places=len(session["regions"]) + bool(paintings),
        evaluations=recipe.evaluations,
        colors=recipe.colors,
        style_loss=recipe.style_loss,
        optimizer=recipe.optimizer,
        tile=recipe.tile,
    )
    try:
        plan = memory.plan(work)
    except SettingError as error:
        return {"seconds": seconds, "memory": None, "fits": False, "text": str(error)}
    bytes_needed = memory.needed(work, plan)
    tiles = f", in tiles of {plan.tile} px" if plan.tile else ""
    time = f"about {_in_words(seconds)}, " if seconds else ""
    return {
        "seconds": seconds,
        "memory": bytes_needed,
        "fits": True,
        "text": f"{time}{bytes_needed / 1e9:.1f} GB{tiles}",
    }


def _seconds(store: Store, recipe: Recipe, size: tuple[int, int]) -> float | None:
    """Return the seconds that a recipe would take, by those that paintings of its kind took."""
    rates = []
    for work in store.works()[:50]:
        if work["state"] == "done" and work["recipe"]["style_loss"] == recipe.style_loss:
            other = store.picture(work["photograph"])
            done = inputs.sized(Recipe.from_dict(work["recipe"]), (other["height"], other["width"]))
            levels = pyramid.schedule(other["height"], other["width"], done)
            rates.append(work["seconds"] / pixels_of(levels))
    if not rates:
        return None
    seconds = statistics.median(rates[:5]) * pixels_of(pyramid.schedule(*size, recipe))
    return seconds if math.isfinite(seconds) else None


def _in_words(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
