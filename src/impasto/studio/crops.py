"""Crops for a sheet at the final scale: a part of the content image with its masks."""

import dataclasses
import secrets
from dataclasses import dataclass

from impasto.errors import SettingError
from impasto.images import arrays
from impasto.images.formats import decode, encode
from impasto.jobs.sweep import SIZE
from impasto.pipeline import inputs
from impasto.recipe.settings import Recipe
from impasto.studio.messages import PlaceInfo
from impasto.studio.records import StoredSession
from impasto.studio.store import Store
from impasto.studio.versions import without_missing_images

MAX_SCALE = 10.0
"""Maximum of the setting style_scale."""


@dataclass(frozen=True)
class Window:
    """A part of an image, in fractions of its sides."""

    left: float
    top: float
    width: float
    height: float

    def of(self, height: int, width: int) -> tuple[slice, slice]:
        """Return the rows and columns of the part in an image of (height, width)."""
        top, left = round(self.top * height), round(self.left * width)
        rows = max(1, round(self.height * height))
        columns = max(1, round(self.width * width))
        return slice(top, top + rows), slice(left, left + columns)


def crop_session(store: Store, session: StoredSession, place: PlaceInfo) -> StoredSession:
    """Return a session whose images are the part around a place, to paint at the final scale.

    The part has SIZE pixels in the result. Style images are enlarged as in the whole result, so
    strokes have their final size. Raises SettingError if the result is not larger than the part, or
    if no style is used there.
    """
    session, _ = without_missing_images(store, session)
    if session["photograph"] is None:
        raise SettingError("there is no content image yet: add one, or choose a sample")
    content = store.image(session["photograph"])
    size = content["height"], content["width"]
    recipe = inputs.with_size(Recipe.from_dict(session["recipe"]), size)
    made = arrays.fit(*size, recipe.size)
    if min(made) <= SIZE:
        raise SettingError(f"at {recipe.size} px the whole image is as small as a crop: paint it")
    window = window_around(place, made)
    scale = (made[0] * made[1]) ** 0.5 / SIZE
    scales = tuple(min(MAX_SCALE, each * scale) for each in recipe.style_scale or (1.0,))
    cropped: StoredSession = {
        **session,
        "photograph": _crop(store, session["photograph"], window),
        "keep": session["keep"] and _crop_mask(store, session["keep"], window),
        "regions": [
            {**each, "mask": mask}
            for each in session["regions"]
            if (mask := _crop_mask(store, each["mask"], window)) is not None
        ],
        "recipe": dataclasses.asdict(dataclasses.replace(recipe, size=SIZE, style_scale=scales)),
    }
    if not cropped["paintings"] and not cropped["regions"]:
        raise SettingError("no style is used at this place: choose another")
    return cropped


def window_around(place: PlaceInfo, made: tuple[int, int]) -> Window:
    """Return the square of SIZE pixels around a place of a result of (height, width) ``made``."""
    height, width = SIZE / made[0], SIZE / made[1]
    top = min(max(place["y"] - height / 2, 0.0), 1 - height)
    left = min(max(place["x"] - width / 2, 0.0), 1 - width)
    return Window(left, top, width, height)


def _crop(store: Store, image_id: str, window: Window, mask: bool = False) -> str:
    """Add a part of an image to the store, and return its id."""
    described = store.image(image_id)
    pixels = decode.read_image(store.image_path(image_id), decode.ANY_SIZE).pixels
    path = store.incoming / f"{secrets.token_hex(8)}.png"
    try:
        encode.write_image(pixels[window.of(*arrays.size_of(pixels))], path)
        return store.add_image(path, f"{described['name'].rpartition('.')[0]} crop.png", mask)["id"]
    finally:
        path.unlink(missing_ok=True)


def _crop_mask(store: Store, image_id: str, window: Window) -> str | None:
    """Add a part of a mask to the store; None if the part selects nothing."""
    pixels = decode.read_image(store.image_path(image_id), decode.ANY_SIZE).pixels
    part = pixels[window.of(*arrays.size_of(pixels))]
    return _crop(store, image_id, window, mask=True) if part.max() > 0 else None
