"""Crops of a session, to paint parts at the final scale."""

import numpy as np
import pytest
from PIL import Image

from impasto.errors import SettingError
from impasto.recipe.settings import Recipe
from impasto.studio import crops, sessions, versions
from impasto.studio.store import Store


@pytest.fixture
def store(tmp_path):
    made = Store(tmp_path)
    made.prepare()
    return made


def put(store, pixels, name, mask=False):
    path = store.incoming / name
    Image.fromarray(pixels).save(path)
    return store.add_image(path, name, mask)["id"]


def test_a_crop_has_the_pixels_the_masks_and_the_strokes_of_its_place(store):
    content = np.zeros((800, 1600, 3), np.uint8)
    content[:, 800:] = 200
    style = put(store, np.full((50, 60, 3), 99, np.uint8), "style.png")
    halves = [np.zeros((80, 160), np.uint8) for _ in range(2)]
    halves[0][:, :80], halves[1][:, 80:] = 255, 255
    masks = [put(store, each, f"{n}.png", True) for n, each in enumerate(halves)]
    session = store.new_session(vars(Recipe(size=1600)))
    session = sessions.update_session(
        store,
        session,
        {
            "photograph": put(store, content, "photo.png"),
            "regions": [
                {"mask": each, "painting": style, "scale": 1.0, "feather": 0.0, "frame": None}
                for each in masks
            ],
        },
    )
    cropped = crops.crop_session(store, session, {"x": 0.9, "y": 0.5})
    image = store.image(cropped["photograph"])
    assert (image["width"], image["height"]) == (256, 256)
    assert np.asarray(Image.open(store.image_path(image["id"]))).min() == 200
    # The left region is not in the crop.
    assert len(cropped["regions"]) == 1
    assert np.asarray(Image.open(store.image_path(cropped["regions"][0]["mask"]))).min() == 255
    recipe = Recipe.from_dict(cropped["recipe"])
    assert recipe.size == 256
    assert recipe.style_scale == pytest.approx(((800 * 1600) ** 0.5 / 256,))
    job = versions.create_job(store, cropped, sheet="ab", small=False)
    assert job["photograph"] == image["id"]


def test_windows_stay_inside_the_image():
    window = crops.window_around({"x": 1.0, "y": 0.0}, (512, 1024))
    assert window == crops.Window(0.75, 0.0, 0.25, 0.5)
    assert window.of(100, 400) == (slice(0, 50), slice(300, 400))


def test_a_small_result_needs_no_crop(store):
    session = store.new_session(vars(Recipe(size=200)))
    with pytest.raises(SettingError, match="no content image"):
        crops.crop_session(store, session, {"x": 0.5, "y": 0.5})
    photo = put(store, np.zeros((300, 400, 3), np.uint8), "photo.png")
    session = sessions.update_session(store, session, {"photograph": photo})
    with pytest.raises(SettingError, match="as small as a crop"):
        crops.crop_session(store, session, {"x": 0.5, "y": 0.5})
