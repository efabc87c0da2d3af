"""Forecasts of the time and memory of a session, at its size and at those that the page offers."""

import itertools
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace

from impasto.errors import SettingError, pluralize
from impasto.images import arrays
from impasto.pipeline import inputs, measurements, memory, pyramid
from impasto.pipeline.forecast import predict_seconds
from impasto.pipeline.progress import format_duration
from impasto.pipeline.progress import total_pixels as pixels_of
from impasto.pipeline.pyramid import Level
from impasto.recipe import settings as recipes
from impasto.recipe.settings import Recipe
from impasto.studio import clips
from impasto.studio.messages import ForecastInfo, SizeForecast
from impasto.studio.records import ClipFacts, StoredSession
from impasto.studio.store import NotFound, Store
from impasto.studio.versions import with_shares_and_scales, without_missing_images
from impasto.video.forecast import SHOT_BYTES, clip_seconds
from impasto.video.project import disk_bytes

SIZES = ("512", "1024", "2048", "original", "3508", "4961")
"""Sizes that the page offers: pixels, the size of the content image, and A4 and A3 at 300 dpi."""


def forecast(store: Store, session: StoredSession) -> ForecastInfo:
    """Return the expected time and memory of a session, as text.

    The time follows from the stored measurement of this machine. Without one for these settings, it
    is estimated from earlier jobs. Nothing is measured, so this is fast.
    """
    session, _ = without_missing_images(store, session)
    if session["photograph"] is None or not (session["paintings"] or session["regions"]):
        return {
            "seconds": None,
            "memory": None,
            "fits": True,
            "text": "",
            "frames": "",
            "sizes": [],
        }
    recipe = with_shares_and_scales(
        Recipe.from_dict(session["recipe"]), session["paintings"], session["regions"]
    )
    own = _forecast_of(store, session, recipe)
    sizes = [
        _size_forecast(store, session, recipes.change_recipe(recipe, size=each), each)
        for each in SIZES
    ]
    return {
        "seconds": own.seconds,
        "memory": own.memory,
        "fits": own.memory is not None,
        "text": own.text,
        "frames": own.frames,
        "sizes": sizes,
    }


@dataclass(frozen=True)
class Expected:
    """The expected time and memory of a run."""

    height: int
    width: int
    seconds: float | None
    memory: float | None
    """peak in bytes; None if it does not fit"""
    note: str = ""
    """the reason if it does not fit, else the tiles"""
    frames: str = ""
    """the number of frames and shots of a clip as text"""
    disk: float = 0.0
    """bytes of disk that a clip needs until it is written"""

    @property
    def text(self) -> str:
        """Return time and memory in a line."""
        if self.memory is None:
            return self.note
        time = f"about {format_duration(self.seconds)}, " if self.seconds else ""
        memory = f"{time}{self.memory / 1e9:.1f} GB of memory{self.note}"
        return f"{memory}, {self.disk / 1e6:,.0f} MB of disk" if self.frames else memory


def _size_forecast(
    store: Store, session: StoredSession, recipe: Recipe, value: str
) -> SizeForecast:
    """Return the forecast of a session at another size."""
    found = _forecast_of(store, session, recipe)
    return {
        "value": value,
        "width": found.width,
        "height": found.height,
        "time": format_duration(found.seconds) if found.seconds else "",
        "memory": "" if found.memory is None else f"{found.memory / 1e9:.1f} GB",
        "fits": found.memory is not None,
    }


def _forecast_of(store: Store, session: StoredSession, recipe: Recipe) -> Expected:
    """Return the expected time and memory of a recipe for the images or the clip of a session."""
    image = _forecast_of_image(store, session, recipe)
    facts = store.image(str(session["photograph"]))["clip"]
    return image if facts is None else _of_clip(store, session, image, facts)


def _of_clip(store: Store, session: StoredSession, image: Expected, facts: ClipFacts) -> Expected:
    """Return the forecast of a clip from that of one frame; see `video.forecast`."""
    settings = session["clip"]
    surveyed = clips.survey(store, str(session["photograph"]), settings)
    if surveyed is None:
        surveyed = clips.expected_survey(facts, settings)
    frames, pixels = len(surveyed.frames), image.height * image.width
    seconds = image.seconds and clip_seconds(clips.options(settings), surveyed, image.seconds)
    return replace(
        image,
        seconds=seconds,
        memory=None if image.memory is None else image.memory + SHOT_BYTES * pixels,
        frames=f"{pluralize(frames, 'frame')} in {pluralize(len(surveyed.shots), 'shot')}",
        disk=disk_bytes(frames, image.height, image.width, 8),
    )


def _forecast_of_image(store: Store, session: StoredSession, recipe: Recipe) -> Expected:
    """Return the expected time and memory of a recipe for the images of a session."""
    content = store.image(str(session["photograph"]))
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
    made = arrays.fit(*size, recipe.size)
    try:
        plan = memory.plan_tiles(job)
    except SettingError as error:
        return Expected(*made, None, None, str(error))
    levels = pyramid.schedule(*size, recipe)
    measured = measurements.find_measurement(recipe, region_count, [level.role for level in levels])
    seconds = (
        _predict_seconds(store, recipe, levels)
        if measured is None
        else sum(predict_seconds(recipe, measured, levels, styles, plan))
    )
    tiles = f", tiles of {plan.tile} px" if plan.tile else ""
    return Expected(*made, seconds, memory.peak_bytes(job, plan), tiles)


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
        same = job["recipe"]["style_loss"] == recipe.style_loss
        if job["state"] == "done" and job["kind"] != "clip" and same:
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
